//! The search of traces, in both versions of the interface.

use crate::api::extract::Check::{Array, AtMost, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::proto::trace_location::MlflowExperimentLocation;
use crate::proto::{SearchTraces, SearchTracesV3, TraceInfo, search_traces, search_traces_v3};
use crate::store::traces::search::TraceSearch;

/// The most traces on a page.
const MAX_TRACES: i64 = 500;

impl Request for SearchTracesV3 {
    const SCHEMA: Schema = &[
        ("locations", &[Array, Required]),
        ("filter", &[Str]),
        ("max_results", &[Int, AtMost(MAX_TRACES)]),
        ("order_by", &[Array, Strings]),
        ("page_token", &[Str]),
    ];

    fn has_whole_items(&self) -> bool {
        i64::from(self.max_results()) <= MAX_TRACES
    }
}

impl Request for SearchTraces {
    const SCHEMA: Schema = &[
        ("experiment_ids", &[Array, Strings, Required]),
        ("filter", &[Str]),
        ("max_results", &[Int, AtMost(MAX_TRACES)]),
        ("order_by", &[Array, Strings]),
        ("page_token", &[Str]),
    ];
}

/// `POST 3.0 traces/search`. Upstream: `_search_traces_v3`.
pub async fn search_traces_v3(
    app: App,
    Proto(r): Proto<SearchTracesV3>,
) -> Reply<search_traces_v3::Response> {
    let experiments: Vec<&str> = r
        .locations
        .iter()
        .filter_map(|location| location.mlflow_experiment.as_ref())
        .map(MlflowExperimentLocation::experiment_id)
        .collect();
    let page_token = r.page_token.as_deref();
    let search = TraceSearch::new(&experiments, r.filter(), &r.order_by, r.max_results(), page_token)?;
    let (traces, next_page_token) = app.store.search_traces(search).await?;
    reply::json(search_traces_v3::Response { traces, next_page_token })
}

/// `GET 2.0 traces`. Upstream: `_deprecated_search_traces_v2`.
pub async fn search_traces(app: App, Proto(r): Proto<SearchTraces>) -> Reply<search_traces::Response> {
    let page_token = r.page_token.as_deref();
    let search = TraceSearch::new(&r.experiment_ids, r.filter(), &r.order_by, r.max_results(), page_token)?;
    let (traces, next_page_token) = app.store.search_traces(search).await?;
    reply::json(search_traces::Response {
        traces: traces.into_iter().map(TraceInfo::from).collect(),
        next_page_token,
    })
}
