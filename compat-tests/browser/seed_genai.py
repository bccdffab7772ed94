"""Fills a tracking server with what the pages for GenAI work show: traces and what belongs to them."""

from __future__ import annotations

import math
from http import HTTPStatus

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Document, SpanEvent, SpanType
from mlflow.genai import datasets, label_schemas, review_queues
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import Guidelines, scorer

ADVISOR = "plant-advisor"
HUMAN = AssessmentSource(source_type="HUMAN", source_id="rosa@example.com")
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="judge-1")
TRACES, WITHERED = 9, 4


def seed_genai(url: str) -> dict[str, object]:
    """Writes traces with assessments, an evaluation, judges, a review queue, and the gateway's and MCP's
    registries, and returns the ids that the steps visit."""
    client = MlflowClient()
    advisor = client.create_experiment(ADVISOR, tags={"mlflow.experimentKind": "genai_development"})
    mlflow.set_experiment(ADVISOR)
    traces = [_ask(number) for number in range(TRACES)]
    with mlflow.start_run(run_name="evening-talk") as talk:
        advise("Who talks in a run?", "fern")
    _assess(traces)
    client.set_trace_tag(traces[0], "checked", "twice")
    advice = mlflow.genai.register_prompt("advice", "Tell {{name}} how to water a {{plant}}.")
    client.link_prompt_versions_to_trace([advice], traces[0])
    mlflow.set_active_model(name="advisor-v1")
    advise("Which model says this?", "moss")
    advisor_model = mlflow.get_active_model_id()
    mlflow.clear_active_model()
    dataset = _dataset(advisor)
    evaluation = _evaluate()
    _judges(advisor)
    queue = _reviews(advisor, traces)
    return {
        "advisor": advisor, "traces": traces, "withered": traces[WITHERED], "talk": talk.info.run_id, "dataset": dataset,
        "evaluation": evaluation, "queue": queue, "advisorModel": advisor_model, "endpoint": _gateway(url, advisor),
        "mcp": _mcp(),
    }  # fmt: skip


@mlflow.trace(name="look_up_plant", span_type=SpanType.RETRIEVER)
def _look_up(plant: str) -> list[Document]:
    return [Document(page_content=f"Care sheet of {plant}", metadata={"doc_uri": f"sheets/{plant}.md"}, id=plant)]


@mlflow.trace(name="measure_soil", span_type=SpanType.TOOL)
def _measure(plant: str) -> dict[str, float]:
    if plant == "cactus":
        raise ValueError("the probe found no soil")
    return {"moisture": len(plant) / 10}


@mlflow.trace(name="write_answer", span_type=SpanType.CHAT_MODEL)
def _answer(messages: list[dict[str, str]]) -> dict[str, object]:
    span = mlflow.get_current_active_span()
    span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42})
    span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
    span.set_attribute("mlflow.llm.provider", "openai")
    words = f"Water it twice, after: {messages[-1]['content']}"
    return {"choices": [{"message": {"role": "assistant", "content": words}}]}


@mlflow.trace(name="plant_advisor", span_type=SpanType.AGENT)
def advise(question: str, plant: str, **metadata: str) -> str:
    """Answers with a trace of four spans; a cactus makes it fail."""
    mlflow.update_current_trace(tags={"season": "spring"}, metadata=metadata)
    _look_up(plant)
    _measure(plant)
    mlflow.get_current_active_span().add_event(SpanEvent("soil_measured", attributes={"plant": plant}))
    return _answer([{"role": "user", "content": question}])["choices"][0]["message"]["content"]


def _ask(number: int) -> str:
    plant = "cactus" if number == WITHERED else ["fern", "ivy", "tulip"][number % 3]
    talk = {"mlflow.trace.session": f"talk-{number % 3}", "mlflow.trace.user": f"gardener-{number % 2}"}
    try:
        advise(f"What does plant {number} need?", plant, **talk)
    except ValueError:
        assert number == WITHERED
    return mlflow.get_last_active_trace_id()


def _assess(traces: list[str]) -> None:
    for number, trace in enumerate(traces):
        mlflow.log_feedback(
            trace_id=trace, name="useful", value=bool(number % 2), source=HUMAN, rationale=f"Reason {number}"
        )
        mlflow.log_feedback(trace_id=trace, name="correctness", value=1 / (number + 1), source=JUDGE)
    mlflow.log_expectation(trace_id=traces[0], name="ideal", value="Water it once", source=HUMAN)
    mlflow.log_feedback(trace_id=traces[0], name="failed", error=ValueError("the judge fell asleep"), source=JUDGE)


def _dataset(experiment: str) -> str:
    dataset = datasets.create_dataset(name="plant-questions", experiment_id=[experiment], tags={"grown": "indoors"})
    dataset.merge_records(
        [{"inputs": {"question": f"Question {n}?"}, "expectations": {"answer": f"Answer {n}"}} for n in range(6)]
    )
    return dataset.dataset_id


@scorer
def same_answer(outputs: str, expectations: dict[str, str]) -> bool:
    """Whether the answer is the expected one."""
    return outputs == expectations["answer"]


@scorer
def words(outputs: str) -> int:
    """The number of words."""
    return len(outputs.split())


def _evaluate() -> str:
    rows = [{"inputs": {"question": f"Question {n}?"}, "expectations": {"answer": f"Answer {n}"}} for n in range(4)]
    result = mlflow.genai.evaluate(
        data=rows, predict_fn=lambda question: question.replace("Question", "Answer")[:-1], scorers=[same_answer, words]
    )
    assert math.isclose(result.metrics["same_answer/mean"], 1)
    return result.run_id


def _judges(experiment: str) -> None:
    Guidelines(name="friendly", guidelines="The answer must be friendly", model="openai:/gpt-4o-mini").register(
        experiment_id=experiment
    )
    make_judge(
        name="about_plants", instructions="Is {{ outputs }} about plants?", model="openai:/gpt-4o-mini", feedback_value_type=bool
    ).register(experiment_id=experiment)


def _reviews(experiment: str, traces: list[str]) -> str:
    mood = label_schemas.create_label_schema(
        "mood", type="feedback", input=label_schemas.InputCategorical(options=["merry", "gloomy"]), experiment_id=experiment
    )
    label_schemas.create_label_schema(
        "better_answer", type="expectation", input=label_schemas.InputText(), experiment_id=experiment
    )
    queue = review_queues.create_review_queue(
        "sunday-review", experiment_id=experiment, queue_type="custom", schema_ids=[mood.schema_id], users=["rosa@example.com"]
    )
    review_queues.add_items_to_review_queue(queue.queue_id, item_ids=traces[:3])
    review_queues.set_review_queue_item_status(
        queue.queue_id, item_id=traces[0], status="complete", completed_by="rosa@example.com"
    )
    return queue.queue_id


def _gateway(url: str, experiment: str) -> str:
    def post(path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        answer = requests.post(f"{url}/api/3.0/mlflow/gateway/{path}", json=body, timeout=30)
        assert answer.status_code == HTTPStatus.OK, answer.text
        return answer.json()

    key = {"secret_name": "greenhouse-key", "secret_value": {"api_key": "sk-not-a-key-at-all"}, "provider": "openai"}
    secret = post("secrets/create", key)["secret"]["secret_id"]
    model = {"name": "leaf-model", "secret_id": secret, "provider": "openai", "model_name": "gpt-4o-mini"}
    definition = post("model-definitions/create", model)["model_definition"]["model_definition_id"]
    link = {"model_definition_id": definition, "linkage_type": "PRIMARY", "weight": 1.0}
    endpoint = {"name": "leaf-endpoint", "model_configs": [link], "usage_tracking": True, "experiment_id": experiment}
    budget = {
        "budget_unit": "USD", "budget_amount": 25.0, "duration": {"unit": "DAYS", "value": 1},
        "target_scope": "GLOBAL", "budget_action": "ALERT",
    }  # fmt: skip
    post("budgets/create", budget)
    return post("endpoints/create", endpoint)["endpoint"]["endpoint_id"]


def _mcp() -> str:
    name = "io.example/greenhouse"
    server = {
        "name": name, "description": "Opens the windows of the greenhouse", "version": "2.1.0",
        "remotes": [{"type": "streamable-http", "url": "https://example.com/greenhouse"}],
    }  # fmt: skip
    mlflow.genai.register_mcp_server(server_json=server)
    mlflow.genai.set_mcp_server_alias(name, "summer", "2.1.0")
    mlflow.genai.set_mcp_server_tag(name, "glass", "double")
    return name
