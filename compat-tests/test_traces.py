"""Traces through the client and through OpenTelemetry: what is written is read, found, assessed and deleted."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback, SpanType
from mlflow.exceptions import MlflowException
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

HUMAN = AssessmentSource(source_type="HUMAN", source_id="rosa@example.com")
SECOND = 10**9


@pytest.fixture
def experiment(mlflow) -> str:
    """The id of a fresh experiment, which is the active one."""
    return mlflow.set_experiment(f"traces-{uuid.uuid4().hex[:8]}").experiment_id


def last(mlflow):
    """Returns the trace that was made last, as the server has it."""
    mlflow.flush_trace_async_logging()
    return mlflow.get_trace(mlflow.get_last_active_trace_id())


def export(url: str, experiment: str, trace: bytes, names: list[str], first: int = 0, **headers: str) -> requests.Response:
    """Posts spans by OTLP: the first of all is the root, the others are its children."""
    body = ExportTraceServiceRequest()
    spans = body.resource_spans.add().scope_spans.add().spans
    begin = time.time_ns() - SECOND
    for number, name in enumerate(names, first):
        parent = b"" if number == 0 else (1).to_bytes(8, "big")
        spans.append(
            Span(
                trace_id=trace, span_id=(number + 1).to_bytes(8, "big"), parent_span_id=parent, name=name,
                start_time_unix_nano=begin + number, end_time_unix_nano=begin + SECOND // 2,
            )
        )  # fmt: skip
    data = body.SerializeToString()
    if headers.get("Content-Encoding") == "gzip":
        data = gzip.compress(data)
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment} | headers
    return requests.post(f"{url}/v1/traces", data=data, headers=headers, timeout=60)


def test_nested_functions(mlflow, experiment):
    @mlflow.trace(span_type=SpanType.TOOL, attributes={"kind": "sum"})
    def add(a: int, b: int) -> int:
        return a + b

    @mlflow.trace(name="outer", span_type=SpanType.CHAIN)
    def outer(x: int) -> int:
        mlflow.update_current_trace(tags={"colour": "blue"}, metadata={"mlflow.trace.session": "s-1"})
        return add(x, 1) * add(x, 2)

    assert outer(3) == 20
    trace = last(mlflow)
    assert [span.name for span in trace.data.spans] == ["outer", "add", "add"]
    root, child, _ = trace.data.spans
    assert (root.parent_id, child.parent_id) == (None, root.span_id)
    assert (root.inputs, root.outputs, child.inputs, child.outputs) == ({"x": 3}, 20, {"a": 3, "b": 1}, 4)
    assert (child.span_type, child.get_attribute("kind")) == ("TOOL", "sum")
    info = trace.info
    assert (info.experiment_id, info.state, info.tags["colour"]) == (experiment, "OK", "blue")
    assert info.trace_metadata["mlflow.trace.session"] == "s-1"
    assert (info.request_preview, info.response_preview) == ('{"x": 3}', "20")


def test_async_functions_and_generators(mlflow, experiment):
    @mlflow.trace
    async def wait(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    @mlflow.trace
    async def gather() -> list[int]:
        return list(await asyncio.gather(*(wait(number) for number in range(3))))

    assert asyncio.run(gather()) == [0, 1, 2]
    assert len(last(mlflow).data.spans) == 4

    @mlflow.trace(output_reducer=sum)
    def count():
        yield from range(4)

    assert list(count()) == [0, 1, 2, 3]
    root = last(mlflow).data.spans[0]
    assert (root.outputs, len(root.events)) == (6, 4)


def test_exceptions(mlflow, experiment):
    @mlflow.trace
    def fail() -> None:
        raise ValueError("no soil – 木")

    with pytest.raises(ValueError):
        fail()
    trace = last(mlflow)
    assert trace.info.state == "ERROR"
    event = trace.data.spans[0].events[0]
    assert (event.name, event.attributes["exception.message"]) == ("exception", "no soil – 木")


def test_ten_thousand_spans(mlflow, experiment):
    with mlflow.start_span("root") as root:
        for number in range(9999):
            with mlflow.start_span(f"step {number % 10}") as span:
                span.set_inputs({"number": number})
        root.set_outputs("done")
    spans = last(mlflow).data.spans
    assert len(spans) == 10_000
    assert sorted(span.inputs["number"] for span in spans if span.inputs) == list(range(9999))


def test_tokens_and_cost(mlflow, experiment):
    with mlflow.start_span("talk"):
        for tokens in (10, 20):
            with mlflow.start_span("model", span_type=SpanType.CHAT_MODEL) as span:
                usage = {"input_tokens": tokens, "output_tokens": 5, "total_tokens": tokens + 5}
                span.set_attribute("mlflow.chat.tokenUsage", usage)
    usage = last(mlflow).info.token_usage
    assert {key: usage[key] for key in ("input_tokens", "output_tokens", "total_tokens")} == {
        "input_tokens": 30, "output_tokens": 10, "total_tokens": 40,
    }  # fmt: skip


def test_tags_links_and_deletion(mlflow, client, experiment):
    ids = []
    for number in range(3):
        with mlflow.start_span(f"span {number}"):
            pass
        ids.append(last(mlflow).info.trace_id)
    client.set_trace_tag(ids[0], "checked", "yes")
    client.set_trace_tag(ids[0], "gone", "1")
    client.delete_trace_tag(ids[0], "gone")
    tags = client.get_trace(ids[0]).info.tags
    assert (tags["checked"], "gone" in tags) == ("yes", False)
    run = client.create_run(experiment).info.run_id
    client.link_traces_to_run(ids[:2], run)
    found = mlflow.search_traces(locations=[experiment], run_id=run, return_type="list")
    assert {trace.info.trace_id for trace in found} == set(ids[:2])
    prompt = mlflow.genai.register_prompt(f"prompt-{uuid.uuid4().hex[:8]}", "Say {{what}}")
    client.link_prompt_versions_to_trace([prompt], ids[0])
    filter_string = f"prompt = '{prompt.name}/1'"
    found = mlflow.search_traces(locations=[experiment], filter_string=filter_string, return_type="list")
    assert [trace.info.trace_id for trace in found] == [ids[0]]
    assert client.delete_traces(experiment, trace_ids=ids[:1]) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=10) == 2
    assert mlflow.search_traces(locations=[experiment], return_type="list") == []


def test_assessments_of_one_moment_keep_their_order(mlflow, experiment):
    with mlflow.start_span("s"):
        pass
    trace = last(mlflow).info.trace_id
    now = time.time_ns() // 10**6
    names = [f"n{number}" for number in (3, 1, 4, 0, 5, 9, 2, 6)]
    for name in names:
        made = Feedback(name=name, value=1, source=HUMAN, create_time_ms=now, last_update_time_ms=now)
        mlflow.log_assessment(trace, made)
    assert [made.name for made in mlflow.get_trace(trace).info.assessments] == names
    (found,) = mlflow.search_traces(locations=[experiment], return_type="list")
    assert [made.name for made in found.info.assessments] == names


def test_assessments(mlflow, experiment):
    with mlflow.start_span("answer"):
        pass
    trace = last(mlflow).info.trace_id
    first = mlflow.log_feedback(trace_id=trace, name="useful", value=False, source=HUMAN, rationale="dry")
    mlflow.log_expectation(trace_id=trace, name="ideal", value={"facts": ["a", "木"]}, source=HUMAN)
    mlflow.log_feedback(trace_id=trace, name="broken", error=ValueError("asleep"), source=HUMAN)
    read = mlflow.get_assessment(trace, first.assessment_id)
    assert (read.feedback.value, read.rationale, read.source.source_id) == (False, "dry", "rosa@example.com")
    mlflow.update_assessment(trace, first.assessment_id, Feedback(name="useful", value=True, rationale="wet"))
    assert mlflow.get_assessment(trace, first.assessment_id).feedback.value is True
    second = mlflow.override_feedback(trace_id=trace, assessment_id=first.assessment_id, value=None, rationale="unsure")
    by_id = {it.assessment_id: it for it in mlflow.get_trace(trace).info.assessments}
    assert (by_id[first.assessment_id].valid, by_id[second.assessment_id].overrides) == (False, first.assessment_id)
    mlflow.delete_assessment(trace, second.assessment_id)
    by_name = {it.name: it for it in mlflow.get_trace(trace).info.assessments}
    assert by_name["useful"].assessment_id == first.assessment_id
    assert by_name["useful"].valid is not False
    assert by_name["broken"].feedback.error.error_message == "asleep"
    assert by_name["ideal"].expectation.value == {"facts": ["a", "木"]}
    with pytest.raises(MlflowException, match="not found"):
        mlflow.get_assessment(trace, second.assessment_id)


def test_searches(mlflow, client, experiment):
    for number in range(7):
        with mlflow.start_span("odd" if number % 2 else "even", span_type=SpanType.TOOL) as span:
            span.set_inputs(f"plant-{number}")
            mlflow.update_current_trace(tags={"number": str(number)})
    mlflow.flush_trace_async_logging()
    frame = mlflow.search_traces(locations=[experiment])
    assert len(frame) == 7
    assert set(frame.columns) >= {"trace_id", "state", "request", "response", "spans", "tags", "assessments"}

    def numbers(filter_string: str) -> list[int]:
        page = client.search_traces(locations=[experiment], filter_string=filter_string)
        # Several may begin in the same millisecond.
        return sorted(int(trace.info.tags["number"]) for trace in page)

    assert numbers("tags.number RLIKE '^[25]$'") == [2, 5]
    assert numbers("span.name = 'odd'") == [1, 3, 5]
    assert numbers("trace.text ILIKE '%PLANT-4%'") == [4]
    assert numbers("trace.status = 'ERROR'") == []
    seen, token = [], None
    while True:
        page = client.search_traces(locations=[experiment], max_results=3, page_token=token)
        seen += [int(trace.info.tags["number"]) for trace in page]
        if not (token := page.token):
            break
    assert sorted(seen) == list(range(7))
    with pytest.raises(MlflowException, match="nope"):
        client.search_traces(locations=[experiment], filter_string="nope.x = 'y'")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_otlp(server, mlflow, experiment, encoding):
    trace = os.urandom(16)
    headers = {} if encoding == "identity" else {"Content-Encoding": encoding}
    # The children come before their root, one of them twice.
    for first, names in [(1, ["child"]), (0, ["root", "child"])]:
        answer = export(server.url, experiment, trace, names, first, **headers)
        assert answer.status_code == HTTPStatus.OK, answer.text
    read = mlflow.get_trace(f"tr-{trace.hex()}")
    assert sorted(span.name for span in read.data.spans) == ["child", "root"]
    assert (read.info.state, read.info.execution_duration >= 500) == ("OK", True)


@pytest.mark.parametrize("packing", ["none", "gzip"])
def test_opentelemetry_sdk(server, mlflow, experiment, packing):
    """Spans of OpenTelemetry's own SDK and exporter, with all that it can say of them."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Link, SpanKind

    run = mlflow.MlflowClient().create_run(experiment).info.run_id
    headers = {"x-mlflow-experiment-id": experiment, "x-mlflow-run-id": run}
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", headers=headers, compression=Compression(packing))
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "deployment.environment": "test"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=2))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("elsewhere") as other:
        pass
    with (
        pytest.raises(ValueError, match="sold out"),
        tracer.start_as_current_span("order", kind=SpanKind.SERVER, links=[Link(other.get_span_context(), {"why": "retry"})]) as root,
    ):
        root.set_attributes({"session.id": "s-7", "user.id": "rosa", "input.value": "tea", "openinference.span.kind": "AGENT"})
        for name in ("search", "rank", "answer"):
            with tracer.start_as_current_span(name) as span:
                span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "tags": ["a", "b"]})
                span.set_attributes({"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500})
                span.add_event("thought", {"depth": 3})
        raise ValueError("sold out")
    provider.shutdown()

    trace = mlflow.get_trace(f"tr-{root.get_span_context().trace_id:032x}")
    assert [span.name for span in trace.data.spans] == ["order", "search", "rank", "answer"]
    first, second, *_ = trace.data.spans
    assert (first.span_type, first.inputs, second.span_type, second.parent_id) == ("AGENT", "tea", "CHAT_MODEL", first.span_id)
    assert (first.status.status_code, first.status.description) == ("ERROR", "ValueError: sold out")
    assert first.links[0].trace_id == f"tr-{other.get_span_context().trace_id:032x}"
    assert [(event.name, event.attributes.get("exception.type")) for event in first.events] == [("exception", "ValueError")]
    assert (second.events[0].attributes, second.get_attribute("tags")) == ({"depth": 3}, ["a", "b"])
    info = trace.info
    assert (info.state, info.tags["service.name"], info.tags["deployment.environment"]) == ("ERROR", "shop", "test")
    assert (info.trace_metadata["mlflow.trace.session"], info.trace_metadata["mlflow.trace.user"]) == ("s-7", "rosa")
    assert info.token_usage == {"input_tokens": 3000, "output_tokens": 1500, "total_tokens": 4500}
    assert info.cost["total_cost"] > 0
    found = mlflow.search_traces(locations=[experiment], run_id=run, return_type="list")
    assert {trace.info.trace_id for trace in found} == {info.trace_id, f"tr-{other.get_span_context().trace_id:032x}"}


def test_attachments(server, mlflow, experiment, tmp_path):
    """What is attached to the inputs and outputs of a span is kept beside the trace, and goes with it."""
    from mlflow.tracing.attachments import Attachment

    picture = tmp_path / "rose.png"
    picture.write_bytes(b"\x89PNG\r\n" + bytes(range(256)) * 400)
    with mlflow.start_span("look") as span:
        span.set_inputs({"question": "what?", "image": Attachment.from_file(picture)})
        span.set_outputs([Attachment(content_type="text/plain", content_bytes=b"a rose")])
    trace = last(mlflow)
    root = trace.data.spans[0]
    for reference, content, kind in (
        (root.inputs["image"], picture.read_bytes(), "image/png"), (root.outputs[0], b"a rose", "text/plain"),
    ):  # fmt: skip
        named = Attachment.parse_ref(reference)
        assert (named["content_type"], named["trace_id"]) == (kind, trace.info.trace_id)
        for version in ("2.0", "3.0"):
            query = {"request_id": trace.info.trace_id, "path": named["attachment_id"]}
            read = requests.get(f"{server.url}/ajax-api/{version}/mlflow/get-trace-artifact", params=query, timeout=30)
            assert (read.status_code, read.content) == (HTTPStatus.OK, content)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_the_spans_of_a_trace_as_a_file(server, mlflow, experiment, size):
    with mlflow.start_span("outer") as span, mlflow.start_span("inner"):
        span.set_inputs({"text": "ö" * size})
    trace = last(mlflow)
    for version in ("2.0", "3.0"):
        query = {"request_id": trace.info.trace_id}
        read = requests.get(f"{server.url}/ajax-api/{version}/mlflow/get-trace-artifact", params=query, timeout=30)
        assert read.status_code == HTTPStatus.OK and read.headers["Content-Type"].startswith("text/plain")
        assert read.headers["Content-Disposition"] == "attachment; filename=traces.json"
        spans = {span["name"]: span for span in json.loads(read.content)["spans"]}
        assert set(spans) == {"outer", "inner"}
        assert json.loads(spans["outer"]["attributes"]["mlflow.spanInputs"]) == {"text": "ö" * size}


class _FakeOpenAI(BaseHTTPRequestHandler):
    """Answers as OpenAI's interface does, at once or in pieces."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
        answer = {"id": "c-1", "created": 1, "model": asked["model"], "system_fingerprint": "f"}
        if asked.get("stream"):
            pieces = [{"delta": {"role": "assistant", "content": text}, "index": 0, "finish_reason": None} for text in ("Ro", "ses.")]
            chunks = [answer | {"object": "chat.completion.chunk", "choices": [piece]} for piece in pieces]
            chunks.append(answer | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self._send("text/event-stream", body.encode())
            return
        message = {"role": "assistant", "content": "Roses."}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self._send("application/json", json.dumps(answer | {"object": "chat.completion", "choices": choices, "usage": usage}).encode())

    def _send(self, kind: str, body: bytes):
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def openai():
    """A client of OpenAI's library, whose service is a process of the test's own."""
    import openai

    service = ThreadingHTTPServer(("127.0.0.1", 0), _FakeOpenAI)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield openai.OpenAI(base_url=f"http://127.0.0.1:{service.server_port}/v1", api_key="none", max_retries=0)
    service.shutdown()


def test_openai_autologging(mlflow, experiment, openai):
    messages = [{"role": "user", "content": "Which flowers?"}]
    mlflow.openai.autolog()
    try:
        with mlflow.start_span("chat"):
            said = openai.chat.completions.create(model="gpt-4o-mini", messages=messages, temperature=0.5)
            assert said.choices[0].message.content == "Roses."
            pieces = openai.chat.completions.create(
                model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
            )
            assert "".join(piece.choices[0].delta.content for piece in pieces if piece.choices) == "Roses."
    finally:
        mlflow.openai.autolog(disable=True)
    trace = last(mlflow)
    calls = trace.search_spans(span_type=SpanType.CHAT_MODEL)
    assert [call.name for call in calls] == ["Completions", "Completions"]
    assert all(call.inputs["messages"] == messages for call in calls)
    assert calls[0].outputs["choices"][0]["message"]["content"] == "Roses."
    assert calls[0].get_attribute("mlflow.chat.tokenUsage") == {"input_tokens": 11, "output_tokens": 4, "total_tokens": 15}
    usage = {key: trace.info.token_usage[key] for key in ("input_tokens", "output_tokens", "total_tokens")}
    assert usage == {"input_tokens": 22, "output_tokens": 8, "total_tokens": 30}
    assert trace.info.cost["total_cost"] == pytest.approx(2 * (11 * 0.15 + 4 * 0.6) / 1e6)
    found = mlflow.search_traces(
        locations=[experiment], filter_string="span.type = 'CHAT_MODEL' AND trace.text ILIKE '%which FLOWERS%'", return_type="list"
    )
    assert [it.info.trace_id for it in found] == [trace.info.trace_id]


def test_bad_otlp_is_refused(server, experiment):
    def status(data: bytes, **headers: str) -> int:
        return requests.post(f"{server.url}/v1/traces", data=data, headers=headers, timeout=30).status_code

    proto = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    assert status(b"\xff\xff\xff", **proto) == HTTPStatus.BAD_REQUEST
    assert status(b"", **(proto | {"Content-Type": "text/plain"})) == HTTPStatus.BAD_REQUEST
    assert export(server.url, "987654", os.urandom(16), ["x"]).status_code != HTTPStatus.OK


def test_one_trace_from_many_writers_and_two_servers(start_server, new_database):
    """The spans of a trace come in any order through two servers, while its start is written, and none is lost."""
    database = new_database("postgres")
    servers = [start_server("ferroflow", database) for _ in range(2)]
    client = MlflowClient(servers[0].url)
    experiment = client.create_experiment("crowd")
    traces = [os.urandom(16) for _ in range(8)]

    def start(trace: bytes) -> int:
        info = {
            "trace_id": f"tr-{trace.hex()}", "request_time": "2026-01-01T00:00:00Z", "state": "OK",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        }  # fmt: skip
        url = f"{servers[1].url}/api/3.0/mlflow/traces"
        return requests.post(url, json={"trace": {"trace_info": info}}, timeout=60).status_code

    def write(job: tuple[bytes, int]) -> int:
        trace, number = job
        return export(servers[number % 2].url, experiment, trace, [f"span {number}"], number).status_code

    jobs = [(trace, number) for number in range(20) for trace in traces]
    with ThreadPoolExecutor(16) as pool:
        starts = pool.map(start, traces)
        statuses = list(pool.map(write, reversed(jobs))) + list(starts)
    assert set(statuses) == {HTTPStatus.OK}
    for trace in traces:
        assert len(client.get_trace(f"tr-{trace.hex()}").data.spans) == 20


def test_traces_of_old_clients(server, experiment):
    """The second version of the interface, which clients before 3.0 speak."""
    root = f"{server.url}/api/2.0/mlflow/traces"
    made = requests.post(
        root,
        json={
            "experiment_id": experiment, "timestamp_ms": 1000,
            "request_metadata": [{"key": "mlflow.traceInputs", "value": "{}"}], "tags": [{"key": "a", "value": "b"}],
        },
        timeout=30,
    ).json()["trace_info"]  # fmt: skip
    assert (made["status"], made["experiment_id"]) == ("IN_PROGRESS", experiment)
    ended = requests.patch(f"{root}/{made['request_id']}", json={"timestamp_ms": 1500, "status": "OK"}, timeout=30)
    assert ended.json()["trace_info"]["execution_time_ms"] == 500
    read = requests.get(f"{root}/{made['request_id']}/info", timeout=30).json()["trace_info"]
    assert (read["status"], {tag["key"] for tag in read["tags"]} >= {"a"}) == ("OK", True)
    found = requests.get(root, params={"experiment_ids": experiment, "max_results": 5}, timeout=30).json()
    assert [trace["request_id"] for trace in found["traces"]] == [made["request_id"]]
