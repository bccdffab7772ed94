"""A request of the differential test, and short ways to write one."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Case:
    """A request. `$name` in path, query and body stands for what an earlier answer called so (see `save`)."""

    name: str
    method: str
    path: str
    query: Any = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Name → path in the JSON answer, like {"run": "run.info.run_id"}.
    save: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


def get(path: str, /, name: str = "", headers: dict | None = None, save: dict | None = None, **query: Any) -> Case:
    """A GET of the tracking API; a list as a value repeats the parameter."""
    return Case(name or _label("GET", path, query), "GET", _api(path), query, None, headers or {}, save or {})


def post(path: str, body: Any = None, /, name: str = "", headers: dict | None = None, **save: str) -> Case:
    """A POST of JSON to the tracking API."""
    return Case(name or _label("POST", path, body), "POST", _api(path), None, body, JSON | (headers or {}), save)


def send(method: str, path: str, body: Any = None, /, name: str = "", headers: dict | None = None, **save: str) -> Case:
    """Any other method with JSON."""
    return Case(name or _label(method, path, body), method, _api(path), None, body, JSON | (headers or {}), save)


def raw(
    method: str, path: str, body: bytes | None = None, /, name: str = "", headers: dict | None = None, **save: str
) -> Case:
    """A request as it stands: the body's bytes, and no header that is not given."""
    return Case(name or _label(method, path, body), method, _api(path), None, body, headers or {}, save)


def _api(path: str) -> str:
    return path if path.startswith("/") else f"/api/2.0/mlflow/{path}"


def _label(method: str, path: str, content: Any) -> str:
    text = "" if not content else json.dumps(content, ensure_ascii=False, default=str)
    if len(text) > 90:
        text = text[:87] + "..."
    return f"{method} {path} {text}".strip()


def broken_variants(path: str, body: dict[str, Any], method: str = "POST") -> list[Case]:
    """The same request with each field left out, null, and of every wrong type, and some that are unknown."""
    cases = [
        send(method, path, {}, name=f"{method} {path} empty"),
        send(method, path, body | {"no_such_field": {"a": [1]}}, name=f"{method} {path} unknown field"),
    ]
    for key in body:
        rest = {k: v for k, v in body.items() if k != key}
        cases.append(send(method, path, rest, name=f"{method} {path} without {key}"))
        for label, wrong in {
            "null": None, "int": 5, "float": 1.5, "bool": True, "empty string": "", "string": "wrong",
            "list": [], "list of int": [1], "object": {}, "object with x": {"x": 1},
        }.items():  # fmt: skip
            cases.append(send(method, path, rest | {key: wrong}, name=f"{method} {path} {key} as {label}"))
    return cases


def fill(value: Any, names: dict[str, str]) -> Any:
    """Replaces `$name` by what was saved under that name."""
    if isinstance(value, str):
        return re.sub(r"\$(\w+)", lambda found: str(names.get(found[1], found[0])), value)
    if isinstance(value, dict):
        return {fill(k, names): fill(v, names) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [fill(v, names) for v in value]
    return value


def play(case: Case, server_url: str, names: dict[str, str]) -> Answer:
    """Sends a case to a server and saves what the case saves from the answer."""
    host, slash, prefix = server_url.removeprefix("http://").partition("/")
    path = slash + prefix + quote(fill(case.path, names), safe="/%?=&:~,'")
    if case.query:
        query = fill(case.query, names)
        path += "?" + (query if isinstance(query, str) else urlencode(query, doseq=True))
    body = case.body
    if isinstance(body, bytes):
        body = fill(body.decode("latin-1"), names).encode("latin-1")
    elif body is not None:
        body = json.dumps(fill(body, names)).encode()
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.putrequest(case.method, path, skip_host="Host" in case.headers, skip_accept_encoding=True)
        for key, value in fill(case.headers, names).items():
            connection.putheader(key, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        headers: dict[str, str] = {}
        for key, value in response.getheaders():
            key = key.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        answer = Answer(response.status, headers, response.read())
    finally:
        connection.close()
    for name, where in case.save.items():
        value: Any = None
        try:
            value = json.loads(answer.body)
            for step in where.split("."):
                value = value[int(step)] if isinstance(value, list) else value[step]
        except (ValueError, KeyError, IndexError, TypeError):
            value = f"unsaved-{name}"
        names[name] = value
    return answer
