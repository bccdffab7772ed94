"""Bodies that swell, answers that nobody reads, clients that are slow: memory stays bounded, and the others are served.

The full number and size of bodies takes minutes: it is sent where LARGE is set.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import socket
import threading
import time
import zlib
from collections import Counter
from urllib.parse import urlsplit

import pytest
from support.load import call, create_runs
from support.probe import Probe, p99_ms
from support.wire import MIB, ask, memory_mib

LARGE = bool(os.environ.get("LARGE"))
#: How many of each body are sent at a time, and how large they are.
COUNT, SIZE = (64, 63 * MIB) if LARGE else (6, 6 * MIB)
#: What the server may use for bodies and answers.
LIMIT_MIB = 256
JSON = {"Content-Type": "application/json"}
REST = "/api/2.0/mlflow"
OTLP = {"x-mlflow-experiment-id": "0", "Content-Type": "application/x-protobuf"}
OTLP_JSON = OTLP | {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def bounded(start_server, target):
    """A server with little memory for bodies."""
    if target == "stock":
        pytest.skip("stock has no such limits")
    return start_server(target, "sqlite", "--memory-limit", str(LIMIT_MIB), "--slow-client-timeout", "3")


@pytest.fixture(scope="module")
def run(bounded) -> str:
    return create_runs(bounded.url, 1, "bodies")[0]


def fill(start: str, item: str, end: str, size: int = SIZE) -> bytes:
    """JSON of about `size` bytes: items between a start and an end."""
    items = ",".join([item] * (size // (len(item) + 1)))
    return f"{start}{items}{end}".encode()


def packed(body: bytes) -> bytes:
    """What a body is that was made to grow."""
    return gzip.compress(body, 9)


def worst(kind: str, run: str) -> tuple[str, dict, bytes]:
    """Path, headers and body of a request that was made to take the machine."""
    pack = {"Content-Encoding": "gzip"}
    empty_spans = b"\x0a\x06\x12\x04\x12\x00\x12\x00"
    metric = '{"key": "m", "value": 1.5, "timestamp": 1700000000000, "step": 1}'
    return {
        "gzip of zeros": lambda: ("/v1/traces", OTLP | pack, packed(bytes(1024 * MIB if LARGE else 160 * MIB))),
        "gzip of empty resources": lambda: ("/v1/traces", OTLP | pack, packed(b"\x0a\x00" * (100 if LARGE else 40) * 10**6)),
        "gzip of empty resources in JSON": lambda: (
            "/v1/traces", OTLP_JSON | pack, packed(fill('{"resourceSpans": [', "{}", "]}", 10 * SIZE)),
        ),
        "empty resources": lambda: ("/v1/traces", OTLP, b"\x0a\x00" * (SIZE // 2)),
        "empty spans": lambda: ("/v1/traces", OTLP, empty_spans * (SIZE // len(empty_spans))),
        "empty resources in JSON": lambda: ("/v1/traces", OTLP_JSON, fill('{"resourceSpans": [', "{}", "]}")),
        "empty metrics": lambda: (f"{REST}/runs/log-batch", JSON, fill(f'{{"run_id": "{run}", "metrics": [', "{}", "]}")),
        "metrics": lambda: (f"{REST}/runs/log-batch", JSON, fill(f'{{"run_id": "{run}", "metrics": [', metric, "]}")),
        "lists in lists": lambda: (f"{REST}/runs/log-batch", JSON, fill("[", "[]", "]")),
        "deep lists": lambda: (f"{REST}/runs/log-batch", JSON, b"[" * SIZE),
        "one text": lambda: (f"{REST}/runs/set-tag", JSON, fill(f'{{"run_id": "{run}", "key": "k", "value": "', "x" * 99, '"}')),
        "one key": lambda: (f"{REST}/runs/set-tag", JSON, fill(f'{{"run_id": "{run}", "value": "v", "key": "', "?" * 99, '"}')),
        "a text of JSON": lambda: (f"{REST}/runs/log-batch", JSON, json.dumps(fill("[", "{}", "]").decode()).encode()),
        "assessments": lambda: (
            "/api/3.0/mlflow/traces", JSON, fill('{"trace": {"trace_info": {"trace_id": "t", "assessments": [', "{}", "]}}}"),
        ),
        "records": lambda: (
            "/api/3.0/mlflow/datasets/d-1/records", JSON,
            json.dumps({"records": fill("[", '{"a":[]}', "]", SIZE // 2).decode()}).encode(),
        ),
        "inputs": lambda: (f"{REST}/runs/log-inputs", JSON, fill(f'{{"run_id": "{run}", "datasets": [', "{}", "]}")),
        "variables": lambda: ("/graphql", JSON, fill('{"query": "{test{output}}", "variables": {"a": [', "{}", "]}}")),
    }[kind]()  # fmt: skip


KINDS = [
    "gzip of zeros", "gzip of empty resources", "gzip of empty resources in JSON", "empty resources", "empty spans",
    "empty resources in JSON", "empty metrics", "metrics", "lists in lists", "deep lists", "one text", "one key",
    "a text of JSON", "assessments", "records", "inputs", "variables",
]  # fmt: skip


def send_all(server, path, headers, body, count: int) -> Counter:
    """Sends a body many times at once, on a connection each, and counts the answers; 0 is a connection that was cut."""
    statuses: Counter = Counter()

    def send():
        try:
            status = ask(server, "POST", path, body, headers, timeout=300)[0]
        except (OSError, http.client.HTTPException):
            # The answer came before the body was sent, and the client was still sending.
            status = 0
        statuses[status] += 1

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def metric_probe(server, run) -> Probe:
    body = json.dumps({"run_id": run, "key": "probe", "value": 1, "timestamp": 1})
    return Probe(server.url, "POST", f"{REST}/runs/log-metric", body)


@pytest.mark.timeout(1800 if LARGE else 120)
@pytest.mark.parametrize("kind", KINDS)
def test_no_body_takes_the_machine(bounded, run, kind, record_property):
    path, headers, body = worst(kind, run)
    with Probe(bounded.url, "GET", "/health") as health, metric_probe(bounded, run) as metric:
        time.sleep(2)
        health.quiet()
        metric.quiet()
        statuses = send_all(bounded, path, headers, body, COUNT)
    measured = {
        "statuses": dict(statuses), "rss_mib": round(memory_mib(bounded)),
        "health_p99_ms": [round(p99_ms(times), 1) for times in (health.quiet_times, health.times)],
        "metric_p99_ms": [round(p99_ms(times), 1) for times in (metric.quiet_times, metric.times)],
    }  # fmt: skip
    print(kind, measured)
    # Refused for what it is, or sent away while others are at it; what is only large may also be taken.
    taken = {200} if kind in ("one text", "records") else set()
    assert set(statuses) <= {0, 400, 404, 413, 503} | taken, measured
    assert statuses[0] <= COUNT // 2, measured
    assert memory_mib(bounded) < 512, measured
    # Wide enough for a busy machine; the worker that reads a body itself is away for seconds.
    assert p99_ms(health.times) < 2000, measured
    assert metric.failures == health.failures == 0, measured


def spans(count: int, text: str) -> bytes:
    """An export of spans of one trace each, with a text that does not repeat."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    scope = resource.scope_spans.add()
    for number in range(count):
        span = scope.spans.add(
            trace_id=(number // 100 + 1).to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"), name="s",
            start_time_unix_nano=1_700_000_000_000_000_000, end_time_unix_nano=1_700_000_000_000_000_001,
        )  # fmt: skip
        if number % 100:
            span.parent_span_id = (number // 100 * 100 + 1).to_bytes(8, "big")
        attribute = span.attributes.add(key="mlflow.spanInputs")
        attribute.value.string_value = json.dumps(f"{number} {text}")
    return request.SerializeToString()


@pytest.mark.timeout(900 if LARGE else 180)
def test_large_exports_are_taken(start_server, target):
    size_mib = 76 if LARGE else 20
    body = spans(2000, os.urandom(size_mib * MIB // 4000).hex())
    assert len(body) > size_mib * MIB
    server = start_server(target, "sqlite")
    for headers, content in [(OTLP, body), (OTLP | {"Content-Encoding": "gzip"}, gzip.compress(body, 1))]:
        status, _, answer = ask(server, "POST", "/v1/traces", content, headers, timeout=300)
        assert status == 200, answer[:500]
    status, found = call(server.url, "GET", "traces?experiment_ids=0&max_results=100")
    assert status == 200 and len(found["traces"]) == 20


@pytest.mark.timeout(900 if LARGE else 180)
def test_large_lists_of_records_are_taken(start_server, target):
    size_mib, count = (80, 20_000) if LARGE else (20, 5000)
    server = start_server(target, "sqlite")
    path = "/api/3.0/mlflow/datasets"
    made = ask(server, "POST", f"{path}/create", json.dumps({"name": "d", "experiment_ids": ["0"]}).encode(), JSON)
    dataset = json.loads(made[2])["dataset"]["dataset_id"]
    text = os.urandom(size_mib * MIB // count // 2).hex()
    records = [{"inputs": {"question": f"{i} {text}"}, "expectations": {"answer": "a"}} for i in range(count)]
    body = json.dumps({"records": json.dumps(records)}).encode()
    assert len(body) > size_mib * MIB
    status, _, answer = ask(server, "POST", f"{path}/{dataset}/records", body, JSON, timeout=600)
    assert status == 200 and json.loads(answer)["inserted_count"] == count, answer[:500]


def test_refusals_name_the_limit_and_its_setting(start_server, target):
    if target == "stock":
        pytest.skip("stock has no such limits")
    server = start_server(target, "sqlite", "--json-limit", "4", "--max-elements", "100000")
    run = create_runs(server.url, 1)[0]
    batch = f"{REST}/runs/log-batch"
    tags = fill(f'{{"run_id": "{run}", "nothing": [', "1", "]}", 2 * 150_000)
    many = fill('{"resourceSpans": [', "{}", "]}", 20_000)
    for path, headers, body, status, words in [
        (batch, JSON, bytes(4 * MIB + 1), 413, ["4 MiB", "--json-limit", "FERROFLOW_JSON_LIMIT"]),
        (batch, JSON, tags, 400, ["100000", "--max-elements", "FERROFLOW_MAX_ELEMENTS"]),
        (batch, JSON, fill("[", "[]", "]", 100_000), 400, ["200", "--max-elements"]),
        (batch, JSON, fill(f'{{"run_id": "{run}", "metrics": [', "{}", "]}", 60_000), 400, ["at most 1000 metrics. Got 20000"]),
        ("/v1/traces", OTLP, b"\x0a\x00" * 20_000, 400, ["2000 resources", "--max-elements"]),
        ("/v1/traces", OTLP_JSON, many, 400, ["2000 resources", "--max-elements"]),
        ("/v1/traces", OTLP | {"Content-Encoding": "gzip"}, packed(bytes(5 * MIB)), 413, ["4 MiB", "--json-limit"]),
        ("/v1/traces", OTLP | {"Content-Encoding": "deflate"}, zlib.compress(bytes(5 * MIB)), 413, ["--json-limit"]),
    ]:  # fmt: skip
        got, _, answer = ask(server, "POST", path, body, headers)
        assert got == status, (words, answer[:500])
        assert all(word in answer.decode() for word in words), (words, answer[:500])


def connect(server) -> socket.socket:
    host, port = urlsplit(server.url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_a_body_that_trickles_is_cut(bounded, run):
    with contextlib.closing(connect(bounded)) as client:
        head = f"POST {REST}/runs/log-batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
        start = time.monotonic()
        answer = b""
        client.settimeout(0.2)
        while time.monotonic() - start < 25 and b"\r\n\r\n" not in answer:
            with contextlib.suppress(TimeoutError):
                part = client.recv(4096)
                answer += part
                if not part:
                    break
            with contextlib.suppress(OSError):
                client.send(b" ")
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"--slow-client-timeout" in answer or b"\r\n\r\n" in answer
        assert 2.5 < time.monotonic() - start < 25


def test_a_connection_may_be_idle_before_its_first_byte(bounded):
    with contextlib.closing(connect(bounded)) as client:
        client.settimeout(7)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("requests_before", [0, 1])
def test_a_head_that_trickles_is_cut(bounded, requests_before):
    with contextlib.closing(connect(bounded)) as client:
        for _ in range(requests_before):
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        start = time.monotonic()
        client.sendall(b"GET /health HTTP/1.1\r\nHost:")
        client.settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert client.recv(4096)[:12] in (b"", b"HTTP/1.1 408")
        assert 4 < time.monotonic() - start < 20


def test_answers_that_nobody_reads_are_bounded(bounded):
    """Many large answers at once: all that are read are whole, and those who do not read are cut."""
    url, runs = bounded.url, (4000 if LARGE else 600)
    status, made = call(url, "POST", "experiments/create", {"name": "wide"})
    tags = [{"key": f"t{i}", "value": "v" * 400} for i in range(20)]
    for _ in range(runs):
        body = {"experiment_id": made["experiment_id"], "tags": tags}
        assert call(url, "POST", "runs/create", body)[0] == 200
    body = json.dumps({"experiment_ids": [made["experiment_id"]], "max_results": 50_000}).encode()
    request = (
        f"POST {REST}/runs/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    idle = []
    for _ in range(30):
        client = connect(bounded)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request)
        idle.append(client)
    try:
        with Probe(bounded.url, "GET", "/health") as health:
            time.sleep(6)
            deadline = time.monotonic() + 40
            status = 503
            while status == 503 and time.monotonic() < deadline:
                status, headers, answer = ask(bounded, "POST", f"{REST}/runs/search", body, JSON)
                assert status in (200, 503), answer[:300]
        assert status == 200 and len(json.loads(answer)["runs"]) == runs
        assert int(headers["content-length"]) == len(answer)
        assert memory_mib(bounded) < 512
        assert p99_ms(health.times) < 2000
    finally:
        for client in idle:
            client.close()
