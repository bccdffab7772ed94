//! The search of logged models: a [`LoggedModelQuery`] as one statement for the rows of a page.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::{LoggedModelRow, assemble};
use crate::domain::Result;
use crate::domain::logged_model::{LoggedModelPage, SearchedDataset};
use crate::proto::search_logged_models;
use crate::search::logged_models::{
    LoggedModelOrder, LoggedModelPredicate, LoggedModelQuery, LoggedModelText, LoggedModelTime,
};
use crate::search::{ListTest, Membership};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::predicate::{Column, Search, direction, number_op};
use crate::store::{Store, each};

/// The SQL type of a [`LoggedModelRow`].
type LoggedModelColumns = (
    Text,
    Integer,
    Text,
    Text,
    BigInt,
    BigInt,
    Integer,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
);

impl Store {
    /// Returns a page of logged models, and the token of the next page if there is one. Deleted models are never found,
    /// those of deleted experiments are. Ordered as asked, then by creation (newest first), then by id.
    ///
    /// Upstream: `SqlAlchemyStore.search_logged_models`.
    pub async fn search_logged_models(
        &self,
        page: LoggedModelPage,
        query: LoggedModelQuery,
    ) -> Result<search_logged_models::Response> {
        self.scan(move |conn| search_in(conn, &page, &query)).await
    }
}

fn search_in(
    conn: &mut Conn,
    page: &LoggedModelPage,
    query: &LoggedModelQuery,
) -> Result<search_logged_models::Response> {
    let search = statement(conn.dialect(), page, query);
    // One more than the page tells whether there is a next one.
    let mut rows: Vec<LoggedModelRow> = each!(conn, c => search.load(c))?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let next_page_token = (rows.len() > limit).then(|| page.next_token());
    rows.truncate(limit);
    Ok(search_logged_models::Response { models: assemble(conn, rows)?, next_page_token })
}

/// Each condition and each order on a metric, param or tag is a look-up by the primary key of its table, for the models
/// of the searched experiments only.
fn statement(
    dialect: Dialect,
    page: &LoggedModelPage,
    query: &LoggedModelQuery,
) -> Search<LoggedModelColumns> {
    let mut search = Search::new(dialect);
    search.sql(
        "SELECT m.model_id, m.experiment_id, m.name, m.artifact_location, m.creation_timestamp_ms, \
         m.last_updated_timestamp_ms, m.status, m.lifecycle_stage, m.model_type, m.source_run_id, m.status_message \
         FROM logged_models m WHERE m.lifecycle_stage != 'deleted' AND m.experiment_id",
    );
    search.ids(Membership::In, &page.experiment_ids);
    for predicate in &query.predicates {
        search.sql(" AND ");
        restrict(&mut search, predicate, &page.datasets);
    }
    let has_metrics = query.predicates.iter().any(|p| matches!(p, LoggedModelPredicate::Metric { .. }));
    if !has_metrics && !page.datasets.is_empty() {
        search.sql(" AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id");
        on_datasets(&mut search, &page.datasets);
        search.sql(")");
    }
    search.sql(" ORDER BY ");
    for (index, (order, towards)) in query.order.iter().enumerate() {
        search.sql(if index == 0 { "" } else { ", " });
        order_key(&mut search, order);
        search.sql(direction(*towards)).sql(" NULLS LAST");
    }
    search.page(page.limit + 1, page.offset);
    search
}

fn restrict(
    search: &mut Search<LoggedModelColumns>,
    predicate: &LoggedModelPredicate,
    datasets: &[SearchedDataset],
) {
    match predicate {
        LoggedModelPredicate::Metric { key, op, value } => {
            search.sql("EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id");
            search.sql(" AND x.metric_name = ").text(key);
            search.sql(" AND x.metric_value").sql(number_op(*op)).double(*value);
            on_datasets(search, datasets);
            search.sql(")");
        }
        LoggedModelPredicate::Param(key, test) => {
            search.sql("EXISTS (SELECT 1 FROM logged_model_params x WHERE x.model_id = m.model_id");
            has(search, " AND x.param_key = ", key, "x.param_value", test);
        }
        LoggedModelPredicate::Tag(key, test) => {
            search.sql("EXISTS (SELECT 1 FROM logged_model_tags x WHERE x.model_id = m.model_id");
            has(search, " AND x.tag_key = ", key, "x.tag_value", test);
        }
        LoggedModelPredicate::Text(column, test) => {
            search.list_test(Column::Of(as_text(*column)), test);
        }
        LoggedModelPredicate::Time(column, op, value) => {
            search.sql(time_column(*column)).sql(number_op(*op)).double(*value);
        }
    }
}

fn has(
    search: &mut Search<LoggedModelColumns>,
    key_is: &'static str,
    key: &str,
    value: &'static str,
    test: &ListTest,
) {
    search.sql(key_is).text(key).sql(" AND ").list_test(Column::Of(value), test).sql(")");
}

/// Restricts metrics to those that were measured on one of the datasets, if there are any.
fn on_datasets(search: &mut Search<LoggedModelColumns>, datasets: &[SearchedDataset]) {
    for (index, SearchedDataset { name, digest }) in datasets.iter().enumerate() {
        search.sql(if index == 0 { " AND (" } else { " OR " });
        search.sql("x.dataset_name = ").text(name).sql(" AND x.dataset_digest");
        match digest {
            Some(digest) => search.sql(" = ").text(digest),
            None => search.sql(" IS NULL"),
        };
    }
    if !datasets.is_empty() {
        search.sql(")");
    }
}

fn order_key(search: &mut Search<LoggedModelColumns>, order: &LoggedModelOrder) {
    match order {
        LoggedModelOrder::Text(column) => search.sql(column_name(*column)),
        LoggedModelOrder::Time(column) => search.sql(time_column(*column)),
        LoggedModelOrder::Metric { key, dataset_name, dataset_digest } => {
            search.sql("(SELECT x.metric_value FROM logged_model_metrics x WHERE x.model_id = m.model_id");
            search.sql(" AND x.metric_name = ").text(key);
            if let Some(name) = dataset_name {
                search.sql(" AND x.dataset_name = ").text(name);
            }
            if let Some(digest) = dataset_digest {
                search.sql(" AND x.dataset_digest = ").text(digest);
            }
            search.sql(" ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, x.run_id LIMIT 1)")
        }
    };
}

const fn column_name(column: LoggedModelText) -> &'static str {
    match column {
        LoggedModelText::Id => "m.model_id",
        LoggedModelText::Name => "m.name",
        LoggedModelText::ArtifactLocation => "m.artifact_location",
        LoggedModelText::LifecycleStage => "m.lifecycle_stage",
        LoggedModelText::ModelType => "m.model_type",
        LoggedModelText::SourceRun => "m.source_run_id",
        LoggedModelText::StatusMessage => "m.status_message",
        LoggedModelText::Status => "m.status",
        LoggedModelText::Experiment => "m.experiment_id",
    }
}

/// Returns the column as a text, which two of them are not.
const fn as_text(column: LoggedModelText) -> &'static str {
    match column {
        LoggedModelText::Status => "CAST(m.status AS TEXT)",
        LoggedModelText::Experiment => "CAST(m.experiment_id AS TEXT)",
        text => column_name(text),
    }
}

const fn time_column(column: LoggedModelTime) -> &'static str {
    match column {
        LoggedModelTime::Creation => "m.creation_timestamp_ms",
        LoggedModelTime::LastUpdated => "m.last_updated_timestamp_ms",
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::pg::Pg;
    use diesel::sqlite::Sqlite;

    use super::*;
    use crate::proto::SearchLoggedModels;

    fn sql(dialect: Dialect, request: &str) -> String {
        let request: SearchLoggedModels = serde_json::from_str(request).unwrap();
        let page = LoggedModelPage::try_from(&request).unwrap();
        let query = LoggedModelQuery::parse(request.filter(), &request.order_by).unwrap();
        let statement = statement(dialect, &page, &query);
        let text = match dialect {
            Dialect::Postgres => debug_query::<Pg, _>(&statement).to_string(),
            Dialect::Sqlite => debug_query::<Sqlite, _>(&statement).to_string(),
        };
        // The columns are the same in every search.
        text.split_once(" FROM logged_models m WHERE ").unwrap().1.to_owned()
    }

    #[test]
    fn the_default_listing_is_newest_first() {
        insta::assert_snapshot!(
            sql(Dialect::Postgres, r#"{"experiment_ids":["1","2"]}"#),
            @r#"m.lifecycle_stage != 'deleted' AND m.experiment_id IN ($1, $2) ORDER BY m.creation_timestamp_ms DESC NULLS LAST, m.model_id ASC NULLS LAST LIMIT $3 OFFSET $4 -- binds: [1, 2, 51, 0]"#
        );
    }

    const ALL: &str = r#"{"experiment_ids":["1"],"max_results":2,
        "filter":"metrics.acc > 0.5 AND params.lr LIKE '0%' AND tags.team IN ('a','b') AND name ILIKE 'X%' AND status = '2' AND creation_time >= 7",
        "datasets":[{"dataset_name":"d","dataset_digest":"1"},{"dataset_name":"e"}],
        "order_by":[{"field_name":"metrics.acc","dataset_name":"d","ascending":false},{"field_name":"name"}]}"#;

    #[test]
    fn every_part_of_a_search_is_lowered() {
        insta::assert_snapshot!(sql(Dialect::Postgres, ALL), @r#"m.lifecycle_stage != 'deleted' AND m.experiment_id IN ($1) AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id AND x.metric_name = $2 AND x.metric_value > $3 AND (x.dataset_name = $4 AND x.dataset_digest = $5 OR x.dataset_name = $6 AND x.dataset_digest IS NULL)) AND EXISTS (SELECT 1 FROM logged_model_params x WHERE x.model_id = m.model_id AND x.param_key = $7 AND x.param_value LIKE $8) AND EXISTS (SELECT 1 FROM logged_model_tags x WHERE x.model_id = m.model_id AND x.tag_key = $9 AND x.tag_value IN ($10, $11)) AND m.name ILIKE $12 AND CAST(m.status AS TEXT) = $13 AND m.creation_timestamp_ms >= $14 ORDER BY (SELECT x.metric_value FROM logged_model_metrics x WHERE x.model_id = m.model_id AND x.metric_name = $15 AND x.dataset_name = $16 ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, x.run_id LIMIT 1) DESC NULLS LAST, m.name ASC NULLS LAST, m.creation_timestamp_ms DESC NULLS LAST, m.model_id ASC NULLS LAST LIMIT $17 OFFSET $18 -- binds: [1, "acc", 0.5, "d", "1", "e", "lr", "0%", "team", "a", "b", "X%", "2", 7.0, "acc", "d", 3, 0]"#);
        insta::assert_snapshot!(sql(Dialect::Sqlite, ALL), @r#"m.lifecycle_stage != 'deleted' AND m.experiment_id IN (?) AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id AND x.metric_name = ? AND x.metric_value > ? AND (x.dataset_name = ? AND x.dataset_digest = ? OR x.dataset_name = ? AND x.dataset_digest IS NULL)) AND EXISTS (SELECT 1 FROM logged_model_params x WHERE x.model_id = m.model_id AND x.param_key = ? AND x.param_value LIKE ?) AND EXISTS (SELECT 1 FROM logged_model_tags x WHERE x.model_id = m.model_id AND x.tag_key = ? AND x.tag_value IN (?, ?)) AND lower(m.name) LIKE lower(?) AND CAST(m.status AS TEXT) = ? AND m.creation_timestamp_ms >= ? ORDER BY (SELECT x.metric_value FROM logged_model_metrics x WHERE x.model_id = m.model_id AND x.metric_name = ? AND x.dataset_name = ? ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, x.run_id LIMIT 1) DESC NULLS LAST, m.name ASC NULLS LAST, m.creation_timestamp_ms DESC NULLS LAST, m.model_id ASC NULLS LAST LIMIT ? OFFSET ? -- binds: [1, "acc", 0.5, "d", "1", "e", "lr", "0%", "team", "a", "b", "X%", "2", 7.0, "acc", "d", 3, 0]"#);
    }

    #[test]
    fn datasets_alone_ask_for_any_metric() {
        let request = r#"{"experiment_ids":[],"datasets":[{"dataset_name":"d"}]}"#;
        insta::assert_snapshot!(sql(Dialect::Sqlite, request), @r#"m.lifecycle_stage != 'deleted' AND m.experiment_id IN (SELECT 0 WHERE 1 = 0) AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model_id = m.model_id AND (x.dataset_name = ? AND x.dataset_digest IS NULL)) ORDER BY m.creation_timestamp_ms DESC NULLS LAST, m.model_id ASC NULLS LAST LIMIT ? OFFSET ? -- binds: ["d", 51, 0]"#);
    }
}
