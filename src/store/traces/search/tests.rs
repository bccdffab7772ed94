//! The SQL of searches, and what they find on each database.

use diesel::debug_query;
use diesel::pg::Pg;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use serde_json::json;

use super::*;
use crate::proto::CalculateTraceFilterCorrelation;
use crate::store::testing::{message, on_each_database, plan};
use crate::store::traces::correlation::TraceCorrelation;
use crate::store::traces::narrow;

fn search(filter: &str, order_by: &[&str]) -> TraceSearch {
    let order_by: Vec<String> = order_by.iter().map(|&by| by.into()).collect();
    TraceSearch::new(&["1"], filter, &order_by, 10, None).unwrap()
}

/// Returns what stands behind the table.
fn tail(text: &str) -> String {
    text.split_once(" FROM trace_info t ").unwrap().1.to_owned()
}

fn sqlite(filter: &str, order_by: &[&str]) -> String {
    tail(&debug_query::<Sqlite, _>(&search(filter, order_by).statement(Dialect::Sqlite, None)).to_string())
}

fn postgres(filter: &str, order_by: &[&str]) -> String {
    tail(&debug_query::<Pg, _>(&search(filter, order_by).statement(Dialect::Postgres, None)).to_string())
}

#[test]
fn sql_of_the_default_listing() {
    insta::assert_snapshot!(sqlite("", &[]), @r"WHERE t.experiment_id = ? ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT ? OFFSET ? -- binds: [1, 10, 0]");
    insta::assert_snapshot!(postgres("", &["timestamp DESC"]), @r"WHERE t.experiment_id = $1 ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT $2 OFFSET $3 -- binds: [1, 10, 0]");
}

#[test]
fn sql_of_filters() {
    insta::assert_snapshot!(sqlite("status = 'OK' AND timestamp > 5 AND end_time < 1.5 AND name ILIKE 'a%'", &[]), @r#"WHERE t.experiment_id = ? AND t.status = ? AND t.timestamp_ms > ? AND (t.timestamp_ms + COALESCE(t.execution_time_ms, 0)) < ? AND lower(t.trace_name) LIKE lower(?) ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT ? OFFSET ? -- binds: [1, "OK", 5, 1.5, "a%", 10, 0]"#);
    insta::assert_snapshot!(postgres("tags.a RLIKE '^b' AND metadata.c IS NULL", &[]), @r#"WHERE t.experiment_id = $1 AND EXISTS (SELECT 1 FROM trace_tags k WHERE k.request_id = t.request_id AND k.key = $2 AND k.value ~ $3) AND NOT EXISTS (SELECT 1 FROM trace_request_metadata k WHERE k.request_id = t.request_id AND k.key = $4) ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT $5 OFFSET $6 -- binds: [1, "a", "^b", "c", 10, 0]"#);
    insta::assert_snapshot!(sqlite("tags.a RLIKE '^b' AND run_id = 'r'", &[]), @r#"WHERE t.experiment_id = ? AND EXISTS (SELECT 1 FROM trace_tags k WHERE k.request_id = t.request_id AND k.key = ? AND k.value REGEXP ?) AND (EXISTS (SELECT 1 FROM trace_request_metadata k WHERE k.request_id = t.request_id AND k.key = ? AND k.value = ?) OR t.request_id IN (SELECT e.source_id FROM entity_associations e WHERE e.source_type = 'trace' AND e.destination_type = 'run' AND e.destination_id = ?)) ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT ? OFFSET ? -- binds: [1, "a", "^b", "mlflow.sourceRun", "r", "r", 10, 0]"#);
    insta::assert_snapshot!(postgres("span.name = 'a' AND trace.text ILIKE '%x%' AND timestamp > 20000", &[]), @r#"WHERE t.experiment_id = $1 AND t.timestamp_ms > $2 AND EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = t.request_id AND s.experiment_id = t.experiment_id AND s.start_time_unix_nano >= $3 AND s.name = $4 AND strpos(lower(s.content COLLATE "C"), $5) > 0 OFFSET 0) ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT $6 OFFSET $7 -- binds: [1, 20000, 10000000000, "a", "x", 10, 0]"#);
    insta::assert_snapshot!(postgres("feedback.a >= 0.5 AND expectation.b IS NULL", &[]), @r#"WHERE t.experiment_id = $1 AND (EXISTS (SELECT 1 FROM assessments a WHERE a.trace_id = t.request_id AND a.assessment_type = 'feedback' AND a.valid AND a.name = $2 AND a.is_numeric_value AND a.aggregate_value >= $3 OFFSET 0) OR t.session_id IS NOT NULL AND t.session_id IN (SELECT o.session_id FROM trace_info o JOIN assessments a ON a.trace_id = o.request_id WHERE o.experiment_id = $4 AND o.session_id IS NOT NULL AND a.assessment_type = 'feedback' AND a.valid AND a.name = $5 AND a.is_numeric_value AND a.aggregate_value >= $6 AND strpos(a.assessment_metadata, '"mlflow.trace.session":') > 0)) AND NOT (EXISTS (SELECT 1 FROM assessments a WHERE a.trace_id = t.request_id AND a.assessment_type = 'expectation' AND a.valid AND a.name = $7) OR t.session_id IS NOT NULL AND t.session_id IN (SELECT o.session_id FROM trace_info o JOIN assessments a ON a.trace_id = o.request_id WHERE o.experiment_id = $8 AND o.session_id IS NOT NULL AND a.assessment_type = 'expectation' AND a.valid AND a.name = $9 AND strpos(a.assessment_metadata, '"mlflow.trace.session":') > 0)) ORDER BY t.timestamp_ms DESC, t.request_id ASC LIMIT $10 OFFSET $11 -- binds: [1, "a", 0.5, 1, "a", 0.5, "b", 1, "b", 10, 0]"#);
}

#[test]
fn sql_of_orders() {
    insta::assert_snapshot!(sqlite("", &["tags.a DESC", "execution_time", "name"]), @r#"LEFT JOIN trace_tags o0 ON o0.request_id = t.request_id AND o0.key = ? WHERE t.experiment_id = ? ORDER BY o0.value DESC NULLS LAST, t.execution_time_ms ASC NULLS LAST, t.trace_name ASC NULLS LAST, t.timestamp_ms DESC, t.request_id ASC LIMIT ? OFFSET ? -- binds: ["a", 1, 10, 0]"#);
    insta::assert_snapshot!(postgres("", &["metadata.a", "request_id DESC"]), @r#"LEFT JOIN trace_request_metadata o0 ON o0.request_id = t.request_id AND o0.key = $1 WHERE t.experiment_id = $2 ORDER BY o0.value ASC NULLS LAST, t.request_id DESC, t.timestamp_ms DESC LIMIT $3 OFFSET $4 -- binds: ["a", 1, 10, 0]"#);
}

/// Four traces: `a` of a run and with spans, `b` linked to a run, `c` of the session that `d` was assessed for.
pub(in crate::store::traces) const ROWS: &str = r#"
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, client_request_id,
  db_payload_generation, trace_name, session_id, input_tokens, total_tokens, total_cost)
VALUES ('a', 0, 1000, 10, 'OK', 'one', 0, 'Chat', NULL, 12, 20, 0.5),
  ('b', 0, 2000, 500, 'ERROR', NULL, 0, NULL, NULL, NULL, NULL, NULL),
  ('c', 0, 3000, NULL, 'OK', 'two', 0, 'tool', 's1', NULL, 30, NULL),
  ('d', 0, 3000, 30, 'IN_PROGRESS', NULL, 0, 'tool', 's1', NULL, NULL, NULL);
INSERT INTO trace_tags (request_id, key, value) VALUES ('a', 'team', 'red'), ('b', 'team', 'Blue'), ('c', 'x', '1');
INSERT INTO trace_request_metadata (request_id, key, value)
VALUES ('a', 'mlflow.sourceRun', 'r1'), ('c', 'user', 'ann'), ('d', 'user', 'bob');
INSERT INTO entity_associations (association_id, source_type, source_id, destination_type, destination_id)
VALUES ('x1', 'trace', 'b', 'run', 'r1'), ('x2', 'trace', 'c', 'prompt_version', 'p/1');
INSERT INTO spans (trace_id, experiment_id, span_id, name, type, status, start_time_unix_nano, end_time_unix_nano,
  content, total_cost, model_name)
VALUES ('a', 0, 's1', 'root', 'CHAIN', 'OK', 1000000000, 1010000000, '{"attributes": {"q": "\"order 7\""}}', NULL, NULL),
  ('a', 0, 's2', 'ask', 'LLM', 'OK', 1000000000, 1004999999, '{"attributes": {"model": "\"gpt-4\""}}', 0.25, 'gpt-4'),
  ('b', 0, 's1', 'ask', 'TOOL', 'ERROR', 2000000000, NULL, '{"attributes": {}}', NULL, NULL);
INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp,
  last_updated_timestamp, source_type, valid, assessment_metadata, experiment_id, trace_timestamp_ms, aggregate_value,
  is_numeric_value)
VALUES ('a1', 'a', 'good', 'feedback', '"yes"', 1, 1, 'HUMAN', true, NULL, 0, 1000, 1, false),
  ('a2', 'b', 'good', 'feedback', 'true', 1, 1, 'CODE', true, NULL, 0, 2000, 1, false),
  ('a3', 'b', 'score', 'feedback', '0.75', 1, 1, 'CODE', true, NULL, 0, 2000, 0.75, true),
  ('a4', 'a', 'score', 'feedback', '0.25', 1, 1, 'CODE', false, NULL, 0, 1000, 0.25, true),
  ('a5', 'd', 'calm', 'feedback', '"yes"', 1, 1, 'CODE', true, '{"mlflow.trace.session": "s1"}', 0, 3000, 1, false),
  ('a6', 'b', 'answer', 'expectation', '"4"', 1, 1, 'HUMAN', true, NULL, 0, 2000, NULL, false),
  ('a7', 'c', 'i-1', 'issue', '{}', 1, 1, 'CODE', true, NULL, 0, 3000, NULL, false);
"#;

#[test]
fn filters_find_what_they_say() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        for (filter, want) in [
            ("", "cdba"),
            ("status = 'OK'", "ca"),
            ("status IN ('ERROR', 'IN_PROGRESS')", "db"),
            ("status RLIKE '^E.*R$'", "b"),
            ("timestamp >= 2000", "cdb"),
            ("timestamp_ms < 2500.5", "ba"),
            ("execution_time > 20", "db"),
            ("end_time <= 2500", "ba"),
            ("name LIKE 'c%'", ""),
            ("name ILIKE 'c%'", "a"),
            ("name IS NULL", "b"),
            ("client_request_id NOT IN ('one')", "c"),
            ("request_id != 'a'", "cdb"),
            ("tags.team = 'red'", "a"),
            ("tags.team != 'red'", "b"),
            ("tags.team ILIKE 'b%'", "b"),
            ("tags.team IS NULL", "cd"),
            ("tags.team IS NOT NULL AND status = 'OK'", "a"),
            ("tags.team RLIKE '(red|Blue)'", "ba"),
            ("metadata.user = 'ann'", "c"),
            ("metadata.user IS NOT NULL", "cd"),
            ("metadata.`mlflow.trace.session` = 's1'", "cd"),
            ("metadata.`mlflow.trace.session` IS NULL", "ba"),
            ("run_id = 'r1'", "ba"),
            ("run_id = 'nope' AND run_id = 'r1'", "ba"),
            ("run_id IS NULL", "cdb"),
            ("prompt = 'p/1'", "c"),
            ("issue.id = 'i-1'", "c"),
            (r#"metadata.`mlflow.trace.tokenUsage` = '{"input_tokens": 12, "total_tokens": 20}'"#, "a"),
            (r#"metadata.`mlflow.trace.tokenUsage` != '{"total_tokens": 30}'"#, "a"),
            ("metadata.`mlflow.trace.tokenUsage` != 'x'", "ca"),
            ("metadata.`mlflow.trace.tokenUsage` IS NULL", "db"),
            (r#"metadata.`mlflow.trace.cost` = '{"total_cost": 0.5}'"#, "a"),
            ("span.name = 'ask'", "ba"),
            ("span.name = 'ask' AND span.type = 'LLM'", "a"),
            ("span.name = 'root' AND span.type = 'LLM'", ""),
            ("span.type NOT IN ('LLM', 'CHAIN')", "b"),
            ("span.name = 'ask' AND timestamp > 11500", ""),
            ("trace.text ILIKE '%ORDER 7%'", "a"),
            ("trace.text LIKE '%ORDER 7%'", ""),
            ("trace.text LIKE '%order 7%'", "a"),
            ("trace.text ILIKE '%Order_7%'", "a"),
            ("trace.text ILIKE 'Order 7%'", ""),
            ("trace.text ILIKE '%Order (7%'", ""),
            ("trace.text ILIKE '%\u{e9}%'", ""),
            ("span.attributes.model LIKE '%gpt%'", "a"),
            ("span.attributes.model RLIKE '^gpt-.$'", "a"),
            ("span.attributes.model RLIKE '^pt'", ""),
            ("feedback.good = 'yes'", "a"),
            ("feedback.good = 'true'", "b"),
            ("feedback.good != 'yes'", "b"),
            ("feedback.good LIKE '%y%'", "a"),
            ("feedback.score > 0.5", "b"),
            ("feedback.score < 0.5", ""),
            ("feedback.good > 0", ""),
            ("feedback.calm = 'yes'", "cd"),
            ("feedback.calm IS NULL", "ba"),
            ("feedback.good IS NOT NULL", "ba"),
            ("expectation.answer = '4'", "b"),
            ("expectation.good = 'yes'", ""),
        ] {
            let search = TraceSearch::new(&["0"], filter, &[], 100, None).unwrap();
            let (found, token) = store.search_traces(search).await.unwrap();
            let ids: String = found.iter().map(TraceInfoV3::trace_id).collect();
            assert_eq!((ids.as_str(), token), (want, None), "{filter}");
        }
    });
}

#[test]
fn missing_values_come_last() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        for (order, want) in [
            ("timestamp", "abcd"),
            ("request_id DESC", "dcba"),
            ("execution_time", "adbc"),
            ("execution_time DESC", "bdac"),
            ("end_time", "abcd"),
            ("name DESC", "cdab"),
            ("tags.team DESC", "abcd"),
            ("metadata.user DESC", "dcba"),
            ("status DESC", "cadb"),
        ] {
            let search = TraceSearch::new(&["0", "7"], "", &[order.into()], 100, None).unwrap();
            let (found, _) = store.search_traces(search).await.unwrap();
            let ids: String = found.iter().map(TraceInfoV3::trace_id).collect();
            assert_eq!(ids, want, "{order}");
        }
    });
}

#[test]
fn a_full_page_has_a_next_one() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        let mut token: Option<String> = None;
        let mut ids = Vec::new();
        for page in 0.. {
            let search = TraceSearch::new(&["0"], "", &[], 2, token.as_deref()).unwrap();
            let (found, next) = store.search_traces(search).await.unwrap();
            ids.extend(found.iter().map(|info| info.trace_id().to_owned()));
            token = next;
            if token.is_none() {
                // As under stock an empty page follows a last one that is full.
                assert_eq!((page, found.len()), (2, 0));
                break;
            }
        }
        assert_eq!(ids, ["c", "d", "b", "a"]);
    });
}

#[test]
fn limits_are_those_of_stock() {
    let refused = |experiments: &[&str], max, token| {
        TraceSearch::new(experiments, "", &[], max, token).unwrap_err().message
    };
    for (max, want) in [
        (0, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        (50_001, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
    ] {
        assert_eq!(refused(&["0"], max, None), want);
    }
    assert_eq!(
        refused(&["catalog.schema", "0", "another.one_of_them"], 1, None),
        "Locations must be a list of experiment IDs. Found invalid experiment IDs: catalog.schema, anot...."
    );
    assert_eq!(refused(&["x"], 1, None), "Invalid experiment ID 'x'. Experiment ID must be a valid integer.");
    assert_eq!(refused(&["0"], 1, Some("x")), "Invalid page token, could not base64-decode");
}

#[test]
fn correlation_counts_each_trace_once() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        for (first, second, base, want) in [
            ("status = 'OK'", "metadata.`mlflow.trace.session` = 's1'", "", (4, 2, 2, 1)),
            ("status = 'OK'", "tags.team = 'red'", "timestamp < 2500", (2, 1, 1, 1)),
            ("span.type = 'LLM'", "span.type = 'CHAIN'", "span.name = 'ask'", (2, 1, 0, 0)),
            ("status = 'nope'", "feedback.good IS NOT NULL", "", (4, 0, 2, 0)),
        ] {
            let request: CalculateTraceFilterCorrelation = message(json!({ "experiment_ids": ["0"],
                "filter_string1": first, "filter_string2": second, "base_filter": base }));
            let counts =
                store.count_trace_correlation(TraceCorrelation::new(&request).unwrap()).await.unwrap();
            assert_eq!(
                (counts.total, counts.first, counts.second, counts.joint),
                want,
                "{first} {second} {base}"
            );
        }
    });
}

#[test]
fn a_regular_expression_that_cannot_be_read_is_no_fault_of_ours() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(ROWS.into()).await;
        let search = TraceSearch::new(&["0"], "status RLIKE '('", &[], 10, None).unwrap();
        let found = store.search_traces(search).await;
        match store.dialect() {
            Dialect::Sqlite => assert_eq!(found.unwrap().0.len(), 0),
            Dialect::Postgres => assert_eq!(found.unwrap_err().code, crate::domain::ErrorCode::BadRequest),
        }
    });
}

/// Some thousand traces: all of a team, each assessed; one in 500 in another team, and assessed otherwise.
const MANY: &str = r#"
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation, session_id)
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  SELECT 'tr-' || i, 0, i, 'OK', 0, 's' || i FROM n;
INSERT INTO trace_tags (request_id, key, value)
  SELECT request_id, 'team', CASE WHEN timestamp_ms % 500 = 0 THEN 'blue' ELSE 'red' END FROM trace_info;
INSERT INTO trace_request_metadata (request_id, key, value)
  SELECT request_id, 'kind', CASE WHEN timestamp_ms % 500 = 0 THEN 'few' ELSE 'many' END FROM trace_info
  UNION ALL SELECT request_id, 'mlflow.sourceRun', 'few' FROM trace_info WHERE timestamp_ms % 500 = 0;
INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp,
  last_updated_timestamp, source_type, valid, experiment_id, trace_timestamp_ms, is_numeric_value)
  SELECT 'a' || timestamp_ms, request_id, 'good', 'feedback',
    CASE WHEN timestamp_ms % 500 = 0 THEN '"no"' ELSE '"yes"' END, 1, 1, 'HUMAN', true, 0, timestamp_ms, false
  FROM trace_info;
ANALYZE;
"#;

#[test]
fn few_and_many_are_found_alike() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(MANY.into()).await;
        for (many, few) in [
            ("tags.team = 'red'", "tags.team = 'blue'"),
            ("metadata.kind = 'many'", "run_id = 'few'"),
            ("feedback.good = 'yes'", "feedback.good = 'no'"),
        ] {
            let found = |filter: String, order: &str| {
                let search = TraceSearch::new(&["0"], &filter, &[order.to_owned()], 4, None).unwrap();
                let found = store.search_traces(search);
                async move {
                    found
                        .await
                        .unwrap()
                        .0
                        .into_iter()
                        .map(|info| info.trace_id.unwrap_or_default())
                        .collect::<Vec<_>>()
                }
            };
            let newest = "timestamp_ms DESC";
            assert_eq!(
                found(many.into(), newest).await,
                ["tr-2999", "tr-2998", "tr-2997", "tr-2996"],
                "{many}"
            );
            assert_eq!(
                found(few.into(), newest).await,
                ["tr-3000", "tr-2500", "tr-2000", "tr-1500"],
                "{few}"
            );
            assert_eq!(
                found(few.into(), "timestamp_ms ASC").await,
                ["tr-500", "tr-1000", "tr-1500", "tr-2000"]
            );
            assert_eq!(found(format!("{many} AND {few}"), newest).await, [""; 0], "{many} AND {few}");
        }
    });
}

#[test]
fn indexes_serve_the_search_for_few() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        store.execute(MANY.into()).await;
        for (filter, index) in [
            ("tags.team = 'blue'", "ferroflow_trace_tags_values"),
            ("metadata.a = 'b'", "ferroflow_trace_metadata_values"),
            ("run_id = 'few'", "ferroflow_trace_metadata_values"),
            ("feedback.good = 'no'", "ferroflow_assessments_of_sessions"),
        ] {
            let predicate = TraceQuery::parse(filter, &[]).unwrap().filter.predicates.remove(0);
            let plan = store.read(move |conn| {
                let mut search = Search::<Text>::new(conn.dialect());
                assert!(narrow::asks(&mut search, &predicate, &[0]));
                Ok(plan(conn, search))
            });
            let plan = plan.await.unwrap();
            assert!(plan.contains(index), "{plan}");
        }
    });
}

#[test]
fn indexes_serve_the_newest_and_the_slowest() {
    on_each_database(|store| async move {
        store.ensure_default_experiment().await.unwrap();
        let rows = "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, \
              db_payload_generation) \
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
            SELECT 'tr-' || i, 0, i, NULLIF(i * 7919 % 5000, 0), 'OK', 0 FROM n; ANALYZE";
        store.execute(rows.into()).await;
        // With one experiment PostgreSQL may as well read all traces by their time.
        let newest: &[&str] = &[
            "index_trace_info_experiment_id_timestamp_ms",
            "Scan Backward using index_trace_info_timestamp_ms_request_id",
        ];
        for (order, indexes) in
            [("timestamp DESC", newest), ("execution_time DESC", &["ferroflow_trace_info_durations"][..])]
        {
            let search = TraceSearch::new(&["0"], "", &[order.to_owned()], 100, None).unwrap();
            let plan =
                store.read(move |conn| Ok(plan(conn, search.statement(conn.dialect(), None)))).await.unwrap();
            assert!(indexes.iter().any(|index| plan.contains(index)), "{order}: {plan}");
        }
    });
}
