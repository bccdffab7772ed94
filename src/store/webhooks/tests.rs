use serde_json::json;

use super::*;
use crate::proto::{CreateWebhook, UpdateWebhook};
use crate::store::testing::{message, on_each_database};

fn new(name: &str, events: &[&str], secret: Option<&str>) -> NewWebhook {
    let events: Vec<_> = events
        .iter()
        .map(|event| {
            let (entity, action) = event.split_once('.').unwrap();
            json!({"entity": entity.to_uppercase(), "action": action.to_uppercase()})
        })
        .collect();
    let request = json!({"name": name, "url": "https://h", "events": events, "secret": secret});
    NewWebhook::try_from(message::<CreateWebhook>(request)).unwrap()
}

fn update(json: serde_json::Value) -> WebhookUpdate {
    WebhookUpdate::try_from(message::<UpdateWebhook>(json)).unwrap()
}

fn page(json: serde_json::Value) -> ListWebhooks {
    message(json)
}

#[test]
fn a_webhook_lives_and_is_deleted() {
    on_each_database(|store| async move {
        let made =
            store.create_webhook(new("a", &["prompt.created", "model_version.created"], None)).await.unwrap();
        let id = made.webhook_id().to_owned();
        assert_eq!(made.status(), WebhookStatus::Active);
        assert_eq!(made.creation_timestamp, made.last_updated_timestamp);
        let events: Vec<String> =
            made.events.iter().map(|e| Event::try_from(e).unwrap().to_string()).collect();
        assert_eq!(events, ["model_version.created", "prompt.created"]);
        assert_eq!(store.get_webhook(id.clone().into()).await.unwrap(), made);

        let changed = json!({"description": "d", "status": "DISABLED", "name": "b", "url": "https://i",
            "events": [{"entity": "PROMPT_TAG", "action": "SET"}]});
        let changed = store.update_webhook(id.clone().into(), update(changed)).await.unwrap();
        assert_eq!((changed.description(), changed.name(), changed.url()), ("d", "b", "https://i"));
        assert_eq!((changed.status(), changed.events.len()), (WebhookStatus::Disabled, 1));
        // What is not given stays; an empty description is none.
        let kept = store.update_webhook(id.clone().into(), update(json!({"description": ""}))).await.unwrap();
        assert_eq!((kept.description.as_deref(), kept.name(), &kept.events), (None, "b", &changed.events));

        store.delete_webhook(id.clone().into()).await.unwrap();
        for error in [
            store.get_webhook(id.clone().into()).await.unwrap_err(),
            store.update_webhook(id.clone().into(), update(json!({}))).await.unwrap_err(),
            store.delete_webhook(id.clone().into()).await.unwrap_err(),
            store.get_receiver(id.clone().into()).await.unwrap_err(),
        ] {
            assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
            assert_eq!(error.message, format!("Webhook with ID {id} not found."));
        }
        assert!(store.list_webhooks(page(json!({}))).await.unwrap().webhooks.is_empty());
    });
}

#[test]
fn an_event_given_twice_leaves_nothing() {
    on_each_database(|store| async move {
        let error =
            store.create_webhook(new("a", &["prompt.created", "prompt.created"], None)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert!(store.list_webhooks(page(json!({}))).await.unwrap().webhooks.is_empty());
    });
}

#[test]
fn lists_page_by_page() {
    on_each_database(|store| async move {
        for i in 0..5 {
            store.create_webhook(new(&format!("w{i}"), &["prompt.created"], None)).await.unwrap();
        }
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let request = page(json!({"max_results": 2, "page_token": token}));
            let answer = store.list_webhooks(request).await.unwrap();
            assert!(answer.webhooks.len() <= 2);
            assert!(answer.webhooks.iter().all(|webhook| webhook.events.len() == 1));
            seen.extend(answer.webhooks.into_iter().map(|webhook| webhook.webhook_id.unwrap()));
            token = answer.next_page_token;
            if token.is_none() {
                break;
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
        for bad in [json!({"max_results": 1001}), json!({"max_results": -1}), json!({"page_token": "x"})] {
            assert!(store.list_webhooks(page(bad)).await.is_err());
        }
    });
}

#[test]
fn secrets_are_encrypted_and_come_back() {
    on_each_database(|store| async move {
        let made = store.create_webhook(new("a", &["prompt.created"], Some("s3cr3t"))).await.unwrap();
        let id = made.webhook_id().to_owned();
        let stored = |id: String| {
            store.read(move |conn| {
                let secret = webhooks::table.find(&id).select(webhooks::secret);
                Ok(each!(conn, c => secret.first::<Option<String>>(c))?)
            })
        };
        let token = stored(id.clone()).await.unwrap().unwrap();
        assert!(token.starts_with("gAAAAA") && !token.contains("s3cr3t"), "{token}");
        let (receiver, event) = store.get_receiver(id.clone().into()).await.unwrap();
        assert_eq!(receiver.signing, Signing::With("s3cr3t".into()));
        assert_eq!(event.unwrap().to_string(), "prompt.created");

        store.update_webhook(id.clone().into(), update(json!({"secret": ""}))).await.unwrap();
        assert_eq!(store.get_receiver(id.clone().into()).await.unwrap().0.signing, Signing::Off);

        let foreign = FernetKey::random().encrypt("other").unwrap();
        let row = id.clone();
        let write = store.write(move |conn| {
            let webhook = webhooks::table.find(&row);
            Ok(each!(conn, c => diesel::update(webhook).set(webhooks::secret.eq(&foreign)).execute(c))?)
        });
        write.await.unwrap();
        assert_eq!(store.get_receiver(id.clone().into()).await.unwrap().0.signing, Signing::Unreadable);
        // Such a webhook can still be seen and mended.
        store.update_webhook(id.clone().into(), update(json!({"secret": "new"}))).await.unwrap();
        assert_eq!(store.get_receiver(id.into()).await.unwrap().0.signing, Signing::With("new".into()));
    });
}
