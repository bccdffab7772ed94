//! Sort keys of traces.

use super::read::{self, Entity};
use super::{TraceText, TraceTime, Usage};
use crate::domain::python::list;
use crate::domain::trace::{SESSION, TRACE_NAME};
use crate::domain::{Error, ErrorCode, Result};
use crate::search::{Direction, field};

/// A sort key. Traces without the value come last, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOrder {
    /// The key.
    pub key: TraceOrderKey,
    /// Direction.
    pub direction: Direction,
}

/// Keys to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceOrderKey {
    /// `experiment_id`
    Experiment,
    /// A numeric attribute.
    Time(TraceTime),
    /// A text column.
    Text(TraceText),
    /// A tag.
    Tag(String),
    /// A metadata entry.
    Metadata(String),
}

const ORDERABLE: [&str; 11] = [
    "experiment_id",
    "timestamp",
    "timestamp_ms",
    "execution_time",
    "execution_time_ms",
    "end_time",
    "end_time_ms",
    "status",
    "request_id",
    "name",
    "run_id",
];

/// Parses an `order_by`.
///
/// Upstream: `_get_orderby_clauses_for_search_traces`. Differs: `end_time`, on which stock fails, sorts by
/// the end.
pub(super) fn parse(order_by: &[String]) -> Result<Vec<TraceOrder>> {
    let mut order: Vec<TraceOrder> = Vec::with_capacity(order_by.len() + 2);
    for clause in order_by {
        let (text, direction) = field::order_term(clause)?;
        let (entity, key) = read::identifier(&text, &ORDERABLE)?;
        let (entity, key) = read::alias(entity, key).unwrap_or((entity, key));
        let key = order_key(entity, key)?;
        if order.iter().any(|before| before.key == key) {
            let message = format!("`order_by` contains duplicate fields: {}", list(order_by));
            return Err(Error::new(ErrorCode::InternalError, message));
        }
        order.push(TraceOrder { key, direction });
    }
    let newest = (TraceOrderKey::Time(TraceTime::Start), Direction::Descending);
    for (key, direction) in [newest, (TraceOrderKey::Text(TraceText::Id), Direction::Ascending)] {
        if order.iter().all(|before| before.key != key) {
            order.push(TraceOrder { key, direction });
        }
    }
    Ok(order)
}

fn order_key(entity: Entity, key: &str) -> Result<TraceOrderKey> {
    match entity {
        Entity::Attribute => Ok(match (key, read::time(key)) {
            (_, Some(column)) => TraceOrderKey::Time(column),
            ("experiment_id", _) => TraceOrderKey::Experiment,
            ("request_id", _) => TraceOrderKey::Text(TraceText::Id),
            _ => TraceOrderKey::Text(TraceText::Status),
        }),
        Entity::Tag if key == TRACE_NAME => Ok(TraceOrderKey::Text(TraceText::Name)),
        Entity::Tag => Ok(TraceOrderKey::Tag(key.to_owned())),
        Entity::Metadata if Usage::of_metadata(key).is_some() => Err(Error::invalid(format!(
            "Ordering by reserved metadata '{key}' is not supported because it is represented by multiple columns."
        ))),
        Entity::Metadata if key == SESSION => Ok(TraceOrderKey::Text(TraceText::Session)),
        Entity::Metadata => Ok(TraceOrderKey::Metadata(key.to_owned())),
        Entity::Span | Entity::Feedback | Entity::Expectation | Entity::Issue => {
            Err(Error::invalid(format!("Invalid identifier type '{}'", entity.name())))
        }
    }
}
