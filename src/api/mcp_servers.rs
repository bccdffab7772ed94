//! The registry of MCP servers. Names, versions, aliases and tag keys are path parameters that may hold
//! slashes, so one catch-all route takes them and the table here matches them, as stock's router does.

use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::web::{Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use regex::{Captures, Regex};
use serde::Serialize;
use serde_json::{Map, Value};

use super::body::Document;
use super::state::App;
use super::{fallback, reply};
use crate::config::TargetRules;
use crate::domain::ids::{McpAlias, McpEndpointId, McpServerName, McpVersion, Tag};
use crate::domain::mcp::payload::{self, Body, Checked, Icon, strip_sources, strip_tool_sources};
use crate::domain::mcp::semver::Precedence;
use crate::domain::mcp::{
    Endpoint, Server, Status, Version, check_endpoint_url, check_name, check_transport,
};
use crate::domain::{Error, Result};
use crate::store::mcp::{
    EndpointTarget, EndpointUpdate, EndpointsOf, NewEndpoint, NewVersion, Page, ServerUpdate, VersionUpdate,
};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    SetVersionTag,
    DeleteVersionTag,
    GetVersion,
    UpdateVersion,
    DeleteVersion,
    CreateVersion,
    SearchVersions,
    CreateEndpoint,
    GetEndpoint,
    UpdateEndpoint,
    DeleteEndpoint,
    SearchEndpoints,
    SetTag,
    DeleteTag,
    SetAlias,
    GetByAlias,
    DeleteAlias,
    GetServer,
    UpdateServer,
    DeleteServer,
}

/// The paths below the registry's, in stock's order: the first match wins.
const PATHS: [(&str, &str, Action); 20] = [
    ("POST", "(.*)/versions/(.*)/tags", Action::SetVersionTag),
    ("DELETE", "(.*)/versions/(.*)/tags/(.*)", Action::DeleteVersionTag),
    ("GET", "(.*)/versions/(.*)", Action::GetVersion),
    ("PATCH", "(.*)/versions/(.*)", Action::UpdateVersion),
    ("DELETE", "(.*)/versions/(.*)", Action::DeleteVersion),
    ("POST", "(.*)/versions", Action::CreateVersion),
    ("GET", "(.*)/versions", Action::SearchVersions),
    ("POST", "(.*)/endpoints", Action::CreateEndpoint),
    ("GET", "(.*)/endpoints/([^/]+)", Action::GetEndpoint),
    ("PATCH", "(.*)/endpoints/([^/]+)", Action::UpdateEndpoint),
    ("DELETE", "(.*)/endpoints/([^/]+)", Action::DeleteEndpoint),
    ("GET", "(.*)/endpoints", Action::SearchEndpoints),
    ("POST", "(.*)/tags", Action::SetTag),
    ("DELETE", "(.*)/tags/(.*)", Action::DeleteTag),
    ("POST", "(.*)/aliases", Action::SetAlias),
    ("GET", "(.*)/aliases/(.*)", Action::GetByAlias),
    ("DELETE", "(.*)/aliases/(.*)", Action::DeleteAlias),
    ("GET", "(.*)", Action::GetServer),
    ("PATCH", "(.*)", Action::UpdateServer),
    ("DELETE", "(.*)", Action::DeleteServer),
];

static TABLE: LazyLock<Vec<(Method, Regex, Action)>> = LazyLock::new(|| {
    let line = |(method, path, action): (&str, &str, Action)| {
        let method = Method::from_bytes(method.as_bytes()).expect("the methods are fixed");
        (method, Regex::new(&format!(r"\A{path}\z")).expect("the patterns are fixed"), action)
    };
    PATHS.into_iter().map(line).collect()
});

fn find<'a>(method: &Method, path: &'a str) -> Option<(Action, Captures<'a>)> {
    let mut lines = TABLE.iter().filter(|(of, _, _)| of == method);
    lines.find_map(|(_, pattern, action)| Some((*action, pattern.captures(path)?)))
}

/// The parameters of a search.
#[derive(Debug, Default)]
struct Asked {
    filter: String,
    limit: i64,
    order_by: Vec<String>,
    page_token: Option<String>,
    server_version: Option<String>,
    server_alias: Option<String>,
}

impl Asked {
    fn read(request: &HttpRequest) -> Result<Self> {
        let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|e| Error::invalid(format!("The query string cannot be read: {e}")))?;
        let mut asked = Self { limit: 100, ..Self::default() };
        for (name, value) in pairs.into_inner() {
            match name.as_str() {
                "filter_string" => asked.filter = value,
                "max_results" => {
                    let problem = "query.max_results: Input should be a valid integer, unable to parse string as an \
                                   integer";
                    asked.limit = value.trim().parse().map_err(|_e| payload::invalid(&[problem.into()]))?;
                }
                "order_by" => asked.order_by.push(value),
                "page_token" => asked.page_token = Some(value),
                "server_version" => asked.server_version = Some(value),
                "server_alias" => asked.server_alias = Some(value),
                _ => {}
            }
        }
        Ok(asked)
    }
}

#[derive(Serialize)]
struct Servers {
    mcp_servers: Vec<Server>,
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct Versions {
    mcp_server_versions: Vec<Version>,
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct Endpoints {
    mcp_access_endpoints: Vec<Endpoint>,
    next_page_token: Option<String>,
}

/// `GET mcp-servers`. Upstream: `search_mcp_servers`.
pub async fn search_mcp_servers(app: App, request: HttpRequest) -> Result<HttpResponse> {
    let asked = Asked::read(&request)?;
    let page =
        app.store.search_mcp_servers(asked.filter, asked.limit, asked.order_by, asked.page_token).await?;
    Ok(json(Servers { mcp_servers: page.items, next_page_token: page.next_page_token }))
}

/// `POST mcp-servers`. Upstream: `create_mcp_server`.
pub async fn create_mcp_server(app: App, body: Document) -> Result<HttpResponse> {
    let mut fields = read(&app, Body::CreateServer, &body).await?;
    let name = text(&mut fields, "name").unwrap_or_default();
    check_name(&name)?;
    let mut icons = fields.remove("icons");
    strip_sources(icons.as_mut(), "icons")?;
    let description = text(&mut fields, "description");
    Ok(json(app.store.create_mcp_server(McpServerName::from(name), description, icons).await?))
}

/// `GET mcp-servers/endpoints`: of all servers. Upstream: `search_all_access_endpoints`.
pub async fn search_all_endpoints(app: App, request: HttpRequest) -> Result<HttpResponse> {
    search_endpoints(&app, None, Asked::read(&request)?).await
}

/// The catch-all for one server.
pub async fn of_server(
    app: App,
    request: HttpRequest,
    path: Path<String>,
    body: Document,
) -> Result<HttpResponse> {
    let path = path.into_inner();
    let Some((action, found)) = find(request.method(), &path) else {
        return Ok(fallback::not_found());
    };
    let part = |i| found.get(i).map_or_else(String::new, |part| part.as_str().to_owned());
    let (name, second) = (McpServerName::from(part(1)), part(2));
    let store = &app.store;
    match action {
        Action::GetServer => Ok(json(store.get_mcp_server(name).await?)),
        Action::UpdateServer => update_server(&app, name, &body).await,
        Action::DeleteServer => nothing(store.delete_mcp_server(name).await),
        Action::SetTag => nothing(store.set_mcp_server_tag(name, read_tag(&app, &body).await?).await),
        Action::DeleteTag => nothing(store.delete_mcp_server_tag(name, second).await),
        Action::SetAlias => {
            let (alias, version) = read_alias(&app, &body).await?;
            nothing(store.set_mcp_server_alias(name, alias, version).await)
        }
        Action::GetByAlias => {
            Ok(json(store.get_mcp_server_version_by_alias(name, McpAlias::from(second)).await?))
        }
        Action::DeleteAlias => nothing(store.delete_mcp_server_alias(name, McpAlias::from(second)).await),
        Action::CreateVersion => create_version(&app, name, &body).await,
        Action::SearchVersions => {
            let Asked { filter, limit, order_by, page_token, .. } = Asked::read(&request)?;
            let page = store.search_mcp_server_versions(name, filter, limit, order_by, page_token).await?;
            Ok(json(Versions { mcp_server_versions: page.items, next_page_token: page.next_page_token }))
        }
        Action::GetVersion => Ok(json(store.get_mcp_server_version(name, McpVersion::from(second)).await?)),
        Action::UpdateVersion => update_version(&app, name, McpVersion::from(second), &body).await,
        Action::DeleteVersion => {
            nothing(store.delete_mcp_server_version(name, McpVersion::from(second)).await)
        }
        Action::SetVersionTag => {
            let tag = read_tag(&app, &body).await?;
            nothing(store.set_mcp_server_version_tag(name, McpVersion::from(second), tag).await)
        }
        Action::DeleteVersionTag => {
            nothing(store.delete_mcp_server_version_tag(name, McpVersion::from(second), part(3)).await)
        }
        Action::CreateEndpoint => create_endpoint(&app, name, &body).await,
        Action::SearchEndpoints => search_endpoints(&app, Some(name), Asked::read(&request)?).await,
        Action::GetEndpoint => {
            Ok(json(store.get_mcp_access_endpoint(name, McpEndpointId::from(second)).await?))
        }
        Action::UpdateEndpoint => update_endpoint(&app, name, McpEndpointId::from(second), &body).await,
        Action::DeleteEndpoint => {
            nothing(store.delete_mcp_access_endpoint(name, McpEndpointId::from(second)).await)
        }
    }
}

async fn update_server(app: &App, name: McpServerName, body: &[u8]) -> Result<HttpResponse> {
    let mut fields = read(app, Body::UpdateServer, body).await?;
    let mut icons = fields.remove("icons");
    strip_sources(icons.as_mut(), "icons")?;
    let (display_name, description) = (fields.remove("display_name"), fields.remove("description"));
    let update = ServerUpdate { display_name, description, icons };
    Ok(json(app.store.update_mcp_server(name, update).await?))
}

async fn create_version(app: &App, name: McpServerName, body: &[u8]) -> Result<HttpResponse> {
    let mut fields = read(app, Body::CreateVersion, body).await?;
    let mut server_json = fields.remove("server_json").unwrap_or_default();
    let version = payload::version_of(&server_json, &name)?;
    let status = Status::parse(&text(&mut fields, "status").unwrap_or_else(|| "draft".into()))?;
    strip_sources(server_json.get_mut("icons"), "server_json.icons")?;
    let precedence = Precedence::parse(&version, "server_json.version")?;
    status.check_initial()?;
    let mut tools = fields.remove("tools");
    strip_tool_sources(tools.as_mut())?;
    let (source, connect_options) = (text(&mut fields, "source"), fields.remove("connect_options"));
    let version = McpVersion::from(version);
    let new = NewVersion { name, version, precedence, server_json, status, tools, source, connect_options };
    Ok(json(app.store.create_mcp_server_version(new).await?))
}

async fn update_version(
    app: &App,
    name: McpServerName,
    version: McpVersion,
    body: &[u8],
) -> Result<HttpResponse> {
    let mut fields = read(app, Body::UpdateVersion, body).await?;
    let status = match fields.remove("status") {
        None => None,
        Some(Value::String(status)) => Some(Status::parse(&status)?),
        Some(_) => {
            return Err(Error::invalid("status cannot be null; omit the field to leave it unchanged"));
        }
    };
    let mut tools = fields.remove("tools");
    strip_tool_sources(tools.as_mut())?;
    let update = VersionUpdate { status, tools, connect_options: fields.remove("connect_options") };
    Ok(json(app.store.update_mcp_server_version(name, version, update).await?))
}

async fn create_endpoint(app: &App, server_name: McpServerName, body: &[u8]) -> Result<HttpResponse> {
    let mut fields = read(app, Body::CreateEndpoint, body).await?;
    let transport_type = text(&mut fields, "transport_type").unwrap_or_else(|| "streamable-http".into());
    check_transport(&transport_type)?;
    let target = match (text(&mut fields, "server_version"), text(&mut fields, "server_alias")) {
        (Some(version), None) => EndpointTarget::Version(McpVersion::from(version)),
        (None, Some(alias)) => EndpointTarget::Alias(McpAlias::from(alias)),
        _ => return Err(Error::invalid("Exactly one of server_version or server_alias must be provided")),
    };
    let url = text(&mut fields, "url").unwrap_or_default();
    check_endpoint_url(&url)?;
    let new = NewEndpoint { server_name, url, transport_type, target };
    Ok(json(app.store.create_mcp_access_endpoint(new).await?))
}

async fn update_endpoint(
    app: &App,
    server: McpServerName,
    id: McpEndpointId,
    body: &[u8],
) -> Result<HttpResponse> {
    let mut fields = read(app, Body::UpdateEndpoint, body).await?;
    let transport_type = text(&mut fields, "transport_type");
    transport_type.as_deref().map_or(Ok(()), check_transport)?;
    let target = match (text(&mut fields, "server_version"), text(&mut fields, "server_alias")) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("Cannot set both server_version and server_alias in a single update"));
        }
        (Some(version), None) => Some(EndpointTarget::Version(McpVersion::from(version))),
        (None, Some(alias)) => Some(EndpointTarget::Alias(McpAlias::from(alias))),
        (None, None) => None,
    };
    let url = match fields.remove("url") {
        None => None,
        Some(Value::String(url)) => {
            check_endpoint_url(&url)?;
            Some(url)
        }
        Some(_) => return Err(Error::invalid("MCP access endpoint url cannot be None")),
    };
    let update = EndpointUpdate { url, transport_type, target };
    Ok(json(app.store.update_mcp_access_endpoint(server, id, update).await?))
}

async fn search_endpoints(app: &App, server: Option<McpServerName>, asked: Asked) -> Result<HttpResponse> {
    let Asked { filter, limit, order_by, page_token, server_version, server_alias } = asked;
    let of = EndpointsOf {
        server,
        version: server_version.map(McpVersion::from),
        alias: server_alias.map(McpAlias::from),
    };
    let Page { items, next_page_token } =
        app.store.search_mcp_access_endpoints(of, filter, limit, order_by, page_token).await?;
    Ok(json(Endpoints { mcp_access_endpoints: items, next_page_token }))
}

/// Parses and validates a body: errors of icons come before errors of fields, as in stock.
async fn read(app: &App, kind: Body, body: &[u8]) -> Result<Map<String, Value>> {
    let Checked { fields, icons, problem } = payload::check(kind, body)?;
    let rules = TargetRules::default();
    for icon in icons {
        match icon {
            Icon::Address(url) => app.webhooks.check_target(&url, "Icon URL", &rules).await?,
            Icon::BadType(kind) => return Err(Icon::bad_type(&kind)),
        }
    }
    problem.map_or(Ok(fields), Err)
}

async fn read_tag(app: &App, body: &[u8]) -> Result<Tag> {
    let mut fields = read(app, Body::SetTag, body).await?;
    let (key, value) = (text(&mut fields, "key"), text(&mut fields, "value"));
    Ok(Tag { key: key.unwrap_or_default(), value: value.unwrap_or_default() })
}

async fn read_alias(app: &App, body: &[u8]) -> Result<(McpAlias, McpVersion)> {
    let mut fields = read(app, Body::SetAlias, body).await?;
    Ok((McpAlias::from(text(&mut fields, "alias")), McpVersion::from(text(&mut fields, "version"))))
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn json(value: impl Serialize + Send + 'static) -> HttpResponse {
    reply::answer(value, b"")
}

fn nothing(result: Result<()>) -> Result<HttpResponse> {
    result.map(|()| json(Map::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_are_found_in_paths() {
        for (method, path, want, parts) in [
            (Method::GET, "io.x/a", Action::GetServer, &["io.x/a"][..]),
            (Method::GET, "io.x/a/versions", Action::SearchVersions, &["io.x/a"]),
            (Method::GET, "io.x/a/versions/1.0.0", Action::GetVersion, &["io.x/a", "1.0.0"]),
            (Method::GET, "io.x/versions/versions/1", Action::GetVersion, &["io.x/versions", "1"]),
            (Method::POST, "a/b/versions/1/tags", Action::SetVersionTag, &["a/b", "1"]),
            (Method::DELETE, "a/b/versions/1/tags/k/l", Action::DeleteVersionTag, &["a/b", "1", "k/l"]),
            (Method::DELETE, "a/b/tags/k/l", Action::DeleteTag, &["a/b", "k/l"]),
            (Method::GET, "a/b/aliases/prod", Action::GetByAlias, &["a/b", "prod"]),
            (Method::GET, "a/b/endpoints/ae-1", Action::GetEndpoint, &["a/b", "ae-1"]),
            (Method::GET, "a/b/endpoints", Action::SearchEndpoints, &["a/b"]),
        ] {
            let (action, found) = find(&method, path).unwrap();
            let found: Vec<&str> = (1..found.len()).map(|i| found.get(i).unwrap().as_str()).collect();
            assert_eq!((action, found.as_slice()), (want, parts), "{method} {path}");
        }
        assert!(find(&Method::POST, "a/b").is_none());
    }
}
