//! The write path on both databases: groups, refusals, latest metrics.

use futures_util::future::join_all;
use serde_json::json;

use crate::domain::ErrorCode;
use crate::domain::run::NewBatch;
use crate::domain::validate::LongValues;
use crate::proto::{Metric, Param, RunTag};
use crate::store::Store;
use crate::store::testing::{assert_looked_up, message, on_each_database, on_sqlite};

async fn make_run(store: &Store) -> String {
    store.make_run(json!({"experiment_id": "0"}), json!({})).await
}

async fn make_default_experiment(store: &Store) {
    store.ensure_default_experiment().await.unwrap();
}

fn batch(run: &str, mut log: serde_json::Value) -> NewBatch {
    log["run_id"] = run.into();
    NewBatch::from_batch(message(log), LongValues::default()).unwrap()
}

fn metric(run: &str, key: &str, value: f64, timestamp: i64, step: i64) -> NewBatch {
    let log = json!({"run_id": run, "key": key, "value": value, "timestamp": timestamp, "step": step});
    NewBatch::from_metric(message(log)).unwrap()
}

/// What `runs/get` shows of a run, as `key=value` in the order of the keys.
async fn shown(store: &Store, run: &str) -> [Vec<String>; 3] {
    let data = store.get_run(run.into()).await.unwrap().data.unwrap();
    let mut lists = [
        data.metrics.iter().map(|m| format!("{}={}@{}", m.key(), m.value(), m.step())).collect::<Vec<_>>(),
        data.params.iter().map(|p| format!("{}={}", p.key(), p.value())).collect(),
        data.tags
            .iter()
            .filter(|t| t.key() != "mlflow.runName")
            .map(|t| format!("{}={}", t.key(), t.value()))
            .collect(),
    ];
    for list in &mut lists {
        list.sort();
    }
    lists
}

#[test]
fn each_request_of_a_group_succeeds_or_fails_alone() {
    on_each_database(|store| async move {
        make_default_experiment(&store).await;
        let (good, deleted) = (make_run(&store).await, make_run(&store).await);
        store.delete_run(deleted.clone().into()).await.unwrap();
        store.log(batch(&good, json!({"params": [{"key": "p", "value": "1"}]}))).await.unwrap();
        let requests = vec![
            metric(&good, "m", 1.0, 1, 1),
            metric("nope", "m", 1.0, 1, 1),
            metric(&deleted, "m", 1.0, 1, 1),
            batch(
                &good,
                json!({"params": [{"key": "p", "value": "2"}, {"key": "lost", "value": "x"}],
                "metrics": [{"key": "lost", "value": 1, "timestamp": 1}], "tags": [{"key": "lost", "value": "x"}]}),
            ),
            batch(
                &good,
                json!({"params": [{"key": "p", "value": "1"}, {"key": "q", "value": "2"}],
                "metrics": [{"key": "b", "value": 3, "timestamp": 1, "step": 4}], "tags": [{"key": "t", "value": "x"}]}),
            ),
            batch(
                &good,
                json!({"metrics": [{"key": "m", "value": 9, "timestamp": 1, "model_id": "m-nope"}]}),
            ),
            metric(&good, "m", 2.0, 1, 2),
        ];
        let verdicts = join_all(requests.into_iter().map(|r| store.log(r))).await;
        let codes: Vec<_> = verdicts.iter().map(|v| v.as_ref().err().map(|e| e.code)).collect();
        assert_eq!(
            codes,
            [
                None,
                Some(ErrorCode::ResourceDoesNotExist),
                Some(ErrorCode::InvalidParameterValue),
                Some(ErrorCode::InvalidParameterValue),
                None,
                Some(ErrorCode::BadRequest),
                None
            ]
        );
        let [metrics, params, tags] = shown(&store, &good).await;
        assert_eq!(metrics, ["b=3@4", "m=2@2"]);
        assert_eq!(params, ["p=1", "q=2"]);
        assert_eq!(tags, ["t=x"]);
    });
}

#[test]
fn many_clients_lose_nothing() {
    on_each_database(|store| async move {
        make_default_experiment(&store).await;
        let runs = [make_run(&store).await, make_run(&store).await, make_run(&store).await];
        let requests = (0..600_i32).map(|i| {
            let run = &runs[usize::try_from(i % 3).unwrap()];
            store.log(metric(run, &format!("k{}", i % 4), f64::from(i), i64::from(i), i64::from(i)))
        });
        assert!(join_all(requests).await.iter().all(Result::is_ok));
        for (i, run) in runs.iter().enumerate() {
            let mut points = 0;
            for key in ["k0", "k1", "k2", "k3"] {
                let page = store.get_metric_history(run.clone().into(), key.into(), None, 0).await.unwrap();
                points += page.points.len();
            }
            assert_eq!(points, 200, "run {i}");
        }
        let [metrics, ..] = shown(&store, &runs[2]).await;
        assert_eq!(metrics, ["k0=596@596", "k1=593@593", "k2=590@590", "k3=599@599"]);
    });
}

#[test]
fn the_latest_metric_is_the_largest_by_step_time_and_value() {
    on_each_database(|store| async move {
        make_default_experiment(&store).await;
        let run = make_run(&store).await;
        let mut largest = (i64::MIN, i64::MIN, f64::MIN);
        // A walk through small numbers meets every kind of tie.
        for round in 0..40_i32 {
            let rows: Vec<_> = (0..25_i32)
                .map(|i| {
                    let n = round * 25 + i;
                    (i64::from(n * 7 % 5), i64::from(n * 11 % 3), f64::from(n * 13 % 4))
                })
                .collect();
            for row in &rows {
                if *row > largest {
                    largest = *row;
                }
            }
            let metrics: Vec<_> = rows
                .iter()
                .map(|(step, time, value)| json!({"key": "m", "value": value, "timestamp": time, "step": step}))
                .collect();
            store.log(batch(&run, json!({ "metrics": metrics }))).await.unwrap();
            let data = store.get_run(run.clone().into()).await.unwrap().data.unwrap();
            let m = &data.metrics[0];
            assert_eq!((m.step(), m.timestamp(), m.value()), largest, "round {round}");
        }
    });
}

#[test]
fn logging_the_same_again_changes_nothing() {
    on_each_database(|store| async move {
        make_default_experiment(&store).await;
        let run = make_run(&store).await;
        let log = json!({"metrics": [{"key": "m", "value": "NaN", "timestamp": 1}, {"key": "m", "value": "NaN", "timestamp": 1}],
            "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "1"}]});
        for _ in 0..3 {
            store.log(batch(&run, log.clone())).await.unwrap();
        }
        let page = store.get_metric_history(run.clone().into(), "m".into(), None, 0).await.unwrap();
        assert_eq!(page.points.len(), 1);
        assert_eq!(shown(&store, &run).await, [vec!["m=NaN@0"], vec!["p=1"], vec!["t=1"]]);
    });
}

#[test]
fn a_tag_with_the_name_renames_the_run() {
    on_each_database(|store| async move {
        make_default_experiment(&store).await;
        let run = make_run(&store).await;
        for (value, want) in [("new name", "new name"), ("", "new name")] {
            store
                .log(batch(&run, json!({"tags": [{"key": "mlflow.runName", "value": value}]})))
                .await
                .unwrap();
            let stored = store.get_run(run.clone().into()).await.unwrap();
            assert_eq!(stored.info.unwrap().run_name(), want);
            assert_eq!(stored.data.unwrap().tags[0].value(), want);
        }
    });
}

#[test]
fn a_new_run_needs_an_experiment_and_distinct_tags() {
    on_each_database(|store| async move {
        make_default_experiment(&store).await;
        let tag = |key: &str, value: &str| json!({"key": key, "value": value});
        for (create, want) in [
            (json!({}), Some("A run needs the id of its experiment.")),
            (json!({"experiment_id": ""}), Some("A run needs the id of its experiment.")),
            (
                json!({"experiment_id": "0", "tags": [tag("k", "1"), tag("k", "2")]}),
                Some("The tag 'k' is given twice."),
            ),
            // The name comes as a tag, too.
            (
                json!({"experiment_id": "0", "tags": [tag("mlflow.runName", "")]}),
                Some("The tag 'mlflow.runName' is given twice."),
            ),
            (json!({"experiment_id": "0", "tags": [tag("mlflow.runName", "n")]}), None),
        ] {
            let error = store.create_run(message(create.clone())).await.err();
            let error = error.as_ref().map(|e| (e.code, e.message.as_str()));
            assert_eq!(error, want.map(|message| (ErrorCode::BadRequest, message)), "{create}");
        }
    });
}

#[test]
fn sqlite_shows_what_was_logged_in_the_order_of_logging() {
    on_sqlite(|store| async move {
        make_default_experiment(&store).await;
        let pairs =
            |keys: &[&str]| json!(keys.iter().map(|k| json!({"key": k, "value": k})).collect::<Vec<_>>());
        let tags = pairs(&["zeta", "alpha"]);
        let run =
            store.make_run(json!({"experiment_id": "0", "run_name": "n", "tags": tags}), json!({})).await;
        let metrics = |keys: &[(&str, i64)]| {
            let metric =
                |(key, step): &(&str, i64)| json!({"key": key, "value": 1, "timestamp": 1, "step": step});
            json!(keys.iter().map(metric).collect::<Vec<_>>())
        };
        let first = json!({
            "params": pairs(&["z", "a", "m"]), "tags": pairs(&["y", "b", "alpha", "y"]),
            "metrics": metrics(&[("z", 1), ("a", 1), ("z", 0), ("a", 2), ("m", 0)]),
        });
        let second = json!({
            "params": pairs(&["k", "c"]), "tags": pairs(&["b", "a"]), "metrics": metrics(&[("b", 0), ("z", 9), ("aa", 0)]),
        });
        let (first, second) = (batch(&run, first), batch(&run, second));
        for logged in join_all([store.log(first), store.log(second)]).await {
            logged.unwrap();
        }
        let data = store.get_run(run.into()).await.unwrap().data.unwrap();
        let keys: Vec<&str> = data.params.iter().map(Param::key).collect();
        assert_eq!(keys, ["z", "a", "m", "k", "c"]);
        let keys: Vec<&str> = data.metrics.iter().map(Metric::key).collect();
        assert_eq!(keys, ["z", "a", "m", "b", "aa"]);
        let keys: Vec<&str> = data.tags.iter().map(RunTag::key).collect();
        assert_eq!(keys, ["zeta", "alpha", "mlflow.runName", "y", "b", "a"]);
    });
}

#[test]
fn sqlite_looks_up_params() {
    on_each_database(|store| async move {
        let looked_up = store.read(|conn| {
            assert_looked_up(conn, super::SQLITE_PARAMS);
            Ok(())
        });
        looked_up.await.unwrap();
    });
}
