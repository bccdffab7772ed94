"""The schema: ours equals stock's but for the listed extras, stock is content with it, and databases go over and back."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import schema, servers
from support.postgres import Cluster

pytestmark = pytest.mark.timeout(600)

HEAD = "dc11669786a5"
# Stock's revision before the newest.
OLDER = "75868b020152"


def run(*command: str, code: int = 0) -> str:
    """Runs a program and returns what it printed, after looking at its exit code."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return (done.stdout + done.stderr).strip()


def ferroflow_db(command: str, uri: str, code: int = 0) -> str:
    """Runs `ferroflow db`."""
    return run(str(servers.ferroflow_binary()), "db", command, uri, code=code)


def stock_upgrade(uri: str) -> str:
    """Runs `mlflow db upgrade` of the stock release."""
    return run(sys.executable, "-m", "mlflow", "db", "upgrade", uri.replace("postgresql://", "postgresql+psycopg2://"))


INDEXES = [
    ("runs", "ferroflow_runs_listing", "(experiment_id, lifecycle_stage, start_time DESC NULLS LAST, run_uuid)"),
    ("model_versions", "ferroflow_model_versions_listing", "(workspace, last_updated_time DESC, name, version DESC)"),
    ("registered_model_tags", "ferroflow_registered_model_tags", "(workspace, name)"),
    ("model_version_tags", "ferroflow_model_version_tags", "(workspace, name, version)"),
    ("trace_tags", "ferroflow_trace_tags_values", '(key, "left"((value)::text, 64))'),
    ("trace_request_metadata", "ferroflow_trace_metadata_values", '(key, "left"((value)::text, 64))'),
    ("trace_info", "ferroflow_trace_info_durations", "(experiment_id, execution_time_ms DESC NULLS LAST)"),
    ("experiment_tags", "ferroflow_experiment_tags", "(experiment_id)"),
    ("logged_models", "ferroflow_logged_models_listing", "(experiment_id, creation_timestamp_ms DESC NULLS LAST, model_id)"),
    ("assessments", "ferroflow_assessments_of_sessions", "(name) WHERE (strpos(assessment_metadata, '\"mlflow.trace.session\":'::text) > 0)"),
]


def assert_equal_but_extras(ours: set[str], stock: set[str], backend: str) -> None:
    """Compares facts; on our side only what is listed here may be more."""
    common, extras = schema.split_extras(ours)
    assert common - stock == set(), "only ours"
    assert stock - common == set(), "only stock's"
    tables = ("ferroflow_migrations |", "ferroflow_webhook_deliveries |")
    indexes = {line for line in extras if not line.startswith(tables)}
    assert len(indexes) == len(INDEXES)
    for table, index, definition in INDEXES:
        text = f"{index} ON public.{table} USING btree {definition}" if backend == "postgres" else index
        assert any(line.startswith(f"{table} | index |") and text in line for line in indexes), index


def test_a_fresh_schema_equals_stocks(backend, new_database):
    ours, stock = new_database(backend), new_database(backend)
    assert "made the schema" in ferroflow_db("upgrade", ours)
    stock_upgrade(stock)
    stock_facts = schema.facts(stock)
    assert len(stock_facts) > 600, "the comparison sees the schema"
    assert_equal_but_extras(schema.facts(ours), stock_facts, backend)


def test_a_fresh_schema_equals_stocks_on_the_newest_postgres():
    cluster = Cluster.start(18)
    try:
        ours, stock = cluster.url(cluster.create_database()), cluster.url(cluster.create_database())
        ferroflow_db("upgrade", ours)
        stock_upgrade(stock)
        assert_equal_but_extras(schema.facts(ours), schema.facts(stock), "postgres")
    finally:
        cluster.stop()


def test_an_adopted_database_gets_only_the_extras(backend, stock_database):
    uri = stock_database(backend)
    before = schema.facts(uri)
    assert "will take it over" in ferroflow_db("check", uri)
    assert schema.facts(uri) == before, "a check changes nothing"
    assert "took over" in ferroflow_db("upgrade", uri)
    assert_equal_but_extras(schema.facts(uri), before, backend)
    after = schema.facts(uri)
    assert "up to date" in ferroflow_db("upgrade", uri)
    assert schema.facts(uri) == after


def test_a_user_who_may_not_make_indexes_adopts_all_the_same(stock_database):
    uri = stock_database("postgres")
    before = schema.facts(uri)
    schema.execute(uri, "DROP ROLE IF EXISTS narrow; CREATE ROLE narrow LOGIN")
    schema.execute(uri, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO narrow")
    narrow = uri.replace("ferroflow@", "narrow@")
    assert "without adding indexes and tables" in ferroflow_db("upgrade", narrow)
    assert schema.facts(uri) == before
    schema.execute(uri, "DROP OWNED BY narrow; DROP ROLE narrow")


def test_stocks_upgrade_leaves_ours_as_it_is(backend, new_database):
    uri = new_database(backend)
    ferroflow_db("upgrade", uri)
    before = schema.facts(uri)
    stock_upgrade(uri)
    assert schema.facts(uri) == before
    assert "ready" in ferroflow_db("check", uri)


def test_upgrades_at_once_do_not_collide(backend, new_database):
    uri = new_database(backend)
    command = [str(servers.ferroflow_binary()), "db", "upgrade", uri]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(5)]
    answers = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 5, answers
    assert sum("made the schema" in answer for answer in answers) == 1, answers
    alone = new_database(backend)
    ferroflow_db("upgrade", alone)
    assert schema.facts(uri) == schema.facts(alone)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"UPDATE alembic_version SET version_num = '{OLDER}'", [OLDER, "older than", "mlflow db upgrade", "3.17.2"]),
        ("UPDATE alembic_version SET version_num = 'ffffffffffff'", ["ffffffffffff", "newer MLflow", "backup"]),
        ("INSERT INTO alembic_version VALUES ('ffffffffffff')", ["more than one", HEAD, "ffffffffffff"]),
        ("DELETE FROM alembic_version", ["no schema revision", "mlflow db upgrade"]),
    ],
)
def test_another_revision_is_refused(backend, new_database, statement, words, tmp_path):
    uri = new_database(backend)
    ferroflow_db("upgrade", uri)
    schema.execute(uri, statement)
    before = schema.facts(uri)
    server = servers.start("ferroflow", tmp_path, uri, boot=False)
    answers = [ferroflow_db("check", uri, code=1), ferroflow_db("upgrade", uri, code=1), run(*server.command, code=1)]
    for answer in answers:
        last = answer.splitlines()[-1]
        assert [word for word in words if word not in last] == [], answer
    assert schema.facts(uri) == before


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("./mlruns", "file store"),
        ("mysql+pymysql://u:secret@h/db", "not supported"),
        ("sqlite://", "in memory"),
        ("sqlite:////dev/null/x.db", "cannot be made"),
        ("sqlite:////dev", "cannot be opened"),
        ("postgresql://u:secret@127.0.0.1:1/db", "cannot be opened"),
    ],
)
def test_a_bad_uri_is_one_clear_line(uri, words):
    answer = ferroflow_db("upgrade", uri, code=1)
    assert words in answer and "secret" not in answer
    assert len(answer.splitlines()) == 1, answer


def test_the_names_of_secrets_cannot_change(backend, new_database):
    uri = new_database(backend)
    ferroflow_db("upgrade", uri)
    schema.execute(
        uri,
        "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value, "
        "created_at, last_updated_at) VALUES ('i', 'n', '', '', 1, '', 0, 0)",
    )
    schema.execute(uri, "UPDATE secrets SET masked_value = 'x', secret_name = 'n'")
    for column in ("secret_id", "secret_name"):
        with pytest.raises(Exception, match="cannot change"):
            schema.execute(uri, f"UPDATE secrets SET {column} = 'other'")
    assert schema.query(uri, "SELECT secret_id, secret_name, masked_value FROM secrets") == [("i", "n", "x")]
