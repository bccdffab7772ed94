//! Runs and what is logged to them.

use crate::api::extract::Check::{Array, Float, Int, Items, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema, wrong_type};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::Result;
use crate::domain::ids::RunId;
use crate::domain::run::{NewBatch, either_id};
use crate::domain::validate::{
    MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH, MAX_SEARCH_RESULTS, batch_limit,
};
use crate::proto::{
    CreateRun, DeleteRun, DeleteTag, GetRun, LogBatch, LogMetric, LogParam, RestoreRun, SearchRuns, SetTag,
    UpdateRun, create_run, delete_run, delete_tag, get_run, log_batch, log_metric, log_param, restore_run,
    search_runs, set_tag, update_run,
};

impl Request for CreateRun {
    const SCHEMA: Schema = &[("experiment_id", &[Str]), ("start_time", &[Int]), ("run_name", &[Str])];
}

impl Request for SearchRuns {
    const SCHEMA: Schema = &[
        ("experiment_ids", &[Array]),
        ("filter", &[Str]),
        ("max_results", &[Int]),
        ("order_by", &[Array, Strings]),
    ];

    fn rows(&self) -> i64 {
        self.max_results().into()
    }
}

impl Request for UpdateRun {
    const SCHEMA: Schema =
        &[("run_id", &[Required, Str]), ("end_time", &[Int]), ("status", &[Str]), ("run_name", &[Str])];
}

impl Request for DeleteRun {
    const SCHEMA: Schema = &[("run_id", &[Required, Str])];
}

impl Request for RestoreRun {
    const SCHEMA: Schema = &[("run_id", &[Required, Str])];
}

impl Request for GetRun {
    const SCHEMA: Schema = &[("run_id", &[Required, Str])];
}

impl Request for DeleteTag {
    const SCHEMA: Schema = &[("run_id", &[Required, Str]), ("key", &[Required, Str])];
}

impl Request for LogMetric {
    const SCHEMA: Schema = &[
        ("run_id", &[Required, Str]),
        ("key", &[Required, Str]),
        ("value", &[Required, Float]),
        ("timestamp", &[Int, Required]),
        ("step", &[Int]),
        ("model_id", &[Str]),
        ("dataset_name", &[Str]),
        ("dataset_digest", &[Str]),
    ];
}

impl Request for LogParam {
    const SCHEMA: Schema = &[("run_id", &[Required, Str]), ("key", &[Required, Str]), ("value", &[Str])];
}

impl Request for SetTag {
    const SCHEMA: Schema = &[("run_id", &[Required, Str]), ("key", &[Required, Str]), ("value", &[Str])];
}

impl Request for LogBatch {
    const SCHEMA: Schema = &[
        ("run_id", &[Str, Required]),
        ("metrics", &[Array, Items(&["key", "value", "timestamp"])]),
        ("params", &[Array, Items(&["key"])]),
        ("tags", &[Array, Items(&["key"])]),
    ];

    fn has_whole_items(&self) -> bool {
        self.metrics.iter().all(|m| !m.key().is_empty() && m.value.is_some() && m.timestamp.is_some())
            && self.params.iter().all(|p| !p.key().is_empty())
            && self.tags.iter().all(|t| !t.key().is_empty())
    }

    const LISTS: &'static [&'static str] = &["metrics", "params", "tags"];

    fn check_lists(counts: &[usize]) -> Result<()> {
        let limits = [MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH];
        let mut lists = Self::LISTS.iter().zip(limits).zip(counts);
        lists.try_for_each(|((name, limit), count)| batch_limit(name, limit, *count))
    }
}

/// `POST runs/create`. Upstream: `_create_run`.
pub async fn create_run(app: App, Proto(r): Proto<CreateRun>) -> Reply<create_run::Response> {
    let run = app.store.create_run(r).await?;
    reply::json(create_run::Response { run: Some(run) })
}

/// `GET runs/get`. Upstream: `_get_run`.
pub async fn get_run(app: App, Proto(r): Proto<GetRun>) -> Reply<get_run::Response> {
    let run = app.store.get_run(either_id(r.run_id, r.run_uuid)).await?;
    reply::json(get_run::Response { run: Some(run) })
}

/// `POST runs/search`. Upstream: `_search_runs`.
pub async fn search_runs(app: App, Proto(r): Proto<SearchRuns>) -> Reply<search_runs::Response> {
    if i64::from(r.max_results()) > MAX_SEARCH_RESULTS {
        return Err(wrong_type("max_results", &i64::from(r.max_results()).into()));
    }
    reply::json(app.store.search_runs(r).await?)
}

/// `POST runs/update`. Upstream: `_update_run`.
pub async fn update_run(app: App, Proto(r): Proto<UpdateRun>) -> Reply<update_run::Response> {
    let id = either_id(r.run_id.clone(), r.run_uuid.clone());
    let info = app.store.update_run(id, r).await?;
    reply::json(update_run::Response { run_info: Some(info) })
}

/// `POST runs/delete`. Upstream: `_delete_run`.
pub async fn delete_run(app: App, Proto(r): Proto<DeleteRun>) -> Reply<delete_run::Response> {
    app.store.delete_run(RunId::from(r.run_id)).await?;
    reply::empty()
}

/// `POST runs/restore`. Upstream: `_restore_run`.
pub async fn restore_run(app: App, Proto(r): Proto<RestoreRun>) -> Reply<restore_run::Response> {
    app.store.restore_run(RunId::from(r.run_id)).await?;
    reply::empty()
}

/// `POST runs/delete-tag`. Upstream: `_delete_tag`.
pub async fn delete_tag(app: App, Proto(r): Proto<DeleteTag>) -> Reply<delete_tag::Response> {
    app.store.delete_tag(RunId::from(r.run_id), r.key.unwrap_or_default()).await?;
    reply::empty()
}

/// `POST runs/log-metric`. Upstream: `_log_metric`.
pub async fn log_metric(app: App, Proto(r): Proto<LogMetric>) -> Reply<log_metric::Response> {
    app.store.log(NewBatch::from_metric(r)?).await?;
    reply::empty()
}

/// `POST runs/log-parameter`. Upstream: `_log_param`.
pub async fn log_param(app: App, Proto(r): Proto<LogParam>) -> Reply<log_param::Response> {
    app.store.log(NewBatch::from_param(r, app.limits.long_values)?).await?;
    reply::empty()
}

/// `POST runs/set-tag`. Upstream: `_set_tag`.
pub async fn set_tag(app: App, Proto(r): Proto<SetTag>) -> Reply<set_tag::Response> {
    app.store.log(NewBatch::from_tag(r, app.limits.long_values)?).await?;
    reply::empty()
}

/// `POST runs/log-batch`. Upstream: `_log_batch`.
pub async fn log_batch(app: App, Proto(r): Proto<LogBatch>) -> Reply<log_batch::Response> {
    app.store.log(NewBatch::from_batch(r, app.limits.long_values)?).await?;
    reply::empty()
}
