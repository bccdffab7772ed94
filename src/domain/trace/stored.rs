//! Spans on their way out: from the text that is kept of a span to OTLP's message in JSON.
//!
//! Upstream: `Span.from_dict`, `Span.to_otel_proto`, `message_to_json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value as Tree, json};

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

/// Returns the message of a stored span, with MLflow's names and numbers.
///
/// # Errors
/// `INTERNAL_ERROR` for a text that no server writes.
pub fn otlp_json(content: &str) -> Result<Tree> {
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
    let mut message = Map::new();
    message.insert("trace_id".into(), id(&stored.trace_id, 16)?.into());
    message.insert("span_id".into(), id(&stored.span_id, 8)?.into());
    if let Some(parent) = stored.parent_span_id.filter(|parent| !parent.is_empty()) {
        message.insert("parent_span_id".into(), id(&parent, 8)?.into());
    }
    if !stored.name.is_empty() {
        message.insert("name".into(), stored.name.into());
    }
    for (name, time) in [
        ("start_time_unix_nano", stored.start_time_unix_nano),
        ("end_time_unix_nano", stored.end_time_unix_nano.unwrap_or_default()),
    ] {
        if time != 0 {
            message.insert(name.into(), time.into());
        }
    }
    insert_list(&mut message, "attributes", decoded(stored.attributes));
    insert_list(&mut message, "events", stored.events.into_iter().map(event).collect());
    let links: Vec<Tree> = stored.links.unwrap_or_default().iter().filter_map(link).collect();
    insert_list(&mut message, "links", links);
    message.insert("status".into(), status(&stored.status));
    Ok(Tree::Object(message))
}

fn insert_list(message: &mut Map<String, Tree>, name: &str, list: Vec<Tree>) {
    if !list.is_empty() {
        message.insert(name.into(), list.into());
    }
}

/// Makes messages of attributes, each of which is the text of its JSON, and adds the type that another dialect gives.
fn decoded(stored: Map<String, Tree>) -> Vec<Tree> {
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
    let mut stored = stored;
    if let Some(kind) = kind {
        stored.insert(SPAN_TYPE.to_owned(), dump_text(kind).into());
    }
    stored.iter().map(|(name, value)| pair(name, decoded_value(value))).collect()
}

/// Returns the message of a value; `None` for null.
fn decoded_value(stored: &Tree) -> Option<Tree> {
    let Tree::String(text) = stored else { return (!stored.is_null()).then(|| any(stored)) };
    match serde_json::from_str::<Tree>(text) {
        _ if text.is_empty() => None,
        Ok(Tree::Null) => None,
        Ok(value) => Some(any(&value)),
        Err(_) => Some(Json::parse(text.as_bytes()).map_or_else(|| any(stored), |json| any_loose(&json))),
    }
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

fn status(status: &StoredStatus) -> Tree {
    let code = status.code.strip_prefix("STATUS_CODE_").unwrap_or(&status.code);
    let mut message = Map::new();
    if code == "ERROR"
        && let Some(text) = status.message.as_deref().filter(|text| !text.is_empty())
    {
        message.insert("message".into(), text.into());
    }
    if code != "UNSET" {
        message.insert("code".into(), format!("STATUS_CODE_{code}").into());
    }
    Tree::Object(message)
}

fn event(event: StoredEvent) -> Tree {
    let mut message = Map::new();
    if event.time_unix_nano != 0 {
        message.insert("time_unix_nano".into(), event.time_unix_nano.into());
    }
    if !event.name.is_empty() {
        message.insert("name".into(), event.name.into());
    }
    let attributes = match &event.loose {
        Some(Json::Object(fields)) => loose_pairs(fields),
        _ => pairs(&event.attributes.unwrap_or_default()),
    };
    insert_list(&mut message, "attributes", attributes);
    Tree::Object(message)
}

/// Returns a link; `None` for one whose ids are too long for OTLP.
fn link(link: &StoredLink) -> Option<Tree> {
    let trace = link.trace_id.rsplit('/').next()?.trim_start_matches("tr-");
    if trace.len() != 32 || link.span_id.len() != 16 {
        return None;
    }
    let mut message = Map::new();
    message.insert("trace_id".into(), id(trace, 16).ok()?.into());
    message.insert("span_id".into(), id(&link.span_id, 8).ok()?.into());
    insert_list(&mut message, "attributes", link.attributes.as_ref().map(pairs).unwrap_or_default());
    Some(Tree::Object(message))
}

fn pairs(attributes: &Map<String, Tree>) -> Vec<Tree> {
    attributes.iter().map(|(key, value)| pair(key, (!value.is_null()).then(|| any(value)))).collect()
}

/// A name with the message of its value; protobuf leaves out what is empty.
fn pair(key: &str, value: Option<Tree>) -> Tree {
    let mut message = Map::new();
    if !key.is_empty() {
        message.insert("key".into(), key.into());
    }
    message.extend(value.map(|value| ("value".to_owned(), value)));
    Tree::Object(message)
}

/// As [`any`], of what Python took for JSON: `NaN` and the infinities are numbers.
fn any_loose(value: &Json) -> Tree {
    match value {
        Json::Float(number) if !number.is_finite() => json!({ "double_value": value.dumps() }),
        Json::List(items) => {
            json!({ "array_value": list("values", items.iter().map(any_loose).collect()) })
        }
        Json::Object(fields) => json!({ "kvlist_value": list("values", loose_pairs(fields)) }),
        plain => any(&plain.to_value()),
    }
}

fn loose_pairs(fields: &[(String, Json)]) -> Vec<Tree> {
    let message = |value: &Json| (*value != Json::Null).then(|| any_loose(value));
    fields.iter().map(|(key, value)| pair(key, message(value))).collect()
}

fn any(value: &Tree) -> Tree {
    match value {
        Tree::Null => json!({}),
        Tree::Bool(value) => json!({ "bool_value": value }),
        Tree::Number(number) if number.is_f64() => json!({ "double_value": number }),
        Tree::Number(number) => json!({ "int_value": number }),
        Tree::String(text) => json!({ "string_value": text }),
        Tree::Array(items) => {
            let values: Vec<Tree> = items.iter().map(any).collect();
            json!({ "array_value": list("values", values) })
        }
        Tree::Object(fields) => json!({ "kvlist_value": list("values", pairs(fields)) }),
    }
}

/// An object with a list that is left out where it is empty.
fn list(name: &str, values: Vec<Tree>) -> Tree {
    let mut message = Map::new();
    insert_list(&mut message, name, values);
    Tree::Object(message)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(otlp_json(content).unwrap(), want);
        assert!(otlp_json("{}").is_err());
    }
}
