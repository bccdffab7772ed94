//! Versions of registered models, with their tags, stages and files. Aliases are in `registered_models.rs`.

use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::downloads::{self, Sender};
use crate::api::extract::Check::{Array, AtMost, Bool, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::artifacts::{ArtifactPath, require_within};
use crate::domain::ids::Tag;
use crate::domain::registry::{MAX_VERSIONS, NewModelVersion, Stage, VersionKey};
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{
    CreateModelVersion, DeleteModelVersion, DeleteModelVersionTag, GetModelVersion,
    GetModelVersionDownloadUri, SearchModelVersions, SetModelVersionTag, TransitionModelVersionStage,
    UpdateModelVersion, create_model_version, delete_model_version, delete_model_version_tag,
    get_model_version, get_model_version_download_uri, search_model_versions, set_model_version_tag,
    transition_model_version_stage, update_model_version,
};
use crate::store::VersionFolder;

impl Request for CreateModelVersion {
    const SCHEMA: Schema = &[
        ("name", &[Str, Required]),
        ("source", &[Str, Required]),
        ("run_id", &[Str]),
        ("tags", &[Array]),
        ("run_link", &[Str]),
        ("description", &[Str]),
        ("model_id", &[Str]),
    ];
}

impl Request for GetModelVersion {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("version", &[Str, Required])];
}

impl Request for UpdateModelVersion {
    const SCHEMA: Schema =
        &[("name", &[Str, Required]), ("version", &[Str, Required]), ("description", &[Str])];
}

impl Request for TransitionModelVersionStage {
    const SCHEMA: Schema = &[
        ("name", &[Str, Required]),
        ("version", &[Str, Required]),
        ("stage", &[Str, Required]),
        ("archive_existing_versions", &[Bool]),
    ];
}

impl Request for DeleteModelVersion {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("version", &[Str, Required])];
}

impl Request for GetModelVersionDownloadUri {
    const SCHEMA: Schema = &[];
}

impl Request for SearchModelVersions {
    const SCHEMA: Schema = &[
        ("filter", &[Str]),
        ("max_results", &[Int, AtMost(MAX_VERSIONS)]),
        ("order_by", &[Array, Strings]),
        ("page_token", &[Str]),
    ];
}

impl Request for SetModelVersionTag {
    const SCHEMA: Schema = &[
        ("name", &[Str, Required]),
        ("version", &[Str, Required]),
        ("key", &[Str, Required]),
        ("value", &[Str]),
    ];
}

impl Request for DeleteModelVersionTag {
    const SCHEMA: Schema =
        &[("name", &[Str, Required]), ("version", &[Str, Required]), ("key", &[Str, Required])];
}

/// `POST model-versions/create`. Upstream: `_create_model_version`.
pub async fn create_model_version(
    app: App,
    Proto(r): Proto<CreateModelVersion>,
) -> Reply<create_model_version::Response> {
    let new = NewModelVersion::new(r, app.limits.model_source_pattern.as_ref())?;
    app.artifacts.validate_host(&new.source, "source")?;
    let (new, local) = app.store.resolve_model_source(new).await?;
    if let Some(local) = local {
        require_within(local).await?;
    }
    new.validate()?;
    let version = app.store.create_model_version(new).await?;
    reply::json(create_model_version::Response { model_version: Some(version) })
}

/// `GET model-versions/get`. Upstream: `_get_model_version`.
pub async fn get_model_version(
    app: App,
    Proto(r): Proto<GetModelVersion>,
) -> Reply<get_model_version::Response> {
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    let version = app.store.get_model_version(key).await?;
    reply::json(get_model_version::Response { model_version: Some(version) })
}

/// `PATCH model-versions/update`; without a description it takes the old one away. Upstream: `_update_model_version`.
pub async fn update_model_version(
    app: App,
    Proto(r): Proto<UpdateModelVersion>,
) -> Reply<update_model_version::Response> {
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    let version = app.store.update_model_version(key, r.description).await?;
    reply::json(update_model_version::Response { model_version: Some(version) })
}

/// `POST model-versions/transition-stage`. Upstream: `_transition_stage`.
pub async fn transition_model_version_stage(
    app: App,
    Proto(r): Proto<TransitionModelVersionStage>,
) -> Reply<transition_model_version_stage::Response> {
    let (stage, archive) = (Stage::parse(r.stage())?, r.archive_existing_versions());
    if archive {
        stage.require_archivable(r.stage())?;
    }
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    let version = app.store.transition_model_version_stage(key, stage, archive).await?;
    reply::json(transition_model_version_stage::Response { model_version: Some(version) })
}

/// `DELETE model-versions/delete`. Upstream: `_delete_model_version`.
pub async fn delete_model_version(
    app: App,
    Proto(r): Proto<DeleteModelVersion>,
) -> Reply<delete_model_version::Response> {
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    app.store.delete_model_version(key).await?;
    reply::empty()
}

/// `GET model-versions/get-download-uri`. Upstream: `_get_model_version_download_uri`.
pub async fn get_model_version_download_uri(
    app: App,
    Proto(r): Proto<GetModelVersionDownloadUri>,
) -> Reply<get_model_version_download_uri::Response> {
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    let artifact_uri = app.store.get_model_version_download_uri(key).await?;
    reply::json(get_model_version_download_uri::Response { artifact_uri })
}

/// `GET model-versions/search`. Upstream: `_search_model_versions`.
pub async fn search_model_versions(
    app: App,
    Proto(r): Proto<SearchModelVersions>,
) -> Reply<search_model_versions::Response> {
    reply::json(app.store.search_model_versions(r).await?)
}

/// `POST model-versions/set-tag`. Upstream: `_set_model_version_tag`.
pub async fn set_model_version_tag(
    app: App,
    Proto(r): Proto<SetModelVersionTag>,
) -> Reply<set_model_version_tag::Response> {
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    let tag = Tag { key: r.key.unwrap_or_default(), value: r.value.unwrap_or_default() };
    app.store.set_model_version_tag(key, tag).await?;
    reply::empty()
}

/// `DELETE model-versions/delete-tag`. Upstream: `_delete_model_version_tag`.
pub async fn delete_model_version_tag(
    app: App,
    Proto(r): Proto<DeleteModelVersionTag>,
) -> Reply<delete_model_version_tag::Response> {
    let key = VersionKey::parse(r.name, r.version.as_deref().unwrap_or_default())?;
    app.store.delete_model_version_tag(key, r.key.unwrap_or_default()).await?;
    reply::empty()
}

/// The query of `GET /model-versions/get-artifact`.
#[derive(Debug, Deserialize)]
pub struct GetModelVersionArtifact {
    name: Option<String>,
    version: Option<String>,
    path: Option<String>,
}

/// `GET /model-versions/get-artifact`. Upstream: `get_model_version_artifact_handler`.
pub async fn get_model_version_artifact(
    app: App,
    request: HttpRequest,
    query: Query<GetModelVersionArtifact>,
) -> Result<HttpResponse> {
    let GetModelVersionArtifact { name, version, path } = query.into_inner();
    let path = path.ok_or_else(|| Error::new(ErrorCode::BadRequest, "Request must specify path."))?;
    let path = ArtifactPath::parse(&path)?;
    let key = VersionKey::parse(name, version.as_deref().unwrap_or_default())?;
    let VersionFolder { uri, run_uri } = app.store.get_model_version_folder(key).await?;
    let folder = match run_uri {
        Some(run_uri) => app.artifacts.folder_within(&uri, &run_uri)?,
        None => app.artifacts.folder(&uri)?,
    };
    downloads::send(&request, &folder, &path, Sender::Page).await
}
