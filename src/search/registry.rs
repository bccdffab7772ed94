//! Shared by the searches of registered models and of model versions: identifiers, values, tags, and whether
//! prompts are wanted.

use super::lexer::Kind;
use super::parser::{Comparison, Shape};
use super::{Direction, MAX_CLAUSES, Number, TextTest, field, literal};
use crate::domain::registry::PROMPT_TAG;
use crate::domain::{Error, ErrorCode, Result, python};

/// Whether a search shows prompts or models: never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompts {
    /// Prompts are left out.
    Hidden,
    /// The conditions ask for prompts.
    Wanted,
}

/// What an identifier names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Attribute(&'a str),
    Tag(&'a str),
}

/// The right side of a comparison.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Number(Number),
    Text(&'a str),
    List(Vec<String>),
}

/// A parsed comparison whose operator is not validated yet.
pub(super) struct Condition<'a> {
    pub(super) field: Field<'a>,
    /// Uppercase.
    pub(super) operator: String,
    pub(super) value: Value<'a>,
}

/// The attributes that a search has.
pub(super) struct Attributes {
    pub(super) all: &'static [&'static str],
    pub(super) numeric: &'static [&'static str],
    /// Those that can be compared with a list.
    pub(super) listed: &'static [&'static str],
}

/// Parses a filter up to its operators.
///
/// Upstream: `SearchModelUtils.parse_search_filter`, `SearchModelVersionUtils.parse_search_filter`. Differs: `IS NULL`
/// is refused with `INVALID_PARAMETER_VALUE`, not with a 500.
pub(super) fn conditions<'a>(filter: &'a str, attributes: &Attributes) -> Result<Vec<Condition<'a>>> {
    let comparisons = field::comparisons(filter, "")?;
    comparisons.iter().map(|comparison| condition(comparison, attributes)).collect()
}

fn condition<'a>(comparison: &Comparison<'a>, attributes: &Attributes) -> Result<Condition<'a>> {
    field::check_shape(comparison)?;
    let operator = comparison.operator.to_uppercase();
    let field = identifier(comparison.left.text, attributes)?;
    let Some(right) = comparison.right else {
        return Err(Error::invalid(format!("{operator} is not supported here")));
    };
    let is_text = matches!(right.shape, Shape::Identifier | Shape::Token(Kind::Text));
    let value = match (field, right.shape) {
        _ if is_text => Value::Text(field::quoted(right.text)?),
        (Field::Tag(_), _) => {
            return Err(Error::invalid(format!(
                "Expected a quoted string value for tag (e.g. 'my-value'). Got value {}",
                right.text
            )));
        }
        (Field::Attribute(key), Shape::Parenthesis) if attributes.listed.contains(&key) => {
            Value::List(literal::strings(right.text)?)
        }
        (Field::Attribute(_), Shape::Parenthesis) => {
            return Err(Error::invalid(format!(
                "Only {} attributes support comparison with a list of quoted string values.",
                python::list(attributes.listed)
            )));
        }
        (Field::Attribute(key), Shape::Token(Kind::Integer | Kind::Float))
            if !attributes.numeric.is_empty() =>
        {
            if !attributes.numeric.contains(&key) {
                return Err(Error::invalid(format!(
                    "Only the '{}' attributes support comparison with numeric values.",
                    field::set(attributes.numeric)
                )));
            }
            Value::Number(field::number(right.text))
        }
        (Field::Attribute(_), _) => {
            return Err(Error::invalid(format!(
                "Expected a quoted string value or a list of quoted string values for attributes. Got value {}",
                right.text
            )));
        }
    };
    Ok(Condition { field, operator, value })
}

/// Upstream: `_get_model_search_identifier`: attributes are verbatim, tags unquoted.
fn identifier<'a>(text: &'a str, attributes: &Attributes) -> Result<Field<'a>> {
    let (prefix, key) = text.split_once('.').map_or((None, text), |(prefix, key)| (Some(prefix), key));
    match prefix {
        Some("tag" | "tags") => Ok(Field::Tag(field::unquote(key))),
        None | Some("attribute") if attributes.all.contains(&key) => Ok(Field::Attribute(key)),
        None | Some("attribute") => Err(field::no_attribute(key, attributes.all)),
        Some(other) => Err(no_entity(other)),
    }
}

/// `INVALID_PARAMETER_VALUE` for an entity that does not exist.
pub(super) fn no_entity(prefix: &str) -> Error {
    Error::invalid(format!(
        "Invalid entity type '{prefix}'. Valid entity types are ('attribute', 'tag', 'tags')"
    ))
}

/// Parses a test of a tag.
pub(super) fn tag_test(operator: &str, value: &Value<'_>) -> Result<TextTest> {
    let test = if let Value::Text(text) = value { field::text_test(operator, text) } else { None };
    test.ok_or_else(|| Error::invalid(format!("Invalid comparator for tag: {operator}")))
}

/// Returns what the first condition on the prompt tag asks for. Without one, or if it asks for models,
/// prompts are hidden and conditions on that tag are ignored.
///
/// Upstream: `_is_querying_prompt`.
pub(super) fn prompts(conditions: &[Condition<'_>]) -> Prompts {
    let first = conditions.iter().find(|c| c.field == Field::Tag(PROMPT_TAG));
    let is_wanted = first.is_some_and(|condition| {
        let Value::Text(value) = condition.value else { return false };
        match condition.operator.as_str() {
            "=" => value.eq_ignore_ascii_case("true"),
            "!=" => value.eq_ignore_ascii_case("false"),
            _ => false,
        }
    });
    if is_wanted { Prompts::Wanted } else { Prompts::Hidden }
}

/// Adds `column` to an order.
///
/// # Errors
/// `INTERNAL_ERROR`, as in stock, for a duplicate column.
pub(super) fn add_order<C: PartialEq>(
    order: &mut Vec<(C, Direction)>,
    column: C,
    direction: Direction,
    order_by: &[String],
) -> Result<()> {
    if order.iter().any(|(before, _)| *before == column) {
        let message = format!("`order_by` contains duplicate fields: {}", python::list(order_by));
        return Err(Error::new(ErrorCode::InternalError, message));
    }
    order.push((column, direction));
    Ok(())
}

/// Refuses a search with more conditions than a statement can hold.
pub(super) fn check_size(conditions: usize) -> Result<()> {
    if conditions <= MAX_CLAUSES {
        return Ok(());
    }
    Err(Error::invalid(format!("A search can have at most {MAX_CLAUSES} comparisons")))
}
