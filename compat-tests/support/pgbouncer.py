"""PgBouncer before a Postgres cluster, on a free port of the loopback address."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .postgres import Cluster, _unprivileged, free_port


class PgBouncer:
    """A running pooler. `restart` cuts its clients off, as an upgrade of it does."""

    def __init__(self, cluster: Cluster, mode: str, size: int, reset_query: str = "DISCARD ALL") -> None:
        self._owner = _unprivileged()
        self._root = Path(tempfile.mkdtemp(prefix="ferroflow-pgbouncer-"))
        self.port = free_port()
        (self._root / "users.txt").write_text('"ferroflow" ""\n')
        (self._root / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={cluster.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {self._root}/users.txt\nadmin_users = ferroflow\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 1000\n"
            f"server_reset_query = {reset_query}\n"
        )  # fmt: skip
        if self._owner:
            self._root.chmod(0o755)
            shutil.chown(self._root, self._owner["user"], self._owner["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it listens."""
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, str(self._root / "pgbouncer.ini")],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._root, **self._owner,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._root / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def restart(self) -> None:
        """Ends the process, which cuts all connections, and starts it again."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(20)
        self.start()

    def stop(self) -> None:
        """Ends the process and removes its folder."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(20)
        shutil.rmtree(self._root, ignore_errors=True)

    def url(self, database: str) -> str:
        """Returns the SQLAlchemy URL of a database through the pooler."""
        return f"postgresql://ferroflow@127.0.0.1:{self.port}/{database}"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
