//! Registered models with their tags and aliases. Their versions are in `model_versions.rs`.

use crate::api::extract::Check::{Array, AtMost, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::{ModelAlias, ModelName, Tag, VersionText};
use crate::domain::registry::{MAX_MODELS, NewRegisteredModel};
use crate::proto::{
    CreateRegisteredModel, DeleteRegisteredModel, DeleteRegisteredModelAlias, DeleteRegisteredModelTag,
    GetLatestVersions, GetModelVersionByAlias, GetRegisteredModel, RenameRegisteredModel,
    SearchRegisteredModels, SetRegisteredModelAlias, SetRegisteredModelTag, UpdateRegisteredModel,
    create_registered_model, delete_registered_model, delete_registered_model_alias,
    delete_registered_model_tag, get_latest_versions, get_model_version_by_alias, get_registered_model,
    rename_registered_model, search_registered_models, set_registered_model_alias, set_registered_model_tag,
    update_registered_model,
};

impl Request for CreateRegisteredModel {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("tags", &[Array]), ("description", &[Str])];
}

impl Request for GetRegisteredModel {
    const SCHEMA: Schema = &[("name", &[Str, Required])];
}

impl Request for UpdateRegisteredModel {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("description", &[Str])];
}

impl Request for RenameRegisteredModel {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("new_name", &[Str, Required])];
}

impl Request for DeleteRegisteredModel {
    const SCHEMA: Schema = &[("name", &[Str, Required])];
}

impl Request for SearchRegisteredModels {
    const SCHEMA: Schema = &[
        ("filter", &[Str]),
        ("max_results", &[Int, AtMost(MAX_MODELS)]),
        ("order_by", &[Array, Strings]),
        ("page_token", &[Str]),
    ];
}

impl Request for GetLatestVersions {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("stages", &[Array, Strings])];
}

impl Request for SetRegisteredModelTag {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("key", &[Str, Required]), ("value", &[Str])];
}

impl Request for DeleteRegisteredModelTag {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("key", &[Str, Required])];
}

impl Request for SetRegisteredModelAlias {
    const SCHEMA: Schema =
        &[("name", &[Str, Required]), ("alias", &[Str, Required]), ("version", &[Str, Required])];
}

impl Request for DeleteRegisteredModelAlias {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("alias", &[Str, Required])];
}

impl Request for GetModelVersionByAlias {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("alias", &[Str, Required])];
}

/// `POST registered-models/create`. Upstream: `_create_registered_model`.
pub async fn create_registered_model(
    app: App,
    Proto(r): Proto<CreateRegisteredModel>,
) -> Reply<create_registered_model::Response> {
    let model = app.store.create_registered_model(NewRegisteredModel::try_from(r)?).await?;
    reply::json(create_registered_model::Response { registered_model: Some(model) })
}

/// `GET registered-models/get`. Upstream: `_get_registered_model`.
pub async fn get_registered_model(
    app: App,
    Proto(r): Proto<GetRegisteredModel>,
) -> Reply<get_registered_model::Response> {
    let model = app.store.get_registered_model(ModelName::from(r.name)).await?;
    reply::json(get_registered_model::Response { registered_model: Some(model) })
}

/// `PATCH registered-models/update`. Upstream: `_update_registered_model`.
pub async fn update_registered_model(
    app: App,
    Proto(r): Proto<UpdateRegisteredModel>,
) -> Reply<update_registered_model::Response> {
    let (name, description) = (ModelName::from(r.name), r.description.unwrap_or_default());
    let model = app.store.update_registered_model(name, description).await?;
    reply::json(update_registered_model::Response { registered_model: Some(model) })
}

/// `POST registered-models/rename`. Upstream: `_rename_registered_model`.
pub async fn rename_registered_model(
    app: App,
    Proto(r): Proto<RenameRegisteredModel>,
) -> Reply<rename_registered_model::Response> {
    let (name, new_name) = (ModelName::from(r.name), r.new_name.unwrap_or_default());
    let model = app.store.rename_registered_model(name, new_name).await?;
    reply::json(rename_registered_model::Response { registered_model: Some(model) })
}

/// `DELETE registered-models/delete`. Upstream: `_delete_registered_model`.
pub async fn delete_registered_model(
    app: App,
    Proto(r): Proto<DeleteRegisteredModel>,
) -> Reply<delete_registered_model::Response> {
    app.store.delete_registered_model(ModelName::from(r.name)).await?;
    reply::empty()
}

/// `GET registered-models/search`. Upstream: `_search_registered_models`.
pub async fn search_registered_models(
    app: App,
    Proto(r): Proto<SearchRegisteredModels>,
) -> Reply<search_registered_models::Response> {
    reply::json(app.store.search_registered_models(r).await?)
}

/// `GET` and `POST registered-models/get-latest-versions`. Upstream: `_get_latest_versions`.
pub async fn get_latest_versions(
    app: App,
    Proto(r): Proto<GetLatestVersions>,
) -> Reply<get_latest_versions::Response> {
    let model_versions = app.store.get_latest_versions(ModelName::from(r.name), r.stages).await?;
    reply::json(get_latest_versions::Response { model_versions })
}

/// `POST registered-models/set-tag`. Upstream: `_set_registered_model_tag`.
pub async fn set_registered_model_tag(
    app: App,
    Proto(r): Proto<SetRegisteredModelTag>,
) -> Reply<set_registered_model_tag::Response> {
    let tag = Tag { key: r.key.unwrap_or_default(), value: r.value.unwrap_or_default() };
    app.store.set_registered_model_tag(ModelName::from(r.name), tag).await?;
    reply::empty()
}

/// `DELETE registered-models/delete-tag`. Upstream: `_delete_registered_model_tag`.
pub async fn delete_registered_model_tag(
    app: App,
    Proto(r): Proto<DeleteRegisteredModelTag>,
) -> Reply<delete_registered_model_tag::Response> {
    app.store.delete_registered_model_tag(ModelName::from(r.name), r.key.unwrap_or_default()).await?;
    reply::empty()
}

/// `POST registered-models/alias`. Upstream: `_set_registered_model_alias`.
pub async fn set_registered_model_alias(
    app: App,
    Proto(r): Proto<SetRegisteredModelAlias>,
) -> Reply<set_registered_model_alias::Response> {
    let (name, alias) = (ModelName::from(r.name), ModelAlias::from(r.alias));
    app.store.set_registered_model_alias(name, alias, VersionText::from(r.version)).await?;
    reply::empty()
}

/// `DELETE registered-models/alias`. Upstream: `_delete_registered_model_alias`.
pub async fn delete_registered_model_alias(
    app: App,
    Proto(r): Proto<DeleteRegisteredModelAlias>,
) -> Reply<delete_registered_model_alias::Response> {
    app.store.delete_registered_model_alias(ModelName::from(r.name), ModelAlias::from(r.alias)).await?;
    reply::empty()
}

/// `GET registered-models/alias`. Upstream: `_get_model_version_by_alias`.
pub async fn get_model_version_by_alias(
    app: App,
    Proto(r): Proto<GetModelVersionByAlias>,
) -> Reply<get_model_version_by_alias::Response> {
    let (name, alias) = (ModelName::from(r.name), ModelAlias::from(r.alias));
    let version = app.store.get_model_version_by_alias(name, alias).await?;
    reply::json(get_model_version_by_alias::Response { model_version: Some(version) })
}
