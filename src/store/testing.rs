//! What tests of the store run on: a fresh SQLite file, and a schema of its own on the PostgreSQL that
//! `TEST_DATABASE_URL` names, if it is set.

use std::future::Future;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::conn::{Access, Conn, ConnSettings};
use super::predicate::Search;
use super::statement::{Bind, statement};
use super::uri::DatabaseUri;
use super::{Store, StoreSettings, migrate};
use crate::domain::dataset::NewInputs;
use crate::domain::experiment::NewExperiment;
use crate::domain::run::NewBatch;
use crate::domain::validate::{Limits, LongValues};
use crate::proto::LogInputs;

/// Runs `test` on an empty store of every database there is.
pub(crate) fn on_each_database<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    on_sqlite(&test);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
        let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
        let execute = |sql: String| {
            let uri = DatabaseUri::parse(&url).unwrap();
            Conn::open(&uri, Access::Write, &ConnSettings::default()).unwrap().batch_execute(&sql).unwrap();
        };
        execute(format!("CREATE SCHEMA {schema}"));
        let separator = if url.contains('?') { '&' } else { '?' };
        runtime.block_on(test(open(&format!("{url}{separator}options=-csearch_path%3D{schema}"))));
        execute(format!("DROP SCHEMA {schema} CASCADE"));
    }
}

/// Runs `test` on an empty SQLite store: for what only that database promises.
pub(crate) fn on_sqlite<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(test(open(&format!("sqlite:///{}/test.db", folder.path().display()))));
}

fn open(uri: &str) -> Store {
    let uri = DatabaseUri::parse(uri).unwrap();
    migrate::upgrade(&uri).unwrap();
    let settings = StoreSettings { threads: 2, ..StoreSettings::default() };
    Store::open(uri, "/artifacts".into(), &settings).unwrap()
}

/// Makes a message from its JSON.
pub(crate) fn message<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

impl Store {
    /// Creates an experiment and returns its id.
    pub(crate) async fn make_experiment(&self, json: Value) -> String {
        let new = NewExperiment::new(message(json), &Limits::default()).unwrap();
        self.create_experiment(new).await.unwrap()
    }

    /// Creates a run from the JSON of its creation and of what is logged to it, and returns its id.
    pub(crate) async fn make_run(&self, create: Value, mut log: Value) -> String {
        let run = self.create_run(message(create)).await.unwrap();
        let id = run.info.unwrap().run_id.unwrap();
        log["run_id"] = id.clone().into();
        self.log(NewBatch::from_batch(message(log), LongValues::default()).unwrap()).await.unwrap();
        id
    }

    /// Logs datasets to a run.
    pub(crate) async fn make_inputs(&self, run_id: &str, datasets: Value) {
        let request: LogInputs = message(serde_json::json!({ "run_id": run_id, "datasets": datasets }));
        self.log_inputs(NewInputs::try_from(request).unwrap()).await.unwrap();
    }

    /// Writes the trace `tr-1` as another server would.
    pub(crate) async fn insert_trace(&self, experiment_id: &str) {
        let sql = format!(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation) \
             VALUES ('tr-1', {experiment_id}, 1, 'OK', 0)"
        );
        self.write(move |conn| Ok(conn.batch_execute(&sql)?)).await.unwrap();
    }

    /// Writes rows as another server would.
    pub(crate) async fn execute(&self, sql: String) {
        self.write(move |conn| Ok(conn.batch_execute(&sql)?)).await.unwrap();
    }
}

/// Checks that SQLite, which has no statistics, goes through no table for `text`, whose binds are all the list `p`; on
/// PostgreSQL `compat-tests/test_plans.py` looks at what the server's statements do.
pub(in crate::store) fn assert_looked_up(conn: &mut Conn, text: &str) {
    let Conn::Sqlite(sqlite) = conn else { return };
    let binds = vec![Bind::Text("[]"); text.matches('?').count()];
    let explained = format!("EXPLAIN QUERY PLAN {text}").leak();
    let plan = statement::<(Integer, Integer, Integer, Text)>(explained, &binds);
    let rows: Vec<(i32, i32, i32, String)> = plan.load(sqlite).unwrap();
    let whole = rows.iter().find(|row| row.3.starts_with("SCAN ") && !row.3.starts_with("SCAN p "));
    assert!(rows.iter().any(|row| row.3.starts_with("SEARCH ")) && whole.is_none(), "{text}: {rows:?}");
}

/// Returns the database's plan for a search of a table that it takes for a large one.
pub(in crate::store) fn plan<ST>(conn: &mut Conn, search: Search<ST>) -> String {
    // A tiny table would be read whole.
    if let Conn::Pg(pg) = conn {
        pg.batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
            .unwrap();
    }
    let lines: Vec<String> = match conn {
        Conn::Pg(pg) => search.explained::<Text>("EXPLAIN ").load(pg).unwrap(),
        Conn::Sqlite(sqlite) => {
            let search = search.explained::<(Integer, Integer, Integer, Text)>("EXPLAIN QUERY PLAN ");
            let rows: Vec<(i32, i32, i32, String)> = search.load(sqlite).unwrap();
            rows.into_iter().map(|row| row.3).collect()
        }
    };
    lines.join("\n")
}
