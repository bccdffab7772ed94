"""Cases of metric histories: whole, paged, of many runs, and sampled."""

from .case import Case, get, post

_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_INTERVAL = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"


def _points(key: str, steps: list[int]) -> list[dict]:
    return [{"key": key, "value": ((s * 7919) % 1000) / 8, "timestamp": 100000 + s, "step": s} for s in steps]


CASES: list[Case] = [
    post("experiments/create", {"name": "for history"}, he="experiment_id"),
    post("runs/create", {"experiment_id": "$he", "start_time": 1, "run_name": "h1"}, h1="run.info.run_id"), post("runs/create", {"experiment_id": "$he", "start_time": 2, "run_name": "h2"}, h2="run.info.run_id"),
    post("runs/create", {"experiment_id": "$he", "start_time": 3, "run_name": "h3"}, h3="run.info.run_id"),
    post("runs/log-batch", {"run_id": "$h1", "metrics": _points("m", list(range(1000)))}, name="history setup 1"),
    post("runs/log-batch", {"run_id": "$h1", "metrics": _points("m", list(range(1000, 1500)))}, name="history setup 2"),
    post("runs/log-batch", {"run_id": "$h2", "metrics": _points("m", list(range(0, 900, 7)))}, name="history setup 3"),
    post("runs/log-batch", {"run_id": "$h1", "metrics": [{"key": "odd", "value": v, "timestamp": 50 + i, "step": s} for i, (v, s) in enumerate([(1, 0), ("NaN", 1), ("Infinity", 2), (3, -5), (4, 2), (5, 2), ("-Infinity", 9), (0.5, 2**53 + 1)])]}, name="history setup 4"),
    get("metrics/get-history", run_id="$h1", metric_key="odd"), get("metrics/get-history", run_uuid="$h1", metric_key="odd"), get("metrics/get-history", run_id="$h1", metric_key="nosuch"), get("metrics/get-history", run_id="nope", metric_key="m"),
    get("metrics/get-history", run_id="$h1"), get("metrics/get-history", metric_key="m"), get("metrics/get-history"), get("metrics/get-history", run_id="", metric_key="m"), get("metrics/get-history", run_id="$h1", metric_key=""),
    get("metrics/get-history", run_id="$h1", metric_key="m", name="1500 points"),
    get("metrics/get-history", run_id="$h1", metric_key="m", max_results="4", save={"hp": "next_page_token"}), get("metrics/get-history", run_id="$h1", metric_key="m", max_results="4", page_token="$hp", name="history page 2"),
    get("metrics/get-history", run_id="$h1", metric_key="m", page_token="$hp", name="history page 2 without a limit"),
    *[get("metrics/get-history", run_id="$h2", metric_key="m", max_results=n, name=f"history max_results {n}") for n in ("0", "-1", "129", "128", "25000", "25001", "1000000", "x", "")],
    *[get("metrics/get-history", run_id="$h2", metric_key="m", max_results="3", page_token=t, name=f"history token {t}") for t in ("x", "bm90IGpzb24=", "e30=", "eyJvZmZzZXQiOiA1fQ==", "eyJvZmZzZXQiOiA5OTk5fQ==")],
    get(_BULK, run_id="$h1", metric_key="odd"), get(_BULK, run_id=["$h1", "$h2"], metric_key="m"), get(_BULK, run_id="$h1", metric_key="m", max_results="5"), get(_BULK, run_id=["$h1", "$h2", "$h3"], metric_key="odd"), get(_BULK, run_id="$h1", metric_key="nosuch"), get(_BULK, run_id="nope", metric_key="m"),
    get(_BULK, run_id="$h1"), get(_BULK, metric_key="m"), get(_BULK), get(_BULK, run_id="$h2", metric_key="m", max_results="x"), get(_BULK, run_id="$h2", metric_key="m", max_results="0"), get(_BULK, run_id="$h2", metric_key="m", max_results="-1"), get(_BULK, run_id="$h2", metric_key="m", max_results="30000"),
    get(_BULK, run_id=[str(i) for i in range(101)], metric_key="m", name="bulk of 101 runs"), get(_BULK, run_ids="$h1", metric_key="m"), get("metrics/get-history-bulk", run_id="$h1", metric_key="m"),
    get(_INTERVAL, run_ids="$h1", metric_key="odd"), get(_INTERVAL, run_ids="$h1", metric_key="m", max_results="10"), get(_INTERVAL, run_ids=["$h1", "$h2"], metric_key="m", max_results="10"), get(_INTERVAL, run_ids=["$h2", "$h1"], metric_key="m", max_results="320", name="interval 320 of two"),
    get(_INTERVAL, run_ids=["$h1", "$h2", "$h3"], metric_key="m", name="interval default of three"), get("metrics/get-history-bulk-interval", run_ids="$h1", metric_key="m", max_results="7"),
    *[get(_INTERVAL, run_ids=["$h1", "$h2"], metric_key="m", name=f"interval {q}", **q) for q in (
        {"start_step": "100", "end_step": "200", "max_results": "10"}, {"start_step": "0", "end_step": "0"}, {"start_step": "-10", "end_step": "5"}, {"start_step": "5", "end_step": "5"}, {"start_step": "200", "end_step": "100"}, {"start_step": "100"}, {"end_step": "100"},
        {"start_step": "x", "end_step": "5"}, {"start_step": "5000", "end_step": "6000"}, {"max_results": "1"}, {"max_results": "2"}, {"max_results": "3"}, {"max_results": "0"}, {"max_results": "-1"}, {"max_results": "2500"}, {"max_results": "2501"}, {"max_results": "x"}, {"max_results": "1499"}, {"max_results": "1500"},
        {"start_step": "99", "end_step": "101", "max_results": "1"}, {"start_step": "", "end_step": ""}, {"start_step": "1.5", "end_step": "3"},
    )],
    *[get(_INTERVAL, run_ids="$h1", metric_key="odd", max_results=n, name=f"interval of odd values, {n}") for n in ("1", "2", "3", "4", "5")],
    get(_INTERVAL, run_ids="$h1"), get(_INTERVAL, metric_key="m"), get(_INTERVAL), get(_INTERVAL, run_ids="nope", metric_key="m"), get(_INTERVAL, run_ids="$h1", metric_key="nosuch"), get(_INTERVAL, run_ids=[str(i) for i in range(101)], metric_key="m", name="interval of 101 runs"), get(_INTERVAL, run_ids=["$h1", "$h1"], metric_key="odd"),
    get(_INTERVAL, run_ids="", metric_key="m"), get(_INTERVAL, run_ids="$h1", metric_key=""), get(_INTERVAL, run_id="$h1", metric_key="m"),
]  # fmt: skip
