//! Every setting of the server as plain data. The command line and the environment fill it
//! (`cli/server.rs`); tests build it from [`Config::default`]. `docs/configuration.md` has the same settings as tables.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::gateway::crypto::KeyEncryptionKey;
use crate::domain::gateway::providers::Policy;
use crate::domain::validate::Limits;
use crate::domain::webhook::fernet::FernetKey;

/// The version of MLflow whose protocol and database this server has.
pub const MLFLOW_VERSION: &str = "3.17.2";

/// The settings of a running server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database of experiments, runs and models, as an SQLAlchemy-style URI.
    pub backend_store_uri: StoreUri,
    /// Where new experiments keep their artifacts. Only experiments made from now on follow it.
    pub default_artifact_root: String,
    /// Whether the server proxies artifacts. Without it clients need access to the artifact store.
    pub serve_artifacts: bool,
    /// Whether the server only proxies artifacts; the database is then never opened.
    pub artifacts_only: bool,
    /// Where proxied artifacts are stored.
    pub artifacts_destination: String,
    /// How object stores are reached.
    pub environment: Environment,
    /// The lifetime of presigned download URLs. Too short and slow downloads cannot begin their last parts;
    /// too long and a leaked URL works on.
    pub presigned_download_ttl: Duration,
    /// Schemes whose artifact URIs may name any host. Each opens SSRF: clients choose hosts the server
    /// connects to.
    pub allowed_artifact_schemes: Vec<String>,
    /// The limits on what clients may send.
    pub limits: Limits,
    /// How webhooks are reached.
    pub webhooks: WebhookSettings,
    /// Settings of the AI gateway.
    pub gateway: GatewaySettings,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The prefix of every path: empty, or begins with a slash and does not end with one.
    pub static_prefix: String,
    /// HTTP worker threads. More than there are cores only costs memory.
    pub workers: usize,
    /// The access rules; `None` disables every check and every security header.
    pub security: Option<Security>,
    /// Whether `/metrics` exists.
    pub expose_prometheus: bool,
    /// The folder of the user interface, if there is one.
    pub ui_dir: Option<PathBuf>,
    /// How the log looks and what goes into it.
    pub log: LogSettings,
    /// How the database is used.
    pub database: DatabaseSettings,
    /// The graceful shutdown timeout for open requests. Too short and slow uploads are cut; too long and
    /// whoever stops the server kills it first (Kubernetes after 30 s).
    pub shutdown_timeout: Duration,
    /// The keep-alive timeout. Shorter than a load balancer's own and that balancer sends requests into
    /// closing connections, which clients see as 502.
    pub keep_alive: Duration,
    /// The size limit of a body held in memory, in bytes, also when decompressed. Too low and big exports are
    /// refused with 413. Artifacts are streamed and not limited.
    pub json_limit_bytes: usize,
    /// The memory budget of bodies in flight and of responses being written, in bytes. Too low and large
    /// requests are refused with 413, or with 503 when several come at once; too high and they exhaust it.
    pub memory_limit_bytes: usize,
    /// The slow-client timeout, on sending and reading. Too short and clients behind bad lines are cut; too
    /// long and idle ones keep memory from the others.
    pub slow_client_timeout: Duration,
    /// The deadline for receiving a body that is held in memory, however steadily it comes.
    pub body_timeout: Duration,
}

impl Default for Config {
    /// The settings of a server started without flags, except that it listens on a free port.
    fn default() -> Self {
        Self {
            backend_store_uri: StoreUri::new("sqlite:///mlflow.db"),
            default_artifact_root: "mlflow-artifacts:/".into(),
            serve_artifacts: true,
            artifacts_only: false,
            artifacts_destination: "./mlartifacts".into(),
            environment: Environment::default(),
            presigned_download_ttl: Duration::from_mins(5),
            allowed_artifact_schemes: Vec::new(),
            limits: Limits::default(),
            webhooks: WebhookSettings::default(),
            gateway: GatewaySettings::default(),
            host: "127.0.0.1".into(),
            port: 0,
            static_prefix: String::new(),
            workers: 1,
            security: Some(Security::default()),
            expose_prometheus: false,
            ui_dir: None,
            log: LogSettings::default(),
            database: DatabaseSettings::default(),
            shutdown_timeout: Duration::from_secs(25),
            keep_alive: Duration::from_secs(75),
            json_limit_bytes: 128 * 1024 * 1024,
            memory_limit_bytes: 1024 * 1024 * 1024,
            slow_client_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_mins(10),
        }
    }
}

/// The environment variables of the cloud SDKs: AWS's, Google's and Azure's, and MLflow's about S3 and other
/// MLflow servers. Their names are fixed by others, so they are kept verbatim. Debug output redacts their
/// values.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// Prefixes of the kept variables.
    const PREFIXES: [&str; 10] = [
        "AWS_",
        "AZURE_",
        "GOOGLE_",
        "IDENTITY_",
        "MLFLOW_BOTO_",
        "MLFLOW_EXPERIMENTAL_S3_",
        "MLFLOW_S3_",
        "MLFLOW_TRACKING_",
        "REQUESTS_CA_BUNDLE",
        "STORAGE_EMULATOR_HOST",
    ];

    /// Returns the value of a variable, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Says whether a variable is true by MLflow's rules in Python.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1"))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let is_kept =
            |name: &str| name == "HOME" || Self::PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        Self(variables.into_iter().filter(|(name, _)| is_kept(name)).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.keys().collect();
        names.sort();
        f.debug_set().entries(names).finish()
    }
}

/// Access rules and security headers.
///
/// Upstream: `mlflow.server.fastapi_security`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Patterns for the `Host` header; empty stands for local and private addresses. Too narrow and the server
    /// refuses its own name with 403; `*` opens it to DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// Origins, besides local ones, whose pages may read and write here. `*` lets any website read.
    pub cors_allowed_origins: Vec<String>,
    /// The value of `X-Frame-Options`; `None` leaves the header out, so that any page may frame this one.
    pub x_frame_options: Option<String>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            cors_allowed_origins: Vec::new(),
            x_frame_options: Some("SAMEORIGIN".into()),
        }
    }
}

/// How the log looks and what goes into it.
#[derive(Debug, Clone, Default)]
pub struct LogSettings {
    /// Plain lines for people, or one JSON object a line for machines.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`; `None` is `info`. `debug` costs noticeable time per
    /// request.
    pub filter: Option<String>,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// `2026-01-31T12:00:00Z  INFO …`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How the database is used. `None` leaves the choice to the store.
#[derive(Debug, Clone, Default)]
pub struct DatabaseSettings {
    /// Database threads, each with one connection of its own.
    pub threads: Option<usize>,
    /// The queue limit for database threads; above it requests are refused with 503.
    pub queue: Option<usize>,
    /// When SQLite calls `fsync`.
    pub sqlite_synchronous: Option<SqliteSynchronous>,
    /// The statement timeout on PostgreSQL; zero is no limit.
    pub statement_timeout: Option<Duration>,
    /// The startup timeout for PostgreSQL to accept connections; zero tries once. Too short and a server that
    /// is started together with its database gives up; too long and a mistake is only seen in the log.
    pub start_timeout: Option<Duration>,
    /// The maximum age of a connection to PostgreSQL; `None` is no limit.
    pub recycle: Option<Duration>,
    /// The pooler before PostgreSQL, if any.
    pub pooler: PostgresPooler,
}

/// The pooler between server and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum PostgresPooler {
    /// Found out for every connection.
    #[default]
    Auto,
    /// Nothing, or what leaves each connection its session: statements are prepared once.
    None,
    /// What may hand out another session for every transaction: nothing is kept in one.
    Transaction,
}

/// When SQLite calls `fsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SqliteSynchronous {
    /// At every commit: what was acknowledged survives a power failure.
    Full,
    /// At checkpoints: several times faster writes; a power failure can lose the last of them. A crash of
    /// the server alone loses nothing.
    Normal,
}

/// How webhooks are reached. The names are those of `MLFLOW_WEBHOOK_…`.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Schemes that URLs may have.
    pub allowed_schemes: Vec<String>,
    /// Whether URLs may lead to private addresses. Opens SSRF to whoever makes webhooks.
    pub allow_private_ips: bool,
    /// The request timeout. Too high and dead receivers keep others waiting.
    pub request_timeout: Duration,
    /// How often a request is retried after a transient failure.
    pub max_retries: u32,
    /// Requests at a time.
    pub max_workers: usize,
    /// The encryption key of secrets.
    pub secret_key: Option<FernetKey>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            allowed_schemes: vec!["https".into()],
            allow_private_ips: false,
            request_timeout: Duration::from_secs(30),
            max_retries: 3,
            max_workers: 10,
            secret_key: None,
        }
    }
}

/// The rules of the SSRF guard for URLs other than webhooks'.
#[derive(Debug, Clone)]
pub struct TargetRules {
    /// Schemes that they may have.
    pub allowed_schemes: Vec<String>,
    /// Whether they may lead to private addresses.
    pub allow_private_ips: bool,
}

impl Default for TargetRules {
    fn default() -> Self {
        Self { allowed_schemes: vec!["https".into()], allow_private_ips: false }
    }
}

/// Settings of the AI gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Whether there is such a configuration. The names are those of `MLFLOW_ENABLE_AI_GATEWAY` and
    /// `MLFLOW_GATEWAY_…`.
    pub is_enabled: bool,
    /// The key encryption key of secrets, from `MLFLOW_CRYPTO_KEK_…`. Stock cannot decrypt secrets with
    /// another key.
    pub secret_key: KeyEncryptionKey,
    /// Which providers may be used.
    pub providers: Policy,
    /// SSRF guard for their addresses.
    pub api_base: TargetRules,
    /// The folder of the model catalogue, a file for each provider; `None` lists no models.
    pub model_catalog: Option<PathBuf>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            is_enabled: true,
            secret_key: KeyEncryptionKey::default(),
            providers: Policy::default(),
            api_base: TargetRules::default(),
            model_catalog: None,
        }
    }
}

/// A database URI whose password is redacted when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUri(String);

impl StoreUri {
    /// Wraps `uri` as it is.
    pub fn new(uri: impl Into<String>) -> Self {
        Self(uri.into())
    }

    /// Returns the URI with its password. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redact(&self.0))
    }
}

/// Redacts the password in the user part of `uri`, and those given as parameters, by `***`.
fn redact(uri: &str) -> String {
    let (base, query) = uri.split_once('?').map_or((uri, None), |(base, query)| (base, Some(query)));
    // The last @ ends the user part: a password may hold an unescaped one.
    let base = match base.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)))
    {
        Some((scheme, (user, host))) => {
            let name = user.split_once(':').map_or(user, |(name, _password)| name);
            let password = if name.len() == user.len() { "" } else { ":***" };
            format!("{scheme}://{name}{password}@{host}")
        }
        None => base.to_owned(),
    };
    let Some(query) = query else { return base };
    // An unescaped ? in a password makes its rest look like a query.
    if query.contains('@') {
        return format!("{}://***", base.split("://").next().unwrap_or_default());
    }
    let parameters: Vec<_> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _secret)) if key.contains("password") => format!("{key}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{base}?{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_kept_and_not_shown() {
        let variables =
            [("AWS_SECRET_ACCESS_KEY", "secret"), ("MLFLOW_S3_IGNORE_TLS", "True"), ("PATH", "/bin")];
        let environment: Environment =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(environment.get("AWS_SECRET_ACCESS_KEY"), Some("secret"));
        assert_eq!(environment.get("PATH"), None);
        assert!(environment.is_on("MLFLOW_S3_IGNORE_TLS"));
        let shown = format!("{environment:?}");
        assert_eq!(shown, r#"{"AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_IGNORE_TLS"}"#);
    }

    #[test]
    fn passwords_do_not_show() {
        for (uri, want) in [
            ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
            ("postgresql://u:secret@h:5432/d", "postgresql://u:***@h:5432/d"),
            ("postgresql://u:se@cret@h/d", "postgresql://u:***@h/d"),
            ("postgresql://u:se?c@h/d", "postgresql://***"),
            ("postgresql+psycopg2://u@h/d?sslmode=require", "postgresql+psycopg2://u@h/d?sslmode=require"),
            (
                "postgresql://h/d?user=a&password=secret&sslpassword=x",
                "postgresql://h/d?user=a&password=***&sslpassword=***",
            ),
        ] {
            assert_eq!(StoreUri::new(uri).to_string(), want);
            assert_eq!(format!("{:?}", StoreUri::new(uri)), format!("{want:?}"));
        }
    }
}
