//! Search of issues: its attributes and operators.

use super::field;
use super::parser::{Comparison, Shape};
use super::{MAX_CLAUSES, TextOp, TextTest};
use crate::domain::{Error, Result};

/// One condition on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuePredicate {
    /// The column.
    pub column: IssueColumn,
    /// The test: equal or not.
    pub test: TextTest,
}

/// Columns to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueColumn {
    /// `status`
    Status,
    /// `source_run_id`
    SourceRun,
}

/// Parses a filter (empty: none).
///
/// Upstream: `SearchIssuesUtils`.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for anything the language does not have.
pub fn parse(filter: &str) -> Result<Vec<IssuePredicate>> {
    let comparisons = field::comparisons(filter, "")?;
    if comparisons.len() > MAX_CLAUSES {
        return Err(Error::invalid(format!("A filter has at most {MAX_CLAUSES} conditions.")));
    }
    comparisons.iter().map(predicate).collect()
}

fn predicate(comparison: &Comparison<'_>) -> Result<IssuePredicate> {
    let parts = 2 + comparison.comments + usize::from(comparison.right.is_some());
    let Some(right) = comparison.right.filter(|_| parts == 3) else {
        return Err(Error::invalid(format!("Invalid comparison: expected 3 tokens, got {parts}")));
    };
    if comparison.left.shape != Shape::Identifier {
        return Err(Error::invalid(format!(
            "Invalid comparison: left side must be an identifier, got {}",
            comparison.left.text
        )));
    }
    let key = field::strip_quotes(comparison.left.text).trim();
    let column = match key {
        "status" => IssueColumn::Status,
        "source_run_id" => IssueColumn::SourceRun,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid filter field '{key}'. Supported fields: {}",
                field::set(&["status", "source_run_id"])
            )));
        }
    };
    let operator = comparison.operator.to_uppercase();
    let op = match operator.as_str() {
        "=" => TextOp::Eq,
        "!=" => TextOp::Ne,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid comparator '{operator}'. Supported comparators: {}",
                field::set(&["=", "!="])
            )));
        }
    };
    let value = field::strip_quotes(right.text).trim().to_owned();
    Ok(IssuePredicate { column, test: TextTest { op, value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read() {
        let read = parse("status = 'pending' AND source_run_id != \"r\" AND \"status\" = pending").unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read[1].test, TextTest { op: TextOp::Ne, value: "r".into() });
        assert_eq!(read[2].test.value, "pending");
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn bad_filters_are_refused_in_the_words_of_stock() {
        for (filter, want) in [
            ("name = 'a'", "Invalid filter field 'name'. Supported fields: {'status', 'source_run_id'}"),
            ("status LIKE 'a'", "Invalid comparator 'LIKE'. Supported comparators: {'=', '!='}"),
            ("status IN ('a')", "Invalid comparator 'IN'. Supported comparators: {'=', '!='}"),
            ("status IS NULL", "Invalid comparison: expected 3 tokens, got 2"),
            ("status", "Invalid clause(s) in filter string: status"),
            ("status = 'a' OR status = 'b'", "Invalid clause(s) in filter string: OR"),
        ] {
            assert_eq!(parse(filter).unwrap_err().message, want, "{filter}");
        }
    }
}
