//! Secrets: received in plaintext, stored encrypted, shown masked.

use std::collections::BTreeMap;

use actix_web::web;
use tracing::warn;

use crate::api::extract::Check::{NotNull, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::gateway::crypto::{Sealed, mask};
use crate::domain::gateway::{check_secret_value, given, normalize_auth_config};
use crate::domain::ids::GatewaySecretId;
use crate::domain::{Error, Result};
use crate::proto::{
    CreateGatewaySecret, DeleteGatewaySecret, GetGatewaySecretInfo, ListGatewaySecretInfos,
    UpdateGatewaySecret, create_gateway_secret, delete_gateway_secret, get_gateway_secret_info,
    list_gateway_secret_infos, update_gateway_secret,
};
use crate::store::gateway::{NewSecret, SecretUpdate};

impl Request for CreateGatewaySecret {
    const SCHEMA: Schema = &[
        ("secret_name", &[Str, Required]),
        ("secret_value", &[NotNull]),
        ("provider", &[Str]),
        ("created_by", &[Str]),
    ];

    fn has_whole_items(&self) -> bool {
        !self.secret_value.is_empty()
    }
}

impl Request for GetGatewaySecretInfo {
    const SCHEMA: Schema = &[("secret_id", &[Str, Required])];
}

impl Request for UpdateGatewaySecret {
    const SCHEMA: Schema = &[("secret_id", &[Str, Required]), ("updated_by", &[Str])];
}

impl Request for DeleteGatewaySecret {
    const SCHEMA: Schema = &[("secret_id", &[Str, Required])];
}

impl Request for ListGatewaySecretInfos {
    const SCHEMA: Schema = &[("provider", &[Str])];
}

/// `POST gateway/secrets/create`. Upstream: `_create_gateway_secret`.
pub async fn create_gateway_secret(
    app: App,
    Proto(r): Proto<CreateGatewaySecret>,
) -> Reply<create_gateway_secret::Response> {
    let auth_config = check_auth_config(&app, r.auth_config).await?;
    check_secret_value(&r.secret_value)?;
    let (secret_id, secret_name) = (app.store.new_secret_id(), r.secret_name.unwrap_or_default());
    let masked = mask(&r.secret_value);
    let sealed = seal(&app, r.secret_value, secret_id.clone(), secret_name.clone()).await?;
    let (provider, created_by) = (given(r.provider), given(r.created_by));
    let new = NewSecret { secret_id, secret_name, sealed, masked, provider, auth_config, created_by };
    let secret = app.store.create_gateway_secret(new).await?;
    reply::json(create_gateway_secret::Response { secret: Some(secret) })
}

/// `GET gateway/secrets/get`. Upstream: `_get_gateway_secret_info`.
pub async fn get_gateway_secret(
    app: App,
    Proto(r): Proto<GetGatewaySecretInfo>,
) -> Reply<get_gateway_secret_info::Response> {
    let secret = app.store.get_gateway_secret(GatewaySecretId::from(r.secret_id)).await?;
    reply::json(get_gateway_secret_info::Response { secret: Some(secret) })
}

/// `POST gateway/secrets/update`; empty fields stay unchanged. Upstream: `_update_gateway_secret`.
pub async fn update_gateway_secret(
    app: App,
    Proto(r): Proto<UpdateGatewaySecret>,
) -> Reply<update_gateway_secret::Response> {
    let has_config = !r.auth_config.is_empty();
    let auth_config = check_auth_config(&app, r.auth_config).await?;
    check_secret_value(&r.secret_value)?;
    let secret_id = r.secret_id.unwrap_or_default();
    let value = if r.secret_value.is_empty() {
        None
    } else {
        let secret = app.store.get_gateway_secret(GatewaySecretId::from(secret_id.as_str())).await?;
        let name = secret.secret_name.unwrap_or_default();
        let masked = mask(&r.secret_value);
        Some((seal(&app, r.secret_value, secret_id.clone(), name).await?, masked))
    };
    let updated_by = given(r.updated_by);
    let update =
        SecretUpdate { secret_id, value, auth_config: has_config.then_some(auth_config), updated_by };
    let secret = app.store.update_gateway_secret(update).await?;
    reply::json(update_gateway_secret::Response { secret: Some(secret) })
}

/// `DELETE gateway/secrets/delete`. Upstream: `_delete_gateway_secret`.
pub async fn delete_gateway_secret(
    app: App,
    Proto(r): Proto<DeleteGatewaySecret>,
) -> Reply<delete_gateway_secret::Response> {
    app.store.delete_gateway_secret(GatewaySecretId::from(r.secret_id)).await?;
    reply::empty()
}

/// `GET gateway/secrets/list`. Upstream: `_list_gateway_secrets`.
pub async fn list_gateway_secrets(
    app: App,
    Proto(r): Proto<ListGatewaySecretInfos>,
) -> Reply<list_gateway_secret_infos::Response> {
    let secrets = app.store.list_gateway_secrets(given(r.provider)).await?;
    reply::json(list_gateway_secret_infos::Response { secrets })
}

async fn check_auth_config(app: &App, config: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let (config, address) = normalize_auth_config(config)?;
    if let Some(address) = address {
        let rules = &app.config.gateway.api_base;
        app.webhooks.check_target(&address, "Gateway secret api_base", rules).await?;
    }
    Ok(config)
}

async fn seal(app: &App, values: BTreeMap<String, String>, id: String, name: String) -> Result<Sealed> {
    let key = app.config.gateway.secret_key.clone();
    if key.is_default() {
        warn!(
            "a secret of the gateway is encrypted with a key that everyone knows: set MLFLOW_CRYPTO_KEK_PASSPHRASE, \
             the same on every server"
        );
    }
    // Key derivation is slow.
    web::block(move || key.seal(&values, &id, &name)).await.map_err(Error::internal)?
}
