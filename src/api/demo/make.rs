//! Making the parts of the demo.

use serde_json::{Value, json};

use super::{Demo, request};
use crate::api::state::AppState;
use crate::domain::demo::runs::{self, EVALUATIONS, Evaluation};
use crate::domain::demo::traces::{DemoTrace, export};
use crate::domain::demo::{EXPERIMENT, Feature, MADE_BY, TIMES, content, prompt_name, views};
use crate::domain::evaluation_dataset::NewEvaluationDataset;
use crate::domain::evaluation_dataset::records::parse_records;
use crate::domain::experiment::NewExperiment;
use crate::domain::ids::{
    EvaluationDatasetId, ModelAlias, ModelName, ReviewQueueId, RunId, Tag, TraceId, VersionText,
};
use crate::domain::issue::NewIssue;
use crate::domain::label_schema::NewLabelSchema;
use crate::domain::registry::{NewModelVersion, NewRegisteredModel};
use crate::domain::review_queue::{NewReviewQueue, NewStatus};
use crate::domain::run::NewBatch;
use crate::domain::scorer::NewScorer;
use crate::domain::time::now_ms;
use crate::domain::trace::assessment::AssessmentValue;
use crate::domain::trace::info::NewTrace;
use crate::domain::trace::span::NewSpans;
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{
    Assessment, CreateDataset, CreateIssue, CreateLabelSchema, CreateRegisteredModel, CreateReviewQueue,
    SetReviewQueueItemStatus,
};

/// The queue that both reviewers share.
pub(super) const QUEUE: &str = "Demo Response Review";
/// Who looks at traces; the last is who looks where nobody logs in.
pub(super) const REVIEWERS: [&str; 3] = ["ana", "ben", "default"];

/// Makes the experiment of the demo. Losing the race against another server is fine.
pub(super) async fn experiment(app: &AppState) -> Result<()> {
    let note = "A made-up bicycle workshop and its assistant, before and after a repair: traces, sessions, \
                evaluations, prompts, judges, issues and reviews to look around in.";
    let new = json!({ "name": EXPERIMENT, "tags": [
        { "key": "mlflow.experimentKind", "value": "genai_development" },
        { "key": "mlflow.note.content", "value": note },
    ] });
    match app.store.create_experiment(NewExperiment::new(request(new)?, &app.limits)?).await {
        Err(e) if e.code != ErrorCode::ResourceAlreadyExists => Err(e),
        _ => Ok(()),
    }
}

impl Demo<'_> {
    /// Makes a feature of which nothing is there.
    pub(super) async fn make(&self, feature: Feature) -> Result<()> {
        match feature {
            Feature::Prompts => self.make_prompts().await,
            Feature::Traces => self.make_traces().await,
            Feature::CustomView => self.tag(views::CUSTOM_VIEW, views::custom_view()).await,
            Feature::SavedViews => self.tag(views::SAVED_VIEW, views::saved_view(now_ms())?).await,
            Feature::Evaluation => self.make_evaluations().await,
            Feature::Judges => self.make_judges().await,
            Feature::Issues => self.make_issues().await,
            Feature::ReviewQueues => self.make_review_queues().await,
        }
    }

    async fn tag(&self, key: &str, value: String) -> Result<()> {
        let tag = Tag { key: key.into(), value };
        self.app.store.set_experiment_tag(self.id.clone(), tag).await
    }

    async fn make_prompts(&self) -> Result<()> {
        for prompt in &content().prompts {
            let name = prompt.full_name();
            let model = json!({ "name": name, "tags": [
                { "key": "mlflow.prompt.is_prompt", "value": "true" }, { "key": "demo", "value": "true" },
                { "key": "_mlflow_experiment_ids", "value": format!(",{},", self.id) },
            ] });
            self.app
                .store
                .create_registered_model(NewRegisteredModel::try_from(request::<CreateRegisteredModel>(
                    model,
                )?)?)
                .await?;
            for version in &prompt.versions {
                let (kind, text) = version.text();
                let new = json!({ "name": name, "source": "dummy-source", "description": version.note, "tags": [
                    { "key": "mlflow.prompt.is_prompt", "value": "true" }, { "key": "demo", "value": "true" },
                    { "key": "_mlflow_prompt_type", "value": kind },
                    { "key": "mlflow.prompt.text", "value": text },
                ] });
                let made =
                    self.app.store.create_model_version(NewModelVersion::new(request(new)?, None)?).await?;
                let alias = ModelAlias::from(version.alias.as_str());
                let (model, number) = (ModelName::from(name.as_str()), VersionText::from(made.version()));
                self.app.store.set_registered_model_alias(model, alias, number).await?;
            }
        }
        Ok(())
    }

    async fn make_traces(&self) -> Result<()> {
        let refused = |refused| Error::internal(format!("the demo has bad spans: {refused:?}"));
        let spans =
            NewSpans::convert(self.id.number(), &export(&self.traces)?, &self.app.prices).map_err(refused)?;
        for trace in &self.traces {
            self.app.store.start_trace(NewTrace::try_from(trace.info(self.id.as_str())?)?).await?;
        }
        self.app.store.log_spans(spans).await?;
        for trace in &self.traces {
            if let Some(used) = &trace.question.prompt {
                let link = format!("{}/{}", prompt_name(&used.name), used.version(trace.assistant));
                self.app.store.link_prompts_to_trace(TraceId::from(trace.id.as_str()), vec![link]).await?;
            }
        }
        let first = self.traces.iter().map(|trace| trace.start_ms).min().unwrap_or_default();
        let last = self.traces.iter().map(|trace| trace.end_ms).max().unwrap_or_default();
        let [start, end] = TIMES;
        self.tag(start, first.to_string()).await?;
        self.tag(end, last.to_string()).await
    }

    async fn assess(&self, assessment: Value) -> Result<()> {
        let new = AssessmentValue::try_from(request::<Assessment>(assessment.clone())?)?;
        let trace_id = assessment.get("trace_id").and_then(Value::as_str).unwrap_or_default();
        self.app.store.create_assessment(TraceId::from(trace_id), new).await?;
        Ok(())
    }

    async fn make_evaluations(&self) -> Result<()> {
        for expectation in self.traces.iter().filter_map(DemoTrace::expectation) {
            self.assess(expectation).await?;
        }
        for evaluation in &EVALUATIONS {
            let traces: Vec<&DemoTrace> =
                self.traces.iter().filter(|trace| evaluation.takes(trace)).collect();
            self.make_dataset(evaluation, &traces).await?;
            let kind = json!([{ "key": "mlflow.runType", "value": "genai_evaluate" }]);
            let run = self.start_run(evaluation.run, kind).await?;
            for trace in &traces {
                for judge in &content().judges {
                    self.assess(trace.verdict(judge, &run)).await?;
                }
            }
            let batch = json!({ "run_id": run, "metrics": Evaluation::metrics(&traces, now_ms()),
                "params": [{ "key": "demo", "value": "true" }] });
            self.end_run(&run, &traces, batch).await?;
        }
        Ok(())
    }

    async fn make_dataset(&self, evaluation: &Evaluation, traces: &[&DemoTrace]) -> Result<()> {
        let tags = json!({ "demo": "true", "mlflow.user": MADE_BY }).to_string();
        let new = CreateDataset {
            name: Some(evaluation.dataset.into()),
            experiment_ids: vec![self.id.to_string()],
            tags: Some(tags),
        };
        let made = self.app.store.create_dataset(NewEvaluationDataset::try_from(new)?).await?;
        let records: Vec<Value> = traces.iter().map(|trace| trace.record()).collect();
        let records = parse_records(&Value::Array(records).to_string())?;
        self.app.store.upsert_dataset_records(EvaluationDatasetId::from(made.dataset_id()), records).await?;
        Ok(())
    }

    async fn start_run(&self, name: &str, tags: Value) -> Result<String> {
        let new = json!({ "experiment_id": self.id, "run_name": name, "user_id": MADE_BY,
            "start_time": now_ms(), "tags": tags });
        let run = self.app.store.create_run(request(new)?).await?;
        Ok(run.info.and_then(|info| info.run_id).unwrap_or_default())
    }

    /// Writes what a run found, links its traces and ends it.
    async fn end_run(&self, run: &str, traces: &[&DemoTrace], batch: Value) -> Result<()> {
        let long = self.app.limits.long_values;
        self.app.store.log(NewBatch::from_batch(request(batch)?, long)?).await?;
        let ids = traces.iter().map(|trace| TraceId::from(trace.id.as_str())).collect();
        self.app.store.link_traces_to_run(ids, RunId::from(run)).await?;
        let end = json!({ "run_id": run, "status": "FINISHED", "end_time": now_ms() });
        self.app.store.update_run(RunId::from(run), request(end)?).await?;
        Ok(())
    }

    async fn make_judges(&self) -> Result<()> {
        for judge in &content().judges {
            let (name, body) = (runs::judge_name(judge), runs::serialized_judge(judge));
            let new = NewScorer::new(name, body, self.app.limits.custom_scorers)?;
            self.app.store.register_scorer(self.id.clone(), new).await?;
        }
        Ok(())
    }

    async fn make_issues(&self) -> Result<()> {
        let kind = json!([{ "key": "mlflow.runType", "value": "issue_detection" }]);
        let run = self.start_run("Demo Issue Detection", kind).await?;
        let mut shown: Vec<&DemoTrace> = Vec::new();
        for issue in &content().issues {
            let new = NewIssue::try_from(request::<CreateIssue>(issue.request(self.id.as_str(), &run))?)?;
            let made = self.app.store.create_issue(new).await?;
            for trace in issue.examples(&self.traces) {
                self.assess(issue.reference(made.issue_id(), trace, &run)).await?;
                if !shown.iter().any(|other| other.id == trace.id) {
                    shown.push(trace);
                }
            }
        }
        let looked_at = self.traces.len() / 2;
        let result = |key: &str, value: String| json!({ "key": format!("mlflow.issueDetection.result.{key}"), "value": value });
        let batch = json!({ "run_id": run, "tags": [
            result("issues", content().issues.len().to_string()),
            result("totalTracesAnalyzed", looked_at.to_string()),
            result("summary", runs::summary(looked_at)),
        ] });
        self.end_run(&run, &shown, batch).await
    }

    async fn make_review_queues(&self) -> Result<()> {
        let mut schema_ids = Vec::new();
        for question in &content().questions {
            let mut new: CreateLabelSchema = request(question.clone())?;
            new.experiment_id = None;
            let schema =
                self.app.store.create_label_schema(self.id.clone(), NewLabelSchema::try_from(new)?).await?;
            schema_ids.push(schema.schema_id().to_owned());
        }
        let [first, second, _] = REVIEWERS;
        let new = json!({ "name": QUEUE, "queue_type": "CUSTOM", "created_by": MADE_BY,
            "users": [first, second], "schema_ids": schema_ids });
        let new = NewReviewQueue::try_from(request::<CreateReviewQueue>(new)?)?;
        let queue = self.app.store.create_review_queue(self.id.clone(), new).await?;
        let ids: Vec<String> = self.traces.iter().take(12).map(|trace| trace.id.clone()).collect();
        self.fill(queue.queue_id(), &ids).await?;
        for (index, id) in ids.iter().enumerate() {
            let status = match index % 5 {
                0 | 3 => "COMPLETE",
                4 => "DECLINED",
                _ => continue,
            };
            let done = json!({ "queue_id": queue.queue_id(), "item_id": id, "status": status,
                "completed_by": if index % 2 == 0 { first } else { second } });
            let done: SetReviewQueueItemStatus = request(done)?;
            let queue = ReviewQueueId::from(queue.queue_id());
            self.app.store.set_review_queue_item_status(queue, NewStatus::try_from(done)?).await?;
        }
        for (reviewer, traces) in REVIEWERS.into_iter().zip(self.traces.chunks(5)) {
            let own = NewReviewQueue::of_user(reviewer)?;
            let queue = self.app.store.get_or_create_user_queue(self.id.clone(), own).await?;
            let ids: Vec<String> = traces.iter().map(|trace| trace.id.clone()).collect();
            self.fill(queue.queue_id(), &ids).await?;
        }
        Ok(())
    }

    async fn fill(&self, queue: &str, ids: &[String]) -> Result<()> {
        self.app.store.add_items_to_review_queue(ReviewQueueId::from(queue), ids.to_vec()).await?;
        Ok(())
    }
}
