//! Versions of servers with their tags and aliases.

use diesel::prelude::*;
use serde_json::Value;

use super::rows::{self, VersionRow, is_latest, select_versions, to_json};
use super::servers::{exists_in, insert_in, require_in};
use super::{
    NumberOp, Page, add_json, add_order, add_test, add_text, cut_page, now_ms, validate, version_missing,
};
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::ids::{McpAlias, McpServerName, McpVersion, Tag};
use crate::domain::mcp::semver::Precedence;
use crate::domain::mcp::{LATEST, Status, Version};
use crate::domain::page::parse_offset_token;
use crate::domain::{Error, Result};
use crate::search::mcp::{McpPredicate, McpQuery, Subject};
use crate::store::conn::Conn;
use crate::store::error::is_unique_violation;
use crate::store::predicate::Search;
use crate::store::schema::{
    mcp_access_endpoints as endpoints, mcp_server_aliases as aliases, mcp_server_version_tags as tags,
    mcp_server_versions as versions,
};
use crate::store::{Store, each};

/// Orders the newest version first: active ones before others.
const NEWEST_FIRST: &str = " ORDER BY CASE WHEN v.status = 'active' THEN 0 ELSE 1 END, v.version_major DESC, \
    v.version_minor DESC, v.version_patch DESC, v.version_prerelease_sort_key DESC, v.created_at DESC, \
    v.version DESC LIMIT 1";

/// A version to be stored.
#[derive(Debug)]
pub struct NewVersion {
    /// The server.
    pub name: McpServerName,
    /// The version.
    pub version: McpVersion,
    /// What orders it among others.
    pub precedence: Precedence,
    /// What the server says of itself.
    pub server_json: Value,
    /// Its state.
    pub status: Status,
    /// Its tools.
    pub tools: Option<Value>,
    /// Where it is from.
    pub source: Option<String>,
    /// How its ways to connect are shown.
    pub connect_options: Option<Value>,
}

/// What is to change of a version: what is not there stays, null takes it away.
#[derive(Debug)]
pub struct VersionUpdate {
    /// Its state.
    pub status: Option<Status>,
    /// Its tools.
    pub tools: Option<Value>,
    /// How its ways to connect are shown.
    pub connect_options: Option<Value>,
}

impl Store {
    /// Stores a version, and its server where there is none. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS`, also for a version that was deleted. Upstream: `create_mcp_server_version`.
    pub async fn create_mcp_server_version(&self, new: NewVersion) -> Result<Version> {
        self.write(move |conn| {
            if !exists_in(conn, &new.name)? {
                insert_in(conn, &new.name, None, None)?;
            }
            insert_version(conn, &new).map_err(|e| {
                if is_unique_violation(&e) {
                    let (name, version) = (&new.name, &new.version);
                    return Error::already_exists(format!(
                        "MCP server version '{name}' version '{version}' already exists"
                    ));
                }
                e.into()
            })?;
            get_in(conn, &new.name, &new.version)
        })
        .await
    }

    /// Returns a version that is not deleted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_mcp_server_version`.
    pub async fn get_mcp_server_version(&self, name: McpServerName, version: McpVersion) -> Result<Version> {
        self.read(move |conn| get_in(conn, &name, &version)).await
    }

    /// Returns the version of an alias.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `get_mcp_server_version_by_alias`.
    pub async fn get_mcp_server_version_by_alias(
        &self,
        name: McpServerName,
        alias: McpAlias,
    ) -> Result<Version> {
        self.read(move |conn| {
            if is_latest(&alias) {
                return latest_in(conn, &name);
            }
            let version = find_alias(conn, &name, &alias)?;
            let missing = || Error::not_found(format!("Alias '{alias}' not found for MCP server '{name}'"));
            get_in(conn, &name, &version.ok_or_else(missing)?)
        })
        .await
    }

    /// Returns a page of the versions of a server. Three statements.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a bad filter, order, size or token. Upstream: `search_mcp_server_versions`.
    pub async fn search_mcp_server_versions(
        &self,
        name: McpServerName,
        filter: String,
        limit: i64,
        order_by: Vec<String>,
        token: Option<String>,
    ) -> Result<Page<Version>> {
        validate::max_results(limit)?;
        let offset = parse_offset_token(token.as_deref())?;
        let query = McpQuery::parse(Subject::Versions, &filter, &order_by)?;
        self.read(move |conn| {
            let mut statement = select_versions(conn.dialect(), &name);
            statement.sql(" AND v.status <> 'deleted'");
            for predicate in &query.predicates {
                statement.sql(" AND ");
                add_predicate(&mut statement, predicate);
            }
            add_order(&mut statement, &query, |key| match key {
                "version" => &[
                    "v.version_major",
                    "v.version_minor",
                    "v.version_patch",
                    "v.version_prerelease_sort_key",
                ],
                "created_at" => &["v.created_at"],
                "last_updated_at" => &["v.last_updated_at"],
                _ => &["v.version"],
            });
            statement.page(limit + 1, offset);
            let mut rows: Vec<VersionRow> = each!(conn, c => statement.load(c))?;
            let next_page_token = cut_page(&mut rows, limit, offset);
            Ok(Page { items: rows::versions(conn, rows)?, next_page_token })
        })
        .await
    }

    /// Changes a version. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a state that it cannot go to. Upstream:
    /// `update_mcp_server_version`.
    pub async fn update_mcp_server_version(
        &self,
        name: McpServerName,
        version: McpVersion,
        update: VersionUpdate,
    ) -> Result<Version> {
        self.write(move |conn| {
            let old = live_in(conn, &name, &version)?;
            let cast = to_json(conn.dialect());
            let mut statement: Search<()> = Search::new(conn.dialect());
            statement
                .sql("UPDATE mcp_server_versions SET last_updated_by = NULL, last_updated_at = ")
                .bigint(now_ms());
            if let Some(status) = update.status {
                Status::find(&old.status).unwrap_or(Status::Deleted).check_change(status)?;
                statement.sql(", status = ").text(status.name());
            }
            let columns = [(", tools = ", &update.tools), (", connect_options = ", &update.connect_options)];
            for (column, value) in columns {
                if let Some(value) = value {
                    add_json(statement.sql(column), Some(value), cast);
                }
            }
            statement.sql(" WHERE workspace = 'default' AND name = ").text(&name);
            statement.sql(" AND version = ").text(&version);
            each!(conn, c => statement.execute(c))?;
            if update.status == Some(Status::Deleted) {
                drop_unresolvable_latest(conn, &name)?;
                let rows = vec![row_in(conn, &name, &version)?.unwrap_or(old)];
                return Ok(rows::versions(conn, rows)?.remove(0));
            }
            get_in(conn, &name, &version)
        })
        .await
    }

    /// Marks a version as deleted, with the aliases and endpoints that lead to it. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for an active one. Upstream: `delete_mcp_server_version`.
    pub async fn delete_mcp_server_version(&self, name: McpServerName, version: McpVersion) -> Result<()> {
        self.write(move |conn| {
            let row = row_in(conn, &name, &version)?.ok_or_else(|| version_missing(&name, &version))?;
            Status::find(&row.status).unwrap_or(Status::Deleted).check_change(Status::Deleted)?;
            let own_aliases = aliases::table
                .filter(aliases::workspace.eq(DEFAULT_WORKSPACE).and(aliases::name.eq(name.as_str())))
                .filter(aliases::version.eq(version.as_str()));
            let names: Vec<String> = each!(conn, c => own_aliases.select(aliases::alias).load(c))?;
            let of_server =
                endpoints::workspace.eq(DEFAULT_WORKSPACE).and(endpoints::server_name.eq(name.as_str()));
            let leading = endpoints::table.filter(of_server).filter(
                endpoints::server_version.eq(version.as_str()).or(endpoints::server_alias.eq_any(&names)),
            );
            each!(conn, c => diesel::delete(leading).execute(c))?;
            each!(conn, c => diesel::delete(own_aliases).execute(c))?;
            let changes = (versions::status.eq("deleted"), versions::last_updated_at.eq(now_ms()));
            let key = versions::table.find((DEFAULT_WORKSPACE, name.as_str(), version.as_str()));
            each!(conn, c => diesel::update(key).set(changes).execute(c))?;
            drop_unresolvable_latest(conn, &name)
        })
        .await
    }

    /// Writes a tag of a version, over an earlier value.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `set_mcp_server_version_tag`.
    pub async fn set_mcp_server_version_tag(
        &self,
        name: McpServerName,
        version: McpVersion,
        tag: Tag,
    ) -> Result<()> {
        self.write(move |conn| {
            live_in(conn, &name, &version)?;
            let row = (
                tags::workspace.eq(DEFAULT_WORKSPACE),
                tags::name.eq(name.as_str()),
                tags::version.eq(version.as_str()),
                tags::key.eq(&tag.key),
                tags::value.eq(&tag.value),
            );
            each!(conn, c => diesel::insert_into(tags::table)
                .values(row)
                .on_conflict((tags::workspace, tags::name, tags::version, tags::key))
                .do_update()
                .set(tags::value.eq(&tag.value))
                .execute(c))?;
            Ok(())
        })
        .await
    }

    /// Removes a tag of a version.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_mcp_server_version_tag`.
    pub async fn delete_mcp_server_version_tag(
        &self,
        name: McpServerName,
        version: McpVersion,
        key: String,
    ) -> Result<()> {
        self.write(move |conn| {
            live_in(conn, &name, &version)?;
            let tag = tags::table.find((DEFAULT_WORKSPACE, name.as_str(), version.as_str(), key.as_str()));
            if each!(conn, c => diesel::delete(tag).execute(c))? == 0 {
                return Err(Error::not_found(format!(
                    "Tag '{key}' not found on MCP server version '{name}' version '{version}'"
                )));
            }
            Ok(())
        })
        .await
    }

    /// Gives a version a name, which it takes from another one.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for `latest` and for a deleted version. Upstream:
    /// `set_mcp_server_alias`.
    pub async fn set_mcp_server_alias(
        &self,
        name: McpServerName,
        alias: McpAlias,
        version: McpVersion,
    ) -> Result<()> {
        if is_latest(&alias) {
            return Err(Error::invalid(format!(
                "The alias name '{LATEST}' is reserved for automatic resolution"
            )));
        }
        self.write(move |conn| {
            require_in(conn, &name)?;
            let row = row_in(conn, &name, &version)?.ok_or_else(|| version_missing(&name, &version))?;
            if row.status == "deleted" {
                return Err(Error::invalid(format!(
                    "Cannot set alias '{alias}' to deleted MCP server version '{name}' version '{version}'"
                )));
            }
            let row = (
                aliases::workspace.eq(DEFAULT_WORKSPACE),
                aliases::name.eq(name.as_str()),
                aliases::alias.eq(alias.as_str()),
                aliases::version.eq(version.as_str()),
            );
            each!(conn, c => diesel::insert_into(aliases::table)
                .values(row)
                .on_conflict((aliases::workspace, aliases::name, aliases::alias))
                .do_update()
                .set(aliases::version.eq(version.as_str()))
                .execute(c))?;
            Ok(())
        })
        .await
    }

    /// Removes an alias with the endpoints that lead to it. One transaction.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`. Upstream: `delete_mcp_server_alias`.
    pub async fn delete_mcp_server_alias(&self, name: McpServerName, alias: McpAlias) -> Result<()> {
        self.write(move |conn| {
            let row = aliases::table.find((DEFAULT_WORKSPACE, name.as_str(), alias.as_str()));
            if each!(conn, c => diesel::delete(row).execute(c))? == 0 {
                return Err(Error::not_found(format!("Alias '{alias}' not found on MCP server '{name}'")));
            }
            let leading = endpoints::table
                .filter(
                    endpoints::workspace.eq(DEFAULT_WORKSPACE).and(endpoints::server_name.eq(name.as_str())),
                )
                .filter(endpoints::server_alias.eq(alias.as_str()));
            each!(conn, c => diesel::delete(leading).execute(c))?;
            Ok(())
        })
        .await
    }
}

fn insert_version(conn: &mut Conn, new: &NewVersion) -> QueryResult<usize> {
    let (now, cast) = (now_ms(), to_json(conn.dialect()));
    let mut statement: Search<()> = Search::new(conn.dialect());
    statement
        .sql(
            "INSERT INTO mcp_server_versions (workspace, name, version, version_major, version_minor, \
             version_patch, version_prerelease_sort_key, status, created_at, last_updated_at, server_json, tools, \
             source, connect_options) VALUES ('default', ",
        )
        .text(&new.name)
        .sql(", ")
        .text(&new.version)
        .sql(", ");
    for number in [new.precedence.major, new.precedence.minor, new.precedence.patch] {
        statement.integer(number).sql(", ");
    }
    statement.text(&new.precedence.prerelease).sql(", ").text(new.status.name()).sql(", ");
    statement.bigint(now).sql(", ").bigint(now).sql(", ");
    add_json(&mut statement, Some(&new.server_json), cast);
    add_json(statement.sql(", "), new.tools.as_ref(), cast);
    add_text(statement.sql(", "), new.source.as_deref());
    add_json(statement.sql(", "), new.connect_options.as_ref(), cast);
    statement.sql(")");
    each!(conn, c => statement.execute(c))
}

/// Finds a version, also a deleted one.
pub(super) fn row_in(
    conn: &mut Conn,
    name: &McpServerName,
    version: &McpVersion,
) -> Result<Option<VersionRow>> {
    let mut statement = select_versions(conn.dialect(), name);
    statement.sql(" AND v.version = ").text(version);
    Ok(each!(conn, c => statement.load(c))?.pop())
}

fn live_in(conn: &mut Conn, name: &McpServerName, version: &McpVersion) -> Result<VersionRow> {
    let row = row_in(conn, name, version)?.filter(|row| row.status != "deleted");
    row.ok_or_else(|| version_missing(name, version))
}

fn get_in(conn: &mut Conn, name: &McpServerName, version: &McpVersion) -> Result<Version> {
    let rows = vec![live_in(conn, name, version)?];
    rows::versions(conn, rows)?.pop().ok_or_else(|| version_missing(name, version))
}

fn find_latest(conn: &mut Conn, name: &McpServerName) -> Result<Option<VersionRow>> {
    let mut statement = select_versions(conn.dialect(), name);
    statement.sql(" AND v.status <> 'deleted'").sql(NEWEST_FIRST);
    Ok(each!(conn, c => statement.load(c))?.pop())
}

/// Upstream: `_resolve_latest_version_orm`.
fn latest_in(conn: &mut Conn, name: &McpServerName) -> Result<Version> {
    require_in(conn, name)?;
    let rows: Vec<VersionRow> = find_latest(conn, name)?.into_iter().collect();
    let missing = || Error::not_found(format!("No resolved latest version found for MCP server '{name}'"));
    rows::versions(conn, rows)?.pop().ok_or_else(missing)
}

fn find_alias(conn: &mut Conn, name: &McpServerName, alias: &McpAlias) -> Result<Option<McpVersion>> {
    let found: Option<String> = each!(conn, c => aliases::table
        .find((DEFAULT_WORKSPACE, name.as_str(), alias.as_str()))
        .select(aliases::version)
        .first(c)
        .optional())?;
    Ok(found.map(McpVersion::from))
}

/// Checks that an alias leads to a version. Upstream: `_get_alias_target_version_or_raise`.
pub(super) fn require_alias(conn: &mut Conn, name: &McpServerName, alias: &McpAlias) -> Result<()> {
    if is_latest(alias) {
        return latest_in(conn, name).map(drop);
    }
    let found = find_alias(conn, name, alias)?;
    let missing = || Error::not_found(format!("Alias '{alias}' not found for MCP server '{name}'"));
    let version = found.ok_or_else(missing)?;
    let status = row_in(conn, name, &version)?.map(|row| row.status);
    let state = match status.as_deref() {
        None => "missing",
        Some("deleted") => "deleted",
        Some(_) => return Ok(()),
    };
    Err(Error::invalid(format!(
        "Alias '{alias}' for MCP server '{name}' points to {state} version '{version}'"
    )))
}

/// Removes the endpoints that lead to the newest version once there is none.
fn drop_unresolvable_latest(conn: &mut Conn, name: &McpServerName) -> Result<()> {
    if find_latest(conn, name)?.is_some() {
        return Ok(());
    }
    let leading = endpoints::table
        .filter(endpoints::workspace.eq(DEFAULT_WORKSPACE).and(endpoints::server_name.eq(name.as_str())))
        .filter(endpoints::server_alias.eq(LATEST));
    each!(conn, c => diesel::delete(leading).execute(c))?;
    Ok(())
}

fn add_predicate<ST>(statement: &mut Search<ST>, predicate: &McpPredicate) {
    match predicate {
        McpPredicate::Attribute(name, test) => {
            let column = match *name {
                "version" => "v.version",
                "status" => "v.status",
                "created_at" => "v.created_at",
                "last_updated_at" => "v.last_updated_at",
                _ => "v.name",
            };
            add_test(statement, column, test);
        }
        McpPredicate::Version(op, precedence) => {
            let op = match op {
                NumberOp::Lt => " < (",
                NumberOp::Le => " <= (",
                NumberOp::Gt => " > (",
                _ => " >= (",
            };
            statement
                .sql("(v.version_major, v.version_minor, v.version_patch, v.version_prerelease_sort_key)")
                .sql(op);
            for number in [precedence.major, precedence.minor, precedence.patch] {
                statement.integer(number).sql(", ");
            }
            statement.text(&precedence.prerelease).sql(")");
        }
        // Only servers have these.
        McpPredicate::Tag(..) | McpPredicate::HasEndpoints(_) => {
            statement.sql("1 = 1");
        }
    }
}
