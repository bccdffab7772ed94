//! From loose JSON to a message as Python's protobuf does it: field by field in request order; what came
//! before an unreadable field stays in the message.
//!
//! The typed reader (serde) is the fast path for good requests; this slow path knows what stock makes of the
//! others.
//!
//! Upstream: `google.protobuf.json_format.ParseDict` with `ignore_unknown_fields`.

use serde_json::{Map, Value};

use super::loose::{self, Json};
use super::{EnumType, Field, Type};

/// A message, as far as it was readable.
#[derive(Debug, PartialEq)]
pub struct Readable {
    /// The fields that were read, in strict JSON.
    pub fields: Map<String, Value>,
    /// Whether everything could be read.
    pub is_whole: bool,
}

/// A value of a request that does not fit its field.
struct Unreadable;

type Result<T> = std::result::Result<T, Unreadable>;

/// Reads the fields of a message.
pub fn read(fields: &[Field], json: &Json) -> Readable {
    let mut out = Map::new();
    let is_whole = read_message(fields, json, &mut out).is_ok();
    Readable { fields: out, is_whole }
}

/// Finds a field given by both its `snake_case` and its `camelCase` name, at any depth; returns both.
///
/// Upstream: `_reject_conflicting_field_aliases`.
pub fn find_two_spellings(fields: &[Field], json: &Json) -> Option<(&'static str, &'static str)> {
    fields.iter().find_map(|field| {
        let plain = json.get(field.name);
        let camel = json.get(field.json_name).filter(|_| field.json_name != field.name);
        if plain.is_some() && camel.is_some() {
            return Some((field.name, field.json_name));
        }
        let (Type::Message(inner), Some(value)) = (field.ty, plain.or(camel)) else { return None };
        match value {
            Json::List(items) => items.iter().find_map(|item| find_two_spellings(inner(), item)),
            value => find_two_spellings(inner(), value),
        }
    })
}

fn read_message(fields: &[Field], json: &Json, out: &mut Map<String, Value>) -> Result<()> {
    let find = |name: &str| {
        let by_json_name = fields.iter().find(|field| field.json_name == name);
        by_json_name.or_else(|| fields.iter().find(|field| field.name == name))
    };
    match json {
        Json::Object(values) => {
            let known = values.iter().filter_map(|(name, value)| find(name).map(|field| (field, value)));
            for (field, value) in known {
                read_field(field, value, out)?;
            }
            Ok(())
        }
        // Python walks over the items and asks for a field of that name.
        Json::List(items) => {
            let is_ignored = |item: &Json| match item {
                Json::Str(name) => find(name).is_none(),
                Json::List(_) | Json::Object(_) => false,
                _ => true,
            };
            if items.iter().all(is_ignored) { Ok(()) } else { Err(Unreadable) }
        }
        Json::Str(_) | Json::Torn(_) => Ok(()),
        _ => Err(Unreadable),
    }
}

fn read_field(field: &Field, value: &Json, out: &mut Map<String, Value>) -> Result<()> {
    out.remove(field.name);
    match (value, field.ty) {
        (Json::Null, _) => Ok(()),
        (Json::List(items), ty) if field.is_repeated => {
            let mut read = Vec::with_capacity(items.len());
            let result = items.iter().try_for_each(|item| read_item(ty, item, &mut read));
            out.insert(field.name.to_owned(), Value::Array(read));
            result
        }
        (_, _) if field.is_repeated => Err(Unreadable),
        (value, Type::Message(inner)) => {
            let mut read = Map::new();
            let result = read_message(inner(), value, &mut read);
            out.insert(field.name.to_owned(), Value::Object(read));
            result
        }
        (Json::Object(entries), Type::Map(ty)) => {
            let mut read = Map::new();
            let result = entries.iter().try_for_each(|(key, value)| {
                read.extend(read_scalar(*ty, value)?.map(|scalar| (key.clone(), scalar)));
                Ok(())
            });
            out.insert(field.name.to_owned(), Value::Object(read));
            result
        }
        (_, Type::Map(_)) => Err(Unreadable),
        (value, ty) => {
            if let Some(scalar) = read_scalar(ty, value)? {
                out.insert(field.name.to_owned(), scalar);
            }
            Ok(())
        }
    }
}

fn read_item(ty: Type, item: &Json, out: &mut Vec<Value>) -> Result<()> {
    if let Type::Message(inner) = ty {
        // The item is there before it is read.
        let mut read = Map::new();
        let result = match item {
            Json::Null => Err(Unreadable),
            item => read_message(inner(), item, &mut read),
        };
        out.push(Value::Object(read));
        return result;
    }
    if *item == Json::Null {
        return Err(Unreadable);
    }
    out.extend(read_scalar(ty, item)?);
    Ok(())
}

/// Reads a scalar; `None` for an unknown enum name, which is ignored like an unknown field.
fn read_scalar(ty: Type, value: &Json) -> Result<Option<Value>> {
    let read = match (ty, value) {
        (Type::Other, value) => Some(value.to_value()),
        (Type::Text(is_text), Json::Str(text)) if is_text(text) => Some(text.as_str().into()),
        (Type::Str, Json::Str(text)) => Some(text.as_str().into()),
        (Type::Bool, Json::Bool(value)) => Some((*value).into()),
        (Type::Int64, value) => i64::try_from(read_int(value)?).ok().map(Value::from),
        (Type::Int32, value) => i32::try_from(read_int(value)?).ok().map(Value::from),
        (Type::Double, value) => Some(read_double(value)?),
        (Type::Enum(of), Json::Str(name)) => match ((of.number)(name), loose::int(name)) {
            (Some(number), _) => Some(number.into()),
            (None, None) => return Ok(None),
            (None, Some(number)) => enum_number(of, number),
        },
        (Type::Enum(of), Json::Int(digits)) => loose::int(digits).and_then(|number| enum_number(of, number)),
        #[expect(clippy::cast_possible_truncation, reason = "Python's int() cuts the fraction too")]
        (Type::Enum(of), Json::Float(value)) => enum_number(of, *value as i128),
        (Type::Enum(of), Json::Bool(value)) => enum_number(of, i128::from(*value)),
        _ => None,
    };
    read.map(Some).ok_or(Unreadable)
}

fn enum_number(of: EnumType, number: i128) -> Option<Value> {
    i32::try_from(number).ok().filter(|number| (of.has)(*number)).map(Value::from)
}

#[expect(clippy::cast_possible_truncation, reason = "whole; beyond 128 bits it ends outside every field")]
fn read_int(value: &Json) -> Result<i128> {
    let whole = |value: f64| (value.fract() == 0.0).then_some(value as i128);
    match value {
        Json::Int(digits) => loose::int(digits),
        Json::Float(value) => whole(*value),
        Json::Str(text) if text.contains(' ') => None,
        Json::Str(text) => loose::int(text).or_else(|| loose::float(text).and_then(whole)),
        _ => None,
    }
    .ok_or(Unreadable)
}

/// Differs: a bare `NaN` or infinity, and a number too large for a double, is that value; stock goes on with 0.
fn read_double(value: &Json) -> Result<Value> {
    let number = match value {
        Json::Int(digits) => digits.parse().ok(),
        Json::Float(value) => Some(*value),
        Json::Bool(value) => Some(f64::from(u8::from(*value))),
        Json::Str(text) if text == "nan" => None,
        Json::Str(text) => loose::float(text),
        _ => None,
    };
    number.map(|number| Json::Float(number).to_value()).ok_or(Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{CreateGatewaySecret, Fields, LogBatch, LogMetric, UpdateRun};

    fn read_as<T: Fields>(text: &str) -> (String, bool) {
        let read = read(T::FIELDS, &Json::parse(text.as_bytes()).unwrap());
        (Value::Object(read.fields).to_string(), read.is_whole)
    }

    /// Expected values were taken from Python's protobuf.
    #[test]
    fn what_came_before_an_unreadable_value_stays() {
        for (text, want, is_whole) in [
            (r#"{"run_id": "r", "step": "x", "key": "k"}"#, r#"{"run_id":"r"}"#, false),
            (r#"{"runId": "r", "none": {}, "key": null, "step": 3.0}"#, r#"{"run_id":"r","step":3}"#, true),
            (
                r#"{"step": "1.0", "value": "1_000.5", "timestamp": "1_0"}"#,
                r#"{"step":1,"value":1000.5,"timestamp":10}"#,
                true,
            ),
            (r#"{"value": true, "step": true}"#, r#"{"value":1.0}"#, false),
            (r#"{"value": NaN, "timestamp": 5}"#, r#"{"value":"NaN","timestamp":5}"#, true),
            (r#"{"value": -1e999}"#, r#"{"value":"-Infinity"}"#, true),
            (r#"{"value": "nan"}"#, "{}", false),
            (r#"{"step": 9223372036854775808}"#, "{}", false),
            (r#"{"step": "1 2"}"#, "{}", false),
            (r#"{"key": "\ud800"}"#, "{}", false),
            (r#"{"key": 5}"#, "{}", false),
            ("[]", "{}", true),
            ("\"key\"", "{}", true),
            (r#"["key"]"#, "{}", false),
            (r#"["other", 5]"#, "{}", true),
            ("5", "{}", false),
        ] {
            assert_eq!(read_as::<LogMetric>(text), (want.to_owned(), is_whole), "{text}");
        }
    }

    #[test]
    fn items_of_lists_are_there_before_they_are_read() {
        for (text, want, is_whole) in [
            (r#"{"tags": [{"key": "a"}, 5, {"key": "b"}]}"#, r#"{"tags":[{"key":"a"},{}]}"#, false),
            (r#"{"tags": [null]}"#, r#"{"tags":[{}]}"#, false),
            (r#"{"tags": ["text", []]}"#, r#"{"tags":[{},{}]}"#, true),
            (r#"{"tags": [{"key": 1, "value": "v"}]}"#, r#"{"tags":[{}]}"#, false),
            (r#"{"tags": {"key": "k"}}"#, "{}", false),
            (r#"{"tags": null}"#, "{}", true),
        ] {
            assert_eq!(read_as::<LogBatch>(text), (want.to_owned(), is_whole), "{text}");
        }
    }

    #[test]
    fn maps_keep_what_came_before_an_unreadable_value() {
        for (map, want, is_whole) in [
            (r#"{"b": "1", "a": ""}"#, r#"{"auth_config":{"b":"1","a":""}}"#, true),
            (r#"{"b": "1", "a": 5, "c": "2"}"#, r#"{"auth_config":{"b":"1"}}"#, false),
            (r#"{"a": null}"#, r#"{"auth_config":{}}"#, false),
            ("[]", "{}", false),
            ("null", "{}", true),
        ] {
            let text = format!("{{\"auth_config\": {map}}}");
            assert_eq!(read_as::<CreateGatewaySecret>(&text), (want.to_owned(), is_whole), "{map}");
        }
    }

    #[test]
    fn enums_are_names_or_numbers() {
        for (status, want, is_whole) in [
            ("\"FINISHED\"", "{\"status\":3}", true),
            ("3", "{\"status\":3}", true),
            ("\" 3 \"", "{\"status\":3}", true),
            ("3.7", "{\"status\":3}", true),
            ("true", "{\"status\":1}", true),
            ("\"DONE\"", "{}", true),
            ("99", "{}", false),
            ("\"99\"", "{}", false),
            ("[]", "{}", false),
        ] {
            assert_eq!(
                read_as::<UpdateRun>(&format!("{{\"status\": {status}}}")),
                (want.to_owned(), is_whole),
                "{status}"
            );
        }
    }

    #[test]
    fn two_spellings_are_found_at_every_depth() {
        let find = |text: &str| find_two_spellings(LogBatch::FIELDS, &Json::parse(text.as_bytes()).unwrap());
        assert_eq!(find(r#"{"run_id": "a", "runId": null}"#), Some(("run_id", "runId")));
        let nested = r#"{"metrics": [{"key": "k"}, {"model_id": "a", "modelId": "b"}]}"#;
        assert_eq!(find(nested), Some(("model_id", "modelId")));
        assert_eq!(find(r#"{"metrics": [{"modelId": "b"}, 5, null], "runId": "a"}"#), None);
    }
}
