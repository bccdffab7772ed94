//! Webhooks. What they are told is queued by the store and delivered by `webhooks`.

use actix_web::web::Path;

use crate::api::extract::Check::{Array, Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::WebhookId;
use crate::domain::webhook::{Event, NewWebhook, WebhookUpdate};
use crate::proto::{
    CreateWebhook, ListWebhooks, TestWebhook, UpdateWebhook, create_webhook, delete_webhook, get_webhook,
    list_webhooks, test_webhook, update_webhook,
};

impl Request for CreateWebhook {
    const SCHEMA: Schema = &[
        ("name", &[Str, Required]),
        ("url", &[Str, Required]),
        ("events", &[Array, Required]),
        ("description", &[Str]),
        ("secret", &[Str]),
        ("status", &[Str]),
    ];
}

impl Request for ListWebhooks {
    const SCHEMA: Schema = &[("max_results", &[Int]), ("page_token", &[Str])];
}

impl Request for UpdateWebhook {
    const SCHEMA: Schema = &[
        ("name", &[Str]),
        ("description", &[Str]),
        ("url", &[Str]),
        ("events", &[Array]),
        ("secret", &[Str]),
        ("status", &[Str]),
    ];
}

impl Request for TestWebhook {
    const SCHEMA: Schema = &[];
}

/// `POST webhooks`. Upstream: `_create_webhook`.
pub async fn create_webhook(app: App, Proto(r): Proto<CreateWebhook>) -> Reply<create_webhook::Response> {
    let webhook = app.webhooks.create(NewWebhook::try_from(r)?).await?;
    reply::json(create_webhook::Response { webhook: Some(webhook) })
}

/// `GET webhooks`. Upstream: `_list_webhooks`.
pub async fn list_webhooks(app: App, Proto(r): Proto<ListWebhooks>) -> Reply<list_webhooks::Response> {
    reply::json(app.store.list_webhooks(r).await?)
}

/// `GET webhooks/{webhook_id}`. Upstream: `_get_webhook`.
pub async fn get_webhook(app: App, id: Path<WebhookId>) -> Reply<get_webhook::Response> {
    let webhook = app.store.get_webhook(id.into_inner()).await?;
    reply::json(get_webhook::Response { webhook: Some(webhook) })
}

/// `PATCH webhooks/{webhook_id}`. Upstream: `_update_webhook`.
pub async fn update_webhook(
    app: App,
    id: Path<WebhookId>,
    Proto(r): Proto<UpdateWebhook>,
) -> Reply<update_webhook::Response> {
    let webhook = app.webhooks.update(id.into_inner(), WebhookUpdate::try_from(r)?).await?;
    reply::json(update_webhook::Response { webhook: Some(webhook) })
}

/// `DELETE webhooks/{webhook_id}`. Upstream: `_delete_webhook`.
pub async fn delete_webhook(app: App, id: Path<WebhookId>) -> Reply<delete_webhook::Response> {
    app.store.delete_webhook(id.into_inner()).await?;
    reply::empty()
}

/// `POST webhooks/{webhook_id}/test`. Upstream: `_test_webhook`.
pub async fn test_webhook(
    app: App,
    id: Path<WebhookId>,
    Proto(r): Proto<TestWebhook>,
) -> Reply<test_webhook::Response> {
    let event = r.event.as_ref().map(Event::try_from).transpose()?;
    let result = app.webhooks.test(id.into_inner(), event).await?;
    reply::json(test_webhook::Response { result: Some(result) })
}
