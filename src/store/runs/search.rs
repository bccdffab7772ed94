//! The search of runs: a [`RunQuery`] as one statement for the rows of a page; what belongs to the rows is added by
//! [`assemble`].

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::RunRow;
use super::data::assemble;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::{Result, validate};
use crate::proto::{SearchRuns, ViewType, search_runs};
use crate::search::runs::{DatasetField, RunOrder, RunOrderKey, RunPredicate, RunQuery, RunText, RunTime};
use crate::search::{Direction, ListTest, Membership, NumberOp};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::predicate::{Column, KeyTable, Search, direction, number_op};
use crate::store::{Store, each};

const PARAMS: KeyTable = KeyTable { name: "params", on: ".run_uuid = r.run_uuid" };
const TAGS: KeyTable = KeyTable { name: "tags", on: ".run_uuid = r.run_uuid" };

/// How many runs are completed by one round of statements: SQLite takes no more than 32,766 binds, and some ids are
/// bound twice.
const MOST_AT_ONCE: usize = 10_000;

/// How many lists SQLite is to merge: each makes the statement longer.
const MOST_MERGED: usize = 64;

/// The SQL type of a [`RunRow`].
type RunColumns = (
    Text,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Integer>,
);

/// What to search for, read from a request.
struct RunSearch {
    query: RunQuery,
    experiment_ids: Vec<i32>,
    view: ViewType,
    limit: i64,
    offset: i64,
}

impl Store {
    /// Returns a page of runs with what was logged to them, and the token of the next page if there is one. Ordered
    /// as asked, then by start time (newest first), then by id.
    ///
    /// Upstream: `SqlAlchemyStore._search_runs`. Differs on PostgreSQL: runs without a start time come last in the
    /// default order too, as on SQLite.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, limit, page token or experiment id.
    pub async fn search_runs(&self, request: SearchRuns) -> Result<search_runs::Response> {
        let search = RunSearch::new(&request)?;
        self.scan(move |conn| search.run(conn)).await
    }
}

impl RunSearch {
    fn new(request: &SearchRuns) -> Result<Self> {
        let limit = validate::max_results(request.max_results().into())?;
        let query = RunQuery::parse(request.filter(), &request.order_by)?;
        let offset = parse_offset_token(request.page_token.as_deref())?;
        let experiment_ids = validate::searched_experiment_ids(&request.experiment_ids)?;
        Ok(Self { query, experiment_ids, view: request.run_view_type(), limit, offset })
    }

    fn run(&self, conn: &mut Conn) -> Result<search_runs::Response> {
        let statement = self.statement(conn.dialect());
        // One more than the page tells whether there is a next one.
        let mut page: Vec<RunRow> = each!(conn, c => statement.load(c))?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let next_page_token =
            (page.len() > limit).then(|| offset_token(self.offset.saturating_add(self.limit)));
        page.truncate(limit);
        let mut runs = Vec::with_capacity(page.len());
        while !page.is_empty() {
            let rest = page.split_off(page.len().min(MOST_AT_ONCE));
            runs.extend(assemble(conn, std::mem::replace(&mut page, rest))?);
        }
        Ok(search_runs::Response { runs, next_page_token })
    }

    /// Index of the default listing: `runs (experiment_id, lifecycle_stage, start_time DESC NULLS LAST, run_uuid)`.
    fn statement(&self, dialect: Dialect) -> Search<RunColumns> {
        let mut search = Search::new(dialect);
        search.sql(
            "SELECT r.run_uuid, r.name, r.user_id, r.status, r.start_time, r.end_time, r.lifecycle_stage, \
             r.artifact_uri, r.experiment_id FROM ",
        );
        if self.is_listing() {
            let ids: BTreeSet<i32> = self.experiment_ids.iter().copied().collect();
            let parts = ids.len() * stages(self.view).len();
            if dialect.has_lateral() && parts > 1 {
                self.newest_of_each(&mut search, &ids);
                return search;
            }
            if (2..=MOST_MERGED).contains(&parts) {
                self.merged(&mut search, &ids);
                return search;
            }
        }
        if self.query.predicates.is_empty() && self.query.order.len() <= 1 && self.experiment_ids.len() == 1 {
            search.keep_prepared();
        }
        search.sql("runs r");
        for (index, predicate) in self.query.predicates.iter().enumerate() {
            join(&mut search, index, predicate);
        }
        for (index, order) in self.query.order.iter().enumerate() {
            join_order(&mut search, index, &order.key);
        }
        search.sql(" WHERE r.experiment_id");
        match self.experiment_ids.as_slice() {
            // One alone lets both databases read the index in order.
            [id] => search.sql(" = ").integer(*id),
            ids => search.ids(Membership::In, ids),
        };
        search.sql(" AND ").stage("r.lifecycle_stage", self.view);
        for predicate in &self.query.predicates {
            restrict(&mut search, predicate);
        }
        search.sql(" ORDER BY ");
        for (index, order) in self.query.order.iter().enumerate() {
            order_by(&mut search, index, order);
        }
        if self.query.order.iter().all(|order| order.key != RunOrderKey::Time(RunTime::Start)) {
            search.sql("r.start_time DESC NULLS LAST, ");
        }
        search.sql("r.run_uuid").page(self.limit + 1, self.offset);
        search
    }

    /// Tells whether all runs are asked for, newest first.
    fn is_listing(&self) -> bool {
        let newest = RunOrder { key: RunOrderKey::Time(RunTime::Start), direction: Direction::Descending };
        self.query.predicates.is_empty() && (self.query.order.is_empty() || self.query.order == [newest])
    }

    /// Adds the listing of several experiments and stages: of each no more is read, by the index alone, than the page
    /// can hold. The whole would have to be sorted otherwise.
    fn newest_of_each(&self, search: &mut Search<RunColumns>, ids: &BTreeSet<i32>) {
        search.keep_prepared();
        let list: Vec<String> = ids.iter().map(i32::to_string).collect();
        search.sql("(SELECT l.run_uuid FROM unnest((").text(&format!("{{{}}}", list.join(",")));
        search.sql(")::int[]) e (id) CROSS JOIN unnest(ARRAY[");
        for (index, stage) in stages(self.view).iter().enumerate() {
            search.sql(if index == 0 { "" } else { ", " }).sql(stage);
        }
        search.sql(
            "]) s (stage) CROSS JOIN LATERAL (SELECT start_time, run_uuid FROM runs WHERE experiment_id = e.id \
             AND lifecycle_stage = s.stage ORDER BY start_time DESC NULLS LAST, run_uuid LIMIT ",
        );
        search.bigint((self.limit + 1).saturating_add(self.offset));
        search.sql(") l ORDER BY l.start_time DESC NULLS LAST, l.run_uuid").page(self.limit + 1, self.offset);
        search.sql(
            ") p JOIN runs r ON r.run_uuid = p.run_uuid ORDER BY r.start_time DESC NULLS LAST, r.run_uuid",
        );
    }

    /// Adds the same as sorted lists that SQLite merges until the page is full.
    fn merged(&self, search: &mut Search<RunColumns>, ids: &BTreeSet<i32>) {
        let mut before = "(";
        for id in ids {
            for stage in stages(self.view) {
                search.sql(before).sql("SELECT start_time, run_uuid FROM runs WHERE experiment_id = ");
                search.integer(*id).sql(" AND lifecycle_stage = ").sql(stage);
                before = " UNION ALL ";
            }
        }
        // In this direction NULL comes last by itself.
        search.sql(" ORDER BY 1 DESC, 2").page(self.limit + 1, self.offset);
        search.sql(
            ") p CROSS JOIN runs r ON r.run_uuid = p.run_uuid ORDER BY r.start_time DESC NULLS LAST, r.run_uuid",
        );
    }
}

/// The stages that a view shows.
const fn stages(view: ViewType) -> &'static [&'static str] {
    match view {
        ViewType::ActiveOnly => &["'active'"],
        ViewType::DeletedOnly => &["'deleted'"],
        ViewType::All => &["'active'", "'deleted'"],
    }
}

/// Joins the table that a predicate asks about. Its primary key holds the key and the run, so no run comes twice.
fn join(search: &mut Search<RunColumns>, index: usize, predicate: &RunPredicate) {
    match predicate {
        RunPredicate::Metric { key, op, value } => {
            search.sql(" JOIN latest_metrics ").alias("f", index).sql(" ON ").alias("f", index);
            search.sql(".run_uuid = r.run_uuid AND ").alias("f", index).sql(".key = ").text(key);
            search.sql(" AND (").alias("f", index).sql(".value").sql(number_op(*op)).double(*value);
            // NaN is stored as 0 with a mark.
            search
                .sql(if *op == NumberOp::Ne { " OR " } else { " AND NOT " })
                .alias("f", index)
                .sql(".is_nan)");
        }
        RunPredicate::Param(key, test) => search.join_key(&PARAMS, index, key, test),
        RunPredicate::Tag(key, test) => search.join_key(&TAGS, index, key, test),
        RunPredicate::Text(..)
        | RunPredicate::IdList(..)
        | RunPredicate::Time(..)
        | RunPredicate::Dataset(..) => {}
    }
}

/// Adds to the WHERE clause what a predicate asks that needs no join.
fn restrict(search: &mut Search<RunColumns>, predicate: &RunPredicate) {
    match predicate {
        RunPredicate::Metric { .. } => {}
        RunPredicate::Param(key, test) => search.presence(&PARAMS, key, test),
        RunPredicate::Tag(key, test) => search.presence(&TAGS, key, test),
        RunPredicate::Text(column, test) => {
            search.sql(" AND ").text_test(Column::Of(text_column(*column)), test);
        }
        RunPredicate::IdList(membership, ids) => {
            search.sql(" AND r.run_uuid").texts(*membership, ids);
        }
        RunPredicate::Time(column, op, value) => {
            search.sql(" AND ").sql(time_column(*column)).sql(number_op(*op)).number(*value);
        }
        RunPredicate::Dataset(field, test) => dataset(search, *field, test),
    }
}

fn dataset(search: &mut Search<RunColumns>, field: DatasetField, test: &ListTest) {
    search.sql(
        " AND r.run_uuid IN (SELECT i.destination_id FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id",
    );
    let column = match field {
        DatasetField::Name => "d.name",
        DatasetField::Digest => "d.digest",
        DatasetField::Context => {
            search
                .sql(" JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context'");
            "t.value"
        }
    };
    search.sql(" WHERE ").list_test(Column::Of(column), test).sql(")");
}

/// Joins what an order key reads, which may be missing.
fn join_order(search: &mut Search<RunColumns>, index: usize, key: &RunOrderKey) {
    let (table, key) = match key {
        RunOrderKey::Metric(key) => (" LEFT JOIN latest_metrics ", key),
        RunOrderKey::Param(key) => (" LEFT JOIN params ", key),
        RunOrderKey::Tag(key) => (" LEFT JOIN tags ", key),
        RunOrderKey::Name | RunOrderKey::Text(_) | RunOrderKey::Time(_) => return,
    };
    search.sql(table).alias("o", index).sql(" ON ").alias("o", index).sql(".run_uuid = r.run_uuid AND ");
    search.alias("o", index).sql(".key = ").text(key);
}

/// Missing values come last in both directions, and NaN before them.
fn order_by(search: &mut Search<RunColumns>, index: usize, order: &RunOrder) {
    let (value, end) = match order.key {
        RunOrderKey::Metric(_) => {
            search.sql("CASE WHEN ").alias("o", index).sql(".is_nan THEN 1 WHEN ").alias("o", index);
            search.sql(".value IS NULL THEN 2 ELSE 0 END, ");
            (Column::Joined("o", index, ".value"), ", ")
        }
        RunOrderKey::Param(_) | RunOrderKey::Tag(_) => {
            (Column::Joined("o", index, ".value"), " NULLS LAST, ")
        }
        RunOrderKey::Name => (Column::Of("r.name"), " NULLS LAST, "),
        RunOrderKey::Text(column) => (Column::Of(text_column(column)), " NULLS LAST, "),
        RunOrderKey::Time(column) => (Column::Of(time_column(column)), " NULLS LAST, "),
    };
    search.column(value).sql(direction(order.direction)).sql(end);
}

const fn text_column(column: RunText) -> &'static str {
    match column {
        RunText::Id => "r.run_uuid",
        RunText::User => "r.user_id",
        RunText::Status => "r.status",
        RunText::ArtifactUri => "r.artifact_uri",
    }
}

const fn time_column(column: RunTime) -> &'static str {
    match column {
        RunTime::Start => "r.start_time",
        RunTime::End => "r.end_time",
    }
}

#[cfg(test)]
mod tests;
