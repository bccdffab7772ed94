//! Spans from OpenTelemetry exporters (OTLP). Responses are stock's, which serves this path with another
//! framework than the rest.
//!
//! Upstream: `mlflow.server.otel_api`.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::{Value, json};

use super::body::{Body, VALUE_SIZE};
use super::reply::log;
use super::state::App;
use super::unpack::{Fault, MAX_GROWTH, Packing, measure};
use crate::domain::ids::RunId;
use crate::domain::trace::prices::Prices;
use crate::domain::trace::size;
use crate::domain::trace::span::{NewSpans, Refused};
use crate::domain::validate::{Limits, check_values};
use crate::domain::{Error, validate};
use crate::proto::otlp::count::Counts;
use crate::proto::otlp::{self, ExportTraceServiceRequest};
use crate::proto::outline::Outline;

/// Memory per byte of an export while it is parsed: first the bytes and the messages, then those and the
/// strings of the spans.
const COPIES: usize = 3;
/// Up to this size, decompression runs on the HTTP worker: it takes a few milliseconds.
const SOON_UNPACKED: usize = 1024 * 1024;
/// Exports up to this size are not counted before they are read.
const SMALL: usize = 16 * 1024;

/// Why a request is refused, in the words of stock.
enum Refusal {
    /// A text for `detail`.
    Detail(StatusCode, String),
    /// A required header is missing.
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
pub async fn export_traces(app: App, request: HttpRequest, payload: Payload) -> HttpResponse {
    match export(&app, &request, payload).await {
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

async fn export(app: &App, request: &HttpRequest, payload: Payload) -> Result<(), Refusal> {
    let headers = request.headers();
    let experiment =
        text(headers, "x-mlflow-experiment-id").filter(|id| !id.is_empty()).ok_or(Refusal::NoExperiment)?;
    let form = form_of(headers)?;
    let experiment_id = validate::experiment_id(experiment);
    let body = Body::receive(request.clone(), payload.into_inner()).await?;
    let mut body = unpacked(body, headers).await?;
    let limits = app.limits.clone();
    let memory = body.work(move |bytes| count(bytes, form, &limits)).await??;
    body.take_memory(COPIES, memory).await?;
    let prices = app.prices.clone();
    let read = move |bytes: Bytes| {
        let request = parse(&bytes, form)?;
        drop(bytes);
        convert(&request, experiment_id, &prices)
    };
    let spans = body.consume(read).await??;
    if spans.is_empty() {
        return Ok(());
    }
    let run_id = text(headers, "x-mlflow-run-id").filter(|id| !id.is_empty()).map(RunId::from);
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Differs: stock takes neither the registered media type of protobuf nor capital letters.
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

/// Decompresses a body if needed. Upstream: `decompress_otlp_body`.
async fn unpacked(mut body: Body, headers: &HeaderMap) -> Result<Body, Refusal> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = encoding.to_lowercase();
    // Differs: stock does not know `identity`.
    if matches!(encoding.as_str(), "" | "identity") {
        return Ok(body);
    }
    let ways = Packing::of(&encoding);
    if ways.is_empty() {
        let text = format!("Unsupported Content-Encoding: {encoding}");
        return Err(Refusal::Detail(StatusCode::BAD_REQUEST, text));
    }
    let limit = body.app().config.json_limit_bytes;
    let refusal = |fault| unpack_refusal(fault, &encoding, limit);
    let (way, length) = match measure(ways, body.bytes(), limit.min(SOON_UNPACKED)) {
        Err(Fault::TooLong) => {
            body.work_heavily(move |bytes| measure(ways, bytes, limit)).await?.map_err(refusal)?
        }
        measured => measured.map_err(refusal)?,
    };
    body.take_memory(1, length).await?;
    let whole = if length <= SOON_UNPACKED {
        way.unpack(body.bytes(), length)
    } else {
        body.work_heavily(move |bytes| way.unpack(bytes, length)).await?
    };
    let whole = whole.map_err(refusal)?;
    body.replace(whole);
    Ok(body)
}

fn unpack_refusal(fault: Fault, encoding: &str, limit: usize) -> Refusal {
    let too_large = |text: String| Refusal::Detail(StatusCode::PAYLOAD_TOO_LARGE, text);
    match fault {
        Fault::Damaged => {
            Refusal::Detail(StatusCode::BAD_REQUEST, format!("Failed to decompress {encoding} payload"))
        }
        Fault::TooLong => too_large(format!(
            "The {encoding} payload becomes longer than {} MiB, what --json-limit (FERROFLOW_JSON_LIMIT) allows",
            limit / (1024 * 1024)
        )),
        Fault::GrowsTooMuch => {
            too_large(format!("The {encoding} payload becomes more than {MAX_GROWTH} times as long"))
        }
    }
}

/// Counts the elements of a body, and returns the memory of its messages beside their strings.
fn count(body: &[u8], form: Form, limits: &Limits) -> Result<usize, Refusal> {
    if body.len() <= SMALL {
        return Ok(0);
    }
    let (counts, values) = match form {
        Form::Protobuf => (Counts::of_protobuf(body, &size::most(limits)), 0),
        Form::Json => {
            let outline = Outline::of(body, &Counts::LISTS);
            check_values(&outline, limits).map_err(bad_request)?;
            (Counts::of_json(&outline), outline.values)
        }
    };
    size::check(&counts, limits).map_err(bad_request)?;
    Ok(counts.memory().saturating_add(values.saturating_mul(VALUE_SIZE)))
}

fn bad_request(error: Error) -> Refusal {
    Refusal::Detail(StatusCode::BAD_REQUEST, error.message)
}

fn parse(body: &[u8], form: Form) -> Result<ExportTraceServiceRequest, Refusal> {
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
