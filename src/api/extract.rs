//! Requests: bytes of a body or a query string to a message, and stock's errors about missing and wrongly
//! typed parameters.
//!
//! A request is read in one typed pass. Only when that fails, or a required field is missing, the body is
//! read again as loose JSON to find out what stock would say of it.
//!
//! Upstream: `mlflow.server.handlers._get_request_message`, `_validate_param_against_schema`.

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Query};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::domain::{Error, Result};
use crate::proto::{FieldKind, Fields};

/// What stock checks of a parameter before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Not absent, null or an empty string.
    Required,
    /// A string.
    Str,
    /// A whole number or a string that holds one.
    Int,
    /// A number or a string that holds one.
    Float,
    /// A list.
    Array,
    /// A list of strings.
    Strings,
    /// `true` or `false`.
    Bool,
}

/// Parameters, each with what is checked of it, in this order.
pub type Schema = &'static [(&'static str, &'static [Check])];

/// A message that is a request, with what is checked of its parameters, in this order.
pub trait Request: Fields + DeserializeOwned + Default + 'static {
    /// What is checked before the request is looked at.
    const SCHEMA: Schema;
}

/// A request message, from a JSON body or from the query string of a GET.
#[derive(Debug)]
pub struct Proto<T>(pub T);

impl<T: Request> FromRequest for Proto<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if request.method() == Method::GET && !request.query_string().is_empty() {
            let message = from_query(request.query_string());
            return Box::pin(async { message.map(Self) });
        }
        let content_type = check_content_type(request);
        let body = Bytes::from_request(request, payload);
        Box::pin(async move {
            content_type?;
            let body =
                body.await.map_err(|e| Error::invalid(format!("The request body cannot be read: {e}")))?;
            from_body(&body).map(Self)
        })
    }
}

/// Upstream: `mlflow.server.validation._validate_content_type`.
pub(super) fn check_content_type(request: &HttpRequest) -> Result<()> {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        return Ok(());
    }
    let Some(value) = request.headers().get(CONTENT_TYPE) else {
        return Err(Error::invalid("Bad Request. Content-Type header is missing."));
    };
    let kind = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    if kind == b"application/json" {
        return Ok(());
    }
    Err(Error::invalid("Bad Request. Content-Type must be one of ['application/json']."))
}

/// Reads a request from a JSON body; an empty or unreadable body is a request without parameters.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a missing required parameter or one of the wrong type.
pub fn from_body<T: Request>(body: &[u8]) -> Result<T> {
    match serde_json::from_slice::<T>(body) {
        Ok(message) if has_required(&message) => Ok(message),
        _ => from_json(loose(body)),
    }
}

/// Reads a request from a query string; unknown names are ignored.
fn from_query<T: Request>(query: &str) -> Result<T> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|e| Error::invalid(format!("The query string cannot be read: {e}")))?
        .into_inner();
    let mut json = Map::new();
    for &(name, kind) in T::FIELDS {
        let mut values = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).peekable();
        let Some(&first) = values.peek() else { continue };
        let value = match kind {
            FieldKind::Repeated => values.collect::<Vec<_>>().into(),
            FieldKind::Single => first.into(),
            FieldKind::Bool => read_bool(first)?.into(),
        };
        json.insert(name.to_owned(), value);
    }
    from_json(Value::Object(json))
}

fn read_bool(text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::invalid(format!("Invalid boolean value: {text}, must be 'true' or 'false'."))),
    }
}

fn has_required<T: Request>(message: &T) -> bool {
    T::SCHEMA.iter().all(|(name, checks)| !checks.contains(&Check::Required) || is_set(message, name))
}

fn is_set<T: Request>(message: &T, name: &str) -> bool {
    message.is_set(name) || (name == "run_id" && message.is_set("run_uuid"))
}

/// Parses as Python does: bare `NaN` and infinities are values, a body that is no JSON is none, and a body
/// that was encoded twice (old clients) is decoded twice.
fn loose(body: &[u8]) -> Value {
    let parse = |text: &[u8]| {
        serde_json::from_slice(text).or_else(|_e| serde_json::from_slice(&quote_bare_numbers(text)))
    };
    match parse(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).unwrap_or_default() {
        Value::String(inner) => parse(inner.as_bytes()).unwrap_or_default(),
        value => value,
    }
}

/// Puts quotes around `NaN`, `Infinity` and `-Infinity` outside strings.
fn quote_bare_numbers(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    let (mut i, mut in_string) = (0, false);
    while let Some(rest) = text.get(i..).filter(|r| !r.is_empty()) {
        if let (false, Some(word)) = (in_string, bare_number(rest)) {
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            i += word.len();
            continue;
        }
        let escaped = in_string && rest.first() == Some(&b'\\');
        in_string ^= rest.first() == Some(&b'"');
        let step = if escaped { 2 } else { 1 }.min(rest.len());
        out.extend(rest.iter().take(step));
        i += step;
    }
    out
}

fn bare_number(rest: &[u8]) -> Option<&'static [u8]> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    WORDS.into_iter().find(|word| rest.starts_with(word))
}

fn from_json<T: Request>(json: Value) -> Result<T> {
    let json = match json {
        Value::Null => Value::Object(Map::new()),
        json => json,
    };
    refuse_two_spellings::<T>(&json)?;
    let parsed = T::deserialize(&json);
    for &(name, checks) in T::SCHEMA {
        check(&json, name, checks, parsed.is_ok())?;
    }
    match (parsed, json) {
        (Ok(message), _) => Ok(message),
        (Err(_), Value::Object(fields)) => Ok(readable_part(fields)),
        (Err(e), _) => Err(Error::invalid(format!("The request cannot be read: {e}"))),
    }
}

/// A field that is given by its `snake_case` and by its `camelCase` name has two values.
///
/// Upstream: `_reject_conflicting_field_aliases`; here only the outermost object is looked at.
fn refuse_two_spellings<T: Request>(json: &Value) -> Result<()> {
    for (name, _) in T::FIELDS {
        let json_name = camel_case(name);
        if json_name != *name && json.get(name).is_some() && json.get(&json_name).is_some() {
            return Err(Error::invalid(format!(
                "Request specifies both '{name}' and '{json_name}'; provide only one of them."
            )));
        }
    }
    Ok(())
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// Reads the fields before the first one that cannot be read, which is what protobuf leaves in a message.
fn readable_part<T: Request>(mut fields: Map<String, Value>) -> T {
    while let Some(last) = fields.keys().next_back().cloned() {
        fields.remove(&last);
        if let Ok(message) = T::deserialize(&fields) {
            return message;
        }
    }
    T::default()
}

/// Upstream: types are looked at only when the message as a whole could not be parsed.
fn check(json: &Value, name: &str, checks: &[Check], was_parsed: bool) -> Result<()> {
    let mut value = json.get(name);
    if value.is_none() && !checks.contains(&Check::Required) {
        return Ok(());
    }
    if name == "run_id" && value.is_none_or(Value::is_null) {
        value = json.get("run_uuid").or(value);
    }
    let value = value.unwrap_or(&Value::Null);
    for check in checks {
        if *check == Check::Required {
            if value.is_null() || value.as_str() == Some("") {
                return Err(missing(name));
            }
        } else if !was_parsed && !has_type(value, *check) {
            return Err(wrong_type(name, value));
        }
    }
    Ok(())
}

fn has_type(value: &Value, check: Check) -> bool {
    match check {
        Check::Required => true,
        Check::Str => value.is_string(),
        Check::Int => match value {
            Value::Number(_) | Value::Bool(_) => true,
            Value::String(s) => s.trim().parse::<i128>().is_ok(),
            _ => false,
        },
        Check::Float => match value {
            Value::Number(_) | Value::Bool(_) => true,
            Value::String(s) => s.trim().parse::<f64>().is_ok(),
            _ => false,
        },
        Check::Array => value.is_array(),
        Check::Strings => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Check::Bool => value.is_boolean(),
    }
}

/// `INVALID_PARAMETER_VALUE` for a required parameter that is not there.
pub fn missing(name: &str) -> Error {
    Error::invalid(format!(
        "Missing value for required parameter '{name}'. See the API docs for more information about request \
         parameters."
    ))
}

/// `INVALID_PARAMETER_VALUE` for a parameter whose value is of the wrong type or out of range. The text has
/// two spaces before the hint, as stock's has.
pub fn wrong_type(name: &str, value: &Value) -> Error {
    Error::invalid(format!(
        "Invalid value {value} for parameter '{name}' supplied:  Hint: Value was of type '{}'. See the API docs \
         for more information about request parameters.",
        python_type(value)
    ))
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GetMetricHistory, LogMetric};

    fn message(body: &str) -> String {
        from_body::<LogMetric>(body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn names_the_missing_parameter() {
        for (body, name) in [
            ("", "run_id"),
            ("not json", "run_id"),
            ("{}", "run_id"),
            (r#"{"run_id": ""}"#, "run_id"),
            (r#"{"run_uuid": "r"}"#, "key"),
            (r#"{"run_id": "r", "key": "k", "value": 1}"#, "timestamp"),
            (r#"{"run_id": "r", "key": "k", "value": null, "timestamp": 1}"#, "value"),
            ("\u{feff}{\"run_id\": \"r\"}", "key"),
        ] {
            let want = format!("Missing value for required parameter '{name}'.");
            assert!(message(body).starts_with(&want), "{body}: {}", message(body));
        }
    }

    #[test]
    fn refuses_a_field_with_two_names() {
        let body = r#"{"run_id": "r", "runId": "r", "key": "k", "value": 1, "timestamp": 1}"#;
        assert_eq!(message(body), "Request specifies both 'run_id' and 'runId'; provide only one of them.");
    }

    #[test]
    fn names_the_wrongly_typed_parameter() {
        let body = r#"{"run_id": "r", "key": 5, "value": 1, "timestamp": 1}"#;
        assert_eq!(
            message(body),
            "Invalid value 5 for parameter 'key' supplied:  Hint: Value was of type 'int'. See the API docs for \
             more information about request parameters."
        );
        let body = r#"{"run_id": "r", "key": "k", "value": "abc", "timestamp": 1}"#;
        assert!(message(body).starts_with("Invalid value \"abc\" for parameter 'value' supplied:  Hint:"));
    }

    #[test]
    fn accepts_what_python_accepts() {
        for body in [
            r#"{"run_id": "r", "key": "k", "value": NaN, "timestamp": "17", "step": "0"}"#,
            r#"{"run_id": "NaN \" NaN", "key": "k", "value": -Infinity, "timestamp": 17}"#,
            r#""{\"run_id\": \"r\", \"key\": \"k\", \"value\": 1, \"timestamp\": 17}""#,
            r#"{"run_id": "r", "key": "k", "value": 1, "timestamp": 17, "unknown": {}}"#,
        ] {
            assert_eq!(from_body::<LogMetric>(body.as_bytes()).unwrap().timestamp, Some(17), "{body}");
        }
    }

    #[test]
    fn a_value_that_nothing_checks_ends_what_is_read() {
        let read: GetMetricHistory = from_query("max_results=x&run_id=r&metric_key=k").unwrap();
        assert_eq!((read.run_id(), read.metric_key(), read.max_results), ("r", "k", None));
    }

    #[test]
    fn query_strings_carry_lists_and_numbers() {
        let read: LogMetric = from_query("run_id=a%20b&key=k+1&value=1.5&timestamp=3").unwrap();
        assert_eq!(read.run_id.as_deref(), Some("a b"));
        assert_eq!(read.key.as_deref(), Some("k 1"));
        assert_eq!(read.value, Some(1.5));
    }
}
