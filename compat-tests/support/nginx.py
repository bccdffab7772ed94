"""A real nginx in front of a server, as people put it there: on a free port, with all that it writes in one folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .postgres import free_port

#: Of nginx only what its defaults would put elsewhere, or would forbid.
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/unused;
    uwsgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused;
    # The paths that clients send are for the server to read.
    merge_slashes off;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_read_timeout 120s;
    # Without `keepalive`: stock ends idle connections without a word, which makes 502 of what is sent just then.
    upstream server {{ server {upstream}; }}
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""


@dataclass
class Nginx:
    """A running nginx."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @classmethod
    def start(cls, folder: Path, server_url: str, locations: str) -> Nginx:
        """Starts it with these blocks `location`, in which `http://server` is the server at `server_url`."""
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        upstream = urlsplit(server_url).netloc
        text = _CONFIGURATION.format(folder=folder, port=port, upstream=upstream, locations=locations)
        (folder / "nginx.conf").write_text(text)
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise RuntimeError("nginx is not installed")
        command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        with (folder / "nginx.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        nginx = cls(f"http://127.0.0.1:{port}", folder, process)
        nginx._wait(port)
        return nginx

    def stop(self) -> None:
        """Ends it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _wait(self, port: int, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                logs = "\n".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.log")))
                raise RuntimeError(f"nginx did not start:\n{logs}")
            time.sleep(0.05)


def below(prefix: str) -> str:
    """Passes on what is below `prefix`, as it is: the server has the same `--static-prefix`."""
    return f"location {prefix} {{ proxy_pass http://server; }}"


def without(prefix: str) -> str:
    """Takes `prefix` away, in the way in which a slash is left over."""
    return f"location {prefix} {{ proxy_pass http://server/; }}"
