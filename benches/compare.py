"""Measures Ferroflow beside the stock MLflow server, on the same data, on SQLite and Postgres; `make bench` runs it.

All servers run at once, each on its own copy of one filled database; wrk sends the requests of one row to one of
them after the other, several rounds long, and medians count. CPU is that of the server and of Postgres, per request
(wrk's own is left out). Of the stock server with one worker and with its default number, each row takes the better.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))
from fill import Data, fill  # noqa: E402
from loads import LOADS, Load, script  # noqa: E402
from support import servers  # noqa: E402
from support.postgres import Cluster  # noqa: E402

OURS = "ferroflow"
VARIANTS = [OURS, "stock, 1 worker", "stock, default"]


@dataclass
class Window:
    """What one window of one load gave."""

    per_second: float
    server_us: float
    database_us: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def cpu_us(self) -> float:
        """Server and database together."""
        return self.server_us + self.database_us


@dataclass
class Variant:
    """A running server on its copy of the data."""

    name: str
    server: servers.Server
    seconds_to_start: float
    idle_mib: float = 0.0

    @property
    def pid(self) -> int:
        """The root of the server's processes."""
        return self.server.process.pid


def start(name: str, folder: Path, uri: str) -> Variant:
    """Starts a variant on a database."""
    server = servers.start("ferroflow" if name == OURS else "stock", folder, uri, boot=False)
    if name == "stock, default":
        at = server.command.index("--workers")
        del server.command[at : at + 2]
    began = time.monotonic()
    server.boot()
    return Variant(name, server, time.monotonic() - began)


def tree(root: int) -> list[psutil.Process]:
    """Returns a process with its descendants."""
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def cpu_seconds(root: int | None) -> float:
    """Returns the CPU time of a process and its descendants so far."""
    total = 0.0
    for process in tree(root) if root else []:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if process.pid == root:
            # Of those that have ended.
            total += times.children_user + times.children_system
    return total


def memory_mib(root: int) -> float:
    """Returns the resident memory of a process and its descendants, shared pages counted once."""
    return sum(process.memory_full_info().pss for process in tree(root)) / 2**20


def settle(roots: list[int | None]) -> None:
    """Waits until nothing computes any longer: a server may still work at requests whose client is gone."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        before = sum(map(cpu_seconds, roots))
        time.sleep(0.3)
        if sum(map(cpu_seconds, roots)) - before < 0.03:
            return


def send(load: Load, url: str, file: Path, seconds: float, clients: int) -> str:
    """Runs wrk and returns what it printed."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "120s", "--latency", "-s", file, url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # With a script that it cannot read wrk goes on, and asks for `/`.
    assert not done.stderr, done.stderr
    return done.stdout


def milliseconds(text: str) -> float:
    """Reads a latency as wrk prints it; without a single answer it is not a number."""
    number, unit = re.fullmatch(r"(-?[\d.]+|-?nan)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def measure(load: Load, variant: Variant, database: int | None, data: Data, seconds: float, longest: float, first: int) -> Window:
    """Sends one kind of request for some seconds: longer, up to a bound, where a lone one takes long."""
    file = variant.server.log.parent / "load.lua"
    file.write_text(script(load, data, first))
    settle([variant.pid, database])
    window = seconds
    while True:
        before = cpu_seconds(variant.pid), cpu_seconds(database)
        output = send(load, variant.server.url, file, window, load.clients)
        after = cpu_seconds(variant.pid), cpu_seconds(database)
        requests = int(re.search(r"(\d+) requests in", output)[1])
        if requests >= 3 * load.clients or window >= longest:
            break
        settle([variant.pid, database])
        window = min(longest, window * 3)
        file.write_text(script(load, data, first + 500_000))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    timeouts = re.search(r"Socket errors: (.*)", output)
    return Window(
        per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        server_us=(after[0] - before[0]) / max(requests, 1) * 1e6,
        database_us=(after[1] - before[1]) / max(requests, 1) * 1e6,
        p50_ms=milliseconds(re.search(r"^ +50%\s+(\S+)", output, re.MULTILINE)[1]),
        p99_ms=milliseconds(re.search(r"^ +99%\s+(\S+)", output, re.MULTILINE)[1]),
        errors=(int(errors[1]) if errors else 0) + sum(map(int, re.findall(r"\d+", timeouts[1] if timeouts else ""))),
    )


def middle(windows: list[Window]) -> Window:
    """Returns the medians; errors add up."""
    fields = {name: median(getattr(w, name) for w in windows) for name in ("per_second", "server_us", "database_us", "p50_ms", "p99_ms")}
    return Window(**fields, errors=sum(w.errors for w in windows))


def row(label: str, by_variant: dict[str, list[Window]]) -> str:
    """Returns a row of the table."""
    ours = middle(by_variant[OURS])
    rivals = [middle(windows) for name, windows in by_variant.items() if name != OURS]
    best = max(rivals, key=lambda figure: figure.per_second)
    cheapest = min(rivals, key=lambda figure: figure.cpu_us)
    wrong = f" **{ours.errors} errors**" if ours.errors else ""
    wrong += f" **stock: {best.errors} errors**" if best.errors else ""
    spread = [w.per_second for w in by_variant[OURS]]

    def ratio(one: float, other: float) -> str:
        return f"{one / other:.1f}" if other else "-"

    return (
        f"| {label}{wrong} | {ours.per_second:,.0f} ({min(spread):,.0f}-{max(spread):,.0f}) | {ours.p50_ms:.2f} / {ours.p99_ms:.2f} "
        f"| {best.per_second:,.1f} | {best.p50_ms:.0f} / {best.p99_ms:.0f} | **{ratio(ours.per_second, best.per_second)}** "
        f"| {ours.server_us:,.0f} + {ours.database_us:,.0f} | {cheapest.server_us:,.0f} + {cheapest.database_us:,.0f} "
        f"| **{ratio(cheapest.cpu_us, ours.cpu_us)}** |"
    )


def compare(database: str, root: Path, args: argparse.Namespace) -> dict:
    """Measures on one database and prints its table."""
    cluster = Cluster.start() if database == "postgres" else None
    running: list[Variant] = []
    try:
        uri = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{root}/filled.db"
        filler = servers.start("ferroflow", root / f"fill-{database}", uri)
        chosen = [load for load in LOADS if re.search(args.only, load.label)]
        kinds = {load.about_traces for load in chosen}
        data = fill(filler.url, with_runs=False in kinds, with_traces=True in kinds)
        filler.terminate()
        if cluster:
            cluster.query("VACUUM ANALYZE", uri.rpartition("/")[2])
            cluster.query("CHECKPOINT")
        for number, name in enumerate(VARIANTS):
            if cluster:
                copy = cluster.url(cluster.create_database(template=uri.rpartition("/")[2]))
            else:
                shutil.copy(root / "filled.db", root / f"copy{number}.db")
                copy = f"sqlite:///{root}/copy{number}.db"
            running.append(start(name, root / f"{database}-{number}", copy))
            time.sleep(1)
            running[-1].idle_mib = memory_mib(running[-1].pid)
        postgres = cluster.process.pid if cluster else None
        figures: dict[str, dict[str, list[Window]]] = {}
        for order, load in enumerate(chosen):
            by_variant = figures.setdefault(load.label, {variant.name: [] for variant in running})
            for turn in range(args.rounds):
                for variant in running[turn % 3 :] + running[: turn % 3]:
                    first = (order * args.rounds + turn + 1) * 1_000_000
                    window = measure(load, variant, postgres, data, args.seconds, args.longest, first)
                    by_variant[variant.name].append(window)
                    print(f"{database}, {load.label}, {variant.name}: {window}", file=sys.stderr, flush=True)
        print(
            f"### {database}\n\n"
            "| | Ferroflow req/s (spread) | p50 / p99 ms | stock req/s | p50 / p99 ms | times req/s "
            "| Ferroflow CPU µs, server + database | stock CPU µs | times less CPU |\n|---|---|---|---|---|---|---|---|---|"
        )
        for label, by_variant in figures.items():
            print(row(label, by_variant))
        for variant in running:
            print(
                f"\n{variant.name}: started on this database in {variant.seconds_to_start:.2f} s, "
                f"{variant.idle_mib:.0f} MiB idle, {memory_mib(variant.pid):.0f} MiB after all loads."
            )
        print(flush=True)
        return {label: {name: [asdict(w) for w in ws] for name, ws in by.items()} for label, by in figures.items()}
    finally:
        for variant in running:
            variant.server.kill()
        if cluster:
            cluster.stop()


def main() -> None:
    """Fills, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3, help="length of a window")
    parser.add_argument("--longest", type=float, default=60, help="length of a window where fewer than three requests of each client are answered")
    parser.add_argument("--rounds", type=int, default=3, help="windows of each row and server")
    parser.add_argument("--only", default="", help="measure the rows whose label matches this expression")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="ferroflow-bench-"))
    memory = psutil.virtual_memory().total / 2**30
    print(
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{args.rounds} windows of {args.seconds:g} s\n",
        flush=True,
    )
    try:
        everything = {database: compare(database, root, args) for database in args.databases.split(",")}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if args.json:
        args.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
