"""Artifacts in S3, a real server of it: the client through the proxy and beside it, stock on the same bucket, refusals."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import socket
import ssl
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from support import certificates
from support.chaos import Chaos
from support.servers import start
from support.transfers import two_thousand_files, uploads_at_the_same_time
from support.tunnel import Tunnel
from support.wire import MIB, PROXY, ask, memory_mib

NAMES = [
    "plain.txt", "with space.txt", "é.txt", "日本.json", "100%.txt", "a+b.txt", "a&b=c.txt", "semi;colon.txt",
    "comma,.txt", "UPPER.TXT", ".hidden", "no_ending", "tilde~", "(1) [2] {3}.txt", "quo'te.txt", "star*.txt",
]  # fmt: skip


@pytest.fixture(scope="module")
def bucket(s3):
    """The name of a bucket of this module."""
    s3.create_bucket("module")
    return "module"


@pytest.fixture(scope="module")
def server(start_server, target, s3, bucket):
    return start_server(target, "sqlite", artifacts=f"s3://{bucket}/root", environment=s3.environment)


def keys(s3, bucket, prefix=""):
    """Every key below a prefix, without it."""
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])}


def begun_uploads(s3, bucket):
    """Uploads in parts that were begun and neither finished nor taken back."""
    return s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def wait_until(check, seconds=20):
    """Waits until `check` returns nothing."""
    deadline = time.monotonic() + seconds
    while left := check():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


# --- the client through the proxy -------------------------------------------------------------------------------


def test_names_are_botos_keys(mlflow, client, tmp_path, s3, bucket):
    folder = tmp_path / "local"
    (folder / "deep é/er 日").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text(f"top {name}")
        (folder / "deep é/er 日" / name).write_text(f"deep {name}")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(folder)
    run_id, experiment_id = run.info.run_id, run.info.experiment_id
    prefix = f"root/{experiment_id}/{run_id}/artifacts/"
    assert keys(s3, bucket, prefix) == {*NAMES, *(f"deep é/er 日/{name}" for name in NAMES)}
    top = [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id)]
    expected = [(name, False, len(f"top {name}".encode())) for name in NAMES] + [("deep é", True, None)]
    assert top == sorted(expected)
    down = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="", dst_path=str(tmp_path / "down")))
    for name in NAMES:
        assert (down / name).read_text() == f"top {name}"
        assert (down / "deep é/er 日" / name).read_text() == f"deep {name}"


def test_models_are_logged_and_loaded(mlflow, client, server):
    from sklearn.linear_model import LinearRegression

    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), name="line", registered_model_name="line on s3")
    assert round(float(mlflow.pyfunc.load_model(info.model_uri).predict([[3.0]])[0]), 6) == 6.0
    assert round(float(mlflow.pyfunc.load_model("models:/line on s3/1").predict([[3.0]])[0]), 6) == 6.0
    model = f"/ajax-api/2.0/mlflow/logged-models/{info.model_id}/artifacts"
    assert b'"MLmodel"' in ask(server, "GET", f"{model}/directories")[2]
    assert b"flavors:" in ask(server, "GET", f"{model}/files?artifact_file_path=MLmodel")[2]
    version = "/model-versions/get-artifact?name=line%20on%20s3&version=1&path=MLmodel"
    assert b"flavors:" in ask(server, "GET", version)[2]
    assert run.info.run_id


def test_many_small_files(mlflow, client, tmp_path):
    two_thousand_files(mlflow, client, tmp_path)


def test_more_than_a_page_is_listed(server, s3, bucket):
    """S3 lists a thousand at a time."""
    client = s3.client(max_pool_connections=20)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for number in range(1100):
            pool.submit(client.put_object, Bucket=bucket, Key=f"root/page/{number:04}", Body=b"x")
    files = json.loads(ask(server, "GET", f"{PROXY}?path=page")[2])["files"]
    assert [f["path"] for f in files] == [f"{number:04}" for number in range(1100)]
    assert ask(server, "DELETE", f"{PROXY}/page")[0] == 200
    assert keys(s3, bucket, "root/page/") == set()


def test_keys_that_are_no_paths_do_not_hide_the_others(server, s3, bucket):
    """Other programs write such keys; folders that they mark by empty objects are folders."""
    for key in ("a//b", "a/", "a/marked/", "a//", "/a/x", "a/b\tc", "a/d\ne", "a/f.txt", "a/marked/g&h"):
        s3.client().put_object(Bucket=bucket, Key=f"root/odd/{key}", Body=b"" if key.endswith("/") else b"x")
    files = {path: json.loads(ask(server, "GET", f"{PROXY}?path=odd{path}")[2])["files"] for path in ("", "/a", "/a/marked")}
    names = {path: [f["path"] for f in listed] for path, listed in files.items()}
    # SeaweedFS takes `a//b` for `a/b`, Garage does not
    assert names[""] == ["a"]
    assert {"f.txt", "marked"} <= set(names["/a"]) <= {"b", "f.txt", "marked", "x"}
    assert names["/a/marked"] == ["g&h"]
    assert ask(server, "GET", f"{PROXY}/odd/a/f.txt")[2] == b"x"
    assert ask(server, "DELETE", f"{PROXY}/odd/a")[0] == 200
    assert not any(key.endswith((".txt", "h")) for key in keys(s3, bucket, "root/odd/"))


def test_uploads_at_the_same_time(server, s3, bucket):
    uploads_at_the_same_time(server)
    assert begun_uploads(s3, bucket) == []


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 12 * MIB])
def test_every_size_comes_back(server, size):
    body = os.urandom(size)
    assert ask(server, "PUT", f"{PROXY}/sizes/{size}", body)[0] == 200
    status, headers, got = ask(server, "GET", f"{PROXY}/sizes/{size}")
    assert (status, int(headers["content-length"]), got == body) == (200, size, True)


def test_ranges_and_conditions(server, target):
    if target == "stock":
        pytest.skip("stock sends whole files from S3")
    body = bytes(range(256)) * 40_000
    assert ask(server, "PUT", f"{PROXY}/range/x.bin", body)[0] == 200
    path = f"{PROXY}/range/x.bin"
    for asked, start_at, end in [
        ("bytes=0-3", 0, 4), ("bytes=6000000-6000009", 6_000_000, 6_000_010), ("bytes=-5", len(body) - 5, len(body)),
        ("bytes=10239990-", 10_239_990, len(body)),
    ]:  # fmt: skip
        status, headers, got = ask(server, "GET", path, headers={"Range": asked})
        assert (status, got) == (206, body[start_at:end])
        assert headers["content-range"] == f"bytes {start_at}-{end - 1}/{len(body)}"
    assert ask(server, "GET", path, headers={"Range": "bytes=99999999-"})[0] == 416
    _, headers, _ = ask(server, "HEAD", path)
    assert int(headers["content-length"]) == len(body)
    for condition in ({"If-None-Match": headers["etag"]}, {"If-Modified-Since": headers["last-modified"]}):
        assert ask(server, "GET", path, headers=condition)[0::2] == (304, b"")
    assert ask(server, "GET", path, headers={"If-None-Match": '"other"'})[0] == 200


def test_files_and_folders_are_deleted(mlflow, client, s3, bucket):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with mlflow.start_run() as run:
        for path in ("a/one.txt", "a/b/two.txt", "a/b.txt", "three.txt"):
            mlflow.log_text("x", path)
    prefix = f"root/{run.info.experiment_id}/{run.info.run_id}/artifacts/"
    repository = get_artifact_repository(run.info.artifact_uri)
    repository.delete_artifacts("a/b")
    assert keys(s3, bucket, prefix) == {"a/one.txt", "a/b.txt", "three.txt"}
    repository.delete_artifacts("three.txt")
    repository.delete_artifacts()
    assert keys(s3, bucket, prefix) == set()
    # SeaweedFS goes on to list folders that are empty
    assert all(f.is_dir for f in client.list_artifacts(run.info.run_id))


def test_stock_and_ours_share_a_bucket(start_server, s3):
    """What one wrote the other lists and sends."""
    s3.create_bucket("shared")
    both = [start_server(kind, "sqlite", artifacts="s3://shared/x", environment=s3.environment) for kind in ("ferroflow", "stock")]
    names = ["a%20b.txt", "%C3%A9", "%E6%97%A5", "100%25", "a+b", "a&b", "a%3Fb", "deep/x%3By", "quo%27te"]
    for writer, other in (both, both[::-1]):
        for name in names:
            assert ask(writer, "PUT", f"{PROXY}/{writer.kind}/{name}", name.encode())[0] == 200
            assert ask(other, "GET", f"{PROXY}/{writer.kind}/{name}")[2] == name.encode()
    assert keys(s3, "shared", "x/ferroflow/") == keys(s3, "shared", "x/stock/")
    for path in ("stock", "stock/deep", "ferroflow", "none", ""):
        lists = [json.loads(ask(server, "GET", f"{PROXY}?path={path}")[2]) for server in both]
        assert lists[0] == lists[1]
    infos = [json.loads(ask(server, "GET", "/api/3.0/mlflow/server-info")[2]) for server in both]
    flags = [{name: value for name, value in info.items() if "uploa" in name or "downloa" in name} for info in infos]
    assert flags[0] == flags[1] and flags[0]["multipart_uploads_enabled"]
    assert ask(both[0], "DELETE", f"{PROXY}/stock")[0] == 200
    assert keys(s3, "shared", "x/stock/") == set()


# --- the client beside the proxy ---------------------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch):
    """Makes the client send files over 5 MiB in parts, by URLs that the server signs, and read them so."""
    for name, value in {
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(5 * MIB),
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * MIB),
        "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": str(5 * MIB),
        "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(5 * MIB),
    }.items():
        monkeypatch.setenv(name, value)


def test_the_client_uploads_and_downloads_in_parts(mlflow, client, tmp_path, s3, bucket, parts):
    file = tmp_path / "large é.bin"
    file.write_bytes(os.urandom(17 * MIB))
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(file), "in parts")
        mlflow.log_text("small", "small.txt")
    key = f"root/{run.info.experiment_id}/{run.info.run_id}/artifacts/in parts/large é.bin"
    head = s3.client().head_object(Bucket=bucket, Key=key)
    assert head["ContentLength"] == 17 * MIB and head["ETag"].endswith('-4"')
    down = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="in parts/large é.bin", dst_path=str(tmp_path / "down"))
    assert hashlib.sha256(Path(down).read_bytes()).digest() == hashlib.sha256(file.read_bytes()).digest()
    assert begun_uploads(s3, bucket) == []


def test_a_multipart_upload_by_hand(server, s3, bucket):
    mpu = "/api/2.0/mlflow-artifacts/mpu"

    def post(step, body, path="by/hand"):
        status, _, answer = ask(server, "POST", f"{mpu}/{step}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return status, json.loads(answer)

    status, made = post("create", {"path": "/home/me/big é.bin", "num_parts": 2})
    assert status == 200 and [c["part_number"] for c in made["credentials"]] == [1, 2]
    sent = []
    for credential, body in zip(made["credentials"], (b"a" * 5 * MIB, b"b"), strict=True):
        request = urllib.request.Request(credential["url"], data=body, method="PUT")
        with urllib.request.urlopen(request) as answer:
            sent.append({"part_number": credential["part_number"], "etag": answer.headers["ETag"], "url": credential["url"]})
    assert keys(s3, bucket, "root/by/") == set()
    finish = {"path": "/home/me/big é.bin", "upload_id": made["upload_id"]}
    assert post("complete", finish | {"parts": sent[::-1]}) == (200, {})
    assert keys(s3, bucket, "root/by/hand/") == {"big é.bin"}
    assert ask(server, "GET", f"{PROXY}/by/hand/{quote('big é.bin')}")[2] == b"a" * 5 * MIB + b"b"

    _, made = post("create", {"path": "x", "num_parts": 1})
    assert len(begun_uploads(s3, bucket)) == 1
    assert post("abort", {"path": "x", "upload_id": made["upload_id"]}) == (200, {})
    assert begun_uploads(s3, bucket) == []
    # an upload may not leave its folder by the name of its file or by that of the folder
    for path, name in [("by", ".."), ("by", "a/.."), ("..%2f..", "x"), ("by/%252e%252e", "x"), ("by", "%2e%2e")]:
        assert post("create", {"path": name, "num_parts": 1}, path)[0] == 400
    assert post("complete", {"path": "x", "upload_id": "none", "parts": [{"part_number": 1, "etag": "x"}]})[0] in (400, 404)
    assert post("complete", {"path": "x", "upload_id": "none", "parts": [{"part_number": 2, "etag": "x"}]})[0] == 400
    assert post("create", {"path": "x", "num_parts": 10_001})[0] == 400


def test_presigned_downloads_by_the_proxy(server, target):
    assert ask(server, "PUT", f"{PROXY}/signed/a%20%C3%A9.txt", b"hello")[0] == 200
    status, _, answer = ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/signed/a%20%C3%A9.txt")
    made = json.loads(answer)
    assert (status, made["headers"], made["file_size"]) == (200, {}, 5)
    with urllib.request.urlopen(made["url"]) as answer:
        assert answer.read() == b"hello"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%C3%A9.txt"
    assert ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/none")[0] == 404
    assert ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/..%2fx")[0] == 400


@pytest.fixture
def direct(mlflow, client, s3, bucket, monkeypatch):
    """An experiment whose artifacts client and server both reach in the bucket."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = f"direct {time.time_ns()}"
    experiment_id = client.create_experiment(name, artifact_location=f"s3://{bucket}/direct/{time.time_ns()}")
    mlflow.set_experiment(experiment_id=experiment_id)
    return experiment_id


def test_artifacts_that_do_not_go_through_the_server_are_shown(mlflow, client, server, direct, tmp_path):
    from sklearn.linear_model import LinearRegression

    with mlflow.start_run() as run:
        mlflow.log_text("hello", "a b/é+%.txt")
        info = mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), name="line")
    run_id = run.info.run_id
    assert run.info.artifact_uri.startswith("s3://module/direct/")
    listed = json.loads(ask(server, "GET", f"/ajax-api/2.0/mlflow/artifacts/list?run_id={run_id}&path=a%20b")[2])
    assert [(f["path"], f["file_size"]) for f in listed["files"]] == [("a b/é+%.txt", 5)]
    shown = ask(server, "GET", f"/get-artifact?run_id={run_id}&path=" + quote("a b/é+%25.txt"))
    assert shown[0::2] == (200, b"hello")
    model = f"/ajax-api/2.0/mlflow/logged-models/{info.model_id}/artifacts"
    assert b'"MLmodel"' in ask(server, "GET", f"{model}/directories")[2]
    assert b"flavors:" in ask(server, "GET", f"{model}/files?artifact_file_path=MLmodel")[2]
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=from/page.txt"
    assert ask(server, "POST", upload, b"page")[0] == 200
    if server.kind == "ferroflow":
        assert mlflow.artifacts.load_text(f"runs:/{run_id}/from/page.txt") == "page"


@pytest.mark.parametrize("way", ["proxied", "direct"])
def test_attachments_of_traces_are_shown(mlflow, client, server, request, s3, bucket, way):
    if way == "direct":
        request.getfixturevalue("direct")
    with mlflow.start_span("asked") as span:
        span.set_inputs({"question": "why"})
    mlflow.flush_trace_async_logging()
    trace_id, name = span.trace_id, str(uuid.uuid4())
    uri = client.get_trace(trace_id).info.tags["mlflow.artifactLocation"]
    prefix = uri.removeprefix(f"s3://{bucket}/" if way == "direct" else "mlflow-artifacts:/")
    assert prefix != uri and not prefix.startswith("/")
    key = f"{prefix if way == 'direct' else f'root/{prefix}'}/attachments/{name}"
    s3.client().put_object(Bucket=bucket, Key=key, Body=b"attached")
    for version in ("2.0", "3.0"):
        url = f"/ajax-api/{version}/mlflow/get-trace-artifact?request_id={trace_id}"
        assert ask(server, "GET", f"{url}&path={name}")[0::2] == (200, b"attached")
        assert b"question" in ask(server, "GET", url)[2]
        for path in (f"../{name}", f"..%252f{name}", f"attachments/{name}", f"%2f{name}"):
            assert ask(server, "GET", f"{url}&path={path}")[0] == 400


def test_presigned_urls_of_runs_and_models(mlflow, client, server, direct):
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "a.txt")
    model = client.create_logged_model(direct, name="m")

    def post(what, body):
        body = json.dumps(body).encode()
        status, _, answer = ask(server, "POST", f"/api/2.0/mlflow/artifacts/presigned-{what}-url", body, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    run_id = run.info.run_id
    status, made = post("download", {"run_id": run_id, "path": "a.txt"})
    assert (status, made["file_size"]) == (200, 5)
    assert urllib.request.urlopen(made["presigned_url"]).read() == b"hello"
    for owner, uri in [({"run_id": run_id}, run.info.artifact_uri), ({"model_id": model.model_id}, model.artifact_location)]:
        status, made = post("upload", owner | {"path": "up/x y.json", "expiration": 60})
        assert status == 200 and made["headers"] == {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(made["presigned_url"], data=b"{}", headers=made["headers"], method="PUT"))
        assert mlflow.artifacts.load_text(f"{uri}/up/x y.json") == "{}"
    for what, body, status in [
        ("download", {"run_id": run_id, "path": "none"}, 404),
        ("download", {"run_id": run_id, "path": "../x"}, 400),
        ("download", {"run_id": run_id, "path": "a.txt", "expiration": 604_801}, 400),
        ("upload", {"run_id": run_id, "model_id": model.model_id, "path": "x"}, 400),
        ("upload", {"run_id": run_id, "path": "%252e%252e/x"}, 400),
    ]:
        assert post(what, body)[0] == status, body
    # what goes through the server has no such URLs
    proxied = client.create_run(client.create_experiment(f"proxied {time.time_ns()}")).info.run_id
    assert post("download", {"run_id": proxied, "path": "x"})[0] == 400


# --- settings ------------------------------------------------------------------------------------------------------


def test_objects_are_written_as_the_operator_says(start_server, target, s3, bucket):
    extra = {"Metadata": {"team": "blue"}, "CacheControl": "no-store", "StorageClass": "STANDARD"}
    server = start_server(
        target, "sqlite", artifacts=f"s3://{bucket}/extra",
        environment=s3.environment | {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(extra)},
    )  # fmt: skip
    for name, size in (("small.json", 10), ("large.json", 6 * MIB)):
        assert ask(server, "PUT", f"{PROXY}/{name}", b"1" * size)[0] == 200
        head = s3.client().head_object(Bucket=bucket, Key=f"extra/{name}")
        assert (head["Metadata"], head["CacheControl"], head["ContentType"]) == ({"team": "blue"}, "no-store", "application/json")
        assert ask(server, "GET", f"{PROXY}/{name}")[2] == b"1" * size


def test_credentials_come_from_a_profile(start_server, target, s3, bucket, tmp_path):
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n[mine]\naws_access_key_id = "
        f"{s3.environment['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {s3.environment['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (tmp_path / "config").write_text(f"[profile mine]\nregion = us-east-1\nendpoint_url = {s3.url}\n")
    server = start_server(
        target, "sqlite", artifacts=f"s3://{bucket}/profile",
        environment={"AWS_PROFILE": "mine", "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")},
    )  # fmt: skip
    assert ask(server, "PUT", f"{PROXY}/x", b"x")[0] == 200
    assert ask(server, "GET", f"{PROXY}/x")[2] == b"x"


def test_the_bucket_may_stand_in_the_host(start_server, target, s3, tmp_path):
    bucket = "in-the-host"
    s3.create_bucket(bucket)
    tunnel = Tunnel(tmp_path, {f"{bucket}.s3.test": s3.url})
    variables = {"MLFLOW_S3_ENDPOINT_URL": "https://s3.test", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual"}
    try:
        server = start_server(
            target, "sqlite", artifacts=f"s3://{bucket}/x", environment=s3.environment | tunnel.environment | variables
        )  # fmt: skip
        for name, size in (("small é.txt", 10), ("large.bin", 6 * MIB)):
            assert ask(server, "PUT", f"{PROXY}/{quote(name)}", b"x" * size)[0] == 200
            assert ask(server, "GET", f"{PROXY}/{quote(name)}")[2] == b"x" * size
        assert len(json.loads(ask(server, "GET", PROXY)[2])["files"]) == 2
        assert keys(s3, bucket) == {"x/small é.txt", "x/large.bin"}
        made = json.loads(ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/large.bin")[2])
        assert made["url"].startswith(f"https://{bucket}.s3.test/x/large.bin?")
        assert ask(server, "DELETE", f"{PROXY}/large.bin")[0] == 200
        assert keys(s3, bucket) == {"x/small é.txt"}
    finally:
        tunnel.stop()


def test_a_bucket_in_another_region_is_found(start_server, target, s3, tmp_path):
    """Amazon's hosts are named after regions, and a wrong one says which is right. Dots keep the bucket out of the host."""
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def _redirect(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.path)
            body = b"" if self.command == "HEAD" else b"<Error><Code>PermanentRedirect</Code></Error>"
            self.send_response(301)
            for name, value in {"x-amz-bucket-region": "us-east-1", "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _redirect

        def log_message(self, *_):
            pass

    s3.create_bucket(bucket := "far.away")
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    hosts = {"s3.eu-west-9.amazonaws.com": f"http://127.0.0.1:{elsewhere.server_port}", "s3.us-east-1.amazonaws.com": s3.url, "s3.amazonaws.com": s3.url}
    tunnel = Tunnel(tmp_path, hosts)
    variables = s3.environment | tunnel.environment | {"AWS_DEFAULT_REGION": "eu-west-9"}
    del variables["MLFLOW_S3_ENDPOINT_URL"]
    try:
        server = start_server(target, "sqlite", artifacts=f"s3://{bucket}/x", environment=variables)
        for name, size in (("small é.txt", 10), ("large.bin", 6 * MIB)):
            assert ask(server, "PUT", f"{PROXY}/{quote(name)}", b"x" * size)[0] == 200
            assert ask(server, "GET", f"{PROXY}/{quote(name)}")[2] == b"x" * size
        assert len(json.loads(ask(server, "GET", PROXY)[2])["files"]) == 2
        assert keys(s3, bucket) == {"x/small é.txt", "x/large.bin"}
        if target == "ferroflow":
            made = json.loads(ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/large.bin")[2])
            assert made["url"].startswith(f"https://s3.us-east-1.amazonaws.com/{bucket}/x/large.bin?")
            assert "%2Fus-east-1%2Fs3%2F" in made["url"]
            assert len(asked) == 1
    finally:
        tunnel.stop()
        elsewhere.shutdown()


@pytest.mark.parametrize(
    ("trusts", "ignores", "status"), [("ours", False, 200), ("other", False, 503), ("other", True, 200), (None, False, 503)]
)
def test_the_stores_certificate_is_checked(start_server, target, s3, bucket, tmp_path, trusts, ignores, status):
    if target == "stock" and status != 200:
        pytest.skip("stock answers 500")
    authorities = {name: certificates.make(name) for name in ("ours", "other")}
    for name, (certificate, _) in authorities.items():
        certificates.write(tmp_path / f"{name}.crt", certificate)
    own = certificates.write(tmp_path / "server.crt", *certificates.make("server", authorities["ours"], "localhost"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own, own.with_suffix(".key"))
    front = Chaos(s3.url, tls)
    variables = {"MLFLOW_S3_ENDPOINT_URL": front.url, "MLFLOW_S3_IGNORE_TLS": str(ignores)}
    if trusts:
        variables["AWS_CA_BUNDLE"] = str(tmp_path / f"{trusts}.crt")
    try:
        server = start_server(target, "sqlite", artifacts=f"s3://{bucket}/tls", environment=s3.environment | variables)
        assert ask(server, "PUT", f"{PROXY}/x", b"x" * 6 * MIB)[0] == status
        assert ask(server, "GET", f"{PROXY}/x")[0] == status
    finally:
        front.stop()


def test_clients_use_the_bucket_without_the_proxy(start_server, target, s3, bucket, monkeypatch, tmp_path):
    """`--no-serve-artifacts` with a bucket as the root of new experiments."""
    import mlflow

    server = start_server(
        target, "sqlite", "--no-serve-artifacts", "--default-artifact-root", f"s3://{bucket}/rooted", environment=s3.environment
    )  # fmt: skip
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("rooted")
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "x.txt")
    assert keys(s3, bucket, f"rooted/{run.info.experiment_id}/") == {f"{run.info.run_id}/artifacts/x.txt"}
    assert ask(server, "GET", f"/get-artifact?run_id={run.info.run_id}&path=x.txt")[2] == b"hello"
    assert ask(server, "GET", f"{PROXY}/x.txt")[0] == 503
    info = json.loads(ask(server, "GET", "/api/3.0/mlflow/server-info")[2])
    assert not info["multipart_uploads_enabled"] and not info["multipart_downloads_enabled"]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "secret", "destination", "method", "status", "code"),
    [
        ("reader", "reader", "module/x", "PUT", 403, "AccessDenied"),
        ("owner", "wrong", "module/x", "GET", 403, "SignatureDoesNotMatch"),
        ("nobody", "owner", "module/x", "GET", 403, "InvalidAccessKeyId"),
        ("owner", "owner", "nosuchbucket/x", "GET", 404, "NoSuch"),
    ],
)
def test_refusals_are_told_apart(start_server, target, s3, bucket, key, secret, destination, method, status, code):
    if target == "stock":
        pytest.skip("stock answers 500")
    known = {"owner": s3.owner, "reader": s3.reader, "nobody": ("GK" + "00" * 12, ""), "wrong": ("", "77" * 32)}
    variables = {"AWS_ACCESS_KEY_ID": known[key][0], "AWS_SECRET_ACCESS_KEY": known[secret][1]}
    server = start_server(target, "sqlite", artifacts=f"s3://{destination}", environment=s3.environment | variables)
    got, _, answer = ask(server, method, f"{PROXY}/file", b"x" if method == "PUT" else None)
    assert got == status, answer
    log = server.logged(s3.codes.get(code, code))
    used = variables["AWS_SECRET_ACCESS_KEY"]
    assert used not in log and used.encode() not in answer
    assert "X-Amz-Signature" not in log and "AWS4-HMAC" not in log


def test_a_store_that_is_away_is_said_so_in_time(start_server, target, s3):
    if target == "stock":
        pytest.skip("stock answers 500")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        environment = s3.environment | {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        server = start_server(target, "sqlite", artifacts="s3://module/x", environment=environment)
        before = time.monotonic()
        for method, path, body in [("GET", f"{PROXY}/x", None), ("GET", f"{PROXY}?path=x", None), ("PUT", f"{PROXY}/x", b"x")]:
            status, headers, answer = ask(server, method, path, body)
            assert status == 503 and b"TEMPORARILY_UNAVAILABLE" in answer and "retry-after" in headers
        assert time.monotonic() - before < 3 * 25


def test_an_upload_that_is_cut_leaves_nothing(server, s3, bucket, target):
    assert ask(server, "PUT", f"{PROXY}/cut/kept.txt", b"old")[0] == 200
    host, port = urlsplit(server.url).netloc.split(":")
    for framing, start_of_body in [
        (f"Content-Length: {50 * MIB}", b"x" * 12 * MIB),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
    ]:
        with socket.create_connection((host, int(port))) as connection:
            head = f"PUT {PROXY}/cut/kept.txt HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n"
            connection.sendall(head.encode() + start_of_body)
            time.sleep(0.5)
            assert ask(server, "GET", f"{PROXY}/cut/kept.txt")[2] == b"old"
    wait_until(lambda: begun_uploads(s3, bucket))
    assert ask(server, "GET", f"{PROXY}/cut/kept.txt")[2] == b"old"


def test_a_server_that_ends_takes_its_uploads_back(s3, bucket, tmp_path, new_database):
    server = start("ferroflow", tmp_path, new_database("sqlite"), "--shutdown-timeout", "1", artifacts=f"s3://{bucket}/ends", environment=s3.environment)
    host, port = urlsplit(server.url).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"PUT {PROXY}/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: {50 * MIB}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 12 * MIB)
        deadline = time.monotonic() + 20
        while not begun_uploads(s3, bucket):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.terminate()
    assert begun_uploads(s3, bucket) == []
    assert keys(s3, bucket, "ends/") == set()


def test_memory_does_not_grow_with_the_file(start_server, target, s3, bucket):
    if target == "stock":
        pytest.skip("a promise of ours")
    server = start_server(target, "sqlite", artifacts=f"s3://{bucket}/memory", environment=s3.environment)
    body = os.urandom(150 * MIB)
    before = memory_mib(server)
    assert ask(server, "PUT", f"{PROXY}/large.bin", body, timeout=300)[0] == 200
    assert hashlib.sha256(ask(server, "GET", f"{PROXY}/large.bin", timeout=300)[2]).digest() == hashlib.sha256(body).digest()
    assert memory_mib(server) - before < 48
    assert ask(server, "DELETE", f"{PROXY}/large.bin")[0] == 200
