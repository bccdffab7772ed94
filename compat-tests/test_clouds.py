"""Artifacts in Google's and Azure's stores, as far as servers that speak like them show it. Azurite is asked only where
`make test-clouds` has installed it."""

from __future__ import annotations

import json
import os
import urllib.request
from urllib.parse import quote

import pytest
from support.clouds import AZURITE, Azure, Google
from support.wire import MIB, PROXY, ask

NAMES = ["plain.txt", "with space.txt", "é.txt", "日本.json", "100%.txt", "a+b.txt", "a&b=c.txt", "deep/er/x;y.txt"]


@pytest.fixture(scope="module", params=["google", "azure"])
def cloud(request, tmp_path_factory):
    if request.param == "azure" and not AZURITE.exists():
        pytest.skip("Azurite is not installed (make test-clouds)")
    emulator = {"google": Google, "azure": Azure}[request.param].start(tmp_path_factory.mktemp(request.param))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="module")
def server(start_server, target, cloud):
    if target == "stock":
        pytest.skip("the clouds' Python libraries are not installed")
    return start_server(target, "sqlite", artifacts=f"{cloud.create('tests')}/root", environment=cloud.environment)


def listed(server, path=""):
    files = json.loads(ask(server, "GET", f"{PROXY}?path={quote(path)}")[2]).get("files", [])
    return [(f["path"], f["is_dir"], f.get("file_size")) for f in files]


def test_names_and_folders(server):
    for name in NAMES:
        assert ask(server, "PUT", f"{PROXY}/names/{quote(name.replace('%', '%25'))}", name.encode())[0] == 200
    for name in NAMES:
        assert ask(server, "GET", f"{PROXY}/names/{quote(name.replace('%', '%25'))}")[0::2] == (200, name.encode())
    files = [(name, False, len(name.encode())) for name in NAMES[:-1]]
    assert listed(server, "names") == sorted([*files, ("deep", True, None)])
    assert listed(server, "names/deep") == [("er", True, None)]
    assert listed(server, "names/plain.txt") == listed(server, "none") == []
    assert ask(server, "GET", f"{PROXY}/names/none")[0] == 404
    assert ask(server, "GET", f"{PROXY}/names/deep")[0] == 400


def test_large_files_and_ranges(server):
    body = os.urandom(17 * MIB + 5)
    assert ask(server, "PUT", f"{PROXY}/large/x.bin", body)[0] == 200
    assert ask(server, "GET", f"{PROXY}/large/x.bin")[2] == body
    status, headers, got = ask(server, "GET", f"{PROXY}/large/x.bin", headers={"Range": "bytes=9000000-9000099"})
    assert (status, got) == (206, body[9_000_000:9_000_100])
    _, headers, _ = ask(server, "HEAD", f"{PROXY}/large/x.bin")
    assert int(headers["content-length"]) == len(body)
    assert ask(server, "GET", f"{PROXY}/large/x.bin", headers={"If-None-Match": headers["etag"]})[0] == 304


def test_files_and_folders_are_deleted(server):
    for name in ("a/one", "a/b/two", "a/bc", "three"):
        assert ask(server, "PUT", f"{PROXY}/gone/{name}", b"x")[0] == 200
    for name in ("gone/a/b", "gone/three", "gone/none"):
        assert ask(server, "DELETE", f"{PROXY}/{name}")[0] == 200
    assert listed(server, "gone") == [("a", True, None)]
    # SeaweedFS goes on to list folders that are empty
    assert [f for f in listed(server, "gone/a") if f[0] != "b"] == [("bc", False, 1), ("one", False, 1)]
    assert listed(server, "gone/a/b") == []


def test_runs_below_the_cloud_are_shown(server, cloud):
    import mlflow

    client = mlflow.MlflowClient(server.url)
    uri = "gs://tests/direct" if isinstance(cloud, Google) else "wasbs://tests@devstoreaccount1.blob.core.windows.net/direct"
    run = client.create_run(client.create_experiment("direct", artifact_location=uri)).info
    assert run.artifact_uri.startswith(uri)
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run.run_id}&path=a/b.txt"
    assert ask(server, "POST", upload, b"hello")[0] == 200
    assert b'"a/b.txt"' in ask(server, "GET", f"/api/2.0/mlflow/artifacts/list?run_id={run.run_id}&path=a")[2]
    assert ask(server, "GET", f"/get-artifact?run_id={run.run_id}&path=a/b.txt")[2] == b"hello"


def test_parts_by_signed_urls(server, cloud):
    """Azure only: without credentials, which Google's side has none of here, nothing can be signed."""
    info = json.loads(ask(server, "GET", "/api/3.0/mlflow/server-info")[2])
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (True, False)
    assert ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/large/x.bin")[0] == 501
    if isinstance(cloud, Google):
        pytest.skip("no credentials")

    def post(step, body):
        answer = ask(server, "POST", f"/api/2.0/mlflow-artifacts/mpu/{step}/parts", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return answer[0], json.loads(answer[2])

    # what cannot be signed goes through the server: the client library reads this answer so
    assert post("create", {"path": "é.bin", "num_parts": 2})[0] == 501
    status, made = post("create", {"path": "x.bin", "num_parts": 2})
    assert status == 200
    sent = []
    for credential, body in zip(made["credentials"], (b"a" * MIB, b"b"), strict=True):
        urllib.request.urlopen(urllib.request.Request(credential["url"], data=body, method="PUT")).close()
        sent.append({"part_number": credential["part_number"], "etag": "", "url": credential["url"]})
    assert post("complete", {"path": "x.bin", "upload_id": "", "parts": sent})[0] == 200
    assert ask(server, "GET", f"{PROXY}/parts/x.bin")[2] == b"a" * MIB + b"b"
    assert post("abort", {"path": "x.bin", "upload_id": ""})[0] == 200
