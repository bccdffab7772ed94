"""The tracking API through the real client: experiments, runs, metrics, params, tags, datasets, artifacts."""

from __future__ import annotations

import json
import math
import time

import pandas as pd
import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException


def error_code(caught) -> str:
    """The protocol's name of an error that the client raised."""
    return caught.value.error_code


# --- experiments ------------------------------------------------------------------------------------------------


def test_default_experiment(mlflow):
    default = mlflow.get_experiment("0")
    assert default.name == "Default"
    assert default.lifecycle_stage == "active"
    assert default.artifact_location == "mlflow-artifacts:/0"


def test_experiment_lifecycle(mlflow, client):
    experiment_id = client.create_experiment("life-of-one", tags={"team": "risk", "naïve": "☃"})
    found = client.get_experiment_by_name("life-of-one")
    assert found.experiment_id == experiment_id
    assert found.tags == {"team": "risk", "naïve": "☃"}
    assert found.artifact_location == f"mlflow-artifacts:/{experiment_id}"
    assert abs(found.creation_time - time.time() * 1000) < 60_000

    client.rename_experiment(experiment_id, "life-of-another")
    client.set_experiment_tag(experiment_id, "team", "fraud")
    client.delete_experiment_tag(experiment_id, "naïve")
    renamed = client.get_experiment(experiment_id)
    assert (renamed.name, renamed.tags) == ("life-of-another", {"team": "fraud"})
    assert renamed.last_update_time >= renamed.creation_time

    client.delete_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        client.create_run(experiment_id)
    with pytest.raises(MlflowException) as caught:
        client.delete_experiment(experiment_id)
    assert error_code(caught) == "RESOURCE_DOES_NOT_EXIST"
    client.restore_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"


def test_experiment_with_a_location_of_its_own(client, tmp_path):
    location = (tmp_path / "elsewhere").as_uri()
    experiment_id = client.create_experiment("elsewhere", artifact_location=location)
    assert client.get_experiment(experiment_id).artifact_location == location
    run = client.create_run(experiment_id)
    assert run.info.artifact_uri == f"{location}/{run.info.run_id}/artifacts"


def test_experiment_errors(client):
    client.create_experiment("taken")
    with pytest.raises(MlflowException, match=r"Experiment\(name=taken\) already exists") as caught:
        client.create_experiment("taken")
    assert error_code(caught) == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowException, match="No Experiment with id=4711 exists") as caught:
        client.get_experiment("4711")
    assert error_code(caught) == "RESOURCE_DOES_NOT_EXIST"
    assert client.get_experiment_by_name("never made") is None
    with pytest.raises(MlflowException) as caught:
        client.create_experiment("x" * 501)
    assert error_code(caught) == "INVALID_PARAMETER_VALUE"


def test_search_experiments(client):
    ids = [client.create_experiment(f"searched {i}", tags={"batch": "s", "i": str(i)}) for i in range(7)]
    client.delete_experiment(ids[3])

    def names(**query):
        found = client.search_experiments(filter_string="tags.batch = 's'", **query)
        return [e.name for e in found]

    assert names() == [f"searched {i}" for i in (6, 5, 4, 2, 1, 0)]
    assert names(view_type=ViewType.DELETED_ONLY) == ["searched 3"]
    assert names(view_type=ViewType.ALL, order_by=["name ASC"]) == [f"searched {i}" for i in range(7)]
    assert [e.name for e in client.search_experiments(filter_string="name LIKE 'searched %' AND tags.i = '2'")] == [
        "searched 2"
    ]
    pages, token = [], None
    while True:
        page = client.search_experiments(
            filter_string="name ILIKE 'SEARCHED%'", order_by=["name"], max_results=2, page_token=token
        )
        pages.append([e.name for e in page])
        token = page.token
        if not token:
            break
    assert pages == [["searched 0", "searched 1"], ["searched 2", "searched 4"], ["searched 5", "searched 6"]]


# --- runs -------------------------------------------------------------------------------------------------------


def test_fluent_run(mlflow, client, experiment_id):
    with mlflow.start_run(run_name="first", tags={"stage": "dev"}, description="about it") as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"rate": 0.1, "flag": True, "none": None, "empty": "", "naïve": "日本"})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metric("loss", 0.25, step=2, timestamp=1_700_000_000_000)
        mlflow.log_metrics({"acc": 0.9, "f1": 1}, step=7)
        mlflow.set_tag("colour", "blue")
        mlflow.set_tags({"a": 1, "b": "☃"})
    got = client.get_run(run.info.run_id)
    assert got.info.run_name == "first"
    assert got.info.status == "FINISHED"
    assert got.info.experiment_id == experiment_id
    assert got.info.lifecycle_stage == "active"
    assert got.info.artifact_uri == f"mlflow-artifacts:/{experiment_id}/{run.info.run_id}/artifacts"
    assert got.info.start_time <= got.info.end_time
    assert got.data.params == {
        "depth": "3", "rate": "0.1", "flag": "True", "none": "None", "empty": "", "naïve": "日本",
    }  # fmt: skip
    assert got.data.metrics == {"loss": 0.25, "acc": 0.9, "f1": 1.0}
    tags = got.data.tags
    assert {"stage": "dev", "colour": "blue", "a": "1", "b": "☃"}.items() <= tags.items()
    assert tags["mlflow.runName"] == "first"
    assert tags["mlflow.note.content"] == "about it"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert got.info.user_id == tags["mlflow.user"]


def test_run_statuses(mlflow, client):
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        1 / 0  # noqa: B018
    assert client.get_run(run.info.run_id).info.status == "FAILED"

    resumed = mlflow.start_run(run_id=run.info.run_id)
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    mlflow.end_run("KILLED")
    got = client.get_run(resumed.info.run_id)
    assert got.info.status == "KILLED"
    assert got.info.end_time is not None
    client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.FINISHED), end_time=1_700_000_000_123)
    assert client.get_run(run.info.run_id).info.end_time == 1_700_000_000_123


def test_generated_names(client, experiment_id):
    run = client.create_run(experiment_id)
    assert run.info.run_name.count("-") == 2
    assert run.data.tags == {"mlflow.runName": run.info.run_name}
    assert run.info.status == "RUNNING"
    named = client.create_run(experiment_id, tags={"mlflow.runName": "by tag"})
    assert named.info.run_name == "by tag"
    client.update_run(named.info.run_id, name="renamed", status="FINISHED")
    got = client.get_run(named.info.run_id)
    assert (got.info.run_name, got.data.tags["mlflow.runName"], got.info.status) == ("renamed", "renamed", "FINISHED")
    client.set_tag(named.info.run_id, "mlflow.runName", "by tag again")
    assert client.get_run(named.info.run_id).info.run_name == "by tag again"
    with pytest.raises(MlflowException, match="Both 'run_name' argument and 'mlflow.runName' tag are specified"):
        client.create_run(experiment_id, run_name="one", tags={"mlflow.runName": "other"})


def test_nested_runs(mlflow, client, experiment_id):
    with mlflow.start_run(run_name="parent") as parent:
        children = []
        for i in range(3):
            with mlflow.start_run(run_name=f"child {i}", nested=True) as child:
                mlflow.log_metric("score", i)
                children.append(child.info.run_id)
                with mlflow.start_run(run_name=f"grandchild {i}", nested=True):
                    pass
    found = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert {run.info.run_id for run in found} == set(children)
    assert mlflow.get_parent_run(children[0]).info.run_id == parent.info.run_id
    assert mlflow.get_parent_run(parent.info.run_id) is None
    roots = client.search_runs([experiment_id], "tags.`mlflow.parentRunId` IS NULL")
    assert [run.info.run_id for run in roots] == [parent.info.run_id]


def test_delete_and_restore_run(mlflow, client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    for write in (
        lambda: client.log_metric(run_id, "m", 1),
        lambda: client.log_param(run_id, "p", 1),
        lambda: client.set_tag(run_id, "t", 1),
        lambda: client.log_batch(run_id, metrics=[Metric("m", 1, 1, 1)]),
        lambda: client.delete_tag(run_id, "mlflow.runName"),
    ):
        with pytest.raises(MlflowException, match="must be in the 'active' state") as caught:
            write()
        assert error_code(caught) == "INVALID_PARAMETER_VALUE"
    assert client.search_runs([experiment_id]) == []
    assert len(client.search_runs([experiment_id], run_view_type=ViewType.DELETED_ONLY)) == 1
    client.restore_run(run_id)
    client.log_metric(run_id, "m", 1)
    assert client.get_run(run_id).data.metrics == {"m": 1.0}
    with pytest.raises(MlflowException, match="not found") as caught:
        client.get_run("0" * 32)
    assert error_code(caught) == "RESOURCE_DOES_NOT_EXIST"


# --- metrics, params, tags --------------------------------------------------------------------------------------


def test_metric_history_and_latest(client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    points = [(1.0, 100, 0), (5.0, 90, 3), (4.0, 200, 3), (3.0, 300, 1), (6.0, 200, 3), (2.0, 10, -4)]
    for value, timestamp, step in points:
        client.log_metric(run_id, "m", value, timestamp=timestamp, step=step)
    history = client.get_metric_history(run_id, "m")
    assert sorted((m.value, m.timestamp, m.step) for m in history) == sorted(points)
    # The latest is the largest by step, then time, then value.
    assert client.get_run(run_id).data.metrics == {"m": 6.0}
    client.log_metric(run_id, "m", 6.0, timestamp=200, step=3)
    assert len(client.get_metric_history(run_id, "m")) == len(points)
    assert client.get_metric_history(run_id, "never") == []


def test_odd_metric_values(client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    for key, value in {
        "nan": math.nan, "inf": math.inf, "ninf": -math.inf, "huge": 1e300, "tiny": 5e-324,
        "third": 1 / 3, "zero": -0.0, "int": 3,
    }.items():  # fmt: skip
        client.log_metric(run_id, key, value)
    client.log_metric(run_id, "far", 2.5, step=2**53 + 1)
    client.log_batch(run_id, metrics=[Metric("batch nan", math.nan, 1, 0), Metric("batch inf", math.inf, 1, 0)])
    got = client.get_run(run_id).data.metrics
    assert math.isnan(got["nan"])
    assert math.isnan(got["batch nan"])
    # Databases hold no infinity: MLflow stores the largest double instead.
    largest = 1.7976931348623157e308
    assert (got["inf"], got["ninf"], got["batch inf"]) == (largest, -largest, largest)
    assert (got["huge"], got["tiny"], got["third"], got["int"], got["zero"]) == (1e300, 5e-324, 1 / 3, 3.0, 0.0)
    assert client.get_metric_history(run_id, "far")[0].step == 2**53 + 1
    client.log_metric(run_id, "mixed", 1.0, step=0)
    client.log_metric(run_id, "mixed", math.nan, step=1)
    client.log_metric(run_id, "mixed", 2.0, step=2)
    values = [m.value for m in client.get_metric_history(run_id, "mixed")]
    assert [v for v in values if v == v] == [1.0, 2.0]
    assert sum(1 for v in values if math.isnan(v)) == 1


def test_long_values(mlflow, client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    client.log_param(run_id, "p" * 250, "v" * 6000)
    client.log_param(run_id, "cut", "v" * 6001)
    client.log_batch(run_id, params=[Param("cut in batch", "é" * 7000)], tags=[RunTag("tag in batch", "t" * 8001)])
    client.set_tag(run_id, "t" * 250, "v" * 9000)
    data = client.get_run(run_id).data
    assert data.params["p" * 250] == "v" * 6000
    assert data.params["cut"] == "v" * 6000
    assert data.params["cut in batch"] == "é" * 6000
    assert data.tags["t" * 250] == "v" * 8000
    assert data.tags["tag in batch"] == "t" * 8000
    for write in (
        lambda: client.log_param(run_id, "p" * 251, 1),
        lambda: client.set_tag(run_id, "p" * 251, 1),
        lambda: client.log_metric(run_id, "p" * 251, 1),
    ):
        with pytest.raises(MlflowException, match="exceeds the maximum length of 250 characters") as caught:
            write()
        assert error_code(caught) == "INVALID_PARAMETER_VALUE"


def test_params_never_change(client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    client.log_param(run_id, "depth", 2)
    client.log_param(run_id, "depth", "2")
    with pytest.raises(MlflowException, match="Changing param values is not allowed") as caught:
        client.log_param(run_id, "depth", 3)
    assert error_code(caught) == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_batch(
            run_id, metrics=[Metric("m", 1, 1, 1)], params=[Param("new", "1"), Param("depth", "4")],
            tags=[RunTag("t", "1")],
        )  # fmt: skip
    data = client.get_run(run_id).data
    # What stood before the refused param is whole; the params of the batch are not half written.
    assert data.params == {"depth": "2"}


def test_tags(client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    client.set_tag(run_id, "colour", "blue")
    client.set_tag(run_id, "colour", "red")
    assert client.get_run(run_id).data.tags["colour"] == "red"
    client.delete_tag(run_id, "colour")
    assert "colour" not in client.get_run(run_id).data.tags
    with pytest.raises(MlflowException, match="No tag with name: colour") as caught:
        client.delete_tag(run_id, "colour")
    assert error_code(caught) == "RESOURCE_DOES_NOT_EXIST"


def test_log_batch(client, experiment_id):
    run_id = client.create_run(experiment_id).info.run_id
    now = int(time.time() * 1000)
    metrics = [Metric(f"m{i % 10}", i / 10, now + i, i) for i in range(1000)]
    client.log_batch(run_id, metrics=metrics)
    client.log_batch(
        run_id,
        metrics=[Metric("m0", 5000.0, now, 5000), Metric("m0", 5001.0, now, 5000), Metric("m0", -1.0, now, -1)],
        params=[Param(f"p{i}", str(i)) for i in range(100)],
        tags=[RunTag(f"t{i}", str(i)) for i in range(100)],
    )
    data = client.get_run(run_id).data
    assert data.metrics["m9"] == 99.9
    assert data.metrics["m0"] == 5001.0
    assert len(data.params) == 100
    assert len([t for t in data.tags if t.startswith("t")]) == 100
    assert len(client.get_metric_history(run_id, "m0")) == 103
    client.log_batch(run_id)
    # A retried batch leaves no second copy.
    client.log_batch(run_id, metrics=metrics[:100])
    assert len(client.get_metric_history(run_id, "m1")) == 100


@pytest.mark.parametrize(
    ("kind", "entities", "message"),
    [
        ("metrics", [Metric("m", 1, 1, i) for i in range(1001)], "1000"),
        ("params", [Param(f"p{i}", "1") for i in range(101)], "100"),
        ("tags", [RunTag(f"t{i}", "1") for i in range(101)], "100"),
        ("params", [Param("same", "1"), Param("same", "2")], "Duplicate parameter keys"),
    ],
)
def test_log_batch_limits(server, experiment_id, client, kind, entities, message):
    """Without the client's own splitting and checks: the server's."""
    import requests

    run_id = client.create_run(experiment_id).info.run_id
    body = {"run_id": run_id, kind: [dict(e) for e in entities]}
    answer = requests.post(f"{server.url}/api/2.0/mlflow/runs/log-batch", json=body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert message in answer.json()["message"]
    data = client.get_run(run_id).data
    assert (data.metrics, data.params) == ({}, {})


def test_client_splits_large_batches(mlflow, client):
    with mlflow.start_run() as run:
        mlflow.log_metrics({f"m{i}": i for i in range(2500)})
        mlflow.log_params({f"p{i}": i for i in range(350)})
        mlflow.set_tags({f"t{i}": i for i in range(250)})
    data = client.get_run(run.info.run_id).data
    assert (len(data.metrics), len(data.params)) == (2500, 350)
    assert len([t for t in data.tags if not t.startswith("mlflow.")]) == 250


def test_async_logging(mlflow, client):
    mlflow.config.enable_async_logging()
    try:
        with mlflow.start_run() as run:
            futures = [mlflow.log_metric("loss", i / 100, step=i, synchronous=False) for i in range(300)]
            mlflow.log_params({f"p{i}": i for i in range(50)}, synchronous=False)
            mlflow.set_tags({"done": "yes"}, synchronous=False)
            for future in futures:
                future.wait()
            mlflow.flush_async_logging()
    finally:
        mlflow.config.enable_async_logging(False)
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 300
    data = client.get_run(run.info.run_id).data
    assert data.metrics["loss"] == 2.99
    assert len(data.params) == 50
    assert data.tags["done"] == "yes"


# --- search -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sweep(client, experiment_id):
    """Twelve runs: their metric, param and tag follow their number; every fourth has NaN, the last has none."""
    ids = []
    for i in range(12):
        run = client.create_run(experiment_id, start_time=1000 + i, run_name=f"run {i:02}", tags={"parity": "eo"[i % 2]})
        ids.append(run.info.run_id)
        if i < 11:
            client.log_metric(run.info.run_id, "acc", math.nan if i % 4 == 3 else i / 10)
        client.log_param(run.info.run_id, "depth", i % 3)
        if i % 2:
            client.set_terminated(run.info.run_id)
    return ids


@pytest.mark.parametrize(
    ("filter_string", "expected"),
    [
        ("metrics.acc > 0.5", [6, 8, 9, 10]),
        ("metrics.acc <= 0.1", [0, 1]),
        ("metrics.acc != 0.2", [0, 1, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("metrics.`acc` = 0.8 AND params.depth = '2'", [8]),
        ('params."depth" != "0"', [1, 2, 4, 5, 7, 8, 10, 11]),
        ("params.depth != '0' AND tags.parity = 'e'", [2, 4, 8, 10]),
        ("params.depth LIKE '1%'", [1, 4, 7, 10]),
        ("tags.parity ILIKE 'O'", [1, 3, 5, 7, 9, 11]),
        ("tags.parity LIKE 'O'", []),
        ("attributes.status = 'FINISHED' and metrics.acc > 0", [1, 5, 9]),
        ("attributes.run_name LIKE 'run 0_'", list(range(10))),
        ("run_name = 'run 07'", [7]),
        ("attributes.start_time >= 1010", [10, 11]),
        ("start_time < 1001", [0]),
        ("tags.none IS NULL AND start_time < 1002", [0, 1]),
        ("params.depth IS NOT NULL AND start_time > 1009", [10, 11]),
        ("tags.mlflow.runName = 'run 03'", [3]),
    ],
)
def test_search_filters(client, experiment_id, sweep, filter_string, expected):
    found = client.search_runs([experiment_id], filter_string, order_by=["start_time ASC"])
    assert [sweep.index(run.info.run_id) for run in found] == expected


def test_search_by_run_id(client, experiment_id, sweep):
    wanted = sweep[2:4]
    quoted = ", ".join(f"'{run}'" for run in wanted)
    found = client.search_runs([experiment_id], f"attributes.run_id IN ({quoted})", order_by=["start_time"])
    assert [run.info.run_id for run in found] == wanted
    found = client.search_runs([experiment_id], f"run_id NOT IN ({quoted})")
    assert len(found) == 10


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (None, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (["metrics.acc DESC", "start_time ASC"], [10, 9, 8, 6, 5, 4, 2, 1, 0, 3, 7, 11]),
        (["metrics.acc ASC", "start_time ASC"], [0, 1, 2, 4, 5, 6, 8, 9, 10, 3, 7, 11]),
        (["params.depth DESC", "start_time DESC"], [11, 8, 5, 2, 10, 7, 4, 1, 9, 6, 3, 0]),
        (["tags.parity", "attributes.start_time DESC"], [10, 8, 6, 4, 2, 0, 11, 9, 7, 5, 3, 1]),
        (["run_name DESC"], [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_search_orders(client, experiment_id, sweep, order_by, expected):
    found = client.search_runs([experiment_id], order_by=order_by)
    assert [sweep.index(run.info.run_id) for run in found] == expected
    pages, token = [], None
    while True:
        page = client.search_runs([experiment_id], order_by=order_by, max_results=5, page_token=token)
        pages += [sweep.index(run.info.run_id) for run in page]
        token = page.token
        if not token:
            break
    assert pages == expected


def test_search_runs_into_pandas(mlflow, experiment_id, sweep):
    frame = mlflow.search_runs([experiment_id], order_by=["start_time"])
    assert list(frame["run_id"]) == sweep
    assert {"status", "artifact_uri", "start_time", "end_time", "metrics.acc", "params.depth", "tags.parity"} <= set(
        frame.columns
    )
    assert frame["metrics.acc"].isna().sum() == 3
    assert frame["start_time"].iloc[1] == pd.Timestamp(1001, unit="ms", tz="UTC")
    named = mlflow.search_runs(experiment_names=[mlflow.get_experiment(experiment_id).name], max_results=3)
    assert len(named) == 3
    assert mlflow.search_runs([experiment_id], "metrics.acc > 100").empty


def test_search_over_experiments(mlflow, client):
    ids = [client.create_experiment(f"across {i}") for i in range(3)]
    for i, experiment in enumerate(ids):
        client.create_run(experiment, start_time=i + 1)
    assert [r.info.experiment_id for r in client.search_runs(ids)] == ids[::-1]
    assert len(client.search_runs(ids[:2])) == 2
    assert len(mlflow.search_runs(search_all_experiments=True, filter_string="start_time < 4")) >= 3


@pytest.mark.parametrize(
    "filter_string",
    ["metrics.acc >", "foo.bar = 1", "metrics.acc LIKE 'x'", "params.p = 3", "metrics.acc > 1 OR params.p = '1'", "acc"],
)
def test_bad_filters(client, experiment_id, filter_string):
    with pytest.raises(MlflowException) as caught:
        client.search_runs([experiment_id], filter_string)
    assert error_code(caught) == "INVALID_PARAMETER_VALUE"


def test_bad_page_token(client, experiment_id):
    with pytest.raises(MlflowException, match="Invalid page token") as caught:
        client.search_runs([experiment_id], page_token="no token!")
    assert error_code(caught) == "INVALID_PARAMETER_VALUE"


# --- datasets ---------------------------------------------------------------------------------------------------


def test_log_input(mlflow, client, experiment_id):
    frame = pd.DataFrame({"x": [1, 2, 3], "y": ["a", "b", "c"]})
    train = mlflow.data.from_pandas(frame, source="https://example.com/train.csv", name="train", targets="y")
    with mlflow.start_run() as run:
        mlflow.log_input(train, context="training", tags={"split": "1"})
        mlflow.log_input(train, context="training")
    with mlflow.start_run() as other:
        mlflow.log_input(train, context="testing")
    inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert len(inputs) == 1
    dataset = inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("train", train.digest)
    assert json.loads(dataset.source) == {"url": "https://example.com/train.csv"}
    assert json.loads(dataset.profile) == {"num_rows": 3, "num_elements": 6}
    assert {tag.key: tag.value for tag in inputs[0].tags} == {"mlflow.data.context": "training", "split": "1"}
    loaded = mlflow.data.get_source(inputs[0])
    assert loaded.url == "https://example.com/train.csv"
    for filter_string, expected in {
        "dataset.name = 'train'": {run.info.run_id, other.info.run_id},
        "dataset.context = 'testing'": {other.info.run_id},
        f"dataset.digest = '{train.digest}' AND dataset.context = 'training'": {run.info.run_id},
        "datasets.name LIKE 'val%'": set(),
    }.items():
        found = client.search_runs([experiment_id], filter_string)
        assert {r.info.run_id for r in found} == expected, filter_string


# --- artifacts --------------------------------------------------------------------------------------------------


def test_artifacts(mlflow, client, tmp_path):
    folder = tmp_path / "local"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha")
    (folder / "deep/er/b ünï +1.bin").write_bytes(bytes(range(256)))
    with mlflow.start_run() as run:
        mlflow.log_artifact(folder / "a.txt")
        mlflow.log_artifact(folder / "a.txt", "sub/folder")
        mlflow.log_artifacts(folder, "tree")
        mlflow.log_text("text\n", "notes.md")
        mlflow.log_dict({"k": [1, 2]}, "d.json")
        mlflow.log_dict({"k": [1, 2]}, "d.yaml")
        mlflow.log_table({"q": ["?"], "a": ["!"]}, "table.json")
    run_id = run.info.run_id

    def listing(path=None):
        return [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id, path)]

    names = ["a.txt", "d.json", "d.yaml", "notes.md", "sub", "table.json", "tree"]
    assert [path for path, _, _ in listing()] == names
    assert ("a.txt", False, 5) in listing()
    assert ("sub", True, None) in listing()
    assert listing("tree/deep/er") == [("tree/deep/er/b ünï +1.bin", False, 256)]
    assert listing("a.txt") == []
    assert listing("no/such") == []

    got = client.download_artifacts(run_id, "tree/deep/er/b ünï +1.bin")
    with open(got, "rb") as file:
        assert file.read() == bytes(range(256))
    whole = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="", dst_path=str(tmp_path / "down"))
    assert (tmp_path / "down/sub/folder/a.txt").read_text() == "alpha"
    assert whole
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/d.json") == {"k": [1, 2]}
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes.md") == "text\n"
    assert mlflow.load_table("table.json", run_ids=[run_id]).to_dict("list") == {"q": ["?"], "a": ["!"]}
    with pytest.raises(Exception, match="No such artifact|Failed to download artifacts"):
        client.download_artifacts(run_id, "missing.txt", str(tmp_path))


def test_figures_and_images(mlflow, client):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    with mlflow.start_run() as run:
        mlflow.log_figure(figure, "plots/line.png")
        mlflow.log_image(np.zeros((4, 4, 3), dtype="uint8"), "black.png")
        mlflow.log_image(np.ones((4, 4, 3), dtype="uint8"), key="sample", step=3)
    plt.close(figure)
    run_id = run.info.run_id
    with open(client.download_artifacts(run_id, "plots/line.png"), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert len(client.list_artifacts(run_id, "images")) == 2
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"


def test_large_artifact_round_trip(mlflow, client, tmp_path):
    import hashlib
    import os

    block = os.urandom(1 << 20)
    path = tmp_path / "large.bin"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for i in range(48):
            part = block[i:] + block[:i]
            digest.update(part)
            file.write(part)
    with mlflow.start_run() as run:
        mlflow.log_artifact(path)
    got = client.download_artifacts(run.info.run_id, "large.bin", str(tmp_path.parent))
    with open(got, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.hexdigest()


# --- order ------------------------------------------------------------------------------------------------------


def test_lists_come_in_the_order_of_logging(client, experiment_id, backend):
    if backend == "postgres":
        pytest.skip("the table's order, which is nobody's promise")
    first, second = ["zeta", "alpha", "mid"], ["omega", "beta", "alpha"]
    run_id = client.create_run(experiment_id, tags=dict.fromkeys(first, "v"), run_name="n").info.run_id
    for keys in (first, second):
        client.log_batch(
            run_id, [Metric(key, 1, 1, 0) for key in keys], [Param(key, "1") for key in keys], [RunTag(key, "w") for key in keys]
        )
    want = ["zeta", "alpha", "mid", "omega", "beta"]
    for run in (client.get_run(run_id), client.search_runs([experiment_id])[0]):
        assert (list(run.data.metrics), list(run.data.params)) == (want, want)
        assert [key for key in run.data.tags if not key.startswith("mlflow.")] == want
    name = f"ordered-{run_id}"
    model = client.create_registered_model(name, tags=dict.fromkeys(first, "v"))
    version = client.create_model_version(name, "s3://bucket/x", tags=dict.fromkeys(first, "v"))
    client.set_registered_model_tag(name, "beta", "v")
    client.set_model_version_tag(name, version.version, "beta", "v")
    assert (list(model.tags), list(version.tags)) == (first, first)
    (found,) = client.search_registered_models(f"name = '{name}'")
    (found_version,) = client.search_model_versions(f"name = '{name}'")
    for tags in (client.get_registered_model(name).tags, found.tags, found_version.tags):
        assert list(tags) == [*first, "beta"]
