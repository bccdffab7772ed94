"""Cases of runs/search: filters, orders, paging."""

from .case import Case, get, post

_SETUP = [post("experiments/create", {"name": "for search"}, se="experiment_id"), post("experiments/create", {"name": "for search too"}, se2="experiment_id")]
for _i in range(6):
    _SETUP += [
        post("runs/create", {"experiment_id": "$se", "start_time": 1000 + _i, "run_name": f"run {_i}", "user_id": "me", "tags": [
            {"key": "colour", "value": ["red", "Blue", "green_1"][_i % 3]}, {"key": "mlflow.source.name", "value": "train.py"}, {"key": "with.dots and space", "value": "x"},
        ]}, name=f"search setup run {_i}", **{f"s{_i}": "run.info.run_id"}),
        post("runs/log-batch", {"run_id": f"$s{_i}",
            "metrics": [{"key": "acc", "value": "NaN" if _i == 3 else _i / 10, "timestamp": 1, "step": 0}] * (_i != 5) + [{"key": "a b/c", "value": -_i, "timestamp": 1}],
            "params": [{"key": "depth", "value": str(_i % 3)}, {"key": "it's", "value": "q'uote"}, {"key": "empty", "value": ""}] + [{"key": "some", "value": "50%"}] * (_i % 2)},
            name=f"search setup data {_i}"),
    ]  # fmt: skip
    if _i % 2:
        _SETUP.append(post("runs/update", {"run_id": f"$s{_i}", "status": "FINISHED", "end_time": 2000 + _i}, name=f"search setup end {_i}"))
_SETUP += [
    post("runs/create", {"experiment_id": "$se", "start_time": 1, "run_name": "gone"}, gone="run.info.run_id"), post("runs/delete", {"run_id": "$gone"}),
    post("runs/create", {"experiment_id": "$se2", "start_time": 5000, "run_name": "elsewhere"}, other="run.info.run_id"),
    post("runs/log-inputs", {"run_id": "$s1", "datasets": [{"dataset": {"name": "train", "digest": "dig1", "source_type": "code", "source": "s"}, "tags": [{"key": "mlflow.data.context", "value": "training"}]}]}, name="search setup input 1"),
    post("runs/log-inputs", {"run_id": "$s2", "datasets": [{"dataset": {"name": "Test", "digest": "dig2", "source_type": "code", "source": "s"}, "tags": [{"key": "mlflow.data.context", "value": "eval"}]}]}, name="search setup input 2"),
]  # fmt: skip

FILTERS = [
    "", "   ", "metrics.acc > 0.1", "metrics.acc >= 0.1", "metrics.acc < 0.2", "metrics.acc <= 0.2", "metrics.acc = 0.2", "metrics.acc != 0.2", "metrics.acc == 0.2", "metrics.acc <> 0.2",
    "metric.acc > 0.1", "METRICS.acc > 0.1", "metrics.ACC > 0.1", "metrics.`acc` > .1", 'metrics."acc" > 1e-1', "metrics.acc > -1", "metrics.acc > +0.1", "metrics.acc > 0", "metrics.`a b/c` < -2", 'metrics."a b/c" = 0',
    "metrics.acc > '0.1'", "metrics.acc > abc", "metrics.acc LIKE '0%'", "metrics.acc IN (1)", "metrics.acc IS NULL", "metrics.acc IS NOT NULL", "metrics.acc > NaN", "metrics.acc = 'NaN'", "metrics.acc > inf", "metrics.none > 0",
    "metrics.acc>0.1", "metrics.acc > 0.1 and metrics.acc < 0.4", "metrics.acc > 0.1 AND metrics.acc < 0.4 AND params.depth = '2'", "metrics.acc > 0.1 AND metrics.`a b/c` < 0", "metrics.acc > 0.1 OR metrics.acc < 0", "metrics.acc > 1.", "metrics.acc > 1e", "metrics.acc > 0x1",
    "params.depth = '1'", 'params.depth = "1"', "params.depth != '1'", "param.depth = '1'", "parameter.depth = '1'", "parameters.depth = '1'", "params.depth = 1", "params.depth > '1'", "params.depth LIKE '%'", "params.depth LIKE '_'", "params.some LIKE '50%'",
    "params.some LIKE '%\\%'", "params.depth ILIKE '1'", "params.depth IN ('1')", "params.depth IS NULL", "params.some IS NULL", "params.some IS NOT NULL", "params.none IS NULL", "params.none != 'x'", "params.`it's` = \"q'uote\"", "params.\"it's\" LIKE \"q'%\"", "params.empty = ''",
    "params.depth = '1' AND params.some = '50%'", "params.depth='1'", "params.depth = `1`", "params.depth = 'it''s'", "params.depth = '1' and params.depth = '2'",
    "tags.colour = 'red'", "tags.colour != 'red'", "tag.colour = 'red'", "tags.colour LIKE 'B%'", "tags.colour LIKE 'b%'", "tags.colour ILIKE 'b%'", "tags.colour ilike '%_1'", "tags.colour LIKE 'green\\_1'", "tags.colour IS NULL", "tags.none IS NULL", "tags.none IS NOT NULL", "tags.`with.dots and space` = 'x'",
    'tags."with.dots and space" = "x"', "tags.mlflow.source.name = 'train.py'", "tags.`mlflow.source.name` LIKE '%.py'", "tags.colour = red", "tags.colour = 5", "tags.colour IN ('red', 'Blue')", "tags.colour NOT IN ('red')", "tags.colour > 'red'", "tags.colour RLIKE 'r'", "tags.colour = 'RED'",
    "attributes.status = 'FINISHED'", "attribute.status = 'RUNNING'", "attr.status = 'RUNNING'", "run.status = 'RUNNING'", "status = 'FINISHED'", "Status = 'FINISHED'", "status = 'finished'", "status != 'FINISHED'", "status LIKE 'FIN%'", "status IN ('FINISHED')", "status IN ('FINISHED', 'RUNNING')", "status = FINISHED",
    "attributes.run_name = 'run 1'", "attributes.`run name` = 'run 1'", "attributes.Run_Name = 'run 1'", "attributes.`Run name` = 'run 1'", "attributes.runName = 'run 1'", "run_name LIKE 'run _'", "run_name ILIKE 'RUN%'", "run_name = \"run 1\"", "run_name IN ('run 1', 'run 2')", "run_name NOT IN ('run 1')", "run_name IS NULL", "`run_name` = 'run 1'",
    "attributes.run_id = '$s1'", "run_id = '$s1'", "run_id != '$s1'", "run_id IN ('$s1', '$s2')", "run_id NOT IN ('$s1','$s2')", "run_id IN ('$s1')", "run_id IN ()", "run_id IN ('$s1',)", "run_id IN '$s1'", "run_id IN ($s1)", "run_id IN ('a', 5)", "run_id LIKE '%'", "run_uuid = '$s1'", "attributes.run_id in (\"$s1\")", "run_id IN ('it''s')",
    "attributes.start_time > 1002", "start_time >= 1002", "start_time = 1002", "start_time != 1002", "created > 1002", "Created > 1002", "attributes.created < 1002", "start_time > '1002'", "start_time > 1002.5", "start_time LIKE '1%'", "start_time > abc", "end_time > 2001", "end_time IS NULL", "end_time = 2001",
    "attributes.artifact_uri LIKE '%artifacts'", "artifact_uri = 'x'", "attributes.user_id = 'me'", "user_id = 'me'", "user_id LIKE 'm%'", "attributes.lifecycle_stage = 'active'", "lifecycle_stage = 'deleted'", "attributes.experiment_id = '1'", "attributes.foo = 'x'", "source_name = 'train.py'", "attributes.source_type = 'LOCAL'", "entry_point_name = ''", "source_version != ''", "attributes.duration > 0",
    "dataset.name = 'train'", "datasets.name = 'train'", "dataset.name LIKE 'T%'", "dataset.name ILIKE 't%'", "dataset.digest = 'dig1'", "dataset.context = 'training'", "dataset.name = 'train' AND dataset.digest = 'dig1'", "dataset.name = 'train' AND dataset.context = 'eval'", "dataset.name != 'train'", "dataset.name IN ('train', 'Test')", "dataset.name NOT IN ('train')", "dataset.digest IN ('dig2')",
    "dataset.context IN ('eval', 'x')", "dataset.foo = 'x'", "dataset.name = train", "dataset = 'x'", "dataset.name > 'a'", "dataset.name IS NULL",
    "model.x = 'y'", "foo.bar = 'x'", "foo = 'x'", "foo", "metrics", "metrics.", "metrics.acc", "metrics.acc >", "> 1", "metrics.acc > 0.1 AND", "AND metrics.acc > 0.1", "metrics.acc > 0.1 metrics.acc < 1", "metrics.acc > 0.1, metrics.acc < 1", "metrics.acc > 0.1; SELECT 1", "(metrics.acc > 0.1)", "metrics.acc > (0.1)", "NOT metrics.acc > 0.1",
    "metrics.acc BETWEEN 0 AND 1", "0.1 < metrics.acc", "metrics.acc > metrics.acc", "metrics.acc > 0.1 -- x", "metrics.acc > 0.1 # x", "/* x */ metrics.acc > 0.1", "params.depth = 'unterminated", 'params.depth = "unterminated', "params.`depth = '1'", "metrics.acc >> 1", "metrics.acc => 1", "metrics.acc ! 1", "params.depth = '1\n'", "params.depth\n=\n'1'", "params.depth\t=\t'1'",
    "params.ü = '1'", "params.× = '1'", "params.×b = '1'", "×.b = '1'", "× = '1'", "params.÷ = '1'", "÷.b = '1'", "run_id IN ×('a')", "params.#×b = '1'", "tags.colour = $×$a$×$", "params.`ü` = '日本'", "tags.select = 'x'", "tags.order = 'x'", "metrics.min > 0", "metrics.max > 0", "metrics.count > 0", "metrics.value > 0", "params.key = 'x'", "params.type = 'x'", "params.class = 'x'", "tags.name = 'x'", "tags.user = 'x'", "tags.date = 'x'", "params.index = '1'", "params.group = '1'", "params.left = 'x'", "metrics.acc.b > 0", "metrics.acc-b > 0", "metrics.acc/b > 0", "metrics.1 > 0", "metrics.acc:x > 0", "metrics.acc@x > 0",
    "'metrics.acc' > 0", '"metrics.acc" > 0', "`metrics.acc` > 0", "metrics.'acc' > 0", "metrics.`` > 0", "metrics.`a`b` > 0", "tags.`a` = `b`", "attributes.run_name=run", "*", "%", "'", "''", "`", "=", "\\", "1", "null", "true", "1 = 1", "metrics.acc is null and tags.colour = 'red'", "tags.colour is not null", "tags.colour IS  NOT  NULL", "tags.colour IS 'red'", "tags.colour IS NOT 'red'", "params.depth not in ('1')", "params.depth NOT LIKE '1'",
]  # fmt: skip

# Not by run_id or artifact_uri: these are random.
ORDERS = [
    [], ["start_time"], ["start_time ASC"], ["start_time DESC"], ["attributes.start_time DESC"], ["attribute.start_time"], ["Created DESC"], ["created"], ["attributes.created"], ["metrics.acc"], ["metrics.acc DESC"], ["metrics.acc ASC", "start_time DESC"], ["metrics.`acc` desc"], ['metrics."acc"'], ["metrics.none", "start_time"], ["metrics.`a b/c`"],
    ["params.depth"], ["params.depth DESC", "params.some"], ["params.some", "start_time"], ["params.`it's`"], ["tags.colour"], ["tags.colour DESC", "start_time ASC"], ["tags.`with.dots and space`", "start_time"], ["tags.mlflow.source.name"], ["status"], ["attributes.status", "start_time"], ["run_name"], ["attributes.`Run name` DESC"], ["attributes.run_name"], ["end_time"], ["end_time DESC"], ["user_id", "start_time"], ["lifecycle_stage"], ["experiment_id", "start_time"],
    ["dataset.name"], ["foo"], ["foo.bar"], ["metrics"], ["metrics.acc UP"], ["metrics.acc DESC ASC"], ["metrics.acc,start_time"], [""], [" "], ["`metrics.acc`"], ["metrics.acc DESC", "metrics.acc ASC"], ["params.depth", "tags.colour", "metrics.acc", "start_time"], ["ASC"], ["metrics. DESC"], "start_time", [1], [None], [[]], {}, ["start_time;"], ["attributes.foo"], ["model.x"], ["metrics.acc  desc"], ["metrics.acc\tDESC"],
]  # fmt: skip

CASES: list[Case] = [
    *_SETUP,
    *[post("runs/search", {"experiment_ids": ["$se"], "filter": text, "order_by": ["start_time"]}, name=f"filter: {text}") for text in FILTERS],
    *[post("runs/search", {"experiment_ids": ["$se"], "order_by": order}, name=f"order: {order}") for order in ORDERS],
    *[post("runs/search", {"experiment_ids": ["$se"], "order_by": ["start_time"], "run_view_type": v}, name=f"view type {v!r}") for v in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3, "bogus", 7, None)],
    *[post("runs/search", {"experiment_ids": ["$se"], "order_by": ["start_time"], "max_results": n}, name=f"max_results {n!r}") for n in (0, 1, -1, 50000, 50001, 100000, "3", "x", 1.5, None, True)],
    *[post("runs/search", {"experiment_ids": e, "order_by": ["start_time"]}, name=f"experiment_ids {e!r}") for e in ([], ["$se", "$se2"], ["$se", "$se"], ["99999"], ["abc"], [""], "$se", [1], None, ["0"], ["$se", "abc"])],
    post("runs/search", {}), post("runs/search", {"filter": "metrics.acc > 0"}), post("runs/search", {"experiment_ids": ["$se"], "filter": 5}), post("runs/search", {"experimentIds": ["$se"], "orderBy": ["start_time"], "maxResults": 1, "runViewType": "ALL"}),
    post("runs/search", {"experiment_ids": ["$se"], "max_results": 2, "order_by": ["metrics.acc DESC"]}, name="page 1 by metric", pt1="next_page_token"),
    post("runs/search", {"experiment_ids": ["$se"], "max_results": 2, "order_by": ["metrics.acc DESC"], "page_token": "$pt1"}, name="page 2 by metric", pt2="next_page_token"),
    post("runs/search", {"experiment_ids": ["$se"], "max_results": 2, "order_by": ["metrics.acc DESC"], "page_token": "$pt2"}, name="page 3 by metric"),
    post("runs/search", {"experiment_ids": ["$se"], "max_results": 6, "order_by": ["start_time"]}, name="a last page that is full"),
    *[post("runs/search", {"experiment_ids": ["$se"], "page_token": t}, name=f"page token {t!r}") for t in ("x", "no token!", "bm90IGpzb24=", "e30=", "eyJvZmZzZXQiOiAieCJ9", "eyJvZmZzZXQiOiAtMX0=", "", "eyJvZmZzZXQiOiA5OTk5fQ==", "eyJvZmZzZXQiOjF9", 5)],
    post("/ajax-api/2.0/mlflow/runs/search", {"experiment_ids": ["$se"], "order_by": ["attributes.start_time DESC"], "run_view_type": "ACTIVE_ONLY", "filter": "", "max_results": 50}, name="what the UI searches"),
    get("runs/search", experiment_ids="$se"),
]  # fmt: skip
