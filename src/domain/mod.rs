//! What MLflow means: rules, limits and errors. No SQL and no HTTP.

pub mod error;

pub use error::{Error, ErrorCode, Result};
