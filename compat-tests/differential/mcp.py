"""Cases of the registry of MCP servers."""

from .case import Case, broken_variants, get, post, raw, send

M = "/api/3.0/mlflow/mcp-servers"
AJAX = "/ajax-api/3.0/mlflow/mcp-servers"
W = f"{M}/io.example/weather"
ICON = {"src": "https://93.184.216.34/i.png", "mimeType": " Image/PNG ", "theme": "dark", "extra": 1}


def server_json(version="1.0.0", name="io.example/weather", **fields):
    """What a server says of itself."""
    return {"name": name, "version": version, "description": "Ünï"} | fields


def version(number="1.0.0", **fields):
    """The body of a version that both servers take."""
    return {"server_json": server_json(number)} | fields


_FULL = {
    "server_json": server_json("1.1.0-rc.1+b.2", title="T", icons=[ICON], websiteUrl="https://x", _meta={"k": None},
        repository={"url": "https://r", "source": "github", "id": None}, more={"x": [1, 2.5, None]},
        remotes=[{"type": "sse", "url": "https://e", "headers": []}, {}],
        packages=[{"registryType": "npm", "identifier": "i", "transport": {"type": "stdio"}, "version": "1",
                   "environmentVariables": [{"name": "N", "isRequired": True, "isSecret": False, "x": 1}]}]),
    "status": "active", "source": "https://s",
    "tools": [{"name": "t", "inputSchema": {"a": None}, "icons": [{"src": "https://93.184.216.34/"}], "unknown": 1}, {"name": "u", "title": None}],
    "connect_options": {"a": {"hidden": True}, "b": {}, "c": {"hidden": "no", "x": 1}},
}  # fmt: skip

_SERVERS = [
    get(M, name="no servers"),
    get(f"{M}/endpoints", name="no endpoints at all"),
    post(M, {"name": "io.example/weather", "description": "d", "icons": [ICON, {"src": "https://93.184.216.34/2"}]}),
    post(M, {"name": "io.example/weather"}, name="that server again"),
    post(AJAX, {"name": "io.example/bare"}),
    get(W),
    get(f"{M}/io.example%2Fweather"),
    get(f"{AJAX}/io.example/bare"),
    get(f"{M}/io.example/nope"),
    get(f"{M}/nope"),
    send("PATCH", W, {"display_name": "Weather", "description": None}),
    send("PATCH", W, {"icons": [{"src": "https://93.184.216.34/2", "source": "server"}]}),
    send("PATCH", W, {"icons": [{"src": "https://93.184.216.34/2", "source": "version"}]}),
    send("PATCH", W, {"icons": [], "display_name": None}),
    send("PATCH", W, {"icons": None}),
    send("PATCH", W, {}, name="change nothing of a server"),
    send("PATCH", W, {"latest_version": "1"}),
    send("PATCH", f"{M}/io.example/nope", {"description": "x"}),
    *[post(M, {"name": name}, name=f"server name {name!r}") for name in (
        "weather", "a/b", "io.example/", "/x", "io.example/a/b", "io.example/versions", "io_x/ab", "io.example/-ab",
        "io.example/a_b.c-d", "", "é.x/yy", "x" * 300 + "/ab",
    )],
    *[post(M, {"name": f"io.refused/n{i}", "icons": icons}, name=f"refused icons {i}") for i, icons in enumerate([
        [{"src": "http://93.184.216.34/"}], [{"src": "https://127.0.0.1/"}], [{"src": "https://2130706433/"}], [{"src": ""}],
        [{"src": "https://u:p@93.184.216.34/"}], [{"src": "https:///x"}], [{"src": "https://93.184.216.34/", "mimeType": "text/html"}],
        [{"src": "https://93.184.216.34/", "mimeType": "image/"}], [{}], [5], {}, "x", [{"src": 5}], [{"src": "https://93.184.216.34/", "sizes": "x"}],
        [{"src": "https://93.184.216.34/", "sizes": ["1x1", 5]}],
    ])],
    *broken_variants(M, {"name": "bad name", "description": "d", "icons": []}),
    *broken_variants(W, {"display_name": "d", "description": "e"}, "PATCH"),
    raw("POST", M, b"{", headers={"Content-Type": "application/json"}, name="half a body"),
    raw("POST", M, b"", headers={"Content-Type": "application/json"}, name="an empty body"),
    raw("POST", M, b"5", headers={"Content-Type": "application/json"}, name="a number for a body"),
]  # fmt: skip

_VERSIONS = [
    get(f"{W}/versions", name="no versions"),
    get(f"{W}/aliases/latest", name="no latest version"),
    post(f"{W}/versions", version()),
    post(f"{W}/versions", version(), name="that version again"),
    post(f"{M}/io.example%2Fweather/versions", _FULL, name="a whole version"),
    post(f"{W}/versions", version("1.1.0", tools=[])),
    post(f"{W}/versions", version("1.1.0+build", tools=None, connect_options=None)),
    post(f"{W}/versions", version("0.9.0", status="active")),
    post(f"{M}/io.new/made/versions", {"server_json": server_json(name="io.new/made", icons=[ICON])}),
    post(f"{M}/io.new/made/versions", {"server_json": {"server": server_json("2.0.0", name="io.new/made"), "_meta": {}}}, name="an envelope"),
    get(f"{M}/io.new/made"),
    get(W, name="weather with versions"),
    get(f"{W}/versions/1.0.0"),
    get(f"{W}/versions/1.1.0-rc.1+b.2"),
    get(f"{W}/versions/nope"),
    get(f"{M}/io.example/nope/versions/1.0.0"),
    get(f"{W}/aliases/latest", name="the latest version"),
    *[post(f"{W}/versions", body, name=f"refused version {i}") for i, body in enumerate([
        version("1.0"), version("v1"), version("01.0.0"), version("1.0.9999999999"), version("1.0.0-" + "x" * 130), version(""),
        version("3.0.0", status="deprecated"), version("3.0.0", status="deleted"), version("3.0.0", status="nope"),
        {"server_json": server_json(name="io.example/other")}, {"server_json": {}}, {"server_json": {"server": 5}}, {"server_json": {"server": {}}},
        version("3.0.0", tools=[{}]), version("3.0.0", tools=[{"name": "t", "icons": [{"src": "https://93.184.216.34/", "source": "version"}]}]),
        version("3.0.0", connect_options={"a": 5}), version("3.0.0", connect_options={"a": {"hidden": "x"}}), version("3.0.0", connect_options=[]),
        {"server_json": server_json("3.0.0", icons=[{"src": "https://93.184.216.34/", "source": "version"}])},
        {"server_json": server_json("3.0.0", packages=[{}])}, {"server_json": server_json("3.0.0", packages=[{"registryType": 1, "identifier": None, "transport": None}])},
        {"server_json": server_json("3.0.0", remotes="x", repository=[], _meta=5, title=5)},
        {"server_json": server_json("3.0.0", repository={"url": "x"})},
    ])],
    *broken_variants(f"{W}/versions", version("bad version", status="draft", source="s", tools=[], connect_options={})),
    send("PATCH", f"{W}/versions/1.0.0", {"status": "active"}),
    send("PATCH", f"{W}/versions/1.0.0", {"status": "active"}, name="active again"),
    send("PATCH", f"{W}/versions/1.0.0", {"status": "deleted"}),
    send("PATCH", f"{W}/versions/1.0.0", {"status": None}),
    send("PATCH", f"{W}/versions/1.0.0", {"status": "nope"}),
    send("PATCH", f"{W}/versions/1.0.0", {"tools": [{"name": "n"}], "connect_options": {"x": {"hidden": True}}}),
    send("PATCH", f"{W}/versions/1.0.0", {"tools": None, "connect_options": None}),
    send("PATCH", f"{W}/versions/1.0.0", {}, name="change nothing of a version"),
    send("PATCH", f"{W}/versions/nope", {"tools": []}),
    *broken_variants(f"{W}/versions/nope", {"status": "draft", "tools": [], "connect_options": {}}, "PATCH"),
]  # fmt: skip

_NAMES = [
    post(f"{W}/tags", {"key": "team", "value": "ops"}),
    post(f"{W}/tags", {"key": "team", "value": "ü"}),
    post(f"{W}/tags", {"key": "a/b", "value": ""}),
    post(f"{M}/io.example/nope/tags", {"key": "k", "value": "v"}),
    send("DELETE", f"{W}/tags/a/b"),
    send("DELETE", f"{W}/tags/a/b", name="delete that tag again"),
    *broken_variants(f"{W}/tags", {"key": "k", "value": "v"}),
    post(f"{W}/versions/1.0.0/tags", {"key": "k", "value": "v"}),
    post(f"{W}/versions/1.0.0/tags", {"key": "k", "value": "w"}),
    post(f"{W}/versions/nope/tags", {"key": "k", "value": "v"}),
    post(f"{W}/versions/1.0.0/tags", {"key": "x/y", "value": "v"}),
    send("DELETE", f"{W}/versions/1.0.0/tags/x/y"),
    send("DELETE", f"{W}/versions/1.0.0/tags/x/y", name="delete that tag of a version again"),
    send("DELETE", f"{W}/versions/nope/tags/k"),
    post(f"{W}/aliases", {"alias": "prod", "version": "1.0.0"}),
    post(f"{W}/aliases", {"alias": "next", "version": "1.1.0"}),
    post(f"{W}/aliases", {"alias": "next", "version": "1.1.0-rc.1+b.2"}),
    post(f"{W}/aliases", {"alias": "latest", "version": "1.0.0"}),
    post(f"{W}/aliases", {"alias": "x", "version": "nope"}),
    post(f"{M}/io.example/nope/aliases", {"alias": "x", "version": "1.0.0"}),
    get(f"{W}/aliases/prod"),
    get(f"{W}/aliases/nope"),
    get(f"{M}/io.example/nope/aliases/latest"),
    send("DELETE", f"{W}/aliases/nope"),
    *broken_variants(f"{W}/aliases", {"alias": "a", "version": "nope"}),
    get(W, name="weather with names"),
    get(f"{W}/versions/1.0.0", name="a version with names"),
]  # fmt: skip

_ENDPOINTS = [
    post(f"{W}/endpoints", {"url": "https://e/mcp", "server_version": "1.0.0"}, fixed="id"),
    post(f"{W}/endpoints", {"url": "https://e/sse", "server_alias": "next", "transport_type": "sse"}, named="id"),
    post(f"{W}/endpoints", {"url": "not a url", "server_alias": "latest"}, latest="id"),
    *[post(f"{W}/endpoints", body, name=f"refused endpoint {i}") for i, body in enumerate([
        {"url": "u"}, {"url": "u", "server_version": "1.0.0", "server_alias": "prod"}, {"url": " ", "server_version": "1.0.0"},
        {"url": "u", "server_version": "nope"}, {"url": "u", "server_alias": "nope"}, {"url": "u", "server_version": "1.0.0", "transport_type": "stdio"},
    ])],
    post(f"{M}/io.example/nope/endpoints", {"url": "u", "server_version": "1.0.0"}),
    *broken_variants(f"{M}/io.example/nope/endpoints", {"url": "u", "server_version": "1.0.0", "transport_type": "sse"}),
    get(f"{W}/endpoints/$fixed"),
    get(f"{W}/endpoints/nope"),
    get(f"{M}/io.example/bare/endpoints/$fixed"),
    get(f"{W}/endpoints", name="endpoints of weather", order_by="created_at"),
    get(f"{AJAX}/endpoints", name="all endpoints of all", order_by="created_at"),
    get(f"{M}/endpoints", server_version="1.0.0"),
    get(f"{M}/endpoints", server_alias="latest"),
    get(f"{M}/endpoints", server_alias="next", server_version="1.0.0"),
    get(f"{W}/endpoints", server_alias="next"),
    get(f"{M}/io.example/nope/endpoints"),
    Case("endpoints in a server", "GET", f"{M}/io.example/weather", None),
    send("PATCH", f"{W}/endpoints/$fixed", {"server_alias": "prod"}),
    send("PATCH", f"{W}/endpoints/$fixed", {"server_version": "1.1.0", "url": "https://new", "transport_type": "sse"}),
    *[send("PATCH", f"{W}/endpoints/$fixed", body, name=f"change of an endpoint {i}") for i, body in enumerate([
        {}, {"url": None}, {"url": ""}, {"transport_type": "x"}, {"transport_type": None}, {"server_version": None, "server_alias": None},
        {"server_version": "nope"}, {"server_alias": "nope"}, {"server_version": "1.0.0", "server_alias": "prod"}, {"url": 5},
    ])],
    send("PATCH", f"{W}/endpoints/nope", {"url": "u"}),
    send("PATCH", f"{M}/io.example/bare/endpoints/$fixed", {"url": "u"}),
    send("DELETE", f"{M}/io.example/bare/endpoints/$fixed"),
    send("DELETE", f"{W}/endpoints/nope"),
]  # fmt: skip

_SEARCHES = [
    *[get(M, filter_string=text, name=f"server filter: {text}") for text in (
        "name = 'io.example/weather'", "name LIKE '%WEATHER'", "name ILIKE '%WEATHER'", "name IN ('io.example/bare', 'x')", "name != 'x'",
        "status = 'active'", "status IN ('draft', 'active')", "status != 'draft'", "display_name = 'x'", "has_access_endpoints = 'true'",
        "has_access_endpoints = 'FALSE'", "has_access_endpoints = 'x'", "has_access_endpoints != 'true'", "tags.team = 'ü'",
        "tags.team = 'ü' AND tags.team != 'x'", "tags.`team` LIKE '%'", "tags.nope = 'x'", "created_at > 5", "last_updated_at <= 5",
        "created_at = '5'", "name = 5", "nope = 'x'", "metrics.x > 5", "params.x = 'y'", "name > 'io.example/c'", "version = '1'", "name = 'a' OR name = 'b'",
        "attributes.name = 'io.example/bare'", "display_name IN ('x')", "",
    )],
    *[get(M, order_by=order, name=f"server order: {order}") for order in (
        "name DESC", "created_at", ["created_at DESC", "name DESC"], "last_updated_at ASC", "status", "name x", ["name", "name DESC"], "`name` DESC", "`name`",
    )],
    *[get(M, max_results=count, name=f"{count} servers") for count in (1, 2, 1000, 1001, 50001, 0, -1, "x", "")],
    get(M, max_results=1, page_token="eyJvZmZzZXQiOiAxfQ=="),
    get(M, page_token="x"),
    *[get(f"{W}/versions", filter_string=text, name=f"version filter: {text}") for text in (
        "version = '1.0.0'", "version != '1.0.0'", "version > '1.0.0'", "version >= '1.1.0-rc.1'", "version < '1.1.0'", "version <= '1.1.0'",
        "version LIKE '1%'", "version > 'x'", "version='1.0.0' AND status = 'active'", "`version` = '1.0.0'", "status IN ('active')", "status = 'deleted'",
        "name = 'io.example/weather'", "name = 'x version y'", "created_at > 5", "tags.k = 'v'", "source = 'x'", "version IN ('1.0.0')", "version = 1",
    )],
    *[get(f"{W}/versions", order_by=order, name=f"version order: {order}") for order in (
        "`version` DESC", "`version` ASC", "version DESC", "created_at DESC", ["`version` DESC", "created_at"], "name",
    )],
    get(f"{W}/versions", max_results=2),
    get(f"{W}/versions", max_results=2, page_token="eyJvZmZzZXQiOiAyfQ=="),
    *[get(f"{M}/endpoints", filter_string=text, order_by="created_at", name=f"endpoint filter: {text}") for text in (
        "server_name = 'io.example/weather'", "server_name IN ('io.example/weather')", "transport_type = 'sse'", "status = 'active'", "status != 'draft'",
        "created_at > 5 AND server_name LIKE 'io%'", "url = 'x'", "tags.a = 'b'",
    )],
    *[get(f"{M}/endpoints", order_by=order, name=f"endpoint order: {order}") for order in ("created_at DESC", "server_name", "url")],
    get(f"{M}/endpoints", max_results=1, order_by="created_at"),
]  # fmt: skip

_END = [
    send("DELETE", f"{W}/versions/1.0.0", name="delete an active version"),
    send("DELETE", f"{W}/versions/1.1.0"),
    send("DELETE", f"{W}/versions/1.1.0", name="delete that version again"),
    get(f"{W}/versions/1.1.0", name="a deleted version"),
    post(f"{W}/aliases", {"alias": "x", "version": "1.1.0"}, name="an alias for a deleted version"),
    post(f"{W}/endpoints", {"url": "u", "server_version": "1.1.0"}, name="an endpoint for a deleted version"),
    send("DELETE", f"{W}/aliases/next"),
    send("DELETE", f"{W}/endpoints/$latest"),
    send("DELETE", W, name="delete a server with active versions"),
    send("DELETE", f"{M}/io.example/bare"),
    send("DELETE", f"{M}/io.example/bare", name="delete that server again"),
    get(M, name="what is left"),
    get(f"{M}/endpoints", order_by="created_at", name="which endpoints are left"),
]

CASES = _SERVERS + _VERSIONS + _NAMES + _ENDPOINTS + _SEARCHES + _END
