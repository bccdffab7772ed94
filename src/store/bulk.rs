//! Writes of many rows. On PostgreSQL one statement takes any number of rows as lists (`unnest`); on SQLite,
//! which is in the process, a prepared statement runs once per row. With `dialect.rs` the only place where the
//! two databases go different ways.
//!
//! Rows come in the order in which they were logged. SQLite has one writer and keeps that order, in which its rows are
//! read again. On PostgreSQL they are written by run and key: two writers that lock rows in one order cannot deadlock.

use diesel::sql_types::Text;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection};

use super::conn::Conn;
use super::runs::RunRow;
use super::statement::{Bind, statement};
use crate::domain::distinct::one_of_each;

/// A metric of a run, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MetricRow<'a> {
    pub(super) run: &'a str,
    pub(super) key: &'a str,
    pub(super) value: f64,
    pub(super) is_nan: bool,
    pub(super) timestamp_ms: i64,
    pub(super) step: i64,
}

/// A param or tag of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PairRow<'a> {
    pub(super) run: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

impl MetricRow<'_> {
    /// What decides which of a run's values of one key is the latest.
    fn is_later_than(&self, other: &Self) -> bool {
        (self.step, self.timestamp_ms, self.value) > (other.step, other.timestamp_ms, other.value)
    }
}

/// Adds metrics to the history and to the latest values of the runs among `runs` that are active; returns every
/// run of `runs` that exists, with its stage. One statement on PostgreSQL, so that it needs no transaction.
///
/// A metric that is there already is left alone. Of equal latest values the first stays.
/// Upstream: `SqlAlchemyStore._log_metrics_once`, `_update_latest_metrics_if_necessary`.
pub(super) fn log_metrics(
    conn: &mut Conn,
    runs: &[&str],
    mut rows: Vec<MetricRow<'_>>,
) -> QueryResult<Vec<(String, String)>> {
    match conn {
        Conn::Pg(c) => {
            // Equal ones keep their order.
            rows.sort_by(|a, b| (a.run, a.key).cmp(&(b.run, b.key)));
            let run: Vec<&str> = rows.iter().map(|r| r.run).collect();
            let key: Vec<&str> = rows.iter().map(|r| r.key).collect();
            let value: Vec<f64> = rows.iter().map(|r| r.value).collect();
            let is_nan: Vec<bool> = rows.iter().map(|r| r.is_nan).collect();
            let timestamp: Vec<i64> = rows.iter().map(|r| r.timestamp_ms).collect();
            let step: Vec<i64> = rows.iter().map(|r| r.step).collect();
            let binds = [
                Bind::Texts(runs),
                Bind::Texts(&run),
                Bind::Texts(&key),
                Bind::Doubles(&value),
                Bind::Bools(&is_nan),
                Bind::BigInts(&timestamp),
                Bind::BigInts(&step),
            ];
            statement::<(Text, Text)>(PG_LOG_METRICS, &binds).load(c)
        }
        Conn::Sqlite(c) => {
            let mut found = Vec::with_capacity(runs.len());
            for run in runs {
                found.extend(statement::<(Text, Text)>(SQLITE_STAGE, &[Bind::Text(run)]).load(c)?);
            }
            let is_active = |run: &str| found.iter().any(|(id, stage)| id == run && stage == "active");
            for row in rows.iter().filter(|row| is_active(row.run)) {
                statement::<()>(SQLITE_METRIC, &binds_of(row)).execute(c)?;
            }
            for row in latest(&rows).into_iter().filter(|row| is_active(row.run)) {
                statement::<()>(SQLITE_LATEST_METRIC, &binds_of(row)).execute(c)?;
            }
            Ok(found)
        }
    }
}

/// Index of the runs: the primary key (see "Look-ups" in `statement.rs`).
const PG_LOG_METRICS: &str = "\
WITH target AS (
  SELECT r.* FROM unnest((SELECT ?)) p (id) CROSS JOIN LATERAL (
    SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid BETWEEN p.id AND p.id ORDER BY run_uuid OFFSET 0
  ) r
),
new AS (
  SELECT n.* FROM unnest(?, ?, ?, ?, ?, ?) WITH ORDINALITY
    AS n (run_uuid, key, value, is_nan, timestamp, step, position)
  JOIN target ON target.run_uuid = n.run_uuid AND target.lifecycle_stage = 'active'
),
history AS (
  INSERT INTO metrics (run_uuid, key, value, is_nan, timestamp, step)
  SELECT run_uuid, key, value, is_nan, timestamp, step FROM new ORDER BY run_uuid, key, position
  ON CONFLICT DO NOTHING
),
latest AS (
  INSERT INTO latest_metrics AS old (run_uuid, key, value, is_nan, timestamp, step)
  SELECT DISTINCT ON (run_uuid, key) run_uuid, key, value, is_nan, timestamp, step FROM new
  ORDER BY run_uuid, key, step DESC, timestamp DESC, value DESC, position
  ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, is_nan = excluded.is_nan,
    timestamp = excluded.timestamp, step = excluded.step
  WHERE (excluded.step, excluded.timestamp, excluded.value) > (old.step, old.timestamp, old.value)
)
SELECT run_uuid, lifecycle_stage FROM target";

const SQLITE_STAGE: &str = "SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid = ?";

const SQLITE_METRIC: &str = "\
INSERT INTO metrics (run_uuid, key, value, is_nan, timestamp, step) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING";

const SQLITE_LATEST_METRIC: &str = "\
INSERT INTO latest_metrics AS old (run_uuid, key, value, is_nan, timestamp, step) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, is_nan = excluded.is_nan,
  timestamp = excluded.timestamp, step = excluded.step
WHERE (excluded.step, excluded.timestamp, excluded.value) > (old.step, old.timestamp, old.value)";

fn binds_of<'a>(row: &MetricRow<'a>) -> [Bind<'a>; 6] {
    [
        Bind::Text(row.run),
        Bind::Text(row.key),
        Bind::Double(row.value),
        Bind::Bool(row.is_nan),
        Bind::BigInt(row.timestamp_ms),
        Bind::BigInt(row.step),
    ]
}

/// Returns the latest row of each run and key, in the order in which these are named first.
fn latest<'r, 'a>(rows: &'r [MetricRow<'a>]) -> Vec<&'r MetricRow<'a>> {
    one_of_each(rows.iter(), |row| (row.run, row.key), |old, new| new.is_later_than(old))
}

/// Adds runs with their tags, which are read in the order of `tags`; a run that is there already is left alone. One
/// statement on PostgreSQL, so that it needs no transaction.
pub(super) fn insert_runs(conn: &mut Conn, rows: &[&RunRow], tags: &[PairRow<'_>]) -> QueryResult<usize> {
    match conn {
        Conn::Pg(c) => {
            let id: Vec<&str> = rows.iter().map(|r| r.run_uuid.as_str()).collect();
            let name: Vec<Option<&str>> = rows.iter().map(|r| r.name.as_deref()).collect();
            let user: Vec<Option<&str>> = rows.iter().map(|r| r.user_id.as_deref()).collect();
            let status: Vec<Option<&str>> = rows.iter().map(|r| r.status.as_deref()).collect();
            let start: Vec<Option<i64>> = rows.iter().map(|r| r.start_time).collect();
            let stage: Vec<Option<&str>> = rows.iter().map(|r| r.lifecycle_stage.as_deref()).collect();
            let uri: Vec<Option<&str>> = rows.iter().map(|r| r.artifact_uri.as_deref()).collect();
            let experiment: Vec<Option<i64>> = rows.iter().map(|r| r.experiment_id.map(i64::from)).collect();
            let run: Vec<&str> = tags.iter().map(|t| t.run).collect();
            let key: Vec<&str> = tags.iter().map(|t| t.key).collect();
            let value: Vec<&str> = tags.iter().map(|t| t.value).collect();
            let binds = [
                Bind::Texts(&id),
                Bind::OptTexts(&name),
                Bind::OptTexts(&user),
                Bind::OptTexts(&status),
                Bind::OptBigInts(&start),
                Bind::OptTexts(&stage),
                Bind::OptTexts(&uri),
                Bind::OptBigInts(&experiment),
                Bind::Texts(&run),
                Bind::Texts(&key),
                Bind::Texts(&value),
            ];
            statement::<()>(PG_RUNS, &binds).execute(c)
        }
        Conn::Sqlite(c) => {
            for row in rows {
                let binds = [
                    Bind::Text(&row.run_uuid),
                    Bind::OptText(row.name.as_deref()),
                    Bind::OptText(row.user_id.as_deref()),
                    Bind::OptText(row.status.as_deref()),
                    Bind::OptBigInt(row.start_time),
                    Bind::OptText(row.lifecycle_stage.as_deref()),
                    Bind::OptText(row.artifact_uri.as_deref()),
                    Bind::OptBigInt(row.experiment_id.map(i64::from)),
                ];
                statement::<()>(SQLITE_RUN, &binds).execute(c)?;
            }
            write_each_pair(c, tags, SQLITE_NEW_TAG)
        }
    }
}

const PG_RUNS: &str = "\
WITH made AS (
  INSERT INTO runs (run_uuid, name, user_id, status, start_time, lifecycle_stage, artifact_uri, experiment_id,
    source_type, source_name, entry_point_name, source_version)
  SELECT n.*, 'UNKNOWN', '', '', '' FROM unnest(?, ?, ?, ?, ?, ?, ?, ?) n
  ON CONFLICT DO NOTHING
)
INSERT INTO tags (run_uuid, key, value) SELECT * FROM unnest(?, ?, ?) ON CONFLICT DO NOTHING";

const SQLITE_RUN: &str = "\
INSERT INTO runs (run_uuid, name, user_id, status, start_time, lifecycle_stage, artifact_uri, experiment_id,
  source_type, source_name, entry_point_name, source_version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'UNKNOWN', '', '', '')
ON CONFLICT DO NOTHING";

const SQLITE_NEW_TAG: &str =
    "INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

/// Adds params that are not there yet and returns how many were added.
pub(super) fn insert_params(conn: &mut Conn, rows: Vec<PairRow<'_>>) -> QueryResult<usize> {
    const PG: &str =
        "INSERT INTO params (run_uuid, key, value) SELECT * FROM unnest(?, ?, ?) ON CONFLICT DO NOTHING";
    const SQLITE: &str = "INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    write_pairs(conn, rows, PG, SQLITE)
}

/// Writes tags over earlier values. Run and key must not repeat.
pub(super) fn upsert_tags(conn: &mut Conn, rows: Vec<PairRow<'_>>) -> QueryResult<usize> {
    const PG: &str = "INSERT INTO tags (run_uuid, key, value) SELECT * FROM unnest(?, ?, ?) \
                      ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value";
    const SQLITE: &str = "INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?) \
                          ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value";
    write_pairs(conn, rows, PG, SQLITE)
}

fn write_pairs(
    conn: &mut Conn,
    mut rows: Vec<PairRow<'_>>,
    pg: &'static str,
    sqlite: &'static str,
) -> QueryResult<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    match conn {
        Conn::Pg(c) => {
            rows.sort_unstable_by(|a, b| (a.run, a.key).cmp(&(b.run, b.key)));
            let run: Vec<&str> = rows.iter().map(|r| r.run).collect();
            let key: Vec<&str> = rows.iter().map(|r| r.key).collect();
            let value: Vec<&str> = rows.iter().map(|r| r.value).collect();
            statement::<()>(pg, &[Bind::Texts(&run), Bind::Texts(&key), Bind::Texts(&value)]).execute(c)
        }
        Conn::Sqlite(c) => write_each_pair(c, &rows, sqlite),
    }
}

fn write_each_pair(
    conn: &mut SqliteConnection,
    rows: &[PairRow<'_>],
    sql: &'static str,
) -> QueryResult<usize> {
    rows.iter().try_fold(0, |n, row| {
        let binds = [Bind::Text(row.run), Bind::Text(row.key), Bind::Text(row.value)];
        Ok(n + statement::<()>(sql, &binds).execute(conn)?)
    })
}
