//! Tags of traces, what they are linked to, and their deletion.

use diesel::prelude::*;

use super::columns::{Column, write_rows};
use super::info::trace_not_found;
use super::spans::{PG_TAGS, SQLITE_TAGS};
use crate::domain::ids::{RunId, Tag, TraceId};
use crate::domain::trace::TRACE_NAME;
use crate::domain::trace::delete::Deletion;
use crate::domain::{Error, Result};
use crate::store::conn::Conn;
use crate::store::schema::{trace_info, trace_tags};
use crate::store::statement::{Bind, json_list, statement};
use crate::store::{Store, each};

impl Store {
    /// Writes a tag of a trace over an earlier value.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown trace. Upstream: `SqlAlchemyStore.set_trace_tag`.
    /// Differs: for an unknown trace stock fails with an error of its database.
    pub async fn set_trace_tag(&self, id: TraceId, tag: Tag) -> Result<()> {
        self.write(move |conn| {
            if tag.key == TRACE_NAME {
                let row = diesel::update(trace_info::table.find(id.as_str()))
                    .set(trace_info::trace_name.eq(&tag.value));
                let found = each!(conn, c => row.execute(c))?;
                return if found == 0 { Err(trace_not_found(&id)) } else { Ok(()) };
            }
            require_trace(conn, &id)?;
            let columns = [&*id, &tag.key, &tag.value].map(|text| Column::Texts(vec![text]));
            write_rows(conn, &columns, PG_TAGS, SQLITE_TAGS)?;
            Ok(())
        })
        .await
    }

    /// Removes a tag of a trace.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` when there is no such tag. Upstream: `SqlAlchemyStore.delete_trace_tag`.
    pub async fn delete_trace_tag(&self, id: TraceId, key: String) -> Result<()> {
        self.write(move |conn| {
            let deleted = if key == TRACE_NAME {
                let row = trace_info::table.find(id.as_str()).filter(trace_info::trace_name.is_not_null());
                let update = diesel::update(row).set(trace_info::trace_name.eq(None::<String>));
                each!(conn, c => update.execute(c))?
            } else {
                each!(conn, c => diesel::delete(trace_tags::table.find((key.as_str(), id.as_str()))).execute(c))?
            };
            if deleted > 0 {
                return Ok(());
            }
            if key == TRACE_NAME {
                require_trace(conn, &id)?;
            }
            Err(Error::not_found(format!("No trace tag with key '{key}' for trace with ID '{id}'")))
        })
        .await
    }

    /// Links traces to a run; links that are there already stay. Neither is looked up.
    ///
    /// Upstream: `SqlAlchemyStore.link_traces_to_run`.
    pub async fn link_traces_to_run(&self, ids: Vec<TraceId>, run_id: RunId) -> Result<()> {
        self.write(move |conn| {
            let runs = vec![run_id.as_str(); ids.len()];
            link(conn, ids.iter().map(TraceId::as_str).collect(), "run", runs)
        })
        .await
    }

    /// Links a trace to versions of prompts, each `<name>/<version>`.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown trace. Upstream: `SqlAlchemyStore.link_prompts_to_trace`.
    pub async fn link_prompts_to_trace(&self, id: TraceId, prompts: Vec<String>) -> Result<()> {
        self.write(move |conn| {
            require_trace(conn, &id)?;
            let ids = vec![id.as_str(); prompts.len()];
            link(conn, ids, "prompt_version", prompts.iter().map(String::as_str).collect())
        })
        .await
    }

    /// Deletes traces of an experiment with all that belongs to them, the oldest first, and returns how many. One
    /// transaction.
    ///
    /// Upstream: `SqlAlchemyStore._delete_traces`. Differs: files of archived traces stay where they are.
    pub async fn delete_traces(&self, deletion: Deletion) -> Result<usize> {
        self.write(move |conn| delete_in(conn, &deletion)).await
    }
}

fn require_trace(conn: &mut Conn, id: &str) -> Result<()> {
    let found: Option<String> = each!(conn, c => trace_info::table
        .find(id)
        .select(trace_info::request_id)
        .first(c)
        .optional())?;
    found.map(|_id| ()).ok_or_else(|| trace_not_found(id))
}

fn link(conn: &mut Conn, traces: Vec<&str>, to: &'static str, targets: Vec<&str>) -> Result<()> {
    const PG: &str = "INSERT INTO entity_associations \
        (association_id, source_type, source_id, destination_type, destination_id) \
        SELECT n.id, 'trace', n.trace, n.kind, n.target FROM unnest(?, ?, ?, ?) n(id, trace, kind, target) \
        ON CONFLICT DO NOTHING";
    const SQLITE: &str = "INSERT INTO entity_associations \
        (association_id, source_id, destination_type, destination_id, source_type) VALUES (?, ?, ?, ?, 'trace') \
        ON CONFLICT DO NOTHING";
    let ids: Vec<String> = traces.iter().map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    let columns = [
        Column::Texts(ids.iter().map(String::as_str).collect()),
        Column::Texts(traces),
        Column::Texts(vec![to; targets.len()]),
        Column::Texts(targets),
    ];
    write_rows(conn, &columns, PG, SQLITE)?;
    Ok(())
}

/// Ids in one statement that looks for them: SQLite takes no more than some 32,000 values.
const IDS_PER_STATEMENT: usize = 30_000;

/// Returns those of `ids` that are the experiment's, or, without any, the oldest that are meant.
fn chosen(conn: &mut Conn, deletion: &Deletion, ids: Option<&[String]>) -> Result<Vec<String>> {
    Ok(each!(conn, c => {
        let mut chosen = trace_info::table
            .filter(trace_info::experiment_id.eq(deletion.experiment_id))
            .select(trace_info::request_id)
            .order((trace_info::timestamp_ms, trace_info::request_id))
            .into_boxed();
        if let Some(until) = deletion.until_ms {
            chosen = chosen.filter(trace_info::timestamp_ms.le(until));
        }
        if let Some(ids) = ids {
            chosen = chosen.filter(trace_info::request_id.eq_any(ids));
        }
        if let Some(most) = deletion.most {
            chosen = chosen.limit(most);
        }
        chosen.load(c)
    })?)
}

fn delete_in(conn: &mut Conn, deletion: &Deletion) -> Result<usize> {
    let mut found = Vec::new();
    if deletion.ids.is_empty() {
        found = chosen(conn, deletion, None)?;
    }
    for chunk in deletion.ids.chunks(IDS_PER_STATEMENT) {
        found.extend(chosen(conn, deletion, Some(chunk))?);
    }
    // In the order in which writers of spans lock them.
    let mut ids: Vec<&str> = found.iter().map(String::as_str).collect();
    ids.sort_unstable();
    match conn {
        Conn::Pg(c) => {
            const LOCK: &str = "SELECT count(*) FROM (SELECT 1 FROM trace_info WHERE request_id = ANY(?) ORDER BY request_id FOR UPDATE) l";
            const ITEMS: &str =
                "DELETE FROM review_queue_items WHERE item_type = 'trace' AND item_id = ANY(?)";
            const TRACES: &str = "DELETE FROM trace_info WHERE request_id = ANY(?)";
            let ids = [Bind::Texts(&ids)];
            statement::<diesel::sql_types::BigInt>(LOCK, &ids).get_result::<i64>(c)?;
            statement::<()>(ITEMS, &ids).execute(c)?;
            Ok(statement::<()>(TRACES, &ids).execute(c)?)
        }
        Conn::Sqlite(c) => {
            const ITEMS: &str = "DELETE FROM review_queue_items WHERE item_type = 'trace' \
                AND item_id IN (SELECT value FROM json_each(?))";
            const TRACES: &str =
                "DELETE FROM trace_info WHERE request_id IN (SELECT value FROM json_each(?))";
            let list = json_list(&ids);
            statement::<()>(ITEMS, &[Bind::Text(&list)]).execute(c)?;
            Ok(statement::<()>(TRACES, &[Bind::Text(&list)]).execute(c)?)
        }
    }
}
