//! Traces: what is known of them (`info.rs`), and what is said about them (`assessments.rs`).

mod assessments;
mod info;

use serde_json::Value;

/// Writes texts as a JSON list, which SQLite takes for a table.
fn json_list(texts: &[&str]) -> String {
    Value::from(texts.to_vec()).to_string()
}
