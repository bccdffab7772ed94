"""Cases of the AI gateway's configuration. No model is asked."""

from .case import Case, broken_variants, get, post, raw, send

G = "/api/3.0/mlflow/gateway"
AJAX = "/ajax-api/3.0/mlflow/gateway"


def secret(**fields):
    """The body of a secret that both servers take."""
    return {"secret_name": "key", "secret_value": {"api_key": "sk-1234567890"}, "provider": "openai"} | fields


def model(definition="$gpt", linkage="PRIMARY", **fields):
    """A model of an endpoint."""
    return {"model_definition_id": definition, "linkage_type": linkage} | fields


def budget(**fields):
    """The body of a budget that both servers take."""
    return {
        "budget_unit": "USD", "budget_amount": 12.5, "duration": {"unit": "DAYS", "value": 30},
        "target_scope": "GLOBAL", "budget_action": "ALERT",
    } | fields  # fmt: skip


_SECRETS = [
    get(f"{G}/secrets/list", name="no secrets"),
    get(f"{AJAX}/secrets/config"),
    get(f"{G}/secrets/config"),
    post(f"{G}/secrets/create", secret(created_by="me"), key="secret.secret_id"),
    post(f"{G}/secrets/create", secret(), name="the same name again"),
    post(f"{G}/secrets/create", secret(secret_name="aws", provider="bedrock", secret_value={
        "aws_access_key_id": "AKIA1234", "aws_secret_access_key": "short"},
        auth_config={"auth_mode": "access_keys", "aws_region_name": "üs"}), aws="secret.secret_id"),
    post(f"{G}/secrets/create", secret(secret_name="ünï", secret_value={"api_key": "ключ-to-all-doors"}), odd="secret.secret_id"),
    post(f"{AJAX}/secrets/create", {"secret_name": "bare", "secret_value": {}}, bare="secret.secret_id"),
    post(f"{G}/secrets/create", {"secret_name": "barer"}),
    post(f"{G}/secrets/create", secret(secret_name="based", auth_config={"api_base": " https://93.184.216.34/v1 "})),
    post(f"{G}/secrets/create", secret(secret_name="blank base", auth_config={"api_base": " "})),
    get(f"{G}/secrets/get", secret_id="$key"),
    get(f"{G}/secrets/get", secret_id="$aws"),
    get(f"{G}/secrets/get", secret_id="$odd"),
    get(f"{G}/secrets/get", secret_id="nope"),
    get(f"{G}/secrets/get", secret_name="key"),
    get(f"{G}/secrets/get", secret_id=""),
    get(f"{AJAX}/secrets/list", name="all secrets"),
    get(f"{G}/secrets/list", provider="bedrock"),
    get(f"{G}/secrets/list", provider=""),
    get(f"{G}/secrets/list", provider="nobody"),
    post(f"{G}/secrets/update", {"secret_id": "$key", "secret_value": {"api_key": "sk-new-00000000"}, "updated_by": "you"}),
    post(f"{G}/secrets/update", {"secret_id": "$key", "auth_config": {"a": "b"}}),
    post(f"{G}/secrets/update", {"secret_id": "$key", "auth_config": {"api_base": ""}}, name="clear auth_config"),
    post(f"{G}/secrets/update", {"secret_id": "$key"}, name="update nothing"),
    post(f"{G}/secrets/update", {"secret_id": "nope", "secret_value": {"api_key": "x"}}),
    post(f"{G}/secrets/update", {"secret_id": "$key", "secretId": "$aws"}, name="two spellings"),
    *[
        post(f"{G}/secrets/create", secret(**({"secret_name": f"refused {i}"} | fields)), name=f"refused secret {i}")
        for i, fields in enumerate([
            {"secret_value": {"api_base": "https://93.184.216.34"}}, {"secret_value": {"model_list": "", "base_url": ""}},
            {"auth_config": {"base_url": "x", "fallbacks": "y"}}, {"auth_config": {"api_base": "http://93.184.216.34"}},
            {"auth_config": {"api_base": "https://127.0.0.1/x"}}, {"auth_config": {"api_base": "https://127.1/x"}},
            {"auth_config": {"api_base": "https://u:p@93.184.216.34"}}, {"auth_config": {"api_base": "https:///x"}},
            {"auth_config": {"api_base": "x"}}, {"auth_config": {"api_base": "https://[::1]/"}},
            {"secret_value": {"a": None}}, {"secret_value": {"a": 5}}, {"secret_value": {"a": "b", "c": 5}},
            {"secret_name": "x" * 255}, {"secret_name": "\n"},
        ])
    ],
    *broken_variants(f"{G}/secrets/create", secret(secret_name="", auth_config={"a": "b"}, created_by="me")),
    *broken_variants(f"{G}/secrets/update", {"secret_id": "nope", "secret_value": {"a": "b"}, "auth_config": {"a": "b"}, "updated_by": "me"}),
    *broken_variants(f"{G}/secrets/delete", {"secret_id": "nope"}, "DELETE"),
]  # fmt: skip

_MODELS = [
    get(f"{G}/model-definitions/list", name="no model definitions"),
    post(f"{G}/model-definitions/create", {"name": "gpt", "secret_id": "$key", "provider": "openai", "model_name": "gpt-4o", "created_by": "me"}, gpt="model_definition.model_definition_id"),
    post(f"{G}/model-definitions/create", {"name": "gpt", "secret_id": "$key", "provider": "openai", "model_name": "x"}, name="that name again"),
    post(f"{G}/model-definitions/create", {"name": "claude", "secret_id": "$aws", "provider": "bedrock", "model_name": "claude"}, claude="model_definition.model_definition_id"),
    post(f"{AJAX}/model-definitions/create", {"name": "nano", "secret_id": "$odd", "provider": "openai", "model_name": "nano"}, nano="model_definition.model_definition_id"),
    post(f"{G}/model-definitions/create", {"name": "n", "secret_id": "nope", "provider": "openai", "model_name": "x"}),
    get(f"{G}/model-definitions/get", model_definition_id="$gpt"),
    get(f"{G}/model-definitions/get", model_definition_id="nope"),
    Case("a model definition by its name", "GET", f"{G}/model-definitions/get", {"name": "gpt"}),
    get(f"{G}/model-definitions/list", name="three model definitions"),
    get(f"{G}/model-definitions/list", provider="openai"),
    get(f"{G}/model-definitions/list", secret_id="$aws"),
    get(f"{G}/model-definitions/list", provider="openai", secret_id="$aws"),
    post(f"{G}/model-definitions/update", {"model_definition_id": "$nano", "name": "mini", "updated_by": "you"}),
    post(f"{G}/model-definitions/update", {"model_definition_id": "$nano", "model_name": "m", "provider": "azure", "secret_id": "$key"}),
    post(f"{G}/model-definitions/update", {"model_definition_id": "$nano", "name": "gpt"}),
    post(f"{G}/model-definitions/update", {"model_definition_id": "$nano", "secret_id": "nope"}),
    post(f"{G}/model-definitions/update", {"model_definition_id": "nope", "name": "x"}),
    post(f"{G}/model-definitions/update", {"model_definition_id": "$nano"}, name="update nothing of a definition"),
    *broken_variants(f"{G}/model-definitions/create", {"name": "b", "secret_id": "nope", "provider": "p", "model_name": "m", "created_by": "c"}),
    *broken_variants(f"{G}/model-definitions/update", {"model_definition_id": "nope", "name": "b", "secret_id": "s", "provider": "p", "model_name": "m", "updated_by": "c"}),
]  # fmt: skip

_ENDPOINTS = [
    get(f"{G}/endpoints/list", name="no endpoints"),
    post(f"{G}/endpoints/create", {"name": "chat", "model_configs": [model(weight=0.3)], "created_by": "me"}, chat="endpoint.endpoint_id", chat_experiment="endpoint.experiment_id"),
    get("experiments/get", experiment_id="$chat_experiment"),
    post(f"{G}/endpoints/create", {"name": "chat", "model_configs": [model()]}, name="an endpoint of that name"),
    post(f"{G}/endpoints/create", {"name": "spread", "model_configs": [model(weight=1), model("$claude", weight=2.5), model("$nano", "FALLBACK", fallback_order=1)],
        "routing_strategy": "REQUEST_BASED_TRAFFIC_SPLIT", "fallback_config": {"strategy": "SEQUENTIAL", "max_attempts": 2},
        "usage_tracking": False}, spread="endpoint.endpoint_id"),
    post(f"{AJAX}/endpoints/create", {"name": "to-0", "model_configs": [model("$claude")], "experiment_id": "0"}, to_0="endpoint.endpoint_id"),
    post(f"{G}/endpoints/create", {"name": "no-such-experiment", "model_configs": [model()], "experiment_id": "987654"}),
    post(f"{G}/endpoints/create", {"name": "bad-experiment", "model_configs": [model()], "experiment_id": "x"}),
    post(f"{G}/endpoints/create", {"name": "bad name", "model_configs": [model()]}),
    post(f"{G}/endpoints/create", {"name": "none", "model_configs": []}),
    post(f"{G}/endpoints/create", {"name": "nope", "model_configs": [model("nope")]}),
    post(f"{G}/endpoints/create", {"name": "twice", "model_configs": [model(), model()], "usage_tracking": False}),
    post(f"{G}/endpoints/create", {"name": "unlinked", "model_configs": [{"model_definition_id": "$gpt"}]}),
    post(f"{G}/endpoints/create", {"name": "unlinked", "model_configs": [model(), model(linkage="NOPE")]}),
    post(f"{G}/endpoints/create", {"name": "no-strategy", "model_configs": [model()], "fallback_config": {}, "usage_tracking": False}),
    get(f"{G}/endpoints/get", endpoint_id="$chat"),
    Case("endpoint by name", "GET", f"{G}/endpoints/get", {"name": "spread"}),
    Case("no endpoint of that name", "GET", f"{G}/endpoints/get", {"name": "nope"}),
    Case("endpoint by both", "GET", f"{G}/endpoints/get", {"name": "chat", "endpoint_id": "$chat"}),
    get(f"{G}/endpoints/get", name="endpoint by neither"),
    get(f"{G}/endpoints/get", endpoint_id="nope"),
    get(f"{G}/endpoints/list", name="all endpoints"),
    get(f"{G}/endpoints/list", provider="bedrock"),
    get(f"{G}/endpoints/list", provider="nobody"),
    get(f"{G}/endpoints/list", secret_id="nope"),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "name": "talk", "updated_by": "you"}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "name": "no good"}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "name": "spread"}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "model_configs": [model("$claude", weight=0.5), model("$gpt", "FALLBACK")]}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "fallback_config": {"max_attempts": 3}}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$spread", "fallback_config": {"strategy": "SEQUENTIAL"}}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "model_configs": [model("nope")]}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "model_configs": [{"model_definition_id": "$gpt"}]}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "experiment_id": "0"}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "experiment_id": "x"}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat", "usage_tracking": False}),
    post(f"{G}/endpoints/update", {"endpoint_id": "$spread", "usage_tracking": True}, spread_experiment="endpoint.experiment_id"),
    get("experiments/get", experiment_id="$spread_experiment"),
    post(f"{G}/endpoints/update", {"endpoint_id": "$chat"}, name="update nothing of an endpoint"),
    post(f"{G}/endpoints/update", {"endpoint_id": "nope", "name": "x"}),
    post(f"{G}/endpoints/models/attach", {"endpoint_id": "$to_0", "model_config": model(), "created_by": "me"}),
    post(f"{G}/endpoints/models/attach", {"endpoint_id": "$to_0", "model_config": model()}, name="attach again"),
    post(f"{G}/endpoints/models/attach", {"endpoint_id": "$to_0", "model_config": model(linkage="FALLBACK", fallback_order=7)}),
    post(f"{G}/endpoints/models/attach", {"endpoint_id": "nope", "model_config": model()}),
    post(f"{G}/endpoints/models/attach", {"endpoint_id": "$to_0", "model_config": model("nope")}),
    post(f"{G}/endpoints/models/attach", {"endpoint_id": "$to_0", "model_config": {}}),
    get(f"{G}/endpoints/get", endpoint_id="$to_0"),
    post(f"{G}/endpoints/models/detach", {"endpoint_id": "$to_0", "model_definition_id": "$claude"}),
    Case("after detaching", "GET", f"{G}/endpoints/get", {"endpoint_id": "$to_0"}),
    post(f"{G}/endpoints/models/detach", {"endpoint_id": "$to_0", "model_definition_id": "nope"}),
    post(f"{G}/endpoints/models/detach", {"endpoint_id": "nope", "model_definition_id": "$gpt"}),
    post(f"{G}/endpoints/set-tag", {"endpoint_id": "$to_0", "key": "k", "value": "ü"}),
    post(f"{G}/endpoints/set-tag", {"endpoint_id": "$to_0", "key": "k", "value": "new"}),
    post(f"{G}/endpoints/set-tag", {"endpoint_id": "$to_0", "key": "empty"}),
    post(f"{G}/endpoints/set-tag", {"endpoint_id": "nope", "key": "k", "value": "v"}),
    Case("with tags", "GET", f"{G}/endpoints/get", {"endpoint_id": "$to_0"}),
    send("DELETE", f"{G}/endpoints/delete-tag", {"endpoint_id": "$to_0", "key": "k"}),
    send("DELETE", f"{G}/endpoints/delete-tag", {"endpoint_id": "$to_0", "key": "k"}, name="delete that tag again"),
    send("DELETE", f"{G}/endpoints/delete-tag", {"endpoint_id": "nope", "key": "k"}),
    post(f"{G}/endpoints/bindings/create", {"endpoint_id": "$to_0", "resource_type": "scorer", "resource_id": "s1", "created_by": "me"}),
    post(f"{G}/endpoints/bindings/create", {"endpoint_id": "$to_0", "resource_type": "scorer", "resource_id": "s1"}, name="bind again"),
    post(f"{G}/endpoints/bindings/create", {"endpoint_id": "$chat", "resource_type": "scorer", "resource_id": "s2"}),
    post(f"{G}/endpoints/bindings/create", {"endpoint_id": "nope", "resource_type": "scorer", "resource_id": "s1"}),
    post(f"{G}/endpoints/bindings/create", {"endpoint_id": "$chat", "resource_type": "other", "resource_id": "s1"}),
    get(f"{G}/endpoints/bindings/list", name="all bindings"),
    get(f"{G}/endpoints/bindings/list", endpoint_id="$to_0"),
    get(f"{AJAX}/endpoints/bindings/list", resource_type="scorer", resource_id="s2"),
    get(f"{G}/endpoints/bindings/list", resource_type="nope"),
    send("DELETE", f"{G}/endpoints/bindings/delete", {"endpoint_id": "$to_0", "resource_type": "scorer", "resource_id": "s1"}),
    send("DELETE", f"{G}/endpoints/bindings/delete", {"endpoint_id": "$to_0", "resource_type": "scorer", "resource_id": "s1"}, name="unbind again"),
    *broken_variants(f"{G}/endpoints/create", {"name": "b", "model_configs": [model("nope")], "created_by": "c", "routing_strategy": "REQUEST_BASED_TRAFFIC_SPLIT", "fallback_config": {"max_attempts": 1}, "experiment_id": "0", "usage_tracking": True}),
    *broken_variants(f"{G}/endpoints/update", {"endpoint_id": "nope", "name": "b", "model_configs": [model("nope")], "updated_by": "c", "routing_strategy": "REQUEST_BASED_TRAFFIC_SPLIT", "fallback_config": {"max_attempts": 1}, "usage_tracking": True}),
    *broken_variants(f"{G}/endpoints/models/attach", {"endpoint_id": "nope", "model_config": model("nope", weight=1.5, fallback_order=1), "created_by": "c"}),
    *broken_variants(f"{G}/endpoints/models/detach", {"endpoint_id": "nope", "model_definition_id": "nope"}),
    *broken_variants(f"{G}/endpoints/set-tag", {"endpoint_id": "nope", "key": "k", "value": "v"}),
    *broken_variants(f"{G}/endpoints/delete-tag", {"endpoint_id": "nope", "key": "k"}, "DELETE"),
    *broken_variants(f"{G}/endpoints/bindings/create", {"endpoint_id": "nope", "resource_type": "scorer", "resource_id": "r", "created_by": "c"}),
    *broken_variants(f"{G}/endpoints/bindings/delete", {"endpoint_id": "nope", "resource_type": "scorer", "resource_id": "r"}, "DELETE"),
]  # fmt: skip

_BUDGETS = [
    get(f"{G}/budgets/list", name="no budgets"),
    get(f"{G}/budgets/windows", name="no windows"),
    post(f"{G}/budgets/create", budget(created_by="me"), daily="budget_policy.budget_policy_id"),
    get(f"{G}/budgets/windows", name="the window of days"),
    post(f"{G}/budgets/update", {"budget_policy_id": "$daily", "duration": {"unit": "WEEKS", "value": 2}}),
    get(f"{G}/budgets/windows", name="the window of weeks"),
    post(f"{G}/budgets/update", {"budget_policy_id": "$daily", "duration": {"unit": "MONTHS", "value": 3}}),
    get(f"{AJAX}/budgets/windows", name="the window of months"),
    get(f"{G}/budgets/get", budget_policy_id="$daily"),
    get(f"{G}/budgets/get", budget_policy_id="nope"),
    *[post(f"{G}/budgets/update", {"budget_policy_id": "$daily"} | fields, name=f"budget update {i}") for i, fields in enumerate([
        {}, {"budget_amount": 3}, {"budget_amount": "4.5", "updated_by": "you"}, {"budget_action": "REJECT"}, {"target_scope": "WORKSPACE"},
        {"target_scope": "ENDPOINT"}, {"target_scope": "ENDPOINT", "target_value": "nope"}, {"target_scope": "ENDPOINT", "target_value": "$to_0"},
        {"target_value": ""}, {"target_scope": "USER"}, {"target_scope": "USER", "target_value": "u"}, {"target_value": "$chat"},
        {"target_scope": "GLOBAL", "target_value": "x"}, {"target_scope": "GLOBAL"}, {"target_value": "x"}, {"duration": {}},
        {"duration": {"unit": "DAYS"}}, {"duration": {"unit": "DAYS", "value": -1}}, {"budget_unit": "EUR"}, {"budget_unit": 1},
        {"budget_unit": "BUDGET_UNIT_UNSPECIFIED"}, {"budget_unit": 9},
    ])],
    post(f"{G}/budgets/update", {"budget_policy_id": "nope", "budget_amount": 1}),
    post(f"{G}/budgets/update", {"budget_policy_id": "nope", "target_scope": "GLOBAL"}),
    *[post(f"{G}/budgets/create", budget(**fields), name=f"refused budget {i}") for i, fields in enumerate([
        {"target_scope": "ENDPOINT"}, {"target_scope": "ENDPOINT", "target_value": "nope"}, {"target_value": "x"},
        {"target_scope": "USER", "target_value": "u"}, {"target_scope": "USER"}, {"duration": {"unit": "YEARS", "value": 1}},
        {"duration": {"unit": "DAYS", "value": 0}}, {"duration": None}, {"budget_action": "NOPE"}, {"budget_amount": "x"}, {"budget_unit": 0},
    ])],
    *broken_variants(f"{G}/budgets/create", budget(target_scope="USER", target_value="u", created_by="c")),
    *broken_variants(f"{G}/budgets/update", budget(budget_policy_id="nope", updated_by="c")),
    send("DELETE", f"{G}/budgets/delete", {"budget_policy_id": "$daily"}),
    send("DELETE", f"{G}/budgets/delete", {"budget_policy_id": "$daily"}, name="delete that budget again"),
    *[get(f"{G}/budgets/list", max_results=count) for count in (1, 0, -1, 50001, "x")],
    get(f"{G}/budgets/list", page_token="x"),
]  # fmt: skip

_GUARDRAILS = [
    get(f"{G}/guardrails/list", name="no guardrails"),
    get(f"{G}/guardrails/list-for-endpoint", endpoint_id="$to_0"),
    get(f"{AJAX}/guardrails/list-for-endpoint", endpoint_id="nope"),
    get(f"{G}/guardrails/get", guardrail_id="nope"),
    post(f"{G}/guardrails/create", {"name": "g", "scorer_id": "nope", "scorer_version": 1, "stage": "BEFORE", "action": "VALIDATION"}),
    post(f"{G}/guardrails/add-to-endpoint", {"endpoint_id": "nope", "guardrail_id": "nope"}),
    post(f"{G}/guardrails/add-to-endpoint", {"endpoint_id": "$to_0", "guardrail_id": "nope", "execution_order": 1}),
    send("DELETE", f"{G}/guardrails/delete", {"guardrail_id": "nope"}),
    send("DELETE", f"{G}/guardrails/remove-from-endpoint", {"endpoint_id": "$to_0", "guardrail_id": "nope"}),
    send("PATCH", f"{G}/guardrails/update-config", {"endpoint_id": "$to_0", "guardrail_id": "nope", "execution_order": 2}),
    *[get(f"{G}/guardrails/list", max_results=count, name=f"{count} guardrails") for count in (1, 0, -1, 50001, "x")],
    *broken_variants(f"{G}/guardrails/create", {"name": "g", "scorer_id": "nope", "scorer_version": 1, "stage": "AFTER", "action": "SANITIZATION", "action_endpoint_id": "e"}),
    *broken_variants(f"{G}/guardrails/add-to-endpoint", {"endpoint_id": "nope", "guardrail_id": "nope", "execution_order": 1}),
    *broken_variants(f"{G}/guardrails/update-config", {"endpoint_id": "nope", "guardrail_id": "nope", "execution_order": 1}, "PATCH"),
]  # fmt: skip

_PROVIDERS = [
    get(f"{AJAX}/supported-providers"),
    get(f"{G}/supported-providers"),
    get(f"{AJAX}/supported-models", provider="nobody"),
    get(f"{G}/supported-models"),
    *[get(f"{AJAX}/provider-config", provider=name) for name in (
        "openai", "anthropic", "azure", "bedrock", "bedrock_converse", "amazon-bedrock", "databricks", "vertex_ai", "sagemaker",
        "portkey", "typesafe", "gemini", "nobody", "OpenAI", "",
    )],
    get(f"{AJAX}/provider-config", name="provider-config of nothing"),
    get(f"{G}/provider-config", provider="openai"),
    get(f"{G}/nope"),
    send("DELETE", f"{G}/secrets/list"),
    get(f"{G}/secrets/create"),
    raw("POST", f"{G}/secrets/create", b"{}"),
]  # fmt: skip

_END = [
    send("DELETE", f"{G}/model-definitions/delete", {"model_definition_id": "$gpt"}, name="delete a model in use"),
    send("DELETE", f"{G}/model-definitions/delete", {"model_definition_id": "nope"}),
    send("DELETE", f"{G}/secrets/delete", {"secret_id": "$aws"}),
    Case("a model without its secret", "GET", f"{G}/model-definitions/get", {"model_definition_id": "$claude"}),
    send("DELETE", f"{G}/endpoints/delete", {"endpoint_id": "$chat"}),
    send("DELETE", f"{G}/endpoints/delete", {"endpoint_id": "$chat"}, name="delete that endpoint again"),
    get(f"{G}/endpoints/bindings/list", name="no bindings are left"),
    send("DELETE", f"{G}/endpoints/delete", {"endpoint_id": "$spread"}),
    send("DELETE", f"{G}/model-definitions/delete", {"model_definition_id": "$nano"}),
    get(f"{G}/model-definitions/list", name="what is left"),
]

CASES = _SECRETS + _MODELS + _ENDPOINTS + _BUDGETS + _GUARDRAILS + _PROVIDERS + _END
