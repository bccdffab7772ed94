"""The demo of the first page, read by the client."""

from __future__ import annotations

import pytest
import requests

FEATURES = ["prompts", "traces", "custom_view", "saved_views", "evaluation", "judges", "issues", "review_queues"]


@pytest.fixture
def demo(server, mlflow):
    """The experiment of the demo, gone afterwards."""
    url = f"{server.url}/ajax-api/3.0/mlflow/demo"
    made = requests.post(f"{url}/generate", json={}, timeout=300).json()
    assert made["status"] == "created" and made["features_generated"] == FEATURES
    assert requests.post(f"{url}/generate", timeout=300).json()["status"] == "exists"
    yield mlflow.get_experiment(made["experiment_id"])
    gone = requests.post(f"{url}/delete", json={}, timeout=300).json()
    assert gone == {"status": "deleted", "features_deleted": FEATURES}
    assert mlflow.get_experiment(made["experiment_id"]).lifecycle_stage == "deleted"


def test_the_client_reads_all_of_the_demo(mlflow, client, demo):
    from mlflow.genai import datasets, scorers

    assert demo.tags["mlflow.experimentKind"] == "genai_development"
    of_demo = {"locations": [demo.experiment_id], "return_type": "list"}
    traces = mlflow.search_traces(**of_demo, max_results=200)
    assert len(traces) >= 20 and {t.info.trace_metadata["mlflow.demo.version"] for t in traces} == {"v1", "v2"}
    start, end = (int(demo.tags[f"mlflow.demo.{edge}_time_ms"]) for edge in ("start", "end"))
    for trace in traces:
        root = next(span for span in trace.data.spans if span.parent_id is None)
        assert root.inputs["messages"][0]["content"] and root.outputs["choices"], trace.info
        assert start <= trace.info.timestamp_ms <= end and trace.info.token_usage["total_tokens"] > 0
    assert mlflow.search_traces(**of_demo, filter_string="feedback.groundedness = 'no'")
    runs = client.search_runs([demo.experiment_id], "params.demo = 'true'")
    assert len(runs) == 3 and all(set(run.data.metrics) >= {"relevance/mean", "safety/mean"} for run in runs)
    assert len(mlflow.search_traces(**of_demo, run_id=runs[0].info.run_id)) > 5
    kept = {scorer.name: scorer for scorer in scorers.list_scorers(experiment_id=demo.experiment_id)}
    assert "{{ outputs }}" in kept["mlflow-demo.judges.safety"].instructions
    sets = datasets.search_datasets(experiment_ids=[demo.experiment_id])
    assert len(sets) == 3 and all(len(found.to_df()) > 5 for found in sets)
    prompts = mlflow.genai.search_prompts(filter_string="name LIKE 'mlflow-demo.%'")
    assert len(prompts) >= 2
    for prompt in prompts:
        assert mlflow.genai.load_prompt(f"prompts:/{prompt.name}@production").template
