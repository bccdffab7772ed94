//! Experiments and their tags.

mod search;

use std::collections::HashMap;
use std::fmt::Display;

use diesel::prelude::*;

use super::conn::Conn;
use super::error::{is_unique_violation, too_long};
use super::schema::{experiment_tags, experiments};
use super::{Store, each};
use crate::domain::experiment::{self, DEFAULT_WORKSPACE, NewExperiment};
use crate::domain::ids::{ExperimentId, Tag};
use crate::domain::time::now_ms;
use crate::domain::{Error, ErrorCode, Result, artifact_uri};
use crate::proto::{Experiment, ExperimentTag};

/// How many characters stock's columns of an experiment's name and location hold.
const COLUMN: usize = 256;
/// `lifecycle_stage` of what is there.
pub(super) const ACTIVE: &str = "active";
/// `lifecycle_stage` of what was deleted and can be restored.
pub(super) const DELETED: &str = "deleted";

impl Store {
    /// Stores an experiment and returns its id. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` for a name in use or a tag given twice. Upstream: `SqlAlchemyStore.create_experiment`.
    pub async fn create_experiment(&self, new: NewExperiment) -> Result<String> {
        let root = self.artifact_root.clone();
        self.write(move |conn| create_experiment_in(conn, &new, &root)).await.map(|id| id.to_string())
    }

    /// Returns an experiment, also a deleted one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_experiment(&self, id: ExperimentId) -> Result<Experiment> {
        self.read(move |conn| get_experiment_in(conn, id.number())).await
    }

    /// Finds an experiment by its name, also a deleted one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_experiment_by_name(&self, name: String) -> Result<Experiment> {
        self.read(move |conn| {
            let found: Option<ExperimentRow> = each!(conn, c => experiments::table
                .filter(experiments::name.eq(&name))
                .filter(experiments::workspace.eq(DEFAULT_WORKSPACE))
                .select(ExperimentRow::as_select())
                .first(c)
                .optional())?;
            let missing = || Error::not_found(format!("Could not find experiment with name '{name}'"));
            with_tags(conn, found.ok_or_else(missing)?)
        })
        .await
    }

    /// Marks an active experiment and its runs as deleted. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` also when it is deleted already.
    pub async fn delete_experiment(&self, id: ExperimentId) -> Result<()> {
        self.write(move |conn| set_stage(conn, id.number(), ACTIVE, DELETED)).await
    }

    /// Marks a deleted experiment and its runs as active. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` also when it is not deleted.
    pub async fn restore_experiment(&self, id: ExperimentId) -> Result<()> {
        self.write(move |conn| set_stage(conn, id.number(), DELETED, ACTIVE)).await
    }

    /// Gives an active experiment a new name.
    ///
    /// # Errors
    /// `INVALID_STATE` for a deleted experiment, `BAD_REQUEST` for a name in use.
    pub async fn rename_experiment(&self, id: ExperimentId, name: String) -> Result<()> {
        self.write(move |conn| rename_in(conn, id.number(), &name)).await
    }

    /// Writes a tag of an active experiment, over an earlier value.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a deleted experiment or one view too many.
    pub async fn set_experiment_tag(&self, id: ExperimentId, tag: Tag) -> Result<()> {
        self.write(move |conn| {
            let experiment = get_experiment_in(conn, id.number())?;
            experiment::validate_custom_view(&id, &experiment.tags, &tag.key)?;
            require_active(&experiment)?;
            upsert_tag(conn, id.number(), &tag)
        })
        .await
    }

    /// Removes a tag of an active experiment.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` when there is no such tag.
    pub async fn delete_experiment_tag(&self, id: ExperimentId, key: String) -> Result<()> {
        self.write(move |conn| {
            require_active(&get_experiment_in(conn, id.number())?)?;
            let tag = experiment_tags::table.find((&key, id.number()));
            if each!(conn, c => diesel::delete(tag).execute(c))? == 0 {
                return Err(Error::not_found(format!("No tag with name: {key} in experiment with id {id}")));
            }
            Ok(())
        })
        .await
    }
}

/// A row of `experiments`, as far as it is shown.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = experiments)]
pub(super) struct ExperimentRow {
    pub(super) experiment_id: i32,
    name: String,
    artifact_location: Option<String>,
    lifecycle_stage: Option<String>,
    creation_time: Option<i64>,
    last_update_time: Option<i64>,
    workspace: String,
}

impl ExperimentRow {
    fn into_message(self, tags: Vec<ExperimentTag>) -> Experiment {
        Experiment {
            experiment_id: Some(self.experiment_id.to_string()),
            name: Some(self.name),
            artifact_location: self.artifact_location,
            lifecycle_stage: self.lifecycle_stage,
            last_update_time: self.last_update_time.filter(|t| *t != 0),
            creation_time: self.creation_time.filter(|t| *t != 0),
            tags,
            effective_trace_archival_retention: None,
            workspace: Some(self.workspace),
        }
    }
}

/// Upstream: `SqlAlchemyStore._get_experiment`.
pub(super) fn experiment_not_found(id: i32) -> Error {
    Error::not_found(format!("No Experiment with id={id} exists"))
}

/// Returns an experiment with its tags.
pub(super) fn get_experiment_in(conn: &mut Conn, id: i32) -> Result<Experiment> {
    let row: Option<ExperimentRow> = each!(conn, c => experiments::table
        .find(id)
        .filter(experiments::workspace.eq(DEFAULT_WORKSPACE))
        .select(ExperimentRow::as_select())
        .first(c)
        .optional())?;
    with_tags(conn, row.ok_or_else(|| experiment_not_found(id))?)
}

/// Checks that an experiment may be written to.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore._check_experiment_is_active`.
pub(super) fn require_active(experiment: &Experiment) -> Result<()> {
    match experiment.lifecycle_stage() {
        ACTIVE => Ok(()),
        stage => Err(not_active(experiment.experiment_id(), stage)),
    }
}

/// Returns the error of a write to an experiment in another stage.
pub(super) fn not_active(id: impl Display, stage: &str) -> Error {
    Error::invalid(format!("The experiment {id} must be in the 'active' state. Current state is {stage}."))
}

/// Returns the number of an active experiment.
///
/// # Errors
/// `RESOURCE_DOES_NOT_EXIST`, also when it is deleted. Upstream: `SqlAlchemyStore._get_experiment` of the active ones.
pub(super) fn active_experiment_id(conn: &mut Conn, id: &ExperimentId) -> Result<i32> {
    let number = id.number();
    let found: i64 = each!(conn, c => experiments::table
        .filter(experiments::experiment_id.eq(number))
        .filter(experiments::lifecycle_stage.eq(ACTIVE))
        .filter(experiments::workspace.eq(DEFAULT_WORKSPACE))
        .count()
        .get_result(c))?;
    if found == 0 { Err(experiment_not_found(number)) } else { Ok(number) }
}

fn with_tags(conn: &mut Conn, row: ExperimentRow) -> Result<Experiment> {
    Ok(with_tags_of_each(conn, vec![row])?.pop().unwrap_or_default())
}

/// Adds the tags to a page of experiments, keeping its order, by one statement.
pub(super) fn with_tags_of_each(conn: &mut Conn, page: Vec<ExperimentRow>) -> Result<Vec<Experiment>> {
    let ids: Vec<i32> = page.iter().map(|row| row.experiment_id).collect();
    let rows: Vec<(i32, String, Option<String>)> = each!(conn, c => experiment_tags::table
        .filter(experiment_tags::experiment_id.eq_any(&ids))
        .select((experiment_tags::experiment_id, experiment_tags::key, experiment_tags::value))
        .load(c))?;
    let mut tags: HashMap<i32, Vec<ExperimentTag>> = HashMap::new();
    for (id, key, value) in rows {
        tags.entry(id).or_default().push(ExperimentTag { key: Some(key), value });
    }
    Ok(page
        .into_iter()
        .map(|row| {
            let tags = tags.remove(&row.experiment_id).unwrap_or_default();
            row.into_message(tags)
        })
        .collect())
}

pub(super) fn create_experiment_in(conn: &mut Conn, new: &NewExperiment, root: &str) -> Result<i32> {
    // A prepared insert draws the id before it finds this out, and leaves a gap that stock does not.
    let texts = [Some(&new.name), new.artifact_location.as_ref()];
    if conn.dialect().minds_length() && texts.into_iter().flatten().any(|t| t.chars().count() > COLUMN) {
        return Err(too_long());
    }
    let now = now_ms();
    let id: i32 = each!(conn, c => diesel::insert_into(experiments::table)
        .values((
            experiments::name.eq(&new.name),
            experiments::artifact_location.eq(&new.artifact_location),
            experiments::lifecycle_stage.eq(ACTIVE),
            experiments::creation_time.eq(now),
            experiments::last_update_time.eq(now),
            experiments::workspace.eq(DEFAULT_WORKSPACE),
        ))
        .returning(experiments::experiment_id)
        .get_result(c))
    .map_err(|e| unless_unique(e, || name_in_use(&new.name)))?;
    if new.artifact_location.is_none() {
        let location = artifact_uri::experiment_location(root, &id.to_string())?;
        each!(conn, c => diesel::update(experiments::table.find(id))
            .set(experiments::artifact_location.eq(&location))
            .execute(c))?;
    }
    for tag in &new.tags {
        insert_tag(conn, id, tag).map_err(|e| unless_unique(e, || repeated_tag(&new.name, tag.key())))?;
    }
    Ok(id)
}

/// Makes `refusal` of the violation of a unique key.
fn unless_unique(error: diesel::result::Error, refusal: impl FnOnce() -> Error) -> Error {
    if is_unique_violation(&error) { refusal().with_source(error) } else { error.into() }
}

/// Stock's message goes on with the database's own words; those stay here.
fn name_in_use(name: &str) -> Error {
    Error::already_exists(format!("Experiment(name={name}) already exists."))
}

/// Stock takes a tag that is given twice for an experiment that exists.
fn repeated_tag(name: &str, key: &str) -> Error {
    Error::already_exists(format!(
        "Experiment(name={name}) already exists. Error: the tag '{key}' is given twice."
    ))
}

fn set_stage(conn: &mut Conn, id: i32, from: &str, to: &str) -> Result<()> {
    let now = now_ms();
    let changed = each!(conn, c => diesel::update(experiments::table.find(id))
        .filter(experiments::lifecycle_stage.eq(from))
        .filter(experiments::workspace.eq(DEFAULT_WORKSPACE))
        .set((experiments::lifecycle_stage.eq(to), experiments::last_update_time.eq(now)))
        .execute(c))?;
    if changed == 0 {
        return Err(experiment_not_found(id));
    }
    super::runs::set_stage_in_experiment(conn, id, to)
}

fn rename_in(conn: &mut Conn, id: i32, name: &str) -> Result<()> {
    let experiment = get_experiment_in(conn, id)?;
    if experiment.lifecycle_stage() != ACTIVE {
        return Err(Error::invalid_state("Cannot rename a non-active experiment."));
    }
    each!(conn, c => diesel::update(experiments::table.find(id))
        .set((experiments::name.eq(name), experiments::last_update_time.eq(now_ms())))
        .execute(c))
    .map_err(|e| {
        let message = format!("There is another experiment with the name '{name}'.");
        unless_unique(e, || Error::new(ErrorCode::BadRequest, message))
    })?;
    Ok(())
}

fn insert_tag(conn: &mut Conn, id: i32, tag: &ExperimentTag) -> QueryResult<usize> {
    each!(conn, c => diesel::insert_into(experiment_tags::table)
        .values((
            experiment_tags::experiment_id.eq(id),
            experiment_tags::key.eq(tag.key()),
            experiment_tags::value.eq(tag.value()),
        ))
        .execute(c))
}

fn upsert_tag(conn: &mut Conn, id: i32, tag: &Tag) -> Result<()> {
    each!(conn, c => diesel::insert_into(experiment_tags::table)
        .values((
            experiment_tags::experiment_id.eq(id),
            experiment_tags::key.eq(&tag.key),
            experiment_tags::value.eq(&tag.value),
        ))
        .on_conflict((experiment_tags::key, experiment_tags::experiment_id))
        .do_update()
        .set(experiment_tags::value.eq(&tag.value))
        .execute(c))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::validate::Limits;
    use crate::store::testing::{message, on_each_database};

    #[test]
    fn what_must_be_unique_is_refused_with_stocks_codes() {
        on_each_database(|store| async move {
            let (first, second) = (
                store.make_experiment(json!({"name": "a"})).await,
                store.make_experiment(json!({"name": "b"})).await,
            );
            let tags = json!([{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]);
            for (new, want) in [
                (json!({"name": "a"}), "Experiment(name=a) already exists."),
                (
                    json!({"name": "c", "tags": tags}),
                    "Experiment(name=c) already exists. Error: the tag 'k' is given twice.",
                ),
            ] {
                let new = NewExperiment::new(message(new), &Limits::default()).unwrap();
                let error = store.create_experiment(new).await.unwrap_err();
                assert_eq!((error.code, error.message.as_str()), (ErrorCode::ResourceAlreadyExists, want));
            }
            assert!(store.get_experiment_by_name("c".into()).await.is_err(), "nothing of it is stored");

            let error = store.rename_experiment(second.clone().into(), "a".into()).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BadRequest);
            store.rename_experiment(second.into(), "b".into()).await.unwrap();
            store.rename_experiment(first.into(), "c".into()).await.unwrap();
        });
    }
}
