//! Parses identifiers and values of a filter over traces, before its operators are validated, as in stock.

use std::borrow::Cow;

use super::{CONTENT_OPS, PROMPTS_TAG, SOURCE_RUN, TEXT_OPS, TraceTime};
use crate::domain::trace::TRACE_NAME;
use crate::domain::{Error, Result};
use crate::search::field::{self, set};
use crate::search::lexer::Kind;
use crate::search::parser::{Comparison, Joining, Operand, Shape};
use crate::search::{Number, literal};

/// The entity of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    Tag,
    Metadata,
    Attribute,
    Span,
    Feedback,
    Expectation,
    Issue,
}

const ENTITIES: [(&str, Entity); 11] = [
    ("tag", Entity::Tag),
    ("tags", Entity::Tag),
    ("request_metadata", Entity::Metadata),
    ("metadata", Entity::Metadata),
    ("attribute", Entity::Attribute),
    ("attributes", Entity::Attribute),
    ("trace", Entity::Attribute),
    ("span", Entity::Span),
    ("feedback", Entity::Feedback),
    ("expectation", Entity::Expectation),
    ("issue", Entity::Issue),
];

const NUMERIC: [&str; 6] =
    ["timestamp_ms", "timestamp", "execution_time_ms", "execution_time", "end_time_ms", "end_time"];
const LISTED: [&str; 5] = ["name", "status", "request_id", "run_id", "client_request_id"];
const FILTERABLE: [&str; 13] = [
    "request_id",
    "timestamp",
    "timestamp_ms",
    "execution_time",
    "execution_time_ms",
    "end_time",
    "end_time_ms",
    "status",
    "client_request_id",
    "name",
    "run_id",
    "prompt",
    "text",
];

impl Entity {
    /// Returns the name that error texts use.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Metadata => "request_metadata",
            Self::Attribute => "attribute",
            Self::Span => "span",
            Self::Feedback => "feedback",
            Self::Expectation => "expectation",
            Self::Issue => "issue",
        }
    }

    /// Upstream: `SearchTraceUtils._valid_entity_type`.
    fn parse(prefix: &str) -> Result<Self> {
        let prefix = without_backticks(prefix);
        ENTITIES.iter().find(|(name, _)| *name == prefix).map(|(_, entity)| *entity).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid entity type '{prefix}'. Valid values are {}",
                set(&ENTITIES.map(|(name, _)| name))
            ))
        })
    }

    const fn is_assessment(self) -> bool {
        matches!(self, Self::Feedback | Self::Expectation)
    }
}

/// A parsed comparison whose operator is not validated yet.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub(super) entity: Entity,
    pub(super) key: Cow<'a, str>,
    /// Uppercase.
    pub(super) operator: String,
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

impl Condition<'_> {
    /// Resolves an attribute's name to the database's key. Names of attributes are aliases among tags and
    /// metadata, too.
    ///
    /// Upstream: `SearchTraceUtils._replace_key_to_tag_or_metadata`.
    pub(super) fn with_aliases(mut self) -> Self {
        if let Some((entity, key)) = alias(self.entity, &self.key) {
            self.entity = entity;
            self.key = key.into();
        }
        self
    }

    /// Returns the text on the right side.
    pub(super) fn text(&self, what: &str) -> Result<String> {
        match self.value {
            Value::Text(text) => Ok(text.to_owned()),
            _ => Err(Error::invalid(format!("Expected a quoted string value for {what}"))),
        }
    }

    /// Returns the number on the right side, which may be in quotes.
    pub(super) fn number(&self) -> Result<Number> {
        match self.value {
            Value::Number(number) => Ok(number),
            Value::Text(text) if text.parse::<f64>().is_ok() => Ok(field::number(text)),
            _ => Err(Error::invalid(format!(
                "Expected numeric value type for numeric attribute: {}",
                self.key
            ))),
        }
    }
}

/// Resolves an attribute's alias.
pub(super) fn alias(entity: Entity, key: &str) -> Option<(Entity, &'static str)> {
    let in_attributes = entity == Entity::Attribute;
    if !in_attributes && !matches!(entity, Entity::Tag | Entity::Metadata) {
        return None;
    }
    match key.to_lowercase().as_str() {
        "name" => Some((Entity::Tag, TRACE_NAME)),
        "prompt" => Some((Entity::Tag, PROMPTS_TAG)),
        "run_id" => Some((Entity::Metadata, SOURCE_RUN)),
        "text" => Some((Entity::Span, "content")),
        "timestamp" if in_attributes => Some((Entity::Attribute, "timestamp_ms")),
        _ => None,
    }
}

/// Returns the numeric attribute of this name.
pub(super) fn time(key: &str) -> Option<TraceTime> {
    match key {
        "timestamp" | "timestamp_ms" => Some(TraceTime::Start),
        "execution_time" | "execution_time_ms" => Some(TraceTime::Duration),
        "end_time" | "end_time_ms" => Some(TraceTime::End),
        _ => None,
    }
}

/// Strips backticks.
pub(super) fn without_backticks(text: &str) -> &str {
    text.strip_prefix('`').and_then(|inside| inside.strip_suffix('`')).unwrap_or(text)
}

/// Parses a filter up to its operators.
pub(super) fn conditions(filter: &str) -> Result<Vec<Condition<'_>>> {
    let comparisons = field::comparisons_joined(filter, "'", Joining::ListsAndTimestamps)?;
    comparisons.iter().map(condition).collect()
}

/// Upstream: `SearchTraceUtils._get_comparison`.
fn condition<'a>(comparison: &Comparison<'a>) -> Result<Condition<'a>> {
    // The one type name that is an attribute.
    if comparison.left.shape != Shape::Token(Kind::Builtin) {
        field::check_shape(comparison)?;
    }
    let (entity, key) = identifier(comparison.left.text, &FILTERABLE)?;
    let value = match comparison.right {
        None => Value::Nothing,
        Some(right) => {
            check_assessed(entity, comparison.operator, right)?;
            let value = value(entity, key, right)?;
            if entity == Entity::Span {
                // Case-sensitive: operators are uppercased only later.
                check_span(key, comparison.operator)?;
            }
            value
        }
    };
    Ok(Condition { entity, key: key.into(), operator: comparison.operator.to_uppercase(), value })
}

/// Parses an identifier, whose attribute must be in `attributes`.
///
/// Upstream: `SearchUtils._get_identifier`.
pub(super) fn identifier<'a>(text: &'a str, attributes: &[&str]) -> Result<(Entity, &'a str)> {
    let (prefix, key) = field::split(text);
    let entity = prefix.map_or(Ok(Entity::Attribute), Entity::parse)?;
    if entity == Entity::Attribute && !attributes.contains(&key) {
        return Err(field::no_attribute(key, attributes));
    }
    Ok((entity, key))
}

/// Upstream: `SearchTraceUtils._get_value`.
fn value<'a>(entity: Entity, key: &str, operand: Operand<'a>) -> Result<Value<'a>> {
    let found = operand.text;
    let unexpected =
        |what: &str| Err(Error::invalid(format!("Expected a quoted string value {what}. Got value {found}")));
    match (entity, operand.shape) {
        (_, Shape::Identifier | Shape::Token(Kind::Text)) => field::quoted(found).map(Value::Text),
        (Entity::Attribute, Shape::Parenthesis) if !LISTED.contains(&key) => Err(Error::invalid(format!(
            "Only attributes in {} supports comparison with a list of quoted string values.",
            set(&LISTED)
        ))),
        (Entity::Tag | Entity::Attribute | Entity::Span, Shape::Parenthesis) => {
            literal::strings(found).map(Value::List)
        }
        (Entity::Attribute, Shape::Token(Kind::Integer | Kind::Float)) if !NUMERIC.contains(&key) => {
            Err(Error::invalid(format!(
                "Only the '{}' attributes support comparison with numeric values.",
                set(&NUMERIC)
            )))
        }
        (
            Entity::Attribute | Entity::Feedback | Entity::Expectation,
            Shape::Token(Kind::Integer | Kind::Float),
        ) => Ok(Value::Number(field::number(found))),
        (Entity::Attribute, _) => unexpected("or a list of quoted string values for attributes"),
        _ => unexpected(&format!("for {} (e.g. 'my-value')", entity.name())),
    }
}

/// Checks that an assessment's operand fits the operator, which is as written.
///
/// Upstream: `SearchTraceUtils._validate_assessment_comparison_value`.
fn check_assessed(entity: Entity, operator: &str, right: Operand<'_>) -> Result<()> {
    let wants_number = matches!(operator, ">" | ">=" | "<" | "<=");
    let fits = match right.shape {
        Shape::Identifier | Shape::Token(Kind::Text) => !wants_number,
        Shape::Token(Kind::Integer | Kind::Float) => wants_number,
        _ => false,
    };
    if fits || !entity.is_assessment() {
        return Ok(());
    }
    let (name, found) = (entity.name(), right.text);
    Err(Error::invalid(if wants_number {
        format!("Expected a numeric value for {name} when using comparator '{operator}'. Got value {found}")
    } else {
        format!("Expected a quoted string value for {name} (e.g. 'my-value'). Got value {found}")
    }))
}

/// Checks that spans have `key` and that `operator` fits it.
pub(super) fn check_span(key: &str, operator: &str) -> Result<()> {
    let operators: &[&str] = match key {
        "attributes." => {
            return Err(Error::invalid("Span attribute name cannot be empty after 'attributes.'"));
        }
        "name" | "type" | "status" => &TEXT_OPS,
        "content" => &CONTENT_OPS,
        _ if key.starts_with("attributes.") => &TEXT_OPS,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid span attribute '{key}'. Supported attributes: name, status, type, \
                 attributes.<attribute_name>."
            )));
        }
    };
    if operators.contains(&operator) {
        return Ok(());
    }
    Err(Error::invalid(format!("span.{key} comparator '{operator}' not one of '{}'", set(operators))))
}
