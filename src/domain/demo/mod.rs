//! The demo: a made-up workshop with an assistant, which fills every page about language models. Here is what it consists of, and
//! how its pieces look as requests.
//!
//! Upstream: `mlflow.demo`, whose names of the experiment, of tags and of features the pages look for.

pub mod runs;
pub mod traces;
pub mod views;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The experiment that holds the demo.
pub const EXPERIMENT: &str = "MLflow Demo";
/// What names of prompts and judges of the demo begin with.
pub const PREFIX: &str = "mlflow-demo";
/// Who made things that say who made them.
pub const MADE_BY: &str = "demo";
/// Metadata of traces: which of the two assistants answered, `v1` or `v2`.
pub const VERSION: &str = "mlflow.demo.version";
/// Metadata of traces: what the trace is an example of.
pub const KIND: &str = "mlflow.demo.trace_type";
/// Metadata of traces: the number of the question in its session, from 1.
pub const TURN: &str = "mlflow.demo.session.turn";
/// Tags of the experiment: when the first trace begins and when the last one ends, in milliseconds.
pub const TIMES: [&str; 2] = ["mlflow.demo.start_time_ms", "mlflow.demo.end_time_ms"];

/// A part of the demo, made and removed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Prompts with versions and aliases.
    Prompts,
    /// Traces and sessions, which link to the prompts.
    Traces,
    /// How one trace is shown.
    CustomView,
    /// How traces are listed.
    SavedViews,
    /// Expectations, datasets and runs that judge the traces.
    Evaluation,
    /// Judges that are kept.
    Judges,
    /// What is wrong with the first assistant.
    Issues,
    /// Traces that wait for people.
    ReviewQueues,
}

impl Feature {
    /// In the order in which they need each other.
    pub const ALL: [Self; 8] = [
        Self::Prompts,
        Self::Traces,
        Self::CustomView,
        Self::SavedViews,
        Self::Evaluation,
        Self::Judges,
        Self::Issues,
        Self::ReviewQueues,
    ];

    /// Its name in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Traces => "traces",
            Self::CustomView => "custom_view",
            Self::SavedViews => "saved_views",
            Self::Evaluation => "evaluation",
            Self::Judges => "judges",
            Self::Issues => "issues",
            Self::ReviewQueues => "review_queues",
        }
    }

    /// Whether it says something about the traces.
    pub const fn needs_traces(self) -> bool {
        matches!(self, Self::Evaluation | Self::Issues | Self::ReviewQueues)
    }

    /// The tag of the experiment that says which edition is there, and that edition. Stock's are lower, so each server
    /// makes the demo anew over that of the other.
    pub fn edition(self) -> (String, &'static str) {
        (format!("mlflow.demo.version.DemoFeature.{}", self.name().to_uppercase()), "1001")
    }
}

/// All that is written in the demo.
#[derive(Debug, Deserialize)]
pub struct Content {
    /// Prompts.
    pub prompts: Vec<Prompt>,
    /// Questions and what the two assistants made of them; turns of one session stand together.
    pub traces: Vec<Question>,
    /// Judges.
    pub judges: Vec<Judge>,
    /// What a failed judgement means, by judge.
    pub issues: Vec<Issue>,
    /// What people are asked about a trace.
    pub questions: Vec<Value>,
}

/// A prompt.
#[derive(Debug, Deserialize)]
pub struct Prompt {
    name: String,
    /// Its versions, the oldest first.
    pub versions: Vec<PromptVersion>,
}

impl Prompt {
    /// Its name in the registry.
    pub fn full_name(&self) -> String {
        prompt_name(&self.name)
    }
}

/// The name of a prompt of the demo in the registry.
pub fn prompt_name(name: &str) -> String {
    format!("{PREFIX}.prompts.{name}")
}

/// A version of a prompt.
#[derive(Debug, Deserialize)]
pub struct PromptVersion {
    /// Its alias.
    pub alias: String,
    /// What changed.
    pub note: String,
    template: Option<String>,
    chat: Option<Value>,
}

impl PromptVersion {
    /// Its kind and its text, as tags hold them.
    pub fn text(&self) -> (&'static str, String) {
        match (&self.template, &self.chat) {
            (None, Some(chat)) => ("chat", chat.to_string()),
            (template, _) => ("text", template.clone().unwrap_or_default()),
        }
    }
}

/// A question with the answers of both assistants.
#[derive(Debug, Deserialize)]
pub struct Question {
    /// `rag`, `agent`, `prompt` or `session`.
    pub kind: String,
    /// The function that is asked.
    pub name: String,
    /// What is asked.
    pub question: String,
    #[serde(default)]
    documents: Vec<Value>,
    #[serde(default)]
    tools: Vec<Tool>,
    /// The prompt that is filled in.
    pub prompt: Option<UsedPrompt>,
    /// The session this is a turn of.
    pub session: Option<String>,
    user: Option<String>,
    answers: [String; 2],
    /// What a person would have answered.
    pub expected: Option<String>,
    fails: [Vec<String>; 2],
}

impl Question {
    /// Whether the judge of this name is content with the answer of this assistant.
    pub fn passes(&self, assistant: Assistant, judge: &str) -> bool {
        let [first, second] = &self.fails;
        let fails = if assistant.is_first() { first } else { second };
        !fails.iter().any(|name| name == judge)
    }

    fn answer(&self, assistant: Assistant) -> &str {
        let [first, second] = &self.answers;
        if assistant.is_first() { first } else { second }
    }
}

/// A call of a tool.
#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    input: Value,
    output: Value,
}

/// A prompt that a question fills in.
#[derive(Debug, Deserialize)]
pub struct UsedPrompt {
    /// Its short name.
    pub name: String,
    versions: [usize; 2],
    variables: Map<String, Value>,
}

impl UsedPrompt {
    /// The number of the version that this assistant uses, from 1.
    pub const fn version(&self, assistant: Assistant) -> usize {
        let [first, second] = self.versions;
        if assistant.is_first() { first } else { second }
    }
}

/// A judge.
#[derive(Debug, Deserialize)]
pub struct Judge {
    /// Its short name.
    pub name: String,
    /// What it looks at.
    pub description: String,
    /// What a model is told.
    pub instructions: String,
    passes: String,
    fails: String,
}

/// An issue.
#[derive(Debug, Deserialize)]
pub struct Issue {
    /// The judge that finds it.
    pub judge: String,
    /// In few words.
    pub name: String,
    /// In more words.
    pub description: String,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// Why it happens.
    pub root_causes: Vec<String>,
    /// What kind of issue it is.
    pub categories: Vec<String>,
}

/// Which of the two assistants answers: the one before or after its repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assistant {
    /// Before.
    First,
    /// After.
    Second,
}

impl Assistant {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    const fn is_first(self) -> bool {
        matches!(self, Self::First)
    }

    /// Its name in metadata.
    pub const fn name(self) -> &'static str {
        if self.is_first() { "v1" } else { "v2" }
    }
}

/// Returns what is written in the demo.
#[expect(clippy::panic, reason = "a file of the program itself, which the tests read")]
pub fn content() -> &'static Content {
    static CONTENT: LazyLock<Content> = LazyLock::new(|| {
        serde_json::from_str(include_str!("content.json")).unwrap_or_else(|e| panic!("content.json: {e}"))
    });
    &CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_whole() {
        let content = content();
        let judges: Vec<&str> = content.judges.iter().map(|judge| judge.name.as_str()).collect();
        assert!(content.issues.iter().all(|issue| judges.contains(&issue.judge.as_str())));
        for question in &content.traces {
            assert!(question.fails.iter().flatten().all(|name| judges.contains(&name.as_str())));
            if let Some(used) = &question.prompt {
                let prompt = content.prompts.iter().find(|prompt| prompt.name == used.name).unwrap();
                assert!(used.versions.iter().all(|number| (1..=prompt.versions.len()).contains(number)));
            }
        }
        for issue in &content.issues {
            let fails = |question: &Question| !question.passes(Assistant::First, &issue.judge);
            assert!(content.traces.iter().any(fails), "{} finds nothing", issue.judge);
        }
    }
}
