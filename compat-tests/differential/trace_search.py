"""Cases of what is searched, measured and counted of traces, good and bad."""

import json

from .case import Case, broken_variants, post, raw, send

_V3 = "/api/3.0/mlflow"
_IDS = [f"tr-{number:032x}" for number in range(0xA1, 0xA9)]
_START_MS = 1_700_000_000_000
_SESSION, _RUN, _MODEL = "mlflow.trace.session", "mlflow.sourceRun", "mlflow.modelId"


def _trace(number: int, state: str = "OK", duration: str | None = "0.010s", metadata: dict | None = None, **more) -> Case:
    """Starts a trace, seconds apart from its neighbours."""
    info = {
        "trace_id": _IDS[number], "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": more.pop("experiment", "$te")}},
        "request_time": f"2023-11-14T22:13:{20 + number:02}.500Z", "state": state, "trace_metadata": metadata or {}, **more,
    }  # fmt: skip
    if duration:
        info["execution_duration"] = duration
    return post(f"{_V3}/traces", {"trace": {"trace_info": info}}, name=f"start trace {number}")


def _span(number: int, span: int, name: str, parent: int | None = None, **attributes) -> dict:
    """A span as OTLP's JSON has it."""
    start = (_START_MS + number * 1000 + 500) * 1_000_000 + span
    values = [{"key": key, "value": {"stringValue": json.dumps(value)}} for key, value in attributes.items()]
    more = {"parentSpanId": f"{parent:016x}"} if parent else {}
    return {
        "traceId": _IDS[number][3:], "spanId": f"{span:016x}", "name": name, "kind": 1, "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + span * 7_000_001), "attributes": values, "status": {"code": 2 if name == "broken" else 1}, **more,
    }  # fmt: skip


def _spans(*spans: dict) -> Case:
    body = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}
    headers = {"Content-Type": "application/json", "x-mlflow-experiment-id": "$te"}
    return Case("post spans", "POST", "/v1/traces", None, body, headers)


def _assess(number: int, name: str, value: object, kind: str = "feedback", **more) -> Case:
    body = {"assessment": {
        "trace_id": _IDS[number], "assessment_name": name, "source": {"source_type": "CODE", "source_id": "me"},
        "create_time": "2023-11-14T22:13:20Z", "last_update_time": "2023-11-14T22:13:20Z", kind: {"value": value}, **more,
    }}  # fmt: skip
    return post(f"{_V3}/traces/{_IDS[number]}/assessments", body, name=f"assess {number} {name}")


_SETUP = [
    post("experiments/create", {"name": "for traces", "artifact_location": "mlflow-artifacts:/tre"}, te="experiment_id"),
    post("experiments/create", {"name": "for more traces", "artifact_location": "mlflow-artifacts:/tre2"}, te2="experiment_id"),
    post("runs/create", {"experiment_id": "$te", "start_time": 1, "run_name": "r"}, tr="run.info.run_id"),
    _trace(0, metadata={_SESSION: "s1", "user": "ann"}, tags={"mlflow.traceName": "chat", "team": "red"}, client_request_id="c-0"),
    _trace(1, "ERROR", "2.500s", metadata={_SESSION: "s1"}, tags={"mlflow.traceName": "chat", "team": "Blue"}, client_request_id="c-1"),
    _trace(2, duration="0.2s", metadata={_RUN: "$tr", _MODEL: "m-1"}, tags={"mlflow.traceName": "tool", "it's": "a\"b"}, request_preview="what?"),
    _trace(3, "IN_PROGRESS", None, tags={"with dot. and space": "x"}),
    _trace(4, metadata={"mlflow.trace.tokenUsage": '{"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}', "mlflow.trace.cost": '{"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}'}, tags={"mlflow.traceName": "ünï"}),
    _trace(5, duration="0.030s", metadata={_SESSION: "s2", "mlflow.trace.tokenUsage": '{"input_tokens": 50, "output_tokens": 70, "total_tokens": 120}'}),
    _trace(6, experiment="$te2", tags={"mlflow.traceName": "chat"}),
    _spans(_span(0, 1, "root", **{"mlflow.spanType": "CHAIN", "mlflow.spanInputs": "order #7"}), _span(0, 2, "ask", 1, **{"mlflow.spanType": "LLM", "model": "gpt-4o", "mlflow.chat.tokenUsage": {"input_tokens": 12, "output_tokens": 8, "total_tokens": 20}})),
    _spans(_span(1, 1, "broken", **{"mlflow.spanType": "TOOL"}), _span(1, 2, "ask", 1, **{"mlflow.spanType": "LLM", "model": "claude"})),
    _spans(_span(2, 1, "Root", **{"mlflow.spanInputs": "ORDER 7%"})),
    post("traces/link-to-run", {"trace_ids": [_IDS[1]], "run_id": "$tr"}, name="link to a run"),
    _assess(0, "good", "yes"), _assess(1, "good", True), _assess(2, "good", None), _assess(0, "score", 0.25), _assess(1, "score", 3), _assess(2, "score", "high"), _assess(4, "it's", "a b"),
    _assess(0, "answer", "4", "expectation"), _assess(1, "answer", {"a": [1]}, "expectation"), _assess(1, "calm", "yes", metadata={_SESSION: "s1"}),
]  # fmt: skip

FILTERS = [
    "", " ", "status = 'OK'", "trace.status = 'ERROR'", "attributes.status != 'OK'", "attribute.status IN ('OK', 'ERROR')", "status NOT IN ('OK')", "status LIKE 'O%'", "status ILIKE 'o%'", "status RLIKE '^(OK|ERR)'", "status RLIKE 'K$'", "status = 'ok'", "status > 'OK'", "status = 5", "status IS NULL", "status = OK",
    "status = ('OK')", "status IN ()", "status IN ('OK',)", "status IN ('OK', 5)", "status IN 'OK'", "Status = 'OK'", "attr.status = 'OK'", "`attributes`.`status` = \"OK\"", "state = 'OK'",
    "timestamp > 1700000002000", "timestamp >= 1700000002500 AND timestamp_ms < 1700000004500", "attributes.timestamp_ms <= 1700000002500", "timestamp_ms = 1700000002500", "timestamp_ms != 1700000002500", "timestamp_ms > 1700000002499.5", "timestamp = 1.5", "timestamp > '5'", "timestamp", "timestamp LIKE 5", "TIMESTAMP > 5", "timestamp_ms IN (1)", "timestamp_ms LIKE '1%'", "timestamp_ms IS NULL", "timestamp > -5",
    "execution_time > 100", "execution_time_ms <= 30", "trace.execution_time_ms = 10", "execution_time != 10", "end_time > 1700000003000", "end_time_ms <= 1700000001000", "trace.end_time >= 1700000002700",
    f"request_id = '{_IDS[0]}'", f"request_id IN ('{_IDS[0]}', '{_IDS[5]}', 'x')", f"request_id NOT IN ('{_IDS[0]}')", "request_id LIKE 'tr-%a2'", "trace_id = 'x'", "client_request_id = 'c-0'", "client_request_id IN ('c-0', 'c-1')", "client_request_id != 'c-0'", "client_request_id IS NULL",
    "name = 'chat'", "trace.name LIKE '%a%'", "attributes.name ILIKE 'CHAT'", "name IN ('chat')", "name IS NULL", "name IS NOT NULL", "name != 'chat'", "name = 'ünï'", "tags.name = 'chat'", "tags.`mlflow.traceName` = 'chat'", "name RLIKE '^.h'",
    "run_id = '$tr'", "attributes.run_id = '$tr'", "attribute.run_id = \"$tr\"", "run_id != '$tr'", "run_id IN ('$tr')", "run_id LIKE '%'", "run_id IS NULL", "run_id IS NOT NULL", "metadata.`mlflow.sourceRun` = '$tr'", "run_id = 'x' AND run_id = '$tr'", "run_id = '$tr' AND status = 'ERROR'",
    "prompt = 'p/1'", "prompt = 'p'", "prompt = 'a/b/1'", "prompt != 'p/1'", "prompt IS NULL", "prompt IN ('p/1')",
    "trace.text ILIKE '%order%'", "trace.text LIKE '%order%'", "trace.text ILIKE '%ORDER #7%'", "trace.text ILIKE '%7\\%%'", "trace.text = 'x'", "trace.text IS NULL", "text ILIKE '%x%'", "trace.text IN ('x')", "trace.text RLIKE 'x'",
    "tags.team = 'red'", "tag.team != 'red'", "tags.team LIKE 'B%'", "tags.team ILIKE 'b%'", "tags.team RLIKE '^[rB]'", "tags.team IS NULL", "tags.team IS NOT NULL", "tags.`with dot. and space` = 'x'", "tags.\"it's\" LIKE '%\"%'", "tags.none = 'x'", "tags.team IN ('red')", "tags.team > 'a'", "tags.team = 5", "tags.team = red", "tags.team = ('red')", "tags. = 'x'",
    "metadata.user = 'ann'", "request_metadata.user = 'ann'", "metadata.user != 'ann'", "metadata.user IS NULL", "metadata.user LIKE 'a%'", "metadata.user IN ('ann')", "metadata.user > 'a'", f"metadata.`{_SESSION}` = 's1'", f"metadata.`{_SESSION}` IS NOT NULL", f"metadata.`{_SESSION}` LIKE 's%'", f"request_metadata.\"{_MODEL}\" = 'm-1'",
    "metadata.`mlflow.trace.tokenUsage` IS NULL", "metadata.`mlflow.trace.tokenUsage` = '{\"input_tokens\": 5, \"output_tokens\": 7, \"total_tokens\": 12}'", "metadata.`mlflow.trace.tokenUsage` != '{\"input_tokens\": 5, \"output_tokens\": 7, \"total_tokens\": 12}'", "metadata.`mlflow.trace.tokenUsage` = '{\"input_tokens\":5}'", "metadata.`mlflow.trace.tokenUsage` LIKE '%5%'",
    "metadata.`mlflow.trace.cost` IS NOT NULL", "metadata.`mlflow.trace.cost` = '{\"input_cost\": 0.25, \"output_cost\": 0.5, \"total_cost\": 0.75}'", "metadata.`mlflow.trace.cost` > '1'",
    "span.name = 'ask'", "span.name != 'ask'", "span.name LIKE 'r%'", "span.name ILIKE 'r%'", "span.name RLIKE '^[Rr]oot$'", "span.name IN ('ask', 'root')", "span.name NOT IN ('ask')", "span.name in ('ask')", "span.name like 'a%'", "span.name IS NULL", "span.name > 'a'", "span.name = ('ask')", "span.type = 'LLM'", "span.type = 5", "span.status = 'ERROR'", "span.status != 'OK'",
    "span.name = 'ask' AND span.type = 'LLM'", "span.name = 'root' AND span.type = 'LLM'", "span.name = 'ask' AND timestamp > 1700000000000", "span.name = 'ask' AND timestamp > 1700000001000", "span.content LIKE '%claude%'", "span.content = 'x'", "span.foo = 'x'", "spans.name = 'x'",
    "span.attributes.model LIKE '%gpt%'", "span.attributes.model ILIKE '%GPT%'", "span.attributes.`model` LIKE '%claude%'", "span.attributes.model = 'gpt-4o'", "span.attributes.model != 'gpt-4o'", "span.attributes.model RLIKE 'gpt'", "span.attributes.model RLIKE '^gpt'", "span.attributes.model RLIKE '4o$'", "span.attributes.model RLIKE '^4o'", "span.attributes. LIKE 'x'", "span.attributes LIKE 'x'", "span.attributes.model IN ('x')", "span.attributes.none LIKE '%x%'",
    "feedback.good = 'yes'", "feedback.good = 'true'", "feedback.good != 'yes'", "feedback.good = 'null'", "feedback.good LIKE '%e%'", "feedback.good ILIKE '%E%'", "feedback.good RLIKE 'y'", "feedback.good IS NULL", "feedback.good IS NOT NULL", "feedback.good = 5", "feedback.good IN ('yes')", "feedback.good = yes", "feedback.score > 0.5", "feedback.score >= 3", "feedback.score < 1", "feedback.score <= -1", "feedback.score > 'x'", "feedback.score = '3'", "feedback.score = '0.25'", "feedback.score != '3'", "feedback.`it's` = 'a b'",
    "feedback.calm = 'yes'", "feedback.calm IS NULL", "feedback.calm IS NOT NULL", "feedback.none IS NULL", "feedback.none = 'x'", "feedback = 'x'", "expectation.answer = '4'", "expectation.answer LIKE '%a%'", "expectation.answer IS NULL", "expectation.answer IS NOT NULL", "expectation.good = 'yes'", "assessment.good = 'yes'", "issue.id = 'i'", "issue.id != 'i'", "issue.id IS NULL", "issue.id = 5",
    "foo = 'x'", "foo.bar = 'x'", "metrics.a > 5", "params.a = 'x'", "status = 'OK' OR status = 'ERROR'", "status = 'OK' AND", "AND status = 'OK'", "(status = 'OK')", "NOT status = 'OK'", "status = 'OK'; status = 'ERROR'", "status = 'OK' -- x", "'OK' = status", "status", "1 = 1", "status = 'OK' tags.team = 'red'", "status = 'OK', tags.team = 'red'", "tags.team BETWEEN 'a' AND 'b'", "name = 'unclosed", "status = NULL",
    "status = 'OK' and tags.team = 'red' and metadata.user = 'ann' and span.name = 'ask' and feedback.good = 'yes' and timestamp > 5", f"metadata.`{_SESSION}` = 's1' AND feedback.good = 'yes'",
]  # fmt: skip

ORDERS = [
    [], ["timestamp"], ["timestamp DESC"], ["timestamp_ms ASC"], ["attributes.timestamp desc"], ["execution_time"], ["execution_time_ms DESC"], ["status", "timestamp"], ["status DESC"], ["request_id"], ["request_id DESC"], ["experiment_id", "request_id"], ["name"], ["name DESC", "timestamp ASC"], ["run_id"], ["run_id DESC"], ["tags.team"], ["tag.team DESC"], ["tags.`with dot. and space`"], ["metadata.user"],
    [f"metadata.`{_SESSION}` DESC"], ["metadata.`mlflow.trace.cost`"], ["client_request_id"], ["span.name"], ["feedback.good"], ["issue.id"], ["prompt"], ["trace.text"], ["foo"], ["foo.bar"], [""], [" "], ["timestamp UP"], ["name DESC ASC"], ["status", "status DESC"], ["timestamp", "attributes.timestamp_ms"], "timestamp", [1], [None], {}, ["status;"], ["end_time"],
]  # fmt: skip

_HERE = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$te"}}]
_BOTH = [*_HERE, {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$te2"}}]


def _search(body: dict, label: str, locations: object = _HERE, **save: str) -> Case:
    return post(f"{_V3}/traces/search", {"locations": locations} | body, name=f"search traces {label}", **save)


def _search_v2(label: str, **query) -> Case:
    return Case(f"search traces v2 {label}", "GET", "/api/2.0/mlflow/traces", query)


_SEARCHES = [
    *[_search({"filter": text}, f"filter: {text}") for text in FILTERS],
    *[_search({"order_by": order}, f"order: {order}") for order in ORDERS],
    *[_search({"max_results": n}, f"max_results {n!r}") for n in (0, 1, 6, 500, 501, 50001, -1, "3", "x", 1.5, None, True)],
    *[_search({}, f"locations {where!r}"[:110], where) for where in ([], None, "x", [1], [{}], {}, [{"type": "MLFLOW_EXPERIMENT"}], [{"type": "INFERENCE_TABLE", "inference_table": {"full_table_name": "a.b.c"}}], [{"mlflow_experiment": {"experiment_id": "$te"}}], _BOTH, [*_HERE, *_HERE])],
    *[_search({}, f"experiment {i!r}", [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": i}}]) for i in ("99999", "abc", "", "a.b.c", "0", 1)],
    *[_search({"page_token": t}, f"page token {t!r}") for t in ("x", "no token!", "bm90IGpzb24=", "e30=", "", "eyJvZmZzZXQiOiA5OTk5fQ==", "eyJvZmZzZXQiOjF9", 5)],
    _search({"max_results": 4}, "page 1", tp1="next_page_token"), _search({"max_results": 4, "page_token": "$tp1"}, "page 2", tp2="next_page_token"),
    _search({"max_results": 3, "order_by": ["name"]}, "page 1 by name", tn1="next_page_token"), _search({"max_results": 3, "order_by": ["name"], "page_token": "$tn1"}, "page 2 by name", tn2="next_page_token"), _search({"max_results": 3, "order_by": ["name"], "page_token": "$tn2"}, "page 3 by name"),
    post(f"{_V3}/traces/search", {}, name="search traces without locations"), _search({"filter": 5}, "filter 5"), _search({"filter": None, "order_by": None}, "with nulls"), _search({"maxResults": 2, "orderBy": ["timestamp"]}, "in camel case"),
    _search({"max_results": 1, "order_by": ["timestamp DESC"]}, "as the page of judges", []),
    _search_v2("all", experiment_ids="$te"), _search_v2("of both", experiment_ids=["$te", "$te2"], max_results=3), _search_v2("without experiments"), _search_v2("filter", experiment_ids="$te", filter="status = 'ERROR'"), _search_v2("order", experiment_ids="$te", order_by=["name", "timestamp"]), _search_v2("bad filter", experiment_ids="$te", filter="foo"), _search_v2("limit", experiment_ids="$te", max_results=501), _search_v2("bad experiment", experiment_ids="a.b"),
]  # fmt: skip


def _metrics(label: str, view: object, metric: object, *kinds: object, **more) -> Case:
    aggregations = [{"aggregation_type": "PERCENTILE", "percentile_value": kind} if isinstance(kind, int | float) else {"aggregation_type": kind} for kind in kinds]
    body = {"experiment_ids": ["$te"], "view_type": view, "metric_name": metric, "aggregations": aggregations} | more
    return post(f"{_V3}/traces/metrics", body, name=f"metrics {label or (view, metric, kinds, more)}")


_TIMES = {"start_time_ms": _START_MS, "end_time_ms": _START_MS + 60_000}
_TRACE_FILTERS = [
    "trace.status = 'OK'", "trace.status = \"ERROR\"", "trace.tag.team = 'red'", "trace.tag.`mlflow.traceName` = 'chat'", "trace.metadata.`mlflow.sourceRun` = '$tr'", "trace.metadata.user = 'ann'", f"trace.metadata.`{_SESSION}` = 's1'", "trace.metadata.`mlflow.trace.tokenUsage` = '{\"input_tokens\": 5, \"output_tokens\": 7, \"total_tokens\": 12}'",
]  # fmt: skip
_BAD_FILTERS = [
    "", "trace.status", "trace.status != 'OK'", "trace.status = 5", "trace.status = OK", "trace.name = 'x'", "trace.tag = 'x'", "trace.status.x = 'x'", "status = 'OK'", "run.id = 'x'", "trace.status = 'OK' AND trace.status = 'OK'", "trace.status IN ('OK')", "trace.status IS NULL", "trace.tag.a LIKE 'x'", "span.name = 'x'", "assessment.name = 'x'", "x", ";", "`trace`.status = 'OK'", "trace.`status` = 'OK'",
]  # fmt: skip
_METRICS = [
    *[_metrics("", "TRACES", "trace_count", "COUNT", **more) for more in ({}, {"dimensions": ["trace_status"]}, {"dimensions": ["trace_name", "trace_status"]}, {"dimensions": ["trace_name", "trace_name"]}, _TIMES, {"start_time_ms": _START_MS + 2500}, {"end_time_ms": _START_MS + 2500}, _TIMES | {"time_interval_seconds": 2}, _TIMES | {"time_interval_seconds": 3600, "dimensions": ["trace_status"]}, _TIMES | {"time_interval_seconds": 86400}, {"experiment_ids": ["$te", "$te2"]}, {"max_results": 1, "dimensions": ["trace_status"]}, {"max_results": 0}, {"page_token": "x"}, {"time_interval_seconds": 0})],
    *[_metrics("", "TRACES", metric, *kinds, **more) for metric in ("latency", "input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens") for kinds in (("AVG",), ("MIN", "MAX"), (50, 90, 99), (0, 100.0, 12.5)) for more in ({}, {"dimensions": ["trace_name"]}, _TIMES | {"time_interval_seconds": 3})],
    *[_metrics("", "TRACES", metric, "SUM", "AVG", **_TIMES) for metric in ("input_tokens", "total_tokens", "cache_creation_input_tokens", "latency")],
    _metrics("", "TRACES", "session_count", "COUNT"), _metrics("", "TRACES", "session_count", "COUNT", dimensions=["trace_name"]), _metrics("", "TRACES", "session_count", "COUNT", **_TIMES, time_interval_seconds=1),
    *[_metrics("", "SPANS", "span_count", "COUNT", **more) for more in ({}, {"dimensions": ["span_name"]}, {"dimensions": ["span_name", "span_status"]}, {"dimensions": ["span_type"]}, {"dimensions": ["span_model_name", "span_model_provider"]}, _TIMES | {"time_interval_seconds": 1}, _TIMES | {"time_interval_seconds": 86400, "dimensions": ["span_name"], "filters": ["span.type = \"TOOL\""]}, {"filters": ["span.name = 'ask'", "trace.status = 'OK'"]}, {"filters": ["span.status = 'ERROR'"]})],
    *[_metrics("", "SPANS", "latency", *kinds, **more) for kinds in (("AVG",), ("MIN", "MAX"), (50, 90)) for more in ({}, {"dimensions": ["span_name"]}, {"dimensions": ["span_status", "span_name"]}, _TIMES | {"time_interval_seconds": 5})],
    *[_metrics("", "SPANS", cost, "SUM", **more) for cost in ("input_cost", "output_cost", "total_cost") for more in ({}, {"dimensions": ["span_model_name"]}, _TIMES | {"time_interval_seconds": 86400, "dimensions": ["span_model_name"]}, {"filters": ["trace.status = 'OK'"]})],
    *[_metrics("", "ASSESSMENTS", "assessment_count", "COUNT", **more) for more in ({}, {"dimensions": ["assessment_name"]}, {"dimensions": ["assessment_name", "assessment_value"]}, _TIMES | {"time_interval_seconds": 86400}, {"filters": ["assessment.type = \"feedback\""], "dimensions": ["assessment_name", "assessment_value"]}, {"filters": ["assessment.name = 'good'"]}, {"filters": ["assessment.type = 'expectation'"]})],
    *[_metrics("", "ASSESSMENTS", "assessment_value", *kinds, **more) for kinds in (("AVG",), ("MIN", "MAX", 50)) for more in ({}, {"dimensions": ["assessment_name"]}, _TIMES | {"time_interval_seconds": 60, "filters": ["assessment.type = 'feedback'"], "dimensions": ["assessment_name"]})],
    *[_metrics(f"{view} {text}", view, name, "COUNT", filters=[text]) for view, name in (("TRACES", "trace_count"), ("SPANS", "span_count"), ("ASSESSMENTS", "assessment_count")) for text in _TRACE_FILTERS],
    *[_metrics(f"bad filter {text}", "TRACES", "trace_count", "COUNT", filters=[text]) for text in _BAD_FILTERS],
    *[_metrics(f"filters {filters!r}", "TRACES", "trace_count", "COUNT", filters=filters) for filters in ("x", [5], None, [], ["trace.status = 'OK'", "trace.tag.team = 'red'"], ["trace.status = 'OK'", "foo"])],
    *[_metrics(f"view {view!r}", view, "latency", "AVG") for view in ("traces", "nope", 1, 7, None, "")],
    *[_metrics(f"metric {metric!r}", "TRACES", metric, "COUNT") for metric in ("nope", "", None, 5, "span_count", "TRACE_COUNT")],
    *[_metrics(f"aggregation {kind!r}", "TRACES", "latency", kind) for kind in ("COUNT", "SUM", "NOPE", "avg", None)],
    *[_metrics(f"aggregations {wrong!r}", "TRACES", "latency", aggregations=wrong) for wrong in ([], None, "x", [1], {}, [{"aggregation_type": "AVG", "percentile_value": 5}], [{"aggregation_type": "PERCENTILE"}], [{"aggregation_type": "PERCENTILE", "percentile_value": 101}], [{"aggregation_type": "PERCENTILE", "percentile_value": -1}], [{"aggregation_type": "AVG"}, {"aggregation_type": "AVG"}])],
    *[_metrics(f"dimensions {wrong!r}", "TRACES", "latency", "AVG", dimensions=wrong) for wrong in (["nope"], ["trace_status"], ["span_name", "nope"], "x", [5], None, [""])],
    *[_metrics(f"experiments {wrong!r}", "TRACES", "trace_count", "COUNT", experiment_ids=wrong) for wrong in ([], ["abc"], ["99999"], "x", [5], None, [""])],
    *[_metrics(f"times {wrong}", "TRACES", "trace_count", "COUNT", **wrong) for wrong in ({"time_interval_seconds": 60}, {"time_interval_seconds": 60, "start_time_ms": 5}, {"time_interval_seconds": "x"}, {"start_time_ms": "5"}, {"start_time_ms": 1.5}, {"start_time_ms": 9223372036854775807}, {"end_time_ms": -9223372036854775808})],
    *[_metrics(f"max_results {n!r}", "TRACES", "trace_count", "COUNT", max_results=n, dimensions=["trace_status"]) for n in (2, 100_000, -1, "x")],
    *broken_variants(f"{_V3}/traces/metrics", {"experiment_ids": ["$te"], "view_type": "TRACES", "metric_name": "trace_count"}),
]  # fmt: skip


def _correlate(first: object, second: object, **more) -> Case:
    body = {"experiment_ids": ["$te"], "filter_string1": first, "filter_string2": second} | more
    return post(f"{_V3}/traces/calculate-filter-correlation", body, name=f"correlation {first} {second} {more}"[:150])


_CORRELATIONS = [
    _correlate("status = 'OK'", "tags.team = 'red'"), _correlate("status = 'ERROR'", "tags.team = 'Blue'"), _correlate("status = 'OK'", "status = 'ERROR'"), _correlate("status = 'OK'", "status = 'OK'"), _correlate("status = 'nope'", "status = 'OK'"), _correlate("timestamp > 0", "timestamp > 1"), _correlate("span.name = 'ask'", "span.type = 'CHAIN'", base_filter="span.type = 'LLM'"),
    _correlate("feedback.good = 'yes'", "feedback.calm = 'yes'"), _correlate("run_id = '$tr'", "status = 'ERROR'", base_filter="timestamp < 1700000004000"), _correlate("name = 'chat'", "status = 'ERROR'", experiment_ids=["$te", "$te2"]), _correlate("status = 'OK'", "tags.team IS NULL", base_filter=""), _correlate("status = 'OK'", "foo"), _correlate("foo", "bar"),
    _correlate("", "status = 'OK'"), _correlate("status = 'OK'", None), _correlate("status = 'OK'", "status = 'OK'", base_filter="foo"), _correlate("status = 'OK'", "status = 'OK'", experiment_ids=["abc"]), _correlate("status = 'OK'", "status = 'OK'", experiment_ids=[]), _correlate("status = 'OK'", "status = 'OK'", experiment_ids=["99999"]),
    *broken_variants(f"{_V3}/traces/calculate-filter-correlation", {"experiment_ids": ["$te"], "filter_string1": "status = 'OK'", "filter_string2": "status = 'ERROR'", "base_filter": "timestamp > 5"}),
    send("GET", f"{_V3}/traces/search", name="GET search traces"), raw("POST", f"{_V3}/traces/search", b"{", name="search traces, broken JSON"),
]  # fmt: skip

CASES: list[Case] = [*_SETUP, *_SEARCHES, *_METRICS, *_CORRELATIONS]
