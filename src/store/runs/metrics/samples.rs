//! Samples of the histories of many runs, fetched by the plans of [`sampling`](crate::domain::sampling): regular
//! histories by a guess that is looked at, all others by a description of their steps.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Text};

use super::{History, Point, PointSql, SampleQuery, group_by_run};
use crate::domain::Result;
use crate::domain::sampling::{Plan, Regular, StepBlock};
use crate::store::conn::Conn;
use crate::store::statement::{Bind, statement};

pub(super) fn sample_metric_history_in(
    conn: &mut Conn,
    run_ids: &[String],
    query: &SampleQuery,
) -> Result<Vec<History>> {
    let distinct: Vec<&str> =
        run_ids.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
    let mut sampled: HashMap<&str, Vec<Point>> = regular_samples(conn, &distinct, query)?;
    let others: Vec<&str> = distinct.into_iter().filter(|id| !sampled.contains_key(id)).collect();
    let mut small = Vec::new();
    for (run_id, blocks) in step_blocks(conn, &others, query)? {
        let Some(run_id) = others.get(run_id) else { continue };
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

/// Samples the runs whose histories are long and prove regular where they are looked at.
pub(super) fn regular_samples<'a>(
    conn: &mut Conn,
    run_ids: &[&'a str],
    query: &SampleQuery,
) -> QueryResult<HashMap<&'a str, Vec<Point>>> {
    let regular_of =
        |(run_id, first, second, last)| Some((run_id, Regular::new(first, second, last, query.max_points)?));
    let guesses: Vec<(&str, Regular)> =
        step_ends(conn, run_ids, query)?.into_iter().filter_map(regular_of).collect();
    let mut samples = HashMap::with_capacity(guesses.len());
    for ((run_id, regular), points) in guesses.iter().zip(points_from_steps(conn, &guesses, &query.key)?) {
        if regular.is_confirmed_by(points.iter().map(|point| point.step)) {
            samples.insert(*run_id, points);
        }
    }
    Ok(samples)
}

/// Returns each run with its lowest two steps and its highest one; only those that have two points.
fn step_ends<'a>(
    conn: &mut Conn,
    run_ids: &[&'a str],
    query: &SampleQuery,
) -> QueryResult<Vec<(&'a str, i64, i64, i64)>> {
    const PG: &str = "WITH asked AS (SELECT ?::text AS key, ?::bigint AS low, ?::bigint AS high) \
                      SELECT runs.place, a.step, b.step, c.step FROM asked \
                      CROSS JOIN unnest(?) WITH ORDINALITY runs(id, place) \
                      CROSS JOIN LATERAL (SELECT step FROM metrics WHERE run_uuid = runs.id AND key = asked.key \
                      AND step BETWEEN low AND high ORDER BY step LIMIT 1) a \
                      CROSS JOIN LATERAL (SELECT step FROM metrics WHERE run_uuid = runs.id AND key = asked.key \
                      AND step BETWEEN low AND high ORDER BY step LIMIT 1 OFFSET 1) b \
                      CROSS JOIN LATERAL (SELECT step FROM metrics WHERE run_uuid = runs.id AND key = asked.key \
                      AND step BETWEEN low AND high ORDER BY step DESC LIMIT 1) c";
    const SQLITE_FIRST: &str = "SELECT step FROM metrics INDEXED BY index_metrics_run_uuid_key_step \
                                WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ? ORDER BY step LIMIT 2";
    const SQLITE_LAST: &str = "SELECT step FROM metrics INDEXED BY index_metrics_run_uuid_key_step \
                               WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ? \
                               ORDER BY step DESC LIMIT 1";
    let (low, high) = (Bind::BigInt(query.steps.0), Bind::BigInt(query.steps.1));
    let key = Bind::Text(&query.key);
    match conn {
        Conn::Pg(c) => {
            let binds = [key, low, high, Bind::Texts(run_ids)];
            let rows = statement::<(BigInt, BigInt, BigInt, BigInt)>(PG, &binds).planned_anew().load(c)?;
            let with_run = |(place, first, second, last): (i64, i64, i64, i64)| {
                // Counted from one.
                let run_id = run_ids.get(usize::try_from(place - 1).ok()?)?;
                Some((*run_id, first, second, last))
            };
            Ok(rows.into_iter().filter_map(with_run).collect())
        }
        Conn::Sqlite(c) => {
            let mut ends = Vec::with_capacity(run_ids.len());
            for run_id in run_ids {
                let binds = [Bind::Text(run_id), key, low, high];
                let firsts: Vec<i64> = statement::<BigInt>(SQLITE_FIRST, &binds).load(c)?;
                if let [first, second] = firsts[..] {
                    let last: Vec<i64> = statement::<BigInt>(SQLITE_LAST, &binds).load(c)?;
                    ends.extend(last.into_iter().map(|last| (*run_id, first, second, last)));
                }
            }
            Ok(ends)
        }
    }
}

/// Returns for each run the points from each of its steps to the step's end, ordered by step; no more than twice
/// as many as a regular history has.
fn points_from_steps(conn: &mut Conn, runs: &[(&str, Regular)], key: &str) -> QueryResult<Vec<Vec<Point>>> {
    const PG: &str = "WITH asked AS (SELECT ?::text[] AS ids, ?::text AS key) \
                      SELECT wanted.run, m.* FROM asked \
                      CROSS JOIN unnest(?, ?, ?) WITH ORDINALITY wanted(run, low, high, place) \
                      CROSS JOIN LATERAL (SELECT value, timestamp, step, is_nan FROM metrics \
                      WHERE run_uuid = ids[run] AND key = asked.key AND step BETWEEN low AND high \
                      ORDER BY step LIMIT 2) m ORDER BY wanted.place, m.step";
    const SQLITE: &str = "SELECT m.value, m.timestamp, m.step, m.is_nan FROM json_each(?) wanted \
                          CROSS JOIN metrics m INDEXED BY index_metrics_run_uuid_key_step \
                          WHERE m.run_uuid = ? AND m.key = ? \
                          AND m.step BETWEEN wanted.value AND wanted.value + ? \
                          ORDER BY wanted.id, m.step LIMIT ?";
    let mut points: Vec<Vec<Point>> = runs.iter().map(|(_, r)| Vec::with_capacity(r.steps.len())).collect();
    match conn {
        Conn::Pg(c) if !runs.is_empty() => {
            let ids: Vec<&str> = runs.iter().map(|(run_id, _)| *run_id).collect();
            let place = |(run, (_, r)): (i64, &(&str, Regular))| std::iter::repeat_n(run, r.steps.len());
            let places: Vec<i64> = (1..).zip(runs).flat_map(place).collect();
            let low: Vec<i64> = runs.iter().flat_map(|(_, r)| r.steps.iter().copied()).collect();
            let high: Vec<i64> = runs.iter().flat_map(|(_, r)| r.ends()).collect();
            let lists = [&places, &low, &high].map(|list| Bind::BigInts(list));
            let binds = [Bind::Texts(&ids), Bind::Text(key), lists[0], lists[1], lists[2]];
            let rows: Vec<(i64, f64, i64, i64, bool)> =
                statement::<(BigInt, Double, BigInt, BigInt, Bool)>(PG, &binds).planned_anew().load(c)?;
            for (run, value, timestamp, step, is_nan) in rows {
                // Counted from one, as the elements of arrays are.
                let of_run = usize::try_from(run - 1).ok().and_then(|run| points.get_mut(run));
                if let Some(list) = of_run {
                    list.push(Point { value, timestamp, step, is_nan });
                }
            }
        }
        Conn::Pg(_) => {}
        Conn::Sqlite(c) => {
            for ((run_id, regular), found) in runs.iter().zip(&mut points) {
                let steps = json_list(&regular.steps);
                let most = i64::try_from(2 * regular.steps.len()).unwrap_or(i64::MAX);
                let binds = [
                    Bind::Text(&steps),
                    Bind::Text(run_id),
                    Bind::Text(key),
                    Bind::BigInt(regular.stride - 1),
                    Bind::BigInt(most),
                ];
                *found = statement::<PointSql>(SQLITE, &binds).load(c)?;
            }
        }
    }
    Ok(points)
}

/// Describes the histories of runs, each with the run's place among `run_ids`.
fn step_blocks(
    conn: &mut Conn,
    run_ids: &[&str],
    query: &SampleQuery,
) -> QueryResult<Vec<(usize, Vec<StepBlock>)>> {
    const PG: &str = concat!(
        "SELECT runs.place, blocks.* FROM (SELECT ?::text[] AS ids, ?::text AS key, ?::bigint AS low, \
         ?::bigint AS high) asked CROSS JOIN unnest(ids) WITH ORDINALITY runs(id, place) CROSS JOIN LATERAL (\
         SELECT step >> 6, count(*), bit_or(1::bigint << (step & 63)::int) FROM ",
        points!("runs.id", "asked.key", " AND step BETWEEN low AND high"),
        " GROUP BY 1) blocks"
    );
    const SQLITE: &str = "SELECT step FROM metrics INDEXED BY index_metrics_run_uuid_key_step \
                          WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ? ORDER BY step";
    let (first, last) = (Bind::BigInt(query.steps.0), Bind::BigInt(query.steps.1));
    let key = Bind::Text(&query.key);
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Texts(run_ids), key, first, last];
            let rows = statement::<(BigInt, BigInt, BigInt, BigInt)>(PG, &binds).planned_anew().load(c)?;
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
    // Not `points!`: only behind equalities is each step looked up, and not the whole history gone through for each.
    const PG: &str = "SELECT m.* FROM (SELECT ?::text AS id, ?::text AS key OFFSET 0) asked \
                      CROSS JOIN unnest(?) wanted(step) CROSS JOIN LATERAL (\
                      SELECT value, timestamp, step, is_nan FROM metrics \
                      WHERE run_uuid = asked.id AND key = asked.key AND step BETWEEN wanted.step AND wanted.step \
                      AND (run_uuid, key, step) >= (asked.id, asked.key, wanted.step) \
                      ORDER BY run_uuid, key, step OFFSET 0) m ORDER BY m.step, m.timestamp, m.value, m.is_nan";
    const SQLITE: &str = "SELECT value, timestamp, step, is_nan FROM metrics \
                          INDEXED BY index_metrics_run_uuid_key_step WHERE run_uuid = ? AND key = ? \
                          AND step IN (SELECT value FROM json_each(?)) ORDER BY step, timestamp, value, is_nan";
    match conn {
        Conn::Pg(c) => {
            let binds = [Bind::Text(run_id), Bind::Text(key), Bind::BigInts(steps)];
            statement::<PointSql>(PG, &binds).planned_anew().load(c)
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
    const PG: &str = concat!(
        "SELECT value, timestamp, step, is_nan FROM (SELECT m.*, \
         row_number() OVER (ORDER BY step, timestamp, value, is_nan) AS place \
         FROM ",
        points!("?", "?", " AND step BETWEEN ? AND ?"),
        ") ordered WHERE place = ANY(?) ORDER BY place"
    );
    const SQLITE: &str = "SELECT value, timestamp, step, is_nan FROM (SELECT value, timestamp, step, is_nan, \
                          row_number() OVER (ORDER BY step, timestamp, value, is_nan) AS place FROM metrics \
                          INDEXED BY index_metrics_run_uuid_key_step \
                          WHERE run_uuid = ? AND key = ? AND step BETWEEN ? AND ?) ordered \
                          WHERE place IN (SELECT value FROM json_each(?)) ORDER BY place";
    let places: Vec<i64> = places.iter().filter_map(|p| i64::try_from(p + 1).ok()).collect();
    let (first, last) = (Bind::BigInt(query.steps.0), Bind::BigInt(query.steps.1));
    let (run_id, key) = (Bind::Text(run_id), Bind::Text(&query.key));
    match conn {
        Conn::Pg(c) => statement::<PointSql>(PG, &[run_id, key, first, last, Bind::BigInts(&places)])
            .planned_anew()
            .load(c),
        Conn::Sqlite(c) => {
            let places = json_list(&places);
            statement::<PointSql>(SQLITE, &[run_id, key, first, last, Bind::Text(&places)]).load(c)
        }
    }
}

/// Returns every point of each run within the query's steps, ordered by step, timestamp and value.
fn all_points(conn: &mut Conn, run_ids: &[&str], query: &SampleQuery) -> QueryResult<Vec<History>> {
    const PG: &str = concat!(
        "SELECT runs.id, m.* FROM (SELECT ?::text[] AS ids, ?::text AS key, ?::bigint AS low, ?::bigint AS high) asked \
         CROSS JOIN unnest(ids) runs(id) CROSS JOIN LATERAL ",
        points!("runs.id", "asked.key", " AND step BETWEEN low AND high"),
        " ORDER BY runs.id, m.step, m.timestamp, m.value, m.is_nan"
    );
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
            let rows =
                statement::<(Text, Double, BigInt, BigInt, Bool)>(PG, &binds).planned_anew().load(c)?;
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
