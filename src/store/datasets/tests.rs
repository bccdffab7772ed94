use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::store::testing::{message, on_each_database};

/// Logs inputs from a request's JSON.
async fn log(store: &Store, request: Value) -> Result<()> {
    store.log_inputs(NewInputs::try_from(message::<crate::proto::LogInputs>(request))?).await
}

fn dataset(name: &str, tags: &[(&str, &str)]) -> Value {
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    json!({
        "dataset": {"name": name, "digest": "1", "source_type": "local", "source": "{}", "schema": "s"},
        "tags": tags,
    })
}

/// Writes inputs as `name[key=value,…] … | model …`.
async fn inputs_of(store: &Store, run_id: &str) -> String {
    let inputs = store.get_run(run_id.into()).await.unwrap().inputs.unwrap();
    let tag = |t: &InputTag| format!("{}={}", t.key(), t.value());
    let dataset = |i: &DatasetInput| {
        let tags: Vec<String> = i.tags.iter().map(tag).collect();
        format!("{}[{}]", i.dataset.as_ref().unwrap().name(), tags.join(","))
    };
    let datasets: Vec<String> = inputs.dataset_inputs.iter().map(dataset).collect();
    let models: Vec<&str> = inputs.model_inputs.iter().map(ModelInput::model_id).collect();
    format!("{} | {}", datasets.join(" "), models.join(" "))
}

async fn outputs_of(store: &Store, run_id: &str) -> Vec<(String, i64)> {
    let outputs = store.get_run(run_id.into()).await.unwrap().outputs.unwrap();
    outputs.model_outputs.iter().map(|o| (o.model_id().to_owned(), o.step())).collect()
}

async fn run_in(store: &Store, experiment_id: &str) -> String {
    store.make_run(json!({"experiment_id": experiment_id}), json!({})).await
}

#[test]
fn an_input_that_is_logged_again_stays_as_it_was() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let run = run_in(&store, &e).await;
        let first = json!([dataset("z", &[("b", "1"), ("a", "2")]), dataset("a", &[])]);
        log(&store, json!({"run_id": run, "datasets": first})).await.unwrap();
        assert_eq!(inputs_of(&store, &run).await, "z[a=2,b=1] a[] | ");
        let again = json!([dataset("z", &[("c", "3")]), dataset("n", &[("c", "3")]), dataset("n", &[])]);
        log(&store, json!({"run_id": run, "datasets": again})).await.unwrap();
        assert_eq!(inputs_of(&store, &run).await, "z[a=2,b=1] a[] n[c=3] | ");
    });
}

#[test]
fn models_are_inputs_and_outputs() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let run = run_in(&store, &e).await;
        let models = json!([{"model_id": "m-b"}, {"model_id": "m-a"}, {"model_id": "m-b"}]);
        for _ in 0..2 {
            log(&store, json!({"run_id": run, "models": models})).await.unwrap();
        }
        assert_eq!(inputs_of(&store, &run).await, " | m-a m-b");
        let output = |id: &str, step| ModelOutput { model_id: Some(id.into()), step: Some(step) };
        store.log_outputs(run.clone().into(), vec![output("m-2", 5), output("m-1", -6)]).await.unwrap();
        let error = store
            .log_outputs(run.clone().into(), vec![output("m-3", 0), output("m-2", 7)])
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        // Nothing of the refused request is there.
        assert_eq!(outputs_of(&store, &run).await, [("m-1".to_owned(), -6), ("m-2".to_owned(), 5)]);
        // A search shows outputs, but no models among the inputs.
        let found = store.search_runs(message(json!({"experiment_ids": [e]}))).await.unwrap();
        assert_eq!(found.runs[0].outputs.as_ref().unwrap().model_outputs.len(), 2);
        assert_eq!(found.runs[0].inputs.as_ref().unwrap().model_inputs, []);
    });
}

#[test]
fn a_refused_request_leaves_nothing_behind() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let run = run_in(&store, &e).await;
        let twice = json!([dataset("a", &[]), dataset("b", &[("k", "1"), ("k", "2")])]);
        let error = log(&store, json!({"run_id": run, "datasets": twice})).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert_eq!(inputs_of(&store, &run).await, " | ");
        assert_eq!(store.search_datasets(vec![e.parse().unwrap()]).await.unwrap(), []);
        store.delete_run(run.clone().into()).await.unwrap();
        let error = log(&store, json!({"run_id": run, "datasets": [dataset("a", &[])]})).await.unwrap_err();
        assert!(
            error.message.ends_with("must be in the 'active' state. Current state is deleted."),
            "{error}"
        );
        let error = store.log_outputs("nope".into(), vec![]).await.unwrap_err();
        assert_eq!(error.message, "Run with id=nope not found");
    });
}

#[test]
fn datasets_belong_to_one_experiment_and_have_contexts() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let other = store.make_experiment(json!({"name": "other"})).await;
        for (experiment, context) in [(&e, "train"), (&e, "train"), (&e, "test"), (&other, "train")] {
            let run = run_in(&store, experiment).await;
            let tags = [(CONTEXT_TAG, context), ("other", "x")];
            log(&store, json!({"run_id": run, "datasets": [dataset("d", &tags)]})).await.unwrap();
        }
        let run = run_in(&store, &e).await;
        log(&store, json!({"run_id": run, "datasets": [dataset("bare", &[])]})).await.unwrap();
        let mut found: Vec<String> = store
            .search_datasets(vec![e.parse().unwrap()])
            .await
            .unwrap()
            .iter()
            .map(|d| format!("{}:{}:{:?}", d.experiment_id(), d.name(), d.context.as_deref()))
            .collect();
        found.sort_unstable();
        let want = ["bare:None", "d:Some(\"test\")", "d:Some(\"train\")"].map(|text| format!("{e}:{text}"));
        assert_eq!(found, want);
    });
}

#[test]
fn clients_that_log_the_same_at_once_share_it() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let runs = [run_in(&store, &e).await, run_in(&store, &e).await];
        let requests = (0..24).map(|i| {
            let mut datasets: Vec<Value> = (0..4).map(|d| dataset(&format!("d{d}"), &[("k", "v")])).collect();
            // Half of them in the other order, which locks the same rows the other way round.
            if i % 4 < 2 {
                datasets.reverse();
            }
            log(&store, json!({"run_id": runs[i % 2], "datasets": datasets}))
        });
        for result in join_all(requests).await {
            result.unwrap();
        }
        for run in &runs {
            let inputs = inputs_of(&store, run).await;
            assert_eq!(inputs.matches("[k=v]").count(), 4, "{inputs}");
        }
        assert_eq!(store.search_datasets(vec![e.parse().unwrap()]).await.unwrap().len(), 4);
    });
}
