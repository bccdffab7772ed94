"""What an acknowledged write is worth: crashes, shared databases, restarts, poisoned neighbours, shutdown."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from support.chaos import Chaos
from support.load import Load, call, create_runs, history
from support.postgres import Cluster


def metric_writer(runs: list[str], number: int):
    """Single metrics, each a step of its own under the writer's key."""
    for step in itertools.count():
        run = runs[(number + step) % len(runs)]
        body = {"run_id": run, "key": f"w{number}", "value": step / 8, "timestamp": 1000 + step, "step": step}
        yield (run, f"w{number}", step), "runs/log-metric", body


def batch_writer(runs: list[str], number: int, keys: int = 8):
    """Batches over the same keys as every other writer, in random order, so that locks cross."""
    dice = random.Random(number)
    for step in itertools.count(number, 100):
        run = dice.choice(runs)
        names = [f"k{i}" for i in range(keys)]
        dice.shuffle(names)
        metrics = [{"key": k, "value": dice.random(), "timestamp": 1000, "step": step} for k in names]
        body = {"run_id": run, "metrics": metrics, "params": [{"key": f"p{number}-{step}", "value": "v"}]}
        yield (run, step), "runs/log-batch", body


def stored_steps(url: str, acknowledged) -> set:
    """The (run, key, step) that the server has, of the runs and keys that were written."""
    return {
        (run, key, step)
        for run, key in sorted({(run, key) for run, key, _ in acknowledged})
        for step, _, _ in history(url, run, key)
    }


def test_kill_loses_nothing_acknowledged(start_server, target, backend):
    server = start_server(target, backend)
    runs = create_runs(server.url, 4)
    for _ in range(2):
        load = Load()
        for number in range(16):
            load.start(server.url, lambda number=number: metric_writer(runs, number))
        load.wait_for(400)
        server.kill()
        load.stop()
        server.boot()
        acknowledged = set(load.acknowledged)
        assert acknowledged <= stored_steps(server.url, acknowledged)
        statuses = {status for status, _ in load.refused}
        assert statuses <= {0}, load.summary()


def test_killed_batches_are_whole(start_server, target, backend):
    if target == "stock":
        pytest.skip("stock writes a batch in several transactions")
    server = start_server(target, backend)
    runs = create_runs(server.url, 2)
    load = Load()
    for number in range(8):
        load.start(server.url, lambda number=number: batch_writer(runs, number))
    load.wait_for(100)
    server.kill()
    load.stop()
    server.boot()
    for run in runs:
        by_key = [{step for step, _, _ in history(server.url, run, f"k{i}")} for i in range(8)]
        assert all(steps == by_key[0] for steps in by_key)
        _, answer = call(server.url, "GET", f"runs/get?run_id={run}")
        written = {int(p["key"].partition("-")[2]) for p in answer["run"]["data"].get("params", [])}
        assert written == by_key[0]
        assert {step for r, step in load.acknowledged if r == run} <= by_key[0]


def test_three_servers_one_database(start_server, target, new_database, postgres):
    uri = new_database("postgres")
    servers: list = []
    # Two of ours start at once on the empty database; only one can migrate it.
    starters = [
        threading.Thread(target=lambda: servers.append(start_server(target, uri, boot=True))) for _ in range(2)
    ]
    if target == "stock":
        # The stock server does not guard against this.
        for starter in starters:
            starter.start()
            starter.join()
    else:
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
    assert len(servers) == 2
    servers.append(start_server("stock", uri))
    runs = create_runs(servers[0].url, 3)
    load = Load()
    loads = [load, load, Load()]
    for number, (server, its_load) in enumerate(zip(servers * 4, loads * 4, strict=True)):
        its_load.start(server.url, lambda number=number: batch_writer(runs, number))
    load.wait_for(300, timeout=120)
    loads[2].wait_for(40, timeout=120)
    for its_load in {id(one): one for one in loads}.values():
        its_load.stop()
    assert load.refused == [], load.summary()
    assert loads[2].refused == [], loads[2].summary()

    acknowledged = load.acknowledged + loads[2].acknowledged
    for run in runs:
        _, answer = call(servers[0].url, "GET", f"runs/get?run_id={run}")
        assert call(servers[1].url, "GET", f"runs/get?run_id={run}")[1] == answer
        latest = {m["key"]: (m["step"], m["timestamp"], m["value"]) for m in answer["run"]["data"]["metrics"]}
        for key, point in latest.items():
            points = history(servers[1].url, run, key)
            assert point == max((step, timestamp, value) for step, value, timestamp in points)
            assert {step for r, step in acknowledged if r == run} <= {step for step, _, _ in points}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_postgres_restarts_under_load(start_server, target, how):
    cluster = Cluster.start()
    try:
        server = start_server(target, cluster.url(cluster.create_database()))
        runs = create_runs(server.url, 4)
        load = Load()
        for number in range(8):
            load.start(server.url, lambda number=number: metric_writer(runs, number))
        load.wait_for(100)
        cluster.halt(how)
        cluster.boot()
        before = len(load.acknowledged)
        load.wait_for(before + 100, timeout=30)
        load.stop()
        acknowledged = set(load.acknowledged)
        assert acknowledged <= stored_steps(server.url, acknowledged)
        if target == "ferroflow":
            # The server itself never went away, and says that the database did.
            assert {status for status, _ in load.refused} <= {503}, load.summary()
        server.terminate()
    finally:
        cluster.stop()


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGSTOP], ids=["crashed", "silent"])
def test_failover_loses_nothing_acknowledged(start_server, target, how):
    """A standby that confirmed every commit takes over behind the same address."""
    if target == "stock":
        pytest.skip("a promise of ours")
    primary = Cluster.start()
    clusters = [primary]
    proxy = Chaos(primary.url())
    try:
        database = primary.create_database()
        standby = primary.start_standby()
        clusters.append(standby)
        way = urlsplit(proxy.url)
        server = start_server(target, f"postgresql://ferroflow@{way.hostname}:{way.port}/{database}")
        runs = create_runs(server.url, 4)
        load = Load()
        for number in range(8):
            load.start(server.url, lambda number=number: metric_writer(runs, number))
        load.wait_for(200)
        if how == signal.SIGSTOP:
            # Nor does the network say a word about the connections that are open.
            proxy.swallow()
        os.killpg(primary.process.pid, how)
        standby.promote()
        proxy.lead_to(standby.url())
        before = len(load.acknowledged)
        load.wait_for(before + 200, timeout=90)
        load.stop()
        acknowledged = set(load.acknowledged)
        assert acknowledged <= stored_steps(server.url, acknowledged)
        assert {status for status, _ in load.refused} <= {503}, load.summary()
        server.terminate()
    finally:
        proxy.stop()
        if how == signal.SIGSTOP:
            os.killpg(primary.process.pid, signal.SIGCONT)
        for cluster in clusters:
            cluster.stop()


def test_poisoned_neighbours(start_server, target, backend):
    server = start_server(target, backend)
    runs = create_runs(server.url, 4)
    (deleted,) = create_runs(server.url, 1, "deleted")
    assert call(server.url, "POST", "runs/delete", {"run_id": deleted})[0] == 200
    assert call(server.url, "POST", "runs/log-parameter", {"run_id": runs[0], "key": "set", "value": "1"})[0] == 200
    good_metric = {"key": "g", "value": 1, "timestamp": 1}
    poisons = {
        "unknown run": ("runs/log-metric", {"run_id": "0" * 32, **good_metric}, 404),
        "deleted run": ("runs/log-metric", {"run_id": deleted, **good_metric}, 400),
        "changed param": ("runs/log-parameter", {"run_id": runs[0], "key": "set", "value": "2"}, 400),
        "changed param in a batch": (
            "runs/log-batch",
            {"run_id": runs[0], "metrics": [{**good_metric, "key": "never"}], "params": [{"key": "set", "value": "3"}]},
            400,
        ),
        "long key": ("runs/log-metric", {"run_id": runs[0], **good_metric, "key": "k" * 251}, 400),
        "tag of no run": ("runs/set-tag", {"run_id": "f" * 32, "key": "k", "value": "v"}, 404),
        "batch for a deleted run": ("runs/log-batch", {"run_id": deleted, "metrics": [good_metric]}, 400),
    }
    if target == "ferroflow" and backend == "postgres":
        # SQLite stores it, as it does for stock; stock answers with what Postgres makes of it.
        poisons["nul byte"] = ("runs/log-parameter", {"run_id": runs[0], "key": "nul", "value": "a\x00b"}, 400)
    healthy = Load()
    for number in range(12):
        healthy.start(server.url, lambda number=number: metric_writer(runs, number))
    wrong = []
    for _ in range(10):
        for label, (path, body, expected) in poisons.items():
            status, answer = call(server.url, "POST", path, body)
            if status != expected:
                wrong.append((label, status, answer))
    healthy.wait_for(100)
    healthy.stop()
    assert wrong == []
    assert healthy.refused == [], healthy.summary()
    acknowledged = set(healthy.acknowledged)
    assert acknowledged <= stored_steps(server.url, acknowledged)


def test_shutdown_finishes_what_it_took(start_server, target, backend):
    server = start_server(target, backend)
    runs = create_runs(server.url, 4)
    load = Load()
    for number in range(8):
        load.start(server.url, lambda number=number: metric_writer(runs, number))
    load.wait_for(100)

    # An upload that is half way when the signal comes.
    host, port = server.url.removeprefix("http://").split(":")
    upload = socket.create_connection((host, int(port)), timeout=30)
    half = b"x" * 100_000
    upload.sendall(
        b"PUT /api/2.0/mlflow-artifacts/artifacts/slow.bin HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: 200000\r\n\r\n" + half
    )
    time.sleep(0.2)
    code: list = []
    ending = threading.Thread(target=lambda: code.append(server.terminate(timeout=30)))
    ending.start()
    time.sleep(0.5)
    upload.sendall(half)
    answer = http.client.HTTPResponse(upload)
    answer.begin()
    assert answer.status == 200
    upload.close()
    ending.join()
    load.stop()
    if target == "ferroflow":
        assert code == [0]
        assert {status for status, _ in load.refused} <= {0}, load.summary()
    server.boot()
    acknowledged = set(load.acknowledged)
    assert acknowledged <= stored_steps(server.url, acknowledged)
    with (server.artifacts / "slow.bin").open("rb") as file:
        assert file.read() == half * 2


def test_memory_does_not_grow_with_an_artifact(start_server, target):
    if target == "stock":
        pytest.skip("a promise of ours")
    server = start_server(target, "sqlite")
    size, block = 400 << 20, b"x" * (1 << 20)

    def peak() -> int:
        with open(f"/proc/{server.process.pid}/status") as status:
            return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))

    before = peak()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=120)
    path = "/api/2.0/mlflow-artifacts/artifacts/large.bin"
    connection.request("PUT", path, iter([block] * 400), {"Content-Length": str(size)})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    connection.request("GET", path)
    answer = connection.getresponse()
    received = 0
    while part := answer.read(1 << 20):
        received += len(part)
    assert received == size
    assert peak() - before < 40, f"{before} MiB before, {peak()} MiB after"
