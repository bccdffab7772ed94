"""A sweep as a data scientist writes it: nothing in it knows which server is behind MLFLOW_TRACKING_URI.

Twenty random forests and boosted trees on scikit-learn's digits, each cross-validated (one nested run per fold) and
trained in stages with metrics per epoch; each run keeps a confusion matrix as a picture, a report, and its model.
Prints the id of the experiment and the best run as JSON.
"""

from __future__ import annotations

import json
import time
from itertools import product

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import mlflow  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier  # noqa: E402
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, classification_report, log_loss  # noqa: E402
from sklearn.model_selection import StratifiedKFold, train_test_split  # noqa: E402

#: A new one each time, so that the sweep can be repeated.
EXPERIMENT = time.strftime("digits-sweep %Y-%m-%d %H:%M:%S")
FOREST = [("forest", {"max_depth": d, "max_features": f}) for d, f in product((3, 5, 8, 12, None), ("sqrt", 0.3))]
BOOSTED = [("boosted", {"max_depth": d, "learning_rate": r}) for d, r in product((1, 2), (0.05, 0.1, 0.2, 0.3, 0.5))]
EPOCHS = 8


def make(kind: str, params: dict, trees: int):
    """Returns an untrained classifier that can be trained in stages."""
    if kind == "forest":
        return RandomForestClassifier(n_estimators=trees, warm_start=True, random_state=0, **params)
    return GradientBoostingClassifier(n_estimators=trees, subsample=0.3, max_features=8, warm_start=True, random_state=0, **params)


def train(kind: str, params: dict, data, number: int) -> tuple[float, str]:
    """Trains and logs one run; returns its accuracy and id."""
    x, test_x, y, test_y = data
    with mlflow.start_run(run_name=f"{kind}-{number}") as run:
        mlflow.log_params({"kind": kind, **params})
        mlflow.set_tag("stage", "sweep")
        folds = StratifiedKFold(3, shuffle=True, random_state=number).split(x, y)
        scores = []
        for fold, (fit, held_out) in enumerate(folds):
            with mlflow.start_run(run_name=f"{kind}-{number}-fold-{fold}", nested=True):
                model = make(kind, params, 4).fit(x[fit], y[fit])
                scores.append(accuracy_score(y[held_out], model.predict(x[held_out])))
                mlflow.log_metric("accuracy", scores[-1])
        mlflow.log_metric("cv_accuracy", sum(scores) / len(scores))
        model = make(kind, params, 2)
        for epoch in range(EPOCHS):
            model.set_params(n_estimators=2 * (epoch + 1)).fit(x, y)
            probabilities = model.predict_proba(test_x)
            accuracy = accuracy_score(test_y, probabilities.argmax(axis=1))
            mlflow.log_metrics({"loss": log_loss(test_y, probabilities), "accuracy": accuracy}, step=epoch)
        figure, axes = plt.subplots(figsize=(5, 5))
        ConfusionMatrixDisplay.from_predictions(test_y, model.predict(test_x), ax=axes, colorbar=False)
        mlflow.log_figure(figure, "confusion_matrix.png")
        plt.close(figure)
        mlflow.log_text(classification_report(test_y, model.predict(test_x)), "report.txt")
        mlflow.sklearn.log_model(
            model, name="model", input_example=test_x[:2], pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
        )
    return accuracy, run.info.run_id


def main() -> None:
    """Runs the sweep and reads it back."""
    mlflow.set_experiment(EXPERIMENT)
    digits = load_digits()
    data = train_test_split(digits.data, digits.target, test_size=0.3, random_state=0, stratify=digits.target)
    results = [train(kind, params, data, number) for number, (kind, params) in enumerate(FOREST + BOOSTED)]
    accuracy, best = max(results)
    found = mlflow.search_runs(
        experiment_names=[EXPERIMENT], filter_string="tags.stage = 'sweep'", order_by=["metrics.accuracy DESC"]
    )
    assert len(found) == len(results) == 20, found
    assert found["metrics.accuracy"].iloc[0] == accuracy
    assert len(mlflow.MlflowClient().get_metric_history(best, "loss")) == EPOCHS
    loaded = mlflow.sklearn.load_model(f"runs:/{best}/model")
    assert accuracy_score(data[3], loaded.predict(data[1])) == accuracy
    experiment = mlflow.get_experiment_by_name(EXPERIMENT).experiment_id
    print(json.dumps({"name": EXPERIMENT, "experiment": experiment, "best": best, "runs": [run for _, run in results]}), flush=True)


if __name__ == "__main__":
    main()
