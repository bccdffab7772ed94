//! The providers that models can be of, and what each wants to be given. Names, fields and defaults are stock's,
//! since its interface and its gateway know them by these; the explanations are our own.
//!
//! Upstream: `mlflow.utils.providers`.

use crate::domain::{Error, Result};

/// Every provider, sorted.
const PROVIDERS: [&str; 97] = [
    "ai21",
    "aihubmix",
    "aiml",
    "aleph_alpha",
    "amazon_nova",
    "anthropic",
    "anyscale",
    "azure",
    "azure_ai",
    "azure_text",
    "baseten",
    "bedrock",
    "bedrock_mantle",
    "black_forest_labs",
    "cerebras",
    "chatgpt",
    "cloudflare",
    "codestral",
    "cognition",
    "cohere",
    "cohere_chat",
    "crusoe",
    "cursor",
    "darkbloom",
    "dashscope",
    "databricks",
    "deepinfra",
    "deepseek",
    "fal_ai",
    "featherless_ai",
    "fireworks_ai",
    "fireworks_ai-embedding-models",
    "friendliai",
    "gemini",
    "gigachat",
    "github_copilot",
    "gmi",
    "gradient_ai",
    "groq",
    "heroku",
    "hyperbolic",
    "inception",
    "lambda_ai",
    "lemonade",
    "libertai",
    "llamagate",
    "meta",
    "meta_llama",
    "minimax",
    "mistral",
    "moonshot",
    "morph",
    "nebius",
    "nlp_cloud",
    "novita",
    "nscale",
    "oci",
    "ollama",
    "openai",
    "openrouter",
    "ovhcloud",
    "palm",
    "perplexity",
    "pinstripes",
    "portkey",
    "prism",
    "publicai",
    "qwen_ai_platform",
    "qwencloud",
    "recraft",
    "replicate",
    "runwayml",
    "sagemaker",
    "sail",
    "sambanova",
    "sarvam",
    "scaleway",
    "scx-ai",
    "snowflake",
    "stability",
    "tencent",
    "tensormesh",
    "text-completion-codestral",
    "text-completion-inception",
    "text-completion-openai",
    "together_ai",
    "typesafe",
    "v0",
    "vercel_ai_gateway",
    "vertex_ai",
    "volcengine",
    "voyage",
    "wandb",
    "watsonx",
    "xai",
    "xiaomi_mimo",
    "zai",
];

/// Providers that share the ways of another one.
const LIKE_BEDROCK: [&str; 2] = ["bedrock", "bedrock_converse"];

/// A value that a provider wants.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key in a secret.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Whether it is kept encrypted.
    pub is_secret: bool,
    /// Whether nothing works without.
    pub is_required: bool,
    /// What it is when it is left out.
    pub default: Option<&'static str>,
}

/// A way to prove who asks. The first of a provider is the one that is proposed.
#[derive(Debug, Clone, Copy)]
pub struct AuthMode {
    /// Its key in a secret.
    pub mode: &'static str,
    /// What people call it.
    pub display_name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// What it wants.
    pub fields: &'static [Field],
}

const fn secret(name: &'static str, description: &'static str) -> Field {
    Field { name, description, is_secret: true, is_required: true, default: None }
}

const fn setting(name: &'static str, description: &'static str) -> Field {
    Field { name, description, is_secret: false, is_required: true, default: None }
}

const fn optional(field: Field) -> Field {
    Field { is_required: false, ..field }
}

const API_KEY: Field = secret("api_key", "Key of the API");
const API_BASE: Field = setting("api_base", "Address of the API");
const ACCESS_KEY: Field = secret("aws_access_key_id", "Id of the AWS access key");
const SECRET_KEY: Field = secret("aws_secret_access_key", "AWS secret access key");
const REGION: Field = setting("aws_region_name", "AWS region, as in us-east-1");
const ROLE: Field = setting("aws_role_name", "ARN of the IAM role to act as");
const SESSION: Field = optional(setting("aws_session_name", "Name of the session in that role"));
const PROJECT: Field = setting("vertex_project", "Google Cloud project");
const LOCATION: Field = Field {
    default: Some("us-central1"),
    ..optional(setting("vertex_location", "Google Cloud region, as in us-central1"))
};

const ACCESS_KEYS: &str = "Access Keys";
const ACCESS_KEYS_TEXT: &str = "An AWS access key of its own";
const IAM_ROLE: &str = "IAM Role Assumption";
const DEFAULT_CHAIN: &str = "Default Credential Chain";
const DEFAULT_CHAIN_TEXT: &str = "What the gateway's machine has of AWS credentials";

const SIMPLE: &[AuthMode] = &[api_key(&[API_KEY, optional(API_BASE)])];

const BEDROCK: &[AuthMode] = &[
    api_key(&[API_KEY, REGION]),
    AuthMode {
        mode: "access_keys",
        display_name: ACCESS_KEYS,
        description: ACCESS_KEYS_TEXT,
        fields: &[ACCESS_KEY, SECRET_KEY, optional(REGION)],
    },
    AuthMode {
        mode: "iam_role",
        display_name: IAM_ROLE,
        description: "An IAM role, entered with the credentials of the gateway's machine",
        fields: &[ROLE, optional(REGION)],
    },
    AuthMode {
        mode: "default_chain",
        display_name: DEFAULT_CHAIN,
        description: DEFAULT_CHAIN_TEXT,
        fields: &[optional(ROLE), SESSION, optional(REGION)],
    },
];

const SAGEMAKER: &[AuthMode] = &[
    AuthMode {
        mode: "access_keys",
        display_name: ACCESS_KEYS,
        description: ACCESS_KEYS_TEXT,
        fields: &[ACCESS_KEY, SECRET_KEY, REGION],
    },
    AuthMode {
        mode: "iam_role",
        display_name: IAM_ROLE,
        description: "An IAM role, entered with an AWS access key",
        fields: &[ACCESS_KEY, SECRET_KEY, ROLE, SESSION, REGION],
    },
    AuthMode {
        mode: "default_chain",
        display_name: DEFAULT_CHAIN,
        description: DEFAULT_CHAIN_TEXT,
        fields: &[optional(ROLE), SESSION, optional(REGION)],
    },
];

const AZURE: &[AuthMode] =
    &[api_key(&[API_KEY, API_BASE, setting("api_version", "Version of the API, as in 2024-02-01")])];

const VERTEX_AI: &[AuthMode] = &[
    AuthMode {
        mode: "service_account_json",
        display_name: "Service Account JSON",
        description: "The key file of a Google Cloud service account",
        fields: &[secret("vertex_credentials", "Content of the key file, JSON"), PROJECT, LOCATION],
    },
    AuthMode {
        mode: "default_chain",
        display_name: "Application Default Credentials",
        description: "What the gateway's machine has of Google Cloud credentials",
        fields: &[PROJECT, LOCATION],
    },
];

const DATABRICKS: &[AuthMode] = &[
    AuthMode {
        mode: "pat_token",
        display_name: "Personal Access Token",
        description: "A personal access token",
        fields: &[secret("api_key", "The token"), setting("api_base", "Address of the workspace")],
    },
    AuthMode {
        mode: "oauth_m2m",
        display_name: "OAuth M2M (Service Principal)",
        description: "OAuth between machines, for a service principal",
        fields: &[
            secret("client_secret", "Secret of the OAuth client"),
            setting("api_base", "Address of the workspace"),
            setting("client_id", "Id of the OAuth client"),
        ],
    },
];

const PORTKEY: &[AuthMode] = &[api_key(&[
    API_KEY,
    optional(setting(
        "portkey_provider",
        "Provider that requests go on to: its slug, with @ for one of the catalog",
    )),
    optional(secret(
        "portkey_config",
        "Configuration: its id or its JSON, which may hold keys of other providers",
    )),
    optional(secret("provider_api_key", "Key of the provider, when Portkey does not keep it")),
    optional(API_BASE),
])];

const fn api_key(fields: &'static [Field]) -> AuthMode {
    AuthMode { mode: "api_key", display_name: "API Key", description: "A key of the provider's API", fields }
}

/// Which providers may be used: all, or those that were listed.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allowed: Option<Vec<String>>,
}

impl Policy {
    /// Reads a list with commas; an empty one allows all.
    ///
    /// Upstream: `_parse_provider_list`.
    pub fn parse(list: Option<&str>) -> Self {
        let names = list.unwrap_or_default().split(',').map(|name| canonical(&name.trim().to_lowercase()));
        let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        Self { allowed: (!names.is_empty()).then_some(names) }
    }

    /// Says whether a provider may be used.
    pub fn allows(&self, provider: &str) -> bool {
        let name = canonical(&provider.to_lowercase());
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&name))
    }

    /// Returns the providers that may be used, sorted.
    pub fn providers(&self) -> Vec<&'static str> {
        PROVIDERS.into_iter().filter(|name| self.allows(name)).collect()
    }

    /// Returns what a provider wants, also for one that is not known.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for no provider and for one that may not be used. Upstream:
    /// `get_provider_config_response`.
    pub fn auth_modes(&self, provider: Option<&str>) -> Result<&'static [AuthMode]> {
        let provider = provider.filter(|name| !name.is_empty());
        let provider = provider.ok_or_else(|| Error::invalid("Provider parameter is required"))?;
        if !self.allows(provider) {
            return Err(Error::invalid(format!(
                "Provider '{provider}' is not allowed by the current gateway provider policy."
            )));
        }
        let name = canonical(&provider.to_lowercase());
        Ok(match name.as_str() {
            name if LIKE_BEDROCK.contains(&name) => BEDROCK,
            "azure" => AZURE,
            "databricks" => DATABRICKS,
            "portkey" => PORTKEY,
            "sagemaker" => SAGEMAKER,
            "vertex_ai" => VERTEX_AI,
            _ => SIMPLE,
        })
    }
}

/// Upstream: `normalize_provider_name`.
fn canonical(name: &str) -> String {
    match name {
        "amazon-bedrock" => "bedrock",
        "databricks-model-serving" => "databricks",
        name => name,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_allowed_or_those_of_the_list() {
        let all = Policy::parse(Some(" , "));
        assert_eq!(all.providers(), PROVIDERS);
        assert!(PROVIDERS.is_sorted());
        let some = Policy::parse(Some("OpenAI, amazon-bedrock,nobody"));
        assert_eq!(some.providers(), ["bedrock", "openai"]);
        assert!(some.allows("Amazon-Bedrock") && !some.allows("anthropic"));
        let refusal = some.auth_modes(Some("anthropic")).unwrap_err();
        assert_eq!(
            refusal.message,
            "Provider 'anthropic' is not allowed by the current gateway provider policy."
        );
        assert_eq!(all.auth_modes(Some("")).unwrap_err().message, "Provider parameter is required");
    }

    #[test]
    fn providers_without_ways_of_their_own_want_a_key() {
        for (provider, modes) in [
            ("openai", &["api_key"][..]),
            ("nobody", &["api_key"]),
            ("Bedrock_Converse", &["api_key", "access_keys", "iam_role", "default_chain"]),
            ("databricks-model-serving", &["pat_token", "oauth_m2m"]),
        ] {
            let found = Policy::default().auth_modes(Some(provider)).unwrap();
            assert_eq!(found.iter().map(|mode| mode.mode).collect::<Vec<_>>(), modes, "{provider}");
        }
    }
}
