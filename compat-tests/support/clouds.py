"""Throw-away servers that speak like Google's and Azure's stores: SeaweedFS in Google's place, and Azurite from npm.

Neither is what the clouds run: they show that requests are well formed and answers are read, and nothing about
permissions. The emulators of Google's store lack the XML interface that the server uses. `GoogleAccount`, `AzureBlobs`
and `AzureLake` are reached under the clouds' own URLs, with TLS and credentials.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .postgres import free_port
from .s3 import SeaweedFS
from .tunnel import Tunnel

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

    #: Whether clients may be given URLs by which they send parts.
    signs = False

    def __init__(self, folder: Path, check: Callable[[str, str, Message], str] | None = None) -> None:
        self._server = SeaweedFS.start(folder, anonymous=["Read", "Write", "List"])
        self._front = _front(self._server.port, check or (lambda method, path, headers: path))

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


class GoogleAccount(Google):
    """The same under Google's own URL, for a service account. Its tokens and signed URLs are checked as Google says."""

    signs = True

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        super().__init__(folder / "store", self._check)
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )  # fmt: skip
        account = {"type": "service_account", "private_key": pem.decode(), "private_key_id": "1", "client_email": "me@project"}
        self._file = folder / "account.json"
        self._file.write_text(json.dumps(account))
        self._tunnel = Tunnel(folder / "tunnel", {"storage.googleapis.com": f"http://127.0.0.1:{self._front.server_port}"})
        self.send = self._tunnel.send

    @property
    def environment(self) -> dict[str, str]:
        return self._tunnel.environment | {"GOOGLE_APPLICATION_CREDENTIALS": str(self._file)}

    def stop(self) -> None:
        self._tunnel.stop()
        super().stop()

    def _check(self, method: str, path: str, headers: Message) -> str:
        """Returns the path without what proves that the request may be made.

        Raises InvalidSignature, or another error, if nothing does.
        """
        path, _, query = path.partition("?")
        pairs = query.split("&") if query else []
        values = dict(pair.partition("=")[::2] for pair in pairs)
        if signature := values.get("X-Goog-Signature"):
            signed = sorted(pair for pair in pairs if not pair.startswith("X-Goog-Signature="))
            names = unquote(values["X-Goog-SignedHeaders"]).split(";")
            lines = [f"{name}:{headers[name].strip()}" for name in names]
            request = "\n".join([method, path, "&".join(signed), *lines, "", ";".join(names), "UNSIGNED-PAYLOAD"])
            scope = unquote(values["X-Goog-Credential"]).partition("/")[2]
            digest = hashlib.sha256(request.encode()).hexdigest()
            text = "\n".join(["GOOG4-RSA-SHA256", values["X-Goog-Date"], scope, digest])
            self._verify(bytes.fromhex(signature), text)
            pairs = [pair for pair in pairs if not pair.startswith("X-Goog-")]
        else:
            token = headers["Authorization"].removeprefix("Bearer ")
            text, _, signature = token.rpartition(".")
            self._verify(base64.urlsafe_b64decode(signature + "=="), text)
            claims = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
            assert claims["iss"] == "me@project" and claims["exp"] > time.time(), claims
        return "?".join([path, "&".join(pairs)]) if pairs else path

    def _verify(self, signature: bytes, text: str) -> None:
        self._key.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


def _front(port: int, check: Callable[[str, str, Message], str]) -> ThreadingHTTPServer:
    """Passes requests on to a port without their header `Authorization`, if `check` finds nothing wrong with them."""

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                path = check(self.command, self.path, self.headers)
            except Exception as error:
                self.send_error(403, f"{type(error).__name__}")
                return
            headers = {key: value for key, value in self.headers.items() if key.lower() != "authorization"}
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(self.command, path, body or None, headers)
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
    """Azure's blobs, by a connection string."""

    signs = True

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

    def send(self, url: str, data: bytes) -> str:
        """Puts bytes at a URL, as somebody without credentials, and returns the tag that they get."""
        with urllib.request.urlopen(urllib.request.Request(url, data, method="PUT")) as answer:
            return answer.headers.get("ETag", "")


class AzureBlobs(Azure):
    """Azure's blobs under their own URL, by an account's key."""

    def __init__(self, command: list[str], url: str, folder: Path) -> None:
        super().__init__(command, url, folder)
        self._tunnel = Tunnel(folder / "tunnel", {f"{AZURE_ACCOUNT}.blob.core.windows.net": url})
        self.send = self._tunnel.send

    @property
    def environment(self) -> dict[str, str]:
        return self._tunnel.environment | {"AZURE_STORAGE_ACCESS_KEY": AZURE_KEY}

    def stop(self) -> None:
        self._tunnel.stop()
        super().stop()


class AzureLake(AzureBlobs):
    """A file system of Azure's data lakes, by a signature. What the server asks of it are blobs."""

    signs = False

    @property
    def environment(self) -> dict[str, str]:
        return self._tunnel.environment | {"AZURE_STORAGE_SAS_TOKEN": _signature_of_the_account()}

    def create(self, name: str) -> str:
        super().create(name)
        return f"abfss://{name}@{AZURE_ACCOUNT}.dfs.core.windows.net"


def _signature_of_the_account() -> str:
    """A signature by which everything may be done with blobs."""
    values = {"sp": "rwdlac", "ss": "b", "srt": "sco", "st": "", "se": "2099-01-01T00:00:00Z", "sip": "", "spr": "https,http", "sv": "2019-12-12"}
    text = "\n".join([AZURE_ACCOUNT, *values.values()]) + "\n"
    mac = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    return urlencode({name: value for name, value in values.items() if value} | {"sig": base64.b64encode(mac).decode()})
