//! The histories of metrics: whole, paged, of many runs, and sampled.
//!
//! All statements go by stock's index on (run, key, step), which SQLite has to be told, since it takes the primary
//! key for more selective and would read the points of all runs that log the same key. Measured on 1.3 million
//! points with 10 runs of 100,000: an index of ours that also holds timestamp and value halves the time of a whole
//! history (`PostgreSQL` 92 to 42 ms of CPU, `SQLite` 160 to 80), but makes the insertion of metrics 27 % and 50 %
//! dearer and the table with its indexes a third larger, so there is none.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Text};

use crate::domain::Result;
use crate::domain::page::offset_token;
use crate::domain::sampling::{Plan, StepBlock};
use crate::store::Store;
use crate::store::conn::Conn;
use crate::store::statement::{Bind, statement};

/// A value of a metric, as it was logged.
#[derive(Queryable, Debug, Clone, Copy, PartialEq)]
pub struct Point {
    value: f64,
    /// Time of logging, in milliseconds.
    pub timestamp: i64,
    /// Place in the run's course.
    pub step: i64,
    is_nan: bool,
}

type PointSql = (Double, BigInt, BigInt, Bool);

impl Point {
    /// Returns the value; NaN is stored as a zero with a mark.
    pub const fn value(&self) -> f64 {
        if self.is_nan { f64::NAN } else { self.value }
    }
}

/// Points of one metric of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The run.
    pub run_id: String,
    /// Its points, in the order of the call that returned them.
    pub points: Vec<Point>,
}

/// A part of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    /// Ordered by timestamp, step and value.
    pub points: Vec<Point>,
    /// Names the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// What to sample of every run.
#[derive(Debug, Clone)]
pub struct SampleQuery {
    /// The key of the metric.
    pub key: String,
    /// First and last step that count.
    pub steps: (i64, i64),
    /// Most points of each run.
    pub max_points: usize,
}

impl Store {
    /// Returns the points of a run's metric from the place `offset` on, at most `limit` of them; none for a run or
    /// metric that does not exist. One statement.
    ///
    /// Upstream: `SqlAlchemyStore.get_metric_history`.
    pub async fn get_metric_history(
        &self,
        run_id: String,
        key: String,
        limit: Option<i64>,
        offset: i64,
    ) -> Result<HistoryPage> {
        self.read(move |conn| get_metric_history_in(conn, &run_id, &key, limit, offset)).await
    }

    /// Returns the points of a metric of several runs, ordered by run, timestamp, step and value, at most `limit`
    /// in all.
    ///
    /// Upstream: `SqlAlchemyStore.get_metric_history_bulk`.
    pub async fn get_metric_history_bulk(
        &self,
        run_ids: Vec<String>,
        key: String,
        limit: i64,
    ) -> Result<Vec<History>> {
        self.read(move |conn| get_metric_history_bulk_in(conn, &run_ids, &key, limit)).await
    }

    /// Returns for each of `run_ids`, in their order, points that are evenly spread over the metric's history,
    /// ordered by step, timestamp and value; see [`sampling`](crate::domain::sampling).
    ///
    /// Two statements for all runs with no more than the wanted number of points, one more for each larger run.
    /// What is logged between the statements may shift a sample by a point.
    ///
    /// Upstream: `SqlAlchemyStore.get_metric_history_bulk_interval`.
    pub async fn sample_metric_history(
        &self,
        run_ids: Vec<String>,
        query: SampleQuery,
    ) -> Result<Vec<History>> {
        self.read(move |conn| sample_metric_history_in(conn, &run_ids, &query)).await
    }
}

fn get_metric_history_in(
    conn: &mut Conn,
    run_id: &str,
    key: &str,
    limit: Option<i64>,
    offset: i64,
) -> Result<HistoryPage> {
    // One more than asked for shows whether there is a next page.
    let fetched = limit.map_or(i64::MAX, |n| n.saturating_add(1));
    let binds = [Bind::Text(run_id), Bind::Text(key), Bind::BigInt(fetched), Bind::BigInt(offset)];
    let mut points: Vec<Point> = match conn {
        Conn::Pg(c) => statement::<PointSql>(PG_HISTORY, &binds).load(c),
        Conn::Sqlite(c) => statement::<PointSql>(SQLITE_HISTORY, &binds).load(c),
    }?;
    let limit = limit.and_then(|n| usize::try_from(n).ok()).filter(|n| points.len() > *n);
    let next_page_token = limit.map(|n| {
        points.truncate(n);
        offset_token(offset.saturating_add_unsigned(n as u64))
    });
    Ok(HistoryPage { points, next_page_token })
}

const PG_HISTORY: &str = "SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND key = ? \
                          ORDER BY timestamp, step, value, is_nan LIMIT ? OFFSET ?";
const SQLITE_HISTORY: &str = "SELECT value, timestamp, step, is_nan FROM metrics \
                              INDEXED BY index_metrics_run_uuid_key_step WHERE run_uuid = ? AND key = ? \
                              ORDER BY timestamp, step, value, is_nan LIMIT ? OFFSET ?";

fn get_metric_history_bulk_in(
    conn: &mut Conn,
    run_ids: &[String],
    key: &str,
    limit: i64,
) -> Result<Vec<History>> {
    const PG: &str = "SELECT run_uuid, value, timestamp, step, is_nan FROM metrics \
                      WHERE run_uuid = ANY(?) AND key = ? \
                      ORDER BY run_uuid, timestamp, step, value, is_nan LIMIT ?";
    let run_ids: Vec<&str> =
        run_ids.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Texts(&run_ids), Bind::Text(key), Bind::BigInt(limit)];
            let rows = statement::<(Text, Double, BigInt, BigInt, Bool)>(PG, &binds).load(c)?;
            Ok(group_by_run(rows))
        }
        Conn::Sqlite(c) => {
            let (mut rest, mut histories) = (limit, Vec::with_capacity(run_ids.len()));
            for run_id in run_ids {
                let binds = [Bind::Text(run_id), Bind::Text(key), Bind::BigInt(rest), Bind::BigInt(0)];
                let points: Vec<Point> = statement::<PointSql>(SQLITE_HISTORY, &binds).load(c)?;
                rest = rest.saturating_sub_unsigned(points.len() as u64);
                histories.push(History { run_id: run_id.to_owned(), points });
            }
            Ok(histories)
        }
    }
}

type RunPoint = (String, f64, i64, i64, bool);

/// Groups rows that come sorted by run.
fn group_by_run(rows: Vec<RunPoint>) -> Vec<History> {
    let mut histories: Vec<History> = Vec::new();
    for (run_id, value, timestamp, step, is_nan) in rows {
        let point = Point { value, timestamp, step, is_nan };
        match histories.last_mut() {
            Some(last) if last.run_id == run_id => last.points.push(point),
            _ => histories.push(History { run_id, points: vec![point] }),
        }
    }
    histories
}

fn sample_metric_history_in(
    conn: &mut Conn,
    run_ids: &[String],
    query: &SampleQuery,
) -> Result<Vec<History>> {
    let distinct: Vec<&str> =
        run_ids.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
    let blocks = step_blocks(conn, &distinct, query)?;
    let mut small = Vec::new();
    let mut sampled: HashMap<&str, Vec<Point>> = HashMap::with_capacity(distinct.len());
    for (run_id, blocks) in blocks {
        let Some(run_id) = distinct.get(run_id) else { continue };
        match Plan::new(&blocks, query.max_points) {
            Plan::Everything => small.push(*run_id),
            Plan::Steps { steps, keep } => {
                let points = points_at_steps(conn, run_id, &query.key, &steps)?;
                sampled.insert(run_id, keep.iter().filter_map(|k| points.get(*k).copied()).collect());
            }
            Plan::Places(places) => {
                sampled.insert(run_id, points_at_places(conn, run_id, query, &places)?);
            }
        }
    }
    let everything = all_points(conn, &small, query)?;
    let everything: HashMap<&str, &History> = everything.iter().map(|h| (h.run_id.as_str(), h)).collect();
    let points_of = |run_id: &str| {
        let all = everything.get(run_id).map(|h| &h.points);
        sampled.get(run_id).or(all).cloned().unwrap_or_default()
    };
    Ok(run_ids.iter().map(|id| History { run_id: id.clone(), points: points_of(id) }).collect())
}

/// Describes the histories of runs, each with the run's place among `run_ids`.
fn step_blocks(
    conn: &mut Conn,
    run_ids: &[&str],
    query: &SampleQuery,
) -> QueryResult<Vec<(usize, Vec<StepBlock>)>> {
    const PG: &str = "SELECT runs.place, blocks.* FROM unnest(?) WITH ORDINALITY runs(id, place) \
                      CROSS JOIN LATERAL (SELECT step >> 6, count(*), bit_or(1::bigint << (step & 63)::int) \
                      FROM metrics WHERE run_uuid = runs.id AND key = ? AND step BETWEEN ? AND ? GROUP BY 1) blocks";
    const SQLITE: &str = "SELECT step FROM metrics INDEXED BY index_metrics_run_uuid_key_step \
                          WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ? ORDER BY step";
    let (first, last) = (Bind::BigInt(query.steps.0), Bind::BigInt(query.steps.1));
    let key = Bind::Text(&query.key);
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Texts(run_ids), key, first, last];
            let rows = statement::<(BigInt, BigInt, BigInt, BigInt)>(PG, &binds).load(c)?;
            Ok(blocks_by_run(rows))
        }
        Conn::Sqlite(c) => {
            let of_run = |(place, run_id): (usize, &&str)| {
                let binds = [Bind::Text(run_id), key, first, last];
                let query = statement::<BigInt>(SQLITE, &binds);
                let steps = query.load_iter::<i64, _>(c)?;
                Ok((place, StepBlock::of_ascending(steps.collect::<QueryResult<Vec<_>>>()?)))
            };
            run_ids.iter().enumerate().map(of_run).collect()
        }
    }
}

fn blocks_by_run(mut rows: Vec<(i64, i64, i64, i64)>) -> Vec<(usize, Vec<StepBlock>)> {
    rows.sort_unstable();
    let mut runs: Vec<(usize, Vec<StepBlock>)> = Vec::new();
    for (place, number, points, steps) in rows {
        // Counted from one.
        let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
        let points = usize::try_from(points).unwrap_or(usize::MAX);
        let block = StepBlock { number, points, steps: steps.cast_unsigned() };
        match runs.last_mut() {
            Some((last, blocks)) if *last == place => blocks.push(block),
            _ => runs.push((place, vec![block])),
        }
    }
    runs
}

fn points_at_steps(conn: &mut Conn, run_id: &str, key: &str, steps: &[i64]) -> QueryResult<Vec<Point>> {
    const PG: &str = "SELECT value, timestamp, step, is_nan FROM metrics \
                      WHERE run_uuid = ? AND key = ? AND step = ANY(?) ORDER BY step, timestamp, value, is_nan";
    const SQLITE: &str = "SELECT value, timestamp, step, is_nan FROM metrics \
                          INDEXED BY index_metrics_run_uuid_key_step WHERE run_uuid = ? AND key = ? \
                          AND step IN (SELECT value FROM json_each(?)) ORDER BY step, timestamp, value, is_nan";
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Text(run_id), Bind::Text(key), Bind::BigInts(steps)];
            statement::<PointSql>(PG, &binds).load(c)
        }
        Conn::Sqlite(c) => {
            let steps = json_list(steps);
            let binds = [Bind::Text(run_id), Bind::Text(key), Bind::Text(&steps)];
            statement::<PointSql>(SQLITE, &binds).load(c)
        }
    }
}

/// Returns the points at certain places of a history that is ordered by step, timestamp and value.
fn points_at_places(
    conn: &mut Conn,
    run_id: &str,
    query: &SampleQuery,
    places: &[usize],
) -> QueryResult<Vec<Point>> {
    const PG: &str = "SELECT value, timestamp, step, is_nan FROM (SELECT value, timestamp, step, is_nan, \
                      row_number() OVER (ORDER BY step, timestamp, value, is_nan) AS place FROM metrics \
                      WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ?) ordered \
                      WHERE place = ANY(?) ORDER BY place";
    const SQLITE: &str = "SELECT value, timestamp, step, is_nan FROM (SELECT value, timestamp, step, is_nan, \
                          row_number() OVER (ORDER BY step, timestamp, value, is_nan) AS place FROM metrics \
                          INDEXED BY index_metrics_run_uuid_key_step \
                          WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ?) ordered \
                          WHERE place IN (SELECT value FROM json_each(?)) ORDER BY place";
    let places: Vec<i64> = places.iter().filter_map(|p| i64::try_from(p + 1).ok()).collect();
    let (first, last) = (Bind::BigInt(query.steps.0), Bind::BigInt(query.steps.1));
    let (run_id, key) = (Bind::Text(run_id), Bind::Text(&query.key));
    match conn {
        Conn::Pg(c) => statement::<PointSql>(PG, &[run_id, key, first, last, Bind::BigInts(&places)]).load(c),
        Conn::Sqlite(c) => {
            let places = json_list(&places);
            statement::<PointSql>(SQLITE, &[run_id, key, first, last, Bind::Text(&places)]).load(c)
        }
    }
}

/// Returns every point of each run within the query's steps, ordered by step, timestamp and value.
fn all_points(conn: &mut Conn, run_ids: &[&str], query: &SampleQuery) -> QueryResult<Vec<History>> {
    const PG: &str = "SELECT run_uuid, value, timestamp, step, is_nan FROM metrics \
                      WHERE run_uuid = ANY(?) AND key = ? AND step BETWEEN ? AND ? \
                      ORDER BY run_uuid, step, timestamp, value, is_nan";
    const SQLITE: &str = "SELECT value, timestamp, step, is_nan FROM metrics \
                          INDEXED BY index_metrics_run_uuid_key_step \
                          WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ? \
                          ORDER BY step, timestamp, value, is_nan";
    if run_ids.is_empty() {
        return Ok(Vec::new());
    }
    let (first, last) = (Bind::BigInt(query.steps.0), Bind::BigInt(query.steps.1));
    let key = Bind::Text(&query.key);
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Texts(run_ids), key, first, last];
            let rows = statement::<(Text, Double, BigInt, BigInt, Bool)>(PG, &binds).load(c)?;
            Ok(group_by_run(rows))
        }
        Conn::Sqlite(c) => {
            let of_run = |run_id: &&str| {
                let binds = [Bind::Text(run_id), key, first, last];
                let points = statement::<PointSql>(SQLITE, &binds).load(c)?;
                Ok(History { run_id: (*run_id).to_owned(), points })
            };
            run_ids.iter().map(of_run).collect()
        }
    }
}

/// Writes numbers as a JSON list, which SQLite takes for a table.
fn json_list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

#[cfg(test)]
mod tests;
