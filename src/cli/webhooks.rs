//! The variables of webhooks, which stock reads without flags.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgAction, Args};

use super::server::{list, python_bool};
use crate::config::WebhookSettings;
use crate::domain::webhook::fernet::FernetKey;

/// Upstream: `mlflow.environment_variables`, `MLFLOW_WEBHOOK_…`.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the names are those of arguments among all others")]
pub(super) struct WebhookArgs {
    #[arg(
        long = "webhook-schemes-variable",
        env = "MLFLOW_WEBHOOK_ALLOWED_SCHEMES",
        hide = true,
        default_value = "https"
    )]
    webhook_schemes: String,
    #[arg(long = "webhook-private-ips-variable", env = "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", hide = true,
        default_value = "false", action = ArgAction::Set, value_parser = python_bool)]
    webhook_private_ips: bool,
    #[arg(long = "webhook-timeout-variable", env = "MLFLOW_WEBHOOK_REQUEST_TIMEOUT", hide = true, default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    webhook_timeout: u32,
    #[arg(
        long = "webhook-retries-variable",
        env = "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES",
        hide = true,
        default_value_t = 3
    )]
    webhook_retries: u32,
    #[arg(long = "webhook-workers-variable", env = "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS", hide = true,
        default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    webhook_workers: u16,
    #[arg(
        long = "webhook-key-variable",
        env = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
        hide = true,
        hide_env_values = true
    )]
    webhook_key: Option<String>,
}

impl WebhookArgs {
    /// Returns the settings.
    ///
    /// # Errors
    /// When the key is none.
    pub(super) fn into_settings(self) -> Result<WebhookSettings> {
        let key = self.webhook_key.filter(|key| !key.is_empty());
        let parse = |key: String| {
            FernetKey::parse(&key)
                .context("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY has to be 32 bytes as base64")
        };
        Ok(WebhookSettings {
            allowed_schemes: list(Some(self.webhook_schemes)),
            allow_private_ips: self.webhook_private_ips,
            request_timeout: Duration::from_secs(self.webhook_timeout.into()),
            max_retries: self.webhook_retries,
            max_workers: self.webhook_workers.into(),
            secret_key: key.map(parse).transpose()?,
        })
    }
}
