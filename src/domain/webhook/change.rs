//! What happened in the registry, and what webhooks are told of it.

use serde_json::{Map, Value, json};

use super::Event;
use crate::domain::ids::Tag;
use crate::domain::registry::{PROMPT_TAG, PROMPT_TEXT_TAG, is_prompt};
use crate::domain::{Result, python};
use crate::proto::WebhookAction::{Created, Deleted, Set};
use crate::proto::{WebhookAction, WebhookEntity};

/// The tag with a prompt's form, which payloads do not repeat.
const PROMPT_TYPE_TAG: &str = "_mlflow_prompt_type";

/// What a registered model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A prompt, which is a registered model with a tag.
    Prompt,
}

impl Kind {
    /// Reads the kind from tags, each key once.
    pub fn of(tags: &[Tag]) -> Self {
        if is_prompt(tags) { Self::Prompt } else { Self::Model }
    }
}

/// Something that happened to a registered model.
#[derive(Debug, Clone)]
pub struct Change {
    /// The model's name.
    pub name: String,
    /// What happened.
    pub what: What,
}

/// What happened to a registered model.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of the protocol")]
pub enum What {
    /// It was registered.
    Created { tags: Vec<Tag>, description: Option<String> },
    /// A version was made.
    VersionCreated {
        version: String,
        source: String,
        run_id: Option<String>,
        tags: Vec<Tag>,
        description: Option<String>,
    },
    /// A tag of its own was set.
    TagSet { key: String, value: String },
    /// A tag of its own was removed.
    TagDeleted { key: String },
    /// A tag of a version was set.
    VersionTagSet { version: String, key: String, value: String },
    /// A tag of a version was removed.
    VersionTagDeleted { version: String, key: String },
    /// An alias was given to a version.
    AliasSet { alias: String, version: String },
    /// An alias was taken away.
    AliasDeleted { alias: String },
}

impl Change {
    /// Says `what` happened to the model of a name.
    pub fn new(name: &str, what: What) -> Self {
        Self { name: name.to_owned(), what }
    }

    /// Returns what the change itself says of the kind; `None` leaves that to the tags that are stored.
    pub fn kind(&self) -> Option<Kind> {
        match &self.what {
            What::Created { tags, .. } | What::VersionCreated { tags, .. } => Some(Kind::of(tags)),
            _ => None,
        }
    }

    /// Returns the event that the change is for a model or a prompt; `None` when nobody is told.
    pub const fn event(&self, kind: Kind) -> Option<Event> {
        use WebhookEntity as E;
        let (of_model, of_prompt, action): (Option<E>, E, WebhookAction) = match self.what {
            What::Created { .. } => (Some(E::RegisteredModel), E::Prompt, Created),
            What::VersionCreated { .. } => (Some(E::ModelVersion), E::PromptVersion, Created),
            // Stock has no event for the tags of a model.
            What::TagSet { .. } => (None, E::PromptTag, Set),
            What::TagDeleted { .. } => (None, E::PromptTag, Deleted),
            What::VersionTagSet { .. } => (Some(E::ModelVersionTag), E::PromptVersionTag, Set),
            What::VersionTagDeleted { .. } => (Some(E::ModelVersionTag), E::PromptVersionTag, Deleted),
            What::AliasSet { .. } => (Some(E::ModelVersionAlias), E::PromptAlias, Created),
            What::AliasDeleted { .. } => (Some(E::ModelVersionAlias), E::PromptAlias, Deleted),
        };
        match (kind, of_model) {
            (Kind::Prompt, _) => Some(Event::of(of_prompt, action)),
            (Kind::Model, Some(entity)) => Some(Event::of(entity, action)),
            (Kind::Model, None) => None,
        }
    }

    /// Returns the `data` of the payload, its keys in stock's order.
    ///
    /// Upstream: `mlflow.webhooks.types` and where `mlflow.server.handlers` fills those in.
    pub fn data(&self, kind: Kind) -> Value {
        let name = &self.name;
        match &self.what {
            What::Created { tags, description } => json!({
                "name": name,
                "tags": object(tags, if kind == Kind::Prompt { &[PROMPT_TAG, PROMPT_TYPE_TAG] } else { &[] }),
                // Stock reads the message's field, which is never null.
                "description": description.as_deref().unwrap_or_default(),
            }),
            What::VersionCreated { version, source, run_id, tags, description } => {
                let description = description.as_deref().filter(|text| !text.is_empty());
                match kind {
                    Kind::Model => json!({
                        "name": name,
                        "version": version,
                        "source": source,
                        "run_id": run_id.as_deref().filter(|id| !id.is_empty()),
                        "tags": object(tags, &[]),
                        "description": description,
                    }),
                    Kind::Prompt => json!({
                        "name": name,
                        "version": version,
                        "template": object(tags, &[]).get(PROMPT_TEXT_TAG),
                        "tags": object(tags, &[PROMPT_TEXT_TAG, PROMPT_TAG, PROMPT_TYPE_TAG]),
                        "description": description,
                    }),
                }
            }
            What::TagSet { key, value } => json!({ "name": name, "key": key, "value": value }),
            What::TagDeleted { key } => json!({ "name": name, "key": key }),
            What::VersionTagSet { version, key, value } => {
                json!({ "name": name, "version": version, "key": key, "value": value })
            }
            What::VersionTagDeleted { version, key } => {
                json!({ "name": name, "version": version, "key": key })
            }
            What::AliasSet { alias, version } => json!({ "name": name, "alias": alias, "version": version }),
            What::AliasDeleted { alias } => json!({ "name": name, "alias": alias }),
        }
    }
}

/// Writes tags as an object without those of `hidden`; of two with one key the last counts.
fn object(tags: &[Tag], hidden: &[&str]) -> Map<String, Value> {
    let shown = tags.iter().filter(|tag| !hidden.contains(&tag.key.as_str()));
    shown.map(|tag| (tag.key.clone(), Value::from(tag.value.as_str()))).collect()
}

/// Returns the bytes that are sent of `event` at `timestamp`, which is a time as ISO 8601 writes it.
///
/// Upstream: `_send_webhook_request`.
pub fn body(event: Event, timestamp: &str, data: &Value) -> String {
    python::json_dumps(&json!({
        "entity": event.entity(),
        "action": event.action(),
        "timestamp": timestamp,
        "data": data,
    }))
}

/// Returns the `data` that a try of `event` sends.
///
/// # Errors
/// Never for one of [`super::EVENTS`]. Upstream: `get_example_payload_for_event`.
pub fn example(event: Event) -> Result<Value> {
    for kind in [Kind::Model, Kind::Prompt] {
        let found = examples(kind).into_iter().find(|change| change.event(kind) == Some(event));
        if let Some(change) = found {
            return Ok(change.data(kind));
        }
    }
    // The one that is no change of the registry.
    Event::new(WebhookEntity::BudgetPolicy, WebhookAction::Exceeded)?;
    Ok(json!({
        "budget_policy_id": "bp-abc123",
        "budget_unit": "USD",
        "budget_amount": 100.0,
        "current_spend": 105.5,
        "duration_unit": "MONTHS",
        "duration_value": 1,
        "target_scope": "ENDPOINT",
        "workspace": "default",
        "target_value": "ep-abc123",
        "window_start": 1_704_067_200_000_i64,
    }))
}

fn examples(kind: Kind) -> Vec<Change> {
    let (name, described, of_version) = match kind {
        Kind::Model => ("example_model", "An example registered model", "An example model version"),
        Kind::Prompt => ("example_prompt", "An example prompt", "An example prompt version"),
    };
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let mut tags = vec![tag("example_key", "example_value")];
    let mut version_tags = tags.clone();
    if kind == Kind::Prompt {
        tags.push(tag(PROMPT_TAG, "true"));
        version_tags.extend([tag(PROMPT_TAG, "true"), tag(PROMPT_TEXT_TAG, "Hello {{name}}!")]);
    }
    let version = || "1".to_owned();
    let key = || "example_key".to_owned();
    let value = || "example_value".to_owned();
    let alias = || "example_alias".to_owned();
    let all = [
        What::Created { tags, description: Some(described.into()) },
        What::VersionCreated {
            version: version(),
            source: "models:/123".into(),
            run_id: Some("abcd1234abcd5678".into()),
            tags: version_tags,
            description: Some(of_version.into()),
        },
        What::TagSet { key: key(), value: value() },
        What::TagDeleted { key: key() },
        What::VersionTagSet { version: version(), key: key(), value: value() },
        What::VersionTagDeleted { version: version(), key: key() },
        What::AliasSet { alias: alias(), version: version() },
        What::AliasDeleted { alias: alias() },
    ];
    all.into_iter().map(|what| Change { name: name.into(), what }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::EVENTS;
    use super::*;

    fn text(change: &Change, kind: Kind) -> String {
        body(change.event(kind).unwrap(), "2026-01-31T12:00:00.000001+00:00", &change.data(kind))
    }

    fn pairs(tags: &[(&str, &str)]) -> Vec<Tag> {
        tags.iter().copied().map(Tag::from).collect()
    }

    #[test]
    fn a_model_is_announced() {
        let tags = pairs(&[("k", "1"), ("k", "ü")]);
        let change = Change { name: "m".into(), what: What::Created { tags, description: None } };
        assert_eq!(change.kind(), Some(Kind::Model));
        assert_eq!(
            text(&change, Kind::Model),
            r#"{"entity": "registered_model", "action": "created", "timestamp": "2026-01-31T12:00:00.000001+00:00", "data": {"name": "m", "tags": {"k": "\u00fc"}, "description": ""}}"#
        );
    }

    #[test]
    fn a_prompt_version_has_its_template_apart() {
        let tags =
            pairs(&[(PROMPT_TAG, "True"), (PROMPT_TEXT_TAG, "Hi"), ("a", "b"), (PROMPT_TYPE_TAG, "text")]);
        let what = What::VersionCreated {
            version: "2".into(),
            source: "s".into(),
            run_id: None,
            tags,
            description: Some(String::new()),
        };
        let change = Change { name: "p".into(), what };
        assert_eq!(change.kind(), Some(Kind::Prompt));
        let want =
            json!({"name": "p", "version": "2", "template": "Hi", "tags": {"a": "b"}, "description": null});
        assert_eq!(change.data(Kind::Prompt), want);
    }

    #[test]
    fn tags_of_models_are_told_to_nobody() {
        let what = What::TagSet { key: "k".into(), value: "v".into() };
        let change = Change { name: "m".into(), what };
        assert_eq!(change.kind(), None);
        assert_eq!(change.event(Kind::Model), None);
        assert_eq!(change.event(Kind::Prompt).unwrap().to_string(), "prompt_tag.set");
    }

    #[test]
    fn every_event_has_an_example() {
        let data: HashMap<String, Value> =
            EVENTS.iter().map(|event| (event.to_string(), example(*event).unwrap())).collect();
        assert_eq!(data.len(), EVENTS.len());
        assert_eq!(
            data["prompt_version.created"],
            json!({"name": "example_prompt", "version": "1", "template": "Hello {{name}}!",
                "tags": {"example_key": "example_value"}, "description": "An example prompt version"})
        );
        assert_eq!(
            data["model_version_alias.deleted"],
            json!({"name": "example_model", "alias": "example_alias"})
        );
        assert_eq!(data["budget_policy.exceeded"]["current_spend"], json!(105.5));
    }
}
