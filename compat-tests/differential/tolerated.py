"""Every difference from the stock server that the differential test lets pass, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Comparable = dict[str, Any]


@dataclass(frozen=True)
class Tolerance:
    """Where the name of a case matches, `forget(stock, ours)` removes from both answers what may differ."""

    cases: str
    reason: str
    forget: Callable[[Comparable, Comparable], None]


def _message(answer: Comparable) -> str:
    body = answer["body"]
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def _sort_sets(*answers: Comparable) -> None:
    """Sorts what Python printed as a set or a list inside a message."""
    for answer in answers:
        if message := _message(answer):
            answer["body"]["message"] = re.sub(
                r"[{\[]('[^{}\[\]]*')[}\]]",
                lambda found: "{" + ", ".join(sorted(re.findall(r"'[^']*'", found[1]))) + "}",
                message,
            )


def _cut_driver_text(stock: Comparable, ours: Comparable) -> None:
    """Keeps what stock says before the database driver's words; ours must say that much."""
    words = re.search(r"\(raised as a result of Query|\((sqlite3|psycopg2?)\.", _message(stock))
    if words:
        kept = _message(stock)[: words.start()].removesuffix(" Error: ").strip()
        if _message(ours).startswith(kept):
            stock["body"]["message"] = ours["body"]["message"] = kept


def _forget_error_page(stock: Comparable, ours: Comparable) -> None:
    """Keeps of an HTML error page that it is one: status and headers are compared all the same."""
    for answer in (stock, ours):
        if answer["status"] >= 400 and isinstance(answer["body"], str) and answer["body"].startswith("<!doctype html>"):
            answer["body"] = "an HTML page"


#: How the messages of Python's own exceptions begin.
_ACCIDENTS = ("Python int too large", "malformed node or string", "type object", "could not convert string")


def _accept_refusal(stock: Comparable, ours: Comparable) -> None:
    """Where stock failed with 500 by accident, any refusal of ours in JSON will do."""
    accident = isinstance(stock["body"], str) or _message(stock).startswith(_ACCIDENTS)
    if stock["status"] == 500 and accident and 400 <= ours["status"] < 500 and isinstance(ours["body"], dict):
        for answer in (stock, ours):
            answer |= {"status": "refused", "headers": {}, "body": None}


#: What GraphQL answers of stock say when its own code raised.
_GRAPHQL_ACCIDENTS = ("Failed to parse run_view_type field", "required positional argument", "vars() argument")


def _accept_graphql(stock: Comparable, ours: Comparable) -> None:
    """Where stock's resolver failed by accident, any GraphQL answer of ours will do."""
    errors = stock["body"].get("errors") if isinstance(stock["body"], dict) else None
    accident = any(words in str(error) for error in errors or [] for words in _GRAPHQL_ACCIDENTS)
    if accident and isinstance(ours["body"], dict) and "data" in ours["body"]:
        stock["body"] = ours["body"] = None


def _forget_body(*answers: Comparable) -> None:
    for answer in answers:
        answer["body"] = None


TOLERATED = [
    Tolerance(".*", "stock's GraphQL breaks over runViewType and over an absent argument", _accept_graphql),
    Tolerance("model versions of a filter", "mlflowSearchModelVersions comes with the model registry", _forget_body),
    Tolerance(".*", "the pages for unknown addresses and methods are in our own words", _forget_error_page),
    Tolerance(".*", "Python prints a set in an order that changes from start to start", _sort_sets),
    Tolerance(".*", "stock repeats the database driver's error with its SQL to the client", _cut_driver_text),
    Tolerance(".*", "stock's own code raises on some values of a wrong type, which makes a 500", _accept_refusal),
]


def forget_tolerated(name: str, stock: Comparable, ours: Comparable) -> None:
    """Removes from two answers what is tolerated for this case."""
    for tolerance in TOLERATED:
        if re.fullmatch(tolerance.cases, name, flags=re.DOTALL):
            tolerance.forget(stock, ours)
