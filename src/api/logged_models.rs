//! Logged models. Their artifacts are in `artifacts.rs`.

use actix_web::web::{Path, Query};
use serde::Deserialize;

use crate::api::extract::Check::{Array, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::LoggedModelId;
use crate::domain::logged_model::{LoggedModelPage, NewLoggedModel};
use crate::domain::model_history::RecordedModel;
use crate::proto::{
    CreateLoggedModel, FinalizeLoggedModel, LogLoggedModelParamsRequest, LogModel, SearchLoggedModels,
    SetLoggedModelTags, create_logged_model, delete_logged_model, delete_logged_model_tag,
    finalize_logged_model, get_logged_model, log_logged_model_params_request, log_model,
    search_logged_models, set_logged_model_tags,
};
use crate::search::logged_models::LoggedModelQuery;
use crate::store::logged_models::Deleted;

impl Request for CreateLoggedModel {
    const SCHEMA: Schema = &[
        ("experiment_id", &[Str, Required]),
        ("name", &[Str]),
        ("model_type", &[Str]),
        ("source_run_id", &[Str]),
        ("params", &[Array]),
        ("tags", &[Array]),
    ];
}

impl Request for FinalizeLoggedModel {
    const SCHEMA: Schema = &[("model_id", &[Str, Required]), ("status", &[Int, Required])];
}

impl Request for LogLoggedModelParamsRequest {
    const SCHEMA: Schema = &[("model_id", &[Str, Required]), ("params", &[Array])];
}

impl Request for SetLoggedModelTags {
    const SCHEMA: Schema = &[("tags", &[Array])];
}

impl Request for SearchLoggedModels {
    const SCHEMA: Schema = &[
        ("experiment_ids", &[Array, Strings, Required]),
        ("filter", &[Str]),
        ("datasets", &[Array]),
        ("max_results", &[Int]),
        ("order_by", &[Array]),
        ("page_token", &[Str]),
    ];
}

impl Request for LogModel {
    const SCHEMA: Schema = &[("run_id", &[Str, Required]), ("model_json", &[Str, Required])];
}

/// `POST logged-models`. Upstream: `_create_logged_model`.
pub async fn create_logged_model(
    app: App,
    Proto(r): Proto<CreateLoggedModel>,
) -> Reply<create_logged_model::Response> {
    let model = app.store.create_logged_model(NewLoggedModel::try_from(r)?).await?;
    reply::json(create_logged_model::Response { model: Some(model) })
}

/// The query parameters of a GET.
#[derive(Debug, Deserialize)]
pub struct GetOptions {
    allow_deleted: Option<String>,
}

/// `GET logged-models/{model_id}`. Upstream: `_get_logged_model`.
pub async fn get_logged_model(
    app: App,
    id: Path<LoggedModelId>,
    options: Query<GetOptions>,
) -> Reply<get_logged_model::Response> {
    let allowed = options.allow_deleted.as_deref().is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let deleted = if allowed { Deleted::Shown } else { Deleted::Hidden };
    let model = app.store.get_logged_model(id.into_inner(), deleted).await?;
    reply::json(get_logged_model::Response { model: Some(model) })
}

/// `PATCH logged-models/{model_id}`; as in stock, the id in the body counts. Upstream: `_finalize_logged_model`.
pub async fn finalize_logged_model(
    app: App,
    Proto(r): Proto<FinalizeLoggedModel>,
) -> Reply<finalize_logged_model::Response> {
    let status = r.status();
    let model = app.store.finalize_logged_model(LoggedModelId::from(r.model_id), status).await?;
    reply::json(finalize_logged_model::Response { model: Some(model) })
}

/// `DELETE logged-models/{model_id}`. Upstream: `_delete_logged_model`.
pub async fn delete_logged_model(app: App, id: Path<LoggedModelId>) -> Reply<delete_logged_model::Response> {
    app.store.delete_logged_model(id.into_inner()).await?;
    reply::empty()
}

/// `POST logged-models/{model_id}/params`. Upstream: `_log_logged_model_params`.
pub async fn log_logged_model_params(
    app: App,
    id: Path<LoggedModelId>,
    Proto(r): Proto<LogLoggedModelParamsRequest>,
) -> Reply<log_logged_model_params_request::Response> {
    app.store.log_logged_model_params(id.into_inner(), r.params).await?;
    reply::empty()
}

/// `PATCH logged-models/{model_id}/tags`. Upstream: `_set_logged_model_tags`.
pub async fn set_logged_model_tags(
    app: App,
    id: Path<LoggedModelId>,
    Proto(r): Proto<SetLoggedModelTags>,
) -> Reply<set_logged_model_tags::Response> {
    app.store.set_logged_model_tags(id.into_inner(), r.tags).await?;
    reply::empty()
}

/// `DELETE logged-models/{model_id}/tags/{tag_key}`. Upstream: `_delete_logged_model_tag`.
pub async fn delete_logged_model_tag(
    app: App,
    path: Path<(LoggedModelId, String)>,
) -> Reply<delete_logged_model_tag::Response> {
    let (id, key) = path.into_inner();
    app.store.delete_logged_model_tag(id, key).await?;
    reply::empty()
}

/// `POST logged-models/search`. Upstream: `_search_logged_models`.
pub async fn search_logged_models(
    app: App,
    Proto(r): Proto<SearchLoggedModels>,
) -> Reply<search_logged_models::Response> {
    let page = LoggedModelPage::try_from(&r)?;
    let query = LoggedModelQuery::parse(r.filter(), &r.order_by)?;
    reply::json(app.store.search_logged_models(page, query).await?)
}

/// `POST runs/log-model`, the old way to tell of a model. Upstream: `_log_model`.
pub async fn log_model(app: App, Proto(r): Proto<LogModel>) -> Reply<log_model::Response> {
    app.store.record_logged_model(RecordedModel::try_from(r)?, app.limits.long_values).await?;
    reply::empty()
}
