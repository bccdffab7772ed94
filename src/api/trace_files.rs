//! The files of traces: their spans as one file, as the user interface reads them, and attachments.

use std::io::Write as _;

use actix_web::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, ContentType};
use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use uuid::Uuid;

use crate::api::answer::{LARGE, Unwritten};
use crate::api::downloads::{self, Sender};
use crate::api::state::App;
use crate::artifacts::ArtifactPath;
use crate::domain::ids::{ExperimentId, TraceId};
use crate::domain::trace::ARTIFACT_LOCATION;
use crate::domain::{Error, ErrorCode, Result, artifact_uri};
use crate::proto::TraceInfoV3;

/// The file with the spans of a trace.
const TRACE_FILE: &str = "traces.json";

/// The query parameters.
#[derive(Debug, Deserialize)]
pub struct GetTraceArtifact {
    request_id: Option<String>,
    path: Option<String>,
}

/// `GET get-trace-artifact`, of both versions. Upstream: `get_trace_artifact_handler`.
///
/// Differs: stock reads whatever folder the tag `mlflow.artifactLocation` names, which any client can set.
pub async fn get_trace_artifact(
    app: App,
    request: HttpRequest,
    query: Query<GetTraceArtifact>,
) -> Result<HttpResponse> {
    let GetTraceArtifact { request_id, path } = query.into_inner();
    let id = request_id.filter(|id| !id.is_empty()).ok_or_else(|| {
        Error::new(ErrorCode::BadRequest, "Request must include the \"request_id\" query parameter.")
    })?;
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        return send_attachment(&app, &request, TraceId::from(id), &path).await;
    }
    let found = app.store.get_traces(vec![id.clone()], None).await?.pop();
    let trace = found.ok_or_else(|| Error::not_found(format!("Trace with ID {id} is not found.")))?;
    match trace.spans {
        Some(spans) => Ok(spans_file(spans)),
        None => send_file(&app, &request, &trace.info, TRACE_FILE).await.map_err(|e| match e.code {
            ErrorCode::ResourceDoesNotExist => {
                Error::new(ErrorCode::NotFound, format!("Trace data not found for path={TRACE_FILE}"))
            }
            _ => e,
        }),
    }
}

fn spans_file(spans: Vec<String>) -> HttpResponse {
    let length: usize = spans.iter().map(String::len).sum();
    let mut response = HttpResponse::Ok();
    response
        .content_type(ContentType(mime_guess::mime::TEXT_PLAIN))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename={TRACE_FILE}")))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((ACCEPT_RANGES, "bytes"));
    if length < LARGE {
        return response.body(format!("{{\"spans\":[{}]}}", spans.join(",")));
    }
    let mut response = response.finish();
    response.extensions_mut().insert(Unwritten::of(move |pieces| {
        let mut before = "{\"spans\":[";
        for span in spans {
            pieces.write_all(before.as_bytes())?;
            pieces.write_all(span.as_bytes())?;
            before = ",";
        }
        pieces.write_all(b"]}")
    }));
    response
}

/// Sends an attachment of a trace, which is named by a UUID.
async fn send_attachment(app: &App, request: &HttpRequest, id: TraceId, path: &str) -> Result<HttpResponse> {
    ArtifactPath::parse(path)?;
    if Uuid::parse_str(path).map(|uuid| uuid.to_string()).as_deref() != Ok(path) {
        let message = format!("Invalid attachment path: '{path}'. Attachment path must be a valid UUID.");
        return Err(Error::new(ErrorCode::AttributeNotFound, message));
    }
    let info = app.store.get_trace_info(id).await?;
    let path = format!("attachments/{path}");
    let sent = send_file(app, request, &info, &path).await;
    sent.map_err(|e| match e.code {
        ErrorCode::ResourceDoesNotExist => Error::not_found(format!("No such artifact: '{path}'")),
        _ => e,
    })
}

async fn send_file(app: &App, request: &HttpRequest, info: &TraceInfoV3, path: &str) -> Result<HttpResponse> {
    let corrupted = || {
        let message = format!("Trace data is corrupted for request_id={}", info.trace_id());
        Error::new(ErrorCode::InvalidState, message)
    };
    let uri = info.tags.get(ARTIFACT_LOCATION).ok_or_else(corrupted)?;
    let experiment = info.trace_location.as_ref().and_then(|location| location.mlflow_experiment.as_ref());
    let id = ExperimentId::parse(experiment.ok_or_else(corrupted)?.experiment_id())?;
    let experiment = app.store.get_experiment(id).await?;
    // Any client can set the tag, so it is trusted only within the traces of its experiment.
    let traces = artifact_uri::traces_location(experiment.artifact_location())?;
    let folder = app.artifacts.folder_within(uri, &traces)?;
    downloads::send(request, &folder, &ArtifactPath::parse(path)?, Sender::Page).await
}
