//! What a client says of a trace as a whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Tree};

use super::assessment::AssessmentValue;
use super::attributes::parse;
use super::usage::{finite, token_count};
use super::{
    COST, COST_KEYS, SESSION, SESSION_LENGTH, TOKEN_KEYS, TOKEN_USAGE, TRACE_NAME, TRACE_NAME_LENGTH,
};
use crate::domain::{Error, Result, validate};
use crate::proto::trace_info_v3::State;
use crate::proto::trace_location::TraceLocationType;
use crate::proto::{
    EndTrace, StartTrace, TraceInfoV3, TraceLocation, TraceRequestMetadata, TraceStatus, TraceTag,
};

/// A trace as a client describes it.
#[derive(Debug, Default)]
pub struct NewTrace {
    /// Its id.
    pub trace_id: String,
    /// The experiment that it belongs to.
    pub experiment_id: i32,
    /// When it began; where only its end is told, when it ended.
    pub timestamp_ms: i64,
    /// How long it took.
    pub execution_time_ms: Option<i64>,
    /// How it ended.
    pub status: &'static str,
    /// What the client calls it.
    pub client_request_id: Option<String>,
    /// What is shown of its inputs.
    pub request_preview: Option<String>,
    /// What is shown of its outputs.
    pub response_preview: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its session.
    pub session: Option<String>,
    /// Its tokens, in the order of `TOKEN_KEYS`.
    pub tokens: [Option<i64>; 6],
    /// Its cost, in the order of `COST_KEYS`.
    pub cost: [Option<f64>; 3],
    /// Its tags but for its name.
    pub tags: BTreeMap<String, String>,
    /// Its metadata but for what columns hold.
    pub metadata: BTreeMap<String, String>,
    /// What is said about it.
    pub assessments: Vec<AssessmentValue>,
}

impl NewTrace {
    /// Takes what name, session, tokens and cost are kept in columns out of tags and metadata.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a name or session that is too long.
    /// Upstream: `analytics_columns_from_metadata`, `validate_trace_name`.
    fn with_pairs(
        mut self,
        mut tags: BTreeMap<String, String>,
        mut metadata: BTreeMap<String, String>,
    ) -> Result<Self> {
        self.name = tags.remove(TRACE_NAME);
        if let Some(name) = &self.name {
            validate::length("Trace name", TRACE_NAME_LENGTH, name)?;
        }
        self.session = metadata.remove(SESSION);
        if let Some(session) = &self.session {
            validate::length("Session ID", SESSION_LENGTH, session)?;
        }
        let usage = metadata.remove(TOKEN_USAGE).and_then(|json| object(&json));
        let cost = metadata.remove(COST).and_then(|json| object(&json));
        self.tokens = TOKEN_KEYS.map(|key| token_count(usage.as_ref()?.get(key)?));
        self.cost = COST_KEYS.map(|key| finite(cost.as_ref()?.get(key)?));
        (self.tags, self.metadata) = (tags, metadata);
        Ok(self)
    }
}

fn object(json: &str) -> Option<Map<String, Tree>> {
    match parse(json) {
        Some(Tree::Object(fields)) => Some(fields),
        _ => None,
    }
}

impl TryFrom<TraceInfoV3> for NewTrace {
    type Error = Error;

    fn try_from(info: TraceInfoV3) -> Result<Self> {
        let state = info.state();
        let experiment_id = experiment_of(&info.trace_location.unwrap_or_default())?;
        let assessments =
            info.assessments.into_iter().map(AssessmentValue::try_from).collect::<Result<_>>()?;
        let new = Self {
            trace_id: info.trace_id.unwrap_or_default(),
            experiment_id,
            timestamp_ms: info.request_time.map_or(0, |time| time.millis()),
            execution_time_ms: info.execution_duration.map(|duration| duration.millis()),
            status: state.as_str_name(),
            client_request_id: info.client_request_id,
            request_preview: info.request_preview,
            response_preview: info.response_preview,
            assessments,
            ..Self::default()
        };
        new.with_pairs(info.tags, info.trace_metadata)
    }
}

/// Upstream: `TraceLocation.__post_init__`.
fn experiment_of(location: &TraceLocation) -> Result<i32> {
    let experiment = location.mlflow_experiment.as_ref().ok_or_else(|| {
        Error::invalid(
            "The trace has no experiment: `trace_location` must be one of the kind MLFLOW_EXPERIMENT.",
        )
    })?;
    let kind = location.r#type();
    if kind != TraceLocationType::MlflowExperiment {
        return Err(Error::invalid(format!(
            "Trace location type TraceLocationType.{} does not match the provided location \
             MlflowExperimentLocation(experiment_id='{}').",
            kind.as_str_name(),
            experiment.experiment_id()
        )));
    }
    validate::experiment_id(experiment.experiment_id())
}

impl TryFrom<StartTrace> for NewTrace {
    type Error = Error;

    fn try_from(start: StartTrace) -> Result<Self> {
        let new = Self {
            trace_id: uuid::Uuid::new_v4().simple().to_string(),
            timestamp_ms: start.timestamp_ms(),
            status: State::InProgress.as_str_name(),
            experiment_id: validate::experiment_id(start.experiment_id())?,
            ..Self::default()
        };
        new.with_pairs(tags_of(start.tags), metadata_of(start.request_metadata))
    }
}

impl NewTrace {
    /// Takes the end of a trace.
    ///
    /// # Errors
    /// As for its beginning, and `INVALID_PARAMETER_VALUE` without a status.
    pub fn from_end(trace_id: String, end: EndTrace) -> Result<Self> {
        if end.status() == TraceStatus::Unspecified {
            return Err(Error::invalid("A trace cannot end without a status."));
        }
        let status = end.status().as_str_name();
        let new = Self { trace_id, timestamp_ms: end.timestamp_ms(), status, ..Self::default() };
        new.with_pairs(tags_of(end.tags), metadata_of(end.request_metadata))
    }
}

fn tags_of(tags: Vec<TraceTag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()
}

fn metadata_of(metadata: Vec<TraceRequestMetadata>) -> BTreeMap<String, String> {
    metadata
        .into_iter()
        .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()))
        .collect()
}
