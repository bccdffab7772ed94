//! Rows of traces and how they become [`TraceInfoV3`] messages.

use std::collections::HashSet;

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text};

use super::assessments::load_assessments;
use crate::domain::ids::TraceId;
use crate::domain::trace::{
    COST, SESSION, TOKEN_USAGE, TRACE_NAME, cost_json, is_column_metadata, token_usage_json,
};
use crate::domain::{Error, Result};
use crate::proto::trace_info_v3::State;
use crate::proto::trace_location::{MlflowExperimentLocation, TraceLocationType};
use crate::proto::well_known::{Duration, Timestamp};
use crate::proto::{TraceInfoV3, TraceLocation};
use crate::store::Store;
use crate::store::conn::Conn;
use crate::store::statement::{Bind, json_list, statement};

/// The most characters of a name or value of metadata, and of the name of a tag, that are shown.
const MAX_SHOWN: usize = 250;
/// The most characters of a tag's value that are shown.
const MAX_SHOWN_TAG_VALUE: usize = 4096;

type Tokens<T> = (T, T, T, T, T, T);
type Cost<T> = (T, T, T);

/// A row of `trace_info`.
#[derive(Queryable, Debug)]
pub(super) struct TraceRow {
    pub(super) request_id: String,
    pub(super) experiment_id: i32,
    pub(super) timestamp_ms: i64,
    pub(super) execution_time_ms: Option<i64>,
    pub(super) status: String,
    pub(super) client_request_id: Option<String>,
    pub(super) request_preview: Option<String>,
    pub(super) response_preview: Option<String>,
    pub(super) trace_name: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) tokens: Tokens<Option<i64>>,
    pub(super) cost: Cost<Option<f64>>,
}

type OptionalText = Nullable<Text>;
/// The SQL type of a [`TraceRow`].
pub(super) type TraceSql = (
    Text,
    Integer,
    BigInt,
    Nullable<BigInt>,
    Text,
    OptionalText,
    OptionalText,
    OptionalText,
    OptionalText,
    OptionalText,
    Tokens<Nullable<BigInt>>,
    Cost<Nullable<Double>>,
);

macro_rules! trace_rows {
    ($of:literal) => {
        concat!(
            "SELECT t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, \
             t.client_request_id, t.request_preview, t.response_preview, t.trace_name, t.session_id, \
             t.input_tokens, t.output_tokens, t.total_tokens, t.cache_read_input_tokens, \
             t.cache_creation_input_tokens, t.cache_creation_input_tokens_above_1hr, \
             t.input_cost, t.output_cost, t.total_cost FROM ",
            $of
        )
    };
}

/// The columns of a [`TraceRow`], up to where they come from.
pub(super) const TRACE_COLUMNS: &str = trace_rows!("");

/// The traces of a list, in its order.
const PG_ROWS: &str = trace_rows!(
    "unnest((SELECT ?)) WITH ORDINALITY p(id, place) CROSS JOIN LATERAL (SELECT * FROM trace_info \
     WHERE request_id = p.id OFFSET 0) t ORDER BY p.place"
);
pub(super) const SQLITE_ROWS: &str =
    trace_rows!("json_each(?) p CROSS JOIN trace_info t ON t.request_id = p.value ORDER BY p.key");

/// The tags (0) and the metadata (1) of the traces of a list as one statement, each with the trace's place in the list
/// counted from 0. See "Look-ups" in `statement.rs`.
const PG_PAIRS: &str = "SELECT p.place - 1, d.* FROM unnest((SELECT ?)) WITH ORDINALITY p(id, place) CROSS JOIN LATERAL (\
    SELECT 0, key, value FROM trace_tags WHERE request_id BETWEEN p.id AND p.id \
    UNION ALL SELECT 1, key, value FROM trace_request_metadata WHERE request_id BETWEEN p.id AND p.id OFFSET 0) d";
/// The same; a CROSS JOIN keeps SQLite from going through the whole table.
pub(super) const SQLITE_PAIRS: &str = "SELECT p.key, 0, d.key, d.value \
    FROM json_each(?) p CROSS JOIN trace_tags d ON d.request_id = p.value \
    UNION ALL SELECT p.key, 1, d.key, d.value \
    FROM json_each(?) p CROSS JOIN trace_request_metadata d ON d.request_id = p.value";

impl Store {
    /// Returns what is known of a trace.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_trace_info(&self, id: TraceId) -> Result<TraceInfoV3> {
        self.read(move |conn| get_info(conn, &id)).await
    }

    /// Returns what is known of those of `ids` that there are, in their order and each once; only of traces of
    /// `experiments` if such are given. Upstream: `SqlAlchemyStore.batch_get_trace_infos`.
    pub async fn get_trace_infos(
        &self,
        mut ids: Vec<String>,
        experiments: Option<Vec<i32>>,
    ) -> Result<Vec<TraceInfoV3>> {
        keep_last(&mut ids);
        self.read(move |conn| {
            let mut infos = load_infos(conn, &ids)?;
            if let Some(experiments) = &experiments {
                infos.retain(|info| is_of(info, experiments));
            }
            Ok(infos)
        })
        .await
    }
}

/// Leaves of ids that are there more than once the last. Upstream: `_query_trace_infos_in_batches`.
pub(super) fn keep_last(ids: &mut Vec<String>) {
    let mut seen = HashSet::new();
    ids.reverse();
    ids.retain(|id| seen.insert(id.clone()));
    ids.reverse();
}

/// Upstream: `SqlAlchemyStore.get_trace_info`.
pub(in crate::store) fn trace_not_found(id: &str) -> Error {
    Error::not_found(format!("Trace with ID '{id}' not found."))
}

/// Returns what is known of a trace.
///
/// # Errors
/// `RESOURCE_DOES_NOT_EXIST`.
pub(super) fn get_info(conn: &mut Conn, id: &str) -> Result<TraceInfoV3> {
    load_infos(conn, &[id])?.pop().ok_or_else(|| trace_not_found(id))
}

/// Says whether a trace belongs to one of `experiments`.
pub(super) fn is_of(info: &TraceInfoV3, experiments: &[i32]) -> bool {
    let location = info.trace_location.as_ref().and_then(|location| location.mlflow_experiment.as_ref());
    let id = location.and_then(|experiment| experiment.experiment_id().parse().ok());
    id.is_some_and(|id: i32| experiments.contains(&id))
}

/// Returns what is known of the traces `ids`, in their order; unknown ones are left out. Three statements.
///
/// Indexes: the primary key of `trace_info`, stock's on `request_id` and on `trace_id` of the other tables.
///
/// Upstream: `_build_trace_infos_from_rows`.
pub(super) fn load_infos<S: AsRef<str>>(conn: &mut Conn, ids: &[S]) -> Result<Vec<TraceInfoV3>> {
    let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
    let rows: Vec<TraceRow> = match conn {
        _ if ids.is_empty() => return Ok(Vec::new()),
        Conn::Pg(c) => statement::<TraceSql>(PG_ROWS, &[Bind::Texts(&ids)]).load(c)?,
        Conn::Sqlite(c) => statement::<TraceSql>(SQLITE_ROWS, &[Bind::Text(&json_list(&ids))]).load(c)?,
    };
    assemble(conn, rows)
}

/// Adds to rows of traces what belongs to them, keeping the order. Two statements.
pub(super) fn assemble(conn: &mut Conn, rows: Vec<TraceRow>) -> Result<Vec<TraceInfoV3>> {
    let mut infos: Vec<TraceInfoV3> = rows.into_iter().map(TraceRow::into_info).collect();
    let ids: Vec<String> = infos.iter().map(|info| info.trace_id().to_owned()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    add_pairs(conn, &ids, &mut infos)?;
    for (place, assessment) in load_assessments(conn, &ids)? {
        if let Some(info) = infos.get_mut(place) {
            info.assessments.push(assessment);
        }
    }
    Ok(infos)
}

/// Adds tags and metadata, as far as they are not shown from columns.
fn add_pairs(conn: &mut Conn, ids: &[&str], infos: &mut [TraceInfoV3]) -> QueryResult<()> {
    type PairSql = (BigInt, Integer, Text, Nullable<Text>);
    type Pair = (i64, i32, String, Option<String>);
    let mut add = |row: QueryResult<Pair>| -> QueryResult<()> {
        let (place, kind, key, value) = row?;
        let Some(info) = usize::try_from(place).ok().and_then(|place| infos.get_mut(place)) else {
            return Ok(());
        };
        // As Python writes what is not there.
        let value = value.unwrap_or_else(|| "None".to_owned());
        if kind == 0 && key != TRACE_NAME {
            info.tags.insert(shorten(key, MAX_SHOWN), shorten(value, MAX_SHOWN_TAG_VALUE));
        } else if kind == 1 && !is_column_metadata(&key) {
            info.trace_metadata.insert(shorten(key, MAX_SHOWN), shorten(value, MAX_SHOWN));
        }
        Ok(())
    };
    match conn {
        Conn::Pg(c) => statement::<PairSql>(PG_PAIRS, &[Bind::Texts(ids)])
            .load_iter::<Pair, DefaultLoadingMode>(c)?
            .try_for_each(&mut add),
        Conn::Sqlite(c) => {
            let list = json_list(ids);
            statement::<PairSql>(SQLITE_PAIRS, &[Bind::Text(&list); 2])
                .load_iter::<Pair, DefaultLoadingMode>(c)?
                .try_for_each(&mut add)
        }
    }
}

impl TraceRow {
    /// Makes the message, still without what other tables hold. Upstream: `compatibility_metadata_from_columns`.
    fn into_info(self) -> TraceInfoV3 {
        let (input, output, total, read, written, written_long) = self.tokens;
        let usage = token_usage_json(&[input, output, total, read, written, written_long]);
        let cost = cost_json(&[self.cost.0, self.cost.1, self.cost.2]);
        let metadata = [(SESSION, self.session_id), (TOKEN_USAGE, usage), (COST, cost)];
        let mut info = TraceInfoV3 {
            trace_id: Some(self.request_id),
            client_request_id: self.client_request_id,
            trace_location: Some(location_of(self.experiment_id)),
            request_time: Some(Timestamp::from_millis(self.timestamp_ms)),
            execution_duration: self.execution_time_ms.map(Duration::from_millis),
            state: State::from_str_name(&self.status).map(i32::from),
            request_preview: self.request_preview,
            response_preview: self.response_preview,
            ..TraceInfoV3::default()
        };
        for (key, value) in metadata {
            info.trace_metadata.extend(value.map(|value| (key.to_owned(), shorten(value, MAX_SHOWN))));
        }
        info.tags
            .extend(self.trace_name.map(|name| (TRACE_NAME.to_owned(), shorten(name, MAX_SHOWN_TAG_VALUE))));
        info
    }
}

/// Returns the place of an experiment's traces.
fn location_of(experiment_id: i32) -> TraceLocation {
    TraceLocation {
        r#type: Some(TraceLocationType::MlflowExperiment.into()),
        mlflow_experiment: Some(MlflowExperimentLocation { experiment_id: Some(experiment_id.to_string()) }),
        inference_table: None,
    }
}

/// Cuts a text after `max` characters.
fn shorten(mut text: String, max: usize) -> String {
    if text.len() > max
        && let Some((end, _)) = text.char_indices().nth(max)
    {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::store::testing::on_each_database;
    use serde_json::json;

    /// What a server before us left in the tables.
    const ROWS: &str = "\
        INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, \
          request_preview, db_payload_generation, trace_name, session_id, input_tokens, output_tokens, total_cost) \
        VALUES ('tr-1', 0, 1700000000500, 1500, 'OK', 'in', 0, 'agent', 's1', 12, 8, 0.000001), \
          ('tr-2', 0, 1700000000000, NULL, 'IN_PROGRESS', NULL, 0, NULL, NULL, NULL, NULL, NULL); \
        INSERT INTO trace_tags (request_id, key, value) \
        VALUES ('tr-1', 'k', 'v'), ('tr-1', 'none', NULL), ('tr-1', 'mlflow.traceName', 'old'); \
        INSERT INTO trace_request_metadata (request_id, key, value) \
        VALUES ('tr-2', 'm', 'n'), ('tr-2', 'mlflow.trace.session', 'old'); \
        INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, error, created_timestamp, \
          last_updated_timestamp, source_type, source_id, valid, assessment_metadata, is_numeric_value) \
        VALUES ('a-2', 'tr-2', 'good', 'feedback', '5', NULL, 2, 3, 'HUMAN', 'me', true, '{\"k\": 1}', true), \
          ('a-1', 'tr-2', 'wanted', 'expectation', '[1]', NULL, 1, 1, 'CODE', NULL, false, NULL, false), \
          ('a-3', 'tr-2', 'bad', 'feedback', 'null', '{\"error_code\": \"E\", \"error_message\": null}', 3, 3, \
           'CODE', NULL, true, NULL, false), \
          ('a-4', 'tr-2', 'iss-1', 'issue', '{\"issue_name\": \"slow\"}', NULL, 4, 4, 'LLM_JUDGE', NULL, true, \
           NULL, false)";

    #[test]
    fn a_page_of_traces_is_put_together_in_its_order() {
        on_each_database(|store| async move {
            store.ensure_default_experiment().await.unwrap();
            store.write(|conn| Ok(conn.batch_execute(ROWS)?)).await.unwrap();
            let ids = ["tr-2", "nope", "tr-1", "tr-2"].map(String::from).to_vec();
            let infos = store.get_trace_infos(ids.clone(), None).await.unwrap();
            let location =
                json!({ "type": "MLFLOW_EXPERIMENT", "mlflow_experiment": { "experiment_id": "0" } });
            assert_eq!(
                // One that is named twice stands where it is named last.
                serde_json::to_value(infos.first()).unwrap(),
                json!({
                    "trace_id": "tr-1", "trace_location": location, "request_time": "2023-11-14T22:13:20.500Z",
                    "execution_duration": "1.500s", "state": "OK", "request_preview": "in",
                    "trace_metadata": {
                        "mlflow.trace.session": "s1",
                        "mlflow.trace.tokenUsage": "{\"input_tokens\": 12, \"output_tokens\": 8}",
                        "mlflow.trace.cost": "{\"total_cost\": 1e-06}",
                    },
                    "tags": { "k": "v", "none": "None", "mlflow.traceName": "agent" },
                })
            );
            let second = serde_json::to_value(infos.get(1)).unwrap();
            assert_eq!(second["trace_metadata"], json!({ "m": "n" }));
            let names = ["wanted", "good", "bad", "iss-1"];
            for (assessment, name) in second["assessments"].as_array().unwrap().iter().zip(names) {
                assert_eq!(assessment["assessment_name"], name);
            }
            let part = |i: usize, key: &str| second["assessments"][i][key].clone();
            let serialized = json!({ "serialization_format": "JSON_FORMAT", "value": "[1]" });
            assert_eq!(part(0, "expectation"), json!({ "serialized_value": serialized }));
            assert_eq!(part(0, "valid"), json!(false));
            assert_eq!(part(1, "feedback"), json!({ "value": 5.0 }));
            assert_eq!(part(1, "source"), json!({ "source_type": "HUMAN", "source_id": "me" }));
            assert_eq!(part(1, "metadata"), json!({ "k": "1" }));
            assert_eq!(part(2, "feedback"), json!({ "value": null, "error": { "error_code": "E" } }));
            assert_eq!(part(3, "issue"), json!({ "issue_name": "slow" }));
            assert_eq!(infos.len(), 2);
            assert!(store.get_trace_infos(ids, Some(vec![7])).await.unwrap().is_empty());
            let missing = store.get_trace_info("nope".into()).await.unwrap_err();
            assert_eq!(missing.message, "Trace with ID 'nope' not found.");
        });
    }
}
