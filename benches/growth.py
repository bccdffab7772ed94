"""Measures what grows with the data: what a request costs on one database at 1, 10 and 100 times the rows; `make
bench-growth` runs it.

A database is filled over HTTP, then each copy of it is multiplied inside the database: every run and trace gets so many
copies under other ids, later than all before, and every long history so many times its points. Statements that read a page
by an index should cost the same throughout; the table shows by how much they do not.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from compare import OURS, Variant, Window, copy_of, measure, middle, prepare, start, tidy
from fill import Data, Sizes
from loads import LOADS, Load, page_token
from support.postgres import Cluster
from traces import STEP_MS

#: How long a page of a history is; the last one is asked for.
PAGE = 1000
#: The tables of runs and of traces, and the columns with the ids that their copies get anew.
TABLES = {
    "runs": ["run_uuid"],
    "params": ["run_uuid"],
    "metrics": ["run_uuid"],
    "latest_metrics": ["run_uuid"],
    "tags": ["run_uuid"],
    "trace_info": ["request_id"],
    "trace_tags": ["request_id"],
    "trace_metrics": ["request_id"],
    "trace_request_metadata": ["request_id"],
    "spans": ["trace_id"],
    "span_metrics": ["trace_id"],
    "assessments": ["trace_id", "assessment_id"],
}


def labelled(expression: str) -> Load:
    """Returns the row of the other table that is measured here, too."""
    (load,) = (load for load in LOADS if re.fullmatch(expression, load.label))
    return load


def loads(points: int) -> list[Load]:
    """Returns what is measured where each long history has so many points."""
    last = page_token(points - PAGE)
    history = f'return wrk.format("GET", "/api/2.0/mlflow/metrics/get-history?metric_key=m&max_results={PAGE}&page_token={last}&run_id="'
    return [
        labelled("runs/search, 100 of an experiment of 1,000, 4 clients"),
        labelled("runs/search, 100 of 20,000 in 20 experiments, 4 clients"),
        labelled("log-metric, 1 client"),
        labelled("log-metric, 16 clients"),
        Load("get-history, the last page of 1,000", 1, history + " .. long[n % #long + 1])"),
        labelled("traces/search, 100 of 20,000, 4 clients"),
    ]


#: What the rows are called here: without the numbers that differ from column to column.
LABELS = [
    "runs/search, 100 of one experiment, 4 clients",
    "runs/search, 100 of 20 experiments, 4 clients",
    "log-metric, 1 client",
    "log-metric, 16 clients",
    f"get-history, the last page of {PAGE:,}, 1 client",
    "traces/search, 100 of one experiment, 4 clients",
]


def multiply(factor: int, data: Data, columns: Callable[[str], list[str]], run: Callable[[str], object], number: str) -> None:
    """Makes the rows so many times as many, by SQL that both databases read; `number` writes the copy's into an id."""
    if factor == 1:
        return
    copies = f"WITH RECURSIVE copies (c) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT c + 1 FROM copies WHERE c < {factor - 1}) "
    later = {
        "runs": {"start_time": f"start_time + c * {data.sizes.runs * 1000}", "end_time": f"end_time + c * {data.sizes.runs * 1000}"},
        "trace_info": {"timestamp_ms": f"timestamp_ms + c * {data.sizes.traces * STEP_MS}"},
        "assessments": {"trace_timestamp_ms": f"trace_timestamp_ms + c * {data.sizes.traces * STEP_MS}"},
        "spans": {
            name: f"{name} + c * {data.sizes.traces * STEP_MS * 1_000_000}" for name in ("start_time_unix_nano", "end_time_unix_nano")
        },
    }
    long = "run_uuid IN ('" + "', '".join(data.long) + "')"
    for table, ids in TABLES.items():
        names = columns(table)
        # What stays in front of the number spreads the copies of runs over an index, as ids of their own would be.
        made = {name: f"substr({name}, 1, 3) || {number} || substr({name}, 10)" for name in ids} | later.get(table, {})
        values = ", ".join(made.get(name, name) for name in names)
        where = f"NOT {long}" if "run_uuid" in names else "1 = 1"
        run(f"INSERT INTO {table} ({', '.join(names)}) {copies}SELECT {values} FROM {table}, copies WHERE {where}")
    names = columns("metrics")
    made = {name: f"{name} + c * {data.sizes.points}" for name in ("step", "timestamp")}
    values = ", ".join(made.get(name, name) for name in names)
    run(f"INSERT INTO metrics ({', '.join(names)}) {copies}SELECT {values} FROM metrics, copies WHERE key = 'm' AND {long}")


def multiply_postgres(cluster: Cluster, uri: str, factor: int, data: Data) -> None:
    """Multiplies the rows of a Postgres database."""
    database = uri.rpartition("/")[2]

    def columns(table: str) -> list[str]:
        where = f"table_schema = 'public' AND table_name = '{table}' AND is_generated = 'NEVER'"
        return cluster.query(f"SELECT column_name FROM information_schema.columns WHERE {where}", database).split()

    # Foreign keys hold by the way the copies are made, and looking each up would take most of the time.
    def run(sql: str) -> str:
        return cluster.query(f"SET session_replication_role = replica; {sql}", database)

    multiply(factor, data, columns, run, "lpad(c::text, 6, '0')")
    tidy(cluster, uri)


def multiply_sqlite(uri: str, factor: int, data: Data) -> None:
    """Multiplies the rows of an SQLite file."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        # The list leaves out columns that are computed.
        multiply(
            factor,
            data,
            lambda table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")],
            connection.execute,
            "printf('%06d', c)",
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def measure_at(factor: int, variant: Variant, postgres: int | None, args: argparse.Namespace) -> list[Window]:
    """Measures every row on one database."""
    found = []
    for order, load in enumerate(loads(args.sizes.points * factor)):
        windows = [
            measure(load, variant, postgres, args.seconds, args.longest, (order * args.rounds + turn + 1) * 1_000_000)
            for turn in range(args.rounds)
        ]
        found.append(middle(windows))
        print(f"{LABELS[order]}, times {factor}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def grow(database: str, root: Path, args: argparse.Namespace) -> None:
    """Measures on one database and prints its table."""
    cluster = Cluster.start() if database == "postgres" else None
    postgres = cluster.process.pid if cluster else None
    figures: dict[int, list[Window]] = {}
    try:
        uri, data = prepare(database, root, cluster, {"runs", "traces"}, args.sizes)
        for factor in args.factors:
            file = root / f"times{factor}.db"
            copy = copy_of(uri, cluster, file)
            began = time.monotonic()
            if cluster:
                multiply_postgres(cluster, copy, factor, data)
            else:
                multiply_sqlite(copy, factor, data)
            print(f"{database}, times {factor}: multiplied in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            variant = start(OURS, root / f"{database}-{factor}", copy, cluster, data, {"runs", "traces"})
            try:
                figures[factor] = measure_at(factor, variant, postgres, args)
            finally:
                variant.server.kill()
            if cluster:
                cluster.query(f'DROP DATABASE "{copy.rpartition("/")[2]}"')
            file.unlink(missing_ok=True)
    finally:
        if cluster:
            cluster.stop()
    print_table(database, figures)


def print_table(database: str, figures: dict[int, list[Window]]) -> None:
    """Prints one row for each kind of request, with three columns for each number of rows."""
    first = min(figures)
    head = "".join(f" CPU µs at {factor}x | p50 ms |" + (" times the CPU |" if factor != first else "") for factor in figures)
    print(f"\n### {database}\n\n| |{head}\n" + "|---" * (head.count("|") + 1) + "|")
    for order, label in enumerate(LABELS):
        cells = ""
        for factor, windows in figures.items():
            window = windows[order]
            wrong = f" **{window.errors} errors**" if window.errors else ""
            cells += f" {window.server_us:,.0f} + {window.database_us:,.0f}{wrong} | {window.p50_ms:.2f} |"
            if factor != first:
                cells += f" {window.cpu_us / figures[first][order].cpu_us:.2f} |" if figures[first][order].cpu_us else " - |"
        print(f"| {label} |{cells}", flush=True)


def main() -> None:
    """Fills, multiplies, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3, help="length of a window")
    parser.add_argument(
        "--longest", type=float, default=60, help="length of a window where fewer than three requests of each client are answered"
    )
    parser.add_argument("--rounds", type=int, default=3, help="windows of each row")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--factors", default="1,10", help="how many times the rows: 100 takes 100 times the disk and minutes")
    parser.add_argument(
        "--scale", type=float, default=1, help="the size of what is multiplied: 0.1 is 2,000 runs and traces, 10,000 points"
    )
    args = parser.parse_args()
    args.factors = sorted(map(int, args.factors.split(",")))
    args.sizes = Sizes() if args.scale == 1 else Sizes().scaled(args.scale)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = Path(tempfile.mkdtemp(prefix="ferroflow-growth-"))
    sizes = args.sizes
    print(
        f"1x is {sizes.runs:,} runs, {sizes.traces:,} traces of 10 spans, {sizes.long_runs} histories of {sizes.points:,} points; "
        f"{args.rounds} windows of {args.seconds:g} s; CPU is per request, of the server + of the database.",
        flush=True,
    )
    try:
        for database in args.databases.split(","):
            grow(database, root, args)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
