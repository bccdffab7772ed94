"""Cases of logged models: life, tags, params, search with its tokens and dataset-scoped orders, links to runs."""

from .case import Case, broken_variants, get, post, raw, send

_NONE = "m-" + "0" * 32


def _created(name: str, saved: str, **more: object) -> Case:
    return post("logged-models", {"experiment_id": "$le", "name": name} | more, name=f"create model {name}", **{saved: "model.info.model_id"})


_LIFE = [
    post("experiments/create", {"name": "for models"}, le="experiment_id"), post("experiments/create", {"name": "for models too"}, le2="experiment_id"),
    post("runs/create", {"experiment_id": "$le", "start_time": 1, "run_name": "source"}, lr="run.info.run_id"),
    _created("first", "lm", model_type="classifier", source_run_id="$lr", params=[{"key": "depth", "value": "3"}], tags=[{"key": "colour", "value": "red"}, {"key": "ü", "value": "☃"}]),
    get("logged-models/$lm"), get("/ajax-api/2.0/mlflow/logged-models/$lm"), raw("HEAD", "logged-models/$lm"),
    post("logged-models", {"experiment_id": "$le2"}, name="model without a name"), post("logged-models", {"experiment_id": "$le2", "name": ""}), post("logged-models", {"name": "x"}),
    *[post("logged-models", {"experiment_id": "$le", "name": n}, name=f"model name {i}") for i, n in enumerate(["x" * 500, "x" * 501, "a/b", "a:b", "a.b", "a%b", "a\"b", "a'b", "ünï", " ", "a b", "..", "a\x00b", 5])],
    post("logged-models", {"experiment_id": "$le2", "name": None}),
    post("logged-models", {"experiment_id": "99999", "name": "x"}), post("logged-models", {"experiment_id": "abc", "name": "x"}), post("logged-models", {"experiment_id": 1, "name": "x"}), post("logged-models", {"experiment_id": "", "name": "x"}),
    post("logged-models", {"experiment_id": "$le", "name": "r", "source_run_id": "nope"}), post("logged-models", {"experiment_id": "$le", "name": "r", "source_run_id": ""}, name="empty source run"),
    *[post("logged-models", {"experiment_id": "$le", "name": f"p{i}", "params": p}, name=f"model params {i}") for i, p in enumerate([
        [], [{"key": "k" * 250, "value": "v" * 6000}], [{"key": "k" * 251, "value": "v"}], [{"key": "k", "value": "v" * 6001}], [{"key": "", "value": "v"}], [{"key": "k"}], [{"value": "v"}], [{"key": "k", "value": ""}], [{"key": "../k", "value": "v"}],
        [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}], [None], "x", [{"key": f"k{j}", "value": "v"} for j in range(101)],
    ])],
    *[post("logged-models", {"experiment_id": "$le", "name": f"t{i}", "tags": t}, name=f"model tags {i}") for i, t in enumerate([
        [{"key": "k" * 250, "value": "v" * 8000}], [{"key": "k" * 251, "value": "v"}], [{"key": "k", "value": "v" * 8001}], [{"key": "", "value": "v"}], [{"key": "k"}], [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}], [{"key": "a/../b", "value": "v"}], [5],
    ])],
    *broken_variants("logged-models", {"experiment_id": "$le2", "name": "broken", "model_type": "t", "source_run_id": "$lr", "params": [], "tags": []}),
    get("logged-models/nope"), get("logged-models/$lm/"), get("logged-models/"), get("logged-models"), get(f"logged-models/{_NONE}"), get("logged-models/..%2f..%2fx"),
    send("PATCH", "logged-models/$lm", {"model_id": "$lm", "status": "LOGGED_MODEL_READY"}), send("PATCH", "logged-models/$lm", {"status": "LOGGED_MODEL_READY"}, name="finalize without the id in the body"),
    *[send("PATCH", "logged-models/$lm", {"model_id": "$lm", "status": s}, name=f"finalize as {s!r}") for s in (1, 2, 3, 0, "1", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_UPLOAD_FAILED", "READY", "bogus", 9, None, 1.5)],
    send("PATCH", "logged-models/$lm", {"model_id": "$lm"}, name="finalize as nothing"), send("PATCH", f"logged-models/{_NONE}", {"model_id": _NONE, "status": 2}), send("PATCH", "logged-models/$lm", {"model_id": "other", "status": 2}, name="finalize with another id in the body"),
    get("logged-models/$lm", name="after finalize"),
    send("PATCH", "logged-models/$lm/tags", {"tags": [{"key": "colour", "value": "blue"}, {"key": "new", "value": "1"}]}), send("PATCH", "logged-models/$lm/tags", {}), send("PATCH", "logged-models/$lm/tags", {"tags": []}), send("PATCH", f"logged-models/{_NONE}/tags", {"tags": [{"key": "a", "value": "b"}]}),
    *[send("PATCH", "logged-models/$lm/tags", {"tags": t}, name=f"set tags {i}") for i, t in enumerate([[{"key": "k" * 251, "value": "v"}], [{"key": "", "value": "v"}], [{"key": "k", "value": "v" * 8001}], [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}], "x", [None], [{"key": "k"}], [{"key": "a/b c.d:e", "value": "v"}]])],
    get("logged-models/$lm", name="after tags"), send("DELETE", "logged-models/$lm/tags/new"), send("DELETE", "logged-models/$lm/tags/new", name="delete a model tag twice"), send("DELETE", "logged-models/$lm/tags/a%2Fb%20c.d%3Ae", name="delete a tag by an encoded key"), send("PATCH", "logged-models/$lm/tags", {"tags": [{"key": "a/b c.d:e", "value": "v"}]}, name="the tag with the encoded key again"), send("DELETE", f"logged-models/{_NONE}/tags/x"),
    post("logged-models/$lm/params", {"model_id": "$lm", "params": [{"key": "later", "value": "1"}]}), post("logged-models/$lm/params", {"params": [{"key": "later too", "value": "1"}]}, name="params without the id in the body"),
    post("logged-models/$lm/params", {"model_id": "$lm", "params": [{"key": "later", "value": "1"}]}, name="same model param again"), post("logged-models/$lm/params", {"model_id": "$lm", "params": [{"key": "depth", "value": "9"}]}, name="changed model param"), post("logged-models/$lm/params", {"model_id": "$lm", "params": []}), post(f"logged-models/{_NONE}/params", {"model_id": _NONE, "params": [{"key": "a", "value": "b"}]}),
    *[post("logged-models/$lm/params", {"model_id": "$lm", "params": p}, name=f"log model params {i}") for i, p in enumerate([[{"key": "k" * 251, "value": "v"}], [{"key": "", "value": "v"}], [{"key": "long", "value": "v" * 6001}], [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}], "x"])],
    get("logged-models/$lm", name="after params"),
    raw("POST", "logged-models/$lm"), raw("PUT", "logged-models/$lm"), raw("GET", "logged-models/$lm/tags"), raw("GET", "logged-models/$lm/params"), raw("GET", "logged-models/search"),
]  # fmt: skip

_LINKS = [
    post("runs/outputs", {"run_id": "$lr", "models": [{"model_id": "$lm", "step": 3}]}), post("runs/outputs", {"run_id": "$lr", "models": [{"model_id": "$lm", "step": 3}]}, name="same output again"), post("runs/outputs", {"run_id": "$lr", "models": [{"model_id": "$lm", "step": 4}]}, name="same output at another step"),
    post("runs/create", {"experiment_id": "$le", "start_time": 2, "run_name": "reader"}, lr2="run.info.run_id"), post("runs/log-inputs", {"run_id": "$lr2", "models": [{"model_id": "$lm"}]}), post("runs/log-inputs", {"run_id": "$lr2", "models": [{"model_id": "$lm"}]}, name="same model input again"),
    get("runs/get", run_id="$lr", name="run with outputs"), get("runs/get", run_id="$lr2", name="run with model inputs"),
    post("runs/search", {"experiment_ids": ["$le"], "order_by": ["start_time"]}, name="search of runs with models"),
    post("runs/log-metric", {"run_id": "$lr", "key": "acc", "value": 0.5, "timestamp": 5, "model_id": "$lm"}), post("runs/log-metric", {"run_id": "$lr", "key": "acc", "value": 0.75, "timestamp": 6, "step": 1, "model_id": "$lm", "dataset_name": "train", "dataset_digest": "d1"}),
    post("runs/log-batch", {"run_id": "$lr", "metrics": [{"key": "loss", "value": 1.5, "timestamp": 5, "model_id": "$lm", "dataset_name": "train", "dataset_digest": "d1"}, {"key": "loss", "value": 2.5, "timestamp": 5, "step": 1, "model_id": "$lm", "dataset_name": "test", "dataset_digest": "d2"}]}, name="batch of model metrics"),
    post("runs/log-metric", {"run_id": "$lr", "key": "half", "value": 1, "timestamp": 5, "model_id": "$lm", "dataset_name": "only name"}), post("runs/log-metric", {"run_id": "$lr", "key": "nan", "value": "NaN", "timestamp": 5, "model_id": "$lm"}),
    get("logged-models/$lm", name="model with metrics"), get("metrics/get-history", run_id="$lr", metric_key="acc", name="history with model ids"),
]  # fmt: skip

_SEARCH_SETUP = []
for _i in range(5):
    _SEARCH_SETUP += [
        _created(f"s{_i}", f"ls{_i}", model_type="even" if _i % 2 == 0 else "odd", source_run_id="$lr" if _i else "$lr2", params=[{"key": "depth", "value": str(_i)}], tags=[{"key": "parity", "value": "eo"[_i % 2]}]),
        post("runs/log-batch", {"run_id": "$lr2", "metrics": [{"key": "score", "value": "NaN" if _i == 3 else (7 - _i) / 4, "timestamp": 5 + _i, "step": 0, "model_id": f"$ls{_i}", "dataset_name": ["train", "test"][_i % 2], "dataset_digest": f"d{_i % 2}"}]}, name=f"score of model {_i}"),
    ]  # fmt: skip
_SEARCH_SETUP += [send("PATCH", "logged-models/$ls1", {"model_id": "$ls1", "status": "LOGGED_MODEL_READY"}, name="ready s1"), send("PATCH", "logged-models/$ls2", {"model_id": "$ls2", "status": "LOGGED_MODEL_UPLOAD_FAILED"}, name="failed s2")]

_FILTERS = [
    "", "name = 's1'", "attributes.name = 's1'", "name LIKE 's%'", "name ILIKE 'S%'", "name != 's1'", "name IN ('s1', 's2')", "name NOT IN ('s1')", "attributes.model_id = '$ls1'", "model_id IN ('$ls1', '$ls2')", "attributes.model_type = 'odd'", "model_type LIKE 'e%'", "status = 'READY'", "attributes.status = 'LOGGED_MODEL_READY'", "status != 'PENDING'",
    "source_run_id = '$lr2'", "attributes.source_run_id = '$lr'", "creation_timestamp > 0", "attributes.creation_timestamp < 5", "creation_time > 0", "last_updated_timestamp > 0", "last_updated_timestamp LIKE '1'", "params.depth = '2'", "params.depth != '2'", "params.depth LIKE '%'", "params.depth > '2'", "tags.parity = 'e'", "tags.parity ILIKE 'O'", "tags.none = 'x'", "tags.`parity` = 'o' AND params.depth = '3'",
    "metrics.score > 1", "metrics.score <= 1.5", "metrics.score != 1.5", "metrics.none > 0", "metrics.`score` > 0 AND name LIKE 's%'", "metrics.score > 'x'", "metrics.score LIKE '1'", "metrics.acc = 0.5", "experiment_id = '1'", "attributes.foo = 'x'", "foo.bar = 'x'", "name", "name =", "name = s1", "name = 5", "name = 'a' OR name = 'b'", "(name = 's1')", "name = 'unterminated", "name > 'a'", "tags.parity IS NULL", "params.depth IN ('1')", "artifact_location LIKE '%'", "datasets.name = 'train'",
]  # fmt: skip
_ORDERS = [
    [{"field_name": "creation_time", "ascending": False}], [{"field_name": "creation_timestamp"}], [{"field_name": "creation_timestamp", "ascending": False}], [{"field_name": "attributes.creation_timestamp", "ascending": True}], [{"field_name": "name"}], [{"field_name": "name", "ascending": False}], [{"field_name": "attributes.name", "ascending": True}], [{"field_name": "model_type"}, {"field_name": "name", "ascending": False}],
    [{"field_name": "metrics.score"}], [{"field_name": "metrics.score", "ascending": False}], [{"field_name": "metrics.score", "dataset_name": "train"}], [{"field_name": "metrics.score", "dataset_name": "train", "dataset_digest": "d0"}], [{"field_name": "metrics.score", "dataset_name": "test", "dataset_digest": "nope"}], [{"field_name": "metrics.score", "dataset_digest": "d0"}], [{"field_name": "metrics.none"}], [{"field_name": "params.depth", "ascending": False}], [{"field_name": "tags.parity"}, {"field_name": "name"}],
    [{"field_name": "name", "dataset_name": "train"}], [{"field_name": "last_updated_timestamp"}], [{"field_name": "status"}, {"field_name": "name"}], [{"field_name": "foo"}], [{"field_name": "foo.bar"}], [{"field_name": ""}], [{}], [{"ascending": True}], ["name"], "name", [None], [{"field_name": "name", "ascending": "yes"}], [{"field_name": 5}], [{"field_name": "name DESC"}], [{"field_name": "metrics.`score`"}], [{"field_name": "model_id"}],
]  # fmt: skip
_DATASETS = [[{"dataset_name": "train"}], [{"dataset_name": "train", "dataset_digest": "d0"}], [{"dataset_name": "train"}, {"dataset_name": "test"}], [{"dataset_name": "none"}], [{"dataset_digest": "d0"}], [{}], [], "x", [{"dataset_name": ""}], [5]]
_P = "logged-models/search"
_NAMED = [{"field_name": "name", "ascending": True}]
_SEARCH = [
    *[post(_P, {"experiment_ids": ["$le"], "filter": f, "order_by": _NAMED, "max_results": 30}, name=f"model filter: {f}") for f in _FILTERS],
    *[post(_P, {"experiment_ids": ["$le"], "filter": "name LIKE 's%'", "order_by": o}, name=f"model order: {o}") for o in _ORDERS if o != [{"field_name": "model_id"}]],
    *[post(_P, {"experiment_ids": ["$le"], "datasets": d, "order_by": _NAMED}, name=f"model datasets: {d}") for d in _DATASETS],
    post(_P, {"experiment_ids": ["$le"], "datasets": [{"dataset_name": "train", "dataset_digest": "d0"}], "filter": "metrics.score > 1", "order_by": _NAMED}, name="metric filter within datasets"),
    *[post(_P, {"experiment_ids": ["$le"], "filter": "name LIKE 's%'", "order_by": _NAMED, "max_results": n}, name=f"model max_results {n!r}") for n in (0, 1, -1, 50, 100, 101, 1000, 100000, "2", "x", 1.5, None)],
    post(_P, {"experiment_ids": ["$le"], "filter": "name LIKE 's%'", "order_by": _NAMED, "max_results": 2}, name="models page 1", lt="next_page_token"),
    post(_P, {"experiment_ids": ["$le"], "filter": "name LIKE 's%'", "order_by": _NAMED, "max_results": 2, "page_token": "$lt"}, name="models page 2", lt2="next_page_token"), post(_P, {"experiment_ids": ["$le"], "filter": "name LIKE 's%'", "order_by": _NAMED, "max_results": 2, "page_token": "$lt2"}, name="models page 3"),
    post(_P, {"experiment_ids": ["$le"], "max_results": 2, "page_token": "$lt"}, name="token of another search"), post(_P, {"experiment_ids": ["$le2"], "filter": "name LIKE 's%'", "order_by": _NAMED, "page_token": "$lt"}, name="token of another experiment"),
    *[post(_P, {"experiment_ids": ["$le"], "page_token": t}, name=f"model token {t}") for t in ("x", "bm90IGpzb24=", "e30=", "eyJvZmZzZXQiOiAxfQ==", "")],
    post(_P, {"experiment_ids": ["$le", "$le2"], "filter": "name LIKE 's_'", "order_by": _NAMED}, name="models of two experiments"), *[post(_P, {"experiment_ids": e}, name=f"models of experiments {e!r}") for e in ([], ["99999"], ["abc"], "x", [1], None)], post(_P, {}),
]  # fmt: skip

_DELETE = [
    send("DELETE", "logged-models/$ls0"), get("logged-models/$ls0", name="deleted model"), get("logged-models/$ls0", allow_deleted="true"), send("DELETE", "logged-models/$ls0", name="delete model twice"), send("DELETE", f"logged-models/{_NONE}"),
    send("PATCH", "logged-models/$ls0", {"model_id": "$ls0", "status": 2}, name="finalize a deleted model"), send("PATCH", "logged-models/$ls0/tags", {"tags": [{"key": "a", "value": "b"}]}, name="tag a deleted model"), post("logged-models/$ls0/params", {"model_id": "$ls0", "params": [{"key": "a", "value": "b"}]}, name="params of a deleted model"),
    post(_P, {"experiment_ids": ["$le"], "filter": "name LIKE 's%'", "order_by": _NAMED}, name="search after delete"), post("runs/outputs", {"run_id": "$lr", "models": [{"model_id": "$ls0", "step": 0}]}, name="deleted model as output"),
    get("logged-models/$lm/artifacts/directories"), get("logged-models/$lm/artifacts/directories", artifact_directory_path="sub"), get("logged-models/$lm/artifacts/directories", artifact_directory_path="../x"), get(f"logged-models/{_NONE}/artifacts/directories"),
    get("/ajax-api/2.0/mlflow/logged-models/$lm/artifacts/files", artifact_file_path="none.txt"), get("/ajax-api/2.0/mlflow/logged-models/$lm/artifacts/files"), get("/ajax-api/2.0/mlflow/logged-models/$lm/artifacts/files", artifact_file_path="../../x"), get("logged-models/$lm/artifacts/files", artifact_file_path="none.txt"),
]  # fmt: skip

CASES: list[Case] = [*_LIFE, *_LINKS, *_SEARCH_SETUP, *_SEARCH, *_DELETE]
