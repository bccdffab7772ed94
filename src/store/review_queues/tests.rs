//! Review queues on each database.

use serde_json::{Value, json};

use super::*;
use crate::domain::ErrorCode;
use crate::domain::review_queue::NewStatus;
use crate::proto::review_queue_item::Status;
use crate::proto::{CreateReviewQueue, ListLabelSchemas, SetReviewQueueItemStatus, UpdateReviewQueue};
use crate::store::testing::{message, on_each_database};

async fn create(store: &Store, experiment: &str, json: Value) -> Result<ReviewQueue> {
    let new = NewReviewQueue::try_from(message::<CreateReviewQueue>(json)).unwrap();
    store.create_review_queue(experiment.into(), new).await
}

async fn update(store: &Store, id: &str, json: Value) -> Result<ReviewQueue> {
    store.update_review_queue(id.into(), message::<UpdateReviewQueue>(json).into()).await
}

async fn names(store: &Store, json: Value) -> String {
    let found = store.list_review_queues(message(json)).await.unwrap();
    let mut names: Vec<_> = found.review_queues.iter().map(ReviewQueue::name).collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn queues_have_people_and_questions() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        let schemas =
            store.list_label_schemas(message::<ListLabelSchemas>(json!({ "experiment_id": e }))).await;
        let schema = schemas.unwrap().label_schemas[0].schema_id().to_owned();
        let made = create(
            &store,
            &e,
            json!({ "name": "Mine", "queue_type": "CUSTOM", "users": ["bob", "Ann"], "schema_ids": [schema] }),
        );
        let made = made.await.unwrap();
        assert_eq!((made.users.join(" "), made.schema_ids.len()), ("ann bob".into(), 1));
        let taken = create(&store, &e, json!({ "name": "MINE", "queue_type": "CUSTOM" })).await.unwrap_err();
        assert_eq!(
            taken.message,
            "Review queue with name 'MINE' already exists (names are case-insensitive)."
        );
        let unknown =
            create(&store, &e, json!({ "name": "x", "queue_type": "CUSTOM", "schema_ids": ["ls-0"] })).await;
        let want = format!("Label schema id(s) ['ls-0'] not found for experiment '{e}'.");
        assert_eq!(unknown.unwrap_err().message, want);
        let own = NewReviewQueue::of_user("Ann").unwrap();
        let first = store.get_or_create_user_queue(e.clone().into(), own.clone()).await.unwrap();
        let again = store.get_or_create_user_queue(e.clone().into(), own).await.unwrap();
        assert_eq!((first.created_by(), first.queue_id()), ("ann", again.queue_id()));
        assert_eq!(names(&store, json!({ "experiment_id": e })).await, "Mine ann");
        assert_eq!(names(&store, json!({ "experiment_id": e, "user": "BOB" })).await, "Mine");
        assert_eq!(names(&store, json!({ "experiment_id": e, "item_id": "tr-1" })).await, "");
        let squatting = NewReviewQueue::of_user("mine").unwrap();
        let squatted = store.get_or_create_user_queue(e.clone().into(), squatting).await.unwrap_err();
        assert_eq!(squatted.code, ErrorCode::ResourceAlreadyExists);
        let by_name = store.get_review_queue_by_name(e.clone().into(), "mINE".into()).await.unwrap();
        assert_eq!(by_name.queue_id(), made.queue_id());
        let fixed = update(&store, first.queue_id(), json!({ "name": "x" })).await.unwrap_err();
        assert!(fixed.message.starts_with("A user queue's name"), "{}", fixed.message);
        let id = made.queue_id();
        let changed = json!({ "name": "Yours", "new_owner": " Eve ", "update_users": true, "users": ["carl"],
            "update_schema_ids": true });
        let changed = update(&store, id, changed).await.unwrap();
        assert_eq!(
            (changed.name(), changed.created_by(), changed.users.join(" ")),
            ("Yours", "Eve", "carl".into())
        );
        assert!(changed.schema_ids.is_empty());
        assert_eq!(store.get_review_queue(id.into()).await.unwrap(), changed);
        let taken = update(&store, id, json!({ "name": "ANN" })).await.unwrap_err();
        assert_eq!(taken.code, ErrorCode::ResourceAlreadyExists);
        store.delete_review_queue(id.into()).await.unwrap();
        store.delete_review_queue(id.into()).await.unwrap();
        let gone = store.get_review_queue(id.into()).await.unwrap_err();
        assert_eq!(gone.message, format!("Review queue with id '{id}' not found."));
    });
}

#[test]
fn items_wait_and_are_done() {
    on_each_database(|store| async move {
        let e = store.make_experiment(json!({ "name": "e" })).await;
        store.insert_trace(&e).await;
        let queue = create(&store, &e, json!({ "name": "q", "queue_type": "CUSTOM" })).await.unwrap();
        let id = queue.queue_id().to_owned();
        let add = |items: Vec<&str>| {
            store.add_items_to_review_queue(id.clone().into(), items.into_iter().map(str::to_owned).collect())
        };
        let missing = add(vec!["tr-1", "tr-2"]).await.unwrap_err();
        assert_eq!(
            missing.message,
            format!(
                "Cannot attach trace(s) ['tr-2'] to review queue '{id}': they do not exist in experiment '{e}'."
            )
        );
        for _ in 0..2 {
            let items = add(vec!["tr-1"]).await.unwrap();
            assert_eq!((items.len(), items[0].status()), (1, Status::Pending));
        }
        assert_eq!(names(&store, json!({ "experiment_id": e, "item_id": "tr-1" })).await, "q");
        let frozen = update(&store, &id, json!({ "update_schema_ids": true })).await.unwrap_err();
        assert!(frozen.message.starts_with("A review queue's questions are locked"), "{}", frozen.message);
        let set = |json: Value| {
            let new = NewStatus::try_from(message::<SetReviewQueueItemStatus>(json)).unwrap();
            store.set_review_queue_item_status(id.clone().into(), new)
        };
        let done =
            set(json!({ "item_id": "tr-1", "status": "COMPLETE", "completed_by": "Ann" })).await.unwrap();
        assert_eq!((done.completed_by(), done.completed_time_ms.is_some()), ("ann", true));
        let again =
            set(json!({ "item_id": "tr-1", "status": "COMPLETE", "completed_by": "bob" })).await.unwrap();
        assert_eq!(again, done);
        let listed = |status: &str| {
            store.list_review_queue_items(message(json!({ "queue_id": id, "status": status })))
        };
        assert_eq!(listed("COMPLETE").await.unwrap().items, [done]);
        assert!(listed("PENDING").await.unwrap().items.is_empty());
        let open = set(json!({ "item_id": "tr-1", "status": "PENDING" })).await.unwrap();
        assert_eq!((open.completed_by, open.completed_time_ms), (None, None));
        let unknown = set(json!({ "item_id": "tr-9", "status": "PENDING" })).await.unwrap_err();
        assert_eq!(unknown.message, format!("Item 'tr-9' is not attached to review queue '{id}'."));
        store
            .remove_items_from_review_queue(id.clone().into(), vec!["tr-1".into(), "tr-9".into()])
            .await
            .unwrap();
        assert!(listed("REVIEW_STATUS_UNSPECIFIED").await.unwrap().items.is_empty());
    });
}
