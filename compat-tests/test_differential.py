"""The same requests to the stock server and to ours: the same answers, but for what `differential/tolerated.py` names."""

from __future__ import annotations

import importlib
import itertools
import json
from urllib.parse import urlsplit

import pytest
from differential import RESOURCES
from differential.leftovers import played
from differential.stock import KeptStock, Side
from differential.tolerated import forget_tolerated

#: pytest's ids and -k take no brackets.
_PLAIN = str.maketrans("[]", "()")


def _numbered(cases):
    """Test ids: unique even where two cases are called the same."""
    return {f"{number:03} {case.name.translate(_PLAIN)}": case for number, case in enumerate(cases)}


CASES = {name: _numbered(importlib.import_module(f"differential.{name}").CASES) for name in RESOURCES}


class Pair:
    """The stock server and ours, each on an empty database, asked the same."""

    def __init__(self, stock: KeptStock, ours, backend: str) -> None:
        self._stock, self._ours, self._backend = stock, Side(ours), backend
        self._below_prefix = bool(urlsplit(ours.url).path)
        self._played: dict[str, dict[str, tuple[dict, dict]]] = {}

    def play(self, resource: str) -> dict[str, tuple[dict, dict]]:
        """Returns the comparable answers of both servers to all cases of a resource, which are asked once."""
        if resource not in self._played:
            cases = CASES[resource]
            stock, ours = self._stock.ask(resource, cases), self._ours.ask(resource, cases)
            for label, case in cases.items():
                forget_tolerated(case.name, stock[label], ours[label], below_prefix=self._below_prefix)
            played.add(f"{resource} on {self._backend}")
            self._played[resource] = {label: (stock[label], ours[label]) for label in cases}
        return self._played[resource]


@pytest.fixture(scope="module")
def pair(request, start_usual_server, backend, target):
    """The two servers on a database."""
    setting = [backend, "behind nginx" if request.config.getoption("--behind-nginx") else "directly"]
    if backend == "postgres":
        setting.append(request.getfixturevalue("postgres").query("SHOW server_version"))
    stock = KeptStock(lambda: start_usual_server("stock", backend), ", ".join(setting))
    return Pair(stock, start_usual_server(target, backend), backend)


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
