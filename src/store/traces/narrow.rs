//! What a search asks for first, so that a page of few traces is not looked for among all: the traces that have a tag,
//! metadata, a run or an assessment, as long as they are few. Where they are many, reading traces in their order fills
//! a page soon.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::filter::{assessed, in_sessions_assessed, linked_to};
use crate::domain::Result;
use crate::search::traces::{AssessmentTest, SOURCE_RUN, TextMatch, TraceFilter, TracePredicate, TraceTest};
use crate::search::{TextOp, TextTest};
use crate::store::conn::Conn;
use crate::store::each;
use crate::store::predicate::Search;

/// How many traces are few.
const FEW: u16 = 1000;

/// The traces for which one predicate of a filter holds.
pub(super) struct Few {
    /// The place of the predicate in the filter.
    pub(super) predicate: usize,
    /// Each once.
    pub(super) ids: Vec<String>,
}

/// Returns what the first predicate finds that finds few traces; `None` where all may find many.
pub(super) fn find_few(conn: &mut Conn, filter: &TraceFilter, experiments: &[i32]) -> Result<Option<Few>> {
    for (index, predicate) in filter.predicates.iter().enumerate() {
        let mut search = Search::<Text>::new(conn.dialect());
        if !asks(&mut search, predicate, experiments) {
            continue;
        }
        search.sql(" LIMIT ").bigint(i64::from(FEW) + 1);
        let mut ids: Vec<String> = each!(conn, c => search.load(c))?;
        if ids.len() <= usize::from(FEW) {
            ids.sort_unstable();
            ids.dedup();
            return Ok(Some(Few { predicate: index, ids }));
        }
    }
    Ok(None)
}

/// Writes the statement of the ids of all traces that a predicate finds, some perhaps twice; `false` where there is
/// none that would find them soon.
///
/// Indexes: ours of tags and metadata by their value, stock's of associations by their destination.
pub(super) fn asks(search: &mut Search<Text>, predicate: &TracePredicate, experiments: &[i32]) -> bool {
    match predicate {
        TracePredicate::Tag(key, TraceTest::Value(TextMatch::Text(TextTest { op: TextOp::Eq, value }))) => {
            with_value(search, "trace_tags", key, value);
        }
        TracePredicate::Metadata(
            key,
            TraceTest::Value(TextMatch::Text(TextTest { op: TextOp::Eq, value })),
        ) => {
            with_value(search, "trace_request_metadata", key, value);
        }
        TracePredicate::Run(run) => {
            with_value(search, "trace_request_metadata", SOURCE_RUN, run);
            linked_to(search.sql(" UNION ALL "), "'run'", run);
        }
        TracePredicate::Assessment { test: AssessmentTest::Absent, .. } => return false,
        TracePredicate::Assessment { kind, name, test } => {
            search.sql("SELECT a.trace_id FROM assessments a WHERE 1 = 1");
            assessed(search, *kind, name, test);
            search.sql(" UNION ALL SELECT t.request_id FROM trace_info t WHERE ");
            in_sessions_assessed(search, *kind, name, test, experiments);
        }
        TracePredicate::Time(..)
        | TracePredicate::Text(..)
        | TracePredicate::Tag(..)
        | TracePredicate::Metadata(..)
        | TracePredicate::Usage(..)
        | TracePredicate::Prompt(_)
        | TracePredicate::Issue(_) => return false,
    }
    true
}

fn with_value(search: &mut Search<Text>, table: &'static str, key: &str, value: &str) {
    search.sql("SELECT k.request_id FROM ").sql(table).sql(" k WHERE k.key = ").text(key).sql(" AND ");
    search.indexed_text("k.value", value);
}
