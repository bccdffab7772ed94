"""The database and the artifacts as files: odd file systems, full disks, files that are moved, copies, leftovers, and
folders that clients may not reach."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest
from support.disks import fill, no_shared_memory, small_disk
from support.load import Load, call, create_runs, history
from support.wire import MIB, PROXY, ask


@pytest.fixture(autouse=True)
def _ours(target):
    if target == "stock":
        pytest.skip("promises of ours")


def uri(file: Path) -> str:
    return f"sqlite:///{file}"


def wait_until(condition, timeout: float = 60):
    """Waits for what happens in the background, and returns it."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def log_metrics(server, run: str, count: int, first: int = 0) -> None:
    for step in range(first, first + count):
        body = {"run_id": run, "key": "m", "value": step, "timestamp": 1, "step": step}
        assert call(server.url, "POST", "runs/log-metric", body)[0] == 200


def steps(server, run: str) -> list[int]:
    return sorted(step for step, _, _ in history(server.url, run, "m"))


def journal_mode(file: Path) -> str:
    with sqlite3.connect(file) as database:
        return database.execute("PRAGMA journal_mode").fetchone()[0]


# Where shared memory cannot be mapped


def metric_writer(run: str):
    for step in itertools.count():
        yield step, "runs/log-metric", {"run_id": run, "key": "m", "value": step, "timestamp": 1, "step": step}


def test_without_shared_memory_two_servers_share_a_file(start_server, target, tmp_path):
    environment = no_shared_memory(tmp_path)
    file = tmp_path / "x.db"
    one = start_server(target, uri(file), environment=environment)
    two = start_server(target, uri(file), environment=environment)
    runs = [create_runs(server.url, 1, server.url)[0] for server in (one, two)]
    load = Load()
    for server, run in zip((one, two), runs, strict=True):
        load.start(server.url, lambda run=run: metric_writer(run))
    load.wait_for(60)
    load.stop()
    assert load.refused == [], load.summary()
    for server in (one, two):
        assert server.logged("rollback journal").count("rollback journal") == 1
        assert sum(len(steps(server, run)) for run in runs) == len(load.acknowledged)
        server.kill()
    assert journal_mode(file) == "delete"

    # Elsewhere the same file gets a log again.
    again = start_server(target, uri(file))
    assert sum(len(steps(again, run)) for run in runs) == len(load.acknowledged)
    again.terminate()
    assert journal_mode(file) == "wal" and "rollback journal" not in again.log.read_text()


def test_a_database_with_a_log_moves_to_where_none_can_be(start_server, target, tmp_path):
    file = tmp_path / "x.db"
    server = start_server(target, uri(file))
    run = create_runs(server.url, 1)[0]
    log_metrics(server, run, 20)
    server.kill()
    assert Path(f"{file}-wal").stat().st_size > 0
    server = start_server(target, uri(file), environment=no_shared_memory(tmp_path))
    assert steps(server, run) == list(range(20))
    log_metrics(server, run, 5, first=20)
    assert steps(server, run) == list(range(25))


# The file itself


def test_the_folder_of_the_database_is_made(start_server, target, tmp_path):
    file = tmp_path / "not/there yet/x.db"
    create_runs(start_server(target, uri(file)).url, 1)
    assert file.exists()


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(start_server, target, tmp_path, how):
    file, aside = tmp_path / "x.db", tmp_path / "aside.db"
    server = start_server(target, uri(file))
    run = create_runs(server.url, 1)[0]
    log_metrics(server, run, 3)
    load = Load()
    load.start(server.url, lambda: ((s + 100, path, body | {"key": "n"}) for s, path, body in metric_writer(run)))
    load.wait_for(20)
    copy = tmp_path / "copy.db"
    shutil.copy(file, copy)
    file.rename(aside)
    if how == "replaced":
        copy.rename(file)
    body = {"run_id": run, "key": "m", "value": 3, "timestamp": 1, "step": 3}
    status, answer = call(server.url, "POST", "runs/log-metric", body)
    assert status == 503 and "removed or replaced" in answer["message"]
    wait_until(lambda: call(server.url, "GET", f"runs/get?run_id={run}")[0] == 503)
    if how == "removed":
        assert not file.exists()
    load.stop()
    acknowledged = {step - 100 for step in load.acknowledged}

    aside.replace(file)
    assert steps(server, run) == [0, 1, 2]
    log_metrics(server, run, 1, first=3)
    assert acknowledged <= {step for step, _, _ in history(server.url, run, "n")}


def test_a_copy_of_an_idle_database_is_whole(start_server, target, tmp_path):
    file = tmp_path / "x.db"
    server = start_server(target, uri(file))
    run = create_runs(server.url, 1)[0]
    log_metrics(server, run, 50)

    def copied():
        copy = tmp_path / f"{uuid.uuid4()}.db"
        shutil.copy(file, copy)
        with sqlite3.connect(copy) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            return "metrics" in tables and database.execute("SELECT count(*) FROM metrics").fetchone()[0] == 50

    wait_until(copied)
    log_metrics(server, run, 1, first=50)
    assert steps(server, run) == list(range(51))


# Full disks


@pytest.fixture
def database_on_small_disk(request, backend, tmp_path):
    """The URI of an empty database on a disk of its own, and the disk."""
    if backend == "sqlite":
        with small_disk(tmp_path / "disk", "24m") as disk:
            yield uri(disk / "x.db"), disk
        return
    cluster = request.getfixturevalue("postgres")
    with small_disk(cluster.root / "disk", "40m") as disk:
        if cluster.owner:
            shutil.chown(disk, cluster.owner["user"], cluster.owner["group"])
        (disk / "space").mkdir()
        if cluster.owner:
            shutil.chown(disk / "space", cluster.owner["user"], cluster.owner["group"])
        cluster.query(f"CREATE TABLESPACE small LOCATION '{disk}/space'")
        cluster.query("CREATE DATABASE small TABLESPACE small")
        yield cluster.url("small"), disk
        cluster.query("DROP DATABASE small WITH (FORCE)")
        cluster.query("DROP TABLESPACE small")


def test_a_full_disk_of_the_database_is_named_and_passes(start_server, target, tmp_path, database_on_small_disk):
    database, disk = database_on_small_disk
    server = start_server(target, database, artifacts=str(tmp_path / "artifacts"))
    run = create_runs(server.url, 1)[0]
    ballast = disk / "ballast"
    fill(ballast, leave=256 * 1024)
    kept = []
    for number in range(2000):
        body = {"run_id": run, "key": f"p{number}", "value": "x" * 5000}
        status, answer = call(server.url, "POST", "runs/log-parameter", body)
        if status != 200:
            break
        kept.append(f"p{number}")
    assert status == 507 and answer["error_code"] == "RESOURCE_EXHAUSTED", answer
    assert "disk of the database is full" in answer["message"]

    def params():
        _, answer = call(server.url, "GET", f"runs/get?run_id={run}")
        return {param["key"] for param in answer["run"]["data"].get("params", [])}

    assert params() == set(kept)
    # Many at once fail alike, each with the reason or with an invitation to come again.
    load = Load()
    for writer in range(8):
        load.start(
            server.url,
            lambda writer=writer: (
                (f"q{writer}-{n}", "runs/log-parameter", {"run_id": run, "key": f"q{writer}-{n}", "value": "x" * 5000})
                for n in range(20)
            ),
        )
    wait_until(lambda: len(load.refused) + len(load.acknowledged) >= 160)
    load.stop()
    assert {status for status, _ in load.refused} <= {503, 507}, load.summary()
    assert any(status == 507 for status, _ in load.refused)

    ballast.unlink()
    body = {"run_id": run, "key": "after", "value": "x"}
    assert call(server.url, "POST", "runs/log-parameter", body)[0] == 200
    server.kill()
    server.boot()
    assert params() >= {*kept, *load.acknowledged, "after"}
    server.kill()


def test_the_client_is_told_of_a_full_disk_at_once(start_server, target, tmp_path, monkeypatch):
    import mlflow
    from mlflow.exceptions import MlflowException

    with small_disk(tmp_path / "disk", "24m") as disk:
        server = start_server(target, uri(disk / "x.db"), artifacts=str(disk / "artifacts"))
        client = mlflow.MlflowClient(server.url)
        run = client.create_run(client.create_experiment("e")).info.run_id
        fill(disk / "ballast", leave=0)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
        with pytest.raises(MlflowException, match="disk of the database is full") as caught:
            for number in range(500):
                client.log_param(run, f"p{number}", "x" * 5000)
        assert caught.value.error_code == "RESOURCE_EXHAUSTED"
        status, _, answer = ask(server, "PUT", f"{PROXY}/big.bin", os.urandom(MIB))
        assert status == 507 and b"disk of the artifacts is full" in answer
        assert not list((disk / "artifacts").rglob("*uploading*"))
        (disk / "ballast").unlink()
        assert ask(server, "PUT", f"{PROXY}/big.bin", os.urandom(MIB))[0] == 200
        server.kill()


# What a request may ask for


def test_lists_of_any_length_are_taken(start_server, target, backend):
    server = start_server(target, backend)
    run = create_runs(server.url, 1)[0]
    mine = call(server.url, "GET", f"runs/get?run_id={run}")[1]["run"]["info"]["experiment_id"]
    ids = [mine, *(str(number) for number in range(1000, 201_000))]
    status, answer = call(server.url, "POST", "runs/search", {"experiment_ids": ids})
    assert (status, [found["info"]["run_id"] for found in answer["runs"]]) == (200, [run])
    names = ", ".join(f"'{run}'" if number == 700 else f"'{number}'" for number in range(1500))
    body = {"experiment_ids": [mine], "filter": f"attributes.run_id IN ({names})"}
    status, answer = call(server.url, "POST", "runs/search", body)
    assert (status, len(answer.get("runs", []))) == (200, 1), answer
    body["filter"] = body["filter"].replace(" IN ", " NOT IN ")
    assert call(server.url, "POST", "runs/search", body) == (200, {})


def test_what_one_statement_cannot_hold_is_refused(start_server, target, backend):
    server = start_server(target, backend)
    run = create_runs(server.url, 1)[0]
    mine = call(server.url, "GET", f"runs/get?run_id={run}")[1]["run"]["info"]["experiment_id"]
    long = {"experiment_ids": [mine], "filter": f"attributes.run_name LIKE '%{'x' * 60_000}_'"}
    assert call(server.url, "POST", "runs/search", long)[0] == (400 if backend == "sqlite" else 200)
    filters = [f'trace.tag.k{number} = "v"' for number in range(1100)]
    body = {
        "experiment_ids": [mine], "view_type": "TRACES", "metric_name": "trace_count",
        "aggregations": [{"aggregation_type": "COUNT"}], "filters": filters,
    }  # fmt: skip
    headers = {"Content-Type": "application/json"}
    status, _, answer = ask(server, "POST", "/api/3.0/mlflow/traces/metrics", json.dumps(body).encode(), headers)
    assert status == 400 and b"at most 60 filters" in answer, answer


# What a killed server leaves


def test_leftovers_of_uploads_are_removed_by_age(start_server, target, tmp_path):
    artifacts = tmp_path / "artifacts"
    folder = artifacts / "1/run/artifacts"
    folder.mkdir(parents=True)
    old, young, file = (folder / name for name in (".artifact.uploading.old", ".artifact.uploading.new", "model.bin"))
    for path in (old, young, file):
        path.write_bytes(b"x" * 100)
    for path in (old, file):
        os.utime(path, (time.time() - 7200,) * 2)
    server = start_server(target, "sqlite", artifacts=str(artifacts))
    wait_until(lambda: not old.exists())
    assert young.exists() and file.exists()
    wait_until(lambda: "removed 1 uploads that were never finished, 100 bytes" in server.log.read_text())


# Folders that clients may not reach


def legacy_trace(server, experiment: str) -> str:
    """A trace whose spans are a file, as clients of old make them."""
    body = {"experiment_id": experiment, "timestamp_ms": 1, "request_metadata": [], "tags": []}
    status, answer = call(server.url, "POST", "traces", body)
    assert status == 200, answer
    return answer["trace_info"]["request_id"]


def test_a_tag_leads_a_trace_nowhere_else(start_server, target, tmp_path):
    server = start_server(target, "sqlite")
    experiment = call(server.url, "POST", "experiments/create", {"name": "e"})[1]["experiment_id"]
    trace = legacy_trace(server, experiment)
    own = Path(server.artifacts) / experiment / "traces" / trace / "artifacts"
    attachment = str(uuid.uuid4())
    secret = tmp_path / "secret"
    for folder in (own, secret, Path(server.artifacts) / experiment / "run/artifacts"):
        (folder / "attachments").mkdir(parents=True)
        (folder / "traces.json").write_text('{"spans": []}')
        (folder / "attachments" / attachment).write_text("bytes")
    page = f"/ajax-api/2.0/mlflow/get-trace-artifact?request_id={trace}"
    assert ask(server, "GET", page)[0] == 200
    assert ask(server, "GET", f"{page}&path={attachment}")[0] == 200
    for location in [
        str(secret),
        f"file://{secret}",
        f"mlflow-artifacts:/{experiment}/run/artifacts",
        f"mlflow-artifacts:/{experiment}/traces/../run/artifacts",
        f"mlflow-artifacts:/{experiment}/traces/%2e%2e/run/artifacts",
        f"mlflow-artifacts://elsewhere/{experiment}/traces/x",
        "s3://bucket/x",
        "",
    ]:
        body = {"key": "mlflow.artifactLocation", "value": location}
        assert call(server.url, "PATCH", f"traces/{trace}/tags", body)[0] == 200
        for path in (page, f"{page}&path={attachment}"):
            status, _, answer = ask(server, "GET", path)
            assert status == 400 and b"spans" not in answer and b"bytes" not in answer, (location, status, answer)


def test_symlinks_stay_below_the_artifacts(start_server, target, tmp_path):
    root, secret = tmp_path / "root", tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    server = start_server(target, "sqlite", "--no-serve-artifacts", "--default-artifact-root", str(root))
    runs = create_runs(server.url, 2)
    info = call(server.url, "GET", f"runs/get?run_id={runs[0]}")[1]["run"]["info"]
    folder = Path(info["artifact_uri"])
    (folder / "model").mkdir(parents=True)
    (folder / "model/key").write_text("fine")
    (folder / "link").symlink_to(secret)
    # A whole run may be a link, too.
    other = Path(call(server.url, "GET", f"runs/get?run_id={runs[1]}")[1]["run"]["info"]["artifact_uri"])
    other.parent.mkdir()
    other.symlink_to(secret)
    call(server.url, "POST", "registered-models/create", {"name": "m"})
    for path, want in [("model", 200), ("link", 400), ("link/../link", 400)]:
        body = {"name": "m", "source": f"runs:/{runs[0]}/{path}", "run_id": runs[0]}
        status, answer = call(server.url, "POST", "model-versions/create", body)
        if status != 200:
            assert (status, want) == (400, 400)
            continue
        version = answer["model_version"]["version"]
        page = f"/model-versions/get-artifact?name=m&version={version}&path=key"
        status, _, answer = ask(server, "GET", page)
        assert (status, b"secret" in answer) == (want, False), (path, answer)
    for run, path in [(runs[0], "link"), (runs[1], "")]:
        status, answer = call(server.url, "GET", f"artifacts/list?run_id={run}&path={quote(path)}")
        assert status == 400 and "outside" in answer["message"]
    for run, path in [(runs[0], "link/key"), (runs[1], "key")]:
        status, _, answer = ask(server, "GET", f"/get-artifact?run_id={run}&path={path}")
        assert status == 400 and b"secret" not in answer.lower().replace(b"invalid", b"")
        upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}2"
        assert ask(server, "POST", upload, b"x")[0] == 400
    assert os.listdir(secret) == ["key"]
