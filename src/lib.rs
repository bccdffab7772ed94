//! Ferroflow, a drop-in MLflow tracking server. The modules, in the order in which they may import one
//! another:
//!
//! - [`proto`] — the messages of the protocol and their JSON form.
//! - [`domain`] — what MLflow means: rules, limits, errors.
//! - [`artifacts`] — the bytes behind artifact URIs.
//! - [`search`] — the filter language: text to typed predicates.
//! - [`store`] — the database.
//! - [`webhooks`] — delivery of change events.
//! - [`api`] — HTTP.
//! - [`server`] — settings to a running server.
//! - [`cli`] — flags and environment to settings; [`logging`], [`config`] beside it.

pub mod api;
pub mod artifacts;
pub mod cli;
pub mod config;
pub mod domain;
pub mod logging;
pub mod proto;
pub mod search;
pub mod server;
pub mod store;
pub mod webhooks;
