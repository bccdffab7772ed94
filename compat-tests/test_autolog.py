"""Autologging of real trainings: scikit-learn with cross-validation, LightGBM."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def data():
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True, as_frame=True)


def test_sklearn_grid_search(mlflow, client, experiment_id, data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    features, labels = data
    mlflow.sklearn.autolog(max_tuning_runs=None)
    try:
        with mlflow.start_run(run_name="search") as parent:
            search = GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1.0, 10.0]}, cv=3)
            search.fit(features, labels)
            score = search.score(features, labels)
    finally:
        mlflow.sklearn.autolog(disable=True)

    run = client.get_run(parent.info.run_id)
    assert run.data.params["cv"] == "3"
    assert run.data.params["best_C"] == str(search.best_params_["C"])
    assert run.data.metrics["best_cv_score"] == pytest.approx(search.best_score_)
    assert run.data.metrics["training_accuracy_score"] > 0.9
    assert score in run.data.metrics.values()
    assert run.data.tags["estimator_name"] == "GridSearchCV"
    names = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert {"cv_results.csv", "estimator.html", "training_confusion_matrix.png"} <= names
    children = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert {child.data.params["C"] for child in children} == {"0.1", "1.0", "10.0"}
    assert all("mean_test_score" in child.data.metrics for child in children)

    best = client.search_logged_models([experiment_id], filter_string="name = 'best_estimator'")
    assert len(best) == 1
    assert best[0].status == "READY"
    model = mlflow.sklearn.load_model(best[0].model_uri)
    assert np.array_equal(model.predict(features), search.best_estimator_.predict(features))
    # Scoring reads the same data again, and an input keeps the tags that it was first logged with.
    assert {tag.value for given in run.inputs.dataset_inputs for tag in given.tags} == {"train"}


def test_lightgbm_epochs(mlflow, client, experiment_id, data):
    import lightgbm

    features, labels = data
    mlflow.lightgbm.autolog()
    try:
        with mlflow.start_run() as run:
            train = lightgbm.Dataset(features[::2], labels[::2])
            lightgbm.train(
                {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1},
                train, num_boost_round=30, valid_sets=[train], valid_names=["train"],
            )  # fmt: skip
    finally:
        mlflow.lightgbm.autolog(disable=True)
    history = client.get_metric_history(run.info.run_id, "train-multi_logloss")
    assert [point.step for point in history] == list(range(30))
    assert history[-1].value < history[0].value
    data_ = client.get_run(run.info.run_id).data
    assert data_.params["num_boost_round"] == "30"
    assert data_.params["objective"] == "multiclass"
    names = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert "feature_importance_split.png" in names
    assert len(client.search_logged_models([experiment_id])) == 1
