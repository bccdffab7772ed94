"""Starts the server under test, or the stock one, as a process of its own on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from .postgres import free_port

REPOSITORY = Path(__file__).resolve().parents[2]

# Neither server may inherit what the developer's shell says about MLflow.
_CLEAN_ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
_ENVIRONMENT = {
    "stock": {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # `sys.executable -m mlflow` starts uvicorn by name.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    },
    "ferroflow": {"FERROFLOW_UI_DIR": str(REPOSITORY / "ui")},
}


def ferroflow_binary() -> Path:
    """Returns the program under test: $FERROFLOW_BIN, or what `cargo build` left."""
    if named := os.environ.get("FERROFLOW_BIN"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return target / "debug/ferroflow"


@dataclass
class Server:
    """A running server: where it is, what it stores, and its log."""

    kind: str
    url: str
    backend_uri: str
    artifacts: Path | str
    log: Path
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def boot(self, timeout: float = 90) -> None:
        """Starts the process and waits until /health answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.environment, cwd=self.log.parent, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + timeout
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} did not start: {' '.join(self.command)}\n{self.log_tail()}")
            time.sleep(0.02)

    def healthy(self) -> bool:
        """Tells whether /health answers OK."""
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        return False

    def kill(self) -> None:
        """Ends the whole process group at once, as a crash does."""
        self._signal(signal.SIGKILL)

    def terminate(self, timeout: float = 20) -> int | None:
        """Asks the server to end, and returns its exit code."""
        self._signal(signal.SIGTERM, timeout)
        code = self.process.returncode if self.process else None
        self.kill()
        return code

    def log_tail(self, lines: int = 60) -> str:
        """Returns the end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def logged(self, text: str, timeout: float = 20) -> str:
        """Waits until `text` stands in the log, whose lines come a moment after the answers, and returns all of it."""
        deadline = time.monotonic() + timeout
        while text not in (log := self.log.read_text(errors="replace")):
            assert time.monotonic() < deadline, f"not in the log: {text}"
            time.sleep(0.01)
        return log

    def _signal(self, number: signal.Signals, timeout: float = 20) -> None:
        if not self.process:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)


def start(
    kind: str,
    folder: Path,
    backend_uri: str,
    *flags: str,
    artifacts: Path | str | None = None,
    environment: dict[str, str] | None = None,
    boot: bool = True,
) -> Server:
    """Starts `ferroflow` or `stock` on a database, with its log and artifacts below `folder`.

    The server's URL ends with its `--static-prefix`, if it has one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    artifacts = artifacts or folder / "artifacts"
    port = free_port()
    if kind == "stock":
        # Which driver a bare postgresql:// means depends on the SQLAlchemy release.
        backend_uri = backend_uri.replace("postgresql://", "postgresql+psycopg2://")
    program = {
        "ferroflow": [str(ferroflow_binary()), "server"],
        "stock": [
            sys.executable, "-m", "mlflow", "server", "--workers", "1", "--uvicorn-opts", "--log-level warning",
        ],  # fmt: skip
    }[kind]
    command = [
        *program, "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", backend_uri,
        "--artifacts-destination", str(artifacts), *flags,
    ]  # fmt: skip
    prefix = flags[flags.index("--static-prefix") + 1] if "--static-prefix" in flags else ""
    server = Server(
        kind=kind,
        url=f"http://127.0.0.1:{port}{prefix}",
        backend_uri=backend_uri,
        artifacts=artifacts,
        log=folder / f"{kind}-{port}.log",
        command=command,
        environment=_CLEAN_ENVIRONMENT | _ENVIRONMENT[kind] | (environment or {}),
    )
    if boot:
        server.boot()
    return server
