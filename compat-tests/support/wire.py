"""Requests as they go over the wire, for what no client library would send."""

from __future__ import annotations

import contextlib
import http.client
from urllib.parse import urlsplit

#: Where the artifact proxy has its files.
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1024 * 1024


def ask(server, method, path, body=None, headers=None, timeout=60):
    """One request whose path goes out as it is; returns status, headers with lower-case names, body."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=timeout)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_accept_encoding=True)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def memory_mib(server) -> float:
    """The most memory that a server has had in use."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(status.read().split("VmHWM:")[1].split()[0]) / 1024
