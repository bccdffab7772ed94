//! The life of an experiment.

use actix_web::http::{Method, StatusCode};
use serde_json::json;

use crate::harness::on_each_database;

#[test]
fn lives_from_creation_to_restoration() {
    on_each_database(|api| async move {
        let id = api.experiment("Größe 日本").await;
        let tag = json!({ "experiment_id": id, "key": "mlflow.note.content", "value": "é\n" });
        api.post("experiments/set-experiment-tag", tag).await;
        let found = api.get(&format!("experiments/get?experiment_id={id}")).await;
        let experiment = &found["experiment"];
        assert_eq!(experiment["name"], "Größe 日本");
        assert_eq!(experiment["artifact_location"], format!("mlflow-artifacts:/{id}"));
        assert_eq!(experiment["tags"], json!([{ "key": "mlflow.note.content", "value": "é\n" }]));

        let run = api.run(&id, 1).await;
        api.post("experiments/delete", json!({ "experiment_id": id })).await;
        let run_after = api.get(&format!("runs/get?run_id={run}")).await;
        assert_eq!(run_after["run"]["info"]["lifecycle_stage"], "deleted");
        let refused = api.call(Method::POST, "runs/create", json!({ "experiment_id": id })).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE")
        );
        api.post("experiments/restore", json!({ "experiment_id": id })).await;
        let run_after = api.get(&format!("runs/get?run_id={run}")).await;
        assert_eq!(run_after["run"]["info"]["lifecycle_stage"], "active");
    });
}

#[test]
fn refuses_with_the_code_and_the_reason() {
    on_each_database(|api| async move {
        api.experiment("taken").await;
        for (path, body, status, code, reason) in [
            ("create", json!({}), 400, "INVALID_PARAMETER_VALUE", "'name'"),
            ("create", json!({ "name": "" }), 400, "INVALID_PARAMETER_VALUE", "'name'"),
            ("create", json!({ "name": 7 }), 400, "INVALID_PARAMETER_VALUE", "7"),
            ("create", json!({ "name": "taken" }), 400, "RESOURCE_ALREADY_EXISTS", "taken"),
            ("create", json!({ "name": "x".repeat(501) }), 400, "INVALID_PARAMETER_VALUE", "500"),
            ("delete", json!({ "experiment_id": "4711" }), 404, "RESOURCE_DOES_NOT_EXIST", "4711"),
            ("delete", json!({ "experiment_id": "abc" }), 400, "INVALID_PARAMETER_VALUE", "abc"),
        ] {
            let answer = api.call(Method::POST, &format!("experiments/{path}"), body.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (status, code),
                "{body}: {}",
                answer.text
            );
            assert!(answer.json()["message"].as_str().unwrap().contains(reason), "{body}: {}", answer.text);
        }
        let all = api.post("experiments/search", json!({ "max_results": 1000 })).await;
        assert_eq!(
            all["experiments"].as_array().unwrap().len(),
            2,
            "what was refused must not be there: {all}"
        );
    });
}
