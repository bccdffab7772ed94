//! Datasets, and what runs read and produce.

use crate::api::extract::Check::{Array, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::dataset::{NewInputs, searched_experiments};
use crate::domain::ids::RunId;
use crate::proto::{LogInputs, LogOutputs, SearchDatasets, log_inputs, log_outputs, search_datasets};

impl Request for LogInputs {
    const SCHEMA: Schema = &[("run_id", &[Required, Str]), ("datasets", &[Array]), ("models", &[Array])];
}

impl Request for LogOutputs {
    const SCHEMA: Schema = &[("run_id", &[Required, Str]), ("models", &[Required, Array])];
}

impl Request for SearchDatasets {
    const SCHEMA: Schema = &[];
}

/// `POST runs/log-inputs`. Upstream: `_log_inputs`.
pub async fn log_inputs(app: App, Proto(r): Proto<LogInputs>) -> Reply<log_inputs::Response> {
    app.store.log_inputs(NewInputs::try_from(r)?).await?;
    reply::empty()
}

/// `POST runs/outputs`. Upstream: `_log_outputs`.
pub async fn log_outputs(app: App, Proto(r): Proto<LogOutputs>) -> Reply<log_outputs::Response> {
    app.store.log_outputs(RunId::from(r.run_id), r.models).await?;
    reply::empty()
}

/// `POST experiments/search-datasets`, for the UI only. Upstream: `_search_datasets_handler`.
pub async fn search_datasets(app: App, Proto(r): Proto<SearchDatasets>) -> Reply<search_datasets::Response> {
    let dataset_summaries = app.store.search_datasets(searched_experiments(&r)?).await?;
    reply::json(search_datasets::Response { dataset_summaries })
}
