//! The SQL of metrics, and what they give on each database.

use diesel::debug_query;
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use serde_json::{Value, json};

use super::*;
use crate::store::testing::{message, on_each_database};
use crate::store::traces::search::tests::ROWS;

fn query(view: &str, metric: &str, aggregations: &[&str], more: &Value) -> MetricQuery {
    let aggregations: Vec<Value> = aggregations
        .iter()
        .map(|&kind| match kind.strip_prefix('P') {
            Some(percentage) => json!({ "aggregation_type": "PERCENTILE",
                "percentile_value": percentage.parse::<f64>().unwrap() }),
            None => json!({ "aggregation_type": kind }),
        })
        .collect();
    let mut body = json!({ "experiment_ids": ["0"], "view_type": view, "metric_name": metric,
        "aggregations": aggregations });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    MetricQuery::parse(&message(body)).unwrap()
}

fn sqlite(view: &str, metric: &str, aggregations: &[&str], more: &Value) -> String {
    debug_query::<Sqlite, _>(&statement(Dialect::Sqlite, &query(view, metric, aggregations, more)))
        .to_string()
}

fn postgres(view: &str, metric: &str, aggregations: &[&str], more: &Value) -> String {
    debug_query::<Pg, _>(&statement(Dialect::Postgres, &query(view, metric, aggregations, more))).to_string()
}

#[test]
fn sql_of_metrics() {
    insta::assert_snapshot!(sqlite("TRACES", "trace_count", &["COUNT"], &json!({})), @"SELECT CAST(COUNT(*) AS DOUBLE PRECISION) AS v0 FROM trace_info t WHERE t.experiment_id = ? LIMIT ? -- binds: [0, 1000]");
    let times = json!({ "time_interval_seconds": 60, "start_time_ms": 1, "end_time_ms": 2 });
    insta::assert_snapshot!(postgres("TRACES", "latency", &["P50", "AVG"], &times), @"SELECT (t.timestamp_ms - ((t.timestamp_ms % $1) + $2) % $3) AS b, CAST(percentile_cont($4 / 100) WITHIN GROUP (ORDER BY t.execution_time_ms) AS DOUBLE PRECISION) AS v0, CAST(AVG(t.execution_time_ms) AS DOUBLE PRECISION) AS v1 FROM trace_info t WHERE t.experiment_id = $5 AND t.timestamp_ms >= $6 AND t.timestamp_ms <= $7 AND t.execution_time_ms IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT $8 -- binds: [60000, 60000, 60000, 50.0, 0, 1, 2, 1000]");
    insta::assert_snapshot!(sqlite("SPANS", "total_cost", &["SUM", "P90"], &json!({ "start_time_ms": 1, "end_time_ms": 2, "time_interval_seconds": 60, "dimensions": ["span_model_name"], "max_results": 5 })), @"SELECT (s.start_time_unix_nano - ((s.start_time_unix_nano % ?) + ?) % ?) / 1000000 AS b, s.model_name AS d0, CAST(SUM(s.total_cost) AS DOUBLE PRECISION) AS v0, CAST(percentile_of(?, s.total_cost) AS DOUBLE PRECISION) AS v1 FROM spans s WHERE s.experiment_id = ? AND s.start_time_unix_nano >= ? AND s.start_time_unix_nano < ? AND s.total_cost IS NOT NULL AND s.model_name IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2 LIMIT ? -- binds: [60000000000, 60000000000, 60000000000, 90.0, 0, 1000000, 3000000, 5]");
    insta::assert_snapshot!(sqlite("SPANS", "span_count", &["COUNT"], &json!({ "start_time_ms": 1, "filters": ["span.type = 'LLM'"] })), @r#"SELECT CAST(COUNT(*) AS DOUBLE PRECISION) AS v0 FROM trace_info t JOIN spans s ON s.trace_id = t.request_id WHERE t.experiment_id = ? AND t.timestamp_ms >= ? AND s.type = ? LIMIT ? -- binds: [0, 1, "LLM", 1000]"#);
    insta::assert_snapshot!(sqlite("ASSESSMENTS", "assessment_count", &["COUNT"], &json!({ "filters": ["trace.metadata.`mlflow.sourceRun` = 'r'", "assessment.type = 'feedback'"], "dimensions": ["assessment_value"] })), @r#"SELECT a.value AS d0, CAST(COUNT(*) AS DOUBLE PRECISION) AS v0 FROM assessments a WHERE a.experiment_id = ? AND a.valid AND EXISTS (SELECT 1 FROM trace_info t WHERE t.request_id = a.trace_id AND (EXISTS (SELECT 1 FROM trace_request_metadata k WHERE k.request_id = t.request_id AND k.key = ? AND k.value = ?) OR t.request_id IN (SELECT e.source_id FROM entity_associations e WHERE e.source_type = 'trace' AND e.destination_type = 'run' AND e.destination_id = ?))) AND a.assessment_type = ? AND a.value IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT ? -- binds: [0, "mlflow.sourceRun", "r", "r", "feedback", 1000]"#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn metrics_are_what_they_say() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        let all = |more: Value| {
            let mut times = json!({ "time_interval_seconds": 2, "start_time_ms": 0, "end_time_ms": 9000 });
            times.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            times
        };
        let at = |second: i64| time::iso_ms(second * 1000);
        for (view, metric, aggregations, more, want) in [
            ("TRACES", "trace_count", &["COUNT"][..], json!({}), json!([[{}, { "COUNT": 4.0 }]])),
            (
                "TRACES",
                "trace_count",
                &["COUNT"],
                json!({ "dimensions": ["trace_status"] }),
                json!([[{ "trace_status": "ERROR" }, { "COUNT": 1.0 }],
                    [{ "trace_status": "IN_PROGRESS" }, { "COUNT": 1.0 }],
                    [{ "trace_status": "OK" }, { "COUNT": 2.0 }]]),
            ),
            (
                "TRACES",
                "trace_count",
                &["COUNT"],
                all(json!({})),
                json!([[{ "time_bucket": at(0) }, { "COUNT": 1.0 }], [{ "time_bucket": at(2) }, { "COUNT": 3.0 }]]),
            ),
            (
                "TRACES",
                "trace_count",
                &["COUNT"],
                all(json!({ "max_results": 1 })),
                json!([[{ "time_bucket": at(0) }, { "COUNT": 1.0 }]]),
            ),
            ("TRACES", "trace_count", &["COUNT"], json!({ "max_results": 0 }), json!([])),
            (
                "TRACES",
                "trace_count",
                &["COUNT"],
                json!({ "start_time_ms": 2000, "end_time_ms": 2999 }),
                json!([[{}, { "COUNT": 1.0 }]]),
            ),
            (
                "TRACES",
                "trace_count",
                &["COUNT"],
                json!({ "filters": ["trace.metadata.`mlflow.sourceRun` = 'r1'"] }),
                json!([[{}, { "COUNT": 2.0 }]]),
            ),
            (
                "TRACES",
                "trace_count",
                &["COUNT"],
                json!({ "filters": ["trace.tag.team = 'red'", "trace.status = 'OK'", "trace.tag.mlflow.traceName = 'Chat'"] }),
                json!([[{}, { "COUNT": 1.0 }]]),
            ),
            ("TRACES", "session_count", &["COUNT"], json!({}), json!([[{}, { "COUNT": 1.0 }]])),
            (
                "TRACES",
                "latency",
                &["AVG", "MIN", "MAX", "P50", "P90"],
                json!({}),
                json!([[{}, { "AVG": 180.0, "MIN": 10.0, "MAX": 500.0, "P50.0": 30.0, "P90.0": 406.0 }]]),
            ),
            (
                "TRACES",
                "latency",
                &["P50"],
                json!({ "dimensions": ["trace_name"] }),
                json!([[{ "trace_name": "Chat" }, { "P50.0": 10.0 }], [{ "trace_name": "tool" }, { "P50.0": 30.0 }]]),
            ),
            (
                "TRACES",
                "total_tokens",
                &["SUM", "AVG"],
                json!({}),
                json!([[{}, { "SUM": 50.0, "AVG": 25.0 }]]),
            ),
            ("TRACES", "output_tokens", &["SUM"], json!({}), json!([])),
            (
                "SPANS",
                "span_count",
                &["COUNT"],
                json!({ "dimensions": ["span_name", "span_status"] }),
                json!([[{ "span_name": "ask", "span_status": "ERROR" }, { "COUNT": 1.0 }],
                    [{ "span_name": "ask", "span_status": "OK" }, { "COUNT": 1.0 }],
                    [{ "span_name": "root", "span_status": "OK" }, { "COUNT": 1.0 }]]),
            ),
            (
                "SPANS",
                "span_count",
                &["COUNT"],
                all(json!({ "filters": ["trace.status = 'OK'", "span.name = 'ask'"] })),
                json!([[{ "time_bucket": at(0) }, { "COUNT": 1.0 }]]),
            ),
            ("SPANS", "latency", &["AVG", "MAX"], json!({}), json!([[{}, { "AVG": 7.0, "MAX": 10.0 }]])),
            (
                "SPANS",
                "total_cost",
                &["SUM"],
                json!({ "dimensions": ["span_model_name"], "start_time_ms": 1000, "end_time_ms": 1000 }),
                json!([[{ "span_model_name": "gpt-4" }, { "SUM": 0.25 }]]),
            ),
            ("SPANS", "total_cost", &["SUM"], json!({ "end_time_ms": 999 }), json!([])),
            (
                "ASSESSMENTS",
                "assessment_count",
                &["COUNT"],
                json!({ "filters": ["assessment.type = 'feedback'"], "dimensions": ["assessment_name", "assessment_value"] }),
                json!([[{ "assessment_name": "calm", "assessment_value": "\"yes\"" }, { "COUNT": 1.0 }],
                    [{ "assessment_name": "good", "assessment_value": "\"yes\"" }, { "COUNT": 1.0 }],
                    [{ "assessment_name": "good", "assessment_value": "true" }, { "COUNT": 1.0 }],
                    [{ "assessment_name": "score", "assessment_value": "0.75" }, { "COUNT": 1.0 }]]),
            ),
            (
                "ASSESSMENTS",
                "assessment_value",
                &["AVG", "P99"],
                json!({ "filters": ["trace.status = 'ERROR'"] }),
                json!([[{}, { "AVG": 0.875, "P99.0": 0.9975 }]]),
            ),
        ] {
            let query = query(view, metric, aggregations, &more);
            let answer = serde_json::to_value(store.query_trace_metrics(query).await.unwrap()).unwrap();
            let points = answer["data_points"].as_array().cloned().unwrap_or_default();
            let mut got: Vec<Value> = points
                .iter()
                .map(|point| {
                    assert_eq!(point["metric_name"], metric);
                    let part = |key: &str| point.get(key).cloned().unwrap_or_else(|| json!({}));
                    json!([part("dimensions"), part("values")])
                })
                .collect();
            // Text is sorted by the rules of the database.
            got.sort_by_key(ToString::to_string);
            let mut want = want.as_array().unwrap().clone();
            want.sort_by_key(ToString::to_string);
            assert_eq!(got, want, "{view} {metric} {aggregations:?} {more}");
        }
    });
}

#[test]
fn times_beyond_all_numbers_are_no_error() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        for (start, end, interval, groups) in [
            (i64::MIN, i64::MAX, i64::MAX, 1),
            (i64::MIN, i64::MAX, i64::MIN, 1),
            (i64::MIN, i64::MAX, -2, 1),
            (i64::MAX, i64::MAX, 60, 0),
            (i64::MIN, i64::MIN, 60, 0),
        ] {
            for (view, metric) in [("SPANS", "total_cost"), ("TRACES", "total_tokens")] {
                let times =
                    json!({ "start_time_ms": start, "end_time_ms": end, "time_interval_seconds": interval });
                let answer = store.query_trace_metrics(query(view, metric, &["MAX"], &times)).await.unwrap();
                let most = if view == "TRACES" && interval == -2 { 2 } else { groups };
                assert_eq!(answer.data_points.len(), most, "{view} {start} {end} {interval}");
            }
        }
    });
}
