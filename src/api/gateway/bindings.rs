//! Bindings: what uses which endpoint.

use crate::api::extract::Check::{Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::proto::{
    CreateGatewayEndpointBinding, DeleteGatewayEndpointBinding, ListGatewayEndpointBindings,
    create_gateway_endpoint_binding, delete_gateway_endpoint_binding, list_gateway_endpoint_bindings,
};

impl Request for CreateGatewayEndpointBinding {
    const SCHEMA: Schema = &[
        ("endpoint_id", &[Required, Str]),
        ("resource_type", &[Required, Str]),
        ("resource_id", &[Required, Str]),
        ("created_by", &[Str]),
    ];
}

impl Request for DeleteGatewayEndpointBinding {
    const SCHEMA: Schema = &[
        ("endpoint_id", &[Required, Str]),
        ("resource_type", &[Required, Str]),
        ("resource_id", &[Required, Str]),
    ];
}

impl Request for ListGatewayEndpointBindings {
    const SCHEMA: Schema = &[("endpoint_id", &[Str]), ("resource_type", &[Str]), ("resource_id", &[Str])];
}

/// `POST gateway/endpoints/bindings/create`. Upstream: `_create_gateway_endpoint_binding`.
pub async fn create_endpoint_binding(
    app: App,
    Proto(r): Proto<CreateGatewayEndpointBinding>,
) -> Reply<create_gateway_endpoint_binding::Response> {
    let binding = app.store.create_endpoint_binding(r).await?;
    reply::json(create_gateway_endpoint_binding::Response { binding: Some(binding) })
}

/// `DELETE gateway/endpoints/bindings/delete`. Upstream: `_delete_gateway_endpoint_binding`.
pub async fn delete_endpoint_binding(
    app: App,
    Proto(r): Proto<DeleteGatewayEndpointBinding>,
) -> Reply<delete_gateway_endpoint_binding::Response> {
    app.store.delete_endpoint_binding(r).await?;
    reply::empty()
}

/// `GET gateway/endpoints/bindings/list`. Upstream: `_list_gateway_endpoint_bindings`.
pub async fn list_endpoint_bindings(
    app: App,
    Proto(r): Proto<ListGatewayEndpointBindings>,
) -> Reply<list_gateway_endpoint_bindings::Response> {
    let bindings = app.store.list_endpoint_bindings(r).await?;
    reply::json(list_gateway_endpoint_bindings::Response { bindings })
}
