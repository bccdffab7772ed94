//! The filter language: text → tokens → comparisons → predicates of one kind of entity. Pure; `store` turns the
//! predicates into SQL. What each entity allows is in its own file, what they share in `field.rs`.
//!
//! ```text
//! filter      = [ clause { [ "AND" ] clause } ]            (AND may also stand alone, in front and behind)
//! clause      = identifier operator value
//!             | identifier [ "NOT" ] "IN" list
//!             | identifier "IS" [ "NOT" ] "NULL"
//! identifier  = [ entity "." ] key                         (no entity: an attribute)
//! entity      = "metrics" | "params" | "tags" | "attributes" | "datasets" | … (each entity's file has its aliases)
//! key         = word { "." word } | "`" { any } "`" | '"' { any } '"' | "'" { any } "'"
//! operator    = "=" | "!=" | "<" | "<=" | ">" | ">=" | "LIKE" | "ILIKE"
//! value       = number | "'" { any } "'" | '"' { any } '"'
//! number      = [ "-" ] ( digits [ "." [ digits ] ] | "." digits ) [ ( "e" | "E" ) [ "-" ] digits ]
//! list        = "(" string { "," string } [ "," ] ")"      (strings with Python's escapes)
//!
//! order_by    = identifier [ "ASC" | "DESC" ]
//! ```
//!
//! Keywords are case-insensitive. There is no OR and no grouping. Quoted text is taken verbatim: a doubled
//! quote stays doubled.
//!
//! Differs from stock where stock answers 500 with an internal error: a list with non-literals, a list after
//! another operator than `IN`, an `order_by` with an unclosed quote, and more than [`MAX_CLAUSES`] clauses
//! are refused with `INVALID_PARAMETER_VALUE` here.

mod field;
mod keywords;
mod lexer;
mod literal;
mod parser;
mod registry;

pub mod evaluation_datasets;
pub mod experiments;
pub mod issues;
pub mod logged_models;
pub mod mcp;
pub mod model_versions;
pub mod registered_models;
pub mod runs;
pub mod trace_metrics;
pub mod traces;

#[cfg(test)]
mod tests;

/// Clause limit of a filter and its order together: each is a join, and SQLite joins at most 64 tables.
pub const MAX_CLAUSES: usize = 60;

/// A numeric comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

/// A number as written: integers keep their precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// A float, or an integer beyond 64 bits.
    Float(f64),
}

/// A text operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `LIKE`, which is case-sensitive.
    Like,
    /// `ILIKE`, which is not.
    ILike,
}

/// A text comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTest {
    /// How.
    pub op: TextOp,
    /// With what; for the two LIKEs a pattern with `%` and `_`.
    pub value: String,
}

/// A list operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
}

/// A comparison with one text or with a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListTest {
    /// With one text.
    Text(TextTest),
    /// With a list, which is never empty.
    List(Membership, Vec<String>),
}

/// A test of a tag or a param.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyTest {
    /// It exists and its value passes.
    Value(TextTest),
    /// `IS NOT NULL`
    Present,
    /// `IS NULL`
    Absent,
}

/// A sort direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}
