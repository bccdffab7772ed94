//! Traces: what is known of them (`info.rs`), and what is said about them (`assessments.rs`); the searches of them
//! (`search.rs`, `correlation.rs`, both by `filter.rs`) and what is measured of them (`metrics.rs`).

mod assessments;
pub mod correlation;
mod filter;
mod info;
mod metrics;
pub mod search;

use serde_json::Value;

/// Writes texts as a JSON list, which SQLite takes for a table.
fn json_list(texts: &[&str]) -> String {
    Value::from(texts.to_vec()).to_string()
}
