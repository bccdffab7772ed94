//! Model definitions: models of providers, with the secrets they are asked with.

use diesel::prelude::*;

use super::{missing, new_id, secrets as secret_store, unless_unique};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::gateway::given;
use crate::domain::ids::ModelDefinitionId;
use crate::domain::time::now_ms;
use crate::domain::{Error, Result};
use crate::proto::{
    CreateGatewayModelDefinition, GatewayModelDefinition, ListGatewayModelDefinitions,
    UpdateGatewayModelDefinition,
};
use crate::store::conn::Conn;
use crate::store::error::is_foreign_key_violation;
use crate::store::schema::{model_definitions, secrets};
use crate::store::{Store, each};

impl Store {
    /// Stores a model definition. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the secret, `RESOURCE_ALREADY_EXISTS` for the name. Upstream:
    /// `create_gateway_model_definition`.
    pub async fn create_gateway_model_definition(
        &self,
        new: CreateGatewayModelDefinition,
    ) -> Result<GatewayModelDefinition> {
        self.write(move |conn| {
            secret_store::require(conn, new.secret_id())?;
            let (id, now) = (new_id("d"), now_ms());
            let created_by = given(new.created_by.clone());
            let values = (
                model_definitions::model_definition_id.eq(&id),
                model_definitions::name.eq(new.name()),
                model_definitions::secret_id.eq(new.secret_id()),
                model_definitions::provider.eq(new.provider()),
                model_definitions::model_name.eq(new.model_name()),
                model_definitions::created_by.eq(&created_by),
                model_definitions::created_at.eq(now),
                model_definitions::last_updated_by.eq(&created_by),
                model_definitions::last_updated_at.eq(now),
                model_definitions::workspace.eq(DEFAULT_WORKSPACE),
            );
            each!(conn, c => diesel::insert_into(model_definitions::table).values(values).execute(c))
                .map_err(|e| unless_unique(e, || name_in_use(new.name())))?;
            get_in(conn, &id)
        })
        .await
    }

    /// Returns a model definition.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_gateway_model_definition`.
    pub async fn get_gateway_model_definition(
        &self,
        id: ModelDefinitionId,
    ) -> Result<GatewayModelDefinition> {
        self.read(move |conn| get_in(conn, &id)).await
    }

    /// Lists all model definitions, or those of a provider or a secret.
    ///
    /// Upstream: `list_gateway_model_definitions`.
    pub async fn list_gateway_model_definitions(
        &self,
        request: ListGatewayModelDefinitions,
    ) -> Result<Vec<GatewayModelDefinition>> {
        self.read(move |conn| {
            let (provider, secret_id) = (request.provider(), request.secret_id());
            let rows: Vec<DefinitionRow> = each!(conn, c => {
                let mut some = model_definitions::table
                    .left_join(secrets::table.on(model_definitions::secret_id.eq(secrets::secret_id.nullable())))
                    .filter(model_definitions::workspace.eq(DEFAULT_WORKSPACE))
                    .order((model_definitions::created_at, model_definitions::model_definition_id))
                    .select(DefinitionRow::as_select())
                    .into_boxed();
                if !provider.is_empty() {
                    some = some.filter(model_definitions::provider.eq(provider));
                }
                if !secret_id.is_empty() {
                    some = some.filter(model_definitions::secret_id.eq(secret_id));
                }
                some.load(c)
            })?;
            Ok(rows.into_iter().map(Into::into).collect())
        })
        .await
    }

    /// Changes a model definition. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for it or its new secret, `RESOURCE_ALREADY_EXISTS` for the name. Upstream:
    /// `update_gateway_model_definition`.
    pub async fn update_gateway_model_definition(
        &self,
        update: UpdateGatewayModelDefinition,
    ) -> Result<GatewayModelDefinition> {
        self.write(move |conn| {
            let id = update.model_definition_id();
            get_in(conn, id)?;
            let some = |text: &Option<String>| given(text.clone());
            let secret_id = some(&update.secret_id);
            if let Some(secret_id) = &secret_id {
                secret_store::require(conn, secret_id)?;
            }
            let changes = DefinitionChanges {
                name: some(&update.name),
                secret_id,
                provider: some(&update.provider),
                model_name: some(&update.model_name),
                last_updated_by: some(&update.updated_by),
                last_updated_at: now_ms(),
            };
            let definition = model_definitions::table.find(id);
            each!(conn, c => diesel::update(definition).set(&changes).execute(c))
                .map_err(|e| unless_unique(e, || name_in_use(update.name())))?;
            get_in(conn, id)
        })
        .await
    }

    /// Deletes a model definition that no endpoint uses.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_STATE` when one does. Upstream: `delete_gateway_model_definition`.
    pub async fn delete_gateway_model_definition(&self, id: ModelDefinitionId) -> Result<()> {
        self.write(move |conn| {
            get_in(conn, &id)?;
            let definition = model_definitions::table.find(id.as_str());
            each!(conn, c => diesel::delete(definition).execute(c)).map_err(|e| {
                if is_foreign_key_violation(&e) {
                    return Error::invalid_state(
                        "Cannot delete model definition that is currently in use by endpoints. Detach it from all \
                         endpoints first.",
                    );
                }
                e.into()
            })?;
            Ok(())
        })
        .await
    }
}

/// A row of `model_definitions`, as far as it is shown, with the name of its secret.
#[derive(Queryable, Selectable)]
#[diesel(table_name = model_definitions)]
pub(super) struct DefinitionRow {
    pub(super) model_definition_id: String,
    name: String,
    secret_id: Option<String>,
    #[diesel(select_expression = secrets::secret_name.nullable())]
    secret_name: Option<String>,
    provider: String,
    model_name: String,
    created_at: i64,
    last_updated_at: i64,
    created_by: Option<String>,
    last_updated_by: Option<String>,
}

#[derive(AsChangeset)]
#[diesel(table_name = model_definitions)]
struct DefinitionChanges {
    name: Option<String>,
    secret_id: Option<String>,
    provider: Option<String>,
    model_name: Option<String>,
    last_updated_by: Option<String>,
    last_updated_at: i64,
}

impl From<DefinitionRow> for GatewayModelDefinition {
    fn from(row: DefinitionRow) -> Self {
        Self {
            model_definition_id: Some(row.model_definition_id),
            name: Some(row.name),
            secret_id: row.secret_id,
            secret_name: row.secret_name,
            provider: Some(row.provider),
            model_name: Some(row.model_name),
            created_at: Some(row.created_at),
            last_updated_at: Some(row.last_updated_at),
            created_by: row.created_by,
            last_updated_by: row.last_updated_by,
        }
    }
}

fn name_in_use(name: &str) -> Error {
    Error::already_exists(format!("Model definition with name '{name}' already exists"))
}

pub(super) fn not_found(id: &str) -> Error {
    missing("GatewayModelDefinition", &[("model_definition_id", id)])
}

/// Loads the model definitions of these ids; those that do not exist are left out.
pub(super) fn load(conn: &mut Conn, ids: &[&str]) -> Result<Vec<DefinitionRow>> {
    Ok(each!(conn, c => model_definitions::table
        .left_join(secrets::table.on(model_definitions::secret_id.eq(secrets::secret_id.nullable())))
        .filter(model_definitions::model_definition_id.eq_any(ids))
        .filter(model_definitions::workspace.eq(DEFAULT_WORKSPACE))
        .select(DefinitionRow::as_select())
        .load(c))?)
}

fn get_in(conn: &mut Conn, id: &str) -> Result<GatewayModelDefinition> {
    load(conn, &[id])?.pop().map(Into::into).ok_or_else(|| not_found(id))
}
