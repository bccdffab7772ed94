//! Request extractors: a JSON body or query string to a message, and stock's errors about missing and
//! mistyped parameters.
//!
//! A request is parsed in one typed pass. If that fails, or a required field is missing, the body is parsed
//! again as untyped JSON to find out what stock would make of it.
//!
//! Upstream: `mlflow.server.handlers._get_request_message`, `_validate_param_against_schema`.

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::expect_rows;
use super::body::Body;
use super::middleware::guard::was_head;
use super::state::App;
use crate::domain::{Error, Result};
use crate::proto::json::Object;
use crate::proto::loose::{self, Json};
use crate::proto::{Fields, Type, outline, parse};

/// What stock checks of a parameter before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Not absent, null or an empty string.
    Required,
    /// Not null, if it is there.
    NotNull,
    /// A string.
    Str,
    /// An integer or a string that holds one.
    Int,
    /// A number or a string that holds one.
    Float,
    /// A list.
    Array,
    /// A list of strings.
    Strings,
    /// `true` or `false`.
    Bool,
    /// An integer, or a string that holds one, not above the limit. In a body only checked where
    /// [`Request::has_whole_items`] says so.
    AtMost(i64),
    /// An integer, or a string that holds one, within these bounds. Only checked in query strings.
    Between(i64, i64),
    /// A list whose items have these fields, not null and not empty.
    Items(&'static [&'static str]),
    /// The same for the field `key`, without saying which is missing.
    Keyed,
}

/// Parameters, each with what is checked of it, in this order.
pub type Schema = &'static [(&'static str, &'static [Check])];

/// A message that is a request, with what is checked of its parameters, in this order.
pub trait Request: Fields + DeserializeOwned + Default + Send + 'static {
    /// What is checked before the request is looked at.
    const SCHEMA: Schema;

    /// Says whether a message parsed in one pass satisfies [`Check::Items`] and the like; otherwise the body
    /// is parsed again and fully checked.
    fn has_whole_items(&self) -> bool {
        true
    }

    /// Returns how many rows of an answer are asked for, where they can be many.
    fn rows(&self) -> i64 {
        0
    }

    /// Lists of the body whose items are counted before it is read.
    const LISTS: &'static [&'static str] = &[];

    /// Checks how many items those lists have, where they are long.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for more than the request may have.
    fn check_lists(_counts: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// A request message, from a JSON body or from the query string of a GET.
#[derive(Debug)]
pub struct Proto<T>(pub T);

impl<T: Request> FromRequest for Proto<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if let Some(query) = query_of(request) {
            let (message, request) = (from_query(query), request.clone());
            return Box::pin(async move { ready_for_rows(&request, message?).await.map(Self) });
        }
        let (body, request) = (body_of(request, payload), request.clone());
        Box::pin(async move {
            let message = body.await?.read_json(T::LISTS, T::check_lists, from_body).await?;
            ready_for_rows(&request, message).await.map(Self)
        })
    }
}

/// A request message, and whether its `experiment_ids` were present: a present but empty list means none, an
/// absent one all.
#[derive(Debug)]
pub struct Scoped<T>(pub T, pub bool);

impl<T: Request> FromRequest for Scoped<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self>>;

    /// Upstream: `_raw_request_has_field`.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if let Some(query) = query_of(request) {
            let is_sent = query.split('&').any(|pair| pair.split('=').next() == Some("experiment_ids"));
            let message = from_query(query);
            return Box::pin(async move { message.map(|message| Self(message, is_sent)) });
        }
        let is_get = *request.method() == Method::GET;
        let body = body_of(request, payload);
        Box::pin(async move {
            let read_both = move |body: &[u8]| {
                let message = from_body(body)?;
                let sent = loose(body);
                let is_sent =
                    !is_get && (sent.get("experiment_ids").is_some() || sent.get("experimentIds").is_some());
                Ok(Self(message, is_sent))
            };
            let body = body.await?;
            body.read_json(T::LISTS, T::check_lists, read_both).await
        })
    }
}

/// Reserves memory for the response if it can be large.
async fn ready_for_rows<T: Request>(request: &HttpRequest, message: T) -> Result<T> {
    if let (Ok(rows @ 1..), Some(app)) = (usize::try_from(message.rows()), request.app_data::<App>()) {
        expect_rows(app, request, rows).await?;
    }
    Ok(message)
}

/// The query string, where it is the request. Stock reads that of a GET only, and so finds nothing in a HEAD.
fn query_of(request: &HttpRequest) -> Option<&str> {
    let query = request.query_string();
    (*request.method() == Method::GET && !query.is_empty() && !was_head(request)).then_some(query)
}

/// The body, where it is the request.
fn body_of(request: &HttpRequest, payload: &mut Payload) -> impl Future<Output = Result<Body>> + use<> {
    let content_type = check_content_type(request);
    let body = Body::from_request(request, payload);
    async move {
        content_type?;
        body.await
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

/// Parses a request from a JSON body; an empty or malformed body is a request without parameters.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a missing required parameter or one of the wrong type.
pub fn from_body<T: Request>(body: &[u8]) -> Result<T> {
    match serde_json::from_slice::<Object<T>>(body) {
        Ok(Object(message)) if has_required(&message) && message.has_whole_items() => Ok(message),
        _ => from_json(&loose(body)),
    }
}

/// Reads a request from a query string; unknown names are ignored.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a missing or wrongly typed parameter.
pub fn from_query<T: Request>(query: &str) -> Result<T> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|e| Error::invalid(format!("The query string cannot be read: {e}")))?
        .into_inner();
    let mut json = Vec::new();
    for field in T::FIELDS {
        let mut values = pairs.iter().filter(|(n, _)| n == field.name).map(|(_, v)| v.as_str()).peekable();
        let Some(&first) = values.peek() else { continue };
        let value = match field.ty {
            _ if field.is_repeated => Json::List(values.map(Json::from).collect()),
            Type::Bool => Json::Bool(read_bool(first)?),
            _ => first.into(),
        };
        json.push((field.name.to_owned(), value));
    }
    from_json(&Json::Object(json))
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

/// Parses as Python does. A body that is not JSON counts as null, and double-encoded JSON (old clients) is
/// decoded twice.
fn loose(body: &[u8]) -> Json {
    match Json::parse(body).unwrap_or(Json::Null) {
        // They send nothing large.
        Json::Str(inner) if !outline::is_small(inner.as_bytes()) => Json::Null,
        Json::Str(inner) => Json::parse(inner.as_bytes()).unwrap_or(Json::Null),
        value => value,
    }
}

/// Upstream: `_get_request_message`.
fn from_json<T: Request>(json: &Json) -> Result<T> {
    let no_parameters = Json::Object(Vec::new());
    let json = if *json == Json::Null { &no_parameters } else { json };
    if let Some((name, json_name)) = parse::find_two_spellings(T::FIELDS, json) {
        return Err(Error::invalid(format!(
            "Request specifies both '{name}' and '{json_name}'; provide only one of them."
        )));
    }
    let read = parse::read(T::FIELDS, json);
    for &(name, checks) in T::SCHEMA {
        check(json, name, checks, read.is_whole)?;
    }
    if !read.is_whole && !matches!(json, Json::Object(_)) {
        return Err(Error::invalid("The request cannot be read: it is no JSON object."));
    }
    T::deserialize(Value::Object(read.fields)).map_err(Error::internal)
}

/// Upstream: types are looked at only when the message as a whole could not be parsed.
fn check(json: &Json, name: &str, checks: &[Check], was_parsed: bool) -> Result<()> {
    let mut value = json.get(name);
    if value.is_none() && !checks.contains(&Check::Required) {
        return Ok(());
    }
    if name == "run_id" && value.is_none_or(|value| *value == Json::Null) {
        value = json.get("run_uuid").or(value);
    }
    let value = value.unwrap_or(&Json::Null);
    for check in checks {
        match check {
            Check::Required if value.is_empty() => return Err(missing(name)),
            Check::NotNull if *value == Json::Null => {
                return Err(Error::invalid(format!("Missing value for required parameter '{name}'.")));
            }
            Check::Items(fields) => check_items(name, value, fields)?,
            Check::Keyed => check_items(name, value, &["key"]).map_err(|_e| wrong_type(name, value))?,
            Check::AtMost(limit) if is_beyond(value, *limit) => return Err(wrong_type(name, value)),
            Check::Between(least, most) if !is_between(value, *least, *most) => {
                return Err(Error::invalid(format!(
                    "{name} must be between {least} and {most}. See the API docs for more information about request \
                     parameters."
                )));
            }
            check if !was_parsed && !has_type(value, *check) => return Err(wrong_type(name, value)),
            _ => {}
        }
    }
    Ok(())
}

fn check_items(name: &str, value: &Json, fields: &[&str]) -> Result<()> {
    let Json::List(items) = value else { return Err(wrong_type(name, value)) };
    for (i, item) in items.iter().enumerate() {
        if let Some(field) = fields.iter().find(|field| item.get(field).is_none_or(Json::is_empty)) {
            return Err(missing(&format!("{name}[{i}].{field}")));
        }
    }
    Ok(())
}

/// Says whether an integer is greater than `limit`.
fn is_beyond(value: &Json, limit: i64) -> bool {
    match value {
        Json::Int(text) | Json::Str(text) => loose::int(text).is_some_and(|number| number > limit.into()),
        _ => false,
    }
}

/// Says whether an integer is within bounds; other values are left to other checks.
fn is_between(value: &Json, least: i64, most: i64) -> bool {
    match value {
        Json::Int(text) | Json::Str(text) => {
            loose::int(text).is_none_or(|number| (least.into()..=most.into()).contains(&number))
        }
        _ => true,
    }
}

fn has_type(value: &Json, check: Check) -> bool {
    let is_text = |value: &Json| matches!(value, Json::Str(_) | Json::Torn(_));
    match check {
        Check::Required
        | Check::NotNull
        | Check::Items(_)
        | Check::Keyed
        | Check::AtMost(_)
        | Check::Between(..) => true,
        Check::Str => is_text(value),
        Check::Int => match value {
            Json::Int(_) | Json::Bool(_) => true,
            Json::Float(number) => number.is_finite(),
            Json::Str(text) => loose::int(text).is_some(),
            _ => false,
        },
        Check::Float => match value {
            Json::Int(_) | Json::Float(_) | Json::Bool(_) => true,
            Json::Str(text) => loose::float(text).is_some(),
            _ => false,
        },
        Check::Array => matches!(value, Json::List(_)),
        Check::Strings => matches!(value, Json::List(items) if items.iter().all(is_text)),
        Check::Bool => matches!(value, Json::Bool(_)),
    }
}

/// `INVALID_PARAMETER_VALUE` for a missing required parameter.
pub fn missing(name: &str) -> Error {
    Error::invalid(format!(
        "Missing value for required parameter '{name}'. See the API docs for more information about request \
         parameters."
    ))
}

/// `INVALID_PARAMETER_VALUE` for a parameter whose value is of the wrong type or out of range. The text has
/// two spaces before the hint, as stock's has.
pub fn wrong_type(name: &str, value: &Json) -> Error {
    Error::invalid(format!(
        "Invalid value {} for parameter '{name}' supplied:  Hint: Value was of type '{}'. See the API docs for more \
         information about request parameters.",
        value.dumps(),
        value.python_type()
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ErrorCode;
    use crate::proto::{CreateExperiment, GetMetricHistory, LogBatch, LogMetric};

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
        let body = r#"{"run_id": "r", "key": {"b": "é", "a": [1e99, NaN]}, "value": 1, "timestamp": 1}"#;
        assert!(
            message(body).starts_with(r#"Invalid value {"a":[1e+99,NaN],"b":"\u00e9"} for parameter 'key'"#)
        );
    }

    #[test]
    fn accepts_what_python_accepts() {
        for body in [
            r#"{"run_id": "r", "key": "k", "value": NaN, "timestamp": "17", "step": "0"}"#,
            r#"{"run_id": "NaN \" NaN", "key": "k", "value": -Infinity, "timestamp": 17}"#,
            r#""{\"run_id\": \"r\", \"key\": \"k\", \"value\": 1, \"timestamp\": 17}""#,
            r#"{"run_id": "r", "key": "k", "value": 1, "timestamp": 17, "unknown": {}}"#,
            r#"{"run_id": "r", "key": "k", "value": 1, "timestamp": 5, "timestamp": 17}"#,
            r#"{"run_id": "r", "key": "k", "value": 1e999, "timestamp": "1_7.0"}"#,
        ] {
            assert_eq!(from_body::<LogMetric>(body.as_bytes()).unwrap().timestamp, Some(17), "{body}");
        }
    }

    #[test]
    fn items_are_asked_for_their_fields_before_anything_else() {
        for (metrics, want) in [
            (
                r#"[{"key": "a", "timestamp": 1}]"#,
                Some("Missing value for required parameter 'metrics[0].value'."),
            ),
            (r#"[{"key": "", "value": 1}]"#, Some("Missing value for required parameter 'metrics[0].key'.")),
            ("[null]", Some("Missing value for required parameter 'metrics[0].key'.")),
            ("{}", Some("Invalid value {} for parameter 'metrics' supplied:")),
            (r#"[{"key": "a", "value": 1, "timestamp": 0}]"#, None),
            // Read up to the key, which is there but no text.
            (r#"[{"key": 5, "value": 1, "timestamp": 1}]"#, None),
        ] {
            let read =
                from_body::<LogBatch>(format!("{{\"run_id\": \"r\", \"metrics\": {metrics}}}").as_bytes());
            let message = read.err().map(|e| e.message);
            assert_eq!(message.is_some(), want.is_some(), "{metrics}");
            assert!(message.unwrap_or_default().starts_with(want.unwrap_or_default()), "{metrics}");
        }
    }

    /// Stock answers 200 to these, too, and stores 0.
    #[test]
    fn a_number_beyond_64_bits_ends_what_is_read() {
        for timestamp in ["9223372036854775808", "18446744073709551616", "9.3e18", "\"9223372036854775808\""]
        {
            let body = format!(r#"{{"run_id": "r", "key": "k", "value": 1, "timestamp": {timestamp}}}"#);
            let read: LogMetric = from_body(body.as_bytes()).unwrap();
            assert_eq!((read.key(), read.timestamp), ("k", None), "{timestamp}");
            let body = format!(r#"{{"timestamp": {timestamp}, "run_id": "r", "key": "k", "value": 1}}"#);
            let read: LogMetric = from_body(body.as_bytes()).unwrap();
            assert_eq!((read.key(), read.timestamp), ("", None), "{timestamp}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_a_value_that_cannot_be_read() {
        let read: CreateExperiment =
            from_body(br#"{"name": "\ud800", "artifact_location": "s3://x"}"#).unwrap();
        assert_eq!((read.name, read.artifact_location), (None, None));
    }

    #[test]
    fn a_value_that_nothing_checks_ends_what_is_read() {
        let read: GetMetricHistory = from_query("max_results=x&run_id=r&metric_key=k").unwrap();
        assert_eq!((read.run_id(), read.metric_key(), read.max_results), ("r", "k", None));
    }

    #[test]
    fn numbers_beyond_a_limit_are_refused() {
        for (count, is_ok) in [("1000", true), ("-5", true), ("1001", false), ("99999999999999999999", false)]
        {
            let read = from_query::<crate::proto::SearchRegisteredModels>(&format!("max_results={count}"));
            assert_eq!(read.is_ok(), is_ok, "{count}");
        }
    }

    #[test]
    fn query_strings_carry_lists_and_numbers() {
        let read: LogMetric = from_query("run_id=a%20b&key=k+1&value=1.5&timestamp=3").unwrap();
        assert_eq!(read.run_id.as_deref(), Some("a b"));
        assert_eq!(read.key.as_deref(), Some("k 1"));
        assert_eq!(read.value, Some(1.5));
    }

    /// JSON whose keys and words are mostly those of a batch.
    fn odd_json() -> impl Strategy<Value = Value> {
        const WORDS: [&str; 8] = ["run_id", "runId", "metrics", "tags", "key", "value", "NaN", "1_0.0"];
        let word = || prop::sample::select(&WORDS[..]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((word(), inner), 0..5)
                    .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_no_fault_of_ours(json in odd_json()) {
            if let Err(error) = from_body::<LogBatch>(json.to_string().as_bytes()) {
                prop_assert_eq!(error.code, ErrorCode::InvalidParameterValue, "{}", error.message);
            }
        }

        #[test]
        fn the_fast_reader_agrees_with_the_exact_one(json in odd_json()) {
            let text = json.to_string();
            if let Ok(Object(fast)) = serde_json::from_slice::<Object<LogBatch>>(text.as_bytes()) {
                let exact = parse::read(LogBatch::FIELDS, &Json::parse(text.as_bytes()).unwrap());
                prop_assert!(exact.is_whole, "{}", text);
                let exact: LogBatch = serde_json::from_value(Value::Object(exact.fields)).unwrap();
                // NaN is equal only in text.
                prop_assert_eq!(format!("{exact:?}"), format!("{fast:?}"), "{}", text);
            }
        }
    }
}
