"""A database changes hands: filled by one server, served by the other, with equal answers."""

from __future__ import annotations

import itertools
import math

import pytest
from differential.case import get, play, post
from differential.normalize import Normalizer
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric


def fill(server, folder) -> dict[str, str]:
    """Writes something of everything and returns the ids to ask for."""
    client, kind = MlflowClient(server.url), server.kind
    experiment = client.create_experiment(f"filled ünï by {kind}", tags={"k": "☃"})
    gone = client.create_experiment(f"to go by {kind}")
    client.rename_experiment(gone, f"gone by {kind}")
    client.delete_experiment(gone)
    names = {"experiment": experiment, "gone": gone}
    for i in range(5):
        run = client.create_run(experiment, start_time=1000 + i, run_name=f"run {i}", tags={"i": str(i)}).info.run_id
        names[f"run{i}"] = run
        client.log_batch(run, metrics=[Metric("acc", math.nan if s == 2 else s / 7, 10 + s, s) for s in range(i * 30)])
        client.log_metric(run, "inf", math.inf, timestamp=5)
        client.log_param(run, "p", "日本" * i)
        dataset = Dataset(name="train", digest=f"d{i % 2}", source_type="code", source="{}", schema="{}", profile="{}")
        client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        model = client.create_logged_model(experiment, name=f"model{i}", source_run_id=run, params={"a": "b"}).model_id
        names[f"model{i}"] = model
        client.log_outputs(run, [LoggedModelOutput(model, i)])
        client.log_metric(run, "of model", i, timestamp=5, model_id=model, dataset_name="train", dataset_digest="d0")
    client.finalize_logged_model(names["model0"], "READY")
    client.delete_logged_model(names["model4"])
    client.set_terminated(names["run1"], end_time=9999)
    client.set_terminated(names["run2"], "FAILED", end_time=9999)
    client.update_run(names["run2"], name="renamed")
    client.delete_run(names["run4"])
    (folder / "a file.txt").write_text("content")
    client.log_artifact(names["run0"], str(folder / "a file.txt"), "sub")
    return names


_FILTERS = ["", "metrics.acc > 3", "params.p LIKE '日%'", "tags.i != '3'", "attributes.status = 'FAILED'", "dataset.digest = 'd1'"]
_ORDERS = [[], ["metrics.acc DESC", "start_time"], ["params.p"]]
_VIEWS = ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
READS = [
    get("experiments/get", experiment_id="$experiment"),
    get("experiments/get", experiment_id="$gone"),
    get("experiments/get", experiment_id="0"),
    post("experiments/search", {"max_results": 10, "view_type": "ALL", "order_by": ["name"]}),
    *[get("runs/get", run_id=f"$run{i}") for i in range(5)],
    *[
        post("runs/search", {"experiment_ids": ["$experiment"], "filter": text, "order_by": order, "run_view_type": view}, name=f"{text} {order} {view}")
        for text, order, view in itertools.product(_FILTERS, _ORDERS, _VIEWS)
    ],
    post("runs/search", {"experiment_ids": ["$experiment"], "filter": "dataset.digest = 'd1' AND params.p LIKE '日%'"}),
    post("runs/search", {"experiment_ids": ["$experiment"], "filter": "metrics.acc > 3 AND tags.i IS NOT NULL"}),
    get("metrics/get-history", run_id="$run3", metric_key="acc"),
    get("metrics/get-history-bulk-interval", run_ids=["$run2", "$run3"], metric_key="acc", max_results="20"),
    *[get(f"logged-models/$model{i}") for i in range(5)],
    post("logged-models/search", {"experiment_ids": ["$experiment"], "order_by": [{"field_name": "metrics.of model"}]}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["$experiment"]}),
    get("artifacts/list", run_id="$run0", path="sub"),
    get("/get-artifact", run_id="$run0", path="sub/a file.txt"),
]  # fmt: skip


def read(server, names: dict[str, str]) -> dict[str, dict]:
    """Returns the comparable answers to READS."""
    normalizer = Normalizer(server.url)
    return {case.name: normalizer.normalize(case.name, play(case, server.url, dict(names))) for case in READS}


def assert_same(server, names: dict[str, str], expected: dict[str, dict]) -> None:
    """Asks a server the READS; every answer has to be there and as expected."""
    assert len(expected) == len(READS)
    # The last model is deleted.
    assert {name: 404 for name in expected if "model4" in name} == {
        name: answer["status"] for name, answer in expected.items() if answer["status"] != 200
    }
    got = read(server, names)
    assert {name: (expected[name], got[name]) for name in expected if got[name] != expected[name]} == {}


@pytest.mark.parametrize("first", ["stock", "target"])
def test_a_database_changes_hands(start_server, target, backend, first, tmp_path):
    kinds = ["stock", target] if first == "stock" else [target, "stock"]
    before = start_server(kinds[0], backend)
    names = fill(before, tmp_path)
    expected = read(before, names)
    before.terminate()

    after = start_server(kinds[1], before.backend_uri, artifacts=before.artifacts)
    assert_same(after, names, expected)
    # The new owner writes, and the old one takes over again.
    client = MlflowClient(after.url)
    client.log_metric(names["run3"], "acc", 0.5, timestamp=99, step=10_000)
    client.set_tag(names["run3"], "second", "owner")
    client.create_run(names["experiment"], run_name="late", start_time=5)
    client.create_logged_model(names["experiment"], name="late model")
    more = fill(after, tmp_path)
    expected, expected_more = read(after, names), read(after, more)
    after.terminate()
    before.boot()
    assert_same(before, names, expected)
    assert_same(before, more, expected_more)
    assert MlflowClient(before.url).create_experiment("a third") not in {*names.values(), *more.values()}


def test_both_serve_one_database_at_once(start_server, target, backend, stock_database, tmp_path):
    uri = stock_database(backend)
    stock = start_server("stock", uri)
    ours = start_server(target, uri, artifacts=stock.artifacts)
    for names in [fill(server, tmp_path) for server in (stock, ours)]:
        assert_same(ours, names, read(stock, names))
