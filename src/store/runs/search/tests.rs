//! The SQL of searches, and what they find on each database.

use diesel::debug_query;
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use serde_json::{Value, json};

use super::*;
use crate::proto::Run;
use crate::store::runs::data::{PG_LISTED, SQLITE_LISTED};
use crate::store::statement::{Bind, json_list, statement};
use crate::store::testing::{message, on_each_database, plan};

fn search(filter: &str, order_by: &[&str]) -> RunSearch {
    RunSearch::new(&SearchRuns {
        experiment_ids: vec!["1".into()],
        filter: Some(filter.into()),
        order_by: order_by.iter().map(|&by| by.into()).collect(),
        max_results: Some(10),
        ..SearchRuns::default()
    })
    .unwrap()
}

/// Returns what stands behind the columns.
fn tail(text: &str) -> String {
    let (_columns, tail) = text.split_once("r.experiment_id FROM ").unwrap();
    tail.strip_prefix("runs r ").unwrap_or(tail).to_owned()
}

fn sqlite(filter: &str, order_by: &[&str]) -> String {
    tail(&debug_query::<Sqlite, _>(&search(filter, order_by).statement(Dialect::Sqlite)).to_string())
}

fn postgres(filter: &str, order_by: &[&str]) -> String {
    tail(&debug_query::<Pg, _>(&search(filter, order_by).statement(Dialect::Postgres)).to_string())
}

#[test]
fn sql_of_the_default_listing() {
    insta::assert_snapshot!(sqlite("", &[]), @r"WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT ? OFFSET ? -- binds: [1, 11, 0]");
    insta::assert_snapshot!(postgres("", &[]), @r"WHERE r.experiment_id = $1 AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $2 OFFSET $3 -- binds: [1, 11, 0]");
}

#[test]
fn sql_of_filters() {
    insta::assert_snapshot!(sqlite("metrics.acc > 0.5 AND metrics.loss != 1", &[]), @r#"JOIN latest_metrics f0 ON f0.run_uuid = r.run_uuid AND f0.key = ? AND (f0.value > ? AND NOT f0.is_nan) JOIN latest_metrics f1 ON f1.run_uuid = r.run_uuid AND f1.key = ? AND (f1.value != ? OR f1.is_nan) WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT ? OFFSET ? -- binds: ["acc", 0.5, "loss", 1.0, 1, 11, 0]"#);
    insta::assert_snapshot!(sqlite("params.lr ILIKE '%1' AND tags.a LIKE 'x'", &[]), @r#"JOIN params f0 ON f0.run_uuid = r.run_uuid AND f0.key = ? AND lower(f0.value) LIKE lower(?) JOIN tags f1 ON f1.run_uuid = r.run_uuid AND f1.key = ? AND f1.value LIKE ? WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT ? OFFSET ? -- binds: ["lr", "%1", "a", "x", 1, 11, 0]"#);
    insta::assert_snapshot!(postgres("params.lr ILIKE '%1' AND tags.a LIKE 'x'", &[]), @r#"JOIN params f0 ON f0.run_uuid = r.run_uuid AND f0.key = $1 AND f0.value ILIKE $2 JOIN tags f1 ON f1.run_uuid = r.run_uuid AND f1.key = $3 AND f1.value LIKE $4 WHERE r.experiment_id = $5 AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $6 OFFSET $7 -- binds: ["lr", "%1", "a", "x", 1, 11, 0]"#);
    insta::assert_snapshot!(postgres("tags.a IS NULL AND params.`b` IS NOT NULL", &[]), @r#"WHERE r.experiment_id = $1 AND r.lifecycle_stage = 'active' AND NOT EXISTS (SELECT 1 FROM tags k WHERE k.run_uuid = r.run_uuid AND k.key = $2) AND EXISTS (SELECT 1 FROM params k WHERE k.run_uuid = r.run_uuid AND k.key = $3) ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $4 OFFSET $5 -- binds: [1, "a", "b", 11, 0]"#);
    insta::assert_snapshot!(postgres("status = 'FINISHED' AND start_time > 5 AND end_time < 1.5", &[]), @r#"WHERE r.experiment_id = $1 AND r.lifecycle_stage = 'active' AND r.status = $2 AND r.start_time > $3 AND r.end_time < $4 ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $5 OFFSET $6 -- binds: [1, "FINISHED", 5, 1.5, 11, 0]"#);
    insta::assert_snapshot!(postgres("run_name = 'a' AND run_id NOT IN ('b', 'c')", &[]), @r#"JOIN tags f0 ON f0.run_uuid = r.run_uuid AND f0.key = $1 AND f0.value = $2 WHERE r.experiment_id = $3 AND r.lifecycle_stage = 'active' AND r.run_uuid NOT IN ($4, $5) ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $6 OFFSET $7 -- binds: ["mlflow.runName", "a", 1, "b", "c", 11, 0]"#);
    insta::assert_snapshot!(sqlite("dataset.name ILIKE 'd%' AND dataset.context IN ('train')", &[]), @r#"WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' AND r.run_uuid IN (SELECT i.destination_id FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE lower(d.name) LIKE lower(?)) AND r.run_uuid IN (SELECT i.destination_id FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context' WHERE t.value IN (?)) ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT ? OFFSET ? -- binds: [1, "d%", "train", 11, 0]"#);
}

#[test]
fn sql_of_orders() {
    insta::assert_snapshot!(postgres("", &["metrics.acc DESC", "params.lr", "tags.`a b`"]), @r#"LEFT JOIN latest_metrics o0 ON o0.run_uuid = r.run_uuid AND o0.key = $1 LEFT JOIN params o1 ON o1.run_uuid = r.run_uuid AND o1.key = $2 LEFT JOIN tags o2 ON o2.run_uuid = r.run_uuid AND o2.key = $3 WHERE r.experiment_id = $4 AND r.lifecycle_stage = 'active' ORDER BY CASE WHEN o0.is_nan THEN 1 WHEN o0.value IS NULL THEN 2 ELSE 0 END, o0.value DESC, o1.value ASC NULLS LAST, o2.value ASC NULLS LAST, r.start_time DESC NULLS LAST, r.run_uuid LIMIT $5 OFFSET $6 -- binds: ["acc", "lr", "a b", 1, 11, 0]"#);
    insta::assert_snapshot!(postgres("", &["attributes.start_time DESC"]), @r"WHERE r.experiment_id = $1 AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $2 OFFSET $3 -- binds: [1, 11, 0]");
    insta::assert_snapshot!(sqlite("", &["run_name", "start_time ASC", "status DESC"]), @r"WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' ORDER BY r.name ASC NULLS LAST, r.start_time ASC NULLS LAST, r.status DESC NULLS LAST, r.run_uuid LIMIT ? OFFSET ? -- binds: [1, 11, 0]");
}

#[test]
fn sql_of_several_or_no_experiments() {
    let mut search = search("", &["start_time DESC"]);
    search.experiment_ids = vec![2, 1, 2];
    insta::assert_snapshot!(tail(&debug_query::<Pg, _>(&search.statement(Dialect::Postgres)).to_string()), @r#"(SELECT l.run_uuid FROM unnest(($1)::int[]) e (id) CROSS JOIN unnest(ARRAY['active']) s (stage) CROSS JOIN LATERAL (SELECT start_time, run_uuid FROM runs WHERE experiment_id = e.id AND lifecycle_stage = s.stage ORDER BY start_time DESC NULLS LAST, run_uuid LIMIT $2) l ORDER BY l.start_time DESC NULLS LAST, l.run_uuid LIMIT $3 OFFSET $4) p JOIN runs r ON r.run_uuid = p.run_uuid ORDER BY r.start_time DESC NULLS LAST, r.run_uuid -- binds: ["{1,2}", 11, 11, 0]"#);
    insta::assert_snapshot!(tail(&debug_query::<Sqlite, _>(&search.statement(Dialect::Sqlite)).to_string()), @r"(SELECT start_time, run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active' UNION ALL SELECT start_time, run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active' ORDER BY 1 DESC, 2 LIMIT ? OFFSET ?) p CROSS JOIN runs r ON r.run_uuid = p.run_uuid ORDER BY r.start_time DESC NULLS LAST, r.run_uuid -- binds: [1, 2, 11, 0]");
    search.query.order[0].direction = Direction::Ascending;
    search.view = ViewType::All;
    insta::assert_snapshot!(tail(&debug_query::<Pg, _>(&search.statement(Dialect::Postgres)).to_string()), @r"WHERE r.experiment_id IN ($1, $2, $3) AND r.lifecycle_stage IN ('active', 'deleted') ORDER BY r.start_time ASC NULLS LAST, r.run_uuid LIMIT $4 OFFSET $5 -- binds: [2, 1, 2, 11, 0]");
    search.experiment_ids.clear();
    search.query.order.clear();
    search.view = ViewType::DeletedOnly;
    insta::assert_snapshot!(tail(&debug_query::<Pg, _>(&search.statement(Dialect::Postgres)).to_string()), @r"WHERE r.experiment_id IN (SELECT 0 WHERE 1 = 0) AND r.lifecycle_stage = 'deleted' ORDER BY r.start_time DESC NULLS LAST, r.run_uuid LIMIT $1 OFFSET $2 -- binds: [11, 0]");
}

/// A database takes only so many binds.
#[test]
fn long_lists_are_one_bind() {
    let mut search = search("", &["start_time ASC"]);
    search.experiment_ids = (0..=100).collect();
    let text = debug_query::<Pg, _>(&search.statement(Dialect::Postgres)).to_string();
    let want = "IN (SELECT CAST(k.id AS INTEGER) FROM json_array_elements_text(($1)::json) k (id)) AND";
    assert!(text.contains(want), "{text}");
    let text = debug_query::<Sqlite, _>(&search.statement(Dialect::Sqlite)).to_string();
    let want = "IN (SELECT CAST(k.id AS INTEGER) FROM (SELECT value AS id FROM json_each(?)) k) AND";
    assert!(text.contains(want), "{text}");
    search.experiment_ids.pop();
    let text = debug_query::<Sqlite, _>(&search.statement(Dialect::Sqlite)).to_string();
    assert!(!text.contains("json_each"), "{text}");
}

/// Runs of several experiments and stages come in one order, whether they are merged, looked for one by one or sorted.
#[test]
fn listings_of_several_experiments_are_in_order() {
    on_each_database(|store| async move {
        let mut ids = Vec::new();
        for number in 0..70 {
            ids.push(store.make_experiment(json!({"name": format!("e{number}")})).await);
        }
        let mut made = Vec::new();
        for number in 0..40_usize {
            // Some begin at once, and some experiments have many.
            let start = 1000 + number % 7;
            let create = json!({"experiment_id": ids[number * number % 70], "start_time": start});
            let run = store.make_run(create, json!({})).await;
            if number % 5 == 0 {
                store.delete_run(run.clone().into()).await.unwrap();
            }
            made.push((std::cmp::Reverse(start), run, number % 5 == 0));
        }
        store.execute(format!("UPDATE runs SET start_time = NULL WHERE run_uuid = '{}'", made[1].1)).await;
        made[1].0 = std::cmp::Reverse(0);
        made.sort();
        for (view, shows) in
            [("ACTIVE_ONLY", [true, false]), ("DELETED_ONLY", [false, true]), ("ALL", [true, true])]
        {
            for experiments in [&ids[..], &ids[..30], &ids[1..2]] {
                let mut found = Vec::new();
                let mut token = None;
                loop {
                    let request = json!({"experiment_ids": experiments, "run_view_type": view, "max_results": 7, "page_token": token});
                    let page = find(&store, request).await;
                    found.extend(page.runs.iter().map(|run| run.info.as_ref().unwrap().run_id().to_owned()));
                    token = page.next_page_token;
                    if token.is_none() {
                        break;
                    }
                }
                let mut want = Vec::new();
                for (_, run, is_deleted) in &made {
                    let info = store.get_run(run.clone().into()).await.unwrap().info.unwrap();
                    if shows[usize::from(*is_deleted)]
                        && experiments.iter().any(|id| id == info.experiment_id())
                    {
                        want.push(run.clone());
                    }
                }
                assert_eq!(found, want, "{view} of {}", experiments.len());
            }
        }
    });
}

async fn find(store: &Store, request: Value) -> search_runs::Response {
    store.search_runs(message(request)).await.unwrap()
}

fn names(runs: &[Run]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.info.as_ref().unwrap().run_name()).collect();
    names.join(" ")
}

/// Fills an experiment with five runs, `a` the newest, and returns its id.
async fn seeded(store: &Store) -> String {
    let id = store.make_experiment(json!({"name": "e"})).await;
    let create = |name: &str, start_time: i64, user: &str| json!({"experiment_id": id, "run_name": name, "start_time": start_time, "user_id": user});
    let metric = |key: &str, value: Value| json!({"key": key, "value": value, "timestamp": 1, "step": 0});
    let pair = |key: &str, value: &str| json!({"key": key, "value": value});
    let log = json!({"metrics": [metric("acc", json!(0.5))], "params": [pair("lr", "0.1")], "tags": [pair("t", "X")]});
    let a = store.make_run(create("a", 50, "ann"), log).await;
    let log = json!({"metrics": [metric("acc", json!("NaN"))], "params": [pair("lr", "0.01")], "tags": [pair("t", "x")]});
    let b = store.make_run(create("b", 40, "Bob"), log).await;
    let log = json!({"metrics": [metric("acc", json!(0.0)), metric("my loss", json!(2))], "tags": [pair("t", "x%y")]});
    store.make_run(create("c", 30, "ann"), log).await;
    store.make_run(create("d", 20, "ann"), json!({"params": [pair("lr", "é")]})).await;
    store.make_run(create("e", 20, "ann"), json!({"metrics": [metric("acc", json!("-Infinity"))]})).await;
    let dataset = |name: &str, context: &str| {
        json!({"dataset": {"name": name, "digest": "1", "source_type": "local", "source": "/"},
               "tags": [{"key": "mlflow.data.context", "value": context}]})
    };
    store.make_inputs(&a, json!([dataset("d1", "train"), dataset("d2", "eval")])).await;
    store.make_inputs(&b, json!([dataset("d1", "eval")])).await;
    store.update_run(b.into(), message(json!({"status": "FINISHED", "end_time": 45}))).await.unwrap();
    id
}

#[test]
fn filters_find_what_they_say() {
    on_each_database(|store| async move {
        let id = seeded(&store).await;
        for (filter, want) in [
            ("", "a b c d e"),
            ("metrics.acc = 0", "c"),
            ("metrics.acc >= 0", "a c"),
            ("metrics.acc != 0.5", "b c e"),
            ("metrics.acc < 0.5", "c e"),
            ("metrics.acc < -1e308", "e"),
            ("metrics.`my loss` > 1 AND metrics.acc < 1", "c"),
            ("metrics.nope != 1", ""),
            ("params.lr = '0.1'", "a"),
            ("params.lr != '0.1'", "b d"),
            ("params.lr LIKE '0.%' AND tags.t ILIKE 'x'", "a b"),
            ("params.lr ILIKE 'é'", "d"),
            ("params.lr IS NULL", "c e"),
            ("params.lr IS NOT NULL AND tags.t IS NULL", "d"),
            ("tags.t = 'x'", "b"),
            ("tags.t LIKE 'X'", "a"),
            ("tags.t LIKE 'x_y'", "c"),
            ("run_name = 'a'", "a"),
            ("attributes.`Run name` ILIKE 'B'", "b"),
            ("tags.`mlflow.runName` != 'a' AND user_id = 'ann'", "c d e"),
            ("user_id LIKE 'b%'", ""),
            ("user_id ILIKE 'b%'", "b"),
            ("status = 'FINISHED'", "b"),
            ("start_time > 30", "a b"),
            ("created <= 20.5", "d e"),
            ("end_time != 1", "b"),
            ("artifact_uri LIKE '/artifacts/%'", "a b c d e"),
            ("run_id IN ('x')", ""),
            ("run_id NOT IN ('x', 'y') AND metrics.acc > 0", "a"),
            ("dataset.name = 'd1'", "a b"),
            ("dataset.name = 'd2' AND dataset.context = 'train'", "a"),
            ("datasets.context IN ('eval')", "a b"),
            ("dataset.digest NOT IN ('1')", ""),
            ("dataset.name ILIKE 'D%' AND dataset.context LIKE 'tr%'", "a"),
        ] {
            let found = find(&store, json!({"experiment_ids": [id], "filter": filter})).await;
            let mut found: Vec<&str> =
                found.runs.iter().map(|run| run.info.as_ref().unwrap().run_name()).collect();
            // `d` and `e` began at the same time and have random ids.
            found.sort_unstable();
            assert_eq!(found.join(" "), want, "{filter} on {:?}", store.dialect());
        }
    });
}

#[test]
fn missing_values_come_last_and_nan_before_them() {
    on_each_database(|store| async move {
        let id = seeded(&store).await;
        for (order_by, want) in [
            (&["metrics.acc"][..], "e c a b d"),
            (&["metrics.acc DESC"], "a c e b d"),
            (&["params.lr", "metrics.acc DESC"], "b a d c e"),
            (&["params.lr DESC", "metrics.acc"], "d a b e c"),
            (&["end_time", "run_name"], "b a c d e"),
            (&["status", "run_name desc"], "b e d c a"),
            (&["attributes.start_time ASC", "run_name"], "d e c b a"),
        ] {
            let found = find(&store, json!({"experiment_ids": [id], "order_by": order_by})).await;
            assert_eq!(names(&found.runs), want, "{order_by:?} on {:?}", store.dialect());
        }
    });
}

#[test]
fn runs_come_with_what_belongs_to_them() {
    on_each_database(|store| async move {
        let id = seeded(&store).await;
        let found = find(&store, json!({"experiment_ids": [id], "filter": "run_name = 'a'"})).await;
        let run = &found.runs[0];
        let data = run.data.as_ref().unwrap();
        assert_eq!((data.metrics[0].key(), data.metrics[0].value()), ("acc", 0.5));
        assert_eq!(data.params[0].key(), "lr");
        assert_eq!(data.tags.len(), 2);
        assert_eq!(run.inputs.as_ref().unwrap().dataset_inputs.len(), 2);
        assert!(run.outputs.is_some());
    });
}

#[test]
fn views_show_active_deleted_or_all_runs() {
    on_each_database(|store| async move {
        let id = seeded(&store).await;
        let a = find(&store, json!({"experiment_ids": [id], "filter": "run_name = 'a'"})).await;
        store.delete_run(a.runs[0].info.as_ref().unwrap().run_id().into()).await.unwrap();
        for (view, want) in
            [(Value::Null, 4), ("ACTIVE_ONLY".into(), 4), ("DELETED_ONLY".into(), 1), ("ALL".into(), 5)]
        {
            let mut request = json!({"experiment_ids": [id]});
            if !view.is_null() {
                request["run_view_type"] = view.clone();
            }
            assert_eq!(find(&store, request).await.runs.len(), want, "{view}");
        }
        assert_eq!(find(&store, json!({"experiment_ids": []})).await.runs.len(), 0);
        assert_eq!(find(&store, json!({"experiment_ids": ["99999999999"]})).await.runs.len(), 0);
    });
}

#[test]
fn pages_reach_the_end_while_runs_are_added() {
    on_each_database(|store| async move {
        let id = store.make_experiment(json!({"name": "e"})).await;
        for n in 0..10 {
            // All began at once: the id alone orders them.
            store
                .make_run(
                    json!({"experiment_id": id, "run_name": format!("r{n}"), "start_time": 5}),
                    json!({}),
                )
                .await;
        }
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let request = json!({"experiment_ids": [id], "max_results": 3, "page_token": token});
            let page = find(&store, request).await;
            assert!(page.runs.len() <= 3);
            seen.extend(page.runs.iter().map(|run| run.info.as_ref().unwrap().run_name().to_owned()));
            // Older ones come behind.
            store
                .make_run(json!({"experiment_id": id, "run_name": "late", "start_time": 4}), json!({}))
                .await;
            match page.next_page_token {
                Some(next) if seen.len() < 10 => token = next,
                _ => break,
            }
        }
        seen.truncate(10);
        seen.sort();
        assert_eq!(seen, (0..10).map(|n| format!("r{n}")).collect::<Vec<_>>());
        let last = find(&store, json!({"experiment_ids": [id], "max_results": 1000})).await;
        assert_eq!(last.next_page_token, None);
    });
}

#[test]
fn limits_are_those_of_stock() {
    for (max_results, want) in [
        (0, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        (-1, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        (50_001, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
    ] {
        let request = SearchRuns { max_results: Some(max_results), ..SearchRuns::default() };
        assert_eq!(RunSearch::new(&request).err().unwrap().message, want);
    }
    assert_eq!(RunSearch::new(&SearchRuns::default()).unwrap().limit, 1000);
}

#[test]
fn an_index_serves_the_default_listing_and_that_of_the_ui() {
    on_each_database(|store| async move {
        seeded(&store).await;
        for order_by in [&[][..], &["attributes.start_time DESC"]] {
            let plan = store.read(move |conn| {
                let statement = search("", order_by).statement(conn.dialect());
                Ok(plan(conn, statement))
            });
            let plan = plan.await.unwrap();
            assert!(plan.contains("ferroflow_runs_listing"), "{plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    });
}

#[test]
fn what_many_runs_logged_is_looked_up() {
    on_each_database(|store| async move {
        let experiment = store.make_experiment(json!({ "name": "many" })).await;
        store
            .execute(format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
                 INSERT INTO runs (run_uuid, experiment_id) SELECT 'r' || i, {experiment} FROM n; \
                 INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) \
                 SELECT 'm', 0.5, 1, 1, false, run_uuid FROM runs; \
                 INSERT INTO params (key, value, run_uuid) SELECT 'p', 'v', run_uuid FROM runs; \
                 INSERT INTO tags (key, value, run_uuid) SELECT 't', 'v', run_uuid FROM runs; ANALYZE"
            ))
            .await;
        let ids: Vec<String> = (1..=1000).map(|i| format!("r{i}")).collect();
        let plan = store.read(move |conn| {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            Ok(match conn {
                Conn::Pg(c) => {
                    let text = format!("EXPLAIN {PG_LISTED}").leak();
                    statement::<Text>(text, &[Bind::Texts(&ids)]).load::<String>(c)?
                }
                Conn::Sqlite(c) => {
                    let (text, list) =
                        (format!("EXPLAIN QUERY PLAN {SQLITE_LISTED}").leak(), json_list(&ids));
                    let rows = statement::<(Integer, Integer, Integer, Text)>(text, &[Bind::Text(&list); 5])
                        .load::<(i32, i32, i32, String)>(c)?;
                    rows.into_iter().map(|row| row.3).collect()
                }
            })
        });
        let plan = plan.await.unwrap().join("\n");
        let whole = ["Seq Scan", "SCAN m", "SCAN d", "SCAN t"];
        assert!(plan.to_lowercase().matches("index").count() >= 3, "{plan}");
        assert!(!whole.iter().any(|scan| plan.contains(scan)), "{plan}");
    });
}
