//! Datasets of evaluations: what a new one is made of, its tags and its digest. The rules of their records are in
//! `records.rs`. The datasets that runs read are in `dataset.rs`.

pub mod records;

use std::fmt::Write as _;

use openssl::sha::sha256;

use super::ids::Tag;
use super::python::json_repr;
use super::{Error, ErrorCode, Result};
use crate::proto::CreateDataset;
use crate::proto::loose::{Json, last_of_each};

/// The tag that says who made or changed something.
pub const USER_TAG: &str = "mlflow.user";

/// A dataset to be stored, checked.
#[derive(Debug, Clone)]
pub struct NewEvaluationDataset {
    /// Not unique.
    pub name: String,
    /// Keys and values; no key twice.
    pub tags: Vec<(String, Option<String>)>,
    /// The tags as the answer shows them: a value that is no text is there as it was given.
    pub tags_shown: String,
    /// As they were given; they need not exist.
    pub experiment_ids: Vec<String>,
    /// Who made it, by the tags.
    pub user: Option<String>,
}

impl TryFrom<CreateDataset> for NewEvaluationDataset {
    type Error = Error;

    /// Upstream: `_create_dataset_handler`. Differs: tags that are no JSON object are refused with
    /// `INVALID_PARAMETER_VALUE`, not with a 500.
    fn try_from(r: CreateDataset) -> Result<Self> {
        let json = match r.tags.as_deref() {
            None | Some("") => Json::Null,
            Some(text) => parse("tags", text)?,
        };
        let (tags, tags_shown) = match &json {
            Json::Object(fields) => (tags_to_insert(fields)?, json.dumps_spaced()),
            json if is_truthy(json) => return Err(no_object("tags")),
            _ => (Vec::new(), "{}".to_owned()),
        };
        let user = tags.iter().find(|(key, _)| key == USER_TAG).and_then(|(_, value)| value.clone());
        let name = r.name.unwrap_or_default();
        Ok(Self { name, tags, tags_shown, experiment_ids: r.experiment_ids, user })
    }
}

fn tags_to_insert(fields: &[(String, Json)]) -> Result<Vec<(String, Option<String>)>> {
    let tag = |(key, value): (&str, &Json)| {
        let value = match value {
            Json::Null => None,
            Json::Str(text) => Some(text.clone()),
            Json::Bool(value) => Some(u8::from(*value).to_string()),
            Json::Int(_) | Json::Float(_) => Some(value.dumps()),
            Json::List(_) | Json::Object(_) | Json::Torn(_) => {
                let message = format!("The value of the tag '{key}' cannot be stored.");
                return Err(Error::new(ErrorCode::BadRequest, message));
            }
        };
        Ok((key.to_owned(), value))
    };
    last_of_each(fields).into_iter().map(tag).collect()
}

/// Reads tags that are written over those of a dataset; `null` is no tag.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for anything but a JSON object. Upstream: `SqlAlchemyStore.set_dataset_tags`.
pub fn parse_tags(text: &str) -> Result<Vec<Tag>> {
    let Json::Object(fields) = parse("tags", text)? else { return Err(no_object("tags")) };
    let tag = |(key, value): (&str, &Json)| match value {
        Json::Null => None,
        Json::Str(text) => Some(Tag { key: key.to_owned(), value: text.clone() }),
        other => Some(Tag { key: key.to_owned(), value: json_repr(&other.to_value()) }),
    };
    Ok(last_of_each(&fields).into_iter().filter_map(tag).collect())
}

/// Returns how many records a page has; 0 asks for as many as there are by default.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for less; stock leaves that to the database.
pub fn page_size(count: i32) -> Result<i64> {
    match count {
        0 => Ok(1000),
        1.. => Ok(count.into()),
        _ => Err(Error::invalid(format!(
            "Invalid value {count} for parameter 'max_results' supplied. It must be a positive integer"
        ))),
    }
}

/// Returns the digest of a dataset that was last changed at `now`. Upstream: `_compute_dataset_digest`.
pub fn digest(name: &str, now: i64) -> String {
    hex(&sha256(format!("{name}:{now}").as_bytes())).chars().take(8).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn parse(name: &str, text: &str) -> Result<Json> {
    Json::parse(text.as_bytes()).ok_or_else(|| Error::invalid(format!("The value of '{name}' is no JSON.")))
}

fn no_object(name: &str) -> Error {
    Error::invalid(format!("The value of '{name}' must be a JSON object."))
}

/// Says what Python's `if` says of a value.
fn is_truthy(json: &Json) -> bool {
    match json {
        Json::Null => false,
        Json::Bool(value) => *value,
        Json::Int(digits) => digits.bytes().any(|digit| matches!(digit, b'1'..=b'9')),
        Json::Float(value) => *value != 0.0,
        Json::Str(text) | Json::Torn(text) => !text.is_empty(),
        Json::List(items) => !items.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(tags: &str) -> Result<NewEvaluationDataset> {
        let tags = Some(tags.to_owned());
        CreateDataset { name: Some("d".into()), tags, ..CreateDataset::default() }.try_into()
    }

    #[test]
    fn tags_of_a_new_dataset_are_an_object_of_plain_values() {
        for (text, shown, count) in [
            ("", "{}", 0),
            ("null", "{}", 0),
            ("[]", "{}", 0),
            (r#"{"b": "1", "a": null}"#, r#"{"b": "1", "a": null}"#, 2),
            (r#"{"a": 1, "a": "é"}"#, r#"{"a": "\u00e9"}"#, 1),
        ] {
            let made = new(text).unwrap();
            assert_eq!((made.tags_shown.as_str(), made.tags.len()), (shown, count), "{text}");
        }
        for text in ["x", "[1]", "5", r#"{"a": []}"#] {
            assert!(new(text).is_err(), "{text}");
        }
        assert_eq!(new(r#"{"mlflow.user": "me"}"#).unwrap().user.as_deref(), Some("me"));
    }

    #[test]
    fn tags_that_are_set_are_written_as_python_writes_them() {
        let tags = parse_tags(r#"{"a": "x", "b": null, "c": 1.0, "d": true, "e": ["y"]}"#).unwrap();
        let tags: Vec<_> = tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
        assert_eq!(tags, ["a=x", "c=1.0", "d=True", "e=['y']"]);
        assert!(parse_tags("[]").is_err());
    }

    /// Expected values were taken from stock.
    #[test]
    fn digests_are_those_of_stock() {
        assert_eq!(digest("d", 1_795_258_633_381), "93df5e9e");
    }
}
