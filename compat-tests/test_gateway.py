"""The AI gateway's configuration with the real client, and secrets that change hands between the two servers."""

from __future__ import annotations

import json
from urllib.request import Request, urlopen

import pytest
import sqlalchemy
from mlflow.entities import (
    FallbackConfig, FallbackStrategy, GatewayEndpointModelConfig, GatewayEndpointTag, GatewayModelLinkageType, GatewayResourceType,
    RoutingStrategy,
)  # fmt: skip
from mlflow.entities.gateway_budget_policy import BudgetAction, BudgetDuration, BudgetDurationUnit, BudgetTargetScope, BudgetUnit
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.crypto import KEKManager, _decrypt_secret
from mlflow.utils.rest_utils import MlflowHostCreds

PASSPHRASE = "a passphrase for the tests of the gateway"
ENVIRONMENT = {"MLFLOW_CRYPTO_KEK_PASSPHRASE": PASSPHRASE, "MLFLOW_CRYPTO_KEK_VERSION": "3"}


@pytest.fixture(scope="module")
def server(start_server, backend, target):
    return start_server(target, backend, environment=ENVIRONMENT)


def store_of(server) -> RestStore:
    return RestStore(lambda: MlflowHostCreds(server.url))


@pytest.fixture
def store(server) -> RestStore:
    return store_of(server)


@pytest.fixture
def name(request) -> str:
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


@pytest.fixture
def definition(store, name) -> str:
    """The id of a model with a secret of its own."""
    secret = store.create_gateway_secret(name, {"api_key": "sk-1234567890"}, provider="openai")
    return store.create_gateway_model_definition(name, secret.secret_id, "openai", "gpt-4o").model_definition_id


def model(definition: str, linkage=GatewayModelLinkageType.PRIMARY, **fields) -> GatewayEndpointModelConfig:
    return GatewayEndpointModelConfig(definition, linkage, **fields)


def test_secrets_are_shown_masked_only(store, name):
    made = store.create_gateway_secret(
        name, {"api_key": "sk-1234567890", "other": "short"}, provider="openai", auth_config={"region": "ü"}, created_by="me"
    )
    assert made.masked_values == {"api_key": "sk-...7890", "other": "***"}
    assert (made.auth_config, made.created_by, made.provider) == ({"region": "ü"}, "me", "openai")
    assert store.get_secret_info(made.secret_id) == made
    assert made in store.list_secret_infos() and made in store.list_secret_infos(provider="openai")
    changed = store.update_gateway_secret(made.secret_id, {"api_key": "sk-new-4321"}, updated_by="you")
    assert (changed.masked_values, changed.last_updated_by) == ({"api_key": "sk-...4321"}, "you")
    with pytest.raises(MlflowException, match="already exists"):
        store.create_gateway_secret(name, {"api_key": "x"})
    store.delete_gateway_secret(made.secret_id)
    with pytest.raises(MlflowException, match="not found"):
        store.get_secret_info(made.secret_id)


def test_endpoints_have_models_tags_and_bindings(store, name, definition):
    other = store.create_gateway_model_definition(f"{name}-2", store.list_secret_infos()[0].secret_id, "azure", "m").model_definition_id
    made = store.create_gateway_endpoint(
        name, [model(definition, weight=0.25), model(other, GatewayModelLinkageType.FALLBACK, fallback_order=1)],
        routing_strategy=RoutingStrategy.REQUEST_BASED_TRAFFIC_SPLIT,
        fallback_config=FallbackConfig(FallbackStrategy.SEQUENTIAL, 2),
    )  # fmt: skip
    assert [m.model_definition_id for m in made.model_mappings] == [definition, other]
    assert (made.model_mappings[0].weight, made.fallback_config.max_attempts) == (0.25, 2)
    assert store.get_experiment(made.experiment_id).name == f"gateway/{name}"
    assert store.get_gateway_endpoint(name=name) == store.get_gateway_endpoint(made.endpoint_id) == made
    assert made.endpoint_id in {e.endpoint_id for e in store.list_gateway_endpoints(provider="azure")}
    store.detach_model_from_endpoint(made.endpoint_id, other)
    attached = store.attach_model_to_endpoint(made.endpoint_id, model(other, weight=2.0))
    assert (attached.model_definition.name, attached.weight) == (f"{name}-2", 2.0)
    store.set_gateway_endpoint_tag(made.endpoint_id, GatewayEndpointTag("k", "v"))
    changed = store.update_gateway_endpoint(made.endpoint_id, name=f"{name}-new", usage_tracking=False)
    assert ([t.value for t in changed.tags], changed.usage_tracking, changed.name) == (["v"], False, f"{name}-new")
    store.delete_gateway_endpoint_tag(made.endpoint_id, "k")
    assert store.get_gateway_endpoint(made.endpoint_id).tags == []
    bound = store.create_endpoint_binding(made.endpoint_id, GatewayResourceType.SCORER, "s1")
    assert store.list_endpoint_bindings(resource_id="s1") == [bound]
    store.delete_endpoint_binding(made.endpoint_id, GatewayResourceType.SCORER, "s1")
    # The client repeats what is answered with 500, as this is by both servers, and tells of the last try only.
    with pytest.raises(MlflowException, match="500|in use by endpoints"):
        store.delete_gateway_model_definition(definition)
    store.delete_gateway_endpoint(made.endpoint_id)
    store.delete_gateway_model_definition(definition)


def test_budgets_have_windows(server, store):
    made = store.create_budget_policy(
        BudgetUnit.USD, 12.5, BudgetDuration(BudgetDurationUnit.WEEKS, 1), BudgetTargetScope.GLOBAL, BudgetAction.ALERT
    )
    assert store.get_budget_policy(made.budget_policy_id) == made
    changed = store.update_budget_policy(made.budget_policy_id, budget_amount=3.0, budget_action=BudgetAction.REJECT)
    assert (changed.budget_amount, changed.budget_action) == (3.0, BudgetAction.REJECT)
    assert [p.budget_policy_id for p in store.list_budget_policies()] == [made.budget_policy_id]
    with urlopen(f"{server.url}/ajax-api/3.0/mlflow/gateway/budgets/windows") as answer:
        (window,) = json.load(answer)["windows"]
    assert window["window_end_ms"] - window["window_start_ms"] == 7 * 86_400_000
    assert window["current_spend"] == 0.0
    store.delete_budget_policy(made.budget_policy_id)
    assert list(store.list_budget_policies()) == []


def decrypted(server, secret_id: str) -> object:
    """Reads a secret from the database with stock's code."""
    engine = sqlalchemy.create_engine(server.backend_uri.replace("postgresql://", "postgresql+psycopg2://"))
    query = sqlalchemy.text("SELECT encrypted_value, wrapped_dek, secret_name, kek_version FROM secrets WHERE secret_id = :id")
    with engine.connect() as connection:
        value, key, name, version = connection.execute(query, {"id": secret_id}).one()
    engine.dispose()
    assert version == 3
    return _decrypt_secret(bytes(value), bytes(key), KEKManager(PASSPHRASE, version), secret_id, name)


@pytest.mark.parametrize("first", ["stock", "target"])
def test_secrets_change_hands(start_server, target, backend, first, name):
    """What one server encrypted, the other shows and changes, and stock's code decrypts."""
    kinds = ["stock", target] if first == "stock" else [target, "stock"]
    before = start_server(kinds[0], backend, environment=ENVIRONMENT)
    value = {"api_key": "sk-ünï-1234567890", "second": '"quoted"\n'}
    made = store_of(before).create_gateway_secret(name, value, provider="openai", auth_config={"k": "ü"})
    assert decrypted(before, made.secret_id) == value
    definition = store_of(before).create_gateway_model_definition(name, made.secret_id, "openai", "m")
    endpoint = store_of(before).create_gateway_endpoint(name, [model(definition.model_definition_id, weight=0.3)])
    before.terminate()

    after = start_server(kinds[1], before.backend_uri, artifacts=before.artifacts, environment=ENVIRONMENT)
    assert store_of(after).get_secret_info(made.secret_id) == made
    assert store_of(after).get_gateway_endpoint(endpoint.endpoint_id) == endpoint
    store_of(after).update_gateway_secret(made.secret_id, {"api_key": "changed"})
    assert decrypted(after, made.secret_id) == {"api_key": "changed"}


def test_what_needs_a_model_says_so(server, target):
    """Only the configuration is kept here."""
    if target == "stock":
        pytest.skip("stock asks models")
    request = Request(f"{server.url}/gateway/mlflow/v1/chat/completions", b'{"model": "x"}', {"Content-Type": "application/json"})
    with pytest.raises(OSError, match="501") as refused:
        urlopen(request)
    detail = json.load(refused.value)["detail"]
    assert detail["error_code"] == "NOT_IMPLEMENTED" and "does not ask language models" in detail["message"]
