//! Webhooks at work: their URLs are checked and tested, and the outbox is delivered in the background by
//! whichever server claims an entry first. `lookup.rs` is the SSRF guard, `send.rs` makes one request,
//! `retry.rs` is the retry policy, `delivery.rs` is the task.

pub mod delivery;
mod lookup;
mod retry;
mod send;

use std::sync::Arc;

use prometheus::{IntCounterVec, Opts};
use tracing::warn;
use uuid::Uuid;

use crate::config::{TargetRules, WebhookSettings as Settings};
use crate::domain::ids::WebhookId;
use crate::domain::time::iso_now;
use crate::domain::webhook::{Event, NewWebhook, WebhookUpdate, change, url};
use crate::domain::{Error, ErrorCode, Result, python};
use crate::proto::{Webhook, WebhookTestResult};
use crate::store::Store;
use crate::store::webhooks::Receiver;
use lookup::Lookup;
use send::{Answer, Failure, Sender, Sending};

/// The webhooks of a server.
pub struct Webhooks {
    store: Arc<Store>,
    settings: Settings,
    lookup: Lookup,
    /// Refuses private addresses in any case.
    public_lookup: Lookup,
    sender: Sender,
    counters: Counters,
}

/// The counters.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Deliveries that ended, by `outcome`.
    pub deliveries: IntCounterVec,
    /// Requests made, by response `status`; `none` without a response.
    pub attempts: IntCounterVec,
}

impl Counters {
    fn new() -> prometheus::Result<Self> {
        let deliveries = Opts::new("ferroflow_webhook_deliveries_total", "Deliveries to webhooks that ended");
        let attempts = Opts::new("ferroflow_webhook_requests_total", "Requests made to deliver to webhooks");
        Ok(Self {
            deliveries: IntCounterVec::new(deliveries, &["outcome"])?,
            attempts: IntCounterVec::new(attempts, &["status"])?,
        })
    }
}

impl Webhooks {
    /// Prepares the webhooks of `store`.
    ///
    /// # Errors
    /// When the counters cannot be registered.
    pub fn new(store: Arc<Store>, settings: Settings) -> Result<Self> {
        let lookup = Lookup::new(settings.allow_private_ips);
        let sender = Sender::new(&settings, lookup.clone());
        let counters = Counters::new().map_err(Error::internal)?;
        let public_lookup = Lookup::new(false);
        Ok(Self { store, settings, lookup, public_lookup, sender, counters })
    }

    /// Returns the counters.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Makes a webhook.
    ///
    /// # Errors
    /// As for [`Store::create_webhook`], and `INVALID_PARAMETER_VALUE` for a URL that may not be used.
    pub async fn create(&self, new: NewWebhook) -> Result<Webhook> {
        self.check_url(&new.url).await?;
        new.require_events()?;
        self.warn_of_secret(new.secret.as_deref());
        self.store.create_webhook(new).await
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// As for [`Store::update_webhook`], and `INVALID_PARAMETER_VALUE` for a URL that may not be used.
    pub async fn update(&self, id: WebhookId, update: WebhookUpdate) -> Result<Webhook> {
        self.store.get_webhook(id.clone()).await?;
        update.check_name()?;
        if let Some(url) = &update.url {
            self.check_url(url).await?;
        }
        self.warn_of_secret(update.secret.as_deref());
        self.store.update_webhook(id, update).await
    }

    /// Sends an example of `event`, by default the webhook's first one, and waits for the outcome.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `mlflow.webhooks.delivery.test_webhook`.
    pub async fn test(&self, id: WebhookId, event: Option<Event>) -> Result<WebhookTestResult> {
        let (receiver, first) = self.store.get_receiver(id).await?;
        let event = event.or(first).ok_or_else(|| Error::invalid("Webhook events cannot be empty"))?;
        let body = change::body(event, &iso_now(), &change::example(event)?);
        Ok(match self.try_out(&receiver, &body).await {
            Ok(answer) => WebhookTestResult {
                success: Some(answer.status < 400),
                response_status: Some(answer.status.into()),
                response_body: Some(answer.body),
                error_message: None,
            },
            Err(failure) => WebhookTestResult {
                success: Some(false),
                error_message: Some(format!("Failed to test webhook: {failure:?}")),
                ..WebhookTestResult::default()
            },
        })
    }

    async fn try_out(&self, receiver: &Receiver, body: &str) -> Result<Answer, Failure> {
        self.check_url(&receiver.url).await.map_err(|e| Failure::refused("MlflowException", e.message))?;
        let delivery_id = Uuid::new_v4().to_string();
        let sending =
            Sending { delivery_id: &delivery_id, url: &receiver.url, signing: &receiver.signing, body };
        let mut attempt = 1;
        loop {
            let result = self.sender.send(&sending).await;
            let wait = retry::delay(attempt, &result, self.settings.max_retries);
            // A client waits: no long backoff.
            let Some(wait) = wait.filter(|wait| *wait <= self.settings.request_timeout) else {
                return result;
            };
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Upstream: `_validate_webhook_url`.
    async fn check_url(&self, url: &str) -> Result<()> {
        let host = url::host_of(url, &self.settings.allowed_schemes)?;
        if self.settings.allow_private_ips {
            return Ok(());
        }
        match self.lookup.addresses(&host).await {
            Ok(_public) => Ok(()),
            Err(refusal) => Err(Error::new(ErrorCode::InvalidParameterValue, refusal.to_string())),
        }
    }

    /// SSRF guard for URLs other than webhooks' that are sent to or fetched from.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a URL that may not be used. Upstream: `_validate_public_https_url`.
    pub async fn check_target(&self, url: &str, subject: &str, rules: &TargetRules) -> Result<()> {
        let host = url::public_host_of(url, subject, &rules.allowed_schemes)?;
        if rules.allow_private_ips {
            return Ok(());
        }
        let addresses = self.public_lookup.addresses(&host).await;
        addresses.map(drop).map_err(|refusal| Error::invalid(refusal.about(subject)))
    }

    fn warn_of_secret(&self, secret: Option<&str>) {
        if secret.is_some_and(|secret| !secret.is_empty()) && self.settings.secret_key.is_none() {
            warn!(
                "a webhook's secret is encrypted with a key that ends with this server: set \
                 MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY, the same on every server"
            );
        }
    }
}

impl std::fmt::Debug for Failure {
    /// As Python shows an exception.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.kind, python::repr(&self.message))
    }
}

#[cfg(test)]
mod tests;
