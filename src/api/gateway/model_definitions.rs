//! Model definitions: models of providers, with the secrets they are asked with.

use crate::api::extract::Check::{Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::ModelDefinitionId;
use crate::proto::{
    CreateGatewayModelDefinition, DeleteGatewayModelDefinition, GetGatewayModelDefinition,
    ListGatewayModelDefinitions, UpdateGatewayModelDefinition, create_gateway_model_definition,
    delete_gateway_model_definition, get_gateway_model_definition, list_gateway_model_definitions,
    update_gateway_model_definition,
};

impl Request for CreateGatewayModelDefinition {
    const SCHEMA: Schema = &[
        ("name", &[Str, Required]),
        ("secret_id", &[Str, Required]),
        ("provider", &[Str, Required]),
        ("model_name", &[Str, Required]),
        ("created_by", &[Str]),
    ];
}

impl Request for GetGatewayModelDefinition {
    const SCHEMA: Schema = &[("model_definition_id", &[Str, Required])];
}

impl Request for ListGatewayModelDefinitions {
    const SCHEMA: Schema = &[("provider", &[Str]), ("secret_id", &[Str])];
}

impl Request for UpdateGatewayModelDefinition {
    const SCHEMA: Schema = &[
        ("model_definition_id", &[Str, Required]),
        ("name", &[Str]),
        ("secret_id", &[Str]),
        ("model_name", &[Str]),
        ("updated_by", &[Str]),
        ("provider", &[Str]),
    ];
}

impl Request for DeleteGatewayModelDefinition {
    const SCHEMA: Schema = &[("model_definition_id", &[Str, Required])];
}

/// `POST gateway/model-definitions/create`. Upstream: `_create_gateway_model_definition`.
pub async fn create_gateway_model_definition(
    app: App,
    Proto(r): Proto<CreateGatewayModelDefinition>,
) -> Reply<create_gateway_model_definition::Response> {
    let definition = app.store.create_gateway_model_definition(r).await?;
    reply::json(create_gateway_model_definition::Response { model_definition: Some(definition) })
}

/// `GET gateway/model-definitions/get`. Upstream: `_get_gateway_model_definition`.
pub async fn get_gateway_model_definition(
    app: App,
    Proto(r): Proto<GetGatewayModelDefinition>,
) -> Reply<get_gateway_model_definition::Response> {
    let id = ModelDefinitionId::from(r.model_definition_id);
    let definition = app.store.get_gateway_model_definition(id).await?;
    reply::json(get_gateway_model_definition::Response { model_definition: Some(definition) })
}

/// `GET gateway/model-definitions/list`. Upstream: `_list_gateway_model_definitions`.
pub async fn list_gateway_model_definitions(
    app: App,
    Proto(r): Proto<ListGatewayModelDefinitions>,
) -> Reply<list_gateway_model_definitions::Response> {
    let model_definitions = app.store.list_gateway_model_definitions(r).await?;
    reply::json(list_gateway_model_definitions::Response { model_definitions })
}

/// `POST gateway/model-definitions/update`; empty fields stay unchanged. Upstream:
/// `_update_gateway_model_definition`.
pub async fn update_gateway_model_definition(
    app: App,
    Proto(r): Proto<UpdateGatewayModelDefinition>,
) -> Reply<update_gateway_model_definition::Response> {
    let definition = app.store.update_gateway_model_definition(r).await?;
    reply::json(update_gateway_model_definition::Response { model_definition: Some(definition) })
}

/// `DELETE gateway/model-definitions/delete`. Upstream: `_delete_gateway_model_definition`.
pub async fn delete_gateway_model_definition(
    app: App,
    Proto(r): Proto<DeleteGatewayModelDefinition>,
) -> Reply<delete_gateway_model_definition::Response> {
    app.store.delete_gateway_model_definition(ModelDefinitionId::from(r.model_definition_id)).await?;
    reply::empty()
}
