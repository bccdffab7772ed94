//! Rows of assessments and how they become [`Assessment`] messages.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use serde::Deserialize;
use serde_json::Value as Json;

use super::json_list;
use crate::domain::{Error, Result, python};
use crate::proto::assessment_source::SourceType;
use crate::proto::expectation::SerializedValue;
use crate::proto::well_known::{Timestamp, Value};
use crate::proto::{Assessment, AssessmentError, AssessmentSource, Expectation, Feedback, IssueReference};
use crate::store::conn::Conn;
use crate::store::statement::{Bind, statement};

/// The most characters of a stack trace that are shown, with what stands for the beginning.
const MAX_STACK_TRACE: usize = 10_000;
const CUT: &str = "[Stack trace is truncated]\n...\n";

/// A row of `assessments`.
#[derive(Queryable, Debug)]
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
    "unnest(?) WITH ORDINALITY p(id, place) JOIN assessments a ON a.trace_id = p.id \
     ORDER BY a.created_timestamp, a.assessment_id"
);
const SQLITE_OF_TRACES: &str = assessments_of!(
    "p.key",
    "json_each(?) p CROSS JOIN assessments a ON a.trace_id = p.value \
     ORDER BY a.created_timestamp, a.assessment_id"
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
        if let Some(json) = self.assessment_metadata {
            let metadata: serde_json::Map<String, Json> = read(&json)?;
            message.metadata = metadata.into_iter().map(|(key, value)| (key, text_of(&value))).collect();
        }
        let value = || {
            Value::of_text(&self.value).ok_or_else(|| Error::internal("an assessment's value is not JSON"))
        };
        match self.assessment_type.as_str() {
            "feedback" => {
                let error = self.error.as_deref().map(read_error).transpose()?;
                message.feedback = Some(Feedback { value: Some(value()?), error });
            }
            "expectation" => message.expectation = Some(expectation(&self.value, value()?)?),
            "issue" => message.issue = Some(read::<IssueReference>(&self.value)?),
            other => return Err(Error::internal(format!("an assessment of the kind {other}"))),
        }
        Ok(message)
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(Error::internal)
}

/// Writes a value as Python's `str` does.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => python::json_repr(other),
    }
}

/// Upstream: `ExpectationValue.to_proto`: lists, objects and null go as text.
fn expectation(stored: &str, value: Value) -> Result<Expectation> {
    let json: Json = read(stored)?;
    if !matches!(json, Json::Null | Json::Array(_) | Json::Object(_)) {
        return Ok(Expectation { value: Some(value), serialized_value: None });
    }
    let serialized = SerializedValue {
        serialization_format: Some("JSON_FORMAT".to_owned()),
        value: Some(python::json_dumps(&json)),
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
