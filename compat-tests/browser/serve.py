"""Starts a server on an empty database, fills it, prints where it is as one line of JSON, and ends with its stdin.

    python serve.py [--target ferroflow|stock] [--database sqlite|postgres] [--store disk|s3] [--prefix /path]

With `--store s3` the artifacts of runs lie in a bucket that the client reaches itself. With `--prefix` the server is
below it, behind nginx.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

from support import nginx, servers  # noqa: E402
from support.postgres import Cluster  # noqa: E402
from support.s3 import SeaweedFS  # noqa: E402


def main() -> None:
    """Runs until whoever started this closes the pipe."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--target", choices=["ferroflow", "stock"], default="ferroflow")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--store", choices=["disk", "s3"], default="disk")
    parser.add_argument("--prefix", default="")
    args = parser.parse_args()
    cluster = Cluster.start() if args.database == "postgres" else None
    try:
        with tempfile.TemporaryDirectory(prefix="ferroflow-browser-") as folder:
            uri = cluster.url(cluster.create_database()) if cluster else f"sqlite:///{folder}/mlflow.db"
            if args.store == "disk":
                run(args.target, Path(folder), uri, prefix=args.prefix)
                return
            s3 = SeaweedFS.start(Path(folder, "s3"))
            try:
                os.environ |= s3.environment
                root = ["--default-artifact-root", f"{s3.create_bucket('runs')}/root"]
                run(args.target, Path(folder), uri, *root, environment=s3.environment)
            finally:
                s3.stop()
    finally:
        if cluster:
            cluster.stop()


def run(
    target: str, folder: Path, uri: str, *flags: str, environment: dict[str, str] | None = None, prefix: str = ""
) -> None:
    """Serves `uri` with seeded data until stdin closes."""
    if prefix:
        flags = (*flags, "--static-prefix", prefix)
    server = servers.start(target, folder, uri, *flags, environment=environment)
    proxy = nginx.Nginx.start(folder / "nginx", server.url, nginx.below(prefix)) if prefix else None
    try:
        if proxy:
            server.url = proxy.url + prefix
        from seed import seed
        from seed_genai import seed_genai

        # The client tells of its progress on stdout, which is for one line of ours.
        with contextlib.redirect_stdout(sys.stderr):
            ids = seed(server.url) | seed_genai(server.url)
        print(json.dumps({"url": server.url, **ids}), flush=True)
        sys.stdin.read()
    except BaseException:
        print(server.log_tail(), file=sys.stderr)
        raise
    finally:
        if proxy:
            proxy.stop()
        server.terminate()


if __name__ == "__main__":
    main()
