//! Attributes of spans as they are kept: each value as the text of its JSON, as Python writes it.

use std::fmt::Write as _;

use serde::de::IgnoredAny;
use serde_json::Value as Tree;

use crate::domain::python;
use crate::proto::loose::Json;
use crate::proto::otlp::{AnyValue, KeyValue, Value};
use crate::proto::outline::is_readable;

/// Names with the texts of their values, in the order in which the names came first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// Takes what OTLP carries. A text that is the JSON of a text, list or object was written by a client of MLflow,
    /// which encodes every value, and stays as it is.
    ///
    /// Upstream: `Span.from_otel_proto`, `sanitize_attributes`.
    pub fn from_otlp(pairs: &[KeyValue]) -> Self {
        let mut all = Self(Vec::with_capacity(pairs.len() + 1));
        for pair in pairs {
            let json = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) if is_encoded(text) => text.clone(),
                value => dump(value),
            };
            all.set(&pair.key, json);
        }
        all
    }

    /// Returns the JSON of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, json)| json.as_str())
    }

    /// Says whether there is such an attribute.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the value of an attribute.
    pub fn tree(&self, name: &str) -> Option<Tree> {
        self.get(name).and_then(parse)
    }

    /// Returns the text of an attribute that is a text; the JSON of any other.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(unquote)
    }

    /// Sets an attribute, in its old place if it was there.
    pub fn set(&mut self, name: &str, json: String) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = json,
            None => self.0.push((name.to_owned(), json)),
        }
    }

    /// Returns names and JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, json)| (name.as_str(), json.as_str()))
    }

    /// Writes an object of texts.
    pub(super) fn write(&self, out: &mut String) {
        write_list('{', '}', self.iter(), out, |(name, json), out| {
            write_text(name, out);
            out.push_str(": ");
            write_text(json, out);
        });
    }
}

/// Reads JSON; `None` where there is none, or more than is read.
pub fn parse(json: &str) -> Option<Tree> {
    if !is_readable(json) {
        return None;
    }
    serde_json::from_str(json).ok().or_else(|| Json::parse(json.as_bytes()).map(|json| json.to_value()))
}

/// Returns the text that `json` is, or `json` itself where it is something else. Upstream: `_try_parse_json_string`.
pub fn unquote(json: &str) -> String {
    match json.trim_start().starts_with('"').then(|| parse(json)) {
        Some(Some(Tree::String(text))) => text,
        _ => json.to_owned(),
    }
}

/// Says whether Python finds nothing in a value: null, false, 0, or something empty.
pub fn is_empty(json: &str) -> bool {
    matches!(json, "null" | "false" | "0" | "0.0" | "-0.0" | "\"\"" | "[]" | "{}")
}

/// Says whether a text is the JSON of a text, a list or an object.
fn is_encoded(text: &str) -> bool {
    if !text.trim_start().starts_with(['"', '[', '{']) {
        return false;
    }
    serde_json::from_str::<IgnoredAny>(text).is_ok()
        || (is_readable(text) && Json::parse(text.as_bytes()).is_some())
}

/// Writes a value as `json.dumps` does without escaping what is not ASCII. Bytes are written as their `repr`.
pub fn dump(value: Option<&Value>) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

/// Writes a text as JSON.
pub fn dump_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_text(text, &mut out);
    out
}

/// Writes a value as `json.dumps` does without escaping what is not ASCII.
pub fn dump_tree(tree: &Tree) -> String {
    let mut out = String::new();
    write_tree(tree, &mut out);
    out
}

fn write_tree(tree: &Tree, out: &mut String) {
    match tree {
        Tree::String(text) => write_text(text, out),
        Tree::Array(items) => write_list('[', ']', items, out, write_tree),
        Tree::Object(fields) => write_list('{', '}', fields, out, |(name, value), out| {
            write_text(name, out);
            out.push_str(": ");
            write_tree(value, out);
        }),
        plain => out.push_str(&python::json_dumps(plain)),
    }
}

pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            8 => "\\b",
            12 => "\\f",
            0..32 => "",
            _ => continue,
        };
        out.push_str(text.get(plain..at).unwrap_or_default());
        plain = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

fn write_value(value: Option<&Value>, out: &mut String) {
    match value {
        None | Some(Value::StringValueStrindex(_)) => out.push_str("null"),
        Some(Value::StringValue(text)) => write_text(text, out),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(value)) => {
            let _ = write!(out, "{value}");
        }
        Some(Value::DoubleValue(value)) => out.push_str(&Json::Float(*value).dumps()),
        Some(Value::BytesValue(bytes)) => write_text(&python::bytes_repr(bytes), out),
        Some(Value::ArrayValue(list)) => write_list('[', ']', &list.values, out, write_any),
        Some(Value::KvlistValue(list)) => write_pairs(&list.values, out),
    }
}

fn write_any(value: &AnyValue, out: &mut String) {
    write_value(value.value.as_ref(), out);
}

/// Writes an object; of a name that is there twice the last value, in the first place.
pub(super) fn write_pairs(pairs: &[KeyValue], out: &mut String) {
    let is_first =
        |(at, pair): &(usize, &KeyValue)| !pairs.iter().take(*at).any(|other| other.key == pair.key);
    write_list('{', '}', pairs.iter().enumerate().filter(is_first), out, |(_, pair), out| {
        let last = pairs.iter().rfind(|other| other.key == pair.key).unwrap_or(pair);
        write_text(&pair.key, out);
        out.push_str(": ");
        write_value(last.value.as_ref().and_then(|value| value.value.as_ref()), out);
    });
}

pub(super) fn write_list<T>(
    open: char,
    close: char,
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    write: impl Fn(T, &mut String),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    /// Expected values are those of stock, whose answers `compat-tests/differential/otlp.py` compares.
    #[test]
    fn values_are_encoded_once() {
        for (value, want) in [
            (Value::StringValue("plain é\n".into()), "\"plain é\\n\""),
            (Value::StringValue("\"CHAIN\"".into()), "\"CHAIN\""),
            (Value::StringValue("{\"a\":1}".into()), "{\"a\":1}"),
            (Value::StringValue("[NaN]".into()), "[NaN]"),
            (Value::StringValue("{broken".into()), "\"{broken\""),
            (Value::StringValue("1".into()), "\"1\""),
            (Value::StringValue("\u{1}".into()), "\"\\u0001\""),
            (Value::IntValue(-5), "-5"),
            (Value::DoubleValue(1e20), "1e+20"),
            (Value::DoubleValue(f64::NAN), "NaN"),
            (Value::BytesValue(vec![0, 65]), "\"b'\\\\x00A'\""),
            (
                Value::KvlistValue(crate::proto::otlp::KeyValueList {
                    values: vec![
                        pair("a", Value::IntValue(1)),
                        pair("b", Value::BoolValue(true)),
                        pair("a", Value::IntValue(2)),
                    ],
                }),
                "{\"a\": 2, \"b\": true}",
            ),
        ] {
            let attributes = Attributes::from_otlp(&[pair("k", value.clone())]);
            assert_eq!(attributes.get("k").unwrap(), want, "{value:?}");
        }
    }

    #[test]
    fn a_repeated_name_keeps_its_place() {
        let mut attributes = Attributes::default();
        for (name, json) in [("a", "1"), ("b", "2"), ("a", "\"x\"")] {
            attributes.set(name, json.to_owned());
        }
        let mut out = String::new();
        attributes.write(&mut out);
        assert_eq!(out, r#"{"a": "\"x\"", "b": "2"}"#);
        assert_eq!(attributes.text("a").unwrap(), "x");
        assert_eq!(attributes.text("b").unwrap(), "2");
    }
}
