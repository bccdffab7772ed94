"""Traces that the measurements run on, and the requests about them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.request import Request, urlopen

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

TRACES = 20_000
#: A trace a minute, for two weeks.
FROM_MS, STEP_MS = 1_700_000_000_000, 60_000
SPANS = 10


def fill_traces(url: str, experiment: str, count: int, pool: ThreadPoolExecutor) -> None:
    """Writes the traces: their spans, then what the client knows of them."""
    list(pool.map(lambda first: _spans(url, experiment, range(first, first + 20)), range(0, count, 20)))
    list(pool.map(lambda i: _info(url, experiment, i), range(count)))


def trace_id(number: int) -> str:
    """Returns the id of a trace."""
    return f"tr-{f'{number:016d}'.encode().hex()}"


def _spans(url: str, experiment: str, numbers: range) -> None:
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    _send(f"{url}/v1/traces", spans_body({i: FROM_MS + i * STEP_MS for i in numbers}), headers)


def spans_body(starts_ms: dict[int, int]) -> bytes:
    """Returns a post of the spans of traces, which have numbers and began at these times."""
    request = ExportTraceServiceRequest()
    for number, start_ms in starts_ms.items():
        _add(request, f"{number:016d}".encode(), start_ms, number)
    return request.SerializeToString()


def _info(url: str, experiment: str, number: int) -> None:
    body = info_body(experiment, number, FROM_MS + number * STEP_MS)
    _send(f"{url}/api/3.0/mlflow/traces", body, {"Content-Type": "application/json"})


def info_body(experiment: str, number: int, start_ms: int) -> bytes:
    """Returns a post of what the client knows of a trace."""
    info = {
        "trace_id": trace_id(number),
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": f"{datetime.fromtimestamp(start_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}Z",
        "execution_duration": f"{number % 3000 / 1000:.3f}s", "state": "OK" if number % 20 else "ERROR",
        "request_preview": f"Where is order {number}?", "response_preview": "It is on its way.",
        "trace_metadata": {
            "mlflow.trace.session": f"session {number // 8}", "mlflow.user": "me", "mlflow.source.name": "app.py",
            "mlflow.source.type": "LOCAL", "mlflow.trace_schema.version": "3",
        },
        "tags": {"mlflow.traceName": f"app {number % 5}", "team": f"team {number % 50}"},
        "assessments": _assessments(number),
    }  # fmt: skip
    return json.dumps({"trace": {"trace_info": info}}).encode()


def _send(url: str, body: bytes, headers: dict[str, str]) -> None:
    """Posts what must be taken."""
    with urlopen(Request(url, body, headers), timeout=120) as answer:
        answer.read()


def _assessments(number: int) -> list[dict]:
    """A score for every trace, and every second one judged; every tenth with an expected answer."""

    def assessment(name: str, kind: str, value: object) -> dict:
        source = {"source_type": "LLM_JUDGE" if kind == "feedback" else "HUMAN", "source_id": "me"}
        return {"assessment_name": name, "source": source, kind: {"value": value}, "trace_id": trace_id(number)}

    made = [assessment("quality", "feedback", number % 11 / 10)]
    if number % 2:
        made.append(assessment("is_grounded", "feedback", "yes" if number % 3 else "no"))
    if number % 10 == 0:
        made.append(assessment("expected", "expectation", f"answer {number % 7}"))
    return made


def _add(request: ExportTraceServiceRequest, id_bytes: bytes, start_ms: int, number: int) -> None:
    """Adds the spans of one trace: a root, three calls of a model, tools below it."""
    scope = request.resource_spans.add().scope_spans.add()
    scope.scope.name = "bench"
    for i in range(SPANS):
        kind = "CHAIN" if i == 0 else "LLM" if i < 4 else "TOOL"
        start = start_ms * 1_000_000 + i * 1000
        span = scope.spans.add(
            trace_id=id_bytes, span_id=bytes([0, 0, 0, 0, 0, 0, 1, i + 1]), name=f"{kind.lower()} {i}", kind=1,
            parent_span_id=bytes([0, 0, 0, 0, 0, 0, 1, 1]) if i else b"",
            start_time_unix_nano=start, end_time_unix_nano=start + (number % 3000 if i == 0 else (number + i) % 700) * 1_000_000,
        )  # fmt: skip
        span.status.code = 1 if number % 20 else 2
        values = {
            "mlflow.spanType": kind, "mlflow.spanInputs": {"question": f"Where is order {number}?", "history": ["hello"] * 20},
            "mlflow.spanOutputs": {"answer": "It is on its way. " * 10},
        }  # fmt: skip
        if kind == "LLM":
            tokens = 12 + number % 500, 8 + number % 90
            usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
            model = ["gpt-4o-mini", "gpt-4o", "claude-sonnet-4"][number % 3]
            values |= {"mlflow.llm.model": model, "mlflow.chat.tokenUsage": usage, "temperature": number % 4}
        for key, value in values.items():
            _set(span.attributes.add(key=key).value, value)


def _set(target: AnyValue, value: object) -> None:
    """Sets a value as the client's exporter does."""
    if isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            _set(target.kvlist_value.values.add(key=key).value, item)
    elif isinstance(value, list):
        for item in value:
            _set(target.array_value.values.add(), item)
    elif isinstance(value, int):
        target.int_value = value
    else:
        target.string_value = value


def _search(more: str = "") -> str:
    """A search of a page in the filled experiment."""
    where = """'{"locations":[{"type":"MLFLOW_EXPERIMENT","mlflow_experiment":{"experiment_id":"' .. traced[1] .. '"}}],"max_results":100"""
    return _post("search", where + more.replace("'", "\\'") + "}'")


def _measure(view: str, metric: str, aggregations: str, more: str = "") -> str:
    """A question about the traces of the filled experiment."""
    asked = f'"view_type":"{view}","metric_name":"{metric}","aggregations":[{aggregations}]'
    return _post("metrics", """'{"experiment_ids":["' .. traced[1] .. '"],""" + asked + more.replace("'", "\\'") + "}'")


def _post(path: str, body: str) -> str:
    return f'return wrk.format("POST", "/api/3.0/mlflow/traces/{path}", json, {body})'


_TIMES = f',"start_time_ms":{FROM_MS},"end_time_ms":{FROM_MS + TRACES * STEP_MS}'
_DAYS = f'{_TIMES},"time_interval_seconds":86400'
_COUNT, _SUM, _AVG = (f'{{"aggregation_type":"{kind}"}}' for kind in ("COUNT", "SUM", "AVG"))
_PERCENTILES = ",".join(f'{{"aggregation_type":"PERCENTILE","percentile_value":{p}}}' for p in (50, 90, 99))
_LATER = FROM_MS + TRACES // 2 * STEP_MS
_POST_SPANS = 'return wrk.format("POST", "/v1/traces", otlp, spans())'

#: Label, clients, request.
TRACE_LOADS = [
    ("traces/search, 100 of 20,000, 4 clients", 4, _search()),
    ("traces/search, by tag, 4 clients", 4, _search(""","filter":"tags.team = 'team 7'\"""")),
    ("traces/search, by status and time, 4 clients", 4, _search(f""","filter":"trace.status = 'ERROR' AND timestamp_ms < {_LATER}\"""")),
    ("traces/search, by name and type of a span, 1 client", 1, _search(""","filter":"span.name = 'tool 7' AND span.type = 'TOOL'\"""")),
    ("traces/search, by a span's name that none has, 1 client", 1, _search(""","filter":"span.name = 'nothing'\"""")),
    ("traces/search, by an attribute of a span, 1 client", 1, _search(""","filter":"span.attributes.temperature LIKE '%3%'\"""")),
    ("traces/search, by feedback, 4 clients", 4, _search(""","filter":"feedback.is_grounded = 'no'\"""")),
    ("traces/search, by the text of spans, 1 client", 1, _search(""","filter":"trace.text ILIKE '%order 77%'\"""")),
    ("traces/search, by the text of spans that few have, 1 client", 1, _search(""","filter":"trace.text ILIKE '%order 7777%'\"""")),
    ("traces/search, ordered by duration, 4 clients", 4, _search(',"order_by":["execution_time DESC"]')),
    ("traces/get, 10 spans, 16 clients", 16, 'return wrk.format("GET", "/api/3.0/mlflow/traces/get?trace_id=" .. trace(n))'),
    ("traces/batchGet of 10, 4 clients", 4,
     'return wrk.format("GET", "/api/3.0/mlflow/traces/batchGet?trace_ids=" .. table.concat(ten(n), "&trace_ids="))'),
    ("traces/metrics, traces by day and status, 4 clients", 4,
     _measure("TRACES", "trace_count", _COUNT, f'{_DAYS},"dimensions":["trace_status"]')),
    ("traces/metrics, percentiles of latency by day, 4 clients", 4, _measure("TRACES", "latency", _PERCENTILES, _DAYS)),
    ("traces/metrics, tokens by day, 4 clients", 4, _measure("TRACES", "total_tokens", f"{_SUM},{_AVG}", _DAYS)),
    ("traces/metrics, cost by model, 2 clients", 2, _measure("SPANS", "total_cost", _SUM, f'{_TIMES},"dimensions":["span_model_name"]')),
    ("traces/metrics, spans by name, 2 clients", 2, _measure("SPANS", "span_count", _COUNT, f'{_TIMES},"dimensions":["span_name"]')),
    ("traces/metrics, latency of tools by name, 2 clients", 2,
     _measure("SPANS", "latency", f"{_AVG},{_PERCENTILES}", f"""{_TIMES},"dimensions":["span_name"],"filters":["span.type = 'TOOL'"]""")),
    ("traces/metrics, assessments by day, 4 clients", 4,
     _measure("ASSESSMENTS", "assessment_value", _AVG, f'{_DAYS},"dimensions":["assessment_name"]')),
    ("traces, 10 spans a post, 1 client", 1, _POST_SPANS),
    ("traces, 10 spans a post, 16 clients", 16, _POST_SPANS),
    ("traces, what is known of one, 16 clients", 16, 'return wrk.format("POST", "/api/3.0/mlflow/traces", json, info())'),
]  # fmt: skip

_LUA = """
local otlp = {{["Content-Type"] = "application/x-protobuf", ["x-mlflow-experiment-id"] = traced[2]}}
local post = "{post}"
local function hex(text) return (text:gsub(".", function(c) return string.format("%02x", c:byte()) end)) end
local function spans() return (post:gsub("{mark}", string.format("n%015d", n))) end
local function trace(i) return "tr-" .. hex(string.format("%016d", i % {traces})) end
local function ten(n)
  local ids = {{}}
  for i = 1, 10 do ids[i] = trace(n * 10 + i) end
  return ids
end
local function info()
  return '{{"trace":{{"trace_info":{{"trace_id":"tr-' .. hex(string.format("i%015d", n)) .. '","trace_location":{{"type":"MLFLOW_EXPERIMENT",'
    .. '"mlflow_experiment":{{"experiment_id":"' .. traced[2] .. '"}}}},"request_time":"2024-01-01T00:00:00Z","execution_duration":"1.5s",'
    .. '"state":"OK","request_preview":"Where is it?","response_preview":"On its way.","tags":{{"mlflow.traceName":"app","team":"red"}},'
    .. '"trace_metadata":{{"mlflow.trace.session":"s","mlflow.user":"me","mlflow.source.name":"app.py"}}}}}}}}'
end
"""


def lua(count: int) -> str:
    """Returns what the requests about so many traces use; the sixteen bytes of the trace's id are exchanged in every post of spans."""
    mark = b"id of this trace"
    request = ExportTraceServiceRequest()
    _add(request, mark, FROM_MS, 1)
    post = "".join(f"\\{byte:03}" for byte in request.SerializeToString())
    return _LUA.format(post=post, mark=mark.decode(), traces=count)
