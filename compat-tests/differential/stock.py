"""What the stock server answers to the cases, kept in `$FERROFLOW_CACHE` from one run to the next: it answers the same as long
as neither it nor the cases change. FRESH=1 asks it again."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import servers

from .case import Case, play
from .normalize import Normalizer

if TYPE_CHECKING:
    from support.servers import Server

#: Answers that nobody has read for so long are removed.
KEPT_DAYS = 30


class Side:
    """One server, its normalizer and what it has been asked."""

    def __init__(self, server: Server) -> None:
        self._server, self._normalizer = server, Normalizer(server.url)

    def ask(self, resource: str, cases: dict[str, Case]) -> dict[str, dict[str, Any]]:
        """Returns the comparable answers to all cases of a resource."""
        names: dict[str, str] = {}
        return {label: self._ask(f"{resource} {label}", each, names) for label, each in cases.items()}

    def _ask(self, label: str, asked: Case, names: dict[str, str]) -> dict[str, Any]:
        try:
            return self._normalizer.normalize(label, play(asked, self._server.url, names))
        except (OSError, http.client.HTTPException) as error:
            return {"status": 0, "headers": {}, "body": f"no answer: {error!r}"}


class KeptStock:
    """The stock server, which is started only when something is asked that it has not been asked before.

    What it answers depends on all that it has been asked since its start, so answers are kept by the whole course.
    """

    def __init__(self, start: Callable[[], Server], setting: str) -> None:
        self._start, self._side = start, None
        self._course = hashlib.sha256("\n".join([setting, *_versions(), *_sources()]).encode())
        self._asked: list[tuple[str, dict[str, Case]]] = []

    def ask(self, resource: str, cases: dict[str, Case]) -> dict[str, dict[str, Any]]:
        """Returns the comparable answers to all cases of a resource."""
        self._course.update(f"{resource}\n".encode())
        self._asked.append((resource, cases))
        cache = os.environ.get("FERROFLOW_CACHE")
        kept = Path(cache, "stock-answers", f"{resource}-{self._course.hexdigest()[:32]}.json") if cache else None
        if kept and kept.exists() and not os.environ.get("FRESH"):
            kept.touch()
            return json.loads(kept.read_text())
        answers = self._ask_now()
        if kept and all(answer["status"] for answer in answers.values()):
            kept.parent.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_suffix(f".{os.getpid()}")
            unfinished.write_text(json.dumps(answers))
            unfinished.rename(kept)
            _tidy(kept.parent)
        return answers

    def _ask_now(self) -> dict[str, dict[str, Any]]:
        """Asks what was asked last; a server that was not needed so far is asked all that stands before it, too."""
        course = self._asked[-1:] if self._side else self._asked
        self._side = self._side or Side(self._start())
        return [self._side.ask(resource, cases) for resource, cases in course][-1]


def _versions() -> list[str]:
    return sorted(f"{package.name}=={package.version}" for package in metadata.distributions())


def _sources() -> list[str]:
    """What decides what is asked and how answers are compared; cases share parts."""
    files = [path for path in Path(__file__).parent.glob("*.py") if path.stem not in ("stock", "tolerated")]
    return [path.read_text() for path in [*sorted(files), Path(servers.__file__)]]


def _tidy(folder: Path) -> None:
    for path in folder.iterdir():
        # What another process has not finished yet may be renamed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > KEPT_DAYS * 86400:
                path.unlink()
