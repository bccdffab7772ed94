//! The histories of metrics: whole, paged, of many runs, and sampled.
//!
//! All statements go by stock's index on (run, key, step), which both databases have to be told: SQLite takes the primary
//! key for more selective and would read the points of all runs that log the same key, PostgreSQL does so where it has no
//! statistics. Measured on 1.3 million
//! points with 10 runs of 100,000: an index of ours that also holds timestamp and value halves the time of a whole
//! history (`PostgreSQL` 92 to 42 ms of CPU, `SQLite` 160 to 80), but makes the insertion of metrics 27 % and 50 %
//! dearer and the table with its indexes a third larger, so there is none.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Text};

use crate::domain::Result;
use crate::domain::ids::RunId;
use crate::domain::page::offset_token;
use crate::store::Store;
use crate::store::conn::Conn;
use crate::store::postgres::InParts;
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

impl HistoryPage {
    /// Returns a page with the place in the history where the next one begins, if there is one.
    fn new(points: Vec<Point>, next: Option<usize>) -> Self {
        Self { points, next_page_token: next.map(|offset| offset_token(saturated(offset))) }
    }
}

fn saturated(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
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
    /// metric that does not exist. One statement; what it read beyond a page answers the next ones for some seconds.
    ///
    /// Upstream: `SqlAlchemyStore.get_metric_history`.
    pub async fn get_metric_history(
        &self,
        run_id: RunId,
        key: String,
        limit: Option<usize>,
        offset: usize,
    ) -> Result<HistoryPage> {
        let Some(limit) = limit else {
            let points = self.history(run_id, key, usize::MAX, offset).await?;
            return Ok(HistoryPage::new(points, None));
        };
        if let Some(page) = self.ahead.page(&run_id, &key, offset, limit) {
            return Ok(page);
        }
        // One more than asked for shows whether there is a next page.
        let fetched = limit.saturating_add(1).saturating_add(self.ahead.room(&run_id, &key, offset, limit));
        let mut points = self.history(run_id.clone(), key.clone(), fetched, offset).await?;
        if points.len() <= limit {
            return Ok(HistoryPage::new(points, None));
        }
        let (is_rest, next) = (points.len() < fetched, offset.saturating_add(limit));
        self.ahead.keep(run_id, key, next, points.split_off(limit), is_rest);
        Ok(HistoryPage::new(points, Some(next)))
    }

    async fn history(&self, run_id: RunId, key: String, limit: usize, offset: usize) -> Result<Vec<Point>> {
        self.scan(move |conn| conn.with_ordered_scans(|conn| history(conn, &run_id, &key, limit, offset)))
            .await
    }

    /// Returns the points of a metric of several runs, ordered by run, timestamp, step and value, at most `limit`
    /// in all.
    ///
    /// Upstream: `SqlAlchemyStore.get_metric_history_bulk`.
    pub async fn get_metric_history_bulk(
        &self,
        run_ids: Vec<RunId>,
        key: String,
        limit: i64,
    ) -> Result<Vec<History>> {
        self.scan(move |conn| {
            conn.with_ordered_scans(|conn| get_metric_history_bulk_in(conn, &run_ids, &key, limit))
        })
        .await
    }

    /// Returns for each of `run_ids`, in their order, points that are evenly spread over the metric's history,
    /// ordered by step, timestamp and value; see [`sampling`](crate::domain::sampling).
    ///
    /// Two statements for all runs that log a point at every so many steps, two more for all runs with no more than
    /// the wanted number of points, and one for each other run. What is logged between the statements may shift a sample by a point.
    ///
    /// Upstream: `SqlAlchemyStore.get_metric_history_bulk_interval`.
    pub async fn sample_metric_history(
        &self,
        run_ids: Vec<String>,
        query: SampleQuery,
    ) -> Result<Vec<History>> {
        self.scan(move |conn| {
            conn.with_ordered_scans(|conn| samples::sample_metric_history_in(conn, &run_ids, &query))
        })
        .await
    }
}

/// Points of one metric of one run on PostgreSQL, as the table `m`, by stock's index on (run, key, step). Two more indexes
/// would do, in which the run has other metrics, or the metric other runs; but only this one has the order by step, and the
/// statements run in [`Conn::with_ordered_scans`].
#[rustfmt::skip]
macro_rules! points {
    ($run:literal, $key:literal, $more:literal) => {
        concat!(
            "(SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ", $run,
            " AND key = ", $key, $more, " ORDER BY step OFFSET 0) m"
        )
    };
}

fn history(conn: &mut Conn, run_id: &str, key: &str, limit: usize, offset: usize) -> Result<Vec<Point>> {
    let (limit, offset) = (Bind::BigInt(saturated(limit)), Bind::BigInt(saturated(offset)));
    let binds = [Bind::Text(run_id), Bind::Text(key), limit, offset];
    Ok(match conn {
        // In parts, as libpq would hold the whole answer in several times the memory of the points.
        Conn::Pg(c) => statement::<PointSql>(PG_HISTORY, &binds)
            .planned_anew()
            .load_iter::<Point, InParts>(c)?
            .collect::<QueryResult<_>>(),
        Conn::Sqlite(c) => statement::<PointSql>(SQLITE_HISTORY, &binds).load(c),
    }?)
}

const PG_HISTORY: &str = concat!(
    "SELECT m.* FROM ",
    points!("?", "?", ""),
    " ORDER BY timestamp, step, value, is_nan LIMIT ? OFFSET ?"
);
const SQLITE_HISTORY: &str = "SELECT value, timestamp, step, is_nan FROM metrics \
                              INDEXED BY index_metrics_run_uuid_key_step WHERE run_uuid = ? AND key = ? \
                              ORDER BY timestamp, step, value, is_nan LIMIT ? OFFSET ?";

fn get_metric_history_bulk_in(
    conn: &mut Conn,
    run_ids: &[RunId],
    key: &str,
    limit: i64,
) -> Result<Vec<History>> {
    const PG: &str = concat!(
        "SELECT runs.id, m.* FROM (SELECT ?::text[] AS ids, ?::text AS key) asked CROSS JOIN unnest(ids) runs(id) \
         CROSS JOIN LATERAL ",
        points!("runs.id", "asked.key", ""),
        " ORDER BY runs.id, m.timestamp, m.step, m.value, m.is_nan LIMIT ?"
    );
    let run_ids: Vec<&str> = run_ids.iter().map(RunId::as_str).collect::<BTreeSet<_>>().into_iter().collect();
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Texts(&run_ids), Bind::Text(key), Bind::BigInt(limit)];
            let rows =
                statement::<(Text, Double, BigInt, BigInt, Bool)>(PG, &binds).planned_anew().load(c)?;
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

pub(in crate::store) mod ahead;
mod samples;
#[cfg(test)]
mod tests;
