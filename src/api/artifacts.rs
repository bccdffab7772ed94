//! Artifacts of runs, and the artifact proxy through which clients reach the server's own store.

use std::fmt;
use std::future::{Ready, ready};

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ContentType};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Path, Payload, Query};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::downloads::{self, Sender};
use crate::api::extract::Check::{Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::artifacts::{ArtifactPath, Entry, Folder, Upload};
use crate::domain::ids::{LoggedModelId, RunId};
use crate::domain::run::either_id;
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{
    FileInfo, ListArtifacts, ListLoggedModelArtifacts, ListProxiedArtifacts, delete_proxied_artifact,
    list_artifacts, list_logged_model_artifacts, list_proxied_artifacts,
};
use crate::store::logged_models::Deleted;

/// The most that the user interface may upload at once.
const MAX_PAGE_UPLOAD_BYTES: u64 = 10 * 1024 * 1024;

impl Request for ListArtifacts {
    const SCHEMA: Schema = &[("run_id", &[Str, Required]), ("path", &[Str]), ("page_token", &[Str])];
}

impl Request for ListLoggedModelArtifacts {
    const SCHEMA: Schema = &[("artifact_directory_path", &[Str])];
}

impl Request for ListProxiedArtifacts {
    const SCHEMA: Schema = &[];
}

/// `GET artifacts/list`. Upstream: `_list_artifacts`.
pub async fn list_artifacts(app: App, Proto(r): Proto<ListArtifacts>) -> Reply<list_artifacts::Response> {
    reply::json(list_run_artifacts(&app, r).await?)
}

/// Lists a folder of a run.
pub(super) async fn list_run_artifacts(app: &App, r: ListArtifacts) -> Result<list_artifacts::Response> {
    let path = ArtifactPath::parse(r.path.as_deref().unwrap_or_default())?;
    let root_uri = app.store.get_run_artifact_uri(either_id(r.run_id, r.run_uuid)).await?;
    let files = app.artifacts.folder(&root_uri)?.list(&path).await?;
    let files = file_infos(&path, files);
    Ok(list_artifacts::Response { root_uri: Some(root_uri), files, next_page_token: None })
}

/// The entries of a listing as messages, with paths that begin with `folder`.
pub(super) fn file_infos(folder: &ArtifactPath, entries: Vec<Entry>) -> Vec<FileInfo> {
    let path = |name| if folder.is_root() { name } else { format!("{folder}/{name}") };
    entries
        .into_iter()
        .map(|entry| FileInfo {
            path: Some(path(entry.name)),
            is_dir: Some(entry.size_bytes.is_none()),
            // stock leaves out the size of an empty file, too
            file_size: entry.size_bytes.filter(|size| *size > 0).and_then(|size| i64::try_from(size).ok()),
        })
        .collect()
}

/// The query of `GET /get-artifact`.
#[derive(Debug, Deserialize)]
pub struct GetArtifact {
    run_id: Option<String>,
    run_uuid: Option<String>,
    path: Option<String>,
}

/// `GET /get-artifact`. Upstream: `get_artifact_handler`.
pub async fn get_artifact(app: App, request: HttpRequest, query: Query<GetArtifact>) -> Result<HttpResponse> {
    let GetArtifact { run_id, run_uuid, path } = query.into_inner();
    let path = path.ok_or_else(|| Error::new(ErrorCode::BadRequest, "Request must specify path."))?;
    let path = ArtifactPath::parse(&path)?;
    // stock looks for a run of that name, too
    let run_id = run_id.filter(|id| !id.is_empty()).or(run_uuid).unwrap_or_else(|| "None".into());
    let uri = app.store.get_run_artifact_uri(RunId::from(run_id)).await?;
    downloads::send(&request, &app.artifacts.folder(&uri)?, &path, Sender::Page).await
}

/// The query of `POST upload-artifact`.
#[derive(Debug, Deserialize)]
pub struct UploadArtifact {
    run_uuid: Option<String>,
    path: Option<String>,
}

/// `POST upload-artifact`. Upstream: `upload_artifact_handler`.
///
/// Differs: goes to the run's own artifact location, where stock writes below `<experiment>/<run>` even if
/// the experiment's location is another.
pub async fn upload_artifact(
    app: App,
    request: HttpRequest,
    query: Query<UploadArtifact>,
    mut body: Payload,
) -> Result<HttpResponse> {
    let UploadArtifact { run_uuid, path } = query.into_inner();
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let run_uuid = given(run_uuid).ok_or_else(|| Error::invalid("Request must specify run_uuid."))?;
    let path = given(path).ok_or_else(|| Error::invalid("Request must specify path."))?;
    let path = ArtifactPath::parse_file(&path)?;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_PAGE_UPLOAD_BYTES) {
        return Err(too_large());
    }
    let first = if is_form(&request) { None } else { next_chunk(&mut body).await? };
    let first = first.ok_or_else(|| Error::invalid("Request must specify data."))?;

    let uri = app.store.get_run_artifact_uri(RunId::from(run_uuid)).await?;
    let mut upload = app.artifacts.folder(&uri)?.upload(&path).await?;
    receive(&mut upload, Some(first), &mut body, MAX_PAGE_UPLOAD_BYTES).await?;
    upload.finish().await?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).finish())
}

/// Says whether stock would take the body apart as a form and find no data left.
fn is_form(request: &HttpRequest) -> bool {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("multipart/form-data")
        || content_type.starts_with("application/x-www-form-urlencoded")
}

fn too_large() -> Error {
    Error::invalid("Artifact size is too large. Max size is 10MB.")
}

/// `GET logged-models/{model_id}/artifacts/directories`. Upstream: `_list_logged_model_artifacts`.
pub async fn list_logged_model_artifacts(
    app: App,
    model_id: Path<LoggedModelId>,
    Proto(r): Proto<ListLoggedModelArtifacts>,
) -> Reply<list_logged_model_artifacts::Response> {
    let path = ArtifactPath::parse(r.artifact_directory_path.as_deref().unwrap_or_default())?;
    let root_uri = logged_model_location(&app, model_id.into_inner()).await?;
    let files = file_infos(&path, app.artifacts.folder(&root_uri)?.list(&path).await?);
    reply::json(list_logged_model_artifacts::Response {
        root_uri: Some(root_uri),
        files,
        next_page_token: None,
    })
}

/// The query of `GET logged-models/{model_id}/artifacts/files`.
#[derive(Debug, Deserialize)]
pub struct GetLoggedModelArtifact {
    artifact_file_path: Option<String>,
}

/// `GET logged-models/{model_id}/artifacts/files`. Upstream: `get_logged_model_artifact_handler`.
pub async fn get_logged_model_artifact(
    app: App,
    request: HttpRequest,
    model_id: Path<LoggedModelId>,
    query: Query<GetLoggedModelArtifact>,
) -> Result<HttpResponse> {
    let path = query.into_inner().artifact_file_path.filter(|path| !path.is_empty()).ok_or_else(|| {
        let message = "Request must include the \"artifact_file_path\" query parameter.";
        Error::new(ErrorCode::BadRequest, message)
    })?;
    let path = ArtifactPath::parse(&path)?;
    let uri = logged_model_location(&app, model_id.into_inner()).await?;
    downloads::send(&request, &app.artifacts.folder(&uri)?, &path, Sender::Page).await
}

pub(super) async fn logged_model_location(app: &App, model_id: LoggedModelId) -> Result<String> {
    let model = app.store.get_logged_model(model_id, Deleted::Hidden).await?;
    Ok(model.info.and_then(|info| info.artifact_uri).unwrap_or_default())
}

/// The folder of the artifact proxy, as an extractor; a server that does not proxy artifacts answers 503.
pub struct Served(pub(super) Folder);

impl FromRequest for Served {
    type Error = NotServed;
    type Future = Ready<Result<Self, NotServed>>;

    fn from_request(request: &HttpRequest, _body: &mut actix_web::dev::Payload) -> Self::Future {
        let folder = request.app_data::<App>().and_then(|app| app.artifacts.destination());
        ready(folder.cloned().map(Self).ok_or_else(|| NotServed::new(request)))
    }
}

/// The answer of a server with `--no-serve-artifacts`.
#[derive(Debug)]
pub enum NotServed {
    /// To the endpoints that send and take files.
    Detail,
    /// To the others; holds the route.
    Endpoint(String),
}

impl NotServed {
    fn new(request: &HttpRequest) -> Self {
        let route = request.match_pattern().unwrap_or_default().replace(FILE, "<path:artifact_path>");
        let is_file = route.ends_with('>') && *request.method() != Method::DELETE;
        if is_file { Self::Detail } else { Self::Endpoint(route) }
    }
}

/// The path parameter of a file in the route table.
const FILE: &str = "{path:.*}";

impl fmt::Display for NotServed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detail => f.write_str(
                "Artifact serving is disabled. Run `mlflow server` with `--serve-artifacts` to enable.",
            ),
            Self::Endpoint(route) => write!(
                f,
                "Endpoint: {route} disabled due to the mlflow server running with `--no-serve-artifacts`. To enable \
                 artifacts server functionality, run `mlflow server` with `--serve-artifacts`"
            ),
        }
    }
}

impl ResponseError for NotServed {
    fn status_code(&self) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::Detail => response.json(Detail { detail: self.to_string() }),
            Self::Endpoint(_) => response.content_type(ContentType::html()).body(self.to_string()),
        }
    }
}

#[derive(Serialize)]
struct Detail {
    detail: String,
}

/// `GET mlflow-artifacts/artifacts`. Upstream: `_list_artifacts_mlflow_artifacts`.
pub async fn list_proxied_artifacts(
    Served(folder): Served,
    Proto(r): Proto<ListProxiedArtifacts>,
) -> Reply<list_proxied_artifacts::Response> {
    let path = ArtifactPath::parse(r.path.as_deref().unwrap_or_default())?;
    let files = file_infos(&ArtifactPath::default(), folder.list(&path).await?);
    reply::json(list_proxied_artifacts::Response { files })
}

/// `GET mlflow-artifacts/artifacts/<path>`. Upstream: `artifact_router.download_artifact`.
pub async fn get_proxied_artifact(
    Served(folder): Served,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse> {
    let path = ArtifactPath::parse(&path)?;
    downloads::send(&request, &folder, &path, Sender::Proxy).await
}

/// `PUT mlflow-artifacts/artifacts/<path>`. Upstream: `artifact_router.upload_artifact`.
pub async fn put_proxied_artifact(
    Served(folder): Served,
    path: Path<String>,
    mut body: Payload,
) -> Result<HttpResponse> {
    let mut upload = folder.upload(&ArtifactPath::parse_file(&path)?).await?;
    receive(&mut upload, None, &mut body, u64::MAX).await?;
    upload.finish().await?;
    Ok(HttpResponse::Ok().finish())
}

/// `DELETE mlflow-artifacts/artifacts/<path>`. Upstream: `_delete_artifact_mlflow_artifacts`.
pub async fn delete_proxied_artifact(
    Served(folder): Served,
    path: Path<String>,
) -> Reply<delete_proxied_artifact::Response> {
    folder.delete(&ArtifactPath::parse(&path)?).await?;
    reply::empty()
}

/// Streams `first` and the rest of `body` to `upload`, with backpressure.
async fn receive(upload: &mut Upload, first: Option<Bytes>, body: &mut Payload, limit: u64) -> Result<()> {
    let mut received = 0;
    let mut next = if first.is_some() { first } else { next_chunk(body).await? };
    while let Some(chunk) = next {
        received += chunk.len() as u64;
        if received > limit {
            return Err(too_large());
        }
        upload.write(chunk).await?;
        next = next_chunk(body).await?;
    }
    Ok(())
}

/// Returns the next bytes of a body, not empty ones; `None` at its end.
///
/// # Errors
/// `BAD_REQUEST` if the client disconnected or sent bad framing.
async fn next_chunk(body: &mut Payload) -> Result<Option<Bytes>> {
    loop {
        match body.next().await {
            Some(Ok(chunk)) if chunk.is_empty() => {}
            Some(Ok(chunk)) => return Ok(Some(chunk)),
            Some(Err(e)) => {
                let message = "The body of the request ended early.";
                return Err(Error::new(ErrorCode::BadRequest, message).with_source(e));
            }
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
