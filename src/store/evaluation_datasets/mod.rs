//! Datasets of evaluations: their life, their tags and the experiments they belong to. Their records are in
//! `records.rs`, the search in `search.rs`.
//!
//! What changes a dataset takes the lock of its row first, so that two writers of one dataset come one after the other.

mod records;
mod search;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::upsert::excluded;
use uuid::Uuid;

use super::conn::Conn;
use super::schema::{
    entity_associations, evaluation_dataset_records, evaluation_dataset_tags, evaluation_datasets,
    experiments,
};
use super::statement::{Bind, statement};
use super::{Store, each};
use crate::domain::evaluation_dataset::{NewEvaluationDataset, digest};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{EvaluationDatasetId, ExperimentId, Tag};
use crate::domain::time::now_ms;
use crate::domain::{Error, ErrorCode, Result, python};
use crate::proto::EvaluationDataset;

/// Ends of the edges in `entity_associations`.
const DATASET: &str = "evaluation_dataset";
const EXPERIMENT: &str = "experiment";

/// Rows that go into one statement: few enough for the binds of either database.
const ROWS_PER_STATEMENT: usize = 1000;

impl Store {
    /// Stores a dataset without records. One transaction.
    ///
    /// # Errors
    /// `BAD_REQUEST` for an experiment that is given twice. Upstream: `SqlAlchemyStore.create_dataset`.
    pub async fn create_dataset(&self, new: NewEvaluationDataset) -> Result<EvaluationDataset> {
        self.write(move |conn| create_in(conn, &new)).await
    }

    /// Returns a dataset with its tags.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_dataset(&self, id: EvaluationDatasetId) -> Result<EvaluationDataset> {
        self.read(move |conn| {
            let row = each!(conn, c => existing(&id).select(DatasetRow::as_select()).first(c).optional())?;
            single(conn, row.ok_or_else(|| not_found(&id))?)
        })
        .await
    }

    /// Deletes a dataset with everything that belongs to it; that there is none is no error. One transaction.
    pub async fn delete_dataset(&self, id: EvaluationDatasetId) -> Result<()> {
        self.write(move |conn| delete_in(conn, &id)).await
    }

    /// Writes tags of a dataset over earlier values. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `SqlAlchemyStore.set_dataset_tags`.
    pub async fn set_dataset_tags(&self, id: EvaluationDatasetId, tags: Vec<Tag>) -> Result<()> {
        self.write(move |conn| {
            let missing = || Error::not_found(format!("Could not find evaluation dataset with ID {id}"));
            lock(conn, &id)?.ok_or_else(missing)?;
            let tags: Vec<_> = tags.iter().map(|tag| (&tag.key, Some(&tag.value))).collect();
            upsert_tags(conn, &id, &tags)
        })
        .await
    }

    /// Removes a tag of a dataset; that there is none, or no dataset, is no error.
    pub async fn delete_dataset_tag(&self, id: EvaluationDatasetId, key: String) -> Result<()> {
        self.write(move |conn| {
            let tag = evaluation_dataset_tags::table.find((id.as_str(), key.as_str()));
            each!(conn, c => diesel::delete(tag).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Returns the ids of the experiments of a dataset, sorted; none for an unknown dataset.
    pub async fn get_dataset_experiment_ids(&self, id: EvaluationDatasetId) -> Result<Vec<String>> {
        self.read(move |conn| {
            let ids = edges(&id)
                .select(entity_associations::destination_id)
                .order(entity_associations::destination_id);
            Ok(each!(conn, c => ids.load(c))?)
        })
        .await
    }

    /// Lets a dataset belong to experiments, to which it may belong already. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown dataset or experiment. Upstream:
    /// `SqlAlchemyStore.add_dataset_to_experiments`.
    pub async fn add_dataset_to_experiments(
        &self,
        id: EvaluationDatasetId,
        experiment_ids: Vec<String>,
    ) -> Result<EvaluationDataset> {
        self.write(move |conn| {
            let mut row = lock(conn, &id)?.ok_or_else(|| quoted_not_found(&id))?;
            require_experiments(conn, &experiment_ids)?;
            insert_edges(conn, &id, &experiment_ids, OnKnown::Ignore)?;
            touch(conn, &mut row)?;
            single(conn, row)
        })
        .await
    }

    /// Lets a dataset belong to experiments no longer. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown dataset. Upstream:
    /// `SqlAlchemyStore.remove_dataset_from_experiments`.
    pub async fn remove_dataset_from_experiments(
        &self,
        id: EvaluationDatasetId,
        experiment_ids: Vec<String>,
    ) -> Result<EvaluationDataset> {
        self.write(move |conn| {
            let mut row = lock(conn, &id)?.ok_or_else(|| quoted_not_found(&id))?;
            let mut removed = 0;
            for chunk in experiment_ids.chunks(ROWS_PER_STATEMENT) {
                removed += each!(conn, c => diesel::delete(entity_associations::table)
                    .filter(entity_associations::source_type.eq(DATASET))
                    .filter(entity_associations::source_id.eq(id.as_str()))
                    .filter(entity_associations::destination_type.eq(EXPERIMENT))
                    .filter(entity_associations::destination_id.eq_any(chunk))
                    .execute(c))?;
            }
            if removed > 0 {
                touch(conn, &mut row)?;
            }
            single(conn, row)
        })
        .await
    }
}

/// A row of `evaluation_datasets`, as far as it is shown.
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = evaluation_datasets, treat_none_as_default_value = false)]
struct DatasetRow {
    dataset_id: String,
    name: String,
    schema: Option<String>,
    profile: Option<String>,
    digest: Option<String>,
    created_time: Option<i64>,
    last_update_time: Option<i64>,
    created_by: Option<String>,
    last_updated_by: Option<String>,
}

/// The SQL type of a [`DatasetRow`].
type DatasetColumns = (
    Text,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
);

impl DatasetRow {
    fn into_message(self, tags: String) -> EvaluationDataset {
        EvaluationDataset {
            dataset_id: Some(self.dataset_id),
            name: Some(self.name),
            tags: Some(tags),
            schema: self.schema,
            profile: self.profile,
            digest: self.digest,
            created_time: self.created_time,
            last_update_time: self.last_update_time,
            created_by: self.created_by,
            last_updated_by: self.last_updated_by,
            experiment_ids: Vec::new(),
        }
    }
}

fn not_found(id: &str) -> Error {
    Error::not_found(format!("Evaluation dataset with id '{id}' not found"))
}

fn quoted_not_found(id: &str) -> Error {
    Error::not_found(format!("Dataset '{id}' not found"))
}

/// The dataset of an id.
#[diesel::dsl::auto_type(no_type_alias)]
fn existing<'a>(id: &'a str) -> _ {
    let workspace: &'static str = DEFAULT_WORKSPACE;
    evaluation_datasets::table.find(id).filter(evaluation_datasets::workspace.eq(workspace))
}

/// The edges between a dataset and its experiments.
#[diesel::dsl::auto_type(no_type_alias)]
fn edges<'a>(id: &'a str) -> _ {
    let (from, to): (&'static str, &'static str) = (DATASET, EXPERIMENT);
    entity_associations::table
        .filter(entity_associations::source_type.eq(from))
        .filter(entity_associations::source_id.eq(id))
        .filter(entity_associations::destination_type.eq(to))
}

/// Takes the lock of a dataset's row up to the end of the transaction, and returns the row if there is one. SQLite has
/// one writer anyway.
fn lock(conn: &mut Conn, id: &str) -> Result<Option<DatasetRow>> {
    const PG: &str = "SELECT dataset_id, name, schema, profile, digest, created_time, last_update_time, created_by, \
                      last_updated_by FROM evaluation_datasets WHERE dataset_id = ? AND workspace = ? \
                      FOR NO KEY UPDATE";
    const SQLITE: &str = "SELECT dataset_id, name, schema, profile, digest, created_time, last_update_time, \
                          created_by, last_updated_by FROM evaluation_datasets \
                          WHERE dataset_id = ? AND workspace = ?";
    let text = conn.dialect().pick(PG, SQLITE);
    let binds = [Bind::Text(id), Bind::Text(DEFAULT_WORKSPACE)];
    let rows: Vec<DatasetRow> = each!(conn, c => statement::<DatasetColumns>(text, &binds).load(c))?;
    Ok(rows.into_iter().next())
}

fn create_in(conn: &mut Conn, new: &NewEvaluationDataset) -> Result<EvaluationDataset> {
    let (id, now) = (format!("d-{}", Uuid::new_v4().simple()), now_ms());
    let row = DatasetRow {
        dataset_id: id.clone(),
        name: new.name.clone(),
        schema: None,
        profile: None,
        digest: Some(digest(&new.name, now)),
        created_time: Some(now),
        last_update_time: Some(now),
        created_by: new.user.clone(),
        last_updated_by: new.user.clone(),
    };
    each!(conn, c => diesel::insert_into(evaluation_datasets::table)
        .values((&row, evaluation_datasets::workspace.eq(DEFAULT_WORKSPACE)))
        .execute(c))?;
    let tags: Vec<_> = new.tags.iter().map(|(key, value)| (key, value.as_ref())).collect();
    upsert_tags(conn, &id, &tags)?;
    insert_edges(conn, &id, &new.experiment_ids, OnKnown::Refuse)?;
    let mut message = row.into_message(new.tags_shown.clone());
    message.experiment_ids.clone_from(&new.experiment_ids);
    Ok(message)
}

fn delete_in(conn: &mut Conn, id: &str) -> Result<()> {
    if lock(conn, id)?.is_none() {
        return Ok(());
    }
    each!(conn, c => diesel::delete(entity_associations::table)
        .filter(entity_associations::source_type.eq(DATASET))
        .filter(entity_associations::source_id.eq(id))
        .execute(c))?;
    each!(conn, c => diesel::delete(entity_associations::table)
        .filter(entity_associations::destination_type.eq(DATASET))
        .filter(entity_associations::destination_id.eq(id))
        .execute(c))?;
    let records = evaluation_dataset_records::dataset_id.eq(id);
    each!(conn, c => diesel::delete(evaluation_dataset_records::table).filter(records).execute(c))?;
    let tags = evaluation_dataset_tags::dataset_id.eq(id);
    each!(conn, c => diesel::delete(evaluation_dataset_tags::table).filter(tags).execute(c))?;
    each!(conn, c => diesel::delete(evaluation_datasets::table.find(id)).execute(c))?;
    Ok(())
}

fn upsert_tags(conn: &mut Conn, id: &str, tags: &[(&String, Option<&String>)]) -> Result<()> {
    use evaluation_dataset_tags::{dataset_id, key, table, value};
    for chunk in tags.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk.iter().map(|(k, v)| (dataset_id.eq(id), key.eq(*k), value.eq(*v))).collect();
        each!(conn, c => diesel::insert_into(table)
            .values(&rows)
            .on_conflict((dataset_id, key))
            .do_update()
            .set(value.eq(excluded(value)))
            .execute(c))?;
    }
    Ok(())
}

/// What is done with an experiment that a dataset belongs to already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnKnown {
    Ignore,
    Refuse,
}

fn insert_edges(conn: &mut Conn, id: &str, experiment_ids: &[String], on_known: OnKnown) -> Result<()> {
    use entity_associations::{
        association_id, created_time, destination_id, destination_type, source_id, source_type, table,
    };
    let now = now_ms();
    for chunk in experiment_ids.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|experiment| {
                (
                    association_id.eq(format!("a-{}", Uuid::new_v4().simple())),
                    source_type.eq(DATASET),
                    source_id.eq(id),
                    destination_type.eq(EXPERIMENT),
                    destination_id.eq(experiment),
                    created_time.eq(now),
                )
            })
            .collect();
        let added = each!(conn, c => diesel::insert_into(table)
            .values(&rows)
            .on_conflict_do_nothing()
            .execute(c))?;
        if added < rows.len() && on_known == OnKnown::Refuse {
            // Stock answers the same code with the database's own words.
            return Err(Error::new(ErrorCode::BadRequest, "An experiment of the dataset is given twice."));
        }
    }
    Ok(())
}

fn require_experiments(conn: &mut Conn, ids: &[String]) -> Result<()> {
    let missing = |id: &String| Error::not_found(format!("No Experiment with id={id}"));
    let mut numbers = Vec::with_capacity(ids.len());
    for id in ids {
        numbers.push(ExperimentId::parse(id).map_err(|_e| missing(id))?.number());
    }
    let mut known = Vec::with_capacity(ids.len());
    for chunk in numbers.chunks(ROWS_PER_STATEMENT) {
        let found: Vec<i32> = each!(conn, c => experiments::table
            .filter(experiments::experiment_id.eq_any(chunk))
            .filter(experiments::workspace.eq(DEFAULT_WORKSPACE))
            .select(experiments::experiment_id)
            .load(c))?;
        known.extend(found.iter().map(i32::to_string));
    }
    known.sort_unstable();
    match ids.iter().find(|id| known.binary_search(*id).is_err()) {
        Some(id) => Err(missing(id)),
        None => Ok(()),
    }
}

/// Marks a dataset as changed now.
fn touch(conn: &mut Conn, row: &mut DatasetRow) -> Result<()> {
    row.last_update_time = Some(now_ms());
    let dataset = evaluation_datasets::table.find(&row.dataset_id);
    let new = evaluation_datasets::last_update_time.eq(row.last_update_time);
    each!(conn, c => diesel::update(dataset).set(new).execute(c))?;
    Ok(())
}

fn single(conn: &mut Conn, row: DatasetRow) -> Result<EvaluationDataset> {
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

/// Adds to a page of rows their tags, keeping the order, by one statement.
fn assemble(conn: &mut Conn, rows: Vec<DatasetRow>) -> Result<Vec<EvaluationDataset>> {
    let ids: Vec<&str> = rows.iter().map(|row| row.dataset_id.as_str()).collect();
    let mut tags: HashMap<String, Vec<String>> = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        let found: Vec<(String, String, Option<String>)> = each!(conn, c => evaluation_dataset_tags::table
            .filter(evaluation_dataset_tags::dataset_id.eq_any(chunk))
            .order((evaluation_dataset_tags::dataset_id, evaluation_dataset_tags::key))
            .load(c))?;
        for (id, key, value) in found {
            let value = value.map_or("null".into(), |text| python::json_string(&text));
            tags.entry(id).or_default().push(format!("{}: {value}", python::json_string(&key)));
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let tags = tags.remove(&row.dataset_id).unwrap_or_default();
            row.into_message(format!("{{{}}}", tags.join(", ")))
        })
        .collect())
}
