"""The log: what is worth a line, what must not stand in it, and that nobody waits for its reader."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import requests
from support import servers


def lines(server) -> list[dict]:
    """The lines of a log in JSON."""
    return [json.loads(line) for line in server.log.read_text().splitlines()]


@pytest.fixture
def server(start_server):
    """A server that logs in JSON."""
    return start_server("ferroflow", "sqlite", "--log-format", "json", "--expose-prometheus", "x", "--static-prefix", "/p")


def test_probes_are_no_news(server):
    root = server.url.removesuffix("/p")
    for url in (f"{root}/health", f"{server.url}/health", f"{root}/ready", f"{root}/version", f"{root}/metrics"):
        assert requests.get(url, timeout=60).ok
    assert requests.get(f"{server.url}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=60).ok
    assert requests.post(f"{server.url}/api/3.0/mlflow/traces/metrics", json={}, timeout=60).status_code == 400
    deadline = time.monotonic() + 30
    while not (routes := [line["http.route"] for line in lines(server) if "http.route" in line])[1:]:
        assert time.monotonic() < deadline
    assert routes == ["/p/api/2.0/mlflow/experiments/get", "/p/api/3.0/mlflow/traces/metrics"]
    shown = requests.get(f"{root}/metrics", timeout=60).text
    assert 'route="/p/api/3.0/mlflow/traces/metrics"' in shown and "/health" not in shown


def test_what_is_no_request_is_no_error(server):
    address = urlsplit(server.url)
    for sent in (
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /p/api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"POST /p/api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /p/api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{",
        b"GET /p/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        # The server may have closed the connection before all is sent.
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection, suppress(ConnectionError):
            connection.sendall(sent)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert requests.post(f"{server.url}/api/2.0/mlflow/runs/create", data=b"{", timeout=60).status_code == 400
    server.terminate()
    assert [line for line in lines(server) if line["level"] in ("WARN", "ERROR")] == []


@contextmanager
def piped(folder):
    """A server whose log goes to a pipe: its URL, the process and the pipe's other end."""
    server = servers.start("ferroflow", folder, f"sqlite:///{folder}/m.db", "--expose-prometheus", "x", boot=False)
    process = subprocess.Popen(
        server.command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=server.environment, cwd=folder
    )
    try:
        deadline = time.monotonic() + 90
        while not server.healthy():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield server.url, process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def lost(url: str) -> int:
    """How many lines `/metrics` says were lost."""
    text = requests.get(f"{url}/metrics", timeout=60).text
    (value,) = [line.split()[1] for line in text.splitlines() if line.startswith("ferroflow_log_lines_lost_total ")]
    return int(float(value))


def ask_at_once(url: str, times: int) -> None:
    """Sends so many requests, each of which is a long line of the log, and waits until all are answered."""
    address = urlsplit(url)
    request = f"GET /api/2.0/mlflow/experiments/get?experiment_id=0 HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {'x' * 128}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=120) as connection:
        sending = threading.Thread(target=connection.sendall, args=(request.encode() * times,))
        sending.start()
        answered, rest = 0, b""
        while answered < times:
            piece = connection.recv(1 << 20)
            assert piece, f"the connection ended after {answered} answers"
            answered += (rest + piece).count(b"HTTP/1.1 200 OK")
            rest = piece[-14:]
        sending.join()


def test_a_reader_of_the_log_that_stalls_stops_nothing(tmp_path):
    with piped(tmp_path) as (url, process):
        ask_at_once(url, 1_000)
        assert lost(url) == 0
        # Nobody reads the pipe, which takes 64 KiB; then what the server keeps is full.
        deadline = time.monotonic() + 240
        while lost(url) == 0:
            assert time.monotonic() < deadline
            ask_at_once(url, 5_000)
        os.set_blocking(process.stderr.fileno(), False)
        read, told = b"", 0
        # The line of a request may come after its answer, and be lost after it.
        while told == 0 or told != lost(url):
            assert time.monotonic() < deadline, (told, lost(url))
            read += process.stderr.read(1 << 20) or b""
            whole, _, read = read.rpartition(b"\n")
            told += sum(map(int, re.findall(rb"lost (\d+) lines of the log", whole)))
        # It ends although nobody reads the rest.
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("password", ["p@secret", "p@secret:x", "p@secret/x", "p@secret?x", "p@secret?secret=x"])
def test_no_part_of_a_password_shows(tmp_path, password):
    uri = f"postgresql://user:{password}@127.0.0.1:1/db"
    for command in (["server", "--port", "0", "--backend-store-uri", uri], ["db", "check", uri], ["db", "upgrade", uri]):
        done = subprocess.run(
            [str(servers.ferroflow_binary()), *command], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        assert done.returncode != 0
        assert "secret" not in done.stdout + done.stderr and "%40" in done.stderr, done.stderr
