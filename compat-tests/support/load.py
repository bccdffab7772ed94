"""Writers that hammer a server from threads and remember what was acknowledged."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


def call(url: str, method: str, path: str, body: Any = None, timeout: float = 30) -> tuple[int, Any]:
    """Sends one request to the tracking API on a connection of its own and returns status and JSON."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    try:
        return _exchange(connection, method, path, body)
    finally:
        connection.close()


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> tuple[int, Any]:
    """Sends a message as JSON, or bytes as they are; a path is below that of the tracking API unless it begins with `/`."""
    if body is None:
        content, headers = None, {}
    elif isinstance(body, bytes):
        content, headers = body, {"Content-Type": "application/octet-stream"}
    else:
        # The experiment is what OTLP asks for.
        content, headers = json.dumps(body), {"Content-Type": "application/json", "x-mlflow-experiment-id": "1"}
    connection.request(method, path if path.startswith("/") else f"/api/2.0/mlflow/{path}", content, headers)
    response = connection.getresponse()
    text = response.read()
    try:
        return response.status, json.loads(text)
    except ValueError:
        return response.status, text.decode("utf-8", "replace")


def create_runs(url: str, count: int, name: str = "load") -> list[str]:
    """Creates runs in a new experiment."""
    status, made = call(url, "POST", "experiments/create", {"name": name})
    assert status == 200, made
    runs = []
    for _ in range(count):
        status, answer = call(url, "POST", "runs/create", {"experiment_id": made["experiment_id"]})
        assert status == 200, answer
        runs.append(answer["run"]["info"]["run_id"])
    return runs


def history(url: str, run_id: str, key: str) -> list[tuple[int, float, int]]:
    """Returns (step, value, timestamp) of every point of a metric."""
    points, token = [], ""
    while True:
        query = f"metrics/get-history?run_id={run_id}&metric_key={key}&max_results=20000&page_token={token}"
        status, answer = call(url, "GET", query)
        assert status == 200, answer
        points += [(m["step"], m["value"], m["timestamp"]) for m in answer.get("metrics", [])]
        token = answer.get("next_page_token", "")
        if not token:
            return points


@dataclass
class Load:
    """Threads that each send the requests of a generator until they are stopped."""

    #: The requests that were answered with 200, by what their generator called them.
    acknowledged: list[Any] = field(default_factory=list)
    #: (status, answer) of everything else; status 0 is a connection that broke.
    refused: list[tuple[int, Any]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, url: str, requests: Callable[[], Iterator[tuple[Any, str, Any]]]) -> None:
        """Adds a writer: the generator yields (name, path, body) of POSTs, or of PUTs where the body is bytes. What it gets
        back is the answer, or nothing where the request was refused."""
        thread = threading.Thread(target=self._write, args=(url, requests()), daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait_for(self, count: int, timeout: float = 60) -> None:
        """Waits until so many requests were acknowledged in all."""
        deadline = time.monotonic() + timeout
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} acknowledged; {self.summary()}"
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the writers after their request in flight."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    def summary(self) -> Counter:
        """Counts the refusals by status and text."""
        return Counter((status, str(answer)[:200]) for status, answer in self.refused)

    def _write(self, url: str, requests: Iterator[tuple[Any, str, Any]]) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        send = getattr(requests, "send", lambda _: next(requests))
        answer = None
        with contextlib.suppress(StopIteration):
            while not self._ending.is_set():
                name, path, body = send(answer)
                status, answer = self._send(connection, path, body)
                with self._lock:
                    if status == 200:
                        self.acknowledged.append(name)
                    else:
                        self.refused.append((status, answer))
                        answer = None
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, Any]:
        try:
            return _exchange(connection, "PUT" if isinstance(body, bytes) else "POST", path, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            time.sleep(0.02)
            return 0, repr(error)
