//! Shared by the searches of runs and experiments: parsing of identifiers into entity and key, of values and
//! of `order_by`. The entities' own files have the valid keys and operators.

use super::lexer::Kind;
use super::parser::{self, Clause, Comparison, Joining, Operand, Shape, SyntaxError};
use super::{Direction, KeyTest, Membership, Number, NumberOp, TextOp, TextTest, literal};
use crate::domain::python::repr;
use crate::domain::{Error, Result};

/// The entity of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    Metric,
    Param,
    Tag,
    Attribute,
    Dataset,
}

impl Entity {
    /// Returns the name that error texts use.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Param => "parameter",
            Self::Tag => "tag",
            Self::Attribute => "attribute",
            Self::Dataset => "dataset",
        }
    }

    /// Returns the entity named by `prefix`, which may be in backticks.
    ///
    /// Upstream: `SearchUtils._valid_entity_type`.
    pub(super) fn parse(prefix: &str) -> Result<Self> {
        let prefix = trim_quotes(prefix, &['`']);
        match prefix {
            "metric" | "metrics" => Ok(Self::Metric),
            "parameter" | "parameters" | "param" | "params" => Ok(Self::Param),
            "tag" | "tags" => Ok(Self::Tag),
            "attribute" | "attributes" | "attr" | "run" => Ok(Self::Attribute),
            "dataset" | "datasets" => Ok(Self::Dataset),
            _ => Err(Error::invalid(format!(
                "Invalid entity type '{prefix}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', \
                 'dataset']"
            ))),
        }
    }
}

/// A parsed comparison whose operator is not validated yet: stock refuses bad operators only after it has
/// parsed the whole filter and the order.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub(super) entity: Entity,
    pub(super) key: &'a str,
    pub(super) operator: &'a str,
    pub(super) value: Value<'a>,
}

/// The right side of a comparison.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// Of `IS NULL` and `IS NOT NULL`.
    Nothing,
    Number(Number),
    Text(&'a str),
    List(Vec<String>),
}

/// Which attributes are numbers and which may be compared with lists.
pub(super) struct Attributes {
    pub(super) numeric: &'static [&'static str],
    pub(super) listed: &'static [&'static str],
}

/// Splits a filter into comparisons. `quote` encloses invalid parts in the error message.
///
/// Upstream: `SearchUtils.parse_search_filter` and `_process_statement`.
pub(super) fn comparisons<'a>(filter: &'a str, quote: &str) -> Result<Vec<Comparison<'a>>> {
    comparisons_joined(filter, quote, Joining::Lists)
}

/// Splits a filter into comparisons, by the rules of `joining`.
pub(super) fn comparisons_joined<'a>(
    filter: &'a str,
    quote: &str,
    joining: Joining,
) -> Result<Vec<Comparison<'a>>> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    let clauses = parser::parse(filter, joining).map_err(|e| {
        Error::invalid(match e {
            SyntaxError::TooLarge => format!("Error on parsing filter '{filter}'"),
            SyntaxError::Empty => format!("Invalid filter '{filter}'. Could not be parsed."),
            SyntaxError::Several => format!(
                "Search filter contained multiple expression {}. Provide AND-ed expression list.",
                repr(filter)
            ),
        })
    })?;
    let mut comparisons = Vec::new();
    let mut others = Vec::new();
    for clause in clauses {
        match clause {
            Clause::Comparison(comparison) => comparisons.push(comparison),
            Clause::And => {}
            Clause::Other(text) => others.push(format!("{quote}{text}{quote}")),
        }
    }
    if others.is_empty() {
        return Ok(comparisons);
    }
    Err(Error::invalid(format!("Invalid clause(s) in filter string: {}", others.join(", "))))
}

/// Checks that `comparison` has an identifier on its left and nothing after its value.
///
/// Upstream: `SearchUtils._validate_comparison`.
pub(super) fn check_shape(comparison: &Comparison<'_>) -> Result<()> {
    if comparison.comments > 0 {
        return Err(Error::invalid(format!(
            "Invalid comparison clause. Expected 3 tokens found {}",
            3 + comparison.comments
        )));
    }
    if comparison.left.shape != Shape::Identifier {
        return Err(Error::invalid(format!(
            "Invalid comparison clause. Expected 'Identifier' found '{}'",
            comparison.left.text
        )));
    }
    Ok(())
}

/// Splits an identifier at its first dot.
pub(super) fn split(identifier: &str) -> (Option<&str>, &str) {
    match identifier.split_once('.') {
        Some((prefix, key)) => (Some(prefix), unquote(key)),
        None => (None, unquote(identifier)),
    }
}

/// `INVALID_PARAMETER_VALUE` for an attribute that does not exist.
pub(super) fn no_attribute(key: &str, valid: &[&str]) -> Error {
    Error::invalid(format!("Invalid attribute key '{key}' specified. Valid keys are '{}'", set(valid)))
}

/// Returns `words` as Python prints a set. Its order is arbitrary there.
pub(super) fn set(words: &[&str]) -> String {
    format!("{{'{}'}}", words.join("', '"))
}

/// Parses the right side of comparing `entity`'s `key`.
///
/// Upstream: `SearchUtils._get_value`.
pub(super) fn value<'a>(
    entity: Entity,
    key: &str,
    operand: Operand<'a>,
    attributes: &Attributes,
) -> Result<Value<'a>> {
    let found = operand.text;
    let number = match operand.shape {
        Shape::Token(Kind::Integer | Kind::Float) => Some(number(found)),
        _ => None,
    };
    let is_text = matches!(operand.shape, Shape::Identifier | Shape::Token(Kind::Text));
    match entity {
        Entity::Metric => number
            .map(Value::Number)
            .ok_or_else(|| Error::invalid(format!("Expected numeric value type for metric. Found {found}"))),
        Entity::Attribute if attributes.numeric.contains(&key) => {
            number.map(Value::Number).ok_or_else(|| {
                Error::invalid(format!(
                    "Expected numeric value type for numeric attribute: {key}. Found {found}"
                ))
            })
        }
        _ if is_text => quoted(found).map(Value::Text),
        Entity::Param | Entity::Tag => Err(Error::invalid(format!(
            "Expected a quoted string value for {} (e.g. 'my-value'). Got value {found}",
            entity.name()
        ))),
        Entity::Attribute if operand.shape == Shape::Parenthesis => {
            if !attributes.listed.contains(&key) {
                return Err(Error::invalid(format!(
                    "Only ['{}'] attributes support comparison with a list of quoted string values.",
                    attributes.listed.join("', '")
                )));
            }
            literal::strings(found).map(Value::List)
        }
        Entity::Attribute => {
            Err(Error::invalid(format!("Expected a quoted string value for attributes. Got value {found}")))
        }
        Entity::Dataset if operand.shape == Shape::Parenthesis => literal::strings(found).map(Value::List),
        Entity::Dataset => Err(Error::invalid(format!(
            "Expected a quoted string value for dataset attributes. Got value {found}"
        ))),
    }
}

pub(super) fn number(text: &str) -> Number {
    match text.parse::<i64>() {
        Ok(whole) => Number::Int(whole),
        // The lexer has validated the number.
        Err(_) => Number::Float(text.parse().unwrap_or(f64::NAN)),
    }
}

/// Returns a quoted text's content.
///
/// Upstream: `SearchUtils._strip_quotes`.
pub(super) fn quoted(text: &str) -> Result<&str> {
    let inside = trim_quotes(text, &['\'', '"']);
    if inside.len() == text.len() {
        return Err(Error::invalid(format!(
            "Parameter value is either not quoted or unidentified quote types used for string value {text}. Use \
             either single or double quotes."
        )));
    }
    Ok(inside)
}

/// Strips one pair of single or double quotes, if any.
pub(super) fn strip_quotes(text: &str) -> &str {
    trim_quotes(text, &['\'', '"'])
}

/// Strips quotes from a key: single or double ones first, then backticks.
pub(super) fn unquote(key: &str) -> &str {
    trim_quotes(trim_quotes(key, &['\'', '"']), &['`'])
}

/// Strips one pair of the first of `quotes` that encloses `text`.
fn trim_quotes<'a>(text: &'a str, quotes: &[char]) -> &'a str {
    let inside = |quote: &char| text.strip_prefix(*quote)?.strip_suffix(*quote);
    quotes.iter().find_map(inside).unwrap_or(text)
}

/// Parses a numeric operator.
pub(super) fn number_op(operator: &str) -> Option<NumberOp> {
    Some(match operator {
        "=" => NumberOp::Eq,
        "!=" => NumberOp::Ne,
        "<" => NumberOp::Lt,
        "<=" => NumberOp::Le,
        ">" => NumberOp::Gt,
        ">=" => NumberOp::Ge,
        _ => return None,
    })
}

/// Parses an uppercase text operator.
pub(super) fn text_op(operator: &str) -> Option<TextOp> {
    Some(match operator {
        "=" => TextOp::Eq,
        "!=" => TextOp::Ne,
        "LIKE" => TextOp::Like,
        "ILIKE" => TextOp::ILike,
        _ => return None,
    })
}

/// Parses an uppercase list operator.
pub(super) fn membership(operator: &str) -> Option<Membership> {
    Some(match operator {
        "IN" => Membership::In,
        "NOT IN" => Membership::NotIn,
        _ => return None,
    })
}

/// Parses a test of a tag or a param.
pub(super) fn key_test(operator: &str, value: &Value<'_>) -> Option<KeyTest> {
    Some(match (operator, value) {
        ("IS NULL", _) => KeyTest::Absent,
        ("IS NOT NULL", _) => KeyTest::Present,
        (_, Value::Text(value)) => KeyTest::Value(text_test(operator, value)?),
        _ => return None,
    })
}

/// Parses a text comparison.
pub(super) fn text_test(operator: &str, value: &str) -> Option<TextTest> {
    Some(TextTest { op: text_op(operator)?, value: value.to_owned() })
}

/// `INVALID_PARAMETER_VALUE` for a list without a list operator; stock answers 500.
pub(super) fn misplaced_list(operator: &str) -> Error {
    Error::invalid(format!("Invalid comparator '{operator}' for a list; use IN or NOT IN"))
}

/// Parses an `order_by` into identifier and direction.
///
/// Upstream: `SearchUtils._parse_order_by_string`.
pub(super) fn order_term(order_by: &str) -> Result<(String, Direction)> {
    let unreadable = || Error::invalid(format!("Invalid order_by clause '{order_by}'. Could not be parsed."));
    let shape = match parser::single(order_by) {
        Ok(shape) => shape,
        Err(SyntaxError::TooLarge) => {
            return Err(Error::invalid(format!("Error on parsing order_by clause '{order_by}'")));
        }
        Err(SyntaxError::Empty | SyntaxError::Several) => None,
    };
    if shape != Some(Shape::Identifier) && !is_timestamp(order_by) {
        return Err(unreadable());
    }
    let mut words = shell_words(order_by).ok_or_else(unreadable)?.into_iter();
    match (words.next(), words.next(), words.next()) {
        (Some(_), None, _) => Ok((order_by.trim().to_owned(), Direction::Ascending)),
        (Some(field), Some(direction), None) => {
            let direction = match direction.to_lowercase().as_str() {
                "asc" => Direction::Ascending,
                "desc" => Direction::Descending,
                _ => {
                    return Err(Error::invalid(format!(
                        "Invalid ordering key in order_by clause '{order_by}'."
                    )));
                }
            };
            Ok((field.trim().to_owned(), direction))
        }
        _ => Err(unreadable()),
    }
}

/// Whether the text is `timestamp`, perhaps with a direction: the one type name valid in an order.
fn is_timestamp(order_by: &str) -> bool {
    let Some(direction) = order_by.strip_prefix("timestamp") else { return false };
    let word = direction.trim_start();
    direction.is_empty()
        || word.len() < direction.len()
            && ["asc", "desc"].iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Splits `text` like a shell, with backticks as double quotes; `None` for an unclosed quote.
fn shell_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().map(|c| if c == '`' { '"' } else { c }).peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => {
                let escaped = chars.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\');
                word.get_or_insert_default().push(escaped);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                let escaped = chars.next()?;
                word.get_or_insert_default().push(escaped);
            }
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { None } else { Some(words) }
}
