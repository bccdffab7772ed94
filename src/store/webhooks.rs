//! Webhooks and, in `webhooks/deliveries.rs`, what they are told. Secrets are encrypted as stock does it, and leave
//! the store only in a [`Receiver`].

pub mod deliveries;

use std::collections::HashMap;

use diesel::prelude::*;
use uuid::Uuid;

use super::conn::Conn;
use super::error::is_unique_violation;
use super::schema::{webhook_events, webhooks};
use super::{Store, each};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::WebhookId;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::time::now_ms;
use crate::domain::webhook::fernet::FernetKey;
use crate::domain::webhook::{Event, NewWebhook, WebhookUpdate, page_size};
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{ListWebhooks, Webhook, WebhookStatus, list_webhooks};

/// Where a webhook's events go.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The webhook.
    pub webhook_id: String,
    /// The address as it was given.
    pub url: String,
    /// What deliveries are signed with.
    pub signing: Signing,
}

/// What deliveries are signed with.
#[derive(Clone, PartialEq, Eq)]
pub enum Signing {
    /// Nothing.
    Off,
    /// A secret.
    With(String),
    /// A secret that was encrypted with another key.
    Unreadable,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::With(_) => "With(..)",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl Signing {
    fn read(stored: Option<&str>, key: &FernetKey) -> Self {
        match stored.map(|token| key.decrypt(token)) {
            None => Self::Off,
            Some(Some(secret)) if secret.is_empty() => Self::Off,
            Some(Some(secret)) => Self::With(secret),
            Some(None) => Self::Unreadable,
        }
    }
}

impl Store {
    /// Stores a webhook whose URL was checked. One transaction.
    ///
    /// # Errors
    /// `BAD_REQUEST` for an event that is given twice. Upstream: `SqlAlchemyStore.create_webhook`.
    pub async fn create_webhook(&self, new: NewWebhook) -> Result<Webhook> {
        let secret = new.secret.as_deref().map(|secret| self.webhook_key.encrypt(secret)).transpose()?;
        self.write(move |conn| {
            let (id, now) = (Uuid::new_v4().to_string(), now_ms());
            let row = WebhookRow {
                webhook_id: id.clone(),
                name: new.name.clone(),
                description: new.description.clone(),
                url: new.url.clone(),
                status: new.status.as_str_name().to_owned(),
                secret: secret.clone(),
                creation_timestamp: Some(now),
                last_updated_timestamp: Some(now),
                workspace: DEFAULT_WORKSPACE.to_owned(),
            };
            each!(conn, c => diesel::insert_into(webhooks::table).values(&row).execute(c))?;
            insert_events(conn, &id, &new.events)?;
            get_in(conn, &id)
        })
        .await
    }

    /// Returns a webhook.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_webhook(&self, id: WebhookId) -> Result<Webhook> {
        self.read(move |conn| get_in(conn, &id)).await
    }

    /// Returns a page of webhooks, the newest first. Two statements.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad size or token. Upstream: `SqlAlchemyStore.list_webhooks`.
    pub async fn list_webhooks(&self, request: ListWebhooks) -> Result<list_webhooks::Response> {
        let size = page_size(request.max_results)?;
        let offset = parse_offset_token(request.page_token.as_deref())?;
        self.read(move |conn| {
            let mut rows: Vec<WebhookRow> = each!(conn, c => webhooks::table
                .filter(webhooks::workspace.eq(DEFAULT_WORKSPACE).and(webhooks::deleted_timestamp.is_null()))
                .order((webhooks::creation_timestamp.desc(), webhooks::webhook_id))
                .limit(size + 1)
                .offset(offset)
                .select(WebhookRow::as_select())
                .load(c))?;
            let page = usize::try_from(size).unwrap_or(usize::MAX);
            let next_page_token = (rows.len() > page).then(|| offset_token(offset.saturating_add(size)));
            rows.truncate(page);
            Ok(list_webhooks::Response { webhooks: assemble(conn, rows)?, next_page_token })
        })
        .await
    }

    /// Changes a webhook. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `BAD_REQUEST` for an event that is given twice. Upstream:
    /// `SqlAlchemyStore.update_webhook`.
    pub async fn update_webhook(&self, id: WebhookId, update: WebhookUpdate) -> Result<Webhook> {
        let secret = update.secret.as_deref().map(|secret| self.webhook_key.encrypt(secret)).transpose()?;
        self.write(move |conn| {
            let changes = WebhookChanges {
                name: update.name.as_deref(),
                description: update.description.as_deref(),
                url: update.url.as_deref(),
                status: update.status.map(|status| status.as_str_name()),
                secret: secret.as_deref(),
                last_updated_timestamp: now_ms(),
            };
            let kept = existing(&id);
            if each!(conn, c => diesel::update(kept).set(&changes).execute(c))? == 0 {
                return Err(not_found(&id));
            }
            if let Some(events) = &update.events {
                let old = webhook_events::table.filter(webhook_events::webhook_id.eq(id.as_str()));
                each!(conn, c => diesel::delete(old).execute(c))?;
                insert_events(conn, &id, events)?;
            }
            get_in(conn, &id)
        })
        .await
    }

    /// Marks a webhook as deleted; it stays in the database, and what it was to be told is dropped.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `SqlAlchemyStore.delete_webhook`.
    pub async fn delete_webhook(&self, id: WebhookId) -> Result<()> {
        self.write(move |conn| {
            let now = now_ms();
            let new = (webhooks::deleted_timestamp.eq(now), webhooks::last_updated_timestamp.eq(now));
            let changed = each!(conn, c => diesel::update(existing(&id)).set(new).execute(c))?;
            if changed == 0 { Err(not_found(&id)) } else { Ok(()) }
        })
        .await
    }

    /// Returns where a webhook's events go and the first of them, also when it is disabled.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_receiver(&self, id: WebhookId) -> Result<(Receiver, Option<Event>)> {
        let key = self.webhook_key.clone();
        self.read(move |conn| {
            let row = row_in(conn, &id)?;
            let event = events_of(conn, std::slice::from_ref(&row))?
                .remove(id.as_str())
                .and_then(|all| all.first().copied());
            Ok((row.into_receiver(&key), event))
        })
        .await
    }
}

/// A row of `webhooks`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhooks, treat_none_as_default_value = false)]
struct WebhookRow {
    webhook_id: String,
    name: String,
    description: Option<String>,
    url: String,
    status: String,
    secret: Option<String>,
    creation_timestamp: Option<i64>,
    last_updated_timestamp: Option<i64>,
    workspace: String,
}

#[derive(AsChangeset)]
#[diesel(table_name = webhooks)]
struct WebhookChanges<'a> {
    name: Option<&'a str>,
    description: Option<&'a str>,
    url: Option<&'a str>,
    status: Option<&'a str>,
    secret: Option<&'a str>,
    last_updated_timestamp: i64,
}

impl WebhookRow {
    fn into_message(self, events: Vec<Event>) -> Webhook {
        Webhook {
            webhook_id: Some(self.webhook_id),
            name: Some(self.name),
            description: self.description.filter(|text| !text.is_empty()),
            url: Some(self.url),
            events: events.into_iter().map(Into::into).collect(),
            status: WebhookStatus::from_str_name(&self.status).map(i32::from),
            creation_timestamp: self.creation_timestamp,
            last_updated_timestamp: self.last_updated_timestamp,
        }
    }

    fn into_receiver(self, key: &FernetKey) -> Receiver {
        let signing = Signing::read(self.secret.as_deref(), key);
        Receiver { webhook_id: self.webhook_id, url: self.url, signing }
    }
}

/// The webhook of an id, unless it is deleted.
#[diesel::dsl::auto_type(no_type_alias)]
fn existing<'a>(id: &'a str) -> _ {
    let workspace: &'static str = DEFAULT_WORKSPACE;
    let kept = webhooks::deleted_timestamp.is_null().and(webhooks::workspace.eq(workspace));
    webhooks::table.find(id).filter(kept)
}

fn not_found(id: &str) -> Error {
    Error::not_found(format!("Webhook with ID {id} not found."))
}

fn row_in(conn: &mut Conn, id: &str) -> Result<WebhookRow> {
    let row = each!(conn, c => existing(id).select(WebhookRow::as_select()).first(c).optional())?;
    row.ok_or_else(|| not_found(id))
}

fn get_in(conn: &mut Conn, id: &str) -> Result<Webhook> {
    let row = row_in(conn, id)?;
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

fn assemble(conn: &mut Conn, rows: Vec<WebhookRow>) -> Result<Vec<Webhook>> {
    let mut events = events_of(conn, &rows)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let events = events.remove(&row.webhook_id).unwrap_or_default();
            row.into_message(events)
        })
        .collect())
}

/// Returns the events of each webhook, in the order of their names.
fn events_of(conn: &mut Conn, rows: &[WebhookRow]) -> Result<HashMap<String, Vec<Event>>> {
    let ids: Vec<&str> = rows.iter().map(|row| row.webhook_id.as_str()).collect();
    let pairs: Vec<(String, String, String)> = each!(conn, c => webhook_events::table
        .filter(webhook_events::webhook_id.eq_any(&ids))
        .order((webhook_events::entity, webhook_events::action))
        .load(c))?;
    let mut events: HashMap<String, Vec<Event>> = HashMap::new();
    for (id, entity, action) in pairs {
        events.entry(id).or_default().push(format!("{entity}.{action}").parse().map_err(Error::internal)?);
    }
    Ok(events)
}

fn insert_events(conn: &mut Conn, id: &str, events: &[Event]) -> Result<()> {
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            (
                webhook_events::webhook_id.eq(id),
                webhook_events::entity.eq(event.entity()),
                webhook_events::action.eq(event.action()),
            )
        })
        .collect();
    each!(conn, c => diesel::insert_into(webhook_events::table).values(&rows).execute(c)).map_err(|e| {
        if is_unique_violation(&e) {
            // Stock answers the same code with the database's own words.
            return Error::new(ErrorCode::BadRequest, "An event of the webhook is given twice.");
        }
        e.into()
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
