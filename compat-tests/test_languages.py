"""A PostgreSQL that does not speak English, and one whose databases cannot hold every character: errors are told apart by
their codes."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from support.load import Load, call, create_runs
from support.postgres import Cluster


@pytest.fixture(scope="module")
def german():
    cluster = Cluster.start(language="de_DE")
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def german_server(german, start_server, target):
    return start_server(target, german.url(german.create_database()))


def test_it_speaks_german(german):
    with pytest.raises(RuntimeError, match="existiert nicht"):
        german.query("SELECT 1 FROM nowhere")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/set-tag", {"key": "k", "value": "a\0b"}),
        ("runs/search", {"experiment_ids": ["1"], "filter": "tags.a = 'x\0y'"}),
        ("registered-models/create", {"name": "x" * 300}),
        ("traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}}],
                           "filter": "span.name RLIKE '('"}),
    ],
    ids=["nul", "nul-in-filter", "too-long", "regular-expression"],
)  # fmt: skip
def test_what_a_client_did_wrong_is_its_fault(german_server, path, body):
    url = german_server.url
    if "runs/set-tag" in path:
        body = body | {"run_id": create_runs(url, 1, f"e{random.random()}")[0]}
    if path.startswith("traces"):
        url = url.replace("/api/2.0", "/api/3.0")
    status, answer = call(url, "POST", path, body)
    assert 400 <= status < 500, (status, answer)


def _crossing(runs, number):
    """Tags and experiments' tags in random order over two sets of rows, so that transactions meet crosswise."""
    dice = random.Random(number)
    for step in itertools.count():
        params = [{"key": f"k{dice.randrange(6)}", "value": str(step)} for _ in range(1)]
        tags = [{"key": f"t{i}", "value": str(dice.random())} for i in dice.sample(range(8), 8)]
        metrics = [{"key": f"m{i}", "value": dice.random(), "timestamp": 1, "step": step} for i in dice.sample(range(8), 8)]
        yield step, "runs/log-batch", {"run_id": dice.choice(runs), "tags": tags, "metrics": metrics, "params": params[:0]}


def test_deadlocks_are_tried_again(german, german_server, start_server, target):
    if target == "stock":
        pytest.skip("stock knows deadlocks by their text too")
    other = start_server(target, german_server.backend_uri)
    runs = create_runs(german_server.url, 2, "deadlocks")
    load = Load()
    for number in range(8):
        url = (german_server, other)[number % 2].url
        load.start(url, lambda number=number: _crossing(runs, number))
    time.sleep(4)
    load.stop()
    assert not load.refused, load.summary()


def test_a_database_without_the_euro(postgres, start_server, target):
    postgres.query("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    server = start_server(target, postgres.url("latin"))
    (run,) = create_runs(server.url, 1)
    status, answer = call(server.url, "POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "5 €"})
    assert status == 400, answer
    status, answer = call(server.url, "POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "é"})
    assert status == 200, answer
    _, answer = call(server.url, "GET", f"runs/get?run_id={run}")
    assert [t["value"] for t in answer["run"]["data"]["tags"] if t["key"] == "k"] == ["é"]
    status, answer = call(server.url, "POST", "runs/search", {"experiment_ids": ["1"], "filter": "tags.k = '€'"})
    assert status < 500, answer
