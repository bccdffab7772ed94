//! Traces; and searches over scorers and traces in a database that holds none, which is what the classic pages of the
//! UI ask everywhere. They look into the database, and refuse where there is something to show.

use actix_web::web::Path;
use serde_json::{Value, json};

use crate::api::extract::Check::{Array, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::validate;
use crate::proto::{
    AggregationType, BatchGetTraceInfos, ListScorers, QueryTraceMetrics, SearchTracesV3, Trace,
    batch_get_trace_infos, get_trace_info_v3, list_scorers, search_traces_v3,
};
use crate::store::unserved::Unserved;

impl Request for BatchGetTraceInfos {
    const SCHEMA: Schema =
        &[("trace_ids", &[Array, Required, Strings]), ("experiment_ids", &[Array, Strings])];
}

impl Request for SearchTracesV3 {
    const SCHEMA: Schema = &[
        ("locations", &[Array, Required]),
        ("filter", &[Str]),
        ("max_results", &[Int]),
        ("order_by", &[Array, Strings]),
        ("page_token", &[Str]),
    ];
}

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

impl Request for ListScorers {
    const SCHEMA: Schema = &[("experiment_id", &[Str]), ("experiment_ids", &[Array, Strings])];
}

/// `GET 3.0 traces/{trace_id}`. Upstream: `_get_trace_info_v3`.
pub async fn get_trace_info(app: App, id: Path<String>) -> Reply<get_trace_info_v3::Response> {
    let info = app.store.get_trace_info(id.into_inner()).await?;
    reply::json(get_trace_info_v3::Response { trace: Some(Trace { trace_info: Some(info) }) })
}

/// `POST traces/batchGetInfos`. Upstream: `_batch_get_trace_infos`.
pub async fn batch_get_trace_infos(
    app: App,
    Proto(r): Proto<BatchGetTraceInfos>,
) -> Reply<batch_get_trace_infos::Response> {
    let experiments = (!r.experiment_ids.is_empty())
        .then(|| r.experiment_ids.iter().map(|id| validate::experiment_id(id)).collect())
        .transpose()?;
    let trace_infos = app.store.get_trace_infos(r.trace_ids, experiments).await?;
    reply::json(batch_get_trace_infos::Response { trace_infos })
}

/// `POST traces/search`. The filter is not read. Upstream: `_search_traces_v3`.
pub async fn search_traces(app: App, Proto(_): Proto<SearchTracesV3>) -> Reply<search_traces_v3::Response> {
    app.store.require_none(Unserved::Traces).await?;
    reply::empty()
}

/// `POST traces/metrics`. Upstream: `_query_trace_metrics`.
pub async fn query_trace_metrics(app: App, Proto(r): Proto<QueryTraceMetrics>) -> Reply<Value> {
    app.store.require_none(Unserved::Traces).await?;
    reply::json(metrics_of_nothing(&r))
}

/// What an aggregation gives over no rows: a count that is not split into groups is 0, all else is absent.
fn metrics_of_nothing(request: &QueryTraceMetrics) -> Value {
    let counts = request.aggregations.iter().any(|a| a.aggregation_type() == AggregationType::Count);
    if counts && request.dimensions.is_empty() && request.time_interval_seconds.is_none() {
        return json!({ "data_points": [{ "metric_name": request.metric_name(), "values": { "COUNT": 0.0 } }] });
    }
    json!({})
}

/// `GET scorers/list`. Upstream: `_list_scorers`.
pub async fn list_scorers(app: App, Proto(r): Proto<ListScorers>) -> Reply<list_scorers::Response> {
    if !r.experiment_id().is_empty() {
        app.store.get_experiment(r.experiment_id().to_owned()).await?;
    }
    app.store.require_none(Unserved::Scorers).await?;
    reply::empty()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use crate::api::testing::{send, state};
    use crate::store::testing::on_each_database;

    #[test]
    fn nothing_is_found_where_there_is_nothing() {
        on_each_database(|store| async move {
            store.ensure_default_experiment().await.unwrap();
            let state = state(store);
            let count =
                json!({ "data_points": [{ "metric_name": "trace_count", "values": { "COUNT": 0.0 } }] });
            let metrics = |more: serde_json::Value| {
                let mut body = json!({ "experiment_ids": ["0"], "view_type": "TRACES", "metric_name": "trace_count",
                    "aggregations": [{ "aggregation_type": "COUNT" }] });
                body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                body
            };
            for (path, body, status, want) in [
                ("traces/search", json!({ "locations": [] }), 200, json!({})),
                ("traces/metrics", metrics(json!({})), 200, count),
                ("traces/metrics", metrics(json!({ "time_interval_seconds": 60 })), 200, json!({})),
            ] {
                let uri = format!("/ajax-api/3.0/mlflow/{path}");
                let (got, text) = send(&state, TestRequest::post().uri(&uri).set_json(&body)).await;
                assert_eq!((got.as_u16(), text), (status, want.to_string()), "{path} {body}");
            }
            for (query, status) in [("experiment_id=0", 200), ("experiment_id=99", 404)] {
                let uri = format!("/ajax-api/3.0/mlflow/scorers/list?{query}");
                let (got, text) = send(&state, TestRequest::get().uri(&uri)).await;
                assert_eq!(got.as_u16(), status, "{text}");
            }
            let (got, _) =
                send(&state, TestRequest::post().uri("/api/3.0/mlflow/traces/search").set_json(json!({})))
                    .await;
            assert_eq!(got.as_u16(), 400);
        });
    }

    #[test]
    fn what_is_there_is_not_denied() {
        on_each_database(|store| async move {
            let experiment = store.make_experiment(json!({ "name": "traced" })).await;
            store.insert_trace(&experiment).await;
            let state = state(store);
            let request =
                TestRequest::post().uri("/api/3.0/mlflow/traces/search").set_json(json!({ "locations": [] }));
            let (got, text) = send(&state, request).await;
            assert_eq!(got.as_u16(), 501, "{text}");
        });
    }
}
