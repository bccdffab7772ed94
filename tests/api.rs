//! The real application in process, with its layers, over HTTP requests: on SQLite, and on the PostgreSQL that
//! `TEST_DATABASE_URL` names.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by a panic")]

#[path = "api/harness.rs"]
mod harness;

#[path = "api/experiments.rs"]
mod experiments;
#[path = "api/layers.rs"]
mod layers;
#[path = "api/models.rs"]
mod models;
#[path = "api/registry.rs"]
mod registry;
#[path = "api/runs.rs"]
mod runs;
#[path = "api/search.rs"]
mod search;
