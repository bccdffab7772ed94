//! Metadata for the interface: providers, their models and their credential fields. The models come from the
//! catalogue in MLflow's package, if it was fetched with the interface (`config.rs`).

use std::collections::BTreeMap;
use std::path::Path;

use actix_web::web::{self, Query};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::Error;
use crate::domain::gateway::providers::{AuthMode, Field, Policy};

/// Modes of models that answer with text or numbers; a model without a mode is one of them.
const MODES: [&str; 5] = ["chat", "completion", "embedding", "evaluation", "responses"];

/// The parameters of a question about one provider.
#[derive(Debug, Deserialize)]
pub struct OfProvider {
    provider: Option<String>,
}

/// The names of all providers.
#[derive(Debug, Serialize)]
pub struct Providers {
    providers: Vec<&'static str>,
}

/// How secrets are kept.
#[derive(Debug, Serialize)]
pub struct SecretsConfig {
    secrets_available: bool,
    using_default_passphrase: bool,
}

/// What a provider wants.
#[derive(Debug, Serialize)]
pub struct ProviderConfig {
    auth_modes: Vec<ShownMode>,
    default_mode: &'static str,
}

#[derive(Debug, Serialize)]
struct ShownMode {
    config_fields: Vec<ShownField>,
    description: &'static str,
    display_name: &'static str,
    mode: &'static str,
    secret_fields: Vec<ShownField>,
}

#[derive(Debug, Serialize)]
struct ShownField {
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    description: &'static str,
    name: &'static str,
    required: bool,
    r#type: &'static str,
}

/// The models of a provider, or of all.
#[derive(Debug, Serialize, Default)]
pub struct Models {
    models: Vec<Model>,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "the protocol's")]
struct Model {
    deprecation_date: Option<String>,
    input_cost_per_token: Option<f64>,
    last_updated_at: Option<String>,
    max_input_tokens: Option<i64>,
    max_output_tokens: Option<i64>,
    modality: Option<Value>,
    mode: Option<String>,
    model: String,
    output_cost_per_token: Option<f64>,
    provider: String,
    supports_function_calling: bool,
    supports_prompt_caching: bool,
    supports_reasoning: bool,
    supports_response_schema: bool,
    supports_vision: bool,
}

/// A file of the catalogue.
#[derive(Debug, Deserialize)]
struct CatalogFile {
    models: serde_json::Map<String, Value>,
}

/// A model in the catalogue.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Entry {
    mode: Option<String>,
    context_window: BTreeMap<String, Value>,
    pricing: BTreeMap<String, Value>,
    capabilities: BTreeMap<String, Value>,
    deprecation_date: Option<String>,
    last_updated_at: Option<String>,
}

/// `GET gateway/supported-providers`. Upstream: `_list_supported_providers`.
pub async fn list_supported_providers(app: App) -> Reply<Providers> {
    reply::json(Providers { providers: app.config.gateway.providers.providers() })
}

/// `GET gateway/provider-config`. Upstream: `_get_provider_config`.
pub async fn get_provider_config(app: App, Query(of): Query<OfProvider>) -> Reply<ProviderConfig> {
    let modes = app.config.gateway.providers.auth_modes(of.provider.as_deref())?;
    let default_mode = modes.first().map_or("", |mode| mode.mode);
    reply::json(ProviderConfig { auth_modes: modes.iter().map(shown).collect(), default_mode })
}

/// `GET gateway/secrets/config`. Upstream: `_get_secrets_config`.
pub async fn get_secrets_config(app: App) -> Reply<SecretsConfig> {
    let using_default_passphrase = app.config.gateway.secret_key.is_default();
    reply::json(SecretsConfig { secrets_available: true, using_default_passphrase })
}

/// `GET gateway/supported-models`. Upstream: `_list_supported_models`. Differs: without a catalogue there are none.
pub async fn list_supported_models(app: App, Query(of): Query<OfProvider>) -> Reply<Models> {
    let settings = &app.config.gateway;
    let Some(folder) = settings.model_catalog.clone() else { return reply::json(Models::default()) };
    let policy = settings.providers.clone();
    let wanted = of.provider.filter(|name| !name.is_empty());
    let models = web::block(move || load(&folder, &policy, wanted.as_deref())).await;
    reply::json(Models { models: models.map_err(Error::internal)? })
}

fn shown(mode: &AuthMode) -> ShownMode {
    let fields = |is_secret: bool| {
        mode.fields.iter().filter(|field| field.is_secret == is_secret).map(shown_field).collect()
    };
    ShownMode {
        config_fields: fields(false),
        description: mode.description,
        display_name: mode.display_name,
        mode: mode.mode,
        secret_fields: fields(true),
    }
}

const fn shown_field(field: &Field) -> ShownField {
    let Field { name, description, default, is_required, .. } = *field;
    ShownField { default, description, name, required: is_required, r#type: "string" }
}

/// Reads the catalogue files of the wanted and allowed providers; missing ones list nothing.
fn load(folder: &Path, policy: &Policy, wanted: Option<&str>) -> Vec<Model> {
    let providers = policy.providers();
    let providers = providers.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name));
    providers.flat_map(|provider| load_one(folder, provider)).collect()
}

fn load_one(folder: &Path, provider: &str) -> Vec<Model> {
    let bytes = std::fs::read(folder.join(format!("{provider}.json"))).unwrap_or_default();
    let Ok(file) = serde_json::from_slice::<CatalogFile>(&bytes) else { return Vec::new() };
    let mut models: Vec<Model> = Vec::new();
    for (name, entry) in file.models {
        let entry: Entry = serde_json::from_value(entry).unwrap_or_default();
        let name = name.strip_prefix(&format!("{provider}/")).unwrap_or(&name);
        let is_fine_tuned = name.starts_with("ft:");
        let is_known = entry.mode.as_deref().is_none_or(|mode| MODES.contains(&mode));
        if is_known && !is_fine_tuned && models.iter().all(|model| model.model != name) {
            models.push(Model::new(name, provider, entry));
        }
    }
    models
}

impl Model {
    /// Upstream: `_flatten_catalog_entry`.
    fn new(name: &str, provider: &str, entry: Entry) -> Self {
        let can = |what: &str| entry.capabilities.get(what).and_then(Value::as_bool).unwrap_or_default();
        let price = |what: &str| Some(entry.pricing.get(what)?.as_f64()? / 1_000_000.0);
        let size = |what: &str| entry.context_window.get(what)?.as_i64();
        Self {
            input_cost_per_token: price("input_per_million_tokens"),
            max_input_tokens: size("max_input"),
            max_output_tokens: size("max_output"),
            modality: entry
                .pricing
                .get("modality")
                .filter(|m| m.as_object().is_some_and(|m| !m.is_empty()))
                .cloned(),
            model: name.to_owned(),
            output_cost_per_token: price("output_per_million_tokens"),
            provider: provider.to_owned(),
            supports_function_calling: can("function_calling"),
            supports_prompt_caching: can("prompt_caching"),
            supports_reasoning: can("reasoning"),
            supports_response_schema: can("response_schema"),
            supports_vision: can("vision"),
            mode: entry.mode,
            deprecation_date: entry.deprecation_date,
            last_updated_at: entry.last_updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_catalogue_is_read_as_stock_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let models = json!({"models": {
            "openai/a": {"mode": "chat", "context_window": {"max_input": 10}, "pricing": {"input_per_million_tokens": 2.0},
                "capabilities": {"vision": true}, "last_updated_at": "2026-01-01"},
            "a": {"mode": "chat"},
            "pictures": {"mode": "image_generation"},
            "ft:a": {"mode": "chat"},
            "b": {},
        }});
        std::fs::write(folder.path().join("openai.json"), models.to_string()).unwrap();
        let found = load(folder.path(), &Policy::default(), Some("openai"));
        assert_eq!(found.iter().map(|m| m.model.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((found[0].max_input_tokens, found[0].supports_vision), (Some(10), true));
        assert_eq!(found[0].input_cost_per_token, Some(2e-6));
        assert_eq!(load(folder.path(), &Policy::default(), None).len(), 2);
        assert!(load(folder.path(), &Policy::default(), Some("nobody")).is_empty());
        assert!(load(folder.path(), &Policy::parse(Some("azure")), None).is_empty());
    }
}
