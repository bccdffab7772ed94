//! Every parser of the filter language on any text, as a filter and as an `order_by`: none may panic,
//! allocate beyond a bound on the text, accept more than a statement can hold, or report a client's mistake
//! as a server error. Filters over runs round-trip.
#![no_main]

use ferroflow::domain::{Error, ErrorCode, Result};
use ferroflow::proto::search_logged_models::OrderBy;
use ferroflow::proto::{MetricAggregation, MetricViewType, QueryTraceMetrics};
use ferroflow::search::evaluation_datasets::EvaluationDatasetQuery;
use ferroflow::search::experiments::ExperimentQuery;
use ferroflow::search::logged_models::LoggedModelQuery;
use ferroflow::search::mcp::{McpQuery, Subject};
use ferroflow::search::model_versions::ModelVersionQuery;
use ferroflow::search::registered_models::RegisteredModelQuery;
use ferroflow::search::runs::{DatasetField, RunPredicate, RunQuery, RunText, RunTime};
use ferroflow::search::trace_metrics::MetricQuery;
use ferroflow::search::traces::TraceQuery;
use ferroflow::search::{
    KeyTest, ListTest, MAX_CLAUSES, Membership, Number, NumberOp, TextOp, TextTest, issues,
};
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;

/// Parses `text` within its allocation bound, beside tables that are initialised once; returns what `count`
/// finds in a query, which is no more than a statement can hold.
#[track_caller]
fn read<Q>(text: &str, parse: impl FnOnce() -> Result<Q>, count: impl FnOnce(&Q) -> usize) -> Option<Q> {
    match within(64 * 1024 + 400 * text.len(), parse) {
        Ok(query) => {
            let count = count(&query);
            // Tie-breakers may come on top.
            assert!(count <= MAX_CLAUSES + 2, "{count} clauses");
            Some(query)
        }
        Err(error) => {
            if !is_order_twice(&error) {
                is_refusal(&error, text.len());
            }
            None
        }
    }
}

/// Stock answers a duplicate key in an order with an internal error.
fn is_order_twice(error: &Error) -> bool {
    error.code == ErrorCode::InternalError && error.message.contains("order_by")
}

fuzz_target!(|text: &str| {
    let order = [text.to_owned()];
    let runs = read(text, || RunQuery::parse(text, &[]), |q| q.predicates.len());
    read(text, || RunQuery::parse("", &order), |q| q.order.len());
    read(text, || ExperimentQuery::parse(text, &[]), |q| q.predicates.len());
    read(text, || ExperimentQuery::parse("", &order), |q| q.order.len());
    read(text, || RegisteredModelQuery::parse(text, &[]), |q| q.predicates.len());
    read(text, || RegisteredModelQuery::parse("", &order), |q| q.order.len());
    read(text, || ModelVersionQuery::parse(text, &[]), |q| q.predicates.len());
    read(text, || ModelVersionQuery::parse("", &order), |q| q.order.len());
    read(text, || LoggedModelQuery::parse(text, &[]), |q| q.predicates.len());
    let by = [OrderBy { field_name: Some(text.to_owned()), ..OrderBy::default() }];
    read(text, || LoggedModelQuery::parse("", &by), |q| q.order.len());
    read(text, || TraceQuery::parse(text, &[]), |q| q.filter.predicates.len() + q.filter.span.len());
    read(text, || TraceQuery::parse("", &order), |q| q.order.len());
    read(text, || EvaluationDatasetQuery::parse(text, &[]), |q| q.predicates.len());
    read(text, || EvaluationDatasetQuery::parse("", &order), |q| q.order.len());
    read(text, || issues::parse(text), Vec::len);
    for subject in [Subject::Servers, Subject::Versions, Subject::Endpoints] {
        read(text, || McpQuery::parse(subject, text, &[]), |q| q.predicates.len());
        read(text, || McpQuery::parse(subject, "", &order), |q| q.order.len());
    }
    read(text, || MetricQuery::parse(&metrics(text)), |q| q.own.len() + q.traces.predicates.len());
    if let Some(runs) = runs {
        read_again(&runs.predicates);
    }
});

fn metrics(text: &str) -> QueryTraceMetrics {
    let count = MetricAggregation { aggregation_type: Some(1), ..MetricAggregation::default() };
    QueryTraceMetrics {
        view_type: Some(MetricViewType::Spans.into()),
        metric_name: Some("span_count".into()),
        aggregations: vec![count],
        experiment_ids: vec!["1".into()],
        filters: text.lines().map(str::to_owned).collect(),
        ..QueryTraceMetrics::default()
    }
}

/// Round-trips predicates; values that no quotes can enclose are left out.
fn read_again(predicates: &[RunPredicate]) {
    let (mut written, mut kept) = (Vec::new(), Vec::new());
    for predicate in predicates {
        if let Some(text) = clause(predicate) {
            written.push(text);
            kept.push(predicate);
        }
    }
    let filter = written.join(" AND ");
    let again = RunQuery::parse(&filter, &[]);
    let again = again.unwrap_or_else(|e| panic!("{filter:?}, which was written: {e}"));
    assert_eq!(again.predicates.iter().collect::<Vec<_>>(), kept, "{filter:?}");
}

fn clause(predicate: &RunPredicate) -> Option<String> {
    Some(match predicate {
        RunPredicate::Metric { key, op, value } => {
            value.is_finite().then_some(())?;
            format!("metrics.{} {} {value:?}", name(key)?, number_op(*op))
        }
        RunPredicate::Param(key, test) => format!("params.{} {}", name(key)?, key_test(test)?),
        RunPredicate::Tag(key, test) => format!("tags.{} {}", name(key)?, key_test(test)?),
        RunPredicate::Text(column, test) => {
            let column = match column {
                RunText::Id => "run_id",
                RunText::User => "user_id",
                RunText::Status => "status",
                RunText::ArtifactUri => "artifact_uri",
            };
            format!("{column} {}", text_test(test)?)
        }
        RunPredicate::IdList(membership, ids) => format!("run_id {}", list(*membership, ids)?),
        RunPredicate::Time(column, op, value) => {
            let column = if *column == RunTime::Start { "start_time" } else { "end_time" };
            let value = match value {
                Number::Int(value) => value.to_string(),
                Number::Float(value) if value.is_finite() => format!("{value:?}"),
                Number::Float(_) => return None,
            };
            format!("{column} {} {value}", number_op(*op))
        }
        RunPredicate::Dataset(field, test) => {
            let field = match field {
                DatasetField::Name => "name",
                DatasetField::Digest => "digest",
                DatasetField::Context => "context",
            };
            let test = match test {
                ListTest::Text(test) => text_test(test)?,
                ListTest::List(membership, values) => list(*membership, values)?,
            };
            format!("datasets.{field} {test}")
        }
    })
}

fn name(key: &str) -> Option<String> {
    let is_plain = !key.is_empty() && !key.contains('`');
    is_plain.then(|| format!("`{key}`"))
}

fn number_op(op: NumberOp) -> &'static str {
    match op {
        NumberOp::Eq => "=",
        NumberOp::Ne => "!=",
        NumberOp::Lt => "<",
        NumberOp::Le => "<=",
        NumberOp::Gt => ">",
        NumberOp::Ge => ">=",
    }
}

fn key_test(test: &KeyTest) -> Option<String> {
    match test {
        KeyTest::Value(test) => text_test(test),
        KeyTest::Present => Some("IS NOT NULL".into()),
        KeyTest::Absent => Some("IS NULL".into()),
    }
}

fn text_test(test: &TextTest) -> Option<String> {
    let op = match test.op {
        TextOp::Eq => "=",
        TextOp::Ne => "!=",
        TextOp::Like => "LIKE",
        TextOp::ILike => "ILIKE",
    };
    Some(format!("{op} {}", quoted(&test.value)?))
}

fn quoted(value: &str) -> Option<String> {
    // A backslash would escape the quote.
    let quote = ['\'', '"'].into_iter().find(|quote| !value.contains(*quote))?;
    (!value.contains('\\')).then(|| format!("{quote}{value}{quote}"))
}

fn list(membership: Membership, values: &[String]) -> Option<String> {
    let word = if membership == Membership::In { "IN" } else { "NOT IN" };
    let are_plain = values.iter().all(|value| !value.contains(|c: char| c.is_control()));
    let values =
        are_plain.then(|| values.iter().map(|value| quoted(value)).collect::<Option<Vec<_>>>())??;
    Some(format!("{word} ({})", values.join(", ")))
}
