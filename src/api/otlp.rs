//! Spans as OpenTelemetry's exporters send them. Answers are stock's, which serves this path with another framework
//! than the rest.
//!
//! Upstream: `mlflow.server.otel_api`.

use std::io::Read;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use actix_web::rt::task::spawn_blocking;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde_json::{Value, json};

use super::reply::log;
use super::state::App;
use crate::domain::trace::prices::Prices;
use crate::domain::trace::span::{NewSpans, Refused};
use crate::domain::{Error, validate};
use crate::proto::otlp::{self, ExportTraceServiceRequest};

/// Bodies from this size on are read off the threads that answer requests.
const LARGE_BODY: usize = 256 * 1024;
/// How many times a body may grow when it is unpacked.
const MAX_GROWTH: usize = 16;

/// Why a request is refused, in the words of stock.
enum Refusal {
    /// A text for `detail`.
    Detail(StatusCode, String),
    /// A header that has to be there is not.
    NoExperiment,
    /// An error of MLflow.
    Mlflow(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Mlflow(error)
    }
}

fn detail(status: StatusCode, text: &str) -> Refusal {
    Refusal::Detail(status, text.to_owned())
}

/// `POST /v1/traces`. Upstream: `export_traces`.
pub async fn export_traces(app: App, request: HttpRequest, body: Bytes) -> HttpResponse {
    match export(&app, &request, body).await {
        Ok(()) => HttpResponse::Ok().content_type("application/x-protobuf").finish(),
        Err(Refusal::Mlflow(error)) => error.error_response(),
        Err(Refusal::Detail(status, text)) => json_answer(status, json!({ "detail": text })),
        Err(Refusal::NoExperiment) => {
            let missing = json!([{ "type": "missing", "loc": ["header", "x-mlflow-experiment-id"],
                "msg": "Field required", "input": null }]);
            json_answer(StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": missing }))
        }
    }
}

fn json_answer(status: StatusCode, body: Value) -> HttpResponse {
    HttpResponse::build(status).json(body)
}

/// How a body is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Protobuf,
    Json,
}

async fn export(app: &App, request: &HttpRequest, body: Bytes) -> Result<(), Refusal> {
    let headers = request.headers();
    let experiment =
        text(headers, "x-mlflow-experiment-id").filter(|id| !id.is_empty()).ok_or(Refusal::NoExperiment)?;
    let form = form_of(headers)?;
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).map(str::to_lowercase);
    let experiment_id = validate::experiment_id(experiment);
    let limit = app.config.json_limit_bytes.saturating_mul(MAX_GROWTH);
    let prices = app.prices.clone();
    let read = move || -> Result<NewSpans, Refusal> {
        let body = unpack(&body, encoding.as_deref(), limit)?;
        convert(&parse(&body, form)?, experiment_id, &prices)
    };
    let spans =
        if body_is_large(headers) { spawn_blocking(read).await.map_err(Error::internal)?? } else { read()? };
    if spans.is_empty() {
        return Ok(());
    }
    let run_id = text(headers, "x-mlflow-run-id").filter(|id| !id.is_empty()).map(str::to_owned);
    let ended = if run_id.is_some() { spans.ended_traces() } else { Vec::new() };
    app.store.log_spans(spans).await?;
    if let Some(run_id) = run_id.filter(|_| !ended.is_empty()) {
        // As in stock the spans are kept, whatever becomes of the links.
        if let Err(e) = app.store.link_traces_to_run(ended, run_id).await {
            log(&e);
        }
    }
    Ok(())
}

fn body_is_large(headers: &HeaderMap) -> bool {
    let length = text(headers, "content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_none_or(|length| length >= LARGE_BODY)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Differs: stock takes neither the name that protobuf has been registered by, nor capital letters.
fn form_of(headers: &HeaderMap) -> Result<Form, Refusal> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = given.and_then(|kind| kind.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
    match kind.as_deref() {
        Some("application/x-protobuf" | "application/protobuf") => Ok(Form::Protobuf),
        Some("application/json") => Ok(Form::Json),
        _ => {
            let given = given.unwrap_or("None");
            let text = format!(
                "Invalid Content-Type: {given}. Expected: application/x-protobuf or application/json"
            );
            Err(Refusal::Detail(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// Unpacks a body, up to `limit` bytes. Upstream: `decompress_otlp_body`.
fn unpack(body: &Bytes, encoding: Option<&str>, limit: usize) -> Result<Bytes, Refusal> {
    let read = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        let read = reader.take(limit as u64).read_to_end(&mut out);
        read.is_ok_and(|length| length < limit).then(|| Bytes::from(out))
    };
    let unpacked = match encoding {
        // Differs: stock does not know the word for "as it is".
        None | Some("" | "identity") => return Ok(body.clone()),
        Some("gzip") => read(&mut MultiGzDecoder::new(&**body)),
        Some("deflate") => {
            read(&mut ZlibDecoder::new(&**body)).or_else(|| read(&mut DeflateDecoder::new(&**body)))
        }
        Some(other) => {
            let text = format!("Unsupported Content-Encoding: {other}");
            return Err(Refusal::Detail(StatusCode::BAD_REQUEST, text));
        }
    };
    let name = encoding.unwrap_or_default();
    unpacked.ok_or_else(|| {
        Refusal::Detail(StatusCode::BAD_REQUEST, format!("Failed to decompress {name} payload"))
    })
}

fn parse(body: &Bytes, form: Form) -> Result<ExportTraceServiceRequest, Refusal> {
    let parsed = match form {
        Form::Protobuf => otlp::from_protobuf(body),
        Form::Json => otlp::from_json(body),
    };
    let request = parsed.map_err(|_e| detail(StatusCode::BAD_REQUEST, "Invalid OpenTelemetry format"))?;
    if request.resource_spans.is_empty() {
        return Err(detail(StatusCode::BAD_REQUEST, "Invalid OpenTelemetry format - no spans found"));
    }
    Ok(request)
}

fn convert(
    request: &ExportTraceServiceRequest,
    experiment_id: Result<i32, Error>,
    prices: &Prices,
) -> Result<NewSpans, Refusal> {
    // Where there are no spans, nobody looks at the experiment.
    let known = experiment_id.as_ref().copied().unwrap_or_default();
    let spans = NewSpans::convert(known, request, prices).map_err(|refused| match refused {
        Refused::NoIds => {
            detail(StatusCode::UNPROCESSABLE_ENTITY, "Cannot convert OpenTelemetry span to MLflow span")
        }
        Refused::OutOfRange => detail(StatusCode::UNPROCESSABLE_ENTITY, "Failed to log OpenTelemetry spans"),
        Refused::Invalid(error) => Refusal::Mlflow(error),
    })?;
    if !spans.is_empty() {
        experiment_id?;
    }
    Ok(spans)
}
