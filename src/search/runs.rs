//! Search of runs: its entities, attributes and operators.

use super::field::{self, Attributes, Condition, Entity, Value};
use super::parser::Comparison;
use super::{Direction, KeyTest, ListTest, MAX_CLAUSES, Membership, Number, NumberOp, TextTest};
use crate::domain::python::list;
use crate::domain::{Error, ErrorCode, Result};

/// A validated filter and order over runs: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct RunQuery {
    /// Joined by AND.
    pub predicates: Vec<RunPredicate>,
    /// The requested order, without the tie-break that always follows.
    pub order: Vec<RunOrder>,
}

/// One condition on a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunPredicate {
    /// The latest value of a metric. NaN passes `!=` and nothing else.
    Metric {
        /// Its key.
        key: String,
        /// The operator.
        op: NumberOp,
        /// The operand.
        value: f64,
    },
    /// A param.
    Param(String, KeyTest),
    /// A tag. The name of a run is searched in the tag [`RUN_NAME_TAG`], which very old runs have alone.
    Tag(String, KeyTest),
    /// A text attribute.
    Text(RunText, TextTest),
    /// `IN` or `NOT IN` a list of ids.
    IdList(Membership, Vec<String>),
    /// A time attribute in milliseconds; a run without it never passes.
    Time(RunTime, NumberOp, Number),
    /// A dataset that the run has as an input.
    Dataset(DatasetField, ListTest),
}

/// The text attributes that can be filtered by. The name of a run is not among them: see [`RunPredicate::Tag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunText {
    /// `run_id`
    Id,
    /// `user_id`
    User,
    /// `status`
    Status,
    /// `artifact_uri`
    ArtifactUri,
}

/// The time attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunTime {
    /// `start_time`, also called `created` and `Created`.
    Start,
    /// `end_time`
    End,
}

/// Filterable dataset fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetField {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// What it was used for: a tag of the input.
    Context,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOrder {
    /// The key. Runs without it come last, in either direction.
    pub key: RunOrderKey,
    /// The direction.
    pub direction: Direction,
}

/// Keys to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOrderKey {
    /// The latest value of a metric; NaN comes after all numbers, in either direction.
    Metric(String),
    /// A param, as text.
    Param(String),
    /// A tag.
    Tag(String),
    /// The name of the run: the attribute, not the tag.
    Name,
    /// A text attribute.
    Text(RunText),
    /// A time.
    Time(RunTime),
}

/// The tag that holds a run's name.
pub const RUN_NAME_TAG: &str = "mlflow.runName";

/// The attributes, each group with aliases of one.
const COLUMNS: [&str; 7] =
    ["artifact_uri", "end_time", "run_id", "run_name", "start_time", "status", "user_id"];
const START_ALIASES: [&str; 2] = ["created", "Created"];
const NAME_ALIASES: [&str; 3] = ["run name", "Run name", "Run Name"];
/// Names that an order may use; a filter also takes the aliases of the name.
const ORDERABLE: &[&[&str]] = &[&COLUMNS, &START_ALIASES];
const FILTERABLE: &[&[&str]] = &[&COLUMNS, &START_ALIASES, &NAME_ALIASES];
const ATTRIBUTES: Attributes =
    Attributes { numeric: &["start_time", "end_time", "created", "Created"], listed: &["run_id"] };
const NUMBER_OPS: [&str; 6] = [">", ">=", "!=", "=", "<", "<="];
const KEY_OPS: [&str; 6] = ["!=", "=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"];
const TEXT_OPS: [&str; 6] = ["!=", "=", "LIKE", "ILIKE", "IN", "NOT IN"];

impl RunQuery {
    /// Parses a filter (empty for none) and an `order_by`.
    ///
    /// Upstream: `SearchUtils.parse_search_filter`, `_get_orderby_clauses` and `_get_sqlalchemy_filter_clauses`, in this
    /// order, since it decides which of several errors a client sees. Differs: stock takes the aliases of attributes
    /// for keys of metrics, params and tags too, so that a tag `created` cannot be found there.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have; `INTERNAL_ERROR`, as in stock, for
    /// a duplicate key in the order.
    pub fn parse(filter: &str, order_by: &[String]) -> Result<Self> {
        let comparisons = field::comparisons(filter, "'")?;
        let conditions = comparisons.iter().map(condition).collect::<Result<Vec<_>>>()?;
        let order = order(order_by)?;
        let predicates = conditions.into_iter().map(predicate).collect::<Result<Vec<_>>>()?;
        if predicates.len() + order.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!(
                "A search can have at most {MAX_CLAUSES} comparisons and order_by clauses together"
            )));
        }
        Ok(Self { predicates, order })
    }
}

/// Upstream: `SearchUtils._get_comparison`.
fn condition<'a>(comparison: &Comparison<'a>) -> Result<Condition<'a>> {
    field::check_shape(comparison)?;
    let (entity, key) = identifier(comparison.left.text, FILTERABLE)?;
    let operator = comparison.operator;
    let value = match comparison.right {
        Some(right) => field::value(entity, key, right, &ATTRIBUTES)?,
        None if matches!(entity, Entity::Tag | Entity::Param) => Value::Nothing,
        None => {
            return Err(Error::invalid(format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for '{}' '{key}'",
                entity.name()
            )));
        }
    };
    Ok(Condition { entity, key, operator, value })
}

/// Upstream: `SearchUtils._get_identifier`.
fn identifier<'a>(text: &'a str, attributes: &[&[&str]]) -> Result<(Entity, &'a str)> {
    const DATASET_KEYS: [&str; 3] = ["name", "digest", "context"];
    let (prefix, key) = field::split(text);
    let entity = prefix.map_or(Ok(Entity::Attribute), Entity::parse)?;
    match entity {
        Entity::Attribute if !attributes.iter().any(|names| names.contains(&key)) => {
            Err(field::no_attribute(key, &attributes.concat()))
        }
        Entity::Dataset if !DATASET_KEYS.contains(&key) => Err(Error::invalid(format!(
            "Invalid dataset key '{key}' specified. Valid keys are '{}'",
            field::set(&DATASET_KEYS)
        ))),
        _ => Ok((entity, key)),
    }
}

/// Upstream: `_get_sqlalchemy_filter_clauses`.
fn predicate(condition: Condition<'_>) -> Result<RunPredicate> {
    let Condition { entity, key, operator, value } = condition;
    let operator = operator.to_uppercase();
    let refused = |valid: &[&str], end: &str| {
        Error::invalid(format!("Invalid comparator '{operator}' not one of '{}{end}", field::set(valid)))
    };
    let no_list_op = |end: &str| {
        let is_known = TEXT_OPS.contains(&operator.as_str());
        if is_known { field::misplaced_list(&operator) } else { refused(&TEXT_OPS, end) }
    };
    match (entity, value) {
        (Entity::Metric, Value::Number(value)) => {
            let op = field::number_op(&operator).ok_or_else(|| refused(&NUMBER_OPS, ""))?;
            Ok(RunPredicate::Metric { key: key.to_owned(), op, value: as_float(value) })
        }
        (Entity::Param, value) => {
            let test = field::key_test(&operator, &value).ok_or_else(|| refused(&KEY_OPS, "'"))?;
            Ok(RunPredicate::Param(key.to_owned(), test))
        }
        (Entity::Tag, value) => {
            let test = field::key_test(&operator, &value).ok_or_else(|| refused(&KEY_OPS, ""))?;
            Ok(RunPredicate::Tag(key.to_owned(), test))
        }
        (Entity::Attribute, Value::Number(value)) => {
            let op = field::number_op(&operator).ok_or_else(|| refused(&TEXT_OPS, ""))?;
            let column = if key == "end_time" { RunTime::End } else { RunTime::Start };
            Ok(RunPredicate::Time(column, op, value))
        }
        (Entity::Attribute, Value::Text(text)) => {
            let test = field::text_test(&operator, text).ok_or_else(|| refused(&TEXT_OPS, "'"))?;
            Ok(match text_attribute(key) {
                Some(column) => RunPredicate::Text(column, test),
                None => RunPredicate::Tag(RUN_NAME_TAG.to_owned(), KeyTest::Value(test)),
            })
        }
        (Entity::Dataset, Value::Text(text)) => {
            let test = field::text_test(&operator, text).ok_or_else(|| refused(&TEXT_OPS, ""))?;
            Ok(RunPredicate::Dataset(dataset_field(key), ListTest::Text(test)))
        }
        (Entity::Dataset, Value::List(values)) => {
            let membership = field::membership(&operator).ok_or_else(|| no_list_op(""))?;
            Ok(RunPredicate::Dataset(dataset_field(key), ListTest::List(membership, values)))
        }
        (_, Value::List(values)) => {
            let membership = field::membership(&operator).ok_or_else(|| no_list_op("'"))?;
            Ok(RunPredicate::IdList(membership, values))
        }
        // The parser returns nothing else.
        (Entity::Metric | Entity::Attribute | Entity::Dataset, _) => Err(refused(&TEXT_OPS, "'")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn as_float(number: Number) -> f64 {
    match number {
        Number::Int(whole) => whole as f64,
        Number::Float(float) => float,
    }
}

fn text_attribute(key: &str) -> Option<RunText> {
    match key {
        "run_id" => Some(RunText::Id),
        "user_id" => Some(RunText::User),
        "status" => Some(RunText::Status),
        "artifact_uri" => Some(RunText::ArtifactUri),
        _ => None,
    }
}

fn dataset_field(key: &str) -> DatasetField {
    match key {
        "name" => DatasetField::Name,
        "digest" => DatasetField::Digest,
        _ => DatasetField::Context,
    }
}

/// Upstream: `_get_orderby_clauses`.
fn order(order_by: &[String]) -> Result<Vec<RunOrder>> {
    let mut order: Vec<RunOrder> = Vec::with_capacity(order_by.len());
    for clause in order_by {
        let (text, direction) = field::order_term(clause)?;
        let (entity, key) = identifier(&text, ORDERABLE)?;
        let key = order_key(entity, key)?;
        if order.iter().any(|before| before.key == key) {
            return Err(Error::new(
                ErrorCode::InternalError,
                format!("`order_by` contains duplicate fields: {}", list(order_by)),
            ));
        }
        order.push(RunOrder { key, direction });
    }
    Ok(order)
}

fn order_key(entity: Entity, key: &str) -> Result<RunOrderKey> {
    Ok(match entity {
        Entity::Metric => RunOrderKey::Metric(key.to_owned()),
        Entity::Param => RunOrderKey::Param(key.to_owned()),
        Entity::Tag => RunOrderKey::Tag(key.to_owned()),
        Entity::Dataset => return Err(Error::invalid("Invalid identifier type 'dataset'")),
        Entity::Attribute => match text_attribute(key) {
            Some(column) => RunOrderKey::Text(column),
            None if key == "end_time" => RunOrderKey::Time(RunTime::End),
            None if key == "start_time" || START_ALIASES.contains(&key) => RunOrderKey::Time(RunTime::Start),
            None => RunOrderKey::Name,
        },
    })
}
