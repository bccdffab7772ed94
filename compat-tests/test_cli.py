"""The `mlflow` command line against the server."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys

import pytest


@pytest.fixture
def command(server):
    """Runs `mlflow ...` and returns what it printed."""

    def run(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", *args],
            env=os.environ | {"MLFLOW_TRACKING_URI": server.url}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_experiments_commands(command, client):
    created = command("experiments", "create", "--experiment-name", "made by command")
    experiment_id = re.search(r"with id (\d+)", created)[1]
    rows = list(csv.reader(io.StringIO(command("experiments", "search", "--view", "all"))))
    assert any("made by command" in line for row in rows for line in row)
    command("experiments", "rename", "--experiment-id", experiment_id, "--new-name", "renamed by command")
    assert client.get_experiment(experiment_id).name == "renamed by command"
    command("experiments", "delete", "--experiment-id", experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    command("experiments", "restore", "--experiment-id", experiment_id)
    run = client.create_run(experiment_id)
    client.log_metric(run.info.run_id, "m", 0.5)
    exported = command("experiments", "csv", "--experiment-id", experiment_id)
    (row,) = csv.DictReader(io.StringIO(exported))
    assert row["run_id"] == run.info.run_id
    assert float(row["metrics.m"]) == 0.5


def test_runs_and_artifacts_commands(command, client, experiment_id, tmp_path):
    run_id = client.create_run(experiment_id, run_name="commanded").info.run_id
    client.log_param(run_id, "p", "v")
    assert run_id in command("runs", "list", "--experiment-id", experiment_id)
    described = json.loads(command("runs", "describe", "--run-id", run_id))
    assert described["data"]["params"] == {"p": "v"}
    command("runs", "delete", "--run-id", run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    command("runs", "restore", "--run-id", run_id)

    file = tmp_path / "local.txt"
    file.write_text("content")
    command("artifacts", "log-artifact", "--local-file", str(file), "--run-id", run_id, "--artifact-path", "sub")
    assert json.loads(command("artifacts", "list", "--run-id", run_id)) == [{"path": "sub", "is_dir": True}]
    assert json.loads(command("artifacts", "list", "--run-id", run_id, "--artifact-path", "sub")) == [
        {"path": "sub/local.txt", "is_dir": False, "file_size": 7}
    ]
    got = command("artifacts", "download", "--run-id", run_id, "--artifact-path", "sub", "--dst-path", str(tmp_path / "down"))
    assert got
    assert (tmp_path / "down/sub/local.txt").read_text() == "content"
