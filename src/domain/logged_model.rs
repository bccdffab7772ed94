//! Logged models: what a new one must look like, and what a search may ask for. Its filter and order are read in
//! `search/logged_models.rs`.

use serde_json::{Value, json};

use super::ids::ExperimentId;
use super::python::{json_dumps, json_repr, parse_int, repr};
use super::{Error, Result, page, run, validate};
use crate::proto::search_logged_models::OrderBy;
use crate::proto::{CreateLoggedModel, LoggedModelParameter, LoggedModelTag, SearchLoggedModels};

/// The tag that lists, as JSON, the versions of registered models that come from a logged model.
pub const VERSIONS_TAG: &str = "mlflow.modelVersions";
/// Results of a search that asks for 0.
const DEFAULT_MAX_RESULTS: i32 = 100;

/// A validated request for a logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLoggedModel {
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// Its id, which starts with `m-`.
    pub model_id: String,
    /// Its name; drawn at random where none is given. Names may repeat.
    pub name: String,
    /// What kind of model it is; may be empty.
    pub model_type: String,
    /// The run that made it; may be empty, and is not looked up.
    pub source_run_id: String,
    /// Params; a repeated key is refused when they are stored.
    pub params: Vec<LoggedModelParameter>,
    /// Tags; a repeated key is refused when they are stored.
    pub tags: Vec<LoggedModelTag>,
}

impl TryFrom<CreateLoggedModel> for NewLoggedModel {
    type Error = Error;

    /// Upstream: `_create_logged_model`, `SqlAlchemyStore.create_logged_model`.
    fn try_from(r: CreateLoggedModel) -> Result<Self> {
        let name = r.name.filter(|name| !name.is_empty()).unwrap_or_else(run::random_name);
        validate_name(&name)?;
        Ok(Self {
            experiment_id: ExperimentId::parse(r.experiment_id.as_deref().unwrap_or_default())?,
            model_id: format!("m-{}", uuid::Uuid::new_v4().simple()),
            name,
            model_type: r.model_type.unwrap_or_default(),
            source_run_id: r.source_run_id.unwrap_or_default(),
            params: r.params,
            tags: r.tags,
        })
    }
}

/// Upstream: `_validate_logged_model_name`.
fn validate_name(name: &str) -> Result<()> {
    if !name.contains(['/', ':', '.', '%', '"', '\'']) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid model name ({}) provided. Model name must be a non-empty string and cannot contain the following \
         characters: ('/', ':', '.', '%', '\"', \"'\")",
        repr(name)
    )))
}

/// Keeps the last tag of each key, sorted by key.
pub fn last_of_each(tags: Vec<LoggedModelTag>) -> Vec<LoggedModelTag> {
    let mut tags: Vec<_> = tags.into_iter().rev().collect();
    tags.sort_by(|a, b| a.key().cmp(b.key()));
    tags.dedup_by(|later, kept| later.key() == kept.key());
    tags
}

/// Adds a version to the list of [`VERSIONS_TAG`].
///
/// Upstream: `AbstractStore.set_model_versions_tags`. Differs: a list that cannot be read is begun anew, where stock
/// fails after it has made the version.
pub fn with_version(list: &str, name: &str, version: i32) -> String {
    let entry = json!({ "name": name, "version": version });
    let mut entries: Vec<Value> = serde_json::from_str(list).unwrap_or_default();
    if entries.contains(&entry) {
        entries.clear();
    }
    entries.push(entry);
    json_dumps(&Value::Array(entries))
}

/// Which part of which search is wanted, without the filter and the order.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModelPage {
    /// The searched experiments.
    pub experiment_ids: Vec<i32>,
    /// The datasets to which metrics are restricted; any dataset if there are none.
    pub datasets: Vec<SearchedDataset>,
    /// Most models on the page; at least 1.
    pub limit: i64,
    /// Models before the page.
    pub offset: i64,
    /// What a token says of its search, besides the offset.
    query: Value,
}

/// A dataset on which a metric was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchedDataset {
    /// Its name.
    pub name: String,
    /// Its digest; `None` is only that of metrics without one.
    pub digest: Option<String>,
}

impl TryFrom<&SearchLoggedModels> for LoggedModelPage {
    type Error = Error;

    /// Upstream: `_search_logged_models`, `SqlAlchemyStore.search_logged_models`. Differs: a negative `max_results` is
    /// refused, where stock answers nonsense.
    fn try_from(r: &SearchLoggedModels) -> Result<Self> {
        let unset_if_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let datasets: Vec<_> = r
            .datasets
            .iter()
            .map(|d| SearchedDataset {
                name: d.dataset_name().to_owned(),
                digest: unset_if_empty(d.dataset_digest()),
            })
            .collect();
        if datasets.iter().any(|d| d.name.is_empty()) {
            return Err(Error::invalid("`dataset_name` in the `datasets` clause must be specified."));
        }
        let query = query_of(r);
        let offset = match r.page_token.as_deref().filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => offset_of(token, &query)?,
        };
        let limit = match r.max_results() {
            0 => DEFAULT_MAX_RESULTS,
            1.. => r.max_results(),
            negative => {
                return Err(Error::invalid(format!(
                    "Invalid value {negative} for parameter 'max_results' supplied. It must be a positive integer"
                )));
            }
        };
        let experiment_ids = validate::searched_experiment_ids(&r.experiment_ids)?;
        Ok(Self { experiment_ids, datasets, limit: limit.into(), offset, query })
    }
}

impl LoggedModelPage {
    /// Returns the token of the page behind this one, which is bound to the same search.
    ///
    /// Upstream: `SearchLoggedModelsPaginationToken.encode`.
    pub fn next_token(&self) -> String {
        let mut token = self.query.clone();
        if let Value::Object(fields) = &mut token {
            fields.insert("offset".into(), self.offset.saturating_add(self.limit).into());
        }
        page::encode(&json_dumps(&token))
    }
}

/// The fields of a token that bind it to its search; the datasets are not among them.
fn query_of(r: &SearchLoggedModels) -> Value {
    let set = |text: Option<&str>| text.filter(|t| !t.is_empty()).map_or(Value::Null, Value::from);
    let order = |by: &OrderBy| {
        json!({
            "field_name": by.field_name(),
            "ascending": by.ascending(),
            "dataset_name": set(by.dataset_name.as_deref()),
            "dataset_digest": set(by.dataset_digest.as_deref()),
        })
    };
    let order_by: Vec<Value> = r.order_by.iter().map(order).collect();
    json!({
        "experiment_ids": r.experiment_ids,
        "filter_string": set(r.filter.as_deref()),
        "order_by": if order_by.is_empty() { Value::Null } else { order_by.into() },
    })
}

/// Reads a token and checks that it belongs to the search `query`.
///
/// Upstream: `SearchLoggedModelsPaginationToken.decode` and `validate`. Differs: tokens over which stock's parser
/// breaks are refused like other bad ones, not with a 500.
fn offset_of(token: &str, query: &Value) -> Result<i64> {
    let invalid = |why: String| Error::invalid(format!("Invalid page token: {token}. {why}"));
    let read: Value = serde_json::from_slice(&page::decode(token)?).map_err(|e| invalid(e.to_string()))?;
    if !read.is_object() {
        return Err(invalid("It is no JSON object".into()));
    }
    for (name, mismatch, is_unset_if_empty) in [
        (
            "experiment_ids",
            "Experiment IDs in the page token do not match the requested experiment IDs.",
            false,
        ),
        (
            "filter_string",
            "Filter string in the page token does not match the requested filter string.",
            true,
        ),
        ("order_by", "Order by in the page token does not match the requested order by.", true),
    ] {
        let found = read.get(name).filter(|v| !(is_unset_if_empty && is_empty(v))).unwrap_or(&Value::Null);
        let expected = query.get(name).unwrap_or(&Value::Null);
        if found != expected {
            let (expected, found) = (shown(expected), shown(found));
            return Err(Error::invalid(format!("{mismatch} Expected: {expected}. Found: {found}")));
        }
    }
    let offset = match read.get("offset") {
        Some(Value::String(text)) if !text.is_empty() => {
            parse_int(text).ok_or_else(|| invalid("Its offset is no number".into()))?
        }
        Some(offset) if !is_empty(offset) => {
            offset.as_i64().ok_or_else(|| invalid("Its offset is no number".into()))?
        }
        _ => 0,
    };
    Ok(offset.max(0))
}

/// What Python takes for false.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Writes a value as Python's `str` does.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| json_repr(value), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(json: &str) -> Result<LoggedModelPage> {
        LoggedModelPage::try_from(&serde_json::from_str::<SearchLoggedModels>(json).unwrap())
    }

    fn token(json: &str) -> String {
        page::encode(json)
    }

    #[test]
    fn names_without_special_characters_are_taken() {
        for good in ["a", "日本", "a b-c_d", "a\\b"] {
            assert!(validate_name(good).is_ok(), "{good}");
        }
        for (bad, shown) in [("a/b", "'a/b'"), ("it's", "\"it's\""), ("1.0", "'1.0'"), ("%", "'%'")] {
            let message = validate_name(bad).unwrap_err().message;
            assert!(message.starts_with(&format!("Invalid model name ({shown}) provided.")), "{message}");
        }
    }

    #[test]
    fn unnamed_models_get_a_name_and_an_id() {
        let new =
            NewLoggedModel::try_from(CreateLoggedModel { name: Some(String::new()), ..Default::default() });
        let new = new.unwrap();
        assert_eq!(new.name.split('-').count(), 3);
        assert!(new.model_id.starts_with("m-") && new.model_id.len() == 34);
    }

    #[test]
    fn versions_are_listed() {
        let one = with_version("[]", "é", 1);
        assert_eq!(one, r#"[{"name": "\u00e9", "version": 1}]"#);
        assert_eq!(
            with_version(&one, "b", 2),
            r#"[{"name": "\u00e9", "version": 1}, {"name": "b", "version": 2}]"#
        );
        assert_eq!(with_version(&one, "é", 1), one);
        assert_eq!(with_version("nonsense", "é", 1), one);
    }

    #[test]
    fn the_last_tag_of_a_key_wins() {
        let tag =
            |key: &str, value: &str| LoggedModelTag { key: Some(key.into()), value: Some(value.into()) };
        let kept = last_of_each(vec![tag("b", "1"), tag("a", "2"), tag("b", "3")]);
        assert_eq!(kept, [tag("a", "2"), tag("b", "3")]);
    }

    #[test]
    fn tokens_are_those_of_stock() {
        let first = page(r#"{"experiment_ids":["1"],"max_results":2}"#).unwrap();
        assert_eq!(
            first.next_token(),
            token(r#"{"experiment_ids": ["1"], "filter_string": null, "order_by": null, "offset": 2}"#)
        );
        let search = r#""experiment_ids":["1"],"max_results":1,"filter":"name != 'é'",
            "order_by":[{"field_name":"metrics.acc","dataset_name":"test"}]"#;
        let first = page(&format!("{{{search}}}")).unwrap();
        let json = r#"{"experiment_ids": ["1"], "filter_string": "name != '\u00e9'", "order_by": [{"field_name": "metrics.acc", "ascending": true, "dataset_name": "test", "dataset_digest": null}], "offset": 1}"#;
        assert_eq!(first.next_token(), token(json));
        let second = page(&format!(r#"{{{search},"page_token":"{}"}}"#, first.next_token())).unwrap();
        assert_eq!((second.offset, second.limit), (1, 1));
    }

    #[test]
    fn tokens_of_another_search_are_refused() {
        let of = |json: &str, more: &str| {
            page(&format!(r#"{{"experiment_ids":["1"],"page_token":"{}"{more}}}"#, token(json)))
                .unwrap_err()
                .message
        };
        for (json, more, want) in [
            (
                "{}",
                "",
                "Experiment IDs in the page token do not match the requested experiment IDs. Expected: ['1']. Found: \
                 None",
            ),
            (
                r#"{"experiment_ids": ["1"]}"#,
                r#","filter":"name = 'x'""#,
                "Filter string in the page token does not match the requested filter string. Expected: name = 'x'. \
                 Found: None",
            ),
            (
                r#"{"experiment_ids": ["1"], "order_by": [{"b": 1.5, "a": true}]}"#,
                r#","order_by":[{"field_name":"name"}]"#,
                "Order by in the page token does not match the requested order by. Expected: [{'field_name': 'name', \
                 'ascending': True, 'dataset_name': None, 'dataset_digest': None}]. Found: [{'b': 1.5, 'a': True}]",
            ),
        ] {
            assert_eq!(of(json, more), want);
        }
        for json in ["{", "[]", "1", r#"{"experiment_ids": ["1"], "offset": "x"}"#] {
            assert!(of(json, "").starts_with("Invalid page token: "), "{json}");
        }
    }

    #[test]
    fn empty_parts_of_a_token_are_unset_ones() {
        for (json, offset) in [
            (r#"{"experiment_ids": ["1"], "order_by": [], "filter_string": "", "offset": 3}"#, 3),
            (r#"{"experiment_ids": ["1"], "offset": "2"}"#, 2),
            (r#"{"experiment_ids": ["1"], "offset": -2}"#, 0),
            (r#"{"experiment_ids": ["1"]}"#, 0),
        ] {
            let read =
                page(&format!(r#"{{"experiment_ids":["1"],"page_token":"{}"}}"#, token(json))).unwrap();
            assert_eq!(read.offset, offset, "{json}");
        }
    }

    #[test]
    fn datasets_have_names_and_limits_are_positive() {
        for datasets in [r#"{"dataset_digest":"d"}"#, r#"{"dataset_name":"a"},{}"#] {
            let message =
                page(&format!(r#"{{"experiment_ids":["1"],"datasets":[{datasets}]}}"#)).unwrap_err().message;
            assert_eq!(message, "`dataset_name` in the `datasets` clause must be specified.");
        }
        let limit =
            |n: &str| page(&format!(r#"{{"experiment_ids":["1"],"max_results":{n}}}"#)).map(|p| p.limit);
        assert_eq!(limit("null").unwrap(), 50);
        assert_eq!(limit("0").unwrap(), 100);
        assert_eq!(limit("7").unwrap(), 7);
        assert!(limit("-1").is_err());
    }
}
