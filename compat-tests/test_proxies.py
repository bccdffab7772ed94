"""A server behind a real nginx: with a prefix that the server has, too, and with one that nginx takes away. And whom a
server answers at all: hosts, pages of other sites, health probes."""

from __future__ import annotations

import uuid

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from support.nginx import Nginx

PREFIX = "/p"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """Starts nginx in front of a server: `proxy(server_url, locations)`."""
    started: list[Nginx] = []

    def start(server_url: str, locations: str) -> Nginx:
        started.append(Nginx.start(tmp_path_factory.mktemp("nginx"), server_url, locations))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="module")
def below_prefix(start_server, backend, target, proxy):
    """The URL of a server with a prefix behind nginx."""
    server = start_server(target, backend, "--static-prefix", PREFIX)
    return proxy(server.url, "location / { proxy_pass http://server; }").url


@pytest.fixture(scope="module")
def bare(start_server, backend, target):
    """A server without a prefix."""
    return start_server(target, backend)


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Points the client library at a URL: `at(url)`."""
    import mlflow

    monkeypatch.chdir(tmp_path)

    def point(url: str):
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(None)
        mlflow.set_experiment(f"proxied-{uuid.uuid4().hex[:8]}")
        return mlflow

    yield point
    while mlflow.active_run():
        mlflow.end_run()


def use(mlflow) -> None:
    """What a client does: a run with an artifact, and a version made of it."""
    with mlflow.start_run() as run:
        mlflow.log_metrics({"acc": 0.5})
        mlflow.log_params({"lr": 0.1})
        mlflow.log_text("found", "notes/a b.txt")
    client = mlflow.MlflowClient()
    read = client.get_run(run.info.run_id)
    assert (read.data.metrics, read.data.params) == ({"acc": 0.5}, {"lr": "0.1"})
    assert mlflow.artifacts.load_text(f"{read.info.artifact_uri}/notes/a b.txt") == "found"
    assert [file.path for file in client.list_artifacts(run.info.run_id, "notes")] == ["notes/a b.txt"]
    name = f"model-{run.info.run_id}"
    client.create_registered_model(name)
    version = client.create_model_version(name, f"runs:/{run.info.run_id}/notes", run.info.run_id)
    assert client.get_model_version(name, version.version).run_id == run.info.run_id


def spans_of(mlflow) -> list[tuple[str, str]]:
    """Makes a trace, and returns where the server has its spans, with their names."""
    with mlflow.start_span("outer"), mlflow.start_span("inner"):
        pass
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    location = trace.info.tags["mlflow.trace.spansLocation"]
    return [(location, span.name) for span in trace.data.spans]


IN_DATABASE = [("TRACKING_STORE", "outer"), ("TRACKING_STORE", "inner")]


def test_the_client_works_below_a_prefix(at, below_prefix):
    mlflow = at(below_prefix + PREFIX)
    use(mlflow)
    # Where the server does not take them the client leaves them in a file.
    assert spans_of(mlflow) == IN_DATABASE


@pytest.mark.parametrize(("location", "to"), [("/mlflow", "/"), ("/mlflow/", "/"), ("/deep/down", "/"), ("/", "")])
def test_the_client_works_where_nginx_takes_the_prefix_away(at, bare, proxy, target, location, to):
    url = proxy(bare.url, f"location {location} {{ proxy_pass http://server{to}; }}").url
    mlflow = at(url + location.rstrip("/"))
    use(mlflow)
    # Two slashes at the start, with which stock does not know the address of spans.
    leaves_slash = to and not location.endswith("/")
    if target != "stock" or not leaves_slash:
        assert spans_of(mlflow) == IN_DATABASE


def test_slashes_at_the_start_are_one(bare):
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    want = requests.get(bare.url + path, timeout=60).json()
    for slashes in ("/", "//", "///"):
        answer = requests.get(bare.url + slashes + path, timeout=60, allow_redirects=False)
        assert (answer.status_code, answer.json()) == (200, want), slashes
    # Further in they are many, and lead to the address that was meant.
    answer = requests.get(f"{bare.url}/api//2.0/mlflow/experiments/get", timeout=60, allow_redirects=False)
    assert answer.status_code == 308
    # What belongs to the security rules does so with slashes, too.
    headers = {"Origin": "https://evil.example.com"}
    answer = requests.post(f"{bare.url}//api/2.0/mlflow/experiments/create", json={"name": "x"}, headers=headers, timeout=60)
    assert answer.status_code == 403


OWN = {"/v1/traces", "/v1/traces/", f"{PREFIX}/v1/traces/"}


@pytest.mark.parametrize("path", [f"{PREFIX}/v1/traces", *sorted(OWN)])
def test_exporters_work_below_a_prefix(at, below_prefix, target, path):
    if target == "stock" and path in OWN:
        pytest.skip("stock has one address only")
    mlflow = at(below_prefix + PREFIX)
    experiment = mlflow.get_experiment_by_name(mlflow.set_experiment(f"otel-{uuid.uuid4().hex[:8]}").name).experiment_id
    exporter = OTLPSpanExporter(below_prefix + path, headers={"x-mlflow-experiment-id": experiment})
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("exported"):
        pass
    provider.shutdown()
    (trace,) = mlflow.search_traces(locations=[experiment], return_type="list")
    assert [span.name for span in trace.data.spans] == ["exported"]


def test_probes_are_answered_in_both_places(below_prefix, bare, target):
    if target == "stock":
        pytest.skip("stock answers below the prefix only, and knows no /ready")
    for base in (below_prefix, below_prefix + PREFIX, bare.url):
        answers = [requests.get(base + path, timeout=60) for path in ("/health", "/version", "/ready")]
        assert [(answer.status_code, answer.text) for answer in answers] == [(200, "OK"), (200, "3.17.2"), (200, "OK")], base
    # Whatever host is asked for: probes name addresses.
    answer = requests.get(f"{below_prefix}/ready", headers={"Host": "evil.example.com"}, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/x-protobuf", "identity"), ("application/protobuf", None), ("application/x-protobuf; charset=utf-8", None),
        ("application/x-protobuf;charset=UTF-8", "Identity"),
    ],
)  # fmt: skip
def test_what_exporters_say_of_their_bodies(at, bare, target, content_type, encoding):
    if target == "stock" and (encoding or content_type == "application/protobuf"):
        pytest.skip("stock knows neither")
    from test_traces import export

    mlflow = at(bare.url)
    experiment = mlflow.set_experiment(f"forms-{uuid.uuid4().hex[:8]}").experiment_id
    headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
    answer = export(bare.url, experiment, uuid.uuid4().bytes, ["root"], **headers)
    assert answer.status_code == 200, answer.text
    assert len(mlflow.search_traces(locations=[experiment], return_type="list")) == 1


@pytest.fixture(scope="module")
def strict(start_server, target):
    """A server for certain hosts and pages."""
    flags = ["--allowed-hosts", "mlflow.corp.com,10.*,127.0.0.1", "--cors-allowed-origins", "https://*.corp.com,http://10.*"]
    return start_server(target, "sqlite", *flags)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mlflow.corp.com", 200), ("mlflow.corp.com:5000", 200), ("MLflow.Corp.COM:443", 200), ("10.1.2.3:5000", 200),
        ("10.evil.com", 403), ("10.1.2.3.evil.com:5000", 403), ("mlflow.corp.com.evil.com", 403), ("localhost", 403),
    ],
)  # fmt: skip
def test_hosts(strict, target, host, status):
    if target == "stock":
        pytest.skip("stock compares texts")
    answer = requests.get(f"{strict.url}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": host}, timeout=60)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://app.corp.com", True), ("http://10.1.2.3:3000", True), ("http://localhost:3000", True),
        ("https://localhost:3000", True), ("https://evil.com", False), ("http://10.evil.com", False), ("null", False),
    ],
)  # fmt: skip
def test_a_browser_may_send_what_it_is_told_it_may(strict, target, origin, is_allowed):
    if target == "stock":
        pytest.skip("stock tells browsers less than it lets them do")
    url = f"{strict.url}/api/2.0/mlflow/experiments/search"
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    told = requests.options(url, headers=asked, timeout=60)
    sent = requests.post(url, json={"max_results": 1}, headers={"Origin": origin}, timeout=60)
    assert (told.ok, sent.ok) == (is_allowed, is_allowed)
    for answer in (told, sent):
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if is_allowed else None)
