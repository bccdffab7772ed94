"""Artifacts in Google's and Azure's stores, as far as servers that speak like them show it. Azurite is asked only where
`make test-clouds` has installed it."""

from __future__ import annotations

import json
import os
import urllib.error
from urllib.parse import quote

import pytest
from support.clouds import AZURITE, Azure, AzureBlobs, AzureLake, Google, GoogleAccount
from support.wire import MIB, PROXY, ask

NAMES = ["plain.txt", "with space.txt", "é.txt", "日本.json", "100%.txt", "a+b.txt", "a&b=c.txt", "deep/er/x;y.txt"]


@pytest.fixture(scope="module", params=[Google, GoogleAccount, Azure, AzureBlobs, AzureLake])
def cloud(request, target, tmp_path_factory):
    kind = request.param
    if target == "stock":
        pytest.skip("the clouds' Python libraries are not installed")
    if issubclass(kind, Azure) and not AZURITE.exists():
        pytest.skip("Azurite is not installed (make test-clouds)")
    emulator = kind.start(tmp_path_factory.mktemp(kind.__name__))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="module")
def bucket(cloud):
    """The URI of an empty bucket."""
    return cloud.create("tests")


@pytest.fixture(scope="module")
def server(start_server, cloud, bucket):
    return start_server("ferroflow", "sqlite", artifacts=f"{bucket}/root", environment=cloud.environment)


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


def test_files_and_folders_are_deleted(server, cloud):
    if isinstance(cloud, AzureLake):
        pytest.skip("Azurite fails on batches of deletions that a signature allows")
    for name in ("a/one", "a/b/two", "a/bc", "three"):
        assert ask(server, "PUT", f"{PROXY}/gone/{name}", b"x")[0] == 200
    for name in ("gone/a/b", "gone/three", "gone/none"):
        assert ask(server, "DELETE", f"{PROXY}/{name}")[0] == 200
    assert listed(server, "gone") == [("a", True, None)]
    # SeaweedFS goes on to list folders that are empty
    assert [f for f in listed(server, "gone/a") if f[0] != "b"] == [("bc", False, 1), ("one", False, 1)]
    assert listed(server, "gone/a/b") == []


def test_runs_below_the_cloud_are_shown(server, bucket):
    import mlflow

    client = mlflow.MlflowClient(server.url)
    uri = f"{bucket}/direct"
    run = client.create_run(client.create_experiment("direct", artifact_location=uri)).info
    assert run.artifact_uri.startswith(uri)
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run.run_id}&path=a/b.txt"
    assert ask(server, "POST", upload, b"hello")[0] == 200
    assert b'"a/b.txt"' in ask(server, "GET", f"/api/2.0/mlflow/artifacts/list?run_id={run.run_id}&path=a")[2]
    assert ask(server, "GET", f"/get-artifact?run_id={run.run_id}&path=a/b.txt")[2] == b"hello"


def test_parts_by_signed_urls(server, cloud):
    """Without credentials nothing can be signed, and stock's data lakes take no parts from clients."""
    info = json.loads(ask(server, "GET", "/api/3.0/mlflow/server-info")[2])
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (not isinstance(cloud, AzureLake), False)
    assert ask(server, "GET", "/api/2.0/mlflow-artifacts/presigned/large/x.bin")[0] == 501
    if not cloud.signs:
        pytest.skip("no signed URLs")

    def post(step, body):
        answer = ask(server, "POST", f"/api/2.0/mlflow-artifacts/mpu/{step}/parts", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return answer[0], json.loads(answer[2])

    # what cannot be signed goes through the server: the client library reads this answer so
    assert post("create", {"path": "é.bin" if isinstance(cloud, Azure) else "100%25.bin", "num_parts": 2})[0] == 501
    for name in ["x.bin"] if isinstance(cloud, Azure) else ["x.bin", "é 日+.bin"]:
        status, made = post("create", {"path": name, "num_parts": 2})
        assert status == 200
        sent = []
        for credential, body in zip(made["credentials"], (b"a" * 5 * MIB, b"b"), strict=True):
            etag = cloud.send(credential["url"], body)
            sent.append({"part_number": credential["part_number"], "etag": etag, "url": credential["url"]})
        finished = {"path": name, "upload_id": made.get("upload_id", "")}
        assert post("complete", finished | {"parts": sent})[0] == 200
        assert ask(server, "GET", f"{PROXY}/parts/{quote(name)}")[2] == b"a" * 5 * MIB + b"b"
    status, made = post("create", {"path": "y.bin", "num_parts": 1})
    assert status == 200
    assert post("abort", {"path": "y.bin", "upload_id": made.get("upload_id", "")})[0] == 200


def test_signed_urls_are_checked(cloud):
    """The front in Google's place refuses what is not signed, so that the tests above say something."""
    if not isinstance(cloud, GoogleAccount):
        pytest.skip("of Google's account only")
    for query in ("", "?X-Goog-Signature=00&X-Goog-SignedHeaders=host&X-Goog-Credential=a&X-Goog-Date=b"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            cloud.send(f"https://storage.googleapis.com/tests/root/x{query}", b"x")
