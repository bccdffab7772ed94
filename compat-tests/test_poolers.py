"""A connection pooler between the server and PostgreSQL: what is acknowledged is stored, and nothing of ours stays behind in
sessions that others get."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request

import pytest
from support.load import Load, call, create_runs
from support.pgbouncer import PgBouncer

PERIOD = 3.0


@pytest.fixture(scope="module")
def databases(postgres):
    """Makes an empty database and says its name."""
    return lambda: postgres.create_database()


@pytest.fixture
def pooler(request, postgres):
    """Starts poolers that end with the test."""
    started = []

    def start(*args, **options) -> PgBouncer:
        started.append(PgBouncer(postgres, *args, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def tag_writer(runs, number):
    for step in itertools.count():
        run = runs[(number + step) % len(runs)]
        yield (run, f"t{number}_{step}", str(step)), "runs/set-tag", {"run_id": run, "key": f"t{number}_{step}", "value": str(step)}  # fmt: skip


def param_writer(runs, number):
    for step in itertools.count():
        run = runs[(number + step) % len(runs)]
        yield (run, f"p{number}_{step}", str(step)), "runs/log-parameter", {"run_id": run, "key": f"p{number}_{step}", "value": str(step)}  # fmt: skip


def metric_writer(runs, number):
    for step in itertools.count():
        run = runs[(number + step) % len(runs)]
        body = {"run_id": run, "key": f"m{number}_{step}", "value": step, "timestamp": step, "step": step}
        yield (run, f"m{number}_{step}", str(step)), "runs/log-metric", body


def reader(runs, number):
    for _ in itertools.count():
        yield None, "runs/search", {"experiment_ids": ["1"], "filter": f"tags.t{number}_1 = '1'", "max_results": 5}


def work(url: str, runs: list[str], writers: int = 4) -> Load:
    load = Load()
    for number in range(writers):
        for writer in (tag_writer, param_writer, metric_writer, reader):
            load.start(url, lambda writer=writer, number=number: writer(runs, number))
    return load


def missing(postgres, database: str, load: Load) -> set:
    """What was acknowledged and is not in the database, asked of PostgreSQL itself."""
    rows = postgres.query(
        "SELECT run_uuid || ' ' || key || ' ' || value FROM tags UNION ALL "
        "SELECT run_uuid || ' ' || key || ' ' || value FROM params UNION ALL "
        "SELECT run_uuid || ' ' || key || ' ' || step FROM metrics",
        database,
    )
    stored = {tuple(row.split(" ")) for row in rows.splitlines() if row.count(" ") == 2}
    return {name for name in load.acknowledged if name is not None} - stored


def foreign_session(pooler: PgBouncer, postgres, database: str) -> dict:
    """What somebody else's program finds in the sessions that it gets of the pooler."""
    import psycopg2

    found = []
    for _ in range(12):
        with psycopg2.connect(host="127.0.0.1", port=pooler.port, user="ferroflow", dbname=database) as other:
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT current_setting('statement_timeout'), current_setting('jit'), current_setting('lock_timeout'), "
                    "current_setting('max_parallel_workers_per_gather'), current_setting('plan_cache_mode'), "
                    "coalesce(current_setting('ferroflow.transaction', true), ''), "
                    "(SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
                )
                found.append(cursor.fetchone())
    return set(found)


CLEAN = {("0", "on", "0", "2", "auto", "", 0, 0)}


@pytest.mark.parametrize("reset", ["DISCARD ALL", ""], ids=["reset", "no-reset"])
@pytest.mark.parametrize("size", [3, 10, 100])
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_nothing_acknowledged_is_lost(start_server, target, postgres, databases, pooler, mode, size, reset):
    database = databases()
    bouncer = pooler(mode, size, reset)
    server = start_server(target, bouncer.url(database))
    runs = create_runs(server.url, 3)
    load = work(server.url, runs)
    time.sleep(PERIOD)
    load.stop()
    assert not load.refused, load.summary()
    assert len([name for name in load.acknowledged if name]) > 30, load.summary()
    assert missing(postgres, database, load) == set()
    for run in runs:
        status, answer = call(server.url, "GET", f"runs/get?run_id={run}")
        assert status == 200, answer
    server.terminate()
    if target == "ferroflow":
        assert foreign_session(bouncer, postgres, database) == CLEAN


def test_a_pooler_that_restarts(start_server, target, postgres, databases, pooler):
    if target == "stock":
        pytest.skip("stock answers 500 for connections that were cut")
    database = databases()
    bouncer = pooler("transaction", 5)
    server = start_server(target, bouncer.url(database))
    runs = create_runs(server.url, 3)
    load = work(server.url, runs)
    for _ in range(3):
        time.sleep(1)
        bouncer.restart()
    time.sleep(1)
    load.stop()
    assert {status for status, _ in load.refused} <= {503}, load.summary()
    assert missing(postgres, database, load) == set()
    status, answer = call(server.url, "GET", f"runs/get?run_id={runs[0]}")
    assert status == 200, answer


def test_two_servers_share_a_pooler(start_server, target, postgres, databases, pooler):
    database = databases()
    bouncer = pooler("transaction", 4, "")
    first = start_server(target, bouncer.url(database))
    second = start_server(target, bouncer.url(database))
    runs = create_runs(first.url, 3)
    loads = [work(first.url, runs, 2), work(second.url, runs, 2)]
    time.sleep(PERIOD)
    for load in loads:
        load.stop()
        assert not [one for one in load.refused if one[0] != 400], load.summary()
        assert missing(postgres, database, load) == set()


def test_the_real_client(start_server, target, postgres, databases, pooler, monkeypatch, tmp_path):
    import mlflow

    server = start_server(target, pooler("transaction", 3, "").url(databases()))
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("pooled")
    with mlflow.start_run() as run:
        mlflow.log_params({f"p{i}": i for i in range(50)})
        for step in range(50):
            mlflow.log_metrics({f"m{i}": step / (i + 1) for i in range(10)}, step=step)
        mlflow.set_tags({f"t{i}": "x" for i in range(20)})
        with mlflow.start_span("outer"), mlflow.start_span("inner"):
            pass
    mlflow.flush_trace_async_logging()
    data = mlflow.get_run(run.info.run_id).data
    assert (len(data.params), len(data.metrics)) == (50, 10)
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "m3")) == 50
    assert len(mlflow.search_traces(return_type="list")) == 1


def test_a_direct_connection_keeps_its_statements(start_server, target, postgres, databases):
    """Without a pooler statements are prepared once, which is what makes them fast."""
    if target == "stock":
        pytest.skip("a claim about this server")
    server = start_server(target, postgres.url(databases()), environment={"RUST_LOG": "ferroflow=debug"})
    runs = create_runs(server.url, 1)
    for _ in range(5):
        call(server.url, "GET", f"runs/get?run_id={runs[0]}")
    with urllib.request.urlopen(f"{server.url}/health") as answer:
        assert answer.status == 200
    assert "behind a pooler" not in server.logged("connected to PostgreSQL")


def test_the_pooler_can_be_named(start_server, target, postgres, databases):
    if target == "stock":
        pytest.skip("a flag of this server")
    server = start_server(target, postgres.url(databases()), "--postgres-pooler", "transaction")
    runs = create_runs(server.url, 1)
    status, answer = call(server.url, "POST", "runs/set-tag", {"run_id": runs[0], "key": "k", "value": "v"})
    assert status == 200, answer
    assert json.dumps(call(server.url, "GET", f"runs/get?run_id={runs[0]}")[1]).count('"k"') == 1
