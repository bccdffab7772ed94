//! What is in review queues: traces, each with a status.

use std::collections::HashMap;

use diesel::prelude::*;

use super::{DEFAULT_PAGE, ROWS_PER_STATEMENT, get_row, lock};
use crate::domain::ids::ReviewQueueId;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::review_queue::{NewStatus, parse_status, status_text};
use crate::domain::time::now_ms;
use crate::domain::{Error, Result, python};
use crate::proto::review_queue_item::{Status, Type};
use crate::proto::{ListReviewQueueItems, ReviewQueueItem, list_review_queue_items};
use crate::store::conn::Conn;
use crate::store::schema::{review_queue_items, trace_info};
use crate::store::{Store, each};

/// What an item is.
const TRACE: &str = "trace";

impl Store {
    /// Puts traces into a queue, where those that are there already stay as they are; returns all of them. One
    /// transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown queue, and for a trace that is not in the experiment of the queue.
    /// Upstream: `_add_items_to_review_queue`, `SqlAlchemyStore.add_items_to_review_queue`.
    pub async fn add_items_to_review_queue(
        &self,
        id: ReviewQueueId,
        item_ids: Vec<String>,
    ) -> Result<Vec<ReviewQueueItem>> {
        self.write(move |conn| {
            let queue = lock(conn, &id)?;
            require_traces(conn, &id, queue.experiment_id, &item_ids)?;
            insert(conn, &id, &item_ids)?;
            let mut rows = load(conn, &id, &item_ids)?;
            Ok(item_ids.iter().filter_map(|item| rows.remove(item)).map(ItemRow::into_message).collect())
        })
        .await
    }

    /// Takes items out of a queue; that they are not there is no error.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown queue.
    pub async fn remove_items_from_review_queue(
        &self,
        id: ReviewQueueId,
        item_ids: Vec<String>,
    ) -> Result<()> {
        self.write(move |conn| {
            get_row(conn, &id)?;
            for chunk in item_ids.chunks(ROWS_PER_STATEMENT) {
                each!(conn, c => diesel::delete(review_queue_items::table)
                    .filter(review_queue_items::queue_id.eq(id.as_str()))
                    .filter(review_queue_items::item_id.eq_any(chunk))
                    .execute(c))?;
            }
            Ok(())
        })
        .await
    }

    /// Returns a page of the items of a queue, the newest first, and the token of the next page if there is one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown queue; `INVALID_PARAMETER_VALUE` for a bad token. Upstream:
    /// `SqlAlchemyStore.list_review_queue_items`.
    pub async fn list_review_queue_items(
        &self,
        r: ListReviewQueueItems,
    ) -> Result<list_review_queue_items::Response> {
        let offset = parse_offset_token(r.page_token.as_deref())?;
        self.read(move |conn| list_in(conn, &r, offset)).await
    }

    /// Sets the status of an item; one that has the status already keeps who looked first. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown queue, or an item that is not in it. Upstream:
    /// `SqlAlchemyStore.set_review_queue_item_status`.
    pub async fn set_review_queue_item_status(
        &self,
        id: ReviewQueueId,
        new: NewStatus,
    ) -> Result<ReviewQueueItem> {
        self.write(move |conn| set_status_in(conn, &id, &new)).await
    }
}

/// A row of `review_queue_items`.
#[derive(Queryable, Selectable, Insertable, Debug)]
#[diesel(table_name = review_queue_items, treat_none_as_default_value = false)]
struct ItemRow {
    queue_id: String,
    item_type: String,
    item_id: String,
    status: String,
    completed_by: Option<String>,
    completed_time_ms: Option<i64>,
    creation_time_ms: i64,
    last_update_time_ms: i64,
}

impl ItemRow {
    fn into_message(self) -> ReviewQueueItem {
        ReviewQueueItem {
            queue_id: Some(self.queue_id),
            item_type: Some(Type::Trace.into()),
            item_id: Some(self.item_id),
            status: Some(parse_status(&self.status).into()),
            completed_by: self.completed_by,
            completed_time_ms: self.completed_time_ms,
            creation_time_ms: Some(self.creation_time_ms),
            last_update_time_ms: Some(self.last_update_time_ms),
        }
    }
}

fn require_traces(conn: &mut Conn, queue: &str, experiment_id: i32, ids: &[String]) -> Result<()> {
    let mut known: Vec<String> = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        let found: Vec<String> = each!(conn, c => trace_info::table
            .filter(trace_info::request_id.eq_any(chunk))
            .filter(trace_info::experiment_id.eq(experiment_id))
            .select(trace_info::request_id)
            .load(c))?;
        known.extend(found);
    }
    known.sort_unstable();
    let missing: Vec<&String> = ids.iter().filter(|id| known.binary_search(id).is_err()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "Cannot attach trace(s) {} to review queue '{queue}': they do not exist in experiment '{experiment_id}'.",
        python::list(&missing)
    )))
}

fn insert(conn: &mut Conn, queue: &str, ids: &[String]) -> Result<()> {
    let now = now_ms();
    let row = |item: &String| ItemRow {
        queue_id: queue.to_owned(),
        item_type: TRACE.into(),
        item_id: item.clone(),
        status: status_text(Status::Pending).into(),
        completed_by: None,
        completed_time_ms: None,
        creation_time_ms: now,
        last_update_time_ms: now,
    };
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<ItemRow> = chunk.iter().map(row).collect();
        each!(conn, c => diesel::insert_into(review_queue_items::table)
            .values(&rows)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    Ok(())
}

fn load(conn: &mut Conn, queue: &str, ids: &[String]) -> Result<HashMap<String, ItemRow>> {
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<ItemRow> = each!(conn, c => review_queue_items::table
            .filter(review_queue_items::queue_id.eq(queue))
            .filter(review_queue_items::item_id.eq_any(chunk))
            .select(ItemRow::as_select())
            .load(c))?;
        found.extend(rows.into_iter().map(|row| (row.item_id.clone(), row)));
    }
    Ok(found)
}

fn list_in(
    conn: &mut Conn,
    r: &ListReviewQueueItems,
    offset: i64,
) -> Result<list_review_queue_items::Response> {
    get_row(conn, r.queue_id())?;
    let limit = i64::from(r.max_results.unwrap_or(DEFAULT_PAGE));
    let status = match r.status() {
        Status::ReviewStatusUnspecified => None,
        known => Some(status_text(known)),
    };
    let is_wanted = review_queue_items::status
        .eq(status.unwrap_or_default())
        .or(status.is_none().into_sql::<diesel::sql_types::Bool>());
    let mut rows: Vec<ItemRow> = each!(conn, c => review_queue_items::table
        .filter(review_queue_items::queue_id.eq(r.queue_id()))
        .filter(is_wanted)
        .order((review_queue_items::creation_time_ms.desc(), review_queue_items::item_id))
        .limit(limit + 1)
        .offset(offset)
        .select(ItemRow::as_select())
        .load(c))?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let token = if rows.len() > size { offset_token(offset.saturating_add(limit)) } else { String::new() };
    rows.truncate(size);
    let items = rows.into_iter().map(ItemRow::into_message).collect();
    Ok(list_review_queue_items::Response { items, next_page_token: Some(token) })
}

fn set_status_in(conn: &mut Conn, id: &str, new: &NewStatus) -> Result<ReviewQueueItem> {
    // The lock keeps two reviewers from both being the first.
    lock(conn, id)?;
    let mut row =
        load(conn, id, std::slice::from_ref(&new.item_id))?.remove(&new.item_id).ok_or_else(|| {
            Error::not_found(format!("Item '{}' is not attached to review queue '{id}'.", new.item_id))
        })?;
    let status = status_text(new.status);
    if row.status == status {
        return Ok(row.into_message());
    }
    let now = now_ms();
    row.status = status.into();
    row.last_update_time_ms = now;
    row.completed_by.clone_from(&new.completed_by);
    row.completed_time_ms = (new.status != Status::Pending).then_some(now);
    let values = (
        review_queue_items::status.eq(&row.status),
        review_queue_items::last_update_time_ms.eq(now),
        review_queue_items::completed_by.eq(&row.completed_by),
        review_queue_items::completed_time_ms.eq(row.completed_time_ms),
    );
    let item = review_queue_items::table.find((id, &new.item_id));
    each!(conn, c => diesel::update(item).set(values).execute(c))?;
    Ok(row.into_message())
}
