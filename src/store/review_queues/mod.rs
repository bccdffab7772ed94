//! Review queues with their people and questions. Their items are in `items.rs`.
//!
//! What changes a queue takes the lock of its row first: its questions stay as they are while items are put into it.

mod items;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use uuid::Uuid;

use super::conn::Conn;
use super::error::is_unique_violation;
use super::experiments::active_experiment_id;
use super::schema::{
    label_schemas, review_queue_items, review_queue_label_schemas, review_queue_users, review_queues,
};
use super::statement::{Bind, statement};
use super::{Store, each};
use crate::domain::ids::{ExperimentId, ReviewQueueId};
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::review_queue::{
    NewReviewQueue, ReviewQueueChanges, ReviewQueueUpdate, name_key, normalize_user,
};
use crate::domain::time::now_ms;
use crate::domain::{Error, Result, python};
use crate::proto::review_queue::Type;
use crate::proto::{ListReviewQueues, ReviewQueue, list_review_queues};

/// How many queues, or items, a page has where nothing is asked.
const DEFAULT_PAGE: i32 = 1000;
/// Rows that go into one statement: few enough for the binds of either database.
const ROWS_PER_STATEMENT: usize = 1000;
const USER: &str = "user";
const CUSTOM: &str = "custom";

impl Store {
    /// Stores a queue without items. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an experiment that is unknown or deleted, `INVALID_PARAMETER_VALUE` for an unknown
    /// question, `RESOURCE_ALREADY_EXISTS` for a name in use. Upstream: `SqlAlchemyStore.create_review_queue`.
    pub async fn create_review_queue(
        &self,
        experiment_id: ExperimentId,
        new: NewReviewQueue,
    ) -> Result<ReviewQueue> {
        self.write(move |conn| {
            let number = active_experiment_id(conn, &experiment_id)?;
            require_schemas(conn, number, &new.schema_ids)?;
            insert(conn, number, &new)?.ok_or_else(|| name_taken(&new.name))
        })
        .await
    }

    /// Returns the queue of a person, which is made if it is not there. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an experiment that is unknown or deleted, `RESOURCE_ALREADY_EXISTS` where another
    /// queue has the name. Upstream: `SqlAlchemyStore.get_or_create_user_queue`.
    pub async fn get_or_create_user_queue(
        &self,
        experiment_id: ExperimentId,
        new: NewReviewQueue,
    ) -> Result<ReviewQueue> {
        self.write(move |conn| {
            let number = active_experiment_id(conn, &experiment_id)?;
            if let Some(made) = insert(conn, number, &new)? {
                return Ok(made);
            }
            let name = &new.name;
            let row = find_by_name(conn, number, name)?.filter(|row| row.queue_type == USER);
            let taken = || {
                Error::already_exists(format!(
                    "A non-user queue named '{name}' already exists; cannot get-or-create a user queue with that name."
                ))
            };
            single(conn, row.ok_or_else(taken)?)
        })
        .await
    }

    /// Returns a queue.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn get_review_queue(&self, id: ReviewQueueId) -> Result<ReviewQueue> {
        self.read(move |conn| {
            let row = get_row(conn, &id)?;
            single(conn, row)
        })
        .await
    }

    /// Returns the queue of a name, whatever the case of its letters.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, also for an experiment that is unknown or deleted.
    pub async fn get_review_queue_by_name(
        &self,
        experiment_id: ExperimentId,
        name: String,
    ) -> Result<ReviewQueue> {
        self.read(move |conn| {
            let number = active_experiment_id(conn, &experiment_id)?;
            let missing = || {
                Error::not_found(format!(
                    "Review queue with name '{name}' not found for experiment '{experiment_id}'."
                ))
            };
            let row = find_by_name(conn, number, &name)?.ok_or_else(missing)?;
            single(conn, row)
        })
        .await
    }

    /// Returns a page of the queues of an experiment, the newest first, and the token of the next page if there is one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an experiment that is unknown or deleted; `INVALID_PARAMETER_VALUE` for a bad
    /// token. Upstream: `SqlAlchemyStore.list_review_queues`.
    pub async fn list_review_queues(&self, r: ListReviewQueues) -> Result<list_review_queues::Response> {
        let offset = parse_offset_token(r.page_token.as_deref())?;
        self.read(move |conn| list_in(conn, &r, offset)).await
    }

    /// Changes a queue that is nobody's own. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`, also for the questions of a queue with items;
    /// `RESOURCE_ALREADY_EXISTS` for a name in use. Upstream: `SqlAlchemyStore.update_review_queue`.
    pub async fn update_review_queue(
        &self,
        id: ReviewQueueId,
        update: ReviewQueueUpdate,
    ) -> Result<ReviewQueue> {
        self.write(move |conn| {
            let mut row = lock(conn, &id)?;
            if row.queue_type == USER {
                return Err(Error::invalid(
                    "A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.",
                ));
            }
            if !update.is_empty() {
                apply(conn, &mut row, &update.changes()?)?;
                if update.changes_schemas() {
                    replace_schemas(conn, &row, &update)?;
                }
            }
            single(conn, row)
        })
        .await
    }

    /// Deletes a queue with its items; that there is none is no error. One transaction.
    pub async fn delete_review_queue(&self, id: ReviewQueueId) -> Result<()> {
        self.write(move |conn| {
            macro_rules! delete_from {
                ($($table:ident)+) => {
                    $(each!(conn, c => diesel::delete($table::table)
                        .filter($table::queue_id.eq(id.as_str()))
                        .execute(c))?;)+
                };
            }
            if find(conn, &id, Lock::Taken)?.is_some() {
                delete_from!(review_queue_users review_queue_items review_queue_label_schemas review_queues);
            }
            Ok(())
        })
        .await
    }
}

/// A row of `review_queues`.
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = review_queues, treat_none_as_default_value = false)]
struct QueueRow {
    queue_id: String,
    experiment_id: i32,
    name: String,
    queue_type: String,
    created_by: Option<String>,
    creation_time_ms: i64,
    last_update_time_ms: i64,
    name_key: String,
}

/// The SQL type of a [`QueueRow`].
type QueueColumns = (Text, Integer, Text, Text, Nullable<Text>, BigInt, BigInt, Text);

/// Whether a row's lock is taken up to the end of the transaction. SQLite has one writer anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Left,
    Taken,
}

fn name_taken(name: &str) -> Error {
    Error::already_exists(format!(
        "Review queue with name '{name}' already exists (names are case-insensitive)."
    ))
}

fn find(conn: &mut Conn, id: &str, lock: Lock) -> Result<Option<QueueRow>> {
    const PLAIN: &str = "SELECT queue_id, experiment_id, name, queue_type, created_by, creation_time_ms, \
                         last_update_time_ms, name_key FROM review_queues WHERE queue_id = ?";
    const LOCKED: &str = "SELECT queue_id, experiment_id, name, queue_type, created_by, creation_time_ms, \
                          last_update_time_ms, name_key FROM review_queues WHERE queue_id = ? FOR NO KEY UPDATE";
    let text = if lock == Lock::Taken { conn.dialect().pick(LOCKED, PLAIN) } else { PLAIN };
    let rows: Vec<QueueRow> = each!(conn, c => statement::<QueueColumns>(text, &[Bind::Text(id)]).load(c))?;
    Ok(rows.into_iter().next())
}

fn not_found(id: &str) -> Error {
    Error::not_found(format!("Review queue with id '{id}' not found."))
}

fn get_row(conn: &mut Conn, id: &str) -> Result<QueueRow> {
    find(conn, id, Lock::Left)?.ok_or_else(|| not_found(id))
}

fn lock(conn: &mut Conn, id: &str) -> Result<QueueRow> {
    find(conn, id, Lock::Taken)?.ok_or_else(|| not_found(id))
}

fn find_by_name(conn: &mut Conn, experiment_id: i32, name: &str) -> Result<Option<QueueRow>> {
    Ok(each!(conn, c => review_queues::table
        .filter(review_queues::experiment_id.eq(experiment_id))
        .filter(review_queues::name_key.eq(name_key(name)))
        .select(QueueRow::as_select())
        .first(c)
        .optional())?)
}

/// Checks that label schemas are there, in the experiment.
fn require_schemas(conn: &mut Conn, experiment_id: i32, ids: &[String]) -> Result<()> {
    let mut known: Vec<String> = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        let found: Vec<String> = each!(conn, c => label_schemas::table
            .filter(label_schemas::experiment_id.eq(experiment_id))
            .filter(label_schemas::schema_id.eq_any(chunk))
            .select(label_schemas::schema_id)
            .load(c))?;
        known.extend(found);
    }
    let missing: Vec<&String> = ids.iter().filter(|id| !known.contains(id)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Label schema id(s) {} not found for experiment '{experiment_id}'.",
        python::list(&missing)
    )))
}

/// Adds a queue unless its name is in use.
fn insert(conn: &mut Conn, experiment_id: i32, new: &NewReviewQueue) -> Result<Option<ReviewQueue>> {
    let now = now_ms();
    let row = QueueRow {
        queue_id: format!("rq-{}", Uuid::new_v4().simple()),
        experiment_id,
        name: new.name.clone(),
        queue_type: if new.queue_type == Type::User { USER } else { CUSTOM }.into(),
        created_by: new.created_by.clone(),
        creation_time_ms: now,
        last_update_time_ms: now,
        name_key: name_key(&new.name),
    };
    let added = each!(conn, c => diesel::insert_into(review_queues::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(c))?;
    if added == 0 {
        return Ok(None);
    }
    insert_users(conn, &row.queue_id, &new.users)?;
    insert_schemas(conn, &row.queue_id, &new.schema_ids)?;
    single(conn, row).map(Some)
}

fn insert_users(conn: &mut Conn, id: &str, users: &[String]) -> Result<()> {
    let rows: Vec<_> = users
        .iter()
        .map(|user| (review_queue_users::queue_id.eq(id), review_queue_users::user_id.eq(user)))
        .collect();
    each!(conn, c => diesel::insert_into(review_queue_users::table).values(&rows).execute(c))?;
    Ok(())
}

fn insert_schemas(conn: &mut Conn, id: &str, schema_ids: &[String]) -> Result<()> {
    use review_queue_label_schemas::{queue_id, schema_id, table};
    for chunk in schema_ids.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<_> = chunk.iter().map(|schema| (queue_id.eq(id), schema_id.eq(schema))).collect();
        each!(conn, c => diesel::insert_into(table).values(&rows).execute(c))?;
    }
    Ok(())
}

fn apply(conn: &mut Conn, row: &mut QueueRow, changes: &ReviewQueueChanges) -> Result<()> {
    if let Some(owner) = &changes.owner {
        row.created_by = Some(owner.clone());
    }
    if let Some(name) = &changes.name {
        row.name.clone_from(name);
        row.name_key = name_key(name);
    }
    row.last_update_time_ms = now_ms();
    let new = (
        review_queues::name.eq(&row.name),
        review_queues::name_key.eq(&row.name_key),
        review_queues::created_by.eq(&row.created_by),
        review_queues::last_update_time_ms.eq(row.last_update_time_ms),
    );
    let queue = review_queues::table.find(&row.queue_id);
    each!(conn, c => diesel::update(queue).set(new).execute(c))
        .map_err(|e| if is_unique_violation(&e) { name_taken(&row.name).with_source(e) } else { e.into() })?;
    if let Some(users) = &changes.users {
        let old = review_queue_users::queue_id.eq(&row.queue_id);
        each!(conn, c => diesel::delete(review_queue_users::table).filter(old).execute(c))?;
        insert_users(conn, &row.queue_id, users)?;
    }
    Ok(())
}

fn replace_schemas(conn: &mut Conn, row: &QueueRow, update: &ReviewQueueUpdate) -> Result<()> {
    let items: i64 = each!(conn, c => review_queue_items::table
        .filter(review_queue_items::queue_id.eq(&row.queue_id))
        .count()
        .get_result(c))?;
    if items > 0 {
        return Err(Error::invalid(
            "A review queue's questions are locked once items are assigned to it. Remove the items before changing its \
             questions.",
        ));
    }
    let ids = update.schema_ids()?;
    require_schemas(conn, row.experiment_id, &ids)?;
    let old = review_queue_label_schemas::queue_id.eq(&row.queue_id);
    each!(conn, c => diesel::delete(review_queue_label_schemas::table).filter(old).execute(c))?;
    insert_schemas(conn, &row.queue_id, &ids)
}

fn list_in(conn: &mut Conn, r: &ListReviewQueues, offset: i64) -> Result<list_review_queues::Response> {
    let number = active_experiment_id(conn, &ExperimentId::parse(r.experiment_id())?)?;
    let limit = i64::from(r.max_results.unwrap_or(DEFAULT_PAGE));
    macro_rules! page {
        ($c:ident) => {{
            let mut query = review_queues::table
                .filter(review_queues::experiment_id.eq(number))
                .order((review_queues::creation_time_ms.desc(), review_queues::queue_id))
                .limit(limit + 1)
                .offset(offset)
                .select(QueueRow::as_select())
                .into_boxed();
            if let Some(user) = &r.user {
                let assigned = review_queue_users::table
                    .filter(review_queue_users::user_id.eq(normalize_user(user)))
                    .select(review_queue_users::queue_id);
                query = query.filter(review_queues::queue_id.eq_any(assigned));
            }
            if let Some(item) = &r.item_id {
                let holding = review_queue_items::table
                    .filter(review_queue_items::item_id.eq(item))
                    .select(review_queue_items::queue_id);
                query = query.filter(review_queues::queue_id.eq_any(holding));
            }
            query.load($c)
        }};
    }
    let mut rows: Vec<QueueRow> = each!(conn, c => page!(c))?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let token = if rows.len() > size { offset_token(offset.saturating_add(limit)) } else { String::new() };
    rows.truncate(size);
    Ok(list_review_queues::Response { review_queues: assemble(conn, rows)?, next_page_token: Some(token) })
}

fn single(conn: &mut Conn, row: QueueRow) -> Result<ReviewQueue> {
    Ok(assemble(conn, vec![row])?.pop().unwrap_or_default())
}

/// Adds to a page of rows their people and questions, keeping the order, by two statements.
fn assemble(conn: &mut Conn, rows: Vec<QueueRow>) -> Result<Vec<ReviewQueue>> {
    let ids: Vec<&str> = rows.iter().map(|row| row.queue_id.as_str()).collect();
    let (mut users, mut schemas) = (HashMap::new(), HashMap::new());
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        let found: Vec<(String, String)> = each!(conn, c => review_queue_users::table
            .filter(review_queue_users::queue_id.eq_any(chunk))
            .order((review_queue_users::queue_id, review_queue_users::user_id))
            .load(c))?;
        gather(&mut users, found);
        let found: Vec<(String, String)> = each!(conn, c => review_queue_label_schemas::table
            .filter(review_queue_label_schemas::queue_id.eq_any(chunk))
            .order((review_queue_label_schemas::queue_id, review_queue_label_schemas::schema_id))
            .load(c))?;
        gather(&mut schemas, found);
    }
    let message = |row: QueueRow| ReviewQueue {
        users: users.remove(&row.queue_id).unwrap_or_default(),
        schema_ids: schemas.remove(&row.queue_id).unwrap_or_default(),
        queue_id: Some(row.queue_id),
        experiment_id: Some(row.experiment_id.to_string()),
        name: Some(row.name),
        queue_type: Some(if row.queue_type == USER { Type::User } else { Type::Custom }.into()),
        created_by: row.created_by,
        creation_time_ms: Some(row.creation_time_ms),
        last_update_time_ms: Some(row.last_update_time_ms),
    };
    Ok(rows.into_iter().map(message).collect())
}

fn gather(into: &mut HashMap<String, Vec<String>>, pairs: Vec<(String, String)>) {
    for (queue, value) in pairs {
        into.entry(queue).or_default().push(value);
    }
}
