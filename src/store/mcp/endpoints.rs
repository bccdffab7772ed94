//! Endpoints: where servers can be reached, and which version is behind each.

use diesel::prelude::*;
use uuid::Uuid;

use super::rows::{self, EndpointRow, VersionRow, select_endpoints};
use super::servers::require_in;
use super::versions::{require_alias, row_in};
use super::{Page, add_order, add_test, cut_page, now_ms, validate, version_missing};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::mcp::Endpoint;
use crate::domain::page::parse_offset_token;
use crate::domain::{Error, Result};
use crate::search::mcp::{McpPredicate, McpQuery, Subject};
use crate::store::conn::Conn;
use crate::store::schema::mcp_access_endpoints as endpoints;
use crate::store::{Store, each};

/// Where an endpoint leads.
#[derive(Debug, Clone)]
pub enum EndpointTarget {
    /// To a version.
    Version(String),
    /// To the version of an alias.
    Alias(String),
}

/// An endpoint to be stored.
#[derive(Debug)]
pub struct NewEndpoint {
    /// The server.
    pub server_name: String,
    /// The address.
    pub url: String,
    /// How it is spoken to.
    pub transport_type: String,
    /// Where it leads.
    pub target: EndpointTarget,
}

/// What is to change of an endpoint.
#[derive(Debug, Default)]
pub struct EndpointUpdate {
    /// Its address.
    pub url: Option<String>,
    /// How it is spoken to.
    pub transport_type: Option<String>,
    /// Where it leads.
    pub target: Option<EndpointTarget>,
}

/// What endpoints are asked for beside the filter.
#[derive(Debug, Default, Clone)]
struct Only {
    server: Option<String>,
    version: Option<String>,
    alias: Option<String>,
}

impl Store {
    /// Stores an endpoint. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the server, the version or the alias; `INVALID_PARAMETER_VALUE` for a deleted
    /// version. Upstream: `create_mcp_access_endpoint`.
    pub async fn create_mcp_access_endpoint(&self, new: NewEndpoint) -> Result<Endpoint> {
        self.write(move |conn| {
            require_in(conn, &new.server_name)?;
            require_target(conn, &new.server_name, &new.target, "create")?;
            let (id, now) = (format!("ae-{}", Uuid::new_v4().simple()), now_ms());
            let (version, alias) = columns(&new.target);
            let row = (
                endpoints::id.eq(&id),
                endpoints::workspace.eq(DEFAULT_WORKSPACE),
                endpoints::server_name.eq(&new.server_name),
                endpoints::server_version.eq(version),
                endpoints::server_alias.eq(alias),
                endpoints::url.eq(&new.url),
                endpoints::transport_type.eq(&new.transport_type),
                endpoints::created_at.eq(now),
                endpoints::last_updated_at.eq(now),
            );
            each!(conn, c => diesel::insert_into(endpoints::table).values(row).execute(c))?;
            get_in(conn, &new.server_name, &id)
        })
        .await
    }

    /// Returns an endpoint that leads somewhere.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_mcp_access_endpoint`.
    pub async fn get_mcp_access_endpoint(&self, server: String, id: String) -> Result<Endpoint> {
        self.read(move |conn| get_in(conn, &server, &id)).await
    }

    /// Returns a page of the endpoints that lead somewhere: all, or those of a server, a version or an alias. Three
    /// statements.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, size or token. Upstream: `search_mcp_access_endpoints`.
    #[expect(clippy::too_many_arguments, reason = "the parameters of the request")]
    pub async fn search_mcp_access_endpoints(
        &self,
        server: Option<String>,
        version: Option<String>,
        alias: Option<String>,
        filter: String,
        limit: i64,
        order_by: Vec<String>,
        token: Option<String>,
    ) -> Result<Page<Endpoint>> {
        validate::max_results(limit)?;
        let offset = parse_offset_token(token.as_deref())?;
        let query = McpQuery::parse(Subject::Endpoints, &filter, &order_by)?;
        let only = Only { server, version, alias };
        self.read(move |conn| {
            let mut statement = select_endpoints(conn.dialect());
            let conditions = [
                (" AND e.server_name = ", &only.server),
                (" AND e.server_version = ", &only.version),
                (" AND e.server_alias = ", &only.alias),
            ];
            for (column, value) in conditions {
                if let Some(value) = value {
                    statement.sql(column).text(value);
                }
            }
            for predicate in &query.predicates {
                let McpPredicate::Attribute(name, test) = predicate else { continue };
                let column = match *name {
                    "status" => "v.status",
                    "transport_type" => "e.transport_type",
                    "created_at" => "e.created_at",
                    "last_updated_at" => "e.last_updated_at",
                    _ => "e.server_name",
                };
                add_test(statement.sql(" AND "), column, test);
            }
            add_order(&mut statement, &query, |key| match key {
                "server_name" => &["e.server_name"],
                "created_at" => &["e.created_at"],
                "last_updated_at" => &["e.last_updated_at"],
                _ => &["e.id"],
            });
            statement.page(limit + 1, offset);
            let mut rows: Vec<(EndpointRow, VersionRow)> = each!(conn, c => statement.load(c))?;
            let next_page_token = cut_page(&mut rows, limit, offset);
            Ok(Page { items: rows::endpoints(conn, rows)?, next_page_token })
        })
        .await
    }

    /// Changes an endpoint. One transaction.
    ///
    /// # Errors
    /// As for [`Store::create_mcp_access_endpoint`]. Upstream: `update_mcp_access_endpoint`.
    pub async fn update_mcp_access_endpoint(
        &self,
        server: String,
        id: String,
        update: EndpointUpdate,
    ) -> Result<Endpoint> {
        self.write(move |conn| {
            require_own(conn, &server, &id)?;
            if let Some(target) = &update.target {
                require_target(conn, &server, target, "update")?;
                let (version, alias) = columns(target);
                let changes = (endpoints::server_version.eq(version), endpoints::server_alias.eq(alias));
                each!(conn, c => diesel::update(endpoints::table.find(&id)).set(changes).execute(c))?;
            }
            let changes = EndpointChanges {
                url: update.url.as_deref(),
                transport_type: update.transport_type.as_deref(),
                last_updated_at: now_ms(),
            };
            let nobody: Option<&str> = None;
            let changes = (&changes, endpoints::last_updated_by.eq(nobody));
            each!(conn, c => diesel::update(endpoints::table.find(&id)).set(changes).execute(c))?;
            get_in(conn, &server, &id)
        })
        .await
    }

    /// Deletes an endpoint.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_mcp_access_endpoint`.
    pub async fn delete_mcp_access_endpoint(&self, server: String, id: String) -> Result<()> {
        self.write(move |conn| {
            require_own(conn, &server, &id)?;
            each!(conn, c => diesel::delete(endpoints::table.find(&id)).execute(c))?;
            Ok(())
        })
        .await
    }
}

#[derive(AsChangeset)]
#[diesel(table_name = endpoints)]
struct EndpointChanges<'a> {
    url: Option<&'a str>,
    transport_type: Option<&'a str>,
    last_updated_at: i64,
}

const fn columns(target: &EndpointTarget) -> (Option<&String>, Option<&String>) {
    match target {
        EndpointTarget::Version(version) => (Some(version), None),
        EndpointTarget::Alias(alias) => (None, Some(alias)),
    }
}

fn require_target(conn: &mut Conn, server: &str, target: &EndpointTarget, to: &str) -> Result<()> {
    let version = match target {
        EndpointTarget::Alias(alias) => return require_alias(conn, server, alias),
        EndpointTarget::Version(version) => version,
    };
    let row = row_in(conn, server, version)?.ok_or_else(|| version_missing(server, version))?;
    if row.status == "deleted" {
        return Err(Error::invalid(format!(
            "Cannot {to} MCP access endpoint to deleted MCP server version '{server}' version '{version}'"
        )));
    }
    Ok(())
}

fn foreign(server: &str, id: &str) -> Error {
    Error::not_found(format!("MCPAccessEndpoint {id} does not belong to server '{server}'"))
}

/// Checks that an endpoint exists, wherever it leads, and that it is of a server.
fn require_own(conn: &mut Conn, server: &str, id: &str) -> Result<()> {
    let found: Option<String> = each!(conn, c => endpoints::table
        .find(id)
        .filter(endpoints::workspace.eq(DEFAULT_WORKSPACE))
        .select(endpoints::server_name)
        .first(c)
        .optional())?;
    match found {
        None => Err(Error::not_found(format!("MCPAccessEndpoint not found (id='{id}')"))),
        Some(of) if of != server => Err(foreign(server, id)),
        Some(_) => Ok(()),
    }
}

fn get_in(conn: &mut Conn, server: &str, id: &str) -> Result<Endpoint> {
    let mut statement = select_endpoints(conn.dialect());
    statement.sql(" AND e.id = ").text(id);
    let rows: Vec<(EndpointRow, VersionRow)> = each!(conn, c => statement.load(c))?;
    if rows.first().is_some_and(|(row, _)| row.server_name != server) {
        return Err(foreign(server, id));
    }
    let missing = || Error::not_found(format!("MCPAccessEndpoint {id} not found"));
    rows::endpoints(conn, rows)?.pop().ok_or_else(missing)
}
