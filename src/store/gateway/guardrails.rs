//! Guardrails and the endpoints that have them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::budgets::page_size;
use super::{endpoints as endpoint_store, missing, new_id, unless_bad_key, unless_unique};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::gateway::guardrail::{NewGuardrail, check_scorer};
use crate::domain::ids::{GatewayEndpointId, GuardrailId};
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::time::now_ms;
use crate::domain::{Error, Result};
use crate::proto::{
    AddGuardrailToEndpoint, GatewayGuardrail, GatewayGuardrailConfig, GuardrailAction, GuardrailStage,
    ListGatewayGuardrails, RemoveGuardrailFromEndpoint, Scorer, UpdateEndpointGuardrailConfig,
    list_gateway_guardrails,
};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::predicate::Search;
use crate::store::schema::{guardrail_configs as configs, guardrails, scorer_versions, scorers};
use crate::store::{Store, each};

impl Store {
    /// Stores a guardrail. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the scorer; `INVALID_PARAMETER_VALUE` for one with code; `BAD_REQUEST` for an
    /// endpoint that does not exist. Upstream: `create_gateway_guardrail`.
    pub async fn create_gateway_guardrail(&self, new: NewGuardrail) -> Result<GatewayGuardrail> {
        self.write(move |conn| {
            let version = require_scorer(conn, &new.scorer_id, new.scorer_version)?;
            let (id, now) = (new_id("gr"), now_ms());
            let values = (
                guardrails::guardrail_id.eq(&id),
                guardrails::name.eq(&new.name),
                guardrails::scorer_id.eq(&new.scorer_id),
                guardrails::scorer_version.eq(version),
                guardrails::stage.eq(new.stage.as_str_name()),
                guardrails::action.eq(new.action.as_str_name()),
                guardrails::action_endpoint_id.eq(&new.action_endpoint_id),
                guardrails::created_at.eq(now),
                guardrails::last_updated_at.eq(now),
                guardrails::workspace.eq(DEFAULT_WORKSPACE),
            );
            each!(conn, c => diesel::insert_into(guardrails::table).values(values).execute(c))
                .map_err(|e| unless_bad_key(e, || "There is no endpoint of that id.".into()))?;
            get_in(conn, &id)
        })
        .await
    }

    /// Returns a guardrail.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_gateway_guardrail`.
    pub async fn get_gateway_guardrail(&self, id: GuardrailId) -> Result<GatewayGuardrail> {
        self.read(move |conn| get_in(conn, &id)).await
    }

    /// Deletes a guardrail, also from endpoints.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_gateway_guardrail`.
    pub async fn delete_gateway_guardrail(&self, id: GuardrailId) -> Result<()> {
        self.write(move |conn| {
            get_in(conn, &id)?;
            each!(conn, c => diesel::delete(guardrails::table.find(id.as_str())).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Returns a page of guardrails in the order of their ids. One statement.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad size or token. Upstream: `list_gateway_guardrails`.
    pub async fn list_gateway_guardrails(
        &self,
        request: ListGatewayGuardrails,
    ) -> Result<list_gateway_guardrails::Response> {
        let size = page_size(request.max_results())?;
        let offset = parse_offset_token(request.page_token.as_deref())?;
        self.read(move |conn| {
            let mut statement = select(conn.dialect());
            statement.sql(" ORDER BY g.guardrail_id").page(size + 1, offset);
            let mut rows: Vec<GuardrailRow> = each!(conn, c => statement.load(c))?;
            let limit = usize::try_from(size).unwrap_or(usize::MAX);
            let next_page_token = (rows.len() > limit).then(|| offset_token(offset.saturating_add(size)));
            rows.truncate(limit);
            let guardrails = rows.into_iter().map(Into::into).collect();
            Ok(list_gateway_guardrails::Response { guardrails, next_page_token })
        })
        .await
    }

    /// Gives an endpoint a guardrail. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `RESOURCE_ALREADY_EXISTS` when it has it. Upstream: `add_guardrail_to_endpoint`.
    pub async fn add_guardrail_to_endpoint(
        &self,
        r: AddGuardrailToEndpoint,
    ) -> Result<GatewayGuardrailConfig> {
        let place = place(r.execution_order)?;
        self.write(move |conn| {
            let (endpoint, guardrail) = (r.endpoint_id(), r.guardrail_id());
            endpoint_store::row_in(conn, endpoint, "Endpoint")?;
            get_in(conn, guardrail)?;
            let values = (
                configs::endpoint_id.eq(endpoint),
                configs::guardrail_id.eq(guardrail),
                configs::execution_order.eq(place),
                configs::created_at.eq(now_ms()),
                configs::workspace.eq(DEFAULT_WORKSPACE),
            );
            each!(conn, c => diesel::insert_into(configs::table).values(values).execute(c)).map_err(|e| {
                unless_unique(e, || {
                    let message =
                        format!("Guardrail '{guardrail}' is already added to endpoint '{endpoint}'");
                    Error::already_exists(message)
                })
            })?;
            config_in(conn, endpoint, guardrail)
        })
        .await
    }

    /// Takes a guardrail from an endpoint.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `remove_guardrail_from_endpoint`.
    pub async fn remove_guardrail_from_endpoint(&self, r: RemoveGuardrailFromEndpoint) -> Result<()> {
        self.write(move |conn| {
            let key = (r.endpoint_id(), r.guardrail_id());
            let changed = each!(conn, c => diesel::delete(configs::table.find(key)).execute(c))?;
            if changed == 0 { Err(no_config(key.0, key.1)) } else { Ok(()) }
        })
        .await
    }

    /// Moves a guardrail of an endpoint to another place; without one to the end. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `update_endpoint_guardrail_config`.
    pub async fn update_endpoint_guardrail_config(
        &self,
        r: UpdateEndpointGuardrailConfig,
    ) -> Result<GatewayGuardrailConfig> {
        let place = place(r.execution_order)?;
        self.write(move |conn| {
            let key = (r.endpoint_id(), r.guardrail_id());
            let changed = each!(conn, c => diesel::update(configs::table.find(key))
                .set(configs::execution_order.eq(place))
                .execute(c))?;
            if changed == 0 {
                return Err(no_config(key.0, key.1));
            }
            config_in(conn, key.0, key.1)
        })
        .await
    }

    /// Lists the guardrails of an endpoint in their order, those without a place last. Two statements.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `list_endpoint_guardrail_configs`.
    pub async fn list_endpoint_guardrail_configs(
        &self,
        endpoint: GatewayEndpointId,
    ) -> Result<Vec<GatewayGuardrailConfig>> {
        self.read(move |conn| {
            endpoint_store::row_in(conn, &endpoint, "Endpoint")?;
            let mut statement = select_configs(conn.dialect(), &endpoint);
            statement.sql(
                " ORDER BY CASE WHEN c.execution_order IS NULL THEN 1 ELSE 0 END, c.execution_order, c.guardrail_id",
            );
            let rows: Vec<(ConfigRow, GuardrailRow)> = each!(conn, c => statement.load(c))?;
            Ok(rows.into_iter().map(message).collect())
        })
        .await
    }
}

/// A guardrail with its scorer and the name of its endpoint.
#[derive(Queryable)]
struct GuardrailRow {
    guardrail_id: String,
    name: String,
    stage: String,
    action: String,
    created_by: Option<String>,
    created_at: i64,
    last_updated_by: Option<String>,
    last_updated_at: i64,
    scorer_id: String,
    scorer_version: i32,
    serialized_scorer: String,
    creation_time: Option<i64>,
    experiment_id: i32,
    scorer_name: String,
    action_endpoint: Option<String>,
}

/// A row of `guardrail_configs`.
#[derive(Queryable)]
struct ConfigRow {
    endpoint_id: String,
    guardrail_id: String,
    execution_order: Option<i32>,
    created_by: Option<String>,
    created_at: i64,
}

impl From<GuardrailRow> for GatewayGuardrail {
    fn from(row: GuardrailRow) -> Self {
        let scorer = Scorer {
            experiment_id: Some(row.experiment_id),
            scorer_name: Some(row.scorer_name),
            scorer_version: Some(row.scorer_version),
            serialized_scorer: Some(row.serialized_scorer),
            creation_time: row.creation_time,
            scorer_id: Some(row.scorer_id),
        };
        Self {
            guardrail_id: Some(row.guardrail_id),
            name: Some(row.name),
            scorer: Some(scorer),
            stage: GuardrailStage::from_str_name(&row.stage).map(i32::from),
            action: GuardrailAction::from_str_name(&row.action).map(i32::from),
            action_endpoint_id: row.action_endpoint.filter(|name| !name.is_empty()),
            created_by: Some(row.created_by.unwrap_or_default()),
            created_at: Some(row.created_at),
            last_updated_by: Some(row.last_updated_by.unwrap_or_default()),
            last_updated_at: Some(row.last_updated_at),
        }
    }
}

fn message((row, guardrail): (ConfigRow, GuardrailRow)) -> GatewayGuardrailConfig {
    GatewayGuardrailConfig {
        endpoint_id: Some(row.endpoint_id),
        guardrail_id: Some(row.guardrail_id),
        execution_order: row.execution_order.map(i64::from),
        created_by: Some(row.created_by.unwrap_or_default()),
        created_at: Some(row.created_at),
        guardrail: Some(guardrail.into()),
    }
}

/// The SQL type of a [`GuardrailRow`].
type GuardrailColumns = (
    Text,
    Text,
    Text,
    Text,
    Nullable<Text>,
    BigInt,
    Nullable<Text>,
    BigInt,
    Text,
    Integer,
    Text,
    Nullable<BigInt>,
    Integer,
    Text,
    Nullable<Text>,
);
/// The SQL type of a [`ConfigRow`].
type ConfigColumns = (Text, Text, Nullable<Integer>, Nullable<Text>, BigInt);

const COLUMNS: &str = "g.guardrail_id, g.name, g.stage, g.action, g.created_by, g.created_at, g.last_updated_by, \
    g.last_updated_at, g.scorer_id, g.scorer_version, v.serialized_scorer, v.creation_time, s.experiment_id, \
    s.scorer_name, e.name";
const JOINS: &str = " guardrails g JOIN scorer_versions v ON v.scorer_id = g.scorer_id \
    AND v.scorer_version = g.scorer_version JOIN scorers s ON s.scorer_id = g.scorer_id \
    LEFT JOIN endpoints e ON e.endpoint_id = g.action_endpoint_id";

/// Begins a statement for guardrails, up to its WHERE.
fn select(dialect: Dialect) -> Search<GuardrailColumns> {
    let mut statement = Search::new(dialect);
    statement.sql("SELECT ").sql(COLUMNS).sql(" FROM").sql(JOINS).sql(" WHERE g.workspace = 'default'");
    statement
}

/// Begins a statement for the guardrails of an endpoint, in their order.
fn select_configs(dialect: Dialect, endpoint: &str) -> Search<(ConfigColumns, GuardrailColumns)> {
    let mut statement = Search::new(dialect);
    statement
        .sql("SELECT c.endpoint_id, c.guardrail_id, c.execution_order, c.created_by, c.created_at, ")
        .sql(COLUMNS)
        .sql(" FROM guardrail_configs c,")
        .sql(JOINS)
        .sql(" WHERE g.guardrail_id = c.guardrail_id AND c.workspace = 'default' AND c.endpoint_id = ")
        .text(endpoint);
    statement
}

fn get_in(conn: &mut Conn, id: &str) -> Result<GatewayGuardrail> {
    let mut statement = select(conn.dialect());
    statement.sql(" AND g.guardrail_id = ").text(id);
    let rows: Vec<GuardrailRow> = each!(conn, c => statement.load(c))?;
    let missing = || missing("Guardrail", &[("guardrail_id", id)]);
    rows.into_iter().next().map(Into::into).ok_or_else(missing)
}

fn config_in(conn: &mut Conn, endpoint: &str, guardrail: &str) -> Result<GatewayGuardrailConfig> {
    let mut statement = select_configs(conn.dialect(), endpoint);
    statement.sql(" AND c.guardrail_id = ").text(guardrail);
    let rows: Vec<(ConfigRow, GuardrailRow)> = each!(conn, c => statement.load(c))?;
    rows.into_iter().next().map(message).ok_or_else(|| no_config(endpoint, guardrail))
}

fn no_config(endpoint: &str, guardrail: &str) -> Error {
    missing("GuardrailConfig", &[("endpoint_id", endpoint), ("guardrail_id", guardrail)])
}

/// Checks that a version of a scorer exists and carries no code, and returns its number.
fn require_scorer(conn: &mut Conn, id: &str, version: i64) -> Result<i32> {
    let scorer: Option<String> = each!(conn, c => scorers::table
        .find(id)
        .select(scorers::scorer_id)
        .first(c)
        .optional())?;
    if scorer.is_none() {
        return Err(Error::not_found(format!("Scorer with ID '{id}' not found.")));
    }
    let missing = || Error::not_found(format!("Scorer with ID '{id}' and version {version} not found."));
    let number = i32::try_from(version).map_err(|_e| missing())?;
    let found: Option<String> = each!(conn, c => scorer_versions::table
        .find((id, number))
        .select(scorer_versions::serialized_scorer)
        .first(c)
        .optional())?;
    check_scorer(&found.ok_or_else(missing)?)?;
    Ok(number)
}

/// Reads a place in the order.
fn place(order: Option<i64>) -> Result<Option<i32>> {
    let too_large = |_e| Error::invalid("execution_order is too large");
    order.map(i32::try_from).transpose().map_err(too_large)
}
