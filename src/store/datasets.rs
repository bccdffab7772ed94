//! Datasets, and what runs read and produce: the edges between datasets, runs and logged models.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use uuid::Uuid;

use super::conn::Conn;
use super::error::is_unique_violation;
use super::runs::{get_row, require_active_run};
use super::schema::{datasets, input_tags, inputs};
use super::statement::{Bind, json_list, statement};
use super::{Store, each};
use crate::domain::dataset::{CONTEXT_TAG, MAX_SUMMARIES, NewDatasetInput, NewInputs};
use crate::domain::ids::RunId;
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{
    Dataset, DatasetInput, DatasetSummary, InputTag, ModelInput, ModelOutput, RunInputs, RunOutputs,
};

/// Ends of the edges in `inputs`.
const DATASET: &str = "DATASET";
const RUN: &str = "RUN";
const RUN_INPUT: &str = "RUN_INPUT";
const MODEL_INPUT: &str = "MODEL_INPUT";
const RUN_OUTPUT: &str = "RUN_OUTPUT";
const MODEL_OUTPUT: &str = "MODEL_OUTPUT";

/// Rows that go into one statement: few enough for the binds of either database.
const ROWS_PER_STATEMENT: usize = 1000;

impl Store {
    /// Logs datasets and logged models as read by an active run. What is logged already stays as it was, with its
    /// tags. One transaction.
    ///
    /// # Errors
    /// As for a run that is unknown or deleted; `BAD_REQUEST` for a tag that is given twice.
    /// Upstream: `SqlAlchemyStore.log_inputs`.
    pub async fn log_inputs(&self, new: NewInputs) -> Result<()> {
        self.write(move |conn| log_inputs_in(conn, &new)).await
    }

    /// Logs logged models as produced by an active run. One transaction.
    ///
    /// # Errors
    /// As for a run that is unknown or deleted; `BAD_REQUEST` for a model that is logged already.
    /// Upstream: `SqlAlchemyStore.log_outputs`.
    pub async fn log_outputs(&self, run_id: RunId, models: Vec<ModelOutput>) -> Result<()> {
        self.write(move |conn| {
            require_active_run(&get_row(conn, &run_id)?)?;
            let edges: Vec<Edge<'_>> =
                models.iter().map(|m| Edge::output(&run_id, m.model_id(), m.step())).collect();
            insert_edges(conn, &edges).map_err(|e| {
                twice_or(e, || format!("One of the models is an output of run '{run_id}' already."))
            })
        })
        .await
    }

    /// Returns the datasets that runs of these experiments have read, each once per context; at most
    /// [`MAX_SUMMARIES`], in the database's own order.
    ///
    /// Upstream: `SqlAlchemyStore._search_datasets`.
    pub async fn search_datasets(&self, experiment_ids: Vec<i32>) -> Result<Vec<DatasetSummary>> {
        self.scan(move |conn| {
            let context = input_tags::input_uuid.eq(inputs::input_uuid).and(input_tags::name.eq(CONTEXT_TAG));
            let rows: Vec<(i32, String, String, Option<String>)> = each!(conn, c => datasets::table
                .inner_join(inputs::table.on(inputs::source_id.eq(datasets::dataset_uuid)))
                .left_join(input_tags::table.on(context))
                .filter(datasets::experiment_id.eq_any(&experiment_ids))
                .select((
                    datasets::experiment_id,
                    datasets::name,
                    datasets::digest,
                    input_tags::value.nullable(),
                ))
                .distinct()
                .limit(MAX_SUMMARIES)
                .load(c))?;
            Ok(rows
                .into_iter()
                .map(|(experiment_id, name, digest, context)| DatasetSummary {
                    experiment_id: Some(experiment_id.to_string()),
                    name: Some(name),
                    digest: Some(digest),
                    context: context.filter(|c| !c.is_empty()),
                })
                .collect())
        })
        .await
    }
}

/// A row of `inputs`.
#[derive(Insertable, Debug, Clone)]
#[diesel(table_name = inputs, treat_none_as_default_value = false)]
struct Edge<'a> {
    input_uuid: String,
    source_type: &'static str,
    source_id: &'a str,
    destination_type: &'static str,
    destination_id: &'a str,
    step: i64,
}

impl<'a> Edge<'a> {
    fn new(source: (&'static str, &'a str), destination: (&'static str, &'a str), step: i64) -> Self {
        Self {
            input_uuid: Uuid::new_v4().simple().to_string(),
            source_type: source.0,
            source_id: source.1,
            destination_type: destination.0,
            destination_id: destination.1,
            step,
        }
    }

    fn dataset(dataset_uuid: &'a str, run_id: &'a str) -> Self {
        Self::new((DATASET, dataset_uuid), (RUN, run_id), 0)
    }

    fn input(run_id: &'a str, model_id: &'a str) -> Self {
        Self::new((RUN_INPUT, run_id), (MODEL_INPUT, model_id), 0)
    }

    fn output(run_id: &'a str, model_id: &'a str, step: i64) -> Self {
        Self::new((RUN_OUTPUT, run_id), (MODEL_OUTPUT, model_id), step)
    }
}

fn log_inputs_in(conn: &mut Conn, new: &NewInputs) -> Result<()> {
    let run = get_row(conn, &new.run_id)?;
    require_active_run(&run)?;
    for chunk in new.datasets.chunks(ROWS_PER_STATEMENT) {
        let uuids = get_or_create(conn, run.experiment_id.unwrap_or_default(), chunk)?;
        link_datasets(conn, &new.run_id, chunk, &uuids)?;
    }
    for chunk in new.models.chunks(ROWS_PER_STATEMENT) {
        let edges: Vec<Edge<'_>> = chunk.iter().map(|id| Edge::input(&new.run_id, id)).collect();
        each!(conn, c => diesel::insert_into(inputs::table).values(&edges).on_conflict_do_nothing().execute(c))?;
    }
    Ok(())
}

/// Ids of datasets by name and digest.
type Uuids = HashMap<(String, String), String>;

/// Returns the ids of the datasets of an experiment, adding those that are missing. Another transaction that adds
/// the same ones at the same time is waited for, and its ids are taken.
fn get_or_create(conn: &mut Conn, experiment_id: i32, wanted: &[NewDatasetInput]) -> Result<Uuids> {
    let found = find(conn, experiment_id, wanted)?;
    let mut missing: Vec<&Dataset> =
        wanted.iter().map(|w| &w.dataset).filter(|d| !found.contains_key(&key_of(d))).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    // One order for all writers: two that add the same datasets cannot deadlock.
    missing.sort_unstable_by(|a, b| (a.name(), a.digest()).cmp(&(b.name(), b.digest())));
    let rows: Vec<_> = missing
        .iter()
        .map(|d| {
            (
                datasets::dataset_uuid.eq(Uuid::new_v4().simple().to_string()),
                datasets::experiment_id.eq(experiment_id),
                datasets::name.eq(d.name()),
                datasets::digest.eq(d.digest()),
                datasets::dataset_source_type.eq(d.source_type()),
                datasets::dataset_source.eq(d.source()),
                datasets::dataset_schema.eq(&d.schema),
                datasets::dataset_profile.eq(&d.profile),
            )
        })
        .collect();
    each!(conn, c => diesel::insert_into(datasets::table).values(&rows).on_conflict_do_nothing().execute(c))?;
    find(conn, experiment_id, wanted)
}

fn find(conn: &mut Conn, experiment_id: i32, wanted: &[NewDatasetInput]) -> Result<Uuids> {
    let names: HashSet<&str> = wanted.iter().map(|w| w.dataset.name()).collect();
    let digests: HashSet<&str> = wanted.iter().map(|w| w.dataset.digest()).collect();
    let rows: Vec<(String, String, String)> = each!(conn, c => datasets::table
        .filter(datasets::experiment_id.eq(experiment_id))
        .filter(datasets::name.eq_any(&names))
        .filter(datasets::digest.eq_any(&digests))
        .select((datasets::name, datasets::digest, datasets::dataset_uuid))
        .load(c))?;
    Ok(rows.into_iter().map(|(name, digest, uuid)| ((name, digest), uuid)).collect())
}

fn key_of(dataset: &Dataset) -> (String, String) {
    (dataset.name().to_owned(), dataset.digest().to_owned())
}

/// Adds the edges from datasets to a run with the tags of the new ones.
fn link_datasets(conn: &mut Conn, run_id: &str, wanted: &[NewDatasetInput], uuids: &Uuids) -> Result<()> {
    let linked = wanted.iter().filter_map(|w| uuids.get(&key_of(&w.dataset)).map(|uuid| (w, uuid)));
    let (wanted, edges): (Vec<_>, Vec<_>) = linked.map(|(w, uuid)| (w, Edge::dataset(uuid, run_id))).unzip();
    let new: HashSet<String> = each!(conn, c => diesel::insert_into(inputs::table)
        .values(&edges)
        .on_conflict_do_nothing()
        .returning(inputs::input_uuid)
        .get_results::<String>(c))?
    .into_iter()
    .collect();
    let tags: Vec<_> = wanted
        .iter()
        .zip(&edges)
        .filter(|(_, edge)| new.contains(&edge.input_uuid))
        .flat_map(|(w, edge)| w.tags.iter().map(|tag| (edge.input_uuid.as_str(), tag)))
        .map(|(uuid, tag)| {
            (
                input_tags::input_uuid.eq(uuid),
                input_tags::name.eq(tag.key()),
                input_tags::value.eq(tag.value()),
            )
        })
        .collect();
    for chunk in tags.chunks(ROWS_PER_STATEMENT) {
        each!(conn, c => diesel::insert_into(input_tags::table).values(chunk).execute(c))
            .map_err(|e| twice_or(e, || "A tag is given twice for one dataset.".to_owned()))?;
    }
    Ok(())
}

fn insert_edges(conn: &mut Conn, edges: &[Edge<'_>]) -> QueryResult<()> {
    for chunk in edges.chunks(ROWS_PER_STATEMENT) {
        each!(conn, c => diesel::insert_into(inputs::table).values(chunk).execute(c))?;
    }
    Ok(())
}

/// `BAD_REQUEST` with `message` when a key was there already; stock answers with the database's own words.
fn twice_or(error: diesel::result::Error, message: impl FnOnce() -> String) -> Error {
    if is_unique_violation(&error) {
        return Error::new(ErrorCode::BadRequest, message()).with_source(error);
    }
    error.into()
}

/// What a run has read and produced.
pub(super) type InputsAndOutputs = (RunInputs, RunOutputs);

/// What `inputs` says of a run.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// It has read a dataset, which is an input with tags.
    Dataset { input_uuid: String, dataset_uuid: String },
    /// It has read a logged model.
    ModelInput { model_id: String },
    /// It has produced a logged model.
    ModelOutput { model_id: String, step: i64 },
}

/// Returns what each of some runs has read and produced, by their links: datasets in the order in which they were logged,
/// models and tags in the order of their keys. Two statements, if there are datasets.
///
/// Upstream: `SqlAlchemyStore._get_run_inputs`, `_get_model_inputs`, `_get_model_outputs_bulk`.
pub(super) fn resolve(conn: &mut Conn, links: Vec<Vec<Link>>) -> Result<Vec<InputsAndOutputs>> {
    let mut resolved = vec![InputsAndOutputs::default(); links.len()];
    let mut read: Vec<(usize, String, String)> = Vec::new();
    for (place, ((inputs, outputs), links)) in resolved.iter_mut().zip(links).enumerate() {
        for link in links {
            match link {
                Link::Dataset { input_uuid, dataset_uuid } => read.push((place, input_uuid, dataset_uuid)),
                Link::ModelInput { model_id } => {
                    inputs.model_inputs.push(ModelInput { model_id: Some(model_id) });
                }
                Link::ModelOutput { model_id, step } => {
                    outputs.model_outputs.push(ModelOutput { model_id: Some(model_id), step: Some(step) });
                }
            }
        }
        inputs.model_inputs.sort_unstable_by(|a, b| a.model_id().cmp(b.model_id()));
        outputs.model_outputs.sort_unstable_by(|a, b| a.model_id().cmp(b.model_id()));
    }
    if read.is_empty() {
        return Ok(resolved);
    }
    let known = load_datasets(conn, read.iter().map(|(_, _, dataset)| dataset.as_str()).collect())?;
    let input_uuids: Vec<&str> = read.iter().map(|(_, input, _)| input.as_str()).collect();
    let mut tags = load_tags(conn, &input_uuids)?;
    for (place, input, dataset) in &read {
        if let (Some((inputs, _)), Some(dataset)) = (resolved.get_mut(*place), known.get(dataset)) {
            let tags = tags.remove(input).unwrap_or_default();
            inputs.dataset_inputs.push(DatasetInput { tags, dataset: Some(dataset.clone()) });
        }
    }
    Ok(resolved)
}

/// Columns of a dataset as a message has them, behind its id.
type DatasetRow = (String, String, String, String, String, Option<String>, Option<String>);
type DatasetSql = (Text, Text, Text, Text, Text, Nullable<Text>, Nullable<Text>);

/// See "Look-ups" in `statement.rs`. Index: `index_datasets_dataset_uuid`.
const PG_DATASETS: &str = "SELECT d.* FROM unnest((SELECT ?)) p(id) CROSS JOIN LATERAL (\
    SELECT dataset_uuid, name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile FROM datasets \
    WHERE dataset_uuid BETWEEN p.id AND p.id OFFSET 0) d";
const SQLITE_DATASETS: &str = "SELECT d.dataset_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, \
    d.dataset_schema, d.dataset_profile FROM json_each(?) p CROSS JOIN datasets d ON d.dataset_uuid = p.value";

fn load_datasets(conn: &mut Conn, ids: HashSet<&str>) -> Result<HashMap<String, Dataset>> {
    let ids: Vec<&str> = ids.into_iter().collect();
    let rows: Vec<DatasetRow> = match conn {
        Conn::Pg(c) => statement::<DatasetSql>(PG_DATASETS, &[Bind::Texts(&ids)]).load(c),
        Conn::Sqlite(c) => statement::<DatasetSql>(SQLITE_DATASETS, &[Bind::Text(&json_list(&ids))]).load(c),
    }?;
    Ok(rows.into_iter().map(dataset_message).collect())
}

/// See "Look-ups" in `statement.rs`.
const PG_INPUT_TAGS: &str = "SELECT t.* FROM unnest((SELECT ?)) p(id) CROSS JOIN LATERAL (\
    SELECT input_uuid, name, value FROM input_tags WHERE input_uuid BETWEEN p.id AND p.id OFFSET 0) t \
    ORDER BY t.input_uuid, t.name";
const SQLITE_INPUT_TAGS: &str = "SELECT t.input_uuid, t.name, t.value FROM json_each(?) p \
    CROSS JOIN input_tags t ON t.input_uuid = p.value ORDER BY t.input_uuid, t.name";

/// Returns the tags of each of these inputs that has any.
fn load_tags(conn: &mut Conn, input_uuids: &[&str]) -> Result<HashMap<String, Vec<InputTag>>> {
    let rows: Vec<(String, String, String)> = match conn {
        Conn::Pg(c) => statement::<(Text, Text, Text)>(PG_INPUT_TAGS, &[Bind::Texts(input_uuids)]).load(c),
        Conn::Sqlite(c) => {
            let list = json_list(input_uuids);
            statement::<(Text, Text, Text)>(SQLITE_INPUT_TAGS, &[Bind::Text(&list)]).load(c)
        }
    }?;
    let mut tags: HashMap<String, Vec<InputTag>> = HashMap::new();
    for (input_uuid, key, value) in rows {
        tags.entry(input_uuid).or_default().push(InputTag { key: Some(key), value: Some(value) });
    }
    Ok(tags)
}

/// Upstream: `Dataset.to_proto`, which leaves out an empty schema and profile.
fn dataset_message(row: DatasetRow) -> (String, Dataset) {
    let (uuid, name, digest, source_type, source, schema, profile) = row;
    let dataset = Dataset {
        name: Some(name),
        digest: Some(digest),
        source_type: Some(source_type),
        source: Some(source),
        schema: schema.filter(|s| !s.is_empty()),
        profile: profile.filter(|p| !p.is_empty()),
    };
    (uuid, dataset)
}
