//! Runs that are new. On PostgreSQL those that wait together are stored by one statement (see `ingest.rs`).

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::{RunRow, Store};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::ExperimentId;
use crate::domain::run::{RUN_NAME_TAG, name_of_new_run};
use crate::domain::{Error, ErrorCode, Result, artifact_uri};
use crate::proto::{CreateRun, Run, RunData, RunInputs, RunStatus, RunTag};
use crate::store::bulk::{self, PairRow};
use crate::store::conn::Conn;
use crate::store::each;
use crate::store::experiments::{ACTIVE, experiment_not_found, not_active};
use crate::store::schema::experiments;

/// A run that is asked for, with the id it will have, so that storing it twice makes one run.
#[derive(Debug)]
pub(in crate::store) struct NewRun {
    id: String,
    experiment_id: i32,
    request: CreateRun,
}

impl NewRun {
    /// Reads a request.
    ///
    /// # Errors
    /// `BAD_REQUEST` without an experiment, `INVALID_PARAMETER_VALUE` for an id that is no number.
    pub(super) fn new(request: CreateRun) -> Result<Self> {
        if request.experiment_id().is_empty() {
            return Err(Error::new(ErrorCode::BadRequest, "A run needs the id of its experiment."));
        }
        let experiment_id = ExperimentId::parse(request.experiment_id())?.number();
        Ok(Self { id: uuid::Uuid::new_v4().simple().to_string(), experiment_id, request })
    }

    /// Returns the id of the experiment, as the client wrote it.
    pub(in crate::store) fn experiment(&self) -> &str {
        self.request.experiment_id()
    }

    /// Returns the row and the tags to store in an experiment with this stage and location.
    fn rows(&self, stage: &str, location: &str) -> Result<(RunRow, Vec<RunTag>)> {
        let request = &self.request;
        if stage != ACTIVE {
            return Err(not_active(self.experiment_id, stage));
        }
        let name = name_of_new_run(request.run_name.as_deref(), &request.tags)?;
        let mut tags: Vec<RunTag> = request.tags.iter().map(written_tag).collect();
        if tags.iter().all(|t| t.key() != RUN_NAME_TAG || t.value().is_empty()) {
            tags.push(RunTag { key: Some(RUN_NAME_TAG.to_owned()), value: Some(name.clone()) });
        }
        refuse_repeated(&tags)?;
        let row = RunRow {
            artifact_uri: Some(artifact_uri::run_artifact_uri(location, &self.id)?),
            run_uuid: self.id.clone(),
            name: Some(name),
            user_id: Some(request.user_id().to_owned()),
            status: Some(RunStatus::Running.as_str_name().to_owned()),
            start_time: Some(request.start_time()),
            end_time: None,
            lifecycle_stage: Some(ACTIVE.to_owned()),
            experiment_id: Some(self.experiment_id),
        };
        Ok((row, tags))
    }
}

impl Store {
    /// Stores a run in an active experiment, with a drawn name where none is given. Returns after the commit.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown experiment, `INVALID_PARAMETER_VALUE` for a deleted one or two
    /// names that differ, `BAD_REQUEST` for a tag that is there twice. Upstream: `SqlAlchemyStore.create_run`.
    pub async fn create_run(&self, request: CreateRun) -> Result<Run> {
        self.store_run(NewRun::new(request)?).await
    }
}

/// Stores runs and returns what became of each: one that is refused leaves nothing behind. On PostgreSQL one statement
/// writes them all, which needs no transaction; run again it changes nothing.
///
/// # Errors
/// What is the fault of no single run; then none is stored.
pub(in crate::store) fn create_runs(conn: &mut Conn, all: &[&NewRun]) -> Result<Vec<Result<Run>>> {
    let found = load_experiments(conn, all)?;
    let made: Vec<Result<(RunRow, Vec<RunTag>)>> = all
        .iter()
        .map(|new| {
            let (stage, location) =
                found.get(&new.experiment_id).ok_or_else(|| experiment_not_found(new.experiment_id))?;
            new.rows(stage, location)
        })
        .collect();
    let rows: Vec<&RunRow> = made.iter().flatten().map(|(row, _)| row).collect();
    let tags: Vec<PairRow<'_>> = made.iter().flatten().flat_map(|(row, tags)| pairs(row, tags)).collect();
    if !rows.is_empty() {
        bulk::insert_runs(conn, &rows, &tags)?;
    }
    Ok(made.into_iter().map(|made| made.map(|(row, tags)| answer(row, tags))).collect())
}

/// Returns stage and location of the experiments that runs are for.
fn load_experiments(conn: &mut Conn, all: &[&NewRun]) -> Result<HashMap<i32, (String, String)>> {
    let columns = (experiments::experiment_id, experiments::lifecycle_stage, experiments::artifact_location);
    let known = experiments::table.filter(experiments::workspace.eq(DEFAULT_WORKSPACE)).select(columns);
    let rows: Vec<(i32, Option<String>, Option<String>)> = match all {
        [new] => each!(conn, c => known.find(new.experiment_id).load(c)),
        all => {
            let ids: HashSet<i32> = all.iter().map(|new| new.experiment_id).collect();
            each!(conn, c => known.filter(experiments::experiment_id.eq_any(ids)).load(c))
        }
    }?;
    let place = |(id, stage, location): (i32, Option<String>, Option<String>)| {
        (id, (stage.unwrap_or_default(), location.unwrap_or_default()))
    };
    Ok(rows.into_iter().map(place).collect())
}

fn pairs<'a>(row: &'a RunRow, tags: &'a [RunTag]) -> impl Iterator<Item = PairRow<'a>> {
    tags.iter().map(|tag| PairRow { run: &row.run_uuid, key: tag.key(), value: tag.value() })
}

fn answer(row: RunRow, tags: Vec<RunTag>) -> Run {
    Run {
        info: Some(row.into_info()),
        data: Some(RunData { tags, ..RunData::default() }),
        inputs: Some(RunInputs::default()),
        outputs: None,
    }
}

/// A tag as it is read later: neither key nor value is absent.
fn written_tag(tag: &RunTag) -> RunTag {
    RunTag { key: Some(tag.key().to_owned()), value: Some(tag.value().to_owned()) }
}

/// Refuses a key that is there twice, where stock's insert fails.
fn refuse_repeated(tags: &[RunTag]) -> Result<()> {
    let mut seen = HashSet::new();
    match tags.iter().find(|tag| !seen.insert(tag.key())) {
        Some(twice) => {
            Err(Error::new(ErrorCode::BadRequest, format!("The tag '{}' is given twice.", twice.key())))
        }
        None => Ok(()),
    }
}
