//! How often two filters find the same traces.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::filter::{Reading, in_experiments, restrict};
use crate::domain::Result;
use crate::domain::correlation::Counts;
use crate::domain::validate::searched_experiment_ids;
use crate::proto::CalculateTraceFilterCorrelation;
use crate::search::traces::TraceFilter;
use crate::store::dialect::Dialect;
use crate::store::predicate::Search;
use crate::store::{Store, each};

/// What to count: of the traces that `base` finds.
#[derive(Debug)]
pub struct TraceCorrelation {
    experiments: Vec<i32>,
    base: TraceFilter,
    first: TraceFilter,
    second: TraceFilter,
}

impl TraceCorrelation {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad experiment id or filter.
    pub fn new(request: &CalculateTraceFilterCorrelation) -> Result<Self> {
        let experiments = searched_experiment_ids(&request.experiment_ids)?;
        let base = request.base_filter();
        // One filter with the base, not a second one: what both ask of spans is asked of one span.
        let within = |filter: &str| {
            if base.is_empty() {
                return TraceFilter::parse(filter);
            }
            TraceFilter::parse(&format!("{base} and {filter}"))
        };
        let first = within(request.filter_string1())?;
        let second = within(request.filter_string2())?;
        Ok(Self { experiments, base: TraceFilter::parse(base)?, first, second })
    }
}

impl Store {
    /// Counts the traces that each of two filters finds, and both.
    ///
    /// Upstream: `SqlAlchemyStore.calculate_trace_filter_correlation`.
    pub async fn count_trace_correlation(&self, correlation: TraceCorrelation) -> Result<Counts> {
        self.scan(move |conn| {
            let search = statement(conn.dialect(), &correlation);
            let (total, first, second, joint) =
                conn.with_table_scans(|conn| Ok(each!(conn, c => search.get_result(c))?))?;
            Ok(Counts { total, first, second, joint })
        })
        .await
    }
}

/// Reads each trace once.
fn statement(dialect: Dialect, correlation: &TraceCorrelation) -> Search<(BigInt, BigInt, BigInt, BigInt)> {
    let TraceCorrelation { experiments, base, first, second } = correlation;
    let mut search = Search::new(dialect);
    search.sql(
        "SELECT COUNT(*), COUNT(c.first), COUNT(c.second), COUNT(c.first + c.second) FROM (SELECT CASE WHEN 1 = 1",
    );
    restrict(&mut search, first, experiments, Reading::All);
    search.sql(" THEN 1 END AS first, CASE WHEN 1 = 1");
    restrict(&mut search, second, experiments, Reading::All);
    search.sql(" THEN 1 END AS second FROM trace_info t WHERE ");
    in_experiments(&mut search, "t.experiment_id", experiments);
    restrict(&mut search, base, experiments, Reading::All);
    search.sql(") c");
    search
}
