//! Endpoints with their models and tags.

use std::collections::HashMap;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::model_definitions::{self as definition_store, DefinitionRow};
use super::{missing, new_id, unless_bad_key, unless_unique};
use crate::domain::experiment::{DEFAULT_WORKSPACE, NewExperiment};
use crate::domain::gateway::{EndpointUpdate, Fallback, NewEndpoint, NewMapping, given};
use crate::domain::ids::{GatewayEndpointId, Tag};
use crate::domain::python::json_dumps;
use crate::domain::time::now_ms;
use crate::domain::validate;
use crate::domain::{Error, Result};
use crate::proto::{
    AttachModelToGatewayEndpoint, DetachModelFromGatewayEndpoint, ExperimentTag, FallbackConfig,
    FallbackStrategy, GatewayEndpoint, GatewayEndpointModelMapping, GatewayEndpointTag,
    GatewayModelDefinition, GatewayModelLinkageType, RoutingStrategy,
};
use crate::store::conn::Conn;
use crate::store::experiments::create_experiment_in;
use crate::store::schema::{
    endpoint_model_mappings as mappings, endpoint_tags, endpoints, experiments, model_definitions,
};
use crate::store::stored_json::read_json_if_any;
use crate::store::{Store, each};

impl Store {
    /// Stores an endpoint, and the experiment of its traces if it is to have one of its own. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for a model, `BAD_REQUEST` for a name in use, a model that is given twice or an
    /// experiment that does not exist. Upstream: `create_gateway_endpoint`.
    pub async fn create_gateway_endpoint(&self, new: NewEndpoint) -> Result<GatewayEndpoint> {
        let root = self.artifact_root.clone();
        self.write(move |conn| {
            let missing = missing_models(conn, &new.models)?;
            if !missing.is_empty() {
                return Err(Error::not_found(format!("Model definitions not found: {}", missing.join(", "))));
            }
            let (id, now) = (new_id("e"), now_ms());
            let experiment_id = match &new.experiment_id {
                Some(text) => Some(experiment_id(text)?),
                None if new.usage_tracking => Some(find_or_create_experiment(conn, &new.name, &id, &root)?),
                None => None,
            };
            let is_stored = new.fallback.is_some() || !fallback_ids(&new.models).is_empty();
            let fallback = is_stored.then(|| stored_fallback(new.fallback, fallback_ids(&new.models)));
            let values = (
                endpoints::endpoint_id.eq(&id),
                endpoints::name.eq(&new.name),
                endpoints::created_by.eq(&new.created_by),
                endpoints::created_at.eq(now),
                endpoints::last_updated_by.eq(&new.created_by),
                endpoints::last_updated_at.eq(now),
                endpoints::routing_strategy.eq(new.routing.map(|r| r.as_str_name())),
                endpoints::fallback_config_json.eq(fallback.transpose()?),
                endpoints::experiment_id.eq(experiment_id),
                endpoints::usage_tracking.eq(new.usage_tracking),
                endpoints::workspace.eq(DEFAULT_WORKSPACE),
            );
            each!(conn, c => diesel::insert_into(endpoints::table).values(values).execute(c))
                .map_err(|e| unless_bad_key(e, || bad_endpoint(&new.name)))?;
            insert_mappings(conn, &id, &new.models, new.created_by.as_deref())
                .map_err(|e| unless_bad_key(e, || "A model of the endpoint is given twice.".into()))?;
            get_in(conn, &id)
        })
        .await
    }

    /// Returns the endpoint of an id or of a name.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for both or none. Upstream: `get_gateway_endpoint`.
    pub async fn get_gateway_endpoint(
        &self,
        id: Option<GatewayEndpointId>,
        name: Option<String>,
    ) -> Result<GatewayEndpoint> {
        self.read(move |conn| match (&id, &name) {
            (Some(id), None) => get_in(conn, id),
            (None, Some(name)) => {
                let found: Option<EndpointRow> = each!(conn, c => endpoints::table
                    .filter(endpoints::name.eq(name).and(endpoints::workspace.eq(DEFAULT_WORKSPACE)))
                    .select(EndpointRow::as_select())
                    .first(c)
                    .optional())?;
                let row = found.ok_or_else(|| missing("GatewayEndpoint", &[("name", name)]))?;
                Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
            }
            _ => Err(Error::invalid("Exactly one of endpoint_id or name must be provided")),
        })
        .await
    }

    /// Changes an endpoint. One transaction.
    ///
    /// # Errors
    /// As for [`Store::create_gateway_endpoint`]. Upstream: `update_gateway_endpoint`.
    pub async fn update_gateway_endpoint(&self, update: EndpointUpdate) -> Result<GatewayEndpoint> {
        let root = self.artifact_root.clone();
        self.write(move |conn| {
            let id = &update.endpoint_id;
            let old = row_in(conn, id, "GatewayEndpoint")?;
            let wants_experiment = update.usage_tracking == Some(true)
                && update.experiment_id.is_none()
                && old.experiment_id.is_none();
            let experiment_id = match &update.experiment_id {
                Some(text) => Some(experiment_id(text)?),
                None if wants_experiment => {
                    let name = update.name.as_ref().or(old.name.as_ref());
                    Some(find_or_create_experiment(conn, name.map_or("", String::as_str), id, &root)?)
                }
                None => None,
            };
            if let Some(models) = &update.models {
                if let Some(missing) = missing_models(conn, models)?.first() {
                    return Err(definition_store::not_found(missing));
                }
                let old = mappings::table.filter(mappings::endpoint_id.eq(id));
                each!(conn, c => diesel::delete(old).execute(c))?;
                insert_mappings(conn, id, models, update.updated_by.as_deref())
                    .map_err(|e| unless_bad_key(e, || "A model of the endpoint is given twice.".into()))?;
            }
            let changes = EndpointChanges {
                name: update.name.as_deref(),
                usage_tracking: update.usage_tracking,
                experiment_id,
                routing_strategy: update.routing.map(|r| r.as_str_name()),
                fallback_config_json: new_fallback(&update, &old)?,
                last_updated_by: update.updated_by.as_deref(),
                last_updated_at: now_ms(),
            };
            let endpoint = endpoints::table.find(id);
            each!(conn, c => diesel::update(endpoint).set(&changes).execute(c)).map_err(|e| {
                unless_bad_key(e, || bad_endpoint(update.name.as_deref().unwrap_or_default()))
            })?;
            get_in(conn, id)
        })
        .await
    }

    /// Deletes an endpoint with its models, tags and bindings.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_gateway_endpoint`.
    pub async fn delete_gateway_endpoint(&self, id: GatewayEndpointId) -> Result<()> {
        self.write(move |conn| {
            row_in(conn, &id, "GatewayEndpoint")?;
            each!(conn, c => diesel::delete(endpoints::table.find(id.as_str())).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Lists all endpoints that have a model, or those with one of a provider. Four statements.
    ///
    /// Upstream: `list_gateway_endpoints`.
    pub async fn list_gateway_endpoints(&self, provider: Option<String>) -> Result<Vec<GatewayEndpoint>> {
        self.read(move |conn| {
            let rows: Vec<EndpointRow> = each!(conn, c => {
                let mut ids = mappings::table
                    .inner_join(model_definitions::table
                        .on(mappings::model_definition_id.eq(model_definitions::model_definition_id)))
                    .select(mappings::endpoint_id)
                    .into_boxed();
                if let Some(provider) = &provider {
                    ids = ids.filter(model_definitions::provider.eq(provider));
                }
                endpoints::table
                    .filter(endpoints::endpoint_id.eq_any(ids))
                    .filter(endpoints::workspace.eq(DEFAULT_WORKSPACE))
                    .order((endpoints::created_at, endpoints::endpoint_id))
                    .select(EndpointRow::as_select())
                    .load(c)
            })?;
            assemble(conn, rows)
        })
        .await
    }

    /// Gives an endpoint one more model. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `RESOURCE_ALREADY_EXISTS` when it has that model in that role. Upstream:
    /// `attach_model_to_endpoint`.
    pub async fn attach_model_to_endpoint(
        &self,
        request: AttachModelToGatewayEndpoint,
    ) -> Result<GatewayEndpointModelMapping> {
        let model = NewMapping::new(request.model_config.clone().unwrap_or_default(), "model_config")?;
        self.write(move |conn| {
            let (id, definition) = (request.endpoint_id(), &model.model_definition_id);
            row_in(conn, id, "GatewayEndpoint")?;
            if !missing_models(conn, std::slice::from_ref(&model))?.is_empty() {
                return Err(definition_store::not_found(definition));
            }
            let created_by = given(request.created_by.clone());
            let attached = insert_mappings(conn, id, std::slice::from_ref(&model), created_by.as_deref());
            let mapping_id = attached.map_err(|e| {
                unless_unique(e, || {
                    let message =
                        format!("Model definition '{definition}' is already attached to endpoint '{id}'");
                    Error::already_exists(message)
                })
            })?;
            let changes = EndpointChanges {
                last_updated_by: created_by.as_deref(),
                last_updated_at: now_ms(),
                ..EndpointChanges::default()
            };
            each!(conn, c => diesel::update(endpoints::table.find(id)).set(&changes).execute(c))?;
            let all = mappings_of(conn, &[id])?.remove(id).unwrap_or_default();
            Ok(all.into_iter().find(|m| Some(m.mapping_id()) == mapping_id.as_deref()).unwrap_or_default())
        })
        .await
    }

    /// Takes a model from an endpoint; where it has the model in two roles, from that of the fallback.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `detach_model_from_endpoint`.
    pub async fn detach_model_from_endpoint(&self, request: DetachModelFromGatewayEndpoint) -> Result<()> {
        self.write(move |conn| {
            let (id, definition) = (request.endpoint_id(), request.model_definition_id());
            let found: Option<String> = each!(conn, c => mappings::table
                .filter(mappings::endpoint_id.eq(id).and(mappings::model_definition_id.eq(definition)))
                .order(mappings::linkage_type)
                .select(mappings::mapping_id)
                .first(c)
                .optional())?;
            let Some(mapping) = found else {
                row_in(conn, id, "GatewayEndpoint")?;
                let message = format!("Model definition '{definition}' is not attached to endpoint '{id}'");
                return Err(Error::not_found(message));
            };
            each!(conn, c => diesel::delete(mappings::table.find(&mapping)).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Writes a tag of an endpoint, over an earlier value.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `set_gateway_endpoint_tag`.
    pub async fn set_gateway_endpoint_tag(&self, id: GatewayEndpointId, tag: Tag) -> Result<()> {
        self.write(move |conn| {
            row_in(conn, &id, "GatewayEndpoint")?;
            let row = (
                endpoint_tags::endpoint_id.eq(id.as_str()),
                endpoint_tags::key.eq(&tag.key),
                endpoint_tags::value.eq(&tag.value),
            );
            each!(conn, c => diesel::insert_into(endpoint_tags::table)
                .values(row)
                .on_conflict((endpoint_tags::key, endpoint_tags::endpoint_id))
                .do_update()
                .set(endpoint_tags::value.eq(&tag.value))
                .execute(c))?;
            Ok(())
        })
        .await
    }

    /// Removes a tag of an endpoint, if it has it.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the endpoint. Upstream: `delete_gateway_endpoint_tag`.
    pub async fn delete_gateway_endpoint_tag(&self, id: GatewayEndpointId, key: String) -> Result<()> {
        self.write(move |conn| {
            row_in(conn, &id, "GatewayEndpoint")?;
            each!(conn, c => diesel::delete(endpoint_tags::table.find((key.as_str(), id.as_str()))).execute(c))?;
            Ok(())
        })
        .await
    }
}

/// A row of `endpoints`, as far as it is shown.
#[derive(Queryable, Selectable)]
#[diesel(table_name = endpoints)]
pub(super) struct EndpointRow {
    endpoint_id: String,
    pub(super) name: Option<String>,
    created_by: Option<String>,
    created_at: i64,
    last_updated_by: Option<String>,
    last_updated_at: i64,
    routing_strategy: Option<String>,
    fallback_config_json: Option<String>,
    experiment_id: Option<i32>,
    usage_tracking: bool,
}

#[derive(AsChangeset, Default)]
#[diesel(table_name = endpoints)]
struct EndpointChanges<'a> {
    name: Option<&'a str>,
    usage_tracking: Option<bool>,
    experiment_id: Option<i32>,
    routing_strategy: Option<&'a str>,
    fallback_config_json: Option<String>,
    last_updated_by: Option<&'a str>,
    last_updated_at: i64,
}

/// A row of `endpoint_model_mappings`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = mappings)]
struct MappingRow {
    mapping_id: String,
    endpoint_id: String,
    model_definition_id: String,
    weight: f64,
    created_by: Option<String>,
    created_at: i64,
    linkage_type: String,
    fallback_order: Option<i32>,
}

/// What `fallback_config_json` holds.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct StoredFallback {
    strategy: Option<String>,
    max_attempts: Option<i32>,
    model_definition_ids: Vec<String>,
}

impl EndpointRow {
    fn into_message(
        self,
        model_mappings: Vec<GatewayEndpointModelMapping>,
        tags: Vec<GatewayEndpointTag>,
    ) -> Result<GatewayEndpoint> {
        let stored = read_fallback(self.fallback_config_json.as_deref(), &self.endpoint_id)?;
        let strategy = |name: String| FallbackStrategy::from_str_name(&name).map(i32::from);
        let fallback_config = stored.map(|stored| FallbackConfig {
            strategy: stored.strategy.and_then(strategy),
            max_attempts: stored.max_attempts,
        });
        let routing = self.routing_strategy.as_deref().and_then(RoutingStrategy::from_str_name);
        Ok(GatewayEndpoint {
            endpoint_id: Some(self.endpoint_id),
            name: Some(self.name.unwrap_or_default()),
            created_at: Some(self.created_at),
            last_updated_at: Some(self.last_updated_at),
            model_mappings,
            created_by: Some(self.created_by.unwrap_or_default()),
            last_updated_by: Some(self.last_updated_by.unwrap_or_default()),
            tags,
            routing_strategy: routing.map(i32::from),
            fallback_config,
            experiment_id: self.experiment_id.map(|id| id.to_string()),
            usage_tracking: Some(self.usage_tracking),
        })
    }
}

fn read_fallback(text: Option<&str>, endpoint_id: &str) -> Result<Option<StoredFallback>> {
    read_json_if_any(text, "endpoints.fallback_config_json", endpoint_id)
}

impl MappingRow {
    fn into_message(self, model_definition: Option<GatewayModelDefinition>) -> GatewayEndpointModelMapping {
        GatewayEndpointModelMapping {
            mapping_id: Some(self.mapping_id),
            endpoint_id: Some(self.endpoint_id),
            model_definition_id: Some(self.model_definition_id),
            model_definition,
            weight: Some(self.weight),
            created_at: Some(self.created_at),
            created_by: self.created_by,
            linkage_type: GatewayModelLinkageType::from_str_name(&self.linkage_type).map(i32::from),
            fallback_order: self.fallback_order,
        }
    }
}

fn bad_endpoint(name: &str) -> String {
    format!("There is another endpoint with the name '{name}', or no such experiment.")
}

/// Upstream: `_parse_experiment_id`.
fn experiment_id(text: &str) -> Result<i32> {
    validate::experiment_id(text)
}

fn fallback_ids(models: &[NewMapping]) -> Vec<String> {
    let fallbacks = models.iter().filter(|model| model.linkage == GatewayModelLinkageType::Fallback);
    fallbacks.map(|model| model.model_definition_id.clone()).collect()
}

/// Writes what is done when a model fails, as stock does.
fn stored_fallback(fallback: Option<Fallback>, model_definition_ids: Vec<String>) -> Result<String> {
    let stored = StoredFallback {
        strategy: fallback.and_then(|f| f.strategy).map(|s| s.as_str_name().to_owned()),
        max_attempts: fallback.and_then(|f| f.max_attempts),
        model_definition_ids,
    };
    serde_json::to_value(stored).map(|value| json_dumps(&value)).map_err(Error::internal)
}

/// New models bring their own list; without them the old list stays.
fn new_fallback(update: &EndpointUpdate, old: &EndpointRow) -> Result<Option<String>> {
    match (&update.models, update.fallback) {
        (Some(models), fallback) => stored_fallback(fallback, fallback_ids(models)).map(Some),
        (None, Some(fallback)) => {
            let old =
                read_fallback(old.fallback_config_json.as_deref(), &old.endpoint_id)?.unwrap_or_default();
            stored_fallback(Some(fallback), old.model_definition_ids).map(Some)
        }
        (None, None) => Ok(None),
    }
}

/// Upstream: `_get_or_create_experiment_id`.
fn find_or_create_experiment(conn: &mut Conn, endpoint: &str, endpoint_id: &str, root: &str) -> Result<i32> {
    let name = format!("gateway/{endpoint}");
    let found: Option<i32> = each!(conn, c => experiments::table
        .filter(experiments::name.eq(&name).and(experiments::workspace.eq(DEFAULT_WORKSPACE)))
        .select(experiments::experiment_id)
        .first(c)
        .optional())?;
    if let Some(id) = found {
        return Ok(id);
    }
    let tag = |key: &str, value: &str| ExperimentTag { key: Some(key.into()), value: Some(value.into()) };
    let tags = vec![
        tag("mlflow.experiment.sourceType", "GATEWAY"),
        tag("mlflow.experiment.sourceId", endpoint_id),
        tag("mlflow.experiment.isGateway", "true"),
    ];
    create_experiment_in(conn, &NewExperiment { name, artifact_location: None, tags }, root)
}

/// Returns the ids among `models` that do not exist.
fn missing_models(conn: &mut Conn, models: &[NewMapping]) -> Result<Vec<String>> {
    let ids: Vec<&str> = models.iter().map(|model| model.model_definition_id.as_str()).collect();
    let found = definition_store::load(conn, &ids)?;
    let exists = |id: &str| found.iter().any(|row| row.model_definition_id == id);
    let mut missing: Vec<String> = ids.into_iter().filter(|id| !exists(id)).map(ToOwned::to_owned).collect();
    missing.sort();
    missing.dedup();
    Ok(missing)
}

/// Adds models to an endpoint and returns the id of the last. Ids grow with the order of the list, so that ordering
/// by time and id brings it back.
fn insert_mappings(
    conn: &mut Conn,
    endpoint_id: &str,
    models: &[NewMapping],
    created_by: Option<&str>,
) -> QueryResult<Option<String>> {
    let now = now_ms();
    let mut ids: Vec<String> = models.iter().map(|_| new_id("m")).collect();
    ids.sort();
    let rows: Vec<_> = models
        .iter()
        .zip(&ids)
        .map(|(model, id)| {
            (
                mappings::mapping_id.eq(id),
                mappings::endpoint_id.eq(endpoint_id),
                mappings::model_definition_id.eq(&model.model_definition_id),
                mappings::weight.eq(model.weight),
                mappings::created_by.eq(created_by),
                mappings::created_at.eq(now),
                mappings::linkage_type.eq(model.linkage.as_str_name()),
                mappings::fallback_order.eq(model.fallback_order),
            )
        })
        .collect();
    each!(conn, c => diesel::insert_into(mappings::table).values(&rows).execute(c))?;
    Ok(ids.pop())
}

/// Finds an endpoint; errors name it `what`.
pub(super) fn row_in(conn: &mut Conn, id: &str, what: &str) -> Result<EndpointRow> {
    let found: Option<EndpointRow> = each!(conn, c => endpoints::table
        .find(id)
        .filter(endpoints::workspace.eq(DEFAULT_WORKSPACE))
        .select(EndpointRow::as_select())
        .first(c)
        .optional())?;
    found.ok_or_else(|| missing(what, &[("endpoint_id", id)]))
}

fn get_in(conn: &mut Conn, id: &str) -> Result<GatewayEndpoint> {
    let row = row_in(conn, id, "GatewayEndpoint")?;
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

fn assemble(conn: &mut Conn, rows: Vec<EndpointRow>) -> Result<Vec<GatewayEndpoint>> {
    let ids: Vec<&str> = rows.iter().map(|row| row.endpoint_id.as_str()).collect();
    let mut models = mappings_of(conn, &ids)?;
    let found: Vec<(String, String, Option<String>)> = each!(conn, c => endpoint_tags::table
        .filter(endpoint_tags::endpoint_id.eq_any(&ids))
        .order(endpoint_tags::key)
        .select((endpoint_tags::endpoint_id, endpoint_tags::key, endpoint_tags::value))
        .load(c))?;
    let mut tags: HashMap<String, Vec<GatewayEndpointTag>> = HashMap::new();
    for (id, key, value) in found {
        tags.entry(id).or_default().push(GatewayEndpointTag { key: Some(key), value });
    }
    rows.into_iter()
        .map(|row| {
            let models = models.remove(&row.endpoint_id).unwrap_or_default();
            let tags = tags.remove(&row.endpoint_id).unwrap_or_default();
            row.into_message(models, tags)
        })
        .collect()
}

/// Returns the models of each endpoint, in the order in which they were attached. Two statements.
fn mappings_of(conn: &mut Conn, ids: &[&str]) -> Result<HashMap<String, Vec<GatewayEndpointModelMapping>>> {
    let rows: Vec<MappingRow> = each!(conn, c => mappings::table
        .filter(mappings::endpoint_id.eq_any(ids))
        .order((mappings::created_at, mappings::mapping_id))
        .select(MappingRow::as_select())
        .load(c))?;
    let mut wanted: Vec<&str> = rows.iter().map(|row| row.model_definition_id.as_str()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let found: Vec<DefinitionRow> = definition_store::load(conn, &wanted)?;
    let definitions: HashMap<String, GatewayModelDefinition> =
        found.into_iter().map(|row| (row.model_definition_id.clone(), row.into())).collect();
    let mut mappings: HashMap<String, Vec<GatewayEndpointModelMapping>> = HashMap::new();
    for row in rows {
        let definition = definitions.get(&row.model_definition_id).cloned();
        mappings.entry(row.endpoint_id.clone()).or_default().push(row.into_message(definition));
    }
    Ok(mappings)
}
