//! Assessments: their life, and how rows become [`Assessment`] messages.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde::Deserialize;
use serde_json::Value as Json;

use super::columns::{Column, write_rows};
use super::info::trace_not_found;
use crate::domain::ids::{AssessmentId, TraceId};
use crate::domain::time::now_ms;
use crate::domain::trace::assessment::{AssessmentUpdate, AssessmentValue, aggregate, metadata_json};
use crate::domain::{Error, ErrorCode, Result, python};
use crate::proto::assessment_source::SourceType;
use crate::proto::expectation::SerializedValue;
use crate::proto::loose::Json as Loose;
use crate::proto::well_known::{Timestamp, Value};
use crate::proto::{Assessment, AssessmentError, AssessmentSource, Expectation, Feedback, IssueReference};
use crate::store::conn::Conn;
use crate::store::schema::{assessments, trace_info};
use crate::store::statement::{Bind, json_list, statement};
use crate::store::{Store, each};

/// The most characters of a stack trace that are shown, with what stands for the beginning.
const MAX_STACK_TRACE: usize = 10_000;
const CUT: &str = "[Stack trace is truncated]\n...\n";

impl Store {
    /// Stores an assessment of a trace; the one that it overrides is not valid any more. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown trace, or an unknown assessment to override.
    /// Upstream: `SqlAlchemyStore.create_assessment`.
    pub async fn create_assessment(&self, trace_id: TraceId, new: AssessmentValue) -> Result<Assessment> {
        self.write(move |conn| create_in(conn, &trace_id, &new)).await
    }

    /// Returns an assessment of a trace.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_assessment(&self, trace_id: TraceId, id: AssessmentId) -> Result<Assessment> {
        self.read(move |conn| get_row(conn, &trace_id, &id)?.into_message()).await
    }

    /// Changes an assessment as far as `update` says. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for the value of another kind of assessment.
    /// Upstream: `SqlAlchemyStore.update_assessment`.
    pub async fn update_assessment(
        &self,
        trace_id: TraceId,
        id: AssessmentId,
        update: AssessmentUpdate,
    ) -> Result<Assessment> {
        self.write(move |conn| update_in(conn, &trace_id, &id, &update)).await
    }

    /// Deletes an assessment, if it is there; the one that it overrides is valid again. One transaction.
    ///
    /// Upstream: `SqlAlchemyStore.delete_assessment`.
    pub async fn delete_assessment(&self, trace_id: TraceId, id: AssessmentId) -> Result<()> {
        self.write(move |conn| delete_in(conn, &trace_id, &id)).await
    }
}

fn create_in(conn: &mut Conn, trace_id: &TraceId, new: &AssessmentValue) -> Result<Assessment> {
    // The row is locked, so that what the assessment carries along of its trace stays true.
    let trace = trace_info::table
        .find(trace_id.as_str())
        .select((trace_info::experiment_id, trace_info::timestamp_ms));
    let found: Option<(i32, i64)> = match conn {
        Conn::Pg(c) => trace.for_no_key_update().first(c).optional()?,
        Conn::Sqlite(c) => trace.first(c).optional()?,
    };
    let (experiment_id, timestamp_ms) = found.ok_or_else(|| trace_not_found(trace_id))?;
    if let Some(overridden) = &new.overrides {
        let other =
            assessments::table.find(overridden.as_str()).filter(assessments::trace_id.eq(trace_id.as_str()));
        let update = diesel::update(other).set(assessments::valid.eq(false));
        if each!(conn, c => update.execute(c))? == 0 {
            return Err(assessment_not_found(trace_id, overridden));
        }
    }
    let of_trace = (experiment_id, timestamp_ms);
    if write_assessments(conn, trace_id, std::slice::from_ref(new), of_trace, Known::Kept)? == 0 {
        let message =
            format!("Failed to create assessment for trace '{trace_id}' due to a constraint violation.");
        return Err(Error::new(ErrorCode::InternalError, message));
    }
    get_row(conn, trace_id, &new.id)?.into_message()
}

fn assessment_not_found(trace_id: &TraceId, id: &AssessmentId) -> Error {
    Error::not_found(format!("Assessment with ID '{id}' not found for trace '{trace_id}'"))
}

/// What becomes of an assessment whose id is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It stays as it is, and the new one is not written.
    Kept,
    /// The new one is written over it.
    Overwritten,
}

/// Writes assessments of one trace, of which experiment and time are given, and returns how many were written.
pub(super) fn write_assessments(
    conn: &mut Conn,
    trace_id: &str,
    all: &[AssessmentValue],
    (experiment_id, timestamp_ms): (i32, i64),
    known: Known,
) -> Result<usize> {
    macro_rules! insert {
        ($values:literal, $conflict:ident) => {
            concat!(
                "INSERT INTO assessments (trace_id, assessment_id, name, assessment_type, value, error, \
                 created_timestamp, last_updated_timestamp, source_type, source_id, run_id, span_id, rationale, \
                 overrides, assessment_metadata, experiment_id, trace_timestamp_ms, aggregate_value, is_numeric_value, \
                 valid) ",
                $values,
                " ON CONFLICT (assessment_id) DO ",
                $conflict!()
            )
        };
    }
    macro_rules! keep {
        () => {
            "NOTHING"
        };
    }
    macro_rules! overwrite {
        () => {
            "UPDATE SET trace_id = excluded.trace_id, name = excluded.name, \
             assessment_type = excluded.assessment_type, value = excluded.value, error = excluded.error, \
             created_timestamp = excluded.created_timestamp, \
             last_updated_timestamp = excluded.last_updated_timestamp, source_type = excluded.source_type, \
             source_id = excluded.source_id, run_id = excluded.run_id, span_id = excluded.span_id, \
             rationale = excluded.rationale, overrides = excluded.overrides, valid = excluded.valid, \
             assessment_metadata = excluded.assessment_metadata, aggregate_value = excluded.aggregate_value, \
             is_numeric_value = excluded.is_numeric_value"
        };
    }
    macro_rules! pg {
        ($conflict:ident) => {
            insert!(
                "SELECT n.trace, n.id, n.name, n.kind, n.value, n.error, n.created, n.updated, n.source, n.source_id, \
                 n.run, n.span, n.why, n.overrides, n.metadata, n.experiment::int, n.time, n.number, \
                 n.is_number = 1, true FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
                 n(trace, id, name, kind, value, error, created, updated, source, source_id, run, span, why, \
                 overrides, metadata, experiment, time, number, is_number)",
                $conflict
            )
        };
    }
    macro_rules! sqlite {
        ($conflict:ident) => {
            insert!("VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, true)", $conflict)
        };
    }
    let (pg, sqlite) = match known {
        Known::Kept => (pg!(keep), sqlite!(keep)),
        Known::Overwritten => (pg!(overwrite), sqlite!(overwrite)),
    };
    let texts = |of: fn(&AssessmentValue) -> &str| Column::Texts(all.iter().map(of).collect());
    let optional = |of: fn(&AssessmentValue) -> Option<&str>| Column::OptTexts(all.iter().map(of).collect());
    let columns = [
        Column::Texts(vec![trace_id; all.len()]),
        texts(|a| &a.id),
        texts(|a| &a.name),
        texts(|a| a.kind.name()),
        texts(|a| &a.value),
        optional(|a| a.error.as_deref()),
        Column::BigInts(all.iter().map(|a| a.created_ms).collect()),
        Column::BigInts(all.iter().map(|a| a.updated_ms).collect()),
        texts(|a| a.source_type),
        optional(|a| a.source_id.as_deref()),
        optional(|a| a.run_id.as_deref()),
        optional(|a| a.span_id.as_deref()),
        optional(|a| a.rationale.as_deref()),
        optional(|a| a.overrides.as_deref()),
        optional(|a| a.metadata.as_deref()),
        Column::BigInts(vec![experiment_id.into(); all.len()]),
        Column::BigInts(vec![timestamp_ms; all.len()]),
        Column::OptDoubles(all.iter().map(|a| a.aggregate().0).collect()),
        Column::BigInts(all.iter().map(|a| a.aggregate().1.into()).collect()),
    ];
    Ok(write_rows(conn, &columns, pg, sqlite)?)
}

fn find_row(conn: &mut Conn, trace_id: &TraceId, id: &AssessmentId) -> Result<Option<AssessmentRow>> {
    let found = assessments::table.find(id.as_str()).filter(assessments::trace_id.eq(trace_id.as_str()));
    Ok(each!(conn, c => found.select(AssessmentRow::as_select()).first(c).optional())?)
}

fn get_row(conn: &mut Conn, trace_id: &TraceId, id: &AssessmentId) -> Result<AssessmentRow> {
    if let Some(row) = find_row(conn, trace_id, id)? {
        return Ok(row);
    }
    let trace = trace_info::table.find(trace_id.as_str()).select(trace_info::request_id);
    let found: Option<String> = each!(conn, c => trace.first(c).optional())?;
    Err(match found {
        Some(_) => assessment_not_found(trace_id, id),
        None => Error::not_found(format!("Trace with request_id '{trace_id}' not found")),
    })
}

fn update_in(
    conn: &mut Conn,
    trace_id: &TraceId,
    id: &AssessmentId,
    update: &AssessmentUpdate,
) -> Result<Assessment> {
    let mut row = get_row(conn, trace_id, id)?;
    let is = |kind: &str| row.assessment_type == kind;
    if update.expectation.is_some() && !is("expectation") {
        return Err(Error::invalid("Cannot update expectation value on a Feedback assessment."));
    }
    if update.feedback.is_some() && !is("feedback") {
        return Err(Error::invalid("Cannot update feedback value on an Expectation assessment."));
    }
    if let Some((value, error)) = &update.feedback {
        row.value.clone_from(value);
        row.error.clone_from(error);
    }
    if let Some(value) = &update.expectation {
        row.value.clone_from(value);
    }
    if let Some(name) = &update.name {
        row.name.clone_from(name);
    }
    if update.rationale.is_some() && !is("expectation") {
        row.rationale.clone_from(&update.rationale);
    }
    let mut metadata = read_metadata(row.assessment_metadata.as_deref())?;
    metadata.extend(update.metadata.clone());
    row.assessment_metadata = metadata_json(&metadata);
    row.last_updated_timestamp = now_ms();
    let (number, is_number) = aggregate(&row.value);
    each!(conn, c => diesel::update(assessments::table.find(id.as_str()))
        .set((
            assessments::name.eq(&row.name),
            assessments::value.eq(&row.value),
            assessments::error.eq(&row.error),
            assessments::last_updated_timestamp.eq(row.last_updated_timestamp),
            assessments::rationale.eq(&row.rationale),
            assessments::assessment_metadata.eq(&row.assessment_metadata),
            assessments::aggregate_value.eq(number),
            assessments::is_numeric_value.eq(is_number),
        ))
        .execute(c))?;
    row.into_message()
}

fn delete_in(conn: &mut Conn, trace_id: &TraceId, id: &AssessmentId) -> Result<()> {
    let Some(row) = find_row(conn, trace_id, id)? else { return Ok(()) };
    if let Some(overridden) = &row.overrides {
        let other = diesel::update(assessments::table.find(overridden)).set(assessments::valid.eq(true));
        each!(conn, c => other.execute(c))?;
    }
    each!(conn, c => diesel::delete(assessments::table.find(id.as_str())).execute(c))?;
    Ok(())
}

/// A row of `assessments`.
#[derive(Queryable, Selectable, Debug)]
#[diesel(table_name = assessments)]
pub(super) struct AssessmentRow {
    pub(super) assessment_id: String,
    pub(super) trace_id: String,
    pub(super) name: String,
    pub(super) assessment_type: String,
    pub(super) value: String,
    pub(super) error: Option<String>,
    pub(super) created_timestamp: i64,
    pub(super) last_updated_timestamp: i64,
    pub(super) source_type: String,
    pub(super) source_id: Option<String>,
    pub(super) span_id: Option<String>,
    pub(super) rationale: Option<String>,
    pub(super) overrides: Option<String>,
    pub(super) valid: bool,
    pub(super) assessment_metadata: Option<String>,
}

type AssessmentSql = (
    Text,
    Text,
    Text,
    Text,
    Text,
    Nullable<Text>,
    BigInt,
    BigInt,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Bool,
    Nullable<Text>,
);

macro_rules! assessments_of {
    ($place:literal, $of:literal) => {
        concat!(
            "SELECT ",
            $place,
            ", a.assessment_id, a.trace_id, a.name, a.assessment_type, a.value, a.error, a.created_timestamp, \
             a.last_updated_timestamp, a.source_type, a.source_id, a.span_id, a.rationale, a.overrides, a.valid, \
             a.assessment_metadata FROM ",
            $of
        )
    };
}

/// The assessments of the traces of a list, each with the trace's place in the list counted from 0, the oldest first.
const PG_OF_TRACES: &str = assessments_of!(
    "p.place - 1",
    "unnest((SELECT ?)) WITH ORDINALITY p(id, place) CROSS JOIN LATERAL (SELECT * FROM assessments \
     WHERE trace_id BETWEEN p.id AND p.id OFFSET 0) a ORDER BY a.created_timestamp, a.assessment_id"
);
/// Of one moment SQLite has them in the order of their rows.
pub(super) const SQLITE_OF_TRACES: &str = assessments_of!(
    "p.key",
    "json_each(?) p CROSS JOIN assessments a ON a.trace_id = p.value \
     ORDER BY a.created_timestamp, a.rowid"
);

/// Loads the assessments of the traces `ids`, each with the place of its trace in that list, the oldest first. One
/// statement.
///
/// Index: `index_assessments_trace_id_created_timestamp`.
pub(super) fn load_assessments(conn: &mut Conn, ids: &[&str]) -> Result<Vec<(usize, Assessment)>> {
    type RowSql = (BigInt, AssessmentSql);
    let rows: Vec<(i64, AssessmentRow)> = match conn {
        Conn::Pg(c) => statement::<RowSql>(PG_OF_TRACES, &[Bind::Texts(ids)]).load(c)?,
        Conn::Sqlite(c) => statement::<RowSql>(SQLITE_OF_TRACES, &[Bind::Text(&json_list(ids))]).load(c)?,
    };
    let of_row = |(place, row): (i64, AssessmentRow)| {
        Ok((usize::try_from(place).map_err(Error::internal)?, row.into_message()?))
    };
    rows.into_iter().map(of_row).collect()
}

impl AssessmentRow {
    /// Makes the message. Upstream: `SqlAssessments.to_mlflow_entity`, `Assessment.to_proto`.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` for what no server writes.
    pub(super) fn into_message(self) -> Result<Assessment> {
        let mut message = Assessment {
            assessment_id: Some(self.assessment_id),
            assessment_name: Some(self.name),
            trace_id: Some(self.trace_id),
            span_id: self.span_id,
            source: Some(AssessmentSource {
                source_type: SourceType::from_str_name(&self.source_type).map(i32::from),
                source_id: self.source_id,
            }),
            create_time: Some(Timestamp::from_millis(self.created_timestamp)),
            last_update_time: Some(Timestamp::from_millis(self.last_updated_timestamp)),
            rationale: self.rationale,
            overrides: self.overrides.filter(|id| !id.is_empty()),
            valid: Some(self.valid),
            ..Assessment::default()
        };
        message.metadata = read_metadata(self.assessment_metadata.as_deref())?;
        let value = || {
            Value::of_text(&self.value).ok_or_else(|| Error::internal("an assessment's value is not JSON"))
        };
        match self.assessment_type.as_str() {
            "feedback" => {
                let error = self.error.as_deref().map(read_error).transpose()?;
                message.feedback = Some(Feedback { value: Some(value()?), error });
            }
            "expectation" => message.expectation = Some(expectation(&self.value)?),
            "issue" => message.issue = Some(read::<IssueReference>(&self.value)?),
            other => return Err(Error::internal(format!("an assessment of the kind {other}"))),
        }
        Ok(message)
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(Error::internal)
}

fn read_metadata(json: Option<&str>) -> Result<BTreeMap<String, String>> {
    let metadata: serde_json::Map<String, Json> = json.map(read).transpose()?.unwrap_or_default();
    Ok(metadata.into_iter().map(|(key, value)| (key, text_of(&value))).collect())
}

/// Writes a value as Python's `str` does.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => python::json_repr(other),
    }
}

/// Upstream: `ExpectationValue.to_proto`: lists, objects and null go as text.
fn expectation(stored: &str) -> Result<Expectation> {
    let broken = || Error::internal("an expectation's value is not JSON");
    let json = Loose::parse(stored.as_bytes()).ok_or_else(broken)?;
    if !matches!(json, Loose::Null | Loose::List(_) | Loose::Object(_)) {
        let value = Value::of_text(stored).ok_or_else(broken)?;
        return Ok(Expectation { value: Some(value), serialized_value: None });
    }
    let serialized = SerializedValue {
        serialization_format: Some("JSON_FORMAT".to_owned()),
        value: Some(json.dumps_spaced()),
    };
    Ok(Expectation { value: None, serialized_value: Some(serialized) })
}

/// Upstream: `AssessmentError.to_proto`.
fn read_error(json: &str) -> Result<AssessmentError> {
    let mut error: AssessmentError = read(json)?;
    error.error_message = error.error_message.filter(|text| !text.is_empty());
    error.stack_trace = error.stack_trace.filter(|text| !text.is_empty()).map(|text| {
        let length = text.chars().count();
        if length <= MAX_STACK_TRACE {
            return text;
        }
        let kept = MAX_STACK_TRACE - CUT.len();
        CUT.chars().chain(text.chars().skip(length - kept)).collect()
    });
    Ok(error)
}
