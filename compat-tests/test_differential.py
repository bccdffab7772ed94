"""The same requests to the stock server and to ours: the same answers, but for what `differential/tolerated.py` names."""

from __future__ import annotations

import http.client
import importlib
import itertools
import json
from urllib.parse import urlsplit

import pytest
from differential.case import play
from differential.normalize import Normalizer
from differential.tolerated import forget_tolerated

RESOURCES = [
    "requests", "experiments", "runs", "search", "metrics", "models", "artifacts", "graphql", "registry", "webhooks",
    "gateway", "mcp", "unavailable", "evaluation", "trace_search", "otlp", "traces", "assessments",
]  # fmt: skip


#: pytest's ids and -k take no brackets.
_PLAIN = str.maketrans("[]", "()")


def _numbered(cases):
    """Test ids: unique even where two cases are called the same."""
    return {f"{number:03} {case.name.translate(_PLAIN)}": case for number, case in enumerate(cases)}


CASES = {name: _numbered(importlib.import_module(f"differential.{name}").CASES) for name in RESOURCES}


class Pair:
    """The stock server and ours, each on an empty database, asked the same."""

    def __init__(self, stock, ours) -> None:
        self._sides = [(server, Normalizer(server.url)) for server in (stock, ours)]
        self._below_prefix = bool(urlsplit(ours.url).path)
        self._played: dict[str, dict[str, tuple[dict, dict]]] = {}

    def play(self, resource: str) -> dict[str, tuple[dict, dict]]:
        """Returns the comparable answers of both servers to all cases of a resource, which are asked once."""
        if resource not in self._played:
            names: list[dict[str, str]] = [{} for _ in self._sides]
            self._played[resource] = {
                label: self._ask(f"{resource} {label}", case, names) for label, case in CASES[resource].items()
            }
        return self._played[resource]

    def _ask(self, label: str, case, names: list[dict[str, str]]) -> tuple[dict, dict]:
        answers = []
        for (server, normalizer), known in zip(self._sides, names, strict=True):
            try:
                answers.append(normalizer.normalize(label, play(case, server.url, known)))
            except (OSError, http.client.HTTPException) as error:
                answers.append({"status": 0, "headers": {}, "body": f"no answer: {error!r}"})
        forget_tolerated(case.name, *answers, below_prefix=self._below_prefix)
        return answers[0], answers[1]


@pytest.fixture(scope="module")
def pair(start_usual_server, backend, target):
    """The two servers on a database."""
    return Pair(start_usual_server("stock", backend), start_usual_server(target, backend))


@pytest.mark.parametrize(("resource", "label"), [(r, label) for r, cases in CASES.items() for label in cases])
def test_same_answer(pair, resource, label):
    stock, ours = pair.play(resource)[label]
    if stock != ours:
        pytest.fail(f"{label}\n{_difference(stock, ours)}", pytrace=False)


def _difference(stock: dict, ours: dict) -> str:
    return "\n".join(f"  {where}\n    stock: {_short(want)}\n    ours:  {_short(got)}" for where, want, got in _leaves(stock, ours))


def _leaves(stock: object, ours: object, where: str = "") -> list[tuple[str, object, object]]:
    """The innermost places where two answers differ."""
    if isinstance(stock, dict) and isinstance(ours, dict):
        keys = [*stock, *(key for key in ours if key not in stock)]
        steps = [(f"{where}.{key}", stock.get(key, _NOTHING), ours.get(key, _NOTHING)) for key in keys]
    elif isinstance(stock, list) and isinstance(ours, list):
        pairs = itertools.zip_longest(stock, ours, fillvalue=_NOTHING)
        steps = [(f"{where}[{i}]", want, got) for i, (want, got) in enumerate(pairs)]
    else:
        return [] if stock == ours else [(where, stock, ours)]
    return [leaf for path, want, got in steps for leaf in _leaves(want, got, path)][:8]


_NOTHING = "(nothing)"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1500 else f"{text[:1200]} ... ({len(text)} characters)"
