//! Search of experiments: its attributes and operators.

use super::field::{self, Attributes, Condition, Entity, Value};
use super::parser::Comparison;
use super::{Direction, KeyTest, MAX_CLAUSES, Membership, Number, NumberOp, TextTest};
use crate::domain::{Error, Result, validate};

/// A validated filter and order over experiments: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentQuery {
    /// Joined by AND.
    pub predicates: Vec<ExperimentPredicate>,
    /// The total order; the unique id breaks ties.
    pub order: Vec<(ExperimentColumn, Direction)>,
}

/// One condition on an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentPredicate {
    /// Its name.
    Name(TextTest),
    /// A time in milliseconds.
    Time(ExperimentTime, NumberOp, i64),
    /// Its id, `IN` or `NOT IN` a list. Ids that no experiment can have are left out, so it may be empty.
    Id(Membership, Vec<i32>),
    /// A tag.
    Tag(String, KeyTest),
}

/// The times of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExperimentTime {
    /// `creation_time`
    Creation,
    /// `last_update_time`
    LastUpdate,
}

/// Columns to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExperimentColumn {
    /// `name`
    Name,
    /// `experiment_id`
    Id,
    /// A time.
    Time(ExperimentTime),
}

const KEYS: [&str; 4] = ["name", "experiment_id", "creation_time", "last_update_time"];
const ATTRIBUTES: Attributes =
    Attributes { numeric: &["creation_time", "last_update_time"], listed: &["experiment_id"] };
const TEXT_OPS: [&str; 6] = ["!=", "=", "LIKE", "ILIKE", "IN", "NOT IN"];

impl ExperimentQuery {
    /// Parses a filter (empty for none) and an `order_by`; the default is newest first.
    ///
    /// Upstream: `SearchExperimentsUtils`, `_get_search_experiments_filter_clauses` and
    /// `_get_search_experiments_order_by_clauses`. Keyword operators must be uppercase, unlike those of runs.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything the language does not have.
    pub fn parse(filter: &str, order_by: &[String]) -> Result<Self> {
        let comparisons = field::comparisons(filter, "")?;
        let conditions = comparisons.iter().map(condition).collect::<Result<Vec<_>>>()?;
        let predicates = conditions.into_iter().map(predicate).collect::<Result<Vec<_>>>()?;
        let order = order(order_by)?;
        if predicates.len() + order.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!(
                "A search can have at most {MAX_CLAUSES} comparisons and order_by clauses together"
            )));
        }
        Ok(Self { predicates, order })
    }
}

/// Upstream: `SearchExperimentsUtils._get_comparison`.
fn condition<'a>(comparison: &Comparison<'a>) -> Result<Condition<'a>> {
    field::check_shape(comparison)?;
    let (entity, key) = identifier(comparison.left.text)?;
    let operator = comparison.operator;
    let value = match comparison.right {
        Some(right) => field::value(entity, key, right, &ATTRIBUTES)?,
        None if entity == Entity::Tag => Value::Nothing,
        None => {
            return Err(Error::invalid(format!(
                "IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'"
            )));
        }
    };
    Ok(Condition { entity, key, operator, value })
}

/// Upstream: `SearchExperimentsUtils._get_identifier`.
fn identifier(text: &str) -> Result<(Entity, &str)> {
    let (prefix, key) = field::split(text);
    let entity = match prefix {
        None | Some("attribute") => Entity::Attribute,
        Some("tag" | "tags") => Entity::Tag,
        Some(other) => {
            return Err(Error::invalid(format!(
                "Invalid entity type '{other}'. Valid entity types are ('attribute', 'tag', 'tags')"
            )));
        }
    };
    if entity == Entity::Attribute && !KEYS.contains(&key) {
        return Err(field::no_attribute(key, &KEYS));
    }
    Ok((entity, key))
}

/// Upstream: `_get_search_experiments_filter_clauses`.
fn predicate(condition: Condition<'_>) -> Result<ExperimentPredicate> {
    let Condition { entity, key, operator, value } = condition;
    let refused = |end: &str| {
        Error::invalid(format!("Invalid comparator '{operator}' not one of '{}{end}", field::set(&TEXT_OPS)))
    };
    if entity == Entity::Tag {
        let test = field::key_test(operator, &value)
            .ok_or_else(|| Error::invalid(format!("Invalid comparator for tag: {operator}")))?;
        return Ok(ExperimentPredicate::Tag(key.to_owned(), test));
    }
    if key == "experiment_id" {
        return id_predicate(operator, value);
    }
    match value {
        Value::Number(number) => {
            let op = field::number_op(operator).ok_or_else(|| refused(""))?;
            let Number::Int(number) = number else { return Err(no_whole_number(key, number)) };
            Ok(ExperimentPredicate::Time(time(key), op, number))
        }
        Value::Text(text) => {
            field::text_test(operator, text).map(ExperimentPredicate::Name).ok_or_else(|| refused("'"))
        }
        // The parser returns neither.
        Value::Nothing | Value::List(_) => Err(refused("'")),
    }
}

fn no_whole_number(key: &str, number: Number) -> Error {
    let text = match number {
        Number::Int(whole) => whole.to_string(),
        Number::Float(float) => format!("{float:?}"),
    };
    Error::invalid(format!("Invalid value for numeric attribute '{key}': '{text}'"))
}

fn id_predicate(operator: &str, value: Value<'_>) -> Result<ExperimentPredicate> {
    match value {
        Value::Text(id) => {
            let membership = match operator {
                "=" => Membership::In,
                "!=" => Membership::NotIn,
                _ => return Err(refused_for_id(operator)),
            };
            Ok(ExperimentPredicate::Id(membership, validate::searched_experiment_ids(&[id])?))
        }
        Value::List(ids) => {
            let ids = validate::searched_experiment_ids(&ids)?;
            match operator {
                "=" | "!=" => Err(field::misplaced_list(operator)),
                _ => field::membership(operator)
                    .map(|membership| ExperimentPredicate::Id(membership, ids))
                    .ok_or_else(|| refused_for_id(operator)),
            }
        }
        Value::Nothing | Value::Number(_) => Err(refused_for_id(operator)),
    }
}

fn refused_for_id(operator: &str) -> Error {
    Error::invalid(format!("Invalid comparator for experiment_id: {operator}"))
}

fn time(key: &str) -> ExperimentTime {
    if key == "creation_time" { ExperimentTime::Creation } else { ExperimentTime::LastUpdate }
}

/// Upstream: `_get_search_experiments_order_by_clauses`.
fn order(order_by: &[String]) -> Result<Vec<(ExperimentColumn, Direction)>> {
    if order_by.is_empty() {
        let newest = ExperimentColumn::Time(ExperimentTime::Creation);
        return Ok(vec![(newest, Direction::Descending), (ExperimentColumn::Id, Direction::Ascending)]);
    }
    let mut order = Vec::with_capacity(order_by.len() + 1);
    for clause in order_by {
        let (text, direction) = field::order_term(clause)?;
        let column = match identifier(&text)? {
            (Entity::Attribute, "name") => ExperimentColumn::Name,
            (Entity::Attribute, "experiment_id") => ExperimentColumn::Id,
            (Entity::Attribute, key) => ExperimentColumn::Time(time(key)),
            (entity, _) => return Err(Error::invalid(format!("Invalid order_by entity: {}", entity.name()))),
        };
        order.push((column, direction));
    }
    if order.iter().all(|(column, _)| *column != ExperimentColumn::Id) {
        order.push((ExperimentColumn::Id, Direction::Descending));
    }
    Ok(order)
}
