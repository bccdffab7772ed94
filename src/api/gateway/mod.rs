//! The configuration of the AI gateway. It is kept for stock's gateway and for its interface; models are not asked
//! here (`unavailable.rs`).

pub mod bindings;
pub mod budgets;
pub mod endpoints;
pub mod guardrails;
pub mod model_definitions;
pub mod providers;
pub mod secrets;

use actix_web::web::{self, ServiceConfig};

use super::route::at;
use crate::config::Config;
use crate::domain::{Error, ErrorCode, Result};

/// The routes under `/ajax-api/3.0/mlflow/gateway`: those of the interface, and all others.
pub(super) fn ajax_routes(config: &Config, routes: &mut ServiceConfig) {
    if config.gateway.is_enabled {
        routes
            .service(at("/secrets/config").get(providers::get_secrets_config))
            .service(at("/supported-providers").get(providers::list_supported_providers))
            .service(at("/supported-models").get(providers::list_supported_models))
            .service(at("/provider-config").get(providers::get_provider_config));
    }
    self::routes(config, routes);
}

/// The routes under `/api/3.0/mlflow/gateway`.
pub(super) fn routes(config: &Config, routes: &mut ServiceConfig) {
    if !config.gateway.is_enabled {
        routes.default_service(web::to(refuse_all));
        return;
    }
    routes
        .configure(secret_routes)
        .configure(endpoint_routes)
        .configure(budget_routes)
        .configure(guardrail_routes);
}

/// The routes under `/gateway` that need no model.
pub(super) fn invocations(routes: &mut ServiceConfig) {
    routes.service(at("/mlflow/v1/models").get(endpoints::list_models));
}

/// Upstream: `_disable_if_gateway_disabled`.
async fn refuse_all() -> Result<web::Json<()>> {
    let message = "The AI Gateway feature is disabled. Set MLFLOW_ENABLE_AI_GATEWAY=true to enable it.";
    Err(Error::new(ErrorCode::NotImplemented, message))
}

fn secret_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/secrets/create").post(secrets::create_gateway_secret))
        .service(at("/secrets/get").get(secrets::get_gateway_secret))
        .service(at("/secrets/update").post(secrets::update_gateway_secret))
        .service(at("/secrets/delete").delete(secrets::delete_gateway_secret))
        .service(at("/secrets/list").get(secrets::list_gateway_secrets))
        .service(at("/model-definitions/create").post(model_definitions::create_gateway_model_definition))
        .service(at("/model-definitions/get").get(model_definitions::get_gateway_model_definition))
        .service(at("/model-definitions/list").get(model_definitions::list_gateway_model_definitions))
        .service(at("/model-definitions/update").post(model_definitions::update_gateway_model_definition))
        .service(at("/model-definitions/delete").delete(model_definitions::delete_gateway_model_definition));
}

fn endpoint_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/endpoints/create").post(endpoints::create_gateway_endpoint))
        .service(at("/endpoints/get").get(endpoints::get_gateway_endpoint))
        .service(at("/endpoints/update").post(endpoints::update_gateway_endpoint))
        .service(at("/endpoints/delete").delete(endpoints::delete_gateway_endpoint))
        .service(at("/endpoints/list").get(endpoints::list_gateway_endpoints))
        .service(at("/endpoints/models/attach").post(endpoints::attach_model_to_endpoint))
        .service(at("/endpoints/models/detach").post(endpoints::detach_model_from_endpoint))
        .service(at("/endpoints/set-tag").post(endpoints::set_gateway_endpoint_tag))
        .service(at("/endpoints/delete-tag").delete(endpoints::delete_gateway_endpoint_tag))
        .service(at("/endpoints/bindings/create").post(bindings::create_endpoint_binding))
        .service(at("/endpoints/bindings/delete").delete(bindings::delete_endpoint_binding))
        .service(at("/endpoints/bindings/list").get(bindings::list_endpoint_bindings));
}

fn budget_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/budgets/create").post(budgets::create_budget_policy))
        .service(at("/budgets/get").get(budgets::get_budget_policy))
        .service(at("/budgets/update").post(budgets::update_budget_policy))
        .service(at("/budgets/delete").delete(budgets::delete_budget_policy))
        .service(at("/budgets/list").get(budgets::list_budget_policies))
        .service(at("/budgets/windows").get(budgets::list_budget_windows));
}

fn guardrail_routes(routes: &mut ServiceConfig) {
    routes
        .service(at("/guardrails/create").post(guardrails::create_gateway_guardrail))
        .service(at("/guardrails/get").get(guardrails::get_gateway_guardrail))
        .service(at("/guardrails/delete").delete(guardrails::delete_gateway_guardrail))
        .service(at("/guardrails/list").get(guardrails::list_gateway_guardrails))
        .service(at("/guardrails/add-to-endpoint").post(guardrails::add_guardrail_to_endpoint))
        .service(at("/guardrails/remove-from-endpoint").delete(guardrails::remove_guardrail_from_endpoint))
        .service(at("/guardrails/list-for-endpoint").get(guardrails::list_endpoint_guardrail_configs))
        .service(at("/guardrails/update-config").patch(guardrails::update_endpoint_guardrail_config));
}
