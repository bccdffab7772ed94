//! Records of datasets of evaluations: how JSON becomes a record, how a record is found again by its inputs and takes
//! what is new, which fields the dataset's schema has, and where a page of records begins.
//!
//! What belongs to a record is kept as the text of its JSON, which no reader looks into.

use openssl::sha::sha256;
use serde_json::{Map, Value};

use super::{USER_TAG, hex, is_truthy};
use crate::domain::page::decode;
use crate::domain::python::{json_dumps, json_string, parse_int};
use crate::domain::{Error, Result, page};
use crate::proto::loose::{Json, last_of_each};

/// The key that the outputs of a record are stored below.
const WRAPPED_OUTPUTS: &str = "mlflow_wrapped";
/// The text of JSON's null, which stands for what a record does not have.
const NULL: &str = "null";

/// A record as a client gave it, checked.
#[derive(Debug, Clone)]
pub struct GivenRecord {
    /// What tells records of a dataset apart.
    pub input_hash: String,
    inputs: Json,
    /// `None` when the client said nothing about outputs.
    outputs: Option<Json>,
    expectations: Option<Json>,
    tags: Option<Json>,
    source: Option<Source>,
}

/// Where a record comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    json: String,
    id: Option<String>,
    kind: String,
}

/// A record as it is stored; the JSON texts are `null` where there is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `dr-` and 32 hexadecimal digits.
    pub dataset_record_id: String,
    /// What was asked: an object.
    pub inputs: String,
    /// What was answered, below a key of its own.
    pub outputs: String,
    /// What should have been answered: an object.
    pub expectations: String,
    /// An object.
    pub tags: String,
    /// Where it comes from: type and data.
    pub source: String,
    /// The trace or the other thing that it comes from.
    pub source_id: Option<String>,
    /// The kind of that thing.
    pub source_type: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub created_time: i64,
    /// In milliseconds since the Unix epoch.
    pub last_update_time: i64,
    /// Who made it, by its tags.
    pub created_by: Option<String>,
    /// Who changed it last, by its tags.
    pub last_updated_by: Option<String>,
    /// The hash of the inputs.
    pub input_hash: String,
}

/// Reads the records of a request.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for anything but a list of records. Stock answers 500 to most of that.
pub fn parse_records(text: &str) -> Result<Vec<GivenRecord>> {
    let Json::List(records) = super::parse("records", text)? else {
        return Err(Error::invalid("The value of 'records' must be a JSON list."));
    };
    records.into_iter().map(GivenRecord::new).collect()
}

impl GivenRecord {
    /// Upstream: `SqlAlchemyStore.upsert_dataset_records`, `DatasetRecord`.
    fn new(json: Json) -> Result<Self> {
        let Json::Object(mut fields) = json else {
            return Err(Error::invalid("Every record must be a JSON object."));
        };
        let mut field = |wanted: &str| {
            let at = fields.iter().rposition(|(name, _)| name == wanted)?;
            Some(fields.remove(at).1)
        };
        let object = |name: &str, value: Option<Json>| match value {
            Some(value @ Json::Object(_)) => Ok(Some(value)),
            Some(value) if is_truthy(&value) => Err(super::no_object(name)),
            _ => Ok(None),
        };
        let inputs = match field("inputs") {
            None => Json::Object(Vec::new()),
            Some(Json::Object(fields)) => Json::Object(fields),
            Some(_) => return Err(super::no_object("inputs")),
        };
        let expectations = object("expectations", field("expectations"))?;
        let tags = object("tags", field("tags"))?;
        let source =
            object("source", field("source"))?.filter(is_truthy).as_ref().map(Source::new).transpose()?;
        let input_hash = hex(&sha256(inputs.dumps_sorted().as_bytes()));
        let outputs = field("outputs");
        Ok(Self { input_hash, inputs, outputs, expectations, tags, source })
    }

    /// Returns who gave the record, by its tags.
    pub fn user(&self) -> Option<String> {
        match self.tags.as_ref()?.get(USER_TAG)? {
            Json::Str(user) => Some(user.clone()),
            _ => None,
        }
    }

    /// Makes the record that is stored when there is none of the same inputs.
    pub fn into_new(self, dataset_record_id: String, now: i64) -> Record {
        let user = self.user();
        let text = |json: Option<Json>, otherwise: &str| json.map_or(otherwise.into(), |j| j.dumps_spaced());
        let outputs = self.outputs.unwrap_or_else(|| Json::Object(Vec::new()));
        let source = self.source;
        Record {
            dataset_record_id,
            inputs: self.inputs.dumps_spaced(),
            outputs: wrap(&outputs),
            expectations: text(self.expectations, NULL),
            tags: text(self.tags, "{}"),
            source_id: source.as_ref().and_then(|s| s.id.clone()),
            source_type: source.as_ref().map(|s| s.kind.clone()),
            source: source.map_or(NULL.into(), |s| s.json),
            created_time: now,
            last_update_time: now,
            created_by: user.clone(),
            last_updated_by: user,
            input_hash: self.input_hash,
        }
    }
}

impl Record {
    /// Takes what is new of a record with the same inputs. Upstream: `SqlEvaluationDatasetRecord.merge`.
    pub fn merge(&mut self, new: &GivenRecord, now: i64) {
        if let Some(outputs) = &new.outputs {
            self.outputs = wrap(outputs);
        }
        for (own, new) in [(&mut self.expectations, &new.expectations), (&mut self.tags, &new.tags)] {
            if let Some(new) = new.as_ref().filter(|new| is_truthy(new)) {
                *own = update(own, new);
            }
        }
        self.last_update_time = now;
        if let Some(user) = new.user() {
            self.last_updated_by = Some(user);
        }
    }

    /// Returns about how many bytes it is when it is sent.
    pub const fn length(&self) -> usize {
        self.inputs.len() + self.outputs.len() + self.expectations.len() + self.tags.len() + self.source.len()
    }

    /// Writes the record as it is sent. Upstream: `DatasetRecord.to_dict`.
    fn write(&self, dataset_id: &str, out: &mut String) {
        let text = |value: &Option<String>| value.as_deref().map(json_string);
        let json = |value: &str| (value != NULL).then(|| value.to_owned());
        let tags = if self.tags == NULL { "{}" } else { &self.tags };
        let fields = [
            ("dataset_record_id", Some(json_string(&self.dataset_record_id))),
            ("dataset_id", Some(json_string(dataset_id))),
            ("inputs", Some(self.inputs.clone())),
            ("expectations", json(&self.expectations)),
            ("tags", Some(tags.to_owned())),
            ("source", json(&self.source)),
            ("source_id", text(&self.source_id)),
            ("source_type", text(&self.source_type)),
            ("created_time", Some(self.created_time.to_string())),
            ("last_update_time", Some(self.last_update_time.to_string())),
            ("created_by", text(&self.created_by)),
            ("last_updated_by", text(&self.last_updated_by)),
            ("outputs", unwrap(&self.outputs)),
        ];
        let mut separator = '{';
        for (name, value) in fields {
            let Some(value) = value else { continue };
            out.push(separator);
            if separator == ',' {
                out.push(' ');
            }
            out.extend(["\"", name, "\": ", value.as_str()]);
            separator = ',';
        }
        out.push('}');
    }
}

/// Writes records as they are sent: a JSON list.
pub fn shown(dataset_id: &str, records: &[Record]) -> String {
    let mut out = String::from("[");
    for (i, record) in records.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        record.write(dataset_id, &mut out);
    }
    out.push(']');
    out
}

impl Source {
    /// Upstream: `DatasetRecordSource`.
    fn new(json: &Json) -> Result<Self> {
        const TYPES: [&str; 5] = ["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"];
        let Json::Object(fields) = json else { return Err(super::no_object("source")) };
        if fields.iter().any(|(name, _)| !matches!(name.as_str(), "source_type" | "source_data")) {
            return Err(Error::invalid("The source of a record has a 'source_type' and 'source_data' only."));
        }
        let Some(Json::Str(given)) = json.get("source_type") else {
            return Err(Error::invalid("The source of a record must have a 'source_type'."));
        };
        let kind = given.to_uppercase();
        if !TYPES.contains(&kind.as_str()) {
            return Err(Error::invalid(format!(
                "Invalid dataset record source type: {kind}. Valid source types: {}",
                crate::domain::python::list(&TYPES)
            )));
        }
        let data = match json.get("source_data") {
            None | Some(Json::Null) => Json::Object(Vec::new()),
            Some(data @ Json::Object(_)) => data.clone(),
            Some(_) => return Err(super::no_object("source_data")),
        };
        let id = match data.get(if kind == "TRACE" { "trace_id" } else { "source_id" }) {
            Some(Json::Str(text) | Json::Int(text)) => Some(text.clone()),
            _ => None,
        };
        let json =
            format!("{{\"source_type\": {}, \"source_data\": {}}}", json_string(&kind), data.dumps_spaced());
        Ok(Self { json, id, kind })
    }
}

fn wrap(outputs: &Json) -> String {
    if *outputs == Json::Null {
        return NULL.into();
    }
    format!("{{\"{WRAPPED_OUTPUTS}\": {}}}", outputs.dumps_spaced())
}

fn unwrap(stored: &str) -> Option<String> {
    let stored = Json::parse(stored.as_bytes())?;
    stored.get(WRAPPED_OUTPUTS).filter(|outputs| **outputs != Json::Null).map(Json::dumps_spaced)
}

/// Writes the fields of `new` over those of the object `old`.
fn update(old: &str, new: &Json) -> String {
    let (mut fields, Json::Object(new)) = (fields_of(old), new) else { return old.to_owned() };
    fields.extend(new.iter().cloned());
    Json::Object(fields).dumps_spaced()
}

fn fields_of(text: &str) -> Vec<(String, Json)> {
    match Json::parse(text.as_bytes()) {
        Some(Json::Object(fields)) => fields,
        _ => Vec::new(),
    }
}

/// Adds the fields of records to the schema of their dataset; `None` when there is none before and after.
///
/// Upstream: `_update_dataset_schema`. Differs: where outputs were no objects before and are now, stock breaks; here the
/// schema stays as it is.
pub fn extend_schema(schema: Option<&str>, records: &[GivenRecord]) -> Option<String> {
    let before = schema.filter(|text| !text.is_empty());
    if records.is_empty() && before.is_none() {
        return None;
    }
    let mut schema = match before.and_then(|text| serde_json::from_str(text).ok()) {
        Some(Value::Object(schema)) => schema,
        _ => ["inputs", "outputs", "expectations"]
            .map(|part| (part.to_owned(), Value::Object(Map::new())))
            .into_iter()
            .chain([("version".to_owned(), "1.0".into())])
            .collect(),
    };
    for record in records {
        extend_part(&mut schema, "inputs", Some(&record.inputs));
        extend_part(&mut schema, "outputs", record.outputs.as_ref());
        extend_part(&mut schema, "expectations", record.expectations.as_ref());
    }
    Some(json_dumps(&Value::Object(schema)))
}

fn extend_part(schema: &mut Map<String, Value>, part: &str, value: Option<&Json>) {
    match (schema.get_mut(part), value) {
        (Some(Value::Object(known)), Some(Json::Object(fields))) => {
            for (name, value) in last_of_each(fields) {
                known.entry(name).or_insert_with(|| type_of(value).into());
            }
        }
        // Only the first outputs that are no object name their type.
        (Some(known), Some(value))
            if *value != Json::Null && known.as_object().is_some_and(Map::is_empty) =>
        {
            *known = type_of(value).into();
        }
        _ => {}
    }
}

/// Upstream: `_infer_field_type`.
const fn type_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Int(_) => "integer",
        Json::Float(_) => "float",
        Json::Str(_) | Json::Torn(_) => "string",
        Json::List(_) => "array",
        Json::Object(_) => "object",
    }
}

/// Returns the profile of a dataset of so many records. Upstream: `_compute_dataset_profile`.
pub fn profile(records: i64) -> Option<String> {
    (records > 0).then(|| format!("{{\"num_records\": {records}}}"))
}

/// Returns how many records a profile speaks of.
pub fn profile_count(profile: Option<&str>) -> i64 {
    let profile: Option<Value> = profile.and_then(|text| serde_json::from_str(text).ok());
    profile.and_then(|profile| profile.get("num_records")?.as_i64()).unwrap_or(0)
}

/// Where a page of records begins: they come by time of creation and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageStart {
    /// Behind the record of this time and id.
    After(i64, String),
    /// Behind so many records.
    Offset(i64),
}

impl PageStart {
    /// Reads a page token; no token or an empty one is the start.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for anything else than what [`PageStart::token`] makes or a number; stock answers 500.
    pub fn parse(token: Option<&str>) -> Result<Self> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(Self::Offset(0)) };
        let decoded = decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let cursor = decoded.as_deref().and_then(|text| text.split_once(':'));
        if let Some((time, id)) = cursor
            && let Some(time) = parse_int(time)
        {
            return Ok(Self::After(time, id.to_owned()));
        }
        let offset = parse_int(token).ok_or_else(|| Error::invalid(format!("Invalid page token {token}")))?;
        Ok(Self::Offset(offset.max(0)))
    }

    /// Returns the token of the page that begins behind `record`.
    pub fn token(record: &Record) -> String {
        page::encode(&format!("{}:{}", record.created_time, record.dataset_record_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> GivenRecord {
        parse_records(&format!("[{text}]")).unwrap().remove(0)
    }

    #[test]
    fn the_order_of_keys_does_not_tell_inputs_apart() {
        let hash = |text: &str| given(text).input_hash;
        assert_eq!(
            hash(r#"{"inputs": {"a": {"x": 1, "y": 2}, "b": "é"}}"#),
            hash(r#"{"inputs": {"b": "\u00e9", "a": {"y": 2, "x": 1}}}"#)
        );
        assert_ne!(hash(r#"{"inputs": {"a": 1}}"#), hash(r#"{"inputs": {"a": 1.0}}"#));
        // What Python's `hashlib.sha256(json.dumps({}, sort_keys=True).encode())` gives.
        assert_eq!(hash("{}"), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    #[test]
    fn records_are_shown_as_stock_shows_them() {
        let record = given(
            r#"{"inputs": {"q": "é"}, "outputs": "yes", "expectations": {"a": 1}, "tags": {"mlflow.user": "me"},
                "source": {"source_type": "trace", "source_data": {"trace_id": "tr-1"}}}"#,
        )
        .into_new("dr-1".into(), 5);
        assert_eq!(
            shown("d-1", &[record]),
            r#"[{"dataset_record_id": "dr-1", "dataset_id": "d-1", "inputs": {"q": "\u00e9"}, "expectations": {"a": 1}, "tags": {"mlflow.user": "me"}, "source": {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}, "source_id": "tr-1", "source_type": "TRACE", "created_time": 5, "last_update_time": 5, "created_by": "me", "last_updated_by": "me", "outputs": "yes"}]"#
        );
        let empty = given("{}").into_new("dr-2".into(), 5);
        assert_eq!(
            shown("d-1", &[empty]),
            r#"[{"dataset_record_id": "dr-2", "dataset_id": "d-1", "inputs": {}, "tags": {}, "created_time": 5, "last_update_time": 5, "outputs": {}}]"#
        );
    }

    #[test]
    fn merging_keeps_what_is_not_given_again() {
        let mut record = given(
            r#"{"inputs": {"q": 1}, "outputs": [1], "expectations": {"a": 1, "b": 2}, "tags": {"t": "x"}}"#,
        )
        .into_new("dr-1".into(), 5);
        record.merge(&given(r#"{"inputs": {"q": 1}, "expectations": {"b": 3, "c": NaN}, "tags": {}}"#), 7);
        assert_eq!(record.expectations, r#"{"a": 1, "b": 3, "c": NaN}"#);
        assert_eq!(
            (record.tags.as_str(), record.outputs.as_str()),
            (r#"{"t": "x"}"#, r#"{"mlflow_wrapped": [1]}"#)
        );
        assert_eq!((record.created_time, record.last_update_time), (5, 7));
        record.merge(&given(r#"{"inputs": {"q": 1}, "outputs": null, "tags": {"mlflow.user": "me"}}"#), 8);
        assert_eq!((record.outputs.as_str(), record.last_updated_by.as_deref()), ("null", Some("me")));
        assert_eq!(record.created_by, None);
    }

    #[test]
    fn schemas_grow_and_never_change() {
        let records = parse_records(
            r#"[{"inputs": {"q": "x", "n": 1}, "outputs": {"o": 1.5}}, {"inputs": {"q": 5, "z": null}, "expectations": {"e": [], "b": true}}]"#,
        )
        .unwrap();
        let first = extend_schema(None, &records).unwrap();
        assert_eq!(
            first,
            r#"{"inputs": {"q": "string", "n": "integer", "z": "null"}, "outputs": {"o": "float"}, "expectations": {"e": "array", "b": "boolean"}, "version": "1.0"}"#
        );
        assert_eq!(extend_schema(Some(&first), &records).unwrap(), first);
        let plain = extend_schema(None, &[given(r#"{"outputs": "text"}"#)]).unwrap();
        assert!(plain.contains(r#""outputs": "string""#), "{plain}");
        assert_eq!(extend_schema(Some(&plain), &[given(r#"{"outputs": {"o": 1}}"#)]).unwrap(), plain);
        assert_eq!(extend_schema(None, &[]), None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in [
            "{}",
            "x",
            "[1]",
            "[null]",
            r#"[{"inputs": null}]"#,
            r#"[{"inputs": [1]}]"#,
            r#"[{"tags": "x"}]"#,
            r#"[{"expectations": [1]}]"#,
            r#"[{"source": "x"}]"#,
            r#"[{"source": {"source_type": 5}}]"#,
            r#"[{"source": {"source_data": {}}}]"#,
            r#"[{"source": {"source_type": "TRACE", "more": 1}}]"#,
        ] {
            assert!(parse_records(text).is_err(), "{text}");
        }
        let message = parse_records(r#"[{"source": {"source_type": "nope"}}]"#).unwrap_err().message;
        assert_eq!(
            message,
            "Invalid dataset record source type: NOPE. Valid source types: ['UNSPECIFIED', 'TRACE', 'HUMAN', 'DOCUMENT', 'CODE']"
        );
    }

    #[test]
    fn page_tokens_are_those_of_stock() {
        let record = given("{}").into_new("dr-a".into(), 12);
        let token = PageStart::token(&record);
        assert_eq!(token, "MTI6ZHItYQ==");
        assert_eq!(PageStart::parse(Some(&token)).unwrap(), PageStart::After(12, "dr-a".into()));
        assert_eq!(PageStart::parse(None).unwrap(), PageStart::Offset(0));
        assert_eq!(PageStart::parse(Some("7")).unwrap(), PageStart::Offset(7));
        assert!(PageStart::parse(Some("x")).is_err());
    }
}
