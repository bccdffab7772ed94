//! Experiments: what a new one, a new name and a tag must look like.

use serde_json::Value;

use super::ids::ExperimentId;
use super::validate::Limits;
use super::{Error, Result, artifact_uri, validate};
use crate::proto::outline::is_readable;
use crate::proto::{CreateExperiment, ExperimentTag};

/// Name of the experiment with id 0, which always exists.
pub const DEFAULT_EXPERIMENT_NAME: &str = "Default";
/// The one workspace of a server without workspaces.
pub const DEFAULT_WORKSPACE: &str = "default";

const CUSTOM_VIEW_PREFIX: &str = "mlflow.customView.view";
const MAX_CUSTOM_VIEWS: usize = 50;

/// A validated request for an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExperiment {
    /// Its name; unique also among deleted ones.
    pub name: String,
    /// Where artifacts go; `None` is below the server's default root.
    pub artifact_location: Option<String>,
    /// Tags with distinct keys.
    pub tags: Vec<ExperimentTag>,
}

impl NewExperiment {
    /// Validates a request. Upstream: `_create_experiment`, `SqlAlchemyStore.create_experiment`.
    pub fn new(r: CreateExperiment, limits: &Limits) -> Result<Self> {
        if r.tags.iter().filter(|t| is_custom_view(t.key())).count() > MAX_CUSTOM_VIEWS {
            return Err(too_many_views(None));
        }
        let asked = r.artifact_location.filter(|l| !l.is_empty());
        if let Some(uri) = &asked {
            artifact_uri::validate_location(uri, "artifact_location", limits.location_length)?;
        }
        let name = r.name.unwrap_or_default();
        validate_name(&name)?;
        let artifact_location =
            asked.map(|uri| artifact_uri::absolute_if_local(&uri, &limits.working_directory)).transpose()?;
        if let Some(uri) = &artifact_location {
            artifact_uri::validate_location_length(uri, limits.location_length)?;
        }
        for tag in &r.tags {
            validate_tag(tag.key(), tag.value())?;
        }
        Ok(Self { name, artifact_location, tags: r.tags })
    }
}

/// Checks a name. Upstream: `_validate_experiment_name`.
pub fn validate_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Invalid experiment name: ''"));
    }
    validate::length("name", validate::MAX_EXPERIMENT_NAME_LENGTH, name)
}

/// Checks a tag. Upstream: `_validate_experiment_tag`.
pub fn validate_tag(key: &str, value: &str) -> Result<()> {
    validate::key(key, "key")?;
    validate::length("key", validate::MAX_KEY_LENGTH, key)?;
    validate::length("value", validate::MAX_EXPERIMENT_TAG_VALUE_LENGTH, value)?;
    match key {
        "mlflow.trace.archivalRetention" => validate_archival(value, "value", Some("duration"), true),
        "mlflow.trace.archiveNow" => validate_archival(value, "older_than", None, false),
        _ => Ok(()),
    }
}

/// Checks that one more custom view fits, where `key` would add one to those among `existing`.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` at 50 views. Upstream: `_validate_custom_view_tag_write`.
pub fn validate_custom_view(id: &ExperimentId, existing: &[ExperimentTag], key: &str) -> Result<()> {
    let adds_one = is_custom_view(key) && existing.iter().all(|t| t.key() != key);
    if adds_one && existing.iter().filter(|t| is_custom_view(t.key())).count() >= MAX_CUSTOM_VIEWS {
        return Err(too_many_views(Some(id)));
    }
    Ok(())
}

/// Says whether a tag holds a saved view of the UI.
pub fn is_custom_view(key: &str) -> bool {
    key.starts_with(CUSTOM_VIEW_PREFIX)
}

fn too_many_views(id: Option<&ExperimentId>) -> Error {
    let of = id.map(|id| format!(" for experiment {id}")).unwrap_or_default();
    Error::invalid(format!(
        "Unable to create another custom view{of}; the maximum number of custom views per experiment is \
         {MAX_CUSTOM_VIEWS}. Delete an existing custom view before creating a new one."
    ))
}

/// Upstream: `_parse_trace_archival_duration_config`.
fn validate_archival(text: &str, field: &str, kind: Option<&str>, is_required: bool) -> Result<()> {
    let text = Some(text).filter(|text| is_readable(text));
    let json: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if !json.is_object() {
        return Err(Error::invalid("Trace archival config must be encoded as a JSON object."));
    }
    if let Some(kind) = kind
        && json.get("type").and_then(Value::as_str) != Some(kind)
    {
        return Err(Error::invalid(format!("Trace archival config must use type '{kind}'.")));
    }
    let value = json.get(field).filter(|v| !v.is_null());
    if value.is_none() && !is_required {
        return Ok(());
    }
    let text = value.and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if text.chars().count() > 32 {
        return Err(Error::invalid("Trace archival duration must be at most 32 characters."));
    }
    if is_duration(text) {
        return Ok(());
    }
    Err(Error::invalid(
        "Trace archival retention must be in the form `<int><unit>`, where unit is one of 'm', 'h', or 'd'.",
    ))
}

fn is_duration(text: &str) -> bool {
    let number = text.strip_suffix(['m', 'h', 'd']).unwrap_or_default();
    !number.starts_with('0') && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archival_tags_have_their_form() {
        for (key, value, is_valid) in [
            ("mlflow.trace.archivalRetention", r#"{"type":"duration","value":"30d"}"#, true),
            ("mlflow.trace.archivalRetention", r#"{"type":"duration","value":"030d"}"#, false),
            ("mlflow.trace.archivalRetention", r#"{"type":"duration"}"#, false),
            ("mlflow.trace.archivalRetention", r#"{"value":"30d"}"#, false),
            ("mlflow.trace.archivalRetention", "30d", false),
            ("mlflow.trace.archiveNow", "{}", true),
            ("mlflow.trace.archiveNow", r#"{"older_than":"12h"}"#, true),
            ("mlflow.trace.archiveNow", r#"{"older_than":"12y"}"#, false),
        ] {
            assert_eq!(validate_tag(key, value).is_ok(), is_valid, "{key} {value}");
        }
    }
}
