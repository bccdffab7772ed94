//! What MLflow means: rules, limits and errors. No SQL and no HTTP.

pub mod artifact_uri;
pub mod correlation;
pub mod dataset;
pub mod demo;
pub mod distinct;
pub mod error;
pub mod evaluation_dataset;
pub mod experiment;
pub mod gateway;
pub mod ids;
pub mod issue;
pub mod job;
pub mod label_schema;
pub mod logged_model;
pub mod mcp;
pub mod model_history;
pub mod model_source;
pub mod page;
pub mod python;
pub mod registry;
pub mod review_queue;
pub mod run;
pub mod sampling;
pub mod scorer;
pub mod time;
pub mod trace;
pub mod validate;
pub mod webhook;

pub use error::{Error, ErrorCode, Result};
