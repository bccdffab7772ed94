"""Writes for as long as it is told to, beside everything that disturbs; kills what it can again and again; and checks at the
end that every acknowledged write is there.

    make soak ARGS='--minutes 60'

Written are runs, metrics, params, tags and batches of them, traces in two exports each, and artifacts. Beside that come
searches whose clients hang up, bodies that swell and bodies that trickle. On SQLite the server is killed; PostgreSQL is
reached through PgBouncer in transaction mode by two servers, the pooler and PostgreSQL are killed as well, and a row is kept
locked for some seconds. Prints a table in Markdown; exits with 1 if a write is missing or a refusal is not a 503.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import itertools
import json
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))

from support import servers  # noqa: E402
from support.load import Load, call  # noqa: E402
from support.pgbouncer import PgBouncer  # noqa: E402
from support.postgres import Cluster  # noqa: E402
from support.wire import memory_mib  # noqa: E402

#: How many steps a writer logs to one run.
STEPS = 100
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/soak"
TRACES = "/api/3.0/mlflow/traces"


def run_writer(name: str, pause: float) -> Iterator:
    """Metrics, params, tags and batches of all three, each under a key of its own, to one run after the other."""
    run = None
    for step in itertools.count():
        time.sleep(pause)
        if step % STEPS == 0:
            run = None
        if not run:
            # Whether a run was made that was not acknowledged does not matter.
            answer = yield ("run", f"{name}_{step}", ""), "runs/create", {"experiment_id": "1", "run_name": f"{name}_{step}"}
            if not answer:
                continue
            run = answer["run"]["info"]["run_id"]
        key = f"{name}_{step}"
        metric = {"key": key, "value": step, "timestamp": step, "step": step}
        yield ("metric", run, key), "runs/log-metric", {"run_id": run, **metric}
        yield ("param", run, key), "runs/log-parameter", {"run_id": run, "key": key, "value": str(step)}
        yield ("tag", run, key), "runs/set-tag", {"run_id": run, "key": key, "value": str(step)}
        batch = {
            "run_id": run,
            "metrics": [metric | {"key": f"{key}_b"}],
            "params": [{"key": f"{key}_b", "value": "v"}],
            "tags": [{"key": f"{key}_b", "value": "v"}],
        }
        yield ("batch", run, f"{key}_b"), "runs/log-batch", batch


def trace_writer(name: str, pause: float) -> Iterator:
    """A trace in two exports: its root, then a child of it."""
    for step in itertools.count():
        time.sleep(pause)
        trace = f"{random.Random(f'{name} {step}').getrandbits(128):032x}"
        for span, parent in ((1, None), (2, 1)):
            parents = {"parentSpanId": f"{parent:016x}"} if parent else {}
            sent = {
                "traceId": trace, "spanId": f"{span:016x}", "name": f"span {span}", "startTimeUnixNano": str(10**18 + step),
                "endTimeUnixNano": str(10**18 + step + 5), **parents,
            }  # fmt: skip
            yield ("span", trace, span), "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}


def artifact_writer(name: str, pause: float) -> Iterator:
    """Files of many sizes."""
    for step in itertools.count():
        time.sleep(pause)
        yield ("artifact", name, step), f"{ARTIFACTS}/{name}/{step}", artifact(name, step)


def artifact(name: str, step: int) -> bytes:
    """The content of a file."""
    dice = random.Random(f"{name} {step}")
    return dice.randbytes(dice.choice([1, 1000, 100_000, 2_000_000]))


def reader() -> Iterator:
    """Searches beside the writers."""
    for step in itertools.count():
        time.sleep(0.05)
        yield None, "runs/search", {"experiment_ids": ["1"], "max_results": 1 + step % 50}


def exchange(url: str, head: str, body: bytes, wait: float = 0.0) -> None:
    """Sends bytes and goes away, with the answer or without."""
    place = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((place.hostname, place.port), timeout=20) as client:
        client.sendall(f"{head}\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode())
        client.sendall(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        client.settimeout(wait or 20)
        while wait == 0 and client.recv(1 << 16):
            pass


def hang_up(url: str) -> None:
    """A search of many runs whose client goes away."""
    body = json.dumps({"experiment_ids": ["1"], "max_results": 5000})
    exchange(url, "POST /api/2.0/mlflow/runs/search HTTP/1.1", body.encode(), wait=0.1)


def swell(url: str) -> None:
    """A small body that grows, and a large one of many empty things."""
    zeros = gzip.compress(bytes(64 << 20), 1)
    exchange(url, "POST /v1/traces HTTP/1.1\r\nContent-Encoding: gzip\r\nConnection: close", zeros)
    empty = b'{"run_id": "x", "metrics": [' + b"{}," * 2_000_000 + b"{}]}"
    exchange(url, "POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nConnection: close", empty)


def trickle(url: str) -> None:
    """A body that comes too slowly."""
    place = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((place.hostname, place.port), timeout=20) as client:
        client.sendall(b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(60):
            time.sleep(1)
            client.sendall(b" ")


class Scene:
    """A database with its servers, and what can be done to them."""

    def __init__(self, database: str, folder: Path) -> None:
        self.cluster = self.pooler = None
        if database == "sqlite":
            self._database, uri, count = "", f"sqlite:///{folder}/soak.db", 1
        else:
            self.cluster = Cluster.start()
            self.pooler = PgBouncer(self.cluster, "transaction", 10, "")
            self._database = self.cluster.create_database()
            uri, count = self.pooler.url(self._database), 2
        self.servers = [
            servers.start("ferroflow", folder / str(number), uri, "--memory-limit", "256", artifacts=folder / "artifacts")
            for number in range(count)
        ]

    def disturb(self, dice: random.Random) -> str:
        """Kills something and brings it back."""
        kinds = ["server"] if not self.cluster else ["server", "server", "pooler", "database", "row locked"]
        kind = dice.choice(kinds)
        if kind == "server":
            server = dice.choice(self.servers)
            server.kill()
            server.boot()
        elif kind == "pooler":
            self.pooler.restart()
        elif kind == "database":
            self.cluster.halt(signal.SIGQUIT)
            self.cluster.boot()
        else:
            newest = "SELECT run_uuid FROM runs ORDER BY start_time DESC NULLS LAST LIMIT 1"
            self.cluster.query(f"BEGIN; SELECT 1 FROM runs WHERE run_uuid = ({newest}) FOR UPDATE; SELECT pg_sleep(5)", self._database)
        return kind

    def stop(self) -> None:
        """Ends everything."""
        for server in self.servers:
            server.terminate()
        if self.cluster:
            self.pooler.stop()
            self.cluster.stop()


class Noise:
    """Threads that disturb a server, and one that watches it: how long look-ups take, how much memory is in use."""

    def __init__(self, scene: Scene) -> None:
        self._servers, self._ending = scene.servers, threading.Event()
        self.peak_mib, self.times = 0.0, []
        self._threads = [threading.Thread(target=self._watch, daemon=True)]
        for what, pause in ((hang_up, 1), (swell, 5), (trickle, 1)):
            self._threads.append(threading.Thread(target=self._repeat, args=(what, pause), daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._ending.set()
        for thread in self._threads:
            thread.join(90)

    def _repeat(self, what, pause: float) -> None:
        for server in itertools.cycle(self._servers):
            if self._ending.wait(pause):
                return
            what(server.url)

    def _watch(self) -> None:
        for server in itertools.cycle(self._servers):
            if self._ending.wait(0.2):
                return
            began = time.monotonic()
            # A server that was just killed has neither memory nor an answer.
            with contextlib.suppress(OSError, IndexError):
                if call(server.url, "GET", "experiments/get?experiment_id=0")[0] == 200:
                    self.times.append(time.monotonic() - began)
                self.peak_mib = max(self.peak_mib, memory_mib(server))


def missing(url: str, acknowledged: list) -> list:
    """What was acknowledged and is not there."""
    wanted: dict[str, set] = {}
    for name in filter(None, acknowledged):
        wanted.setdefault(name[0], set()).add(name[1:])
    kinds = {"metric": ["metrics"], "param": ["params"], "tag": ["tags"], "batch": ["metrics", "params", "tags"]}
    entries = {(run, kind, key) for name, lists in kinds.items() for run, key in wanted.get(name, ()) for kind in lists}
    stored = set()
    for run in {run for run, _, _ in entries}:
        status, answer = call(url, "GET", f"runs/get?run_id={run}", timeout=300)
        assert status == 200, answer
        data = answer["run"]["data"]
        stored |= {(run, kind, one["key"]) for kind in ("metrics", "params", "tags") for one in data.get(kind, [])}
    names = {(name, "") for name in _run_names(url)}
    traces = sorted({trace for trace, _ in wanted.get("span", ())})
    spans = {span for start in range(0, len(traces), 50) for span in _spans(url, traces[start : start + 50])}
    files = {one for one in wanted.get("artifact", ()) if not _is_whole(url, *one)}
    return sorted(map(str, (entries - stored) | (wanted.get("run", set()) - names) | (wanted.get("span", set()) - spans) | files))


def _run_names(url: str) -> Iterator[str]:
    token = ""
    while True:
        body = {"experiment_ids": ["1"], "max_results": 500, "page_token": token}
        status, answer = call(url, "POST", "runs/search", body, timeout=300)
        assert status == 200, answer
        yield from (run["info"]["run_name"] for run in answer.get("runs", []))
        if not (token := answer.get("next_page_token", "")):
            return


def _spans(url: str, traces: list[str]) -> Iterator[tuple[str, int]]:
    query = "&".join(f"trace_ids=tr-{trace}" for trace in traces)
    status, answer = call(url, "GET", f"{TRACES}/batchGet?{query}", timeout=300)
    assert status == 200, answer
    for trace in answer.get("traces", []):
        for span in trace["spans"]:
            yield trace["trace_info"]["trace_id"].removeprefix("tr-"), int(span["name"].removeprefix("span "))


def _is_whole(url: str, name: str, step: int) -> bool:
    place = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=60)) as connection:
        connection.request("GET", f"{ARTIFACTS}/{name}/{step}")
        answer = connection.getresponse()
        return answer.read() == artifact(name, step) and answer.status == 200


def soak(database: str, minutes: float, every: float, pause: float) -> tuple[str, bool]:
    """Returns a row of the table, and whether everything was there."""
    dice, killed = random.Random(7), Counter()
    with tempfile.TemporaryDirectory(prefix="ferroflow-soak-") as folder:
        scene = Scene(database, Path(folder))
        try:
            status, made = call(scene.servers[0].url, "POST", "experiments/create", {"name": "soak"})
            assert status == 200 and made["experiment_id"] == "1", made
            load, noise = Load(), Noise(scene)
            for number in range(8):
                url = scene.servers[number % len(scene.servers)].url
                load.start(url, lambda number=number: run_writer(f"w{number}", pause))
            for server in scene.servers:
                port = urlsplit(server.url).port
                load.start(server.url, lambda port=port: trace_writer(f"t{port}", 10 * pause))
                load.start(server.url, lambda port=port: artifact_writer(f"a{port}", 20 * pause))
                load.start(server.url, reader)
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until:
                time.sleep(min(every * dice.uniform(0.5, 1.5), max(0.0, until - time.monotonic())))
                killed[scene.disturb(dice)] += 1
            noise.stop()
            load.stop()
            lost = missing(scene.servers[0].url, load.acknowledged)
        finally:
            scene.stop()
    refused = Counter("hung up" if status == 0 else str(status) for status, _ in load.refused)
    count = Counter(one[0] for one in load.acknowledged if one)
    shares = quantiles(noise.times, n=1000)
    row = (
        f"| {database} | {minutes:g} | {_list(killed)} | {count.total():,}: {_list(count)} | **{len(lost)}** | {_list(refused)} "
        f"| {shares[499] * 1000:.0f} / {shares[989] * 1000:.0f} | {noise.peak_mib:.0f} |"
    )
    for one in lost[:20]:
        print("lost:", one, file=sys.stderr)
    for what, times in load.summary().most_common(20):
        print("refused:", times, what, file=sys.stderr)
    return row, not lost and not set(refused) - {"hung up", "503"}


def _list(counts: Counter) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())


def main() -> int:
    """Soaks each database and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="for each database")
    parser.add_argument("--every", type=float, default=20, help="seconds between two kills, about")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two steps of a writer of runs")
    parser.add_argument("--databases", default="sqlite,postgres")
    args = parser.parse_args()
    rows = [soak(database, args.minutes, args.every, args.pause) for database in args.databases.split(",")]
    print(
        "| database | minutes | killed | acknowledged | lost | refused | a look-up, p50 / p99 ms | peak MiB of a server |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(row for row, _ in rows))
    return 0 if all(good for _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
