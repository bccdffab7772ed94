//! What is logged to runs: metrics, params and tags, of one request or of many at once.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Integer, Nullable, Text};
use serde_json::{Value, json};

use super::{run_not_active, run_not_found};
use crate::domain::distinct::one_of_each;
use crate::domain::ids::RunId;
use crate::domain::run::{NewBatch, NewMetric, ParamsFrom, RUN_NAME_TAG};
use crate::domain::{Error, ErrorCode, Result, python};
use crate::store::bulk::{self, MetricRow, PairRow};
use crate::store::conn::Conn;
use crate::store::each;
use crate::store::error::RaceLost;
use crate::store::experiments::ACTIVE;
use crate::store::schema::{logged_model_metrics, logged_models, runs};
use crate::store::statement::{Bind, statement};

/// What became of one request among others.
pub(in crate::store) type Verdict = Result<()>;

/// Says whether a batch needs no more than [`log_metrics_only`].
pub(in crate::store) fn has_only_metrics(batch: &NewBatch) -> bool {
    batch.params.is_empty()
        && batch.tags.is_empty()
        && !batch.metrics.is_empty()
        && batch.metrics.iter().all(|m| m.model.is_none())
}

/// Logs batches for which [`has_only_metrics`] holds. On PostgreSQL it is one statement and needs no
/// transaction around it. Returns a verdict for each batch.
pub(in crate::store) fn log_metrics_only(conn: &mut Conn, batches: &[&NewBatch]) -> Result<Vec<Verdict>> {
    let all: Vec<&NewBatch> = batches.to_vec();
    let ids = distinct_runs(&all);
    let found = bulk::log_metrics(conn, &ids, metric_rows(&all))?;
    let stages: HashMap<&str, &str> = found.iter().map(|(id, stage)| (id.as_str(), stage.as_str())).collect();
    Ok(batches.iter().map(|b| check_stage(&b.run_id, stages.get(b.run_id.as_str()).copied())).collect())
}

/// Logs batches in the open transaction and returns a verdict for each: one that is refused leaves nothing
/// behind, the others are stored whole. Batches take effect in their order.
///
/// # Errors
/// What is the fault of no single batch; then nothing may be committed.
/// Upstream: `SqlAlchemyStore.log_batch`, `_log_params`, `_log_model_metrics`, `_set_tags`.
pub(in crate::store) fn log_batches(conn: &mut Conn, batches: &[&NewBatch]) -> Result<Vec<Verdict>> {
    let targets = load_targets(conn, &distinct_runs(batches))?;
    let mut verdicts: Vec<Verdict> = batches
        .iter()
        .map(|b| check_stage(&b.run_id, targets.get(b.run_id.as_str()).map(|t| t.stage.as_str())))
        .collect();
    check_models(conn, batches, &mut verdicts)?;
    let new_params = check_params(conn, batches, &mut verdicts)?;
    let wanted = new_params.len();
    if bulk::insert_params(conn, new_params)? < wanted {
        // Somebody else has logged one of them since: look again.
        return Err(Error::unavailable("A param was logged at the same time.").with_source(RaceLost));
    }
    let kept: Vec<&NewBatch> =
        batches.iter().zip(&verdicts).filter(|(_, v)| v.is_ok()).map(|(b, _)| *b).collect();
    let rows = metric_rows(&kept);
    if !rows.is_empty() {
        bulk::log_metrics(conn, &distinct_runs(&kept), rows)?;
    }
    log_model_metrics(conn, &kept, &targets)?;
    set_tags(conn, &kept)?;
    Ok(verdicts)
}

fn distinct_runs<'a>(batches: &[&'a NewBatch]) -> Vec<&'a str> {
    let mut ids: Vec<&str> = batches.iter().map(|b| b.run_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Returns all metrics in the order of logging.
fn metric_rows<'a>(batches: &[&'a NewBatch]) -> Vec<MetricRow<'a>> {
    batches.iter().flat_map(|b| b.metrics.iter().map(|m| metric_row(&b.run_id, m))).collect()
}

fn metric_row<'a>(run: &'a str, m: &'a NewMetric) -> MetricRow<'a> {
    let NewMetric { key, value, is_nan, timestamp_ms, step, .. } = m;
    MetricRow { run, key, value: *value, is_nan: *is_nan, timestamp_ms: *timestamp_ms, step: *step }
}

fn check_stage(id: &str, stage: Option<&str>) -> Verdict {
    match stage {
        Some(ACTIVE) => Ok(()),
        Some(stage) => Err(run_not_active(id, stage)),
        None => Err(run_not_found(id)),
    }
}

struct Target {
    stage: String,
    experiment_id: i32,
}

/// Index: the primary key (see "Look-ups" in `statement.rs`).
const PG_TARGETS: &str = "SELECT r.* FROM unnest((SELECT ?)) p(id) CROSS JOIN LATERAL (\
    SELECT run_uuid, lifecycle_stage, experiment_id FROM runs WHERE run_uuid BETWEEN p.id AND p.id \
    ORDER BY run_uuid OFFSET 0) r";

fn load_targets(conn: &mut Conn, ids: &[&str]) -> Result<HashMap<String, Target>> {
    let columns = (runs::run_uuid, runs::lifecycle_stage, runs::experiment_id);
    let rows: Vec<(String, Option<String>, Option<i32>)> = match (conn, ids) {
        (Conn::Pg(c), ids) => {
            statement::<(Text, Nullable<Text>, Nullable<Integer>)>(PG_TARGETS, &[Bind::Texts(ids)]).load(c)
        }
        (Conn::Sqlite(c), [id]) => runs::table.find(id).select(columns).load(c),
        (Conn::Sqlite(c), ids) => runs::table.filter(runs::run_uuid.eq_any(ids)).select(columns).load(c),
    }?;
    Ok(rows
        .into_iter()
        .map(|(id, stage, experiment_id)| {
            let target =
                Target { stage: stage.unwrap_or_default(), experiment_id: experiment_id.unwrap_or_default() };
            (id, target)
        })
        .collect())
}

/// Refuses batches that measure a logged model which does not exist.
fn check_models(conn: &mut Conn, batches: &[&NewBatch], verdicts: &mut [Verdict]) -> Result<()> {
    let models_of = |b: &NewBatch| -> Vec<String> {
        b.metrics.iter().filter_map(|m| m.model.as_ref()).map(|m| m.model_id.clone()).collect()
    };
    let mut ids: Vec<String> = batches.iter().flat_map(|b| models_of(b)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    ids.sort_unstable();
    ids.dedup();
    let known: Vec<String> = each!(conn, c => logged_models::table
        .filter(logged_models::model_id.eq_any(&ids))
        .select(logged_models::model_id)
        .load(c))?;
    for (batch, verdict) in batches.iter().zip(verdicts) {
        let unknown = models_of(batch).into_iter().find(|id| !known.contains(id));
        if let (Ok(()), Some(id)) = (&verdict, unknown) {
            let message = format!("Metrics cannot be logged to model '{id}': there is no such logged model.");
            *verdict = Err(Error::new(ErrorCode::BadRequest, message));
        }
    }
    Ok(())
}

/// Refuses batches that change a param, and returns the params of the others that are new.
fn check_params<'a>(
    conn: &mut Conn,
    batches: &[&'a NewBatch],
    verdicts: &mut [Verdict],
) -> Result<Vec<PairRow<'a>>> {
    let with_params: Vec<&NewBatch> = batches.iter().filter(|b| !b.params.is_empty()).copied().collect();
    if with_params.is_empty() {
        return Ok(Vec::new());
    }
    let stored = load_params(conn, &with_params)?;
    let mut known: HashMap<(&str, &str), &str> =
        stored.iter().map(|(run, key, value)| ((run.as_str(), key.as_str()), value.as_str())).collect();
    let mut new = Vec::new();
    for (batch, verdict) in batches.iter().zip(verdicts).filter(|(_, v)| v.is_ok()) {
        let changed: Vec<Change<'_>> = batch
            .params
            .iter()
            .filter_map(|p| {
                let old = known.get(&(batch.run_id.as_str(), p.key())).filter(|old| **old != p.value())?;
                Some(Change { key: p.key(), old, new: p.value() })
            })
            .collect();
        if !changed.is_empty() {
            *verdict = Err(param_changed(batch, &changed));
            continue;
        }
        for p in &batch.params {
            if known.insert((&batch.run_id, p.key()), p.value()).is_none() {
                new.push(PairRow { run: &batch.run_id, key: p.key(), value: p.value() });
            }
        }
    }
    Ok(new)
}

fn load_params(conn: &mut Conn, batches: &[&NewBatch]) -> Result<Vec<(String, String, String)>> {
    let wanted = batches.iter().flat_map(|b| b.params.iter().map(|p| (p.key(), b.run_id.as_str())));
    Ok(match conn {
        Conn::Pg(c) => {
            let (keys, ids): (Vec<&str>, Vec<&str>) = wanted.unzip();
            let binds = [Bind::Texts(&keys), Bind::Texts(&ids)];
            statement::<(Text, Text, Text)>(PG_PARAMS, &binds).load(c)?
        }
        Conn::Sqlite(c) => {
            let list = wanted.map(|(key, id)| json!([key, id])).collect::<Value>().to_string();
            statement::<(Text, Text, Text)>(SQLITE_PARAMS, &[Bind::Text(&list)]).load(c)?
        }
    })
}

/// The params with the keys and runs of a list. Index: the primary key (see "Look-ups" in `statement.rs`).
const PG_PARAMS: &str = concat!(
    "SELECT d.* FROM unnest((SELECT ?), (SELECT ?)) p(key, id) CROSS JOIN LATERAL (SELECT run_uuid, key, value FROM params WHERE ",
    same_pair!("key", "run_uuid", "p.key", "p.id"),
    " OFFSET 0) d"
);
const SQLITE_PARAMS: &str = "SELECT d.run_uuid, d.key, d.value FROM json_each(?) p CROSS JOIN params d \
    ON d.key = p.value ->> 0 AND d.run_uuid = p.value ->> 1";

struct Change<'a> {
    key: &'a str,
    old: &'a str,
    new: &'a str,
}

/// Upstream: `SqlAlchemyStore.log_param`, `_log_params`.
fn param_changed(batch: &NewBatch, changed: &[Change<'_>]) -> Error {
    let run = &batch.run_id;
    if let (ParamsFrom::LogParam, [Change { key, old, new }]) = (batch.params_from, changed) {
        return Error::invalid(format!(
            "Changing param values is not allowed. Param with key='{key}' was already logged with value='{old}' \
             for run ID='{run}'. Attempted logging new value '{new}'."
        ));
    }
    let list: Vec<String> = changed
        .iter()
        .map(|c| {
            let [key, old, new] = [c.key, c.old, c.new].map(python::repr);
            format!("{{'key': {key}, 'old_value': {old}, 'new_value': {new}}}")
        })
        .collect();
    Error::invalid(format!(
        "Changing param values is not allowed. Params were already logged='[{}]' for run ID='{run}'.",
        list.join(", ")
    ))
}

/// Adds the metrics that measure logged models; those that are there already are left alone.
fn log_model_metrics(
    conn: &mut Conn,
    batches: &[&NewBatch],
    targets: &HashMap<String, Target>,
) -> Result<()> {
    use logged_model_metrics::dsl;
    for batch in batches {
        let experiment_id = targets.get(batch.run_id.as_str()).map(|t| t.experiment_id);
        let rows: Vec<_> = batch
            .metrics
            .iter()
            .filter_map(|m| {
                let model = m.model.as_ref()?;
                Some((
                    dsl::model_id.eq(&model.model_id),
                    dsl::metric_name.eq(&m.key),
                    dsl::metric_timestamp_ms.eq(m.timestamp_ms),
                    dsl::metric_step.eq(m.step),
                    dsl::metric_value.eq(m.value),
                    dsl::experiment_id.eq(experiment_id.unwrap_or_default()),
                    dsl::run_id.eq(batch.run_id.as_str()),
                    dsl::dataset_name.eq(&model.dataset_name),
                    dsl::dataset_digest.eq(&model.dataset_digest),
                ))
            })
            .collect();
        // A batch has at most 1000 metrics, 9000 binds; both databases take more than three times that.
        if !rows.is_empty() {
            each!(conn, c => diesel::insert_into(logged_model_metrics::table)
                .values(&rows)
                .on_conflict_do_nothing()
                .execute(c))?;
        }
    }
    Ok(())
}

/// Writes the last value of each tag, and the names of the runs that are named by one.
fn set_tags(conn: &mut Conn, batches: &[&NewBatch]) -> Result<()> {
    let all = batches.iter().flat_map(|batch| batch.tags.iter().map(|tag| (batch.run_id.as_str(), tag)));
    let all = all.map(|(run, tag)| PairRow { run, key: tag.key(), value: tag.value() });
    // An empty name names nothing.
    let all = all.filter(|row| row.key != RUN_NAME_TAG || !row.value.is_empty());
    let rows = one_of_each(all, |row| (row.run, row.key), |_, _| true);
    for row in rows.iter().filter(|row| row.key == RUN_NAME_TAG) {
        set_name(conn, row.run, row.value)?;
    }
    bulk::upsert_tags(conn, rows)?;
    Ok(())
}

/// Gives a run a name, and writes it to the tag that carries it.
pub(super) fn rename_run(conn: &mut Conn, run_id: &RunId, name: &str) -> Result<()> {
    set_name(conn, run_id, name)?;
    bulk::upsert_tags(conn, vec![PairRow { run: run_id, key: RUN_NAME_TAG, value: name }])?;
    Ok(())
}

fn set_name(conn: &mut Conn, run_id: &str, name: &str) -> Result<()> {
    each!(conn, c => diesel::update(runs::table.find(run_id)).set(runs::name.eq(name)).execute(c))?;
    Ok(())
}

#[cfg(test)]
mod tests;
