//! Traces: what is known of them (`info.rs`, `start.rs`), their spans (`spans.rs`, `get.rs`), what is said about them
//! (`assessments.rs`), and their life (`change.rs`); the searches of them (`search.rs`, `correlation.rs`, both by
//! `filter.rs`) and what is measured of them (`metrics.rs`).

mod assessments;
mod change;
mod columns;
pub mod correlation;
mod filter;
mod get;
mod info;
mod metrics;
mod narrow;
pub mod search;
pub(super) mod spans;
mod start;
#[cfg(test)]
mod tests;

pub use get::StoredTrace;
