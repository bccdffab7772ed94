//! CPU cost of a request without database and network: parsing JSON, checking a batch, parsing a filter,
//! ingesting spans, writing a response. `cargo bench` runs it (`-- NAME` picks); each figure is per request.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ferroflow::api::extract::from_body;
use ferroflow::domain::run::NewBatch;
use ferroflow::domain::trace::prices::Prices;
use ferroflow::domain::trace::span::NewSpans;
use ferroflow::domain::validate::LongValues;
use ferroflow::proto::{LogBatch, LogMetric, Run, RunData, otlp};
use ferroflow::search::runs::RunQuery;
use ferroflow::search::traces::TraceQuery;
use serde_json::{Value, json};

const RUN: &str = "0123456789abcdef0123456789abcdef";

fn metrics(count: usize) -> Vec<Value> {
    let metric = |i: i32| json!({"key": format!("metric_{}", i % 10), "value": f64::from(i) / 3.0, "timestamp": 1_700_000_000_000_i64 + i64::from(i), "step": i});
    (0..i32::try_from(count).expect("a small number")).map(metric).collect()
}

fn pairs(count: usize) -> Vec<Value> {
    (0..count).map(|i| json!({"key": format!("key_{i}"), "value": format!("value {i}")})).collect()
}

fn requests(c: &mut Criterion) {
    let one =
        json!({"run_id": RUN, "key": "loss", "value": 0.25, "timestamp": 1_700_000_000_000_i64, "step": 3});
    let one = one.to_string();
    c.bench_function("log-metric: body to batch", |b| {
        b.iter(|| {
            let request: LogMetric = from_body(black_box(one.as_bytes())).expect("a good request");
            NewBatch::from_metric(request).expect("a good metric")
        });
    });
    for (name, body) in [
        (
            "10 metrics, 5 params, 5 tags",
            json!({"run_id": RUN, "metrics": metrics(10), "params": pairs(5), "tags": pairs(5)}),
        ),
        ("1000 metrics", json!({"run_id": RUN, "metrics": metrics(1000)})),
    ] {
        let body = body.to_string();
        c.bench_function(&format!("log-batch of {name}: body to batch"), |b| {
            b.iter(|| {
                let request: LogBatch = from_body(black_box(body.as_bytes())).expect("a good request");
                NewBatch::from_batch(request, LongValues::Truncate).expect("a good batch")
            });
        });
    }
}

fn answers(c: &mut Criterion) {
    let data = json!({"metrics": metrics(100), "params": pairs(50), "tags": pairs(20)});
    let data: RunData = serde_json::from_value(data).expect("the data of a run");
    let run = Run { data: Some(data), ..Run::default() };
    c.bench_function("a run of 100 metrics, 50 params, 20 tags: message to JSON", |b| {
        b.iter(|| serde_json::to_vec(black_box(&run)).expect("JSON"));
    });
}

fn filters(c: &mut Criterion) {
    let (filter, order) =
        ("metrics.metric_1 > 0.5 and params.param_3 = '2'", ["metrics.metric_2 DESC".to_owned()]);
    c.bench_function("a filter and order of runs", |b| {
        b.iter(|| RunQuery::parse(black_box(filter), black_box(&order)).expect("a good filter"));
    });
    let filter =
        "trace.status = 'OK' AND tag.team = 'a' AND feedback.good = 'yes' AND span.name ILIKE '%tool%'";
    c.bench_function("a filter of traces", |b| {
        b.iter(|| TraceQuery::parse(black_box(filter), &[]).expect("a good filter"));
    });
}

fn spans(c: &mut Criterion) {
    let span = |i: usize| {
        let attribute =
            |key: &str, value: Value| json!({"key": key, "value": {"stringValue": value.to_string()}});
        json!({
            "traceId": RUN, "spanId": format!("{:016x}", i + 1), "parentSpanId": if i == 0 { "" } else { "0000000000000001" },
            "name": format!("step {i}"), "kind": 1, "startTimeUnixNano": "1700000000000000000",
            "endTimeUnixNano": "1700000001000000000", "status": {"code": 1},
            "attributes": [
                attribute("mlflow.spanType", "TOOL".into()),
                attribute("mlflow.spanInputs", json!({"question": "Where is my order?"})),
                attribute("mlflow.spanOutputs", json!({"answer": "On its way."})),
            ],
        })
    };
    let spans: Vec<Value> = (0..10).map(span).collect();
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let prices = Prices::default();
    c.bench_function("OTLP of 10 spans: JSON to rows", |b| {
        b.iter(|| {
            let request = otlp::from_json(black_box(body.as_bytes())).unwrap_or_default();
            let spans =
                NewSpans::convert(1, &request, &prices).unwrap_or_else(|_| unreachable!("good spans"));
            assert_eq!(spans.len(), 10);
            spans
        });
    });
}

criterion_group!(pure, requests, answers, filters, spans);
criterion_main!(pure);
