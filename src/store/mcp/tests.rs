use serde_json::{Value, json};

use super::{EndpointTarget, EndpointUpdate, NewEndpoint, NewVersion, ServerUpdate, VersionUpdate};
use crate::domain::mcp::semver::Precedence;
use crate::domain::mcp::{Endpoint, Status, Version};
use crate::domain::{ErrorCode, Result};
use crate::store::Store;
use crate::store::testing::on_each_database;

const NAME: &str = "io.example/weather";

async fn make_version(store: &Store, version: &str, status: Status) -> Result<Version> {
    let new = NewVersion {
        name: NAME.into(),
        version: version.into(),
        precedence: Precedence::parse(version, "version").unwrap(),
        server_json: json!({"name": NAME, "version": version, "description": format!("of {version}"),
            "icons": [{"src": "https://x", "theme": "dark"}]}),
        status,
        tools: Some(json!([{"name": "t", "inputSchema": {"k": 1}}])),
        source: None,
        connect_options: Some(json!({"o": {"hidden": true}})),
    };
    store.create_mcp_server_version(new).await
}

async fn make_endpoint(store: &Store, target: EndpointTarget) -> Result<Endpoint> {
    let new = NewEndpoint {
        server_name: NAME.into(),
        url: "https://x/mcp".into(),
        transport_type: "sse".into(),
        target,
    };
    store.create_mcp_access_endpoint(new).await
}

async fn found(store: &Store, filter: &str) -> Vec<String> {
    let page = store
        .search_mcp_server_versions(NAME.into(), filter.into(), 100, vec!["`version` DESC".into()], None)
        .await
        .unwrap();
    page.items.into_iter().map(|version| version.version).collect()
}

#[test]
fn the_newest_active_version_speaks_for_its_server() {
    on_each_database(|store| async move {
        for (version, status) in
            [("1.0.0", Status::Active), ("1.0.0-rc.1", Status::Active), ("2.0.0", Status::Draft)]
        {
            make_version(&store, version, status).await.unwrap();
        }
        let error = make_version(&store, "1.0.0", Status::Draft).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
        let server = store.get_mcp_server(NAME.into()).await.unwrap();
        assert_eq!(server.latest_version.as_deref(), Some("1.0.0"));
        assert_eq!(server.description.as_deref(), Some("of 1.0.0"));
        assert_eq!(
            Value::from(server.icons.unwrap()),
            json!([{"src": "https://x", "theme": "dark", "source": "version"}])
        );
        let update =
            ServerUpdate { description: Some(json!("own")), icons: Some(json!([])), ..Default::default() };
        let server = store.update_mcp_server(NAME.into(), update).await.unwrap();
        assert_eq!((server.description.as_deref(), server.icons), (Some("own"), Some(Vec::new())));
        let update = ServerUpdate { description: Some(Value::Null), ..ServerUpdate::default() };
        let server = store.update_mcp_server(NAME.into(), update).await.unwrap();
        assert_eq!(server.description.as_deref(), Some("of 1.0.0"));

        assert_eq!(found(&store, "").await, ["2.0.0", "1.0.0", "1.0.0-rc.1"]);
        assert_eq!(found(&store, "version < '1.0.0'").await, ["1.0.0-rc.1"]);
        assert_eq!(found(&store, "version >= '1.0.0' AND status = 'active'").await, ["1.0.0"]);
        assert_eq!(found(&store, "version != '2.0.0' AND status IN ('draft')").await, [""; 0]);
        let error = store.delete_mcp_server(NAME.into()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    });
}

#[test]
fn endpoints_lead_where_their_aliases_lead() {
    on_each_database(|store| async move {
        make_version(&store, "1.0.0", Status::Draft).await.unwrap();
        make_version(&store, "1.1.0", Status::Draft).await.unwrap();
        let alias = |alias: &str, version: &str| {
            store.set_mcp_server_alias(NAME.into(), alias.into(), version.into())
        };
        alias("prod", "1.0.0").await.unwrap();
        assert!(alias("latest", "1.0.0").await.is_err());
        let error = make_endpoint(&store, EndpointTarget::Alias("nope".into())).await.unwrap_err();
        assert_eq!(error.message, format!("Alias 'nope' not found for MCP server '{NAME}'"));
        let by_alias = make_endpoint(&store, EndpointTarget::Alias("prod".into())).await.unwrap();
        let by_version = make_endpoint(&store, EndpointTarget::Version("1.1.0".into())).await.unwrap();
        let latest = make_endpoint(&store, EndpointTarget::Alias("latest".into())).await.unwrap();
        assert_eq!(by_alias.resolved_version.unwrap().version, "1.0.0");
        assert_eq!(latest.resolved_version.unwrap().version, "1.1.0");
        alias("prod", "1.1.0").await.unwrap();
        let moved = store.get_mcp_access_endpoint(NAME.into(), by_alias.id.clone().into()).await.unwrap();
        let version = moved.resolved_version.unwrap();
        assert_eq!((version.version.as_str(), version.aliases), ("1.1.0", vec!["prod".to_owned()]));

        let update = EndpointUpdate { url: Some("https://y".into()), ..EndpointUpdate::default() };
        let changed = store
            .update_mcp_access_endpoint(NAME.into(), by_version.id.clone().into(), update)
            .await
            .unwrap();
        assert_eq!((changed.url.as_str(), changed.server_version.as_deref()), ("https://y", Some("1.1.0")));
        let error =
            store.get_mcp_access_endpoint("io.other/x".into(), by_version.id.into()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
        let server = store.get_mcp_server(NAME.into()).await.unwrap();
        assert_eq!(server.access_endpoints.len(), 3);

        store.delete_mcp_server_version(NAME.into(), "1.1.0".into()).await.unwrap();
        let server = store.get_mcp_server(NAME.into()).await.unwrap();
        let left: Vec<_> = server.access_endpoints.iter().map(|e| e.server_alias.as_deref()).collect();
        assert_eq!((left, server.aliases.len()), (vec![Some("latest")], 0));
        let deleted = VersionUpdate { status: Some(Status::Deleted), tools: None, connect_options: None };
        store.update_mcp_server_version(NAME.into(), "1.0.0".into(), deleted).await.unwrap();
        let server = store.get_mcp_server(NAME.into()).await.unwrap();
        assert_eq!((server.access_endpoints.len(), server.latest_version), (0, None));
        store.delete_mcp_server(NAME.into()).await.unwrap();
        assert!(store.get_mcp_server(NAME.into()).await.is_err());
    });
}

#[test]
fn servers_are_found_by_what_they_have() {
    on_each_database(|store| async move {
        make_version(&store, "1.0.0", Status::Active).await.unwrap();
        make_endpoint(&store, EndpointTarget::Alias("latest".into())).await.unwrap();
        store.create_mcp_server("io.example/bare".into(), None, None).await.unwrap();
        store.set_mcp_server_tag(NAME.into(), ("team", "ops").into()).await.unwrap();
        store.set_mcp_server_version_tag(NAME.into(), "1.0.0".into(), ("k", "v").into()).await.unwrap();
        for (filter, count) in [
            ("", 2),
            ("name LIKE '%weather'", 1),
            ("status = 'active'", 1),
            ("has_access_endpoints = 'true'", 1),
            ("has_access_endpoints = 'false'", 1),
            ("tags.team = 'ops' AND tags.team LIKE 'o%'", 1),
            ("tags.team > 'z'", 0),
            ("created_at > 5 AND name IN ('io.example/bare')", 1),
        ] {
            let page = store.search_mcp_servers(filter.into(), 10, Vec::new(), None).await.unwrap();
            assert_eq!(page.items.len(), count, "{filter}");
        }
        let page = store.search_mcp_servers(String::new(), 1, vec!["name DESC".into()], None).await.unwrap();
        assert_eq!((page.items[0].name.as_str(), page.next_page_token.is_some()), (NAME, true));
        assert_eq!(page.items[0].tags["team"], "ops");
        let version = store.get_mcp_server_version(NAME.into(), "1.0.0".into()).await.unwrap();
        assert_eq!((version.tags["k"].as_str(), version.tools.len()), ("v", 1));
        assert!(version.connect_options["o"].hidden);
    });
}
