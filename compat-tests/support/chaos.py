"""A TCP proxy that spoils connections: it cuts them after some bytes, delays them, or resets them. It can also put TLS in
front of a server that has none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from urllib.parse import urlsplit


class Chaos:
    """Passes connections on to a server until it is told to do otherwise."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._tls = tls
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._swallowed: set[socket.socket] = set()
        #: Connections that are cut from now on, and after how many bytes in that direction.
        self._cuts = 0
        self._limit = 0
        self._upwards = True
        self._resets = False
        self._refuses = False
        #: Seconds before each piece is passed on.
        self.delay = 0.0
        #: How many were cut.
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, size: int, *, times: int, upwards: bool, reset: bool = False) -> None:
        """Cuts the next `times` connections that carry more than `size` bytes up to, or down from, the server."""
        with self._lock:
            self._cuts, self._limit, self._upwards, self._resets = times, size, upwards, reset

    def refuse(self, refuses: bool = True) -> None:
        """Ends every connection and takes no new ones, or takes them again."""
        self._refuses = refuses
        if refuses:
            with self._lock:
                for connection in self._open:
                    _reset(connection)

    def swallow(self) -> None:
        """Passes nothing on any more on the connections that are open, without ending them; new ones work."""
        with self._lock:
            self._swallowed |= self._open

    def lead_to(self, url: str) -> None:
        """Passes new connections on to another server."""
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)

    def calm(self) -> None:
        """Passes everything on again."""
        self.cut_after(0, times=0, upwards=True)
        self.delay = 0.0
        self._refuses = False

    def stop(self) -> None:
        """Stops to listen and ends every connection."""
        self._listener.close()
        self.refuse()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                _reset(client)
                continue
            try:
                client, server = self._meet(client)
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self._open |= {client, server}
            for source, target, upwards in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, target, upwards), daemon=True).start()

    def _meet(self, client: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Returns the client's connection, with its TLS, and one to the server."""
        if self._tls:
            client = self._tls.wrap_socket(client, server_side=True)
        return client, socket.create_connection(self._server)

    def _pass_on(self, source: socket.socket, target: socket.socket, upwards: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(64 * 1024):
                passed += len(piece)
                if self._is_to_be_cut(passed, upwards):
                    for connection in (source, target):
                        _reset(connection) if self._resets else _close(connection)
                    break
                if source in self._swallowed:
                    continue
                if self.delay:
                    time.sleep(self.delay)
                target.sendall(piece)
        for connection in (source, target):
            _close(connection)
            with self._lock:
                self._open.discard(connection)

    def _is_to_be_cut(self, passed: int, upwards: bool) -> bool:
        with self._lock:
            if self._cuts == 0 or upwards != self._upwards or passed <= self._limit:
                return False
            self._cuts -= 1
            self.cut += 1
            return True


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _reset(connection: socket.socket) -> None:
    """Ends a connection with RST, as a crashed machine or a firewall does."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _close(connection)
