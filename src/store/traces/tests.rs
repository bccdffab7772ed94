//! The life of traces on each database: what is written in any order, at once, again, or not at all.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::domain::trace::assessment::AssessmentValue;
use crate::domain::trace::delete::Deletion;
use crate::domain::trace::info::NewTrace;
use crate::domain::trace::prices::Prices;
use crate::domain::trace::span::NewSpans;
use crate::domain::{ErrorCode, Result};
use crate::proto::{Assessment, DeleteTraces, TraceInfoV3, otlp};
use crate::store::Store;
use crate::store::testing::{assert_looked_up, message, on_each_database};

fn id(trace: u32) -> String {
    format!("tr-{trace:032x}")
}

/// A span that begins and ends at its number, in seconds, and counts as many tokens.
fn span(trace: u32, number: u32, parent: u32) -> Value {
    let usage = format!("{{\"input_tokens\": {number}, \"output_tokens\": 1}}");
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{number:016x}"), "name": format!("span {number}"),
        "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
        "startTimeUnixNano": format!("{number}000000000"), "endTimeUnixNano": format!("{number}500000000"),
        "attributes": [{ "key": "mlflow.chat.tokenUsage", "value": { "stringValue": usage } }],
    })
}

async fn log(store: &Store, experiment_id: i32, spans: &[Value]) -> Result<()> {
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string();
    let request = otlp::from_json(body.as_bytes()).unwrap();
    store.log_spans(NewSpans::convert(experiment_id, &request, &Prices::default()).unwrap()).await
}

fn started(trace: u32, more: &Value) -> NewTrace {
    let mut info = json!({
        "trace_id": id(trace), "request_time": "1970-01-01T00:00:09Z", "execution_duration": "4s", "state": "OK",
        "trace_location": { "type": "MLFLOW_EXPERIMENT", "mlflow_experiment": { "experiment_id": "0" } },
    });
    info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    NewTrace::try_from(message::<TraceInfoV3>(info)).unwrap()
}

fn said(json: Value) -> AssessmentValue {
    AssessmentValue::try_from(message::<Assessment>(json)).unwrap()
}

/// Returns a trace as JSON without its ids, and its spans.
async fn read(store: &Store, trace: u32) -> (Value, Vec<String>) {
    let found = store.get_traces(vec![id(trace)], None).await.unwrap().pop().unwrap();
    let json = serde_json::to_string(&found.info).unwrap().replace(&id(trace), "<id>");
    let name = |content: &String| {
        let span: Value = serde_json::from_str(content).unwrap();
        span["name"].as_str().unwrap().to_owned()
    };
    (serde_json::from_str(&json).unwrap(), found.spans.unwrap_or_default().iter().map(name).collect())
}

#[test]
fn spans_make_the_same_trace_in_any_order() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        let of = |trace| [span(trace, 1, 0), span(trace, 2, 1), span(trace, 3, 2), span(trace, 4, 1)];
        log(&store, 0, &of(1)).await.unwrap();
        let orders: [&[&[usize]]; 4] = [
            &[&[3], &[2], &[1], &[0]],
            &[&[0], &[1, 2, 3]],
            &[&[1, 3], &[0, 2], &[1], &[0]],
            &[&[2, 2, 0], &[3, 1]],
        ];
        let want = read(&store, 1).await;
        assert_eq!(want.1, ["span 1", "span 2", "span 3", "span 4"]);
        assert_eq!(want.0["request_time"], "1970-01-01T00:00:01Z");
        assert_eq!(want.0["execution_duration"], "3.500s");
        // The root counts for all that it calls.
        let usage = r#"{"input_tokens": 1, "output_tokens": 1, "total_tokens": 0}"#;
        assert_eq!(want.0["trace_metadata"]["mlflow.trace.tokenUsage"], usage);
        for (trace, posts) in (2..).zip(orders) {
            for post in posts {
                let spans: Vec<Value> = post.iter().map(|place| of(trace)[*place].clone()).collect();
                log(&store, 0, &spans).await.unwrap();
            }
            assert_eq!(read(&store, trace).await, want, "{posts:?}");
        }
    });
}

#[test]
fn starts_and_spans_at_once_lose_nothing() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        let store = &store;
        let traces = 1..=6;
        let starts = traces.clone().map(|trace| async move {
            store
                .start_trace(started(trace, &json!({ "tags": { "mlflow.traceName": "n" } })))
                .await
                .map(|_info| ())
        });
        // Each post holds spans of two traces, in both orders.
        let spans = (1..=8).flat_map(|number| (1..=6).map(move |trace| (number, trace))).map(|(number, trace)| {
            let other = 7 - trace;
            let parent = u32::from(number > 1);
            async move { log(store, 0, &[span(trace, number, parent), span(other, number, parent)]).await }
        });
        let (starts, spans) = join(join_all(starts), join_all(spans)).await;
        for outcome in starts.into_iter().chain(spans) {
            outcome.unwrap();
        }
        for trace in traces {
            let (info, spans) = read(store, trace).await;
            assert_eq!((spans.len(), &info["state"]), (8, &json!("OK")));
            assert_eq!(info["tags"]["mlflow.traceName"], "n");
            assert_eq!(info["trace_metadata"]["mlflow.trace.infoFinalized"], "true");
        }
    });
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        let unknown = log(&store, 77, &[span(1, 1, 0)]).await.unwrap_err();
        assert_eq!(unknown.code, ErrorCode::ResourceDoesNotExist);
        assert_eq!(
            store.get_trace_info(id(1).into()).await.unwrap_err().code,
            ErrorCode::ResourceDoesNotExist
        );

        store
            .start_trace(started(2, &json!({ "tags": { "mlflow.trace.spansLocation": "ARCHIVE_REPO" } })))
            .await
            .unwrap();
        let mut refused = vec![log(&store, 0, &[span(2, 1, 0), span(3, 1, 0)]).await];
        refused
            .push(store.start_trace(started(2, &json!({ "request_preview": "new" }))).await.map(|_info| ()));
        for outcome in refused {
            assert_eq!(outcome.unwrap_err().code, ErrorCode::InvalidState);
        }
        assert!(store.get_trace_info(id(3).into()).await.is_err());
        assert_eq!(store.get_trace_info(id(2).into()).await.unwrap().request_preview, None);

        let first = said(json!({ "assessment_id": "a", "assessment_name": "n", "feedback": { "value": 1 } }));
        store.create_assessment(id(2).into(), first).await.unwrap();
        for (json, code) in [
            (json!({ "feedback": { "value": 2 }, "overrides": "none" }), ErrorCode::ResourceDoesNotExist),
            (
                json!({ "assessment_id": "a", "feedback": { "value": 2 }, "overrides": "a" }),
                ErrorCode::InternalError,
            ),
        ] {
            assert_eq!(store.create_assessment(id(2).into(), said(json)).await.unwrap_err().code, code);
        }
        let (info, _) = read(&store, 2).await;
        assert_eq!(info["assessments"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&info["assessments"][0]["feedback"]["value"], &info["assessments"][0]["valid"]),
            (&json!(1.0), &json!(true))
        );
    });
}

#[test]
fn a_start_writes_over_assessments_and_deletion_takes_all() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        for (second, value) in [(1, 1), (2, 2)] {
            let time = format!("1970-01-01T00:00:0{second}Z");
            let assessment = json!({ "assessment_id": "a", "assessment_name": "n", "feedback": { "value": value },
                "create_time": time, "last_update_time": time });
            store.start_trace(started(1, &json!({ "assessments": [assessment] }))).await.unwrap();
        }
        let read = store.get_assessment(id(1).into(), "a".into()).await.unwrap();
        let read = serde_json::to_value(read).unwrap();
        assert_eq!(
            (&read["feedback"]["value"], &read["create_time"]),
            (&json!(2.0), &json!("1970-01-01T00:00:02Z"))
        );
        for trace in 2..=4 {
            log(&store, 0, &[span(trace, trace, 0)]).await.unwrap();
        }
        for (json, want) in [
            (json!({ "experiment_id": "1", "max_timestamp_millis": 9000 }), 0),
            (json!({ "experiment_id": "0", "max_timestamp_millis": 4000, "max_traces": 2 }), 2),
            (json!({ "experiment_id": "0", "request_ids": [id(1), id(1), id(2)] }), 1),
        ] {
            let deletion = Deletion::try_from(message::<DeleteTraces>(json)).unwrap();
            assert_eq!(store.delete_traces(deletion).await.unwrap(), want);
        }
        let left = store.get_traces((1..=4).map(id).collect(), None).await.unwrap();
        assert_eq!(left.iter().map(|trace| trace.info.trace_id()).collect::<Vec<_>>(), [id(4)]);
        // More ids than SQLite takes values, most of them of no trace.
        let ids: Vec<String> = (4..40_000).map(id).chain([id(4)]).collect();
        let named = Deletion { experiment_id: 0, ids, until_ms: None, most: None };
        assert_eq!(store.delete_traces(named).await.unwrap(), 1);
        // What is gone leaves its ids free.
        log(&store, 0, &[span(2, 9, 0)]).await.unwrap();
        assert_eq!(store.get_traces(vec![id(2)], None).await.unwrap()[0].spans.as_ref().unwrap().len(), 1);
        assert!(store.get_assessment(id(1).into(), "a".into()).await.is_err());
    });
}

#[test]
fn assessments_of_one_moment_keep_their_order() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        let made = |name: String, second: u32| {
            let time = format!("1970-01-01T00:00:{second:02}Z");
            json!({ "assessment_name": name, "feedback": { "value": 1 }, "create_time": time })
        };
        let with: Vec<Value> = (0..8).map(|n| made(format!("with {n}"), 20)).collect();
        store.start_trace(started(1, &json!({ "assessments": with }))).await.unwrap();
        for n in 0..8 {
            store.create_assessment(id(1).into(), said(made(format!("later {n}"), 20))).await.unwrap();
        }
        store.create_assessment(id(1).into(), said(made("earlier".into(), 10))).await.unwrap();
        let found = store.get_traces(vec![id(1)], None).await.unwrap().pop().unwrap();
        let names: Vec<String> =
            found.info.assessments.into_iter().filter_map(|a| a.assessment_name).collect();
        let with = (0..8).map(|n| format!("with {n}"));
        let want: Vec<String> = std::iter::once("earlier".to_owned())
            .chain(with)
            .chain((0..8).map(|n| format!("later {n}")))
            .collect();
        assert_eq!(names, want);
    });
}

#[test]
fn sqlite_looks_up_what_belongs_to_traces() {
    on_each_database(|store| async move {
        let texts = [
            super::info::SQLITE_ROWS,
            super::info::SQLITE_PAIRS,
            super::get::SQLITE_SPANS,
            super::spans::SQLITE_MARKS,
            super::spans::SQLITE_NODES,
            super::assessments::SQLITE_OF_TRACES,
        ];
        let all = store.read(move |conn| {
            for text in texts {
                assert_looked_up(conn, text);
            }
            Ok(())
        });
        all.await.unwrap();
    });
}
