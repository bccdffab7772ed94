"""Cases of what judges traces: evaluation datasets, scorers, label schemas, review queues, issues and jobs."""

import json

from .case import broken_variants, get, post, raw, send

V3 = "/api/3.0/mlflow"
AJAX = "/ajax-api/3.0/mlflow"
DATASETS = f"{V3}/datasets"
TEXT = {"text": {}}


def dataset(name, /, **fields):
    """Creates a dataset; dictionaries become JSON in strings."""
    return post(f"{DATASETS}/create", {"name": name, **_as_text(fields)}, name=f"create dataset {name} {fields}", **{name: "dataset.dataset_id"})


def records(which, *rows, name=""):
    """Adds records to a dataset."""
    return post(f"{DATASETS}/{which}/records", {"records": json.dumps(rows)}, name=name or f"upsert {which} {rows}")


def _as_text(fields):
    return {key: json.dumps(value) if isinstance(value, dict) else value for key, value in fields.items()}


def search(**body):
    """Searches datasets."""
    return post(f"{DATASETS}/search", body, name=f"search datasets {body}")


_DATASETS = [
    search(experiment_ids=["0"]),
    post("/api/2.0/mlflow/experiments/create", {"name": "judged"}, name="an experiment", judged="experiment_id"),
    post("/api/2.0/mlflow/experiments/create", {"name": "dropped"}, name="another one", dropped="experiment_id"),
    dataset("plain"),
    dataset("tagged", tags={"team": "red", "mlflow.user": "ann"}, experiment_ids=["0"]),
    dataset("scoped", experiment_ids=["$judged", "0"], tags={"team": "Blue", "ü": "ö"}),
    dataset("strange", tags={"one": 1, "none": None}),
    dataset("lost", experiment_ids=["99999"]),
    post(f"{DATASETS}/create", {"name": "x", "experiment_ids": ["0", "0"]}, name="an experiment twice"),
    post(f"{DATASETS}/create", {"name": "x", "tags": "no json"}, name="tags that are no JSON"),
    post(f"{DATASETS}/create", {"name": "x", "tags": "[1]"}, name="tags that are a list"),
    get(f"{DATASETS}/$plain"),
    get(f"{DATASETS}/$tagged", name="get tagged"),
    get(f"{AJAX}/datasets/$scoped", name="get scoped by ajax"),
    get(f"{DATASETS}/d-none"),
    get(f"{DATASETS}/$scoped/experiment-ids", name="experiments of scoped"),
    get(f"{DATASETS}/d-none/experiment-ids"),
    send("PATCH", f"{DATASETS}/$plain/tags", {"tags": json.dumps({"a": "1", "b": None, "c": 2.5, "d": True, "e": ["x"]})}),
    send("PATCH", f"{DATASETS}/$plain/tags", {"tags": "{\"a\": \"2\"}"}, name="a tag again"),
    send("PATCH", f"{DATASETS}/$plain/tags", {"tags": "no json"}, name="set tags that are no JSON"),
    send("PATCH", f"{DATASETS}/d-none/tags", {"tags": "{}"}),
    send("DELETE", f"{DATASETS}/$plain/tags/a"),
    send("DELETE", f"{DATASETS}/$plain/tags/a", name="delete a tag again"),
    send("DELETE", f"{DATASETS}/d-none/tags/a"),
    get(f"{DATASETS}/$plain", name="plain after its tags"),
    post(f"{DATASETS}/$plain/add-experiments", {"experiment_ids": ["0", "$judged"]}),
    post(f"{DATASETS}/$plain/add-experiments", {"experiment_ids": ["0"]}, name="add an experiment again"),
    post(f"{DATASETS}/$plain/add-experiments", {"experiment_ids": []}, name="add no experiment"),
    post(f"{DATASETS}/$plain/add-experiments", {"experiment_ids": ["99999"]}, name="add an unknown experiment"),
    post(f"{DATASETS}/d-none/add-experiments", {"experiment_ids": ["0"]}),
    get(f"{DATASETS}/$plain/experiment-ids", name="experiments of plain"),
    post(f"{DATASETS}/$plain/remove-experiments", {"experiment_ids": ["0", "99999"]}),
    post(f"{DATASETS}/$plain/remove-experiments", {"experiment_ids": []}, name="remove no experiment"),
    post(f"{DATASETS}/d-none/remove-experiments", {"experiment_ids": ["0"]}),
    get(f"{DATASETS}/$plain/experiment-ids", name="experiments of plain now"),
    dataset("gone", experiment_ids=["0"]),
    send("DELETE", f"{DATASETS}/$gone"),
    send("DELETE", f"{DATASETS}/$gone", name="delete a dataset again"),
    get(f"{DATASETS}/$gone", name="get what is gone"),
    *broken_variants(f"{DATASETS}/create", {"name": "broken", "experiment_ids": ["0"], "tags": "{}"}),
    *broken_variants(f"{DATASETS}/$plain/tags", {"tags": "{\"k\": \"v\"}"}, "PATCH"),
    *broken_variants(f"{DATASETS}/$plain/add-experiments", {"experiment_ids": ["0"]}),
    post(f"{DATASETS}/$plain", {}, name="POST to a dataset"),
    send("PUT", f"{DATASETS}/$plain/records", {}, name="PUT to records"),
]  # fmt: skip

_QA = {"inputs": {"q": "one", "n": [1, 2.5, None, {"x": True}]}, "outputs": {"a": "é"}, "expectations": {"e": 1}, "tags": {"t": "1"}}
_RECORDS = [
    get(f"{DATASETS}/$tagged/records", name="no records"),
    get(f"{DATASETS}/d-none/records"),
    records("$tagged", _QA),
    get(f"{DATASETS}/$tagged", name="tagged with a record"),
    records("$tagged", {"inputs": {"n": [1, 2.5, None, {"x": True}], "q": "one"}, "expectations": {"f": [2]}, "tags": {"mlflow.user": "bob"}}),
    records("$tagged", {"inputs": {"q": "two"}}),
    records("$tagged", {"inputs": {"q": "two"}, "outputs": None}, name="forget the outputs"),
    records("$tagged", {"inputs": {"q": "three", "n": "text"}, "outputs": "text"}),
    records("$tagged", {"inputs": {"q": "four"}, "source": {"source_type": "trace", "source_data": {"trace_id": "tr-1", "x": 1}}}),
    records("$tagged", {"inputs": {"q": "five"}, "source": {"source_type": "HUMAN", "source_data": {"source_id": "h"}}, "tags": {"mlflow.user": "eve"}}),
    records("$tagged", {"inputs": {"q": "six"}, "source": {"source_type": "UNSPECIFIED"}}, name="a source of no kind"),
    records("$tagged", {"inputs": {"q": "7"}, "expectations": None, "tags": None, "source": None}, name="a record with nulls"),
    records("$tagged", {"inputs": {"q": "8"}}, {"inputs": {"q": "8"}, "tags": {"x": "y"}}, name="a record twice in one request"),
    records("$tagged", {}, name="a record without inputs"),
    records("$tagged", name="no record at all"),
    get(f"{DATASETS}/$tagged/records", name="all records"),
    get(f"{AJAX}/datasets/$tagged/records", max_results="3", name="three records", save={"rest": "next_page_token"}),
    get(f"{DATASETS}/$tagged/records", max_results="3", page_token="$rest", name="the next three records"),
    get(f"{DATASETS}/$tagged/records", max_results="2", page_token="5", name="records by their number"),
    *[get(f"{DATASETS}/$tagged/records", max_results=n, name=f"records max_results {n}") for n in ("0", "1", "abc", "1.5", "100000", "-1")],
    *[get(f"{DATASETS}/$tagged/records", page_token=t, name=f"records token {t}") for t in ("x", "abcd", "MTIz", "MTI6ZHI=", "999999")],
    get(f"{DATASETS}/$tagged", name="tagged with records"),
    records("d-none", name="nothing for nobody"),
    records("d-none", {"inputs": {"q": 1}}),
    *[
        post(f"{DATASETS}/$strange/records", {"records": text}, name=f"bad records {text}")
        for text in (
            "x", "{}", "5", "[1]", "[null]", "[[]]", '[{"inputs": null}]', '[{"inputs": [1]}]', '[{"inputs": "x"}]',
            '[{"inputs": {}, "expectations": [1]}]', '[{"inputs": {}, "source": "x"}]',
            '[{"inputs": {}, "source": {"source_type": "NOPE"}}]', '[{"inputs": {}, "source": {"source_type": 5}}]',
            '[{"inputs": {}, "source": {"source_data": {}}}]', '[{"inputs": {}, "source": {"source_type": "CODE", "more": 1}}]',
        )
    ],
    get(f"{DATASETS}/$strange/records", name="no records of bad requests"),
    *broken_variants(f"{DATASETS}/$lost/records", {"records": "[]"}),
    records("$scoped", {"inputs": {"q": 1}}, name="a record to delete"),
    get(f"{DATASETS}/$scoped/records", name="the record to delete"),
    send("DELETE", f"{DATASETS}/$scoped/records", {"dataset_record_ids": ["dr-none"]}),
    send("DELETE", f"{DATASETS}/$scoped/records", {"dataset_record_ids": []}, name="delete no records"),
    send("DELETE", f"{DATASETS}/d-none/records", {"dataset_record_ids": ["dr-none"]}),
    *broken_variants(f"{DATASETS}/$scoped/records", {"dataset_record_ids": ["dr-none"]}, "DELETE"),
]  # fmt: skip

_SEARCHES = [
    search(),
    search(experiment_ids=["$judged"]),
    search(experiment_ids=["0", "99999"], order_by=["name"]),
    search(experiment_ids=["99999"]),
    get(f"{DATASETS}/search", experiment_ids=["0"], order_by=["name DESC"]),
    *[search(filter_string=f, order_by=["name ASC"]) for f in (
        "name = 'plain'", "name != 'plain'", "name LIKE 'p%'", "name LIKE 'P%'", "name ILIKE 'P%'", "name IN ('plain', 'tagged')",
        "name > 'plain'", "name <= 'plain'", "tags.team = 'red'", "tags.team != 'red'", "tags.team LIKE 'B%'", "tags.team ILIKE 'b%'",
        "tags.team = 'red' AND name = 'tagged'", "tags.`team` = 'red'", "created_time > 5", "created_time < 5",
        "last_update_time >= 5 AND created_time != 7", "created_by = 'ann'", "last_updated_by = 'eve'", "created_by LIKE 'a%'",
        "name = \"plain\"", "  name='plain'  ", "name = 'plain' and created_time > 1",
    )],
    *[search(filter_string=f) for f in (
        "name", "name = plain", "name = 5", "digest = 'x'", "tag.team = 'red'", "attributes.name = 'x'", "name NOT IN ('a')",
        "created_by IN ('a')", "created_time = 'x'", "created_time = 1.5", "created_time LIKE 5", "created_time IN (5)",
        "tags.team > 'a'", "tags.team = 5", "tags.team IN ('a')", "tags.team IS NULL", "name IS NOT NULL", "name = 'a' OR name = 'b'",
        "name like 'p%'", "name in ('a')", "AND", "name = 'a", "(name = 'a')", "name ==", "'name' = 'a'", "`name` = 'a'",
    )],
    *[search(order_by=by) for by in (
        ["name"], ["name DESC"], ["created_time"], ["last_update_time DESC", "name"], ["tags.team"], ["created_by"], ["digest"],
        ["name sideways"], [""], ["name", "name DESC"], ["attributes.name"],
    )],
    *[search(max_results=n) for n in (1, 0, -1, 50000, 50001, "abc", 1.5)],
    post(f"{DATASETS}/search", {"max_results": 2, "order_by": ["name"], "filter_string": "name IN ('lost', 'plain', 'tagged')"}, name="two datasets", more="next_page_token"),
    search(max_results=2, order_by=["name"], filter_string="name IN ('lost', 'plain', 'tagged')", page_token="$more"),
    *[search(page_token=t) for t in ("x", "abcd", "eyJvZmZzZXQiOiA5OTk5fQ==")],
    *broken_variants(f"{DATASETS}/search", {"filter_string": "name = 'plain'", "experiment_ids": ["0"], "order_by": ["name"]}),
]  # fmt: skip

_JUDGE = {"name": "j", "instructions_judge_pydantic_data": {"model": "openai:/gpt-4o", "instructions": "{{ inputs }}"}}


def scorer(name, body, **fields):
    """Registers a scorer."""
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    return post(f"{V3}/scorers/register", {"experiment_id": "0", "name": name, "serialized_scorer": text} | fields, name=f"register {name} {text[:60]} {fields}")


def config(**fields):
    """Says when a scorer runs by itself."""
    return send("PUT", f"{V3}/scorers/online-config", {"experiment_id": "0", "name": "b", "sample_rate": 0} | fields, name=f"online {fields}")


_SCORERS = [
    get(f"{V3}/scorers/list", experiment_id="0", name="no scorers"),
    scorer("b", _JUDGE),
    scorer("a", {"v": 1.0, "ü": "é"}),
    scorer("b", {"v": 2}),
    scorer("c", _JUDGE, experiment_id="$judged"),
    get(f"{V3}/scorers/list", experiment_id="0"),
    get(f"{AJAX}/scorers/list", experiment_ids=["0", "$judged"], name="scorers of two"),
    get(f"{V3}/scorers/list", name="scorers of all"),
    get(f"{V3}/scorers/list", experiment_id="0", experiment_ids=["0"], name="scorers of both"),
    *[get(f"{V3}/scorers/list", experiment_ids=[i], name=f"scorers of {i}") for i in ("99999", "abc", "")],
    *[get(f"{V3}/scorers/list", experiment_id=i, name=f"scorers of one {i}") for i in ("99999", "abc")],
    *[
        get(f"{V3}/scorers/{route}?experiment_id={experiment}&name={name}", name=f"{route} {experiment} {name}")
        for route in ("get", "versions")
        for experiment, name in (("0", "b"), ("0", "a"), ("0", "none"), ("99999", "b"), ("abc", "b"), ("", "b"), ("0", ""))
    ],
    *[get(f"{V3}/scorers/get?experiment_id=0&name=b&version={v}", name=f"get version {v}") for v in ("1", "2", "3", "0", "-1", "x", "1.0", "")],
    get(f"{V3}/scorers/get", name="get no scorer"),
    get(f"{V3}/scorers/versions", name="versions of no scorer"),
    *[scorer(name, body) for name, body in (
        ("x", "no json"), ("x", "5"), ("x", "[]"), ("x", "null"), (" ", {}), ("x", {"call_source": "return 1"}),
        ("x", {"ensemble_scorer_data": {"scorers": [{"call_source": "x"}]}}), ("n", {"call_source": None}),
        ("x", {"third_party_scorer_data": {"kwargs": {"api_base": "x", "a": {"model_list": []}}}}),
        ("x", {"third_party_scorer_data": {"kwargs": [["base_url", 1]]}}),
        ("x", {"third_party_scorer_data": {"kwargs": {"a": [["base_url", 1]]}}}),
        ("x", {"instructions_judge_pydantic_data": {"model": "gateway:/nowhere"}}),
        ("x", {"builtin_scorer_pydantic_data": {"model": 5}}), ("x", {"builtin_scorer_pydantic_data": {"model": " "}}),
        ("m", {"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": {"model": "openai:/x"}}}}),
        ("g", {"builtin_scorer_pydantic_data": {"model": "gateway:/"}}),
    )],
    scorer("x", {}, experiment_id="99999"),
    scorer("x", {}, experiment_id="abc"),
    config(),
    config(sample_rate=0.0, filter_string="trace.status = 'OK'"),
    config(sample_rate="0", filter_string=None),
    config(sample_rate=0.5),
    config(sample_rate=0.5, name="m"),
    *[config(sample_rate=r) for r in (2, -0.1, "x", None, True, [], "")],
    config(name="none"),
    config(experiment_id="99999"),
    config(experiment_id=5),
    config(filter_string=5),
    config(filter_string={"a": 1}),
    config(filter_string=""),
    raw("PUT", f"{V3}/scorers/online-config", b"no json", headers={"Content-Type": "application/json"}),
    raw("PUT", f"{V3}/scorers/online-config", b"{}", headers={"Content-Type": "text/plain"}),
    get(f"{V3}/scorers/online-configs", scorer_ids=["none"]),
    get(f"{V3}/scorers/online-configs"),
    get(f"{V3}/scorers/online-configs?scorer_ids=", name="configs of an empty id"),
    *broken_variants(f"{V3}/scorers/register", {"experiment_id": "0", "name": "broken", "serialized_scorer": "{}"}),
    *[
        send("DELETE", f"{V3}/scorers/delete", {"experiment_id": "0", "name": "b", "version": v}, name=f"delete version {v}")
        for v in (9, 1, 1, "x", 0)
    ],
    send("DELETE", f"{V3}/scorers/delete", {"experiment_id": "0", "name": "b"}),
    send("DELETE", f"{V3}/scorers/delete", {"experiment_id": "0", "name": "b"}, name="delete a scorer again"),
    *broken_variants(f"{V3}/scorers/delete", {"experiment_id": "0", "name": "none", "version": 1}, "DELETE"),
    get(f"{V3}/scorers/list", experiment_id="0", name="scorers that are left"),
    post(f"{AJAX}/scorer/invoke", {}, name="invoke nothing"),
    post(f"{AJAX}/scorer/invoke", {"experiment_id": "0"}, name="invoke no scorer"),
    post(f"{AJAX}/scorer/invoke", {"experiment_id": "0", "serialized_scorer": "{}"}, name="invoke on no traces"),
    post(f"{AJAX}/scorer/invoke", {"experiment_id": "0", "serialized_scorer": "{}", "trace_ids": [5]}, name="invoke on a number"),
    post(f"{AJAX}/scorer/invoke", {"experiment_id": "0", "serialized_scorer": "{}", "trace_ids": ["t"], "scorer_name": "x"}, name="invoke half a version"),
    post(f"{AJAX}/scorer/invoke", {"experiment_id": "0", "serialized_scorer": "x", "trace_ids": ["t"]}, name="invoke no JSON"),
    raw("POST", f"{AJAX}/scorer/invoke", b"{}", headers={"Content-Type": "text/plain"}),
]  # fmt: skip


def schema(name, given=None, /, **fields):
    """Creates a label schema."""
    body = {"experiment_id": "0", "name": name, "type": "FEEDBACK", "input": given or TEXT} | fields
    return post(f"{V3}/label-schemas/create", body, name=f"schema {name[:40]!r} {str(given)[:90]} {str(fields)[:60]}", **{f"s_{name[:9]}": "label_schema.schema_id"})


def change(which, **fields):
    """Changes a label schema."""
    return send("PATCH", f"{V3}/label-schemas/update", {"schema_id": which} | fields, name=f"change {which} {str(fields)[:80]}")


def named(route, **query):
    """A GET whose query has a `name`."""
    text = "&".join(f"{key}={value}" for key, value in query.items())
    return get(f"{V3}/{route}?{text}", name=f"{route} {query}")


_SCHEMAS = [
    get(f"{V3}/label-schemas/list", experiment_id="0", save={"default": "label_schemas.0.schema_id"}),
    get(f"{AJAX}/label-schemas/list", experiment_id="0", name="schemas again"),
    schema("text"),
    schema("long", {"text": {"max_length": 5}}, type="EXPECTATION", instruction="Do – it", enable_comment=True),
    schema("buttons", {"pass_fail": {"positive_label": "Yes", "negative_label": "No"}}),
    schema("words", {"categorical": {"options": ["a", "é"]}}),
    schema("manywords", {"categorical": {"options": ["a"], "multi_select": True}}),
    schema("number", {"numeric": {"min_value": 1, "max_value": 2.5}}),
    schema("anynumber", {"numeric": {}}, type=2),
    schema("text", name="text"),
    *[named("label-schemas/get", schema_id=i) for i in ("$s_text", "$s_long", "$s_buttons", "$s_words", "$s_manywords", "$s_number", "ls-none", "")],
    *[named("label-schemas/get-by-name", experiment_id=e, name=n) for e, n in (("0", "text"), ("0", "none"), ("99999", "text"), ("abc", "text"), ("", "text"))],
    *[schema("bad", given) for given in (
        {"nothing": 1}, {"text": {"max_length": 0}}, {"pass_fail": {}}, {"pass_fail": {"positive_label": "a"}},
        {"pass_fail": {"positive_label": "a", "negative_label": "a"}}, {"pass_fail": {"positive_label": "x" * 65, "negative_label": "a"}},
        {"categorical": {}}, {"categorical": {"options": [""]}}, {"categorical": {"options": ["a", "a"]}},
        {"categorical": {"options": ["x" * 65]}}, {"categorical": {"options": [str(i) for i in range(11)]}},
        {"numeric": {"min_value": 2, "max_value": 2}}, {"numeric": {"min_value": 3, "max_value": 2.5}}, {"numeric": {"min_value": "x"}},
    )],
    *[schema(name) for name in ("Feedback", " feedback ", "x" * 250, "x" * 251)],
    schema("bad", instruction="x" * 1001),
    schema("bad", type="NOPE"),
    schema("bad", type=0),
    schema("bad", experiment_id="99999"),
    schema("bad", experiment_id="abc"),
    change("$s_text", name="renamed", instruction="new", enable_comment=True),
    change("$s_text"),
    change("$s_text", input={"text": {"max_length": 9}}),
    change("$s_text", input={"numeric": {}}),
    change("$s_text", input={}),
    change("$s_text", name="words"),
    change("$s_text", name=""),
    change("$s_text", name="feedback"),
    change("$s_text", name="x" * 251),
    change("$s_text", instruction="x" * 1001),
    change("$s_words", input={"categorical": {"options": ["b", "c"]}}),
    change("$s_words", input={"categorical": {"options": ["b"], "multi_select": True}}),
    change("$default", name="mine"),
    change("ls-none", name="x"),
    get(f"{V3}/label-schemas/list", experiment_id="0", name="all schemas"),
    get(f"{V3}/label-schemas/list", experiment_id="0", max_results="2", name="two schemas", save={"later": "next_page_token"}),
    get(f"{V3}/label-schemas/list", experiment_id="0", max_results="2", page_token="$later", name="the next two schemas"),
    *[get(f"{V3}/label-schemas/list", experiment_id="0", max_results=n) for n in ("0", "-1", "50000", "50001", "x", "", "99999999999")],
    *[get(f"{V3}/label-schemas/list", experiment_id="0", page_token=t) for t in ("x", "abcd", "")],
    *[get(f"{V3}/label-schemas/list", experiment_id=e) for e in ("99999", "abc", "")],
    send("DELETE", f"{V3}/label-schemas/delete", {"schema_id": "$s_long"}),
    send("DELETE", f"{V3}/label-schemas/delete", {"schema_id": "$s_long"}, name="delete a schema again"),
    send("DELETE", f"{V3}/label-schemas/delete", {"schema_id": "$default"}, name="delete the default schema"),
    *broken_variants(f"{V3}/label-schemas/create", {"experiment_id": "0", "name": "broken", "type": "FEEDBACK", "input": TEXT, "instruction": "i", "enable_comment": True}),
    *broken_variants(f"{V3}/label-schemas/update", {"schema_id": "$s_buttons", "name": "broken2", "instruction": "i", "enable_comment": True}, "PATCH"),
    *broken_variants(f"{V3}/label-schemas/delete", {"schema_id": "ls-none"}, "DELETE"),
]  # fmt: skip

QUEUES = f"{V3}/review-queues"


def queue(name, /, **fields):
    """Creates a review queue."""
    body = {"experiment_id": "0", "name": name, "queue_type": "CUSTOM"} | fields
    return post(f"{QUEUES}/create", body, name=f"queue {name[:40]!r} {str(fields)[:80]}", **{f"q_{name.strip()[:9]}": "review_queue.queue_id"})


def update(which, **fields):
    """Changes a review queue."""
    return post(f"{QUEUES}/update", {"queue_id": which} | fields, name=f"update {which} {str(fields)[:80]}")


def person(user, **fields):
    """Asks for the queue of a person."""
    return post(f"{QUEUES}/get-or-create-user", {"experiment_id": "0", "user": user} | fields, name=f"queue of {user[:40]!r} {fields}", **{f"u_{user.strip()[:9]}": "review_queue.queue_id"})


def status(item, **fields):
    """Sets the status of an item."""
    return post(f"{QUEUES}/items/set-status", {"queue_id": "$q_Mine", "item_id": item} | fields, name=f"status {item} {str(fields)[:80]}")


_QUEUES = [
    get(f"{QUEUES}/list", experiment_id="0", name="no queues"),
    queue("Mine", users=["Bob ", "ann", "ANN"], schema_ids=["$s_words"]),
    queue(" spaced "),
    queue("MINE"),
    queue("carl", queue_type="USER"),
    queue(" Dora ", queue_type="USER", users=["dora"]),
    queue("eve", queue_type="USER", users=["bob"]),
    queue("eve", queue_type="USER", schema_ids=["$s_words"]),
    queue("bad", schema_ids=["ls-none", "$s_words"]),
    queue("bad", schema_ids=["x" * 37]),
    queue("bad", users=[""]),
    queue("bad", users=[f"u{i}" for i in range(11)]),
    queue("bad", users=["x" * 251]),
    *[queue(name) for name in (" ", "default", "Default", "x" * 250, "x" * 251)],
    queue("bad", queue_type="NOPE"),
    queue("bad", queue_type=0),
    queue("bad", experiment_id="99999"),
    queue("bad", experiment_id="abc"),
    queue("owned", created_by="somebody"),
    person("Ann"),
    person("ann", created_by="x"),
    person("mine"),
    person(" "),
    person("x" * 251),
    person("ann", experiment_id="99999"),
    *[named("review-queues/get", queue_id=i) for i in ("$q_Mine", "$u_Ann", "rq-none", "")],
    *[named("review-queues/get-by-name", experiment_id=e, name=n) for e, n in (("0", "MINE"), ("0", "ann"), ("0", "none"), ("99999", "mine"), ("", "mine"))],
    get(f"{AJAX}/review-queues/list", experiment_id="0", user="ANN", name="queues of Ann"),
    get(f"{QUEUES}/list", experiment_id="0", user="nobody"),
    get(f"{QUEUES}/list", experiment_id="0", item_id="tr-1"),
    get(f"{QUEUES}/list", experiment_id="0", max_results="2", name="two queues", save={"queues": "next_page_token"}),
    get(f"{QUEUES}/list", experiment_id="0", max_results="2", page_token="$queues", name="the next two queues"),
    *[get(f"{QUEUES}/list", experiment_id="0", max_results=n) for n in ("0", "-1", "50001", "x")],
    *[get(f"{QUEUES}/list", experiment_id=e) for e in ("99999", "abc", "")],
    update("$q_Mine"),
    update("$q_Mine", name="Yours", new_owner=" Fay "),
    update("$q_Mine", name="YOURS"),
    update("$q_Mine", name="spaced"),
    update("$q_Mine", name="default"),
    update("$q_Mine", name=""),
    update("$q_Mine", new_owner=" "),
    update("$q_Mine", update_users=True, users=["gil", "GIL"]),
    update("$q_Mine", users=["ignored"]),
    update("$q_Mine", update_users=True),
    update("$q_Mine", update_schema_ids=True, schema_ids=["$s_number"]),
    update("$q_Mine", update_schema_ids=True, schema_ids=["ls-none"]),
    update("$q_Mine", update_schema_ids=True),
    update("$u_Ann", name="x"),
    update("$u_Ann"),
    update("rq-none", name="x"),
    *[post(f"{QUEUES}/items/add", {"queue_id": q, "item_ids": ids}, name=f"add {q} {str(ids)[:40]}") for q, ids in (
        ("$q_Mine", ["tr-none", " tr-x "]), ("$q_Mine", []), ("$q_Mine", [""]), ("$q_Mine", ["x" * 51]), ("rq-none", ["tr-1"]),
    )],
    *[post(f"{QUEUES}/items/remove", {"queue_id": q, "item_ids": ids}, name=f"remove {q} {ids}") for q, ids in (
        ("$q_Mine", ["tr-none"]), ("$q_Mine", []), ("rq-none", ["tr-1"]),
    )],
    get(f"{QUEUES}/items/list", queue_id="$q_Mine", name="no items"),
    get(f"{QUEUES}/items/list", queue_id="$q_Mine", status="COMPLETE", name="no items that are done"),
    get(f"{QUEUES}/items/list", queue_id="$q_Mine", status="NOPE", name="items of no status"),
    get(f"{QUEUES}/items/list", queue_id="rq-none"),
    get(f"{QUEUES}/items/list", queue_id="$q_Mine", max_results="0", name="items max_results 0"),
    status("tr-1"),
    status("tr-1", status="NOPE"),
    status("tr-1", status="COMPLETE"),
    status("tr-1", status="DECLINED", completed_by=" "),
    status("tr-1", status="COMPLETE", completed_by="ann"),
    status("tr-1", status="COMPLETE", completed_by="x" * 251),
    status("tr-1", status="PENDING"),
    status("tr-1", status="PENDING", completed_by="ann"),
    status("tr-1", queue_id="rq-none", status="PENDING"),
    status(""),
    *broken_variants(f"{QUEUES}/create", {"experiment_id": "0", "name": "broken", "queue_type": "CUSTOM", "users": ["u"], "schema_ids": []}),
    *broken_variants(f"{QUEUES}/update", {"queue_id": "rq-none", "name": "x", "users": ["u"], "update_users": True}),
    *broken_variants(f"{QUEUES}/items/add", {"queue_id": "rq-none", "item_ids": ["x"], "item_type": "TRACE"}),
    *broken_variants(f"{QUEUES}/items/set-status", {"queue_id": "rq-none", "item_id": "x", "status": "PENDING"}),
    post(f"{QUEUES}/delete", {"queue_id": "$q_spaced"}),
    post(f"{QUEUES}/delete", {"queue_id": "$q_spaced"}, name="delete a queue again"),
    named("review-queues/get", queue_id="$q_spaced"),
    *broken_variants(f"{QUEUES}/delete", {"queue_id": "rq-none"}),
]  # fmt: skip


def issue(name, /, **fields):
    """Creates an issue."""
    body = {"experiment_id": "0", "name": name, "description": "d"} | fields
    return post(f"{V3}/issues", body, name=f"issue {name[:40]} {str(fields)[:80]}", **{f"i_{name[:9]}": "issue.issue_id"})


def found(**body):
    """Searches issues."""
    return post(f"{V3}/issues/search", body, name=f"search issues {body}")


_ISSUES = [
    found(),
    post("/api/2.0/mlflow/runs/create", {"experiment_id": "0", "run_name": "finder"}, name="a run that finds", finder="run.info.run_id"),
    issue("plain"),
    issue("low", severity="low", status="resolved"),
    issue("high", severity="high", source_run_id="$finder", root_causes=["a", "ü"], categories=["c"], created_by="ann"),
    issue("medium", severity="medium", status="rejected"),
    issue("nothing", severity="not_an_issue", experiment_id="$judged"),
    issue("empty", root_causes=[], categories=[], source_run_id="", created_by=""),
    *[issue("bad", **fields) for fields in (
        {"status": "nope"}, {"status": "PENDING"}, {"severity": "nope"}, {"source_run_id": "none"}, {"experiment_id": "99999"},
        {"experiment_id": "abc"}, {"name": ""}, {"description": ""},
    )],
    get(f"{V3}/issues/$i_high"),
    get(f"{AJAX}/issues/$i_plain", name="a plain issue"),
    get(f"{V3}/issues/iss-none"),
    get(f"{V3}/issues/search", name="GET of a search"),
    *[send("PATCH", f"{V3}/issues/$i_plain", {"issue_id": "$i_plain", **fields}, name=f"update issue {fields}") for fields in (
        {}, {"name": "new"}, {"name": ""}, {"description": "more"}, {"status": "rejected", "severity": "high"}, {"status": "nope"},
        {"severity": ""},
    )],
    send("PATCH", f"{V3}/issues/$i_plain", {"name": "x"}, name="update an issue without its id"),
    send("PATCH", f"{V3}/issues/iss-none", {"issue_id": "iss-none"}),
    *[found(**body) for body in (
        {"experiment_id": "0"}, {"experiment_id": "$judged"}, {"experiment_id": "99999"}, {"experiment_id": "abc"},
        {"include_trace_count": True}, {"include_trace_count": False}, {"max_results": 50001}, {"max_results": 0}, {"max_results": -1},
        {"max_results": "x"}, {"page_token": "x"}, {"page_token": "eyJvZmZzZXQiOiA5OTk5fQ=="},
    )],
    post(f"{V3}/issues/search", {"max_results": 2}, name="two issues", issues="next_page_token"),
    found(max_results=2, page_token="$issues"),
    *[found(filter_string=f) for f in (
        "status = 'pending'", "status != 'pending'", "status = pending", "source_run_id = '$finder'", "source_run_id != 'x'",
        "status = 'resolved' AND source_run_id = 'x'", "name = 'x'", "status LIKE 'p%'", "status > 'a'", "status IN ('a')", "status IS NULL",
        "status", "status = 5", "status = 'a' OR status = 'b'", "`status` = 'pending'", "'status' = 'pending'", "\"status\" = \"pending\"",
    )],
    *broken_variants(f"{V3}/issues", {"experiment_id": "0", "name": "broken", "description": "d", "status": "pending", "severity": "low", "root_causes": ["x"]}),
    *broken_variants(f"{V3}/issues/search", {"experiment_id": "0", "filter_string": "status = 'pending'", "max_results": 5, "include_trace_count": True}),
    *[post(f"{AJAX}/issues/invoke", body, name=f"invoke issues {body}") for body in (
        {}, {"experiment_id": "0"}, {"experiment_id": "0", "trace_ids": [5], "categories": [], "provider": "openai"},
        {"experiment_id": "0", "trace_ids": [], "categories": [], "provider": "openai"},
    )],
]  # fmt: skip

_JOBS = [
    get("/ajax-api/3.0/jobs/none"),
    get(f"{AJAX}/jobs/none"),
    send("PATCH", "/ajax-api/3.0/jobs/cancel/none"),
    send("PATCH", f"{AJAX}/jobs/cancel/none"),
    post("/ajax-api/3.0/jobs/search", {}),
    post("/ajax-api/3.0/jobs/search", {"job_name": "x", "params": {"a": 1}, "statuses": ["PENDING"]}),
    post("/ajax-api/3.0/jobs/search", {"statuses": ["nope"]}),
    post("/ajax-api/3.0/jobs/search", {"params": 5}),
]

CASES = [*_DATASETS, *_RECORDS, *_SEARCHES, *_SCORERS, *_SCHEMAS, *_QUEUES, *_ISSUES, *_JOBS]
