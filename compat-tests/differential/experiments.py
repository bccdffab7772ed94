"""Cases of the experiments API."""

from .case import JSON, broken_variants, get, post, raw

_LIFE = [
    get("experiments/get", experiment_id="0"),
    post("experiments/create", {"name": "first", "tags": [{"key": "k", "value": "v"}]}, first="experiment_id"),
    get("experiments/get", experiment_id="$first"),
    get("/ajax-api/2.0/mlflow/experiments/get", experiment_id="$first"),
    get("experiments/get-by-name", experiment_name="first"),
    post("experiments/create", {"name": "first"}, name="duplicate experiment"),
    post("experiments/create", {"name": "naïve – ☃ 日本 \U0001f600"}, unicode="experiment_id"),
    get("experiments/get", experiment_id="$unicode"),
    get("experiments/get-by-name", experiment_name="naïve – ☃ 日本 \U0001f600"),
    post("/ajax-api/2.0/mlflow/experiments/create", {"name": "by ajax"}, ajax="experiment_id"),
    post("experiments/create", {"name": "x" * 500}, name="name of 500", long="experiment_id"),
    post("experiments/create", {"name": "x" * 501}, name="name of 501"),
    post("experiments/create", {"name": "  "}),
    post("experiments/create", {"name": " padded "}),
    post("experiments/create", {"name": "nul \x00 byte"}),
    post("experiments/create", {"name": "located", "artifact_location": "file:///tmp/some/where"}, located="experiment_id"),
    get("experiments/get", experiment_id="$located"),
    post("experiments/create", {"name": "on s3", "artifact_location": "s3://bucket/a b/ü"}, s3="experiment_id"),
    get("experiments/get", experiment_id="$s3"),
    post("experiments/create", {"name": "slash end", "artifact_location": "s3://bucket/path/"}, slash="experiment_id"),
    get("experiments/get", experiment_id="$slash"),
    post("experiments/create", {"name": "camel", "artifactLocation": "s3://camel/case"}, camel="experiment_id"),
    get("experiments/get", experiment_id="$camel"),
    get("experiments/get", experimentId="0"),
    *[
        post("experiments/create", {"name": f"bad location {i}", "artifact_location": location})
        for i, location in enumerate([
            "s3://bucket/path#fragment", "s3://bucket/path?query=1", "file:///a/../b", "mlflow-artifacts:/x/../../y",
            "mlflow-artifacts:/x?y=1", "file:///a%2e%2e/b", "dbfs:/x;params",
        ])
    ],
    *[
        post("experiments/create", {"name": f"tagged {i}", "tags": tags}, name=f"create with tags {i}")
        for i, tags in enumerate([
            [{"key": "k" * 250, "value": "v"}], [{"key": "k" * 251, "value": "v"}],
            [{"key": "k", "value": "v" * 20000}], [{"key": "k", "value": "v" * 20001}],
            [{"key": "", "value": "v"}], [{"key": "k"}], [{"value": "v"}], [{"key": "k", "value": ""}],
            [{"key": "a/../b", "value": "v"}], [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
            [{"key": "k", "value": "v", "more": 1}], [None], [[]], ["text"], [{"key": 1, "value": "v"}],
            [{"key": "k", "value": 1}], {"key": "k", "value": "v"},
        ])
    ],
]  # fmt: skip

_READS = [
    get("experiments/get"),
    get("experiments/get", experiment_id=""),
    get("experiments/get", experiment_id="99999"),
    get("experiments/get", experiment_id="-1"),
    get("experiments/get", experiment_id="abc"),
    get("experiments/get", experiment_id="1.0"),
    get("experiments/get", experiment_id="99999999999999999999999"),
    get("experiments/get", experiment_id=["$first", "0"], name="experiment_id given twice"),
    get("experiments/get", experiment_id="$first", unknown="1"),
    raw("GET", "experiments/get", b'{"experiment_id": "0"}', name="GET with a JSON body", headers=JSON),
    raw("GET", "experiments/get?experiment_id=0", b'{"experiment_id": "99"}', name="GET with both", headers=JSON),
    raw("GET", "experiments/get?experiment_id=0", b"not json", name="GET with a text body", headers={"Content-Type": "text/plain"}),
    get("experiments/get-by-name"),
    get("experiments/get-by-name", experiment_name=""),
    get("experiments/get-by-name", experiment_name="nope"),
    get("experiments/get-by-name", experiment_name="FIRST"),
]

_SEARCH = [
    get("experiments/search"),
    get("experiments/search", max_results="1"),
    get("experiments/search", max_results="3", save={"page": "next_page_token"}),
    get("experiments/search", max_results="3", page_token="$page", name="second page"),
    post("experiments/search", {"max_results": 2, "order_by": ["name DESC"]}, page2="next_page_token"),
    post("experiments/search", {"max_results": 2, "order_by": ["name DESC"], "page_token": "$page2"}, name="second page by name"),
    post("experiments/search", {"max_results": "2"}, name="max_results as text"),
    post("experiments/search", {"max_results": 2.0}),
    post("experiments/search", {"max_results": 2.5}),
    *[post("experiments/search", {"max_results": n}) for n in (0, -1, 50000, 50001, "abc", True, None, [], 2**63, 2**64)],
    *[get("experiments/search", max_results=n) for n in ("0", "-1", "50001", "abc", "", "1.0", "1e2", " 1", "99999999999999999999")],
    *[
        post("experiments/search", {"max_results": 3, "view_type": v, "order_by": ["experiment_id"]})
        for v in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3, 0, 4, "1", "active_only", "nonsense", True, None, 1.0)
    ],
    get("experiments/search", view_type="ALL", max_results="2", order_by="name"),
    get("experiments/search", view_type="2", max_results="2", order_by="name"),
    get("experiments/search", view_type="bogus", max_results="2"),
    *[
        post("experiments/search", {"max_results": 3, "page_token": token})
        for token in ("not base64!", "bm90IGpzb24=", "e30=", "eyJvZmZzZXQiOiAieCJ9", "eyJvZmZzZXQiOiAtMX0=", "", "eyJvZmZzZXQiOiA5OTk5fQ==", 5)
    ],
    *[
        post("experiments/search", {"max_results": 50, "order_by": order})
        for order in (
            ["name"], ["name ASC"], ["name asc"], ["name  desc"], ["`name` DESC"], ["creation_time"], ["last_update_time DESC"],
            ["experiment_id DESC"], ["attribute.name"], ["attributes.name DESC"], ["name", "name DESC"], ["lifecycle_stage"],
            ["tags.k"], ["foo"], ["name UP"], [""], ["name DESC, experiment_id"], ["artifact_location"], "name", [1], [None], ["name; DROP TABLE x"],
        )
    ],
    *[
        post("experiments/search", {"max_results": 50, "filter": text, "order_by": ["name"]})
        for text in (
            "name = 'first'", "name = \"first\"", "name != 'first'", "name LIKE 'fir%'", "name LIKE 'FIR%'", "name ILIKE 'FIR%'",
            "name ilike '%ST'", "name LIKE 'f_rst'", "`name` = 'first'", "attribute.name = 'first'", "attributes.name = 'first'", "attr.name = 'first'",
            "name = 'first' AND tags.k = 'v'", "name='first'and tags.k='v'", "tags.k = 'v'", "tag.k = 'v'", "tags.`k` = 'v'", 'tags."k" = "v"',
            "tags.k != 'v'", "tags.k LIKE 'V'", "tags.k ILIKE 'V'", "tags.k IS NULL", "tags.k IS NOT NULL", "tags.k is null", "tags.none = ''",
            "tags.`mlflow.experiment.isGateway` IS NULL", "creation_time > 0", "creation_time > 1.5", "creation_time > '0'", "creation_time = 0",
            "last_update_time >= 0 AND creation_time < 99999999999999", "creation_time LIKE '1%'", "name IN ('first', 'by ajax')", "name NOT IN ('first')",
            "name = first", "name = 5", "name > 'a'", "name", "name =", "= 'x'", "name = 'x' OR name = 'y'", "name = 'x' AND", "AND name = 'x'",
            "(name = 'first')", "name == 'first'", "name <> 'first'", "name = 'it''s'", "name = 'it\\'s'", "name = \"a'b\"", "name IS NULL",
            "experiment_id = '1'", "lifecycle_stage = 'active'", "metrics.a > 1", "params.x = '1'", "foo.bar = 'x'", "foo = 'bar'",
            "tags.k = v", "tags.k = 5", "tags.a.b = 'x'", "tags. = 'x'", "tags = 'x'", "name = 'unterminated", "name = 'x';", "-- comment",
            "name = 'first' /* c */", "  ", "name = ''", "name LIKE '%'", "name LIKE 'naïve%'", "not name = 'x'", "tags.'k' = 'v'",
        )
    ],
    post("experiments/search", {"max_results": 5, "filter": 5}),
    post("experiments/search", {"max_results": 5, "filter": None}),
    post("experiments/search", {"max_results": 5, "filter": "name = '" + "x" * 20000 + "'"}, name="a very long filter"),
]  # fmt: skip

_CHANGES = [
    post("experiments/update", {"experiment_id": "$first", "new_name": "renamed"}),
    get("experiments/get", experiment_id="$first", name="after update"),
    post("experiments/update", {"experiment_id": "$first", "new_name": "by ajax"}, name="update to a taken name"),
    post("experiments/update", {"experiment_id": "$first", "new_name": "renamed"}, name="update to the same name"),
    post("experiments/update", {"experiment_id": "$first", "new_name": "y" * 501}, name="update to a name of 501"),
    post("experiments/update", {"experiment_id": "99999", "new_name": "x"}),
    *broken_variants("experiments/update", {"experiment_id": "$ajax", "new_name": "by ajax"}),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "new", "value": "ü"}),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "k", "value": "changed"}),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "long", "value": "v" * 20001}, name="tag value of 20001"),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "cut", "value": "v" * 5001}, name="tag value of 5001"),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "k" * 251, "value": "v"}, name="tag key of 251"),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "/k", "value": "v"}),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "a b.c-d/e:f", "value": "v"}),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "a=b", "value": "v"}),
    post("experiments/set-experiment-tag", {"experiment_id": "99999", "key": "a", "value": "v"}),
    get("experiments/get", experiment_id="$first", name="after tags"),
    *broken_variants("experiments/set-experiment-tag", {"experiment_id": "$ajax", "key": "t", "value": "v"}),
    post("experiments/delete-experiment-tag", {"experiment_id": "$first", "key": "new"}),
    post("experiments/delete-experiment-tag", {"experiment_id": "$first", "key": "new"}, name="delete a tag twice"),
    *broken_variants("experiments/delete-experiment-tag", {"experiment_id": "$ajax", "key": "t"}),
    get("experiments/get", experiment_id="$ajax", name="after broken tags"),
    post("experiments/delete", {"experiment_id": "$first"}),
    get("experiments/get", experiment_id="$first", name="deleted experiment"),
    get("experiments/get-by-name", experiment_name="renamed", name="deleted experiment by name"),
    post("experiments/create", {"name": "renamed"}, name="create with the name of a deleted experiment"),
    post("experiments/delete", {"experiment_id": "$first"}, name="delete twice"),
    post("experiments/update", {"experiment_id": "$first", "new_name": "zombie"}),
    post("experiments/set-experiment-tag", {"experiment_id": "$first", "key": "k", "value": "zombie"}, name="tag a deleted experiment"),
    post("experiments/delete-experiment-tag", {"experiment_id": "$first", "key": "k"}, name="delete the tag of a deleted experiment"),
    post("runs/create", {"experiment_id": "$first"}, name="run in a deleted experiment"),
    post("experiments/search", {"view_type": "DELETED_ONLY", "max_results": 5}, name="search deleted"),
    post("experiments/restore", {"experiment_id": "$first"}),
    post("experiments/restore", {"experiment_id": "$first"}, name="restore twice"),
    post("experiments/restore", {"experiment_id": "99999"}),
    get("experiments/get", experiment_id="$first", name="restored experiment"),
    post("experiments/delete", {"experiment_id": "0"}, name="delete the default experiment"),
    post("experiments/restore", {"experiment_id": "0"}, name="restore the default experiment"),
    *broken_variants("experiments/delete", {"experiment_id": "99998"}),
    *broken_variants("experiments/restore", {"experiment_id": "99998"}),
]  # fmt: skip

CASES = [*_LIFE, *_READS, *_SEARCH, *_CHANGES]
