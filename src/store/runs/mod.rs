//! Runs: their life. What is logged to a run is written in `log.rs` and read in `data.rs`; a new run is made in `create.rs`.

pub(super) mod create;
mod data;
pub(super) mod log;
pub mod metrics;
mod search;

use diesel::dsl::{AssumeNotNull, exists};
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Deserialize;

use super::conn::Conn;
use super::experiments::{ACTIVE, DELETED};
use super::schema::{assessments, runs, tags};
use super::{Store, each};
use crate::domain::ids::RunId;
use crate::domain::time::now_ms;
use crate::domain::{Error, Result};
use crate::proto::{Run, RunInfo, RunStatus, UpdateRun};

impl Store {
    /// Returns a run with its latest metrics, params, tags, inputs and outputs; also a deleted one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_run(&self, id: RunId) -> Result<Run> {
        self.read(move |conn| data::get_whole(conn, &id)).await
    }

    /// Returns where a run keeps its artifacts; also of a deleted one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_run_artifact_uri(&self, id: RunId) -> Result<String> {
        self.read(move |conn| Ok(get_row(conn, &id)?.artifact_uri.unwrap_or_default())).await
    }

    /// Changes status, end time and name of an active run, as far as they are given; the tag that carries the
    /// name follows. One transaction.
    ///
    /// # Errors
    /// As `require_active_run`. Upstream: `SqlAlchemyStore.update_run_info`.
    pub async fn update_run(&self, id: RunId, update: UpdateRun) -> Result<RunInfo> {
        self.write(move |conn| update_run_in(conn, &id, &update)).await
    }

    /// Marks a run as deleted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn delete_run(&self, id: RunId) -> Result<()> {
        self.write(move |conn| {
            get_row(conn, &id)?;
            set_stage_of_run(conn, &id, DELETED)
        })
        .await
    }

    /// Marks a run as active.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn restore_run(&self, id: RunId) -> Result<()> {
        self.write(move |conn| {
            get_row(conn, &id)?;
            set_stage_of_run(conn, &id, ACTIVE)
        })
        .await
    }

    /// Removes a tag of an active run.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` when the run or the tag is not there.
    pub async fn delete_tag(&self, id: RunId, key: String) -> Result<()> {
        self.write(move |conn| {
            require_active_run(&get_row(conn, &id)?)?;
            let deleted =
                each!(conn, c => diesel::delete(tags::table.find((key.as_str(), id.as_str()))).execute(c))?;
            if deleted == 0 {
                return Err(Error::not_found(format!("No tag with name: {key} in run with id {id}")));
            }
            Ok(())
        })
        .await
    }
}

/// A row of `runs`, as far as it is shown.
#[derive(Queryable, Selectable, Deserialize, Debug, Clone)]
#[diesel(table_name = runs)]
pub(super) struct RunRow {
    pub(super) run_uuid: String,
    pub(super) name: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) lifecycle_stage: Option<String>,
    pub(super) artifact_uri: Option<String>,
    pub(super) experiment_id: Option<i32>,
}

impl RunRow {
    fn into_info(self) -> RunInfo {
        RunInfo {
            run_uuid: Some(self.run_uuid.clone()),
            experiment_id: self.experiment_id.map(|id| id.to_string()),
            run_name: self.name,
            user_id: self.user_id,
            status: self.status.and_then(|s| RunStatus::from_str_name(&s)).map(i32::from),
            start_time: self.start_time,
            end_time: self.end_time.filter(|t| *t != 0),
            artifact_uri: self.artifact_uri.filter(|uri| !uri.is_empty()),
            lifecycle_stage: self.lifecycle_stage,
            run_id: Some(self.run_uuid),
        }
    }
}

/// Upstream: `SqlAlchemyStore._get_run`.
pub(super) fn run_not_found(id: &str) -> Error {
    Error::not_found(format!("Run with id={id} not found"))
}

/// Upstream: `SqlAlchemyStore._check_run_is_active`.
pub(super) fn run_not_active(id: &str, stage: &str) -> Error {
    Error::invalid(format!("The run {id} must be in the 'active' state. Current state is {stage}."))
}

/// Returns a run's row.
///
/// # Errors
/// `RESOURCE_DOES_NOT_EXIST`.
pub(super) fn get_row(conn: &mut Conn, id: &str) -> Result<RunRow> {
    let row = each!(conn, c => runs::table.find(id).select(RunRow::as_select()).first(c).optional())?;
    row.ok_or_else(|| run_not_found(id))
}

/// Checks that a run may be written to.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a deleted run.
pub(super) fn require_active_run(row: &RunRow) -> Result<()> {
    match row.lifecycle_stage.as_deref() {
        Some(ACTIVE) => Ok(()),
        stage => Err(run_not_active(&row.run_uuid, stage.unwrap_or("None"))),
    }
}

/// Deletes the assessments that were made by the runs `$which`: a deleted run takes them along. The run stands
/// in an assessment's metadata, which is JSON as Python writes it. Upstream: `SqlAlchemyStore._mark_run_deleted`.
macro_rules! delete_assessments_of {
    ($conn:expr, $which:expr) => {{
        let pattern = "%\"mlflow.assessment.sourceRunId\": \"".into_sql::<Text>().concat(runs::run_uuid).concat("\"%");
        let made_by = runs::table.filter($which).filter(metadata().like(pattern));
        let made = assessments::table
            .filter(metadata().like("%\"mlflow.assessment.sourceRunId\": \"%"))
            .filter(exists(made_by));
        each!($conn, c => diesel::delete(made).execute(c))
    }};
}

fn metadata() -> AssumeNotNull<assessments::assessment_metadata> {
    assessments::assessment_metadata.assume_not_null()
}

fn update_run_in(conn: &mut Conn, id: &RunId, update: &UpdateRun) -> Result<RunInfo> {
    let mut row = get_row(conn, id)?;
    require_active_run(&row)?;
    if update.status.is_some() {
        row.status = Some(update.status().as_str_name().to_owned());
    }
    row.end_time = update.end_time.or(row.end_time);
    each!(conn, c => diesel::update(runs::table.find(id.as_str()))
        .set((runs::status.eq(&row.status), runs::end_time.eq(row.end_time)))
        .execute(c))?;
    if let Some(name) = update.run_name.as_deref().filter(|n| !n.is_empty()) {
        log::rename_run(conn, id, name)?;
        row.name = Some(name.to_owned());
    }
    Ok(row.into_info())
}

/// Marks one run as active or deleted.
fn set_stage_of_run(conn: &mut Conn, id: &str, stage: &str) -> Result<()> {
    if stage == DELETED {
        delete_assessments_of!(conn, runs::run_uuid.eq(id))?;
    }
    each!(conn, c => diesel::update(runs::table.filter(runs::run_uuid.eq(id)))
        .set((runs::lifecycle_stage.eq(stage), runs::deleted_time.eq(deleted_time(stage))))
        .execute(c))?;
    Ok(())
}

/// Marks all runs of an experiment as active or deleted.
pub(super) fn set_stage_in_experiment(conn: &mut Conn, id: i32, stage: &str) -> Result<()> {
    if stage == DELETED {
        delete_assessments_of!(conn, runs::experiment_id.eq(id))?;
    }
    each!(conn, c => diesel::update(runs::table.filter(runs::experiment_id.eq(id)))
        .set((runs::lifecycle_stage.eq(stage), runs::deleted_time.eq(deleted_time(stage))))
        .execute(c))?;
    Ok(())
}

fn deleted_time(stage: &str) -> Option<i64> {
    (stage == DELETED).then(now_ms)
}
