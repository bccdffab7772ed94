//! Traces, but for their searches.

use actix_web::web::Path;
use serde::Serialize;
use serde_json::Value;

use crate::api::extract::Check::{Array, Bool, Int, Keyed, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema, Scoped};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::{RunId, Tag, TraceId};
use crate::domain::trace::delete::Deletion;
use crate::domain::trace::info::NewTrace;
use crate::domain::trace::stored::{self, SpanMessage};
use crate::domain::trace::{PROTECTED_TAGS, TRACE_NAME, TRACE_NAME_LENGTH, tag};
use crate::domain::{Error, ErrorCode, Result, python, validate};
use crate::proto::{
    BatchGetTraceInfos, BatchGetTraces, DeleteTraceTag, DeleteTraceTagV3, DeleteTraces, EndTrace, GetTrace,
    LinkPromptsToTrace, LinkTracesToRun, SetTraceTag, SetTraceTagV3, StartTrace, StartTraceV3, Trace,
    TraceInfo, TraceInfoV3, batch_get_trace_infos, delete_trace_tag, delete_traces, end_trace,
    get_trace_info, get_trace_info_v3, link_prompts_to_trace, link_traces_to_run, set_trace_tag, start_trace,
    start_trace_v3,
};
use crate::store::traces::StoredTrace;

impl Request for StartTraceV3 {
    const SCHEMA: Schema = &[("trace", &[Required])];
}

impl Request for GetTrace {
    const SCHEMA: Schema = &[("trace_id", &[Str, Required]), ("allow_partial", &[Bool])];
}

impl Request for BatchGetTraces {
    const SCHEMA: Schema =
        &[("trace_ids", &[Array, Required, Strings]), ("experiment_ids", &[Array, Strings])];
}

impl Request for DeleteTraces {
    const SCHEMA: Schema = &[
        ("experiment_id", &[Str, Required]),
        ("max_timestamp_millis", &[Int]),
        ("max_traces", &[Int]),
        ("request_ids", &[Array, Strings]),
    ];
}

impl Request for SetTraceTag {
    const SCHEMA: Schema = &[("key", &[Str, Required]), ("value", &[Str])];
}

impl Request for SetTraceTagV3 {
    const SCHEMA: Schema = &[("key", &[Str, Required]), ("value", &[Str])];
}

impl Request for DeleteTraceTag {
    const SCHEMA: Schema = &[("key", &[Str, Required])];
}

impl Request for DeleteTraceTagV3 {
    const SCHEMA: Schema = &[("key", &[Str, Required])];
}

impl Request for LinkTracesToRun {
    const SCHEMA: Schema = &[("trace_ids", &[Array, Required, Strings]), ("run_id", &[Str, Required])];
}

impl Request for LinkPromptsToTrace {
    const SCHEMA: Schema = &[("trace_id", &[Str, Required]), ("prompt_versions", &[Array, Required])];
}

impl Request for StartTrace {
    const SCHEMA: Schema = &[
        ("experiment_id", &[Str]),
        ("timestamp_ms", &[Int]),
        ("request_metadata", &[Keyed]),
        ("tags", &[Keyed]),
    ];

    /// Forces the slow path (few old clients), so that a null list is no empty list.
    fn has_whole_items(&self) -> bool {
        false
    }
}

impl Request for EndTrace {
    const SCHEMA: Schema =
        &[("timestamp_ms", &[Int]), ("status", &[Str]), ("request_metadata", &[Keyed]), ("tags", &[Keyed])];

    fn has_whole_items(&self) -> bool {
        false
    }
}

impl Request for BatchGetTraceInfos {
    const SCHEMA: Schema =
        &[("trace_ids", &[Array, Required, Strings]), ("experiment_ids", &[Array, Strings])];
}

/// `POST 3.0 traces`. Upstream: `_start_trace_v3`.
pub async fn start_trace_v3(app: App, Proto(r): Proto<StartTraceV3>) -> Reply<start_trace_v3::Response> {
    let info = r.trace.and_then(|trace| trace.trace_info).unwrap_or_default();
    let info = app.store.start_trace(NewTrace::try_from(info)?).await?;
    reply::json(start_trace_v3::Response { trace: Some(Trace { trace_info: Some(info) }) })
}

/// `POST 2.0 traces`. Upstream: `_deprecated_start_trace_v2`.
pub async fn start_trace(app: App, Proto(r): Proto<StartTrace>) -> Reply<start_trace::Response> {
    let info = app.store.start_trace_v2(NewTrace::try_from(r)?).await?;
    reply::json(start_trace::Response { trace_info: Some(TraceInfo::from(info)) })
}

/// `PATCH 2.0 traces/{request_id}`. Upstream: `_deprecated_end_trace_v2`.
pub async fn end_trace(app: App, id: Path<String>, Proto(r): Proto<EndTrace>) -> Reply<end_trace::Response> {
    let info = app.store.end_trace_v2(NewTrace::from_end(id.into_inner(), r)?).await?;
    reply::json(end_trace::Response { trace_info: Some(TraceInfo::from(info)) })
}

/// `GET 2.0 traces/{request_id}/info`. Upstream: `_deprecated_get_trace_info_v2`.
pub async fn get_trace_info_v2(app: App, id: Path<TraceId>) -> Reply<get_trace_info::Response> {
    let info = app.store.get_trace_info(id.into_inner()).await?;
    reply::json(get_trace_info::Response { trace_info: Some(TraceInfo::from(info)) })
}

/// `GET traces/get`. An incomplete trace is polled for, unless parts are asked for. Upstream: `_get_trace`.
pub async fn get_trace(app: App, Proto(r): Proto<GetTrace>) -> Reply<GetTraceReply> {
    let mut attempts = if r.allow_partial() { 1 } else { WAITS };
    loop {
        let found = app.store.get_traces(vec![r.trace_id().to_owned()], None).await?;
        let trace = found
            .into_iter()
            .next()
            .ok_or_else(|| Error::not_found(format!("Trace with ID {} is not found.", r.trace_id())))?;
        if r.allow_partial() || is_whole(&trace)? {
            return reply::json(GetTraceReply { trace: with_spans(trace)? });
        }
        attempts -= 1;
        if attempts == 0 {
            let id = r.trace_id();
            let message = format!("Trace with ID {id} is not fully exported yet, please try again later.");
            return Err(Error::not_found(message));
        }
        actix_web::rt::time::sleep(WAIT).await;
    }
}

/// `GET traces/batchGet`. Incomplete traces are left out. Upstream: `_batch_get_traces`.
pub async fn batch_get_traces(
    app: App,
    Scoped(r, is_scoped): Scoped<BatchGetTraces>,
) -> Reply<BatchGetTracesReply> {
    let experiments = experiments_of(&r.experiment_ids, is_scoped && !r.trace_ids.is_empty())?;
    let mut traces = Vec::new();
    for trace in app.store.get_traces(r.trace_ids, experiments).await? {
        if is_whole(&trace)? {
            traces.push(with_spans(trace)?);
        }
    }
    reply::json(BatchGetTracesReply { traces })
}

/// Reads the ids of the experiments to look in; `None` is all of them.
fn experiments_of(ids: &[String], is_scoped: bool) -> Result<Option<Vec<i32>>> {
    is_scoped.then(|| validate::searched_experiment_ids(ids)).transpose()
}

/// The number and the interval of polls for a trace whose spans are incomplete.
const WAITS: u32 = 12;
const WAIT: std::time::Duration = std::time::Duration::from_millis(250);

fn spans_of(trace: &StoredTrace) -> Result<&[String]> {
    let elsewhere = || Error::new(ErrorCode::InternalError, "Trace data not stored in tracking store");
    trace.spans.as_deref().ok_or_else(elsewhere)
}

/// Says whether a trace has as many spans as its client has counted, and at least one.
fn is_whole(trace: &StoredTrace) -> Result<bool> {
    let spans = spans_of(trace)?;
    let stats = trace.info.trace_metadata.get("mlflow.trace.sizeStats");
    let stats: Option<Value> = stats.and_then(|json| serde_json::from_str(json).ok());
    let expected = stats.and_then(|stats| stats.get("num_spans").and_then(Value::as_u64)).unwrap_or(1).max(1);
    Ok(spans.len() as u64 >= expected)
}

fn with_spans(trace: StoredTrace) -> Result<TraceMessage> {
    let spans = spans_of(&trace)?.iter().map(|content| stored::message(content)).collect::<Result<_>>()?;
    Ok(TraceMessage { trace_info: trace.info, spans })
}

/// A trace with its spans.
#[derive(Debug, Serialize)]
pub struct TraceMessage {
    trace_info: TraceInfoV3,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spans: Vec<SpanMessage>,
}

/// What `traces/get` answers.
#[derive(Debug, Serialize)]
pub struct GetTraceReply {
    trace: TraceMessage,
}

/// What `traces/batchGet` answers.
#[derive(Debug, Serialize)]
pub struct BatchGetTracesReply {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    traces: Vec<TraceMessage>,
}

/// `POST traces/delete-traces`, of both versions. Upstream: `_delete_traces`.
pub async fn delete_traces(app: App, Proto(r): Proto<DeleteTraces>) -> Reply<delete_traces::Response> {
    let deleted = app.store.delete_traces(Deletion::try_from(r)?).await?;
    reply::json(delete_traces::Response { traces_deleted: i32::try_from(deleted).ok() })
}

/// `PATCH 2.0 traces/{request_id}/tags`. Upstream: `_set_trace_tag`.
pub async fn set_trace_tag(
    app: App,
    id: Path<TraceId>,
    Proto(r): Proto<SetTraceTag>,
) -> Reply<set_trace_tag::Response> {
    set_tag(&app, id.into_inner(), r.key(), r.value()).await?;
    reply::empty()
}

/// `PATCH 3.0 traces/{trace_id}/tags`. Upstream: `_set_trace_tag_v3`.
pub async fn set_trace_tag_v3(
    app: App,
    id: Path<TraceId>,
    Proto(r): Proto<SetTraceTagV3>,
) -> Reply<set_trace_tag::Response> {
    set_tag(&app, id.into_inner(), r.key(), r.value()).await?;
    reply::empty()
}

async fn set_tag(app: &App, id: TraceId, key: &str, value: &str) -> Result<()> {
    require_mutable(key, "set")?;
    let (key, value) = tag(key, value.to_owned())?;
    if key == TRACE_NAME {
        validate::length("Trace name", TRACE_NAME_LENGTH, &value)?;
    }
    app.store.set_trace_tag(id, Tag { key, value }).await
}

/// Upstream: `_validate_trace_tag_handler_mutation`.
fn require_mutable(key: &str, operation: &str) -> Result<()> {
    let is_failure = key == "mlflow.trace.archivalFailure" && operation == "deleted";
    if !PROTECTED_TAGS.contains(&key) || is_failure {
        return Ok(());
    }
    Err(Error::invalid(format!("Tag '{key}' is immutable and cannot be {operation} on a trace.")))
}

/// `DELETE 2.0 traces/{request_id}/tags`. Upstream: `_delete_trace_tag`.
pub async fn delete_trace_tag(
    app: App,
    id: Path<TraceId>,
    Proto(r): Proto<DeleteTraceTag>,
) -> Reply<delete_trace_tag::Response> {
    require_mutable(r.key(), "deleted")?;
    app.store.delete_trace_tag(id.into_inner(), r.key.unwrap_or_default()).await?;
    reply::empty()
}

/// `DELETE 3.0 traces/{trace_id}/tags`. Upstream: `_delete_trace_tag_v3`.
pub async fn delete_trace_tag_v3(
    app: App,
    id: Path<TraceId>,
    Proto(r): Proto<DeleteTraceTagV3>,
) -> Reply<delete_trace_tag::Response> {
    require_mutable(r.key(), "deleted")?;
    app.store.delete_trace_tag(id.into_inner(), r.key.unwrap_or_default()).await?;
    reply::empty()
}

/// `POST traces/link-to-run`. Upstream: `_link_traces_to_run`.
pub async fn link_traces_to_run(
    app: App,
    Proto(r): Proto<LinkTracesToRun>,
) -> Reply<link_traces_to_run::Response> {
    const MOST: usize = 100;
    if r.trace_ids.len() > MOST {
        return Err(Error::invalid(format!(
            "Cannot link more than {MOST} traces to a run in a single request. Provided {} traces.",
            r.trace_ids.len()
        )));
    }
    let ids = r.trace_ids.into_iter().map(TraceId::from).collect();
    app.store.link_traces_to_run(ids, RunId::from(r.run_id)).await?;
    reply::empty()
}

/// `POST traces/link-prompts`. Upstream: `_link_prompts_to_trace`.
pub async fn link_prompts_to_trace(
    app: App,
    Proto(r): Proto<LinkPromptsToTrace>,
) -> Reply<link_prompts_to_trace::Response> {
    let id_of = |prompt: &link_prompts_to_trace::PromptVersionRef| {
        let version = python::parse_int(prompt.version());
        let version =
            version.ok_or_else(|| Error::invalid("The version of a prompt must be a whole number."))?;
        Ok(format!("{}/{version}", prompt.name()))
    };
    let prompts: Vec<String> = r.prompt_versions.iter().map(id_of).collect::<Result<_>>()?;
    if !prompts.is_empty() {
        app.store.link_prompts_to_trace(TraceId::from(r.trace_id), prompts).await?;
    }
    reply::empty()
}

/// `GET 3.0 traces/{trace_id}`. Upstream: `_get_trace_info_v3`.
pub async fn get_trace_info(app: App, id: Path<TraceId>) -> Reply<get_trace_info_v3::Response> {
    let info = app.store.get_trace_info(id.into_inner()).await?;
    reply::json(get_trace_info_v3::Response { trace: Some(Trace { trace_info: Some(info) }) })
}

/// `POST traces/batchGetInfos`. Upstream: `_batch_get_trace_infos`.
pub async fn batch_get_trace_infos(
    app: App,
    Scoped(r, is_scoped): Scoped<BatchGetTraceInfos>,
) -> Reply<batch_get_trace_infos::Response> {
    let experiments = experiments_of(&r.experiment_ids, is_scoped && !r.trace_ids.is_empty())?;
    let trace_infos = app.store.get_trace_infos(r.trace_ids, experiments).await?;
    reply::json(batch_get_trace_infos::Response { trace_infos })
}
