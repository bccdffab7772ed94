//! Traces of which a client tells all it knows: started by the third version of the interface, started and ended by
//! the second.
//!
//! As in `spans.rs`, the row of a trace is locked before anything that belongs to it is written.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::assessments::{Known, write_assessments};
use super::columns::{Column, write_rows};
use super::info::{get_info, trace_not_found};
use super::spans::{PG_TAGS, SQLITE_TAGS};
use crate::domain::trace::info::NewTrace;
use crate::domain::trace::{ARTIFACT_LOCATION, INFO_FINALIZED, SPANS_LOCATION, TRACKING_STORE};
use crate::domain::{Error, ErrorCode, Result, artifact_uri};
use crate::proto::TraceInfoV3;
use crate::store::conn::Conn;
use crate::store::experiments::{get_experiment_in, require_active};
use crate::store::schema::{trace_info, trace_tags};
use crate::store::statement::{Bind, statement};
use crate::store::{Store, each};

/// Which version of the interface a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Tells of the beginning of a trace first, and of its end later.
    V2,
    /// Tells of a trace that has ended.
    V3,
}

impl Store {
    /// Stores what is known of a trace, over what its spans said before. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown experiment, `INVALID_PARAMETER_VALUE` for a deleted one,
    /// `INVALID_STATE` for a trace whose spans are not kept in the database. Upstream: `SqlAlchemyStore.start_trace`.
    pub async fn start_trace(&self, new: NewTrace) -> Result<TraceInfoV3> {
        self.write(move |conn| {
            start_in(conn, &new, Version::V3)?;
            get_info(conn, &new.trace_id)
        })
        .await
    }

    /// Stores the beginning of a trace whose client speaks the second version of the interface.
    ///
    /// # Errors
    /// As `start_trace`. Upstream: `SqlAlchemyStore.deprecated_start_trace_v2`.
    pub async fn start_trace_v2(&self, new: NewTrace) -> Result<TraceInfoV3> {
        self.write(move |conn| {
            start_in(conn, &new, Version::V2)?;
            get_info(conn, &new.trace_id)
        })
        .await
    }

    /// Stores the end of a trace: when, how, and metadata and tags over those that are there.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `SqlAlchemyStore.deprecated_end_trace_v2`.
    pub async fn end_trace_v2(&self, end: NewTrace) -> Result<TraceInfoV3> {
        self.write(move |conn| {
            let id = end.trace_id.as_str();
            let start: Option<i64> = each!(conn, c => trace_info::table
                .find(id)
                .select(trace_info::timestamp_ms)
                .first(c)
                .optional())?;
            let start = start.ok_or_else(|| trace_not_found(id))?;
            let row = EndRow::of(&end, start);
            each!(conn, c => diesel::update(trace_info::table.find(id)).set(&row).execute(c))?;
            write_pairs(conn, id, &end.metadata, PG_METADATA, SQLITE_METADATA)?;
            write_pairs(conn, id, &end.tags, PG_TAGS, SQLITE_TAGS)?;
            get_info(conn, id)
        })
        .await
    }
}

macro_rules! insert_trace {
    ($values:literal) => {
        concat!(
            "INSERT INTO trace_info AS t (request_id, experiment_id, timestamp_ms, execution_time_ms, status, \
             client_request_id, request_preview, response_preview, trace_name, session_id, input_tokens, \
             output_tokens, total_tokens, cache_read_input_tokens, cache_creation_input_tokens, \
             cache_creation_input_tokens_above_1hr, input_cost, output_cost, total_cost, db_payload_generation) ",
            $values,
            " ON CONFLICT (request_id) DO UPDATE SET experiment_id = excluded.experiment_id, \
             timestamp_ms = excluded.timestamp_ms, execution_time_ms = excluded.execution_time_ms, \
             status = excluded.status, client_request_id = excluded.client_request_id, \
             request_preview = coalesce(excluded.request_preview, t.request_preview), \
             response_preview = coalesce(excluded.response_preview, t.response_preview), \
             trace_name = coalesce(excluded.trace_name, t.trace_name), \
             session_id = coalesce(excluded.session_id, t.session_id), \
             input_tokens = coalesce(excluded.input_tokens, t.input_tokens), \
             output_tokens = coalesce(excluded.output_tokens, t.output_tokens), \
             total_tokens = coalesce(excluded.total_tokens, t.total_tokens), \
             cache_read_input_tokens = coalesce(excluded.cache_read_input_tokens, t.cache_read_input_tokens), \
             cache_creation_input_tokens = \
               coalesce(excluded.cache_creation_input_tokens, t.cache_creation_input_tokens), \
             cache_creation_input_tokens_above_1hr = coalesce(excluded.cache_creation_input_tokens_above_1hr, \
               t.cache_creation_input_tokens_above_1hr), \
             input_cost = coalesce(excluded.input_cost, t.input_cost), \
             output_cost = coalesce(excluded.output_cost, t.output_cost), \
             total_cost = coalesce(excluded.total_cost, t.total_cost), \
             db_payload_generation = t.db_payload_generation + 1"
        )
    };
}

const PG_START: &str = insert_trace!(
    "SELECT n.id, n.experiment::int, n.start, n.duration, n.status, n.client, n.request, n.response, n.name, \
     n.session, n.t0, n.t1, n.t2, n.t3, n.t4, n.t5, n.c0, n.c1, n.c2, 0 \
     FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     n(id, experiment, start, duration, status, client, request, response, name, session, t0, t1, t2, t3, t4, t5, \
     c0, c1, c2)"
);
const SQLITE_START: &str =
    insert_trace!("VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)");

const PG_METADATA: &str = "INSERT INTO trace_request_metadata AS old (request_id, key, value) \
    SELECT * FROM unnest(?, ?, ?) ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value";
const SQLITE_METADATA: &str = "INSERT INTO trace_request_metadata AS old (request_id, key, value) VALUES (?, ?, ?) \
    ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value";

fn start_in(conn: &mut Conn, new: &NewTrace, version: Version) -> Result<()> {
    let experiment_id = new.experiment_id;
    let experiment = get_experiment_in(conn, experiment_id)?;
    require_active(&experiment)?;
    write_rows(conn, &columns_of(new, experiment_id), PG_START, SQLITE_START)?;
    let id = new.trace_id.as_str();
    require_spans_here(conn, id)?;
    let mut tags = new.tags.clone();
    let folder = artifact_uri::trace_location(experiment.artifact_location(), id)?;
    tags.insert(ARTIFACT_LOCATION.to_owned(), folder);
    write_pairs(conn, id, &tags, PG_TAGS, SQLITE_TAGS)?;
    let mut metadata = new.metadata.clone();
    if version == Version::V3 {
        metadata.insert(INFO_FINALIZED.to_owned(), "true".to_owned());
    }
    write_pairs(conn, id, &metadata, PG_METADATA, SQLITE_METADATA)?;
    write_assessments(conn, id, &new.assessments, (experiment_id, new.timestamp_ms), Known::Overwritten)?;
    follow(conn, id, experiment_id, new.timestamp_ms)
}

fn columns_of(new: &NewTrace, experiment_id: i32) -> Vec<Column<'_>> {
    let mut columns = vec![
        Column::Texts(vec![&new.trace_id]),
        Column::BigInts(vec![experiment_id.into()]),
        Column::BigInts(vec![new.timestamp_ms]),
        Column::OptBigInts(vec![new.execution_time_ms]),
        Column::Texts(vec![new.status]),
        Column::OptTexts(vec![new.client_request_id.as_deref()]),
        Column::OptTexts(vec![new.request_preview.as_deref()]),
        Column::OptTexts(vec![new.response_preview.as_deref()]),
        Column::OptTexts(vec![new.name.as_deref()]),
        Column::OptTexts(vec![new.session.as_deref()]),
    ];
    columns.extend(new.tokens.map(|count| Column::OptBigInts(vec![count])));
    columns.extend(new.cost.map(|cost| Column::OptDoubles(vec![cost])));
    columns
}

/// Refuses a trace whose spans are not kept in the database.
fn require_spans_here(conn: &mut Conn, id: &str) -> Result<()> {
    let tag = trace_tags::table.find((SPANS_LOCATION, id)).select(trace_tags::value);
    let location: Option<Option<String>> = each!(conn, c => tag.first(c).optional())?;
    match location.flatten().as_deref() {
        None | Some(TRACKING_STORE) => Ok(()),
        Some(_) => {
            let message = format!("Cannot update traces that are no longer DB-backed: '{id}'.");
            Err(Error::new(ErrorCode::InvalidState, message))
        }
    }
}

fn write_pairs(
    conn: &mut Conn,
    id: &str,
    pairs: &BTreeMap<String, String>,
    pg: &'static str,
    sqlite: &'static str,
) -> Result<()> {
    let columns = [
        Column::Texts(vec![id; pairs.len()]),
        Column::Texts(pairs.keys().map(String::as_str).collect()),
        Column::Texts(pairs.values().map(String::as_str).collect()),
    ];
    write_rows(conn, &columns, pg, sqlite)?;
    Ok(())
}

/// Keeps what spans and assessments carry along of their trace.
fn follow(conn: &mut Conn, id: &str, experiment_id: i32, timestamp_ms: i64) -> Result<()> {
    const SPANS: &str = "UPDATE spans SET experiment_id = ? WHERE trace_id = ? AND experiment_id <> ?";
    const ASSESSMENTS: &str =
        "UPDATE assessments SET experiment_id = ?, trace_timestamp_ms = ? WHERE trace_id = ?";
    let (number, time, id) = (Bind::Int(experiment_id), Bind::BigInt(timestamp_ms), Bind::Text(id));
    each!(conn, c => {
        statement::<()>(SPANS, &[number, id, number]).execute(c)?;
        statement::<()>(ASSESSMENTS, &[number, time, id]).execute(c)
    })?;
    Ok(())
}

/// What the end of a trace changes of its row; `None` leaves a column as it is.
#[derive(AsChangeset)]
#[diesel(table_name = trace_info)]
struct EndRow<'a> {
    execution_time_ms: Option<i64>,
    status: &'a str,
    trace_name: Option<&'a str>,
    session_id: Option<&'a str>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    total_tokens: Option<i64>,
    cache_read_input_tokens: Option<i64>,
    cache_creation_input_tokens: Option<i64>,
    cache_creation_input_tokens_above_1hr: Option<i64>,
    input_cost: Option<f64>,
    output_cost: Option<f64>,
    total_cost: Option<f64>,
}

impl<'a> EndRow<'a> {
    fn of(end: &'a NewTrace, start_ms: i64) -> Self {
        let [input, output, total, read, written, written_long] = end.tokens;
        let [input_cost, output_cost, total_cost] = end.cost;
        Self {
            execution_time_ms: Some(end.timestamp_ms - start_ms),
            status: end.status,
            trace_name: end.name.as_deref(),
            session_id: end.session.as_deref(),
            input_tokens: input,
            output_tokens: output,
            total_tokens: total,
            cache_read_input_tokens: read,
            cache_creation_input_tokens: written,
            cache_creation_input_tokens_above_1hr: written_long,
            input_cost,
            output_cost,
            total_cost,
        }
    }
}
