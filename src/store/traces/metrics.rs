//! Metrics over traces, their spans and their assessments: a [`MetricQuery`] as one statement with a row for each group.

use std::collections::BTreeMap;

use diesel::QueryableByName;
use diesel::backend::Backend;
use diesel::deserialize::{FromSql, Result as ReadResult};
use diesel::prelude::*;
use diesel::row::{Field as _, NamedRow, Row};
use diesel::sql_types::{BigInt, Double, Text, Untyped};

use super::filter::{Reading, in_experiments, restrict};
use crate::domain::{Result, time};
use crate::proto::{MetricDataPoint, MetricViewType as View, query_trace_metrics};
use crate::search::trace_metrics::{Aggregation, Dimension, Metric, MetricQuery, OwnColumn};
use crate::search::traces::TraceFilter;
use crate::store::dialect::Dialect;
use crate::store::predicate::Search;
use crate::store::{Store, each};

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Traces, as `t`.
    Traces,
    /// Spans, as `s`.
    Spans,
    /// Spans as `s` with their traces as `t`.
    SpansOfTraces,
    /// Valid assessments, as `a`.
    Assessments,
}

impl Store {
    /// Returns a value for each aggregation and each group that has any, ordered by time, then by the dimensions.
    ///
    /// Upstream: `SqlAlchemyStore.query_trace_metrics`, without the opt-in tables of daily sums.
    pub async fn query_trace_metrics(&self, query: MetricQuery) -> Result<query_trace_metrics::Response> {
        self.scan(move |conn| {
            let search = statement(conn.dialect(), &query);
            let groups: Vec<Group> = conn.with_table_scans(|conn| Ok(each!(conn, c => search.load(c))?))?;
            let data_points = groups.into_iter().filter_map(|group| group.into_point(&query)).collect();
            Ok(query_trace_metrics::Response { data_points, next_page_token: None })
        })
        .await
    }
}

/// Spans are asked alone where nothing about their trace is. Differs on SQLite, where stock always goes through the
/// traces: spans say themselves in which experiment they are.
fn source(query: &MetricQuery) -> Source {
    let of_trace = !query.traces.predicates.is_empty() || query.is_bound_by_traces();
    match query.view {
        View::Traces => Source::Traces,
        View::Spans if of_trace => Source::SpansOfTraces,
        View::Spans => Source::Spans,
        View::Assessments => Source::Assessments,
    }
}

fn statement(dialect: Dialect, query: &MetricQuery) -> Search<Untyped> {
    let source = source(query);
    let mut search = Search::new(dialect);
    search.sql("SELECT ");
    let groups = groups(&mut search, query);
    for (index, aggregation) in query.aggregations.iter().enumerate() {
        search.sql(if index + groups == 0 { "" } else { ", " });
        search.sql("CAST(");
        aggregate(&mut search, query.metric, *aggregation);
        search.sql(" AS DOUBLE PRECISION)").alias(" AS v", index);
    }
    let experiment = match source {
        Source::Traces => {
            search.sql(" FROM trace_info t");
            "t.experiment_id"
        }
        Source::Spans => {
            search.sql(" FROM spans s");
            "s.experiment_id"
        }
        Source::SpansOfTraces => {
            search.sql(" FROM trace_info t JOIN spans s ON s.trace_id = t.request_id");
            "t.experiment_id"
        }
        Source::Assessments => {
            search.sql(" FROM assessments a");
            "a.experiment_id"
        }
    };
    in_experiments(search.sql(" WHERE "), experiment, &query.experiments);
    times(&mut search, query);
    conditions(&mut search, query, source);
    // By their places: PostgreSQL takes two expressions with binds for different ones.
    for word in [" GROUP BY ", " ORDER BY "] {
        for place in 1..=groups {
            search.alias(if place == 1 { word } else { ", " }, place);
        }
    }
    search.sql(" LIMIT ").bigint(query.limit);
    search
}

/// Adds what is grouped by, the time first, and returns how many there are.
fn groups(search: &mut Search<Untyped>, query: &MetricQuery) -> usize {
    let mut groups = 0;
    if let Some(seconds) = query.interval_seconds {
        bucket(search, query.view, seconds);
        search.sql(" AS b");
        groups += 1;
    }
    for (index, dimension) in query.dimensions.iter().enumerate() {
        search.sql(if groups == 0 { "" } else { ", " });
        search.sql(dimension_column(*dimension)).alias(" AS d", index);
        groups += 1;
    }
    groups
}

/// Adds the beginning of the interval that a time lies in, in milliseconds: whole intervals below it, also below zero.
fn bucket(search: &mut Search<Untyped>, view: View, seconds: i64) {
    // What is beyond makes one interval of all times there are, without a sum that would not fit.
    const MOST: i64 = i64::MAX / 2;
    let (column, unit) = match view {
        View::Traces => ("t.timestamp_ms", 1000),
        View::Spans => ("s.start_time_unix_nano", 1_000_000_000),
        View::Assessments => ("a.trace_timestamp_ms", 1000),
    };
    let width = seconds.saturating_mul(unit).clamp(-MOST, MOST);
    search.sql("(").sql(column).sql(" - ((").sql(column).sql(" % ").bigint(width).sql(") + ").bigint(width);
    search.sql(") % ").bigint(width).sql(")");
    if view == View::Spans {
        search.sql(" / 1000000");
    }
}

fn aggregate(search: &mut Search<Untyped>, metric: Metric, aggregation: Aggregation) {
    let column = metric_column(metric);
    match aggregation {
        Aggregation::Count => search.sql("COUNT(").sql(column),
        Aggregation::Sum => search.sql("SUM(").sql(column),
        Aggregation::Avg => search.sql("AVG(").sql(column),
        Aggregation::Min => search.sql("MIN(").sql(column),
        Aggregation::Max => search.sql("MAX(").sql(column),
        Aggregation::Percentile(percentage) => return search.percentile(column, percentage),
    }
    .sql(")");
}

fn times(search: &mut Search<Untyped>, query: &MetricQuery) {
    let (column, is_nano) = match query.view {
        View::Traces => ("t.timestamp_ms", false),
        View::Spans if !query.is_bound_by_traces() => ("s.start_time_unix_nano", true),
        View::Spans => ("t.timestamp_ms", false),
        View::Assessments => ("a.trace_timestamp_ms", false),
    };
    let scaled = |ms: i64| if is_nano { ms.checked_mul(1_000_000) } else { Some(ms) };
    if let Some(start) = query.start_ms {
        match scaled(start) {
            Some(start) => _ = search.sql(" AND ").sql(column).sql(" >= ").bigint(start),
            None if start > 0 => _ = search.sql(" AND 1 = 0"),
            None => {}
        }
    }
    if let Some(end) = query.end_ms {
        // The whole of the last millisecond.
        match scaled(if is_nano { end.saturating_add(1) } else { end }) {
            Some(end) => {
                _ = search.sql(" AND ").sql(column).sql(if is_nano { " < " } else { " <= " }).bigint(end);
            }
            None if end < 0 => _ = search.sql(" AND 1 = 0"),
            None => {}
        }
    }
}

fn conditions(search: &mut Search<Untyped>, query: &MetricQuery, source: Source) {
    match source {
        Source::Assessments => {
            search.sql(" AND a.valid");
            in_trace(search, &query.traces);
        }
        Source::Traces | Source::SpansOfTraces => {
            restrict(search, &query.traces, &query.experiments, Reading::All);
        }
        Source::Spans => {}
    }
    for (column, value) in &query.own {
        search.sql(" AND ").sql(own_column(*column)).sql(" = ").text(value);
    }
    // What is missing must not count as a group, nor a group of which all is missing.
    match query.metric {
        Metric::Traces | Metric::Spans | Metric::Assessments => {}
        Metric::Sessions => _ = search.sql(" AND t.session_id IS NOT NULL"),
        metric => _ = search.sql(" AND ").sql(metric_column(metric)).sql(" IS NOT NULL"),
    }
    for dimension in &query.dimensions {
        search.sql(" AND ").sql(dimension_column(*dimension)).sql(" IS NOT NULL");
    }
}

/// Adds what the trace of an assessment must be.
fn in_trace(search: &mut Search<Untyped>, filter: &TraceFilter) {
    if filter.predicates.is_empty() {
        return;
    }
    search.sql(" AND EXISTS (SELECT 1 FROM trace_info t WHERE t.request_id = a.trace_id");
    restrict(search, filter, &[], Reading::All);
    search.sql(")");
}

const fn metric_column(metric: Metric) -> &'static str {
    match metric {
        Metric::Traces | Metric::Spans | Metric::Assessments => "*",
        Metric::Sessions => "DISTINCT t.session_id",
        Metric::TraceLatency => "t.execution_time_ms",
        Metric::InputTokens => "t.input_tokens",
        Metric::OutputTokens => "t.output_tokens",
        Metric::TotalTokens => "t.total_tokens",
        Metric::CacheReadTokens => "t.cache_read_input_tokens",
        Metric::CacheCreationTokens => "t.cache_creation_input_tokens",
        Metric::SpanLatency => "s.duration_ns / 1000000",
        Metric::InputCost => "s.input_cost",
        Metric::OutputCost => "s.output_cost",
        Metric::TotalCost => "s.total_cost",
        Metric::AssessmentValue => "a.aggregate_value",
    }
}

const fn dimension_column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::TraceName => "t.trace_name",
        Dimension::TraceStatus => "t.status",
        Dimension::SpanName => "s.name",
        Dimension::SpanType => "s.type",
        Dimension::SpanStatus => "s.status",
        Dimension::SpanModel => "s.model_name",
        Dimension::SpanProvider => "s.model_provider",
        Dimension::AssessmentName => "a.name",
        Dimension::AssessmentValue => "a.value",
    }
}

const fn own_column(column: OwnColumn) -> &'static str {
    match column {
        OwnColumn::SpanName => "s.name",
        OwnColumn::SpanStatus => "s.status",
        OwnColumn::SpanType => "s.type",
        OwnColumn::AssessmentName => "a.name",
        OwnColumn::AssessmentType => "a.assessment_type",
    }
}

/// A row: what it is a group of, and the values.
#[derive(Debug, Default)]
struct Group {
    bucket_ms: Option<i64>,
    dimensions: Vec<String>,
    values: Vec<Option<f64>>,
}

/// The names of the columns begin with what they are.
impl<DB> QueryableByName<DB> for Group
where
    DB: Backend,
    i64: FromSql<BigInt, DB>,
    f64: FromSql<Double, DB>,
    String: FromSql<Text, DB>,
{
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> ReadResult<Self> {
        let mut group = Self::default();
        for index in 0..row.field_count() {
            let field = Row::get(row, index).ok_or("a column that is counted is missing")?;
            match field.field_name().and_then(|name| name.chars().next()) {
                Some('b') => group.bucket_ms = Some(i64::from_nullable_sql(field.value())?),
                Some('d') => group.dimensions.push(String::from_nullable_sql(field.value())?),
                _ => {
                    let value = field.value().map(|value| f64::from_sql(value)).transpose()?;
                    group.values.push(value);
                }
            }
        }
        Ok(group)
    }
}

impl Group {
    /// Returns the message, if there is any value.
    fn into_point(self, query: &MetricQuery) -> Option<MetricDataPoint> {
        let values = query.aggregations.iter().zip(self.values);
        let values: BTreeMap<String, f64> =
            values.filter_map(|(aggregation, value)| Some((aggregation.label(), value?))).collect();
        if values.is_empty() {
            return None;
        }
        let names = query.dimensions.iter().map(|dimension| dimension.name().to_owned());
        let bucket = self.bucket_ms.map(|ms| ("time_bucket".to_owned(), time::iso_ms(ms)));
        Some(MetricDataPoint {
            metric_name: Some(query.name.to_owned()),
            dimensions: names.zip(self.dimensions).chain(bucket).collect(),
            values,
        })
    }
}

#[cfg(test)]
mod tests;
