use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::domain::logged_model::LoggedModelPage;
use crate::proto::{LogModel, SearchLoggedModels, search_logged_models};
use crate::search::logged_models::LoggedModelQuery;
use crate::store::testing::{message, on_each_database};

/// Key, value, step and dataset of a metric.
type ShownMetric = (String, f64, i64, Option<String>);

impl Store {
    async fn make_model(&self, json: Value) -> LoggedModel {
        let new = NewLoggedModel::try_from(message::<crate::proto::CreateLoggedModel>(json)).unwrap();
        self.create_logged_model(new).await.unwrap()
    }
}

fn id_of(model: &LoggedModel) -> String {
    model.info.as_ref().unwrap().model_id().to_owned()
}

fn tag(key: &str, value: &str) -> LoggedModelTag {
    LoggedModelTag { key: Some(key.into()), value: Some(value.into()) }
}

fn param(key: &str, value: &str) -> LoggedModelParameter {
    LoggedModelParameter { key: Some(key.into()), value: Some(value.into()) }
}

#[test]
fn models_live_as_in_stock() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let made = store
            .make_model(json!({
                "experiment_id": e, "name": "m", "model_type": "agent",
                "params": [{"key": "z", "value": "1"}, {"key": "a"}],
                "tags": [{"key": "z", "value": "1"}, {"key": "a", "value": ""}],
            }))
            .await;
        let id = id_of(&made);
        let read = store.get_logged_model(id.clone().into(), Deleted::Hidden).await.unwrap();
        assert_eq!(made, read);
        let info = read.info.unwrap();
        assert_eq!(info.artifact_uri(), format!("/artifacts/{e}/models/{id}/artifacts"));
        assert_eq!(
            (info.status(), info.source_run_id.as_deref()),
            (LoggedModelStatus::LoggedModelPending, Some(""))
        );
        assert_eq!(info.tags, [tag("a", ""), tag("z", "1")]);
        assert_eq!(read.data.unwrap().params, [param("a", ""), param("z", "1")]);

        let status = LoggedModelStatus::LoggedModelReady;
        let ready = store.finalize_logged_model(id.clone().into(), status).await.unwrap().info.unwrap();
        assert_eq!(ready.status(), status);
        assert!(ready.last_updated_timestamp_ms() >= ready.creation_timestamp_ms());

        store.delete_logged_model(id.clone().into()).await.unwrap();
        let error = store.get_logged_model(id.clone().into(), Deleted::Hidden).await.unwrap_err();
        assert_eq!(error.message, format!("Logged model with ID '{id}' not found."));
        // Everything but reading it goes on.
        store.set_logged_model_tags(id.clone().into(), vec![tag("n", "1")]).await.unwrap();
        store.delete_logged_model(id.clone().into()).await.unwrap();
        let shown = store.get_logged_model(id.into(), Deleted::Shown).await.unwrap().info.unwrap();
        assert_eq!(shown.tags.len(), 3);
    });
}

#[test]
fn unknown_models_and_deleted_experiments_are_refused() {
    on_each_database(|store| async move {
        let id = || "m-nope".to_owned();
        let message = "Logged model with ID 'm-nope' not found.";
        let status = LoggedModelStatus::LoggedModelReady;
        for error in [
            store.get_logged_model(id().into(), Deleted::Shown).await.unwrap_err(),
            store.finalize_logged_model(id().into(), status).await.unwrap_err(),
            store.delete_logged_model(id().into()).await.unwrap_err(),
            store.log_logged_model_params(id().into(), vec![]).await.unwrap_err(),
            store.set_logged_model_tags(id().into(), vec![]).await.unwrap_err(),
            store.delete_logged_model_tag(id().into(), "k".into()).await.unwrap_err(),
        ] {
            assert_eq!((error.code, error.message.as_str()), (ErrorCode::ResourceDoesNotExist, message));
        }
        let e = store.make_experiment(json!({"name": "e"})).await;
        store.delete_experiment(e.clone().into()).await.unwrap();
        let new: crate::proto::CreateLoggedModel =
            crate::store::testing::message(json!({"experiment_id": e}));
        let error = store.create_logged_model(NewLoggedModel::try_from(new).unwrap()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    });
}

#[test]
fn params_are_written_once_and_tags_again() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let id = id_of(&store.make_model(json!({"experiment_id": e})).await);
        store.log_logged_model_params(id.clone().into(), vec![param("a", "1")]).await.unwrap();
        // Not even with the same value, and nothing of the request stays.
        let again = vec![param("b", "1"), param("a", "1")];
        let error = store.log_logged_model_params(id.clone().into(), again).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        let tags = vec![tag("k", "1"), tag("j", "1"), tag("k", "2")];
        store.set_logged_model_tags(id.clone().into(), tags).await.unwrap();
        store.set_logged_model_tags(id.clone().into(), vec![tag("j", "3")]).await.unwrap();
        store.delete_logged_model_tag(id.clone().into(), "k".into()).await.unwrap();
        let error = store.delete_logged_model_tag(id.clone().into(), "k".into()).await.unwrap_err();
        assert_eq!(error.message, format!("No tag with key 'k' found for model with ID '{id}'."));
        let read = store.get_logged_model(id.into(), Deleted::Hidden).await.unwrap();
        assert_eq!(read.data.unwrap().params, [param("a", "1")]);
        assert_eq!(read.info.unwrap().tags, [tag("j", "3")]);
    });
}

#[test]
fn a_model_with_a_repeated_key_is_not_created() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let pairs = json!([{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]);
        for field in ["params", "tags"] {
            let new: crate::proto::CreateLoggedModel = message(json!({"experiment_id": e, field: pairs}));
            let error = store.create_logged_model(NewLoggedModel::try_from(new).unwrap()).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadRequest, "{field}");
        }
        assert_eq!(names(&store, json!({"experiment_ids": [e]})).await, "");
    });
}

async fn search(store: &Store, request: Value) -> Result<search_logged_models::Response> {
    let request: SearchLoggedModels = message(request);
    let page = LoggedModelPage::try_from(&request)?;
    let query = LoggedModelQuery::parse(request.filter(), &request.order_by)?;
    store.search_logged_models(page, query).await
}

async fn names(store: &Store, request: Value) -> String {
    let found = search(store, request).await.unwrap();
    found.models.iter().map(|m| m.info.as_ref().unwrap().name()).collect::<Vec<_>>().join(" ")
}

/// Makes the models alpha, beta, gamma, delta and one that is deleted, in this order. Their metrics:
///
/// - alpha: acc 0.5, then 0.7 at a later step; in another run of the same moment 0.9
/// - beta: acc 0.8 on train, then 0.1 on test
/// - gamma: acc 0.6 on test; loss 1.5, then NaN
/// - delta: loss infinite
async fn make_models(store: &Store) -> String {
    let e = store.make_experiment(json!({"name": "e"})).await;
    let mut ids = Vec::new();
    for (i, name) in ["alpha", "beta", "gamma", "delta", "gone"].into_iter().enumerate() {
        let team = if i % 2 == 1 { "A" } else { "b" };
        let model = store
            .make_model(json!({
                "experiment_id": e, "name": name, "model_type": if i == 1 { "agent" } else { "" },
                "params": [{"key": "lr", "value": format!("0.{i}")}], "tags": [{"key": "team", "value": team}],
            }))
            .await;
        ids.push(id_of(&model));
        // The order of creation is a matter of milliseconds.
        store.set_creation_time(&ids[i], i64::try_from(i).unwrap()).await;
    }
    store.delete_logged_model(ids[4].clone().into()).await.unwrap();
    let metric = |model: usize, key: &str, value: Value, timestamp: i64, dataset: &str| {
        let digest = if dataset.is_empty() { "" } else { "1" };
        json!({"key": key, "value": value, "timestamp": timestamp, "step": timestamp, "model_id": ids[model],
               "dataset_name": dataset, "dataset_digest": digest})
    };
    let mut runs = Vec::new();
    for metrics in [
        json!([
            metric(0, "acc", json!(0.5), 1, ""),
            metric(0, "acc", json!(0.7), 2, ""),
            metric(1, "acc", json!(0.8), 1, "train"),
            metric(1, "acc", json!(0.1), 2, "test"),
            metric(2, "acc", json!(0.6), 1, "test"),
            metric(2, "loss", json!(1.5), 1, ""),
            metric(2, "loss", json!("NaN"), 2, ""),
            metric(3, "loss", json!("Infinity"), 1, ""),
        ]),
        json!([metric(0, "acc", json!(0.9), 2, "")]),
    ] {
        runs.push(store.make_run(json!({"experiment_id": e}), json!({"metrics": metrics})).await);
    }
    e
}

impl Store {
    async fn set_creation_time(&self, id: &str, time: i64) {
        let id = id.to_owned();
        self.write(move |conn| {
            each!(conn, c => diesel::update(logged_models::table.find(&id))
                .set(logged_models::creation_timestamp_ms.eq(time))
                .execute(c))?;
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[test]
fn filters_find_what_they_say() {
    on_each_database(|store| async move {
        let e = make_models(&store).await;
        for (filter, want) in [
            ("", "delta gamma beta alpha"),
            ("name = 'alpha'", "alpha"),
            ("name LIKE 'A%'", ""),
            ("name ILIKE 'A%'", "alpha"),
            ("name NOT IN ('alpha', 'beta')", "delta gamma"),
            ("model_type != 'agent'", "delta gamma alpha"),
            ("status = '1' AND status != 'READY'", "delta gamma beta alpha"),
            ("status LIKE '2%'", ""),
            ("attributes.creation_timestamp >= 2", "delta gamma"),
            ("last_updated_timestamp < 5", ""),
            ("params.lr = '0.1'", "beta"),
            ("params.none != 'x'", ""),
            ("tags.team ILIKE 'a'", "delta beta"),
            ("metrics.acc > 0.75", "beta alpha"),
            ("metrics.acc = 0.5 AND metrics.acc = 0.7", "alpha"),
            ("metrics.acc > 0.55 AND tags.team = 'b'", "gamma alpha"),
            ("metrics.loss = 0", "gamma"),
            ("metrics.loss > 1e300", "delta"),
        ] {
            let found = names(&store, json!({"experiment_ids": [e, "99999999999"], "filter": filter})).await;
            assert_eq!(found, want, "{filter} on {:?}", store.dialect());
        }
        let id = format!("experiment_id = '{e}'");
        assert_eq!(
            names(&store, json!({"experiment_ids": [e], "filter": id})).await,
            "delta gamma beta alpha"
        );
        assert_eq!(names(&store, json!({"experiment_ids": ["0"]})).await, "");
        // As in stock, a deleted experiment's models are still found.
        store.delete_experiment(e.clone().into()).await.unwrap();
        assert_eq!(names(&store, json!({"experiment_ids": [e]})).await, "delta gamma beta alpha");
    });
}

#[test]
fn orders_put_missing_values_last() {
    on_each_database(|store| async move {
        let e = make_models(&store).await;
        for (order, want) in [
            (json!([{"field_name": "name"}]), "alpha beta delta gamma"),
            (json!([{"field_name": "creation_time", "ascending": true}]), "alpha beta gamma delta"),
            (json!([{"field_name": "model_type", "ascending": false}]), "beta delta gamma alpha"),
            (json!([{"field_name": "status_message"}]), "delta gamma beta alpha"),
            (json!([{"field_name": "metrics.acc", "dataset_name": "test"}]), "beta gamma delta alpha"),
            (json!([{"field_name": "metrics.acc", "dataset_digest": "1"}]), "beta gamma delta alpha"),
            (
                json!([{"field_name": "metrics.acc", "dataset_name": "test", "dataset_digest": "2"}]),
                "delta gamma beta alpha",
            ),
            (json!([{"field_name": "metrics.loss"}, {"field_name": "name"}]), "gamma delta alpha beta"),
        ] {
            let found = names(&store, json!({"experiment_ids": [e], "order_by": order})).await;
            assert_eq!(found, want, "{order} on {:?}", store.dialect());
        }
        // Alpha's newest value is that of the smaller run id: 0.7 or 0.9.
        let by_acc = json!([{"field_name": "metrics.acc", "ascending": false}]);
        let found = names(&store, json!({"experiment_ids": [e], "order_by": by_acc})).await;
        assert_eq!(found, "alpha gamma beta delta");
    });
}

#[test]
fn datasets_restrict_metrics() {
    on_each_database(|store| async move {
        let e = make_models(&store).await;
        for (datasets, filter, want) in [
            (json!([{"dataset_name": "test", "dataset_digest": "1"}]), "", "gamma beta"),
            (json!([{"dataset_name": "test", "dataset_digest": "1"}]), "metrics.acc > 0.5", "gamma"),
            (json!([{"dataset_name": "train", "dataset_digest": "1"}]), "metrics.acc > 0.5", "beta"),
            (json!([{"dataset_name": "train", "dataset_digest": "2"}]), "", ""),
            // As in stock, no digest is the digest of metrics that have none.
            (json!([{"dataset_name": "test"}]), "", ""),
            (
                json!([{"dataset_name": "x"}, {"dataset_name": "test", "dataset_digest": "1"}]),
                "name != 'beta'",
                "gamma",
            ),
        ] {
            let request = json!({"experiment_ids": [e], "datasets": datasets, "filter": filter});
            assert_eq!(names(&store, request).await, want, "{datasets} {filter} on {:?}", store.dialect());
        }
    });
}

#[test]
fn pages_reach_the_end() {
    on_each_database(|store| async move {
        let e = make_models(&store).await;
        let page = |token: &str| {
            json!({"experiment_ids": [e], "max_results": 3, "page_token": token,
                   "order_by": [{"field_name": "name"}], "filter": "name != 'x'"})
        };
        let first = search(&store, page("")).await.unwrap();
        let token = first.next_page_token.unwrap();
        assert_eq!(names(&store, page("")).await, "alpha beta delta");
        let last = search(&store, page(&token)).await.unwrap();
        assert_eq!((last.models.len(), last.next_page_token), (1, None));
        let error = search(&store, json!({"experiment_ids": [e], "page_token": token})).await.unwrap_err();
        assert!(error.message.starts_with("Filter string in the page token does not match"), "{error}");
    });
}

#[test]
fn models_show_their_metrics() {
    on_each_database(|store| async move {
        let e = make_models(&store).await;
        let found =
            search(&store, json!({"experiment_ids": [e], "filter": "name IN ('beta', 'gamma')"})).await;
        let shown: Vec<Vec<ShownMetric>> = found
            .unwrap()
            .models
            .into_iter()
            .map(|m| {
                let metrics = m.data.unwrap().metrics.into_iter();
                metrics.map(|m| (m.key().to_owned(), m.value(), m.step(), m.dataset_name)).collect()
            })
            .collect();
        let test = || Some("test".to_owned());
        assert_eq!(
            shown[0],
            [
                ("acc".into(), 0.6, 1, test()),
                ("loss".into(), 1.5, 1, None),
                // As in stock, NaN is not remembered here.
                ("loss".into(), 0.0, 2, None)
            ]
        );
        assert_eq!(shown[1], [("acc".into(), 0.8, 1, Some("train".into())), ("acc".into(), 0.1, 2, test())]);
    });
}

#[test]
fn models_recorded_at_once_all_get_into_the_list() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({"name": "e"})).await;
        let run = store.make_run(json!({"experiment_id": e}), json!({})).await;
        let record = |i: usize| {
            let json = json!({"artifact_path": i, "flavors": {}, "utc_time_created": "t", "run_id": "r"})
                .to_string();
            let model = LogModel { run_id: Some(run.clone()), model_json: Some(json) };
            store.record_logged_model(RecordedModel::try_from(model).unwrap(), LongValues::Truncate)
        };
        for result in join_all((0..16).map(record)).await {
            result.unwrap();
        }
        let data = store.get_run(run.clone().into()).await.unwrap().data.unwrap();
        let list = data.tags.iter().find(|t| t.key() == HISTORY_TAG).unwrap().value();
        assert_eq!(serde_json::from_str::<Vec<Value>>(list).unwrap().len(), 16);
        store.delete_run(run.clone().into()).await.unwrap();
        assert_eq!(record(0).await.unwrap_err().code, ErrorCode::InvalidParameterValue);
    });
}
