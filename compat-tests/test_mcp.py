"""The registry of MCP servers with the real client."""

from __future__ import annotations

import mlflow
import pytest
from mlflow import genai
from mlflow.exceptions import MlflowException


@pytest.fixture(autouse=True)
def _tracking(server):
    mlflow.set_tracking_uri(server.url)


@pytest.fixture
def name(request) -> str:
    return "io.example/" + "".join(c if c.isalnum() else "-" for c in request.node.name).strip("-")


def server_json(name: str, version: str = "1.0.0", **fields) -> dict:
    return {"name": name, "version": version, "description": "Ünï"} | fields


def test_a_server_is_registered_and_found(name):
    made = genai.register_mcp_server(server_json=server_json(name, title="T"), tools=[])
    assert (made.version, str(made.status), made.tools) == ("1.0.0", "draft", [])
    genai.register_mcp_server(server_json=server_json(name, "1.1.0"), tools=[])
    genai.set_mcp_server_tag(name, "team", "ops")
    genai.set_mcp_server_alias(name, "prod", "1.0.0")
    server = genai.get_mcp_server(name)
    assert (server.latest_version, server.description, server.tags) == ("1.1.0", "Ünï", {"team": "ops"})
    assert server.aliases == {"prod": "1.0.0"}
    assert genai.get_mcp_server_version_by_alias(name, "prod").server_json["title"] == "T"
    assert genai.get_latest_mcp_server_version(name).version == "1.1.0"
    assert [s.name for s in genai.search_mcp_servers(filter_string=f"tags.team = 'ops' AND name = '{name}'")] == [name]
    assert [v.version for v in genai.search_mcp_server_versions(name, filter_string="version > '1.0.0'")] == ["1.1.0"]
    changed = genai.update_mcp_server(name, display_name="Weather", description="own")
    assert (changed.display_name, changed.description) == ("Weather", "own")
    genai.delete_mcp_server_tag(name, "team")
    genai.delete_mcp_server_alias(name, "prod")
    genai.delete_mcp_server(name)
    with pytest.raises(MlflowException, match="not found"):
        genai.get_mcp_server(name)


def test_versions_go_their_way(name):
    genai.register_mcp_server(server_json=server_json(name), tools=[])
    genai.update_mcp_server_version(name, "1.0.0", status="active")
    with pytest.raises(MlflowException, match="Invalid status transition"):
        genai.delete_mcp_server_version(name, "1.0.0")
    with pytest.raises(MlflowException, match="active version"):
        genai.delete_mcp_server(name)
    genai.set_mcp_server_version_tag(name, "1.0.0", "a/b", "v")
    assert genai.get_mcp_server_version(name, "1.0.0").tags == {"a/b": "v"}
    genai.delete_mcp_server_version_tag(name, "1.0.0", "a/b")
    genai.update_mcp_server_version(name, "1.0.0", status="deprecated")
    genai.delete_mcp_server_version(name, "1.0.0")
    with pytest.raises(MlflowException, match="not found"):
        genai.get_mcp_server_version(name, "1.0.0")


def test_endpoints_follow_aliases(name):
    genai.register_mcp_server(server_json=server_json(name), tools=[])
    genai.register_mcp_server(server_json=server_json(name, "2.0.0-rc.1"), tools=[])
    genai.set_mcp_server_alias(name, "prod", "1.0.0")
    made = genai.create_mcp_access_endpoint(name, url="https://example.com/mcp", server_alias="prod")
    assert made.resolved_version.version == "1.0.0"
    genai.set_mcp_server_alias(name, "prod", "2.0.0-rc.1")
    assert genai.get_mcp_access_endpoint(name, made.id).resolved_version.version == "2.0.0-rc.1"
    changed = genai.update_mcp_access_endpoint(name, made.id, server_version="1.0.0")
    assert (changed.server_alias, changed.server_version) == (None, "1.0.0")
    assert [e.id for e in genai.search_mcp_access_endpoints(server_name=name)] == [made.id]
    genai.delete_mcp_access_endpoint(name, made.id)
    assert genai.search_mcp_access_endpoints(server_name=name) == []


def test_pages_hold_all_servers(name):
    names = [f"{name}{i}" for i in range(5)]
    for each in names:
        genai.register_mcp_server(server_json=server_json(each), tools=[])
    found, token = [], None
    while True:
        page = genai.search_mcp_servers(filter_string=f"name LIKE '{name}%'", max_results=2, page_token=token) if token else (
            genai.search_mcp_servers(filter_string=f"name LIKE '{name}%'", max_results=2)
        )
        found += [server.name for server in page]
        token = getattr(page, "token", None)
        if not token:
            break
    assert found[:2] == names[:2] and set(found) <= set(names)
