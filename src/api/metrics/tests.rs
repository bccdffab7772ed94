//! The answers about histories, on both databases.

use actix_web::test::TestRequest;
use serde_json::json;

use crate::api::testing::{send, state};
use crate::store::Store;
use crate::store::testing::on_each_database;

async fn run_with_metrics(store: &Store) -> String {
    let experiment = store.make_experiment(json!({ "name": "e" })).await;
    let metrics = json!({ "metrics": [
        { "key": "m", "value": 3, "timestamp": 10, "step": 0 },
        { "key": "m", "value": "NaN", "timestamp": 11, "step": 1 },
        { "key": "m", "value": "Infinity", "timestamp": 12, "step": 9_007_199_254_740_993_i64 },
    ] });
    store.make_run(json!({ "experiment_id": experiment }), metrics).await
}

#[test]
fn histories_are_written_as_stock_writes_them() {
    on_each_database(|store| async move {
        let run = run_with_metrics(&store).await;
        let state = state(store);
        for (path, want) in [
            (
                "/api/2.0/mlflow/metrics/get-history?run_id=RUN&metric_key=m",
                r#"{"metrics":[{"key":"m","value":3.0,"timestamp":10,"step":0},{"key":"m","value":"NaN","timestamp":11,"step":1},{"key":"m","value":1.7976931348623157e+308,"timestamp":12,"step":9007199254740993}]}"#,
            ),
            (
                "/api/2.0/mlflow/metrics/get-history?run_id=RUN&metric_key=m&max_results=1",
                r#"{"metrics":[{"key":"m","value":3.0,"timestamp":10,"step":0}],"next_page_token":"eyJvZmZzZXQiOiAxfQ=="}"#,
            ),
            ("/api/2.0/mlflow/metrics/get-history?run_id=RUN&metric_key=none", "{}"),
            ("/api/2.0/mlflow/metrics/get-history?run_id=none&metric_key=m", "{}"),
            (
                "/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=RUN&metric_key=m&max_results=2",
                "{\"metrics\":[{\"key\":\"m\",\"run_id\":\"RUN\",\"step\":0,\"timestamp\":10,\"value\":3.0},{\"key\":\"m\",\"run_id\":\"RUN\",\"step\":1,\"timestamp\":11,\"value\":NaN}]}\n",
            ),
            ("/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=x&metric_key=m", "{\"metrics\":[]}\n"),
            (
                "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=RUN&metric_key=m&max_results=2",
                r#"{"metrics":[{"key":"m","value":3.0,"timestamp":10,"step":0,"run_id":"RUN"},{"key":"m","value":1.7976931348623157e+308,"timestamp":12,"step":9007199254740993,"run_id":"RUN"}]}"#,
            ),
            ("/api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=none&metric_key=m", "{}"),
        ] {
            let (status, body) = send(&state, TestRequest::get().uri(&path.replace("RUN", &run))).await;
            let body = body.replace("7e308", "7e+308").replace(&run, "RUN");
            assert_eq!((status.as_u16(), body.as_str()), (200, want), "{path}");
        }
    });
}

#[test]
fn bad_questions_are_refused_in_the_words_of_stock() {
    on_each_database(|store| async move {
        let state = state(store);
        let runs = "run_ids=x&".repeat(101);
        let hint = "See the API docs for more information about request parameters.";
        for (question, want) in [
            (
                "get-history?metric_key=m".to_owned(),
                format!("Missing value for required parameter 'run_id'. {hint}"),
            ),
            (
                "get-history?run_id=r&metric_key=m&max_results=0".to_owned(),
                "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer."
                    .to_owned(),
            ),
            (
                "get-history?run_id=r&metric_key=m&page_token=x".to_owned(),
                "Invalid page token, could not base64-decode".to_owned(),
            ),
            (
                "get-history-bulk?metric_key=m".to_owned(),
                "GetMetricHistoryBulk request must specify at least one run_id.".to_owned(),
            ),
            (
                "get-history-bulk?run_id=r".to_owned(),
                "GetMetricHistoryBulk request must specify a metric_key.".to_owned(),
            ),
            (
                format!("get-history-bulk?metric_key=m&{}", runs.replace("run_ids", "run_id")),
                "GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 run_ids."
                    .to_owned(),
            ),
            (
                format!("get-history-bulk-interval?metric_key=m&{runs}"),
                format!(
                    "GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 run_ids. \
                     {hint}"
                ),
            ),
            (
                "get-history-bulk-interval?metric_key=m&run_ids=r&max_results=2501".to_owned(),
                format!("max_results must be between 1 and 2500. {hint}"),
            ),
            (
                "get-history-bulk-interval?metric_key=m&run_ids=r&start_step=1".to_owned(),
                "If either start step or end step are specified, both must be specified.".to_owned(),
            ),
            (
                "get-history-bulk-interval?metric_key=m&run_ids=r&start_step=2&end_step=1".to_owned(),
                "end_step must be greater than start_step. Found start_step=2 and end_step=1.".to_owned(),
            ),
        ] {
            let path = format!("/ajax-api/2.0/mlflow/metrics/{question}");
            let (status, body) = send(&state, TestRequest::get().uri(&path)).await;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (status.as_u16(), body["message"].as_str().unwrap()),
                (400, want.as_str()),
                "{question}"
            );
        }
    });
}
