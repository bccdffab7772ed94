//! `ferroflow server`: the flags and variables of `mlflow server` 3.17.2 and our own, made into a [`Config`].
//! What has no meaning here is accepted and named once in the log; what would be unsafe to ignore is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{ArgAction, Args};
use regex::Regex;

use super::gateway::GatewayArgs;
use super::memory;
use super::webhooks::WebhookArgs;
use crate::config::{
    Config, DatabaseSettings, Environment, LogFormat, LogSettings, PostgresPooler, Security,
    SqliteSynchronous, StoreUri,
};
use crate::domain::artifact_uri::DEFAULT_MAX_LOCATION_LENGTH;
use crate::domain::scorer::CustomScorers;
use crate::domain::validate::{Limits, LongValues};
use crate::{logging, server};

/// Upstream: `mlflow.cli.server`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(super) struct ServerArgs {
    /// Database for experiments, runs and models: `sqlite:///file.db` or `postgresql://user@host/name`.
    /// [default: `sqlite:///mlflow.db`]
    #[arg(long, env = "MLFLOW_BACKEND_STORE_URI", value_name = "URI", hide_env_values = true)]
    backend_store_uri: Option<String>,
    /// Database for registered models; must be the backend store.
    #[arg(long, env = "MLFLOW_REGISTRY_STORE_URI", value_name = "URI", hide_env_values = true)]
    registry_store_uri: Option<String>,
    /// Not used yet: reads go to the backend store.
    #[arg(long, env = "MLFLOW_READ_REPLICA_BACKEND_STORE_URI", value_name = "URI", hide_env_values = true)]
    read_replica_backend_store_uri: Option<String>,
    /// Where new experiments keep their artifacts. [default: mlflow-artifacts:/, through this server]
    #[arg(long, env = "MLFLOW_DEFAULT_ARTIFACT_ROOT", value_name = "URI")]
    default_artifact_root: Option<String>,
    /// Hand artifacts through this server (the default).
    #[arg(long, overrides_with = "no_serve_artifacts", action = ArgAction::SetTrue)]
    serve_artifacts: bool,
    /// Let clients reach the artifact store themselves.
    #[arg(long, overrides_with = "serve_artifacts", action = ArgAction::SetTrue)]
    no_serve_artifacts: bool,
    /// The variable of the two flags above; they win over it.
    #[arg(long = "serve-artifacts-variable", env = "MLFLOW_SERVE_ARTIFACTS", hide = true, value_parser = python_bool)]
    serve_artifacts_variable: Option<bool>,
    /// Do nothing but hand artifacts through; no database is opened.
    #[arg(long, env = "MLFLOW_ARTIFACTS_ONLY", action = ArgAction::SetTrue, value_parser = python_flag)]
    artifacts_only: bool,
    /// Where artifacts that go through this server are kept.
    #[arg(long, env = "MLFLOW_ARTIFACTS_DESTINATION", value_name = "URI", default_value = "./mlartifacts")]
    artifacts_destination: String,
    /// Address to listen on; 0.0.0.0 listens on all.
    #[arg(long, short = 'h', env = "MLFLOW_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on.
    #[arg(long, short = 'p', env = "MLFLOW_PORT", default_value_t = 5000)]
    port: u16,
    /// Threads that speak HTTP. [default: the number of cores]
    #[arg(long, short = 'w', env = "MLFLOW_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Put before every path, as in /mlflow.
    #[arg(long, env = "MLFLOW_STATIC_PREFIX", value_name = "PREFIX", value_parser = static_prefix)]
    static_prefix: Option<String>,
    /// Comma-separated Host headers that are answered, with wildcards. [default: local and private addresses]
    #[arg(long, env = "MLFLOW_SERVER_ALLOWED_HOSTS", value_name = "HOSTS")]
    allowed_hosts: Option<String>,
    /// Comma-separated origins, besides local ones, whose pages may call this server.
    #[arg(long, env = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", value_name = "ORIGINS")]
    cors_allowed_origins: Option<String>,
    /// Switch off the Host check, the Origin check, CORS and the security headers. Dangerous.
    #[arg(long, env = "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", action = ArgAction::SetTrue,
        value_parser = python_flag)]
    disable_security_middleware: bool,
    /// X-Frame-Options of every answer: SAMEORIGIN, DENY, or NONE to leave it out.
    #[arg(long, env = "MLFLOW_SERVER_X_FRAME_OPTIONS", value_name = "VALUE", default_value = "SAMEORIGIN")]
    x_frame_options: String,
    /// Answer /metrics for Prometheus. The folder is not used: metrics are kept in memory.
    #[arg(long, env = "MLFLOW_EXPOSE_PROMETHEUS", value_name = "FOLDER")]
    expose_prometheus: Option<String>,
    /// Refused: this server has no apps.
    #[arg(long, value_name = "NAME")]
    app_name: Option<String>,
    /// Log at debug level.
    #[arg(long)]
    dev: bool,
    /// Accepted, without effect.
    #[arg(long, env = "MLFLOW_GUNICORN_OPTS", value_name = "OPTIONS", allow_hyphen_values = true)]
    gunicorn_opts: Option<String>,
    /// Accepted, without effect.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    waitress_opts: Option<String>,
    /// Accepted, without effect.
    #[arg(long, env = "MLFLOW_UVICORN_OPTS", value_name = "OPTIONS", allow_hyphen_values = true)]
    uvicorn_opts: Option<String>,
    /// Accepted, without effect: traces are not archived.
    #[arg(long, env = "MLFLOW_TRACE_ARCHIVAL_CONFIG", value_name = "FILE")]
    trace_archival_config: Option<String>,
    /// Accepted, without effect: secrets are kept, but not used here.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(10..=300))]
    secrets_cache_ttl: Option<u16>,
    /// Accepted, without effect: secrets are kept, but not used here.
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u16).range(1..=10000))]
    secrets_cache_max_size: Option<u16>,
    /// Accepted, without effect: workspaces are not served.
    #[arg(long, env = "MLFLOW_WORKSPACE_STORE_URI", value_name = "URI", hide_env_values = true)]
    workspace_store_uri: Option<String>,
    /// Refused: workspaces are not served.
    #[arg(long, env = "MLFLOW_ENABLE_WORKSPACES", overrides_with = "disable_workspaces",
        action = ArgAction::SetTrue, value_parser = python_flag)]
    enable_workspaces: bool,
    /// The default.
    #[arg(long, overrides_with = "enable_workspaces", action = ArgAction::SetTrue)]
    disable_workspaces: bool,
    /// Client-only in MLflow; a server started with it is refused.
    #[arg(long = "workspace-variable", env = "MLFLOW_WORKSPACE", hide = true)]
    workspace_variable: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    webhooks: WebhookArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    own: OwnArgs,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// Limits that stock reads from variables only.
#[derive(Debug, Args)]
struct LimitArgs {
    #[arg(long = "truncate-long-values-variable", env = "MLFLOW_TRUNCATE_LONG_VALUES", hide = true,
        default_value = "true", action = ArgAction::Set, value_parser = python_bool)]
    truncate_long_values: bool,
    #[arg(long = "location-length-variable", env = "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH", hide = true,
        default_value_t = DEFAULT_MAX_LOCATION_LENGTH)]
    location_length: usize,
    #[arg(
        long = "allowed-schemes-variable",
        env = "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES",
        hide = true
    )]
    allowed_artifact_schemes: Option<String>,
    #[arg(
        long = "model-source-variable",
        env = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX",
        hide = true
    )]
    model_source_pattern: Option<Regex>,
    #[arg(long = "presigned-download-variable", env = "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS", hide = true,
        default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    presigned_download_ttl: u32,
    #[arg(long = "graphql-root-fields-variable", env = "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS", hide = true,
        default_value_t = Limits::GRAPHQL_ROOT_FIELDS)]
    graphql_root_fields: usize,
    #[arg(long = "graphql-aliases-variable", env = "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES", hide = true,
        default_value_t = Limits::GRAPHQL_ALIASES)]
    graphql_aliases: usize,
    #[arg(long = "custom-scorers-variable", env = "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS", hide = true,
        default_value = "false", action = ArgAction::Set, value_parser = python_bool)]
    custom_scorers: bool,
}

/// Settings that `mlflow server` does not have. `config.rs` says what each does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ferroflow's own")]
struct OwnArgs {
    /// Folder of the user interface. [default: ui, here or beside the program]
    #[arg(long, env = "FERROFLOW_UI_DIR", value_name = "FOLDER")]
    ui_dir: Option<PathBuf>,
    /// Form of the log.
    #[arg(long, env = "FERROFLOW_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// What is logged, as in `info` or `ferroflow=debug`. [default: from `MLFLOW_LOGGING_LEVEL`, or info]
    #[arg(long, env = "RUST_LOG", value_name = "DIRECTIVES")]
    log_filter: Option<String>,
    /// The variable behind the default of --log-filter.
    #[arg(long = "logging-level-variable", env = "MLFLOW_LOGGING_LEVEL", hide = true)]
    logging_level: Option<String>,
    /// Database threads, each with one connection.
    #[arg(long, env = "FERROFLOW_DATABASE_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    database_threads: Option<u16>,
    /// Requests that may wait for the database before new ones are refused with 503.
    #[arg(long, env = "FERROFLOW_DATABASE_QUEUE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    database_queue: Option<u32>,
    /// Seconds one statement may run on PostgreSQL; 0 is no limit.
    #[arg(long, env = "FERROFLOW_STATEMENT_TIMEOUT", value_name = "SECONDS")]
    statement_timeout: Option<u32>,
    /// Whether a pooler stands before PostgreSQL that gives each transaction another session.
    #[arg(long, env = "FERROFLOW_POSTGRES_POOLER", value_enum, default_value_t)]
    postgres_pooler: PostgresPooler,
    #[command(flatten)]
    pool: PoolVariables,
    /// Seconds that a starting server waits for `PostgreSQL` to take connections; 0 tries once. [default: 101]
    #[arg(long, env = "FERROFLOW_DATABASE_START_TIMEOUT", value_name = "SECONDS")]
    database_start_timeout: Option<u32>,
    /// How often `SQLite` waits for the disk.
    #[arg(long, env = "FERROFLOW_SQLITE_SYNCHRONOUS", value_enum)]
    sqlite_synchronous: Option<SqliteSynchronous>,
    /// Seconds that open requests get when the server is asked to stop.
    #[arg(long, env = "FERROFLOW_SHUTDOWN_TIMEOUT", value_name = "SECONDS", default_value_t = 25)]
    shutdown_timeout: u16,
    /// Seconds that an idle connection stays open.
    #[arg(long, env = "FERROFLOW_KEEP_ALIVE", value_name = "SECONDS", default_value_t = 75)]
    keep_alive: u16,
    /// Longest body that is read into memory, in MiB.
    #[arg(long, env = "FERROFLOW_JSON_LIMIT", value_name = "MIB", default_value_t = 128,
        value_parser = clap::value_parser!(u16).range(1..=2048))]
    json_limit: u16,
    /// Memory for bodies and answers in flight, in MiB. [default: a quarter of what there is]
    #[arg(long, env = "FERROFLOW_MEMORY_LIMIT", value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    memory_limit: Option<u32>,
    /// Values that one body may hold.
    #[arg(long, env = "FERROFLOW_MAX_ELEMENTS", value_name = "N", default_value_t = Limits::ELEMENTS as u32,
        value_parser = clap::value_parser!(u32).range(100_000..))]
    max_elements: u32,
    /// Seconds that a client may send or read next to nothing.
    #[arg(long, env = "FERROFLOW_SLOW_CLIENT_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..))]
    slow_client_timeout: u16,
    /// Seconds that a body which is read into memory may take to arrive.
    #[arg(long, env = "FERROFLOW_BODY_TIMEOUT", value_name = "SECONDS", default_value_t = 600,
        value_parser = clap::value_parser!(u16).range(1..))]
    body_timeout: u16,
}

/// Stock's variables for its pool of connections. Stock opens `size` of them and up to `overflow` more when all are busy;
/// here every thread has one, and so have the three that log.
#[derive(Debug, Args)]
struct PoolVariables {
    #[arg(long = "pool-size-variable", env = "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", hide = true)]
    size: Option<u16>,
    #[arg(
        long = "max-overflow-variable",
        env = "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW",
        hide = true,
        allow_negative_numbers = true
    )]
    overflow: Option<i32>,
    #[arg(
        long = "pool-recycle-variable",
        env = "MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE",
        hide = true,
        allow_negative_numbers = true
    )]
    recycle: Option<i64>,
}

impl PoolVariables {
    /// SQLAlchemy's default.
    const OVERFLOW: u16 = 10;
    /// Connections besides those of the database threads.
    const LOGGING: u16 = 3;

    /// Returns how many database threads that makes; `None` if unset or unlimited.
    fn threads(&self) -> Option<usize> {
        let size = self.size.filter(|size| *size > 0)?;
        let overflow = match self.overflow {
            None => Self::OVERFLOW,
            Some(overflow) => u16::try_from(overflow).ok()?,
        };
        Some(usize::from(size.saturating_add(overflow).saturating_sub(Self::LOGGING).max(1)))
    }

    /// Returns the maximum age of a connection.
    fn recycle(&self) -> Option<Duration> {
        self.recycle.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
    }
}

/// Runs the server until it is asked to stop.
pub(super) fn run(args: ServerArgs) -> Result<()> {
    let (config, notes) = args.into_config()?;
    let log = logging::init(&config.log)?;
    for note in notes {
        tracing::warn!("{note}");
    }
    server::run(config, log.lost_lines())
}

impl ServerArgs {
    /// Checks the flags and returns the settings, with what has to be said about them in the log.
    fn into_config(self) -> Result<(Config, Vec<String>)> {
        self.refuse_unsafe()?;
        let mut notes = self.notes();
        let backend = self.backend_store_uri.as_deref().filter(|uri| !uri.is_empty());
        let backend_store_uri = StoreUri::new(backend.unwrap_or(DEFAULT_BACKEND));
        if let Some(registry) = self.registry_store_uri.filter(|uri| !uri.is_empty()) {
            ensure!(
                registry == backend_store_uri.expose(),
                "--registry-store-uri has to be the backend store: a registry of its own is not supported"
            );
        }
        ensure!(
            !self.artifacts_only || backend_store_uri.expose() == DEFAULT_BACKEND,
            "--artifacts-only cannot be combined with --backend-store-uri: such a server keeps no runs"
        );
        if backend.is_none() && !self.artifacts_only && has_file_store(Path::new("./mlruns")) {
            notes.push(
                "./mlruns holds a file store, which `mlflow server` would use here; this server uses \
                 sqlite:///mlflow.db instead. `mlflow migrate-filestore` moves its runs into a database"
                    .into(),
            );
        }
        let serve_artifacts = match (self.serve_artifacts, self.no_serve_artifacts) {
            (true, _) => true,
            (_, true) => false,
            _ => self.serve_artifacts_variable.unwrap_or(true),
        };
        let own = self.own;
        let ui_dir = own.ui_dir.or_else(find_ui);
        let config = Config {
            default_artifact_root: artifact_root(self.default_artifact_root, serve_artifacts)?,
            backend_store_uri,
            serve_artifacts,
            artifacts_only: self.artifacts_only,
            artifacts_destination: self.artifacts_destination,
            environment: unicode_variables(),
            presigned_download_ttl: Duration::from_secs(self.limits.presigned_download_ttl.into()),
            allowed_artifact_schemes: list(self.limits.allowed_artifact_schemes),
            limits: Limits {
                long_values: if self.limits.truncate_long_values {
                    LongValues::Truncate
                } else {
                    LongValues::Refuse
                },
                location_length: self.limits.location_length,
                model_source_pattern: self.limits.model_source_pattern,
                graphql_root_fields: self.limits.graphql_root_fields,
                graphql_aliases: self.limits.graphql_aliases,
                custom_scorers: if self.limits.custom_scorers {
                    CustomScorers::Kept
                } else {
                    CustomScorers::Refused
                },
                elements: usize::try_from(own.max_elements).unwrap_or(usize::MAX),
                ..Limits::default()
            },
            webhooks: self.webhooks.into_settings()?,
            gateway: self.gateway.into_settings(ui_dir.as_deref()),
            host: self.host,
            port: self.port,
            static_prefix: self.static_prefix.unwrap_or_default(),
            workers: self.workers.map_or_else(cores, usize::from),
            security: (!self.disable_security_middleware).then(|| Security {
                allowed_hosts: list(self.allowed_hosts),
                cors_allowed_origins: list(self.cors_allowed_origins),
                x_frame_options: frame_options(&self.x_frame_options),
            }),
            expose_prometheus: self.expose_prometheus.is_some_and(|folder| !folder.is_empty()),
            ui_dir,
            log: LogSettings {
                format: own.log_format,
                filter: log_filter(own.log_filter, own.logging_level, self.dev)?,
            },
            database: DatabaseSettings {
                threads: own.database_threads.map(usize::from).or_else(|| own.pool.threads()),
                queue: own.database_queue.and_then(|n| usize::try_from(n).ok()),
                sqlite_synchronous: own.sqlite_synchronous,
                statement_timeout: own.statement_timeout.map(|s| Duration::from_secs(s.into())),
                recycle: own.pool.recycle(),
                pooler: own.postgres_pooler,
                start_timeout: own.database_start_timeout.map(|s| Duration::from_secs(s.into())),
            },
            shutdown_timeout: Duration::from_secs(own.shutdown_timeout.into()),
            keep_alive: Duration::from_secs(own.keep_alive.into()),
            json_limit_bytes: usize::from(own.json_limit) * MIB,
            memory_limit_bytes: own.memory_limit.map_or_else(memory::default_limit, in_mib),
            slow_client_timeout: Duration::from_secs(own.slow_client_timeout.into()),
            body_timeout: Duration::from_secs(own.body_timeout.into()),
        };
        Ok((config, notes))
    }

    /// Refuses flags whose effect a user would wrongly rely on.
    fn refuse_unsafe(&self) -> Result<()> {
        if let Some(name) = &self.app_name {
            bail!("--app-name {name} is not supported: this server would run without authentication");
        }
        ensure!(
            !self.enable_workspaces,
            "--enable-workspaces is not supported: this server would show all workspaces to everyone"
        );
        if let Some(workspace) = self.workspace_variable.as_deref().filter(|name| !name.is_empty()) {
            bail!("MLFLOW_WORKSPACE={workspace} is a client's setting; unset it before starting the server");
        }
        let given = [&self.gunicorn_opts, &self.waitress_opts, &self.uvicorn_opts];
        ensure!(
            given.iter().filter(|options| options.is_some()).count() <= 1,
            "only one of --gunicorn-opts, --waitress-opts and --uvicorn-opts can be given"
        );
        for options in given.into_iter().flatten() {
            ensure!(
                !["--ssl", "--certfile", "--keyfile"].iter().any(|tls| options.contains(tls)),
                "TLS options of another server are not supported: put a reverse proxy with TLS in front"
            );
        }
        Ok(())
    }

    /// Returns a sentence for every flag that was given and does nothing, or that deserves a warning.
    fn notes(&self) -> Vec<String> {
        let ignored = [
            ("--gunicorn-opts", self.gunicorn_opts.is_some()),
            ("--waitress-opts", self.waitress_opts.is_some()),
            ("--uvicorn-opts", self.uvicorn_opts.is_some()),
            ("--read-replica-backend-store-uri", self.read_replica_backend_store_uri.is_some()),
            ("--trace-archival-config", self.trace_archival_config.is_some()),
            ("--secrets-cache-ttl", self.secrets_cache_ttl.is_some()),
            ("--secrets-cache-max-size", self.secrets_cache_max_size.is_some()),
            ("--workspace-store-uri", self.workspace_store_uri.is_some()),
        ];
        let mut notes: Vec<_> = ignored
            .iter()
            .filter(|(_, given)| *given)
            .map(|(flag, _)| format!("{flag} is accepted but has no effect in this server"))
            .collect();
        if self.disable_security_middleware {
            notes.push(
                "the Host check, the Origin check, CORS and the security headers are switched off".into(),
            );
            return notes;
        }
        if self.allowed_hosts.as_deref() == Some("*") {
            notes.push("every Host header is accepted: browsers can be tricked by DNS rebinding".into());
        }
        if list(self.cors_allowed_origins.clone()).iter().any(|origin| origin == "*") {
            notes.push("every website may read from and write to this server (without credentials)".into());
        }
        notes
    }
}

/// Stock's default database.
const DEFAULT_BACKEND: &str = "sqlite:///mlflow.db";

/// Reads a boolean as click does.
pub(super) fn python_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" | "" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("not a boolean".into()),
    }
}

/// Returns the process's variables; what is no text cannot be a setting.
fn unicode_variables() -> Environment {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Parses the variable of a flag; as in stock, empty means not given.
fn python_flag(text: &str) -> Result<bool, String> {
    if text.is_empty() { Ok(false) } else { python_bool(text) }
}

/// Upstream: `mlflow.cli._validate_static_prefix`.
fn static_prefix(prefix: &str) -> Result<String, String> {
    match prefix {
        "" => Ok(String::new()),
        _ if !prefix.starts_with('/') => Err("it has to begin with a '/'".into()),
        _ if prefix.ends_with('/') => Err("it must not end with a '/'".into()),
        _ if prefix.contains(['{', '}']) => Err("it must not contain '{' or '}'".into()),
        _ => Ok(prefix.to_owned()),
    }
}

/// Upstream: `mlflow.utils.server_cli_utils.resolve_default_artifact_root`; a relative folder becomes absolute
/// because clients and other servers read it from the database.
fn artifact_root(given: Option<String>, serve_artifacts: bool) -> Result<String> {
    let root = match given.filter(|root| !root.is_empty()) {
        Some(root) => root,
        None if serve_artifacts => return Ok("mlflow-artifacts:/".into()),
        None => "./mlruns".into(),
    };
    if root.contains(':') || root.starts_with('/') {
        return Ok(root);
    }
    let path: PathBuf = std::env::current_dir()?.join(root).components().collect();
    Ok(path.to_string_lossy().into_owned())
}

/// Says whether `folder` holds experiments of stock's file store.
///
/// Upstream: `_has_existing_mlruns_data`.
fn has_file_store(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| {
        let is_experiment = entry.file_name().to_string_lossy().chars().all(|c| c.is_ascii_digit());
        is_experiment && entry.path().join("meta.yaml").exists()
    })
}

/// Returns the user interface's folder: `ui` here, or beside the program.
fn find_ui() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("ui")));
    [Some(PathBuf::from("ui")), beside].into_iter().flatten().find(|dir| dir.join("index.html").is_file())
}

/// Returns the log's directives. --dev is stock's way to ask for debug.
fn log_filter(given: Option<String>, level: Option<String>, is_dev: bool) -> Result<Option<String>> {
    if let Some(filter) = given.filter(|filter| !filter.is_empty()) {
        return Ok(Some(filter));
    }
    match level.filter(|level| !level.is_empty()) {
        Some(level) => match logging::python_level(&level) {
            Some(directive) => Ok(Some(directive.into())),
            None => bail!("MLFLOW_LOGGING_LEVEL={level} is not a level"),
        },
        None => Ok(is_dev.then(|| "debug".into())),
    }
}

/// Splits a comma-separated list, without the blanks around its items.
pub(super) fn list(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Upstream: `SecurityHeadersMiddleware`.
fn frame_options(value: &str) -> Option<String> {
    let value = value.to_uppercase();
    (!value.is_empty() && value != "NONE").then_some(value)
}

const MIB: usize = 1024 * 1024;

fn in_mib(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(MIB)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
