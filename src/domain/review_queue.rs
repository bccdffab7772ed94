//! Review queues: names, people, questions and items as they are stored.

use std::collections::HashSet;

use super::python::repr;
use super::{Error, Result};
use crate::proto::review_queue::Type;
use crate::proto::review_queue_item::Status;
use crate::proto::{CreateReviewQueue, SetReviewQueueItemStatus, UpdateReviewQueue};

/// Most characters of a name.
const MAX_NAME: usize = 250;
/// Most characters of the name of a person.
const MAX_USER: usize = 250;
/// Most characters of the id of a label schema.
const MAX_SCHEMA_ID: usize = 36;
/// Most characters of the id of an item.
const MAX_ITEM_ID: usize = 50;
/// Most people of a queue.
const MAX_USERS: usize = 10;
/// What the queue of nobody in particular is called.
const RESERVED_NAME: &str = "default";

/// A queue to be stored, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReviewQueue {
    /// Unique in its experiment whatever the case of its letters: see [`name_key`].
    pub name: String,
    /// Whose queue it is.
    pub queue_type: Type,
    /// Who made it.
    pub created_by: Option<String>,
    /// Who looks; nobody twice.
    pub users: Vec<String>,
    /// What is asked; no label schema twice. None for the queue of a person, who is asked everything.
    pub schema_ids: Vec<String>,
}

impl NewReviewQueue {
    /// Returns the queue of a person, which is called like the person.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn of_user(user: &str) -> Result<Self> {
        let name = normalize_user(user);
        non_empty(&name, "name", MAX_NAME)?;
        let (users, created_by) = (vec![name.clone()], Some(name.clone()));
        Ok(Self { name, queue_type: Type::User, created_by, users, schema_ids: Vec::new() })
    }
}

impl TryFrom<CreateReviewQueue> for NewReviewQueue {
    type Error = Error;

    /// Upstream: `_create_review_queue`, `validate_queue_for_create`. Who makes a queue is known only where people log
    /// in.
    fn try_from(r: CreateReviewQueue) -> Result<Self> {
        let queue_type = match r.queue_type() {
            Type::ReviewQueueTypeUnspecified => {
                return Err(Error::invalid(
                    "`queue_type` must be one of USER or CUSTOM; got proto enum value 0.",
                ));
            }
            known => known,
        };
        let (users, schema_ids) = (normalize_users(&r.users)?, normalize_schema_ids(&r.schema_ids)?);
        if queue_type == Type::Custom {
            let name = custom_name(r.name())?;
            return Ok(Self { name, queue_type, created_by: None, users, schema_ids });
        }
        let own = Self::of_user(r.name())?;
        if !users.is_empty() && users != own.users {
            return Err(Error::invalid(format!(
                "A user queue must have exactly one assigned user equal to its name; got name={} and users={}.",
                repr(&own.name),
                super::python::list(&users)
            )));
        }
        if !schema_ids.is_empty() {
            return Err(Error::invalid(
                "A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label \
                 schemas.",
            ));
        }
        Ok(Self { created_by: None, ..own })
    }
}

/// What is changed of a queue; `None` is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewQueueUpdate {
    users: Option<Vec<String>>,
    schema_ids: Option<Vec<String>>,
    name: Option<String>,
    new_owner: Option<String>,
}

/// What is changed of a queue, checked; `None` is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReviewQueueChanges {
    /// Who owns it.
    pub owner: Option<String>,
    /// What it is called.
    pub name: Option<String>,
    /// Who looks.
    pub users: Option<Vec<String>>,
}

impl From<UpdateReviewQueue> for ReviewQueueUpdate {
    fn from(r: UpdateReviewQueue) -> Self {
        let users = r.update_users().then(|| r.users.clone());
        let schema_ids = r.update_schema_ids().then(|| r.schema_ids.clone());
        Self { users, schema_ids, name: r.name, new_owner: r.new_owner }
    }
}

impl ReviewQueueUpdate {
    /// Says whether nothing is to be changed.
    pub const fn is_empty(&self) -> bool {
        self.users.is_none() && self.schema_ids.is_none() && self.name.is_none() && self.new_owner.is_none()
    }

    /// Returns what is changed but the questions, checked.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore.update_review_queue`.
    pub fn changes(&self) -> Result<ReviewQueueChanges> {
        let owner = |owner: &String| {
            let owner = owner.trim();
            non_empty(owner, "new_owner", MAX_USER).map(|()| owner.to_owned())
        };
        Ok(ReviewQueueChanges {
            owner: self.new_owner.as_ref().map(owner).transpose()?,
            name: self.name.as_deref().map(custom_name).transpose()?,
            users: self.users.as_deref().map(normalize_users).transpose()?,
        })
    }

    /// Says whether the questions are changed.
    pub const fn changes_schemas(&self) -> bool {
        self.schema_ids.is_some()
    }

    /// Returns the new questions, checked.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn schema_ids(&self) -> Result<Vec<String>> {
        normalize_schema_ids(self.schema_ids.as_deref().unwrap_or_default())
    }
}

/// A new status of an item, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStatus {
    /// The item.
    pub item_id: String,
    /// Its status from now on.
    pub status: Status,
    /// Who looked; nobody where the item waits again.
    pub completed_by: Option<String>,
}

impl TryFrom<SetReviewQueueItemStatus> for NewStatus {
    type Error = Error;

    /// Upstream: `SqlAlchemyStore.set_review_queue_item_status`.
    fn try_from(r: SetReviewQueueItemStatus) -> Result<Self> {
        let status = r.status();
        let (item_id, completed_by) = (r.item_id().trim().to_owned(), r.completed_by.as_deref());
        let completed_by = completed_by.map(normalize_user);
        match (status, completed_by.as_deref()) {
            (Status::ReviewStatusUnspecified, _) => {
                return Err(Error::invalid(
                    "`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0.",
                ));
            }
            (Status::Pending, Some(_)) => {
                return Err(Error::invalid(
                    "`completed_by` must not be set when reopening an item to `pending`.",
                ));
            }
            (Status::Complete | Status::Declined, None | Some("")) => {
                let status = status_text(status);
                return Err(Error::invalid(format!(
                    "`completed_by` is required when setting status to `{status}`."
                )));
            }
            _ => {}
        }
        let length = completed_by.as_deref().map_or(0, |user| user.chars().count());
        if length > MAX_USER {
            return Err(Error::invalid(format!(
                "`completed_by` must be at most {MAX_USER} characters; got {length}."
            )));
        }
        Ok(Self { item_id, status, completed_by })
    }
}

/// Returns the text under which a status is stored.
pub const fn status_text(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Declined => "declined",
        Status::Pending | Status::ReviewStatusUnspecified => "pending",
    }
}

/// Reads what [`status_text`] wrote.
pub fn parse_status(text: &str) -> Status {
    match text {
        "complete" => Status::Complete,
        "declined" => Status::Declined,
        _ => Status::Pending,
    }
}

/// Returns what tells names of queues apart.
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// Returns the name of a person as it is stored.
pub fn normalize_user(user: &str) -> String {
    user.trim().to_lowercase()
}

fn non_empty(value: &str, field: &str, limit: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(format!("`{field}` must be a non-empty string; got ''.")));
    }
    let length = value.chars().count();
    if length > limit {
        return Err(Error::invalid(format!("`{field}` must be at most {limit} characters; got {length}.")));
    }
    Ok(())
}

fn custom_name(name: &str) -> Result<String> {
    let name = name.trim();
    non_empty(name, "name", MAX_NAME)?;
    if name_key(name) == RESERVED_NAME {
        return Err(Error::invalid(format!(
            "`{name}` is a reserved queue name and cannot be used for a custom queue."
        )));
    }
    Ok(name.to_owned())
}

fn normalize_users(users: &[String]) -> Result<Vec<String>> {
    let mut normal = Vec::with_capacity(users.len());
    for user in users {
        let user = normalize_user(user);
        non_empty(&user, "user", MAX_USER)?;
        normal.push(user);
    }
    let normal = distinct(normal);
    if normal.len() > MAX_USERS {
        return Err(Error::invalid(format!(
            "A review queue can have at most {MAX_USERS} assigned users; got {}.",
            normal.len()
        )));
    }
    Ok(normal)
}

fn normalize_schema_ids(ids: &[String]) -> Result<Vec<String>> {
    normalize_ids(ids, "schema_id", MAX_SCHEMA_ID)
}

/// Checks the ids of items that are put into a queue or taken out, and leaves out what is there twice.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `validate_item_ids_for_attach`.
pub fn normalize_item_ids(ids: &[String]) -> Result<Vec<String>> {
    if ids.is_empty() {
        return Err(Error::invalid("`item_ids` must be a non-empty list; got []."));
    }
    normalize_ids(ids, "item_id", MAX_ITEM_ID)
}

fn normalize_ids(ids: &[String], field: &str, limit: usize) -> Result<Vec<String>> {
    let mut normal = Vec::with_capacity(ids.len());
    for id in ids {
        let id = id.trim();
        non_empty(id, field, limit)?;
        normal.push(id.to_owned());
    }
    Ok(distinct(normal))
}

fn distinct(mut values: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::with_capacity(values.len());
    values.retain(|value| seen.insert(value.clone()));
    values
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn new(request: Value) -> Result<NewReviewQueue> {
        serde_json::from_value::<CreateReviewQueue>(request).unwrap().try_into()
    }

    #[test]
    fn queues_are_stored_in_their_normal_form() {
        let custom = new(
            json!({ "name": " Mine ", "queue_type": "CUSTOM", "users": [" Ann ", "bob", "ANN"], "schema_ids": ["a ", "a"] }),
        );
        let custom = custom.unwrap();
        assert_eq!((custom.name.as_str(), custom.users.join(" ")), ("Mine", "ann bob".into()));
        assert_eq!(custom.schema_ids, ["a"]);
        let own = new(json!({ "name": " Ann ", "queue_type": "USER" })).unwrap();
        assert_eq!((own.name.as_str(), own.users.join(" ")), ("ann", "ann".into()));
        assert_eq!(NewReviewQueue::of_user("Ann").unwrap().created_by.as_deref(), Some("ann"));
    }

    #[test]
    fn bad_queues_are_refused_in_the_words_of_stock() {
        let many: Vec<_> = (0..11).map(|i| format!("u{i}")).collect();
        for (request, want) in [
            (json!({ "name": "q" }), "`queue_type` must be one of USER or CUSTOM; got proto enum value 0."),
            (json!({ "name": " ", "queue_type": "CUSTOM" }), "`name` must be a non-empty string; got ''."),
            (json!({ "name": " ", "queue_type": "USER" }), "`name` must be a non-empty string; got ''."),
            (json!({ "name": "Default", "queue_type": "CUSTOM" }), "`Default` is a reserved queue name"),
            (
                json!({ "name": "x".repeat(251), "queue_type": "CUSTOM" }),
                "`name` must be at most 250 characters; got 251.",
            ),
            (
                json!({ "name": "q", "queue_type": "CUSTOM", "users": [""] }),
                "`user` must be a non-empty string; got ''.",
            ),
            (
                json!({ "name": "q", "queue_type": "CUSTOM", "users": many }),
                "A review queue can have at most 10 assigned users; got 11.",
            ),
            (
                json!({ "name": "q", "queue_type": "CUSTOM", "schema_ids": ["x".repeat(37)] }),
                "`schema_id` must be at most 36 characters; got 37.",
            ),
            (
                json!({ "name": "Ann", "queue_type": "USER", "users": ["bob"] }),
                "A user queue must have exactly one assigned user equal to its name; got name='ann' and users=['bob'].",
            ),
            (
                json!({ "name": "ann", "queue_type": "USER", "schema_ids": ["a"] }),
                "A user queue cannot have explicitly-attached schemas",
            ),
        ] {
            let message = new(request.clone()).unwrap_err().message;
            assert!(message.starts_with(want), "{request}: {message}");
        }
        assert!(normalize_item_ids(&[]).is_err());
        assert_eq!(normalize_item_ids(&["a ".into(), "a".into()]).unwrap(), ["a"]);
    }

    #[test]
    fn a_status_says_who_looked() {
        let set = |request: Value| {
            NewStatus::try_from(serde_json::from_value::<SetReviewQueueItemStatus>(request).unwrap())
        };
        let done = set(json!({ "item_id": " a ", "status": "COMPLETE", "completed_by": " Ann " })).unwrap();
        assert_eq!((done.item_id.as_str(), done.completed_by.as_deref()), ("a", Some("ann")));
        for (request, want) in [
            (
                json!({ "item_id": "a" }),
                "`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0.",
            ),
            (
                json!({ "item_id": "a", "status": "DECLINED" }),
                "`completed_by` is required when setting status to `declined`.",
            ),
            (
                json!({ "item_id": "a", "status": "PENDING", "completed_by": "x" }),
                "`completed_by` must not be set when reopening an item to `pending`.",
            ),
            (
                json!({ "item_id": "a", "status": "COMPLETE", "completed_by": "x".repeat(251) }),
                "`completed_by` must be at most 250 characters; got 251.",
            ),
        ] {
            assert_eq!(set(request).unwrap_err().message, want);
        }
    }
}
