//! Guardrails and the endpoints that have them. Nothing here runs one.

use crate::api::extract::Check::{Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::gateway::guardrail::NewGuardrail;
use crate::domain::ids::{GatewayEndpointId, GuardrailId};
use crate::proto::{
    AddGuardrailToEndpoint, CreateGatewayGuardrail, DeleteGatewayGuardrail, GetGatewayGuardrail,
    ListEndpointGuardrailConfigs, ListGatewayGuardrails, RemoveGuardrailFromEndpoint,
    UpdateEndpointGuardrailConfig, add_guardrail_to_endpoint, create_gateway_guardrail,
    delete_gateway_guardrail, get_gateway_guardrail, list_endpoint_guardrail_configs,
    list_gateway_guardrails, remove_guardrail_from_endpoint, update_endpoint_guardrail_config,
};

impl Request for CreateGatewayGuardrail {
    const SCHEMA: Schema = &[
        ("name", &[Required, Str]),
        ("scorer_id", &[Required, Str]),
        ("scorer_version", &[Required, Int]),
        ("stage", &[Required]),
        ("action", &[Required]),
        ("action_endpoint_id", &[Str]),
    ];
}

impl Request for GetGatewayGuardrail {
    const SCHEMA: Schema = &[("guardrail_id", &[Required, Str])];
}

impl Request for DeleteGatewayGuardrail {
    const SCHEMA: Schema = &[("guardrail_id", &[Required, Str])];
}

impl Request for ListGatewayGuardrails {
    const SCHEMA: Schema = &[("max_results", &[Int]), ("page_token", &[Str])];
}

impl Request for AddGuardrailToEndpoint {
    const SCHEMA: Schema =
        &[("endpoint_id", &[Required, Str]), ("guardrail_id", &[Required, Str]), ("execution_order", &[Int])];
}

impl Request for RemoveGuardrailFromEndpoint {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str]), ("guardrail_id", &[Required, Str])];
}

impl Request for ListEndpointGuardrailConfigs {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str])];
}

impl Request for UpdateEndpointGuardrailConfig {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str]), ("guardrail_id", &[Required, Str])];
}

/// `POST gateway/guardrails/create`. Upstream: `_create_gateway_guardrail`. Differs: no creator is recorded;
/// stock records the user of its own process.
pub async fn create_gateway_guardrail(
    app: App,
    Proto(r): Proto<CreateGatewayGuardrail>,
) -> Reply<create_gateway_guardrail::Response> {
    let guardrail = app.store.create_gateway_guardrail(NewGuardrail::try_from(r)?).await?;
    reply::json(create_gateway_guardrail::Response { guardrail: Some(guardrail) })
}

/// `GET gateway/guardrails/get`. Upstream: `_get_gateway_guardrail`.
pub async fn get_gateway_guardrail(
    app: App,
    Proto(r): Proto<GetGatewayGuardrail>,
) -> Reply<get_gateway_guardrail::Response> {
    let guardrail = app.store.get_gateway_guardrail(GuardrailId::from(r.guardrail_id)).await?;
    reply::json(get_gateway_guardrail::Response { guardrail: Some(guardrail) })
}

/// `DELETE gateway/guardrails/delete`. Upstream: `_delete_gateway_guardrail`.
pub async fn delete_gateway_guardrail(
    app: App,
    Proto(r): Proto<DeleteGatewayGuardrail>,
) -> Reply<delete_gateway_guardrail::Response> {
    app.store.delete_gateway_guardrail(GuardrailId::from(r.guardrail_id)).await?;
    reply::empty()
}

/// `GET gateway/guardrails/list`. Upstream: `_list_gateway_guardrails`.
pub async fn list_gateway_guardrails(
    app: App,
    Proto(r): Proto<ListGatewayGuardrails>,
) -> Reply<list_gateway_guardrails::Response> {
    reply::json(app.store.list_gateway_guardrails(r).await?)
}

/// `POST gateway/guardrails/add-to-endpoint`. Upstream: `_add_guardrail_to_endpoint`.
pub async fn add_guardrail_to_endpoint(
    app: App,
    Proto(r): Proto<AddGuardrailToEndpoint>,
) -> Reply<add_guardrail_to_endpoint::Response> {
    let config = app.store.add_guardrail_to_endpoint(r).await?;
    reply::json(add_guardrail_to_endpoint::Response { config: Some(config) })
}

/// `DELETE gateway/guardrails/remove-from-endpoint`. Upstream: `_remove_guardrail_from_endpoint`.
pub async fn remove_guardrail_from_endpoint(
    app: App,
    Proto(r): Proto<RemoveGuardrailFromEndpoint>,
) -> Reply<remove_guardrail_from_endpoint::Response> {
    app.store.remove_guardrail_from_endpoint(r).await?;
    reply::empty()
}

/// `GET gateway/guardrails/list-for-endpoint`. Upstream: `_list_endpoint_guardrail_configs`.
pub async fn list_endpoint_guardrail_configs(
    app: App,
    Proto(r): Proto<ListEndpointGuardrailConfigs>,
) -> Reply<list_endpoint_guardrail_configs::Response> {
    let configs = app.store.list_endpoint_guardrail_configs(GatewayEndpointId::from(r.endpoint_id)).await?;
    reply::json(list_endpoint_guardrail_configs::Response { configs })
}

/// `PATCH gateway/guardrails/update-config`; without a place it goes to the end. Upstream:
/// `_update_endpoint_guardrail_config`.
pub async fn update_endpoint_guardrail_config(
    app: App,
    Proto(r): Proto<UpdateEndpointGuardrailConfig>,
) -> Reply<update_endpoint_guardrail_config::Response> {
    let config = app.store.update_endpoint_guardrail_config(r).await?;
    reply::json(update_endpoint_guardrail_config::Response { config: Some(config) })
}
