//! What webhooks are told: queued in the transaction of the change itself, claimed by one server at a time for a while,
//! and kept until it was received or given up. Times are the database's, so that servers whose clocks differ agree.
//!
//! Stock keeps its queue in memory: a restart loses it.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use uuid::Uuid;

use super::super::conn::Conn;
use super::super::registry::tags_of;
use super::super::schema::{ferroflow_webhook_deliveries as deliveries, webhook_events, webhooks};
use super::super::{Store, each};
use super::{Receiver, WebhookRow, existing};
use crate::domain::Result;
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::time::iso_now;
use crate::domain::webhook::Event;
use crate::domain::webhook::change::{self, Change, Kind};

const ACTIVE: &str = "ACTIVE";
/// Finished deliveries that are deleted in one transaction.
const PURGED_AT_ONCE: i64 = 1000;
/// Characters of an error that are kept.
const ERROR_LENGTH: usize = 1000;

/// A delivery that this server, and nobody else, is to attempt now.
#[derive(Debug)]
pub struct Claimed {
    /// Its id, the same at every attempt.
    pub delivery_id: String,
    /// Which webhook it is for.
    pub webhook_id: String,
    /// What it tells of, as in `prompt.created`.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// The attempts with this one.
    pub attempts: u32,
    /// Where it goes; `None` when the webhook was deleted or disabled meanwhile.
    pub receiver: Option<Receiver>,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Delivered,
    /// The receiver did not take it, and will not be asked again.
    Failed,
    /// The webhook was gone before it could be sent.
    Dropped,
}

impl Outcome {
    /// Returns the name in the database and in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The status of the answer, if there was one.
    pub response_status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
}

impl Store {
    /// Makes a change in one transaction together with what webhooks are to be told of it, and wakes who tells them.
    ///
    /// # Errors
    /// Those of `f`.
    pub(in crate::store) async fn write_announced<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<(T, Change)> + Send + 'static,
    {
        let keeps = self.keeps_deliveries;
        let (value, is_queued) = self
            .write(move |conn| {
                let (value, change) = f(conn)?;
                Ok((value, keeps && announce_in(conn, &change)?))
            })
            .await?;
        if is_queued {
            self.announced.notify_one();
        }
        Ok(value)
    }

    /// Queues what webhooks are to be told of a change that changes nothing else.
    #[cfg(test)]
    pub(crate) async fn announce(&self, change: Change) -> Result<()> {
        self.write_announced(move |_conn| Ok(((), change.clone()))).await
    }

    /// Waits until this server queued a delivery since the last call.
    pub async fn wait_for_announcement(&self) {
        self.announced.notified().await;
    }

    /// Says whether deliveries are kept: not when the database refused our tables.
    pub const fn keeps_deliveries(&self) -> bool {
        self.keeps_deliveries
    }

    /// Returns how long it is until a delivery is due for a webhook that is not among `busy`; zero when one is due
    /// now, `None` when none waits.
    pub async fn next_delivery(&self, busy: Vec<String>) -> Result<Option<Duration>> {
        self.read(move |conn| {
            let now = sql::<BigInt>(conn.dialect().now_ms());
            // Index ferroflow_webhook_deliveries_due.
            let first: Option<(i64, i64)> = each!(conn, c => deliveries::table
                .filter(deliveries::finished_time_ms.is_null())
                .filter(deliveries::webhook_id.ne_all(&busy))
                .order(deliveries::due_time_ms)
                .select((deliveries::due_time_ms, now))
                .first(c)
                .optional())?;
            Ok(first.map(|(due, now)| Duration::from_millis(u64::try_from(due - now).unwrap_or(0))))
        })
        .await
    }

    /// Claims a delivery that is due for a webhook that is not among `busy`. Nobody else gets it before `lease` is
    /// over. `None` when there is none, or another server was faster. One transaction.
    pub async fn claim_delivery(&self, lease: Duration, busy: Vec<String>) -> Result<Option<Claimed>> {
        let key = self.webhook_key.clone();
        self.write(move |conn| {
            let now = now_in(conn)?;
            let first: Option<DeliveryRow> = each!(conn, c => deliveries::table
                .filter(deliveries::finished_time_ms.is_null())
                .filter(deliveries::due_time_ms.le(now))
                .filter(deliveries::webhook_id.ne_all(&busy))
                .order(deliveries::due_time_ms)
                .select(DeliveryRow::as_select())
                .first(c)
                .optional())?;
            let Some(row) = first else { return Ok(None) };
            // The number of attempts tells whether another server was here since.
            let unclaimed = deliveries::table
                .find(&row.delivery_id)
                .filter(deliveries::attempts.eq(row.attempts).and(deliveries::finished_time_ms.is_null()));
            let new =
                (deliveries::attempts.eq(row.attempts + 1), deliveries::due_time_ms.eq(now + millis(lease)));
            if each!(conn, c => diesel::update(unclaimed).set(new).execute(c))? == 0 {
                return Ok(None);
            }
            let webhook: Option<WebhookRow> = each!(conn, c => existing(&row.webhook_id)
                .filter(webhooks::status.eq(ACTIVE))
                .select(WebhookRow::as_select())
                .first(c)
                .optional())?;
            Ok(Some(row.into_claimed(webhook.map(|webhook| webhook.into_receiver(&key)))))
        })
        .await
    }

    /// Ends a claimed delivery. Does nothing when the claim had run out and another server took it.
    pub async fn finish_delivery(&self, claimed: &Claimed, outcome: Outcome, report: Report) -> Result<()> {
        self.settle(claimed, report, Settled::Finished(outcome)).await
    }

    /// Lets a claimed delivery wait for another attempt. Does nothing when the claim had run out and another server
    /// took it.
    pub async fn postpone_delivery(&self, claimed: &Claimed, delay: Duration, report: Report) -> Result<()> {
        self.settle(claimed, report, Settled::Waiting(delay)).await
    }

    async fn settle(&self, claimed: &Claimed, report: Report, settled: Settled) -> Result<()> {
        let (id, attempts) = (claimed.delivery_id.clone(), stored(claimed.attempts));
        let error: Option<String> = report.error.map(|text| text.chars().take(ERROR_LENGTH).collect());
        self.write(move |conn| {
            let now = now_in(conn)?;
            let (outcome, finished, due) = match settled {
                Settled::Finished(outcome) => (Some(outcome.name()), Some(now), now),
                Settled::Waiting(delay) => (None, None, now + millis(delay)),
            };
            let new = (
                deliveries::outcome.eq(outcome),
                deliveries::finished_time_ms.eq(finished),
                deliveries::due_time_ms.eq(due),
                deliveries::response_status.eq(report.response_status.map(i32::from)),
                deliveries::error.eq(error.as_deref()),
            );
            let own = deliveries::table
                .find(&id)
                .filter(deliveries::attempts.eq(attempts).and(deliveries::finished_time_ms.is_null()));
            each!(conn, c => diesel::update(own).set(new).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Deletes deliveries that ended at least `age` ago, a bounded number; returns how many.
    pub async fn purge_deliveries(&self, age: Duration) -> Result<usize> {
        self.write(move |conn| {
            let limit = now_in(conn)? - millis(age);
            let ids: Vec<String> = each!(conn, c => deliveries::table
                .filter(deliveries::finished_time_ms.le(limit))
                .limit(PURGED_AT_ONCE)
                .select(deliveries::delivery_id)
                .load(c))?;
            let old = deliveries::table.filter(deliveries::delivery_id.eq_any(&ids));
            Ok(each!(conn, c => diesel::delete(old).execute(c))?)
        })
        .await
    }
}

#[derive(Debug, Clone, Copy)]
enum Settled {
    Finished(Outcome),
    Waiting(Duration),
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deliveries)]
struct DeliveryRow {
    delivery_id: String,
    webhook_id: String,
    event: String,
    body: String,
    attempts: i32,
}

impl DeliveryRow {
    fn into_claimed(self, receiver: Option<Receiver>) -> Claimed {
        Claimed {
            delivery_id: self.delivery_id,
            webhook_id: self.webhook_id,
            event: self.event,
            body: self.body,
            attempts: u32::try_from(self.attempts).unwrap_or(0) + 1,
            receiver,
        }
    }
}

fn stored(attempts: u32) -> i32 {
    i32::try_from(attempts).unwrap_or(i32::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Returns the database's time.
fn now_in(conn: &mut Conn) -> Result<i64> {
    let now = sql::<BigInt>(conn.dialect().now_ms());
    Ok(each!(conn, c => diesel::select(now).get_result(c))?)
}

/// Queues a delivery for every webhook that is to be told of `change`, and says whether there is any. One statement
/// when there is none.
fn announce_in(conn: &mut Conn, change: &Change) -> Result<bool> {
    let kinds = change.kind().map_or(vec![Kind::Model, Kind::Prompt], |kind| vec![kind]);
    let candidates: Vec<Event> = kinds.iter().filter_map(|kind| change.event(*kind)).collect();
    let subscribed = subscribers(conn, &candidates)?;
    if subscribed.is_empty() {
        return Ok(false);
    }
    let kind = match change.kind() {
        Some(kind) => kind,
        None => Kind::of(&tags_of(conn, &change.name)?),
    };
    let Some(event) = change.event(kind) else { return Ok(false) };
    let (entity, name, now) = (event.entity(), event.to_string(), now_in(conn)?);
    let body = change::body(event, &iso_now(), &change.data(kind));
    let rows: Vec<_> = subscribed
        .iter()
        .filter(|(_, subscribed_to)| *subscribed_to == entity)
        .map(|(webhook_id, _)| {
            (
                deliveries::delivery_id.eq(Uuid::new_v4().to_string()),
                deliveries::webhook_id.eq(webhook_id),
                deliveries::event.eq(&name),
                deliveries::body.eq(&body),
                deliveries::attempts.eq(0),
                deliveries::created_time_ms.eq(now),
                deliveries::due_time_ms.eq(now),
            )
        })
        .collect();
    each!(conn, c => diesel::insert_into(deliveries::table).values(&rows).execute(c))?;
    Ok(!rows.is_empty())
}

/// Returns the active webhooks that ask for one of `events`, which have the same action, each with the entity.
fn subscribers(conn: &mut Conn, events: &[Event]) -> Result<Vec<(String, String)>> {
    let entities: Vec<String> = events.iter().map(Event::entity).collect();
    let action = events.first().map(Event::action).unwrap_or_default();
    Ok(each!(conn, c => webhook_events::table
        .inner_join(webhooks::table.on(webhooks::webhook_id.eq(webhook_events::webhook_id)))
        .filter(webhook_events::action.eq(&action).and(webhook_events::entity.eq_any(&entities)))
        .filter(webhooks::deleted_timestamp.is_null().and(webhooks::status.eq(ACTIVE)))
        .filter(webhooks::workspace.eq(DEFAULT_WORKSPACE))
        .select((webhooks::webhook_id, webhook_events::entity))
        .load(c))?)
}

#[cfg(test)]
mod tests;
