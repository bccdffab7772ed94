//! Metadata stored as numbers: a trace's token usage and cost. It can be compared only with the JSON that is
//! made of those numbers.

use serde_json::{Map, Value};

use crate::domain::python::json_dumps;
use crate::domain::trace::{COST, COST_KEYS, TOKEN_KEYS, TOKEN_USAGE};
use crate::domain::{Error, Result};
use crate::search::Number;

/// The metadata stored as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// `mlflow.trace.tokenUsage`: whole numbers.
    Tokens,
    /// `mlflow.trace.cost`: floats.
    Cost,
}

/// A test of such metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum UsageTest {
    /// At least one of its numbers exists.
    Present,
    /// None.
    Absent,
    /// They are these, in the order of [`Usage::columns`]; `None` where no trace can have such metadata.
    Is(Option<Vec<Option<Number>>>),
    /// They exist, and are not these.
    IsNot(Option<Vec<Option<Number>>>),
}

impl Usage {
    /// Returns what is kept of the metadata `key`.
    pub fn of_metadata(key: &str) -> Option<Self> {
        match key {
            TOKEN_USAGE => Some(Self::Tokens),
            COST => Some(Self::Cost),
            _ => None,
        }
    }

    /// Returns the keys in its JSON, which are also the column names.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tokens => &TOKEN_KEYS,
            Self::Cost => &COST_KEYS,
        }
    }

    /// Parses a test of the metadata `key`.
    ///
    /// Upstream: `get_trace_analytics_metadata_filter`.
    pub(super) fn test(
        self,
        key: &str,
        operator: &str,
        value: impl FnOnce() -> Result<String>,
    ) -> Result<UsageTest> {
        match operator {
            "IS NULL" => Ok(UsageTest::Absent),
            "IS NOT NULL" => Ok(UsageTest::Present),
            "=" => value().map(|json| self.is(&json)),
            "!=" => value().map(|json| UsageTest::IsNot(self.numbers(&json))),
            _ => Err(Error::invalid(format!(
                "Comparator '{operator}' is not supported for reserved metadata '{key}'. Only '=', '!=', 'IS NULL', \
                 and 'IS NOT NULL' are supported."
            ))),
        }
    }

    /// Returns the test that the metadata is this JSON.
    pub(in crate::search) fn is(self, json: &str) -> UsageTest {
        UsageTest::Is(self.numbers(json))
    }

    /// Parses the numbers of the JSON, if it is exactly as it would be written.
    fn numbers(self, json: &str) -> Option<Vec<Option<Number>>> {
        let Ok(Value::Object(fields)) = serde_json::from_str(json) else { return None };
        let mut written = Map::new();
        let mut numbers = Vec::new();
        for column in self.columns() {
            let field = fields.get(*column);
            let number = field.and_then(|value| match self {
                Self::Tokens => value.as_i64().map(Number::Int),
                Self::Cost => value.as_f64().filter(|_| value.is_f64()).map(Number::Float),
            });
            if let (Some(value), true) = (field, number.is_some()) {
                written.insert((*column).to_owned(), value.clone());
            }
            numbers.push(number);
        }
        (!written.is_empty() && json_dumps(&Value::Object(written)) == json).then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_json_of_the_numbers_is_read() {
        for (usage, json, is_read) in [
            (Usage::Tokens, r#"{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}"#, true),
            (Usage::Tokens, r#"{"total_tokens": 3}"#, true),
            (Usage::Tokens, r#"{"total_tokens":3}"#, false),
            (Usage::Tokens, r#"{"output_tokens": 2, "input_tokens": 1}"#, false),
            (Usage::Tokens, r#"{"input_tokens": 1.0}"#, false),
            (Usage::Tokens, r#"{"input_tokens": 1, "more": 2}"#, false),
            (Usage::Tokens, r#"{"input_tokens": null}"#, false),
            (Usage::Tokens, "{}", false),
            (Usage::Tokens, "x", false),
            (Usage::Cost, r#"{"input_cost": 1e-06, "total_cost": 2.5}"#, true),
            (Usage::Cost, r#"{"total_cost": 2}"#, false),
        ] {
            assert_eq!(usage.numbers(json).is_some(), is_read, "{json}");
        }
        let read = Usage::Tokens.numbers(r#"{"output_tokens": 2}"#).unwrap();
        assert_eq!(read[..2], [None, Some(Number::Int(2))]);
    }
}
