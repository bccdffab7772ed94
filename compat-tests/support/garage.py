"""A second S3 server for tests, Garage, as `make test-garage` builds it. It has what SeaweedFS has here."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from .s3 import S3Server, alone, free_ports

#: Keys of Garage have this form.
OWNER = ("GK" + "0a" * 12, "5e" * 32)
READER = ("GK" + "0b" * 12, "6f" * 32)


def program() -> Path:
    """Where `scripts/garage.sh` puts it."""
    cache = os.environ.get("FERROFLOW_CACHE") or Path.home() / ".cache/ferroflow"
    return Path(cache, "garage-2.5.0/bin/garage")


class Garage(S3Server):
    """A running server of one node."""

    kind = "garage"
    owner, reader = OWNER, READER
    #: What it says where SeaweedFS says `SignatureDoesNotMatch` and `InvalidAccessKeyId`.
    codes = {"SignatureDoesNotMatch": "AccessDenied", "InvalidAccessKeyId": "AccessDenied"}

    @classmethod
    def start(cls, folder: Path, timeout: float = 60) -> Garage:
        """Starts it, with a key that may make buckets and one that may only read."""
        folder.mkdir(parents=True, exist_ok=True)
        with alone():
            api, rpc = free_ports(2)
            (folder / "garage.toml").write_text(
                f'metadata_dir = "{folder}/meta"\ndata_dir = "{folder}/data"\ndb_engine = "sqlite"\nreplication_factor = 1\n'
                f'rpc_bind_addr = "127.0.0.1:{rpc}"\nrpc_public_addr = "127.0.0.1:{rpc}"\nrpc_secret = "{"1f" * 32}"\n'
                f'[s3_api]\ns3_region = "us-east-1"\napi_bind_addr = "127.0.0.1:{api}"\nroot_domain = ".s3.test"\n'
            )
            with (folder / "garage.log").open("wb") as log:
                command = [str(program()), "-c", str(folder / "garage.toml"), "server"]
                process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, start_new_session=True)
            server = cls(folder, api, process)
            server._set_up(timeout)
        return server

    def create_bucket(self, name: str) -> str:
        # One that a client makes has its name for that client's key only.
        self._run("bucket", "create", name)
        self._run("bucket", "allow", "--read", "--write", "--owner", name, "--key", OWNER[0])
        self._run("bucket", "allow", "--read", name, "--key", READER[0])
        return f"s3://{name}"

    def _set_up(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                node = self._run("node", "id", "--quiet").partition("@")[0]
                self._run("status")
                break
            except subprocess.CalledProcessError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"Garage did not start:\n{(self.folder / 'garage.log').read_text()}") from error
                time.sleep(0.1)
        self._run("layout", "assign", "-z", "here", "-c", "10G", node)
        self._run("layout", "apply", "--version", "1")
        for name, (key, secret) in (("owner", OWNER), ("reader", READER)):
            self._run("key", "import", "--yes", "-n", name, key, secret)
        self._run("key", "allow", "--create-bucket", OWNER[0])

    def _run(self, *arguments: str) -> str:
        command = [str(program()), "-c", str(self.folder / "garage.toml"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()
