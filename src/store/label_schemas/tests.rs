//! Label schemas on each database.

use serde_json::{Value, json};

use super::*;
use crate::domain::ErrorCode;
use crate::proto::{CreateLabelSchema, UpdateLabelSchema};
use crate::store::testing::{message, on_each_database};

async fn create(store: &Store, experiment: &str, name: &str) -> Result<LabelSchema> {
    let json =
        json!({ "name": name, "type": "EXPECTATION", "input": { "categorical": { "options": ["a", "b"] } } });
    let new = NewLabelSchema::try_from(message::<CreateLabelSchema>(json)).unwrap();
    store.create_label_schema(experiment.into(), new).await
}

async fn update(store: &Store, id: &str, json: Value) -> Result<LabelSchema> {
    let update = LabelSchemaUpdate::try_from(message::<UpdateLabelSchema>(json)).unwrap();
    store.update_label_schema(id.into(), update).await
}

async fn list(store: &Store, json: Value) -> list_label_schemas::Response {
    store.list_label_schemas(message(json)).await.unwrap()
}

#[test]
fn every_experiment_has_a_question() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        for _ in 0..2 {
            let found = list(&store, json!({ "experiment_id": e })).await;
            let names: Vec<_> = found.label_schemas.iter().map(|s| (s.name(), s.is_default())).collect();
            assert_eq!((names, found.next_page_token()), (vec![("Feedback", true)], ""));
        }
        let id = list(&store, json!({ "experiment_id": e })).await.label_schemas[0].schema_id().to_owned();
        let refused = store.delete_label_schema(id.clone().into()).await.unwrap_err();
        assert_eq!(refused.message, "The experiment's default question cannot be deleted.");
        assert!(update(&store, &id, json!({ "name": "x" })).await.is_err());
        let unknown = store.list_label_schemas(message(json!({ "experiment_id": "99" }))).await.unwrap_err();
        assert_eq!(unknown.message, "No Experiment with id=99 exists");
    });
}

#[test]
fn questions_are_made_changed_and_deleted() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        let made = create(&store, &e, "one").await.unwrap();
        create(&store, &e, "two").await.unwrap();
        let taken = create(&store, &e, "one").await.unwrap_err();
        assert_eq!(
            taken.message,
            format!("Label schema with name 'one' already exists for experiment '{e}'.")
        );
        let id = made.schema_id().to_owned();
        let changed = update(
            &store,
            &id,
            json!({ "name": "three", "enable_comment": true, "input": { "categorical": { "options": ["c"] } } }),
        );
        let changed = changed.await.unwrap();
        assert_eq!(store.get_label_schema(id.clone().into()).await.unwrap(), changed);
        assert_eq!(
            (changed.name(), changed.enable_comment(), changed.r#type()),
            ("three", true, Type::Expectation)
        );
        let taken = update(&store, &id, json!({ "name": "two" })).await.unwrap_err();
        assert_eq!(taken.code, ErrorCode::ResourceAlreadyExists);
        let by_name = store.get_label_schema_by_name(e.clone().into(), "three".into()).await.unwrap();
        assert_eq!(by_name.schema_id(), id);
        store.delete_label_schema(id.clone().into()).await.unwrap();
        store.delete_label_schema(id.clone().into()).await.unwrap();
        assert!(store.get_label_schema(id.into()).await.is_err());
        let first = list(&store, json!({ "experiment_id": e, "max_results": 1 })).await;
        let token = first.next_page_token().to_owned();
        let last = list(&store, json!({ "experiment_id": e, "max_results": 1, "page_token": token })).await;
        assert_eq!((first.label_schemas.len(), last.label_schemas.len(), last.next_page_token()), (1, 1, ""));
    });
}
