//! Answers to the operations of the stock UI, on both databases.

use actix_web::test::TestRequest;
use actix_web::web::Data;
use serde_json::{Value, json};

use crate::api::state::AppState;
use crate::api::testing::{send, state};
use crate::store::Store;
use crate::store::testing::on_each_database;

async fn run(store: &Store) -> (String, String) {
    let tags = json!([{ "key": "k", "value": "v" }]);
    let experiment = store.make_experiment(json!({ "name": "e", "tags": tags })).await;
    let metrics = json!({
        "metrics": [
            { "key": "m", "value": 1.5, "timestamp": 7, "step": 9_007_199_254_740_993_i64 },
            { "key": "nan", "value": "NaN", "timestamp": 7 },
        ],
        "params": [{ "key": "p", "value": "x" }],
    });
    let create = json!({ "experiment_id": experiment, "run_name": "r", "start_time": 5, "user_id": "u" });
    (experiment, store.make_run(create, metrics).await)
}

/// Asks and returns the body as it came.
async fn ask(state: &Data<AppState>, query: &str, variables: Value) -> String {
    let body = json!({ "query": query, "variables": variables });
    let (status, body) = send(state, TestRequest::post().uri("/graphql").set_json(body)).await;
    assert_eq!(status.as_u16(), 200, "{body}");
    body
}

const GET_RUN: &str =
    "query GetRun($data: MlflowGetRunInput!) @component(name: \"MLflow.ExperimentRunTracking\") {
    mlflowGetRun(input: $data) {
        apiError { helpUrl code message __typename }
        run {
            info { runName status runUuid endTime startTime userId __typename }
            experiment { name tags { key value } __typename }
            modelVersions { status version name source __typename }
            data { metrics { key value step timestamp __typename } params { key value } tags { key } }
            inputs { datasetInputs { dataset { digest } } modelInputs { modelId } __typename }
            outputs { modelOutputs { modelId step } __typename }
            __typename
        }
        __typename
    }
}";

#[test]
fn a_run_is_answered_with_sorted_keys_and_defaults() {
    on_each_database(|store| async move {
        let (_, run) = run(&store).await;
        let state = state(store);
        let body = ask(&state, GET_RUN, json!({ "data": { "runId": run } })).await;
        let want = concat!(
            r#"{"data":{"mlflowGetRun":{"__typename":"MlflowGetRunResponse","apiError":null,"#,
            r#""run":{"__typename":"MlflowRunExtension","data":{"metrics":["#,
            r#"{"__typename":"MlflowMetricExtension","key":"m","step":"9007199254740993","timestamp":"7","value":1.5},"#,
            r#"{"__typename":"MlflowMetricExtension","key":"nan","step":"0","timestamp":"7","value":null}],"#,
            r#""params":[{"key":"p","value":"x"}],"tags":[{"key":"mlflow.runName"}]},"#,
            r#""experiment":{"__typename":"MlflowExperiment","name":"e","tags":[{"key":"k","value":"v"}]},"#,
            r#""info":{"__typename":"MlflowRunInfo","endTime":"0","runName":"r","runUuid":"RUN","startTime":"5","#,
            r#""status":"RUNNING","userId":"u"},"#,
            r#""inputs":{"__typename":"MlflowRunInputs","datasetInputs":[],"modelInputs":[]},"modelVersions":[],"#,
            r#""outputs":{"__typename":"MlflowRunOutputs","modelOutputs":[]}}}},"errors":null}"#,
            "\n"
        );
        assert_eq!(body.replace(&run, "RUN"), want);
    });
}

#[test]
fn the_versions_of_a_run_are_shown() {
    on_each_database(|store| async move {
        let (_, run) = run(&store).await;
        let id = run.clone();
        let insert = move |conn: &mut crate::store::conn::Conn| {
            let version = |n: i32, stage: &str| {
                format!(
                    "INSERT INTO model_versions (name, version, run_id, status, current_stage, source, workspace, \
                     last_updated_time) VALUES ('model', {n}, '{id}', 'READY', '{stage}', 's', 'default', {n});"
                )
            };
            conn.batch_execute(&format!(
                "INSERT INTO registered_models (name, workspace) VALUES ('model', 'default'); {}{}{}",
                version(1, "None"),
                version(2, "None"),
                version(3, "Deleted_Internal"),
            ))?;
            Ok(())
        };
        store.write(insert).await.unwrap();
        let state = state(store);
        let query = "query($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { modelVersions { name version status } } } }";
        let body: Value =
            serde_json::from_str(&ask(&state, query, json!({ "data": { "runId": run } })).await).unwrap();
        let versions = &body["data"]["mlflowGetRun"]["run"]["modelVersions"];
        assert_eq!(
            versions,
            &json!([
                { "name": "model", "version": "2", "status": "READY" },
                { "name": "model", "version": "1", "status": "READY" },
            ])
        );
    });
}

#[test]
fn searches_and_samples_are_answered() {
    on_each_database(|store| async move {
        let (experiment, run) = run(&store).await;
        let state = state(store);
        for (query, want) in [
            (
                "{ mlflowSearchRuns(input: {experimentIds: [\"EXP\"]}) { nextPageToken runs { info { runId } experiment { name } } } }",
                r#"{"data":{"mlflowSearchRuns":{"nextPageToken":"","runs":[{"experiment":{"name":"e"},"info":{"runId":"RUN"}}]}},"errors":null}"#,
            ),
            (
                "{ mlflowGetMetricHistoryBulkInterval(input: {runIds: [\"RUN\"], metricKey: \"nan\"}) { metrics { runId value } } }",
                r#"{"data":{"mlflowGetMetricHistoryBulkInterval":{"metrics":[{"runId":"RUN","value":null}]}},"errors":["Float cannot represent non numeric value: nan"]}"#,
            ),
            (
                "mutation { mlflowSearchDatasets(input: {experimentIds: [\"EXP\"]}) { datasetSummaries { name } } testMutation(inputString: \"x\") { output } }",
                r#"{"data":{"mlflowSearchDatasets":{"datasetSummaries":[]},"testMutation":null},"errors":null}"#,
            ),
            (
                "{ a: mlflowGetRun(input: {runId: \"none\"}) { run { info { runId } } } test(inputString: \"x\") { output } }",
                r#"{"data":{"a":null,"test":{"output":"x"}},"errors":["Run with id=none not found"]}"#,
            ),
        ] {
            let query = query.replace("EXP", &experiment).replace("RUN", &run);
            let body = ask(&state, &query, Value::Null).await;
            assert_eq!(body.trim_end().replace(&run, "RUN"), want, "{query}");
        }
    });
}

#[test]
fn variables_are_refused_in_the_words_of_stock() {
    on_each_database(|store| async move {
        let state = state(store);
        for (variables, want) in [
            (json!({}), "Variable '$data' of required type 'MlflowGetRunInput!' was not provided."),
            (
                json!({ "data": null }),
                "Variable '$data' of non-null type 'MlflowGetRunInput!' must not be null.",
            ),
            (
                json!({ "data": "x" }),
                "Variable '$data' got invalid value 'x'; Expected type 'MlflowGetRunInput' to be a mapping.",
            ),
            (
                json!({ "data": { "runId": 5 } }),
                "Variable '$data' got invalid value 5 at 'data.runId'; String cannot represent a non string value: 5",
            ),
            (
                json!({ "data": { "nope": "x" } }),
                "Variable '$data' got invalid value {'nope': 'x'}; Field 'nope' is not defined by type \
                 'MlflowGetRunInput'.",
            ),
        ] {
            let body: Value = serde_json::from_str(&ask(&state, GET_RUN, variables.clone()).await).unwrap();
            assert_eq!(body, json!({ "data": null, "errors": [want] }), "{variables}");
        }
    });
}

#[test]
fn what_is_no_question_is_refused() {
    on_each_database(|store| async move {
        let state = state(store);
        for body in ["", "[]", "{}", "{\"query\": 5}", "{\"query\": \"{\"}", "nojson"] {
            let request =
                TestRequest::post().uri("/graphql").insert_header(("content-type", "application/json"));
            let (status, answer) = send(&state, request.set_payload(body)).await;
            assert_eq!(status.as_u16(), 400, "{body}");
            assert!(answer.contains("INVALID_PARAMETER_VALUE"), "{answer}");
        }
    });
}
