//! Datasets of evaluations on each database.

use serde_json::{Value, json};

use super::*;
use crate::domain::evaluation_dataset::parse_tags;
use crate::domain::evaluation_dataset::records::{PageStart, parse_records, shown};
use crate::store::testing::{message, on_each_database};

async fn dataset(store: &Store, json: Value) -> EvaluationDataset {
    store
        .create_dataset(NewEvaluationDataset::try_from(message::<crate::proto::CreateDataset>(json)).unwrap())
        .await
        .unwrap()
}

async fn upsert(store: &Store, id: &str, records: Value) -> (i32, i32) {
    let records = parse_records(&records.to_string()).unwrap();
    store.upsert_dataset_records(id.into(), records).await.unwrap()
}

async fn records(store: &Store, id: &str) -> Value {
    let page = store.get_dataset_records(id.into(), 100, PageStart::Offset(0)).await.unwrap();
    serde_json::from_str(&shown(id, &page.0)).unwrap()
}

#[test]
fn datasets_live_and_die() {
    on_each_database(|store| async move {
        let experiment = store.make_experiment(json!({ "name": "e" })).await;
        let made = dataset(
            &store,
            json!({ "name": "d", "tags": r#"{"b": "1", "mlflow.user": "me"}"#, "experiment_ids": [experiment] }),
        )
        .await;
        let id = made.dataset_id().to_owned();
        assert_eq!((made.tags(), made.created_by()), (r#"{"b": "1", "mlflow.user": "me"}"#, "me"));
        assert_eq!(made.experiment_ids, [experiment.as_str()]);
        store
            .set_dataset_tags(id.clone().into(), parse_tags(r#"{"a": 1, "b": "2"}"#).unwrap())
            .await
            .unwrap();
        store.delete_dataset_tag(id.clone().into(), "mlflow.user".into()).await.unwrap();
        let read = store.get_dataset(id.clone().into()).await.unwrap();
        assert_eq!((read.tags(), read.experiment_ids.len()), (r#"{"a": "1", "b": "2"}"#, 0));
        assert_eq!(store.get_dataset_experiment_ids(id.clone().into()).await.unwrap(), [experiment]);
        upsert(&store, &id, json!([{ "inputs": { "q": 1 } }])).await;
        store.delete_dataset(id.clone().into()).await.unwrap();
        store.delete_dataset(id.clone().into()).await.unwrap();
        assert_eq!(records(&store, &id).await, json!([]));
        assert!(store.get_dataset_experiment_ids(id.clone().into()).await.unwrap().is_empty());
        let error = store.get_dataset(id.clone().into()).await.unwrap_err();
        assert_eq!(error.message, format!("Evaluation dataset with id '{id}' not found"));
    });
}

#[test]
fn datasets_move_between_experiments() {
    on_each_database(|store| async move {
        let mut ids = Vec::new();
        for name in ["a", "b"] {
            ids.push(store.make_experiment(json!({ "name": name })).await);
        }
        let id =
            dataset(&store, json!({ "name": "d", "experiment_ids": [ids[0]] })).await.dataset_id.unwrap();
        store.add_dataset_to_experiments(id.clone().into(), ids.clone()).await.unwrap();
        let mut all = ids.clone();
        all.sort();
        assert_eq!(store.get_dataset_experiment_ids(id.clone().into()).await.unwrap(), all);
        store
            .remove_dataset_from_experiments(id.clone().into(), vec![ids[0].clone(), "99".into()])
            .await
            .unwrap();
        assert_eq!(store.get_dataset_experiment_ids(id.clone().into()).await.unwrap(), [ids[1].as_str()]);
        for (id, experiment, want) in [
            ("nope", ids[0].as_str(), "Dataset 'nope' not found"),
            (id.as_str(), "99", "No Experiment with id=99"),
            (id.as_str(), "abc", "No Experiment with id=abc"),
        ] {
            let added = store.add_dataset_to_experiments(id.into(), vec![experiment.into()]).await;
            assert_eq!(added.unwrap_err().message, want);
        }
        let twice = NewEvaluationDataset::try_from(message::<crate::proto::CreateDataset>(
            json!({ "name": "d", "experiment_ids": ["7", "7"] }),
        ));
        assert_eq!(store.create_dataset(twice.unwrap()).await.unwrap_err().code, ErrorCode::BadRequest);
    });
}

#[test]
fn records_of_the_same_inputs_become_one() {
    on_each_database(|store| async move {
        let id = dataset(&store, json!({ "name": "d" })).await.dataset_id.unwrap();
        let first = json!([
            { "inputs": { "q": "é", "n": [1.5, null] }, "outputs": { "a": "x" }, "expectations": { "e": 1 } },
            { "inputs": { "q": "other" }, "tags": { "mlflow.user": "me" },
              "source": { "source_type": "TRACE", "source_data": { "trace_id": "tr-1" } } },
            { "inputs": { "n": [1.5, null], "q": "é" }, "expectations": { "f": 2 } },
        ]);
        assert_eq!(upsert(&store, &id, first).await, (2, 1));
        assert_eq!(
            upsert(&store, &id, json!([{ "inputs": { "q": "other" }, "tags": { "t": "x" } }])).await,
            (0, 1)
        );
        let found = records(&store, &id).await;
        let by_input =
            |q: &str| found.as_array().unwrap().iter().find(|r| r["inputs"]["q"] == q).unwrap().clone();
        let (merged, traced) = (by_input("é"), by_input("other"));
        assert_eq!(merged["expectations"], json!({ "e": 1, "f": 2 }));
        assert_eq!((&merged["outputs"], &merged["tags"]), (&json!({ "a": "x" }), &json!({})));
        assert_eq!((&traced["source_id"], &traced["source_type"]), (&json!("tr-1"), &json!("TRACE")));
        assert_eq!(
            (&traced["tags"], &traced["created_by"]),
            (&json!({ "mlflow.user": "me", "t": "x" }), &json!("me"))
        );
        let read = store.get_dataset(id.clone().into()).await.unwrap();
        assert_eq!(read.profile(), r#"{"num_records": 2}"#);
        assert_eq!(
            read.schema(),
            r#"{"inputs": {"q": "string", "n": "array"}, "outputs": {"a": "string"}, "expectations": {"e": "integer", "f": "integer"}, "version": "1.0"}"#
        );
        assert_eq!(read.last_updated_by, None);
        let ids: Vec<String> = vec![traced["dataset_record_id"].as_str().unwrap().into(), "dr-none".into()];
        assert_eq!(store.delete_dataset_records(id.clone().into(), ids.clone()).await.unwrap(), 1);
        assert_eq!(store.delete_dataset_records(id.clone().into(), ids).await.unwrap(), 0);
        assert_eq!(store.get_dataset(id.clone().into()).await.unwrap().profile(), r#"{"num_records": 1}"#);
        let unknown = store.upsert_dataset_records("nope".into(), parse_records("[{}]").unwrap()).await;
        assert_eq!(unknown.unwrap_err().code, ErrorCode::BadRequest);
    });
}

#[test]
fn pages_of_records_reach_the_end() {
    on_each_database(|store| async move {
        let id = dataset(&store, json!({ "name": "d" })).await.dataset_id.unwrap();
        let many: Vec<Value> = (0..25).map(|i| json!({ "inputs": { "i": i } })).collect();
        assert_eq!(upsert(&store, &id, json!(many)).await, (25, 0));
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let start = PageStart::parse(token.as_deref()).unwrap();
            let (page, next) = store.get_dataset_records(id.clone().into(), 10, start).await.unwrap();
            seen.extend(page.into_iter().map(|record| record.inputs));
            token = next;
            if token.is_none() {
                break;
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 25);
        let (page, _) = store.get_dataset_records(id.into(), 10, PageStart::Offset(20)).await.unwrap();
        assert_eq!(page.len(), 5);
    });
}

#[test]
fn searches_find_what_they_say() {
    on_each_database(|store| async move {
        let experiment = store.make_experiment(json!({ "name": "e" })).await;
        for (name, tags, experiments) in [
            ("a", r#"{"team": "Red"}"#, json!([experiment])),
            ("B", r#"{"team": "blue", "mlflow.user": "me"}"#, json!([])),
            ("c", "", json!([experiment, "77"])),
        ] {
            dataset(&store, json!({ "name": name, "tags": tags, "experiment_ids": experiments })).await;
        }
        for (request, want) in [
            (json!({}), "a B c"),
            (json!({ "filter_string": "name = 'a'" }), "a"),
            (json!({ "filter_string": "name ILIKE 'b'" }), "B"),
            (json!({ "filter_string": "name LIKE 'b'" }), ""),
            (json!({ "filter_string": "name IN ('a', 'c')" }), "a c"),
            (json!({ "filter_string": "tags.team != 'Red'" }), "B"),
            (json!({ "filter_string": "tags.team ILIKE 'r%' AND name != 'B'" }), "a"),
            (json!({ "filter_string": "created_by = 'me'" }), "B"),
            (json!({ "filter_string": "created_time > 5 AND last_update_time >= 5" }), "a B c"),
            (json!({ "filter_string": "created_time < 5" }), ""),
            (json!({ "experiment_ids": [experiment] }), "a c"),
            (json!({ "experiment_ids": ["77", "78"] }), "c"),
        ] {
            let found = store.search_evaluation_datasets(message(request.clone())).await.unwrap();
            let mut names: Vec<_> = found.datasets.iter().map(EvaluationDataset::name).collect();
            names.sort_by_key(|name| name.to_lowercase());
            assert_eq!(names.join(" "), want, "{request}");
        }
        let page = |token: &str| json!({ "max_results": 2, "order_by": ["name DESC"], "page_token": token });
        let first = store.search_evaluation_datasets(message(page(""))).await.unwrap();
        let last = store.search_evaluation_datasets(message(page(first.next_page_token()))).await.unwrap();
        assert_eq!((first.datasets.len(), last.datasets.len(), last.next_page_token), (2, 1, None));
        for (count, want) in [(0, "None"), (-1, "-1"), (50_001, "50001")] {
            let search = store.search_evaluation_datasets(message(json!({ "max_results": count })));
            let message = search.await.unwrap_err().message;
            assert!(
                message.starts_with(&format!("Invalid value {want} for parameter 'max_results'")),
                "{message}"
            );
        }
    });
}
