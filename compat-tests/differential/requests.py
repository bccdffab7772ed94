"""Cases about reading requests as such: content types, bodies that are not what they should be, routes, methods."""

from .case import JSON, broken_variants, get, post, raw

_CREATE = "experiments/create"
_TYPES = [
    "application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "APPLICATION/JSON", "text/plain",
    "application/x-www-form-urlencoded", "multipart/form-data", "application/octet-stream", "application/jsonx", "text/json", "",
    "application/vnd.api+json", "application/json, text/plain",
]  # fmt: skip
_BODIES = {
    "empty": b"", "space": b" ", "null": b"null", "true": b"true", "number": b"5", "text": b'"name"', "list": b"[]",
    "list of object": b'[{"name": "x"}]', "broken": b'{"name": ', "trailing comma": b'{"name": "x",}',
    "trailing text": b'{"name": "trailing"} x', "single quotes": b"{'name': 'x'}", "not utf-8": b'{"name": "\xff\xfe"}',
    "double encoded": b'"{\\"name\\": \\"double encoded\\"}"', "double encoded garbage": b'"{name"', "double encoded list": b'"[]"',
    "duplicate key": b'{"name": "dup a", "name": "dup b"}', "both spellings": b'{"name": "spell", "artifact_location": "s3://a/b", "artifactLocation": "s3://c/d"}',
    "lone surrogate": b'{"name": "\\ud800"}', "surrogate pair": b'{"name": "pair \\ud83d\\ude00"}', "nul escape": b'{"name": "nul\\u0000"}',
    "byte order mark": b'\xef\xbb\xbf{"name": "bom"}', "deep": b'{"x": ' + b"[" * 200 + b"]" * 200 + b', "name": "deep"}',
    "big number": b'{"name": "big", "unknown": 123456789012345678901234567890}', "NaN field": b'{"name": "nan", "unknown": NaN}',
    "comment": b'{"name": "c" /* comment */}', "control character": b'{"name": "a\nb"}', "form": b"name=form",
}  # fmt: skip

CASES = [
    *[raw("POST", _CREATE, b'{"name": "type %d"}' % i, name=f"content type {kind!r}", headers={"Content-Type": kind}) for i, kind in enumerate(_TYPES)],
    raw("POST", _CREATE, b'{"name": "no type"}', name="no content type"),
    raw("POST", _CREATE, name="no content type, no body"),
    raw("POST", _CREATE, name="content type but no body", headers=JSON),
    *[raw("POST", _CREATE, body, name=f"body: {label}", headers=JSON) for label, body in _BODIES.items()],
    *broken_variants(_CREATE, {"name": "broken one", "artifact_location": "s3://x/y", "tags": []}),
    # Routes and methods.
    *[raw(method, "experiments/create", name=f"{method} on a POST route") for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")],
    *[raw(method, "experiments/get", name=f"{method} on a GET route") for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")],
    raw("OPTIONS", "experiments/search", name="OPTIONS on a GET and POST route"),
    raw("HEAD", "experiments/get?experiment_id=0", name="HEAD with a query"),
    *[
        raw(method, path)
        for method in ("GET", "POST")
        for path in (
            "no/such/route", "experiments", "experiments/", "experiments/get/", "experiments//get", "EXPERIMENTS/GET", "/api/2.0/mlflow", "/api",
            "/api/", "/api/1.0/mlflow/experiments/get", "/api/3.0/mlflow/experiments/get", "/mlflow/experiments/get", "/ajax-api/2.0/mlflow/nope",
            "/experiments/1", "/static-files/nosuch.js", "/static-files/", "/static-files/../x", "/favicon.ico", "/metrics", "/robots.txt",
            "/ajax-api/2.0/mlflow/users/current", "/api/2.0/preview/mlflow/experiments/get?experiment_id=0",
            "/ajax-api/2.0/preview/mlflow/experiments/get?experiment_id=0", "/api/2.0/mlflow/experiments/get%2fx", "/api/2.0/mlflow/experiments%2fget",
        )
    ],
    # What the client and the UI ask first.
    get("/health"), get("/version"), raw("POST", "/health"), raw("POST", "/version"), raw("HEAD", "/health"), raw("HEAD", "/version"),
    get("/api/3.0/mlflow/server-info"), get("/ajax-api/3.0/mlflow/server-info"), raw("POST", "/api/3.0/mlflow/server-info"),
    get("/api/2.0/mlflow/server-info"), get("/ajax-api/3.0/mlflow/ui-telemetry"), post("/ajax-api/3.0/mlflow/ui-telemetry", {"records": []}),
    get("/api/3.0/mlflow/ui-telemetry"), get("/ajax-api/3.0/mlflow/assistant/config"), get("/ajax-api/3.0/mlflow/assistant/providers"),
    get("/ajax-api/2.0/mlflow/gateway-proxy", gateway_path="api/2.0/endpoints/"), get("/ajax-api/2.0/mlflow/gateway-proxy"),
    get("/ajax-api/2.0/mlflow/gateway-proxy", gateway_path="api/2.0/other"), get("/ajax-api/2.0/mlflow/gateway-proxy", gateway_path=""),
    get("/"), raw("HEAD", "/"), raw("POST", "/"), get("/index.html"), get("/static-files/manifest.json"), get("/static-files/favicon.ico"),
    raw("GET", "/static-files/index.html"), raw("HEAD", "/static-files/manifest.json"),
    # A workspace, which a server without them refuses before it looks at anything else.
    *[
        raw(method, path, name=f"{method} {path} of workspace {name!r}", headers={"X-MLFLOW-WORKSPACE": name})
        for name in ("team", "default", "not/a name")
        for method, path in (
            ("GET", "experiments/get?experiment_id=0"), ("POST", "runs/create"), ("OPTIONS", "experiments/get"), ("GET", "/health"), ("GET", "/"),
            ("GET", "/api/3.0/mlflow/server-info"), ("GET", "/api/2.0/mlflow/server-info"), ("GET", "/no/such/route"),
            ("GET", "/api/2.0/mlflow-artifacts/artifacts/x"), ("POST", "/graphql"),
        )
    ],
    raw("GET", "experiments/get?experiment_id=0", name="a workspace without a name", headers={"X-MLFLOW-WORKSPACE": " "}),
    raw("GET", "experiments/get?experiment_id=0", name="a workspace and a foreign host", headers={"X-MLFLOW-WORKSPACE": "w", "Host": "evil.com"}),
    raw("POST", "runs/create", name="a workspace and a foreign origin", headers={"X-MLFLOW-WORKSPACE": "w", "Origin": "http://evil.com"}),
    # Security: the Host header, the Origin header, CORS.
    *[
        raw("GET", "experiments/get?experiment_id=0", name=f"Host {host}", headers={"Host": host})
        for host in (
            "localhost", "localhost:5000", "LOCALHOST", "127.0.0.1:9", "[::1]:21000", "0.0.0.0:1", "10.0.0.5:5000", "192.168.1.9", "172.16.0.1", "172.31.0.1:80",
            "172.32.0.1", "fd00:1::1", "[fd00::1]:80", "myhost:5000", "evil.com", "localhost.evil.com", "evil-localhost", "127.0.0.1.evil.com", "10.evil.com",
            "192.168.evil.com", "", "127.0.0.2", "localhost:", "user@localhost",
        )
    ],
    *[raw("GET", path, name=f"evil Host on {path}", headers={"Host": "evil.com"}) for path in ("/health", "/version", "/", "/nope", "/static-files/manifest.json", "/metrics")],
    *[
        raw(method, path, body, name=f"Origin {origin} {method} {path}", headers={"Origin": origin} | (JSON if body else {}))
        for origin in (
            "http://localhost:3000", "http://localhost", "https://localhost:1", "http://127.0.0.1:5000", "http://[::1]:80", "http://evil.com", "null", "http://localhost.evil.com",
            "http://10.0.0.5", "", "http://LOCALHOST:80", "http://0.0.0.0:5000",
        )
        for method, path, body in (
            ("GET", "experiments/get?experiment_id=0", None), ("POST", "runs/search", b'{"experiment_ids": ["0"]}'),
            ("POST", "/ajax-api/2.0/mlflow/runs/search", b'{"experiment_ids": ["0"]}'),
            ("GET", "/health", None),
        )
    ],
    *[
        raw(method, path, b"{}", name=f"foreign Origin {method} {path}", headers=JSON | {"Origin": "http://evil.com"})
        for method, path in (
            ("POST", "/graphql"), ("PUT", "/api/2.0/mlflow-artifacts/artifacts/evil.txt"), ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/evil.txt"),
            ("PATCH", "/api/2.0/mlflow/logged-models/m-1"), ("POST", "/health"), ("POST", "/version"), ("POST", "/api/nope"), ("POST", "/ajax-api"), ("POST", "/get-artifact"),
            ("HEAD", "/api/2.0/mlflow/experiments/get"),
        )
    ],
    *[
        raw("OPTIONS", "runs/search", name=f"preflight {origin} {method} {wanted}", headers={
            "Origin": origin, "Access-Control-Request-Method": method, **({"Access-Control-Request-Headers": wanted} if wanted else {}),
        })
        for origin in ("http://localhost:3000", "http://evil.com", "http://127.0.0.1")
        for method in ("POST", "PATCH", "TRACE", "HEAD")
        for wanted in ("", "content-type, x-custom")
    ],
    raw("OPTIONS", "no/such/route", name="preflight of no route", headers={"Origin": "http://localhost:1", "Access-Control-Request-Method": "GET"}),
    raw("OPTIONS", "runs/search", name="OPTIONS with Origin only", headers={"Origin": "http://localhost:1"}),
    raw("OPTIONS", "runs/search", name="OPTIONS with foreign Origin only", headers={"Origin": "http://evil.com"}),
]  # fmt: skip
