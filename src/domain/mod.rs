//! What MLflow means: rules, limits and errors. No SQL and no HTTP.

pub mod artifact_uri;
pub mod error;

pub use error::{Error, ErrorCode, Result};
