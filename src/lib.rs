//! Ferroflow, a drop-in MLflow tracking server. The map of its rooms, in the order in which they may
//! import one another:
//!
//! - [`proto`] — the messages of the protocol and their JSON form.
//! - [`domain`] — what MLflow means: rules, limits, errors.
//! - [`artifacts`] — the bytes behind artifact URIs.
//! - [`search`] — the filter language: text to typed predicates.
//! - [`store`] — the database.
//! - [`api`] — HTTP.

pub mod api;
pub mod artifacts;
pub mod domain;
pub mod proto;
pub mod search;
pub mod store;
