//! Spans on their way in: what OTLP carries becomes the text that is kept of a span, the values of its columns, and
//! what follows from them for its trace.
//!
//! Upstream: `Span.from_otel_proto`, `Span.to_dict`, `SqlAlchemyStore.log_spans`.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Tree;

use super::attributes::{self, Attributes, dump_text, parse, unquote, write_list, write_pairs, write_text};
use super::dialects;
use super::preview::preview;
use super::prices::{Prices, Tokens};
use super::usage::{Node, token_count};
use super::{
    CHAT_USAGE, COST_KEYS, LLM_COST, SESSION_LENGTH, TOKEN_KEYS, TRACE_NAME, TRACE_NAME_LENGTH, cost_json,
    tag,
};
use crate::domain::ids::TraceId;
use crate::domain::{Error, Result, validate};
use crate::proto::otlp::{
    Event, ExportTraceServiceRequest, KeyValue, Link, Resource, Span, StatusCode, Value,
};

pub(super) const INPUTS: &str = "mlflow.spanInputs";
pub(super) const OUTPUTS: &str = "mlflow.spanOutputs";
pub(super) const SPAN_TYPE: &str = "mlflow.spanType";
pub(super) const CHAT_TOOLS: &str = "mlflow.chat.tools";
pub(super) const MESSAGE_FORMAT: &str = "mlflow.message.format";
pub(super) const MODEL: &str = "mlflow.llm.model";
pub(super) const PROVIDER: &str = "mlflow.llm.provider";
const REQUEST_ID: &str = "mlflow.traceRequestId";
const TAG_PREFIX: &str = "mlflow.traceTag.";
/// The most characters of a model's name or provider in their columns.
const MODEL_LENGTH: usize = 500;
/// Programs whose name is kept with the first span of their traces.
const KNOWN_SERVICES: [&str; 5] = ["claude-code", "codex_cli_rs", "codex_vscode", "gemini-cli", "qwen-code"];

/// Why spans are refused before the database is asked.
#[derive(Debug)]
pub enum Refused {
    /// A span has no ids.
    NoIds,
    /// An id is too long, or a time too late to be kept.
    OutOfRange,
    /// A value breaks a rule of MLflow.
    Invalid(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Invalid(error)
    }
}

/// A row of `spans`, still without its experiment.
#[derive(Debug)]
pub struct NewSpan {
    /// Its id: 16 hexadecimal digits.
    pub span_id: String,
    /// The id of the span that called it.
    pub parent_span_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its type.
    pub span_type: Option<String>,
    /// `UNSET`, `OK` or `ERROR`.
    pub status: &'static str,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// When it ended; 0 is not known.
    pub end_ns: i64,
    /// All of it, as JSON.
    pub content: String,
    /// What its input, its output and both cost, in dollars.
    pub cost: [Option<f64>; 3],
    /// The model it asked.
    pub model: Option<String>,
    /// Who serves that model.
    pub provider: Option<String>,
}

/// The spans of one trace in one request, and what they say about the trace.
#[derive(Debug, Default)]
pub struct NewTraceSpans {
    /// The trace's id.
    pub trace_id: String,
    /// The spans, each id once.
    pub spans: Vec<NewSpan>,
    /// When the first began, in milliseconds.
    pub start_ms: i64,
    /// When the last ended.
    pub end_ms: i64,
    /// How the trace ended, if its first span is here.
    pub status: Option<&'static str>,
    /// What is shown of its inputs.
    pub request_preview: Option<String>,
    /// What is shown of its outputs.
    pub response_preview: Option<String>,
    /// Its session.
    pub session: Option<String>,
    /// Who asked.
    pub user: Option<String>,
    /// Its name, where a span's attribute gives one.
    pub name: Option<String>,
    /// Its tags, each key once.
    pub tags: Vec<(String, String)>,
    /// The tokens of its spans.
    pub usage: Vec<Node>,
    /// The cost of its spans.
    pub cost: Vec<Node>,
    has_resource: bool,
    has_session: bool,
    has_user: bool,
}

/// What one request brings.
#[derive(Debug)]
pub struct NewSpans {
    /// The experiment that new traces belong to.
    pub experiment_id: i32,
    /// By the id of the trace, in its order.
    pub traces: Vec<NewTraceSpans>,
}

impl NewSpans {
    /// Returns the ids of the traces, in their order.
    pub fn trace_ids(&self) -> Vec<&str> {
        self.traces.iter().map(|trace| trace.trace_id.as_str()).collect()
    }

    /// Converts the spans of a request.
    pub fn convert(
        experiment_id: i32,
        request: &ExportTraceServiceRequest,
        prices: &Prices,
    ) -> std::result::Result<Self, Refused> {
        let mut traces: Vec<NewTraceSpans> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        for group in &request.resource_spans {
            let service = known_service(group.resource.as_ref());
            let spans: Vec<&Span> = group.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
            if spans.iter().any(|span| span.trace_id.is_empty() || span.span_id.is_empty()) {
                return Err(Refused::NoIds);
            }
            for span in spans {
                let place = if let Some(place) = places.get(&span.trace_id) {
                    *place
                } else {
                    let trace_id = format!("tr-{}", hex_id(&span.trace_id, 16)?);
                    places.insert(span.trace_id.clone(), traces.len());
                    traces.push(NewTraceSpans { trace_id, ..NewTraceSpans::default() });
                    traces.len() - 1
                };
                let Some(trace) = traces.get_mut(place) else { continue };
                trace.add(span, service, prices)?;
                trace.add_resource(group.resource.as_ref());
            }
        }
        traces.sort_unstable_by(|a, b| a.trace_id.cmp(&b.trace_id));
        Ok(Self { experiment_id, traces })
    }

    /// Returns how many spans there are.
    pub fn len(&self) -> usize {
        self.traces.iter().map(|trace| trace.spans.len()).sum()
    }

    /// Returns the ids of the traces whose first span is here.
    pub fn ended_traces(&self) -> Vec<TraceId> {
        self.traces
            .iter()
            .filter(|trace| trace.status.is_some())
            .map(|trace| TraceId::from(trace.trace_id.as_str()))
            .collect()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl NewTraceSpans {
    fn add(
        &mut self,
        span: &Span,
        service: Option<&str>,
        prices: &Prices,
    ) -> std::result::Result<(), Refused> {
        let span_id = hex_id(&span.span_id, 8)?;
        let parent_id = (!span.parent_span_id.iter().all(|byte| *byte == 0))
            .then(|| hex_id(&span.parent_span_id, 8))
            .transpose()?;
        let nanos = |time: u64| i64::try_from(time).map_err(|_e| Refused::OutOfRange);
        let (start_ns, end_ns) = (nanos(span.start_time_unix_nano)?, nanos(span.end_time_unix_nano)?);
        let mut attributes = Attributes::from_otlp(&span.attributes);
        attributes.set(REQUEST_ID, dump_text(&self.trace_id));
        if let Some(service) = service.filter(|_| parent_id.is_none()) {
            attributes.set("service.name", dump_text(service));
        }
        let span_type = attributes_type(span);
        dialects::translate(&mut attributes, &span.events);
        add_cost(&mut attributes, prices);
        self.note(&attributes, &span_id, parent_id.as_deref())?;
        if parent_id.is_none() {
            self.note_root(&attributes, status_of(span).0)?;
        }
        let is_first = self.spans.is_empty();
        self.start_ms = if is_first { start_ns / 1_000_000 } else { self.start_ms.min(start_ns / 1_000_000) };
        self.end_ms = self.end_ms.max(end_ns / 1_000_000);
        let cost = attributes.tree(LLM_COST);
        let row = NewSpan {
            content: content(span, &attributes, &self.trace_id)?,
            name: span.name.clone(),
            span_type,
            status: status_of(span).0,
            start_ns,
            end_ns,
            cost: COST_KEYS.map(|key| cost.as_ref().and_then(|cost| super::usage::finite(cost.get(key)?))),
            model: bounded(&attributes, MODEL),
            provider: bounded(&attributes, PROVIDER),
            span_id,
            parent_span_id: parent_id,
        };
        match self.spans.iter_mut().rfind(|old| old.span_id == row.span_id) {
            Some(old) => *old = row,
            None => self.spans.push(row),
        }
        Ok(())
    }

    /// Takes what any span may say about its trace; of session and user the first counts.
    fn note(&mut self, attributes: &Attributes, span_id: &str, parent_id: Option<&str>) -> Result<()> {
        let node = |name: &str| Node::new(span_id, parent_id, attributes.tree(name).as_ref());
        self.usage.push(node(CHAT_USAGE));
        self.cost.push(node(LLM_COST));
        // The first counts even if it is empty, and so nothing.
        if !self.has_session
            && let Some(session) =
                attributes.text("session.id").or_else(|| attributes.text("gen_ai.conversation.id"))
        {
            validate::length("Session ID", SESSION_LENGTH, &session)?;
            self.has_session = true;
            self.session = Some(session).filter(|session| !session.is_empty());
        }
        if !self.has_user
            && let Some(user) = attributes.text("user.id")
        {
            self.has_user = true;
            self.user = Some(user).filter(|user| !user.is_empty());
        }
        Ok(())
    }

    /// Takes what the first span says about its trace.
    fn note_root(&mut self, attributes: &Attributes, status: &str) -> Result<()> {
        if self.status.is_none() {
            self.status = Some(if status == "ERROR" { "ERROR" } else { "OK" });
        }
        self.request_preview = attributes.get(INPUTS).map(|json| preview(json, "user"));
        self.response_preview = attributes.get(OUTPUTS).map(|json| preview(json, "assistant"));
        for (name, json) in attributes.iter() {
            let Some(key) = name.strip_prefix(TAG_PREFIX) else { continue };
            let Ok((key, value)) = tag(key, unquote(json)) else { continue };
            if key == TRACE_NAME {
                validate::length("Trace name", TRACE_NAME_LENGTH, &value)?;
                self.name = Some(value);
            } else {
                self.tags.retain(|(old, _)| *old != key);
                self.tags.push((key, value));
            }
        }
        Ok(())
    }

    /// Makes tags of what the first resource with attributes says; those of the first span go before them.
    fn add_resource(&mut self, resource: Option<&Resource>) {
        let attributes = resource.map(|resource| resource.attributes.as_slice()).unwrap_or_default();
        if self.has_resource || attributes.is_empty() {
            return;
        }
        self.has_resource = true;
        for pair in attributes.iter().filter(|pair| !pair.key.starts_with("telemetry.sdk.")) {
            if pair.key.starts_with("mlflow.") || self.tags.iter().any(|(key, _)| *key == pair.key) {
                continue;
            }
            let value = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) => text.clone(),
                value => attributes::dump(value),
            };
            self.tags.extend(tag(&pair.key, value).ok());
        }
    }
}

/// Returns the name of the program that sends, if it is one whose name is kept.
fn known_service(resource: Option<&Resource>) -> Option<&'static str> {
    let pair = resource?.attributes.iter().find(|pair| pair.key == "service.name")?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => KNOWN_SERVICES.into_iter().find(|known| known == name),
        _ => None,
    }
}

/// Returns the type that the client gave, before other dialects are looked at.
fn attributes_type(span: &Span) -> Option<String> {
    let pair = span.attributes.iter().rfind(|pair| pair.key == SPAN_TYPE)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        value => Some(attributes::dump(Some(value))),
    }
}

/// Adds what the tokens of a span cost, where model and tokens are known and the cost is not.
fn add_cost(attributes: &mut Attributes, prices: &Prices) {
    if attributes.has(LLM_COST) || !attributes.has(CHAT_USAGE) {
        return;
    }
    let (Some(Tree::Object(usage)), Some(Tree::String(model))) =
        (attributes.tree(CHAT_USAGE), attributes.tree(MODEL))
    else {
        return;
    };
    let tokens: Tokens = TOKEN_KEYS.map(|key| token_count(usage.get(key)?));
    let provider = attributes.tree(PROVIDER);
    if let Some(cost) = prices.cost(&model, provider.as_ref().and_then(Tree::as_str), &tokens) {
        attributes.set(LLM_COST, cost_json(&cost.map(Some)).unwrap_or_default());
    }
}

/// Returns the text of an attribute, cut to what its column holds; the JSON of one that is no text.
fn bounded(attributes: &Attributes, name: &str) -> Option<String> {
    attributes.text(name).map(|text| text.chars().take(MODEL_LENGTH).collect())
}

/// Writes an id as hexadecimal digits, with leading zeros to `bytes`.
fn hex_id(id: &[u8], bytes: usize) -> std::result::Result<String, Refused> {
    let zeros = id.len().saturating_sub(bytes);
    let (extra, id) = id.split_at(zeros);
    if extra.iter().any(|byte| *byte != 0) {
        return Err(Refused::OutOfRange);
    }
    let mut out = "00".repeat(bytes - id.len());
    for byte in id {
        let _ = write!(out, "{byte:02x}");
    }
    Ok(out)
}

/// Writes an id in base64, with leading zeros to `bytes`.
fn base64_id(id: &[u8], bytes: usize) -> String {
    let id = id.get(id.len().saturating_sub(bytes)..).unwrap_or(id);
    let mut whole = vec![0; bytes - id.len()];
    whole.extend_from_slice(id);
    STANDARD.encode(whole)
}

/// Returns the status of a span, by its name in the column and in the content.
fn status_of(span: &Span) -> (&'static str, &'static str) {
    match span.status.as_ref().map(|status| StatusCode::try_from(status.code)) {
        Some(Ok(StatusCode::Ok)) => ("OK", "STATUS_CODE_OK"),
        Some(Ok(StatusCode::Error)) => ("ERROR", "STATUS_CODE_ERROR"),
        _ => ("UNSET", "STATUS_CODE_UNSET"),
    }
}

/// Writes all of a span as JSON. Upstream: `Span.to_dict`.
fn content(span: &Span, attributes: &Attributes, trace_id: &str) -> std::result::Result<String, Refused> {
    let size: usize = attributes.iter().map(|(name, json)| name.len() + json.len() + 16).sum();
    let mut out = String::with_capacity(size + 512);
    let _ = write!(out, "{{\"trace_id\": \"{}\", ", base64_id(&span.trace_id, 16));
    let _ = write!(out, "\"span_id\": \"{}\", \"parent_span_id\": ", base64_id(&span.span_id, 8));
    if span.parent_span_id.iter().all(|byte| *byte == 0) {
        out.push_str("null");
    } else {
        let _ = write!(out, "\"{}\"", base64_id(&span.parent_span_id, 8));
    }
    out.push_str(", \"name\": ");
    write_text(&span.name, &mut out);
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    let _ = write!(out, ", \"start_time_unix_nano\": {start}, \"end_time_unix_nano\": {end}, \"events\": ");
    write_list('[', ']', &span.events, &mut out, write_event);
    let (_, code) = status_of(span);
    let _ = write!(out, ", \"status\": {{\"code\": \"{code}\", \"message\": ");
    // Only an error has a message.
    let message =
        span.status.as_ref().filter(|_| code == "STATUS_CODE_ERROR").map_or("", |s| s.message.as_str());
    write_text(message, &mut out);
    out.push_str("}, \"attributes\": ");
    attributes.write(&mut out);
    out.push_str(", \"links\": [");
    for (i, link) in span.links.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        write_link(link, &mut out)?;
    }
    out.push_str("]}");
    debug_assert!(parse(&out).is_some() && out.contains(trace_id), "a span's content is JSON");
    Ok(out)
}

fn write_event(event: &Event, out: &mut String) {
    out.push_str("{\"name\": ");
    write_text(&event.name, out);
    let _ = write!(out, ", \"time_unix_nano\": {}, \"attributes\": ", event.time_unix_nano);
    write_pairs(&event.attributes, out);
    out.push('}');
}

/// Writes bytes in base64.
fn without_bytes(pair: &KeyValue) -> KeyValue {
    let mut pair = pair.clone();
    if let Some(any) = &mut pair.value
        && let Some(Value::BytesValue(bytes)) = &any.value
    {
        any.value = Some(Value::StringValue(STANDARD.encode(bytes)));
    }
    pair
}

/// Upstream: `Link.from_otel_proto`.
fn write_link(link: &Link, out: &mut String) -> std::result::Result<(), Refused> {
    let _ = write!(out, "{{\"trace_id\": \"tr-{}\", ", hex_id(&link.trace_id, 16)?);
    let _ = write!(out, "\"span_id\": \"{}\", \"attributes\": ", hex_id(&link.span_id, 8)?);
    if link.attributes.is_empty() {
        out.push_str("null");
    } else {
        let attributes: Vec<KeyValue> = link.attributes.iter().map(without_bytes).collect();
        write_pairs(&attributes, out);
    }
    out.push('}');
    Ok(())
}
