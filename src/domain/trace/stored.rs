//! Spans on their way out: from the text that is kept of a span to OTLP's message in JSON.
//!
//! Upstream: `Span.from_dict`, `Span.to_otel_proto`, `message_to_json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value as Tree, json};

use super::attributes::{Attributes, parse};
use super::dialects;
use super::span::SPAN_TYPE;
use crate::domain::{Error, Result};

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
        // Python writes numbers that are none.
        Err(e) => {
            let tree = parse(content).ok_or_else(|| Error::internal(e))?;
            serde_json::from_value(tree).map_err(Error::internal)?
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
    let attributes = decoded(stored.attributes);
    insert_list(&mut message, "attributes", pairs(&attributes));
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

/// Reads the JSON that each attribute is, and adds the type that another dialect gives.
fn decoded(stored: Map<String, Tree>) -> Map<String, Tree> {
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
    let mut attributes: Map<String, Tree> = stored
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                Tree::String(json) if json.is_empty() => Tree::Null,
                Tree::String(json) => parse(&json).unwrap_or(Tree::String(json)),
                other => other,
            };
            (name, value)
        })
        .collect();
    if let Some(kind) = kind {
        attributes.insert(SPAN_TYPE.to_owned(), kind.into());
    }
    attributes
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
    insert_list(&mut message, "attributes", pairs(&event.attributes.unwrap_or_default()));
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
    let pair = |(key, value): (&String, &Tree)| match value {
        Tree::Null => json!({ "key": key }),
        value => json!({ "key": key, "value": any(value) }),
    };
    attributes.iter().map(pair).collect()
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

    /// Expected values were worked out by hand from the rules of the stock server.
    #[test]
    fn a_stored_span_becomes_a_message() {
        let content = r#"{"trace_id": "AAAAAAAAAAAAAAAAAAAABw==", "span_id": "AAAAAAAAAAI=", "parent_span_id": null,
            "name": "n", "start_time_unix_nano": 1795227404175830751, "end_time_unix_nano": 0, "events": [{"name": "e",
            "time_unix_nano": 5, "attributes": {"a": 1}}], "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
            "attributes": {"i": "{\"x\": [1, 2.5, null], \"y\": {}}", "t": "\"text\"", "raw": "text", "none": "null",
            "openinference.span.kind": "\"LLM\""}, "links": [{"trace_id": "tr-00000000000000000000000000000001",
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
                { "key": "openinference.span.kind", "value": { "string_value": "LLM" } },
                { "key": "mlflow.spanType", "value": { "string_value": "LLM" } },
            ],
            "events": [{ "time_unix_nano": 5, "name": "e", "attributes": [{ "key": "a", "value": { "int_value": 1 } }] }],
            "links": [{ "trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "AAAAAAAAAAI=" }],
            "status": { "message": "m", "code": "STATUS_CODE_ERROR" },
        });
        assert_eq!(otlp_json(content).unwrap(), want);
        assert!(otlp_json("{}").is_err());
    }
}
