"""Cases of the runs API: life, metrics, params, tags, batches, inputs and outputs."""

from .case import broken_variants, get, post, raw, JSON

_LIFE = [
    post("experiments/create", {"name": "for runs"}, runs="experiment_id"),
    post("runs/create", {"experiment_id": "$runs", "start_time": 1700000000000, "run_name": "named", "user_id": "me", "tags": [{"key": "a", "value": "b"}]}, run="run.info.run_id"),
    get("runs/get", run_id="$run"),
    get("/ajax-api/2.0/mlflow/runs/get", run_id="$run"),
    get("runs/get", run_uuid="$run"),
    get("runs/get", runId="$run"),
    get("runs/get", run_id="$run", run_uuid="other", name="run_id before run_uuid"),
    post("runs/create", {"experiment_id": "$runs"}, name="minimal run", second="run.info.run_id"),
    post("runs/create", {}, name="run without experiment"),
    post("runs/create", {"experiment_id": "$runs", "run_name": ""}, name="empty run name"),
    post("runs/create", {"experiment_id": "$runs", "run_name": "ünï ☃", "start_time": "1700000000001"}, third="run.info.run_id"),
    post("runs/create", {"experiment_id": "$runs", "run_name": "x" * 250}, name="run name of 250"),
    post("runs/create", {"experiment_id": "$runs", "run_name": "x" * 251}, name="run name of 251"),
    post("runs/create", {"experiment_id": "$runs", "run_name": "x" * 5000}, name="run name of 5000"),
    post("runs/create", {"experiment_id": "$runs", "run_name": "n", "tags": [{"key": "mlflow.runName", "value": "n"}]}, name="run name equals tag"),
    post("runs/create", {"experiment_id": "$runs", "run_name": "n", "tags": [{"key": "mlflow.runName", "value": "m"}]}, name="run name differs from tag"),
    post("runs/create", {"experiment_id": "$runs", "tags": [{"key": "mlflow.runName", "value": "only tag"}]}),
    post("runs/create", {"experiment_id": "$runs", "tags": [{"key": "mlflow.user", "value": "u"}, {"key": "mlflow.parentRunId", "value": "$run"}]}),
    post("runs/create", {"experiment_id": "$runs", "start_time": 0}, name="start_time 0"),
    post("runs/create", {"experiment_id": "$runs", "start_time": -5}, name="start_time -5"),
    post("runs/create", {"experiment_id": "$runs", "start_time": 2**63 - 1}, name="start_time largest"),
    post("runs/create", {"experiment_id": "$runs", "start_time": 2**63}, name="start_time too large"),
    post("runs/create", {"experiment_id": "99999"}),
    post("runs/create", {"experiment_id": "abc"}),
    post("runs/create", {"experiment_id": 1}),
    post("runs/create", {"experiment_id": "$runs", "tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}, name="create with a tag twice"),
    post("runs/create", {"experiment_id": "$runs", "tags": [{"key": "k" * 251, "value": "1"}]}, name="create with a tag key of 251"),
    post("runs/create", {"experiment_id": "$runs", "tags": [{"key": "k", "value": "v" * 8001}]}, name="create with a tag value of 8001"),
    post("runs/create", {"experiment_id": "$runs", "tags": [{"key": "", "value": "1"}]}, name="create with an empty tag key"),
    *broken_variants("runs/create", {"experiment_id": "$runs", "run_name": "broken", "start_time": 1, "user_id": "u", "tags": []}),
    get("runs/get"), get("runs/get", run_id=""), get("runs/get", run_id="nope"), get("runs/get", run_id="0" * 32), get("runs/get", run_id="../x"), get("runs/get", run_id="a b%"),
]  # fmt: skip

_UPDATE = [
    post("runs/update", {"run_id": "$run", "status": "FINISHED", "end_time": 1700000009999}),
    post("runs/update", {"run_id": "$run", "run_name": "renamed"}),
    get("runs/get", run_id="$run", name="after rename"),
    post("runs/update", {"run_id": "$run", "status": "RUNNING"}, name="back to running"),
    get("runs/get", run_id="$run", name="after running again"),
    *[post("runs/update", {"run_id": "$second", "status": s}) for s in ("SCHEDULED", "FAILED", "KILLED", 1, 2, 3, 4, 5, "1", "finished", "DONE", 0, 6, 99)],
    post("runs/update", {"run_id": "$second"}, name="update of nothing"),
    post("runs/update", {"run_id": "$second", "end_time": 5}, name="end_time without status"),
    post("runs/update", {"run_uuid": "$second", "status": "FINISHED"}, name="update by run_uuid"),
    post("runs/update", {"run_id": "$second", "run_name": ""}, name="update to an empty name"),
    post("runs/update", {"run_id": "$second", "run_name": "x" * 300}, name="update to a name of 300"),
    post("runs/update", {"run_id": "nope", "status": "FINISHED"}),
    get("runs/get", run_id="$second", name="second after updates"),
    *broken_variants("runs/update", {"run_id": "$second", "status": "FINISHED", "end_time": 7, "run_name": "n"}),
    get("runs/get", run_id="$second", name="second after broken updates"),
]  # fmt: skip

_ODD_VALUES = [
    1, 1.0, 0, -0.0, 0.1, 1e300, 1e-320, 5e-324, -1.5, 123456789012345678, 1e22, 1e16, 1e15, 123456.789e3, "1.5", "NaN", "nan", "Infinity", "-Infinity", "inf", "+1", " 1 ", "1e3",
    "abc", "", "0x10", "1_000", True, None, [], {}, 1e308,
]  # fmt: skip

_METRICS = [
    post("runs/create", {"experiment_id": "$runs", "run_name": "metrics"}, m="run.info.run_id"),
    *[post("runs/log-metric", {"run_id": "$m", "key": f"v{i}", "value": v, "timestamp": 5}, name=f"metric value {v!r}") for i, v in enumerate(_ODD_VALUES)],
    # What stock keeps of these (0 at time 0, since protobuf stops there) is not asked.
    post("runs/create", {"experiment_id": "$runs", "run_name": "bare"}, bare="run.info.run_id"),
    *[raw("POST", "runs/log-metric", b'{"run_id": "$bare", "key": "bare%d", "value": %s, "timestamp": 5}' % (i, v), name=f"metric value bare {v.decode()}", headers=JSON)
      for i, v in enumerate([b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])],
    *[raw("POST", "runs/log-metric", b'{"run_id": "$m", "key": "raw%d", "value": %s, "timestamp": 5}' % (i, v), name=f"metric value bare {v.decode()}", headers=JSON)
      for i, v in enumerate([b"1E5", b"1.", b".5", b"01", b"-", b"1e-999", b"123456789012345678901234567890"])],
    *[post("runs/log-metric", {"run_id": "$m", "key": f"s{i}", "value": 1, "timestamp": 5, "step": s}, name=f"metric step {s!r}")
      for i, s in enumerate([0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, "7", "-7", "x", "", 1.0, 1.5, True, None, [], "1.0", 1e3])],
    *[post("runs/log-metric", {"run_id": "$m", "key": f"t{i}", "value": 1, "timestamp": t}, name=f"metric timestamp {t!r}")
      for i, t in enumerate([0, -1, 2**63 - 1, 2**63, "7", "x", "", 1.0, 1.5, True, None])],
    *[post("runs/log-metric", {"run_id": "$m", "key": k, "value": 1, "timestamp": 5}, name=f"metric key {i}")
      for i, k in enumerate(["", "k" * 250, "k" * 251, "a/b", "/a", "a/", "a//b", "../a", "a/../b", "./a", ".", "..", "a\\b", "a:b", "a=b", "a b", "a.b-c_d", "ü", "日本", "a\x00b", "a\nb", "a'b", 'a"b', "a`b", " ", "#a", "a@b", "a(b)", "a,b", "a%b"])],
    *broken_variants("runs/log-metric", {"run_id": "$m", "key": "broken", "value": 1.5, "timestamp": 5, "step": 1}),
    post("runs/log-metric", {"run_uuid": "$m", "key": "by uuid", "value": 1, "timestamp": 5}),
    post("runs/log-metric", {"run_id": "nope", "key": "k", "value": 1, "timestamp": 5}),
    post("runs/log-metric", {"run_id": "$m", "key": "with dataset", "value": 1, "timestamp": 5, "dataset_name": "d", "dataset_digest": "x"}),
    post("runs/log-metric", {"run_id": "$m", "key": "with model", "value": 1, "timestamp": 5, "model_id": "m-" + "0" * 32}),
    get("runs/get", run_id="$m", name="all odd metrics"),
    *[post("runs/log-metric", {"run_id": "$m", "key": "series", "value": v, "timestamp": t, "step": s}, name=f"series {v} {t} {s}")
      for v, t, s in [(1, 10, 0), (5, 9, 3), (4, 20, 3), (3, 30, 1), (6, 20, 3), (2, 1, -4), (6, 20, 3), ("NaN", 20, 3), ("Infinity", 21, 3), (0, 21, 3)]],
    get("metrics/get-history", run_id="$m", metric_key="series"),
    get("runs/get", run_id="$m", name="latest of the series"),
]  # fmt: skip

_PARAMS_AND_TAGS = [
    post("runs/create", {"experiment_id": "$runs", "run_name": "params"}, p="run.info.run_id"),
    *[post("runs/log-parameter", {"run_id": "$p", "key": f"p{i}", "value": v}, name=f"param value {i}")
      for i, v in enumerate(["v", "", " ", "ü ☃", "x" * 6000, "x" * 6001, "\U0001f600" * 6001, "a\x00b", "a\nb", 5, 1.5, True, None, [], {}, "NaN", "'quoted'"])],
    *[post("runs/log-parameter", {"run_id": "$p", "key": k, "value": "v"}, name=f"param key {i}")
      for i, k in enumerate(["", "k" * 250, "k" * 251, "a/b", "/a", "a/", "../a", "a/../b", "./a", ".", "a\\b", "a:b", "a=b", "a b", "ü", "a\x00b", "a'b", "a%b"])],
    post("runs/log-parameter", {"run_id": "$p", "key": "p0", "value": "v"}, name="same param again"),
    post("runs/log-parameter", {"run_id": "$p", "key": "p0", "value": "w"}, name="changed param"),
    post("runs/log-parameter", {"run_id": "$p", "key": "p0", "value": "it's \"w\""}, name="changed param with quotes"),
    post("runs/log-parameter", {"run_id": "$p", "key": "P0", "value": "upper"}, name="param key in upper case"),
    post("runs/log-parameter", {"run_id": "$p", "key": "p4", "value": "x" * 6000 + "y"}, name="long param again, differing after the cut"),
    *broken_variants("runs/log-parameter", {"run_id": "$p", "key": "broken", "value": "v"}),
    post("runs/log-parameter", {"run_uuid": "$p", "key": "by uuid", "value": "v"}),
    post("runs/log-parameter", {"run_id": "nope", "key": "k", "value": "v"}),
    *[post("runs/set-tag", {"run_id": "$p", "key": f"t{i}", "value": v}, name=f"tag value {i}")
      for i, v in enumerate(["v", "", "ü", "x" * 8000, "x" * 8001, "a\x00b", 5, None, []])],
    *[post("runs/set-tag", {"run_id": "$p", "key": k, "value": "v"}, name=f"tag key {i}")
      for i, k in enumerate(["", "k" * 250, "k" * 251, "a/b", "/a", "../a", "a:b", "a=b", "ü", "a\x00b", "mlflow.note.content", "mlflow.user"])],
    post("runs/set-tag", {"run_id": "$p", "key": "t0", "value": "changed"}),
    post("runs/set-tag", {"run_id": "$p", "key": "mlflow.runName", "value": "named by tag"}),
    post("runs/set-tag", {"run_id": "$p", "key": "mlflow.runName", "value": ""}, name="empty name by tag"),
    *broken_variants("runs/set-tag", {"run_id": "$p", "key": "broken", "value": "v"}),
    post("runs/set-tag", {"run_uuid": "$p", "key": "by uuid", "value": "v"}),
    post("runs/set-tag", {"run_id": "nope", "key": "k", "value": "v"}),
    post("runs/delete-tag", {"run_id": "$p", "key": "t0"}),
    post("runs/delete-tag", {"run_id": "$p", "key": "t0"}, name="delete-tag twice"),
    post("runs/delete-tag", {"run_id": "$p", "key": "mlflow.runName"}),
    post("runs/delete-tag", {"run_id": "nope", "key": "k"}),
    *broken_variants("runs/delete-tag", {"run_id": "$p", "key": "t1"}),
    get("runs/get", run_id="$p", name="all params and tags"),
]  # fmt: skip


def _metrics(count: int, **more: object) -> list[dict]:
    return [{"key": f"b{i}", "value": i / 4, "timestamp": 7, "step": i, **more} for i in range(count)]


def _pairs(count: int, prefix: str = "k") -> list[dict]:
    return [{"key": f"{prefix}{i}", "value": str(i)} for i in range(count)]


_BATCHES = [
    post("runs/create", {"experiment_id": "$runs", "run_name": "batch"}, b="run.info.run_id"),
    post("runs/log-batch", {"run_id": "$b"}, name="batch of nothing"),
    post("runs/log-batch", {"run_id": "$b", "metrics": _metrics(3), "params": _pairs(3), "tags": _pairs(3, "t")}, name="small batch"),
    get("runs/get", run_id="$b", name="after small batch"),
    post("runs/log-batch", {"run_id": "$b", "metrics": _metrics(3), "params": _pairs(3), "tags": _pairs(3, "t")}, name="small batch again"),
    get("metrics/get-history", run_id="$b", metric_key="b1"),
    *[post("runs/log-batch", {"run_id": "$b"} | content, name=f"batch {i}") for i, content in enumerate([
        {"metrics": _metrics(1001)}, {"params": _pairs(101)}, {"tags": _pairs(101)}, {"metrics": _metrics(950), "params": _pairs(50)}, {"metrics": _metrics(951), "params": _pairs(50)},
        {"metrics": _metrics(900), "params": _pairs(100), "tags": _pairs(1)},
        {"params": [{"key": "k0", "value": "changed"}]}, {"params": [{"key": "new", "value": "1"}, {"key": "k0", "value": "x"}, {"key": "k1", "value": "y"}], "metrics": _metrics(1), "tags": _pairs(1, "u")},
        {"params": [{"key": "twice", "value": "1"}, {"key": "twice", "value": "1"}]}, {"params": [{"key": "twice", "value": "1"}, {"key": "twice", "value": "2"}]},
        {"tags": [{"key": "twice", "value": "1"}, {"key": "twice", "value": "2"}]}, {"metrics": [{"key": "twice", "value": 1, "timestamp": 1}, {"key": "twice", "value": 1, "timestamp": 1}]},
        {"metrics": [{"key": "order", "value": 1, "timestamp": 1, "step": 2}, {"key": "order", "value": 9, "timestamp": 1, "step": 1}, {"key": "order", "value": 2, "timestamp": 1, "step": 2}]},
        {"metrics": [{"key": "nan", "value": "NaN", "timestamp": 1}, {"key": "inf", "value": "Infinity", "timestamp": 1}, {"key": "ninf", "value": "-Infinity", "timestamp": 1}]},
        {"metrics": [{"key": "a"}]}, {"metrics": [{"value": 1, "timestamp": 1}]}, {"metrics": [{"key": "a", "value": 1}]}, {"metrics": [{"key": "a", "timestamp": 1}]},
        {"metrics": [{"key": "a", "value": "abc", "timestamp": 1}]}, {"metrics": [{"key": "a", "value": 1, "timestamp": "abc"}]}, {"metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": "abc"}]},
        {"metrics": [{"key": "../a", "value": 1, "timestamp": 1}]}, {"metrics": [{"key": "k" * 251, "value": 1, "timestamp": 1}]}, {"metrics": [{"key": "", "value": 1, "timestamp": 1}]},
        {"metrics": [{"key": "ok", "value": 1, "timestamp": 1}, {"key": "bad:\x00", "value": 1, "timestamp": 1}]}, {"metrics": [None]}, {"metrics": [5]}, {"metrics": {}}, {"metrics": "x"}, {"metrics": None},
        {"params": [{"key": "k"}]}, {"params": [{"value": "v"}]}, {"params": [{"key": "", "value": "v"}]}, {"params": [{"key": "emptyvalue", "value": ""}]}, {"params": [{"key": "k" * 251, "value": "v"}]},
        {"params": [{"key": "long", "value": "v" * 6001}]}, {"params": [{"key": 5, "value": "v"}]}, {"params": [{"key": "k", "value": 5}]}, {"params": [None]}, {"params": "x"},
        {"tags": [{"key": "k"}]}, {"tags": [{"value": "v"}]}, {"tags": [{"key": "", "value": "v"}]}, {"tags": [{"key": "k" * 251, "value": "v"}]}, {"tags": [{"key": "long", "value": "v" * 8001}]},
        {"tags": [{"key": "k", "value": 5}]}, {"tags": [None]}, {"tags": [{"key": "mlflow.runName", "value": "renamed by batch"}]}, {"tags": [{"key": "a/../b", "value": "1"}]},
        {"metrics": _metrics(2, dataset_name="d", dataset_digest="e")}, {"metrics": _metrics(2, model_id="m-" + "1" * 32)}, {"metrics": _metrics(1, unknown=1)},
    ])],
    post("runs/log-batch", {"run_uuid": "$b", "metrics": []}, name="batch by run_uuid"),
    post("runs/log-batch", {"run_id": "nope"}, name="batch of nothing for no run"),
    post("runs/log-batch", {"run_id": "nope", "metrics": _metrics(1)}),
    post("runs/log-batch", {"run_id": ""}), post("runs/log-batch", {"run_id": 5}), post("runs/log-batch", {}),
    get("runs/get", run_id="$b", name="after all batches"),
]  # fmt: skip

_DATASET = {"name": "train", "digest": "abc", "source_type": "code", "source": '{"tags": {}}', "schema": '{"x": 1}', "profile": '{"rows": 3}'}
_INPUTS = [
    post("runs/create", {"experiment_id": "$runs", "run_name": "inputs"}, i="run.info.run_id"),
    post("runs/log-inputs", {"run_id": "$i", "datasets": [{"dataset": _DATASET, "tags": [{"key": "mlflow.data.context", "value": "training"}]}]}),
    get("runs/get", run_id="$i", name="after log-inputs"),
    post("runs/log-inputs", {"run_id": "$i", "datasets": [{"dataset": _DATASET, "tags": [{"key": "mlflow.data.context", "value": "changed"}, {"key": "n", "value": "1"}]}]}, name="same input again"),
    get("runs/get", run_id="$i", name="after the same input"),
    post("runs/log-inputs", {"run_id": "$second", "datasets": [{"dataset": _DATASET | {"schema": "other"}}]}, name="same dataset, other run and schema"),
    get("runs/get", run_id="$second", name="other run with the dataset"),
    *[post("runs/log-inputs", {"run_id": "$i", "datasets": d}, name=f"inputs {i}") for i, d in enumerate([
        [], [{}], [{"dataset": {}}], [{"dataset": _DATASET | {"name": ""}}], [{"dataset": _DATASET | {"digest": ""}}], [{"dataset": _DATASET | {"source": ""}}],
        [{"dataset": {k: v for k, v in _DATASET.items() if k != "source_type"}}], [{"dataset": {k: v for k, v in _DATASET.items() if k not in ("schema", "profile")} | {"name": "bare"}}],
        [{"dataset": _DATASET | {"name": "n" * 500}}], [{"dataset": _DATASET | {"name": "n" * 501}}], [{"dataset": _DATASET | {"digest": "d" * 37}}], [{"dataset": _DATASET | {"digest": "d" * 36}}],
        [{"dataset": _DATASET | {"schema": "x" * 1048576}}], [{"dataset": _DATASET | {"name": "sc", "schema": "x" * 1048577}}], [{"dataset": _DATASET | {"profile": "x" * 16777217}}],
        [{"dataset": _DATASET, "tags": [{"key": "k" * 256, "value": "v"}]}], [{"dataset": _DATASET, "tags": [{"key": "k", "value": "v" * 501}]}], [{"dataset": _DATASET, "tags": [{"key": "k"}]}],
        [{"dataset": _DATASET, "tags": [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}]}], [{"dataset": _DATASET | {"name": "two"}}, {"dataset": _DATASET | {"name": "two"}}],
        "x", [None], [5], {}, None, [{"dataset": "x"}], [{"dataset": _DATASET | {"name": 5}}],
    ])],
    post("runs/log-inputs", {"run_id": "$i"}, name="inputs of nothing"), post("runs/log-inputs", {}), post("runs/log-inputs", {"run_id": "nope", "datasets": [{"dataset": _DATASET}]}),
    post("runs/log-inputs", {"run_id": "$i", "models": [{"model_id": "m-" + "0" * 32}]}, name="unknown model as input"), post("runs/log-inputs", {"run_id": "$i", "models": [{}]}),
    get("runs/get", run_id="$i", name="after all inputs"),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["$runs"]}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": []}), post("/ajax-api/2.0/mlflow/experiments/search-datasets", {}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["99999"]}), post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": "x"}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": [str(i) for i in range(21)]}, name="datasets of 21 experiments"),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": [1]}), post("experiments/search-datasets", {"experiment_ids": ["$runs"]}),
    post("runs/outputs", {"run_id": "$i", "models": [{"model_id": "m-" + "0" * 32, "step": 1}]}, name="unknown model as output"),
    post("runs/outputs", {"run_id": "$i"}, name="outputs of nothing"), post("runs/outputs", {}), post("runs/outputs", {"run_id": "nope", "models": [{"model_id": "m-1", "step": 0}]}),
    post("runs/outputs", {"run_id": "$i", "models": []}), post("runs/outputs", {"run_id": "$i", "models": [{}]}),
    get("runs/get", run_id="$i", name="after outputs"),
    post("runs/log-model", {"run_id": "$i", "model_json": '{"run_id": "$i", "artifact_path": "m", "utc_time_created": "2020-01-01 00:00:00", "flavors": {"f": {}}}'}),
    *[post("runs/log-model", {"run_id": "$i", "model_json": j}, name=f"log-model {i}") for i, j in enumerate(["", "x", "[]", "{}", '{"artifact_path": "m"}', '{"run_id": "$i", "artifact_path": "m", "flavors": {}}',
      '{"run_id": "other", "artifact_path": "m", "utc_time_created": "t", "flavors": {"f": {}}}', '"text"', "null", 5])],
    post("runs/log-model", {}), post("runs/log-model", {"run_id": "nope", "model_json": "{}"}),
    get("runs/get", run_id="$i", name="after log-model"),
]  # fmt: skip

_DELETE = [
    post("runs/delete", {"run_id": "$b"}), get("runs/get", run_id="$b", name="deleted run"), post("runs/delete", {"run_id": "$b"}, name="delete run twice"),
    post("runs/log-metric", {"run_id": "$b", "key": "k", "value": 1, "timestamp": 1}, name="metric on a deleted run"),
    post("runs/log-parameter", {"run_id": "$b", "key": "k", "value": "1"}, name="param on a deleted run"), post("runs/set-tag", {"run_id": "$b", "key": "k", "value": "1"}, name="tag on a deleted run"),
    post("runs/delete-tag", {"run_id": "$b", "key": "t0"}, name="delete-tag on a deleted run"), post("runs/log-batch", {"run_id": "$b"}, name="empty batch on a deleted run"),
    post("runs/log-batch", {"run_id": "$b", "tags": _pairs(1)}, name="batch on a deleted run"), post("runs/update", {"run_id": "$b", "status": "FAILED"}, name="update of a deleted run"),
    post("runs/log-inputs", {"run_id": "$b", "datasets": [{"dataset": _DATASET}]}, name="inputs of a deleted run"), post("runs/outputs", {"run_id": "$b", "models": []}, name="outputs of a deleted run"),
    get("metrics/get-history", run_id="$b", metric_key="b1", name="history of a deleted run"),
    post("runs/restore", {"run_id": "$b"}), post("runs/restore", {"run_id": "$b"}, name="restore run twice"), get("runs/get", run_id="$b", name="restored run"),
    post("runs/delete", {"run_id": "nope"}), post("runs/restore", {"run_id": "nope"}), post("runs/delete", {"run_uuid": "$b"}, name="delete by run_uuid"),
    *broken_variants("runs/delete", {"run_id": "nope"}), *broken_variants("runs/restore", {"run_id": "nope"}),
]  # fmt: skip

CASES = [*_LIFE, *_UPDATE, *_METRICS, *_PARAMS_AND_TAGS, *_BATCHES, *_INPUTS, *_DELETE]
