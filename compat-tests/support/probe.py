"""Asks for something again and again from a process of its own, and takes the times: in the process of a test, the threads
that make the load hold the interpreter, and that would be measured. `python probe.py URL METHOD PATH BODY PAUSE`, on one
connection, until its input ends; then prints the times in seconds and how many answers were not 200."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from statistics import quantiles

JSON = {"Content-Type": "application/json"}


class Probe:
    """`with Probe(url, "GET", "/health") as probe: …`, then `probe.times`; `quiet()` begins a new list."""

    def __init__(self, url: str, method: str, path: str, body: str = "", pause: float = 0.01):
        self._command = [sys.executable, __file__, url.removeprefix("http://"), method, path, body, str(pause)]
        self.quiet_times: list[float] = []
        self.times: list[float] = []
        self.failures = 0

    def __enter__(self) -> Probe:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_) -> None:
        self.times, failures = self._next("")
        self.failures += failures
        self._process.wait()

    def quiet(self) -> None:
        """Says that what was measured until now was before the load."""
        self.quiet_times, self.failures = self._next("\n")

    def _next(self, line: str) -> tuple[list[float], int]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line)
        if line:
            self._process.stdin.flush()
        else:
            self._process.stdin.close()
        times, failures = json.loads(self._process.stdout.readline())
        assert times, f"no answer: {self._command}"
        return times, failures


def p99_ms(times: list[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return quantiles(times, n=100)[98] * 1000 if len(times) > 1 else 0.0


def main(host: str, method: str, path: str, body: str, pause: str) -> None:
    """Measures until the input ends; each line of it ends a list."""
    times: list[float] = []
    failures = 0
    lock, is_over = threading.Lock(), threading.Event()

    def ask() -> None:
        nonlocal failures
        connection = http.client.HTTPConnection(host, timeout=90)
        while not is_over.is_set():
            begun = time.perf_counter()
            connection.request(method, path, body or None, JSON if body else {})
            answer = connection.getresponse()
            answer.read()
            with lock:
                times.append(time.perf_counter() - begun)
                failures += answer.status != 200
            time.sleep(float(pause))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in sys.stdin:
        with lock:
            print(json.dumps((times, failures)), flush=True)
            times, failures = [], 0
    is_over.set()
    thread.join()
    print(json.dumps((times, failures)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
