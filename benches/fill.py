"""The data the measurements run on, written through our own server: the schema is stock's, so both can take a copy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from support.load import call
from traces import fill_traces

EXPERIMENTS, RUNS, LONG_RUNS, POINTS, FAT_RUNS, MODELS = 1000, 20_000, 10, 100_000, 50, 5000
#: The runs lie in this many of the experiments.
FILLED = 20


@dataclass
class Data:
    """Ids in a filled database."""

    #: The experiments that hold the runs.
    experiments: list[str] = field(default_factory=list)
    #: Every run: 10 params, 10 metrics, 5 tags.
    runs: list[str] = field(default_factory=list)
    #: Runs with 50 params, 100 metrics and 20 tags.
    fat: list[str] = field(default_factory=list)
    #: Runs with 100,000 points of metric `m`.
    long: list[str] = field(default_factory=list)
    #: Empty runs that the writing loads write to.
    targets: list[str] = field(default_factory=list)
    #: The experiment that holds the traces, and one that more are written to.
    traced: list[str] = field(default_factory=list)


def fill(url: str, with_runs: bool, with_traces: bool) -> Data:
    """Fills an empty server and returns the ids."""
    data = Data()
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda i: post(url, "experiments/create", {"name": f"experiment {i}"}), range(EXPERIMENTS)))
        if with_traces:
            data.traced = [made[FILLED + i]["experiment_id"] for i in (3, 4)]
            fill_traces(url, data.traced[0], pool)
        if not with_runs:
            return data
        data.experiments = [answer["experiment_id"] for answer in made[:FILLED]]
        data.runs = list(pool.map(lambda i: run(url, data.experiments[i % FILLED], i, 10, 10, 5), range(RUNS)))
        fat, long, targets = (made[FILLED + i]["experiment_id"] for i in range(3))
        data.fat = list(pool.map(lambda i: run(url, fat, i, 50, 100, 20), range(FAT_RUNS)))
        data.long = list(pool.map(lambda i: run(url, long, i, 1, 1, 1), range(LONG_RUNS)))
        data.targets = list(pool.map(lambda i: run(url, targets, i, 0, 0, 0), range(16)))
        list(pool.map(lambda i: model(url, i), range(MODELS)))
    for run_id in data.long:
        for first in range(0, POINTS, 1000):
            metrics = [{"key": "m", "value": i * 7919 % 1009 / 9, "timestamp": i, "step": i} for i in range(first, first + 1000)]
            post(url, "runs/log-batch", {"run_id": run_id, "metrics": metrics})
    return data


def run(url: str, experiment: str, number: int, params: int, metrics: int, tags: int) -> str:
    """Creates a run that looks like one of a sweep."""
    body = {"experiment_id": experiment, "run_name": f"run {number}", "start_time": 1_700_000_000_000 + number * 1000}
    run_id = post(url, "runs/create", body)["run"]["info"]["run_id"]
    batch = {
        "run_id": run_id,
        "params": [{"key": f"param_{i}", "value": str((number * 31 + i) % (i + 2))} for i in range(params)],
        "metrics": [
            {"key": f"metric_{i}", "value": (number * 7919 + i) % 10_007 / 10_007, "timestamp": 1_700_000_000_000, "step": 3}
            for i in range(metrics)
        ],
        "tags": [{"key": f"tag_{i}", "value": f"value {number % 7}"} for i in range(tags)],
    }  # fmt: skip
    post(url, "runs/log-batch", batch)
    post(url, "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": 1_700_000_060_000 + number * 1000})
    return run_id


def model(url: str, number: int) -> None:
    """Creates a registered model with five versions; all have four tags."""
    name, tags = f"model {number:04}", [{"key": f"tag_{i}", "value": f"value {number % 7}"} for i in range(4)]
    post(url, "registered-models/create", {"name": name, "tags": tags})
    for _ in range(5):
        post(url, "model-versions/create", {"name": name, "source": f"s3://models/{number}", "tags": tags})


def post(url: str, path: str, body: dict) -> dict:
    """Sends one request that must succeed."""
    status, answer = call(url, "POST", path, body, timeout=120)
    assert status == 200, answer
    return answer
