//! Spans on their way into the database: those of one request or of many at once, in a fixed number of statements.
//!
//! The row of a trace is locked before anything that belongs to it is read or written, and traces are locked in the
//! order of their ids: neither two writers of spans nor a writer of spans and one that starts the trace can deadlock,
//! and what is added up over all spans of a trace has seen them all.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde_json::Value as Tree;

use super::columns::{Column, write_rows};
use crate::domain::trace::span::{NewSpan, NewSpans, NewTraceSpans};
use crate::domain::trace::usage::{Node, cost_of, tokens_of};
use crate::domain::trace::{
    ARTIFACT_LOCATION, CHAT_USAGE, INFO_FINALIZED, LLM_COST, SPANS_LOCATION, TRACKING_STORE, USER,
};
use crate::domain::{Error, ErrorCode, Result, artifact_uri};
use crate::store::conn::Conn;
use crate::store::each;
use crate::store::experiments::experiment_not_found;
use crate::store::schema::experiments;
use crate::store::statement::{Bind, json_list, statement};

/// What became of one request among others.
pub(in crate::store) type Verdict = Result<()>;

/// Stores the spans of requests in the open transaction and returns a verdict for each. Requests take effect in their
/// order; a span that is there already is written over.
///
/// # Errors
/// What is the fault of no single request, or of one that cannot be told from the others; then nothing may be
/// committed. Upstream: `SqlAlchemyStore._log_spans_once`.
/// Differs: an unknown experiment is an error, too, where all traces are there already.
pub(in crate::store) fn log_spans_of_each(conn: &mut Conn, requests: &[&NewSpans]) -> Result<Vec<Verdict>> {
    let locations = experiment_locations(conn, requests)?;
    let is_known = |request: &NewSpans| locations.contains_key(&request.experiment_id);
    let known: Vec<&NewSpans> = requests.iter().filter(|request| is_known(request)).copied().collect();
    let mut traces = merge(&known);
    lock(conn, &mut traces)?;
    if traces.iter().any(|trace| !trace.is_new()) {
        check_locations(conn, &mut traces)?;
    }
    write_spans(conn, &traces)?;
    update_traces(conn, &mut traces)?;
    write_tags(conn, &traces, &locations)?;
    let verdict = |request: &&NewSpans| {
        if is_known(request) { Ok(()) } else { Err(experiment_not_found(request.experiment_id)) }
    };
    Ok(requests.iter().map(verdict).collect())
}

fn experiment_locations(conn: &mut Conn, requests: &[&NewSpans]) -> Result<HashMap<i32, String>> {
    let mut ids: Vec<i32> = requests.iter().map(|request| request.experiment_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let columns = (experiments::experiment_id, experiments::artifact_location);
    let rows: Vec<(i32, Option<String>)> = match ids.as_slice() {
        [id] => each!(conn, c => experiments::table.find(id).select(columns).load(c)),
        ids => each!(conn, c => experiments::table
            .filter(experiments::experiment_id.eq_any(ids))
            .select(columns)
            .load(c)),
    }?;
    Ok(rows.into_iter().map(|(id, location)| (id, location.unwrap_or_default())).collect())
}

/// What is written of one trace: the spans of all requests together.
struct TraceWrite<'a> {
    id: &'a str,
    experiment_id: i32,
    parts: Vec<&'a NewTraceSpans>,
    spans: BTreeMap<&'a str, &'a NewSpan>,
    start_ms: i64,
    end_ms: i64,
    /// What was in the database when its row was locked; `None` for a new trace.
    stored: Option<Stored>,
}

/// What is known of a stored trace.
#[derive(Debug, Clone, Default)]
struct Stored {
    timestamp_ms: i64,
    execution_time_ms: Option<i64>,
    status: String,
    has_tokens: bool,
    has_cost: bool,
    /// Whether the client has told all it knows of the trace.
    is_finalized: bool,
}

impl<'a> TraceWrite<'a> {
    fn is_new(&self) -> bool {
        self.stored.is_none()
    }

    fn first<T>(&self, of: impl Fn(&'a NewTraceSpans) -> Option<T>) -> Option<T> {
        self.parts.iter().find_map(|part| of(part))
    }

    fn last<T>(&self, of: impl Fn(&'a NewTraceSpans) -> Option<T>) -> Option<T> {
        self.parts.iter().rev().find_map(|part| of(part))
    }

    /// Nodes of the given kind; of a span that was sent twice the last.
    fn nodes(&self, of: impl Fn(&'a NewTraceSpans) -> &'a [Node]) -> Vec<&'a Node> {
        let mut seen = HashSet::new();
        let all = self.parts.iter().rev().flat_map(|part| of(part).iter().rev());
        all.filter(|node| seen.insert(node.span_id.as_str())).collect()
    }

    fn has_data(&self, of: impl Fn(&'a NewTraceSpans) -> &'a [Node]) -> bool {
        self.parts.iter().any(|part| of(part).iter().any(|node| node.data.is_some()))
    }
}

fn usage(part: &NewTraceSpans) -> &[Node] {
    &part.usage
}

fn cost(part: &NewTraceSpans) -> &[Node] {
    &part.cost
}

/// Puts together what several requests bring for one trace, in the order of the traces' ids.
fn merge<'a>(requests: &[&'a NewSpans]) -> Vec<TraceWrite<'a>> {
    let mut traces: BTreeMap<&str, TraceWrite<'a>> = BTreeMap::new();
    for request in requests {
        for part in request.traces.iter().filter(|part| !part.spans.is_empty()) {
            let trace = traces.entry(&part.trace_id).or_insert_with(|| TraceWrite {
                id: &part.trace_id,
                experiment_id: request.experiment_id,
                parts: Vec::new(),
                spans: BTreeMap::new(),
                start_ms: part.start_ms,
                end_ms: part.end_ms,
                stored: None,
            });
            trace.start_ms = trace.start_ms.min(part.start_ms);
            trace.end_ms = trace.end_ms.max(part.end_ms);
            trace.spans.extend(part.spans.iter().map(|span| (span.span_id.as_str(), span)));
            trace.parts.push(part);
        }
    }
    traces.into_values().collect()
}

const PG_LOCK: &str = "INSERT INTO trace_info AS t (request_id, experiment_id, timestamp_ms, status, db_payload_generation) \
    SELECT n.id, n.experiment::int, n.start, 'IN_PROGRESS', 1 FROM unnest(?, ?, ?) n(id, experiment, start) \
    ON CONFLICT (request_id) DO UPDATE SET db_payload_generation = t.db_payload_generation + 1 \
    RETURNING t.request_id, t.xmax = 0, t.experiment_id::bigint, t.timestamp_ms, t.execution_time_ms, t.status, \
    coalesce(t.input_tokens, t.output_tokens, t.total_tokens, t.cache_read_input_tokens, \
      t.cache_creation_input_tokens, t.cache_creation_input_tokens_above_1hr) IS NOT NULL, \
    coalesce(t.input_cost, t.output_cost, t.total_cost) IS NOT NULL";
/// On SQLite nobody else writes: a new row is one that the first statement inserts.
const SQLITE_INSERT: &str = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation) \
    VALUES (?, ?, ?, 'IN_PROGRESS', 1) ON CONFLICT DO NOTHING";
const SQLITE_LOCK: &str = "UPDATE trace_info AS t SET db_payload_generation = db_payload_generation + 1 WHERE request_id = ? \
    RETURNING request_id, 0, experiment_id, timestamp_ms, execution_time_ms, status, \
    coalesce(input_tokens, output_tokens, total_tokens, cache_read_input_tokens, \
      cache_creation_input_tokens, cache_creation_input_tokens_above_1hr) IS NOT NULL, \
    coalesce(input_cost, output_cost, total_cost) IS NOT NULL";

type LockSql = (Text, Bool, BigInt, BigInt, Nullable<BigInt>, Text, Bool, Bool);
type LockRow = (String, bool, i64, i64, Option<i64>, String, bool, bool);

/// Makes rows for new traces and locks those of the others.
fn lock(conn: &mut Conn, traces: &mut [TraceWrite<'_>]) -> Result<()> {
    let rows = match conn {
        Conn::Pg(c) => {
            let ids: Vec<&str> = traces.iter().map(|trace| trace.id).collect();
            let experiments: Vec<i64> = traces.iter().map(|trace| trace.experiment_id.into()).collect();
            let starts: Vec<i64> = traces.iter().map(|trace| trace.start_ms).collect();
            let binds = [Bind::Texts(&ids), Bind::BigInts(&experiments), Bind::BigInts(&starts)];
            statement::<LockSql>(PG_LOCK, &binds).load::<LockRow>(c)?
        }
        Conn::Sqlite(c) => {
            let mut rows = Vec::new();
            for trace in &*traces {
                let experiment = Bind::BigInt(trace.experiment_id.into());
                let binds = [Bind::Text(trace.id), experiment, Bind::BigInt(trace.start_ms)];
                if statement::<()>(SQLITE_INSERT, &binds).execute(c)? == 0 {
                    rows.extend(
                        statement::<LockSql>(SQLITE_LOCK, &[Bind::Text(trace.id)]).load::<LockRow>(c)?,
                    );
                }
            }
            rows
        }
    };
    let mut stored: HashMap<String, LockRow> =
        rows.into_iter().filter(|row| !row.1).map(|row| (row.0.clone(), row)).collect();
    for trace in traces {
        let Some(row) = stored.remove(trace.id) else { continue };
        trace.experiment_id = i32::try_from(row.2).map_err(Error::internal)?;
        trace.stored = Some(Stored {
            timestamp_ms: row.3,
            execution_time_ms: row.4,
            status: row.5,
            has_tokens: row.6,
            has_cost: row.7,
            is_finalized: false,
        });
    }
    Ok(())
}

/// Indexes: the primary keys (see "Look-ups" in `statement.rs`).
const PG_MARKS: &str = concat!(
    "SELECT d.* FROM unnest((SELECT ?)) p(id) CROSS JOIN LATERAL (\
     SELECT request_id, key, value FROM trace_request_metadata WHERE ",
    same_pair!("key", "request_id", "'mlflow.trace.infoFinalized'", "p.id"),
    " UNION ALL SELECT request_id, key, value FROM trace_tags WHERE ",
    same_pair!("key", "request_id", "'mlflow.trace.spansLocation'", "p.id"),
    " AND value <> 'TRACKING_STORE' OFFSET 0) d"
);
pub(super) const SQLITE_MARKS: &str = "SELECT d.request_id, d.key, d.value FROM json_each(?) p \
    CROSS JOIN trace_request_metadata d ON d.request_id = p.value AND d.key = 'mlflow.trace.infoFinalized' \
    UNION ALL SELECT d.request_id, d.key, d.value FROM json_each(?) p \
    CROSS JOIN trace_tags d ON d.request_id = p.value AND d.key = 'mlflow.trace.spansLocation' \
    WHERE d.value <> 'TRACKING_STORE'";

/// Finds out which of the stored traces are finished by their client, and refuses those whose spans are elsewhere.
///
/// # Errors
/// `INVALID_STATE` for these. Upstream: `_raise_log_spans_trace_write_conflict_error`.
fn check_locations(conn: &mut Conn, traces: &mut [TraceWrite<'_>]) -> Result<()> {
    let ids: Vec<&str> = traces.iter().filter(|trace| !trace.is_new()).map(|trace| trace.id).collect();
    let rows: Vec<(String, String, Option<String>)> = match conn {
        Conn::Pg(c) => statement::<(Text, Text, Nullable<Text>)>(PG_MARKS, &[Bind::Texts(&ids)]).load(c)?,
        Conn::Sqlite(c) => {
            let list = json_list(&ids);
            statement::<(Text, Text, Nullable<Text>)>(SQLITE_MARKS, &[Bind::Text(&list); 2]).load(c)?
        }
    };
    let elsewhere: Vec<&(String, String, Option<String>)> =
        rows.iter().filter(|(_, key, _)| key == SPANS_LOCATION).collect();
    if !elsewhere.is_empty() {
        return Err(spans_elsewhere(&elsewhere));
    }
    let finalized: HashSet<&str> =
        rows.iter().filter(|(_, key, _)| key == INFO_FINALIZED).map(|(id, ..)| id.as_str()).collect();
    for trace in traces {
        if let Some(stored) = &mut trace.stored {
            stored.is_finalized = finalized.contains(trace.id);
        }
    }
    Ok(())
}

fn spans_elsewhere(rows: &[&(String, String, Option<String>)]) -> Error {
    let ids = |archived: bool| {
        let is_it =
            |row: &&&(String, String, Option<String>)| (row.2.as_deref() == Some("ARCHIVE_REPO")) == archived;
        let mut ids: Vec<String> = rows.iter().filter(is_it).map(|row| format!("'{}'", row.0)).collect();
        ids.sort_unstable();
        ids.join(", ")
    };
    let (archived, other) = (ids(true), ids(false));
    let message = if other.is_empty() {
        format!("Cannot log spans to archived traces: {archived}.")
    } else {
        let group = |name: &str, ids: &str| (!ids.is_empty()).then(|| format!("{name}={ids}"));
        let groups: Vec<String> =
            [group("archived", &archived), group("other", &other)].into_iter().flatten().collect();
        format!(
            "Cannot log spans because one or more traces are unavailable for DB-backed span writes: {}",
            groups.join("; ")
        )
    };
    Error::new(ErrorCode::InvalidState, message)
}

const PG_SPANS: &str = "INSERT INTO spans (trace_id, experiment_id, span_id, parent_span_id, name, type, status, \
    start_time_unix_nano, end_time_unix_nano, content, input_cost, output_cost, total_cost, model_name, model_provider) \
    SELECT n.trace, n.experiment::int, n.span, n.parent, n.name, n.type, n.status, n.start, n.ended, n.content, \
    n.input, n.output, n.total, n.model, n.provider FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    n(trace, experiment, span, parent, name, type, status, start, ended, content, input, output, total, model, provider) \
    ON CONFLICT (trace_id, span_id) DO UPDATE SET experiment_id = excluded.experiment_id, \
    parent_span_id = excluded.parent_span_id, name = excluded.name, type = excluded.type, status = excluded.status, \
    start_time_unix_nano = excluded.start_time_unix_nano, end_time_unix_nano = excluded.end_time_unix_nano, \
    content = excluded.content, input_cost = excluded.input_cost, output_cost = excluded.output_cost, \
    total_cost = excluded.total_cost, model_name = excluded.model_name, model_provider = excluded.model_provider";
const SQLITE_SPANS: &str = "INSERT INTO spans (trace_id, experiment_id, span_id, parent_span_id, name, type, status, \
    start_time_unix_nano, end_time_unix_nano, content, input_cost, output_cost, total_cost, model_name, model_provider) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT (trace_id, span_id) DO UPDATE SET experiment_id = excluded.experiment_id, \
    parent_span_id = excluded.parent_span_id, name = excluded.name, type = excluded.type, status = excluded.status, \
    start_time_unix_nano = excluded.start_time_unix_nano, end_time_unix_nano = excluded.end_time_unix_nano, \
    content = excluded.content, input_cost = excluded.input_cost, output_cost = excluded.output_cost, \
    total_cost = excluded.total_cost, model_name = excluded.model_name, model_provider = excluded.model_provider";

fn write_spans(conn: &mut Conn, traces: &[TraceWrite<'_>]) -> Result<()> {
    let rows: Vec<(&TraceWrite<'_>, &NewSpan)> =
        traces.iter().flat_map(|trace| trace.spans.values().map(move |span| (trace, *span))).collect();
    let texts = |of: fn(&NewSpan) -> &str| Column::Texts(rows.iter().map(|(_, span)| of(span)).collect());
    let optional =
        |of: fn(&NewSpan) -> Option<&str>| Column::OptTexts(rows.iter().map(|(_, span)| of(span)).collect());
    let numbers = |of: fn(&NewSpan) -> i64| Column::BigInts(rows.iter().map(|(_, span)| of(span)).collect());
    let costs =
        |of: fn(&NewSpan) -> Option<f64>| Column::OptDoubles(rows.iter().map(|(_, span)| of(span)).collect());
    let columns = [
        Column::Texts(rows.iter().map(|(trace, _)| trace.id).collect()),
        Column::BigInts(rows.iter().map(|(trace, _)| trace.experiment_id.into()).collect()),
        texts(|span| &span.span_id),
        optional(|span| span.parent_span_id.as_deref()),
        texts(|span| &span.name),
        optional(|span| span.span_type.as_deref()),
        texts(|span| span.status),
        numbers(|span| span.start_ns),
        numbers(|span| span.end_ns),
        texts(|span| &span.content),
        costs(|span| span.cost[0]),
        costs(|span| span.cost[1]),
        costs(|span| span.cost[2]),
        optional(|span| span.model.as_deref()),
        optional(|span| span.provider.as_deref()),
    ];
    write_rows(conn, &columns, PG_SPANS, SQLITE_SPANS)?;
    Ok(())
}

/// What becomes of the row of a trace; `None` leaves a column as it is.
#[derive(Debug, Default)]
struct Update {
    timestamp_ms: Option<i64>,
    execution_time_ms: Option<i64>,
    status: Option<String>,
    tokens: [Option<i64>; 6],
    cost: [Option<f64>; 3],
}

const PG_UPDATE: &str = "UPDATE trace_info t SET timestamp_ms = coalesce(n.start, t.timestamp_ms), \
    execution_time_ms = coalesce(n.duration, t.execution_time_ms), status = coalesce(n.status, t.status), \
    request_preview = coalesce(t.request_preview, n.request), response_preview = coalesce(t.response_preview, n.response), \
    trace_name = coalesce(n.name, t.trace_name), session_id = coalesce(t.session_id, n.session), \
    input_tokens = coalesce(n.t0, t.input_tokens), output_tokens = coalesce(n.t1, t.output_tokens), \
    total_tokens = coalesce(n.t2, t.total_tokens), \
    cache_read_input_tokens = coalesce(n.t3, t.cache_read_input_tokens), \
    cache_creation_input_tokens = coalesce(n.t4, t.cache_creation_input_tokens), \
    cache_creation_input_tokens_above_1hr = coalesce(n.t5, t.cache_creation_input_tokens_above_1hr), \
    input_cost = coalesce(n.c0, t.input_cost), output_cost = coalesce(n.c1, t.output_cost), \
    total_cost = coalesce(n.c2, t.total_cost) \
    FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    n(start, duration, status, request, response, name, session, t0, t1, t2, t3, t4, t5, c0, c1, c2, id) \
    WHERE t.request_id BETWEEN n.id AND n.id";
const SQLITE_UPDATE: &str = "UPDATE trace_info SET timestamp_ms = coalesce(?, timestamp_ms), \
    execution_time_ms = coalesce(?, execution_time_ms), status = coalesce(?, status), \
    request_preview = coalesce(request_preview, ?), response_preview = coalesce(response_preview, ?), \
    trace_name = coalesce(?, trace_name), session_id = coalesce(session_id, ?), \
    input_tokens = coalesce(?, input_tokens), output_tokens = coalesce(?, output_tokens), \
    total_tokens = coalesce(?, total_tokens), cache_read_input_tokens = coalesce(?, cache_read_input_tokens), \
    cache_creation_input_tokens = coalesce(?, cache_creation_input_tokens), \
    cache_creation_input_tokens_above_1hr = coalesce(?, cache_creation_input_tokens_above_1hr), \
    input_cost = coalesce(?, input_cost), output_cost = coalesce(?, output_cost), \
    total_cost = coalesce(?, total_cost) WHERE request_id = ?";

/// Writes what the spans say about their traces.
fn update_traces(conn: &mut Conn, traces: &mut [TraceWrite<'_>]) -> Result<()> {
    let stored = stored_nodes(conn, traces)?;
    let updates: Vec<Update> = traces.iter().map(|trace| update_of(trace, &stored)).collect();
    let rows = || traces.iter().zip(&updates);
    let texts = |of: fn(&NewTraceSpans) -> Option<&str>| {
        Column::OptTexts(traces.iter().map(|trace| trace.first(of)).collect())
    };
    let mut columns = vec![
        Column::OptBigInts(updates.iter().map(|update| update.timestamp_ms).collect()),
        Column::OptBigInts(updates.iter().map(|update| update.execution_time_ms).collect()),
        Column::OptTexts(updates.iter().map(|update| update.status.as_deref()).collect()),
        texts(|part| part.request_preview.as_deref()),
        texts(|part| part.response_preview.as_deref()),
        Column::OptTexts(traces.iter().map(|trace| trace.last(|part| part.name.as_deref())).collect()),
        texts(|part| part.session.as_deref()),
    ];
    for place in 0..6 {
        columns.push(Column::OptBigInts(
            updates.iter().map(|u| u.tokens.get(place).copied().flatten()).collect(),
        ));
    }
    for place in 0..3 {
        columns
            .push(Column::OptDoubles(updates.iter().map(|u| u.cost.get(place).copied().flatten()).collect()));
    }
    columns.push(Column::Texts(traces.iter().map(|trace| trace.id).collect()));
    write_rows(conn, &columns, PG_UPDATE, SQLITE_UPDATE)?;
    let moved: Vec<(&str, i64)> = rows()
        .filter(|(trace, _)| !trace.is_new())
        .filter_map(|(trace, update)| Some((trace.id, update.timestamp_ms?)))
        .collect();
    move_assessments(conn, &moved)
}

/// Keeps the time of a trace that assessments carry along.
fn move_assessments(conn: &mut Conn, moved: &[(&str, i64)]) -> Result<()> {
    const PG: &str = "UPDATE assessments a SET trace_timestamp_ms = n.start FROM unnest(?, ?) n(start, id) \
        WHERE a.trace_id BETWEEN n.id AND n.id";
    const SQLITE: &str = "UPDATE assessments SET trace_timestamp_ms = ? WHERE trace_id = ?";
    let columns = [
        Column::BigInts(moved.iter().map(|(_, start)| *start).collect()),
        Column::Texts(moved.iter().map(|(id, _)| *id).collect()),
    ];
    write_rows(conn, &columns, PG, SQLITE)?;
    Ok(())
}

/// Upstream: phase 5 of `_log_spans_once`. Differs: spans without an end do not make the trace end before it began.
fn update_of(trace: &TraceWrite<'_>, nodes: &StoredNodes) -> Update {
    let mut update = Update::default();
    let (has_usage, has_cost) = (trace.has_data(usage), trace.has_data(cost));
    let has_session = trace.first(|part| part.session.as_ref()).is_some();
    let stored = trace.stored.clone().unwrap_or_else(|| Stored {
        timestamp_ms: trace.start_ms,
        status: "IN_PROGRESS".to_owned(),
        ..Stored::default()
    });
    // As in stock, the mark counts only for requests that bring something it protects.
    let is_finalized = stored.is_finalized && (has_usage || has_cost || has_session);
    if !is_finalized {
        let start = stored.timestamp_ms.min(trace.start_ms);
        update.timestamp_ms = (start < stored.timestamp_ms).then_some(start);
        let stored_end = stored.execution_time_ms.map(|duration| stored.timestamp_ms + duration);
        let end = stored_end.map_or(trace.end_ms, |end| end.max(trace.end_ms));
        update.execution_time_ms = (trace.end_ms > 0 || start == 0).then_some(end - start);
    }
    if matches!(stored.status.as_str(), "IN_PROGRESS" | "STATE_UNSPECIFIED") {
        update.status = trace.first(|part| part.status).map(str::to_owned);
    }
    if has_usage && !(stored.is_finalized && stored.has_tokens) {
        let mut all = trace.nodes(usage);
        all.extend(nodes.usage.get(trace.id).into_iter().flatten());
        update.tokens = tokens_of(&all).unwrap_or_default();
    }
    if has_cost && !(stored.is_finalized && stored.has_cost) {
        let mut all = trace.nodes(cost);
        all.extend(nodes.cost.get(trace.id).into_iter().flatten());
        update.cost = cost_of(&all).unwrap_or_default();
    }
    update
}

/// What the spans of stored traces count that are not sent again now.
#[derive(Default)]
struct StoredNodes {
    usage: HashMap<String, Vec<Node>>,
    cost: HashMap<String, Vec<Node>>,
}

/// The content only of spans that count something.
const PG_NODES: &str = "SELECT s.* FROM unnest((SELECT ?)) p(id) CROSS JOIN LATERAL (SELECT trace_id, span_id, parent_span_id, \
    CASE WHEN content LIKE '%\"mlflow.chat.tokenUsage\"%' OR content LIKE '%\"mlflow.llm.cost\"%' THEN content END \
    FROM spans WHERE trace_id BETWEEN p.id AND p.id AND content <> '' OFFSET 0) s";
pub(super) const SQLITE_NODES: &str = "SELECT s.trace_id, s.span_id, s.parent_span_id, \
    CASE WHEN s.content LIKE '%\"mlflow.chat.tokenUsage\"%' OR s.content LIKE '%\"mlflow.llm.cost\"%' \
    THEN s.content END FROM json_each(?) p CROSS JOIN spans s ON s.trace_id = p.value WHERE s.content <> ''";

/// Loads what is counted in stored traces to which something is added.
fn stored_nodes(conn: &mut Conn, traces: &[TraceWrite<'_>]) -> Result<StoredNodes> {
    type Row = (String, String, Option<String>, Option<String>);
    let counts = |trace: &&TraceWrite<'_>| !trace.is_new() && (trace.has_data(usage) || trace.has_data(cost));
    let ids: Vec<&str> = traces.iter().filter(counts).map(|trace| trace.id).collect();
    let rows: Vec<Row> = match conn {
        _ if ids.is_empty() => return Ok(StoredNodes::default()),
        Conn::Pg(c) => {
            statement::<(Text, Text, Nullable<Text>, Nullable<Text>)>(PG_NODES, &[Bind::Texts(&ids)])
                .load(c)?
        }
        Conn::Sqlite(c) => {
            let list = json_list(&ids);
            statement::<(Text, Text, Nullable<Text>, Nullable<Text>)>(SQLITE_NODES, &[Bind::Text(&list)])
                .load(c)?
        }
    };
    let sent: HashMap<&str, &BTreeMap<&str, &NewSpan>> =
        traces.iter().map(|trace| (trace.id, &trace.spans)).collect();
    let mut nodes = StoredNodes::default();
    for (trace, span, parent, content) in rows {
        if sent.get(trace.as_str()).is_some_and(|spans| spans.contains_key(span.as_str())) {
            continue;
        }
        let content: Option<Tree> = content.and_then(|json| serde_json::from_str(&json).ok());
        let attributes = content.as_ref().and_then(|content| content.get("attributes"));
        let node = |name: &str| Node::new(&span, parent.as_deref(), attributes.and_then(|all| all.get(name)));
        nodes.usage.entry(trace.clone()).or_default().push(node(CHAT_USAGE));
        nodes.cost.entry(trace.clone()).or_default().push(node(LLM_COST));
    }
    Ok(nodes)
}

pub(super) const PG_TAGS: &str = "INSERT INTO trace_tags AS old (request_id, key, value) SELECT * FROM unnest(?, ?, ?) \
    ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value WHERE old.value IS DISTINCT FROM excluded.value";
pub(super) const SQLITE_TAGS: &str = "INSERT INTO trace_tags AS old (request_id, key, value) VALUES (?, ?, ?) \
    ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value WHERE old.value IS NOT excluded.value";
const PG_METADATA: &str = "INSERT INTO trace_request_metadata (request_id, key, value) SELECT * FROM unnest(?, ?, ?) \
    ON CONFLICT DO NOTHING";
const SQLITE_METADATA: &str =
    "INSERT INTO trace_request_metadata (request_id, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

/// Writes tags, and who asked where that is not known yet.
fn write_tags(conn: &mut Conn, traces: &[TraceWrite<'_>], locations: &HashMap<i32, String>) -> Result<()> {
    let mut tags: BTreeMap<(&str, &str), String> = BTreeMap::new();
    let mut users: Vec<(&str, &str, &str)> = Vec::new();
    for trace in traces {
        if trace.is_new() {
            let root = locations.get(&trace.experiment_id).map(String::as_str).unwrap_or_default();
            tags.insert((trace.id, ARTIFACT_LOCATION), artifact_uri::trace_location(root, trace.id)?);
        }
        for (key, value) in trace.parts.iter().flat_map(|part| &part.tags) {
            tags.insert((trace.id, key), value.clone());
        }
        tags.insert((trace.id, SPANS_LOCATION), TRACKING_STORE.to_owned());
        users.extend(trace.first(|part| part.user.as_deref()).map(|user| (trace.id, USER, user)));
    }
    let tags: Vec<(&str, &str, &str)> =
        tags.iter().map(|((id, key), value)| (*id, *key, value.as_str())).collect();
    write_rows(conn, &pairs(&tags), PG_TAGS, SQLITE_TAGS)?;
    write_rows(conn, &pairs(&users), PG_METADATA, SQLITE_METADATA)?;
    Ok(())
}

fn pairs<'a>(rows: &[(&'a str, &'a str, &'a str)]) -> [Column<'a>; 3] {
    [
        Column::Texts(rows.iter().map(|row| row.0).collect()),
        Column::Texts(rows.iter().map(|row| row.1).collect()),
        Column::Texts(rows.iter().map(|row| row.2).collect()),
    ]
}
