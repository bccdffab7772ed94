"""Measures Ferroflow beside the stock MLflow server and two peers, on the same data, on SQLite and Postgres; `make bench`
runs it.

All servers run at once. Ours and stock have a copy each of one filled database; the peers (`peers.py`) cannot read it and
are filled with the same over HTTP. wrk sends the requests of one row to one server after the other, several rounds long,
and medians count. The rows called fresh are of servers that were started on an empty database each and have filled it
themselves; nobody analyses it, and they are not started again. CPU is that of the server and of Postgres, per request
(wrk's own is left out). Of the stock server with one worker and with its default number, each row takes the better. A peer
has no figure ("-") in a row that it cannot do: it has no such data, refuses, or answers with something else than we do.
`limits.py` adds what the database alone reaches.

`--servers ferroflow,before` measures beside another build, the program at $FERROFLOW_BEFORE; `--servers ferroflow,pgbouncer`
beside itself through PgBouncer in transaction mode, whose CPU counts as the server's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))
import limits  # noqa: E402
import peers  # noqa: E402
from fill import Data, Sizes, fill  # noqa: E402
from loads import FRESH_LOADS, LOADS, Load, script  # noqa: E402
from support import servers  # noqa: E402
from support.pgbouncer import PgBouncer  # noqa: E402
from support.postgres import Cluster  # noqa: E402

OURS = "ferroflow"
STOCK = ["stock, 1 worker", "stock, default"]
BEFORE, POOLED = "before", "pgbouncer"
#: Ours, in other ways.
OURSELVES = {BEFORE: "Ferroflow before", POOLED: "Ferroflow through PgBouncer"}
#: What --servers may name, and what runs for it.
SERVERS = {OURS: [OURS], "stock": STOCK} | {name: [name] for name in (*peers.PARTS, *OURSELVES)}
#: What is measured where nobody says.
USUAL = [name for name in SERVERS if name not in OURSELVES]
EMPTY = Load("an empty answer of ours (/health), 16 clients", 16, 'return wrk.format("GET", "/health")')


@dataclass
class Window:
    """What one window of one load gave."""

    per_second: float
    server_us: float
    database_us: float
    p50_ms: float
    p99_ms: float
    requests: int
    errors: int

    @property
    def cpu_us(self) -> float:
        """Server and database together."""
        return self.server_us + self.database_us


@dataclass
class Variant:
    """A running server on its copy of the data, and the ids there."""

    name: str
    server: servers.Server
    data: Data
    #: What it was filled with.
    parts: set[str]
    seconds_to_start: float
    idle_mib: float = 0.0
    pooler: PgBouncer | None = None

    @property
    def pid(self) -> int:
        """The root of the server's processes."""
        return self.server.process.pid

    def cpu_seconds(self) -> float:
        """Returns the CPU time of the server, and of its pooler."""
        return cpu_seconds(self.pid) + cpu_seconds(self.pooler.pid if self.pooler else None)

    def kill(self) -> None:
        """Ends it at once."""
        self.server.kill()
        if self.pooler:
            self.pooler.stop()


def pooler_of(name: str, uri: str, cluster: Cluster | None) -> tuple[PgBouncer | None, str]:
    """Returns the pooler that a server is to use, and the URI of its database."""
    if name != POOLED or not cluster:
        return None, uri
    pooler = PgBouncer(cluster, "transaction", 40)
    return pooler, pooler.url(uri.rpartition("/")[2])


def server_of(name: str, folder: Path, uri: str) -> servers.Server:
    """Returns ours or a variant of stock, which is not started yet."""
    server = servers.start("stock" if name in STOCK else "ferroflow", folder, uri, boot=False)
    if name == BEFORE:
        server.command[0] = os.environ["FERROFLOW_BEFORE"]
    if name == "stock, default":
        at = server.command.index("--workers")
        del server.command[at : at + 2]
    return server


def start_fresh(name: str, folder: Path, uri: str, cluster: Cluster | None, sizes: Sizes) -> Variant:
    """Starts a server on an empty database, and lets it fill that."""
    parts = {"runs"}
    pooler, uri = pooler_of(name, uri, cluster)
    server = peers.server(name, folder, uri) if name in peers.PARTS else server_of(name, folder, uri)
    began = time.monotonic()
    server.boot(timeout=180)
    seconds = time.monotonic() - began
    try:
        if cluster and name in peers.REPAIRS:
            cluster.query(peers.REPAIRS[name], uri.rpartition("/")[2])
        idle = memory_mib(server.process.pid)
        return Variant(name, server, fill(server.url, parts, sizes), parts, seconds, idle, pooler)
    except BaseException:
        server.kill()
        raise


def start(name: str, folder: Path, uri: str, cluster: Cluster | None, data: Data, parts: set[str]) -> Variant:
    """Starts a variant on a database; a peer fills it first."""
    pooler, uri = pooler_of(name, uri, cluster)
    if name in peers.PARTS:
        server, parts = peers.server(name, folder, uri), parts & peers.PARTS[name]
        server.boot(timeout=180)
        try:
            if cluster and name in peers.REPAIRS:
                cluster.query(peers.REPAIRS[name], uri.rpartition("/")[2])
            data = fill(server.url, parts, data.sizes)
        finally:
            server.terminate()
    else:
        server = server_of(name, folder, uri)
    began = time.monotonic()
    server.boot(timeout=180)
    return Variant(name, server, data, parts, time.monotonic() - began, pooler=pooler)


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


def measure(load: Load, variant: Variant, database: int | None, seconds: float, longest: float, first: int) -> Window:
    """Sends one kind of request for some seconds: longer, up to a bound, where a lone one takes long."""
    file = variant.server.log.parent / "load.lua"
    file.write_text(script(load, variant.data, first))
    settle([variant.pid, database])
    window = seconds
    while True:
        before = variant.cpu_seconds(), cpu_seconds(database)
        output = send(load, variant.server.url, file, window, load.clients)
        after = variant.cpu_seconds(), cpu_seconds(database)
        requests = int(re.search(r"(\d+) requests in", output)[1])
        if requests >= 3 * load.clients or window >= longest:
            break
        settle([variant.pid, database])
        window = min(longest, window * 3)
        file.write_text(script(load, variant.data, first + 500_000))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    timeouts = re.search(r"Socket errors: (.*)", output)
    return Window(
        per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        server_us=(after[0] - before[0]) / max(requests, 1) * 1e6,
        database_us=(after[1] - before[1]) / max(requests, 1) * 1e6,
        p50_ms=milliseconds(re.search(r"^ +50%\s+(\S+)", output, re.MULTILINE)[1]),
        p99_ms=milliseconds(re.search(r"^ +99%\s+(\S+)", output, re.MULTILINE)[1]),
        requests=requests,
        errors=(int(errors[1]) if errors else 0) + sum(map(int, re.findall(r"\d+", timeouts[1] if timeouts else ""))),
    )


def middle(windows: list[Window]) -> Window:
    """Returns the medians; requests and errors add up."""
    fields = {name: median(getattr(w, name) for w in windows) for name in ("per_second", "server_us", "database_us", "p50_ms", "p99_ms")}
    return Window(**fields, requests=sum(w.requests for w in windows), errors=sum(w.errors for w in windows))


_ANSWER = """
function response(status, headers, body)
  local file = io.open("{file}", "w")
  file:write(status, "\\n", body)
  file:close()
  response = nil
  wrk.thread:stop()
end
"""


def outline(load: Load, variant: Variant) -> tuple[dict[str, int], set[str]]:
    """Sends one request and returns how long the lists in the answer are, and which runs are in it."""
    folder = variant.server.log.parent
    script_file, answer_file = folder / "ask.lua", folder / "answer"
    answer_file.unlink(missing_ok=True)
    script_file.write_text(script(load, variant.data, 77) + _ANSWER.format(file=answer_file))
    for seconds in (1, 30):
        if not answer_file.exists():
            send(load, variant.server.url, script_file, seconds, 1)
    status, _, body = answer_file.read_text().partition("\n") if answer_file.exists() else ("0", "", "")
    if not status.startswith("2"):
        return {f"refused with {status}": 1}, set()
    answer = json.loads(body) if body.startswith("{") else {}
    lengths: dict[str, int] = {}

    def walk(path: str, value: object) -> None:
        if isinstance(value, list) and value:
            lengths[path] = len(value)
            walk(path, value[0])
        elif isinstance(value, dict):
            # Of these each server adds some of its own.
            for key in value.keys() - {"tags", "inputs", "outputs"}:
                walk(f"{path}/{key}", value[key])

    walk("", answer)
    return lengths, {run["info"]["run_name"] for run in answer.get("runs", [])}


def alike(theirs: dict[str, int], ours: dict[str, int]) -> bool:
    """Tells whether lists are as long as ours; of thousands of sampled points there may be some more or less."""
    return theirs.keys() == ours.keys() and all(abs(theirs[path] - length) <= length / 100 for path, length in ours.items())


def is_able(load: Load, ours: tuple[dict[str, int], set[str]], peer: Variant) -> bool:
    """Tells whether a peer answers as we do; where values are equal, it may take other runs on a page."""
    if load.about not in peer.parts:
        return False
    theirs = outline(load, peer)
    able = alike(theirs[0], ours[0]) and len(theirs[1] & ours[1]) >= 0.9 * len(ours[1])
    if not able:
        same = len(theirs[1] & ours[1])
        print(f"{load.label}, {peer.name} is left out: {theirs[0]} and not {ours[0]}, {same} runs the same", file=sys.stderr, flush=True)
    return able


def find_able(chosen: list[Load], running: list[Variant]) -> dict[str, list[Variant]]:
    """Returns who takes part in each row. It is asked before anything is measured, as writes make the data differ."""
    able: dict[str, list[Variant]] = {}
    for load in chosen:
        rivals = [variant for variant in running if variant.name in peers.PARTS]
        ours = outline(load, running[0]) if rivals else ({}, set())
        able[load.label] = [variant for variant in running if variant not in rivals or is_able(load, ours, variant)]
    return able


def ratio(one: float, other: float) -> str:
    """Returns a quotient as the tables show it."""
    return f"**{one / other:.1f}**" if one and other else "-"


def rivals_of(by_variant: dict[str, list[Window]], names: list[str]) -> dict[str, Window]:
    """Returns the medians of those who took part and did not fail one request in a hundred."""
    figures = {name: middle(by_variant[name]) for name in names if name in by_variant}
    return {name: figure for name, figure in figures.items() if figure.requests and figure.errors < figure.requests / 100}


STOCK_HEAD = (
    "| | Ferroflow req/s (spread) | p50 / p99 ms | stock req/s | p50 / p99 ms | times req/s "
    "| Ferroflow CPU µs, server + database | stock CPU µs | times less CPU |\n|---|---|---|---|---|---|---|---|---|"
)


def stock_row(label: str, by_variant: dict[str, list[Window]]) -> str:
    """Returns a row of the table beside stock."""
    ours = middle(by_variant[OURS])
    stock = [middle(by_variant[name]) for name in STOCK]
    best = max(stock, key=lambda figure: figure.per_second)
    cheapest = min(stock, key=lambda figure: figure.cpu_us)
    wrong = f" **{ours.errors} errors**" if ours.errors else ""
    wrong += f" **stock: {best.errors} errors**" if best.errors else ""
    spread = [w.per_second for w in by_variant[OURS]]
    return (
        f"| {label}{wrong} | {ours.per_second:,.0f} ({min(spread):,.0f}-{max(spread):,.0f}) | {ours.p50_ms:.2f} / {ours.p99_ms:.2f} "
        f"| {best.per_second:,.1f} | {best.p50_ms:.0f} / {best.p99_ms:.0f} | {ratio(ours.per_second, best.per_second)} "
        f"| {ours.server_us:,.0f} + {ours.database_us:,.0f} | {cheapest.server_us:,.0f} + {cheapest.database_us:,.0f} "
        f"| {ratio(cheapest.cpu_us, ours.cpu_us)} |"
    )


def peers_head(names: list[str]) -> str:
    """Returns the head of the table beside the peers, or beside ourselves."""
    called = [(peers.NAMES | OURSELVES)[name] for name in names]
    who = "".join(f"{name} req/s | " for name in called), "".join(f"{name} CPU µs | " for name in called)
    columns = f"| | Ferroflow req/s | {who[0]}times the better's req/s | Ferroflow CPU µs | {who[1]}times less CPU than the cheaper |"
    return columns + "\n" + "|---" * (columns.count("|") - 1) + "|"


def peers_row(label: str, by_variant: dict[str, list[Window]], names: list[str]) -> str:
    """Returns a row of the table beside the peers."""
    ours = middle(by_variant[OURS])
    figures = rivals_of(by_variant, names)
    best = max((figure.per_second for figure in figures.values()), default=0)
    cheapest = min((figure.cpu_us for figure in figures.values()), default=0)

    def rate(name: str) -> str:
        wrong = f" **{figures[name].errors} errors**" if name in figures and figures[name].errors else ""
        return f"{figures[name].per_second:,.1f}{wrong} | " if name in figures else "- | "

    def cpu(name: str) -> str:
        return f"{figures[name].server_us:,.0f} + {figures[name].database_us:,.0f} | " if name in figures else "- | "

    return (
        f"| {label} | {ours.per_second:,.0f} | {''.join(map(rate, names))}{ratio(ours.per_second, best)} "
        f"| {ours.server_us:,.0f} + {ours.database_us:,.0f} | {''.join(map(cpu, names))}{ratio(cheapest, ours.cpu_us)} |"
    )


def print_tables(database: str, figures: dict[str, dict[str, list[Window]]], running: list[Variant]) -> None:
    """Prints the table beside stock, the one beside the peers, and what each server needs."""
    names = [variant.name for variant in running]
    rivals = [name for name in names if name in peers.PARTS]
    if set(STOCK) <= set(names):
        print(f"### {database}\n\n{STOCK_HEAD}")
        for label, by_variant in figures.items():
            print(stock_row(label, by_variant))
    tables = [(f"{database}, peers", rivals)] if rivals or len(names) == 1 else []
    tables += [(f"{database}, {name}", [name]) for name in names if name in OURSELVES]
    for title, others in tables:
        print(f"\n### {title}\n\n{peers_head(others)}")
        for label, by_variant in figures.items():
            print(peers_row(label, by_variant, others))
    for variant in running:
        print(
            f"\n{variant.name}: started on this database in {variant.seconds_to_start:.2f} s, "
            f"{variant.idle_mib:.0f} MiB idle, {memory_mib(variant.pid):.0f} MiB after all loads."
        )


def print_limits(root: Path, uri: str, cluster: Cluster | None, args: argparse.Namespace, ours: Variant) -> None:
    """Prints what the database that the others have copies of reaches alone, and our server where nothing is to be done."""
    postgres = cluster.process.pid if cluster else None
    empty = middle([measure(EMPTY, ours, postgres, args.seconds, args.seconds, 1) for _ in range(args.rounds)])
    found = [limits.Limit(EMPTY.label, empty.per_second, empty.server_us)]
    settle([ours.pid, postgres])
    # So many clients of pgbench take their time to connect.
    seconds = max(3, round(args.seconds))
    if ours.data.targets and cluster:
        found += limits.postgres(cluster, uri.rpartition("/")[2], ours.data, root, seconds, partial(cpu_seconds, postgres))
    elif ours.data.targets:
        found += limits.sqlite(Path(uri.removeprefix("sqlite:///")), ours.data, seconds)
    print("\n".join([f"\n{limits.HEAD}", *map(str, found)]))


def prepare(database: str, root: Path, cluster: Cluster | None, parts: set[str], sizes: Sizes) -> tuple[str, Data]:
    """Makes a filled database and returns its URI and the ids in it."""
    uri = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{root}/filled.db"
    filler = servers.start("ferroflow", root / f"fill-{database}", uri)
    try:
        data = fill(filler.url, parts, sizes)
    finally:
        filler.terminate()
    if cluster:
        tidy(cluster, uri)
    else:
        # Only the file itself is copied, and what was written last may still be beside it.
        with contextlib.closing(sqlite3.connect(root / "filled.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return uri, data


def tidy(cluster: Cluster, uri: str) -> None:
    """Does now what Postgres would do some minutes after so much was written."""
    cluster.query("VACUUM ANALYZE", uri.rpartition("/")[2])
    cluster.query("CHECKPOINT")


def copy_of(uri: str, cluster: Cluster | None, file: Path) -> str:
    """Copies a filled database and returns the URI of the copy."""
    if cluster:
        return cluster.url(cluster.create_database(template=uri.rpartition("/")[2]))
    shutil.copy(uri.removeprefix("sqlite:///"), file)
    return f"sqlite:///{file}"


def start_all(database: str, root: Path, cluster: Cluster | None, args: argparse.Namespace, parts: set[str], running: list[Variant]) -> str:
    """Starts every server on its database, and returns the one that was filled first."""
    uri, data = prepare(database, root, cluster, parts, args.sizes)
    for number, name in enumerate(name for server in args.servers for name in SERVERS[server]):
        file = root / f"copy{number}.db"
        if name not in peers.PARTS:
            own = copy_of(uri, cluster, file)
        else:
            own = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{file}"
        running.append(start(name, root / f"{database}-{number}", own, cluster, data, parts))
        if cluster:
            tidy(cluster, own)
        time.sleep(1)
        running[-1].idle_mib = memory_mib(running[-1].pid)
    return uri


def measure_all(
    database: str, chosen: list[Load], running: list[Variant], cluster: Cluster | None, args: argparse.Namespace
) -> dict[str, dict[str, list[Window]]]:  # fmt: skip
    """Measures rows on all servers in turn."""
    postgres = cluster.process.pid if cluster else None
    able = find_able(chosen, running)
    figures: dict[str, dict[str, list[Window]]] = {}
    for order, load in enumerate(chosen):
        by_variant = figures.setdefault(load.label, {variant.name: [] for variant in able[load.label]})
        for turn in range(args.rounds):
            at = turn % len(able[load.label])
            for variant in able[load.label][at:] + able[load.label][:at]:
                first = (order * args.rounds + turn + 1) * 1_000_000
                window = measure(load, variant, postgres, args.seconds, args.longest, first)
                by_variant[variant.name].append(window)
                print(f"{database}, {load.label}, {variant.name}: {window}", file=sys.stderr, flush=True)
    return figures


def figures_of(database: str, root: Path, args: argparse.Namespace, chosen: list[Load], is_fresh: bool) -> dict:
    """Measures rows on one database, a fresh or a filled one, and prints their tables."""
    # What nobody has analysed yet is to stay so for as long as it takes to measure it.
    cluster = Cluster.start(settings={"autovacuum": "off"} if is_fresh else None) if database == "postgres" else None
    running: list[Variant] = []
    try:
        if is_fresh:
            for number, name in enumerate(name for server in args.servers for name in SERVERS[server]):
                uri = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{root}/fresh{number}.db"
                folder = root / f"fresh-{database}-{number}"
                running.append(start_fresh(name, folder, uri, cluster, args.sizes.fresh()))
        else:
            filled = start_all(database, root, cluster, args, {load.about for load in chosen}, running)
        figures = measure_all(database, chosen, running, cluster, args)
        print_tables(f"{database}, fresh" if is_fresh else database, figures, running)
        if not args.no_limits and not is_fresh:
            print_limits(root, filled, cluster, args, running[0])
        print(flush=True)
        return {label: {name: [asdict(w) for w in ws] for name, ws in by.items()} for label, by in figures.items()}
    finally:
        for variant in running:
            variant.kill()
        if cluster:
            cluster.stop()


def compare(database: str, root: Path, args: argparse.Namespace) -> dict:
    """Measures on one database, filled and fresh, and prints its tables."""
    figures = {}
    for loads, is_fresh in ((LOADS, False), (FRESH_LOADS, True)):
        if chosen := [load for load in loads if re.search(args.only, load.label)]:
            figures |= figures_of(database, root, args, chosen, is_fresh)
    return figures


def main() -> None:
    """Fills, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3, help="length of a window")
    parser.add_argument(
        "--longest", type=float, default=60, help="length of a window where fewer than three requests of each client are answered"
    )
    parser.add_argument("--rounds", type=int, default=3, help="windows of each row and server")
    parser.add_argument("--only", default="", help="measure the rows whose label matches this expression")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--servers", default=",".join(USUAL), help="what to measure; ours is always there")
    parser.add_argument("--scale", type=float, default=1, help="fill so many times as much: less than 1 to try things")
    parser.add_argument("--no-limits", action="store_true", help="leave out what the database alone reaches")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    # An end from outside must not leave servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args.servers = [OURS, *(name for name in args.servers.split(",") if name != OURS)]
    if unknown := set(args.servers) - SERVERS.keys():
        parser.error(f"--servers knows {', '.join(SERVERS)}, not {', '.join(unknown)}")
    if BEFORE in args.servers and "FERROFLOW_BEFORE" not in os.environ:
        parser.error("before is the program at $FERROFLOW_BEFORE")
    if POOLED in args.servers and "sqlite" in args.databases:
        parser.error("pgbouncer is for --databases postgres")
    args.sizes = Sizes() if args.scale == 1 else Sizes().scaled(args.scale)
    root = Path(tempfile.mkdtemp(prefix="ferroflow-bench-"))
    memory = psutil.virtual_memory().total / 2**30
    print(
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{args.rounds} windows of {args.seconds:g} s\n"
        + (f"\nFilled with {args.sizes}, not what the rows say.\n" if args.scale != 1 else ""),
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
