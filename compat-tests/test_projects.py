"""`mlflow run` of a small local project."""

from __future__ import annotations

import os
import subprocess
import sys

_PROJECT = """\
name: small
entry_points:
  main:
    parameters:
      rate: {type: float, default: 0.5}
      epochs: {type: int, default: 3}
    command: "python train.py --rate {rate} --epochs {epochs}"
"""
_TRAIN = """\
import argparse
import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--epochs", type=int)
args = parser.parse_args()
with mlflow.start_run():
    for epoch in range(args.epochs):
        mlflow.log_metric("loss", args.rate / (epoch + 1), step=epoch)
    mlflow.log_text("done", "result.txt")
"""


def _project(folder):
    folder.mkdir()
    (folder / "MLproject").write_text(_PROJECT)
    (folder / "train.py").write_text(_TRAIN)
    return folder


def test_mlflow_run_by_command(server, mlflow, client, experiment_id, tmp_path):
    project = _project(tmp_path / "project")
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": server.url,
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
    }
    command = [
        sys.executable, "-m", "mlflow", "run", str(project), "--env-manager", "local",
        "--experiment-id", experiment_id, "-P", "rate=0.25", "-P", "epochs=4", "--run-name", "by command",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = client.search_runs([experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "by command"
    assert run.data.params == {"rate": "0.25", "epochs": "4"}
    assert run.data.metrics == {"loss": 0.0625}
    assert run.data.tags["mlflow.source.type"] == "PROJECT"
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["result.txt"]


def test_mlflow_run_by_function(mlflow, client, experiment_id, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    project = _project(tmp_path / "project")
    submitted = mlflow.projects.run(
        str(project), env_manager="local", experiment_id=experiment_id, parameters={"epochs": 1}, synchronous=True
    )
    run = client.get_run(submitted.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rate": "0.5", "epochs": "1"}
