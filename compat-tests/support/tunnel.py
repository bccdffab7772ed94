"""A proxy that leads some hosts' HTTPS to servers of this machine, with certificates of an authority of its own: so a
server is asked under the very URLs that it has in the world."""

from __future__ import annotations

import contextlib
import socket
import ssl
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from . import certificates
from .chaos import Chaos


class Tunnel(Chaos):
    """Answers CONNECT. `hosts` says where each host's requests go, as a URL without TLS."""

    def __init__(self, folder: Path, hosts: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = certificates.make("authority")
        self._authority = certificates.write(folder / "authority.crt", authority[0])
        self._hosts = {}
        for number, (host, url) in enumerate(hosts.items()):
            own = certificates.write(folder / f"{number}.crt", *certificates.make(f"host {number}", authority, host))
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(own, own.with_suffix(".key"))
            self._hosts[host] = (tls, (urlsplit(url).hostname, urlsplit(url).port))
        super().__init__("http://127.0.0.1")

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program use the proxy and trust the authority."""
        return {"HTTPS_PROXY": self.url, "SSL_CERT_FILE": str(self._authority), "AWS_CA_BUNDLE": str(self._authority)}

    def send(self, url: str, data: bytes) -> str:
        """Puts bytes at a URL by the proxy, as somebody without credentials, and returns the tag that they get."""
        context = ssl.create_default_context(cafile=str(self._authority))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": self.url}), urllib.request.HTTPSHandler(context=context)
        )  # fmt: skip
        with opener.open(urllib.request.Request(url, data, method="PUT"), timeout=60) as answer:
            return answer.headers.get("ETag", "")

    def _meet(self, client: socket.socket) -> tuple[socket.socket, socket.socket]:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                raise ConnectionError("no request")
            head += piece
        method, target, _ = head.split(b" ", 2)
        host = target.decode().rpartition(":")[0]
        if method != b"CONNECT" or host not in self._hosts:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            raise ConnectionError(f"no way to {host}")
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        tls, address = self._hosts[host]
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.create_connection(address))
            client = tls.wrap_socket(client, server_side=True)
            stack.pop_all()
        return client, server
