//! The variables of the AI gateway's configuration, which stock reads without flags.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use url::Url;

use super::server::{list, python_bool};
use crate::config::{GatewaySettings, TargetRules};
use crate::domain::gateway::crypto::KeyEncryptionKey;
use crate::domain::gateway::providers::Policy;

/// Upstream: `mlflow.environment_variables`, `mlflow.utils.crypto`.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the names are those of arguments among all others")]
pub(super) struct GatewayArgs {
    #[arg(long = "gateway-variable", env = "MLFLOW_ENABLE_AI_GATEWAY", hide = true, default_value = "true",
        action = ArgAction::Set, value_parser = python_bool)]
    gateway_is_enabled: bool,
    #[arg(
        long = "gateway-passphrase-variable",
        env = "MLFLOW_CRYPTO_KEK_PASSPHRASE",
        hide = true,
        hide_env_values = true
    )]
    gateway_passphrase: Option<String>,
    #[arg(
        long = "gateway-key-version-variable",
        env = "MLFLOW_CRYPTO_KEK_VERSION",
        hide = true,
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(..=2_147_483_647)
    )]
    gateway_key_version: u32,
    #[arg(long = "gateway-providers-variable", env = "MLFLOW_GATEWAY_ALLOWED_PROVIDERS", hide = true)]
    gateway_providers: Option<String>,
    #[arg(
        long = "gateway-schemes-variable",
        env = "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES",
        hide = true,
        default_value = "https"
    )]
    gateway_schemes: String,
    #[arg(long = "gateway-private-ips-variable", env = "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS", hide = true,
        default_value = "false", action = ArgAction::Set, value_parser = python_bool)]
    gateway_private_ips: bool,
    #[arg(long = "gateway-catalog-variable", env = "MLFLOW_MODEL_CATALOG_URI", hide = true)]
    gateway_catalog: Option<String>,
}

impl GatewayArgs {
    /// Returns the settings. The model catalogue is a part of the user interface's folder, unless the
    /// variable names another one; it is not downloaded.
    pub(super) fn into_settings(self, ui_dir: Option<&Path>) -> GatewaySettings {
        let named = self.gateway_catalog.as_deref().and_then(folder);
        GatewaySettings {
            is_enabled: self.gateway_is_enabled,
            secret_key: KeyEncryptionKey::new(self.gateway_passphrase, self.gateway_key_version),
            providers: Policy::parse(self.gateway_providers.as_deref()),
            api_base: TargetRules {
                allowed_schemes: list(Some(self.gateway_schemes)),
                allow_private_ips: self.gateway_private_ips,
            },
            model_catalog: named.or_else(|| ui_dir.map(|dir| dir.join("model_catalog"))),
        }
    }
}

fn folder(uri: &str) -> Option<PathBuf> {
    Url::parse(uri).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}
