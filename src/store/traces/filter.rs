//! What a [`TraceFilter`] asks, as conditions on a row `t` of `trace_info`. Each asks other tables by look-ups of their
//! keys, so that no trace comes twice and traces can be read in their order until a page is full.

use crate::domain::python::json_string;
use crate::search::traces::{
    AssessmentKind, AssessmentTest, SOURCE_RUN, SpanColumn, SpanPredicate, TextMatch, TraceFilter,
    TracePredicate, TraceTest, TraceText, TraceTime, Usage, UsageTest,
};
use crate::search::{Membership, Number, TextOp, TextTest};
use crate::store::predicate::{Column, Search, number_op};

/// Adds the condition that a trace is in one of the experiments.
pub(super) fn in_experiments<ST>(search: &mut Search<ST>, column: &'static str, experiments: &[i32]) {
    search.sql(column);
    match experiments {
        // One alone lets both databases read the index in order.
        [id] => search.sql(" = ").integer(*id),
        ids => search.ids(Membership::In, ids),
    };
}

/// How the traces are read that a filter is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Only those for which the predicate with this place in the filter is known to hold.
    Few(usize),
    /// One after the other until there are enough.
    UntilEnough,
    /// All.
    All,
}

/// Adds what `filter` asks, every condition behind an AND. The traces of a session are looked for in `experiments`.
///
/// Upstream: `_get_filter_clauses_for_search_traces`, `SqlAlchemyStore._apply_trace_filter_clauses`.
pub(super) fn restrict<ST>(
    search: &mut Search<ST>,
    filter: &TraceFilter,
    experiments: &[i32],
    reading: Reading,
) {
    for (index, predicate) in filter.predicates.iter().enumerate() {
        if reading == Reading::Few(index) {
            continue;
        }
        search.sql(" AND ");
        self::predicate(search, predicate, experiments, reading);
    }
    if !filter.span.is_empty() {
        spans(search, &filter.span, filter.span_since_ms);
    }
}

/// Adds the condition that a trace was made in a run or is linked to it.
fn of_run<ST>(search: &mut Search<ST>, run: &str) {
    search.sql(
        "(EXISTS (SELECT 1 FROM trace_request_metadata k WHERE k.request_id = t.request_id AND k.key = ",
    );
    search.text(SOURCE_RUN).sql(" AND k.value = ").text(run).sql(") OR t.request_id IN (");
    linked_to(search, "'run'", run);
    search.sql("))");
}

/// Writes the statement of the ids of the traces that are linked to something of a kind, which is given as SQL has it.
///
/// Index: stock's of associations by their destination.
pub(super) fn linked_to<ST>(search: &mut Search<ST>, kind: &'static str, id: &str) {
    search.sql("SELECT e.source_id FROM entity_associations e WHERE e.source_type = 'trace' AND e.destination_type = ");
    search.sql(kind).sql(" AND e.destination_id = ").text(id);
}

fn predicate<ST>(search: &mut Search<ST>, predicate: &TracePredicate, experiments: &[i32], reading: Reading) {
    match predicate {
        TracePredicate::Time(column, op, value) => {
            search.sql(time_column(*column)).sql(number_op(*op)).number(*value);
        }
        TracePredicate::Text(column, test) => text(search, text_column(*column), test),
        TracePredicate::Tag(key, test) => key_test(search, "trace_tags", key, test, reading),
        TracePredicate::Metadata(key, test) => {
            key_test(search, "trace_request_metadata", key, test, reading);
        }
        TracePredicate::Usage(usage, test) => self::usage(search, *usage, test),
        TracePredicate::Run(run) => of_run(search, run),
        TracePredicate::Prompt(version) => {
            linked_to(search.sql("t.request_id IN ("), "'prompt_version'", version);
            search.sql(")");
        }
        TracePredicate::Issue(id) => {
            search.sql(
                "EXISTS (SELECT 1 FROM assessments a WHERE a.trace_id = t.request_id AND \
                a.assessment_type = 'issue' AND a.name = ",
            );
            search.text(id).sql(")");
        }
        TracePredicate::Assessment { kind, name, test } => {
            assessment(search, *kind, name, test, experiments, reading);
        }
    }
}

fn text<ST>(search: &mut Search<ST>, column: &'static str, test: &TraceTest) {
    match test {
        TraceTest::Value(test) => text_match(search, column, test),
        TraceTest::Present => _ = search.sql(column).sql(" IS NOT NULL"),
        TraceTest::Absent => _ = search.sql(column).sql(" IS NULL"),
    }
}

/// Adds a comparison of a text.
fn text_match<ST>(search: &mut Search<ST>, column: &'static str, test: &TextMatch) {
    match test {
        TextMatch::Text(test) => search.text_test(Column::Of(column), test),
        TextMatch::List(membership, values) => search.sql(column).texts(*membership, values),
        TextMatch::Regex(pattern) => search.regex(column, pattern),
    };
}

fn key_test<ST>(search: &mut Search<ST>, table: &'static str, key: &str, test: &TraceTest, reading: Reading) {
    search.sql(if *test == TraceTest::Absent {
        "NOT EXISTS (SELECT 1 FROM "
    } else {
        "EXISTS (SELECT 1 FROM "
    });
    search.sql(table).sql(" k WHERE k.request_id = t.request_id AND k.key = ").text(key);
    if let TraceTest::Value(test) = test {
        text_match(search.sql(" AND "), "k.value", test);
        if matches!(test, TextMatch::Text(TextTest { op: TextOp::Eq, .. })) {
            look_up(search, reading);
        }
    }
    search.sql(")");
}

/// Keeps a subquery from becoming a join with a whole table where it is asked about few traces: it is known to hold for
/// many (see `narrow.rs`).
fn look_up<ST>(search: &mut Search<ST>, reading: Reading) {
    if reading != Reading::All {
        let fence = search.dialect().no_join();
        search.sql(fence);
    }
}

/// What is kept as numbers is compared number by number.
///
/// Upstream: `get_trace_analytics_metadata_filter`.
fn usage<ST>(search: &mut Search<ST>, usage: Usage, test: &UsageTest) {
    match test {
        UsageTest::Present => is_used(search, usage),
        UsageTest::Absent => is_used(search.sql("NOT "), usage),
        UsageTest::Is(None) => _ = search.sql("1 = 0"),
        UsageTest::IsNot(None) => is_used(search, usage),
        UsageTest::Is(Some(numbers)) => is_usage(search, usage, numbers),
        UsageTest::IsNot(Some(numbers)) => {
            is_used(search, usage);
            is_usage(search.sql(" AND NOT "), usage, numbers);
        }
    }
}

fn is_used<ST>(search: &mut Search<ST>, usage: Usage) {
    for (index, column) in usage.columns().iter().enumerate() {
        search.sql(if index == 0 { "(t." } else { " OR t." }).sql(column).sql(" IS NOT NULL");
    }
    search.sql(")");
}

fn is_usage<ST>(search: &mut Search<ST>, usage: Usage, numbers: &[Option<Number>]) {
    for (index, (column, number)) in usage.columns().iter().zip(numbers).enumerate() {
        search.sql(if index == 0 { "(t." } else { " AND t." }).sql(column);
        match number {
            // With a check for NULL it can be negated.
            Some(number) => search.sql(" IS NOT NULL AND t.").sql(column).sql(" = ").number(*number),
            None => search.sql(" IS NULL"),
        };
    }
    search.sql(")");
}

/// Index: the primary key of spans.
fn spans<ST>(search: &mut Search<ST>, predicates: &[SpanPredicate], since_ms: Option<i64>) {
    let dialect = search.dialect();
    search.sql(" AND EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = t.request_id AND ");
    search.sql(dialect.same_experiment());
    if let Some(since) = since_ms {
        search.sql(" AND s.start_time_unix_nano >= ").bigint(since.saturating_mul(1_000_000));
    }
    for predicate in predicates {
        let column = match predicate.column {
            SpanColumn::Name => "s.name",
            SpanColumn::Type => "s.type",
            SpanColumn::Status => "s.status",
            SpanColumn::Content => "s.content",
        };
        search.sql(" AND ");
        match &predicate.test {
            TextMatch::Text(test) if predicate.column == SpanColumn::Content => {
                search.long_text_test(column, test);
            }
            test => text_match(search, column, test),
        }
    }
    if predicates.iter().any(|predicate| predicate.column == SpanColumn::Content) {
        search.sql(dialect.no_join());
    }
    search.sql(")");
}

/// An assessment that says so counts for all traces of its session.
///
/// Upstream: `_get_session_scoped_trace_ids`.
fn assessment<ST>(
    search: &mut Search<ST>,
    kind: AssessmentKind,
    name: &str,
    test: &AssessmentTest,
    experiments: &[i32],
    reading: Reading,
) {
    search.sql(if *test == AssessmentTest::Absent { "NOT (" } else { "(" });
    search.sql("EXISTS (SELECT 1 FROM assessments a WHERE a.trace_id = t.request_id");
    assessed(search, kind, name, test);
    if *test != AssessmentTest::Absent {
        look_up(search, reading);
    }
    search.sql(") OR ");
    in_sessions_assessed(search, kind, name, test, experiments);
    search.sql(")");
}

/// Adds the condition that a trace is of a session in `experiments` which is assessed as a whole.
///
/// Index: ours of such assessments.
pub(super) fn in_sessions_assessed<ST>(
    search: &mut Search<ST>,
    kind: AssessmentKind,
    name: &str,
    test: &AssessmentTest,
    experiments: &[i32],
) {
    search.sql(
        "t.session_id IS NOT NULL AND t.session_id IN (SELECT o.session_id FROM trace_info o \
        JOIN assessments a ON a.trace_id = o.request_id WHERE ",
    );
    in_experiments(search, "o.experiment_id", experiments);
    assessed(search.sql(" AND o.session_id IS NOT NULL"), kind, name, test);
    let of_session = search.dialect().of_session();
    search.sql(" AND ").sql(of_session).sql(")");
}

/// Adds, behind an AND, what an assessment `a` must be.
pub(super) fn assessed<ST>(search: &mut Search<ST>, kind: AssessmentKind, name: &str, test: &AssessmentTest) {
    search.sql(match kind {
        AssessmentKind::Feedback => " AND a.assessment_type = 'feedback' AND a.valid AND a.name = ",
        AssessmentKind::Expectation => " AND a.assessment_type = 'expectation' AND a.valid AND a.name = ",
    });
    search.text(name);
    match test {
        AssessmentTest::Present | AssessmentTest::Absent => {}
        AssessmentTest::Is(value) => {
            search.sql(" AND a.value IN (").text(value).sql(", ").text(&json_string(value)).sql(")");
        }
        AssessmentTest::IsNot(value) => {
            search.sql(" AND a.value NOT IN (").text(value).sql(", ").text(&json_string(value)).sql(")");
        }
        AssessmentTest::Like(test) => text_match(search.sql(" AND "), "a.value", test),
        AssessmentTest::Number(op, value) => {
            search.sql(" AND a.is_numeric_value AND a.aggregate_value").sql(number_op(*op)).number(*value);
        }
    }
}

/// Returns the column of a time or a duration.
pub(super) const fn time_column(column: TraceTime) -> &'static str {
    match column {
        TraceTime::Start => "t.timestamp_ms",
        TraceTime::Duration => "t.execution_time_ms",
        TraceTime::End => "(t.timestamp_ms + COALESCE(t.execution_time_ms, 0))",
    }
}

/// Returns the column of a text.
pub(super) const fn text_column(column: TraceText) -> &'static str {
    match column {
        TraceText::Id => "t.request_id",
        TraceText::ClientId => "t.client_request_id",
        TraceText::Status => "t.status",
        TraceText::Name => "t.trace_name",
        TraceText::Session => "t.session_id",
    }
}
