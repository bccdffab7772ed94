//! The searches of registered models and of model versions: a query as one statement for the rows of a page.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::versions::{COLUMNS_OF, DELETED_STAGE, VersionColumns, VersionRow, version_messages};
use super::{ModelRow, assemble};
use crate::domain::Result;
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::page::{offset_token, parse_offset_token};
use crate::domain::registry::{PROMPT_TAG, max_models, max_versions};
use crate::proto::{
    ModelVersion, SearchModelVersions, SearchRegisteredModels, search_model_versions,
    search_registered_models,
};
use crate::search::model_versions::{
    DEFAULT_ORDER, ModelVersionColumn, ModelVersionPredicate, ModelVersionQuery, ModelVersionText, Prompts,
};
use crate::search::registered_models::{
    RegisteredModelColumn, RegisteredModelPredicate, RegisteredModelQuery,
};
use crate::search::{Direction, ListTest, TextOp, TextTest};
use crate::store::dialect::Dialect;
use crate::store::predicate::{Column, Search, direction, number_op};
use crate::store::{Store, each};

/// Runs whose versions one statement finds: few enough for the binds of either database.
const RUNS_PER_STATEMENT: usize = 10_000;

/// Says that the tag of prompts is looked for model by model. Without it PostgreSQL joins the tables, and may read them
/// whole, as its statistics say: the better way for all models, not for the first of an index. Not for versions, of which
/// each would go through the tags of all versions of its model.
const ONE_BY_ONE: &str = " LIMIT 1 OFFSET 0";

/// The SQL type of a [`ModelRow`].
type ModelColumns = (Text, Nullable<BigInt>, Nullable<BigInt>, Nullable<Text>);

impl Store {
    /// Returns a page of registered models, and the token of the next page if there is one. Four statements, however
    /// many versions the models have.
    ///
    /// Upstream: `SqlAlchemyStore.search_registered_models`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, limit or page token.
    pub async fn search_registered_models(
        &self,
        r: SearchRegisteredModels,
    ) -> Result<search_registered_models::Response> {
        let limit = max_models(r.max_results())?;
        let query = RegisteredModelQuery::parse(r.filter(), &r.order_by)?;
        let offset = parse_offset_token(r.page_token.as_deref())?;
        self.scan(move |conn| {
            let statement = models_statement(conn.dialect(), &query, limit, offset);
            let mut rows: Vec<ModelRow> = each!(conn, c => statement.load(c))?;
            let next_page_token = cut_page(&mut rows, limit, offset);
            Ok(search_registered_models::Response {
                registered_models: assemble(conn, rows)?,
                next_page_token,
            })
        })
        .await
    }

    /// Returns a page of model versions, without their aliases, and the token of the next page if there is one. Deleted
    /// ones are never found.
    ///
    /// Upstream: `SqlAlchemyStore.search_model_versions`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, limit or page token.
    pub async fn search_model_versions(
        &self,
        r: SearchModelVersions,
    ) -> Result<search_model_versions::Response> {
        let limit = max_versions(r.max_results())?;
        let query = ModelVersionQuery::parse(r.filter(), &r.order_by)?;
        let offset = parse_offset_token(r.page_token.as_deref())?;
        self.scan(move |conn| {
            let mut statement = versions_statement(conn.dialect(), &query);
            statement.page(limit + 1, offset);
            let mut rows: Vec<VersionRow> = each!(conn, c => statement.load(c))?;
            let next_page_token = cut_page(&mut rows, limit, offset);
            Ok(search_model_versions::Response {
                model_versions: version_messages(conn, rows)?,
                next_page_token,
            })
        })
        .await
    }

    /// Returns the model versions that come from each of `run_ids`, the last updated first.
    ///
    /// Upstream: `SqlAlchemyStore.search_model_versions` with a filter by run.
    pub async fn model_versions_of_runs(
        &self,
        run_ids: Vec<String>,
    ) -> Result<HashMap<String, Vec<ModelVersion>>> {
        let queries: Vec<_> =
            run_ids.chunks(RUNS_PER_STATEMENT).map(|ids| ModelVersionQuery::of_runs(ids.to_vec())).collect();
        self.scan(move |conn| {
            let mut versions: HashMap<String, Vec<ModelVersion>> = HashMap::new();
            for query in &queries {
                let statement = versions_statement(conn.dialect(), query);
                let rows: Vec<VersionRow> = each!(conn, c => statement.load(c))?;
                for version in version_messages(conn, rows)? {
                    versions.entry(version.run_id().to_owned()).or_default().push(version);
                }
            }
            Ok(versions)
        })
        .await
    }
}

/// Takes off what is beyond the page: one row more than it tells whether there is a next one.
fn cut_page<T>(rows: &mut Vec<T>, limit: i64, offset: i64) -> Option<String> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let token = (rows.len() > size).then(|| offset_token(offset.saturating_add(limit)));
    rows.truncate(size);
    token
}

/// Each condition on a tag, and the absence of the tag of prompts, is a look-up by the primary key of its table.
fn models_statement(
    dialect: Dialect,
    query: &RegisteredModelQuery,
    limit: i64,
    offset: i64,
) -> Search<ModelColumns> {
    let mut search = Search::new(dialect);
    if query.predicates.is_empty() {
        search.keep_prepared();
    }
    search.sql("SELECT m.name, m.creation_time, m.last_updated_time, m.description FROM registered_models m");
    search.sql(" WHERE m.workspace = ").text(DEFAULT_WORKSPACE);
    for predicate in &query.predicates {
        search.sql(" AND ");
        match predicate {
            RegisteredModelPredicate::Name(test) => {
                search.list_test(Column::Of("m.name"), test);
            }
            RegisteredModelPredicate::Tag(key, test) => {
                search.sql("EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace");
                tag_test(search.sql(" AND t.name = m.name"), key, test);
            }
        }
    }
    if query.prompts == Prompts::Hidden {
        search.sql(" AND NOT EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace");
        search.sql(" AND t.name = m.name AND t.key = ").text(PROMPT_TAG).sql(" AND t.value = 'true'");
        let is_default = query.predicates.is_empty()
            && matches!(query.order.first(), Some((RegisteredModelColumn::Name, _)));
        search.sql(if is_default { ONE_BY_ONE } else { "" }).sql(")");
    }
    for (index, (column, towards)) in query.order.iter().enumerate() {
        let name = match column {
            RegisteredModelColumn::Name => "m.name",
            RegisteredModelColumn::LastUpdated => "m.last_updated_time",
        };
        order_key(&mut search, index, name, *towards);
    }
    search.page(limit + 1, offset);
    search
}

/// The statement without its limit. The default order is that of `ferroflow_model_versions_listing`. A version is a prompt if any version of its model says so.
fn versions_statement(dialect: Dialect, query: &ModelVersionQuery) -> Search<VersionColumns> {
    let mut search = Search::new(dialect);
    if query.order == DEFAULT_ORDER && (query.predicates.is_empty() || is_of_one(&query.predicates)) {
        search.keep_prepared();
    }
    search.sql(COLUMNS_OF).sql("model_versions v WHERE v.workspace = ").text(DEFAULT_WORKSPACE);
    search.sql(" AND v.current_stage != ").text(DELETED_STAGE);
    for predicate in &query.predicates {
        search.sql(" AND ");
        match predicate {
            ModelVersionPredicate::Text(column, test) => {
                search.list_test(Column::Of(text_column(*column)), test);
            }
            ModelVersionPredicate::Number(op, number) => {
                search.sql("v.version").sql(number_op(*op)).bigint(*number);
            }
            ModelVersionPredicate::Tag(key, test) => {
                search.sql("EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace");
                tag_test(search.sql(" AND t.name = v.name AND t.version = v.version"), key, test);
            }
        }
    }
    if query.prompts == Prompts::Hidden {
        search.sql(" AND NOT EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace");
        search.sql(" AND t.name = v.name AND t.key = ").text(PROMPT_TAG).sql(" AND t.value = 'true')");
    }
    // What is filtered is looked up and sorted: SQLite, which knows nothing of the data, would else read all versions in
    // the order of the listing. A plus keeps it from that.
    let is_sorted = dialect == Dialect::Sqlite && !query.predicates.is_empty();
    for (index, (column, towards)) in query.order.iter().enumerate() {
        let name = match column {
            ModelVersionColumn::LastUpdated if is_sorted => "+v.last_updated_time",
            ModelVersionColumn::Name => "v.name",
            ModelVersionColumn::Number => "v.version",
            ModelVersionColumn::Creation => "v.creation_time",
            ModelVersionColumn::LastUpdated => "v.last_updated_time",
        };
        order_key(&mut search, index, name, *towards);
    }
    search
}

/// Says whether a filter is for the versions of one model or run, as clients ask it.
fn is_of_one(predicates: &[ModelVersionPredicate]) -> bool {
    matches!(predicates, [ModelVersionPredicate::Text(_, ListTest::Text(TextTest { op: TextOp::Eq, .. }))])
}

fn tag_test<ST>(search: &mut Search<ST>, key: &str, test: &TextTest) {
    search.sql(" AND t.key = ").text(key).sql(" AND ").text_test(Column::Of("t.value"), test).sql(")");
}

fn order_key<ST>(search: &mut Search<ST>, index: usize, column: &'static str, towards: Direction) {
    search.sql(if index == 0 { " ORDER BY " } else { ", " }).sql(column).sql(direction(towards));
}

const fn text_column(column: ModelVersionText) -> &'static str {
    match column {
        ModelVersionText::Name => "v.name",
        ModelVersionText::Run => "v.run_id",
        ModelVersionText::Source => "v.source",
    }
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::pg::Pg;
    use diesel::sqlite::Sqlite;
    use serde_json::{Value, json};

    use super::*;
    use crate::store::testing::{message, on_each_database, plan};

    #[test]
    fn sql_of_searches() {
        let query =
            RegisteredModelQuery::parse("name ILIKE 'a%' AND tags.team != 'b'", &["timestamp DESC".into()])
                .unwrap();
        insta::assert_snapshot!(debug_query::<Sqlite, _>(&models_statement(Dialect::Sqlite, &query, 10, 5)).to_string(), @r#"SELECT m.name, m.creation_time, m.last_updated_time, m.description FROM registered_models m WHERE m.workspace = ? AND lower(m.name) LIKE lower(?) AND EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace AND t.name = m.name AND t.key = ? AND t.value != ?) AND NOT EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace AND t.name = m.name AND t.key = ? AND t.value = 'true') ORDER BY m.last_updated_time DESC, m.name ASC LIMIT ? OFFSET ? -- binds: ["default", "a%", "team", "b", "mlflow.prompt.is_prompt", 11, 5]"#);
        let query = RegisteredModelQuery::parse("tags.`mlflow.prompt.is_prompt` = 'true'", &[]).unwrap();
        insta::assert_snapshot!(debug_query::<Pg, _>(&models_statement(Dialect::Postgres, &query, 10, 0)).to_string(), @r#"SELECT m.name, m.creation_time, m.last_updated_time, m.description FROM registered_models m WHERE m.workspace = $1 AND EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace AND t.name = m.name AND t.key = $2 AND t.value = $3) ORDER BY m.name ASC LIMIT $4 OFFSET $5 -- binds: ["default", "mlflow.prompt.is_prompt", "true", 11, 0]"#);
        let query = ModelVersionQuery::parse(
            "run_id IN ('r') AND version_number > 1 AND source_path LIKE 's%' AND tags.a = 'b'",
            &[],
        )
        .unwrap();
        insta::assert_snapshot!(debug_query::<Pg, _>(&versions_statement(Dialect::Postgres, &query)).to_string(), @r#"SELECT v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage, v.source, v.run_id, v.status, v.status_message, v.run_link, v.storage_location FROM model_versions v WHERE v.workspace = $1 AND v.current_stage != $2 AND v.run_id IN ($3) AND v.version > $4 AND v.source LIKE $5 AND EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace AND t.name = v.name AND t.version = v.version AND t.key = $6 AND t.value = $7) AND NOT EXISTS (SELECT 1 FROM model_version_tags t WHERE t.workspace = v.workspace AND t.name = v.name AND t.key = $8 AND t.value = 'true') ORDER BY v.last_updated_time DESC, v.name ASC, v.version DESC -- binds: ["default", "Deleted_Internal", "r", 1, "s%", "a", "b", "mlflow.prompt.is_prompt"]"#);
    }

    async fn models(store: &Store, request: Value) -> String {
        let found = store.search_registered_models(message(request)).await.unwrap();
        let names: Vec<_> = found.registered_models.iter().map(crate::proto::RegisteredModel::name).collect();
        names.join(" ")
    }

    async fn versions(store: &Store, request: Value) -> String {
        let found = store.search_model_versions(message(request)).await.unwrap();
        let shown = found.model_versions.iter().map(|v| format!("{}{}", v.name(), v.version()));
        shown.collect::<Vec<_>>().join(" ")
    }

    async fn filled(store: &Store) {
        let prompt = json!([{"key": "mlflow.prompt.is_prompt", "value": "true"}]);
        store.register("a", json!([{"key": "team", "value": "Red"}])).await;
        store.register("B", json!([{"key": "team", "value": "blue"}])).await;
        store.register("p", prompt.clone()).await;
        for (name, stage) in [("a", "x"), ("a", "y"), ("B", "x")] {
            let tags = json!([{"key": "stage", "value": stage}]);
            store
                .try_version(
                    json!({"name": name, "source": format!("s3://b/{name}"), "run_id": stage, "tags": tags}),
                )
                .await
                .unwrap();
        }
        store.try_version(json!({"name": "p", "source": "dummy-source", "tags": prompt})).await.unwrap();
    }

    #[test]
    fn searches_find_what_they_say() {
        on_each_database(|store| async move {
            filled(&store).await;
            for (filter, want) in [
                ("tags.team LIKE '%'", "a B"),
                ("tags.team ILIKE 'red'", "a"),
                ("tags.team = 'red'", ""),
                ("name IN ('a', 'p')", "a"),
                ("name NOT IN ('a')", "B"),
                ("name != 'a'", "B"),
                ("name LIKE 'b'", ""),
                ("name ILIKE 'b'", "B"),
                ("tag.`mlflow.prompt.is_prompt` = 'true'", "p"),
                ("tag.`mlflow.prompt.is_prompt` != 'true' AND name = 'a'", "a"),
                ("name = 'p'", ""),
            ] {
                let request = json!({"filter": filter, "order_by": ["timestamp"]});
                assert_eq!(models(&store, request).await, want, "{filter} on {:?}", store.dialect());
            }
            for (filter, want) in [
                ("", "a1 a2 B1"),
                ("name = 'a'", "a1 a2"),
                ("name = 'a' AND version_number > 1", "a2"),
                ("version_number = '1'", "a1 B1"),
                ("run_id IN ('y')", "a2"),
                ("run_id = 'x' AND tags.stage = 'x'", "a1 B1"),
                ("source_path LIKE '%/a'", "a1 a2"),
                ("tags.stage != 'x'", "a2"),
                ("tag.`mlflow.prompt.is_prompt` = 'true'", "p1"),
                ("name = 'p'", ""),
            ] {
                let request = json!({"filter": filter, "order_by": ["creation_timestamp", "name"]});
                let mut found: Vec<_> =
                    versions(&store, request).await.split(' ').map(str::to_owned).collect();
                found.sort_by_key(|name| name.to_lowercase());
                assert_eq!(found.join(" "), want, "{filter} on {:?}", store.dialect());
            }
        });
    }

    #[test]
    fn pages_reach_the_end() {
        on_each_database(|store| async move {
            filled(&store).await;
            let page =
                |token: &str| json!({"max_results": 1, "order_by": ["name DESC"], "page_token": token});
            let first = store.search_registered_models(message(page(""))).await.unwrap();
            let token = first.next_page_token.unwrap();
            assert_eq!(token, "eyJvZmZzZXQiOiAxfQ==");
            let last = store.search_registered_models(message(page(&token))).await.unwrap();
            assert_eq!((last.registered_models.len(), last.next_page_token), (1, None));
            let none = store.search_registered_models(message(json!({"max_results": 0}))).await.unwrap();
            assert_eq!((none.registered_models.len(), none.next_page_token.is_some()), (0, true));
            let two = store.search_model_versions(message(json!({"max_results": 2}))).await.unwrap();
            assert_eq!((two.model_versions.len(), two.next_page_token.is_some()), (2, true));
        });
    }

    #[test]
    fn sqlite_looks_the_versions_of_a_model_up() {
        on_each_database(|store| async move {
            filled(&store).await;
            let plan = store.read(|conn| {
                let query = ModelVersionQuery::parse("name = 'a'", &[])?;
                let mut statement = versions_statement(conn.dialect(), &query);
                statement.page(2, 0);
                Ok((conn.dialect() == Dialect::Sqlite).then(|| plan(conn, statement)))
            });
            if let Some(plan) = plan.await.unwrap() {
                assert!(plan.contains("(workspace=? AND name=?)"), "{plan}");
            }
        });
    }

    #[test]
    fn an_index_serves_the_default_listing_of_versions() {
        on_each_database(|store| async move {
            filled(&store).await;
            let plan = store.read(|conn| {
                let query = ModelVersionQuery::parse("", &[])?;
                let mut statement = versions_statement(conn.dialect(), &query);
                statement.page(2, 0);
                Ok(plan(conn, statement))
            });
            let plan = plan.await.unwrap();
            assert!(plan.contains("ferroflow_model_versions_listing"), "{plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
        });
    }

    #[test]
    fn a_page_shows_the_newest_of_each_stage() {
        on_each_database(|store| async move {
            filled(&store).await;
            let found = store.search_registered_models(message(json!({}))).await.unwrap();
            let a = found.registered_models.iter().find(|model| model.name() == "a").unwrap();
            let latest: Vec<_> = a.latest_versions.iter().map(|v| (v.version(), v.tags.len())).collect();
            assert_eq!(latest, [("2", 1)]);
            assert_eq!(a.tags.len(), 1);
        });
    }

    #[test]
    fn runs_know_their_versions() {
        on_each_database(|store| async move {
            filled(&store).await;
            let found = store.model_versions_of_runs(vec!["x".into(), "y".into(), "z".into()]).await.unwrap();
            assert_eq!((found["x"].len(), found["y"].len(), found.get("z")), (2, 1, None));
            assert!(store.model_versions_of_runs(Vec::new()).await.unwrap().is_empty());
        });
    }

    #[test]
    fn limits_are_those_of_stock() {
        on_each_database(|store| async move {
            for (count, want) in [
                (0, "Invalid value for max_results. It must be a positive integer, but got 0"),
                (
                    200_001,
                    "Invalid value for request parameter max_results. It must be at most 200000, but got value 200001",
                ),
            ] {
                let search = store.search_model_versions(message(json!({"max_results": count})));
                assert_eq!(search.await.unwrap_err().message, want);
            }
            let search = store.search_registered_models(message(json!({"max_results": 1001})));
            let message = search.await.unwrap_err().message;
            assert!(message.ends_with("It must be at most 1000, but got value 1001"), "{message}");
        });
    }
}
