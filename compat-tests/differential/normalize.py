"""Makes the answers of two servers comparable: ids and times differ, everything else should not."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import datetime
from typing import Any

from .case import Answer

#: Headers that clients, browsers and the UI act upon.
COMPARED_HEADERS = [
    "content-type", "content-disposition", "content-range", "accept-ranges", "location", "allow", "cache-control",
    "x-content-type-options", "x-frame-options", "vary", "access-control-allow-origin",
    "access-control-allow-credentials", "access-control-allow-methods", "access-control-allow-headers",
    "access-control-expose-headers", "access-control-max-age",
]  # fmt: skip
#: Headers whose value is the server's own business, but not whether they are there.
PRESENCE_HEADERS = ["etag", "last-modified"]

_HEX_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])")
#: Where the number of an experiment stands: under these keys, in the addresses of artifacts and in these words.
_EXPERIMENT_KEYS = {"experiment_id", "experimentId", "experiment_ids"}
_EXPERIMENT_FOLDER = re.compile(r"(?<=mlflow-artifacts:/)[1-9]\d*(?=/|$)")
_EXPERIMENT_WORDS = re.compile(r"(?<=experiment_id=')\d+(?=')|(?<=The experiment )\d+(?= must be)")
_BOUNDARY = re.compile(r"(?<![0-9a-f])[0-9a-f]{26}(?![0-9a-f])")
_TIME = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-(\d{1,3}|1000)")
#: Lists that are sets: stock reads them without an order.
_UNORDERED = {"tags", "request_metadata", "assessments", "params", "metrics", "dataset_inputs", "model_inputs", "datasets", "dataset_summaries", "latest_versions", "aliases", "endpoints"}
#: Strings that hold JSON.
_EMBEDDED = {"tags", "records"}
#: What the page tokens of records are made of: a time and an id.
_RECORD_TOKEN = re.compile(r"\d{13}:dr-[0-9a-f]{32}$")


class Normalizer:
    """Replaces ids by the case that first answered them, and times near now, for one server.

    Named so, and not numbered, one difference is one difference: it does not shift the ids of all that follows.
    """

    def __init__(self, server_url: str) -> None:
        self._host = server_url.removeprefix("http://")
        self._ids: dict[str, str] = {}
        self._case, self._seen = "", 0

    def normalize(self, case: str, answer: Answer) -> dict[str, Any]:
        """Returns the comparable form of the answer to a case."""
        self._case, self._seen = case, 0
        headers = {name: self._text(answer.headers[name]) for name in COMPARED_HEADERS if name in answer.headers}
        for name in {"allow", "vary"} & headers.keys():
            # Sets, which stock sometimes sends with a name twice.
            headers[name] = ", ".join(sorted(set(headers[name].split(", "))))
        headers |= {name: "present" for name in PRESENCE_HEADERS if name in answer.headers}
        return {"status": answer.status, "headers": headers, "body": self._body(answer)}

    def _id(self, found: str) -> str:
        if found.startswith("0" * 20):
            # The test's own choice.
            return found
        if found not in self._ids:
            self._seen += 1
            self._ids[found] = f"<id {self._seen} of {self._case}>"
        return self._ids[found]

    def _experiment(self, number: str) -> str:
        return self._id(f"experiment {number}") if number.isdecimal() and number != "0" else number

    def _body(self, answer: Answer) -> Any:
        if "json" not in answer.headers.get("content-type", ""):
            return self._text(answer.body.decode("utf-8", "backslashreplace"))
        try:
            # 3 is not 3.0, and a bare NaN is not "NaN".
            tree = json.loads(answer.body, parse_constant=lambda text: f"bare {text}", parse_float=_number, object_hook=_in_order)
        except ValueError:
            return "not JSON: " + self._text(answer.body.decode("utf-8", "backslashreplace"))
        return self._tree(tree)

    def _tree(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            if {"dataset_id", "digest"} <= value.keys():
                # Made of the time.
                value = value | {"digest": "<digest>"}
            return {self._text(k): self._tree(v, k) for k, v in value.items()}
        if isinstance(value, list):
            if key == "assessments" and all(isinstance(v, dict) for v in value):
                # Before their ids are named: stock loads those of a trace in whatever order its database finds them.
                value = sorted(value, key=lambda v: json.dumps({k: v[k] for k in v if k != "assessment_id"}))
            items = [self._tree(v, key) for v in value]
            if key in _UNORDERED and all(isinstance(v, dict) for v in items):
                items.sort(key=lambda v: (str(v.get("key") or ""), str(v.get("step") or ""), json.dumps(v)))
            return items
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            if key in _EXPERIMENT_KEYS:
                return self._experiment(str(value))
            return "<now>" if _near_now(value) or _near_now(value * 1000) else value
        if key in ("run_name", "runName", "name", "value") and _GENERATED_NAME.fullmatch(value):
            return "<generated name>"
        if key in _EXPERIMENT_KEYS:
            return self._experiment(value)
        if key == "next_page_token" and _RECORD_TOKEN.match(_decoded(value)):
            return "<token of a record>"
        if key in _EMBEDDED and value[:1] in "[{":
            return self._embedded(key, value)
        return self._text(value)

    def _embedded(self, key: str, text: str) -> Any:
        """JSON in a string: the order of tags, and of records of the same moment, is chance."""
        tree = json.loads(text, parse_float=_number)
        if key == "records":
            tree.sort(key=lambda record: json.dumps(record["inputs"], sort_keys=True))
        return self._tree(tree)

    def _text(self, text: str) -> str:
        text = text.replace(self._host, "<host>")
        text = _HEX_ID.sub(lambda found: self._id(found[0]), text)
        text = _EXPERIMENT_FOLDER.sub(lambda found: self._experiment(found[0]), text)
        text = _EXPERIMENT_WORDS.sub(lambda found: self._experiment(found[0]), text)
        text = _BOUNDARY.sub("<boundary>", text)
        text = _TIME.sub(lambda found: "<now>" if _near_now(_millis(found[0])) else found[0], text)
        return re.sub(r"\b\d{13}\b", lambda found: "<now>" if _near_now(int(found[0])) else found[0], text)


def _in_order(value: dict[str, Any]) -> dict[str, Any]:
    """An expectation with the keys of its value sorted: stock's map gives them in an order of each process."""
    text = value.get("value")
    if value.keys() != {"serialization_format", "value"} or not isinstance(text, str):
        return value
    try:
        tree = json.loads(text)
    except ValueError:
        return value
    # another spelling stays to be seen
    return value | {"value": json.dumps(tree, sort_keys=True)} if json.dumps(tree) == text else value


def _millis(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() * 1000
    except ValueError:
        return 0


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token).decode()
    except ValueError:
        return ""


def _number(text: str) -> str:
    return f"float {float(text)!r}"


def _near_now(value: float) -> bool:
    return abs(value - time.time() * 1000) < 3_600_000
