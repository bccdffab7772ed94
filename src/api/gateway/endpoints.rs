//! Endpoints with their models and tags.

use serde::Serialize;

use crate::api::extract::Check::{Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::gateway::{EndpointUpdate, NewEndpoint, given};
use crate::domain::ids::{GatewayEndpointId, Tag};
use crate::proto::{
    AttachModelToGatewayEndpoint, CreateGatewayEndpoint, DeleteGatewayEndpoint, DeleteGatewayEndpointTag,
    DetachModelFromGatewayEndpoint, GatewayEndpoint, GetGatewayEndpoint, ListGatewayEndpoints,
    SetGatewayEndpointTag, UpdateGatewayEndpoint, attach_model_to_gateway_endpoint, create_gateway_endpoint,
    delete_gateway_endpoint, delete_gateway_endpoint_tag, detach_model_from_gateway_endpoint,
    get_gateway_endpoint, list_gateway_endpoints, set_gateway_endpoint_tag, update_gateway_endpoint,
};

impl Request for CreateGatewayEndpoint {
    const SCHEMA: Schema = &[
        ("name", &[Required, Str]),
        ("created_by", &[Str]),
        ("model_configs", &[Required]),
        ("routing_strategy", &[Str]),
    ];
}

impl Request for GetGatewayEndpoint {
    const SCHEMA: Schema = &[("endpoint_id", &[Str]), ("name", &[Str])];
}

impl Request for UpdateGatewayEndpoint {
    const SCHEMA: Schema = &[
        ("endpoint_id", &[Required, Str]),
        ("name", &[Str]),
        ("updated_by", &[Str]),
        ("routing_strategy", &[Str]),
    ];
}

impl Request for DeleteGatewayEndpoint {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str])];
}

impl Request for ListGatewayEndpoints {
    const SCHEMA: Schema = &[("provider", &[Str])];
}

impl Request for AttachModelToGatewayEndpoint {
    const SCHEMA: Schema =
        &[("endpoint_id", &[Required, Str]), ("model_config", &[Required]), ("created_by", &[Str])];
}

impl Request for DetachModelFromGatewayEndpoint {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str]), ("model_definition_id", &[Required, Str])];
}

impl Request for SetGatewayEndpointTag {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str]), ("key", &[Required, Str]), ("value", &[Str])];
}

impl Request for DeleteGatewayEndpointTag {
    const SCHEMA: Schema = &[("endpoint_id", &[Required, Str]), ("key", &[Required, Str])];
}

/// `POST gateway/endpoints/create`. Upstream: `_create_gateway_endpoint`.
pub async fn create_gateway_endpoint(
    app: App,
    Proto(r): Proto<CreateGatewayEndpoint>,
) -> Reply<create_gateway_endpoint::Response> {
    let endpoint = app.store.create_gateway_endpoint(NewEndpoint::try_from(r)?).await?;
    reply::json(create_gateway_endpoint::Response { endpoint: Some(endpoint) })
}

/// `GET gateway/endpoints/get`. Upstream: `_get_gateway_endpoint`.
pub async fn get_gateway_endpoint(
    app: App,
    Proto(r): Proto<GetGatewayEndpoint>,
) -> Reply<get_gateway_endpoint::Response> {
    let endpoint = app
        .store
        .get_gateway_endpoint(given(r.endpoint_id).map(GatewayEndpointId::from), given(r.name))
        .await?;
    reply::json(get_gateway_endpoint::Response { endpoint: Some(endpoint) })
}

/// `POST gateway/endpoints/update`; empty fields stay unchanged. Upstream: `_update_gateway_endpoint`.
pub async fn update_gateway_endpoint(
    app: App,
    Proto(r): Proto<UpdateGatewayEndpoint>,
) -> Reply<update_gateway_endpoint::Response> {
    let endpoint = app.store.update_gateway_endpoint(EndpointUpdate::try_from(r)?).await?;
    reply::json(update_gateway_endpoint::Response { endpoint: Some(endpoint) })
}

/// `DELETE gateway/endpoints/delete`. Upstream: `_delete_gateway_endpoint`.
pub async fn delete_gateway_endpoint(
    app: App,
    Proto(r): Proto<DeleteGatewayEndpoint>,
) -> Reply<delete_gateway_endpoint::Response> {
    app.store.delete_gateway_endpoint(GatewayEndpointId::from(r.endpoint_id)).await?;
    reply::empty()
}

/// `GET gateway/endpoints/list`. Like stock it does not look at `secret_id`. Upstream: `_list_gateway_endpoints`.
pub async fn list_gateway_endpoints(
    app: App,
    Proto(r): Proto<ListGatewayEndpoints>,
) -> Reply<list_gateway_endpoints::Response> {
    let endpoints = app.store.list_gateway_endpoints(given(r.provider)).await?;
    reply::json(list_gateway_endpoints::Response { endpoints })
}

/// Endpoints as OpenAI's clients know models.
#[derive(Debug, Serialize)]
pub struct Models {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Debug, Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

/// `GET /gateway/mlflow/v1/models`. Upstream: `mlflow.server.gateway_api.list_models`.
pub async fn list_models(app: App) -> Reply<Models> {
    let endpoints = app.store.list_gateway_endpoints(None).await?;
    let model = |endpoint: GatewayEndpoint| Model {
        created: endpoint.created_at() / 1000,
        id: endpoint.name.unwrap_or_default(),
        object: "model",
        owned_by: "mlflow",
    };
    let mut data: Vec<Model> =
        endpoints.into_iter().filter(|endpoint| !endpoint.name().is_empty()).map(model).collect();
    data.sort_by(|a, b| a.id.cmp(&b.id));
    reply::json(Models { object: "list", data })
}

/// `POST gateway/endpoints/models/attach`. Upstream: `_attach_model_to_gateway_endpoint`.
pub async fn attach_model_to_endpoint(
    app: App,
    Proto(r): Proto<AttachModelToGatewayEndpoint>,
) -> Reply<attach_model_to_gateway_endpoint::Response> {
    let mapping = app.store.attach_model_to_endpoint(r).await?;
    reply::json(attach_model_to_gateway_endpoint::Response { mapping: Some(mapping) })
}

/// `POST gateway/endpoints/models/detach`. Upstream: `_detach_model_from_gateway_endpoint`.
pub async fn detach_model_from_endpoint(
    app: App,
    Proto(r): Proto<DetachModelFromGatewayEndpoint>,
) -> Reply<detach_model_from_gateway_endpoint::Response> {
    app.store.detach_model_from_endpoint(r).await?;
    reply::empty()
}

/// `POST gateway/endpoints/set-tag`. Upstream: `_set_gateway_endpoint_tag`.
pub async fn set_gateway_endpoint_tag(
    app: App,
    Proto(r): Proto<SetGatewayEndpointTag>,
) -> Reply<set_gateway_endpoint_tag::Response> {
    let tag = Tag { key: r.key.unwrap_or_default(), value: r.value.unwrap_or_default() };
    app.store.set_gateway_endpoint_tag(GatewayEndpointId::from(r.endpoint_id), tag).await?;
    reply::empty()
}

/// `DELETE gateway/endpoints/delete-tag`. Upstream: `_delete_gateway_endpoint_tag`.
pub async fn delete_gateway_endpoint_tag(
    app: App,
    Proto(r): Proto<DeleteGatewayEndpointTag>,
) -> Reply<delete_gateway_endpoint_tag::Response> {
    app.store
        .delete_gateway_endpoint_tag(GatewayEndpointId::from(r.endpoint_id), r.key.unwrap_or_default())
        .await?;
    reply::empty()
}
