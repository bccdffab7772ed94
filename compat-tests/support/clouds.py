"""Throw-away servers that speak like Google's and Azure's stores: SeaweedFS in Google's place, and Azurite from npm.

Neither is what the clouds run: they show that requests are well formed and answers are read, and nothing about
permissions. The emulators of Google's store lack the XML interface that the server uses.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .postgres import free_port
from .s3 import SeaweedFS

#: What Azurite is always started with, as its documentation says.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE = Path(__file__).resolve().parents[1] / "emulators/node_modules/.bin/azurite-blob"


class Emulator:
    """A running emulator."""

    def __init__(self, command: list[str], url: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.url = url
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{command[0]} did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


class Google:
    """Google Cloud Storage, without credentials: its XML interface is by and large S3's, and SeaweedFS answers that."""

    def __init__(self, folder: Path) -> None:
        self._server = SeaweedFS.start(folder, anonymous=["Read", "Write", "List"])
        self._front = _without_authorization(self._server.port)

    @classmethod
    def start(cls, folder: Path) -> Google:
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """What Google's libraries and the server under test need to know."""
        return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self._front.server_port}"}

    def create(self, name: str) -> str:
        """Makes a bucket and returns its URI."""
        self._server.create_bucket(name)
        return f"gs://{name}"

    def stop(self) -> None:
        """Ends the server."""
        self._front.shutdown()
        self._server.stop()


def _without_authorization(port: int) -> ThreadingHTTPServer:
    """Passes requests on to a port without their header `Authorization`: Google's emulators take any, S3 an S3 one."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {key: value for key, value in self.headers.items() if key.lower() != "authorization"}
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(key, value)
            length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Azure(Emulator):
    """Azure's blobs."""

    @classmethod
    def start(cls, folder: Path) -> Azure:
        port = free_port()
        command = [
            str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent",
            "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence",
        ]  # fmt: skip
        return cls(command, f"http://127.0.0.1:{port}", folder)

    @property
    def environment(self) -> dict[str, str]:
        """What Azure's libraries and the server under test need to know."""
        endpoint = f"{self.url}/{AZURE_ACCOUNT}"
        return {
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};"
            f"AccountKey={AZURE_KEY};BlobEndpoint={endpoint};"
        }

    def create(self, name: str) -> str:
        """Makes a container and returns its URI."""
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06", "Content-Length": "0"}
        resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{headers['x-ms-date']}\nx-ms-version:{headers['x-ms-version']}\n{resource}"
        mac = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(mac).decode()}"
        url = f"{self.url}/{AZURE_ACCOUNT}/{name}?restype=container"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)).close()
        return f"wasbs://{name}@{AZURE_ACCOUNT}.blob.core.windows.net"
