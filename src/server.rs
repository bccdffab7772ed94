//! Startup and graceful shutdown of the server.

mod connection;

use std::net::{TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::Data;
use actix_web::{App, rt, web};
use anyhow::{Context, Result};
use prometheus::IntCounter;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::api;
use crate::api::memory::{Budget, Heavy};
use crate::api::middleware::metrics::Metrics;
use crate::api::middleware::{guard, pace, request_log, security, slashes, workspace};
use crate::api::state::AppState;
use crate::artifacts::{self, Artifacts, Settings};
use crate::config::{Config, PostgresPooler, SqliteSynchronous};
use crate::domain::trace::prices::Prices;
use crate::store::conn::Pooler;
use crate::store::uri::DatabaseUri;
use crate::store::{Store, StoreSettings, migrate, start};
use crate::webhooks::Webhooks;

/// The shutdown timeout for aborting uploads.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT; then a graceful shutdown: no new connections, open requests finish within
/// the timeout of the settings. A second signal ends the waiting. `/metrics` shows `lost_lines`.
///
/// # Errors
/// When the database or the port cannot be used.
pub fn run(config: Config, lost_lines: &IntCounter) -> Result<()> {
    rt::System::new().block_on(serve(config, lost_lines))
}

async fn serve(config: Config, lost_lines: &IntCounter) -> Result<()> {
    let listener = listen(&config.host, config.port)?;
    let address = listener.local_addr().context("the listening address is unknown")?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let state = tokio::select! {
        state = Box::pin(open_state(config)) => Data::new(state?),
        _ = term.recv() => return stopped_early(),
        _ = int.recv() => return stopped_early(),
    };
    if let Some(metrics) = &state.metrics {
        metrics.add(lost_lines)?;
    }
    let config = &state.config;
    let (workers, drain) = (config.workers, config.shutdown_timeout);
    info!(database = %config.backend_store_uri, artifacts = %config.artifacts_destination, "opened the stores");

    artifacts::start_sweeping(state.artifacts.local_roots().to_vec());
    let builder = Server::build().workers(workers).shutdown_timeout(drain.as_secs()).disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let factory = {
        let state = state.clone();
        move || connection::service(&state, address, &stopping)
    };
    let server = builder.listen("http", listener, factory)?.run();
    let handle = server.handle();
    let stop_delivering = Arc::new(Notify::new());
    let delivering = (!config.artifacts_only)
        .then(|| rt::spawn(Arc::clone(&state.webhooks).deliver(Arc::clone(&stop_delivering))));
    info!("listening at http://{address}{}", state.config.static_prefix);

    let stop = async {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        info!("stopping: finishing the open requests");
        tokio::select! {
            () = handle.stop(true) => {}
            _ = term.recv() => warn!("stopping at once"),
            _ = int.recv() => warn!("stopping at once"),
        }
    };
    tokio::select! { ended = server => ended?, () = stop => {} }
    stop_delivering.notify_one();
    if let Some(delivering) = delivering {
        delivering.await?;
    }
    // Cancelled requests leave multipart uploads to abort.
    if tokio::time::timeout(SETTLE_TIME, state.artifacts.settle()).await.is_err() {
        warn!("some uploads to the artifact store could not be taken back");
    }
    // Dropping the last reference to the store ends its threads, after their queued work.
    drop(state);
    info!("stopped");
    Ok(())
}

/// The result of a shutdown while waiting for the database.
#[expect(clippy::unnecessary_wraps, reason = "it is what the server returns")]
fn stopped_early() -> Result<()> {
    info!("stopped before it served");
    Ok(())
}

/// Binds the port before anything else, so that a second server does not touch the database.
fn listen(host: &str, port: u16) -> Result<TcpListener> {
    let addresses = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .with_context(|| format!("the host {host} is unknown"))?
        .collect::<Vec<_>>();
    TcpListener::bind(addresses.as_slice()).with_context(|| format!("cannot listen at {host}:{port}"))
}

/// Opens what a server with these settings needs.
///
/// # Errors
/// When the database cannot be reached or has a schema that this server does not know.
pub async fn open_state(config: Config) -> Result<AppState> {
    let uri = DatabaseUri::parse(config.backend_store_uri.expose())
        .with_context(|| format!("cannot use the database {}", config.backend_store_uri))?;
    let mut settings = store_settings(&config);
    if !config.artifacts_only {
        start::wait_for(&uri, config.database.start_timeout.unwrap_or(start::PATIENCE))
            .await
            .with_context(|| format!("cannot use the database {}", config.backend_store_uri))?;
        let found = migrate::upgrade(&uri)
            .with_context(|| format!("cannot use the database {}", config.backend_store_uri))?;
        info!(?found, "the database is ready");
        settings.keeps_deliveries = found != migrate::Outcome::AdoptedAsItIs;
    }
    let store = Arc::new(Store::open(uri, config.default_artifact_root.clone(), &settings)?);
    if !config.artifacts_only {
        store.ensure_default_experiment().await?;
    }
    let artifacts = Artifacts::new(&Settings {
        destination: config.artifacts_destination.clone(),
        default_root: config.default_artifact_root.clone(),
        serve: config.serve_artifacts,
        allowed_schemes: config.allowed_artifact_schemes.clone(),
        environment: config.environment.clone(),
    })?;
    let metrics = config.expose_prometheus.then(Metrics::new).transpose()?.map(Arc::new);
    let webhooks = Arc::new(Webhooks::new(Arc::clone(&store), config.webhooks.clone())?);
    if let Some(metrics) = &metrics {
        let counters = webhooks.counters();
        metrics.add(&counters.deliveries)?;
        metrics.add(&counters.attempts)?;
    }
    let prices =
        config.ui_dir.as_deref().map(|ui| Prices::read(&ui.join("model_catalog"))).unwrap_or_default();
    let (limits, prices) = (config.limits.clone(), Arc::new(prices));
    let (budget, heavy) = (Budget::new(config.memory_limit_bytes), Heavy::default());
    Ok(AppState { store, webhooks, artifacts, limits, prices, metrics, budget, heavy, config })
}

fn store_settings(config: &Config) -> StoreSettings {
    let mut settings = StoreSettings::default();
    let given = &config.database;
    settings.threads = given.threads.unwrap_or(settings.threads);
    settings.queue = given.queue.unwrap_or(settings.queue);
    settings.webhook_key.clone_from(&config.webhooks.secret_key);
    let conn = &mut settings.conn;
    if let Some(timeout) = given.statement_timeout {
        conn.statement_timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    }
    conn.recycle = given.recycle;
    conn.pooler = match given.pooler {
        PostgresPooler::Auto => Pooler::Auto,
        PostgresPooler::None => Pooler::None,
        PostgresPooler::Transaction => Pooler::Transaction,
    };
    if let Some(synchronous) = given.sqlite_synchronous {
        conn.sqlite_full_sync = synchronous == SqliteSynchronous::Full;
    }
    settings
}

/// Builds the service of one worker thread: all routes, with `api/middleware`.
pub fn build_app(state: &Data<AppState>) -> App<impl AppFactory + use<>> {
    let rules = security::Rules::new(&state.config).map(Rc::new);
    let patience = state.config.slow_client_timeout;
    let (for_guard, for_log, for_answers) = (state.clone(), state.clone(), state.clone());
    App::new()
        .app_data(state.clone())
        .configure(|routes| api::routes(&state.config, routes))
        .default_service(web::to(api::fallback::no_route))
        .wrap_fn(move |request, service| api::answer::call(&for_answers, request, service))
        .wrap_fn(move |request, service| guard::call(&for_guard.config, request, service))
        .wrap_fn(move |request, service| security::call(rules.as_ref(), request, service))
        .wrap_fn(workspace::call)
        .wrap_fn(slashes::call)
        .wrap_fn(move |request, service| request_log::call(&for_log, request, service))
        .wrap_fn(move |request, service| pace::call(patience, request, service))
}

/// The services that [`build_app`] returns, by a short name.
pub trait AppFactory:
    ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >
{
}

impl<T> AppFactory for T where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = actix_web::Error,
            InitError = (),
        >
{
}
