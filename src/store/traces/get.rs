//! Traces with their spans.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::info::{keep_last, load_infos};
use crate::domain::trace::{SPANS_LOCATION, TRACKING_STORE};
use crate::domain::{Error, Result};
use crate::proto::TraceInfoV3;
use crate::store::Store;
use crate::store::conn::Conn;
use crate::store::statement::{Bind, json_list, statement};

/// A trace as the database holds it.
#[derive(Debug)]
pub struct StoredTrace {
    /// What is known of it.
    pub info: TraceInfoV3,
    /// The contents of its spans: those without a parent first, then the earliest. `None` where the spans are kept
    /// elsewhere.
    pub spans: Option<Vec<String>>,
}

impl Store {
    /// Returns those of `ids` that there are with their spans, in their order, each once where it is named last; only of traces of
    /// `experiments` if such are given. Four statements.
    pub async fn get_traces(
        &self,
        mut ids: Vec<String>,
        experiments: Option<Vec<i32>>,
    ) -> Result<Vec<StoredTrace>> {
        keep_last(&mut ids);
        self.scan(move |conn| {
            let mut infos = load_infos(conn, &ids)?;
            if let Some(experiments) = &experiments {
                infos.retain(|info| super::info::is_of(info, experiments));
            }
            with_spans(conn, infos)
        })
        .await
    }
}

const PG_SPANS: &str = "SELECT p.place - 1, s.content FROM unnest((SELECT ?)) WITH ORDINALITY p(id, place) CROSS JOIN LATERAL (\
    SELECT content, parent_span_id, start_time_unix_nano FROM spans \
    WHERE trace_id BETWEEN p.id AND p.id AND content <> '' OFFSET 0) s \
    ORDER BY p.place, s.parent_span_id IS NOT NULL, s.start_time_unix_nano";
pub(super) const SQLITE_SPANS: &str = "SELECT p.key, s.content FROM json_each(?) p \
    CROSS JOIN spans s ON s.trace_id = p.value WHERE s.content <> '' \
    ORDER BY p.key, s.parent_span_id IS NOT NULL, s.start_time_unix_nano";

fn with_spans(conn: &mut Conn, infos: Vec<TraceInfoV3>) -> Result<Vec<StoredTrace>> {
    let is_here = |info: &TraceInfoV3| info.tags.get(SPANS_LOCATION).is_some_and(|at| at == TRACKING_STORE);
    let mut traces: Vec<StoredTrace> =
        infos.into_iter().map(|info| StoredTrace { spans: is_here(&info).then(Vec::new), info }).collect();
    let ids: Vec<&str> =
        traces.iter().map(|t| if t.spans.is_some() { t.info.trace_id() } else { "" }).collect();
    let rows: Vec<(i64, String)> = match conn {
        Conn::Pg(c) => statement::<(BigInt, Text)>(PG_SPANS, &[Bind::Texts(&ids)]).load(c)?,
        Conn::Sqlite(c) => {
            statement::<(BigInt, Text)>(SQLITE_SPANS, &[Bind::Text(&json_list(&ids))]).load(c)?
        }
    };
    for (place, content) in rows {
        let trace = traces.get_mut(usize::try_from(place).map_err(Error::internal)?);
        if let Some(spans) = trace.and_then(|trace| trace.spans.as_mut()) {
            spans.push(content);
        }
    }
    Ok(traces)
}
