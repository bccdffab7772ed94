"""Other tracking servers that speak MLflow's protocol: FastTrackML and mlflow-go-backend, started as `servers` starts ours.

`scripts/bench.sh` installs each into an environment of its own and names it in FASTTRACKML_VENV and MLFLOW_GO_VENV.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil
from support import servers
from support.postgres import free_port

#: The variable that names a peer's environment.
ENVIRONMENTS = {"fasttrackml": "FASTTRACKML_VENV", "mlflow-go": "MLFLOW_GO_VENV"}
#: As the tables call them.
NAMES = {"fasttrackml": "FastTrackML", "mlflow-go": "mlflow-go"}
#: What each can be filled with: neither takes traces by the routes of MLflow 3.17; FastTrackML has no registry, and
#: mlflow-go hands the searches of it to the MLflow behind.
PARTS = {"fasttrackml": {"runs"}, "mlflow-go": {"runs"}}
#: What is done to a new Postgres database. mlflow-go 0.2.2 writes every metric as one of a logged model that has no id,
#: too; with this constraint Postgres refuses that, and it could log no metric at all. SQLite does not look.
REPAIRS = {"mlflow-go": "ALTER TABLE logged_model_metrics DROP CONSTRAINT fk_logged_model_metrics_model_id"}


class Peer(servers.Server):
    """A server that starts others, which do not all end with its process group."""

    def kill(self) -> None:
        """Ends the server and what it has started."""
        children = self._children()
        super().kill()
        _kill(children)

    def terminate(self, timeout: float = 20) -> int | None:
        """Asks the server to end, then ends what it has left behind."""
        children = self._children()
        code = super().terminate(timeout)
        _kill(children)
        return code

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True) if self.process else []
        return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def server(name: str, folder: Path, backend_uri: str) -> Peer:
    """Returns a peer on a database, with its log and artifacts below `folder`; it is not started yet."""
    variable = ENVIRONMENTS[name]
    if variable not in os.environ:
        raise SystemExit(f"{variable} does not name the environment of {name}: run this by scripts/bench.sh, or leave it out by --servers")
    folder.mkdir(parents=True, exist_ok=True)
    build = fasttrackml if name == "fasttrackml" else mlflow_go
    return build(Path(os.environ[variable]), folder, backend_uri, free_port())


def fasttrackml(venv: Path, folder: Path, backend_uri: str, port: int) -> Peer:
    """Returns FastTrackML; its SQLite URLs have the path right after the scheme."""
    uri = backend_uri.replace("sqlite:///", "sqlite://")
    artifacts = folder / "artifacts"
    command = [
        str(venv / "bin/fml"), "server", "--listen-address", f"127.0.0.1:{port}", "--database-uri", uri,
        "--default-artifact-root", str(artifacts), "--log-level", "warning",
    ]  # fmt: skip
    return _server("fasttrackml", port, uri, artifacts, folder, command, {})


def mlflow_go(venv: Path, folder: Path, backend_uri: str, port: int) -> Peer:
    """Returns mlflow-go-backend with the MLflow server behind it, which it starts itself and by name."""
    artifacts = folder / "artifacts"
    command = [
        str(venv / "bin/mlflow-go"), "server", "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", backend_uri,
        "--artifacts-destination", str(artifacts), "--go-opts", "log_level=warning",
    ]  # fmt: skip
    environment = {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "MLFLOW_GO_LIBRARY_PATH": str(_library(venv, folder))}
    return _server("mlflow-go", port, backend_uri, artifacts, folder, command, environment)


def _library(venv: Path, folder: Path) -> Path:
    """Returns a folder with the library under the name it is looked for: the wheel for Linux has it as `.dylib`."""
    place = folder / "library"
    place.mkdir(exist_ok=True)
    (package,) = venv.glob("lib/python*/site-packages/mlflow_go_backend")
    for source, name in (("dylib", "so"), ("h", "h")):
        link = place / f"libmlflow-go-backend.{name}"
        if not link.exists():
            link.symlink_to(package / f"libmlflow-go-backend.{source}")
    return place


def _server(
    kind: str, port: int, uri: str, artifacts: Path, folder: Path, command: list[str], environment: dict[str, str]
) -> Peer:  # fmt: skip
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return Peer(
        kind=kind, url=f"http://127.0.0.1:{port}", backend_uri=uri, artifacts=artifacts,
        log=folder / f"{kind}-{port}.log", command=command, environment=clean | environment,
    )  # fmt: skip
