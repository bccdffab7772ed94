"""What every old client must be able to do; run by test_old_clients.py inside that client's own environment.

Written for the oldest of them (1.30): nothing newer is called without asking. Prints a line of JSON at the end.
"""

import json
import math
import os
import sys
import tempfile

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

version = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
name = "old client " + mlflow.__version__
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()

experiment_id = client.create_experiment(name, tags={"made.by": mlflow.__version__})
experiment = client.get_experiment_by_name(name)
assert experiment.experiment_id == experiment_id and experiment.tags["made.by"] == mlflow.__version__
try:
    client.create_experiment(name)
    raise AssertionError("a second experiment of the same name")
except MlflowException as error:
    assert error.error_code == "RESOURCE_ALREADY_EXISTS", error.error_code
client.set_experiment_tag(experiment_id, "team", "risk")
assert any(e.name == name for e in client.search_experiments(filter_string="tags.team = 'risk'"))

mlflow.set_experiment(name)
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({"depth": 3, "rate": 0.1})
    mlflow.log_param("unicode", "na\u00efve \u2603")
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("odd", math.nan)
    mlflow.log_metrics({"a": 1, "b": 2}, step=3)
    mlflow.set_tags({"colour": "blue"})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file.txt")
        with open(path, "w") as file:
            file.write("content")
        mlflow.log_artifact(path)
        mlflow.log_artifacts(folder, "sub/folder")
    mlflow.log_dict({"k": 1}, "d.json")
    with mlflow.start_run(run_name="child", nested=True) as child:
        mlflow.log_metric("loss", 9)

run = client.get_run(parent.info.run_id)
assert run.info.status == "FINISHED" and run.info.run_name == "parent", run.info
assert run.data.params == {"depth": "3", "rate": "0.1", "unicode": "na\u00efve \u2603"}, run.data.params
assert math.isnan(run.data.metrics.pop("odd"))
assert run.data.metrics == {"loss": 0.2, "a": 1.0, "b": 2.0}, run.data.metrics
assert [m.step for m in client.get_metric_history(parent.info.run_id, "loss")] == [0, 1, 2, 3, 4]
client.log_batch(
    parent.info.run_id,
    metrics=[Metric("batch", float(i), 1000 + i, i) for i in range(500)],
    params=[Param("batched", "yes")],
    tags=[RunTag("batched", "yes")],
)
assert len(client.get_metric_history(parent.info.run_id, "batch")) == 500
try:
    client.log_param(parent.info.run_id, "depth", 4)
    raise AssertionError("a param was changed")
except MlflowException as error:
    assert error.error_code == "INVALID_PARAMETER_VALUE", error.error_code

found = client.search_runs([experiment_id], "metrics.loss < 1 and params.depth = '3'", order_by=["metrics.loss DESC"])
assert [r.info.run_id for r in found] == [parent.info.run_id]
found = client.search_runs([experiment_id], "tags.mlflow.parentRunId = '%s'" % parent.info.run_id)
assert [r.info.run_id for r in found] == [child.info.run_id]
frame = mlflow.search_runs([experiment_id])
assert len(frame) == 2 and "metrics.loss" in frame.columns

assert sorted(f.path for f in client.list_artifacts(parent.info.run_id)) == ["d.json", "file.txt", "sub"]
with tempfile.TemporaryDirectory() as folder:
    with open(client.download_artifacts(parent.info.run_id, "sub/folder/file.txt", folder)) as file:
        assert file.read() == "content"

client.set_tag(child.info.run_id, "gone", "soon")
client.delete_tag(child.info.run_id, "gone")
client.delete_run(child.info.run_id)
assert len(client.search_runs([experiment_id])) == 1
assert len(client.search_runs([experiment_id], run_view_type=ViewType.DELETED_ONLY)) == 1
client.restore_run(child.info.run_id)
try:
    client.get_run("0" * 32)
    raise AssertionError("a run that is not there")
except MlflowException as error:
    assert error.error_code == "RESOURCE_DOES_NOT_EXIST", error.error_code

# The registry: 1.x asks for preview routes that MLflow no longer has. Aliases came with 2.3.
if version >= (2, 0):
    model_name = "model of " + mlflow.__version__
    client.create_registered_model(model_name, tags={"team": "risk"}, description="first")
    source = parent.info.artifact_uri + "/sub"
    for number in ("1", "2"):
        made = client.create_model_version(model_name, source, parent.info.run_id, tags={"n": number}, await_creation_for=0)
        assert made.version == number or made.version == int(number), made
    client.transition_model_version_stage(model_name, "1", "Production")
    client.transition_model_version_stage(model_name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(model_name, "1").current_stage == "Archived"
    assert [str(v.version) for v in client.get_latest_versions(model_name, ["Production"])] == ["2"]
    assert client.get_model_version_download_uri(model_name, "2") == source
    client.update_registered_model(model_name, "second")
    client.set_model_version_tag(model_name, "2", "colour", "red")
    found = client.search_model_versions("name = '%s'" % model_name)
    assert sorted(str(v.version) for v in found) == ["1", "2"], found
    assert {str(v.version): v.tags for v in found}["2"] == {"n": "2", "colour": "red"}, found
    if version >= (2, 3):
        client.set_registered_model_alias(model_name, "best", "2")
        assert str(client.get_model_version_by_alias(model_name, "best").version) == "2"
    client.rename_registered_model(model_name, model_name + " renamed")
    models = client.search_registered_models(filter_string="name LIKE 'model of %s%%'" % mlflow.__version__)
    assert [(m.name, m.description) for m in models] == [(model_name + " renamed", "second")], models
    client.delete_model_version(model_name + " renamed", "1")
    client.delete_registered_model(model_name + " renamed")
    try:
        client.get_registered_model(model_name)
        raise AssertionError("a model that is not there")
    except MlflowException as error:
        assert error.error_code == "RESOURCE_DOES_NOT_EXIST", error.error_code

inputs = outputs = 0
if version >= (2, 4):
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name="train", digest="abc", source_type="code", source="{}")
    client.log_inputs(parent.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    inputs = len(client.get_run(parent.info.run_id).inputs.dataset_inputs)
    assert inputs == 1
if version >= (3, 0):
    model = client.create_logged_model(experiment_id, name="m", source_run_id=parent.info.run_id)
    client.finalize_logged_model(model.model_id, "READY")
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(parent.info.run_id, [LoggedModelOutput(model.model_id, 0)])
    outputs = len(client.get_run(parent.info.run_id).outputs.model_outputs)
    assert outputs == 1
    assert [m.model_id for m in client.search_logged_models([experiment_id])] == [model.model_id]

client.delete_experiment(experiment_id)
assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
client.restore_experiment(experiment_id)
print(json.dumps({"version": mlflow.__version__, "inputs": inputs, "outputs": outputs}))
