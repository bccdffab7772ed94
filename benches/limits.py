"""What the database and HTTP reach by themselves, with the least that a logged metric takes: the bounds of the other rows.

Postgres is asked by pgbench, SQLite by Python's own module, on the filled database, so that tables and indexes are as large
as those that the servers write to. The statements write what logging a metric must: the point, and the latest one of its
run and key.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fill import Data
from support.postgres import Cluster

#: As many as one log-batch may have, and as many keys as the load of that name uses.
ROWS, KEYS = 1000, 10

_UPSERT = """
ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
WHERE (excluded.step, excluded.timestamp, excluded.value) > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)"""

#: One metric as one statement, for pgbench: the steps of all clients differ, and none waits for the row of another.
_ONE = """\\set step random(1, 1000000000000)
\\set run random(1, {count})
WITH point AS (
  INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
  SELECT 'k' || :client_id, 0.5, :step, ('{{{runs}}}'::text[])[:run], :step, false
  RETURNING key, value, timestamp, step, is_nan, run_uuid)
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT * FROM point{upsert};
"""

#: As many metrics of one run as one statement; the arrays are written out, as they are sent by a client.
_MANY = """\\set base random(1, 1000000000)
\\set run random(1, {count})
WITH point AS (
  INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
  SELECT key, value, :base, ('{{{runs}}}'::text[])[:run], :base::int8 * 1000 + step, false
  FROM unnest('{{{keys}}}'::text[], '{{{values}}}'::float8[], '{{{steps}}}'::int8[]) AS sent (key, value, step)
  RETURNING key, value, timestamp, step, is_nan, run_uuid)
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT DISTINCT ON (key) * FROM point ORDER BY key, step DESC{upsert};
"""

_POINT = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
_LATEST = f"INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0){_UPSERT}"

HEAD = "| the limits | per second | CPU µs |\n|---|---|---|"


@dataclass
class Limit:
    """A row: what was done so often per second, and the CPU of one."""

    label: str
    per_second: float
    cpu_us: float

    def __str__(self) -> str:
        return f"| {self.label} | {self.per_second:,.0f} | {self.cpu_us:,.1f} |"


def pgbench(cluster: Cluster, database: str, script: Path, clients: int, seconds: int, mode: str) -> float:
    """Runs a script and returns transactions per second."""
    done = subprocess.run(
        [cluster.binaries / "pgbench", "-n", "-M", mode, "-f", script, "-c", str(clients), "-j", "1", "-T", str(seconds),
         "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "ferroflow", database],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "number of failed transactions: 0 " in done.stdout, done.stdout + done.stderr[-2000:]
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    return float(found[1]) if found else 0.0


def postgres(cluster: Cluster, database: str, data: Data, folder: Path, seconds: int, cpu: Callable[[], float]) -> list[Limit]:
    """Measures Postgres on a database of its own; `cpu` says what it has used so far."""
    runs, count = ",".join(data.targets), len(data.targets)
    one, many = folder / "one.sql", folder / "many.sql"
    one.write_text(_ONE.format(runs=runs, count=count, upsert=_UPSERT))
    arrays = [",".join(str(value) for value in values) for values in _sent()]
    many.write_text(_MANY.format(runs=runs, count=count, upsert=_UPSERT, keys=arrays[0], values=arrays[1], steps=arrays[2]))
    limits = []
    for script, clients, rows, mode in (
        (one, 1, 1, "prepared"),
        (one, 16, 1, "prepared"),
        (one, 64, 1, "prepared"),
        (many, 1, ROWS, "simple"),
    ):
        before = cpu()
        per_second = pgbench(cluster, database, script, clients, seconds, mode)
        # The CPU of a backend counts once Postgres has noticed that it ended.
        time.sleep(0.5)
        used = (cpu() - before) / max(1, per_second * seconds) * 1e6
        what = "transactions of one metric as one statement" if rows == 1 else f"transactions of {ROWS} metrics as one statement by unnest"
        limits.append(Limit(f"Postgres alone (pgbench), {what}, {clients} client{'s' * (clients > 1)}", per_second, used))
        if rows > 1:
            limits.append(Limit(f"the same, rows (metrics, beside {KEYS} latest ones a transaction)", per_second * rows, used / rows))
    return limits


def _sent() -> tuple[list[str], list[float], list[int]]:
    """Returns keys, values and steps of a batch."""
    numbers = range(ROWS)
    return [f"b{i % KEYS}" for i in numbers], [i / 3 for i in numbers], list(numbers)


def sqlite(file: Path, data: Data, seconds: float) -> list[Limit]:
    """Measures SQLite in this process on a file of its own: one writer, write-ahead log, every commit on the disk."""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        limits = [
            _sqlite(connection, data, seconds, 1, "SQLite alone, transactions of one metric, 1 writer"),
            _sqlite(connection, data, seconds, ROWS, f"SQLite alone, transactions of {ROWS} metrics, 1 writer"),
        ]
    finally:
        connection.close()
    many = limits[-1]
    return [
        *limits,
        Limit(f"the same, rows (metrics, beside {KEYS} latest ones a transaction)", many.per_second * ROWS, many.cpu_us / ROWS),
    ]


def _sqlite(connection: sqlite3.Connection, data: Data, seconds: float, rows: int, label: str) -> Limit:
    """Writes transactions of so many rows for some seconds."""
    keys, values, steps = _sent()
    began, cpu, done = time.monotonic(), sum(os.times()[:2]), 0
    base = 10**12 * (1 + (rows > 1))
    while time.monotonic() - began < seconds:
        base += rows
        run = data.targets[done % len(data.targets)]
        points = [(keys[i], values[i], base, run, base + steps[i]) for i in range(rows)]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_POINT, points)
        connection.executemany(_LATEST, points[-KEYS:])
        connection.execute("COMMIT")
        done += 1
    took, used = time.monotonic() - began, sum(os.times()[:2]) - cpu
    return Limit(label, done / took, used / done * 1e6)
