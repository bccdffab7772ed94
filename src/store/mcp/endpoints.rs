//! Endpoints: where servers can be reached, and which version is behind each.

use diesel::prelude::*;
use uuid::Uuid;

use super::rows::{self, EndpointRow, VersionRow, select_endpoints};
use super::servers::require_in;
use super::versions::{require_alias, row_in};
use super::{Page, add_order, add_test, cut_page, now_ms, validate, version_missing};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{McpAlias, McpEndpointId, McpServerName, McpVersion};
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
    Version(McpVersion),
    /// To the version of an alias.
    Alias(McpAlias),
}

/// An endpoint to be stored.
#[derive(Debug)]
pub struct NewEndpoint {
    /// The server.
    pub server_name: McpServerName,
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

/// Whose endpoints are searched: all, or those of a server, a version or an alias.
#[derive(Debug, Default)]
pub struct EndpointsOf {
    /// The server.
    pub server: Option<McpServerName>,
    /// The version that they are fixed to.
    pub version: Option<McpVersion>,
    /// The alias that they follow.
    pub alias: Option<McpAlias>,
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
            let (id, now) = (McpEndpointId::from(format!("ae-{}", Uuid::new_v4().simple())), now_ms());
            let (version, alias) = columns(&new.target);
            let row = (
                endpoints::id.eq(id.as_str()),
                endpoints::workspace.eq(DEFAULT_WORKSPACE),
                endpoints::server_name.eq(new.server_name.as_str()),
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
    pub async fn get_mcp_access_endpoint(
        &self,
        server: McpServerName,
        id: McpEndpointId,
    ) -> Result<Endpoint> {
        self.read(move |conn| get_in(conn, &server, &id)).await
    }

    /// Returns a page of the endpoints that lead somewhere: all, or those of a server, a version or an alias. Three
    /// statements.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, size or token. Upstream: `search_mcp_access_endpoints`.
    pub async fn search_mcp_access_endpoints(
        &self,
        of: EndpointsOf,
        filter: String,
        limit: i64,
        order_by: Vec<String>,
        token: Option<String>,
    ) -> Result<Page<Endpoint>> {
        validate::max_results(limit)?;
        let offset = parse_offset_token(token.as_deref())?;
        let query = McpQuery::parse(Subject::Endpoints, &filter, &order_by)?;
        self.read(move |conn| {
            let mut statement = select_endpoints(conn.dialect());
            let conditions = [
                (" AND e.server_name = ", of.server.as_deref()),
                (" AND e.server_version = ", of.version.as_deref()),
                (" AND e.server_alias = ", of.alias.as_deref()),
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
        server: McpServerName,
        id: McpEndpointId,
        update: EndpointUpdate,
    ) -> Result<Endpoint> {
        self.write(move |conn| {
            require_own(conn, &server, &id)?;
            if let Some(target) = &update.target {
                require_target(conn, &server, target, "update")?;
                let (version, alias) = columns(target);
                let changes = (endpoints::server_version.eq(version), endpoints::server_alias.eq(alias));
                each!(conn, c => diesel::update(endpoints::table.find(id.as_str())).set(changes).execute(c))?;
            }
            let changes = EndpointChanges {
                url: update.url.as_deref(),
                transport_type: update.transport_type.as_deref(),
                last_updated_at: now_ms(),
            };
            let nobody: Option<&str> = None;
            let changes = (&changes, endpoints::last_updated_by.eq(nobody));
            each!(conn, c => diesel::update(endpoints::table.find(id.as_str())).set(changes).execute(c))?;
            get_in(conn, &server, &id)
        })
        .await
    }

    /// Deletes an endpoint.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_mcp_access_endpoint`.
    pub async fn delete_mcp_access_endpoint(&self, server: McpServerName, id: McpEndpointId) -> Result<()> {
        self.write(move |conn| {
            require_own(conn, &server, &id)?;
            each!(conn, c => diesel::delete(endpoints::table.find(id.as_str())).execute(c))?;
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

const fn columns(target: &EndpointTarget) -> (Option<&str>, Option<&str>) {
    match target {
        EndpointTarget::Version(version) => (Some(version.as_str()), None),
        EndpointTarget::Alias(alias) => (None, Some(alias.as_str())),
    }
}

fn require_target(conn: &mut Conn, server: &McpServerName, target: &EndpointTarget, to: &str) -> Result<()> {
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

fn foreign(server: &McpServerName, id: &McpEndpointId) -> Error {
    Error::not_found(format!("MCPAccessEndpoint {id} does not belong to server '{server}'"))
}

/// Checks that an endpoint exists, wherever it leads, and that it is of a server.
fn require_own(conn: &mut Conn, server: &McpServerName, id: &McpEndpointId) -> Result<()> {
    let found: Option<String> = each!(conn, c => endpoints::table
        .find(id.as_str())
        .filter(endpoints::workspace.eq(DEFAULT_WORKSPACE))
        .select(endpoints::server_name)
        .first(c)
        .optional())?;
    match found {
        None => Err(Error::not_found(format!("MCPAccessEndpoint not found (id='{id}')"))),
        Some(of) if of != server.as_str() => Err(foreign(server, id)),
        Some(_) => Ok(()),
    }
}

fn get_in(conn: &mut Conn, server: &McpServerName, id: &McpEndpointId) -> Result<Endpoint> {
    let mut statement = select_endpoints(conn.dialect());
    statement.sql(" AND e.id = ").text(id);
    let rows: Vec<(EndpointRow, VersionRow)> = each!(conn, c => statement.load(c))?;
    if rows.first().is_some_and(|(row, _)| row.server_name != server.as_str()) {
        return Err(foreign(server, id));
    }
    let missing = || Error::not_found(format!("MCPAccessEndpoint {id} not found"));
    rows::endpoints(conn, rows)?.pop().ok_or_else(missing)
}
