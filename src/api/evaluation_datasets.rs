//! Datasets of evaluations and their records. The datasets that runs read are in `datasets.rs`.

use actix_web::web::Path;

use crate::api::answer::LARGE;
use crate::api::body::VALUE_SIZE;
use crate::api::extract::Check::{Array, Int, Required, Str};
use crate::api::extract::{Proto, Request, Schema};
use crate::api::memory::Share;
use crate::api::reply::{self, Reply};
use crate::api::state::{App, AppState};
use crate::domain::Result;
use crate::domain::evaluation_dataset::records::{GivenRecord, PageStart, Record, parse_records, shown};
use crate::domain::evaluation_dataset::{NewEvaluationDataset, page_size, parse_tags};
use crate::domain::ids::EvaluationDatasetId;
use crate::domain::validate::count_values;
use crate::proto::{
    AddDatasetToExperiments, CreateDataset, DeleteDatasetRecords, GetDatasetRecords,
    RemoveDatasetFromExperiments, SearchEvaluationDatasets, SetDatasetTags, UpsertDatasetRecords,
    add_dataset_to_experiments, create_dataset, delete_dataset, delete_dataset_records, delete_dataset_tag,
    get_dataset, get_dataset_experiment_ids, get_dataset_records, remove_dataset_from_experiments,
    search_evaluation_datasets, set_dataset_tags, upsert_dataset_records,
};

impl Request for CreateDataset {
    const SCHEMA: Schema = &[("name", &[Str, Required]), ("experiment_ids", &[Array]), ("tags", &[Str])];
}

impl Request for SearchEvaluationDatasets {
    const SCHEMA: Schema = &[
        ("experiment_ids", &[Array]),
        ("filter_string", &[Str]),
        ("max_results", &[Int]),
        ("order_by", &[Array]),
        ("page_token", &[Str]),
    ];
}

impl Request for SetDatasetTags {
    const SCHEMA: Schema = &[("tags", &[Required, Str])];
}

impl Request for UpsertDatasetRecords {
    const SCHEMA: Schema = &[("records", &[Required, Str])];
}

impl Request for GetDatasetRecords {
    const SCHEMA: Schema = &[("max_results", &[Int]), ("page_token", &[Str])];
}

impl Request for DeleteDatasetRecords {
    const SCHEMA: Schema = &[("dataset_record_ids", &[Array])];
}

impl Request for AddDatasetToExperiments {
    const SCHEMA: Schema = &[("experiment_ids", &[Array])];
}

impl Request for RemoveDatasetFromExperiments {
    const SCHEMA: Schema = &[("experiment_ids", &[Array])];
}

/// `POST datasets/create`. Upstream: `_create_dataset_handler`.
pub async fn create_dataset(app: App, Proto(r): Proto<CreateDataset>) -> Reply<create_dataset::Response> {
    let dataset = app.store.create_dataset(NewEvaluationDataset::try_from(r)?).await?;
    reply::json(create_dataset::Response { dataset: Some(dataset) })
}

/// `GET datasets/{dataset_id}`. Upstream: `_get_dataset_handler`.
pub async fn get_dataset(app: App, id: Path<EvaluationDatasetId>) -> Reply<get_dataset::Response> {
    let dataset = app.store.get_dataset(id.into_inner()).await?;
    reply::json(get_dataset::Response { dataset: Some(dataset), next_page_token: None })
}

/// `DELETE datasets/{dataset_id}`. Upstream: `_delete_dataset_handler`.
pub async fn delete_dataset(app: App, id: Path<EvaluationDatasetId>) -> Reply<delete_dataset::Response> {
    app.store.delete_dataset(id.into_inner()).await?;
    reply::empty()
}

/// `POST datasets/search`. Upstream: `_search_evaluation_datasets_handler`.
pub async fn search_evaluation_datasets(
    app: App,
    Proto(r): Proto<SearchEvaluationDatasets>,
) -> Reply<search_evaluation_datasets::Response> {
    reply::json(app.store.search_evaluation_datasets(r).await?)
}

/// `PATCH datasets/{dataset_id}/tags`. Upstream: `_set_dataset_tags_handler`.
pub async fn set_dataset_tags(
    app: App,
    id: Path<EvaluationDatasetId>,
    Proto(r): Proto<SetDatasetTags>,
) -> Reply<set_dataset_tags::Response> {
    app.store.set_dataset_tags(id.into_inner(), parse_tags(r.tags())?).await?;
    reply::empty()
}

/// `DELETE datasets/{dataset_id}/tags/{key}`. Upstream: `_delete_dataset_tag_handler`.
pub async fn delete_dataset_tag(
    app: App,
    path: Path<(EvaluationDatasetId, String)>,
) -> Reply<delete_dataset_tag::Response> {
    let (id, key) = path.into_inner();
    app.store.delete_dataset_tag(id, key).await?;
    reply::empty()
}

/// `GET datasets/{dataset_id}/experiment-ids`. Upstream: `_get_dataset_experiment_ids_handler`.
pub async fn get_dataset_experiment_ids(
    app: App,
    id: Path<EvaluationDatasetId>,
) -> Reply<get_dataset_experiment_ids::Response> {
    let experiment_ids = app.store.get_dataset_experiment_ids(id.into_inner()).await?;
    reply::json(get_dataset_experiment_ids::Response { experiment_ids })
}

/// `POST datasets/{dataset_id}/add-experiments`. Upstream: `_add_dataset_to_experiments_handler`.
pub async fn add_dataset_to_experiments(
    app: App,
    id: Path<EvaluationDatasetId>,
    Proto(r): Proto<AddDatasetToExperiments>,
) -> Reply<add_dataset_to_experiments::Response> {
    let dataset = app.store.add_dataset_to_experiments(id.into_inner(), r.experiment_ids).await?;
    reply::json(add_dataset_to_experiments::Response { dataset: Some(dataset) })
}

/// `POST datasets/{dataset_id}/remove-experiments`. Upstream: `_remove_dataset_from_experiments_handler`.
pub async fn remove_dataset_from_experiments(
    app: App,
    id: Path<EvaluationDatasetId>,
    Proto(r): Proto<RemoveDatasetFromExperiments>,
) -> Reply<remove_dataset_from_experiments::Response> {
    let dataset = app.store.remove_dataset_from_experiments(id.into_inner(), r.experiment_ids).await?;
    reply::json(remove_dataset_from_experiments::Response { dataset: Some(dataset) })
}

/// `POST datasets/{dataset_id}/records`. Upstream: `_upsert_dataset_records_handler`.
pub async fn upsert_dataset_records(
    app: App,
    id: Path<EvaluationDatasetId>,
    Proto(r): Proto<UpsertDatasetRecords>,
) -> Reply<upsert_dataset_records::Response> {
    let (records, _share) = read_records(&app, r.records.unwrap_or_default()).await?;
    let (inserted, updated) = app.store.upsert_dataset_records(id.into_inner(), records).await?;
    reply::json(upsert_dataset_records::Response {
        inserted_count: Some(inserted),
        updated_count: Some(updated),
    })
}

/// Parses records and reserves their memory.
async fn read_records(app: &AppState, text: String) -> Result<(Vec<GivenRecord>, Share)> {
    let (is_large, limits) = (text.len() >= LARGE, app.limits.clone());
    let count = move || (count_values(text.as_bytes(), &limits), text);
    let (values, text) = app.heavy.run_if(is_large, count).await?;
    let share = app.budget.take(values?.saturating_mul(VALUE_SIZE)).await?;
    let records = app.heavy.run_if(is_large, move || parse_records(&text)).await??;
    Ok((records, share))
}

/// `GET datasets/{dataset_id}/records`. Upstream: `_get_dataset_records_handler`.
pub async fn get_dataset_records(
    app: App,
    id: Path<EvaluationDatasetId>,
    Proto(r): Proto<GetDatasetRecords>,
) -> Reply<get_dataset_records::Response> {
    let (size, start) = (page_size(r.max_results())?, PageStart::parse(r.page_token.as_deref())?);
    let id = id.into_inner();
    let (records, next_page_token) = app.store.get_dataset_records(id.clone(), size, start).await?;
    let is_long = records.iter().map(Record::length).sum::<usize>() >= LARGE;
    let records = app.heavy.run_if(is_long, move || shown(&id, &records)).await?;
    reply::json(get_dataset_records::Response { records: Some(records), next_page_token })
}

/// `DELETE datasets/{dataset_id}/records`. Upstream: `_delete_dataset_records_handler`.
pub async fn delete_dataset_records(
    app: App,
    id: Path<EvaluationDatasetId>,
    Proto(r): Proto<DeleteDatasetRecords>,
) -> Reply<delete_dataset_records::Response> {
    let deleted = app.store.delete_dataset_records(id.into_inner(), r.dataset_record_ids).await?;
    reply::json(delete_dataset_records::Response { deleted_count: Some(deleted) })
}
