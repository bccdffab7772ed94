"""A receiver of webhooks: an HTTP server that remembers what came and answers as it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Delivery:
    """One request to the receiver."""

    path: str
    headers: dict[str, str]
    text: str
    time: float

    @property
    def body(self) -> dict:
        """The payload."""
        return json.loads(self.text)

    @property
    def event(self) -> str:
        """What it tells of."""
        return f"{self.body['entity']}.{self.body['action']}"

    @property
    def id(self) -> str:
        """The delivery's id, the same at each attempt."""
        return self.headers["x-mlflow-delivery-id"]

    def is_signed_with(self, secret: str) -> bool:
        """Checks the signature as the documentation of MLflow tells receivers to."""
        sent = f"{self.id}.{self.headers['x-mlflow-timestamp']}.{self.text}"
        mac = hmac.new(secret.encode(), sent.encode(), hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(mac).decode()}"
        return hmac.compare_digest(expected, self.headers.get("x-mlflow-signature", ""))


class Receiver:
    """Listens on a port until stopped; can be started again on the same one."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        #: What the next requests are answered: a status, with headers or not, or seconds to hang
        #: before the connection ends. Then 200.
        self.script: deque[int | tuple[int, dict[str, str]] | float] = deque()
        self._port = 0
        self.start()

    def start(self) -> None:
        """Begins to listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.deliveries.append(Delivery(self.path, headers, text, time.time()))
                step = receiver.script.popleft() if receiver.script else 200
                if isinstance(step, float):
                    # Also while the port is closed: who sent this waits in vain.
                    time.sleep(step)
                    return
                status, extra = step if isinstance(step, tuple) else (step, {})
                self.send_response(status)
                for key, value in extra.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"there")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self._port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, timeout: float = 30) -> list[Delivery]:
        """Waits until so many requests came, and returns all."""
        deadline = time.monotonic() + timeout
        while len(self.deliveries) < count:
            assert time.monotonic() < deadline, f"{len(self.deliveries)} of {count} came: {self.deliveries}"
            time.sleep(0.02)
        return list(self.deliveries)
