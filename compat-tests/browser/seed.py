"""Fills a tracking server with what the pages under test show, through the real MLflow client."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric
from sklearn.tree import DecisionTreeClassifier

START = 1_750_000_000_000
SWEEP, PRICES = "iris-sweep", "house-prices"


def seed(url: str) -> dict[str, object]:
    """Writes experiments with runs and models, a registry, prompts and a webhook, and returns the ids that the steps visit."""
    mlflow.set_tracking_uri(url)
    client = MlflowClient()
    sweep = client.create_experiment(SWEEP, tags={"team": "flowers"})
    client.set_experiment_tag(sweep, "mlflow.note.content", "Which *tree* knows its irises?")
    prices = client.create_experiment(PRICES, tags={"team": "estates"})
    mlflow.set_experiment(SWEEP)
    trees = [_tree(client, number) for number in range(1, 5)]
    parent = _nested()
    odd = _odd_values()
    _datasets(trees[0])
    _files(trees[0])
    _old_model(trees[3])
    model = _model(trees[0])
    _statuses(client, prices)
    _registry(client, trees, model)
    _prompts(client)
    client.create_webhook("notify", "https://93.184.216.34/hook", ["prompt.created"], status="DISABLED")
    return {"sweep": sweep, "prices": prices, "trees": trees, "parent": parent, "odd": odd, "model": model}


def _tree(client: MlflowClient, number: int) -> str:
    with mlflow.start_run(run_name=f"tree-{number}", description=f"Notes on tree {number}") as run:
        mlflow.log_params({"depth": number, "criterion": "gini" if number % 2 else "entropy"})
        mlflow.set_tag("stage", "train")
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("loss", number / (step + 1), START + step * 1000, step) for step in range(12)]
            + [Metric("system/cpu_utilization_percentage", 30.0 + step, START + step * 1000, step) for step in range(5)],
        )
        mlflow.log_metric("accuracy", 0.9 + number / 100)
    return run.info.run_id


def _nested() -> str:
    with mlflow.start_run(run_name="folds") as parent:
        for fold in (1, 2):
            with mlflow.start_run(run_name=f"fold-{fold}", nested=True):
                mlflow.log_metric("accuracy", 0.8 + fold / 100)
    return parent.info.run_id


def _odd_values() -> str:
    with mlflow.start_run(run_name="odd-values") as run:
        for key, value in {"not_a_number": math.nan, "above": math.inf, "below": -math.inf}.items():
            mlflow.log_metric(key, value)
        for step, value in enumerate([1.0, math.nan, 2.0]):
            mlflow.log_metric("holes", value, step=step)
        mlflow.log_param("words", "žluťoučký – 木")
    return run.info.run_id


def _datasets(run_id: str) -> None:
    frame = pd.DataFrame({"petal": [1.4, 4.7], "sepal": [5.1, 7.0], "species": [0, 1]})
    with mlflow.start_run(run_id=run_id):
        mlflow.log_input(mlflow.data.from_pandas(frame, name="iris-train", targets="species"), context="training")


def _files(run_id: str) -> None:
    with mlflow.start_run(run_id=run_id), TemporaryDirectory() as folder:
        mlflow.log_text("first line of the log\nsecond line\n", "logs/train.txt")
        mlflow.log_text("# Model card\n\nGrown on *irises*.\n", "card.md")
        mlflow.log_text("<html><body><h1>A report in HTML</h1></body></html>", "report.html")
        mlflow.log_text("species,count\nsetosa,50\nvirginica,49\n", "counts.csv")
        mlflow.log_dict({"classes": ["setosa", "virginica"], "cutoff": 0.25}, "config.json")
        mlflow.log_dict({"grower": {"rows": 3}}, "config.yaml")
        mlflow.log_image(np.full((16, 24, 3), 160, dtype=np.uint8), "confusion.png")
        mlflow.log_image(np.full((16, 16, 3), 90, dtype=np.uint8), key="leaves", step=0, synchronous=True)
        mlflow.log_table({"question": ["Which iris?"], "answer": ["Iris setosa"]}, "answers.json")
        blob = Path(folder, "weights.bin")
        blob.write_bytes(bytes(range(256)))
        mlflow.log_artifact(str(blob), "odd näme")


def _model(run_id: str) -> str:
    frame = pd.DataFrame({"petal": [1.4, 4.7, 1.3], "sepal": [5.1, 7.0, 4.9]})
    tree = DecisionTreeClassifier(max_depth=2).fit(frame, [0, 1, 0])
    with mlflow.start_run(run_id=run_id):
        model = mlflow.sklearn.log_model(
            tree, name="iris-tree", params={"max_depth": "2"}, tags={"owner": "garden"}, input_example=frame,
            pip_requirements=["scikit-learn"], serialization_format="cloudpickle",
        )  # fmt: skip
        mlflow.log_metric("holdout", 0.75, model_id=model.model_id)
    mlflow.create_external_model(name="rented-tree", params={"price": "3"})
    return model.model_id


def _old_model(run_id: str) -> None:
    """Logs a model as clients before 3.0 do: files of the run, and a tag that names them."""
    with mlflow.start_run(run_id=run_id), TemporaryDirectory() as folder:
        mlflow.sklearn.save_model(DecisionTreeClassifier().fit([[0], [1]], [0, 1]), folder, serialization_format="cloudpickle")
        mlflow.log_artifacts(folder, "old-tree")
        description = {"run_id": run_id, "artifact_path": "old-tree", "utc_time_created": "2023-04-01 08:00:00.000000"}
        flavors = {"python_function": {"loader_module": "mlflow.sklearn"}}
        mlflow.set_tag("mlflow.log-model.history", json.dumps([{**description, "flavors": flavors}]))


def _registry(client: MlflowClient, trees: list[str], model: str) -> None:
    client.create_registered_model("garden", tags={"domain": "flowers"}, description="All *trees* of the garden")
    mlflow.register_model(f"models:/{model}", "garden")
    client.create_model_version(
        "garden", f"runs:/{trees[2]}/tree", trees[2], tags={"validated": "yes"}, description="Second of its kind"
    )
    client.set_registered_model_alias("garden", "champion", "2")
    client.create_registered_model("orchard")


def _prompts(client: MlflowClient) -> None:
    mlflow.genai.register_prompt("greeting", "Hello {{name}}!", commit_message="first words")
    mlflow.genai.register_prompt("greeting", "Good day, {{name}}.", commit_message="more polite", tags={"tone": "stiff"})
    client.set_prompt_alias("greeting", "production", 2)
    chat = [{"role": "system", "content": "You help {{who}}."}, {"role": "user", "content": "Where is {{what}}?"}]
    mlflow.genai.register_prompt("helper", chat)


def _statuses(client: MlflowClient, experiment: str) -> None:
    for name, status in {"flat-roof": "FINISHED", "collapsed": "FAILED", "torn-down": "KILLED"}.items():
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_metric(run, "rmse", len(name))
        client.set_terminated(run, status)
        if name == "torn-down":
            client.delete_run(run)
