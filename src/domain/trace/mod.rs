//! Traces: names of tags and metadata, and what is derived from usage and cost.
//!
//! Upstream: `mlflow.tracing.constant`, `mlflow.store.tracking.utils.trace_analytics`.

pub mod assessment;
pub mod attributes;
pub mod delete;
pub mod dialects;
pub mod info;
pub mod preview;
pub mod prices;
pub mod size;
pub mod span;
pub mod stored;
pub mod usage;
mod v2;

use super::validate::{self, LongValues};
use super::{Result, python};

/// The tag with a trace's name, which a column holds.
pub const TRACE_NAME: &str = "mlflow.traceName";
/// The metadata with a trace's session, which a column holds.
pub const SESSION: &str = "mlflow.trace.session";
/// The metadata with what a trace's models read and wrote, which columns hold.
pub const TOKEN_USAGE: &str = "mlflow.trace.tokenUsage";
/// The metadata with what that cost, which columns hold.
pub const COST: &str = "mlflow.trace.cost";

/// The tag that says where the spans of a trace are kept.
pub const SPANS_LOCATION: &str = "mlflow.trace.spansLocation";
/// What that tag says of a trace whose spans are in the database.
pub const TRACKING_STORE: &str = "TRACKING_STORE";
/// Tags that clients cannot change.
pub const PROTECTED_TAGS: [&str; 3] =
    [SPANS_LOCATION, "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"];
/// The tag with the folder of a trace's files.
pub const ARTIFACT_LOCATION: &str = "mlflow.artifactLocation";
/// The metadata that says that the client has told all it knows of a trace.
pub const INFO_FINALIZED: &str = "mlflow.trace.infoFinalized";
/// The metadata with who asked.
pub const USER: &str = "mlflow.trace.user";

/// The attribute of a span with the tokens that its model read and wrote.
pub const CHAT_USAGE: &str = "mlflow.chat.tokenUsage";
/// The attribute of a span with what that cost.
pub const LLM_COST: &str = "mlflow.llm.cost";

/// The most characters of a session's id.
pub const SESSION_LENGTH: usize = 250;
/// The most characters of a trace's name.
pub const TRACE_NAME_LENGTH: usize = 4096;

/// Checks a tag of a trace; a value that is too long is cut.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_trace_tag`.
pub fn tag(key: &str, value: String) -> Result<(String, String)> {
    validate::key(key, "key")?;
    validate::length("key", validate::MAX_KEY_LENGTH, key)?;
    let value = validate::cut("value", validate::MAX_TAG_VALUE_LENGTH, value, LongValues::default())?;
    Ok((key.to_owned(), value))
}

/// What is counted of tokens, in the order of the columns.
pub const TOKEN_KEYS: [&str; 6] = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];
/// What is counted of cost, in the order of the columns.
pub const COST_KEYS: [&str; 3] = ["input_cost", "output_cost", "total_cost"];

/// Says whether metadata of that name is kept in columns of the trace.
pub fn is_column_metadata(key: &str) -> bool {
    matches!(key, SESSION | TOKEN_USAGE | COST)
}

/// Writes counts of tokens as the metadata of a trace shows them; `None` where nothing was counted.
pub fn token_usage_json(counts: &[Option<i64>; 6]) -> Option<String> {
    object(&TOKEN_KEYS, counts, |count| count.to_string())
}

/// Writes cost as the metadata of a trace shows it; `None` where nothing was counted.
pub fn cost_json(cost: &[Option<f64>; 3]) -> Option<String> {
    object(&COST_KEYS, cost, python::float)
}

fn object<T: Copy>(keys: &[&str], values: &[Option<T>], text: impl Fn(T) -> String) -> Option<String> {
    let mut out = String::new();
    for (key, value) in keys.iter().zip(values) {
        let Some(value) = *value else { continue };
        for part in [if out.is_empty() { "{\"" } else { ", \"" }, key, "\": ", &text(value)] {
            out.push_str(part);
        }
    }
    (!out.is_empty()).then(|| out + "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_cost_are_written_as_python_writes_them() {
        assert_eq!(
            token_usage_json(&[Some(12), Some(8), Some(20), None, None, None]).unwrap(),
            r#"{"input_tokens": 12, "output_tokens": 8, "total_tokens": 20}"#
        );
        assert_eq!(token_usage_json(&[None; 6]), None);
        assert_eq!(
            cost_json(&[Some(1.8e-6), Some(4.8e-6), Some(0.5)]).unwrap(),
            r#"{"input_cost": 1.8e-06, "output_cost": 4.8e-06, "total_cost": 0.5}"#
        );
    }
}
