"""Runs two replicas on one Postgres and one bucket under the work of a team, and watches them; `make bench-mixed` runs it.

At once, each request to the other replica than the one before it: training loops that log runs metric by metric and in
batches, pages of the UI, an application that sends traces, and artifacts going up and down. The load is paced, not the most
that could be taken. What was written by one replica is read back by the other. Every ten seconds latencies, errors and the
memory of both servers are noted. The result is a summary in Markdown, a CSV and a plot. One error makes it fail.

The clients are threads of this one process, beside servers, database and bucket on the same processors: what they wait for
each other is in the latencies, too, so these are bounds from above.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import http.client
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))
from support import servers  # noqa: E402
from support.postgres import Cluster  # noqa: E402
from support.s3 import SeaweedFS  # noqa: E402
from support.wire import PROXY  # noqa: E402
from traces import info_body, spans_body  # noqa: E402

API = "/api/2.0/mlflow"
JSON = {"Content-Type": "application/json"}
INTERVAL_S = 10
#: Kinds of requests as the plot groups them.
GROUPS = {
    "training": ["runs/create", "log-metric", "log-batch", "runs/update"],
    "UI": ["runs/search", "runs/search filtered", "runs/get", "get-history", "experiments/search", "traces/search"],
    "traces": ["traces (OTLP)", "traces (info)"],
    "artifacts": ["artifact up", "artifact down", "artifact list", "artifact delete"],
}


class Stopped(Exception):
    """The time is over."""


@dataclass
class Record:
    """What was asked, and how it went."""

    ending: threading.Event = field(default_factory=threading.Event)
    #: Of the current interval: latencies in ms by kind.
    _now: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    #: Of all intervals.
    every: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, latency_ms: float) -> None:
        """Adds an answer."""
        with self._lock:
            self._now[kind].append(latency_ms)
            self.every[kind].append(latency_ms)

    def fail(self, kind: str, reason: str) -> None:
        """Adds an error."""
        with self._lock:
            self.errors[kind].append(f"{time.strftime('%H:%M:%S')} {reason[:300]}")

    def take(self) -> dict[str, list[float]]:
        """Returns what came since the last call."""
        with self._lock:
            taken, self._now = self._now, defaultdict(list)
        return taken


class Client:
    """One user of the servers: a connection to each, used in turns."""

    def __init__(self, urls: list[str], record: Record, seed: int) -> None:
        self._hosts = [url.removeprefix("http://") for url in urls]
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._turn = seed
        self.record, self.random = record, random.Random(seed)

    def send(self, kind: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes | None:
        """Sends one request and returns what it answers; an error is noted and is None."""
        if self.record.ending.is_set():
            raise Stopped
        self._turn += 1
        host = self._hosts[self._turn % len(self._hosts)]
        connection = self._connections.setdefault(host, http.client.HTTPConnection(host, timeout=60))
        began = time.perf_counter()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.record.fail(kind, f"{method} {path}: {error!r}")
            return None
        self.record.note(kind, (time.perf_counter() - began) * 1000)
        if answer.status != 200:
            self.record.fail(kind, f"{method} {path}: {answer.status} {content[:200]!r}")
            return None
        return content

    def call(self, kind: str, method: str, path: str, body: dict | None = None) -> dict:
        """Sends one request of the tracking API."""
        content = self.send(kind, method, f"{API}/{path}", json.dumps(body).encode() if body is not None else None, JSON)
        return json.loads(content) if content else {}

    def pause(self, seconds: float) -> None:
        """Waits about so long."""
        if self.record.ending.wait(seconds * self.random.uniform(0.5, 1.5)):
            raise Stopped


def train(client: Client, experiments: list[str]) -> None:
    """Logs runs as a training loop does: some epochs of ten steps, each step a metric, each epoch a batch."""
    while True:
        made = client.call(
            "runs/create", "POST", "runs/create", {"experiment_id": client.random.choice(experiments), "start_time": now_ms()}
        )
        if not made:
            continue
        run_id = made["run"]["info"]["run_id"]
        params = [{"key": f"param_{i}", "value": str(client.random.randrange(10))} for i in range(10)]
        client.call("log-batch", "POST", "runs/log-batch", {"run_id": run_id, "params": params})
        steps = 0
        for epoch in range(client.random.randrange(5, 60)):
            for _ in range(10):
                loss = {"run_id": run_id, "key": "loss", "value": 1 / (steps + 1), "timestamp": now_ms(), "step": steps}
                client.call("log-metric", "POST", "runs/log-metric", loss)
                steps += 1
                client.pause(0.05)
            metrics = [{"key": f"metric_{i}", "value": client.random.random(), "timestamp": now_ms(), "step": epoch} for i in range(20)]
            client.call("log-batch", "POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics})
        client.call("runs/update", "POST", "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": now_ms()})
        kept = client.call("get-history", "GET", f"metrics/get-history?run_id={run_id}&metric_key=loss&max_results=25000")
        if kept and sorted(point["step"] for point in kept["metrics"]) != list(range(steps)):
            client.record.fail("get-history", f"of {steps} points of run {run_id}, {len(kept['metrics'])} are there")


def look(client: Client, experiments: list[str]) -> None:
    """Opens pages as somebody does who looks on."""
    while True:
        client.call("experiments/search", "POST", "experiments/search", {"max_results": 100})
        experiment = client.random.choice(experiments)
        page = {"experiment_ids": [experiment], "max_results": 100}
        runs = client.call("runs/search", "POST", "runs/search", page).get("runs", [])
        better = page | {"filter": "metrics.metric_1 > 0.5 and params.param_3 = '2'", "order_by": ["metrics.loss ASC"]}
        client.call("runs/search filtered", "POST", "runs/search", better)
        for run in runs[:3]:
            run_id = run["info"]["run_id"]
            client.call("runs/get", "GET", f"runs/get?run_id={run_id}")
            client.call("get-history", "GET", f"metrics/get-history?run_id={run_id}&metric_key=loss&max_results=25000")
        where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiments[0]}}
        body = json.dumps({"locations": [where], "max_results": 100}).encode()
        client.send("traces/search", "POST", "/api/3.0/mlflow/traces/search", body, JSON)
        client.pause(0.5)


def trace(client: Client, experiments: list[str]) -> None:
    """Sends traces of ten spans, then what a client knows of them."""
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiments[0]}
    while True:
        number, start_ms = client.random.randrange(10**15), now_ms()
        client.send("traces (OTLP)", "POST", "/v1/traces", spans_body({number: start_ms}), headers)
        client.send("traces (info)", "POST", "/api/3.0/mlflow/traces", info_body(experiments[0], number, start_ms), JSON)
        client.pause(0.2)


def transfer(client: Client, experiments: list[str]) -> None:
    """Sends files up, some of several parts, reads them through the other replica, and deletes them."""
    number = 0
    while True:
        number += 1
        size = 12 * 2**20 if number % 20 == 0 else client.random.randrange(1, 2**20)
        content = client.random.randbytes(1024) * (size // 1024 + 1)
        folder = f"{PROXY}/{experiments[0]}/{threading.get_ident()}-{number}"
        if client.send("artifact up", "PUT", f"{folder}/model.bin", content) is not None:
            listed = client.send("artifact list", "GET", f"{PROXY}?path={folder.removeprefix(PROXY + '/')}")
            if listed is not None and b"model.bin" not in listed:
                client.record.fail("artifact list", f"no file in {listed[:200]!r}")
            back = client.send("artifact down", "GET", f"{folder}/model.bin")
            if back is not None and back != content:
                client.record.fail("artifact down", f"{len(back)} bytes, and not the {len(content)} that went up")
            client.send("artifact delete", "DELETE", f"{folder}/model.bin")
        client.pause(0.5)


def now_ms() -> int:
    """Returns the time as MLflow writes it."""
    return time.time_ns() // 1_000_000


def percentile(values: list[float], part: float) -> float:
    """Returns the value below which so much of the sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * part))]


def watch(record: Record, replicas: list[servers.Server], seconds: float) -> list[dict]:
    """Notes every interval until the time is over, and returns the notes."""
    notes: list[dict] = []
    began = time.monotonic()
    processes = [psutil.Process(replica.process.pid) for replica in replicas]
    errors: dict[str, int] = defaultdict(int)
    for tick in range(1, max(1, round(seconds / INTERVAL_S)) + 1):
        time.sleep(max(0, began + tick * INTERVAL_S - time.monotonic()))
        memory = [process.memory_info().rss / 2**20 for process in processes]
        taken = record.take()
        for kind in sorted(taken.keys() | record.errors.keys()):
            latencies = sorted(taken.get(kind, []))
            wrong = len(record.errors.get(kind, [])) - errors[kind]
            errors[kind] += wrong
            note = {"seconds": tick * INTERVAL_S, "kind": kind, "requests": len(latencies), "errors": wrong}
            if latencies:
                note |= {"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99), "max_ms": latencies[-1]}
            notes.append(note | {f"rss_mib_{number}": mib for number, mib in enumerate(memory, 1)})
    return notes


def write_csv(notes: list[dict], file: Path) -> None:
    """Writes a line for each kind and interval."""
    columns = ["seconds", "kind", "requests", "errors", "p50_ms", "p99_ms", "max_ms", "rss_mib_1", "rss_mib_2"]
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        for note in notes:
            writer.writerow({key: f"{value:.2f}" if isinstance(value, float) else value for key, value in note.items()})


def summary(record: Record, notes: list[dict], minutes: float) -> str:
    """Returns the Markdown."""
    lines = [
        f"Two replicas on one Postgres and one bucket for {minutes:g} minutes, {os.cpu_count()} cores; the load runs beside them.",
        "",
        "| request | number | per second | p50 ms | p99 ms | max ms | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in [kind for kinds in GROUPS.values() for kind in kinds]:
        values = sorted(record.every[kind])
        wrong = len(record.errors[kind])
        if values:
            figures = f"{percentile(values, 0.5):.1f} | {percentile(values, 0.99):.1f} | {values[-1]:.0f}"
            lines.append(f"| {kind} | {len(values):,} | {len(values) / minutes / 60:.1f} | {figures} | {wrong} |")
        elif wrong:
            lines.append(f"| {kind} | 0 | 0 | - | - | - | {wrong} |")
    lines += ["", "| resident memory, MiB | first 10 s | after a tenth | half | end | most |", "|---|---|---|---|---|---|"]
    for number in (1, 2):
        series = list({note["seconds"]: note[f"rss_mib_{number}"] for note in notes}.values())
        at = [series[0], series[len(series) // 10], series[len(series) // 2], series[-1], max(series)]
        lines.append(f"| replica {number} | {' | '.join(f'{mib:.0f}' for mib in at)} |")
    return "\n".join(lines) + "\n"


def plot(notes: list[dict], file: Path) -> None:
    """Draws the 99th percentile of each group of requests and the memory of both servers over time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    # Some hundred points are enough; each shows the worst of its time.
    width = max(INTERVAL_S, notes[-1]["seconds"] / 120)
    figure, (latency, memory) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 6), height_ratios=(2, 1))
    for group, kinds in GROUPS.items():
        for name, style in (("p99_ms", "-"), ("p50_ms", ":")):
            worst: dict[int, float] = defaultdict(float)
            for note in notes:
                # Of a few requests no percentile says much.
                if note["kind"] in kinds and note["requests"] >= 10:
                    bucket = int((note["seconds"] - 1) / width)
                    worst[bucket] = max(worst[bucket], note[name])
            label = f"{group}, {name.removesuffix('_ms')}"
            colour = f"C{list(GROUPS).index(group)}"
            latency.plot([(bucket + 1) * width / 60 for bucket in worst], worst.values(), style, label=label, color=colour, linewidth=1)
    latency.set_yscale("log")
    latency.set_ylabel("ms, the slowest kind of each group")
    latency.legend(fontsize="small", ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    for number in (1, 2):
        series: dict[int, float] = defaultdict(float)
        for note in notes:
            bucket = int((note["seconds"] - 1) / width)
            series[bucket] = max(series[bucket], note[f"rss_mib_{number}"])
        memory.plot([(bucket + 1) * width / 60 for bucket in series], series.values(), label=f"replica {number}", linewidth=1)
    memory.set_ylim(bottom=0)
    memory.set_ylabel("resident MiB")
    memory.set_xlabel("minutes")
    memory.legend(fontsize="small", loc="lower right")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def run(args: argparse.Namespace, root: Path) -> int:
    """Starts everything, waits, writes the results, and returns the exit code."""
    with contextlib.ExitStack() as stack:
        cluster = Cluster.start()
        stack.callback(cluster.stop)
        s3 = SeaweedFS.start(root / "s3")
        stack.callback(s3.stop)
        uri, bucket = cluster.url(cluster.create_database()), s3.create_bucket("mixed")
        replicas = []
        for number in (1, 2):
            replicas.append(servers.start("ferroflow", root / f"replica{number}", uri, artifacts=f"{bucket}/x", environment=s3.environment))
            stack.callback(replicas[-1].kill)
        record, urls = Record(), [replica.url for replica in replicas]
        first = Client(urls, record, 0)
        made = [first.call("runs/create", "POST", "experiments/create", {"name": f"experiment {i}"}) for i in range(10)]
        record.take()
        record.every.clear()
        experiments = [answer["experiment_id"] for answer in made]
        threads = start_clients(urls, record, experiments, args)
        notes = watch(record, replicas, args.minutes * 60)
        record.ending.set()
        for thread in threads:
            thread.join(90)
        report = summary(record, notes, args.minutes)
        died = [replica for replica in replicas if replica.process.poll() is not None]
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "mixed-load.md").write_text(report)
    write_csv(notes, args.output / "mixed-load.csv")
    plot(notes, args.output / "mixed-load.svg")
    print(report, f"\nWritten to {args.output}.", flush=True)
    for kind, reasons in record.errors.items():
        for reason in reasons[:5]:
            print(f"error: {kind}: {reason}", file=sys.stderr)
    return 1 if died or any(record.errors.values()) else 0


def start_clients(urls: list[str], record: Record, experiments: list[str], args: argparse.Namespace) -> list[threading.Thread]:
    """Starts the clients, each a thread."""

    def work(task: Callable[[Client, list[str]], None], seed: int) -> None:
        try:
            task(Client(urls, record, seed), experiments)
        except Stopped:
            pass
        except (LookupError, TypeError, ValueError) as error:
            record.fail(task.__name__, f"the client ended: {error!r}")

    tasks = [train] * args.writers + [look] * args.readers + [trace] * args.tracers + [transfer] * args.transfers
    threads = [threading.Thread(target=work, args=(task, seed), daemon=True) for seed, task in enumerate(tasks, 1)]
    for thread in threads:
        thread.start()
    return threads


def main() -> int:
    """Runs it in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--writers", type=int, default=8, help="training loops")
    parser.add_argument("--readers", type=int, default=2, help="people who look at pages")
    parser.add_argument("--tracers", type=int, default=2, help="applications that send traces")
    parser.add_argument("--transfers", type=int, default=2, help="who sends and reads artifacts")
    parser.add_argument(
        "--output", type=Path, default=Path(tempfile.gettempdir()) / "mixed-load", help="folder of the results: `docs` keeps them"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # An answer should not wait five milliseconds for a thread that computes.
    sys.setswitchinterval(0.0005)
    root = Path(tempfile.mkdtemp(prefix="ferroflow-mixed-"))
    try:
        return run(args, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
