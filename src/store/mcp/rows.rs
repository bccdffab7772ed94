//! Rows of the registry and what is shown of them.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde_json::Value;

use crate::domain::Result;
use crate::domain::experiment::DEFAULT_WORKSPACE;
use crate::domain::mcp::{Alias, Endpoint, LATEST, Server, Shown, Tool, Version, resolve_icons, shown_icon};
use crate::store::conn::Conn;
use crate::store::dialect::Dialect;
use crate::store::each;
use crate::store::predicate::Search;
use crate::store::schema::{mcp_server_aliases, mcp_server_tags, mcp_server_version_tags};
use crate::store::stored_json::{read_json, read_json_if_any};

/// The newest version of each server: active ones first, then by their precedence. A part of a FROM clause.
pub(super) const LATEST_VERSIONS: &str = "(SELECT n.name, n.version, n.server_json, n.status, ROW_NUMBER() OVER \
    (PARTITION BY n.name ORDER BY CASE WHEN n.status = 'active' THEN 0 ELSE 1 END, n.version_major DESC, \
    n.version_minor DESC, n.version_patch DESC, n.version_prerelease_sort_key DESC, n.created_at DESC, \
    n.version DESC) AS place FROM mcp_server_versions n WHERE n.workspace = 'default' AND n.status <> 'deleted')";

type OptionalText = Nullable<Text>;

/// The SQL type of a [`ServerRow`].
pub(super) type ServerColumns = (
    Text,
    OptionalText,
    OptionalText,
    OptionalText,
    OptionalText,
    OptionalText,
    BigInt,
    BigInt,
    OptionalText,
    OptionalText,
    OptionalText,
);
/// The SQL type of a [`VersionRow`].
pub(super) type VersionColumns = (
    Text,
    Text,
    Text,
    Text,
    OptionalText,
    OptionalText,
    OptionalText,
    OptionalText,
    OptionalText,
    BigInt,
    BigInt,
);
/// The SQL type of an [`EndpointRow`] with its [`VersionRow`].
pub(super) type EndpointColumns = (EndpointOwnColumns, VersionColumns);
type EndpointOwnColumns =
    (Text, Text, Text, Text, OptionalText, OptionalText, OptionalText, OptionalText, BigInt, BigInt);

/// A server with its newest version.
#[derive(Queryable)]
pub(super) struct ServerRow {
    pub(super) name: String,
    display_name: Option<String>,
    description: Option<String>,
    icons: Option<String>,
    created_by: Option<String>,
    last_updated_by: Option<String>,
    created_at: i64,
    last_updated_at: i64,
    latest_version: Option<String>,
    latest_json: Option<String>,
    latest_status: Option<String>,
}

/// A version.
#[derive(Queryable, Clone)]
pub(super) struct VersionRow {
    pub(super) name: String,
    pub(super) version: String,
    server_json: String,
    pub(super) status: String,
    tools: Option<String>,
    source: Option<String>,
    connect_options: Option<String>,
    created_by: Option<String>,
    last_updated_by: Option<String>,
    created_at: i64,
    last_updated_at: i64,
}

/// An endpoint.
#[derive(Queryable)]
pub(super) struct EndpointRow {
    id: String,
    pub(super) server_name: String,
    url: String,
    transport_type: String,
    server_version: Option<String>,
    server_alias: Option<String>,
    created_by: Option<String>,
    last_updated_by: Option<String>,
    created_at: i64,
    last_updated_at: i64,
}

/// What casts a text to the type of the columns of JSON.
pub(super) const fn to_json(dialect: Dialect) -> &'static str {
    dialect.pick("::json", "")
}

/// Begins a statement for servers, up to its WHERE.
pub(super) fn select_servers(dialect: Dialect) -> Search<ServerColumns> {
    let mut statement = Search::new(dialect);
    statement
        .sql(dialect.pick(
            "SELECT s.name, s.display_name, s.description, s.icons::text, s.created_by, s.last_updated_by, \
             s.created_at, s.last_updated_at, l.version, l.server_json::text, l.status",
            "SELECT s.name, s.display_name, s.description, s.icons, s.created_by, s.last_updated_by, \
             s.created_at, s.last_updated_at, l.version, l.server_json, l.status",
        ))
        .sql(" FROM mcp_servers s LEFT JOIN ")
        .sql(LATEST_VERSIONS)
        .sql(" l ON l.name = s.name AND l.place = 1 WHERE s.workspace = 'default'");
    statement
}

const fn version_columns(dialect: Dialect) -> &'static str {
    dialect.pick(
        "v.name, v.version, v.server_json::text, v.status, v.tools::text, v.source, v.connect_options::text, \
         v.created_by, v.last_updated_by, v.created_at, v.last_updated_at",
        "v.name, v.version, v.server_json, v.status, v.tools, v.source, v.connect_options, v.created_by, \
         v.last_updated_by, v.created_at, v.last_updated_at",
    )
}

/// Begins a statement for versions of a server, up to its WHERE.
pub(super) fn select_versions(dialect: Dialect, name: &str) -> Search<VersionColumns> {
    let mut statement = Search::new(dialect);
    statement
        .sql("SELECT ")
        .sql(version_columns(dialect))
        .sql(" FROM mcp_server_versions v WHERE v.workspace = 'default' AND v.name = ")
        .text(name);
    statement
}

/// Begins a statement for endpoints that lead somewhere, up to its WHERE.
pub(super) fn select_endpoints(dialect: Dialect) -> Search<EndpointColumns> {
    let mut statement = Search::new(dialect);
    statement
        .sql(
            "SELECT e.id, e.server_name, e.url, e.transport_type, e.server_version, e.server_alias, e.created_by, \
             e.last_updated_by, e.created_at, e.last_updated_at, ",
        )
        .sql(version_columns(dialect))
        .sql(RESOLVED)
        .sql(LATEST_VERSIONS)
        .sql(RESOLVED_END);
    statement
}

/// From endpoints to the versions behind them, up to [`LATEST_VERSIONS`].
pub(super) const RESOLVED: &str = " FROM mcp_access_endpoints e LEFT JOIN mcp_server_aliases a \
    ON a.workspace = e.workspace AND a.name = e.server_name AND a.alias = e.server_alias \
    AND e.server_alias <> 'latest' LEFT JOIN ";
/// The rest of [`RESOLVED`], up to the WHERE.
pub(super) const RESOLVED_END: &str = " l ON l.name = e.server_name AND l.place = 1 AND e.server_alias = 'latest' \
    JOIN mcp_server_versions v ON v.workspace = e.workspace AND v.name = e.server_name \
    AND v.version = COALESCE(e.server_version, a.version, l.version) AND v.status <> 'deleted' \
    WHERE e.workspace = 'default'";

/// Adds tags, aliases and endpoints to servers. Five statements.
pub(super) fn servers(conn: &mut Conn, rows: Vec<ServerRow>) -> Result<Vec<Server>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let tags: Vec<(String, String, Option<String>)> = each!(conn, c => mcp_server_tags::table
        .filter(mcp_server_tags::workspace.eq(DEFAULT_WORKSPACE).and(mcp_server_tags::name.eq_any(&names)))
        .select((mcp_server_tags::name, mcp_server_tags::key, mcp_server_tags::value))
        .load(c))?;
    let mut tags_of: HashMap<String, BTreeMap<String, String>> = HashMap::new();
    for (name, key, value) in tags {
        tags_of.entry(name).or_default().insert(key, value.unwrap_or_default());
    }
    let mut aliases = aliases_of(conn, &names)?;
    let mut statement = select_endpoints(conn.dialect());
    statement.sql(" AND e.server_name").texts(crate::search::Membership::In, &names).sql(" ORDER BY e.id");
    let found: Vec<(EndpointRow, VersionRow)> = each!(conn, c => statement.load(c))?;
    let mut endpoints: HashMap<String, Vec<Endpoint>> = HashMap::new();
    for mut endpoint in self::endpoints(conn, found)? {
        endpoint.tools = Shown::Hidden;
        endpoints.entry(endpoint.server_name.clone()).or_default().push(endpoint);
    }
    rows.into_iter()
        .map(|row| {
            let aliases = aliases.remove(&row.name).unwrap_or_default();
            let endpoints = endpoints.remove(&row.name).unwrap_or_default();
            let tags = tags_of.remove(&row.name).unwrap_or_default();
            row.into_server(tags, aliases, endpoints)
        })
        .collect()
}

/// Adds tags and aliases to versions. Two statements.
pub(super) fn versions(conn: &mut Conn, rows: Vec<VersionRow>) -> Result<Vec<Version>> {
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let aliases = aliases_of(conn, &names)?;
    let tags: Vec<(String, String, String, Option<String>)> = each!(conn, c => mcp_server_version_tags::table
        .filter(mcp_server_version_tags::workspace.eq(DEFAULT_WORKSPACE))
        .filter(mcp_server_version_tags::name.eq_any(&names))
        .select((
            mcp_server_version_tags::name,
            mcp_server_version_tags::version,
            mcp_server_version_tags::key,
            mcp_server_version_tags::value,
        ))
        .load(c))?;
    let mut tags_of: HashMap<(String, String), BTreeMap<String, String>> = HashMap::new();
    for (name, version, key, value) in tags {
        tags_of.entry((name, version)).or_default().insert(key, value.unwrap_or_default());
    }
    rows.into_iter()
        .map(|row| {
            let of_server = aliases.get(&row.name).map(Vec::as_slice).unwrap_or_default();
            let own = of_server.iter().filter(|alias| alias.version == row.version);
            let own = own.map(|alias| alias.alias.clone()).collect();
            let tags = tags_of.get(&(row.name.clone(), row.version.clone())).cloned().unwrap_or_default();
            row.into_version(own, tags)
        })
        .collect()
}

/// Adds the versions behind them to endpoints. Two statements.
pub(super) fn endpoints(conn: &mut Conn, rows: Vec<(EndpointRow, VersionRow)>) -> Result<Vec<Endpoint>> {
    let (rows, resolved): (Vec<EndpointRow>, Vec<VersionRow>) = rows.into_iter().unzip();
    let resolved = versions(conn, resolved)?;
    Ok(rows.into_iter().zip(resolved).map(|(row, version)| row.into_endpoint(version)).collect())
}

fn aliases_of(conn: &mut Conn, names: &[&str]) -> Result<HashMap<String, Vec<Alias>>> {
    let rows: Vec<(String, String, String)> = each!(conn, c => mcp_server_aliases::table
        .filter(mcp_server_aliases::workspace.eq(DEFAULT_WORKSPACE).and(mcp_server_aliases::name.eq_any(names)))
        .order(mcp_server_aliases::alias)
        .select((mcp_server_aliases::name, mcp_server_aliases::alias, mcp_server_aliases::version))
        .load(c))?;
    let mut aliases: HashMap<String, Vec<Alias>> = HashMap::new();
    for (name, alias, version) in rows {
        aliases.entry(name).or_default().push(Alias { alias, version });
    }
    Ok(aliases)
}

impl ServerRow {
    fn into_server(
        self,
        tags: BTreeMap<String, String>,
        aliases: Vec<Alias>,
        endpoints: Vec<Endpoint>,
    ) -> Result<Server> {
        let json = |text: Option<&str>, column| read_json_if_any::<Value>(text, column, &self.name);
        let latest =
            json(self.latest_json.as_deref(), "mcp_server_versions.server_json")?.unwrap_or_default();
        let icons = json(self.icons.as_deref(), "mcp_servers.icons")?.unwrap_or_default();
        let of_latest = || latest.get("description").and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Server {
            description: self.description.or_else(of_latest),
            icons: resolve_icons(Some(&icons), latest.get("icons")),
            name: self.name,
            display_name: self.display_name,
            workspace: DEFAULT_WORKSPACE,
            status: self.latest_status,
            access_endpoints: endpoints,
            latest_version: self.latest_version,
            aliases,
            tags,
            created_by: self.created_by,
            last_updated_by: self.last_updated_by,
            creation_timestamp: self.created_at,
            last_updated_timestamp: self.last_updated_at,
        })
    }
}

impl VersionRow {
    fn into_version(self, aliases: Vec<String>, tags: BTreeMap<String, String>) -> Result<Version> {
        const TOOLS: &str = "mcp_server_versions.tools";
        const OPTIONS: &str = "mcp_server_versions.connect_options";
        let row = format!("{} {}", self.name, self.version);
        let tools = read_json_if_any::<Option<Vec<Tool>>>(self.tools.as_deref(), TOOLS, &row)?.flatten();
        let options: Option<Option<_>> = read_json_if_any(self.connect_options.as_deref(), OPTIONS, &row)?;
        Ok(Version {
            server_json: read_json(&self.server_json, "mcp_server_versions.server_json", &row)?,
            has_tools: tools.is_some(),
            tools: shown_tools(tools.unwrap_or_default()),
            name: self.name,
            version: self.version,
            workspace: DEFAULT_WORKSPACE,
            status: self.status,
            aliases,
            tags,
            connect_options: options.flatten().unwrap_or_default(),
            source: self.source,
            created_by: self.created_by,
            last_updated_by: self.last_updated_by,
            creation_timestamp: self.created_at,
            last_updated_timestamp: self.last_updated_at,
        })
    }
}

fn shown_tools(mut tools: Vec<Tool>) -> Vec<Tool> {
    for icons in tools.iter_mut().filter_map(|tool| tool.icons.as_mut()?.as_array_mut()) {
        for icon in icons.iter_mut().filter_map(Value::as_object_mut) {
            *icon = shown_icon(std::mem::take(icon));
        }
    }
    tools
}

impl EndpointRow {
    fn into_endpoint(self, version: Version) -> Endpoint {
        Endpoint {
            id: self.id,
            server_name: self.server_name,
            url: self.url,
            transport_type: self.transport_type,
            workspace: DEFAULT_WORKSPACE,
            tools: Shown::Tools(version.has_tools.then(|| version.tools.clone())),
            server_version: self.server_version,
            server_alias: self.server_alias,
            resolved_version: Some(version),
            created_by: self.created_by,
            last_updated_by: self.last_updated_by,
            creation_timestamp: self.created_at,
            last_updated_timestamp: self.last_updated_at,
        }
    }
}

/// Says whether an alias is the one that every server has.
pub(super) fn is_latest(alias: &str) -> bool {
    alias == LATEST
}
