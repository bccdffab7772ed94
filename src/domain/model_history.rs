//! The old way to tell of a model, `runs/log-model`: an entry in a list that a tag of the run holds as JSON.

use serde_json::{Map, Value};

use super::python::{json_dumps, json_repr};
use super::validate::{self, LongValues, MAX_TAG_VALUE_LENGTH};
use super::{Error, Result};
use crate::proto::LogModel;
use crate::proto::outline::is_readable;

/// The tag that holds the list.
pub const HISTORY_TAG: &str = "mlflow.log-model.history";

/// A model to be added to a run's list.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedModel {
    /// The run.
    pub run_id: String,
    /// What goes into the list.
    entry: Value,
}

impl TryFrom<LogModel> for RecordedModel {
    type Error = Error;

    /// Upstream: `_log_model`, `Model.get_tags_dict`. Differs: the model's signature is not looked at; JSON that is no
    /// object is refused, not answered with a 500.
    fn try_from(r: LogModel) -> Result<Self> {
        let json = Some(r.model_json()).filter(|json| is_readable(json));
        let model: Value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let Value::Object(model) = model else {
            return Err(Error::invalid(format!(
                "Malformed model info. \n {} \n is not a valid JSON.",
                r.model_json()
            )));
        };
        let missing: Vec<String> = ["artifact_path", "flavors", "utc_time_created", "run_id"]
            .into_iter()
            .filter(|name| !model.contains_key(*name))
            .map(super::python::repr)
            .collect();
        if !missing.is_empty() {
            return Err(Error::invalid(format!(
                "Model json is missing mandatory fields: {{{}}}",
                missing.join(", ")
            )));
        }
        Ok(Self { run_id: r.run_id.unwrap_or_default(), entry: Value::Object(entry(&model)?) })
    }
}

fn entry(model: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut entry = Map::new();
    for name in ["run_id", "artifact_path"] {
        if let Some(value) = model.get(name).filter(|v| !v.is_null()) {
            entry.insert(name.into(), value.clone());
        }
    }
    let created = match model.get("utc_time_created") {
        Some(Value::String(text)) => text.clone(),
        other => other.map(json_repr).unwrap_or_default(),
    };
    entry.insert("utc_time_created".into(), created.into());
    entry.insert("model_uuid".into(), model.get("model_uuid").cloned().unwrap_or_default());
    entry.insert("flavors".into(), Value::Object(flavors(model.get("flavors"))?));
    Ok(entry)
}

/// Leaves out the configuration of each flavor, which may be long.
fn flavors(flavors: Option<&Value>) -> Result<Map<String, Value>> {
    let flavors = match flavors {
        Some(Value::Object(flavors)) => flavors.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(Error::invalid("The flavors of a model must be a JSON object.")),
    };
    let without_config = |mut flavor: Value| {
        if let Value::Object(fields) = &mut flavor {
            fields.shift_remove("config");
        }
        flavor
    };
    Ok(flavors.into_iter().map(|(name, flavor)| (name, without_config(flavor))).collect())
}

impl RecordedModel {
    /// Returns the list with this model behind the others; `list` is the value of the tag so far.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the tag holds no list; `INVALID_PARAMETER_VALUE` when the list gets longer than a tag and
    /// long values are refused. (They are not cut here: half a list is none.)
    pub fn append_to(&self, list: Option<&str>, long: LongValues) -> Result<String> {
        let mut list: Vec<Value> =
            list.map(serde_json::from_str).transpose().map_err(Error::internal)?.unwrap_or_default();
        list.push(self.entry.clone());
        let list = json_dumps(&Value::Array(list));
        if long == LongValues::Refuse {
            validate::length("value", MAX_TAG_VALUE_LENGTH, &list)?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(json: &str) -> Result<RecordedModel> {
        LogModel { run_id: Some("r".into()), model_json: Some(json.into()) }.try_into()
    }

    /// Values as the stock server stored them.
    #[test]
    fn entries_are_those_of_stock() {
        for (json, want) in [
            (
                r#"{"artifact_path":"m","flavors":{"py":{"b":1,"config":{"x":1},"a":1.5},"l":[1],"n":null},"utc_time_created":"2020","run_id":"r","zz":"é"}"#,
                r#"[{"run_id": "r", "artifact_path": "m", "utc_time_created": "2020", "model_uuid": null, "flavors": {"py": {"b": 1, "a": 1.5}, "l": [1], "n": null}}]"#,
            ),
            (
                r#"{"artifact_path":"m2é","flavors":{"sk":{"v":"1e3","n":1e20}},"utc_time_created":"2020-01-01 00:00:00","run_id":"x","model_uuid":"u","mlflow_version":"3.1"}"#,
                r#"[{"run_id": "x", "artifact_path": "m2\u00e9", "utc_time_created": "2020-01-01 00:00:00", "model_uuid": "u", "flavors": {"sk": {"v": "1e3", "n": 1e+20}}}]"#,
            ),
            (
                r#"{"artifact_path":null,"flavors":null,"utc_time_created":5,"run_id":null}"#,
                r#"[{"utc_time_created": "5", "model_uuid": null, "flavors": {}}]"#,
            ),
        ] {
            assert_eq!(recorded(json).unwrap().append_to(None, LongValues::Truncate).unwrap(), want);
        }
    }

    #[test]
    fn the_list_grows_at_its_end() {
        let model =
            recorded(r#"{"artifact_path":"b","flavors":{},"utc_time_created":"t","run_id":"r"}"#).unwrap();
        let list = model.append_to(Some(r#"[{"artifact_path": "a"}]"#), LongValues::Truncate).unwrap();
        assert!(
            list.starts_with(r#"[{"artifact_path": "a"}, {"run_id": "r", "artifact_path": "b","#),
            "{list}"
        );
        assert!(model.append_to(Some("no list"), LongValues::Truncate).is_err());
        let long = format!("[\"{}\"]", "x".repeat(8000));
        assert!(model.append_to(Some(&long), LongValues::Truncate).is_ok());
        assert!(model.append_to(Some(&long), LongValues::Refuse).is_err());
    }

    #[test]
    fn bad_models_are_refused() {
        for (json, want) in [
            ("x", "Malformed model info. \n x \n is not a valid JSON."),
            ("[1]", "Malformed model info. \n [1] \n is not a valid JSON."),
            (
                r#"{"artifact_path":1,"run_id":1,"utc_time_created":1}"#,
                "Model json is missing mandatory fields: {'flavors'}",
            ),
        ] {
            assert_eq!(recorded(json).unwrap_err().message, want);
        }
    }
}
