"""Cases of what is said about traces: feedback, expectations and references to issues."""

from __future__ import annotations

from typing import Any

from .case import Case, broken_variants, get, post, send

_V3 = "/api/3.0/mlflow"
_TRACE, _OTHER, _NONE = f"tr-{0xD001:032x}", f"tr-{0xD002:032x}", f"tr-{0xD00F:032x}"
_AT = f"{_V3}/traces/{_TRACE}/assessments"
_TIME = "2023-11-14T22:13:20Z"


def _start(trace: str) -> Case:
    info = {"trace_id": trace, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$ae"}}, "request_time": _TIME, "state": "OK"}
    return post(f"{_V3}/traces", {"trace": {"trace_info": info}}, name=f"start {trace}")


def _assess(label: str, /, save: str = "", at: str = _AT, **fields: Any) -> Case:
    assessment = {"assessment_name": "n", "source": {"source_type": "HUMAN", "source_id": "me"}, "create_time": _TIME, "last_update_time": _TIME} | fields
    assessment = {key: value for key, value in assessment.items() if value is not ...}
    return post(at, {"assessment": assessment}, name=f"assess {label}"[:110], **({save: "assessment.assessment_id"} if save else {}))


_SETUP = [post("experiments/create", {"name": "for assessments"}, ae="experiment_id"), _start(_TRACE), _start(_OTHER), post("runs/create", {"experiment_id": "$ae", "start_time": 1, "run_name": "a"}, arun="run.info.run_id")]

_VALUES: list[Any] = [True, False, 5, -5, 1.5, 1e22, 1e-7, "yes", " No ", "", "na\u00efve \u2603", None, [], [1, "a", None, [True]], {}, {"b": 1, "a": {"c": [0.5]}}, 2**53 + 1, "null", "NaN", {"list_value": [1]}]
_SERIALIZED: list[Any] = ["[1, 2]", '{"a": 1}', "5", '"x"', "null", "x", "", "[1.0]", "[NaN]", '{"b":1,"a":"\u00e9"}', "true", 5, None]

_NEW = [
    *[_assess(f"feedback {value!r}", feedback={"value": value}) for value in _VALUES], *[_assess(f"expectation {value!r}", expectation={"value": value}) for value in _VALUES],
    *[_assess(f"serialized {value!r}", expectation={"serialized_value": {"serialization_format": "JSON_FORMAT", "value": value}}) for value in _SERIALIZED],
    *[_assess(f"serialized as {form!r}", expectation={"serialized_value": {"serialization_format": form, "value": "1"}}) for form in ("XML", "", None, "json_format")], *[_assess(f"serialized {value!r}", at=f"{_V3}/traces/{_OTHER}/assessments", expectation={"serialized_value": {"serialization_format": "JSON_FORMAT", "value": value}}) for value in ("NaN", "1e400")], _assess("serialized nothing", expectation={"serialized_value": {}}), _assess("serialized and plain", expectation={"value": 1, "serialized_value": {"serialization_format": "JSON_FORMAT", "value": "2"}}),
    _assess("feedback of nothing", feedback={}), _assess("expectation of nothing", expectation={}), _assess("nothing"), _assess("feedback null", feedback=None), _assess("feedback as word", feedback="x"), _assess("two kinds", feedback={"value": 1}, expectation={"value": 2}), _assess("three kinds", feedback={"value": 1}, expectation={"value": 2}, issue={"issue_name": "i"}),
    *[_assess(f"error {error!r}", feedback={"error": error}) for error in ({"error_code": "E", "error_message": "m", "stack_trace": "s"}, {"error_code": "E"}, {"error_message": "m"}, {}, {"error_code": "E", "stack_trace": "x" * 10_001}, {"error_code": "E", "stack_trace": "x" * 10_000}, {"error_code": "E", "error_message": "m" * 2000}, "x", None)], _assess("value and error", feedback={"value": 5, "error": {"error_code": "E"}}), _assess("expectation and error", expectation={"value": 5, "error": {"error_code": "E"}}),
    _assess("issue", issue={"issue_name": "slow"}, assessment_name="iss-1", rationale="why", run_id="r"), _assess("issue of nothing", issue={}), _assess("issue without name", issue={"issue_name": "x"}, assessment_name=...), _assess("issue with metadata", issue={"issue_name": "x"}, metadata={"mlflow.assessment.sourceRunId": "$arun", "k": "v"}, overrides="none"),
    *[_assess(f"source {source!r}", feedback={"value": 1}, source=source) for source in ({"source_type": "CODE", "source_id": "c"}, {"source_type": "LLM_JUDGE"}, {"source_type": "AI_JUDGE"}, {"source_type": "human", "source_id": "x"}, {"source_type": "NOPE"}, {"source_type": "SOURCE_TYPE_UNSPECIFIED"}, {"source_type": 1}, {"source_type": 0}, {"source_type": 99}, {"source_id": "only"}, {"source_type": "HUMAN", "source_id": ""}, {}, None, "x", ..., {"source_type": "HUMAN", "source_id": "i" * 251}, {"source_type": "CODE", "source_id": "trace:/x", "run_id": "r"})],
    *[_assess(f"name {name!r}"[:60], feedback={"value": 1}, assessment_name=name) for name in ("", None, "a b/c.d", "na\u00efve", "n" * 250, "n" * 251, 5, ...)], *[_assess(f"created {when!r}", feedback={"value": 1}, create_time=when, last_update_time=when) for when in ("2023-11-14T22:13:20.123456Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "x", None, 5, ...)],
    *[_assess(f"with {fields!r}"[:100], feedback={"value": 1}, **fields) for fields in ({"rationale": "because"}, {"rationale": ""}, {"rationale": "r" * 20_000}, {"span_id": "0000000000000001"}, {"span_id": ""}, {"span_id": "s" * 51}, {"valid": False}, {"valid": True}, {"valid": "x"}, {"metadata": {"a": "1", "b": ""}}, {"metadata": {}}, {"metadata": {"a": 5}}, {"metadata": {"a": None}}, {"metadata": "x"}, {"metadata": {"mlflow.assessment.sourceRunId": "$arun"}}, {"metadata": {"z": "1", "a": "na\u00efve \u2603"}}, {"trace_id": _OTHER}, {"trace_id": ""}, {"run_id": "$arun"}, {"unknown": 1}, {"assessment_id": "a-mine"}, {"assessment_id": "a-mine", "rationale": "again"}, {"assessment_id": ""}, {"assessment_id": "i" * 51}, {"overrides": "none"}, {"overrides": ""}, {"error": {"error_code": "E"}})],
    *[_assess(f"expectation with {fields!r}", expectation={"value": 1}, **fields) for fields in ({"rationale": "because"}, {"overrides": "none"}, {"valid": False}, {"span_id": "0000000000000001", "metadata": {"a": "1"}}, {"assessment_id": "a-wanted"})], post(_AT, {"assessment": {"assessmentName": "camel", "feedback": {"value": 1}, "createTime": _TIME, "lastUpdateTime": _TIME}}, name="assess in camel case"),
    _assess("an unknown trace", at=f"{_V3}/traces/{_NONE}/assessments", feedback={"value": 1}), _assess("by an id of another trace", at=f"{_V3}/traces/{_OTHER}/assessments", assessment_id="a-mine", feedback={"value": 7}), *broken_variants(_AT, {"assessment": {"assessment_name": "n", "feedback": {"value": 1}}}), get(f"{_V3}/traces/{_TRACE}", name="all that is said"),
]  # fmt: skip


def _of(which: str) -> str:
    """The address of the trace of which something was said; of an issue it is another one, where stock's failures end."""
    return f"{_V3}/traces/{_OTHER}/assessments" if which == "$a3" else _AT


_MADE = [
    _assess("to change", save="a1", feedback={"value": 1}, rationale="r", metadata={"a": "1", "mlflow.assessment.sourceRunId": "$arun"}, span_id="0000000000000001"), _assess("to expect", save="a2", expectation={"value": "x"}, metadata={"a": "1"}), _assess("to refer", save="a3", at=f"{_V3}/traces/{_OTHER}/assessments", issue={"issue_name": "slow"}, assessment_name="iss-9"), _assess("to fail", save="a4", feedback={"error": {"error_code": "E", "error_message": "m"}}),
    *[get(f"{_of(which)}/{which}", name=f"get {which}") for which in ("$a1", "$a2", "$a3", "$a4", "none", "a%20b")], get(f"{_V3}/traces/{_OTHER}/assessments/$a1", name="get by another trace"), get(f"{_V3}/traces/{_NONE}/assessments/$a1", name="get by an unknown trace"), get(_AT, name="get all"),
]  # fmt: skip


def _update(label: str, which: str, mask: Any, at: str = "", **fields: Any) -> Case:
    return send("PATCH", f"{at or _of(which)}/{which}", {"assessment": {"assessment_id": which, "trace_id": _TRACE} | fields, "update_mask": mask}, name=f"update {label}"[:110])


_UPDATES = [
    *[_update(f"{mask!r} of {which[1:]} to {fields!r}", which, mask, **fields) for which, mask, fields in (
        ("$a1", "feedback", {"feedback": {"value": 2}}), ("$a1", "feedback,rationale", {"feedback": {"value": False}, "rationale": "new"}), ("$a1", "assessmentName", {"assessment_name": "m"}), ("$a1", "assessment_name", {"assessment_name": "o"}), ("$a1", "rationale", {}), ("$a1", "rationale", {"rationale": ""}), ("$a1", "metadata", {"metadata": {"a": "2", "b": "3"}}), ("$a1", "metadata", {"metadata": {}}), ("$a1", "metadata", {}), ("$a1", "feedback", {"feedback": {"error": {"error_code": "F"}}}), ("$a1", "feedback", {"feedback": {"value": None}}), ("$a1", "feedback", {}), ("$a1", "feedback", {"feedback": {}}), ("$a1", "feedback", {"feedback": {"value": {"a": [1]}}}), ("$a1", "assessmentName", {}), ("$a1", "", {"rationale": "not taken"}), ("$a1", "source", {"source": {"source_type": "CODE"}}), ("$a1", "nope", {}), ("$a1", "nope,rationale", {"rationale": "with nope"}), ("$a1", "expectation", {"expectation": {"value": 1}}), ("$a1", "expectation,feedback", {"expectation": {"value": 1}}), ("$a1", "feedback,expectation", {"feedback": {"value": 1}}), ("$a1", "valid", {"valid": False}), ("$a1", "spanId", {"span_id": "x"}), ("$a1", "a.b", {}), ("$a1", "feedback.value", {"feedback": {"value": 9}}), ("$a1", "Feedback", {"feedback": {"value": 9}}), ("$a1", " feedback", {"feedback": {"value": 9}}), ("$a1", "feedback,", {"feedback": {"value": 9}}), ("$a1", "feedback_value", {}), ("$a1", 5, {}), ("$a1", None, {}), ("$a1", {"paths": ["feedback"]}, {"feedback": {"value": 3}}), ("$a1", ["feedback"], {"feedback": {"value": 3}}),
        ("$a2", "expectation", {"expectation": {"value": "y"}}), ("$a2", "expectation", {"expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "[1]"}}}), ("$a2", "expectation", {}), ("$a2", "expectation", {"expectation": {"value": None}}), ("$a2", "feedback", {"feedback": {"value": 1}}), ("$a2", "rationale", {"rationale": "of an expectation"}), ("$a2", "metadata,assessmentName", {"metadata": {"a": "5"}, "assessment_name": "e"}), ("$a2", "expectation", {"expectation": {"value": 3}}), ("$a2", "expectation", {"expectation": {"value": [1, None]}}),
        ("$a3", "assessmentName", {"assessment_name": "iss-10"}), ("$a3", "rationale", {"rationale": "of an issue"}), ("$a3", "feedback", {"feedback": {"value": 1}}), ("$a3", "expectation", {"expectation": {"value": 1}}), ("$a3", "issue", {"issue": {"issue_name": "fast"}}), ("$a4", "rationale", {"rationale": "why it failed"}), ("$a4", "feedback", {"feedback": {"value": 1}}))],
    _update("an unknown one", "none", "feedback", feedback={"value": 1}), _update("of another trace", "$a1", "feedback", f"{_V3}/traces/{_OTHER}/assessments", feedback={"value": 1}), _update("of an unknown trace", "$a1", "feedback", f"{_V3}/traces/{_NONE}/assessments", feedback={"value": 1}), _update("with a broken value", "$a2", "expectation", expectation={"serialized_value": {"serialization_format": "X", "value": "1"}}),
    *broken_variants(f"{_AT}/$a1", {"assessment": {"rationale": "x"}, "update_mask": "rationale"}, "PATCH"), *[get(f"{_of(which)}/{which}", name=f"get the changed {which}") for which in ("$a1", "$a2", "$a3", "$a4")],
]  # fmt: skip

_OVERRIDES = [
    _assess("first", save="b1", feedback={"value": 1}), _assess("second, over the first", save="b2", feedback={"value": 2}, overrides="$b1"), _assess("third, over the second", save="b3", feedback={"value": 3}, overrides="$b2"), _assess("another over the first", save="b4", feedback={"value": 4}, overrides="$b1"), _assess("over one of another trace", at=f"{_V3}/traces/{_OTHER}/assessments", feedback={"value": 5}, overrides="$b1"), _assess("over an expectation", save="b5", feedback={"value": 6}, overrides="$a2"), _assess("an issue over the first", issue={"issue_name": "i"}, overrides="$b1"), _assess("an expectation over the first", expectation={"value": 1}, overrides="$b1"),
    *[get(f"{_AT}/{which}", name=f"get overridden {which}") for which in ("$b1", "$b2", "$b3", "$a2")], _update("an overridden one", "$b1", "feedback", feedback={"value": 11}),
    *[send("DELETE", f"{_AT}/{which}", name=f"delete {which} {n}") for n, which in enumerate(("$b3", "$b4", "$b3", "none", "$b2", "$b1", "$b5"))], send("DELETE", f"{_V3}/traces/{_OTHER}/assessments/$a1", name="delete by another trace"), send("DELETE", f"{_V3}/traces/{_NONE}/assessments/$a1", name="delete by an unknown trace"), *[get(f"{_AT}/{which}", name=f"get after deletions {which}") for which in ("$b1", "$b2", "$b3", "$a1", "$a2")], get(f"{_V3}/traces/{_TRACE}", name="what is still said"),
    post("traces/link-to-run", {"trace_ids": [_TRACE], "run_id": "$arun"}, name="link the assessed trace"), *[send(method, f"{_AT}/$a1", name=f"{method} an assessment") for method in ("PUT", "POST")],
]  # fmt: skip

CASES: list[Case] = [*_SETUP, *_NEW, *_MADE, *_UPDATES, *_OVERRIDES]
