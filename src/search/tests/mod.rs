//! The language against stock's behaviour, and its properties.

mod tables;
mod trace_tables;
mod traces;

use proptest::prelude::*;

use super::experiments::{ExperimentColumn, ExperimentPredicate, ExperimentQuery, ExperimentTime};
use super::logged_models::{LoggedModelPredicate, LoggedModelQuery, LoggedModelText, LoggedModelTime};
use super::runs::{DatasetField, RunOrderKey, RunPredicate, RunQuery, RunText, RunTime};
use super::traces::TraceQuery;
use super::{Direction, KeyTest, ListTest, Membership, Number, NumberOp, TextOp, TextTest};
use crate::domain::python::{list, repr};
use crate::domain::{Error, ErrorCode};

fn check(accepted: &[(&str, &str)], refused: &[(&str, &str)], show: impl Fn(&str) -> Result<String, Error>) {
    for (input, want) in accepted {
        match show(input) {
            Ok(got) => assert_eq!(got, *want, "{input:?}"),
            Err(e) => panic!("{input:?} is refused: {e}"),
        }
    }
    for (input, want) in refused {
        match show(input) {
            Ok(got) => panic!("{input:?} is accepted: {got}"),
            Err(e) => {
                assert_eq!(without_sets(&e.message), *want, "{input:?}");
                assert_eq!(e.code, ErrorCode::InvalidParameterValue, "{input:?}");
            }
        }
    }
}

/// Removes the content of braces.
fn without_sets(message: &str) -> String {
    let Some((before, rest)) = message.split_once('{') else { return message.to_owned() };
    let Some((_, after)) = rest.split_once('}') else { return message.to_owned() };
    format!("{before}{{…}}{after}")
}

#[test]
fn run_filters_are_read_as_stock_reads_them() {
    check(tables::RUNS_ACCEPTED, tables::RUNS_REFUSED, |filter| {
        RunQuery::parse(filter, &[]).map(|q| show_runs(&q))
    });
}

#[test]
fn experiment_filters_are_read_as_stock_reads_them() {
    check(tables::EXPERIMENTS_ACCEPTED, tables::EXPERIMENTS_REFUSED, |filter| {
        let query = ExperimentQuery::parse(filter, &[])?;
        Ok(query.predicates.iter().map(show_experiment).collect::<Vec<_>>().join(" AND "))
    });
}

#[test]
fn logged_model_filters_are_read_as_stock_reads_them() {
    check(tables::LOGGED_MODELS_ACCEPTED, tables::LOGGED_MODELS_REFUSED, |filter| {
        let query = LoggedModelQuery::parse(filter, &[])?;
        Ok(query.predicates.iter().map(show_logged_model).collect::<Vec<_>>().join(" AND "))
    });
}

#[test]
fn run_orders_are_read_as_stock_reads_them() {
    check(tables::RUN_ORDERS_ACCEPTED, tables::RUN_ORDERS_REFUSED, |order| {
        let query = RunQuery::parse("", &[order.to_owned()])?;
        let [order] = query.order.as_slice() else { panic!("one order") };
        Ok(format!("{} {}", show_order_key(&order.key), show_direction(order.direction)))
    });
}

#[test]
fn experiment_orders_are_read_as_stock_reads_them() {
    check(tables::EXPERIMENT_ORDERS_ACCEPTED, tables::EXPERIMENT_ORDERS_REFUSED, |order| {
        let query = ExperimentQuery::parse("", &[order.to_owned()])?;
        let (column, direction) = &query.order[0];
        let column = match column {
            ExperimentColumn::Name => "name",
            ExperimentColumn::Id => "experiment_id",
            ExperimentColumn::Time(time) => show_experiment_time(*time),
        };
        Ok(format!("attributes.`{column}` {}", show_direction(*direction)))
    });
}

#[test]
fn experiments_order_ends_with_the_id() {
    use ExperimentColumn::{Id, Name, Time};
    let order = |order_by: &[&str]| {
        let order_by: Vec<String> = order_by.iter().map(|&by| by.to_owned()).collect();
        ExperimentQuery::parse("", &order_by).unwrap().order
    };
    let newest = (Time(ExperimentTime::Creation), Direction::Descending);
    assert_eq!(order(&[]), [newest, (Id, Direction::Ascending)]);
    assert_eq!(order(&["name"]), [(Name, Direction::Ascending), (Id, Direction::Descending)]);
    assert_eq!(order(&["experiment_id DESC"]), [(Id, Direction::Descending)]);
}

#[test]
fn runs_are_ordered_by_a_key_only_once() {
    let order_by = ["metrics.a DESC".to_owned(), "start_time".to_owned(), "attribute.created".to_owned()];
    let error = RunQuery::parse("", &order_by).unwrap_err();
    assert_eq!(error.code, ErrorCode::InternalError);
    assert_eq!(
        error.message,
        "`order_by` contains duplicate fields: ['metrics.a DESC', 'start_time', 'attribute.created']"
    );
}

#[test]
fn the_first_error_is_stocks() {
    // Values before orders, orders before operators.
    for (filter, order, want) in [
        ("metrics.a = 'x' AND tags.a > 'x'", "foo", "Expected numeric value type"),
        ("tags.a > 'x'", "foo", "Invalid attribute key 'foo'"),
        ("tags.a > 'x'", "name", "Invalid attribute key 'name'"),
        ("tags.a > 'x'", "status", "Invalid comparator '>'"),
    ] {
        let message = RunQuery::parse(filter, &[order.to_owned()]).unwrap_err().message;
        assert!(message.starts_with(want), "{filter}, {order}: {message}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |depth: usize| format!("run_id IN {}'a'{}", "(".repeat(depth), ")".repeat(depth));
    assert!(RunQuery::parse(&nested(100), &[]).is_ok());
    let message = RunQuery::parse(&nested(101), &[]).unwrap_err().message;
    assert!(message.starts_with("Error on parsing filter 'run_id IN ((("), "{message}");
    let long = "metrics.a > 1 AND ".repeat(2000);
    let message = RunQuery::parse(&long, &[]).unwrap_err().message;
    assert!(message.starts_with("Error on parsing filter 'metrics.a > 1"), "{message}");
    let many = vec!["metrics.a > 1"; super::MAX_CLAUSES + 1].join(" AND ");
    let message = RunQuery::parse(&many, &[]).unwrap_err().message;
    assert_eq!(message, "A search can have at most 60 comparisons and order_by clauses together");
}

#[test]
fn attribute_aliases_are_no_aliases_of_keys() {
    let query = RunQuery::parse("tags.created = 'x'", &["metrics.created".to_owned()]).unwrap();
    assert_eq!(show_runs(&query), "tags.`created` = 'x'");
    assert_eq!(query.order[0].key, RunOrderKey::Metric("created".into()));
}

#[test]
fn logged_models_are_ordered_by_messages() {
    use crate::proto::search_logged_models::OrderBy;
    let by = |field: &str, ascending| OrderBy {
        field_name: Some(field.to_owned()),
        ascending: Some(ascending),
        ..OrderBy::default()
    };
    let order =
        |orders: &[OrderBy]| LoggedModelQuery::parse("", orders).map(|query| format!("{:?}", query.order));
    insta::assert_snapshot!(order(&[]).unwrap(), @"[(Time(Creation), Descending), (Text(Id), Ascending)]");
    insta::assert_snapshot!(
        order(&[by("creation_time", true), by("model_id", false)]).unwrap(),
        @"[(Time(Creation), Ascending), (Text(Id), Descending)]"
    );
    let on_dataset = OrderBy { dataset_name: Some("d".into()), ..by("metrics.a.b", false) };
    insta::assert_snapshot!(
        order(&[on_dataset]).unwrap(),
        @r#"[(Metric { key: "a.b", dataset_name: Some("d"), dataset_digest: None }, Descending), (Time(Creation), Descending), (Text(Id), Ascending)]"#
    );
    for (field, want) in [
        ("foo", "Invalid order by field name: foo"),
        ("params.a", "Invalid order by field name: params.a. Only metrics are supported."),
    ] {
        assert_eq!(order(&[by(field, true)]).unwrap_err().message, want);
    }
}

// Each query normalised, which is a filter itself.

fn show_runs(query: &RunQuery) -> String {
    query.predicates.iter().map(show_run).collect::<Vec<_>>().join(" AND ")
}

fn show_run(predicate: &RunPredicate) -> String {
    match predicate {
        RunPredicate::Metric { key, op, value } => {
            format!("metrics.`{key}` {} {value:?}", show_number_op(*op))
        }
        RunPredicate::Param(key, test) => show_key_test(&format!("params.`{key}`"), test),
        RunPredicate::Tag(key, test) => show_key_test(&format!("tags.`{key}`"), test),
        RunPredicate::Text(column, test) => {
            format!("attributes.`{}` {}", show_run_text(*column), show_test(test))
        }
        RunPredicate::IdList(membership, ids) => {
            format!("attributes.`run_id` {}", show_list(*membership, ids))
        }
        RunPredicate::Time(column, op, Number::Int(value)) => {
            format!("attributes.`{}` {} {value}", show_run_time(*column), show_number_op(*op))
        }
        RunPredicate::Time(column, op, Number::Float(value)) => {
            format!("attributes.`{}` {} {value:?}", show_run_time(*column), show_number_op(*op))
        }
        RunPredicate::Dataset(field, test) => {
            let field = match field {
                DatasetField::Name => "name",
                DatasetField::Digest => "digest",
                DatasetField::Context => "context",
            };
            show_list_test(&format!("datasets.`{field}`"), test)
        }
    }
}

fn show_order_key(key: &RunOrderKey) -> String {
    match key {
        RunOrderKey::Metric(key) => format!("metrics.`{key}`"),
        RunOrderKey::Param(key) => format!("params.`{key}`"),
        RunOrderKey::Tag(key) => format!("tags.`{key}`"),
        RunOrderKey::Name => "attributes.`run_name`".into(),
        RunOrderKey::Text(column) => format!("attributes.`{}`", show_run_text(*column)),
        RunOrderKey::Time(column) => format!("attributes.`{}`", show_run_time(*column)),
    }
}

fn show_experiment(predicate: &ExperimentPredicate) -> String {
    match predicate {
        ExperimentPredicate::Name(test) => format!("attribute.`name` {}", show_test(test)),
        ExperimentPredicate::Time(column, op, value) => {
            format!("attribute.`{}` {} {value}", show_experiment_time(*column), show_number_op(*op))
        }
        ExperimentPredicate::Id(membership, ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("attribute.`experiment_id` {}", show_list(*membership, &ids))
        }
        ExperimentPredicate::Tag(key, test) => show_key_test(&format!("tags.`{key}`"), test),
    }
}

fn show_logged_model(predicate: &LoggedModelPredicate) -> String {
    match predicate {
        LoggedModelPredicate::Metric { key, op, value } => {
            format!("metrics.`{key}` {} {value:?}", show_number_op(*op))
        }
        LoggedModelPredicate::Param(key, test) => show_list_test(&format!("params.`{key}`"), test),
        LoggedModelPredicate::Tag(key, test) => show_list_test(&format!("tags.`{key}`"), test),
        LoggedModelPredicate::Time(column, op, value) => {
            let column = match column {
                LoggedModelTime::Creation => "creation_timestamp_ms",
                LoggedModelTime::LastUpdated => "last_updated_timestamp_ms",
            };
            format!("attributes.`{column}` {} {value:?}", show_number_op(*op))
        }
        LoggedModelPredicate::Text(column, test) => {
            let column = match column {
                LoggedModelText::Id => "model_id",
                LoggedModelText::Name => "name",
                LoggedModelText::ArtifactLocation => "artifact_location",
                LoggedModelText::LifecycleStage => "lifecycle_stage",
                LoggedModelText::ModelType => "model_type",
                LoggedModelText::SourceRun => "source_run_id",
                LoggedModelText::StatusMessage => "status_message",
                LoggedModelText::Status => "status",
                LoggedModelText::Experiment => "experiment_id",
            };
            show_list_test(&format!("attributes.`{column}`"), test)
        }
    }
}

fn show_run_text(column: RunText) -> &'static str {
    match column {
        RunText::Id => "run_id",
        RunText::User => "user_id",
        RunText::Status => "status",
        RunText::ArtifactUri => "artifact_uri",
    }
}

fn show_run_time(column: RunTime) -> &'static str {
    match column {
        RunTime::Start => "start_time",
        RunTime::End => "end_time",
    }
}

fn show_experiment_time(column: ExperimentTime) -> &'static str {
    match column {
        ExperimentTime::Creation => "creation_time",
        ExperimentTime::LastUpdate => "last_update_time",
    }
}

fn show_direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    }
}

fn show_number_op(op: NumberOp) -> &'static str {
    match op {
        NumberOp::Eq => "=",
        NumberOp::Ne => "!=",
        NumberOp::Lt => "<",
        NumberOp::Le => "<=",
        NumberOp::Gt => ">",
        NumberOp::Ge => ">=",
    }
}

fn show_key_test(field: &str, test: &KeyTest) -> String {
    match test {
        KeyTest::Value(test) => format!("{field} {}", show_test(test)),
        KeyTest::Present => format!("{field} IS NOT NULL"),
        KeyTest::Absent => format!("{field} IS NULL"),
    }
}

fn show_list_test(field: &str, test: &ListTest) -> String {
    match test {
        ListTest::Text(test) => format!("{field} {}", show_test(test)),
        ListTest::List(membership, values) => format!("{field} {}", show_list(*membership, values)),
    }
}

fn show_test(test: &TextTest) -> String {
    let op = match test.op {
        TextOp::Eq => "=",
        TextOp::Ne => "!=",
        TextOp::Like => "LIKE",
        TextOp::ILike => "ILIKE",
    };
    let quote = if test.value.contains('\'') && !test.value.contains('"') { '"' } else { '\'' };
    format!("{op} {quote}{}{quote}", test.value)
}

fn show_list(membership: Membership, values: &[String]) -> String {
    let quoted = list(values);
    let inside = quoted.trim_start_matches('[').trim_end_matches(']');
    match membership {
        Membership::In => format!("IN ({inside})"),
        Membership::NotIn => format!("NOT IN ({inside})"),
    }
}

// Laws.

fn number_op() -> impl Strategy<Value = NumberOp> {
    use NumberOp::{Eq, Ge, Gt, Le, Lt, Ne};
    prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge])
}

fn text_test() -> impl Strategy<Value = TextTest> {
    let op = prop::sample::select(vec![TextOp::Eq, TextOp::Ne, TextOp::Like, TextOp::ILike]);
    // Whatever a value holds, one kind of quote must be left to enclose it; a backslash would escape it.
    let value = prop_oneof!["[^'\\\\]{0,20}", "[^\"\\\\]{0,20}"];
    (op, value).prop_map(|(op, value)| TextTest { op, value })
}

fn key_test() -> impl Strategy<Value = KeyTest> {
    prop_oneof![text_test().prop_map(KeyTest::Value), Just(KeyTest::Present), Just(KeyTest::Absent)]
}

fn membership() -> impl Strategy<Value = Membership> {
    prop::sample::select(vec![Membership::In, Membership::NotIn])
}

fn values() -> impl Strategy<Value = Vec<String>> {
    // A backslash before a closing quote would escape it.
    prop::collection::vec("[^\\\\]{0,10}", 1..4)
}

fn predicate() -> impl Strategy<Value = RunPredicate> {
    let key = || "[^`]{1,20}";
    let text = prop::sample::select(vec![RunText::Id, RunText::User, RunText::Status, RunText::ArtifactUri]);
    let time = prop::sample::select(vec![RunTime::Start, RunTime::End]);
    let dataset = prop::sample::select(vec![DatasetField::Name, DatasetField::Digest, DatasetField::Context]);
    let finite = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let number = prop_oneof![any::<i64>().prop_map(Number::Int), (-1e9..1e9).prop_map(Number::Float)];
    let dataset_test = prop_oneof![
        text_test().prop_map(ListTest::Text),
        (membership(), values()).prop_map(|(membership, values)| ListTest::List(membership, values)),
    ];
    prop_oneof![
        (key(), number_op(), finite).prop_map(|(key, op, value)| RunPredicate::Metric { key, op, value }),
        (key(), key_test()).prop_map(|(key, test)| RunPredicate::Param(key, test)),
        (key(), key_test()).prop_map(|(key, test)| RunPredicate::Tag(key, test)),
        (text, text_test()).prop_map(|(column, test)| RunPredicate::Text(column, test)),
        (membership(), values()).prop_map(|(membership, ids)| RunPredicate::IdList(membership, ids)),
        (time, number_op(), number).prop_map(|(column, op, value)| RunPredicate::Time(column, op, value)),
        (dataset, dataset_test).prop_map(|(field, test)| RunPredicate::Dataset(field, test)),
    ]
}

/// Text rich in the syntax of the language.
fn noise() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z'\"`().,;*<>=!%$?:#@\\[\\]/\\\\ 0-9-]{1,6}",
        ".{1,4}",
        prop::sample::select(vec![
            "metrics.a",
            " AND ",
            " IN ",
            " NOT ",
            " IS ",
            " NULL",
            " LIKE ",
            "'x'",
            "1e-3",
            "--",
            "/*",
            "*/",
            "\r\n",
            "run_id",
            "CASE ",
            " END",
            "('a')",
            "`",
            " AS ",
            " ASC",
            "::",
            "é",
            "date",
            "params.",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// An empty token would be an infinite loop.
#[test]
fn each_character_is_in_a_token_wherever_it_stands() {
    for c in ('\0'..='\u{2fff}').chain('\u{ff00}'..='\u{ffff}').chain('\u{1d400}'..='\u{1d7ff}') {
        for (before, after) in [
            ("", ""),
            ("a.", ""),
            ("", ".a"),
            ("", "("),
            ("#", "b"),
            ("$", "$"),
            ("@", ""),
            ("-1", ""),
            ("[", "]"),
        ] {
            let text = format!("{before}{c}{after}");
            let mut end = 0;
            for token in super::lexer::tokens(&text) {
                assert!(token.end > end, "{}", repr(&text));
                end = token.end;
            }
            assert_eq!(end, text.len(), "{}", repr(&text));
        }
    }
}

proptest! {
    #[test]
    fn parsing_undoes_printing(predicates in prop::collection::vec(predicate(), 0..5)) {
        let filter = show_runs(&RunQuery { predicates: predicates.clone(), order: vec![] });
        let parsed = RunQuery::parse(&filter, &[]).unwrap_or_else(|e| panic!("{}: {e}", repr(&filter)));
        prop_assert_eq!(parsed.predicates, predicates, "{}", filter);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in noise()) {
        let order_by = [text.clone()];
        drop(RunQuery::parse(&text, &[]));
        drop(RunQuery::parse("", &order_by));
        drop(ExperimentQuery::parse(&text, &[]));
        drop(ExperimentQuery::parse("", &order_by));
        drop(LoggedModelQuery::parse(&text, &[]));
        drop(TraceQuery::parse(&text, &[]));
        drop(TraceQuery::parse("", &order_by));
    }

    #[test]
    fn tokens_cover_the_text(text in noise()) {
        let tokens = super::lexer::tokenize(&text);
        let mut end = 0;
        for token in tokens {
            prop_assert_eq!(token.start, end);
            prop_assert!(token.end > token.start);
            end = token.end;
        }
        prop_assert_eq!(end, text.len());
    }
}
