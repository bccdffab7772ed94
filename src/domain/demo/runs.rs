//! What is said about the traces of the demo: verdicts of judges, evaluation runs, datasets, issues.

use serde_json::{Value, json};

use super::traces::DemoTrace;
use super::{Assistant, Issue, Judge, MADE_BY, PREFIX, content};
use crate::domain::time::iso_ms;

/// Which traces are evaluated together.
#[derive(Debug)]
pub struct Evaluation {
    /// The name of the run.
    pub run: &'static str,
    /// The name of the dataset of its inputs.
    pub dataset: &'static str,
    sessions_of: Option<Assistant>,
}

/// All of them: single questions of both assistants, and the sessions of each.
pub const EVALUATIONS: [Evaluation; 3] = [
    Evaluation { run: "trace-level-evaluation", dataset: "demo-trace-level-dataset", sessions_of: None },
    Evaluation {
        run: "baseline-session-evaluation",
        dataset: "demo-baseline-session-dataset",
        sessions_of: Some(Assistant::First),
    },
    Evaluation {
        run: "improved-session-evaluation",
        dataset: "demo-improved-session-dataset",
        sessions_of: Some(Assistant::Second),
    },
];

impl Evaluation {
    /// Whether a trace belongs here.
    pub fn takes(&self, trace: &DemoTrace) -> bool {
        match self.sessions_of {
            None => trace.question.session.is_none(),
            Some(assistant) => trace.question.session.is_some() && trace.assistant == assistant,
        }
    }

    /// The share of traces that pass each judge, as metrics.
    pub fn metrics(traces: &[&DemoTrace], now_ms: i64) -> Vec<Value> {
        let share = |judge: &Judge| {
            let passed = traces.iter().filter(|trace| trace.passes(&judge.name)).count();
            #[expect(clippy::cast_precision_loss, reason = "counts of a few traces")]
            let share = passed as f64 / traces.len().max(1) as f64;
            json!({ "key": format!("{}/mean", judge.name), "value": share, "timestamp": now_ms, "step": 0 })
        };
        content().judges.iter().map(share).collect()
    }
}

impl DemoTrace {
    /// Whether the judge of this name is content.
    pub fn passes(&self, judge: &str) -> bool {
        self.question.passes(self.assistant, judge)
    }

    /// What a judge says, as an assessment that a run made.
    pub fn verdict(&self, judge: &Judge, run_id: &str) -> Value {
        let passes = self.passes(&judge.name);
        json!({
            "assessment_name": judge.name, "trace_id": self.id, "span_id": self.root,
            "source": { "source_type": "LLM_JUDGE", "source_id": format!("judges/{}", judge.name) },
            "create_time": iso_ms(self.start_ms), "last_update_time": iso_ms(self.start_ms),
            "feedback": { "value": if passes { "yes" } else { "no" } },
            "rationale": if passes { &judge.passes } else { &judge.fails },
            "metadata": { "mlflow.assessment.sourceRunId": run_id },
        })
    }

    /// What a person would have answered, as an assessment.
    pub fn expectation(&self) -> Option<Value> {
        let expected = self.question.expected.as_ref()?;
        Some(json!({
            "assessment_name": "expected_response", "trace_id": self.id,
            "source": { "source_type": "HUMAN", "source_id": "demo_annotator" },
            "create_time": iso_ms(self.start_ms), "last_update_time": iso_ms(self.start_ms),
            "expectation": { "value": expected }, "metadata": { "demo": "true" },
        }))
    }

    /// The trace as a record of a dataset.
    pub fn record(&self) -> Value {
        let [inputs, outputs] = &self.data;
        let expectations = match &self.question.expected {
            Some(expected) => json!({ "expected_response": expected }),
            None => json!({}),
        };
        json!({
            "inputs": inputs, "outputs": outputs, "expectations": expectations,
            "source": { "source_type": "TRACE", "source_data": { "trace_id": self.id } },
        })
    }
}

/// The name of a judge that is kept.
pub fn judge_name(judge: &Judge) -> String {
    format!("{PREFIX}.judges.{}", judge.name)
}

/// A judge as the client of this release reads it.
pub fn serialized_judge(judge: &Judge) -> String {
    json!({
        "name": judge_name(judge), "aggregations": [], "description": judge.description,
        "is_session_level_scorer": false, "timeout": 0, "mlflow_version": "3.17.2", "serialization_version": 1,
        "builtin_scorer_class": null, "builtin_scorer_pydantic_data": null, "call_source": null,
        "call_signature": null, "original_func_name": null,
        "instructions_judge_pydantic_data": {
            "instructions": judge.instructions, "model": "openai:/gpt-4.1-mini",
            "feedback_value_type": { "title": "Result", "type": "string" },
        },
        "memory_augmented_judge_data": null, "third_party_scorer_data": null, "ensemble_scorer_data": null,
    })
    .to_string()
}

impl Issue {
    /// Returns a few traces of the first assistant that show the issue.
    pub fn examples<'a>(&self, traces: &'a [DemoTrace]) -> Vec<&'a DemoTrace> {
        let shows = |trace: &&DemoTrace| trace.assistant == Assistant::First && !trace.passes(&self.judge);
        traces.iter().filter(shows).take(5).collect()
    }

    /// The issue as a request that makes it.
    pub fn request(&self, experiment_id: &str, run_id: &str) -> Value {
        json!({
            "experiment_id": experiment_id, "name": self.name, "description": self.description,
            "status": "pending", "severity": self.severity, "root_causes": self.root_causes,
            "categories": self.categories, "source_run_id": run_id, "created_by": MADE_BY,
        })
    }

    /// A trace that shows the issue, as an assessment that a run made.
    pub fn reference(&self, issue_id: &str, trace: &DemoTrace, run_id: &str) -> Value {
        json!({
            "assessment_name": issue_id, "trace_id": trace.id,
            "source": { "source_type": "LLM_JUDGE", "source_id": run_id },
            "issue": { "issue_name": self.name }, "rationale": self.description,
            "metadata": { "mlflow.assessment.sourceRunId": run_id },
        })
    }
}

/// What a run that looked for issues tells in a tag, as Markdown.
pub fn summary(traces: usize) -> String {
    let issues = &content().issues;
    let about = |(number, issue): (usize, &Issue)| {
        let (name, severity, description) = (&issue.name, &issue.severity, &issue.description);
        let (causes, categories) = (issue.root_causes.join("\n- "), issue.categories.join(", "));
        format!(
            "\n## {number}. {name} (severity: {severity})\n\n{description}\n\n**Root causes:**\n- {causes}\n\n\
             **Categories:** {categories}\n"
        )
    };
    let found: String = (1..).zip(issues).map(about).collect();
    format!("{traces} traces were looked at; {} issues were found:\n{found}", issues.len())
}
