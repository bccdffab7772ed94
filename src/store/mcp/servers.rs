//! Servers with their tags.

use diesel::prelude::*;
use serde_json::Value;

use super::rows::{self, LATEST_VERSIONS, RESOLVED, RESOLVED_END, ServerRow, select_servers, to_json};
use super::{Page, add_json, add_order, add_test, add_text, cut_page, now_ms, server_missing, validate};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{McpServerName, Tag};
use crate::domain::mcp::{MAX_SERVERS, Server};
use crate::domain::page::parse_offset_token;
use crate::domain::{Error, Result};
use crate::search::mcp::{McpPredicate, McpQuery, Subject};
use crate::store::conn::Conn;
use crate::store::error::is_unique_violation;
use crate::store::predicate::Search;
use crate::store::schema::{mcp_server_tags, mcp_server_versions, mcp_servers};
use crate::store::{Store, each};

/// What is to change of a server: what is not there stays, null takes it away.
#[derive(Debug, Default)]
pub struct ServerUpdate {
    /// What people call it.
    pub display_name: Option<Value>,
    /// What it is for.
    pub description: Option<Value>,
    /// Its pictures.
    pub icons: Option<Value>,
}

impl Store {
    /// Stores a server.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` for a name in use. Upstream: `create_mcp_server`.
    pub async fn create_mcp_server(
        &self,
        name: McpServerName,
        description: Option<String>,
        icons: Option<Value>,
    ) -> Result<Server> {
        self.write(move |conn| {
            insert_in(conn, &name, description.as_deref(), icons.as_ref()).map_err(|e| {
                if is_unique_violation(&e) {
                    return Error::already_exists(format!("MCP server with name '{name}' already exists"));
                }
                e.into()
            })?;
            get_in(conn, &name)
        })
        .await
    }

    /// Returns a server.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_mcp_server`.
    pub async fn get_mcp_server(&self, name: McpServerName) -> Result<Server> {
        self.read(move |conn| get_in(conn, &name)).await
    }

    /// Returns a page of servers. Six statements.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, size or token. Upstream: `search_mcp_servers`.
    pub async fn search_mcp_servers(
        &self,
        filter: String,
        limit: i64,
        order_by: Vec<String>,
        token: Option<String>,
    ) -> Result<Page<Server>> {
        validate::max_results(limit)?;
        if limit > MAX_SERVERS {
            return Err(Error::invalid(format!(
                "Invalid value for max_results. It must be at most {MAX_SERVERS}, but got {limit}"
            )));
        }
        let offset = parse_offset_token(token.as_deref())?;
        let query = McpQuery::parse(Subject::Servers, &filter, &order_by)?;
        self.read(move |conn| {
            let mut statement = select_servers(conn.dialect());
            add_predicates(&mut statement, &query);
            add_order(&mut statement, &query, |key| match key {
                "created_at" => &["s.created_at"],
                "last_updated_at" => &["s.last_updated_at"],
                _ => &["s.name"],
            });
            statement.page(limit + 1, offset);
            let mut rows: Vec<ServerRow> = each!(conn, c => statement.load(c))?;
            let next_page_token = cut_page(&mut rows, limit, offset);
            Ok(Page { items: rows::servers(conn, rows)?, next_page_token })
        })
        .await
    }

    /// Changes a server. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `update_mcp_server`.
    pub async fn update_mcp_server(&self, name: McpServerName, update: ServerUpdate) -> Result<Server> {
        self.write(move |conn| {
            let cast = to_json(conn.dialect());
            let mut statement: Search<()> = Search::new(conn.dialect());
            statement
                .sql("UPDATE mcp_servers SET last_updated_by = NULL, last_updated_at = ")
                .bigint(now_ms());
            let texts =
                [(", display_name = ", &update.display_name), (", description = ", &update.description)];
            for (column, value) in texts {
                if let Some(value) = value {
                    add_text(statement.sql(column), value.as_str());
                }
            }
            if let Some(icons) = &update.icons {
                add_json(statement.sql(", icons = "), Some(icons), cast);
            }
            statement.sql(" WHERE workspace = 'default' AND name = ").text(&name);
            if each!(conn, c => statement.execute(c))? == 0 {
                return Err(server_missing(&name));
            }
            get_in(conn, &name)
        })
        .await
    }

    /// Deletes a server with all that belongs to it.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` while a version is active. Upstream: `delete_mcp_server`.
    pub async fn delete_mcp_server(&self, name: McpServerName) -> Result<()> {
        self.write(move |conn| {
            require_in(conn, &name)?;
            let active: Option<String> = each!(conn, c => mcp_server_versions::table
                .filter(mcp_server_versions::workspace.eq(DEFAULT_WORKSPACE))
                .filter(mcp_server_versions::name.eq(name.as_str()).and(mcp_server_versions::status.eq("active")))
                .order(mcp_server_versions::version)
                .select(mcp_server_versions::version)
                .first(c)
                .optional())?;
            if let Some(version) = active {
                return Err(Error::invalid(format!(
                    "Cannot delete MCP server '{name}' while it still has an active version ('{version}'). Delete \
                     or deactivate the active version first."
                )));
            }
            let server = mcp_servers::table.find((DEFAULT_WORKSPACE, name.as_str()));
            each!(conn, c => diesel::delete(server).execute(c))?;
            Ok(())
        })
        .await
    }

    /// Writes a tag of a server, over an earlier value.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `set_mcp_server_tag`.
    pub async fn set_mcp_server_tag(&self, name: McpServerName, tag: Tag) -> Result<()> {
        self.write(move |conn| {
            require_in(conn, &name)?;
            let row = (
                mcp_server_tags::workspace.eq(DEFAULT_WORKSPACE),
                mcp_server_tags::name.eq(name.as_str()),
                mcp_server_tags::key.eq(&tag.key),
                mcp_server_tags::value.eq(&tag.value),
            );
            each!(conn, c => diesel::insert_into(mcp_server_tags::table)
                .values(row)
                .on_conflict((mcp_server_tags::workspace, mcp_server_tags::name, mcp_server_tags::key))
                .do_update()
                .set(mcp_server_tags::value.eq(&tag.value))
                .execute(c))?;
            Ok(())
        })
        .await
    }

    /// Removes a tag of a server.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_mcp_server_tag`.
    pub async fn delete_mcp_server_tag(&self, name: McpServerName, key: String) -> Result<()> {
        self.write(move |conn| {
            let tag = mcp_server_tags::table.find((DEFAULT_WORKSPACE, name.as_str(), key.as_str()));
            if each!(conn, c => diesel::delete(tag).execute(c))? == 0 {
                return Err(Error::not_found(format!("Tag '{key}' not found on MCP server '{name}'")));
            }
            Ok(())
        })
        .await
    }
}

pub(super) fn insert_in(
    conn: &mut Conn,
    name: &McpServerName,
    description: Option<&str>,
    icons: Option<&Value>,
) -> QueryResult<usize> {
    let (now, cast) = (now_ms(), to_json(conn.dialect()));
    let mut statement: Search<()> = Search::new(conn.dialect());
    statement
        .sql("INSERT INTO mcp_servers (workspace, created_at, last_updated_at, name, description, icons)")
        .sql(" VALUES ('default', ")
        .bigint(now)
        .sql(", ")
        .bigint(now)
        .sql(", ")
        .text(name)
        .sql(", ");
    add_text(&mut statement, description);
    add_json(statement.sql(", "), icons, cast);
    statement.sql(")");
    each!(conn, c => statement.execute(c))
}

pub(super) fn exists_in(conn: &mut Conn, name: &McpServerName) -> Result<bool> {
    let found: Option<String> = each!(conn, c => mcp_servers::table
        .find((DEFAULT_WORKSPACE, name.as_str()))
        .select(mcp_servers::name)
        .first(c)
        .optional())?;
    Ok(found.is_some())
}

pub(super) fn require_in(conn: &mut Conn, name: &McpServerName) -> Result<()> {
    if exists_in(conn, name)? { Ok(()) } else { Err(server_missing(name)) }
}

fn get_in(conn: &mut Conn, name: &McpServerName) -> Result<Server> {
    let mut statement = select_servers(conn.dialect());
    statement.sql(" AND s.name = ").text(name);
    let rows: Vec<ServerRow> = each!(conn, c => statement.load(c))?;
    let missing = || Error::not_found(format!("MCP server '{name}' not found"));
    rows::servers(conn, rows)?.pop().ok_or_else(missing)
}

fn add_predicates<ST>(statement: &mut Search<ST>, query: &McpQuery) {
    for predicate in &query.predicates {
        statement.sql(" AND ");
        match predicate {
            McpPredicate::Attribute(name, test) => add_test(statement, column(name), test),
            McpPredicate::Tag(key, test) => {
                statement
                    .sql("EXISTS (SELECT 1 FROM mcp_server_tags t WHERE t.workspace = s.workspace ")
                    .sql("AND t.name = s.name AND t.key = ")
                    .text(key)
                    .sql(" AND ");
                add_test(statement, "t.value", test);
                statement.sql(")");
            }
            McpPredicate::HasEndpoints(has) => {
                statement
                    .sql(if *has { "EXISTS (SELECT 1" } else { "NOT EXISTS (SELECT 1" })
                    .sql(RESOLVED)
                    .sql(LATEST_VERSIONS)
                    .sql(RESOLVED_END)
                    .sql(" AND e.server_name = s.name)");
            }
            // Only versions have that.
            McpPredicate::Version(..) => {
                statement.sql("1 = 1");
            }
        }
    }
}

fn column(attribute: &str) -> &'static str {
    match attribute {
        "display_name" => "s.display_name",
        "status" => "l.status",
        "created_at" => "s.created_at",
        "last_updated_at" => "s.last_updated_at",
        _ => "s.name",
    }
}
