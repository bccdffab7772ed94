//! The search of traces: a [`TraceQuery`] as one statement for the rows of a page; what belongs to the rows is added by
//! two more.

use diesel::prelude::*;

use super::filter::{Reading, in_experiments, restrict, text_column, time_column};
use super::info::{TRACE_COLUMNS, TraceRow, TraceSql, assemble};
use super::narrow::{Few, find_few};
use crate::domain::Result;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::validate;
use crate::proto::TraceInfoV3;
use crate::search::traces::{TraceOrder, TraceOrderKey, TraceQuery, TraceText, TraceTime};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::predicate::{Search, direction};
use crate::store::statement::json_list;
use crate::store::{Store, each};

/// What to search for, read from a request.
#[derive(Debug)]
pub struct TraceSearch {
    query: TraceQuery,
    experiments: Vec<i32>,
    limit: i64,
    offset: i64,
}

/// A page of traces, and the token of the next one if this one is full.
pub type TracePage = (Vec<TraceInfoV3>, Option<String>);

impl TraceSearch {
    /// Reads what to search for, in the order in which stock finds mistakes.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad limit, experiment id, order, filter or page token.
    pub fn new<S: AsRef<str>>(
        experiments: &[S],
        filter: &str,
        order_by: &[String],
        max_results: i32,
        page_token: Option<&str>,
    ) -> Result<Self> {
        validate::searched_locations(experiments)?;
        let limit = validate::max_results(max_results.into())?;
        let experiments = validate::searched_experiment_ids(experiments)?;
        let query = TraceQuery::parse(filter, order_by)?;
        let offset = parse_offset_token(page_token)?;
        Ok(Self { query, experiments, limit, offset })
    }

    fn run(&self, conn: &mut Conn) -> Result<TracePage> {
        let few = find_few(conn, &self.query.filter, &self.experiments)?;
        let statement = self.statement(conn.dialect(), few.as_ref());
        let load = |conn: &mut Conn| Ok(each!(conn, c => statement.load::<TraceRow>(c))?);
        // Spans have no index on what is in their texts.
        let is_indexed = self.query.filter.span.is_empty();
        let rows = if is_indexed { load(conn) } else { conn.with_table_scans(load) }?;
        let infos = assemble(conn, rows)?;
        let is_full = i64::try_from(infos.len()) == Ok(self.limit);
        Ok((infos, is_full.then(|| offset_token(self.offset.saturating_add(self.limit)))))
    }

    /// The page of all traces, or of `few` of them. Index of the default listing: `trace_info (experiment_id,
    /// timestamp_ms)`, read backwards; ours of durations for the slowest ones.
    fn statement(&self, dialect: Dialect, few: Option<&Few>) -> Search<TraceSql> {
        let mut search = Search::new(dialect);
        if self.query.filter.predicates.is_empty()
            && self.query.filter.span.is_empty()
            && self.query.order.len() == 2
            && self.experiments.len() == 1
        {
            search.keep_prepared();
        }
        search.sql(TRACE_COLUMNS);
        if let Some(few) = few {
            let ids: Vec<&str> = few.ids.iter().map(String::as_str).collect();
            let (before, after) = dialect.listed();
            search.sql(before).text(&json_list(&ids)).sql(after).sql(" CROSS JOIN ");
        }
        search.sql("trace_info t");
        for (index, order) in self.query.order.iter().enumerate() {
            join_order(&mut search, index, &order.key);
        }
        in_experiments(search.sql(" WHERE "), "t.experiment_id", &self.experiments);
        if few.is_some() {
            search.sql(" AND t.request_id = k.id");
        }
        restrict(&mut search, &self.query.filter, &self.experiments, self.reading(few));
        for (index, order) in self.query.order.iter().enumerate() {
            search.sql(if index == 0 { " ORDER BY " } else { ", " });
            order_by(&mut search, index, order);
        }
        search.page(self.limit, self.offset);
        search
    }

    /// Ordered by their beginning, traces are read in this order until a page is full.
    fn reading(&self, few: Option<&Few>) -> Reading {
        let first = self.query.order.first().map(|order| &order.key);
        match few {
            Some(few) => Reading::Few(few.predicate),
            None if first == Some(&TraceOrderKey::Time(TraceTime::Start)) => Reading::UntilEnough,
            None => Reading::All,
        }
    }
}

impl Store {
    /// Returns a page of traces, ordered as asked, then by their beginning (newest first), then by id.
    ///
    /// Upstream: `SqlAlchemyStore.search_traces`.
    ///
    /// # Errors
    /// `BAD_REQUEST` for a regular expression that PostgreSQL cannot read.
    pub async fn search_traces(&self, search: TraceSearch) -> Result<TracePage> {
        self.scan(move |conn| search.run(conn)).await
    }
}

/// Joins what an order reads, which may be missing.
fn join_order(search: &mut Search<TraceSql>, index: usize, key: &TraceOrderKey) {
    let (table, key) = match key {
        TraceOrderKey::Tag(key) => (" LEFT JOIN trace_tags ", key),
        TraceOrderKey::Metadata(key) => (" LEFT JOIN trace_request_metadata ", key),
        TraceOrderKey::Experiment | TraceOrderKey::Time(_) | TraceOrderKey::Text(_) => return,
    };
    search.sql(table).alias("o", index).sql(" ON ").alias("o", index).sql(".request_id = t.request_id AND ");
    search.alias("o", index).sql(".key = ").text(key);
}

/// Missing values come last in both directions. Where none can be missing nothing is said of it, so that an index may
/// be read in its order.
fn order_by(search: &mut Search<TraceSql>, index: usize, order: &TraceOrder) {
    let mut end = " NULLS LAST";
    match order.key {
        TraceOrderKey::Experiment => {
            end = "";
            search.sql("t.experiment_id")
        }
        TraceOrderKey::Time(column) => {
            if column != TraceTime::Duration {
                end = "";
            }
            search.sql(time_column(column))
        }
        TraceOrderKey::Text(column) => {
            if matches!(column, TraceText::Id | TraceText::Status) {
                end = "";
            }
            search.sql(text_column(column))
        }
        TraceOrderKey::Tag(_) | TraceOrderKey::Metadata(_) => search.alias("o", index).sql(".value"),
    };
    search.sql(direction(order.direction)).sql(end);
}

#[cfg(test)]
pub(super) mod tests;
