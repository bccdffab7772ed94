//! Direct access of clients to the artifact store through presigned URLs: multipart uploads, and files of
//! runs and models whose artifacts are not proxied.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::web::Path;
use serde::Serialize;

use super::artifacts::{Served, logged_model_location};
use crate::api::extract::Check::{Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::artifacts::{ArtifactPath, Folder, Part};
use crate::domain::artifact_uri::UriParts;
use crate::domain::ids::{LoggedModelId, RunId};
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{
    AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, CreatePresignedDownloadUrl,
    CreatePresignedUploadUrl, MultipartUploadCredential, abort_multipart_upload, complete_multipart_upload,
    create_multipart_upload, create_presigned_download_url, create_presigned_upload_url,
};

/// Default lifetime of a presigned upload URL, in seconds.
const UPLOAD_TTL: i64 = 900;
/// The longest lifetime of a URL, in seconds: the stores' own limit.
const MAX_TTL: u64 = 604_800;

impl Request for CreateMultipartUpload {
    const SCHEMA: Schema = &[("path", &[Required, Str]), ("num_parts", &[Int])];
}

impl Request for CompleteMultipartUpload {
    const SCHEMA: Schema = &[("path", &[Required, Str]), ("upload_id", &[Str]), ("parts", &[Required])];
}

impl Request for AbortMultipartUpload {
    const SCHEMA: Schema = &[("path", &[Required, Str]), ("upload_id", &[Str])];
}

impl Request for CreatePresignedUploadUrl {
    const SCHEMA: Schema =
        &[("run_id", &[Str]), ("model_id", &[Str]), ("path", &[Required, Str]), ("expiration", &[Int])];
}

impl Request for CreatePresignedDownloadUrl {
    const SCHEMA: Schema =
        &[("run_id", &[Required, Str]), ("path", &[Required, Str]), ("expiration", &[Int])];
}

/// `POST mlflow-artifacts/mpu/create/<folder>`. Upstream: `_create_multipart_upload_artifact`.
pub async fn create_multipart_upload(
    Served(folder): Served,
    below: Path<String>,
    request: Result<Proto<CreateMultipartUpload>>,
) -> Reply<create_multipart_upload::Response> {
    let (folder_path, Proto(r)) = (ArtifactPath::parse(&below)?, request?);
    validate_multipart(&folder)?;
    let path = file_path(&folder_path, r.path)?;
    let (upload_id, parts) = folder.create_multipart(&path, r.num_parts.unwrap_or_default()).await?;
    let credentials = parts
        .into_iter()
        .map(|part| MultipartUploadCredential {
            url: Some(part.url),
            part_number: Some(part.number),
            ..Default::default()
        })
        .collect();
    reply::json(create_multipart_upload::Response { upload_id, credentials })
}

/// `POST mlflow-artifacts/mpu/complete/<folder>`. Upstream: `_complete_multipart_upload_artifact`.
pub async fn complete_multipart_upload(
    Served(folder): Served,
    below: Path<String>,
    request: Result<Proto<CompleteMultipartUpload>>,
) -> Reply<complete_multipart_upload::Response> {
    let (folder_path, Proto(r)) = (ArtifactPath::parse(&below)?, request?);
    validate_multipart(&folder)?;
    let path = file_path(&folder_path, r.path)?;
    let parts = r.parts.into_iter().map(|part| Part {
        number: part.part_number.unwrap_or_default(),
        etag: part.etag.unwrap_or_default(),
        url: part.url.unwrap_or_default(),
    });
    folder.complete_multipart(&path, &r.upload_id.unwrap_or_default(), parts.collect()).await?;
    reply::empty()
}

/// `POST mlflow-artifacts/mpu/abort/<folder>`. Upstream: `_abort_multipart_upload_artifact`.
pub async fn abort_multipart_upload(
    Served(folder): Served,
    below: Path<String>,
    request: Result<Proto<AbortMultipartUpload>>,
) -> Reply<abort_multipart_upload::Response> {
    let (folder_path, Proto(r)) = (ArtifactPath::parse(&below)?, request?);
    validate_multipart(&folder)?;
    let path = file_path(&folder_path, r.path)?;
    folder.abort_multipart(&path, &r.upload_id.unwrap_or_default()).await?;
    reply::empty()
}

fn validate_multipart(folder: &Folder) -> Result<()> {
    require(folder.direct().uploads_in_parts, "Multipart upload")
}

/// Upstream: `_UnsupportedMultipartUploadException` and its like. The client library then falls back.
fn require(is_supported: bool, what: &str) -> Result<()> {
    if is_supported {
        return Ok(());
    }
    let message = format!("{what} is not supported for the current artifact repository");
    Err(Error::new(ErrorCode::NotImplemented, message))
}

/// Returns where the client's `local` file goes in `folder`.
///
/// Upstream: `create_multipart_upload`, with `os.path.basename`.
fn file_path(folder: &ArtifactPath, local: Option<String>) -> Result<ArtifactPath> {
    let local = local.unwrap_or_default();
    let name = local.rsplit_once('/').map_or(local.as_str(), |(_, name)| name);
    Ok(folder.join(&ArtifactPath::parse_file(name)?))
}

/// `GET mlflow-artifacts/presigned/<path>`. Upstream: `_get_presigned_download_url`.
pub async fn get_presigned_download_url(
    app: App,
    Served(folder): Served,
    path: Path<String>,
) -> Reply<PresignedDownloadUrl> {
    let path = ArtifactPath::parse(&path)?;
    require(folder.direct().downloads, "Multipart download")?;
    let made = folder.presign_download(&path, app.config.presigned_download_ttl).await?;
    reply::json(PresignedDownloadUrl { url: made.url, headers: BTreeMap::new(), file_size: made.size_bytes })
}

/// Upstream: `PresignedDownloadUrlResponse.to_dict`.
#[derive(Debug, Serialize)]
pub struct PresignedDownloadUrl {
    url: String,
    headers: BTreeMap<String, String>,
    file_size: u64,
}

/// `POST artifacts/presigned-download-url`. Upstream: `_create_presigned_download_url`.
pub async fn create_presigned_download_url(
    app: App,
    Proto(r): Proto<CreatePresignedDownloadUrl>,
) -> Reply<create_presigned_download_url::Response> {
    let path = ArtifactPath::parse(r.path.as_deref().unwrap_or_default())?;
    let ttl = match r.expiration {
        Some(seconds) => time_to_live(seconds)?,
        None => app.config.presigned_download_ttl,
    };
    let uri = app.store.get_run_artifact_uri(RunId::from(r.run_id)).await?;
    refuse_proxied(&uri, "download", "This endpoint requires a run with", "for runs with")?;
    let folder = app.artifacts.folder(&uri)?;
    require(folder.direct().downloads, "Presigned download")?;
    let made = folder.presign_download(&path, ttl).await?;
    reply::json(create_presigned_download_url::Response {
        presigned_url: Some(made.url),
        headers: BTreeMap::new(),
        file_size: i64::try_from(made.size_bytes).ok(),
    })
}

/// `POST artifacts/presigned-upload-url`. Upstream: `_create_presigned_upload_url`.
///
/// Differs: a time that no store accepts is refused, as for downloads.
pub async fn create_presigned_upload_url(
    app: App,
    Proto(r): Proto<CreatePresignedUploadUrl>,
) -> Reply<create_presigned_upload_url::Response> {
    let given = |id: Option<String>| id.filter(|id| !id.is_empty());
    let owner = match (given(r.run_id), given(r.model_id)) {
        (Some(run_id), None) => Owner::Run(RunId::from(run_id)),
        (None, Some(model_id)) => Owner::Model(LoggedModelId::from(model_id)),
        _ => return Err(Error::invalid("Exactly one of run_id and model_id must be provided.")),
    };
    let path = ArtifactPath::parse(r.path.as_deref().unwrap_or_default())?;
    let uri = match owner {
        Owner::Run(id) => app.store.get_run_artifact_uri(id).await?,
        Owner::Model(id) => logged_model_location(&app, id).await?,
    };
    refuse_proxied(&uri, "upload", "This endpoint requires", "for")?;
    let folder = app.artifacts.folder(&uri)?;
    require(folder.direct().uploads, "Presigned upload")?;
    let ttl = time_to_live(r.expiration.unwrap_or(UPLOAD_TTL))?;
    let made = folder.presign_upload(&path, ttl).await?;
    reply::json(create_presigned_upload_url::Response {
        presigned_url: Some(made.url),
        headers: made.headers.into_iter().collect(),
    })
}

enum Owner {
    Run(RunId),
    Model(LoggedModelId),
}

fn time_to_live(seconds: i64) -> Result<Duration> {
    match u64::try_from(seconds) {
        Ok(seconds @ 1..=MAX_TTL) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::invalid(format!(
            "expiration must be between 1 and {MAX_TTL} seconds (got {seconds})."
        ))),
    }
}

/// Clients reach what goes through this server by this server only.
fn refuse_proxied(uri: &str, what: &str, requires: &str, relation: &str) -> Result<()> {
    let scheme = UriParts::split(uri).scheme;
    if !matches!(scheme.as_str(), "http" | "https" | "mlflow-artifacts") {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Presigned {what} is not supported {relation} proxied artifact storage (artifact URI scheme: {scheme}). \
         {requires} a direct cloud storage artifact URI."
    )))
}
