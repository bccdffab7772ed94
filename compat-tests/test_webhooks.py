"""Webhooks with the real client and a real receiver: what arrives, how it is signed, and what no failure loses."""

from __future__ import annotations

import time
import urllib.request

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support.receiver import Receiver

KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
ENVIRONMENT = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEY,
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "3",
    # Stock would not tell a new webhook for a minute.
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
}
ALL_EVENTS = [
    "registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted",
    "model_version_alias.created", "model_version_alias.deleted", "prompt.created", "prompt_version.created",
    "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted",
    "prompt_alias.created", "prompt_alias.deleted", "budget_policy.exceeded",
]  # fmt: skip


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def server(start_server, backend, target):
    """A server that may reach receivers on this machine."""
    # Stock's metrics need a package that is not installed here.
    flags = ["--expose-prometheus", "unused"] if target == "ferroflow" else []
    return start_server(target, backend, *flags, environment=ENVIRONMENT)


@pytest.fixture
def client(server):
    """A client whose webhooks end with the test."""
    client = MlflowClient(server.url, server.url)
    yield client
    for webhook in client.list_webhooks():
        client.delete_webhook(webhook.webhook_id)


@pytest.fixture
def name(request) -> str:
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


def only_ours(target: str) -> None:
    if target == "stock":
        pytest.skip("a promise of ours")


def counted(server, series: str) -> float:
    """Reads a number from /metrics; a series that does not exist is 0."""
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))


def test_a_webhook_lives(client, receiver):
    made = client.create_webhook("hook", receiver.url, ALL_EVENTS, description="d", secret="s3cr3t", status="DISABLED")
    assert {str(event) for event in made.events} == set(ALL_EVENTS)
    assert (made.name, made.url, made.description, made.status) == ("hook", receiver.url, "d", "DISABLED")
    assert made.secret is None
    assert repr(client.get_webhook(made.webhook_id)) == repr(made)
    changed = client.update_webhook(made.webhook_id, name="other", events=["prompt.created"], status="ACTIVE")
    assert (changed.name, changed.description, changed.status) == ("other", "d", "ACTIVE")
    assert [str(event) for event in changed.events] == ["prompt.created"]
    assert [webhook.webhook_id for webhook in client.list_webhooks()] == [made.webhook_id]
    client.delete_webhook(made.webhook_id)
    with pytest.raises(MlflowException, match=f"Webhook with ID {made.webhook_id} not found."):
        client.get_webhook(made.webhook_id)


def test_webhooks_are_listed_in_pages(client):
    made = [client.create_webhook(f"hook-{i}", "https://93.184.216.34/h", ["prompt.created"]) for i in range(5)]
    seen, token = [], None
    while True:
        page = client.list_webhooks(max_results=2, page_token=token)
        seen += [webhook.webhook_id for webhook in page]
        token = page.token
        if not token:
            break
    assert sorted(seen) == sorted(webhook.webhook_id for webhook in made)


def test_bad_webhooks_are_refused(client):
    for name, url, message in [
        ("a b", "https://93.184.216.34/h", "Webhook name 'a b' is invalid"),
        ("ok", "ftp://93.184.216.34/h", "Invalid webhook URL scheme: 'ftp'"),
        ("ok", "https:///h", "must include a hostname"),
    ]:
        with pytest.raises(MlflowException, match=message):
            client.create_webhook(name, url, ["prompt.created"])


@pytest.mark.parametrize("event", ALL_EVENTS)
def test_a_try_sends_an_example_of_every_event(client, receiver, event):
    from mlflow.entities.webhook import WebhookEvent
    from mlflow.webhooks.types import get_example_payload_for_event

    made = client.create_webhook("hook", receiver.url, ["prompt.created"], secret="s3cr3t")
    result = client.test_webhook(made.webhook_id, event)
    assert (result.success, result.response_status, result.response_body) == (True, 200, "there")
    (delivery,) = receiver.deliveries
    assert delivery.event == event
    assert delivery.body["data"] == get_example_payload_for_event(WebhookEvent.from_str(event))
    assert list(delivery.body) == ["entity", "action", "timestamp", "data"]
    assert delivery.is_signed_with("s3cr3t")
    assert not delivery.is_signed_with("another")
    assert abs(int(delivery.headers["x-mlflow-timestamp"]) - time.time()) < 10


def test_a_try_tells_how_it_went(client, receiver):
    made = client.create_webhook("hook", receiver.url, ["prompt.created"])
    receiver.script.extend([404, 500, 201])
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status) == (False, 404)
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status) == (True, 201)
    assert [delivery.event for delivery in receiver.deliveries] == ["prompt.created"] * 3
    assert "x-mlflow-signature" not in receiver.deliveries[0].headers
    receiver.stop()
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status) == (False, None)
    assert "Failed to test webhook" in result.error_message
    receiver.start()


def test_private_addresses_are_refused(start_server, backend, target, receiver):
    server = start_server(target, backend, environment={"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https"})
    client = MlflowClient(server.url, server.url)
    port = receiver.url.split(":")[2]
    hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "10.0.0.1", "169.254.169.254"]
    if target != "stock":
        hosts += ["[::7f00:1]", "[fec0::1]", "[ff02::1]", "224.0.0.1", "192.88.99.1", "[2001::1]", "[5f00::1]", "[64:ff9b::7f00:1]"]
    for host in hosts:
        with pytest.raises(MlflowException, match="must not resolve to a non-public IP address"):
            client.create_webhook("hook", f"http://{host}:{port}", ["prompt.created"])
    assert receiver.deliveries == []


def test_an_address_that_became_private_is_not_connected_to(start_server, new_database, backend, target, receiver):
    uri = new_database(backend) if target == "ferroflow" else backend
    open_server = start_server(target, uri, environment=ENVIRONMENT)
    made = MlflowClient(open_server.url, open_server.url).create_webhook("hook", receiver.url, ["registered_model.created"])
    guarded = start_server(
        target, open_server.backend_uri, environment=ENVIRONMENT | {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "false"}
    )
    client = MlflowClient(guarded.url, guarded.url)
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status) == (False, None)
    assert "non-public IP address" in result.error_message
    assert receiver.deliveries == []


def test_stock_reads_our_secrets_and_we_read_those_of_stock(start_server, new_database, stock_database, backend, target, receiver):
    only_ours(target)
    uri = stock_database(backend)
    stock = start_server("stock", uri, environment=ENVIRONMENT)
    ours = start_server("ferroflow", uri, environment=ENVIRONMENT)
    clients = [MlflowClient(server.url, server.url) for server in (stock, ours)]
    for writer, reader in [clients, clients[::-1]]:
        made = writer.create_webhook("hook", receiver.url, ["prompt.created"], secret="shared ü")
        assert reader.test_webhook(made.webhook_id).success
        assert receiver.deliveries[-1].is_signed_with("shared ü")


def test_a_secret_of_another_key_is_not_used(start_server, new_database, backend, target, receiver):
    only_ours(target)
    uri = new_database(backend)
    without_key = {k: v for k, v in ENVIRONMENT.items() if k != "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"}
    server = start_server(target, uri, environment=without_key)
    client = MlflowClient(server.url, server.url)
    made = client.create_webhook("hook", receiver.url, ["prompt.created"], secret="s3cr3t")
    assert client.test_webhook(made.webhook_id).success
    assert server.logged("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY")
    server.terminate()
    server.boot()
    result = client.test_webhook(made.webhook_id)
    assert not result.success
    assert "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY" in result.error_message
    assert len(receiver.deliveries) == 1
    client.update_webhook(made.webhook_id, secret="new")
    assert client.test_webhook(made.webhook_id).success
    assert receiver.deliveries[-1].is_signed_with("new")


def test_a_bad_key_is_refused_at_start(start_server, target):
    only_ours(target)
    with pytest.raises(RuntimeError, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY has to be"):
        start_server(target, "sqlite", environment={"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "short"})


def change_everything(client, name: str) -> list[tuple[str, dict]]:
    """Does to a model and a prompt what has an event; returns the events with their data."""
    model, prompt = f"{name}-model", f"{name}-prompt"
    client.create_registered_model(model, tags={"k": "v", "ü": "☃"}, description="a model")
    version = client.create_model_version(model, "s3://bucket/model", description="a version", tags={"t": "1"})
    number = str(version.version)
    client.set_model_version_tag(model, number, "key", "value")
    client.delete_model_version_tag(model, number, "key")
    client.set_registered_model_alias(model, "champion", number)
    client.delete_registered_model_alias(model, "champion")
    # Nobody is told of a model's own tags.
    client.set_registered_model_tag(model, "own", "tag")
    client.delete_registered_model_tag(model, "own")
    client.register_prompt(prompt, "Hello {{name}}!", commit_message="first", tags={"a": "b"})
    client.set_prompt_tag(prompt, "own", "tag")
    client.delete_prompt_tag(prompt, "own")
    client.set_prompt_version_tag(prompt, "1", "key", "value")
    client.delete_prompt_version_tag(prompt, "1", "key")
    client.set_prompt_alias(prompt, "production", 1)
    client.delete_prompt_alias(prompt, "production")
    of_model, of_prompt = {"name": model}, {"name": prompt}
    return [
        ("registered_model.created", {**of_model, "tags": {"k": "v", "ü": "☃"}, "description": "a model"}),
        (
            "model_version.created",
            {
                **of_model, "version": "1", "source": "s3://bucket/model", "run_id": None, "tags": {"t": "1"},
                "description": "a version",
            },
        ),
        ("model_version_tag.set", {**of_model, "version": "1", "key": "key", "value": "value"}),
        ("model_version_tag.deleted", {**of_model, "version": "1", "key": "key"}),
        ("model_version_alias.created", {**of_model, "alias": "champion", "version": "1"}),
        ("model_version_alias.deleted", {**of_model, "alias": "champion"}),
        ("prompt_tag.set", {**of_prompt, "key": "own", "value": "tag"}),
        ("prompt_tag.deleted", {**of_prompt, "key": "own"}),
        ("prompt_version_tag.set", {**of_prompt, "version": "1", "key": "key", "value": "value"}),
        ("prompt_version_tag.deleted", {**of_prompt, "version": "1", "key": "key"}),
        ("prompt_alias.created", {**of_prompt, "alias": "production", "version": "1"}),
        ("prompt_alias.deleted", {**of_prompt, "alias": "production"}),
    ]  # fmt: skip


def test_every_change_is_told(client, receiver, name):
    client.create_webhook("hook", receiver.url, ALL_EVENTS, secret="s3cr3t")
    expected = change_everything(client, name)
    # Registering a prompt makes the prompt, its version, and tags of its own.
    deliveries = receiver.wait_for(len(expected) + 2)
    time.sleep(1)
    deliveries = receiver.deliveries
    assert all(delivery.is_signed_with("s3cr3t") for delivery in deliveries)
    assert len({delivery.id for delivery in deliveries}) == len(deliveries)
    told = [(delivery.event, delivery.body["data"]) for delivery in deliveries]
    for event in expected:
        assert event in told
    made = [data for event, data in told if event == "prompt.created"]
    assert made == [{"name": f"{name}-prompt", "tags": {"a": "b"}, "description": "first"}]
    versions = [data for event, data in told if event == "prompt_version.created"]
    assert len(versions) == 1
    assert versions[0]["template"] == "Hello {{name}}!"
    assert (versions[0]["version"], versions[0]["description"]) == ("1", "first")
    assert not any(key in versions[0]["tags"] for key in ("mlflow.prompt.is_prompt", "mlflow.prompt.text"))
    assert {event for event, _ in told} == set(ALL_EVENTS) - {"budget_policy.exceeded"}


def test_each_webhook_is_told_what_it_asked_for(client, receiver, name):
    other = Receiver()
    client.create_webhook("versions", receiver.url, ["model_version.created"])
    client.create_webhook("models", other.url, ["registered_model.created"])
    client.create_webhook("off", other.url, ["model_version.created"], status="DISABLED")
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/model")
    receiver.wait_for(1)
    other.wait_for(1)
    time.sleep(0.5)
    assert [delivery.event for delivery in receiver.deliveries] == ["model_version.created"]
    assert [delivery.event for delivery in other.deliveries] == ["registered_model.created"]
    other.stop()


def test_failures_that_may_pass_are_repeated(client, server, target, receiver, name):
    client.create_webhook("hook", receiver.url, ["registered_model.created"], secret="s3cr3t")
    receiver.script.extend([500, (429, {"Retry-After": "1"}), 200])
    client.create_registered_model(name)
    first, second, third = receiver.wait_for(3)
    assert first.id == second.id == third.id
    assert first.text == second.text == third.text
    assert all(delivery.is_signed_with("s3cr3t") for delivery in receiver.deliveries)
    assert third.time - second.time >= 0.9, "the receiver asked for a second"
    time.sleep(0.5)
    assert len(receiver.deliveries) == 3
    if target == "ferroflow":
        assert server.logged("delivered registered_model.created for webhook")


def test_a_failure_that_stays_is_not_repeated(client, server, target, receiver, name):
    client.create_webhook("hook", receiver.url, ["registered_model.created"])
    receiver.script.append(404)
    client.create_registered_model(name)
    receiver.wait_for(1)
    time.sleep(1)
    assert len(receiver.deliveries) == 1
    if target == "ferroflow":
        assert server.logged("was not told of registered_model.created: status 404")
        assert counted(server, 'ferroflow_webhook_deliveries_total{outcome="failed"}') >= 1
        assert counted(server, 'ferroflow_webhook_requests_total{status="404"}') >= 1


def test_a_receiver_that_comes_back_is_told(client, receiver, name):
    client.create_webhook("hook", receiver.url, ["registered_model.created"])
    receiver.stop()
    client.create_registered_model(name)
    time.sleep(1)
    receiver.start()
    (delivery,) = receiver.wait_for(1)
    assert delivery.body["data"]["name"] == name


def test_a_hanging_receiver_slows_nobody(client, receiver, name):
    other = Receiver()
    receiver.script.extend([20.0] * 30)
    client.create_webhook("hanging", receiver.url, ["model_version_tag.set"])
    client.create_webhook("quick", other.url, ["model_version_alias.created"])
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/model")
    for i in range(8):
        began = time.monotonic()
        client.set_model_version_tag(name, "1", f"k{i}", "v")
        assert time.monotonic() - began < 2
    client.set_registered_model_alias(name, "champion", "1")
    (delivery,) = other.wait_for(1, timeout=3)
    assert delivery.event == "model_version_alias.created"
    other.stop()


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_restart_loses_nothing(start_server, new_database, backend, target, receiver, how):
    only_ours(target)
    server = start_server(target, new_database(backend), environment=ENVIRONMENT)
    client = MlflowClient(server.url, server.url)
    client.create_webhook("hook", receiver.url, ["registered_model.created"], secret="s3cr3t")
    # One hangs in the server's hands when it ends, one waits for its second repetition.
    receiver.script.extend([20.0, 500, 500])
    client.create_registered_model("hanging")
    receiver.wait_for(1)
    client.create_registered_model("waiting")
    receiver.wait_for(3)
    receiver.stop()
    client.create_registered_model("away")
    getattr(server, how)()
    receiver.start()
    server.boot()
    deadline = time.monotonic() + 40
    wanted = {"hanging", "waiting", "away"}
    while {delivery.body["data"]["name"] for delivery in receiver.deliveries[3:]} != wanted:
        assert time.monotonic() < deadline, receiver.deliveries
        time.sleep(0.1)
    time.sleep(1)
    after = [delivery.body["data"]["name"] for delivery in receiver.deliveries[3:]]
    assert sorted(after) == sorted(wanted), "each once"
    assert all(delivery.is_signed_with("s3cr3t") for delivery in receiver.deliveries)
    ids = {(delivery.body["data"]["name"], delivery.id) for delivery in receiver.deliveries}
    assert len(ids) == 3, "a repeated delivery keeps its id"


def test_two_servers_on_one_database_tell_once(start_server, new_database, target, receiver):
    only_ours(target)
    uri = new_database("postgres")
    servers = [start_server(target, uri, "--expose-prometheus", "unused", environment=ENVIRONMENT) for _ in range(2)]
    clients = [MlflowClient(server.url, server.url) for server in servers]
    clients[0].create_webhook("hook", receiver.url, ["registered_model.created"])
    for i in range(40):
        clients[i % 2].create_registered_model(f"model-{i}")
    receiver.wait_for(40)
    time.sleep(2)
    names = [delivery.body["data"]["name"] for delivery in receiver.deliveries]
    assert sorted(names) == sorted(f"model-{i}" for i in range(40))
    series = 'ferroflow_webhook_deliveries_total{outcome="delivered"}'
    assert [counted(server, series) for server in servers] != [0, 0]
    assert sum(counted(server, series) for server in servers) == 40


def test_one_server_takes_over_what_another_left(start_server, new_database, target, receiver):
    only_ours(target)
    uri = new_database("postgres")
    dying, other = (start_server(target, uri, environment=ENVIRONMENT) for _ in range(2))
    client = MlflowClient(dying.url, dying.url)
    client.create_webhook("hook", receiver.url, ["registered_model.created"])
    receiver.script.append(20.0)
    client.create_registered_model("left")
    receiver.wait_for(1)
    dying.kill()
    # The claim lasts as long as a request may, and ten seconds.
    again = receiver.wait_for(2, timeout=40)[1]
    assert again.id == receiver.deliveries[0].id
    assert other.healthy()
