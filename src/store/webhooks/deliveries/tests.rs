use serde_json::json;

use super::*;
use crate::domain::registry::PROMPT_TAG;
use crate::domain::webhook::change::What;
use crate::domain::webhook::{NewWebhook, WebhookUpdate};
use crate::proto::{CreateWebhook, UpdateWebhook};
use crate::store::testing::{message, on_each_database};

const LEASE: Duration = Duration::from_mins(1);

async fn webhook(store: &Store, events: serde_json::Value) -> String {
    let request = json!({"name": "w", "url": "https://h", "events": events});
    let new = NewWebhook::try_from(message::<CreateWebhook>(request)).unwrap();
    store.create_webhook(new).await.unwrap().webhook_id.unwrap()
}

fn tag_set(name: &str) -> Change {
    let what = What::VersionTagSet { version: "1".into(), key: "k".into(), value: "v".into() };
    Change { name: name.into(), what }
}

async fn claim(store: &Store) -> Option<Claimed> {
    store.claim_delivery(LEASE, vec![]).await.unwrap()
}

async fn outcome_of(store: &Store, id: &str) -> (Option<String>, Option<i32>, Option<String>) {
    let id = id.to_owned();
    let columns = (deliveries::outcome, deliveries::response_status, deliveries::error);
    store
        .read(move |conn| Ok(each!(conn, c => deliveries::table.find(&id).select(columns).first(c))?))
        .await
        .unwrap()
}

#[test]
fn a_change_is_queued_for_those_who_asked() {
    on_each_database(|store| async move {
        let of_models = json!([{"entity": "MODEL_VERSION_TAG", "action": "SET"}]);
        let of_prompts = json!([{"entity": "PROMPT_VERSION_TAG", "action": "SET"}, {"entity": "PROMPT", "action": "CREATED"}]);
        let model = webhook(&store, of_models.clone()).await;
        let prompt = webhook(&store, of_prompts).await;
        let disabled = webhook(&store, of_models.clone()).await;
        let off = WebhookUpdate::try_from(message::<UpdateWebhook>(json!({"status": "DISABLED"}))).unwrap();
        store.update_webhook(disabled.into(), off).await.unwrap();
        store.delete_webhook(webhook(&store, of_models).await.into()).await.unwrap();
        assert_eq!(store.next_delivery(vec![]).await.unwrap(), None);

        store.announce(tag_set("m")).await.unwrap();
        let claimed = claim(&store).await.unwrap();
        assert_eq!((claimed.webhook_id, claimed.event.as_str()), (model, "model_version_tag.set"));
        assert_eq!(claimed.attempts, 1);
        let body: serde_json::Value = serde_json::from_str(&claimed.body).unwrap();
        assert_eq!(body["entity"], "model_version_tag");
        assert_eq!(body["data"], json!({"name": "m", "version": "1", "key": "k", "value": "v"}));
        assert!(claim(&store).await.is_none());

        let what = What::Created { tags: vec![(PROMPT_TAG, "true").into()], description: None };
        store.announce(Change { name: "p".into(), what }).await.unwrap();
        let claimed = claim(&store).await.unwrap();
        assert_eq!((claimed.webhook_id, claimed.event.as_str()), (prompt, "prompt.created"));
        assert!(claim(&store).await.is_none());
    });
}

#[test]
fn a_change_that_fails_is_told_to_nobody() {
    on_each_database(|store| async move {
        webhook(&store, json!([{"entity": "MODEL_VERSION_TAG", "action": "SET"}])).await;
        let failed = store.write_announced(|conn| {
            announce_in(conn, &tag_set("m"))?;
            Err::<((), Change), _>(crate::domain::Error::invalid("no"))
        });
        assert!(failed.await.is_err());
        assert_eq!(store.next_delivery(vec![]).await.unwrap(), None);
    });
}

#[test]
fn a_delivery_has_one_owner_until_its_lease_ends() {
    on_each_database(|store| async move {
        let id = webhook(&store, json!([{"entity": "MODEL_VERSION_TAG", "action": "SET"}])).await;
        store.announce(tag_set("m")).await.unwrap();
        assert_eq!(store.next_delivery(vec![]).await.unwrap(), Some(Duration::ZERO));
        assert_eq!(store.next_delivery(vec![id.clone()]).await.unwrap(), None);
        assert!(store.claim_delivery(LEASE, vec![id]).await.unwrap().is_none());
        // The first owner is away when its lease ends.
        let first = store.claim_delivery(Duration::ZERO, vec![]).await.unwrap().unwrap();
        let second = claim(&store).await.unwrap();
        assert_eq!((first.attempts, second.attempts), (1, 2));
        assert_eq!(first.delivery_id, second.delivery_id);
        let wait = store.next_delivery(vec![]).await.unwrap().unwrap();
        assert!(LEASE / 2 < wait && wait <= LEASE, "{wait:?}");

        store.finish_delivery(&first, Outcome::Failed, Report::default()).await.unwrap();
        assert_eq!(outcome_of(&store, &first.delivery_id).await, (None, None, None));
        let report = Report { response_status: Some(204), error: None };
        store.finish_delivery(&second, Outcome::Delivered, report).await.unwrap();
        assert_eq!(
            outcome_of(&store, &second.delivery_id).await,
            (Some("delivered".into()), Some(204), None)
        );
        store.postpone_delivery(&second, Duration::ZERO, Report::default()).await.unwrap();
        assert_eq!(store.next_delivery(vec![]).await.unwrap(), None);
    });
}

#[test]
fn servers_share_the_work() {
    on_each_database(|store| async move {
        webhook(&store, json!([{"entity": "MODEL_VERSION_TAG", "action": "SET"}])).await;
        for _ in 0..20 {
            store.announce(tag_set("m")).await.unwrap();
        }
        let claims = (0..4).map(|_| async {
            let mut own = Vec::new();
            // A claim that another took first is no end.
            while store.next_delivery(vec![]).await.unwrap() == Some(Duration::ZERO) {
                own.extend(claim(&store).await.map(|claimed| claimed.delivery_id));
            }
            own
        });
        let mut all: Vec<String> = futures_util::future::join_all(claims).await.concat();
        assert_eq!(all.len(), 20);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 20);
    });
}

#[test]
fn old_deliveries_are_purged() {
    on_each_database(|store| async move {
        webhook(&store, json!([{"entity": "MODEL_VERSION_TAG", "action": "SET"}])).await;
        for _ in 0..3 {
            store.announce(tag_set("m")).await.unwrap();
        }
        let error = Some("x".repeat(5000));
        let claimed = claim(&store).await.unwrap();
        store
            .finish_delivery(&claimed, Outcome::Failed, Report { response_status: None, error })
            .await
            .unwrap();
        assert_eq!(outcome_of(&store, &claimed.delivery_id).await.2.unwrap().len(), ERROR_LENGTH);
        assert_eq!(store.purge_deliveries(LEASE).await.unwrap(), 0);
        assert_eq!(store.purge_deliveries(Duration::ZERO).await.unwrap(), 1);
        assert!(claim(&store).await.is_some(), "those that wait are kept");
    });
}
