"""Measures Ferroflow beside the stock MLflow server, on the same data, on SQLite and Postgres; `make bench` runs it.

Both servers get copies of one database. wrk sends the requests; the CPU is that of the server and of Postgres
(wrk's own is left out). Of the stock server with one worker and with its default number, each line takes the better.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))
from support import servers  # noqa: E402
from support.load import call, create_runs  # noqa: E402
from support.postgres import Cluster  # noqa: E402

RUNS, POINTS = 20_000, 100_000
VARIANTS = {"ferroflow": [], "stock, 1 worker": ["--workers", "1"], "stock, default": []}

#: Requests by line of the table: (label, connections, what the Lua function `request` returns).
_POST = 'return wrk.format("POST", "/api/2.0/mlflow/{path}", json, {body})'
_GET = 'return wrk.format("GET", "/api/2.0/mlflow/{path}")'
_METRIC = _POST.format(
    path="runs/log-metric",
    body="""string.format('{"run_id":"%s","key":"k%d","value":%f,"timestamp":%d,"step":%d}', runs[n % 16 + 1], n % 4, n / 7, n, n)""",
)
_BATCH = _POST.format(path="runs/log-batch", body="batch(n)")
_SEARCH = _POST.format(
    path="runs/search", body="""'{"experiment_ids":["' .. many .. '"],"max_results":100,"order_by":["metrics.acc DESC"]}'"""
)
LOADS = [
    ("log-metric, 1 client", 1, _METRIC),
    ("log-metric, 16 clients", 16, _METRIC),
    ("log-metric, 64 clients", 64, _METRIC),
    ("log-batch of 1000 metrics, 4 clients", 4, _BATCH),
    ("runs/get, 16 clients", 16, _GET.format(path='runs/get?run_id=" .. some[n % #some + 1] .. "')),
    (f"runs/search of 100 in {RUNS:,}, 4 clients", 4, _SEARCH),
    (f"get-history of {POINTS:,} points, 2 clients", 2, _GET.format(path='metrics/get-history?run_id=" .. long .. "&metric_key=m')),
]  # fmt: skip
_LUA = """
local runs, some, many, long = {runs}, {some}, "{many}", "{long}"
local json = {{["Content-Type"] = "application/json"}}
local n = {first}
function batch(n)
  local metrics = {{}}
  for i = 1, 1000 do
    metrics[i] = string.format('{{"key":"b%d","value":%f,"timestamp":%d,"step":%d}}', i % 10, i / 3, n, n * 1000 + i)
  end
  return '{{"run_id":"' .. runs[n % 16 + 1] .. '","metrics":[' .. table.concat(metrics, ",") .. ']}}'
end
function request()
  n = n + 1
  {request}
end
"""


@dataclass
class Data:
    """A filled database and the ids in it."""

    uri: str
    runs: list[str]
    some: list[str]
    many: str
    long: str


@dataclass
class Figure:
    """What one load gave."""

    per_second: float
    cpu_us: float
    p50: str
    p99: str
    errors: int


def fill(folder: Path, uri: str) -> Data:
    """Fills a database through our own server: the schema is stock's, so the stock server can take a copy."""
    server = servers.start("ferroflow", folder, uri)
    runs = create_runs(server.url, 17, "writes")
    many = call(server.url, "POST", "experiments/create", {"name": "many"})[1]["experiment_id"]
    some: list[str] = []

    def add(number: int) -> None:
        body = {"experiment_id": many, "start_time": 1_700_000_000_000 + number, "tags": [{"key": "i", "value": str(number)}]}
        run = call(server.url, "POST", "runs/create", body)[1]["run"]["info"]["run_id"]
        metrics = [{"key": k, "value": number * f % 1009 / 1009, "timestamp": 1, "step": 0} for k, f in (("acc", 7), ("loss", 13))]
        params = [{"key": "depth", "value": str(number % 9)}, {"key": "rate", "value": str(number % 5)}]
        status, answer = call(server.url, "POST", "runs/log-batch", {"run_id": run, "metrics": metrics, "params": params})
        assert status == 200, answer
        if number % 20 == 0:
            some.append(run)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(RUNS)))
    for first in range(0, POINTS, 1000):
        metrics = [{"key": "m", "value": i / 9, "timestamp": i, "step": i} for i in range(first, first + 1000)]
        assert call(server.url, "POST", "runs/log-batch", {"run_id": runs[16], "metrics": metrics})[0] == 200
    server.terminate()
    return Data(uri, runs[:16], some, many, runs[16])


def start(variant: str, folder: Path, uri: str) -> tuple[servers.Server, float]:
    """Starts a variant and returns it with the seconds until it answered."""
    kind = "ferroflow" if variant == "ferroflow" else "stock"
    server = servers.start(kind, folder, uri, boot=False)
    if variant == "stock, default":
        at = server.command.index("--workers")
        del server.command[at : at + 2]
    began = time.monotonic()
    server.boot()
    return server, time.monotonic() - began


def tree(*roots: int) -> list[psutil.Process]:
    """Returns processes with their descendants."""
    found = [psutil.Process(root) for root in roots]
    return found + [child for root in found for child in root.children(recursive=True)]


def cpu_seconds(roots: list[int]) -> float:
    """Returns the CPU time of the processes and their descendants so far."""
    total = 0.0
    for process in tree(*roots):
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def memory_mib(root: int) -> float:
    """Returns the resident memory of a process and its descendants, shared pages counted once."""
    return sum(process.memory_full_info().pss for process in tree(root)) / 2**20


def measure(server: servers.Server, data: Data, load: tuple[str, int, str], roots: list[int], seconds: int, first: int) -> Figure:
    """Sends one kind of request for some seconds."""
    label, connections, request = load

    def lua(names: list[str]) -> str:
        return "{" + ", ".join(f'"{name}"' for name in names) + "}"

    script = server.log.parent / "load.lua"
    script.write_text(
        _LUA.format(runs=lua(data.runs), some=lua(data.some), many=data.many, long=data.long, first=first, request=request)
    )
    before = cpu_seconds(roots)
    output = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "--latency", "-s", script, server.url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cpu = cpu_seconds(roots) - before
    requests = int(re.search(r"(\d+) requests in", output)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Figure(
        per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        cpu_us=cpu / max(requests, 1) * 1e6,
        p50=re.search(r"50%\s+(\S+)", output)[1],
        p99=re.search(r"99%\s+(\S+)", output)[1],
        errors=int(errors[1]) if errors else 0,
    )


def table(database: str, figures: dict[str, dict[str, Figure]], idle: dict[str, tuple[float, float]]) -> str:
    """Returns the results of a database as Markdown."""
    lines = [
        f"### {database}", "",
        "| | Ferroflow req/s (p50, p99) | stock req/s (p50, p99) | req/s | CPU µs Ferroflow | CPU µs stock | CPU |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for label, by_variant in figures.items():
        ours = by_variant["ferroflow"]
        rivals = [figure for variant, figure in by_variant.items() if variant != "ferroflow"]
        best = max(rivals, key=lambda figure: figure.per_second)
        cheapest = min(figure.cpu_us for figure in rivals)
        wrong = f" **{ours.errors} errors**" if ours.errors else ""
        wrong += f" **stock: {best.errors} errors**" if best.errors else ""
        lines.append(
            f"| {label}{wrong} | {ours.per_second:,.0f} ({ours.p50}, {ours.p99}) | {best.per_second:,.1f} ({best.p50}, {best.p99}) "
            f"| {ours.per_second / best.per_second:.1f}x | {ours.cpu_us:,.0f} | {cheapest:,.0f} | 1/{cheapest / ours.cpu_us:.1f} |"
        )
    starts = ", ".join(f"{variant} {seconds:.2f} s, {mib:.0f} MiB" for variant, (seconds, mib) in idle.items())
    return "\n".join([*lines, "", f"Start on this database, and memory when idle: {starts}.", ""])


def main() -> None:
    """Fills, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=6, help="length of each load")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="ferroflow-bench-"))
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    print(f"{cores} cores, {memory:.0f} GiB, {platform.platform()}, Python {platform.python_version()}\n", flush=True)
    everything = {}
    for database in args.databases.split(","):
        cluster = Cluster.start() if database == "postgres" else None
        try:
            uri = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{root}/filled.db"
            data = fill(root / f"fill-{database}", uri)
            figures: dict[str, dict[str, Figure]] = {label: {} for label, _, _ in LOADS}
            idle = {}
            for number, variant in enumerate(VARIANTS):
                if cluster:
                    copy = cluster.url(cluster.create_database(template=uri.rpartition("/")[2]))
                else:
                    shutil.copy(root / "filled.db", root / f"copy{number}.db")
                    copy = f"sqlite:///{root}/copy{number}.db"
                server, seconds = start(variant, root / f"{database}-{number}", copy)
                time.sleep(1)
                idle[variant] = (seconds, memory_mib(server.process.pid))
                roots = [server.process.pid] + ([cluster.process.pid] if cluster else [])
                for order, load in enumerate(LOADS):
                    figures[load[0]][variant] = measure(server, data, load, roots, args.seconds, (order + 1) * 10_000_000)
                    print(f"{database}, {variant}, {load[0]}: {figures[load[0]][variant]}", file=sys.stderr, flush=True)
                server.terminate()
            print(table(database, figures, idle), flush=True)
            everything[database] = {
                "idle": idle,
                "loads": {label: {v: vars(f) for v, f in by.items()} for label, by in figures.items()},
            }
        finally:
            if cluster:
                cluster.stop()
    shutil.rmtree(root, ignore_errors=True)
    if args.json:
        args.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
