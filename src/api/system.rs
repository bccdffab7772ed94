//! What is asked of the server itself: is it alive, which version, what can it do. And the few requests that the user
//! interface makes at its start for features that this server does not have, answered as stock answers
//! without them.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use serde::Serialize;

use super::fallback;
use super::reply::{Json, Reply, json};
use super::state::App;
use crate::artifacts::Folder;
use crate::config::MLFLOW_VERSION;
use crate::domain::{Error, ErrorCode, Result};

/// `GET /health`: liveness. Does not query the database: no restart repairs that.
pub async fn health() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("OK")
}

/// `GET /ready`: readiness, for load balancers and the like. Queries the database.
///
/// # Errors
/// `TEMPORARILY_UNAVAILABLE`
pub async fn ready(app: App) -> Result<HttpResponse> {
    if !app.config.artifacts_only {
        app.store.ping().await?;
    }
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body("OK"))
}

/// `GET /version`.
pub async fn version() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::html()).body(MLFLOW_VERSION)
}

/// `GET /metrics`, for Prometheus.
pub async fn get_metrics(app: App) -> Result<HttpResponse> {
    let Some(metrics) = &app.metrics else { return Ok(fallback::not_found()) };
    let (content_type, text) = metrics.render(&app.store)?;
    Ok(HttpResponse::Ok().content_type(content_type).body(text))
}

/// `GET /mlflow/server-info`. Upstream: `build_server_info_payload`.
///
/// `gateway` says that its configuration is kept here, which is what the interface's pages need.
pub async fn get_server_info(app: App) -> Reply<ServerInfo> {
    let direct = app.artifacts.destination().map(Folder::direct).unwrap_or_default();
    json(ServerInfo {
        store_type: "SqlStore",
        workspaces_enabled: false,
        trace_archival_enabled: false,
        multipart_uploads_enabled: direct.uploads_in_parts,
        multipart_downloads_enabled: direct.downloads,
        presigned_upload_run_id_supported: true,
        presigned_upload_model_id_supported: true,
        features_enabled: Features { gateway: app.config.gateway.is_enabled },
    })
}

/// The features that clients and the user interface ask about first.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's")]
pub struct ServerInfo {
    store_type: &'static str,
    workspaces_enabled: bool,
    trace_archival_enabled: bool,
    multipart_uploads_enabled: bool,
    multipart_downloads_enabled: bool,
    presigned_upload_run_id_supported: bool,
    presigned_upload_model_id_supported: bool,
    features_enabled: Features,
}

#[derive(Debug, Serialize)]
struct Features {
    gateway: bool,
}

/// `GET /mlflow/ui-telemetry`: tells the user interface to send nothing anywhere.
pub async fn get_ui_telemetry() -> Json<Telemetry> {
    Json(Telemetry { disable_ui_events: [], disable_ui_telemetry: true, ui_rollout_percentage: 0 })
}

/// `POST /mlflow/ui-telemetry`: drops what was sent and tells the sender to stop.
pub async fn post_ui_telemetry() -> Json<Status> {
    Json(Status { status: "disabled" })
}

/// `GET` and `POST /mlflow/gateway-proxy`. Upstream: `gateway_proxy_handler` without a target.
pub async fn proxy_gateway() -> Json<Endpoints> {
    Json(Endpoints { endpoints: [] })
}

/// `GET /mlflow/assistant/config`.
pub async fn get_assistant_config() -> Json<AssistantConfig> {
    Json(AssistantConfig { providers: NoEntries {}, projects: NoEntries {}, remote_access_allowed: false })
}

/// `PUT /mlflow/assistant/config`. Differs: there is nothing to be set.
pub async fn update_assistant_config() -> Result<Json<AssistantConfig>> {
    Err(Error::new(ErrorCode::NotImplemented, "This server has no assistant that could be set up."))
}

/// `GET /mlflow/assistant/providers`. Differs: stock lists programs that it could run; there are none here.
pub async fn list_assistant_providers() -> Json<AssistantProviders> {
    Json(AssistantProviders { providers: [], resolved: None, gateway_vendor_options: NoEntries {} })
}

/// The settings that the user interface's telemetry asks for.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
pub struct Telemetry {
    disable_ui_events: [&'static str; 0],
    disable_ui_telemetry: bool,
    ui_rollout_percentage: u8,
}

/// What became of a request without a result.
#[derive(Debug, Serialize)]
pub struct Status {
    status: &'static str,
}

/// The endpoints of a gateway that does not exist.
#[derive(Debug, Serialize)]
pub struct Endpoints {
    endpoints: [NoEntries; 0],
}

/// The settings of an assistant that does not exist.
#[derive(Debug, Serialize)]
pub struct AssistantConfig {
    providers: NoEntries,
    projects: NoEntries,
    remote_access_allowed: bool,
}

/// The programs behind an assistant that does not exist.
#[derive(Debug, Serialize)]
pub struct AssistantProviders {
    providers: [NoEntries; 0],
    resolved: Option<NoEntries>,
    gateway_vendor_options: NoEntries,
}

/// `{}`
#[derive(Debug, Serialize)]
struct NoEntries {}
