//! The search of datasets of evaluations: a query as one statement for the rows of a page.

use diesel::prelude::*;

use super::{DATASET, DatasetColumns, DatasetRow, EXPERIMENT, assemble};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::{Error, Result, validate};
use crate::proto::{SearchEvaluationDatasets, search_evaluation_datasets};
use crate::search::evaluation_datasets::{
    EvaluationDatasetColumn, EvaluationDatasetPredicate, EvaluationDatasetQuery,
};
use crate::search::{Direction, Membership};
use crate::store::dialect::Dialect;
use crate::store::predicate::{Column, Search, direction, number_op};
use crate::store::{Store, each};

impl Store {
    /// Returns a page of datasets with their tags, and the token of the next page if there is one. Two statements.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, limit or page token. Upstream:
    /// `SqlAlchemyStore.search_datasets`.
    pub async fn search_evaluation_datasets(
        &self,
        r: SearchEvaluationDatasets,
    ) -> Result<search_evaluation_datasets::Response> {
        let limit = page_size(r.max_results())?;
        let offset = parse_offset_token(r.page_token.as_deref())?;
        let query = EvaluationDatasetQuery::parse(r.filter_string(), &r.order_by)?;
        self.scan(move |conn| {
            let statement = search_statement(conn.dialect(), &query, &r.experiment_ids, limit, offset);
            let mut rows: Vec<DatasetRow> = each!(conn, c => statement.load(c))?;
            let size = usize::try_from(limit).unwrap_or(usize::MAX);
            let next_page_token = (rows.len() > size).then(|| offset_token(offset.saturating_add(limit)));
            rows.truncate(size);
            Ok(search_evaluation_datasets::Response { datasets: assemble(conn, rows)?, next_page_token })
        })
        .await
    }
}

/// Upstream: the handler takes 0 for no number at all, which the store refuses.
fn page_size(count: i32) -> Result<i64> {
    if count == 0 {
        return Err(Error::invalid(
            "Invalid value None for parameter 'max_results' supplied. It must be a positive integer",
        ));
    }
    validate::max_results(count.into())
}

/// Each condition on a tag, and that on the experiments, is a look-up by the primary key of its table.
fn search_statement(
    dialect: Dialect,
    query: &EvaluationDatasetQuery,
    experiment_ids: &[String],
    limit: i64,
    offset: i64,
) -> Search<DatasetColumns> {
    let mut search = Search::new(dialect);
    search.sql(
        "SELECT d.dataset_id, d.name, d.schema, d.profile, d.digest, d.created_time, d.last_update_time, ",
    );
    search.sql("d.created_by, d.last_updated_by FROM evaluation_datasets d WHERE d.workspace = ");
    search.text(DEFAULT_WORKSPACE);
    if !experiment_ids.is_empty() {
        search.sql(" AND EXISTS (SELECT 1 FROM entity_associations a WHERE a.source_type = ").text(DATASET);
        search.sql(" AND a.source_id = d.dataset_id AND a.destination_type = ").text(EXPERIMENT);
        search.sql(" AND a.destination_id").texts(Membership::In, experiment_ids).sql(")");
    }
    for predicate in &query.predicates {
        search.sql(" AND ");
        match predicate {
            EvaluationDatasetPredicate::Text(column, test) => {
                search.list_test(Column::Of(name(*column)), test);
            }
            EvaluationDatasetPredicate::Place(column, op, text) => {
                search.sql(name(*column)).sql(number_op(*op)).text(text);
            }
            EvaluationDatasetPredicate::Time(column, op, time) => {
                search.sql(name(*column)).sql(number_op(*op)).bigint(*time);
            }
            EvaluationDatasetPredicate::Tag(key, test) => {
                search
                    .sql("EXISTS (SELECT 1 FROM evaluation_dataset_tags t WHERE t.dataset_id = d.dataset_id");
                search.sql(" AND t.key = ").text(key).sql(" AND ");
                search.text_test(Column::Of("t.value"), test).sql(")");
            }
        }
    }
    search.sql(" ORDER BY ");
    for (column, towards) in &query.order {
        search.sql(name(*column)).sql(direction(*towards)).sql(", ");
    }
    search.sql("d.dataset_id").sql(direction(Direction::Descending));
    search.page(limit + 1, offset);
    search
}

const fn name(column: EvaluationDatasetColumn) -> &'static str {
    match column {
        EvaluationDatasetColumn::Name => "d.name",
        EvaluationDatasetColumn::Created => "d.created_time",
        EvaluationDatasetColumn::LastUpdated => "d.last_update_time",
        EvaluationDatasetColumn::CreatedBy => "d.created_by",
        EvaluationDatasetColumn::LastUpdatedBy => "d.last_updated_by",
    }
}
