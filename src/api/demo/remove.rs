//! Removing the parts of the demo, also where only some of a part is there.

use serde_json::json;

use super::make::{QUEUE, REVIEWERS};
use super::{Demo, or_none, request};
use crate::domain::Result;
use crate::domain::demo::runs::{self, EVALUATIONS};
use crate::domain::demo::{Feature, content, views};
use crate::domain::ids::{EvaluationDatasetId, IssueId, LabelSchemaId, ModelName, ReviewQueueId, RunId};
use crate::domain::issue::IssueUpdate;
use crate::domain::trace::delete::Deletion;
use crate::proto::UpdateIssue;

impl Demo<'_> {
    /// Removes what is there of a feature.
    pub(super) async fn remove(&self, feature: Feature) -> Result<()> {
        match feature {
            Feature::Prompts => self.remove_prompts().await,
            Feature::Traces => self.remove_traces().await,
            Feature::CustomView => self.untag(views::CUSTOM_VIEW).await,
            Feature::SavedViews => self.untag(views::SAVED_VIEW).await,
            Feature::Evaluation => self.remove_evaluations().await,
            Feature::Judges => self.remove_judges().await,
            Feature::Issues => self.remove_issues().await,
            Feature::ReviewQueues => self.remove_review_queues().await,
        }
    }

    /// Takes a tag off the experiment, if it is there.
    pub(super) async fn untag(&self, key: &str) -> Result<()> {
        or_none(self.app.store.delete_experiment_tag(self.id.clone(), key.into()).await).map(drop)
    }

    async fn remove_prompts(&self) -> Result<()> {
        for prompt in &content().prompts {
            or_none(self.app.store.delete_registered_model(ModelName::from(prompt.full_name())).await)?;
        }
        Ok(())
    }

    async fn remove_traces(&self) -> Result<()> {
        let ids = self.traces.iter().map(|trace| trace.id.clone()).collect();
        let experiment_id = self.id.number();
        self.app.store.delete_traces(Deletion { experiment_id, ids, until_ms: None, most: None }).await?;
        Ok(())
    }

    async fn remove_runs(&self, filter: &str) -> Result<()> {
        for run in self.runs(filter).await? {
            self.app.store.delete_run(RunId::from(run)).await?;
        }
        Ok(())
    }

    async fn remove_evaluations(&self) -> Result<()> {
        self.remove_runs("params.demo = 'true'").await?;
        for evaluation in &EVALUATIONS {
            let search = json!({ "experiment_ids": [self.id], "max_results": 10,
                "filter_string": format!("name = '{}'", evaluation.dataset) });
            let found = self.app.store.search_evaluation_datasets(request(search)?).await?;
            for dataset in found.datasets {
                self.app.store.delete_dataset(EvaluationDatasetId::from(dataset.dataset_id())).await?;
            }
        }
        Ok(())
    }

    async fn remove_judges(&self) -> Result<()> {
        for judge in &content().judges {
            or_none(self.app.store.delete_scorer(self.id.clone(), runs::judge_name(judge), None).await)?;
        }
        Ok(())
    }

    /// Issues cannot be deleted: those of the demo are marked as rejected, which lists leave out.
    async fn remove_issues(&self) -> Result<()> {
        self.remove_runs("tags.`mlflow.runType` = 'issue_detection'").await?;
        for id in self.issues().await? {
            let update = UpdateIssue { status: Some("rejected".into()), ..UpdateIssue::default() };
            self.app.store.update_issue(IssueId::from(id), IssueUpdate::try_from(update)?).await?;
        }
        Ok(())
    }

    async fn remove_review_queues(&self) -> Result<()> {
        for name in [&[QUEUE], REVIEWERS.as_slice()].concat() {
            let queue = self.app.store.get_review_queue_by_name(self.id.clone(), name.into()).await;
            if let Some(queue) = or_none(queue)? {
                self.app.store.delete_review_queue(ReviewQueueId::from(queue.queue_id())).await?;
            }
        }
        for question in &content().questions {
            let name = question.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
            let schema = self.app.store.get_label_schema_by_name(self.id.clone(), name.into()).await;
            if let Some(schema) = or_none(schema)? {
                self.app.store.delete_label_schema(LabelSchemaId::from(schema.schema_id())).await?;
            }
        }
        Ok(())
    }
}
