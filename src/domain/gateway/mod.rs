//! The configuration of the AI gateway: what names, models and secrets must look like. How secrets are kept is in
//! `crypto.rs`, which providers there are in `providers.rs`, the windows of budgets in `budget.rs`.

pub mod budget;
pub mod crypto;
pub mod guardrail;
pub mod providers;

use std::collections::BTreeMap;

use super::{Error, Result};
use crate::proto::{
    CreateGatewayEndpoint, FallbackConfig, FallbackStrategy, GatewayEndpointModelConfig,
    GatewayModelLinkageType, RoutingStrategy, UpdateGatewayEndpoint,
};

/// The one kind of thing that can be bound to an endpoint.
const RESOURCE_TYPE: &str = "scorer";

/// A model to be attached to an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMapping {
    /// The model.
    pub model_definition_id: String,
    /// Whether it is asked first.
    pub linkage: GatewayModelLinkageType,
    /// Its share of the requests.
    pub weight: f64,
    /// Its place among those that are asked when others fail.
    pub fallback_order: Option<i32>,
}

impl NewMapping {
    /// Validates the model that stands at `location` of a request.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` without a linkage type. Upstream: `_assert_linkage_type_specified`.
    pub fn new(config: GatewayEndpointModelConfig, location: &str) -> Result<Self> {
        let linkage = config.linkage_type();
        if linkage == GatewayModelLinkageType::LinkageTypeUnspecified {
            return Err(Error::invalid(format!(
                "Invalid or missing value for required parameter 'linkage_type' in {location}. Must be one of: \
                 PRIMARY, FALLBACK."
            )));
        }
        Ok(Self {
            linkage,
            weight: config.weight.unwrap_or(1.0),
            fallback_order: config.fallback_order,
            model_definition_id: config.model_definition_id.unwrap_or_default(),
        })
    }

    fn list(configs: Vec<GatewayEndpointModelConfig>) -> Result<Vec<Self>> {
        let number = |(i, config)| Self::new(config, &format!("model_configs[{i}]"));
        configs.into_iter().enumerate().map(number).collect()
    }
}

/// What is done when a model fails: a known strategy or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// In which way others are tried.
    pub strategy: Option<FallbackStrategy>,
    /// How many of them.
    pub max_attempts: Option<i32>,
}

impl From<FallbackConfig> for Fallback {
    fn from(config: FallbackConfig) -> Self {
        let known = Some(config.strategy()).filter(|s| *s != FallbackStrategy::Unspecified);
        Self { strategy: known, max_attempts: config.max_attempts }
    }
}

/// A validated request for an endpoint.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its name.
    pub name: String,
    /// Its models; at least one.
    pub models: Vec<NewMapping>,
    /// Who asked for it.
    pub created_by: Option<String>,
    /// How requests are spread.
    pub routing: Option<RoutingStrategy>,
    /// What is done when a model fails.
    pub fallback: Option<Fallback>,
    /// Where traces of requests go; `None` is an experiment of its own if there are any.
    pub experiment_id: Option<String>,
    /// Whether requests are traced.
    pub usage_tracking: bool,
}

impl TryFrom<CreateGatewayEndpoint> for NewEndpoint {
    type Error = Error;

    /// Upstream: `_create_gateway_endpoint`.
    fn try_from(r: CreateGatewayEndpoint) -> Result<Self> {
        let routing = routing(r.routing_strategy());
        let name = r.name.unwrap_or_default();
        check_endpoint_name(&name)?;
        let models = NewMapping::list(r.model_configs)?;
        if models.is_empty() {
            return Err(Error::invalid("Endpoint must have at least one model configuration"));
        }
        Ok(Self {
            name,
            models,
            created_by: given(r.created_by),
            routing,
            fallback: r.fallback_config.map(Into::into),
            experiment_id: r.experiment_id,
            usage_tracking: r.usage_tracking.unwrap_or(true),
        })
    }
}

/// What is to change of an endpoint.
#[derive(Debug, Clone)]
pub struct EndpointUpdate {
    /// The endpoint.
    pub endpoint_id: String,
    /// Its new name.
    pub name: Option<String>,
    /// Its new models, instead of all old ones.
    pub models: Option<Vec<NewMapping>>,
    /// Who asked for it.
    pub updated_by: Option<String>,
    /// How requests are spread now.
    pub routing: Option<RoutingStrategy>,
    /// What is done now when a model fails.
    pub fallback: Option<Fallback>,
    /// Where traces of requests go now.
    pub experiment_id: Option<String>,
    /// Whether requests are traced now.
    pub usage_tracking: Option<bool>,
}

impl TryFrom<UpdateGatewayEndpoint> for EndpointUpdate {
    type Error = Error;

    /// Upstream: `_update_gateway_endpoint`.
    fn try_from(r: UpdateGatewayEndpoint) -> Result<Self> {
        let routing = routing(r.routing_strategy());
        let name = given(r.name);
        name.as_deref().map_or(Ok(()), check_endpoint_name)?;
        let models = NewMapping::list(r.model_configs)?;
        Ok(Self {
            endpoint_id: r.endpoint_id.unwrap_or_default(),
            name,
            models: (!models.is_empty()).then_some(models),
            updated_by: given(r.updated_by),
            routing,
            fallback: r.fallback_config.map(Into::into),
            experiment_id: r.experiment_id,
            usage_tracking: r.usage_tracking,
        })
    }
}

/// Returns a text that is there and not empty.
pub fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn routing(strategy: RoutingStrategy) -> Option<RoutingStrategy> {
    Some(strategy).filter(|s| *s != RoutingStrategy::Unspecified)
}

/// Upstream: `is_valid_endpoint_name`.
fn check_endpoint_name(name: &str) -> Result<()> {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid endpoint name '{name}'. Name can only contain letters, numbers, underscores, hyphens, and dots."
    )))
}

/// Checks what an endpoint is bound to. Differs: stock breaks over other kinds, with a 500.
pub fn check_resource_type(resource_type: &str) -> Result<()> {
    if resource_type == RESOURCE_TYPE {
        return Ok(());
    }
    Err(Error::invalid(format!("Invalid resource_type: '{resource_type}'. Must be one of: {RESOURCE_TYPE}.")))
}

/// Refuses values of a secret that would say where requests go.
///
/// Upstream: `_validate_gateway_secret_value`.
pub fn check_secret_value(values: &BTreeMap<String, String>) -> Result<()> {
    const RESERVED: [&str; 5] = ["api_base", "base_url", "custom_llm_provider", "fallbacks", "model_list"];
    let Some(found) = reserved(values, &RESERVED) else { return Ok(()) };
    Err(Error::invalid(format!(
        "secret_value must not contain {found}: these keys choose where the gateway sends requests. Set the upstream \
         with 'api_base' in auth_config, where it is validated."
    )))
}

/// Returns the settings of a secret without a blank `api_base`, and that address if there is one, still to be checked.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for other settings that would say where requests go. Upstream:
/// `_validate_gateway_secret_auth_config`.
pub fn normalize_auth_config(
    mut config: BTreeMap<String, String>,
) -> Result<(BTreeMap<String, String>, Option<String>)> {
    const RESERVED: [&str; 4] = ["base_url", "custom_llm_provider", "fallbacks", "model_list"];
    if let Some(found) = reserved(&config, &RESERVED) {
        return Err(Error::invalid(format!(
            "auth_config must not contain {found}: these LiteLLM options choose where the gateway sends requests. Set \
             the upstream with 'api_base', which is validated."
        )));
    }
    let address = config.remove("api_base").map(|base| base.trim().to_owned());
    let address = address.filter(|base| !base.is_empty());
    if let Some(base) = &address {
        config.insert("api_base".into(), base.clone());
    }
    Ok((config, address))
}

fn reserved(values: &BTreeMap<String, String>, names: &[&str]) -> Option<String> {
    let found: Vec<String> =
        names.iter().filter(|name| values.contains_key(**name)).map(|name| format!("'{name}'")).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(json: serde_json::Value) -> Result<NewEndpoint> {
        serde_json::from_value::<CreateGatewayEndpoint>(json).unwrap().try_into()
    }

    #[test]
    fn endpoints_need_a_name_and_models_that_say_what_they_are() {
        let model = json!({"model_definition_id": "d", "linkage_type": "PRIMARY"});
        let new = endpoint(json!({"name": "a.b-c_1", "model_configs": [model]})).unwrap();
        assert_eq!((new.usage_tracking, new.models[0].weight), (true, 1.0));
        for (request, want) in [
            (
                json!({"name": "a b", "model_configs": [model]}),
                "Invalid endpoint name 'a b'. Name can only contain letters, numbers, underscores, hyphens, and dots.",
            ),
            (
                json!({"name": "a", "model_configs": [model, {"model_definition_id": "d"}]}),
                "Invalid or missing value for required parameter 'linkage_type' in model_configs[1]. Must be one of: \
                 PRIMARY, FALLBACK.",
            ),
            (json!({"name": "a"}), "Endpoint must have at least one model configuration"),
        ] {
            assert_eq!(endpoint(request).unwrap_err().message, want);
        }
    }

    #[test]
    fn only_api_base_says_where_requests_go() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let refusal = check_secret_value(&map(&[("model_list", ""), ("api_base", "")])).unwrap_err();
        assert!(refusal.message.starts_with("secret_value must not contain 'api_base', 'model_list': "));
        assert!(check_secret_value(&map(&[("api_key", "k")])).is_ok());
        let refusal = normalize_auth_config(map(&[("base_url", "x"), ("api_base", "")])).unwrap_err();
        assert!(refusal.message.starts_with("auth_config must not contain 'base_url': "));
        let (config, address) =
            normalize_auth_config(map(&[("api_base", " https://h "), ("region", "x")])).unwrap();
        assert_eq!(address.as_deref(), Some("https://h"));
        assert_eq!(config, map(&[("api_base", "https://h"), ("region", "x")]));
        assert_eq!(normalize_auth_config(map(&[("api_base", "  ")])).unwrap(), (map(&[]), None));
    }
}
