//! Search of logged models: its entities, attributes and operators. Its filter has a syntax of its own:
//! entities have no aliases, only single quotes are stripped from values, and its order comes as messages.

use super::field;
use super::parser::{self, Clause, Comparison, Joining, SyntaxError};
use super::{Direction, ListTest, MAX_CLAUSES, NumberOp, TextTest, literal};
use crate::domain::python::repr;
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::search_logged_models::OrderBy;

/// A validated filter and order over logged models: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModelQuery {
    /// Joined by AND.
    pub predicates: Vec<LoggedModelPredicate>,
    /// The total order; the unique id breaks ties. Models without the value come last, in either direction.
    pub order: Vec<(LoggedModelOrder, Direction)>,
}

/// One condition on a logged model.
#[derive(Debug, Clone, PartialEq)]
pub enum LoggedModelPredicate {
    /// A metric of any run, step or dataset; restricted to the searched datasets if there are any.
    Metric {
        /// Its key.
        key: String,
        /// The operator.
        op: NumberOp,
        /// The operand.
        value: f64,
    },
    /// A param.
    Param(String, ListTest),
    /// A tag.
    Tag(String, ListTest),
    /// A text attribute. The two numeric columns are compared as the text of the number.
    Text(LoggedModelText, ListTest),
    /// A time in milliseconds.
    Time(LoggedModelTime, NumberOp, f64),
}

/// The text attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedModelText {
    /// `model_id`
    Id,
    /// `name`
    Name,
    /// `artifact_location`
    ArtifactLocation,
    /// `lifecycle_stage`
    LifecycleStage,
    /// `model_type`
    ModelType,
    /// `source_run_id`
    SourceRun,
    /// `status_message`
    StatusMessage,
    /// `status`: the text of a number.
    Status,
    /// `experiment_id`: the text of a number.
    Experiment,
}

/// The times of a logged model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedModelTime {
    /// `creation_timestamp`, also called `creation_time` and `creation_timestamp_ms`.
    Creation,
    /// `last_updated_timestamp`, also called `last_updated_timestamp_ms`.
    LastUpdated,
}

/// Keys to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedModelOrder {
    /// A text attribute.
    Text(LoggedModelText),
    /// A time.
    Time(LoggedModelTime),
    /// The latest value of a metric (by time, then step, then the smaller run id).
    Metric {
        /// Its key.
        key: String,
        /// Only values measured on the dataset of this name.
        dataset_name: Option<String>,
        /// Only values measured on the dataset of this digest.
        dataset_digest: Option<String>,
    },
}

/// A comparison with a valid operator.
enum Condition<'a> {
    Number(NumberField<'a>, NumberOp, f64),
    Text(TextField<'a>, String, &'a str),
}

/// What an identifier names: a numeric or a text field.
enum Field<'a> {
    Number(NumberField<'a>),
    Text(TextField<'a>),
}

enum NumberField<'a> {
    Metric(&'a str),
    Time(LoggedModelTime),
}

enum TextField<'a> {
    Param(&'a str),
    Tag(&'a str),
    Attribute(LoggedModelText),
    /// Unknown; stock finds that out last.
    Unknown(&'a str),
}

impl LoggedModelQuery {
    /// Parses a filter (empty for none) and an `order_by`; the default is newest first.
    ///
    /// Upstream: `mlflow.utils.search_logged_model_utils` and
    /// `SqlAlchemyStore._apply_order_by_search_logged_models`. Differs: unknown attributes, and non-numeric
    /// values where a number is needed, are refused with `INVALID_PARAMETER_VALUE`, not with a 500; attribute
    /// aliases also work after `attributes.`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have.
    pub fn parse(filter: &str, order_by: &[OrderBy]) -> Result<Self> {
        let predicates = predicates(filter)?;
        let order = order(order_by)?;
        if predicates.len() + order.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!(
                "A search can have at most {MAX_CLAUSES} comparisons and order_by clauses together"
            )));
        }
        Ok(Self { predicates, order })
    }
}

/// Upstream: `parse_filter_string`.
fn predicates(filter: &str) -> Result<Vec<LoggedModelPredicate>> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |why: &str| Error::invalid(format!("Invalid filter string: {}. {why}", repr(filter)));
    let clauses = parser::parse(filter, Joining::Lists).map_err(|e| match e {
        SyntaxError::TooLarge => invalid("SQLParseError('Maximum number of tokens or depth exceeded.')"),
        SyntaxError::Empty | SyntaxError::Several => invalid("Expected a single SQL expression."),
    })?;
    let mut conditions = Vec::new();
    for clause in clauses {
        match clause {
            Clause::And => {}
            Clause::Comparison(comparison) => conditions.push(condition(&comparison)?),
            Clause::Other(_) => {
                return Err(invalid(
                    "Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = \
                     0.01').",
                ));
            }
        }
    }
    conditions.into_iter().map(predicate).collect()
}

fn condition<'a>(comparison: &Comparison<'a>) -> Result<Condition<'a>> {
    let identifier = comparison.left.text;
    let malformed = |text: &str| {
        Error::invalid(format!("Invalid comparison: {text}. Expected a comparison with 3 tokens."))
    };
    if comparison.comments > 0 {
        return Err(malformed(comparison.text));
    }
    let Some(right) = comparison.right else {
        return Err(malformed(&format!("{identifier}{}", comparison.operator)));
    };
    let operator = comparison.operator.to_uppercase();
    match field(identifier)? {
        Field::Number(field) => {
            let op = field::number_op(&operator)
                .ok_or_else(|| refused(identifier, &operator, "('<', '<=', '>', '>=', '=', '!=')"))?;
            let value = right.text.trim().parse::<f64>().map_err(|e| {
                let value = repr(right.text);
                Error::invalid(format!("Invalid value for {identifier}: {value} is no number")).with_source(e)
            })?;
            Ok(Condition::Number(field, op, value))
        }
        Field::Text(field) => {
            if field::membership(&operator).is_none() && field::text_op(&operator).is_none() {
                return Err(refused(identifier, &operator, "('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN')"));
            }
            Ok(Condition::Text(field, operator, right.text))
        }
    }
}

fn predicate(condition: Condition<'_>) -> Result<LoggedModelPredicate> {
    Ok(match condition {
        Condition::Number(NumberField::Time(column), op, value) => {
            LoggedModelPredicate::Time(column, op, value)
        }
        Condition::Number(NumberField::Metric(key), op, value) => {
            LoggedModelPredicate::Metric { key: key.to_owned(), op, value }
        }
        Condition::Text(field, operator, value) => {
            let test = list_test(&operator, value)?;
            match field {
                TextField::Param(key) => LoggedModelPredicate::Param(key.to_owned(), test),
                TextField::Tag(key) => LoggedModelPredicate::Tag(key.to_owned(), test),
                TextField::Attribute(column) => LoggedModelPredicate::Text(column, test),
                TextField::Unknown(key) => {
                    return Err(Error::invalid(format!("Invalid attribute key '{key}' specified.")));
                }
            }
        }
    })
}

fn list_test(operator: &str, value: &str) -> Result<ListTest> {
    let is_list = value.starts_with('(') && value.ends_with(')');
    match (field::membership(operator), field::text_op(operator)) {
        (Some(membership), _) if is_list => Ok(ListTest::List(membership, literal::strings(value)?)),
        // Double quotes are not stripped.
        (_, Some(op)) if !is_list => {
            Ok(ListTest::Text(TextTest { op, value: value.trim_matches('\'').to_owned() }))
        }
        _ => Err(field::misplaced_list(operator)),
    }
}

/// Upstream: `Entity.validate_op`.
fn refused(identifier: &str, operator: &str, valid: &str) -> Error {
    let (prefix, key) = prefixed(identifier).unwrap_or(("attributes", identifier));
    // Aliases are resolved only without `attributes.`.
    let key = match (prefixed(identifier), time(key)) {
        (None, Some(LoggedModelTime::Creation)) => "creation_timestamp_ms",
        (None, Some(LoggedModelTime::LastUpdated)) => "last_updated_timestamp_ms",
        _ => key.trim_matches('`'),
    };
    Error::invalid(format!(
        "Invalid comparison operator for {prefix}.{key}: '{operator}'. Expected one of {valid}."
    ))
}

/// Upstream: `Entity.from_str`.
fn field(identifier: &str) -> Result<Field<'_>> {
    let (prefix, key) = prefixed(identifier).unwrap_or(("attributes", identifier));
    let key = key.trim_matches('`');
    match prefix {
        "metrics" => Ok(Field::Number(NumberField::Metric(key))),
        "params" => Ok(Field::Text(TextField::Param(key))),
        "tags" => Ok(Field::Text(TextField::Tag(key))),
        "attributes" => Ok(match time(key) {
            Some(column) => Field::Number(NumberField::Time(column)),
            None => Field::Text(text(key).map_or(TextField::Unknown(key), TextField::Attribute)),
        }),
        _ => Err(Error::invalid(format!(
            "Invalid entity type: {}. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
            repr(prefix)
        ))),
    }
}

/// Splits off a lowercase entity.
fn prefixed(identifier: &str) -> Option<(&str, &str)> {
    let (prefix, key) = identifier.split_once('.')?;
    let is_entity = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_lowercase());
    (is_entity && !key.is_empty()).then_some((prefix, key))
}

fn time(key: &str) -> Option<LoggedModelTime> {
    match key {
        "creation_time" | "creation_timestamp" | "creation_timestamp_ms" => Some(LoggedModelTime::Creation),
        "last_updated_timestamp" | "last_updated_timestamp_ms" => Some(LoggedModelTime::LastUpdated),
        _ => None,
    }
}

fn text(key: &str) -> Option<LoggedModelText> {
    Some(match key {
        "model_id" => LoggedModelText::Id,
        "name" => LoggedModelText::Name,
        "artifact_location" => LoggedModelText::ArtifactLocation,
        "lifecycle_stage" => LoggedModelText::LifecycleStage,
        "model_type" => LoggedModelText::ModelType,
        "source_run_id" => LoggedModelText::SourceRun,
        "status_message" => LoggedModelText::StatusMessage,
        "status" => LoggedModelText::Status,
        "experiment_id" => LoggedModelText::Experiment,
        _ => return None,
    })
}

/// Upstream: `_apply_order_by_search_logged_models`.
fn order(order_by: &[OrderBy]) -> Result<Vec<(LoggedModelOrder, Direction)>> {
    const NEWEST: LoggedModelOrder = LoggedModelOrder::Time(LoggedModelTime::Creation);
    const ID: LoggedModelOrder = LoggedModelOrder::Text(LoggedModelText::Id);
    let mut order = Vec::with_capacity(order_by.len() + 2);
    for by in order_by {
        let direction = if by.ascending() { Direction::Ascending } else { Direction::Descending };
        order.push((order_key(by)?, direction));
    }
    for (key, direction) in [(NEWEST, Direction::Descending), (ID, Direction::Ascending)] {
        if order.iter().all(|(before, _)| *before != key) {
            order.push((key, direction));
        }
    }
    Ok(order)
}

fn order_key(by: &OrderBy) -> Result<LoggedModelOrder> {
    let name = by.field_name();
    match name.split_once('.') {
        Some(("metrics", key)) => Ok(LoggedModelOrder::Metric {
            key: key.to_owned(),
            dataset_name: by.dataset_name.clone().filter(|name| !name.is_empty()),
            dataset_digest: by.dataset_digest.clone().filter(|digest| !digest.is_empty()),
        }),
        Some(_) => {
            Err(Error::invalid(format!("Invalid order by field name: {name}. Only metrics are supported.")))
        }
        None => time(name)
            .map(LoggedModelOrder::Time)
            .or_else(|| text(name).map(LoggedModelOrder::Text))
            .ok_or_else(|| {
                Error::new(ErrorCode::AttributeNotFound, format!("Invalid order by field name: {name}"))
            }),
    }
}
