"""Fixtures: a Postgres cluster per session, servers per test module and database, a configured MLflow client.

`--target stock` runs the same tests against the stock server instead of ours, which shows that a test asks for
what MLflow does. `--databases sqlite` leaves Postgres out. `--behind-nginx` puts the servers below a prefix behind a
real nginx.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # The client's progress bars and model-dependency inference only cost time here.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_REQUIREMENTS_INFERENCE_RAISE_ERRORS": "false",
    # The client throws spans away when they end faster than it sends them, each in a request of its own.
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE": "20000",
}

from differential.leftovers import Leftovers  # noqa: E402
from support import nginx as nginxes  # noqa: E402
from support import servers  # noqa: E402
from support.garage import Garage  # noqa: E402
from support.odd import Odd  # noqa: E402
from support.postgres import Cluster  # noqa: E402
from support.s3 import SeaweedFS  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--target", choices=["ferroflow", "stock"], default="ferroflow", help="the server to test")
    parser.addoption("--databases", default="sqlite,postgres", help="the databases to test on")
    parser.addoption("--behind-nginx", action="store_true", help="test below a prefix, behind nginx")
    parser.addoption("--s3", choices=["seaweedfs", "garage"], default="seaweedfs", help="the S3 server to test with")


def pytest_configure(config):
    # A run that is told to end ends its servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.pluginmanager.register(Leftovers(below_prefix=config.getoption("--behind-nginx")))


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", metafunc.config.getoption("databases").split(","), scope="session")


def pytest_collection_modifyitems(items):
    """Keeps what shares a server in one worker of a parallel run."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        group = [item.path.name, str(params.get("backend", ""))]
        item.add_marker(pytest.mark.xdist_group("-".join(group)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the logs of the servers of a failed test."""
    report = yield
    if report.failed and "differential" not in item.path.name:
        for server in item.stash.get(_SERVERS, []):
            report.sections.append((f"log of {server.kind} at {server.url}", server.log_tail()))
    return report


_SERVERS = pytest.StashKey[list]()


@pytest.fixture(scope="session")
def postgres():
    """The Postgres cluster of this session."""
    cluster = Cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def s3(request, tmp_path_factory):
    """The S3 server of this session."""
    kind = {"seaweedfs": SeaweedFS, "garage": Garage}[request.config.getoption("s3")]
    server = kind.start(tmp_path_factory.mktemp(kind.kind))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_database(request, tmp_path_factory):
    """Makes an empty database of a kind and returns its URI."""
    folder = tmp_path_factory.mktemp("databases")
    numbers = itertools.count(1)

    def make(backend: str) -> str:
        if backend == "sqlite":
            return f"sqlite:///{folder}/{next(numbers)}.db"
        cluster = request.getfixturevalue("postgres")
        return cluster.url(cluster.create_database())

    return make


@pytest.fixture(scope="session")
def stock_database(request, tmp_path_factory, new_database):
    """Makes a copy of a database that the stock server has migrated, which takes it seconds, and returns its URI."""
    folder = tmp_path_factory.mktemp("stock-databases")
    templates: dict[str, str] = {}
    numbers = itertools.count(1)

    def make(backend: str) -> str:
        if backend not in templates:
            uri = new_database(backend)
            server = servers.start("stock", folder / f"template-{backend}", uri)
            server.terminate()
            templates[backend] = uri
        if backend == "sqlite":
            copy = folder / f"{next(numbers)}.db"
            shutil.copy(templates[backend].removeprefix("sqlite:///"), copy)
            return f"sqlite:///{copy}"
        cluster = request.getfixturevalue("postgres")
        return cluster.url(cluster.create_database(template=templates[backend].rpartition("/")[2]))

    return make


@pytest.fixture(scope="module")
def start_server(request, tmp_path_factory, new_database, stock_database):
    """Starts servers that end with the module: `start_server(kind, backend or uri, *flags, **options)`."""
    started: list[servers.Server] = []

    def start(kind: str, database: str, *flags: str, **options) -> servers.Server:
        if database in ("sqlite", "postgres"):
            database = (stock_database if kind == "stock" else new_database)(database)
        name = re.sub(r"\W+", "-", request.node.name)
        server = servers.start(kind, tmp_path_factory.mktemp(name), database, *flags, **options)
        started.append(server)
        return server

    start.started = started
    yield start
    for server in started:
        server.terminate()


#: What servers are put below.
PREFIX = "/tracking"


@pytest.fixture(scope="module")
def start_usual_server(request, start_server, tmp_path_factory):
    """Starts a server that tests talk to as clients: directly, or below a prefix behind nginx."""
    proxies: list[nginxes.Nginx] = []

    def start(kind: str, database: str, *flags: str, **options) -> servers.Server:
        if not request.config.getoption("--behind-nginx"):
            return start_server(kind, database, *flags, **options)
        server = start_server(kind, database, *flags, "--static-prefix", PREFIX, **options)
        proxies.append(nginxes.Nginx.start(tmp_path_factory.mktemp("nginx"), server.url, nginxes.below(PREFIX)))
        server.url = proxies[-1].url + PREFIX
        return server

    yield start
    for proxy in proxies:
        proxy.stop()


@pytest.fixture(scope="session")
def target(request) -> str:
    """The kind of server under test."""
    return request.config.getoption("target")


@pytest.fixture(scope="module")
def server(start_usual_server, backend, target):
    """The server under test, on an empty database, shared by the tests of a module."""
    return start_usual_server(target, backend)


@pytest.fixture(autouse=True)
def _show_logs(request):
    """Remembers the servers of a test for its report."""
    if "start_server" in request.fixturenames:
        request.node.stash[_SERVERS] = request.getfixturevalue("start_server").started
    yield


@pytest.fixture
def mlflow(server, tmp_path, monkeypatch):
    """The client library, pointed at the server under test, in an experiment and a folder of its own."""
    import mlflow as library

    monkeypatch.chdir(tmp_path)
    library.set_tracking_uri(server.url)
    library.set_registry_uri(None)
    library.set_experiment(f"{tmp_path.parent.name}-{tmp_path.name}")
    yield library
    while library.active_run():
        library.end_run()


@pytest.fixture
def client(mlflow):
    """The low-level client."""
    return mlflow.MlflowClient()


@pytest.fixture
def experiment_id(mlflow, client) -> str:
    """The experiment that the fluent API of this test writes to."""
    from mlflow.tracking.fluent import _get_experiment_id

    return _get_experiment_id()


@pytest.fixture
def odd():
    """Starts servers that answer what the test says: `odd(lambda path: (status, headers, body))`."""
    started: list[Odd] = []

    def start(answers, tls: Path | None = None) -> Odd:
        started.append(Odd(answers, tls))
        return started[-1]

    yield start
    for server in started:
        server.stop()
