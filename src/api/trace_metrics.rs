//! What is measured of traces, and how often two filters find the same ones.

use crate::api::extract::Check::{Array, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::proto::{
    CalculateTraceFilterCorrelation, QueryTraceMetrics, calculate_trace_filter_correlation,
    query_trace_metrics,
};
use crate::search::trace_metrics::MetricQuery;
use crate::store::traces::correlation::TraceCorrelation;

impl Request for QueryTraceMetrics {
    const SCHEMA: Schema = &[
        ("experiment_ids", &[Array, Required, Strings]),
        ("view_type", &[Required]),
        ("metric_name", &[Str, Required]),
        ("aggregations", &[Array, Required]),
        ("dimensions", &[Array, Strings]),
        ("filters", &[Array, Strings]),
        ("time_interval_seconds", &[Int]),
        ("start_time_ms", &[Int]),
        ("end_time_ms", &[Int]),
        ("max_results", &[Int]),
        ("page_token", &[Str]),
    ];
}

impl Request for CalculateTraceFilterCorrelation {
    const SCHEMA: Schema = &[
        ("experiment_ids", &[Array, Required, Strings]),
        ("filter_string1", &[Str, Required]),
        ("filter_string2", &[Str, Required]),
        ("base_filter", &[Str]),
    ];
}

/// `POST traces/metrics`. All groups are on one page. Upstream: `_query_trace_metrics`.
pub async fn query_trace_metrics(
    app: App,
    Proto(r): Proto<QueryTraceMetrics>,
) -> Reply<query_trace_metrics::Response> {
    reply::json(app.store.query_trace_metrics(MetricQuery::parse(&r)?).await?)
}

/// `POST traces/calculate-filter-correlation`. Upstream: `_calculate_trace_filter_correlation`.
pub async fn calculate_trace_filter_correlation(
    app: App,
    Proto(r): Proto<CalculateTraceFilterCorrelation>,
) -> Reply<calculate_trace_filter_correlation::Response> {
    let counts = app.store.count_trace_correlation(TraceCorrelation::new(&r)?).await?;
    let (npmi, npmi_smoothed) = counts.npmi();
    let count = |count| Some(i32::try_from(count).unwrap_or(i32::MAX));
    reply::json(calculate_trace_filter_correlation::Response {
        npmi,
        npmi_smoothed,
        filter1_count: count(counts.first),
        filter2_count: count(counts.second),
        joint_count: count(counts.joint),
        total_count: count(counts.total),
    })
}
