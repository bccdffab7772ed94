"""A server that is started before its database is there, or with a wrong address of it."""

from __future__ import annotations

import re
import signal
import threading
import time

import pytest
from support.load import create_runs
from support.postgres import Cluster, free_port


@pytest.fixture(autouse=True)
def _ours(target):
    if target == "stock":
        pytest.skip("what the log says is ours")


@pytest.fixture
def cluster():
    cluster = Cluster.start()
    yield cluster
    cluster.stop()


def tries(server) -> int:
    return len(re.findall("is not there yet, trying again in", server.log_tail(1000)))


def test_a_late_database_is_waited_for(start_server, target, cluster):
    cluster.halt()
    server = start_server(target, cluster.url("late"), boot=False)

    def come_late():
        while not server.log.exists() or tries(server) < 3:
            time.sleep(0.05)
        cluster.boot()
        # The server is there before the database in it.
        while 'database "late" does not exist' not in server.log_tail(1000):
            time.sleep(0.05)
        cluster.query('CREATE DATABASE "late"')

    coming = threading.Thread(target=come_late, daemon=True)
    coming.start()
    server.boot()
    coming.join()
    create_runs(server.url, 1)
    pauses = [float(pause) for pause in re.findall(r"trying again in ([\d.]+) s", server.log_tail(1000))]
    assert pauses[:3] == [0.1, 0.3, 0.7]
    assert len([line for line in server.log_tail(1000).splitlines() if "not there yet" in line]) == len(pauses)


def test_waiting_ends_in_time_with_the_reason(start_server, target):
    uri = f"postgresql://me:se%40cret@127.0.0.1:{free_port()}/db"
    server = start_server(target, uri, "--database-start-timeout", "1", boot=False)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="did not start"):
        server.boot()
    assert time.monotonic() - began < 30
    assert server.process.returncode == 1
    assert "refused" in server.log_tail() and "cret" not in server.log_tail()
    assert tries(server) >= 2
    # Zero is a single try.
    once = start_server(target, uri, "--database-start-timeout", "0", boot=False)
    with pytest.raises(RuntimeError, match="did not start"):
        once.boot()
    assert tries(once) == 0


def test_a_waiting_server_can_be_stopped(start_server, target):
    server = start_server(target, f"postgresql://me@127.0.0.1:{free_port()}/db", boot=False)
    booting = threading.Thread(target=lambda: pytest.raises(RuntimeError, server.boot), daemon=True)
    booting.start()
    while not server.log.exists() or tries(server) < 2:
        time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    booting.join()
    assert "stopped before it served" in server.log_tail()
