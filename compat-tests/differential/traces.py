"""Cases of the life of traces: started, read, tagged, linked, deleted, in all versions of the interface."""

from __future__ import annotations

from typing import Any

from .case import Case, broken_variants, get, post, raw, send

_V2, _V3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
_START_NS = 1_700_000_000_500_000_000
_NONE = "tr-" + "0" * 31 + "f"


def _id(number: int) -> str:
    return f"tr-{0xC000 + number:032x}"


def _info(trace: int, /, **more: Any) -> dict:
    fields = {
        "trace_id": _id(trace), "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$xe"}},
        "request_time": "2023-11-14T22:13:20.500Z", "execution_duration": "1.5s", "state": "OK",
    }  # fmt: skip
    return {key: value for key, value in (fields | more).items() if value is not _LEFT_OUT}


_LEFT_OUT = object()


def _start(label: str, trace: int, /, **more: Any) -> Case:
    return post(f"{_V3}/traces", {"trace": {"trace_info": _info(trace, **more)}}, name=f"start {label}"[:110])


def _spans(trace: int, *numbers: int, run: bool = False, **attributes: str) -> Case:
    """Posts spans; the first of a trace is its root."""
    spans = [{
        "traceId": _id(trace)[3:], "spanId": f"{number:016x}", "parentSpanId": "" if number == 1 else f"{1:016x}", "name": f"span {number}",
        "startTimeUnixNano": str(_START_NS + number), "endTimeUnixNano": str(_START_NS + 10**9), "status": {"code": 1},
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    } for number in numbers]  # fmt: skip
    headers = {"Content-Type": "application/json", "x-mlflow-experiment-id": "$xe"} | ({"x-mlflow-run-id": "$xr"} if run else {})
    return Case(f"spans of {trace}", "POST", "/v1/traces", None, {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}, headers)


def _read(trace: int, label: str = "") -> Case:
    return get(f"{_V3}/traces/{_id(trace)}", name=f"info of {label or trace}"[:110])


_SETUP = [
    post("experiments/create", {"name": "for a life of traces", "artifact_location": "mlflow-artifacts:/xe"}, xe="experiment_id"),
    post("experiments/create", {"name": "for a second life", "artifact_location": "mlflow-artifacts:/xe2/"}, xe2="experiment_id"),
    post("experiments/create", {"name": "for a deleted life"}, xed="experiment_id"), post("experiments/delete", {"experiment_id": "$xed"}),
    post("runs/create", {"experiment_id": "$xe", "start_time": 1, "run_name": "x"}, xr="run.info.run_id"),
    post("registered-models/create", {"name": "traced", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}),
    post("model-versions/create", {"name": "traced", "source": "dummy", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "t"}]}),
]  # fmt: skip

_E2 = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$xe2"}}


def _at(experiment: Any) -> dict:
    return {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}


_TOKENS, _COST, _SESSION = "mlflow.trace.tokenUsage", "mlflow.trace.cost", "mlflow.trace.session"
#: What a trace may be started with, one thing at a time.
_INFOS: dict[str, dict[str, Any]] = {
    "plain": {}, "everything": {"client_request_id": "c", "request_preview": "q", "response_preview": "a", "trace_metadata": {"m": "1", "mlflow.sourceRun": "$xr", "mlflow.trace.user": "u", _SESSION: "s"}, "tags": {"t": "1", "mlflow.traceName": "n"}},
    "no id": {"trace_id": _LEFT_OUT}, "empty id": {"trace_id": ""}, "odd id": {"trace_id": "my trace/1"}, "long id": {"trace_id": "x" * 51}, "null id": {"trace_id": None}, "id as int": {"trace_id": 5}, "v4 id": {"trace_id": "trace:/c.s/abc"},
    "no place": {"trace_location": _LEFT_OUT}, "empty place": {"trace_location": {}}, "place without type": {"trace_location": {"mlflow_experiment": {"experiment_id": "$xe"}}}, "place with type only": {"trace_location": {"type": "MLFLOW_EXPERIMENT"}}, "place of a table": {"trace_location": {"type": "INFERENCE_TABLE", "inference_table": {"full_table_name": "a.b.c"}}}, "place as word": {"trace_location": "x"}, "place type unknown": {"trace_location": {"type": "NOPE", "mlflow_experiment": {"experiment_id": "$xe"}}}, "place type as int": {"trace_location": {"type": 1, "mlflow_experiment": {"experiment_id": "$xe"}}}, "two places": {"trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$xe"}, "inference_table": {"full_table_name": "a.b.c"}}},
    "camel case place": {"trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflowExperiment": {"experimentId": "$xe"}}},
    **{f"experiment {which!r}": {"trace_location": _at(which)} for which in ("99999", "abc", "", None, "0", "-1", "1.5", "$xed", "$xe2", "99999999999")},
    **{f"request_time {when!r}": {"request_time": when} for when in ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20.5+02:00", "2023-11-14T22:13:20", "2023-11-14", "", "x", 1_700_000_000_000, None, "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "10000-01-01T00:00:00Z", "2023-02-30T00:00:00Z", {"seconds": 5})},
    "no request_time": {"request_time": _LEFT_OUT},
    **{f"duration {long!r}": {"execution_duration": long} for long in ("0s", "1.5s", "0.001s", "1.0000001s", "-1.5s", "1", "x", "", 5, None, "1e3s", "315576000000s", "999999999999s", "1.5S", " 1s", "0.0009s")},
    "no duration": {"execution_duration": _LEFT_OUT},
    **{f"state {state!r}": {"state": state} for state in ("OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED", "NOPE", "ok", "", 1, 2, 9, None)}, "no state": {"state": _LEFT_OUT},
    "tags": {"tags": {"a": "1", "b c/d.e": "na\u00efve", "": "nameless", "mlflow.spansLocation": "x", "l" * 250: "v"}}, "long tag": {"tags": {"a": "v" * 9000}}, "long key": {"tags": {"k" * 251: "v"}}, "tag as int": {"tags": {"a": 5}}, "tag null": {"tags": {"a": None}}, "tags as list": {"tags": [{"key": "a", "value": "b"}]}, "tags as word": {"tags": "x"}, "artifact location as tag": {"tags": {"mlflow.artifactLocation": "s3://elsewhere"}}, "spans location as tag": {"tags": {"mlflow.trace.spansLocation": "elsewhere"}}, "long name": {"tags": {"mlflow.traceName": "n" * 4097}}, "name at its limit": {"tags": {"mlflow.traceName": "n" * 4096}}, "empty name": {"tags": {"mlflow.traceName": ""}},
    "metadata": {"trace_metadata": {"a": "1", "": "x", "mlflow.trace.infoFinalized": "false"}}, "long metadata": {"trace_metadata": {"a": "v" * 9000, "k" * 300: "v"}}, "metadata as int": {"trace_metadata": {"a": 5}}, "metadata as word": {"trace_metadata": "x"}, "long session": {"trace_metadata": {_SESSION: "s" * 251}}, "empty session": {"trace_metadata": {_SESSION: ""}}, "session at its limit": {"trace_metadata": {_SESSION: "s" * 250}},
    **{f"tokens {text}": {"trace_metadata": {_TOKENS: text}} for text in ('{"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 2, "cache_creation_input_tokens_above_1hr": 3}', '{"input_tokens": "5", "output_tokens": 7.0, "total_tokens": 1.5}', "{}", "", "x", "[1]", "null", '{"other": 1}', '{"input_tokens": null}', '{"input_tokens": true}', '{"input_tokens": 1e400}', '{"input_tokens": 9223372036854775808}', '{"input_tokens": -5}', '{"input_tokens": NaN}')},
    **{f"cost {text}": {"trace_metadata": {_COST: text}} for text in ('{"input_cost": 0.5, "output_cost": 1e-7, "total_cost": 3}', '{"total_cost": "0.25"}', "{}", "x", '{"total_cost": NaN}', '{"total_cost": 1e400}', '{"total_cost": true}', "5")},
    "previews": {"request_preview": "", "response_preview": "p" * 20_000}, "preview null": {"request_preview": None}, "preview as object": {"request_preview": {"a": 1}}, "long client id": {"client_request_id": "c" * 51}, "empty client id": {"client_request_id": ""}, "camel case": {"requestPreview": "q", "clientRequestId": "c", "traceMetadata": {"a": "b"}}, "unknown field": {"no_such_field": 1}, "old names": {"request_id": "r", "timestamp_ms": 5, "status": "OK"},
    "assessments": {"assessments": [{"assessment_name": "good", "feedback": {"value": True}, "source": {"source_type": "HUMAN", "source_id": "me"}, "create_time": "2023-11-14T22:13:20Z", "last_update_time": "2023-11-14T22:13:21Z"}, {"assessment_id": "a-fixed", "assessment_name": "want", "expectation": {"value": "x"}, "trace_id": "tr-other", "create_time": "2023-11-14T22:13:20Z", "last_update_time": "2023-11-14T22:13:20Z"}]}, "broken assessment": {"assessments": [{"assessment_name": "x"}]}, "assessments as word": {"assessments": "x"}, "assessments null": {"assessments": None},
}  # fmt: skip
_STARTS = [case for number, (label, more) in enumerate(_INFOS.items()) for case in (_start(label, number, **more), _read(number, label))]

_AGAIN = 900
#: Started twice: what the second start changes.
_RESTARTS: dict[str, tuple[dict, dict]] = {
    "the same": ({}, {}), "less": ({"client_request_id": "c", "request_preview": "q", "trace_metadata": {"a": "1", "b": "1", _SESSION: "s", _TOKENS: '{"input_tokens": 5, "output_tokens": 5}', _COST: '{"total_cost": 1}'}, "tags": {"x": "1", "mlflow.traceName": "n"}}, {"request_time": "2023-11-14T22:13:21Z", "execution_duration": _LEFT_OUT, "state": "ERROR"}), "other": ({"trace_metadata": {"a": "1", "b": "1", _TOKENS: '{"input_tokens": 5, "output_tokens": 5}'}, "tags": {"x": "1", "y": "1", "mlflow.traceName": "n"}, "request_preview": "q"}, {"trace_metadata": {"a": "2", "c": "2", _TOKENS: '{"output_tokens": 6}'}, "tags": {"x": "2", "mlflow.traceName": "m"}, "request_preview": "r", "response_preview": "s"}),
    "elsewhere": ({}, {"trace_location": _E2}), "spans elsewhere": ({"tags": {"mlflow.trace.spansLocation": "ARCHIVE_REPO"}}, {}), "to an unknown experiment": ({}, {"trace_location": _at("99999")}), "with assessments": ({"assessments": [{"assessment_id": "a-again", "assessment_name": "n", "feedback": {"value": 1}, "create_time": "2023-11-14T22:13:20Z", "last_update_time": "2023-11-14T22:13:20Z"}]}, {"assessments": [{"assessment_id": "a-again", "assessment_name": "m", "feedback": {"value": 2}, "rationale": "r", "create_time": "2023-11-14T22:13:21Z", "last_update_time": "2023-11-14T22:13:21Z"}]}), "with empty name": ({"tags": {"mlflow.traceName": "n"}}, {"tags": {"mlflow.traceName": ""}}), "with empty previews": ({"request_preview": "q"}, {"request_preview": ""}), "with broken tokens": ({"trace_metadata": {_TOKENS: '{"input_tokens": 5}'}}, {"trace_metadata": {_TOKENS: "x"}}),
}  # fmt: skip
_RESTARTED = [case for number, (label, (first, second)) in enumerate(_RESTARTS.items(), _AGAIN) for case in (_start(f"first, {label}", number, **first), _start(f"again, {label}", number, **second), _read(number, f"started again, {label}"))]

_WHOLE, _PART, _BARE, _THERE, _MORE = 800, 801, 802, 803, 804
_READS = [
    _start("whole", _WHOLE, tags={"mlflow.traceName": "w"}), _spans(_WHOLE, 1, 2, 3, **{"mlflow.spanInputs": '"in"'}),
    _start("with a part", _PART, trace_metadata={"mlflow.trace.sizeStats": '{"num_spans": 5}'}), _spans(_PART, 1, 2), _start("bare", _BARE), _start("elsewhere", _THERE, trace_location=_E2), _spans(_MORE, 2, 3),
    *[get(f"{_V3}/traces/get", name=f"get {label}", trace_id=_id(n), **query) for n, label in ((_WHOLE, "whole"), (_PART, "part"), (_BARE, "bare"), (_MORE, "children only")) for query in ({"allow_partial": "true"},)], get(f"{_V3}/traces/get", name="get whole, wait", trace_id=_id(_WHOLE)), get(f"{_V3}/traces/get", name="get part, wait", trace_id=_id(_PART)), get(f"{_V3}/traces/get", name="get children only, wait", trace_id=_id(_MORE)),
    *[get(f"{_V3}/traces/get", name=f"get {query}", **query) for query in ({}, {"trace_id": ""}, {"trace_id": _NONE}, {"trace_id": _NONE, "allow_partial": "true"}, {"trace_id": _id(_WHOLE), "allow_partial": "false"}, {"trace_id": _id(_WHOLE), "allow_partial": "x"}, {"trace_id": _id(_WHOLE), "allow_partial": "1"}, {"trace_id": _id(_WHOLE), "allow_partial": "True"}, {"trace_id": [_id(_WHOLE), _id(_PART)]}, {"trace_id": _id(_WHOLE), "more": 1}, {"traceId": _id(_WHOLE)})],
    *[get(f"{_V3}/traces/batchGet", name=f"batchGet {label}", **query) for label, query in {"nothing": {}, "one": {"trace_ids": _id(_WHOLE)}, "several": {"trace_ids": [_id(_PART), _id(_WHOLE), _id(_BARE), _NONE, _id(_MORE), _id(_WHOLE)]}, "empty": {"trace_ids": ""}, "of an experiment": {"trace_ids": [_id(_WHOLE), _id(_THERE)], "experiment_ids": "$xe"}, "of another": {"trace_ids": [_id(_WHOLE), _id(_THERE)], "experiment_ids": "$xe2"}, "of both": {"trace_ids": [_id(_WHOLE), _id(_MORE)], "experiment_ids": ["$xe", "$xe2"]}, "of a bad one": {"trace_ids": [_id(_WHOLE)], "experiment_ids": "x"}, "of an empty one": {"trace_ids": [_id(_WHOLE)], "experiment_ids": ""}, "camel case": {"traceIds": [_id(_WHOLE)]}, "with a bad one and none": {"trace_ids": [_NONE], "experiment_ids": "x"}}.items()],
    *[post(f"{_V3}/traces/batchGetInfos", body, name=f"batchGetInfos {label}") for label, body in {"one": {"trace_ids": [_id(_WHOLE)]}, "several": {"trace_ids": [_id(_PART), _id(_WHOLE), _id(_BARE), _NONE, _id(_WHOLE), _id(_THERE)]}, "none": {"trace_ids": []}, "null": {"trace_ids": None}, "of an experiment": {"trace_ids": [_id(_WHOLE), _id(_THERE)], "experiment_ids": ["$xe2"]}, "of no experiment": {"trace_ids": [_id(_WHOLE)], "experiment_ids": []}, "of null experiments": {"trace_ids": [_id(_WHOLE)], "experiment_ids": None}, "of a bad one": {"trace_ids": [_id(_WHOLE)], "experiment_ids": ["x"]}, "of no traces and a bad one": {"trace_ids": [], "experiment_ids": ["x"]}, "of an unknown one": {"trace_ids": [_id(_WHOLE)], "experiment_ids": ["99999"]}, "of no experiment, camel case": {"trace_ids": [_id(_WHOLE)], "experimentIds": []}}.items()],
    *broken_variants(f"{_V3}/traces/batchGetInfos", {"trace_ids": [_id(_WHOLE)], "experiment_ids": ["$xe"]}),
    raw("GET", f"{_V3}/traces/batchGet", b'{"trace_ids": ["' + _id(_WHOLE).encode() + b'"], "experiment_ids": []}', headers={"Content-Type": "application/json"}, name="batchGet with a body"),
    *[get(f"{_V3}/traces/{which}", name=f"info {which!r}") for which in (_NONE, "x", "a%20b", "%2e%2e", "get", "batchGet/", _id(_WHOLE) + "/")], get(f"/ajax-api/3.0/mlflow/traces/{_id(_WHOLE)}"), send("DELETE", f"{_V3}/traces/{_id(_WHOLE)}"), send("PATCH", f"{_V3}/traces/{_id(_WHOLE)}"),
    *[get(f"/ajax-api/{version}/mlflow/get-trace-artifact", name=f"kept {version} {query}"[:110], **query) for version in ("2.0", "3.0") for query in ({"request_id": _id(_WHOLE)}, {"request_id": _id(_PART)}, {"request_id": _id(_BARE)}, {"request_id": _id(_MORE)}, {}, {"request_id": ""}, {"request_id": _NONE}, {"trace_id": _id(_WHOLE)}, {"request_id": _id(_WHOLE), "path": "x"}, {"request_id": _id(_WHOLE), "path": "../x"}, {"request_id": _id(_WHOLE), "path": ""}, {"request_id": _id(_WHOLE), "path": "8a5d3f0e-7c9b-4c62-9f6e-1f0d7f3a2b1c"}, {"request_id": _NONE, "path": "8a5d3f0e-7c9b-4c62-9f6e-1f0d7f3a2b1c"}, {"request_id": _id(_WHOLE), "path": "8A5D3F0E-7C9B-4C62-9F6E-1F0D7F3A2B1C"}, {"request_id": _id(_WHOLE), "path": "8a5d3f0e7c9b4c629f6e1f0d7f3a2b1c"})], get("/api/3.0/mlflow/get-trace-artifact", request_id=_id(_WHOLE)), get("/get-trace-artifact", request_id=_id(_WHOLE)), send("POST", "/ajax-api/3.0/mlflow/get-trace-artifact", {}),
]  # fmt: skip

# The files of a trace of an old client, and what is attached to a trace.
_FILES = [
    *[Case(f"put {name}", "PUT", f"/api/2.0/mlflow-artifacts/artifacts/xe/traces/{_id(_BARE)}/artifacts/{name}", None, body, {"Content-Type": kind}) for name, body, kind in (("traces.json", b'{"spans": []}', "application/json"), ("attachments/8a5d3f0e-7c9b-4c62-9f6e-1f0d7f3a2b1c", b"\x89PNG", "image/png"))],
    *[get(f"/ajax-api/{version}/mlflow/get-trace-artifact", name=f"file of a trace {version} {path}", request_id=_id(_BARE), **({"path": path} if path else {})) for version in ("2.0", "3.0") for path in ("", "8a5d3f0e-7c9b-4c62-9f6e-1f0d7f3a2b1c", "8a5d3f0e-7c9b-4c62-9f6e-000000000000")],
    get("/ajax-api/3.0/mlflow/get-trace-artifact", name="attachment in part", headers={"Range": "bytes=1-2"}, request_id=_id(_BARE), path="8a5d3f0e-7c9b-4c62-9f6e-1f0d7f3a2b1c"),
]  # fmt: skip

_TAG_BODIES = [
    {"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b c/d.e", "value": "na\u00efve"}, {"key": "", "value": "x"}, {"key": "k"}, {"value": "v"}, {}, {"key": "k" * 250, "value": "v"}, {"key": "k" * 251, "value": "v"}, {"key": "a", "value": "v" * 8000}, {"key": "a", "value": "v" * 8001}, {"key": "../x", "value": "v"}, {"key": "/x", "value": "v"}, {"key": "bad!", "value": "v"}, {"key": "a", "value": None}, {"key": "a", "value": 5}, {"key": 5, "value": "x"},
    {"key": "mlflow.traceName", "value": "renamed"}, {"key": "mlflow.traceName", "value": "n" * 4097}, {"key": "mlflow.traceName", "value": ""}, {"key": "mlflow.trace.spansLocation", "value": "x"}, {"key": "mlflow.trace.archiveLocation", "value": "x"}, {"key": "mlflow.trace.archivalFailure", "value": "x"}, {"key": "mlflow.artifactLocation", "value": "x"}, {"key": "mlflow.other", "value": "x"},
]  # fmt: skip
_TAGGED = 810
_TAGS = [
    _start("to tag", _TAGGED, tags={"mlflow.traceName": "n"}),
    *[send("PATCH", f"{root}/traces/{_id(_TAGGED)}/tags", body, name=f"tag {root[5:8]} {body}"[:110]) for root in (_V2, _V3) for body in _TAG_BODIES], _read(_TAGGED, "tagged"),
    send("PATCH", f"{_V3}/traces/{_NONE}/tags", {"key": "a", "value": "b"}, name="tag an unknown trace"), send("PATCH", f"{_V3}/traces/{_NONE}/tags", {"key": "mlflow.traceName", "value": "b"}, name="name an unknown trace"), send("PATCH", f"{_V2}/traces/{_id(_TAGGED)}/tags", {"request_id": _NONE, "key": "a", "value": "other"}, name="tag a trace, another in the body"),
    *[send("DELETE", f"{root}/traces/{_id(_TAGGED)}/tags", {"key": key}, name=f"untag {root[5:8]} {key}"[:110]) for root in (_V2, _V3) for key in ("a", "none", "", None, 5, "mlflow.traceName", "mlflow.trace.spansLocation", "mlflow.trace.archivalFailure", "mlflow.artifactLocation")], send("DELETE", f"{_V3}/traces/{_id(_TAGGED)}/tags", {}, name="untag nothing"), Case("untag by query", "DELETE", f"{_V2}/traces/{_id(_TAGGED)}/tags", {"key": "mlflow.other"}), _read(_TAGGED, "untagged"),
    send("DELETE", f"{_V3}/traces/{_NONE}/tags", {"key": "a"}, name="untag an unknown trace"), send("DELETE", f"{_V3}/traces/{_NONE}/tags", {"key": "mlflow.traceName"}, name="unname an unknown trace"),
]  # fmt: skip


def _found(label: str, text: str, **more: Any) -> Case:
    return post(f"{_V3}/traces/search", {"locations": [_at("$xe")], "filter": text, "order_by": ["request_id"]} | more, name=f"find {label}")


_LINKS = [
    *[post("traces/link-to-run", body, name=f"link {label}") for label, body in {"two": {"trace_ids": [_id(_WHOLE), _id(_PART)], "run_id": "$xr"}, "again and more": {"trace_ids": [_id(_WHOLE), _id(_BARE)], "run_id": "$xr"}, "the same twice": {"trace_ids": ["tr-twice", "tr-twice"], "run_id": "$xr"}, "unknown trace": {"trace_ids": [_NONE], "run_id": "$xr"}, "unknown run": {"trace_ids": [_id(_WHOLE)], "run_id": "none"}, "no traces": {"trace_ids": [], "run_id": "$xr"}, "too many": {"trace_ids": [f"tr-{n}" for n in range(101)], "run_id": "$xr"}, "empty id": {"trace_ids": [""], "run_id": "$xr"}, "most": {"trace_ids": [f"tr-many-{n}" for n in range(100)], "run_id": "$xr"}}.items()],
    *broken_variants("traces/link-to-run", {"trace_ids": [_id(_WHOLE)], "run_id": "$xr"}), _found("traces of the run", "run_id = '$xr'"), _found("traces of no run", "run_id = 'none'"), post(f"{_V3}/traces/link-to-run", {"trace_ids": [], "run_id": "x"}, name="link in version 3"),
    *[post("traces/link-prompts", body, name=f"link prompts {label}") for label, body in {"one": {"trace_id": _id(_WHOLE), "prompt_versions": [{"name": "traced", "version": "1"}]}, "again and more": {"trace_id": _id(_WHOLE), "prompt_versions": [{"name": "traced", "version": "1"}, {"name": "other", "version": "07"}]}, "none": {"trace_id": _id(_WHOLE), "prompt_versions": []}, "unknown trace": {"trace_id": _NONE, "prompt_versions": [{"name": "traced", "version": "1"}]}, "none to an unknown trace": {"trace_id": _NONE, "prompt_versions": []}, "version a word": {"trace_id": _id(_WHOLE), "prompt_versions": [{"name": "traced", "version": "x"}]}, "version an int": {"trace_id": _id(_WHOLE), "prompt_versions": [{"name": "traced", "version": 2}]}, "no version": {"trace_id": _id(_WHOLE), "prompt_versions": [{"name": "traced"}]}, "no name": {"trace_id": _id(_WHOLE), "prompt_versions": [{"version": "3"}]}, "twice": {"trace_id": _id(_PART), "prompt_versions": [{"name": "twice", "version": "1"}, {"name": "twice", "version": " 1"}]}, "empty": {"trace_id": _id(_WHOLE), "prompt_versions": [{}]}}.items()],
    *broken_variants("traces/link-prompts", {"trace_id": _id(_WHOLE), "prompt_versions": [{"name": "traced", "version": "1"}]}), *[_found(f"by prompt {what}", f"prompt = '{what}'") for what in ("traced/1", "other/7", "other/07", "/3", "traced/2")],
]  # fmt: skip

_METADATA = [{"key": "m", "value": "1"}, {"key": _SESSION, "value": "s"}, {"key": _TOKENS, "value": '{"input_tokens": 5}'}]
_OLD = [
    *[post("traces", body, name=f"start by version 2 {label}", **save) for label, body, save in (
        ("plain", {"experiment_id": "$xe", "timestamp_ms": 1_600_000_000_000}, {"xo1": "trace_info.request_id"}), ("whole", {"experiment_id": "$xe", "timestamp_ms": 1_600_000_001_000, "request_metadata": _METADATA, "tags": [{"key": "mlflow.traceName", "value": "n"}, {"key": "t", "value": "1"}]}, {"xo2": "trace_info.request_id"}),
        ("unknown experiment", {"experiment_id": "99999"}, {}), ("deleted experiment", {"experiment_id": "$xed"}, {}), ("bad experiment", {"experiment_id": "x"}, {}), ("empty", {}, {}), ("pair without value", {"experiment_id": "$xe", "tags": [{"key": "a"}]}, {}), ("pair without key", {"experiment_id": "$xe", "tags": [{"value": "a"}]}, {}), ("pair twice", {"experiment_id": "$xe", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, {}), ("long name", {"experiment_id": "$xe", "tags": [{"key": "mlflow.traceName", "value": "n" * 4097}]}, {}), ("long session", {"experiment_id": "$xe", "request_metadata": [{"key": _SESSION, "value": "s" * 251}]}, {}), ("negative time", {"experiment_id": "$xe", "timestamp_ms": -5}, {}))],
    *broken_variants("traces", {"experiment_id": "$xe", "timestamp_ms": 1_600_000_002_000, "request_metadata": [{"key": "m", "value": "1"}], "tags": [{"key": "a", "value": "1"}]}),
    *[send("PATCH", f"traces/{which}", body, name=f"end by version 2 {label}") for label, which, body in (
        ("plain", "$xo1", {"timestamp_ms": 1_600_000_000_500, "status": "OK"}), ("whole", "$xo2", {"timestamp_ms": 1_600_000_003_000, "status": "ERROR", "request_metadata": [{"key": "m", "value": "2"}, {"key": "n", "value": "3"}, {"key": _TOKENS, "value": '{"output_tokens": 7}'}], "tags": [{"key": "t", "value": "2"}, {"key": "mlflow.traceName", "value": "m"}]}), ("again, in progress", "$xo1", {"timestamp_ms": 1_600_000_000_900, "status": "IN_PROGRESS"}), ("nothing", "$xo1", {}), ("unknown", _NONE, {"timestamp_ms": 1, "status": "OK"}), ("status unknown", "$xo1", {"timestamp_ms": 1, "status": "NOPE"}), ("status unspecified", "$xo1", {"timestamp_ms": 1, "status": "TRACE_STATUS_UNSPECIFIED"}), ("status as int", "$xo1", {"timestamp_ms": 1, "status": 1}), ("a trace of version 3", _id(_BARE), {"timestamp_ms": 1_700_000_009_000, "status": "ERROR"}), ("long name", "$xo1", {"timestamp_ms": 1, "status": "OK", "tags": [{"key": "mlflow.traceName", "value": "n" * 4097}]}))],
    *broken_variants("traces/$xo2", {"timestamp_ms": 1_600_000_002_000, "status": "OK", "request_metadata": [{"key": "m", "value": "1"}], "tags": [{"key": "a", "value": "1"}]}, "PATCH"),
    *[get(f"traces/{which}/info", name=f"info by version 2 {which}") for which in ("$xo1", "$xo2", _id(_WHOLE), _id(_BARE), _id(1), _NONE)], get(f"{_V3}/traces/$xo2", name="info of an old trace"), get(f"{_V3}/traces/$xo1", name="info of an old trace with odd status"),
    *[get(f"/ajax-api/{version}/mlflow/get-trace-artifact", name=f"file of an old trace {version}", request_id="$xo2") for version in ("2.0", "3.0")], get(f"{_V3}/traces/get", name="get an old trace", trace_id="$xo2"), get(f"{_V3}/traces/get", name="get an old trace in part", trace_id="$xo2", allow_partial="true"), get(f"{_V3}/traces/batchGet", name="batchGet an old trace", trace_ids=["$xo2", _id(_WHOLE)]),
    Case("file of an old trace, put", "PUT", "/api/2.0/mlflow-artifacts/artifacts/xe/traces/$xo2/artifacts/traces.json", None, b'{"spans": [{"name": "old", "context": {"span_id": "0x1", "trace_id": "0x1"}, "parent_id": null, "start_time": 1, "end_time": 2, "status_code": "OK", "status_message": "", "attributes": {}, "events": []}]}', {"Content-Type": "application/json"}),
    *[get(f"/ajax-api/{version}/mlflow/get-trace-artifact", name=f"file of an old trace, there {version}", request_id="$xo2") for version in ("2.0", "3.0")],
    get("traces", name="old traces", experiment_ids="$xe", filter="timestamp_ms > 1599999999999 AND timestamp_ms < 1600000001500", order_by="timestamp_ms"),
]  # fmt: skip

_DELETE = f"{_V3}/traces/delete-traces"
_OLDEST = range(820, 832)
_DELETIONS = [
    *[_start(f"to delete {n}", n, trace_location=_E2, request_time=f"2001-01-01T00:00:{n - 820:02}Z") for n in _OLDEST], _spans(820, 1), post("traces/link-to-run", {"trace_ids": [_id(820), _id(821)], "run_id": "$xr"}, name="link traces to delete"), post(f"{_V3}/traces/{_id(820)}/assessments", {"assessment": {"assessment_id": "a-del", "assessment_name": "n", "feedback": {"value": 1}}}, name="assess a trace to delete"),
    *[post(root, body, name=f"delete {label} {root[5:8]}") for root, label, body in ((_DELETE, "one", {"experiment_id": "$xe2", "request_ids": [_id(820)]}), (_DELETE, "one again", {"experiment_id": "$xe2", "request_ids": [_id(820)]}), (f"{_V2}/traces/delete-traces", "two and unknown", {"experiment_id": "$xe2", "request_ids": [_id(821), _id(822), _NONE, _id(821)]}), (_DELETE, "of another experiment", {"experiment_id": "$xe", "request_ids": [_id(823)]}), (_DELETE, "by time", {"experiment_id": "$xe2", "max_timestamp_millis": 978_307_203_000}), (_DELETE, "by time and number", {"experiment_id": "$xe2", "max_timestamp_millis": 978_307_209_000, "max_traces": 2}), (_DELETE, "by time, none", {"experiment_id": "$xe2", "max_timestamp_millis": 5}), (_DELETE, "nothing", {"experiment_id": "$xe2"}), (_DELETE, "both", {"experiment_id": "$xe2", "max_timestamp_millis": 5, "request_ids": ["x"]}), (_DELETE, "ids and number", {"experiment_id": "$xe2", "request_ids": ["x"], "max_traces": 5}), (_DELETE, "number alone", {"experiment_id": "$xe2", "max_traces": 5}), (_DELETE, "number 0", {"experiment_id": "$xe2", "max_timestamp_millis": 5, "max_traces": 0}), (_DELETE, "number -1", {"experiment_id": "$xe2", "max_timestamp_millis": 5, "max_traces": -1}), (_DELETE, "no ids", {"experiment_id": "$xe2", "request_ids": []}), (_DELETE, "unknown experiment", {"experiment_id": "99999", "max_timestamp_millis": 5}), (_DELETE, "bad experiment", {"experiment_id": "abc", "max_timestamp_millis": 5}), (_DELETE, "time 0", {"experiment_id": "$xe2", "max_timestamp_millis": 0}), (_DELETE, "time negative", {"experiment_id": "$xe2", "max_timestamp_millis": -1}), (_DELETE, "in camel case", {"experimentId": "$xe2", "requestIds": [_NONE]}))],
    post(f"{_V3}/traces/search", {"locations": [_E2], "order_by": ["timestamp"]}, name="what is left"), *[get(f"{_V3}/traces/{_id(n)}", name=f"info of a deleted trace {n}") for n in (820, 823, 831)], get(f"{_V3}/traces/{_id(820)}/assessments/a-del", name="assessment of a deleted trace"), _found("deleted traces by run", "run_id = '$xr'", locations=[_E2]),
    *broken_variants(_DELETE, {"experiment_id": "$xe2", "max_timestamp_millis": 5, "max_traces": 1}), *broken_variants(_DELETE, {"experiment_id": "$xe2", "request_ids": ["x"]}), _start("a deleted one again", 820, trace_location=_E2),
    post("experiments/delete", {"experiment_id": "$xe2"}, name="delete the experiment of traces"), _read(820, "a deleted experiment"), post(f"{_V3}/traces/search", {"locations": [_E2]}, name="traces of a deleted experiment"), _start("in a deleted experiment", 839, trace_location=_E2), post(_DELETE, {"experiment_id": "$xe2", "max_timestamp_millis": 978_307_299_000}, name="delete in a deleted experiment"),
]  # fmt: skip

_MODELS = [
    post("logged-models", {"experiment_id": "$xe", "name": "m"}, xm="model.info.model_id"), _start("of a model", 840, trace_metadata={"mlflow.modelId": "$xm"}), _found("traces of a model", "metadata.`mlflow.modelId` = '$xm'"), _found("traces of a model by request_metadata", "request_metadata.`mlflow.modelId` = '$xm'"), _spans(841, 1, 2, run=True), _found("traces of a run by header", "attributes.run_id = '$xr'"), _start("of a run", 842, trace_metadata={"mlflow.sourceRun": "$xr"}), _found("traces of a run by metadata", "run_id = '$xr'"), post(f"{_V3}/traces/search", {"locations": [_at("$xe")], "model_id": "$xm", "max_results": 3}, name="search traces by model_id"),
]  # fmt: skip

CASES: list[Case] = [
    *_SETUP, *_STARTS, *_RESTARTED, *_READS, *_FILES, *_TAGS, *_LINKS, *_OLD, *_DELETIONS, *_MODELS,
    *[post(f"{_V3}/traces", body, name=f"start {label}") for label, body in {"nothing": {}, "null": {"trace": None}, "no info": {"trace": {}}, "a word": {"trace": "x"}, "a list": {"trace": []}, "with spans": {"trace": {"trace_info": _info(850), "spans": []}}, "info null": {"trace": {"trace_info": None}}, "unknown field": {"trace": {"trace_info": _info(851)}, "more": 1}}.items()],
    raw("POST", f"{_V3}/traces", b"{", headers={"Content-Type": "application/json"}, name="start, broken"), raw("POST", f"{_V3}/traces", b"{}", name="start, without type"), send("PUT", f"{_V3}/traces", {}), get(f"{_V3}/traces", name="GET traces 3.0"),
]  # fmt: skip
