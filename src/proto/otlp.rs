//! The OTLP request that exports spans, from protobuf and JSON. The messages are those of OpenTelemetry's own
//! crate; its JSON deserializer is not used, since it refuses enum names and unknown fields.
//!
//! Upstream: `mlflow.server.otel_api.export_traces`.

pub mod count;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
pub use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
pub use opentelemetry_proto::tonic::resource::v1::Resource;
pub use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
pub use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, status::StatusCode,
};
use prost::Message;

use super::loose::{self, Json};

/// Bytes that are not an export request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSpans;

type Result<T> = std::result::Result<T, NotSpans>;

/// Decodes protobuf.
pub fn from_protobuf(body: &[u8]) -> Result<ExportTraceServiceRequest> {
    ExportTraceServiceRequest::decode(body).map_err(|_e| NotSpans)
}

/// Parses JSON: `camelCase` or `snake_case` names, hexadecimal ids, 64-bit numbers also as strings, enums by
/// name or number, unknown fields ignored.
pub fn from_json(body: &[u8]) -> Result<ExportTraceServiceRequest> {
    let json = Json::parse(body).ok_or(NotSpans)?;
    let resource_spans = messages(object(&json)?, "resourceSpans", read_resource_spans)?;
    Ok(ExportTraceServiceRequest { resource_spans })
}

type Object = [(String, Json)];

fn object(json: &Json) -> Result<&Object> {
    match json {
        Json::Object(fields) => Ok(fields),
        _ => Err(NotSpans),
    }
}

/// Finds a field by its `camelCase` name or by that in `snake_case`; `null` is none.
fn field<'a>(object: &'a Object, name: &str) -> Option<&'a Json> {
    let is_it = |given: &str| given == name || is_snake(given, name);
    object
        .iter()
        .rfind(|(given, _)| is_it(given))
        .map(|(_, value)| value)
        .filter(|value| **value != Json::Null)
}

/// Says whether `given` is the name `camel` in `snake_case`. Near misses are unknown fields, not counted.
fn is_snake(given: &str, camel: &str) -> bool {
    let mut given = given.bytes();
    let has_letter = |letter: u8| {
        let is_new_word = letter.is_ascii_uppercase();
        (!is_new_word || given.next() == Some(b'_')) && given.next() == Some(letter.to_ascii_lowercase())
    };
    camel.bytes().all(has_letter) && given.next().is_none()
}

fn messages<T>(object: &Object, name: &str, read: impl Fn(&Object) -> Result<T>) -> Result<Vec<T>> {
    match field(object, name) {
        None => Ok(Vec::new()),
        Some(Json::List(items)) => items.iter().map(|item| read(self::object(item)?)).collect(),
        Some(_) => Err(NotSpans),
    }
}

fn message<T>(object: &Object, name: &str, read: impl Fn(&Object) -> Result<T>) -> Result<Option<T>> {
    field(object, name).map(|value| read(self::object(value)?)).transpose()
}

fn text(object: &Object, name: &str) -> Result<String> {
    match field(object, name) {
        None => Ok(String::new()),
        Some(Json::Str(text)) => Ok(text.clone()),
        Some(_) => Err(NotSpans),
    }
}

/// Decodes a hexadecimal id.
fn id(object: &Object, name: &str) -> Result<Vec<u8>> {
    let digits = text(object, name)?;
    if !digits.is_ascii() || digits.len() % 2 == 1 {
        return Err(NotSpans);
    }
    let byte =
        |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(NotSpans);
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn int<T: TryFrom<i128> + Default>(json: Option<&Json>) -> Result<T> {
    let number = match json {
        None => return Ok(T::default()),
        Some(Json::Int(digits) | Json::Str(digits)) => loose::int(digits),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole; what is too large ends outside every field"
        )]
        Some(Json::Float(value)) if value.fract() == 0.0 => Some(*value as i128),
        Some(_) => None,
    };
    number.and_then(|number| T::try_from(number).ok()).ok_or(NotSpans)
}

fn read_resource_spans(object: &Object) -> Result<ResourceSpans> {
    let resource = |object: &Object| Ok(Resource { attributes: attributes(object)?, ..Resource::default() });
    let scope_spans = |object: &Object| {
        Ok(ScopeSpans { spans: messages(object, "spans", read_span)?, ..ScopeSpans::default() })
    };
    Ok(ResourceSpans {
        resource: message(object, "resource", resource)?,
        scope_spans: messages(object, "scopeSpans", scope_spans)?,
        ..ResourceSpans::default()
    })
}

fn read_span(object: &Object) -> Result<Span> {
    Ok(Span {
        trace_id: id(object, "traceId")?,
        span_id: id(object, "spanId")?,
        parent_span_id: id(object, "parentSpanId")?,
        name: text(object, "name")?,
        start_time_unix_nano: int(field(object, "startTimeUnixNano"))?,
        end_time_unix_nano: int(field(object, "endTimeUnixNano"))?,
        attributes: attributes(object)?,
        events: messages(object, "events", read_event)?,
        links: messages(object, "links", read_link)?,
        status: message(object, "status", read_status)?,
        ..Span::default()
    })
}

fn read_event(object: &Object) -> Result<Event> {
    Ok(Event {
        time_unix_nano: int(field(object, "timeUnixNano"))?,
        name: text(object, "name")?,
        attributes: attributes(object)?,
        ..Event::default()
    })
}

fn read_link(object: &Object) -> Result<Link> {
    Ok(Link {
        trace_id: id(object, "traceId")?,
        span_id: id(object, "spanId")?,
        attributes: attributes(object)?,
        ..Link::default()
    })
}

fn read_status(object: &Object) -> Result<Status> {
    let code = match field(object, "code") {
        // An unknown name is left out like an unknown field.
        Some(Json::Str(name)) if loose::int(name).is_none() => {
            StatusCode::from_str_name(name).map_or(0, |code| code as i32)
        }
        code => int(code)?,
    };
    Ok(Status { message: text(object, "message")?, code })
}

fn attributes(object: &Object) -> Result<Vec<KeyValue>> {
    messages(object, "attributes", read_pair)
}

fn read_pair(object: &Object) -> Result<KeyValue> {
    let value = message(object, "value", read_any)?;
    Ok(KeyValue { key: text(object, "key")?, value, ..KeyValue::default() })
}

fn read_any(object: &Object) -> Result<AnyValue> {
    Ok(AnyValue { value: read_value(object)? })
}

/// The fields of a value, a `oneof`.
const VALUES: [&str; 7] =
    ["stringValue", "boolValue", "intValue", "doubleValue", "bytesValue", "arrayValue", "kvlistValue"];

fn read_value(object: &Object) -> Result<Option<Value>> {
    if object.len() > 1 && VALUES.iter().filter(|name| field(object, name).is_some()).count() > 1 {
        return Err(NotSpans);
    }
    if let Some(json) = field(object, "stringValue") {
        return if let Json::Str(text) = json {
            Ok(Some(Value::StringValue(text.clone())))
        } else {
            Err(NotSpans)
        };
    }
    if let Some(json) = field(object, "boolValue") {
        return if let Json::Bool(value) = json { Ok(Some(Value::BoolValue(*value))) } else { Err(NotSpans) };
    }
    if let Some(json) = field(object, "intValue") {
        return Ok(Some(Value::IntValue(int(Some(json))?)));
    }
    if let Some(json) = field(object, "doubleValue") {
        let number = match json {
            Json::Int(digits) | Json::Str(digits) => loose::float(digits),
            Json::Float(value) => Some(*value),
            _ => None,
        };
        return number.map(|number| Some(Value::DoubleValue(number))).ok_or(NotSpans);
    }
    if let Some(Json::Str(base64)) = field(object, "bytesValue") {
        return STANDARD.decode(base64).map(|bytes| Some(Value::BytesValue(bytes))).map_err(|_e| NotSpans);
    }
    if let Some(list) = message(object, "arrayValue", |list| messages(list, "values", read_any))? {
        return Ok(Some(Value::ArrayValue(ArrayValue { values: list })));
    }
    let pairs = message(object, "kvlistValue", |list| messages(list, "values", read_pair))?;
    Ok(pairs.map(|values| Value::KvlistValue(KeyValueList { values })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_protobuf_reads_it() {
        let body = br#"{"resourceSpans": [{"resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "agent"}}]},
            "scopeSpans": [{"unknown": [1], "spans": [{"traceId": "0102", "spanId": "0A", "parent_span_id": "0b",
            "name": "n", "kind": "SPAN_KIND_CLIENT", "startTimeUnixNano": "17", "endTimeUnixNano": 18,
            "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
            "attributes": [{"key": "i", "value": {"intValue": "5"}}, {"key": "d", "value": {"doubleValue": "NaN"}},
              {"key": "b", "value": {"bytesValue": "AQI="}}, {"key": "e", "value": {}},
              {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": true}]}}},
              {"key": "k", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}}]
            }]}]}]}"#;
        let read = from_json(body).unwrap();
        let span = &read.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.trace_id.as_slice(), span.span_id.as_slice()), ([1, 2].as_slice(), [10].as_slice()));
        assert_eq!(span.parent_span_id, [11]);
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (17, 18));
        assert_eq!(span.status.as_ref().unwrap().code, 2);
        let value = |i: usize| span.attributes[i].value.as_ref().unwrap().value.clone();
        assert_eq!(value(0), Some(Value::IntValue(5)));
        assert!(matches!(value(1), Some(Value::DoubleValue(nan)) if nan.is_nan()));
        assert_eq!(value(2), Some(Value::BytesValue(vec![1, 2])));
        assert_eq!(value(3), None);
        assert!(matches!(value(4), Some(Value::ArrayValue(list)) if list.values.len() == 1));
        assert!(matches!(value(5), Some(Value::KvlistValue(list)) if list.values[0].key == "a"));
    }

    #[test]
    fn names_are_those_of_fields_and_no_others() {
        for (body, resources) in [
            (r#"{"resource_spans": [{}]}"#, 1),
            (r#"{"resource\u0053pans": [{}]}"#, 1),
            (r#"{"resource__spans": [{}]}"#, 0),
            (r#"{"resource_Spans": [{}]}"#, 0),
            (r#"{"resource_spans_": [{}]}"#, 0),
            (r#"{"resourcespans": [{}]}"#, 0),
        ] {
            assert_eq!(from_json(body.as_bytes()).unwrap().resource_spans.len(), resources, "{body}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for body in [
            "",
            "[]",
            "5",
            "{\"resourceSpans\": 5}",
            "{\"resourceSpans\": [5]}",
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xy"}]}]}]}"#,
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0", "spanId": "00"}]}]}]}"#,
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}"#,
            r#"{"resourceSpans": [{"resource": {"attributes": [{"key": "a",
                "value": {"intValue": 1, "stringValue": "x"}}]}}]}"#,
        ] {
            assert_eq!(from_json(body.as_bytes()), Err(NotSpans), "{body}");
        }
        assert_eq!(from_json(b"{}").unwrap().resource_spans, []);
        assert_eq!(from_protobuf(b"\x0a\xff"), Err(NotSpans));
    }
}
