//! The language of filters and orders over traces.

use super::{check, show_direction, show_list, show_number_op, trace_tables as tables};
use crate::domain::ErrorCode;
use crate::domain::python::{float, repr};
use crate::search::Number;
use crate::search::traces::{
    AssessmentKind, AssessmentTest, SpanColumn, TextMatch, TraceFilter, TraceOrderKey, TracePredicate,
    TraceQuery, TraceTest, TraceText, TraceTime, Usage, UsageTest,
};

#[test]
fn filters_are_read_as_stock_reads_them() {
    check(tables::TRACES_ACCEPTED, tables::TRACES_REFUSED, |filter| {
        TraceFilter::parse(filter).map(|filter| show(&filter))
    });
}

#[test]
fn orders_are_read_as_stock_reads_them() {
    check(tables::TRACE_ORDERS_ACCEPTED, tables::TRACE_ORDERS_REFUSED, |order| {
        let query = TraceQuery::parse("", &[order.to_owned()])?;
        let first = &query.order[0];
        Ok(format!("{} {}", show_order(&first.key), show_direction(first.direction)))
    });
}

#[test]
fn orders_end_with_the_id() {
    let order = |by: &[&str]| {
        let by: Vec<String> = by.iter().map(|&by| by.into()).collect();
        let query = TraceQuery::parse("", &by).unwrap();
        let terms =
            query.order.iter().map(|o| format!("{} {}", show_order(&o.key), show_direction(o.direction)));
        terms.collect::<Vec<_>>().join(", ")
    };
    let newest = "attribute.`timestamp_ms` DESC, attribute.`request_id` ASC";
    assert_eq!(order(&[]), newest);
    assert_eq!(order(&["timestamp DESC"]), newest);
    assert_eq!(order(&["status"]), format!("attribute.`status` ASC, {newest}"));
    assert_eq!(order(&["request_id DESC"]), "attribute.`request_id` DESC, attribute.`timestamp_ms` DESC");
}

#[test]
fn what_stock_breaks_over_is_refused_or_works() {
    for filter in [
        "status = ('OK')",
        "tags.a = ('b')",
        "span.name = ('a')",
        "span.attributes.model IN ('x')",
        "timestamp_ms > 'x'",
        "status IN 'OK'",
    ] {
        assert_eq!(
            TraceFilter::parse(filter).unwrap_err().code,
            ErrorCode::InvalidParameterValue,
            "{filter}"
        );
    }
    assert_eq!(
        TraceQuery::parse("", &["end_time".into()]).unwrap().order[0].key,
        TraceOrderKey::Time(TraceTime::End)
    );
}

#[test]
fn names_of_attributes_are_free_for_assessments() {
    let filter = TraceFilter::parse("feedback.name = 'x' AND tags.timestamp = '1'").unwrap();
    assert_eq!(show(&filter), "feedback.`name` = 'x' AND tag.`timestamp` = '1'");
    let message = TraceFilter::parse("issue.name = 'x'").unwrap_err().message;
    assert_eq!(message, "Invalid issue attribute 'name'. Supported attributes: id");
}

#[test]
fn spans_are_looked_for_from_the_time_of_the_trace() {
    for (filter, since) in [
        ("span.name = 'a'", None),
        ("timestamp > 20000", None),
        ("timestamp > 20000 AND span.name = 'a'", Some(10_000)),
        ("timestamp >= 20000 AND span.name = 'a' AND timestamp_ms > 30000", Some(20_000)),
        ("timestamp < 20000 AND span.name = 'a'", None),
    ] {
        assert_eq!(TraceFilter::parse(filter).unwrap().span_since_ms, since, "{filter}");
    }
}

#[test]
fn a_key_is_ordered_by_only_once() {
    let order_by = ["timestamp".to_owned(), "tags.a".to_owned(), "trace.timestamp_ms DESC".to_owned()];
    let error = TraceQuery::parse("", &order_by).unwrap_err();
    assert_eq!(error.code, ErrorCode::InternalError);
    assert_eq!(
        error.message,
        "`order_by` contains duplicate fields: ['timestamp', 'tags.a', 'trace.timestamp_ms DESC']"
    );
}

#[test]
fn the_first_error_is_stocks() {
    // Orders before filters; in a filter values before operators.
    for (filter, order, want) in [
        ("status > 5", "foo", "Invalid attribute key 'foo'"),
        ("tags.a > 'x' AND tags.b = 5", "name", "Expected a quoted string value for tag"),
        ("tags.a > 'x' AND span.name > 'x'", "name", "span.name comparator '>'"),
        ("tags.a > 'x'", "name", "Invalid comparator '>'"),
    ] {
        let message = TraceQuery::parse(filter, &[order.to_owned()]).unwrap_err().message;
        assert!(message.starts_with(want), "{filter}, {order}: {message}");
    }
}

fn show(filter: &TraceFilter) -> String {
    let mut parts: Vec<String> = filter.predicates.iter().map(show_predicate).collect();
    parts.extend(filter.span.iter().map(|span| {
        let column = match span.column {
            SpanColumn::Name => "name",
            SpanColumn::Type => "type",
            SpanColumn::Status => "status",
            SpanColumn::Content => "content",
        };
        format!("span.`{column}` {}", show_match(&span.test))
    }));
    // Stock keeps the run apart.
    parts.sort_by_key(|part| part.starts_with("run "));
    parts.join(" AND ")
}

fn show_predicate(predicate: &TracePredicate) -> String {
    match predicate {
        TracePredicate::Time(column, op, value) => {
            format!("attribute.`{}` {} {}", show_time(*column), show_number_op(*op), show_number(*value))
        }
        TracePredicate::Text(column, test) => format!("{} {}", show_text(*column), show_test(test)),
        TracePredicate::Tag(key, test) => format!("tag.`{key}` {}", show_test(test)),
        TracePredicate::Metadata(key, test) => format!("request_metadata.`{key}` {}", show_test(test)),
        TracePredicate::Usage(usage, test) => {
            let key = if *usage == Usage::Tokens { "tokenUsage" } else { "cost" };
            format!("request_metadata.`mlflow.trace.{key}` {}", show_usage(test))
        }
        TracePredicate::Run(id) => format!("run {}", repr(id)),
        TracePredicate::Prompt(id) => format!("tag.`mlflow.linkedPrompts` = {}", repr(id)),
        TracePredicate::Issue(id) => format!("issue.`id` = {}", repr(id)),
        TracePredicate::Assessment { kind, name, test } => {
            let kind = if *kind == AssessmentKind::Feedback { "feedback" } else { "expectation" };
            format!("{kind}.`{name}` {}", show_assessment(test))
        }
    }
}

/// Only the two forms that the table has.
fn show_usage(test: &UsageTest) -> String {
    let numbers = |numbers: &Option<Vec<Option<Number>>>| match numbers {
        Some(numbers) => {
            assert_eq!(numbers[..], [Some(Number::Int(1)), None, None, None, None, None]);
            r#"'{"input_tokens": 1}'"#
        }
        None => "'x'",
    };
    match test {
        UsageTest::Present => "IS NOT NULL".into(),
        UsageTest::Absent => "IS NULL".into(),
        UsageTest::Is(wanted) => format!("= {}", numbers(wanted)),
        UsageTest::IsNot(wanted) => format!("!= {}", numbers(wanted)),
    }
}

fn show_assessment(test: &AssessmentTest) -> String {
    match test {
        AssessmentTest::Present => "IS NOT NULL".into(),
        AssessmentTest::Absent => "IS NULL".into(),
        AssessmentTest::Is(value) => format!("= {}", repr(value)),
        AssessmentTest::IsNot(value) => format!("!= {}", repr(value)),
        AssessmentTest::Like(test) => show_match(test),
        AssessmentTest::Number(op, value) => format!("{} {}", show_number_op(*op), show_number(*value)),
    }
}

fn show_test(test: &TraceTest) -> String {
    match test {
        TraceTest::Value(test) => show_match(test),
        TraceTest::Present => "IS NOT NULL".into(),
        TraceTest::Absent => "IS NULL".into(),
    }
}

fn show_match(test: &TextMatch) -> String {
    match test {
        TextMatch::Text(test) => super::show_test(test),
        TextMatch::Regex(pattern) => format!("RLIKE {}", repr(pattern)),
        TextMatch::List(op, values) => show_list(*op, values),
    }
}

fn show_number(number: Number) -> String {
    match number {
        Number::Int(whole) => whole.to_string(),
        Number::Float(value) => float(value),
    }
}

fn show_text(column: TraceText) -> &'static str {
    match column {
        TraceText::Id => "attribute.`request_id`",
        TraceText::ClientId => "attribute.`client_request_id`",
        TraceText::Status => "attribute.`status`",
        TraceText::Name => "tag.`mlflow.traceName`",
        TraceText::Session => "request_metadata.`mlflow.trace.session`",
    }
}

fn show_time(column: TraceTime) -> &'static str {
    match column {
        TraceTime::Start => "timestamp_ms",
        TraceTime::Duration => "execution_time_ms",
        TraceTime::End => "end_time_ms",
    }
}

fn show_order(key: &TraceOrderKey) -> String {
    match key {
        TraceOrderKey::Experiment => "attribute.`experiment_id`".into(),
        TraceOrderKey::Time(column) => format!("attribute.`{}`", show_time(*column)),
        TraceOrderKey::Text(column) => show_text(*column).into(),
        TraceOrderKey::Tag(key) => format!("tag.`{key}`"),
        TraceOrderKey::Metadata(key) => format!("request_metadata.`{key}`"),
    }
}
