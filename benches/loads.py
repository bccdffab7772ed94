"""The requests that are measured, as Lua for wrk."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace

from fill import FILLED, FRESH_RUNS, Data, Sizes
from traces import TRACE_LOADS, lua

PAGE = 25_000
POINTS = Sizes().points


@dataclass(frozen=True)
class Load:
    """A row of the table: how many clients send what `request()` returns; `n` counts the requests."""

    label: str
    clients: int
    request: str
    #: What must be filled for it: `runs`, `registry` or `traces`.
    about: str = "runs"


def _post(path: str, body: str) -> str:
    return f'return wrk.format("POST", "/api/2.0/mlflow/{path}", json, {body})'


def _get(path: str) -> str:
    return f'return wrk.format("GET", "/api/2.0/mlflow/{path})'


_METRIC = _post(
    "runs/log-metric",
    """string.format('{"run_id":"%s","key":"k%d","value":%f,"timestamp":%d,"step":%d}', targets[n % 16 + 1], n % 4, n / 7, n, n)""",
)
_PARAM = _post("runs/log-parameter", """string.format('{"run_id":"%s","key":"p%d","value":"%d"}', runs[n % #runs + 1], n, n)""")
_ONE = """'{"experiment_ids":["' .. experiments[n % #experiments + 1] .. '"]"""
_ALL = """'{"experiment_ids":["' .. table.concat(experiments, '","') .. '"]"""
_FILTER = ""","filter":"metrics.metric_1 > 0.5 and params.param_3 = \\'2\\'","order_by":["metrics.metric_2 DESC"]"""

LOADS = [
    Load("runs/get (50 params, 100 metrics, 20 tags), 16 clients", 16, _get('runs/get?run_id=" .. fat[n % #fat + 1]')),
    Load("runs/search, 100 of an experiment of 1,000, 4 clients", 4, _post("runs/search", _ONE + ""","max_results":100}'""")),
    Load("runs/search, 100 of 20,000 in 20 experiments, 4 clients", 4, _post("runs/search", _ALL + ""","max_results":100}'""")),
    Load("runs/search, by metric and param, ordered by metric, 4 clients", 4,
         _post("runs/search", _ALL + _FILTER + ""","max_results":100}'""")),
    Load("runs/search, 1000 of 20,000, 2 clients", 2, _post("runs/search", _ALL + ""","max_results":1000}'""")),
    Load("experiments/search, 1000, 4 clients", 4, _post("experiments/search", """'{"max_results":1000}'""")),
    # As the client reads a history: one page after the other.
    Load(f"get-history of {POINTS:,} points in pages of {PAGE:,} (per page), 1 client", 1,
         _get(f'metrics/get-history?metric_key=m&max_results={PAGE}&run_id=" .. long[math.floor(n / #tokens) % #long + 1]'
              ' .. "&page_token=" .. tokens[n % #tokens + 1]')),
    Load(f"get-history-bulk-interval, 10 runs of {POINTS:,} points, 2 clients", 2,
         _get('metrics/get-history-bulk-interval?metric_key=m&max_results=320&run_ids=" .. table.concat(long, "&run_ids=")')),
    Load("registered-models/search, 100 of 5,000, 4 clients", 4, _get('registered-models/search?max_results=100"'), "registry"),
    Load("model-versions/search, of one model, 4 clients", 4,
         _get('model-versions/search?filter=name%3D" .. string.format("%%27model%%20%04d%%27", n % models)'), "registry"),
    Load("model-versions/search, 100 of 25,000, 4 clients", 4, _get('model-versions/search?max_results=100"'), "registry"),
    Load("log-metric, 1 client", 1, _METRIC),
    Load("log-metric, 16 clients", 16, _METRIC),
    Load("log-metric, 64 clients", 64, _METRIC),
    Load("log-batch of 1000 metrics, 1 client", 1, _post("runs/log-batch", "metrics(1000)")),
    Load("log-batch of 10 metrics, 5 params, 5 tags, 16 clients", 16, _post("runs/log-batch", "mixed()")),
    Load("log-parameter, 16 clients", 16, _PARAM),
    Load("runs/create, 16 clients", 16,
         _post("runs/create", """'{"experiment_id":"' .. experiments[n % #experiments + 1] .. '","start_time":1,"tags":[{"key":"mlflow.user","value":"me"}]}'""")),
    *[Load(*load, about="traces") for load in TRACE_LOADS],
]  # fmt: skip

#: What a training script asks, of a server that was started on an empty database, which it has filled itself since, and
#: which nobody has analysed: statements that were planned for empty tables show here.
_FRESH = re.compile("runs/get|runs/create|log-metric|log-batch|log-parameter")
FRESH_LOADS = [
    Load(f"fresh: runs/search, 100 of an experiment of {FRESH_RUNS // FILLED}, 4 clients", 4,
         _post("runs/search", _ONE + ""","max_results":100}'""")),
    *[replace(load, label=f"fresh: {load.label}") for load in LOADS if _FRESH.match(load.label)],
]  # fmt: skip

_LUA = """
local experiments, runs, fat, long, targets, traced, tokens = {lists}
local json = {{["Content-Type"] = "application/json"}}
local n, models = {first}, {models}
{traces}
local function list(count, line)
  local items = {{}}
  for i = 1, count do items[i] = line(i) end
  return "[" .. table.concat(items, ",") .. "]"
end
local function metric(i) return string.format('{{"key":"b%d","value":%f,"timestamp":%d,"step":%d}}', i % 10, i / 3, n, n * 1000 + i) end
local function param(i) return string.format('{{"key":"q%d","value":"%d"}}', i, i) end
local function tag(i) return string.format('{{"key":"t%d","value":"%d"}}', i, n) end
local function metrics(count) return '{{"run_id":"' .. targets[n % 16 + 1] .. '","metrics":' .. list(count, metric) .. "}}" end
local function mixed()
  return '{{"run_id":"' .. runs[n % #runs + 1] .. '","metrics":' .. list(10, metric) .. ',"params":' .. list(5, param)
    .. ',"tags":' .. list(5, tag) .. "}}"
end
function request()
  n = n + 1
  {request}
end
"""


def script(load: Load, data: Data, first: int) -> str:
    """Returns what wrk runs; `first` keeps the steps of two windows apart."""
    tokens = [""] + [page_token(offset) for offset in range(PAGE, data.sizes.points, PAGE)]
    lists = (data.experiments, data.runs, data.fat, data.long, data.targets, data.traced, tokens)
    items = ", ".join("{" + ", ".join(f'"{item}"' for item in ids) + "}" for ids in lists)
    about_traces = lua(data.sizes.traces) if load.about == "traces" else ""
    return _LUA.format(lists=items, first=first, models=data.sizes.models, request=load.request, traces=about_traces)


def page_token(offset: int) -> str:
    """Returns the token of the page that begins at `offset`, as both servers write it."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()
