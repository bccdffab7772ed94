"""Writes for as long as it is told to, kills the server again and again, and checks at the end that every acknowledged
write is there.

    make soak ARGS='--minutes 60'

On SQLite the server alone is killed; on PostgreSQL, which is reached through PgBouncer in transaction mode, the pooler is
killed and PostgreSQL restarted as well, and two servers share the database. Prints a table in Markdown; exits with 1 if a
write is missing.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support import servers  # noqa: E402
from support.load import Load, call, create_runs  # noqa: E402
from support.pgbouncer import PgBouncer  # noqa: E402
from support.postgres import Cluster  # noqa: E402


def writer(runs: list[str], name: str):
    """Metrics, params, tags and batches of all three, each under keys that nobody else writes."""
    dice = random.Random(name)
    for step in itertools.count():
        run, key = dice.choice(runs), f"{name}_{step}"
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


def reader(runs: list[str]):
    """Searches and look-ups beside the writers."""
    for step in itertools.count():
        yield None, "runs/search", {"experiment_ids": ["1"], "max_results": 1 + step % 5}


def missing(url: str, runs: list[str], acknowledged: list) -> list:
    """What was acknowledged and is not there."""
    stored = set()
    for run in runs:
        status, answer = call(url, "GET", f"runs/get?run_id={run}", timeout=300)
        assert status == 200, answer
        data = answer["run"]["data"]
        for kind in ("metrics", "params", "tags"):
            stored |= {(kind, run, one["key"]) for one in data.get(kind, [])}
    kinds = {"metric": ["metrics"], "param": ["params"], "tag": ["tags"], "batch": ["metrics", "params", "tags"]}
    wanted = {(kind, run, key) for name, run, key in filter(None, acknowledged) for kind in kinds[name]}
    return sorted(wanted - stored)


class Scene:
    """A database with its servers, and what can be done to them."""

    def __init__(self, database: str, folder: Path) -> None:
        self.cluster = self.pooler = None
        if database == "sqlite":
            uri, count = f"sqlite:///{folder}/soak.db", 1
        else:
            self.cluster = Cluster.start()
            self.pooler = PgBouncer(self.cluster, "transaction", 10, "")
            uri, count = self.pooler.url(self.cluster.create_database()), 2
        self.servers = [servers.start("ferroflow", folder / str(number), uri) for number in range(count)]

    def disturb(self, dice: random.Random) -> str:
        """Kills something and brings it back."""
        kinds = ["server"] if not self.cluster else ["server", "server", "pooler", "database"]
        kind = dice.choice(kinds)
        if kind == "server":
            server = dice.choice(self.servers)
            server.kill()
            server.boot()
        elif kind == "pooler":
            self.pooler.restart()
        else:
            self.cluster.halt(signal.SIGQUIT)
            self.cluster.boot()
        return kind

    def stop(self) -> None:
        """Ends everything."""
        for server in self.servers:
            server.terminate()
        if self.cluster:
            self.pooler.stop()
            self.cluster.stop()


def soak(database: str, minutes: float, every: float) -> tuple[str, bool]:
    """Returns a row of the table, and whether everything was there."""
    dice, killed = random.Random(7), Counter()
    with tempfile.TemporaryDirectory(prefix="ferroflow-soak-") as folder:
        scene = Scene(database, Path(folder))
        try:
            runs, load = create_runs(scene.servers[0].url, 8), Load()
            for number in range(8):
                url = scene.servers[number % len(scene.servers)].url
                load.start(url, lambda number=number: writer(runs, f"w{number}"))
            load.start(scene.servers[0].url, lambda: reader(runs))
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until:
                time.sleep(min(every * dice.uniform(0.5, 1.5), max(0.0, until - time.monotonic())))
                killed[scene.disturb(dice)] += 1
            load.stop()
            lost = missing(scene.servers[0].url, runs, load.acknowledged)
        finally:
            scene.stop()
    refused = Counter("hung up" if status == 0 else str(status) for status, _ in load.refused)
    count = sum(one is not None for one in load.acknowledged)
    row = f"| {database} | {minutes:g} | {dict(killed)} | {count:,} | {len(lost)} | {dict(refused)} |"
    for one in lost[:20]:
        print("lost:", one, file=sys.stderr)
    return row, not lost and not set(refused) - {"hung up", "503"}


def main() -> int:
    """Soaks each database and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="for each database")
    parser.add_argument("--every", type=float, default=20, help="seconds between two kills, about")
    parser.add_argument("--databases", default="sqlite,postgres")
    args = parser.parse_args()
    rows = [soak(database, args.minutes, args.every) for database in args.databases.split(",")]
    print("| database | minutes | killed | acknowledged writes | lost | refused |\n|---|---|---|---|---|---|")
    print("\n".join(row for row, _ in rows))
    return 0 if all(good for _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
