"""The same requests to the stock server and to ours: the same answers, but for what `differential/tolerated.py` names."""

from __future__ import annotations

import http.client
import importlib
import json

import pytest
from differential.case import play
from differential.normalize import Normalizer
from differential.tolerated import forget_tolerated

RESOURCES = ["requests", "experiments", "runs", "search", "metrics", "models", "artifacts", "graphql"]


#: pytest's ids and -k take no brackets.
_PLAIN = str.maketrans("[]", "()")


def _numbered(cases):
    """Test ids: unique even where two cases are called the same."""
    return {f"{number:03} {case.name.translate(_PLAIN)}": case for number, case in enumerate(cases)}


CASES = {name: _numbered(importlib.import_module(f"differential.{name}").CASES) for name in RESOURCES}


def play_all(resource: str, stock, ours) -> dict[str, tuple[dict, dict]]:
    """Returns the comparable answers of both servers to all cases of a resource."""
    played = {}
    sides = [(server, {}, Normalizer(server.url)) for server in (stock, ours)]
    for label, case in CASES[resource].items():
        pair = []
        for server, names, normalizer in sides:
            try:
                pair.append(normalizer.normalize(play(case, server.url, names)))
            except (OSError, http.client.HTTPException) as error:
                pair.append({"status": 0, "headers": {}, "body": f"no answer: {error!r}"})
        forget_tolerated(case.name, *pair)
        played[label] = tuple(pair)
    return played


@pytest.fixture(scope="module")
def played(start_server, backend, target):
    """Plays the cases of a resource once per database, on two fresh servers."""
    done: dict[str, dict] = {}

    def play_resource(resource: str) -> dict:
        if resource not in done:
            done[resource] = play_all(resource, start_server("stock", backend), start_server(target, backend))
        return done[resource]

    return play_resource


@pytest.mark.parametrize(("resource", "label"), [(r, label) for r, cases in CASES.items() for label in cases])
def test_same_answer(played, resource, label):
    stock, ours = played(resource)[label]
    if stock != ours:
        pytest.fail(f"{label}\n{_difference(stock, ours)}", pytrace=False)


def _difference(stock: dict, ours: dict) -> str:
    lines = []
    for part in ("status", "headers", "body"):
        if stock[part] == ours[part]:
            continue
        if part == "headers":
            for name in sorted(stock[part].keys() | ours[part].keys()):
                want, got = stock[part].get(name), ours[part].get(name)
                if want != got:
                    lines.append(f"  header {name}: stock {want!r}, ours {got!r}")
        else:
            lines.append(f"  {part} stock: {_short(stock[part])}\n  {part} ours:  {_short(ours[part])}")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1500 else f"{text[:1200]} ... ({len(text)} characters)"
