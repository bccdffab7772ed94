"""Evaluation datasets, scorers, label schemas, review queues and issues through the client."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest
import requests
from mlflow.exceptions import MlflowException


@pytest.fixture
def name() -> str:
    return f"name-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def store(client):
    """What the client's functions for people end in."""
    return client._tracking_client.store


def _traced(mlflow, count: int) -> list[str]:
    @mlflow.trace
    def answer(question: str) -> str:
        return question.upper()

    ids = []
    for i in range(count):
        answer(f"question {i}")
        ids.append(mlflow.get_last_active_trace_id())
    mlflow.flush_trace_async_logging()
    return ids


def test_life_of_a_dataset(mlflow, client, experiment_id, name):
    from mlflow.genai import datasets

    other = client.create_experiment(name)
    made = datasets.create_dataset(name=name, experiment_id=[experiment_id], tags={"team": "red", "n": "1"})
    assert (made.name, made.tags["team"], made.experiment_ids) == (name, "red", [experiment_id])
    made.merge_records(
        [{"inputs": {"q": f"q{i}", "x": {"n": [i, 1.5, None]}}, "expectations": {"a": f"ä{i}"}} for i in range(5)]
    )
    made.merge_records([{"inputs": {"q": "q0", "x": {"n": [0, 1.5, None]}}, "expectations": {"b": 2}, "tags": {"t": "1"}}])
    read = datasets.get_dataset(dataset_id=made.dataset_id)
    frame = read.to_df()
    assert len(frame) == 5 and read.profile == '{"num_records": 5}'
    first = next(row for row in frame.to_dict("records") if row["inputs"]["q"] == "q0")
    assert (first["expectations"], first["tags"]) == ({"a": "ä0", "b": 2}, first["tags"] | {"t": "1"})
    assert read.digest != made.digest and '"expectations": {"a": "string", "b": "integer"}' in read.schema
    datasets.set_dataset_tags(dataset_id=made.dataset_id, tags={"team": "blue", "more": "yes"})
    datasets.delete_dataset_tag(dataset_id=made.dataset_id, key="n")
    tags = datasets.get_dataset(dataset_id=made.dataset_id).tags
    assert (tags["team"], tags["more"], "n" in tags) == ("blue", "yes", False)
    datasets.add_dataset_to_experiments(dataset_id=made.dataset_id, experiment_ids=[other])
    assert sorted(datasets.get_dataset(dataset_id=made.dataset_id).experiment_ids) == sorted([experiment_id, other])
    datasets.remove_dataset_from_experiments(dataset_id=made.dataset_id, experiment_ids=[experiment_id])
    assert datasets.get_dataset(dataset_id=made.dataset_id).experiment_ids == [other]
    record = frame["dataset_record_id"][0]
    assert read.delete_records([record]) == 1
    assert len(datasets.get_dataset(dataset_id=made.dataset_id).to_df()) == 4
    datasets.delete_dataset(dataset_id=made.dataset_id)
    with pytest.raises(MlflowException, match="not found") as gone:
        datasets.get_dataset(dataset_id=made.dataset_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_records_of_frames_and_many_pages(mlflow, experiment_id, name):
    import pandas as pd
    from mlflow.genai import datasets

    made = datasets.create_dataset(name=name, experiment_id=experiment_id)
    frame = pd.DataFrame({"inputs": [{"i": i} for i in range(1200)], "expectations": [{"e": i * 2} for i in range(1200)]})
    made.merge_records(frame)
    made.merge_records(frame.head(3))
    read = datasets.get_dataset(dataset_id=made.dataset_id).to_df()
    assert len(read) == 1200
    assert {row["i"] for row in read["inputs"]} == set(range(1200))
    assert all(e["e"] == i["i"] * 2 for i, e in zip(read["inputs"], read["expectations"], strict=True))


def test_search_datasets(mlflow, client, experiment_id, name):
    from mlflow.genai import datasets

    other = client.create_experiment(name)
    for i, experiment in enumerate([experiment_id, experiment_id, other]):
        datasets.create_dataset(name=f"{name}-{i}", experiment_id=experiment, tags={"i": str(i)})

    def names(**query):
        return sorted(d.name.removeprefix(name) for d in datasets.search_datasets(**query))

    assert names(experiment_ids=[experiment_id]) == ["-0", "-1"]
    assert names(experiment_ids=[experiment_id, other], filter_string=f"name LIKE '{name}-%'") == ["-0", "-1", "-2"]
    assert names(filter_string=f"name LIKE '{name}%' AND tags.i != '0'") == ["-1", "-2"]
    assert names(filter_string=f"name IN ('{name}-0', '{name}-2')") == ["-0", "-2"]
    ordered = datasets.search_datasets(filter_string=f"name LIKE '{name}%'", order_by=["name DESC"], max_results=2)
    assert [d.name for d in ordered] == [f"{name}-2", f"{name}-1"]
    with pytest.raises(MlflowException, match="Invalid attribute key 'digest'"):
        datasets.search_datasets(filter_string="digest = 'x'")


_UPSERT = """
import sys, mlflow
from mlflow.genai import datasets
mlflow.set_tracking_uri(sys.argv[1])
dataset = datasets.get_dataset(dataset_id=sys.argv[2])
for round in range(15):
    dataset.merge_records([{"inputs": {"i": i}, "expectations": {sys.argv[3]: round}} for i in range(20)])
"""


def test_two_processes_upsert_the_same_records(mlflow, server, experiment_id, name):
    from mlflow.genai import datasets

    made = datasets.create_dataset(name=name, experiment_id=experiment_id)
    writers = [
        subprocess.Popen([sys.executable, "-c", _UPSERT, server.url, made.dataset_id, key], stderr=subprocess.PIPE)
        for key in ("left", "right")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    frame = datasets.get_dataset(dataset_id=made.dataset_id).to_df()
    assert len(frame) == 20
    assert all(e == {"left": 14, "right": 14} for e in frame["expectations"])


def test_scorers(mlflow, experiment_id):
    from mlflow.genai.scorers import Guidelines, delete_scorer, get_scorer, list_scorers

    polite = Guidelines(name="polite", guidelines="Be polite – always.", model="openai:/gpt-4o-mini")
    polite.register(experiment_id=experiment_id)
    Guidelines(name="polite", guidelines="Be very polite.", model="openai:/gpt-4o-mini").register(experiment_id=experiment_id)
    Guidelines(name="brief", guidelines="Be brief.", model="openai:/gpt-4o-mini").register(experiment_id=experiment_id)
    assert sorted(s.name for s in list_scorers(experiment_id=experiment_id)) == ["brief", "polite"]
    assert get_scorer(name="polite", experiment_id=experiment_id).guidelines == "Be very polite."
    assert get_scorer(name="polite", experiment_id=experiment_id, version=1).guidelines == "Be polite – always."
    delete_scorer(name="polite", experiment_id=experiment_id, version=2)
    assert get_scorer(name="polite", experiment_id=experiment_id).guidelines == "Be polite – always."
    delete_scorer(name="polite", experiment_id=experiment_id, version="all")
    assert [s.name for s in list_scorers(experiment_id=experiment_id)] == ["brief"]
    with pytest.raises(MlflowException, match="Scorer with name 'polite' not found"):
        get_scorer(name="polite", experiment_id=experiment_id)


def test_scorers_that_need_a_server_with_python_are_refused(server, experiment_id, mlflow):
    body = {"experiment_id": experiment_id, "serialized_scorer": "{}", "trace_ids": ["tr-1"]}
    answer = requests.post(f"{server.url}/ajax-api/3.0/mlflow/scorer/invoke", json=body, timeout=30)
    if server.kind == "stock":
        pytest.skip("stock has Python")
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert "mlflow.genai.evaluate" in answer.json()["message"]


def test_label_schemas(mlflow, experiment_id):
    from mlflow.genai import label_schemas as schemas

    made = schemas.create_label_schema(
        "tone", type="feedback", input=schemas.InputCategorical(options=["good", "bad"]), experiment_id=experiment_id
    )
    schemas.create_label_schema(
        "score", type="expectation", input=schemas.InputNumeric(min_value=1, max_value=5), experiment_id=experiment_id
    )
    listed = {s.name: s for s in schemas.list_label_schemas(experiment_id=experiment_id)}
    assert sorted(listed) == ["Feedback", "score", "tone"] and listed["Feedback"].is_default
    assert listed["score"].input == schemas.InputNumeric(min_value=1.0, max_value=5.0)
    changed = schemas.update_label_schema(
        made.schema_id, name="mood", input=schemas.InputCategorical(options=["fine"]), enable_comment=True
    )
    assert schemas.get_label_schema(schema_id=made.schema_id) == changed
    assert (changed.name, changed.input.options, changed.enable_comment) == ("mood", ["fine"], True)
    with pytest.raises(MlflowException, match="already exists"):
        schemas.update_label_schema(made.schema_id, name="score")
    with pytest.raises(MlflowException, match="default question cannot be deleted"):
        schemas.delete_label_schema(schema_id=listed["Feedback"].schema_id)
    schemas.delete_label_schema(schema_id=made.schema_id)
    assert "mood" not in {s.name for s in schemas.list_label_schemas(experiment_id=experiment_id)}


def test_review_queues(mlflow, experiment_id):
    from mlflow.genai import label_schemas, review_queues

    question = label_schemas.create_label_schema(
        "ok", type="feedback", input=label_schemas.InputPassFail("Yes", "No"), experiment_id=experiment_id
    )
    made = review_queues.create_review_queue(
        "Weekly", queue_type="custom", experiment_id=experiment_id, users=["Ann", "bob"], schema_ids=[question.schema_id]
    )
    assert (made.users, made.schema_ids) == (["ann", "bob"], [question.schema_id])
    own = review_queues.get_or_create_user_queue("Ann", experiment_id=experiment_id)
    assert review_queues.get_or_create_user_queue("ann", experiment_id=experiment_id) == own
    assert {q.name for q in review_queues.list_review_queues(experiment_id=experiment_id, user="ann")} == {"Weekly", "ann"}
    changed = review_queues.update_review_queue(made.queue_id, name="Monthly", users=["carl"])
    assert (changed.name, changed.users) == ("Monthly", ["carl"])
    assert review_queues.get_review_queue(queue_id=made.queue_id) == changed
    with pytest.raises(MlflowException, match="do not exist in experiment"):
        review_queues.add_items_to_review_queue(made.queue_id, item_ids=["tr-none"])
    review_queues.delete_review_queue(own.queue_id)
    assert [q.name for q in review_queues.list_review_queues(experiment_id=experiment_id)] == ["Monthly"]


def test_issues(mlflow, store, experiment_id):
    from mlflow.entities.issue import IssueSeverity, IssueStatus

    with mlflow.start_run() as run:
        pass
    worst = store.create_issue(
        experiment_id=experiment_id, name="worst", description="It fails.", severity=IssueSeverity.HIGH,
        root_causes=["a", "b"], source_run_id=run.info.run_id, categories=["c"], created_by="ann",
    )  # fmt: skip
    store.create_issue(experiment_id=experiment_id, name="plain", description="It is odd.")
    assert [i.name for i in store.search_issues(experiment_id=experiment_id)] == ["worst", "plain"]
    found = store.search_issues(experiment_id=experiment_id, filter_string=f"source_run_id = '{run.info.run_id}'")
    assert found[0] == worst == store.get_issue(worst.issue_id)
    changed = store.update_issue(worst.issue_id, status=IssueStatus.RESOLVED, name="was worst")
    assert (changed.status, changed.name, changed.severity) == (IssueStatus.RESOLVED, "was worst", IssueSeverity.HIGH)
    open_ones = store.search_issues(experiment_id=experiment_id, filter_string="status = 'pending'", include_trace_count=True)
    assert [(i.name, i.trace_count) for i in open_ones] == [("plain", 0)]


def test_records_of_traces(mlflow, experiment_id, name):
    from mlflow.genai import datasets

    ids = _traced(mlflow, 3)
    made = datasets.create_dataset(name=name, experiment_id=experiment_id)
    made.merge_records(mlflow.search_traces(locations=[experiment_id]))
    frame = datasets.get_dataset(dataset_id=made.dataset_id).to_df()
    assert {row["question"] for row in frame["inputs"]} == {f"question {i}" for i in range(3)}
    assert {source["source_data"]["trace_id"] for source in map(_as_dict, frame["source"])} == set(ids)


def _as_dict(source):
    return source if isinstance(source, dict) else source.to_dict()


def test_evaluate_with_scorers_of_code(mlflow, client, experiment_id):
    from mlflow.genai.scorers import scorer

    @scorer
    def exact(outputs, expectations) -> bool:
        return outputs == expectations["answer"]

    data = [{"inputs": {"question": f"q{i}"}, "expectations": {"answer": "Q1"}} for i in range(3)]
    result = mlflow.genai.evaluate(data=data, predict_fn=lambda question: question.upper(), scorers=[exact])
    assert result.metrics["exact/mean"] == pytest.approx(1 / 3)
    assert client.get_run(result.run_id).data.metrics["exact/mean"] == pytest.approx(1 / 3)
    traces = mlflow.search_traces(locations=[experiment_id], run_id=result.run_id, return_type="list")
    values = sorted(a.value for t in traces for a in t.info.assessments if a.name == "exact")
    assert values == [False, False, True]


def test_review_of_traces(mlflow, experiment_id):
    from mlflow.genai import review_queues

    ids = _traced(mlflow, 3)
    queue = review_queues.create_review_queue("look", queue_type="custom", experiment_id=experiment_id)
    items = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=ids)
    assert [i.item_id for i in items] == ids
    done = review_queues.set_review_queue_item_status(queue.queue_id, item_id=ids[0], status="complete", completed_by="Ann")
    assert (str(done.status), done.completed_by) == ("complete", "ann")
    waiting = review_queues.list_review_queue_items(queue.queue_id, status="pending")
    assert {i.item_id for i in waiting} == set(ids[1:])
    review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=ids[1:2])
    assert len(list(review_queues.list_review_queue_items(queue.queue_id))) == 2
