//! Logged models.

use actix_web::http::Method;
use serde_json::json;

use crate::harness::on_each_database;

#[test]
fn lives_and_is_found_by_its_metric() {
    on_each_database(|api| async move {
        let id = api.experiment("models").await;
        let run = api.run(&id, 1).await;
        let mut models = Vec::new();
        for (name, accuracy) in [("one", 0.5), ("two", 0.9)] {
            let new = json!({ "experiment_id": id, "name": name, "source_run_id": run,
                "params": [{ "key": "depth", "value": "3" }] });
            let made = api.post("logged-models", new).await;
            let model = made["model"]["info"]["model_id"].as_str().unwrap().to_owned();
            let metric = json!({ "run_id": run, "key": "acc", "value": accuracy, "timestamp": 1, "step": 0,
                "model_id": model });
            api.post("runs/log-metric", metric).await;
            models.push(model);
        }
        let query = json!({ "experiment_ids": [id], "filter": "metrics.acc > 0.7 AND params.depth = '3'" });
        let found = api.post("logged-models/search", query).await;
        let names: Vec<_> =
            found["models"].as_array().unwrap().iter().map(|m| &m["info"]["model_id"]).collect();
        assert_eq!(names, [&json!(models[1])]);

        let path = format!("logged-models/{}", models[0]);
        let answer = api.call(Method::DELETE, &path, json!({})).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        let gone = api.call(Method::GET, &path, json!({})).await;
        assert_eq!((gone.status.as_u16(), gone.code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"));
    });
}
