//! Trace metrics, with their aggregations and dimensions. Their filters are in `filter.rs`.

mod filter;

use crate::domain::python::{float, list};
use crate::domain::validate::searched_experiment_ids;
use crate::domain::{Error, Result};
use crate::proto::{AggregationType, MetricAggregation, MetricViewType, QueryTraceMetrics};
use crate::search::MAX_CLAUSES;
use crate::search::traces::TraceFilter;
use filter::MetricFilter;

pub use filter::OwnColumn;

/// A validated metric query: lowering it cannot fail.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricQuery {
    /// The experiments.
    pub experiments: Vec<i32>,
    /// The data source.
    pub view: MetricViewType,
    /// The metric's name.
    pub name: &'static str,
    /// The metric.
    pub metric: Metric,
    /// The aggregations.
    pub aggregations: Vec<Aggregation>,
    /// The dimensions, beside the time.
    pub dimensions: Vec<Dimension>,
    /// The filter on traces.
    pub traces: TraceFilter,
    /// The filter on spans or assessments.
    pub own: Vec<(OwnColumn, String)>,
    /// The time bucket's length; never 0.
    pub interval_seconds: Option<i64>,
    /// The first millisecond, inclusive.
    pub start_ms: Option<i64>,
    /// The last one.
    pub end_ms: Option<i64>,
    /// The group limit.
    pub limit: i64,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// `trace_count`
    Traces,
    /// `session_count`
    Sessions,
    /// `latency` of traces, in milliseconds.
    TraceLatency,
    /// `input_tokens`
    InputTokens,
    /// `output_tokens`
    OutputTokens,
    /// `total_tokens`
    TotalTokens,
    /// `cache_read_input_tokens`
    CacheReadTokens,
    /// `cache_creation_input_tokens`
    CacheCreationTokens,
    /// `span_count`
    Spans,
    /// `latency` of spans, in whole milliseconds.
    SpanLatency,
    /// `input_cost`
    InputCost,
    /// `output_cost`
    OutputCost,
    /// `total_cost`
    TotalCost,
    /// `assessment_count`
    Assessments,
    /// `assessment_value`
    AssessmentValue,
}

/// An aggregation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// `COUNT`
    Count,
    /// `SUM`
    Sum,
    /// `AVG`
    Avg,
    /// `MIN`
    Min,
    /// `MAX`
    Max,
    /// `PERCENTILE`, from 0 to 100.
    Percentile(f64),
}

/// A grouping dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// `trace_name`
    TraceName,
    /// `trace_status`
    TraceStatus,
    /// `span_name`
    SpanName,
    /// `span_type`
    SpanType,
    /// `span_status`
    SpanStatus,
    /// `span_model_name`
    SpanModel,
    /// `span_model_provider`
    SpanProvider,
    /// `assessment_name`
    AssessmentName,
    /// `assessment_value`
    AssessmentValue,
}

/// A metric's name, the kinds of aggregations, the dimensions.
type Row = (&'static str, Metric, &'static [&'static str], &'static [Dimension]);

const COUNTS: &[&str] = &["COUNT"];
const LATENCIES: &[&str] = &["AVG", "MAX", "MIN", "PERCENTILE"];
const SUMS: &[&str] = &["AVG", "MAX", "MIN", "PERCENTILE", "SUM"];
const MODELS: &[Dimension] = &[Dimension::SpanModel, Dimension::SpanProvider];

const TRACES: &[Row] = &[
    ("trace_count", Metric::Traces, COUNTS, &[Dimension::TraceName, Dimension::TraceStatus]),
    ("session_count", Metric::Sessions, COUNTS, &[]),
    ("latency", Metric::TraceLatency, LATENCIES, &[Dimension::TraceName]),
    ("input_tokens", Metric::InputTokens, SUMS, &[Dimension::TraceName]),
    ("output_tokens", Metric::OutputTokens, SUMS, &[Dimension::TraceName]),
    ("total_tokens", Metric::TotalTokens, SUMS, &[Dimension::TraceName]),
    ("cache_read_input_tokens", Metric::CacheReadTokens, SUMS, &[Dimension::TraceName]),
    ("cache_creation_input_tokens", Metric::CacheCreationTokens, SUMS, &[Dimension::TraceName]),
];

const SPANS: &[Row] = &[
    (
        "span_count",
        Metric::Spans,
        COUNTS,
        &[
            Dimension::SpanModel,
            Dimension::SpanProvider,
            Dimension::SpanName,
            Dimension::SpanStatus,
            Dimension::SpanType,
        ],
    ),
    ("latency", Metric::SpanLatency, LATENCIES, &[Dimension::SpanName, Dimension::SpanStatus]),
    ("input_cost", Metric::InputCost, SUMS, MODELS),
    ("output_cost", Metric::OutputCost, SUMS, MODELS),
    ("total_cost", Metric::TotalCost, SUMS, MODELS),
];

const ASSESSMENTS: &[Row] = &[
    (
        "assessment_count",
        Metric::Assessments,
        COUNTS,
        &[Dimension::AssessmentName, Dimension::AssessmentValue],
    ),
    ("assessment_value", Metric::AssessmentValue, LATENCIES, &[Dimension::AssessmentName]),
];

/// The default limit on groups.
const DEFAULT_GROUPS: i32 = 1000;

impl MetricQuery {
    /// Parses a request, in stock's order of checks.
    ///
    /// Upstream: `_query_trace_metrics`, `validate_query_trace_metrics_params`. Differs: percentiles that are missing
    /// or out of range are refused with `INVALID_PARAMETER_VALUE`, not with a 500, and so are more than [`MAX_CLAUSES`]
    /// filters.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a metric, aggregation, dimension, filter or experiment id that there is not.
    pub fn parse(request: &QueryTraceMetrics) -> Result<Self> {
        let aggregations = request.aggregations.iter().map(Aggregation::read).collect::<Result<Vec<_>>>()?;
        let view = request.view_type();
        let row = row(view, request.metric_name())?;
        let dimensions = read_names(row, &aggregations, &request.dimensions)?;
        let interval_seconds = request.time_interval_seconds.filter(|seconds| *seconds != 0);
        if interval_seconds.is_some() && (request.start_time_ms.is_none() || request.end_time_ms.is_none()) {
            return Err(Error::invalid(
                "start_time_ms and end_time_ms are required if time_interval_seconds is set",
            ));
        }
        let experiments = searched_experiment_ids(&request.experiment_ids)?;
        let mut traces = TraceFilter::default();
        let mut own = Vec::new();
        if request.filters.len() > MAX_CLAUSES {
            return Err(Error::invalid(format!("A request can have at most {MAX_CLAUSES} filters")));
        }
        for filter in &request.filters {
            match MetricFilter::parse(filter)? {
                MetricFilter::Trace(predicate) => traces.predicates.push(predicate),
                MetricFilter::Own(column, value) if column.view().0 == view => own.push((column, value)),
                MetricFilter::Own(column, _) => {
                    let (wanted, name) = column.view();
                    return Err(Error::invalid(format!(
                        "Filtering by {name} is only supported for {} view type, got {}",
                        wanted.as_str_name(),
                        view.as_str_name()
                    )));
                }
            }
        }
        let limit = request.max_results.unwrap_or(DEFAULT_GROUPS);
        if limit < 0 {
            return Err(Error::invalid(format!("max_results must not be negative, got {limit}")));
        }
        if aggregations.is_empty() && dimensions.is_empty() && interval_seconds.is_none() {
            return Err(Error::invalid(
                "Nothing is asked for: no aggregations, no dimensions and no interval",
            ));
        }
        Ok(Self {
            experiments,
            view,
            name: row.0,
            metric: row.1,
            aggregations,
            dimensions,
            traces,
            own,
            interval_seconds,
            start_ms: request.start_time_ms,
            end_ms: request.end_time_ms,
            limit: limit.into(),
        })
    }

    /// Says whether the time range is on traces, not on what is measured.
    pub fn is_bound_by_traces(&self) -> bool {
        matches!(self.metric, Metric::Spans | Metric::SpanLatency)
            && (self.start_ms.is_some() || self.end_ms.is_some())
    }
}

const fn rows(view: MetricViewType) -> &'static [Row] {
    match view {
        MetricViewType::Traces => TRACES,
        MetricViewType::Spans => SPANS,
        MetricViewType::Assessments => ASSESSMENTS,
    }
}

fn row(view: MetricViewType, name: &str) -> Result<&'static Row> {
    let rows = rows(view);
    rows.iter().find(|row| row.0 == name).ok_or_else(|| {
        let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
        Error::invalid(format!("metric_name must be one of {}, got '{name}'", list(&names)))
    })
}

/// Checks the aggregations and reads the dimensions of a metric.
fn read_names(row: &Row, aggregations: &[Aggregation], dimensions: &[String]) -> Result<Vec<Dimension>> {
    let unknown = |names: &mut Vec<&str>| {
        names.sort_unstable();
        names.dedup();
        list(names)
    };
    let mut invalid: Vec<&str> =
        aggregations.iter().map(|a| a.kind()).filter(|kind| !row.2.contains(kind)).collect();
    if !invalid.is_empty() {
        return Err(Error::invalid(format!(
            "Found invalid aggregation_type(s): {}. Supported aggregation types: {}",
            unknown(&mut invalid),
            list(row.2)
        )));
    }
    let find = |name: &&str| row.3.iter().find(|dimension| dimension.name() == *name);
    let mut invalid: Vec<&str> =
        dimensions.iter().map(String::as_str).filter(|name| find(name).is_none()).collect();
    if !invalid.is_empty() {
        let known: Vec<&str> = row.3.iter().map(|dimension| dimension.name()).collect();
        return Err(Error::invalid(format!(
            "Found invalid dimension(s): {}. Supported dimensions: {}",
            unknown(&mut invalid),
            list(&known)
        )));
    }
    let mut read: Vec<Dimension> = Vec::with_capacity(dimensions.len());
    for dimension in dimensions.iter().filter_map(|name| find(&name.as_str())) {
        if !read.contains(dimension) {
            read.push(*dimension);
        }
    }
    Ok(read)
}

impl Aggregation {
    /// Upstream: `MetricAggregation`.
    fn read(request: &MetricAggregation) -> Result<Self> {
        let aggregation = match (request.aggregation_type(), request.percentile_value) {
            (AggregationType::Percentile, Some(value)) if (0.0..=100.0).contains(&value) => {
                return Ok(Self::Percentile(value));
            }
            (AggregationType::Percentile, Some(value)) => {
                return Err(Error::invalid(format!(
                    "Percentile value must be between 0 and 100, got {}",
                    float(value)
                )));
            }
            (AggregationType::Percentile, None) => {
                return Err(Error::invalid("Percentile value is required for PERCENTILE aggregation"));
            }
            (AggregationType::Count, _) => Self::Count,
            (AggregationType::Sum, _) => Self::Sum,
            (AggregationType::Avg, _) => Self::Avg,
            (AggregationType::Min, _) => Self::Min,
            (AggregationType::Max, _) => Self::Max,
        };
        if request.percentile_value.is_some() {
            return Err(Error::invalid(format!(
                "Percentile value is only allowed for PERCENTILE aggregation type, got {}",
                aggregation.kind()
            )));
        }
        Ok(aggregation)
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Avg => "AVG",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Percentile(_) => "PERCENTILE",
        }
    }

    /// Returns the key of its value in responses.
    pub fn label(self) -> String {
        match self {
            Self::Percentile(percentage) => format!("P{}", float(percentage)),
            other => other.kind().to_owned(),
        }
    }
}

impl Dimension {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TraceName => "trace_name",
            Self::TraceStatus => "trace_status",
            Self::SpanName => "span_name",
            Self::SpanType => "span_type",
            Self::SpanStatus => "span_status",
            Self::SpanModel => "span_model_name",
            Self::SpanProvider => "span_model_provider",
            Self::AssessmentName => "assessment_name",
            Self::AssessmentValue => "assessment_value",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(more: &Value) -> Result<MetricQuery> {
        let mut body = json!({ "experiment_ids": ["1"], "view_type": "TRACES", "metric_name": "latency",
            "aggregations": [{ "aggregation_type": "AVG" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        MetricQuery::parse(&serde_json::from_value(body).unwrap())
    }

    #[test]
    fn bad_requests_are_refused_in_the_words_of_stock() {
        for (more, want) in [
            (
                json!({ "metric_name": "nope", "view_type": "ASSESSMENTS" }),
                "metric_name must be one of ['assessment_count', 'assessment_value'], got 'nope'",
            ),
            (
                json!({ "aggregations": [{ "aggregation_type": "SUM" }, { "aggregation_type": "COUNT" }] }),
                "Found invalid aggregation_type(s): ['COUNT', 'SUM']. Supported aggregation types: ['AVG', 'MAX', \
                 'MIN', 'PERCENTILE']",
            ),
            (
                json!({ "dimensions": ["span_name", "trace_name", "a"] }),
                "Found invalid dimension(s): ['a', 'span_name']. Supported dimensions: ['trace_name']",
            ),
            (
                json!({ "time_interval_seconds": 60, "start_time_ms": 1 }),
                "start_time_ms and end_time_ms are required if time_interval_seconds is set",
            ),
            (
                json!({ "aggregations": [{ "aggregation_type": "PERCENTILE", "percentile_value": 101 }] }),
                "Percentile value must be between 0 and 100, got 101.0",
            ),
            (
                json!({ "filters": ["span.name = 'x'"] }),
                "Filtering by span is only supported for SPANS view type, got TRACES",
            ),
            (
                json!({ "filters": vec!["trace.status = 'OK'"; MAX_CLAUSES + 1] }),
                "A request can have at most 60 filters",
            ),
            (
                json!({ "experiment_ids": ["x"] }),
                "Invalid experiment ID 'x'. Experiment ID must be a valid integer.",
            ),
        ] {
            assert_eq!(parse(&more).unwrap_err().message, want, "{more}");
        }
    }

    #[test]
    fn names_are_listed_in_their_order() {
        for row in [TRACES, SPANS, ASSESSMENTS].concat() {
            assert!(row.2.is_sorted() && row.3.is_sorted_by_key(|dimension| dimension.name()), "{}", row.0);
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let query = parse(&json!({ "dimensions": ["trace_name", "trace_name"], "time_interval_seconds": 0 }))
            .unwrap();
        assert_eq!(query.limit, 1000);
        assert_eq!(query.dimensions, [Dimension::TraceName]);
        assert_eq!(query.interval_seconds, None);
        assert!(parse(&json!({ "max_results": -1 })).is_err());
        let percentile = json!([{ "aggregation_type": "PERCENTILE", "percentile_value": 50 }]);
        assert_eq!(parse(&json!({ "aggregations": percentile })).unwrap().aggregations[0].label(), "P50.0");
    }
}
