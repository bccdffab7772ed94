//! Spans on their way out: from the text that is kept of a span to OTLP's message in JSON.
//!
//! Upstream: `Span.from_dict`, `Span.to_otel_proto`, `message_to_json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value as Tree};

use super::attributes::{Attributes, dump_text};
use super::dialects;
use super::span::SPAN_TYPE;
use crate::domain::{Error, Result};
use crate::proto::loose::Json;

#[derive(Deserialize)]
struct StoredSpan {
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    #[serde(default)]
    name: String,
    start_time_unix_nano: u64,
    end_time_unix_nano: Option<u64>,
    #[serde(default)]
    events: Vec<StoredEvent>,
    status: StoredStatus,
    #[serde(default)]
    attributes: Map<String, Tree>,
    links: Option<Vec<StoredLink>>,
}

#[derive(Deserialize)]
struct StoredEvent {
    #[serde(default)]
    name: String,
    #[serde(default)]
    time_unix_nano: u64,
    attributes: Option<Map<String, Tree>>,
    /// The attributes as Python writes them, where that is no JSON.
    #[serde(skip)]
    loose: Option<Json>,
}

#[derive(Deserialize)]
struct StoredStatus {
    code: String,
    message: Option<String>,
}

#[derive(Deserialize)]
struct StoredLink {
    trace_id: String,
    span_id: String,
    attributes: Option<Map<String, Tree>>,
}

/// A span as OTLP's message, written as JSON with MLflow's names and numbers; what is empty is left out.
#[derive(Debug, Serialize)]
pub struct SpanMessage {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "is_zero")]
    start_time_unix_nano: u64,
    #[serde(skip_serializing_if = "is_zero")]
    end_time_unix_nano: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    status: Status,
}

#[derive(Debug, Serialize)]
struct Event {
    #[serde(skip_serializing_if = "is_zero")]
    time_unix_nano: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair>,
}

#[derive(Debug, Serialize)]
struct Link {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Pair>,
}

#[derive(Debug, Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// A name with a value; null is no value.
#[derive(Debug, Serialize)]
struct Pair {
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Any>,
}

/// A value of an attribute.
#[derive(Debug)]
enum Any {
    Plain(Tree),
    /// What Python took for JSON: `NaN` and the infinities are numbers.
    Loose(Json),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(time: &u64) -> bool {
    *time == 0
}

/// Returns the message of a stored span.
///
/// # Errors
/// `INTERNAL_ERROR` for a text that no server writes.
pub fn message(content: &str) -> Result<SpanMessage> {
    let stored: StoredSpan = match serde_json::from_str(content) {
        Ok(stored) => stored,
        // Python writes numbers that are none, which only events can hold: attributes are texts.
        Err(e) => {
            let json = Json::parse(content.as_bytes()).ok_or_else(|| Error::internal(e))?;
            let mut stored: StoredSpan = serde_json::from_value(json.to_value()).map_err(Error::internal)?;
            if let Some(Json::List(events)) = json.get("events") {
                for (event, json) in stored.events.iter_mut().zip(events) {
                    event.loose = json.get("attributes").cloned();
                }
            }
            stored
        }
    };
    let parent = stored.parent_span_id.filter(|parent| !parent.is_empty());
    Ok(SpanMessage {
        trace_id: id(&stored.trace_id, 16)?,
        span_id: id(&stored.span_id, 8)?,
        parent_span_id: parent.map(|parent| id(&parent, 8)).transpose()?,
        name: stored.name,
        start_time_unix_nano: stored.start_time_unix_nano,
        end_time_unix_nano: stored.end_time_unix_nano.unwrap_or_default(),
        attributes: decoded(stored.attributes),
        events: stored.events.into_iter().map(event).collect(),
        links: stored.links.unwrap_or_default().into_iter().filter_map(link).collect(),
        status: status(stored.status),
    })
}

/// Makes messages of attributes, each of which is the text of its JSON, and adds the type that another dialect gives.
fn decoded(mut stored: Map<String, Tree>) -> Vec<Pair> {
    let texts = |stored: &Map<String, Tree>| {
        let mut attributes = Attributes::default();
        for (name, value) in stored {
            attributes.set(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        attributes
    };
    let known =
        stored.get(SPAN_TYPE).and_then(Tree::as_str).filter(|json| !matches!(*json, "null" | "\"UNKNOWN\""));
    let foreign = stored.keys().any(|name| !name.starts_with("mlflow."));
    let kind = (known.is_none() && foreign).then(|| dialects::span_type(&texts(&stored))).flatten();
    if let Some(kind) = kind {
        stored.insert(SPAN_TYPE.to_owned(), dump_text(kind).into());
    }
    stored.into_iter().map(|(key, value)| Pair { key, value: decoded_value(value) }).collect()
}

/// Returns the value that a text is the JSON of; `None` for null.
fn decoded_value(stored: Tree) -> Option<Any> {
    let Tree::String(text) = &stored else { return plain(stored) };
    match serde_json::from_str::<Tree>(text) {
        _ if text.is_empty() => None,
        Ok(value) => plain(value),
        Err(_) => Some(Json::parse(text.as_bytes()).map_or_else(|| Any::Plain(stored), Any::Loose)),
    }
}

fn plain(value: Tree) -> Option<Any> {
    (!value.is_null()).then_some(Any::Plain(value))
}

/// Returns an id in base64, from base64 or from the hexadecimal digits that some servers wrote.
fn id(text: &str, bytes: usize) -> Result<String> {
    let digits = text.strip_prefix("tr-").unwrap_or(text);
    let is_hex = digits.len() == 2 * bytes && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return Ok(text.to_owned());
    }
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let id: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    id.map(|id| STANDARD.encode(id)).ok_or_else(|| Error::internal("an id that is none"))
}

fn status(status: StoredStatus) -> Status {
    let code = status.code.strip_prefix("STATUS_CODE_").unwrap_or(&status.code);
    let message = status.message.filter(|text| code == "ERROR" && !text.is_empty());
    Status { message, code: (code != "UNSET").then(|| format!("STATUS_CODE_{code}")) }
}

fn event(event: StoredEvent) -> Event {
    let attributes = match event.loose {
        Some(Json::Object(fields)) => {
            let value = |value: Json| (value != Json::Null).then_some(Any::Loose(value));
            fields.into_iter().map(|(key, json)| Pair { key, value: value(json) }).collect()
        }
        _ => pairs(event.attributes),
    };
    Event { time_unix_nano: event.time_unix_nano, name: event.name, attributes }
}

/// Returns a link; `None` for one whose ids are too long for OTLP.
fn link(link: StoredLink) -> Option<Link> {
    let trace = link.trace_id.rsplit('/').next()?.trim_start_matches("tr-");
    if trace.len() != 32 || link.span_id.len() != 16 {
        return None;
    }
    let (trace_id, span_id) = (id(trace, 16).ok()?, id(&link.span_id, 8).ok()?);
    Some(Link { trace_id, span_id, attributes: pairs(link.attributes) })
}

fn pairs(attributes: Option<Map<String, Tree>>) -> Vec<Pair> {
    attributes.into_iter().flatten().map(|(key, value)| Pair { key, value: plain(value) }).collect()
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => Value(value).serialize(serializer),
            Self::Loose(value) => Value(value).serialize(serializer),
        }
    }
}

/// Writes a value as a message of one field that says what it is; null is one without fields.
struct Value<'a, T>(&'a T);

impl Serialize for Value<'_, Tree> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Tree::Null => serializer.serialize_map(Some(0))?.end(),
            Tree::Bool(value) => one(serializer, "bool_value", value),
            Tree::Number(number) if number.is_f64() => one(serializer, "double_value", number),
            Tree::Number(number) => one(serializer, "int_value", number),
            Tree::String(text) => one(serializer, "string_value", text),
            Tree::Array(items) => {
                one(serializer, "array_value", &List { values: items.iter().map(Value).collect() })
            }
            Tree::Object(fields) => {
                let values = fields.iter().map(|(key, value)| {
                    let is_null = value.is_null();
                    Field { key, value: (!is_null).then_some(Value(value)) }
                });
                one(serializer, "kvlist_value", &List { values: values.collect() })
            }
        }
    }
}

impl Serialize for Value<'_, Json> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Json::Float(number) if !number.is_finite() => one(serializer, "double_value", &self.0.dumps()),
            Json::List(items) => {
                one(serializer, "array_value", &List { values: items.iter().map(Value).collect() })
            }
            Json::Object(fields) => {
                let values = fields.iter().map(|(key, value)| {
                    let is_null = *value == Json::Null;
                    Field { key, value: (!is_null).then_some(Value(value)) }
                });
                one(serializer, "kvlist_value", &List { values: values.collect() })
            }
            plain => Value(&plain.to_value()).serialize(serializer),
        }
    }
}

fn one<S: Serializer>(
    serializer: S,
    name: &str,
    value: &impl Serialize,
) -> std::result::Result<S::Ok, S::Error> {
    let mut message = serializer.serialize_map(Some(1))?;
    message.serialize_entry(name, value)?;
    message.end()
}

#[derive(Serialize)]
struct List<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<T>,
}

#[derive(Serialize)]
struct Field<'a, T> {
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<T>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expected values are those of stock, whose answers `compat-tests/differential/otlp.py` compares.
    #[test]
    fn a_stored_span_becomes_a_message() {
        let content = r#"{"trace_id": "AAAAAAAAAAAAAAAAAAAABw==", "span_id": "AAAAAAAAAAI=", "parent_span_id": null,
            "name": "n", "start_time_unix_nano": 1795227404175830751, "end_time_unix_nano": 0, "events": [{"name": "e",
            "time_unix_nano": 5, "attributes": {"a": 1, "inf": -Infinity}}], "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
            "attributes": {"i": "{\"x\": [1, 2.5, null], \"y\": {}}", "t": "\"text\"", "raw": "text", "none": "null",
            "nan": "[NaN]", "": "1", "openinference.span.kind": "\"LLM\""}, "links": [{"trace_id": "tr-00000000000000000000000000000001",
            "span_id": "0000000000000002", "attributes": null}]}"#;
        let values = json!([{ "int_value": 1 }, { "double_value": 2.5 }, {}]);
        let object = json!([
            { "key": "x", "value": { "array_value": { "values": values } } },
            { "key": "y", "value": { "kvlist_value": {} } },
        ]);
        let want = json!({
            "trace_id": "AAAAAAAAAAAAAAAAAAAABw==", "span_id": "AAAAAAAAAAI=", "name": "n",
            "start_time_unix_nano": 1_795_227_404_175_830_751_u64,
            "attributes": [
                { "key": "i", "value": { "kvlist_value": { "values": object } } },
                { "key": "t", "value": { "string_value": "text" } },
                { "key": "raw", "value": { "string_value": "text" } },
                { "key": "none" },
                { "key": "nan", "value": { "array_value": { "values": [{ "double_value": "NaN" }] } } },
                { "value": { "int_value": 1 } },
                { "key": "openinference.span.kind", "value": { "string_value": "LLM" } },
                { "key": "mlflow.spanType", "value": { "string_value": "LLM" } },
            ],
            "events": [{ "time_unix_nano": 5, "name": "e", "attributes": [
                { "key": "a", "value": { "int_value": 1 } },
                { "key": "inf", "value": { "double_value": "-Infinity" } },
            ] }],
            "links": [{ "trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAAI=" }],
            "status": { "message": "m", "code": "STATUS_CODE_ERROR" },
        });
        assert_eq!(serde_json::to_value(message(content).unwrap()).unwrap(), want);
        assert!(message("{}").is_err());
    }
}
