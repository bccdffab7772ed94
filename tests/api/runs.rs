//! Logging to runs.

use actix_web::http::{Method, StatusCode};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Api, on_each_database};

/// The latest metrics of a run, by key.
async fn latest(api: &Api, run: &str) -> Value {
    let found = api.get(&format!("runs/get?run_id={run}")).await;
    let metrics = found["run"]["data"]["metrics"].as_array().cloned().unwrap_or_default();
    metrics.into_iter().map(|m| (m["key"].as_str().unwrap().to_owned(), m["value"].clone())).collect()
}

#[test]
fn latest_is_the_largest_by_step_time_and_value() {
    on_each_database(|api| async move {
        let run = api.run("0", 1).await;
        let points = [(5, 1, 1.0), (5, 2, 0.5), (5, 2, 0.75), (4, 9, 9.0)];
        let metrics: Vec<_> = points
            .iter()
            .map(|(step, time, value)| json!({ "key": "m", "value": value, "timestamp": time, "step": step }))
            .collect();
        api.post("runs/log-batch", json!({ "run_id": run, "metrics": metrics })).await;
        assert_eq!(latest(&api, &run).await, json!({ "m": 0.75 }));
        for (value, shown) in
            [("NaN", json!("NaN")), ("Infinity", json!(f64::MAX)), ("-Infinity", json!(-f64::MAX))]
        {
            let metric = json!({ "run_id": run, "key": value, "value": value, "timestamp": 1 });
            api.post("runs/log-metric", metric).await;
            assert_eq!(latest(&api, &run).await[value], shown);
        }
    });
}

#[test]
fn a_batch_is_all_or_nothing() {
    on_each_database(|api| async move {
        let run = api.run("0", 1).await;
        api.post("runs/log-parameter", json!({ "run_id": run, "key": "p", "value": "1" })).await;
        let metric = json!({ "key": "m", "value": 1.0, "timestamp": 1, "step": 0 });
        let batch = json!({ "run_id": run, "metrics": [metric], "params": [{ "key": "p", "value": "2" }],
            "tags": [{ "key": "t", "value": "v" }] });
        let refused = api.call(Method::POST, "runs/log-batch", batch).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
        let found = api.get(&format!("runs/get?run_id={run}")).await;
        let data = &found["run"]["data"];
        assert_eq!(data["params"], json!([{ "key": "p", "value": "1" }]));
        assert_eq!(data["metrics"], Value::Null);
        assert!(data["tags"].as_array().unwrap().iter().all(|tag| tag["key"] != "t"));
    });
}

#[test]
fn a_bad_request_fails_alone_among_its_neighbours() {
    on_each_database(|api| async move {
        let runs = join_all((0..4).map(|i| api.run("0", i))).await;
        let deleted = api.run("0", 9).await;
        api.post("runs/delete", json!({ "run_id": deleted })).await;
        let metric = |run: &str, key: String, step: i64| json!({ "run_id": run, "key": key, "value": step, "timestamp": step, "step": step });
        let long = "k".repeat(251);
        let unknown = "f".repeat(32);
        let requests: Vec<(Value, u16)> = (0..120)
            .map(|i| match i % 6 {
                0 => (metric(&deleted, "m".into(), i), 400),
                1 => (metric(&unknown, "m".into(), i), 404),
                2 => (metric(&runs[0], long.clone(), i), 400),
                _ => (metric(&runs[usize::try_from(i).unwrap() % 4], format!("m{}", i % 3), i), 200),
            })
            .collect();
        let answers = join_all(
            requests.iter().map(|(body, _)| api.call(Method::POST, "runs/log-metric", body.clone())),
        )
        .await;
        for ((body, want), answer) in requests.iter().zip(&answers) {
            assert_eq!(answer.status.as_u16(), *want, "{body}: {}", answer.text);
        }
        for run in &runs {
            for (key, value) in latest(&api, run).await.as_object().unwrap() {
                let largest = requests
                    .iter()
                    .filter(|(body, want)| {
                        *want == 200 && body["run_id"] == json!(run) && body["key"] == json!(key)
                    })
                    .map(|(body, _)| body["step"].as_f64().unwrap())
                    .fold(f64::MIN, f64::max);
                assert_eq!(value.as_f64(), Some(largest), "{run} {key}");
            }
        }
    });
}

#[test]
fn a_bad_new_run_fails_alone_among_its_neighbours() {
    on_each_database(|api| async move {
        let (good, gone) = (api.experiment("good").await, api.experiment("gone").await);
        api.post("experiments/delete", json!({ "experiment_id": gone })).await;
        let run = |experiment: &str, i: i32, tags: Value| json!({ "experiment_id": experiment, "run_name": format!("run {i}"), "tags": tags });
        let (twice, other) =
            (json!({ "key": "k", "value": "v" }), json!({ "key": "mlflow.runName", "value": "other" }));
        // A database may refuse a NUL, and PostgreSQL does: its batch is then written one by one.
        let nul = json!({ "key": "k", "value": "a\0b" });
        let requests: Vec<(Value, Option<u16>)> = (0..150)
            .map(|i| match i % 10 {
                0 => (run(&gone, i, json!([])), Some(400)),
                1 => (run("987654321", i, json!([])), Some(404)),
                2 => (run(&good, i, json!([twice, twice])), Some(400)),
                3 => (run(&good, i, json!([other])), Some(400)),
                4 if i > 100 => (run(&good, i, json!([nul])), None),
                _ => (run(&good, i, json!([twice])), Some(200)),
            })
            .collect();
        let answers =
            join_all(requests.iter().map(|(body, _)| api.call(Method::POST, "runs/create", body.clone())))
                .await;
        for ((body, want), answer) in requests.iter().zip(&answers) {
            let is_expected = want.map_or_else(
                || matches!(answer.status.as_u16(), 200 | 400),
                |want| answer.status.as_u16() == want,
            );
            assert!(is_expected, "{body}: {} {}", answer.status, answer.text);
        }
        let made = answers.iter().filter(|answer| answer.status == 200);
        let mut made: Vec<Value> = made.map(|answer| answer.json()["run"].clone()).collect();
        let stored =
            api.post("runs/search", json!({ "experiment_ids": [good, gone], "max_results": 1000 })).await;
        let mut stored = stored["runs"].as_array().unwrap().clone();
        let by_id = |run: &Value| run["info"]["run_id"].as_str().unwrap().to_owned();
        made.sort_by_key(by_id);
        stored.sort_by_key(by_id);
        assert_eq!(made.len(), stored.len());
        for (answered, stored) in made.iter().zip(&stored) {
            assert_eq!(answered["info"], stored["info"]);
            assert_eq!(stored["data"]["tags"].as_array().unwrap().len(), 2, "{stored}");
        }
    });
}

#[test]
fn a_long_history_comes_in_pages() {
    on_each_database(|api| async move {
        let run = api.run("0", 1).await;
        for first in (0..5000).step_by(1000) {
            let metrics: Vec<_> = (first..first + 1000)
                .map(|i| json!({ "key": "loss", "value": i, "timestamp": i, "step": 0 }))
                .collect();
            api.post("runs/log-batch", json!({ "run_id": run, "metrics": metrics })).await;
        }
        let (mut values, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "metrics/get-history?run_id={run}&metric_key=loss&max_results=1700&page_token={token}"
            );
            let page = api.get(&path).await;
            values
                .extend(page["metrics"].as_array().unwrap().iter().map(|m| m["timestamp"].as_i64().unwrap()));
            match page["next_page_token"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(values, (0..5000).collect::<Vec<i64>>());
    });
}
