"""The data the measurements run on, written over HTTP: through our own server for stock, too, which takes a copy, since
the schema is the same; each peer has a schema of its own and is filled by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from support.load import call
from traces import fill_traces

#: The runs lie in this many of the experiments.
FILLED = 20
#: So many there are in a database that was empty when its server was started.
FRESH_RUNS = 4000


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything; the labels of the rows speak of these numbers."""

    experiments: int = 1000
    runs: int = 20_000
    fat_runs: int = 50
    long_runs: int = 10
    points: int = 100_000
    models: int = 5000
    traces: int = 20_000

    def scaled(self, factor: float) -> Sizes:
        """Returns sizes to try things with; a page of runs is never less than full."""
        return Sizes(
            experiments=max(FILLED + 10, round(self.experiments * factor)),
            runs=max(FILLED * 100, round(self.runs * factor)),
            points=max(1000, round(self.points * factor) // 1000 * 1000),
            models=max(200, round(self.models * factor)),
            traces=max(200, round(self.traces * factor) // 20 * 20),
        )

    def fresh(self) -> Sizes:
        """Returns what each server is filled with itself for the fresh rows: thousands of batches, which stock takes minutes for."""
        return replace(self, experiments=FILLED + 10, runs=FRESH_RUNS, long_runs=1, points=1000)


@dataclass
class Data:
    """Ids in a filled database."""

    sizes: Sizes = field(default_factory=Sizes)
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


def fill(url: str, parts: set[str], sizes: Sizes) -> Data:
    """Fills an empty server with the named parts (`runs`, `registry`, `traces`) and returns the ids."""
    data = Data(sizes)
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda i: post(url, "experiments/create", {"name": f"experiment {i}"}), range(sizes.experiments)))
        experiments = [str(answer["experiment_id"]) for answer in made]
        data.experiments = experiments[:FILLED]
        if "traces" in parts:
            data.traced = experiments[FILLED + 3 : FILLED + 5]
            fill_traces(url, data.traced[0], sizes.traces, pool)
        if "registry" in parts:
            list(pool.map(lambda i: model(url, i), range(sizes.models)))
        if "runs" in parts:
            fill_runs(url, data, experiments[FILLED : FILLED + 3], pool)
    return data


def fill_runs(url: str, data: Data, others: list[str], pool: ThreadPoolExecutor) -> None:
    """Writes the runs: many small ones, large ones, ones with a long history, and empty ones to write to."""
    fat, long, targets = others
    sizes = data.sizes
    data.runs = list(pool.map(lambda i: run(url, data.experiments[i % FILLED], i, 10, 10, 5), range(sizes.runs)))
    data.fat = list(pool.map(lambda i: run(url, fat, i, 50, 100, 20), range(sizes.fat_runs)))
    data.long = list(pool.map(lambda i: run(url, long, i, 1, 1, 1), range(sizes.long_runs)))
    data.targets = list(pool.map(lambda i: run(url, targets, i, 0, 0, 0), range(16)))
    for run_id in data.long:
        for first in range(0, sizes.points, 1000):
            # FastTrackML takes no timestamp of 0.
            metrics = [{"key": "m", "value": i * 7919 % 1009 / 9, "timestamp": i + 1, "step": i} for i in range(first, first + 1000)]
            post(url, "runs/log-batch", {"run_id": run_id, "metrics": metrics})


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
