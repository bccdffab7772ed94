"""Measures how much of the time of a training script is the server's: the real client logs runs as a script does, in a process
of its own, to Ferroflow and to the stock server; `make bench-client` runs it.

Each run logs its params at once, its metrics one by one, and one artifact. The server's part is given twice, as shares of the
time that the script took: the CPU of server and database, and how long the client waited for answers, which holds the work
of its own HTTP library, too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))
from compare import OURS, STOCK, cpu_seconds, server_of, settle  # noqa: E402
from support.postgres import Cluster  # noqa: E402

PARAMS, METRICS = 10, 100


def script(url: str, runs: int) -> None:
    """Is the training script: prints the seconds it took, and those in which it waited for answers."""
    import mlflow
    import requests

    waited, count, send = 0.0, 0, requests.adapters.HTTPAdapter.send

    def timed(*args: object, **kwargs: object) -> requests.Response:
        nonlocal waited, count
        began = time.perf_counter()
        try:
            return send(*args, **kwargs)
        finally:
            waited += time.perf_counter() - began
            count += 1

    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("client")
    requests.adapters.HTTPAdapter.send = timed
    began = time.perf_counter()
    for number in range(runs):
        with mlflow.start_run():
            mlflow.log_params({f"param_{i}": number * i for i in range(PARAMS)})
            for step in range(METRICS):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
            mlflow.log_text("trained", "model.txt")
    print(json.dumps({"seconds": time.perf_counter() - began, "waited": waited, "requests": count}))


def measure(name: str, database: str, folder: Path, runs: int) -> str:
    """Runs the script against a server of its own and returns a row of the table."""
    cluster = Cluster.start() if database == "postgres" else None
    uri = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{folder}/{name.replace(' ', '')}.db"
    server = server_of(name, folder / f"{database}-{name.replace(' ', '')}", uri)
    try:
        server.boot(timeout=180)
        roots = [server.process.pid, cluster.process.pid if cluster else None]
        settle(roots)
        before = [cpu_seconds(root) for root in roots]
        done = subprocess.run([sys.executable, __file__, "--script", server.url, "--runs", str(runs)], capture_output=True, text=True, check=True)
        used = [cpu_seconds(root) - first for root, first in zip(roots, before, strict=True)]
        found = json.loads(done.stdout.splitlines()[-1])
    finally:
        server.kill()
        if cluster:
            cluster.stop()
    seconds = found["seconds"]
    return (
        f"| {database} | {name} | {seconds:.1f} | {found['requests']:,} | {used[0]:.2f} + {used[1]:.2f} | {sum(used) / seconds:.1%} "
        f"| {used[0] / seconds:.1%} | {found['waited'] / seconds:.0%} |"
    )


def main() -> None:
    """Prints a row for each server and database."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--script", help="be the training script, for the server at this URL")
    args = parser.parse_args()
    if args.script:
        script(args.script, args.runs)
        return
    print(
        f"{args.runs} runs of {PARAMS} params, {METRICS} metrics and an artifact each\n\n"
        "| database | server | s | requests | CPU s, server + database | both of the time | the server of the time | the client waits |\n"
        "|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="ferroflow-bench-client-") as folder:
        for database in args.databases.split(","):
            for name in (OURS, *STOCK):
                print(measure(name, database, Path(folder), args.runs), flush=True)


if __name__ == "__main__":
    main()
