"""Cases of the model registry: registered models, versions, tags, aliases, stages, searches, sources, prompts."""

from .case import Case, broken_variants, post, send

_R, _V = "registered-models", "model-versions"
_PROMPT = "mlflow.prompt.is_prompt"


def _tags(**tags: str) -> list[dict]:
    return [{"key": k, "value": v} for k, v in tags.items()]


def _is_prompt(value: str = "true") -> list[dict]:
    return [{"key": _PROMPT, "value": value}]


def _model(name: str, **more) -> Case:
    return post(f"{_R}/create", {"name": name} | more)


def _version(name: str, source: str = "s3://b/x", **more) -> Case:
    return post(f"{_V}/create", {"name": name, "source": source} | more)


def _patch(path: str, body: dict) -> Case:
    return send("PATCH", path, body)


def _delete(path: str, body: dict) -> Case:
    return send("DELETE", path, body)


def _model_named(name: str) -> Case:
    return Case(f"get model {name!r}", "GET", f"/api/2.0/mlflow/{_R}/get", {"name": name})


def _get(path: str, label: str = "", **query) -> Case:
    return Case(label or f"GET {path} {query}"[:110], "GET", f"/api/2.0/mlflow/{path}", query)


_NAMES = ["", " ", "a/b", "a:b", ".", "..", "./a", "a b", "ünï☃", "a\n", "'quoted'", '"double"', "%", "a%2fb", "-", "a" * 256]
_MODELS = [
    post("experiments/create", {"name": "for registry", "artifact_location": "mlflow-artifacts:/reg"}, re="experiment_id"),
    post("runs/create", {"experiment_id": "$re", "start_time": 1, "run_name": "r"}, rr="run.info.run_id"),
    post("runs/create", {"experiment_id": "$re", "start_time": 2, "run_name": "r2"}, rr2="run.info.run_id"),
    *broken_variants(f"{_R}/create", {"name": "reg broken", "description": "d"}),
    *[_model(name) for name in _NAMES],
    *[_model_named(name) for name in _NAMES],
    _model("m", description="what it is", tags=_tags(a="1", b="2")), _model("m"), _model("m", tags=_is_prompt()),
    _model("m twice", tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]), _model("m tag", tags=[{}]), _model("m tag", tags=[{"key": "a"}]), _model("m tag 2", tags=[{"key": "/a", "value": "x"}]),
    _model("m tags", tags="x"), _model("m tags", tags=[1]), _model("m job", deployment_job_id="7"), _model("m empty", description="", tags=[]),
    _model_named("m"), _model_named("none"), _get(f"{_R}/get"), post(f"{_R}/get", {"name": "m"}),
    *broken_variants(f"{_R}/update", {"name": "m", "description": "other"}, "PATCH"), _patch(f"{_R}/update", {"name": "m", "description": "ü"}), _patch(f"{_R}/update", {"name": "none"}), _patch(f"{_R}/update", {"name": "m", "description": ""}),
    post(f"{_R}/update", {"name": "m"}), _model("old"), _version("old", tags=_tags(x="y")), post(f"{_R}/alias", {"name": "old", "alias": "best", "version": "1"}), post(f"{_R}/set-tag", {"name": "old", "key": "k", "value": "v"}),
    post(f"{_R}/rename", {"name": "old", "new_name": "m"}), post(f"{_R}/rename", {"name": "old", "new_name": "a/b"}), post(f"{_R}/rename", {"name": "old", "new_name": " "}), post(f"{_R}/rename", {"name": "none", "new_name": "x"}), post(f"{_R}/rename", {"name": "old"}), post(f"{_R}/rename", {"name": "old", "new_name": "old"}),
    post(f"{_R}/rename", {"name": "old", "new_name": "new"}), _model_named("new"), _model_named("old"), _get(f"{_V}/get", name="new", version="1"), _get(f"{_R}/alias", name="new", alias="best"),
    _delete(f"{_R}/delete", {"name": "none"}), _delete(f"{_R}/delete", {}), _delete(f"{_R}/delete", {"name": "new"}), _model_named("new"), _get(f"{_V}/get", "a version of a deleted model", name="new", version="1"),
]  # fmt: skip

_KEYS = ["k", "a b", "/a", "a//b", "", ".", "a@b", "ü", "k" * 250, "k" * 251]
_TAGS = [
    *broken_variants(f"{_R}/set-tag", {"name": "m", "key": "kk", "value": "v"}), *[post(f"{_R}/set-tag", {"name": "m", "key": key, "value": "v"}) for key in _KEYS],
    post(f"{_R}/set-tag", {"name": "none", "key": "k", "value": "v"}), post(f"{_R}/set-tag", {"name": "m", "key": "k", "value": "w"}), post(f"{_R}/set-tag", {"name": "m", "key": "long", "value": "x" * 100_001}),
    _delete(f"{_R}/delete-tag", {"name": "m", "key": "k"}), _delete(f"{_R}/delete-tag", {"name": "m", "key": "k"}), _delete(f"{_R}/delete-tag", {"name": "none", "key": "k"}), _delete(f"{_R}/delete-tag", {"name": "m"}), _delete(f"{_R}/delete-tag", {"name": "m", "key": "/a"}), _model_named("m"),
]  # fmt: skip

_SOURCES = [
    "s3://b/x", "s3://b", "s3://b/", "s3://b/a/../c", "s3://b/a/./c", "s3://b/%2e%2e/c", "s3://b/%252e%252e/c", "s3://b/a//c", "gs://b/x", "dbfs:/x", "dbfs:x", "http://h/x", "https://h/api/2.0/mlflow-artifacts/artifacts/x", "ftp://h/x", "hdfs://h/x", "unknown:/x",
    "/tmp/x", "tmp/x", ".", "..", "file:///tmp/x", "file:/tmp/x", "file://localhost/tmp/x", "mlflow-artifacts:/x", "mlflow-artifacts:/reg", "mlflow-artifacts:/reg/../x", "mlflow-artifacts://h/x", "mlflow-artifacts:/..%2f..%2fx",
    "runs:/abc/model", "runs://abc/model", "runs:/", "runs:/$rr/model", "models:/m-none", "models:/none/1", "models:/m/99", "models:/m/x/y", "models:/", "models://h/m/1", "models:/m@none", "models:/m/Staging", "models:/m/none", "s3://b/a%00", "s3://b/a b", "s3://b/a+b",
]  # fmt: skip
_CREATE = [
    *broken_variants(f"{_V}/create", {"name": "m", "source": "s3://b/x", "run_id": "abc", "run_link": "l", "description": "d"}),
    *[_version("m", source) for source in _SOURCES],
    *[_version("m", source, run_id="$rr") for source in _SOURCES if not source.startswith(("models:", ".", "tmp"))],
    *[_version("m", source, model_id="m-none") for source in _SOURCES if source.startswith(("models:", "runs:", "/", "mlflow"))],
    _version("m", "mlflow-artifacts:/reg/$rr/artifacts", run_id="$rr"), _version("m", "mlflow-artifacts:/reg/$rr/artifacts/model", run_id="$rr"), _version("m", "mlflow-artifacts:/reg/$rr/artifacts2", run_id="$rr"), _version("m", "mlflow-artifacts:/reg/$rr2/artifacts", run_id="$rr"), _version("m", "mlflow-artifacts:/reg/$rr/art%69facts/x", run_id="$rr"), _version("m", "runs:/$rr/model", run_id="$rr"), _version("m", "runs:/$rr/model", run_id="$rr2"),
    _version("none"), _version("a/b"), _version("m", tags=_tags(t="1")), _version("m", tags=[{"key": "/a", "value": "x"}]), _version("m", tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]), _version("m", tags="x"), _version("m", tags=[{"key": "mlflow.prompt.text", "value": "x" * 100_001}]),
    post("logged-models", {"experiment_id": "$re", "name": "lm", "source_run_id": "$rr"}, rlm="model.info.model_id"), _version("m", "models:/$rlm", model_id="$rlm"), _version("m", "models:/$rlm"), _version("m", "models:/$rlm", model_id="m-other"), _version("m", "mlflow-artifacts:/reg/models/$rlm/artifacts", model_id="$rlm"), _version("m", "s3://b/x", model_id="$rlm"),
    _get("logged-models/$rlm", "the logged model lists its versions"), _model("copies"), _version("copies", "models:/m/1"), _version("copies", "models:/m/latest"), _version("copies", "models:/m/1", run_id="$rr2"), _version("copies", "models:/m/1", model_id="m-x"), _version("copies", "models:/m/1", run_id=""),
    *[_get(f"{_V}/get-download-uri", name="copies", version=version) for version in ("1", "2", "9", "x", "")], _get(f"{_V}/get-download-uri"), _get(f"{_V}/get-download-uri", version="1"),
]  # fmt: skip

_VERSIONS_OF_A_MODEL = [
    _model("v", tags=_tags(team="red")),
    *[_version("v", f"s3://b/v{i}", run_id="$rr" if i % 2 else "$rr2", tags=_tags(n=str(i)), description=f"number {i}") for i in range(1, 6)],
    *[_get(f"{_V}/get", name="v", version=version) for version in ("1", "9", "x", "1.0", " 1 ", "-1", "0", "1_0", "", "99999999999")],
    _get(f"{_V}/get", name="none", version="1"), _get(f"{_V}/get", name="a/b", version="1"), _get(f"{_V}/get"), _get(f"{_V}/get", name="v"),
    *broken_variants(f"{_V}/update", {"name": "v", "version": "1", "description": "d"}, "PATCH"), _patch(f"{_V}/update", {"name": "v", "version": "1", "description": "seen"}), _patch(f"{_V}/update", {"name": "v", "version": "1"}), _patch(f"{_V}/update", {"name": "v", "version": "1", "description": ""}), _patch(f"{_V}/update", {"name": "v", "version": 1}),
    *broken_variants(f"{_V}/set-tag", {"name": "v", "version": "1", "key": "k", "value": "v"}), *[post(f"{_V}/set-tag", {"name": "v", "version": "1", "key": key, "value": "v"}) for key in _KEYS], post(f"{_V}/set-tag", {"name": "v", "version": "9", "key": "k", "value": "v"}), post(f"{_V}/set-tag", {"name": "none", "version": "1", "key": "k", "value": "v"}),
    _delete(f"{_V}/delete-tag", {"name": "v", "version": "1", "key": "k"}), _delete(f"{_V}/delete-tag", {"name": "v", "version": "1", "key": "k"}), _delete(f"{_V}/delete-tag", {"name": "v", "version": "9", "key": "k"}), _delete(f"{_V}/delete-tag", {"name": "v"}), _delete(f"{_V}/delete-tag", {"name": "v", "version": "x", "key": "k"}),
    *broken_variants(f"{_R}/alias", {"name": "v", "alias": "al", "version": "1"}), *[post(f"{_R}/alias", {"name": "v", "alias": alias, "version": "2"}) for alias in ("champion", "a b", "latest", "LATEST", "v1", "V2", "v", "ü", "a-b_c", "a/b", "1", "x" * 255, "x" * 256)],
    post(f"{_R}/alias", {"name": "v", "alias": "champion", "version": "3"}), post(f"{_R}/alias", {"name": "v", "alias": "c", "version": "9"}), post(f"{_R}/alias", {"name": "v", "alias": "c", "version": "x"}), post(f"{_R}/alias", {"name": "none", "alias": "c", "version": "1"}),
    *[_get(f"{_R}/alias", name="v", alias=alias) for alias in ("champion", "none", "latest", "Latest", "a b", "v1", "")], _get(f"{_R}/alias", name="none", alias="c"), _get(f"{_R}/alias", name="m empty", alias="latest"), _get(f"{_R}/alias"),
    _delete(f"{_R}/alias", {"name": "v", "alias": "1"}), _delete(f"{_R}/alias", {"name": "v", "alias": "1"}), _delete(f"{_R}/alias", {"name": "none", "alias": "c"}), _delete(f"{_R}/alias", {"name": "v", "alias": "a b"}), _delete(f"{_R}/alias", {"name": "v"}), _model_named("v"),
]  # fmt: skip


def _to(version: str, stage: str, **more) -> Case:
    return post(f"{_V}/transition-stage", {"name": "v", "version": version, "stage": stage} | more)


_STAGES = [
    *broken_variants(f"{_V}/transition-stage", {"name": "v", "version": "1", "stage": "Staging", "archive_existing_versions": False}),
    _to("1", "Production"), _to("2", "production"), _to("3", "PRODUCTION", archive_existing_versions=True), _to("4", "Staging", archive_existing_versions=True), _to("5", "x"), _to("5", "Archived", archive_existing_versions=True), _to("5", "None", archive_existing_versions=True), _to("5", "Deleted_Internal"), _to("9", "Staging"), _to("x", "Staging"),
    *[post(f"{_R}/get-latest-versions", {"name": "v"} | more) for more in ({}, {"stages": []}, {"stages": ["Production"]}, {"stages": ["production", "staging"]}, {"stages": ["x"]}, {"stages": "x"}, {"stages": [1]}, {"stages": None})], _get(f"{_R}/get-latest-versions", name="v", stages=["None", "Archived"]), _get(f"{_R}/get-latest-versions", name="none"), post(f"{_R}/get-latest-versions", {"name": "none", "stages": ["x"]}), post(f"{_R}/get-latest-versions", {}), _model_named("v"),
    post(f"{_R}/alias", {"name": "v", "alias": "gone", "version": "5"}), _delete(f"{_V}/delete", {"name": "v", "version": "5"}), _delete(f"{_V}/delete", {"name": "v", "version": "5"}), _delete(f"{_V}/delete", {"name": "none", "version": "5"}), _delete(f"{_V}/delete", {"name": "v", "version": "x"}), _delete(f"{_V}/delete", {"name": "v"}),
    _get(f"{_V}/get", "a deleted version", name="v", version="5"), _get(f"{_R}/alias", name="v", alias="gone"), _version("v", description="after a deleted one"), _model_named("v"), _get(f"{_V}/get-download-uri", name="v", version="5"),
]  # fmt: skip

_PROMPTS = [
    _model("p", tags=_is_prompt()), _model("p"), _model("p", tags=_is_prompt("false")), _version("p", tags=_is_prompt()), _version("p", "dummy-source", tags=[*_is_prompt(), {"key": "mlflow.prompt.text", "value": "Say {{x}}"}]), _version("p", "prompt-template", tags=_is_prompt("True")), _version("p", "dummy-source"), _version("m", "models:/p/1"),
    _model_named("p"), _get(f"{_R}/alias", name="p", alias="latest"), post(f"{_R}/alias", {"name": "p", "alias": "prod", "version": "1"}), _get(f"{_R}/alias", name="p", alias="prod"), _delete(f"{_R}/alias", {"name": "p", "alias": "prod"}),
]  # fmt: skip

_P = f"tag.`{_PROMPT}`"
_FILTERS = [
    "", "name = 'v'", "name != 'v'", "name LIKE 'm%'", "name ILIKE 'M%'", "name IN ('m', 'v')", "name NOT IN ('m', 'v', 'copies')", "name in ('m')", "name like 'v'", "attribute.name = 'v'", "attributes.name = 'v'", "`name` = 'v'", "name = \"v\"", "name = v", "name = 5", "name > 'a'", "name IN ()", "name IN ('a', 5)", "name = ('a')", "name", "name =", "name = 'v' AND name = 'm'", "name = 'v' OR name = 'm'", "name = 'v' name = 'm'",
    "tags.team = 'red'", "tag.team = 'red'", "tags.`team` = 'red'", "tags.'team' = 'red'", "tags.team != 'red'", "tags.team LIKE 'r%'", "tags.team ILIKE 'R%'", "tags.team > 'a'", "tags.team IN ('red')", "tags.team = red", "tags.team = 5", "tags.team IS NULL", "tags.a = '1' AND tags.b = '2'", "tags.a = '1' AND tags.a = '2'", "tags.none = 'x'",
    f"{_P} = 'true'", f"{_P} = 'false'", f"{_P} != 'true'", f"{_P} != 'false'", f"{_P} ILIKE 'true'", f"{_P} = 'TRUE'", f"{_P} = 'true' AND name = 'p'", f"{_P} != 'true' AND name = 'p'", "params.a = 'b'", "foo = 'x'", "creation_timestamp > 0", "name = 'un", "'x' = 'x'", "; name = 'v'", "name = 'v'; name = 'm'",
]  # fmt: skip
_VERSION_FILTERS = [
    "run_id = '$rr'", "run_id != '$rr'", "run_id IN ('$rr', '$rr2')", "run_id NOT IN ('$rr')", "run_id LIKE '%'", "run_id > 'a'", "run_id IN ()", "run_id = 5", "source_path = 's3://b/v1'", "source_path LIKE 's3://b/v%'", "source_path ILIKE 'S3://B/V%'", "source_path IN ('a')", "version_number = 1", "version_number = '1'", "version_number != 1", "version_number > 2", "version_number <= 2", "version_number LIKE '1'", "version_number IN ('1')", "version_number = 1.5", "version_number = 'x'", "version_number > 99999999999",
    "name = 'v' AND version_number > 2", "name = 'v' AND run_id = '$rr' AND tags.n = '3'", "tags.n != '3'", "tags.n > '3'", "current_stage = 'None'", "status = 'READY'", "attribute.run_id = '$rr'",
]  # fmt: skip
_ORDERS = [
    # By times only what is refused or decided before: they differ from server to server.
    ["name"], ["name DESC"], ["name asc"], ["version_number", "name"], ["version_number DESC"], ["name", "name DESC"], ["timestamp", "last_updated_timestamp"], ["name up"], ["name desc asc"], [""], ["attribute.name"], ["tags.name"], ["tags.team"], ["`name`"], ["foo"], ["params.a"], ["name", "timestamp DESC"], ["run_id"], ["name,timestamp"],
]  # fmt: skip
_BOTH = [(f"{_R}/search", []), (f"{_V}/search", _VERSION_FILTERS)]
_SEARCH = [
    case
    for path, filters in _BOTH
    for case in [
        *[_get(path, f"{path} filter: {text}", filter=text, order_by=["name"]) for text in _FILTERS + filters],
        *[_get(path, f"{path} order: {order}", filter="name IN ('v', 'm', 'copies')", order_by=order) for order in _ORDERS],
        *[_get(path, f"{path} max_results {count}", max_results=count, order_by=["name"]) for count in ("0", "1", "3", "1000", "1001", "200000", "200001", "x", "1.5", "99999999999999999999")],
        *[_get(path, f"{path} token {token}", page_token=token, order_by=["name"]) for token in ("x", "bm90IGpzb24=", "e30=", "eyJvZmZzZXQiOiAxfQ==", "eyJvZmZzZXQiOiAxMDAwfQ==", "")],
        _get(path, f"{path} order_by as one text", order_by="name DESC"), _get(path, f"{path} unknown parameter", nope="1"), post(path, {}),
    ]
]  # fmt: skip
_PAGES = [
    Case("models page 1", "GET", f"/api/2.0/mlflow/{_R}/search", {"max_results": "2"}, save={"rt": "next_page_token"}), Case("models page 2", "GET", f"/api/2.0/mlflow/{_R}/search", {"max_results": "2", "page_token": "$rt"}),
    Case("versions page 1", "GET", f"/ajax-api/2.0/mlflow/{_V}/search", {"max_results": "2", "order_by": "version_number"}, save={"vt": "next_page_token"}), Case("versions page 2", "GET", f"/ajax-api/2.0/mlflow/{_V}/search", {"max_results": "2", "order_by": "version_number", "page_token": "$vt"}),
]  # fmt: skip
_FILES = [
    Case(f"version file {query}", "GET", "/model-versions/get-artifact", query)
    for query in ({"name": "copies", "version": "9", "path": "x"}, {"name": "none", "version": "1", "path": "x"}, {"name": "v", "version": "1", "path": "../x"}, {"version": "1", "path": "x"}, {"name": "m", "version": "x", "path": "y"})
]  # fmt: skip

CASES: list[Case] = [
    *_MODELS, *_TAGS, *_CREATE, *_VERSIONS_OF_A_MODEL, *_STAGES, *_PROMPTS, *_SEARCH, *_PAGES, *_FILES,
    _delete(f"{_R}/delete", {"name": "v"}), _delete(f"{_R}/delete", {"name": "p"}), _model_named("v"),
]  # fmt: skip
