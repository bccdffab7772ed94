"""Logging and loading models, and the logged-models API through the client."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException


@pytest.fixture(scope="module")
def fitted():
    from sklearn.linear_model import LinearRegression

    features = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1]})
    return LinearRegression().fit(features, features["a"] * 2 + 1), features


def test_log_and_load_sklearn_model(mlflow, client, experiment_id, fitted):
    model, features = fitted
    with mlflow.start_run() as run:
        mlflow.log_metric("before", 0.5)
        info = mlflow.sklearn.log_model(
            model, name="linear", input_example=features.head(2), params={"alpha": 1}, pip_requirements=["scikit-learn"]
        )
    assert np.allclose(mlflow.sklearn.load_model(info.model_uri).predict(features), model.predict(features))
    assert np.allclose(mlflow.pyfunc.load_model(f"models:/{info.model_id}").predict(features), model.predict(features))
    by_run = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/linear")
    assert np.allclose(by_run.predict(features), model.predict(features))

    logged = client.get_logged_model(info.model_id)
    assert (logged.name, logged.source_run_id, logged.experiment_id) == ("linear", run.info.run_id, experiment_id)
    assert logged.status == LoggedModelStatus.READY
    assert logged.params["alpha"] == "1"
    assert logged.artifact_location == f"mlflow-artifacts:/{experiment_id}/models/{info.model_id}/artifacts"
    # Metrics logged to the run before the model are copied to it.
    assert [(m.key, m.value) for m in logged.metrics] == [("before", 0.5)]
    outputs = client.get_run(run.info.run_id).outputs.model_outputs
    assert [(o.model_id, o.step) for o in outputs] == [(info.model_id, 0)]
    names = {f.path for f in client.list_logged_model_artifacts(info.model_id)}
    assert {"MLmodel", "requirements.txt", "conda.yaml"} <= names
    assert len(client.list_artifacts(run.info.run_id, "linear")) >= len(names)


def test_log_python_model(mlflow):
    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [2 * x for x in model_input]

    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="doubler", python_model=Doubler(), pip_requirements=[])
    assert mlflow.pyfunc.load_model(info.model_uri).predict([1, 2]) == [2, 4]


def test_external_model_life(mlflow, client, experiment_id):
    model = mlflow.create_external_model(name="outside", model_type="api", params={"p": "1"}, tags={"colour": "red"})
    assert model.status == LoggedModelStatus.READY
    client.set_logged_model_tags(model.model_id, {"colour": "blue", "naïve": "☃"})
    client.delete_logged_model_tag(model.model_id, "colour")
    client.log_model_params(model.model_id, {"later": "2"})
    got = client.get_logged_model(model.model_id)
    assert {k: v for k, v in got.tags.items() if not k.startswith("mlflow.")} == {"naïve": "☃"}
    assert got.params == {"p": "1", "later": "2"}
    assert got.last_updated_timestamp >= got.creation_timestamp

    pending = client.create_logged_model(experiment_id, name="pending")
    assert pending.status == LoggedModelStatus.PENDING
    failed = client.finalize_logged_model(pending.model_id, LoggedModelStatus.FAILED)
    assert failed.status == LoggedModelStatus.FAILED
    unnamed = client.create_logged_model(experiment_id)
    assert unnamed.name
    client.delete_logged_model(pending.model_id)
    with pytest.raises(MlflowException, match="not found") as caught:
        client.get_logged_model(pending.model_id)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert {m.name for m in client.search_logged_models([experiment_id])} == {"outside", unnamed.name}
    with pytest.raises(MlflowException, match="No tag with key|not found|does not exist"):
        client.delete_logged_model_tag(model.model_id, "colour")


def test_search_logged_models(mlflow, client, experiment_id):
    train = mlflow.data.from_pandas(pd.DataFrame({"x": [1]}), name="train")
    run_id = client.create_run(experiment_id).info.run_id
    ids = []
    for i in range(6):
        model = client.create_logged_model(
            experiment_id, name=f"model {i}", source_run_id=run_id, params={"depth": str(i)}, tags={"parity": "eo"[i % 2]}
        )
        ids.append(model.model_id)
        metric = Metric("acc", i / 10, int(time.time() * 1000), 0, model.model_id, train.name, train.digest)
        client.log_batch(run_id, metrics=[metric] if i < 5 else [])
        time.sleep(0.002)

    def search(filter_string=None, **more):
        return [ids.index(m.model_id) for m in client.search_logged_models([experiment_id], filter_string, **more)]

    assert search() == [5, 4, 3, 2, 1, 0]
    assert search("metrics.acc >= 0.3") == [4, 3]
    assert search("params.depth = '2' AND tags.parity = 'e'") == [2]
    assert search("name LIKE 'model %' AND tags.parity = 'o'") == [5, 3, 1]
    assert search(order_by=[{"field_name": "metrics.acc", "ascending": False}]) == [4, 3, 2, 1, 0, 5]
    assert search(order_by=[{"field_name": "name", "ascending": True}], max_results=2) == [0, 1]
    assert search("metrics.acc > 0.2", datasets=[{"dataset_name": "train", "dataset_digest": train.digest}]) == [4, 3]
    assert search("metrics.acc > 0.2", datasets=[{"dataset_name": "other"}]) == []
    pages, token = [], None
    while True:
        page = client.search_logged_models([experiment_id], max_results=4, page_token=token)
        pages.append([ids.index(m.model_id) for m in page])
        token = page.token
        if not token:
            break
    assert pages == [[5, 4, 3, 2], [1, 0]]
    frame = mlflow.search_logged_models([experiment_id], "metrics.acc > 0.3")
    assert list(frame["name"]) == ["model 4"]


def test_models_of_runs(mlflow, client, experiment_id):
    model = client.create_logged_model(experiment_id, name="linked")
    maker, reader = (client.create_run(experiment_id).info.run_id for _ in range(2))
    client.log_outputs(maker, [LoggedModelOutput(model.model_id, step=3)])
    client.log_inputs(reader, models=[LoggedModelInput(model.model_id)])
    assert [(o.model_id, o.step) for o in client.get_run(maker).outputs.model_outputs] == [(model.model_id, 3)]
    assert [i.model_id for i in client.get_run(reader).inputs.model_inputs] == [model.model_id]
    found = {run.info.run_id: run for run in client.search_runs([experiment_id])}
    assert found[maker].outputs.model_outputs[0].model_id == model.model_id


def test_metrics_of_an_active_model(mlflow, client):
    model = mlflow.create_external_model(name="watched")
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5, step=1, model_id=model.model_id)
        mlflow.log_metrics({"acc": 0.9}, step=2, model_id=model.model_id)
    got = client.get_logged_model(model.model_id)
    assert {(m.key, m.value, m.step, m.run_id) for m in got.metrics} == {
        ("loss", 0.5, 1, run.info.run_id), ("acc", 0.9, 2, run.info.run_id),
    }  # fmt: skip
