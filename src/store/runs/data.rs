//! What belongs to runs: loaded for all runs of a list by one statement, and two more where they have read datasets.

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::result::Error::DeserializationError;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, Text};

use super::{RunRow, get_row};
use crate::domain::Result;
use crate::domain::run::RUN_NAME_TAG;
use crate::proto::{Metric, Param, Run, RunData, RunTag};
use crate::store::conn::Conn;
use crate::store::datasets::{InputsAndOutputs, Link, resolve};
use crate::store::statement::{Bind, json_list, statement};

/// Returns a run with all that belongs to it. On PostgreSQL one statement, if it has read no datasets.
///
/// # Errors
/// `RESOURCE_DOES_NOT_EXIST`.
pub(super) fn get_whole(conn: &mut Conn, id: &str) -> Result<Run> {
    let loaded = load(conn, &[id], PG_RUN, SQLITE_RUN)?.pop().unwrap_or_default();
    let row = match loaded.row {
        Some(row) => row,
        None => get_row(conn, id)?,
    };
    let linked = resolve(conn, vec![loaded.links])?.pop().unwrap_or_default();
    Ok(message(row, loaded.data, linked))
}

/// Adds to a page of rows what a search shows of what belongs to them, keeping the order: all but the models they read.
pub(super) fn assemble(conn: &mut Conn, page: Vec<RunRow>) -> Result<Vec<Run>> {
    let ids: Vec<&str> = page.iter().map(|row| row.run_uuid.as_str()).collect();
    let loaded = load(conn, &ids, PG_LISTED, SQLITE_LISTED)?;
    let (data, links) = loaded.into_iter().map(|run| (run.data, run.links)).unzip::<_, _, Vec<_>, Vec<_>>();
    let linked = resolve(conn, links)?;
    Ok(page
        .into_iter()
        .zip(data)
        .zip(linked)
        .map(|((row, data), linked)| message(row, data, linked))
        .collect())
}

fn message(row: RunRow, data: RunData, (inputs, outputs): InputsAndOutputs) -> Run {
    let mut info = row.into_info();
    if info.run_name().is_empty()
        && let Some(tag) = data.tags.iter().find(|t| t.key() == RUN_NAME_TAG && !t.value().is_empty())
    {
        info.run_name.clone_from(&tag.value);
    }
    Run { info: Some(info), data: Some(data), inputs: Some(inputs), outputs: Some(outputs) }
}

/// Everything that belongs to the runs of a list, and `$more`, as one statement: the run's place in the list counted from
/// 0, then what it is ([`Belongings::add`]), key and value. By the index whatever PostgreSQL believes: see "Look-ups" in
/// `statement.rs`; a second condition on links would let another index of `inputs` seem as good.
#[rustfmt::skip]
macro_rules! pg_data {
    ($($more:literal)*) => {
        concat!(
            "SELECT p.place - 1, d.* FROM unnest((SELECT ?)) WITH ORDINALITY p(id, place) CROSS JOIN LATERAL (\
            SELECT 0, key, NULL::text, value, timestamp, step, is_nan FROM latest_metrics \
            WHERE run_uuid BETWEEN p.id AND p.id \
            UNION ALL SELECT 1, key, value, NULL, NULL, NULL, NULL FROM params WHERE run_uuid BETWEEN p.id AND p.id \
            UNION ALL SELECT 2, key, value, NULL, NULL, NULL, NULL FROM tags WHERE run_uuid BETWEEN p.id AND p.id \
            UNION ALL (SELECT CASE source_type WHEN 'DATASET' THEN 3 END, input_uuid, source_id, NULL::float8, \
            NULL::bigint, NULL::bigint, NULL::boolean \
            FROM inputs WHERE destination_type = 'RUN' AND destination_id BETWEEN p.id AND p.id ORDER BY destination_id) \
            UNION ALL (SELECT CASE destination_type WHEN 'MODEL_OUTPUT' THEN 4 END, destination_id, NULL::text, \
            NULL::float8, NULL::bigint, step, NULL::boolean \
            FROM inputs WHERE source_type = 'RUN_OUTPUT' AND source_id BETWEEN p.id AND p.id ORDER BY source_id)",
            $($more,)*
            " OFFSET 0) d"
        )
    };
}

pub(super) const PG_LISTED: &str = pg_data!();
const PG_RUN: &str = pg_data!(
    " UNION ALL (SELECT CASE destination_type WHEN 'MODEL_INPUT' THEN 5 END, destination_id, NULL::text, \
    NULL::float8, NULL::bigint, NULL::bigint, NULL::boolean \
    FROM inputs WHERE source_type = 'RUN_INPUT' AND source_id BETWEEN p.id AND p.id ORDER BY source_id)"
    " UNION ALL (SELECT 6, json_build_array(run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, \
    artifact_uri, experiment_id)::text, NULL::text, NULL::float8, NULL::bigint, NULL::bigint, NULL::boolean \
    FROM runs WHERE run_uuid BETWEEN p.id AND p.id ORDER BY run_uuid)"
);

/// The same without the run's row, which takes no way to another process; a CROSS JOIN keeps SQLite from going through the
/// whole table.
macro_rules! sqlite_data {
    ($($more:literal)*) => {
        concat!(
            "SELECT p.key, 0, m.key, NULL, m.value, m.timestamp, m.step, m.is_nan \
            FROM json_each(?) p CROSS JOIN latest_metrics m ON m.run_uuid = p.value \
            UNION ALL SELECT p.key, 1, d.key, d.value, NULL, NULL, NULL, NULL \
            FROM json_each(?) p CROSS JOIN params d ON d.run_uuid = p.value \
            UNION ALL SELECT p.key, 2, t.key, t.value, NULL, NULL, NULL, NULL \
            FROM json_each(?) p CROSS JOIN tags t ON t.run_uuid = p.value \
            UNION ALL SELECT p.key, 3, i.input_uuid, i.source_id, NULL, NULL, NULL, NULL \
            FROM json_each(?) p CROSS JOIN inputs i ON i.destination_type = 'RUN' AND i.destination_id = p.value \
            AND i.source_type = 'DATASET' \
            UNION ALL SELECT p.key, 4, o.destination_id, NULL, NULL, NULL, o.step, NULL \
            FROM json_each(?) p CROSS JOIN inputs o ON o.source_type = 'RUN_OUTPUT' AND o.source_id = p.value \
            AND o.destination_type = 'MODEL_OUTPUT'",
            $($more,)*
        )
    };
}

pub(super) const SQLITE_LISTED: &str = sqlite_data!();
const SQLITE_RUN: &str = sqlite_data!(
    " UNION ALL SELECT p.key, 5, i.destination_id, NULL, NULL, NULL, NULL, NULL \
    FROM json_each(?) p CROSS JOIN inputs i ON i.source_type = 'RUN_INPUT' AND i.source_id = p.value \
    AND i.destination_type = 'MODEL_INPUT'"
);

type PartSql = (
    BigInt,
    Nullable<Integer>,
    Text,
    Nullable<Text>,
    Nullable<Double>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Bool>,
);
type Part = (i64, Option<i32>, String, Option<String>, Option<f64>, Option<i64>, Option<i64>, Option<bool>);

/// What belongs to one run.
#[derive(Debug, Clone, Default)]
struct Belongings {
    row: Option<RunRow>,
    data: RunData,
    links: Vec<Link>,
}

impl Belongings {
    fn add(&mut self, (_, kind, key, text, value, timestamp, step, is_nan): Part) -> QueryResult<()> {
        match kind {
            Some(0) => {
                let value = if is_nan == Some(true) { Some(f64::NAN) } else { value };
                self.data.metrics.push(Metric {
                    key: Some(key),
                    value,
                    timestamp,
                    step,
                    ..Metric::default()
                });
            }
            Some(1) => self.data.params.push(Param { key: Some(key), value: text }),
            Some(2) => self.data.tags.push(RunTag { key: Some(key), value: text }),
            Some(3) => {
                self.links.push(Link::Dataset { input_uuid: key, dataset_uuid: text.unwrap_or_default() });
            }
            Some(4) => self.links.push(Link::ModelOutput { model_id: key, step: step.unwrap_or_default() }),
            Some(5) => self.links.push(Link::ModelInput { model_id: key }),
            Some(6) => {
                self.row = Some(serde_json::from_str(&key).map_err(|e| DeserializationError(Box::new(e)))?);
            }
            // A link to something else.
            _ => {}
        }
        Ok(())
    }
}

/// Loads what belongs to each of the runs `ids`, in their order. One statement.
///
/// Indexes: stock's on `run_uuid` of metrics, params and tags, on `(destination_type, destination_id)` of inputs, the primary
/// keys of inputs and runs.
fn load(conn: &mut Conn, ids: &[&str], pg: &'static str, sqlite: &'static str) -> Result<Vec<Belongings>> {
    let mut loaded = vec![Belongings::default(); ids.len()];
    let mut add = |part: QueryResult<Part>| -> QueryResult<()> {
        let part = part?;
        match usize::try_from(part.0).ok().and_then(|place| loaded.get_mut(place)) {
            Some(run) => run.add(part),
            None => Ok(()),
        }
    };
    match conn {
        Conn::Pg(c) => statement::<PartSql>(pg, &[Bind::Texts(ids)])
            .load_iter::<Part, DefaultLoadingMode>(c)?
            .try_for_each(&mut add),
        Conn::Sqlite(c) => {
            let list = json_list(ids);
            let lists = vec![Bind::Text(&list); sqlite.matches('?').count()];
            statement::<PartSql>(sqlite, &lists)
                .load_iter::<Part, DefaultLoadingMode>(c)?
                .try_for_each(&mut add)
        }
    }?;
    Ok(loaded)
}
