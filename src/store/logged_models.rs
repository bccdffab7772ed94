//! Logged models: their life, their params and tags, and how rows become [`LoggedModel`] messages. Their metrics are
//! written with those of the runs, in `runs/log.rs`.

mod search;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::conn::Conn;
use super::error::is_unique_violation;
use super::experiments::{ACTIVE, DELETED, get_experiment_in, require_active};
use super::runs::{get_row, require_active_run};
use super::schema::{
    logged_model_metrics, logged_model_params, logged_model_tags, logged_models, tags as run_tags,
};
use super::{Store, each};
use crate::domain::ids::{LoggedModelId, ModelName};
use crate::domain::logged_model::{NewLoggedModel, VERSIONS_TAG, last_of_each, with_version};
use crate::domain::model_history::{HISTORY_TAG, RecordedModel};
use crate::domain::time::now_ms;
use crate::domain::validate::LongValues;
use crate::domain::{Error, ErrorCode, Result, artifact_uri, python};
use crate::proto::{
    LoggedModel, LoggedModelData, LoggedModelInfo, LoggedModelParameter, LoggedModelStatus, LoggedModelTag,
    Metric,
};

/// Rows that go into one statement: few enough for the binds of either database.
const ROWS_PER_STATEMENT: usize = 1000;
/// Models that are completed by one round of statements: SQLite takes no more than 32,766 binds.
const MODELS_PER_ROUND: usize = 30_000;

/// Which models a look-up by id finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Only those that are not deleted.
    Hidden,
    /// Also deleted ones.
    Shown,
}

impl Store {
    /// Stores a logged model in an active experiment, as pending. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown experiment, `INVALID_PARAMETER_VALUE` for a deleted one, `BAD_REQUEST`
    /// for a param or tag that is given twice. Upstream: `SqlAlchemyStore.create_logged_model`.
    pub async fn create_logged_model(&self, new: NewLoggedModel) -> Result<LoggedModel> {
        self.write(move |conn| create_in(conn, &new)).await
    }

    /// Returns a logged model with its params, tags and metrics.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_logged_model(&self, id: LoggedModelId, deleted: Deleted) -> Result<LoggedModel> {
        self.read(move |conn| get_in(conn, &id, deleted)).await
    }

    /// Sets the status of a logged model, also of a deleted one. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `SqlAlchemyStore.finalize_logged_model`.
    pub async fn finalize_logged_model(
        &self,
        id: LoggedModelId,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel> {
        self.write(move |conn| {
            let new = (
                logged_models::status.eq(i32::from(status)),
                logged_models::last_updated_timestamp_ms.eq(now_ms()),
            );
            let changed =
                each!(conn, c => diesel::update(logged_models::table.find(id.as_str())).set(new).execute(c))?;
            if changed == 0 { Err(not_found(&id)) } else { get_in(conn, &id, Deleted::Shown) }
        })
        .await
    }

    /// Marks a logged model as deleted; it stays in the database.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; not for one that is deleted already.
    pub async fn delete_logged_model(&self, id: LoggedModelId) -> Result<()> {
        self.write(move |conn| {
            let new = (
                logged_models::lifecycle_stage.eq(DELETED),
                logged_models::last_updated_timestamp_ms.eq(now_ms()),
            );
            let changed =
                each!(conn, c => diesel::update(logged_models::table.find(id.as_str())).set(new).execute(c))?;
            if changed == 0 { Err(not_found(&id)) } else { Ok(()) }
        })
        .await
    }

    /// Adds params to a logged model, also to a deleted one. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown model, `BAD_REQUEST` for a param that is there already, even with the
    /// same value. Upstream: `SqlAlchemyStore.log_logged_model_params`.
    pub async fn log_logged_model_params(
        &self,
        id: LoggedModelId,
        params: Vec<LoggedModelParameter>,
    ) -> Result<()> {
        self.write(move |conn| {
            let experiment_id = experiment_of(conn, &id)?;
            insert_params(conn, &id, experiment_id, &params)
        })
        .await
    }

    /// Writes tags of a logged model over earlier values, also of a deleted one. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `SqlAlchemyStore.set_logged_model_tags`.
    pub async fn set_logged_model_tags(&self, id: LoggedModelId, tags: Vec<LoggedModelTag>) -> Result<()> {
        let tags = last_of_each(tags);
        self.write(move |conn| {
            let experiment_id = experiment_of(conn, &id)?;
            for chunk in tags.chunks(ROWS_PER_STATEMENT) {
                let rows: Vec<_> = chunk.iter().map(|tag| tag_row(&id, experiment_id, tag)).collect();
                each!(conn, c => diesel::insert_into(logged_model_tags::table)
                    .values(&rows)
                    .on_conflict((logged_model_tags::model_id, logged_model_tags::tag_key))
                    .do_update()
                    .set(logged_model_tags::tag_value.eq(excluded(logged_model_tags::tag_value)))
                    .execute(c))?;
            }
            Ok(())
        })
        .await
    }

    /// Removes a tag of a logged model, also of a deleted one. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` when the model or the tag is not there.
    pub async fn delete_logged_model_tag(&self, id: LoggedModelId, key: String) -> Result<()> {
        self.write(move |conn| {
            experiment_of(conn, &id)?;
            let tag = logged_model_tags::table.find((id.as_str(), key.as_str()));
            if each!(conn, c => diesel::delete(tag).execute(c))? == 0 {
                let (key, id) = (python::repr(&key), python::repr(&id));
                return Err(Error::not_found(format!("No tag with key {key} found for model with ID {id}.")));
            }
            Ok(())
        })
        .await
    }

    /// Adds a model to the list in the tag of an active run. One transaction; two at the same time both get in.
    ///
    /// # Errors
    /// As for a run that is unknown or deleted. Upstream: `SqlAlchemyStore.record_logged_model`.
    pub async fn record_logged_model(&self, model: RecordedModel, long: LongValues) -> Result<()> {
        self.write(move |conn| {
            require_active_run(&get_row(conn, &model.run_id)?)?;
            // Creates the tag or locks it, so that nobody else's entry is lost.
            let tag = (
                run_tags::key.eq(HISTORY_TAG),
                run_tags::run_uuid.eq(&model.run_id),
                run_tags::value.eq("[]"),
            );
            each!(conn, c => diesel::insert_into(run_tags::table)
                .values(tag)
                .on_conflict((run_tags::key, run_tags::run_uuid))
                .do_update()
                .set(run_tags::value.eq(run_tags::value))
                .execute(c))?;
            let tag = run_tags::table.find((HISTORY_TAG, &model.run_id));
            let list: Option<String> = each!(conn, c => tag.select(run_tags::value).first(c))?;
            let list = model.append_to(list.as_deref(), long)?;
            each!(conn, c => diesel::update(tag).set(run_tags::value.eq(&list)).execute(c))?;
            Ok(())
        })
        .await
    }
}

/// A row of `logged_models`.
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = logged_models, treat_none_as_default_value = false)]
struct LoggedModelRow {
    model_id: String,
    experiment_id: i32,
    name: String,
    artifact_location: String,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    status: i32,
    lifecycle_stage: Option<String>,
    model_type: Option<String>,
    source_run_id: Option<String>,
    status_message: Option<String>,
}

impl LoggedModelRow {
    fn into_message(self, of_model: OfModel) -> LoggedModel {
        let info = LoggedModelInfo {
            model_id: Some(self.model_id),
            experiment_id: Some(self.experiment_id.to_string()),
            name: Some(self.name),
            creation_timestamp_ms: Some(self.creation_timestamp_ms),
            last_updated_timestamp_ms: Some(self.last_updated_timestamp_ms),
            artifact_uri: Some(self.artifact_location),
            status: Some(self.status),
            creator_id: None,
            model_type: self.model_type,
            source_run_id: self.source_run_id,
            status_message: self.status_message,
            tags: of_model.tags,
            // Stock's server never fills it either.
            registrations: Vec::new(),
        };
        LoggedModel { info: Some(info), data: Some(of_model.data) }
    }
}

/// What belongs to one logged model.
#[derive(Debug, Default)]
struct OfModel {
    tags: Vec<LoggedModelTag>,
    data: LoggedModelData,
}

/// Upstream: `SqlAlchemyStore._raise_model_not_found`.
fn not_found(id: &str) -> Error {
    Error::not_found(format!("Logged model with ID '{id}' not found."))
}

/// Where a logged model is and where it comes from.
pub(super) struct Location {
    pub(super) location: String,
    pub(super) source_run_id: Option<String>,
}

/// Returns where a logged model is that is not deleted.
pub(super) fn location_of(conn: &mut Conn, id: &str) -> Result<Location> {
    let found: Option<(String, Option<String>)> = each!(conn, c => logged_models::table
        .find(id)
        .filter(logged_models::lifecycle_stage.ne(DELETED))
        .select((logged_models::artifact_location, logged_models::source_run_id))
        .first(c)
        .optional())?;
    let (location, source_run_id) = found.ok_or_else(|| not_found(id))?;
    Ok(Location { location, source_run_id })
}

/// Adds a version of a registered model to the list in the tag of the logged model it comes from.
///
/// # Errors
/// `RESOURCE_DOES_NOT_EXIST`. Upstream: `AbstractStore.set_model_versions_tags`.
pub(super) fn add_version_to_model(
    conn: &mut Conn,
    id: &LoggedModelId,
    name: &ModelName,
    version: i32,
) -> Result<()> {
    location_of(conn, id)?;
    let tag = LoggedModelTag { key: Some(VERSIONS_TAG.into()), value: Some("[]".into()) };
    // Creates the tag or locks it, so that nobody else's entry is lost.
    let experiment_id = experiment_of(conn, id)?;
    each!(conn, c => diesel::insert_into(logged_model_tags::table)
        .values(tag_row(id, experiment_id, &tag))
        .on_conflict((logged_model_tags::model_id, logged_model_tags::tag_key))
        .do_update()
        .set(logged_model_tags::tag_value.eq(logged_model_tags::tag_value))
        .execute(c))?;
    let tag = logged_model_tags::table.find((id.as_str(), VERSIONS_TAG));
    let list: String = each!(conn, c => tag.select(logged_model_tags::tag_value).first(c))?;
    let list = with_version(&list, name, version);
    each!(conn, c => diesel::update(tag).set(logged_model_tags::tag_value.eq(&list)).execute(c))?;
    Ok(())
}

fn experiment_of(conn: &mut Conn, id: &str) -> Result<i32> {
    let model = logged_models::table.find(id).select(logged_models::experiment_id);
    each!(conn, c => model.first(c).optional())?.ok_or_else(|| not_found(id))
}

fn get_in(conn: &mut Conn, id: &str, deleted: Deleted) -> Result<LoggedModel> {
    let row = each!(conn, c => logged_models::table
        .find(id)
        .select(LoggedModelRow::as_select())
        .first(c)
        .optional())?;
    let row = row
        .filter(|row| deleted == Deleted::Shown || row.lifecycle_stage.as_deref() != Some(DELETED))
        .ok_or_else(|| not_found(id))?;
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

fn create_in(conn: &mut Conn, new: &NewLoggedModel) -> Result<LoggedModel> {
    let experiment_id = new.experiment_id.number();
    let experiment = get_experiment_in(conn, experiment_id)?;
    require_active(&experiment)?;
    let now = now_ms();
    let row = LoggedModelRow {
        model_id: new.model_id.clone(),
        experiment_id,
        name: new.name.clone(),
        artifact_location: artifact_uri::logged_model_location(
            experiment.artifact_location(),
            &new.model_id,
        )?,
        creation_timestamp_ms: now,
        last_updated_timestamp_ms: now,
        status: LoggedModelStatus::LoggedModelPending.into(),
        lifecycle_stage: Some(ACTIVE.to_owned()),
        model_type: Some(new.model_type.clone()),
        source_run_id: Some(new.source_run_id.clone()),
        status_message: None,
    };
    each!(conn, c => diesel::insert_into(logged_models::table).values(&row).execute(c))?;
    insert_params(conn, &new.model_id, experiment_id, &new.params)?;
    for chunk in new.tags.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk.iter().map(|tag| tag_row(&new.model_id, experiment_id, tag)).collect();
        each!(conn, c => diesel::insert_into(logged_model_tags::table).values(&rows).execute(c))
            .map_err(|e| twice_or(e, "A tag is given twice."))?;
    }
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

type TagRow<'a> = (
    diesel::dsl::Eq<logged_model_tags::model_id, &'a str>,
    diesel::dsl::Eq<logged_model_tags::experiment_id, i32>,
    diesel::dsl::Eq<logged_model_tags::tag_key, &'a str>,
    diesel::dsl::Eq<logged_model_tags::tag_value, &'a str>,
);

fn tag_row<'a>(id: &'a str, experiment_id: i32, tag: &'a LoggedModelTag) -> TagRow<'a> {
    (
        logged_model_tags::model_id.eq(id),
        logged_model_tags::experiment_id.eq(experiment_id),
        logged_model_tags::tag_key.eq(tag.key()),
        logged_model_tags::tag_value.eq(tag.value()),
    )
}

fn insert_params(
    conn: &mut Conn,
    id: &str,
    experiment_id: i32,
    params: &[LoggedModelParameter],
) -> Result<()> {
    for chunk in params.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|param| {
                (
                    logged_model_params::model_id.eq(id),
                    logged_model_params::experiment_id.eq(experiment_id),
                    logged_model_params::param_key.eq(param.key()),
                    logged_model_params::param_value.eq(param.value()),
                )
            })
            .collect();
        each!(conn, c => diesel::insert_into(logged_model_params::table).values(&rows).execute(c))
            .map_err(|e| twice_or(e, format!("A param is given twice, or model '{id}' has it already.")))?;
    }
    Ok(())
}

/// `BAD_REQUEST` with `message` when a key was there already; stock answers with the database's own words.
fn twice_or(error: diesel::result::Error, message: impl Into<String>) -> Error {
    if is_unique_violation(&error) {
        return Error::new(ErrorCode::BadRequest, message).with_source(error);
    }
    error.into()
}

/// Adds to a page of rows what belongs to them, keeping the order, by three statements if the page is not huge. Tags and
/// params come in the order of their keys, metrics as they were logged.
fn assemble(conn: &mut Conn, page: Vec<LoggedModelRow>) -> Result<Vec<LoggedModel>> {
    let ids: Vec<&str> = page.iter().map(|row| row.model_id.as_str()).collect();
    let mut loaded: HashMap<String, OfModel> = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(MODELS_PER_ROUND) {
        load_tags(conn, ids, &mut loaded)?;
        load_params(conn, ids, &mut loaded)?;
        load_metrics(conn, ids, &mut loaded)?;
    }
    Ok(page
        .into_iter()
        .map(|row| {
            let of_model = loaded.remove(&row.model_id).unwrap_or_default();
            row.into_message(of_model)
        })
        .collect())
}

fn load_tags(conn: &mut Conn, ids: &[&str], loaded: &mut HashMap<String, OfModel>) -> Result<()> {
    use logged_model_tags::{model_id, table, tag_key, tag_value};
    let rows: Vec<(String, String, String)> = each!(conn, c => table
        .filter(model_id.eq_any(ids))
        .select((model_id, tag_key, tag_value))
        .order((model_id, tag_key))
        .load(c))?;
    for (model, key, value) in rows {
        let tags = &mut loaded.entry(model).or_default().tags;
        tags.push(LoggedModelTag { key: Some(key), value: Some(value) });
    }
    Ok(())
}

fn load_params(conn: &mut Conn, ids: &[&str], loaded: &mut HashMap<String, OfModel>) -> Result<()> {
    use logged_model_params::{model_id, param_key, param_value, table};
    let rows: Vec<(String, String, String)> = each!(conn, c => table
        .filter(model_id.eq_any(ids))
        .select((model_id, param_key, param_value))
        .order((model_id, param_key))
        .load(c))?;
    for (model, key, value) in rows {
        let params = &mut loaded.entry(model).or_default().data.params;
        params.push(LoggedModelParameter { key: Some(key), value: Some(value) });
    }
    Ok(())
}

/// A row of `logged_model_metrics`, as far as it is shown.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = logged_model_metrics)]
struct MetricRow {
    model_id: String,
    metric_name: String,
    metric_timestamp_ms: i64,
    metric_step: i64,
    metric_value: Option<f64>,
    run_id: String,
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

fn load_metrics(conn: &mut Conn, ids: &[&str], loaded: &mut HashMap<String, OfModel>) -> Result<()> {
    let rows: Vec<MetricRow> = each!(conn, c => logged_model_metrics::table
        .filter(logged_model_metrics::model_id.eq_any(ids))
        .select(MetricRow::as_select())
        .load(c))?;
    for row in rows {
        let metrics = &mut loaded.entry(row.model_id.clone()).or_default().data.metrics;
        metrics.push(Metric {
            key: Some(row.metric_name),
            value: row.metric_value,
            timestamp: Some(row.metric_timestamp_ms),
            step: Some(row.metric_step),
            dataset_name: row.dataset_name.filter(|name| !name.is_empty()),
            dataset_digest: row.dataset_digest.filter(|digest| !digest.is_empty()),
            model_id: Some(row.model_id),
            run_id: Some(row.run_id),
        });
    }
    Ok(())
}
