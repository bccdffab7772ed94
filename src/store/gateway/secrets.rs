//! Secrets, which come here encrypted and leave only masked.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::{missing, new_id, unless_unique};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::gateway::crypto::{Sealed, json};
use crate::domain::ids::GatewaySecretId;
use crate::domain::time::now_ms;
use crate::domain::{Error, Result};
use crate::proto::GatewaySecretInfo;
use crate::store::conn::Conn;
use crate::store::schema::secrets;
use crate::store::stored_json::{read_json, read_json_if_any};
use crate::store::{Store, each};

/// A secret to be stored.
#[derive(Debug)]
pub struct NewSecret {
    /// Its id, which it is encrypted with.
    pub secret_id: String,
    /// Its name, which it is encrypted with.
    pub secret_name: String,
    /// Its values, encrypted.
    pub sealed: Sealed,
    /// What is shown of its values.
    pub masked: BTreeMap<String, String>,
    /// Whose models it is for.
    pub provider: Option<String>,
    /// What is not secret about it.
    pub auth_config: BTreeMap<String, String>,
    /// Who asked for it.
    pub created_by: Option<String>,
}

/// What is to change of a secret.
#[derive(Debug)]
pub struct SecretUpdate {
    /// The secret.
    pub secret_id: String,
    /// Its new values, encrypted, and what is shown of them.
    pub value: Option<(Sealed, BTreeMap<String, String>)>,
    /// What is not secret about it now.
    pub auth_config: Option<BTreeMap<String, String>>,
    /// Who asked for it.
    pub updated_by: Option<String>,
}

impl Store {
    /// Makes the id of a secret.
    pub fn new_secret_id(&self) -> String {
        new_id("s")
    }

    /// Stores a secret.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` for a name in use. Upstream: `create_gateway_secret`.
    pub async fn create_gateway_secret(&self, new: NewSecret) -> Result<GatewaySecretInfo> {
        self.write(move |conn| {
            let now = now_ms();
            let values = (
                (
                    secrets::secret_id.eq(&new.secret_id),
                    secrets::secret_name.eq(&new.secret_name),
                    secrets::encrypted_value.eq(&new.sealed.encrypted_value),
                    secrets::wrapped_dek.eq(&new.sealed.wrapped_key),
                    secrets::kek_version.eq(new.sealed.version),
                    secrets::masked_value.eq(json(&new.masked)),
                    secrets::provider.eq(&new.provider),
                    secrets::auth_config.eq(stored_config(&new.auth_config)),
                ),
                (
                    secrets::created_by.eq(&new.created_by),
                    secrets::created_at.eq(now),
                    secrets::last_updated_by.eq(&new.created_by),
                    secrets::last_updated_at.eq(now),
                    secrets::workspace.eq(DEFAULT_WORKSPACE),
                ),
            );
            each!(conn, c => diesel::insert_into(secrets::table).values(values).execute(c)).map_err(|e| {
                let name = &new.secret_name;
                unless_unique(e, || {
                    Error::already_exists(format!("Secret with name '{name}' already exists"))
                })
            })?;
            get_in(conn, &new.secret_id)
        })
        .await
    }

    /// Returns what is shown of a secret.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_secret_info`.
    pub async fn get_gateway_secret(&self, id: GatewaySecretId) -> Result<GatewaySecretInfo> {
        self.read(move |conn| get_in(conn, &id)).await
    }

    /// Changes a secret.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `update_gateway_secret`.
    pub async fn update_gateway_secret(&self, update: SecretUpdate) -> Result<GatewaySecretInfo> {
        self.write(move |conn| {
            let id = &update.secret_id;
            let (sealed, masked) =
                update.value.as_ref().map(|(sealed, masked)| (sealed, json(masked))).unzip();
            let changes = SecretChanges {
                encrypted_value: sealed.map(|s| s.encrypted_value.as_slice()),
                wrapped_dek: sealed.map(|s| s.wrapped_key.as_slice()),
                kek_version: sealed.map(|s| s.version),
                masked_value: masked.as_deref(),
                auth_config: update.auth_config.as_ref().map(stored_config),
                last_updated_at: now_ms(),
            };
            let changes = (&changes, secrets::last_updated_by.eq(update.updated_by.as_deref()));
            let changed = each!(conn, c => diesel::update(existing(id)).set(changes).execute(c))?;
            if changed == 0 {
                return Err(not_found(id));
            }
            get_in(conn, id)
        })
        .await
    }

    /// Deletes a secret; models that were asked with it stay, without one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_gateway_secret`.
    pub async fn delete_gateway_secret(&self, id: GatewaySecretId) -> Result<()> {
        self.write(move |conn| {
            let changed = each!(conn, c => diesel::delete(existing(&id)).execute(c))?;
            if changed == 0 { Err(not_found(&id)) } else { Ok(()) }
        })
        .await
    }

    /// Lists what is shown of all secrets, or of those of a provider.
    ///
    /// Upstream: `list_secret_infos`.
    pub async fn list_gateway_secrets(&self, provider: Option<String>) -> Result<Vec<GatewaySecretInfo>> {
        self.read(move |conn| {
            let rows: Vec<SecretRow> = each!(conn, c => {
                let all = secrets::table
                    .filter(secrets::workspace.eq(DEFAULT_WORKSPACE))
                    .order((secrets::created_at, secrets::secret_id))
                    .select(SecretRow::as_select())
                    .into_boxed();
                match &provider {
                    Some(provider) => all.filter(secrets::provider.eq(provider)).load(c),
                    None => all.load(c),
                }
            })?;
            rows.into_iter().map(SecretRow::into_info).collect()
        })
        .await
    }
}

/// A row of `secrets`, as far as it is shown.
#[derive(Queryable, Selectable)]
#[diesel(table_name = secrets)]
struct SecretRow {
    secret_id: String,
    secret_name: String,
    masked_value: String,
    created_at: i64,
    last_updated_at: i64,
    provider: Option<String>,
    created_by: Option<String>,
    last_updated_by: Option<String>,
    auth_config: Option<String>,
}

#[derive(AsChangeset)]
#[diesel(table_name = secrets)]
#[expect(clippy::option_option, reason = "to be made NULL is not to be left alone")]
struct SecretChanges<'a> {
    encrypted_value: Option<&'a [u8]>,
    wrapped_dek: Option<&'a [u8]>,
    kek_version: Option<i32>,
    masked_value: Option<&'a str>,
    auth_config: Option<Option<String>>,
    last_updated_at: i64,
}

impl SecretRow {
    fn into_info(self) -> Result<GatewaySecretInfo> {
        let masked_values = read_json(&self.masked_value, "secrets.masked_value", &self.secret_id)?;
        let auth_config =
            read_json_if_any(self.auth_config.as_deref(), "secrets.auth_config", &self.secret_id)?;
        Ok(GatewaySecretInfo {
            secret_id: Some(self.secret_id),
            secret_name: Some(self.secret_name),
            masked_values,
            created_at: Some(self.created_at),
            last_updated_at: Some(self.last_updated_at),
            provider: self.provider,
            created_by: self.created_by,
            last_updated_by: self.last_updated_by,
            auth_config: auth_config.unwrap_or_default(),
        })
    }
}

/// No settings are stored as none.
fn stored_config(config: &BTreeMap<String, String>) -> Option<String> {
    (!config.is_empty()).then(|| json(config))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn existing<'a>(id: &'a str) -> _ {
    let workspace: &'static str = DEFAULT_WORKSPACE;
    secrets::table.find(id).filter(secrets::workspace.eq(workspace))
}

pub(super) fn not_found(id: &str) -> Error {
    missing("GatewaySecret", &[("secret_id", id)])
}

/// Checks that a secret exists.
pub(super) fn require(conn: &mut Conn, id: &str) -> Result<()> {
    get_in(conn, id).map(drop)
}

fn get_in(conn: &mut Conn, id: &str) -> Result<GatewaySecretInfo> {
    let row: Option<SecretRow> =
        each!(conn, c => existing(id).select(SecretRow::as_select()).first(c).optional())?;
    row.ok_or_else(|| not_found(id))?.into_info()
}
