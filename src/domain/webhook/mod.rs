//! Webhooks: which events there are, and what may be said of a webhook. What an event tells is in `change.rs`, where
//! it may be sent in `url.rs` and `address.rs`, how secrets are kept in `fernet.rs`.

pub mod address;
pub mod change;
pub mod fernet;
pub mod url;

use std::fmt;
use std::str::FromStr;

use crate::domain::{Error, Result, python};
use crate::proto::{CreateWebhook, UpdateWebhook, WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus};

/// The longest name of a webhook.
const MAX_NAME_LENGTH: usize = 63;
/// The largest page of a listing.
const MAX_RESULTS: i32 = 1000;
/// The page of a listing when nothing is said.
const DEFAULT_RESULTS: i32 = 100;

/// Every event, in stock's order.
///
/// Upstream: `VALID_ENTITY_ACTIONS`.
pub const EVENTS: [Event; 15] = [
    Event::of(WebhookEntity::RegisteredModel, WebhookAction::Created),
    Event::of(WebhookEntity::ModelVersion, WebhookAction::Created),
    Event::of(WebhookEntity::ModelVersionTag, WebhookAction::Set),
    Event::of(WebhookEntity::ModelVersionTag, WebhookAction::Deleted),
    Event::of(WebhookEntity::ModelVersionAlias, WebhookAction::Created),
    Event::of(WebhookEntity::ModelVersionAlias, WebhookAction::Deleted),
    Event::of(WebhookEntity::Prompt, WebhookAction::Created),
    Event::of(WebhookEntity::PromptVersion, WebhookAction::Created),
    Event::of(WebhookEntity::PromptTag, WebhookAction::Set),
    Event::of(WebhookEntity::PromptTag, WebhookAction::Deleted),
    Event::of(WebhookEntity::PromptVersionTag, WebhookAction::Set),
    Event::of(WebhookEntity::PromptVersionTag, WebhookAction::Deleted),
    Event::of(WebhookEntity::PromptAlias, WebhookAction::Created),
    Event::of(WebhookEntity::PromptAlias, WebhookAction::Deleted),
    // Can be asked for; nothing here sets it off.
    Event::of(WebhookEntity::BudgetPolicy, WebhookAction::Exceeded),
];

/// Something that a webhook can be told of: one of [`EVENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    entity: WebhookEntity,
    action: WebhookAction,
}

impl Event {
    const fn of(entity: WebhookEntity, action: WebhookAction) -> Self {
        Self { entity, action }
    }

    /// Returns the event of `entity` and `action`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` when there is none. Upstream: `WebhookEvent.__init__`. Differs: an entity or an action
    /// that is not given is refused like a wrong one, not with a 500.
    pub fn new(entity: WebhookEntity, action: WebhookAction) -> Result<Self> {
        let event = Self { entity, action };
        if EVENTS.contains(&event) {
            return Ok(event);
        }
        let mut valid: Vec<String> =
            EVENTS.iter().filter(|known| known.entity == entity).map(Self::action).collect();
        valid.sort();
        Err(Error::invalid(format!(
            "Invalid action '{}' for entity '{}'. Valid actions are: {}",
            event.action(),
            event.entity(),
            python::list(&valid)
        )))
    }

    /// Returns the entity as payloads and the database name it.
    pub fn entity(&self) -> String {
        self.entity.as_str_name().to_lowercase()
    }

    /// Returns the action as payloads and the database name it.
    pub fn action(&self) -> String {
        self.action.as_str_name().to_lowercase()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entity(), self.action())
    }
}

impl FromStr for Event {
    type Err = Error;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self> {
        EVENTS
            .into_iter()
            .find(|event| event.to_string() == text)
            .ok_or_else(|| Error::invalid(format!("Unknown webhook event: {text}")))
    }
}

impl TryFrom<&WebhookEvent> for Event {
    type Error = Error;

    fn try_from(event: &WebhookEvent) -> Result<Self> {
        Self::new(event.entity(), event.action())
    }
}

impl From<Event> for WebhookEvent {
    fn from(event: Event) -> Self {
        Self { entity: Some(event.entity.into()), action: Some(event.action.into()) }
    }
}

/// A webhook to be made. Its URL is yet to be checked.
#[derive(Debug)]
pub struct NewWebhook {
    /// What people call it; not unique.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where it is.
    pub url: String,
    /// What it is told of. Empty until [`NewWebhook::require_events`] was asked.
    pub events: Vec<Event>,
    /// What its deliveries are signed with.
    pub secret: Option<String>,
    /// Whether it is told.
    pub status: WebhookStatus,
}

impl TryFrom<CreateWebhook> for NewWebhook {
    type Error = Error;

    /// Upstream: `_create_webhook`.
    fn try_from(r: CreateWebhook) -> Result<Self> {
        let events = r.events.iter().map(Event::try_from).collect::<Result<_>>()?;
        let status = r.status();
        let name = r.name.unwrap_or_default();
        check_name(&name)?;
        Ok(Self {
            name,
            description: r.description.filter(|text| !text.is_empty()),
            url: r.url.unwrap_or_default(),
            events,
            secret: r.secret.filter(|text| !text.is_empty()),
            status,
        })
    }
}

impl NewWebhook {
    /// Refuses a webhook that is told of nothing, as stock does after it looked at the URL.
    pub fn require_events(&self) -> Result<()> {
        if self.events.is_empty() {
            return Err(Error::invalid(
                "Webhook events must be a non-empty list of WebhookEvent objects: [].",
            ));
        }
        Ok(())
    }
}

/// What is to change of a webhook. Its URL is yet to be checked.
#[derive(Debug)]
pub struct WebhookUpdate {
    /// The new name.
    pub name: Option<String>,
    /// The new description; an empty one takes it away.
    pub description: Option<String>,
    /// The new URL.
    pub url: Option<String>,
    /// The new events, instead of all old ones.
    pub events: Option<Vec<Event>>,
    /// The new secret; an empty one ends the signing.
    pub secret: Option<String>,
    /// The new status.
    pub status: Option<WebhookStatus>,
}

impl TryFrom<UpdateWebhook> for WebhookUpdate {
    type Error = Error;

    /// Upstream: `_update_webhook`.
    fn try_from(r: UpdateWebhook) -> Result<Self> {
        let events: Vec<Event> = r.events.iter().map(Event::try_from).collect::<Result<_>>()?;
        let status = r.status.map(|_given| r.status());
        let name = r.name.filter(|text| !text.is_empty());
        Ok(Self {
            name,
            description: r.description,
            url: r.url.filter(|text| !text.is_empty()),
            events: (!events.is_empty()).then_some(events),
            secret: r.secret,
            status,
        })
    }
}

impl WebhookUpdate {
    /// Checks the new name, as stock does after it found the webhook.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn check_name(&self) -> Result<()> {
        self.name.as_deref().map_or(Ok(()), check_name)
    }
}

/// Checks the size of a page of webhooks; none given, or 0, is the default.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore.list_webhooks`.
pub fn page_size(max_results: Option<i32>) -> Result<i64> {
    match max_results.unwrap_or(0) {
        0 => Ok(DEFAULT_RESULTS.into()),
        size @ 1..=MAX_RESULTS => Ok(size.into()),
        _ => Err(Error::invalid(format!("max_results must be between 1 and {MAX_RESULTS}."))),
    }
}

/// Upstream: `_validate_webhook_name`. Its pattern is not for ASCII only, but letters without case that equal one of
/// its letters in another case (K, ſ) are the only others it lets through; here they are refused.
fn check_name(name: &str) -> Result<()> {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = name.len() <= MAX_NAME_LENGTH && name.chars().all(is_inner);
    if fits && is_end(name.chars().next()) && is_end(name.chars().next_back()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Webhook name {} is invalid. It must start and end with a letter or digit, be less than 63 characters long, \
         and contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
        python::repr(name)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, is_good) in [
            ("a", true),
            ("A-b_c.9", true),
            (&"x".repeat(63), true),
            (&"x".repeat(64), false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
            ("", false),
            ("é", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_good, "{name}");
        }
    }

    #[test]
    fn events_are_written_and_read() {
        for event in EVENTS {
            assert_eq!(event.to_string().parse::<Event>().unwrap(), event);
            assert_eq!(Event::try_from(&WebhookEvent::from(event)).unwrap(), event);
        }
        assert_eq!(EVENTS[2].to_string(), "model_version_tag.set");
        assert!("prompt.deleted".parse::<Event>().is_err());
    }

    #[test]
    fn refuses_what_does_not_happen() {
        let error = Event::new(WebhookEntity::PromptTag, WebhookAction::Created).unwrap_err();
        assert_eq!(
            error.message,
            "Invalid action 'created' for entity 'prompt_tag'. Valid actions are: ['deleted', 'set']"
        );
        let error = Event::try_from(&WebhookEvent::default()).unwrap_err();
        assert_eq!(
            error.message,
            "Invalid action 'action_unspecified' for entity 'entity_unspecified'. Valid actions are: []"
        );
    }

    #[test]
    fn pages() {
        for (given, want) in [
            (None, Some(100)),
            (Some(0), Some(100)),
            (Some(1000), Some(1000)),
            (Some(1001), None),
            (Some(-1), None),
        ] {
            assert_eq!(page_size(given).ok(), want, "{given:?}");
        }
    }
}
