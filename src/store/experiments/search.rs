//! The search of experiments: an [`ExperimentQuery`] as one statement for the rows of a page.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::{ExperimentRow, with_tags_of_each};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::{Result, validate};
use crate::proto::{SearchExperiments, ViewType, search_experiments};
use crate::search::experiments::{ExperimentColumn, ExperimentPredicate, ExperimentQuery, ExperimentTime};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::predicate::{Column, KeyTable, Search, direction, number_op};
use crate::store::{Store, each};

const TAGS: KeyTable = KeyTable { name: "experiment_tags", on: ".experiment_id = e.experiment_id" };

/// The SQL type of an [`ExperimentRow`].
type ExperimentColumns =
    (Integer, Text, Nullable<Text>, Nullable<Text>, Nullable<BigInt>, Nullable<BigInt>, Text);

/// What to search for, read from a request.
struct ExperimentSearch {
    query: ExperimentQuery,
    view: ViewType,
    limit: i64,
    offset: i64,
}

impl Store {
    /// Returns a page of experiments with their tags, and the token of the next page if there is one.
    ///
    /// Upstream: `SqlAlchemyStore._search_experiments`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, limit or page token.
    pub async fn search_experiments(
        &self,
        request: SearchExperiments,
    ) -> Result<search_experiments::Response> {
        let search = ExperimentSearch::new(&request)?;
        self.scan(move |conn| search.run(conn)).await
    }
}

impl ExperimentSearch {
    fn new(request: &SearchExperiments) -> Result<Self> {
        let limit = validate::max_results(request.max_results())?;
        let query = ExperimentQuery::parse(request.filter(), &request.order_by)?;
        let offset = parse_offset_token(request.page_token.as_deref())?;
        Ok(Self { query, view: request.view_type(), limit, offset })
    }

    fn run(&self, conn: &mut Conn) -> Result<search_experiments::Response> {
        let statement = self.statement(conn.dialect());
        // One more than the page tells whether there is a next one.
        let mut page: Vec<ExperimentRow> = each!(conn, c => statement.load(c))?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let next_page_token =
            (page.len() > limit).then(|| offset_token(self.offset.saturating_add(self.limit)));
        page.truncate(limit);
        Ok(search_experiments::Response { experiments: with_tags_of_each(conn, page)?, next_page_token })
    }

    fn statement(&self, dialect: Dialect) -> Search<ExperimentColumns> {
        let mut search = Search::new(dialect);
        if self.query.predicates.is_empty() && self.query.order.len() <= 2 {
            search.keep_prepared();
        }
        search.sql(
            "SELECT e.experiment_id, e.name, e.artifact_location, e.lifecycle_stage, e.creation_time, \
             e.last_update_time, e.workspace FROM experiments e",
        );
        for (index, predicate) in self.query.predicates.iter().enumerate() {
            if let ExperimentPredicate::Tag(key, test) = predicate {
                search.join_key(&TAGS, index, key, test);
            }
        }
        search
            .sql(" WHERE e.workspace = ")
            .text(DEFAULT_WORKSPACE)
            .sql(" AND ")
            .stage("e.lifecycle_stage", self.view);
        for predicate in &self.query.predicates {
            restrict(&mut search, predicate);
        }
        let mut separator = " ORDER BY ";
        for (column, order) in &self.query.order {
            search.sql(separator).sql(name_of(*column)).sql(direction(*order));
            separator = ", ";
        }
        search.page(self.limit + 1, self.offset);
        search
    }
}

/// Adds to the WHERE clause what a predicate asks that needs no join.
fn restrict(search: &mut Search<ExperimentColumns>, predicate: &ExperimentPredicate) {
    match predicate {
        ExperimentPredicate::Name(test) => {
            search.sql(" AND ").text_test(Column::Of("e.name"), test);
        }
        ExperimentPredicate::Time(time, op, value) => {
            let column = name_of(ExperimentColumn::Time(*time));
            search.sql(" AND ").sql(column).sql(number_op(*op)).bigint(*value);
        }
        ExperimentPredicate::Id(membership, ids) => {
            search.sql(" AND e.experiment_id").ids(*membership, ids);
        }
        ExperimentPredicate::Tag(key, test) => search.presence(&TAGS, key, test),
    }
}

const fn name_of(column: ExperimentColumn) -> &'static str {
    match column {
        ExperimentColumn::Name => "e.name",
        ExperimentColumn::Id => "e.experiment_id",
        ExperimentColumn::Time(ExperimentTime::Creation) => "e.creation_time",
        ExperimentColumn::Time(ExperimentTime::LastUpdate) => "e.last_update_time",
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::pg::Pg;
    use diesel::sqlite::Sqlite;
    use serde_json::{Value, json};

    use super::*;
    use crate::proto::Experiment;
    use crate::store::testing::{message, on_each_database};

    fn search(filter: &str, order_by: &[&str]) -> ExperimentSearch {
        ExperimentSearch::new(&SearchExperiments {
            filter: Some(filter.into()),
            order_by: order_by.iter().map(|&by| by.into()).collect(),
            max_results: Some(10),
            ..SearchExperiments::default()
        })
        .unwrap()
    }

    /// Returns what stands behind the columns.
    fn tail(text: &str) -> String {
        text.split_once(" FROM experiments e").unwrap().1.trim_start().to_owned()
    }

    fn sqlite(filter: &str, order_by: &[&str]) -> String {
        tail(&debug_query::<Sqlite, _>(&search(filter, order_by).statement(Dialect::Sqlite)).to_string())
    }

    fn postgres(filter: &str, order_by: &[&str]) -> String {
        tail(&debug_query::<Pg, _>(&search(filter, order_by).statement(Dialect::Postgres)).to_string())
    }

    #[test]
    fn sql_of_searches() {
        insta::assert_snapshot!(sqlite("", &[]), @r#"WHERE e.workspace = ? AND e.lifecycle_stage = 'active' ORDER BY e.creation_time DESC, e.experiment_id ASC LIMIT ? OFFSET ? -- binds: ["default", 11, 0]"#);
        insta::assert_snapshot!(postgres("tags.`mlflow.experiment.isGateway` IS NULL", &["last_update_time DESC"]), @r#"WHERE e.workspace = $1 AND e.lifecycle_stage = 'active' AND NOT EXISTS (SELECT 1 FROM experiment_tags k WHERE k.experiment_id = e.experiment_id AND k.key = $2) ORDER BY e.last_update_time DESC, e.experiment_id DESC LIMIT $3 OFFSET $4 -- binds: ["default", "mlflow.experiment.isGateway", 11, 0]"#);
        insta::assert_snapshot!(sqlite("name ILIKE '%a%' AND tags.team = 'b' AND creation_time > 5", &["name"]), @r#"JOIN experiment_tags f1 ON f1.experiment_id = e.experiment_id AND f1.key = ? AND unlikely(f1.value = ?) WHERE e.workspace = ? AND e.lifecycle_stage = 'active' AND lower(e.name) LIKE lower(?) AND e.creation_time > ? ORDER BY e.name ASC, e.experiment_id DESC LIMIT ? OFFSET ? -- binds: ["team", "b", "default", "%a%", 5, 11, 0]"#);
        insta::assert_snapshot!(postgres("experiment_id IN ('1', '2') AND experiment_id != '99999999999'", &["experiment_id DESC"]), @r#"WHERE e.workspace = $1 AND e.lifecycle_stage = 'active' AND e.experiment_id IN ($2, $3) AND e.experiment_id NOT IN (SELECT 0 WHERE 1 = 0) ORDER BY e.experiment_id DESC LIMIT $4 OFFSET $5 -- binds: ["default", 1, 2, 11, 0]"#);
    }

    async fn names(store: &Store, request: Value) -> String {
        let found = store.search_experiments(message(request)).await.unwrap();
        found.experiments.iter().map(Experiment::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn searches_find_what_they_say() {
        on_each_database(|store| async move {
            let team = |value: &str| json!([{"key": "team", "value": value}]);
            let a = store.make_experiment(json!({"name": "a", "tags": team("red")})).await;
            let b = store.make_experiment(json!({"name": "B", "tags": team("Red")})).await;
            store.make_experiment(json!({"name": "c"})).await;
            let gone = store.make_experiment(json!({"name": "gone"})).await;
            store.delete_experiment(gone.into()).await.unwrap();
            for (filter, view, want) in [
                (String::new(), "ACTIVE_ONLY", "a B c"),
                (String::new(), "DELETED_ONLY", "gone"),
                (String::new(), "ALL", "a B c gone"),
                ("name = 'a'".into(), "ALL", "a"),
                ("name ILIKE 'b' AND tags.team LIKE 'R%'".into(), "ALL", "B"),
                ("tags.team ILIKE 'red' AND tags.team != 'red'".into(), "ALL", "B"),
                ("tags.team IS NULL".into(), "ACTIVE_ONLY", "c"),
                ("tags.team IS NOT NULL".into(), "ACTIVE_ONLY", "a B"),
                (format!("experiment_id IN ('{a}', '99999999999')"), "ALL", "a"),
                (format!("experiment_id NOT IN ('{a}', '{b}')"), "ACTIVE_ONLY", "c"),
                ("experiment_id != '99999999999'".into(), "ACTIVE_ONLY", "a B c"),
                ("creation_time > 5 AND last_update_time < 5".into(), "ALL", ""),
            ] {
                let order = json!(["experiment_id"]);
                let request =
                    json!({"filter": filter, "view_type": view, "max_results": 10, "order_by": order});
                assert_eq!(names(&store, request).await, want, "{filter} {view} on {:?}", store.dialect());
            }
        });
    }

    #[test]
    fn pages_reach_the_end() {
        on_each_database(|store| async move {
            for name in ["a", "b", "c"] {
                store.make_experiment(json!({"name": name})).await;
            }
            let page =
                |token: &str| json!({"max_results": 2, "order_by": ["name DESC"], "page_token": token});
            let first = store.search_experiments(message(page(""))).await.unwrap();
            assert_eq!(names(&store, page("")).await, "c b");
            let token = first.next_page_token.unwrap();
            assert_eq!(token, "eyJvZmZzZXQiOiAyfQ==");
            let last = store.search_experiments(message(page(&token))).await.unwrap();
            assert_eq!((last.experiments.len(), last.next_page_token), (1, None));
        });
    }

    #[test]
    fn limits_are_those_of_stock() {
        let message = ExperimentSearch::new(&SearchExperiments::default()).err().unwrap().message;
        assert_eq!(
            message,
            "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"
        );
    }
}
