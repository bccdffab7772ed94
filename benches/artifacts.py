"""Measures large artifacts beside the stock server and beside boto3 on the same store; `make bench-artifacts` runs it.

A file of 1 GiB goes up and down: through Ferroflow's proxy, through stock's, and by boto3 itself, on S3 (SeaweedFS) and
on a local folder, where a plain copy takes the place of boto3. Then four such files at once. What is counted: MB/s by
the clock, CPU seconds of the server with its children, and the most memory that it has had (VmHWM). Each server is
new for each row, so that memory is the row's own. The sender makes its bytes in advance and the receiver throws them
away, each in a thread per file; on few cores they take their share, with every server the same.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compat-tests"))
from support import servers  # noqa: E402
from support.s3 import SeaweedFS  # noqa: E402
from support.wire import PROXY  # noqa: E402

MIB = 1024 * 1024


@dataclass
class Row:
    """What one way of going up or down gave."""

    store: str
    way: str
    direction: str
    files: int
    mb_per_s: float
    cpu_s: float | None
    peak_mib: float | None

    def __str__(self) -> str:
        cpu = "      " if self.cpu_s is None else f"{self.cpu_s:6.1f}"
        peak = "      " if self.peak_mib is None else f"{self.peak_mib:6.0f}"
        return f"{self.store:5} {self.way:10} {self.direction:5} {self.files} x {self.mb_per_s:7.0f} MB/s {cpu} CPU s {peak} MiB"


def family(server: servers.Server) -> list[psutil.Process]:
    """The server's process and its children."""
    root = psutil.Process(server.process.pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(server: servers.Server) -> float:
    """What the server has used of the processors."""
    return sum(sum(process.cpu_times()[:2]) for process in family(server))


def peak_mib(server: servers.Server) -> float:
    """The most memory that each process of the server has had, added up."""
    total = 0
    for process in family(server):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += int(status.split("VmHWM:")[1].split()[0])
    return total / 1024


def pieces(size: int) -> Iterator[bytes]:
    """Bytes that do not compress, the same block over and over."""
    block = os.urandom(MIB)
    for _ in range(size // MIB):
        yield block


class Through:
    """A server's proxy, over plain connections."""

    def __init__(self, server: servers.Server) -> None:
        self._host = urlsplit(server.url).netloc

    def up(self, name: str, size: int) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=1200)
        connection.request("PUT", f"{PROXY}/{name}", body=pieces(size), headers={"Content-Length": str(size)})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(answer.read())
        connection.close()

    def down(self, name: str, size: int) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=1200)
        connection.request("GET", f"{PROXY}/{name}")
        answer = connection.getresponse()
        buffer, length = bytearray(MIB), 0
        while count := answer.readinto(buffer):
            length += count
        connection.close()
        if (answer.status, length) != (200, size):
            raise RuntimeError(f"{answer.status}: {length} bytes")


class Boto:
    """The store itself, by the library that stock uses."""

    def __init__(self, s3: SeaweedFS, folder: Path, size: int) -> None:
        self._client = s3.client(max_pool_connections=50)
        self._file = folder / "source.bin"
        with self._file.open("wb") as file:
            for piece in pieces(size):
                file.write(piece)
        self._folder = folder

    def up(self, name: str, size: int) -> None:
        self._client.upload_file(str(self._file), "bench", f"boto/{name}")

    def down(self, name: str, size: int) -> None:
        target = self._folder / f"down-{name}"
        self._client.download_file("bench", f"boto/{name}", str(target))
        target.unlink()


class Copy:
    """The folder itself."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder

    def up(self, name: str, size: int) -> None:
        with (self._folder / name).open("wb") as file:
            for piece in pieces(size):
                file.write(piece)
            os.fsync(file.fileno())

    def down(self, name: str, size: int) -> None:
        buffer = bytearray(MIB)
        with (self._folder / name).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def timed(work: Callable[[str, int], None], files: int, size: int) -> float:
    """Runs the work on so many files at once and returns MB/s."""
    names = [f"{number}.bin" for number in range(files)]
    with ThreadPoolExecutor(files) as pool:
        begin = time.perf_counter()
        list(pool.map(work, names, [size] * files))
        return files * size / 1e6 / (time.perf_counter() - begin)


def measure(store: str, way: str, files: int, size: int, made: object, server: servers.Server | None) -> list[Row]:
    """Up, then down."""
    rows = []
    for direction in ("up", "down"):
        before = cpu_seconds(server) if server else 0
        speed = timed(getattr(made, direction), files, size)
        rows.append(
            Row(store, way, direction, files, speed, cpu_seconds(server) - before if server else None, peak_mib(server) if server else None)
        )
        print(rows[-1], flush=True)
    return rows


def through(kind: str, store: str, files: int, size: int, folder: Path, destination: str, environment: dict) -> list[Row]:
    """Measures a server of its own."""
    home = folder / f"{kind}-{store}-{files}"
    server = servers.start(kind, home, f"sqlite:///{home}/x.db", artifacts=destination, environment=environment)
    try:
        return measure(store, kind, files, size, Through(server), server)
    finally:
        server.terminate()


def main() -> None:
    """Prints a line per row and writes them all as JSON if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of a file")
    parser.add_argument("--files", default="1,4", help="how many files at once")
    parser.add_argument("--kinds", default="ferroflow,stock", help="servers to measure")
    parser.add_argument("--stores", default="s3,disk")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    args = parser.parse_args()
    size, rows = args.mib * MIB, []
    with tempfile.TemporaryDirectory(prefix="bench-artifacts-") as name:
        folder = Path(name)
        for files in map(int, args.files.split(",")):
            if "s3" in args.stores:
                for way in [*args.kinds.split(","), "boto3"]:
                    # a new store for each, since old ones have what is being collected as garbage
                    s3 = SeaweedFS.start(folder / f"weed-{way}-{files}")
                    try:
                        s3.create_bucket("bench")
                        if way == "boto3":
                            made = Boto(s3, folder, size)
                            rows += measure("s3", way, files, size, made, None)
                        else:
                            rows += through(way, "s3", files, size, folder, "s3://bench/x", s3.environment)
                    finally:
                        s3.stop()
                        shutil.rmtree(s3.folder)
            if "disk" in args.stores:
                for way in [*args.kinds.split(","), "copy"]:
                    place = folder / f"disk-{way}-{files}"
                    place.mkdir()
                    if way == "copy":
                        rows += measure("disk", way, files, size, Copy(place, size), None)
                    else:
                        rows += through(way, "disk", files, size, folder, str(place), {})
                    shutil.rmtree(place)
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
