//! The delivery task: it claims due deliveries, with a concurrency limit of which one webhook gets at most
//! half, so that a slow receiver blocks neither requests nor other receivers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::send::{Answer, Failure, Sending};
use super::{Webhooks, retry};
use crate::domain::Result;
use crate::store::webhooks::deliveries::{Claimed, Outcome, Report};

/// Poll interval for deliveries that other servers left behind.
const POLL: Duration = Duration::from_secs(2);
/// Backoff after a database error.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How much a lease outlasts the request timeout.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// Drain timeout at shutdown for requests in flight. Those cut are retried later.
const DRAIN: Duration = Duration::from_secs(5);
/// Retention of ended deliveries.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// Interval between purges.
const PURGE_EVERY: Duration = Duration::from_hours(1);

/// Requests in flight per webhook.
type Busy = Arc<Mutex<HashMap<String, usize>>>;

/// A request in flight; dropping it marks its end.
struct UnderWay {
    busy: Busy,
    webhook_id: String,
    ended: Arc<Notify>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = busy.get_mut(&self.webhook_id) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.webhook_id);
            }
        }
        self.ended.notify_one();
    }
}

impl Webhooks {
    /// Delivers until `stop` is notified, then drains the requests in flight, with a timeout.
    pub async fn deliver(self: Arc<Self>, stop: Arc<Notify>) {
        if !self.store.keeps_deliveries() {
            return;
        }
        let mut under_way = JoinSet::new();
        tokio::select! {
            () = self.dispatch(&mut under_way) => {}
            () = self.purge() => {}
            () = stop.notified() => {}
        }
        let drained = timeout(DRAIN, async { while under_way.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            info!("{} deliveries to webhooks are cut and will be made again", under_way.len());
        }
    }

    async fn dispatch(self: &Arc<Self>, under_way: &mut JoinSet<()>) {
        let (busy, ended) = (Busy::default(), Arc::new(Notify::new()));
        let workers = Arc::new(Semaphore::new(self.settings.max_workers.max(1)));
        loop {
            while under_way.try_join_next().is_some() {}
            let Ok(worker) = Arc::clone(&workers).acquire_owned().await else { return };
            let wait = match self.claim(&busy).await {
                Ok(Found::Claimed(claimed)) => {
                    let guard = start(&busy, &ended, &claimed);
                    let this = Arc::clone(self);
                    under_way.spawn(async move {
                        this.attempt(*claimed).await;
                        drop(guard);
                        drop(worker);
                    });
                    continue;
                }
                Ok(Found::NothingFor(wait)) => wait.min(POLL),
                Err(e) => {
                    warn!("cannot ask for deliveries to webhooks: {e}");
                    AFTER_ERROR
                }
            };
            drop(worker);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.store.wait_for_announcement() => {}
                () = ended.notified() => {}
            }
        }
    }

    async fn claim(&self, busy: &Busy) -> Result<Found> {
        let full = self.full(busy);
        match self.store.next_delivery(full.clone()).await? {
            None => Ok(Found::NothingFor(POLL)),
            Some(wait) if !wait.is_zero() => Ok(Found::NothingFor(wait)),
            Some(_now) => {
                let lease = self.settings.request_timeout + LEASE_MARGIN;
                let claimed = self.store.claim_delivery(lease, full).await?;
                // If none, another server won the race; there may be more.
                Ok(claimed
                    .map_or(Found::NothingFor(Duration::ZERO), |claimed| Found::Claimed(Box::new(claimed))))
            }
        }
    }

    /// Returns the webhooks that are at their concurrency limit.
    fn full(&self, busy: &Busy) -> Vec<String> {
        let share = (self.settings.max_workers / 2).max(1);
        let busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.iter().filter(|(_, count)| **count >= share).map(|(id, _)| id.clone()).collect()
    }

    /// Makes one attempt and records its outcome.
    async fn attempt(&self, claimed: Claimed) {
        let Some(receiver) = &claimed.receiver else {
            self.finish(&claimed, Outcome::Dropped, Report::default()).await;
            return;
        };
        let sending = Sending {
            delivery_id: &claimed.delivery_id,
            url: &receiver.url,
            signing: &receiver.signing,
            body: &claimed.body,
        };
        let began = Instant::now();
        let result = self.sender.send(&sending).await;
        let report = report(&result);
        let status = report.response_status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.counters.attempts.with_label_values(&[&status]).inc();
        tracing::debug!(
            webhook.id = claimed.webhook_id,
            delivery.id = claimed.delivery_id,
            http.status = status,
            duration_ms = began.elapsed().as_secs_f64() * 1000.0,
            "attempt {} to deliver {}",
            claimed.attempts,
            claimed.event
        );
        match retry::delay(claimed.attempts, &result, self.settings.max_retries) {
            Some(wait) => {
                let written = self.store.postpone_delivery(&claimed, wait, report).await;
                log_if_unwritten(&claimed, written);
            }
            None if result.is_ok_and(|answer| answer.status < 400) => {
                self.finish(&claimed, Outcome::Delivered, report).await;
            }
            None => self.finish(&claimed, Outcome::Failed, report).await,
        }
    }

    async fn finish(&self, claimed: &Claimed, outcome: Outcome, report: Report) {
        self.counters.deliveries.with_label_values(&[outcome.name()]).inc();
        let (webhook_id, delivery_id, event) = (&claimed.webhook_id, &claimed.delivery_id, &claimed.event);
        let (attempts, name) = (claimed.attempts, outcome.name());
        let why =
            report.error.clone().or_else(|| report.response_status.map(|status| format!("status {status}")));
        let why = why.unwrap_or_else(|| "the webhook is gone".into());
        match outcome {
            Outcome::Failed => warn!(
                webhook.id = webhook_id,
                delivery.id = delivery_id,
                attempts,
                outcome = name,
                "webhook {webhook_id} was not told of {event}: {why}"
            ),
            Outcome::Delivered | Outcome::Dropped => info!(
                webhook.id = webhook_id,
                delivery.id = delivery_id,
                attempts,
                outcome = name,
                "{name} {event} for webhook {webhook_id}: {why}"
            ),
        }
        log_if_unwritten(claimed, self.store.finish_delivery(claimed, outcome, report).await);
    }

    /// Purges old deliveries periodically.
    async fn purge(&self) {
        loop {
            match self.store.purge_deliveries(KEPT).await {
                Ok(0) => sleep(PURGE_EVERY).await,
                // There may be more.
                Ok(_some) => {}
                Err(e) => {
                    warn!("cannot delete old deliveries to webhooks: {e}");
                    sleep(PURGE_EVERY).await;
                }
            }
        }
    }
}

enum Found {
    Claimed(Box<Claimed>),
    /// Nothing is due for this long, unless announced earlier.
    NothingFor(Duration),
}

fn start(busy: &Busy, ended: &Arc<Notify>, claimed: &Claimed) -> UnderWay {
    *busy.lock().unwrap_or_else(PoisonError::into_inner).entry(claimed.webhook_id.clone()).or_default() += 1;
    UnderWay { busy: Arc::clone(busy), webhook_id: claimed.webhook_id.clone(), ended: Arc::clone(ended) }
}

fn report(result: &Result<Answer, Failure>) -> Report {
    match result {
        Ok(answer) => Report { response_status: Some(answer.status), error: None },
        Err(failure) => Report { response_status: None, error: Some(failure.message.clone()) },
    }
}

fn log_if_unwritten(claimed: &Claimed, written: Result<()>) {
    if let Err(e) = written {
        error!(
            delivery.id = claimed.delivery_id,
            "cannot write down how a delivery to a webhook went, so that it will be made again: {e}"
        );
    }
}
