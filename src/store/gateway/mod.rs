//! The configuration of the AI gateway. Lists have no order of stock's; here they begin with the oldest.

mod bindings;
mod budgets;
mod endpoints;
mod guardrails;
mod model_definitions;
mod secrets;
#[cfg(test)]
mod tests;

pub use secrets::{NewSecret, SecretUpdate};

use diesel::result::Error as Diesel;
use uuid::Uuid;

use super::error::{is_foreign_key_violation, is_unique_violation};
use crate::domain::{Error, ErrorCode};

/// Makes an id.
fn new_id(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4().simple())
}

/// Upstream: `SqlAlchemyStore._get_entity_or_raise`.
fn missing(what: &str, keys: &[(&str, &str)]) -> Error {
    let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    Error::not_found(format!("{what} not found ({})", keys.join(", ")))
}

/// Makes `refusal` of the violation of a unique key.
fn unless_unique(error: Diesel, refusal: impl FnOnce() -> Error) -> Error {
    if is_unique_violation(&error) { refusal().with_source(error) } else { error.into() }
}

/// Makes a bad request of the violation of any key, as stock does with the database's own words.
fn unless_bad_key(error: Diesel, message: impl FnOnce() -> String) -> Error {
    if is_unique_violation(&error) || is_foreign_key_violation(&error) {
        return Error::new(ErrorCode::BadRequest, message()).with_source(error);
    }
    error.into()
}
