"""Cases of spans sent by OpenTelemetry's protocol, good and bad, and of what is read back of them."""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import count

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .case import Case, get, post

_V3 = "/api/3.0/mlflow"
_START_NS = 1_700_000_000_500_000_000
_JSON = {"Content-Type": "application/json", "x-mlflow-experiment-id": "$oe"}
_PROTOBUF = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "$oe"}
_numbers = count(0xB000)


def _value(value: object) -> dict:
    """A value as OTLP's JSON has it; an object of one key `...Value` stands as it is."""
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if len(value) == 1 and next(iter(value)).endswith("Value"):
        return value
    return {"kvlistValue": {"values": _pairs(value)}}


def _pairs(attributes: dict) -> list[dict]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _span(trace: int, span: int = 1, parent: int = 0, given: dict | None = None, **more) -> dict:
    """A span of a second that begins with its number; `more` goes over its fields."""
    start = _START_NS + span * 1_000_000
    fields = {
        "traceId": f"{trace:032x}", "spanId": f"{span:016x}", "name": f"span {span}", "kind": 1,
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 1_000_000_000),
        "attributes": _pairs(given or {}), "status": {"code": 1},
    }  # fmt: skip
    if parent:
        fields["parentSpanId"] = f"{parent:016x}"
    return {key: value for key, value in (fields | more).items() if value is not None}


def _body(*spans: dict, resource: object = None) -> dict:
    resource = {"attributes": _pairs(resource)} if isinstance(resource, dict) else resource
    group = {"scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}
    return {"resourceSpans": [group if resource is None else group | {"resource": resource}]}


def _post(label: str, body: object, headers: dict | None = None) -> Case:
    headers = {key: value for key, value in (_JSON | (headers or {})).items() if value is not None}
    return Case(f"spans {label}"[:110], "POST", "/v1/traces", None, body, headers)


def _read(trace: int, label: str) -> list[Case]:
    """What is kept of a trace: for clients, and the text of each span for the UI."""
    return [
        get(f"{_V3}/traces/get", name=f"trace of {label}"[:110], trace_id=f"tr-{trace:032x}", allow_partial="true"),
        get("/ajax-api/2.0/mlflow/get-trace-artifact", name=f"kept of {label}"[:110], request_id=f"tr-{trace:032x}"),
    ]


def _kept(label: str, given: dict | None = None, resource: object = None, **more) -> list[Case]:
    """One span in a trace of its own, and what is kept of it."""
    trace = next(_numbers)
    return [_post(label, _body(_span(trace, given=given, **more), resource=resource)), *_read(trace, label)]


def _several(label: str, *posts: list[tuple]) -> list[Case]:
    """Posts of spans of one trace, each `(number, parent, attributes, more)`, and what is kept after each."""
    trace = next(_numbers)
    cases = []
    for place, spans in enumerate(posts):
        made = [_span(trace, *it[:3], **(it[3] if len(it) > 3 else {})) for it in spans]
        cases += [_post(f"{label} {place}", _body(*made)), *_read(trace, f"{label} {place}")[:1]]
    return cases


_SETUP = [
    post("experiments/create", {"name": "for spans", "artifact_location": "mlflow-artifacts:/oe"}, oe="experiment_id"),
    post("runs/create", {"experiment_id": "$oe", "start_time": 1, "run_name": "o"}, orun="run.info.run_id"),
]

_USAGE = "mlflow.chat.tokenUsage"
_MODEL, _PROVIDER, _COST = "mlflow.llm.model", "mlflow.llm.provider", "mlflow.llm.cost"
_IN, _OUT = "mlflow.spanInputs", "mlflow.spanOutputs"

#: Attributes of spans, in the ways of the libraries that send them.
_ATTRIBUTES: list[dict] = [
    {}, {"s": "text"}, {"s": "na\u00efve \u2603 \U0001f600 \u007f"}, {"s": "\"quoted\""}, {"s": "{\"a\": 1}"}, {"s": "[1, 2"}, {"s": "1"}, {"s": "true"}, {"s": "null"}, {"s": ""}, {"s": " \"x\" "}, {"s": "\"\\\"twice\\\"\""}, {"s": "NaN"}, {"s": "\n\t\\\u0001"}, {"s": "{\"b\":1,\"a\":{\"c\":[1.0,2e3]}}"}, {"s": "\"{\\\"a\\\": 1}\""}, {"s": "\"1\""},
    {"i": 5, "n": -5, "big": 2**63 - 1, "f": 1.5, "whole": 2.0, "small": 1e-7, "large": 1e22, "t": True, "none": None}, {"nan": {"doubleValue": "NaN"}, "inf": {"doubleValue": "-Infinity"}}, {"bytes": {"bytesValue": "AEH/"}}, {"list": [1, "a", None, [2.5], {"x": 1}], "empty": [], "object": {"a": {"b": []}, "c": None}}, {"eo": {"kvlistValue": {}}},
    {"mlflow.spanType": "\"CHAIN\""}, {"mlflow.spanType": "CHAIN"}, {"mlflow.spanType": "\"UNKNOWN\""}, {"mlflow.spanType": "null"}, {"mlflow.spanType": 5}, {"mlflow.spanType": "\"my own\""}, {"mlflow.traceRequestId": "\"tr-other\""}, {"mlflow.spanType": "\"UNKNOWN\"", "openinference.span.kind": "TOOL"}, {"mlflow.spanType": "\"LLM\"", "openinference.span.kind": "TOOL"},
    {_IN: "{\"x\": 1}", _OUT: "[1, 2]"}, {_IN: "plain", _OUT: 5}, {_IN: "\"" + "y" * 1200 + "\"", _OUT: "z" * 1001}, {_IN: "", _OUT: "null"}, {_IN: "{}", _OUT: "\"\""}, {_IN: 0, _OUT: False}, {_IN: {"messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": "there"}]}, _OUT: {"choices": [{"message": {"role": "assistant", "content": "yes"}}]}},
    {_IN: json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "see"}]}]})}, {_IN: json.dumps({"messages": [{"role": "tool", "content": "t"}, {"role": "user", "content": ""}]})}, {_IN: json.dumps({"request": {"messages": [{"role": "user", "content": "deep"}]}})}, {_IN: json.dumps({"messages": "none"}), _OUT: json.dumps({"choices": []})}, {_IN: json.dumps({"input": "say"}), _OUT: json.dumps({"output": [{"role": "assistant", "content": [{"type": "output_text", "text": "said"}]}]})}, {_IN: json.dumps([{"role": "user", "content": "list"}])}, {_IN: json.dumps({"messages": [{"role": "user", "content": None}, {"role": "user", "content": 5}]})}, {_IN: json.dumps({"messages": [{"role": "user", "content": {"a": 1}}]})},
    {"session.id": "s-1", "user.id": "ann"}, {"session.id": "\"s-2\"", "user.id": 5}, {"session.id": "", "gen_ai.conversation.id": "c-1"}, {"session.id": "x" * 251}, {"session.id": 7, "user.id": "u" * 9000}, {"session.id": None, "user.id": None},
    {"mlflow.traceTag.team": "\"red\"", "mlflow.traceTag.n": 5, "mlflow.traceTag.": "x", "mlflow.traceTag.a b": "x", "mlflow.traceTag.bad!": "x"}, {"mlflow.traceTag.mlflow.traceName": "named"}, {"mlflow.traceTag.mlflow.traceName": "n" * 4097}, {"mlflow.traceTag.long": "v" * 8001}, {"mlflow.traceTag.mlflow.spansLocation": "elsewhere"}, {"mlflow.traceTag.o": {"a": [1]}, "mlflow.traceTag.b": True, "mlflow.traceTag.z": None},
    {_USAGE: "{\"input_tokens\": 12, \"output_tokens\": 8, \"total_tokens\": 20}", _MODEL: "\"gpt-4o-mini\""}, {_USAGE: {"input_tokens": 12, "output_tokens": 8, "total_tokens": 20}, _MODEL: "gpt-4o-mini", _PROVIDER: "openai"}, {_USAGE: {"input_tokens": 1000, "output_tokens": 10, "total_tokens": 1010, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 100}, _MODEL: "claude-3-5-sonnet-20241022", _PROVIDER: "anthropic"}, {_USAGE: {"input_tokens": 5.0, "output_tokens": 7.5}}, {_USAGE: {}}, {_USAGE: "broken"}, {_USAGE: [1]}, {_USAGE: {"input_tokens": 5}, _MODEL: "no such model"}, {_USAGE: {"input_tokens": 5, "output_tokens": 5}, _MODEL: "no such model", _PROVIDER: "nobody"}, {_USAGE: {"input_tokens": 5, "output_tokens": 5}, _MODEL: "mini", _PROVIDER: 5},
    {_COST: {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}}, {_COST: {"total_cost": 1}}, {_COST: {}}, {_MODEL: "m" * 600, _PROVIDER: "\"p\""}, {_MODEL: 5, _PROVIDER: None}, {_MODEL: {"a": 1}},
    *[{_USAGE: {"input_tokens": 1_000_000, "output_tokens": 1_000_000}, _MODEL: model, _PROVIDER: provider} for model, provider in (("gpt-4o", "openai"), ("gpt-4o", ""), ("GPT-4O", "OpenAI"), ("openai/gpt-4o", None), ("gpt-4o-2024-08-06", "azure"), ("claude-3-opus-20240229", "anthropic"), ("gemini-1.5-pro", "gemini"), ("text-embedding-3-small", "openai"), ("anthropic.claude-3-5-sonnet-20240620-v1:0", "bedrock"), ("databricks-claude-3-7-sonnet", "databricks"), ("gpt-4o-mini", "azure"), ("mistral/mistral-large-latest", "mistral"), ("command-r-plus", "cohere"), ("", "openai"), ("gpt-4o", "no such"))],
    # OpenInference
    *[{"openinference.span.kind": kind} for kind in ("LLM", "CHAIN", "RERANKER", "GUARDRAIL", "EVALUATOR", "UNKNOWN", "nope", "", 5)],
    {"openinference.span.kind": "LLM", "input.value": "{\"q\": 1}", "input.mime_type": "application/json", "output.value": "answer", "llm.token_count.prompt": 3, "llm.token_count.completion": "4", "llm.token_count.prompt_details.cache_read": 1, "llm.token_count.prompt_details.cache_write": 2, "llm.model_name": "gpt-4o-mini", "llm.request.model_name": "other", "llm.provider": "openai"},
    {"llm.token_count.total": 9}, {"llm.token_count.prompt": 0, "llm.token_count.completion": 0}, {"llm.token_count.prompt": 1.5}, {"llm.token_count.prompt": True, "llm.token_count.completion": "x"}, {"llm.token_count.prompt": "x", "gen_ai.usage.input_tokens": 5}, {"input.value": "", "output.value": "0"}, {"input.value": 0, "output.value": []}, {"embedding.model_name": "ada", "llm.provider": {"x": 1}},
    # GenAI
    *[{"gen_ai.operation.name": name} for name in ("chat", "create_agent", "embeddings", "execute_tool", "generate_content", "invoke_agent", "text_completion", "response", "Chat", "nope")],
    {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 3, "gen_ai.usage.cache_creation.input_tokens": 4, "gen_ai.input.messages": "[{\"role\": \"user\", \"parts\": [{\"type\": \"text\", \"content\": \"hi\"}]}]", "gen_ai.output.messages": "[{\"role\": \"assistant\"}]", "gen_ai.tool.definitions": "[{\"name\": \"t\"}]"},
    {"gen_ai.usage.cache_write.input_tokens": 1, "gen_ai.usage.cache_creation.input_tokens": 2, "gen_ai.usage.input_tokens": 1}, {"gen_ai.tool.call.arguments": "{\"a\": 1}", "gen_ai.tool.call.result": "done", "gen_ai.operation.name": "execute_tool"}, {"gen_ai.input.messages": "[]", "gen_ai.tool.call.arguments": "args", "gen_ai.output.messages": "null"}, {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 6},
    # Gemini CLI
    *[{"gen_ai.agent.name": "gemini-cli", "gen_ai.operation.name": name, "gen_ai.input.messages": "[{\"role\": \"user\", \"parts\": [{\"text\": \"hi\"}]}]", "gen_ai.output.messages": "[{\"role\": \"model\", \"parts\": [{\"text\": \"yo\"}, 5]}, {\"parts\": [1]}]"} for name in ("llm_call", "tool_call", "agent_call", "user_prompt", "system_prompt")],
    {"gen_ai.agent.name": "gemini-cli", "gen_ai.input.messages": "say", "gen_ai.output.messages": "{\"candidates\": []}"}, {"gen_ai.agent.name": "gemini-cli", "gen_ai.input.messages": "{\"contents\": 1}", "gen_ai.output.messages": "[1]"}, {"gen_ai.agent.name": "gemini-cli", "gen_ai.tool.call.arguments": "{\"a\": 1}", "gen_ai.tool.call.result": "r\u00e9"},
    # Claude Code
    *[{"span.type": kind, "user_prompt": "do", "new_context": "ctx", "input_tokens": 5, "output_tokens": "6", "cache_read_tokens": 2, "cache_creation_tokens": 1, "tool_input": "{\"a\": 1}", "response.model_output": "out"} for kind in ("claude_code.interaction", "claude_code.llm_request", "claude_code.tool", "interaction", "llm_request", "tool", "claude_code.other", "llm", 5)],
    {"span.type": "interaction", "user_prompt": "<REDACTED>", "new_context": "ctx"}, {"span.type": "tool", "full_command": "ls", "file_path": "<REDACTED>", "skill_name": "s\u00e9", "subagent_type": 5}, {"span.type": "llm_request", "input_tokens": "x", "output_tokens": 2.9}, {"span.type": "llm_request", "input_tokens": [1]},
    # Traceloop
    *[{"traceloop.span.kind": kind} for kind in ("workflow", "task", "agent", "tool", "unknown", "nope")],
    {"traceloop.span.kind": "workflow", "traceloop.entity.input": "{\"inputs\": {}}", "traceloop.entity.output": "{}", "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 8, "llm.usage.total_tokens": 15, "gen_ai.system": "OpenAI"}, {"gen_ai.prompt.1.content": "second", "gen_ai.prompt.0.content": "first", "gen_ai.prompt.x.content": "no", "gen_ai.completion.0.content": "c"}, {"gen_ai.completion.0.tool_calls.0.arguments": "{}", "gen_ai.completion.0.tool_calls.1.arguments": "{\"x\": 2}", "gen_ai.completion.0.content.more": "prefix"},
    # Others
    {"gcp.vertex.agent.llm_request": "{\"r\": 1}", "gcp.vertex.agent.llm_response": "{\"s\": 1}"}, {"gcp.vertex.agent.tool_call_args": "{}", "gcp.vertex.agent.tool_response": "x"},
    *[{"ai.operationId": kind, "ai.prompt": "p", "ai.prompt.messages": "[{\"role\": \"user\"}]", "ai.prompt.tools": ["{\"type\": \"function\"}"], "ai.response.text": "t", "ai.response.toolCalls": "[{}]"} for kind in ("ai.generateText", "ai.generateText.doGenerate", "ai.streamText.doStream", "ai.toolCall", "ai.embed", "ai.embedMany", "nope")],
    {"ai.operationId": "ai.generateText.doGenerate"}, {"ai.operationId": "ai.generateText.doGenerate", "ai.prompt.a": 5, "ai.prompt.b": "\"\\\"x\\\"\"", "ai.prompt.c": [1, "\u00e9"], "ai.response.n": None}, {"ai.toolCall.args": "{\"a\": 1}", "ai.toolCall.result": "[1]"}, {"ai.value": "v", "ai.embedding": [0.5, 1.0]}, {"ai.values": ["\"a\"", "\"b\""], "ai.embeddings": ["[1]"]}, {"ai.response.object": "{\"o\": 1}"},
    *[{"entity.type": "agent", "span.type": kind, "voltagent.operation_id": "1", "agent.messages": "[1]", "llm.messages": "[2]", "input": "i", "output": "o", "usage.prompt_tokens": 0, "llm.usage.prompt_tokens": 4, "usage.completion_tokens": 2} for kind in (None, "llm", "tool", "memory", "nope")], {"voltagent.conversation_id": "", "usage.total_tokens": 5},
    *[{key: "v", "lk.agent_name": "a"} if number % 2 else {key: "v"} for number, key in enumerate(("lk.retry_count", "lk.function_tool.name", "lk.instructions", "lk.generation_id", "lk.tts_x", "lk.input_text", "lk.user_transcript", "lk.other", "gen_ai.request.model", "lk.room_name"))], {"lk.user_input": "u", "lk.chat_ctx": "{}", "lk.response.text": "r", "lk.response.function_calls": "[]"}, {"lk.tts_x": 1, "gen_ai.operation.name": "CHAT"},
    *[{"lmnr.span.type": kind, "lmnr.span.input": "{\"a\": 1}", "lmnr.span.output": "o", "gen_ai.system": "openai"} for kind in ("LLM", "DEFAULT", "PIPELINE", "EXECUTOR", "CACHED", "nope")],
    *[{"langfuse.observation.type": kind, "langfuse.observation.input": "i", "langfuse.observation.output": "{\"o\": 1}"} for kind in ("generation", "retriever", "span", "nope")],
    {_IN: "{\"model\": \"gpt-4o-mini\"}", _USAGE: {"input_tokens": 5, "output_tokens": 1}}, {_OUT: "{\"model\": \"gpt-4o\"}"}, {_IN: "{\"model\": 5}", _OUT: "{\"model\": \"out\"}"}, {_IN: "{\"model\": \"\"}", _OUT: "{\"model\": \"out\"}"}, {"input.value": "{\"model\": \"from input\"}"},
    {"mlflow.chat.tools": "[]", "gen_ai.tool.definitions": "[1]"}, {"mlflow.message.format": "openai", "lk.x": "1"}, {"a.b": 1, "a": {"b": 2}, "": "nameless"},
]  # fmt: skip

#: Counts over which stock's own code raises.
_ODD_COUNTS: list[dict] = [{_USAGE: {"input_tokens": "7"}}, {_COST: "{\"total_cost\": \"0.5\", \"input_cost\": NaN}"}, {_COST: "{\"total_cost\": null}"}, {_COST: "broken"}, {_COST: 5}, {_COST: [1]}]

_EVENTS = [
    [{"name": "e", "timeUnixNano": str(_START_NS), "attributes": _pairs({"a": "text", "n": 5, "l": [1, None], "o": {"x": 1.5}, "none": None, "j": "{\"a\": 1}"})}],
    [{"name": "exception", "timeUnixNano": "0", "attributes": _pairs({"exception.message": "m", "exception.type": "T", "exception.stacktrace": "s\nt"})}],
    [{}], [{"name": "gen_ai.content.prompt", "attributes": _pairs({"gen_ai.prompt": "p"})}, {"name": "gen_ai.content.completion", "attributes": _pairs({"gen_ai.completion": "{\"c\": 1}"})}],
    [{"name": name, "attributes": _pairs({"content": content})} for name, content in (("gen_ai.system.message", "be"), ("gen_ai.user.message", "{\"a\": 1}"), ("gen_ai.assistant.message", "\u00e9"), ("gen_ai.user.message", ""), ("gen_ai.choice", "[1]"))],
    [{"name": "gen_ai.choice", "attributes": _pairs({"content": "c", "role": "judge"})}], [{"name": "bytes", "attributes": _pairs({"b": {"bytesValue": "AEH/"}, "f": {"doubleValue": "NaN"}})}],
]  # fmt: skip

_LINKS = [[], [{}], [{"attributes": _pairs({"k": "v"})}], [{"traceId": "a" * 32, "spanId": "b" * 16}]]

#: Words where messages belong, over which Python walks as over lists.
_WORDS: dict[str, dict] = {"status as word": {"status": "x"}, "value as word": {"attributes": [{"key": "a", "value": "x"}]}}

_FIELDS: dict[str, dict] = {
    "no name": {"name": None}, "long name": {"name": "n" * 500}, "odd name": {"name": "na\u00efve \"q\"\n"}, "no times": {"startTimeUnixNano": None, "endTimeUnixNano": None}, "no end": {"endTimeUnixNano": None}, "end before start": {"endTimeUnixNano": "5"}, "times as numbers": {"startTimeUnixNano": 1_700_000_000_000_000_001, "endTimeUnixNano": 1_700_000_000_000_000_002}, "start beyond bigint": {"startTimeUnixNano": str(2**63)}, "end beyond bigint": {"endTimeUnixNano": str(2**64 - 1)}, "negative start": {"startTimeUnixNano": "-1"}, "start as float": {"startTimeUnixNano": 1.5}, "start as word": {"startTimeUnixNano": "x"},
    "status error": {"status": {"code": 2, "message": "went \u00e9 wrong"}}, "status unset": {"status": {}}, "no status": {"status": None}, "status with message": {"status": {"code": 1, "message": "fine"}}, "status by name": {"status": {"code": "STATUS_CODE_ERROR"}}, "status unknown": {"status": {"code": 7}}, "status name unknown": {"status": {"code": "NOPE"}},
    "parent zero": {"parentSpanId": "0" * 16}, "parent empty": {"parentSpanId": ""}, "parent lost": {"parentSpanId": "f" * 16}, "parent itself": {"parentSpanId": f"{1:016x}"}, "parent short": {"parentSpanId": "ab"}, "upper ids": {"spanId": "ABCDEFABCDEFABCD"}, "short span id": {"spanId": "ab"}, "long span id": {"spanId": "1" * 18}, "no span id": {"spanId": None}, "empty span id": {"spanId": ""}, "span id as word": {"spanId": "xyz"}, "span id as number": {"spanId": 5}, "zero span id": {"spanId": "0" * 16}, "odd digits": {"spanId": "abc"},
    "kind by name": {"kind": "SPAN_KIND_SERVER"}, "kind unknown": {"kind": 99}, "no kind": {"kind": None}, "trace state and flags": {"traceState": "a=b", "flags": 257, "droppedAttributesCount": 5}, "unknown field": {"noSuchField": {"a": 1}}, "snake case": {"start_time_unix_nano": "1700000000000000000", "startTimeUnixNano": None}, "attributes as object": {"attributes": {"a": 1}}, "no attributes": {"attributes": None}, "attribute twice": {"attributes": [*_pairs({"a": 1, "b": 2}), *_pairs({"a": 3})]}, "attribute without value": {"attributes": [{"key": "a"}, {"key": "b", "value": {}}, {"value": {"intValue": 1}}, {}]}, "two values": {"attributes": [{"key": "a", "value": {"intValue": 1, "stringValue": "x"}}]}, "int as float": {"attributes": [{"key": "a", "value": {"intValue": 1.0}}]}, "int as word": {"attributes": [{"key": "a", "value": {"intValue": "x"}}]}, "bool as int": {"attributes": [{"key": "a", "value": {"boolValue": 1}}]}, "string as int": {"attributes": [{"key": "a", "value": {"stringValue": 1}}]}, "key as int": {"attributes": [{"key": 1, "value": {"intValue": 1}}]},
}  # fmt: skip

_BAD_IDS = {
    "no trace id": None, "empty trace id": "", "short trace id": "ab", "long trace id": "1" * 34, "padded trace id": "00" + "1" * 32, "trace id as word": "not hex", "zero trace id": "0" * 32, "odd trace id": "a" * 31, "trace id as number": 5, "trace id as list": ["a"],
}  # fmt: skip

_RESOURCES = [
    {"service.name": "shop"}, {"service.name": "claude-code", "telemetry.sdk.name": "x", "mlflow.spansLocation": "y"}, {"service.name": "codex_cli_rs", "host": 5, "list": [1, "a"], "o": {"x": 1}, "none": None, "bad!": "x", "t": True}, {"long": "v" * 8001}, {"k" * 251: "v"}, {}, None, {"f": 1.5, "nan": {"doubleValue": "NaN"}},
]  # fmt: skip

_TRIVIAL = _body(_span(0xA0))
_BODIES: dict[str, object] = {
    "nothing": {}, "no groups": {"resourceSpans": []}, "empty group": {"resourceSpans": [{}]}, "no spans": _body(), "groups null": {"resourceSpans": None}, "groups as object": {"resourceSpans": {}}, "groups as word": {"resourceSpans": "x"}, "group null": {"resourceSpans": [None]}, "group as number": {"resourceSpans": [5]}, "spans as object": {"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]}, "span null": {"resourceSpans": [{"scopeSpans": [{"spans": [None]}]}]}, "span as word": {"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]}, "a list": [], "a number": 5, "null": None, "unknown field": _TRIVIAL | {"more": 1}, "snake case": {"resource_spans": [{"scope_spans": [{"spans": [_span(0xA1)]}]}]}, "scopes null": {"resourceSpans": [{"scopeSpans": None}]},
    "broken": b"{", "empty body": b"", "blank": b" ", "not UTF-8": b"\xff\xfe", "byte order mark": b"\xef\xbb\xbf{}", "trailing": b"{} x", "NaN": b'{"resourceSpans": [NaN]}', "twice": b'{"resourceSpans": [], "resourceSpans": [{}]}', "schema url": _body(_span(0xA2)) | {"schemaUrl": "x"}, "surrogate": b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\\ud800"}]}]}]}',
}  # fmt: skip

_HEADERS: list[dict] = [
    {"x-mlflow-experiment-id": None}, {"x-mlflow-experiment-id": ""}, {"x-mlflow-experiment-id": "abc"}, {"x-mlflow-experiment-id": "99999"}, {"x-mlflow-experiment-id": "1.5"}, {"x-mlflow-experiment-id": "-1"}, {"x-mlflow-experiment-id": " $oe "}, {"x-mlflow-experiment-id": "99999999999"}, {"X-MLFLOW-EXPERIMENT-ID": "$oe", "x-mlflow-experiment-id": None}, {"x-mlflow-experiment-id": "0"},
    {"Content-Type": None}, {"Content-Type": ""}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-8"}, {"Content-Type": " application/json ;x"}, {"Content-Type": "APPLICATION/JSON"}, {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/protobuf"}, {"Content-Type": "x" * 300},
    {"x-mlflow-experiment-id": None, "Content-Type": "text/plain"}, {"x-mlflow-experiment-id": "abc", "Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}, {"Content-Encoding": "br"}, {"Content-Encoding": "identity"}, {"Content-Encoding": ""}, {"Content-Encoding": "GZIP"}, {"Content-Encoding": "gzip, gzip"}, {"x-mlflow-run-id": "none"}, {"x-mlflow-run-id": ""}, {"x-mlflow-workspace": "w"}, {"Accept": "application/json"},
]  # fmt: skip


def _protobuf(trace: int, **fields) -> bytes:
    body = ExportTraceServiceRequest()
    span = {"trace_id": trace.to_bytes(16, "big"), "span_id": b"\0" * 7 + b"\1", "name": "p", "start_time_unix_nano": _START_NS, "end_time_unix_nano": _START_NS + 5}
    body.resource_spans.add().scope_spans.add().spans.append(Span(**(span | fields)))
    return body.SerializeToString()


def _raw_post(label: str, body: bytes, **headers: str) -> Case:
    return Case(f"spans {label}", "POST", "/v1/traces", None, body, _PROTOBUF | {k.replace("_", "-"): v for k, v in headers.items()})


_ENCODED = json.dumps(_body(_span(0xA3))).encode()
_PROTOBUFS = [
    _raw_post("in protobuf", _protobuf(0xA4)), *_read(0xA4, "protobuf"),
    _raw_post("in protobuf, packed", gzip.compress(_protobuf(0xA5), mtime=0), Content_Encoding="gzip"), *_read(0xA5, "packed protobuf")[:1],
    _raw_post("in protobuf, with links", _protobuf(0xAA, links=[Span.Link(trace_id=b"\x5a" * 16, span_id=b"\xbb" * 8), Span.Link(trace_id=b"\x5c" * 16, span_id=b"\xdd" * 8, attributes=[KeyValue(key="k", value=AnyValue(string_value="v")), KeyValue(key="b", value=AnyValue(bytes_value=b"\0\xff")), KeyValue(key="none")])])), *_read(0xAA, "links in protobuf"),
    _raw_post("in protobuf, cut", _protobuf(0xA6)[:-3]), _raw_post("in protobuf, no message", b"\xff\xff\xff"), _raw_post("in protobuf, empty", b""), _raw_post("in protobuf, JSON", _ENCODED), _raw_post("in protobuf, unknown fields", _protobuf(0xA7) + b"\xfa\x01\x01x"),
    _raw_post("in protobuf, no trace id", _protobuf(1, trace_id=b"")), _raw_post("in protobuf, no span id", _protobuf(1, span_id=b"")), _raw_post("in protobuf, long trace id", _protobuf(1, trace_id=b"\1" * 17)), _raw_post("in protobuf, late", _protobuf(0xA8, start_time_unix_nano=2**63)), _raw_post("in protobuf, name not UTF-8", _protobuf(0xA9).replace(b"\x2a\x01p", b"\x2a\x01\xff")),
    _raw_post("packed JSON", gzip.compress(_ENCODED, mtime=0), Content_Encoding="gzip", Content_Type="application/json"), _raw_post("deflated JSON", zlib.compress(_ENCODED), Content_Encoding="deflate", Content_Type="application/json"), _raw_post("raw deflated JSON", zlib.compress(_ENCODED)[2:-4], Content_Encoding="deflate", Content_Type="application/json"), _raw_post("packed, cut", gzip.compress(_ENCODED, mtime=0)[:-9], Content_Encoding="gzip", Content_Type="application/json"), _raw_post("packed twice over", gzip.compress(_ENCODED[:50], mtime=0) + gzip.compress(_ENCODED[50:], mtime=0), Content_Encoding="gzip", Content_Type="application/json"), _raw_post("packed nothing", gzip.compress(b"", mtime=0), Content_Encoding="gzip"),
]  # fmt: skip

_E = {"status": {"code": 2, "message": "bad"}}
_SEVERAL = [
    *_several("child first", [(2, 1, {})], [(1, 0, {_IN: "\"in\"", _OUT: "\"out\""})]), *_several("root first", [(1, 0, {_IN: "\"a\""})], [(2, 1, {_IN: "\"b\""}, _E)]), *_several("root fails later", [(1, 0, {})], [(1, 0, {}, _E)]), *_several("root anew", [(1, 0, {_IN: "\"a\"", "k": "1"})], [(1, 0, {_IN: "\"b\"", "k": "2", "session.id": "s"})]), *_several("earlier and later", [(5, 1, {})], [(2, 1, {})], [(9, 1, {}, {"startTimeUnixNano": str(_START_NS - 10**9)})], [(3, 1, {}, {"endTimeUnixNano": str(_START_NS + 9 * 10**9)})]),
    *_several("two roots", [(1, 0, {_IN: "\"first\""}), (2, 0, {_IN: "\"second\""}, _E)]), *_several("two roots, two posts", [(2, 0, {_IN: "\"second\""}, _E)], [(1, 0, {_IN: "\"first\""})]), *_several("same span twice", [(1, 0, {"v": 1}), (1, 0, {"v": 2})]), *_several("no end", [(1, 0, {}, {"endTimeUnixNano": None})], [(2, 1, {})]), *_several("no end at all", [(2, 1, {}, {"endTimeUnixNano": None})]),
    *_several("usage below usage", [(1, 0, {_USAGE: {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}}), (2, 1, {_USAGE: {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}})]), *_several("usage beside usage", [(1, 0, {}), (2, 1, {_USAGE: {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}), (3, 1, {_USAGE: {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}})]), *_several("usage in turns", [(2, 1, {_USAGE: {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}})], [(3, 1, {_USAGE: {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30, "cache_read_input_tokens": 4}})], [(1, 0, {_USAGE: {"input_tokens": 100, "output_tokens": 200, "total_tokens": 300}})]), *_several("usage again", [(2, 1, {_USAGE: {"input_tokens": 1, "output_tokens": 2}})], [(2, 1, {_USAGE: {"input_tokens": 5, "output_tokens": 5}})]), *_several("usage in a ring", [(1, 2, {_USAGE: {"input_tokens": 1}}), (2, 1, {_USAGE: {"input_tokens": 5}})]), *_several("cost in turns", [(2, 1, {_COST: {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}})], [(3, 1, {_COST: {"total_cost": 1}})]),
    *_several("session later", [(2, 1, {"session.id": "a"})], [(1, 0, {"session.id": "b", "user.id": "u"})], [(3, 1, {"user.id": "v"})]), *_several("tags later", [(1, 0, {"mlflow.traceTag.a": "1", "mlflow.traceTag.mlflow.traceName": "x"})], [(1, 0, {"mlflow.traceTag.a": "2", "mlflow.traceTag.mlflow.traceName": "y"})]), *_several("tags of a child", [(2, 1, {"mlflow.traceTag.a": "1"})]),
]  # fmt: skip


def _info(trace: int, **more) -> dict:
    return {"trace": {"trace_info": {
        "trace_id": f"tr-{trace:032x}", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$oe"}},
        "request_time": "2023-11-14T22:13:19Z", "execution_duration": "9s", "state": "OK", **more,
    }}}  # fmt: skip


def _with_start(label: str, attributes: dict, **info) -> list[Case]:
    """Spans after, and before, the start of a trace."""
    cases = []
    for order in ("before", "after"):
        trace = next(_numbers)
        pair = [_post(f"{order} start, {label}", _body(_span(trace, given=attributes))), post(f"{_V3}/traces", _info(trace, **info), name=f"start, spans {order}, {label}")]
        cases += [*(pair if order == "before" else reversed(pair)), _read(trace, f"spans {order} start, {label}")[0], _post(f"{order} start, another, {label}", _body(_span(trace, 2, 1, attributes))), _read(trace, f"spans {order} start, another, {label}")[0]]
    return cases


_STARTS = [
    *_with_start("plain", {}), *_with_start("previews", {_IN: "\"span\"", _OUT: "\"span\""}, request_preview="client", tags={"mlflow.traceName": "client"}), *_with_start("usage", {_USAGE: {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}), *_with_start("counted usage", {_USAGE: {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}, trace_metadata={"mlflow.trace.tokenUsage": "{\"input_tokens\": 7}"}), *_with_start("cost", {_COST: {"input_cost": 1.0, "output_cost": 1.0, "total_cost": 2.0}}, trace_metadata={"mlflow.trace.cost": "{\"total_cost\": 5}"}), *_with_start("session", {"session.id": "span", "user.id": "span"}, trace_metadata={"mlflow.trace.session": "client", "mlflow.trace.user": "client"}), *_with_start("in progress", {}, state="IN_PROGRESS"), *_with_start("failed", {}, state="ERROR"), *_with_start("without state", {}, state=None), *_with_start("span counts", {}, trace_metadata={"mlflow.trace.sizeStats": "{\"num_spans\": 2}"}),
]  # fmt: skip

_KNOWN, _LINKED = next(_numbers), next(_numbers)
CASES: list[Case] = [
    *_SETUP,
    *[case for attributes in _ATTRIBUTES for case in _kept(json.dumps(attributes), attributes)],
    *[case for attributes in _ODD_COUNTS for case in _kept(f"odd count {json.dumps(attributes)}", attributes)],
    *[case for events in _EVENTS for case in _kept(f"events {json.dumps(events)}", events=events)],
    *[case for events in _EVENTS[3:5] for case in _kept(f"tool events {json.dumps(events)}", {"lk.x": "1"}, events=events)],
    *_kept("tool output", {"span.type": "tool"}, events=[{"name": "tool.output", "attributes": _pairs({"content": "<REDACTED>", "diff": "{\"d\": 1}"})}]),
    *[case for links in _LINKS for case in _kept(f"links {json.dumps(links)}", links=links)],
    *[case for label, fields in _FIELDS.items() for case in _kept(label, **fields)],
    *[case for label, fields in _WORDS.items() for case in _kept(f"wrong {label}", **fields)], *_kept("wrong resource as word", {}, "x"),
    *[_post(label, _body(_span(1, traceId=wrong))) for label, wrong in _BAD_IDS.items()],
    *[case for resource in _RESOURCES for case in _kept(f"resource {json.dumps(resource)}", {"mlflow.traceTag.service.name": "mine"} if resource == {} else {}, resource)],
    *_kept("bytes of a resource", {}, {"bytes": {"bytesValue": "AEH/"}}),
    *[_post(label, body) for label, body in _BODIES.items()],
    *[_post(f"headers {headers}", _body(_span(next(_numbers))), headers) for headers in _HEADERS],
    _post("of a known trace to an unknown experiment", _body(_span(_KNOWN))), _post("of a known trace to an unknown experiment, again", _body(_span(_KNOWN)), {"x-mlflow-experiment-id": "99999"}),
    *_PROTOBUFS, *_SEVERAL, *_STARTS,
    _post("of a run", _body(_span(_LINKED), _span(_LINKED, 2, 1)), {"x-mlflow-run-id": "$orun"}),
    post(f"{_V3}/traces/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$oe"}}], "filter": "run_id = '$orun'"}, name="traces of a run"),
    *[Case(f"{method} /v1/traces", method, "/v1/traces") for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD")],
    Case("spans to an address with a slash", "POST", "/v1/traces/", None, _TRIVIAL, _JSON),
    Case("logs by OTLP", "POST", "/v1/logs", None, {}, _JSON), Case("metrics by OTLP", "POST", "/v1/metrics", None, {}, _JSON),
]  # fmt: skip
