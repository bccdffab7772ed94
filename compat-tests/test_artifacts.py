"""Artifacts: the real client through the proxy, and what only shows on the wire: names, ranges, attacks, large files."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.transfers import two_thousand_files, uploads_at_the_same_time
from support.wire import MIB, PROXY, ask, memory_mib


@pytest.fixture(scope="module")
def server(start_server, target):
    return start_server(target, "sqlite")


def files_below(folder: Path) -> set[str]:
    """Every file and folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- the client -------------------------------------------------------------------------------------------------

NAMES = [
    "plain.txt", "with space.txt", "é.txt", "日本.json", "100%.txt", "a+b.txt", "a&b=c.txt", "semi;colon.txt",
    "comma,.txt", "UPPER.TXT", ".hidden", "no_ending", "tilde~", "(1) [2] {3}.txt", "quo'te.txt",
]  # fmt: skip


def test_every_name_comes_back(mlflow, client, tmp_path):
    folder = tmp_path / "local"
    (folder / "deep é/er 日").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text(f"top {name}")
        (folder / "deep é/er 日" / name).write_text(f"deep {name}")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(folder)
    run_id = run.info.run_id
    top = [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id)]
    expected = [(name, False, len(f"top {name}".encode())) for name in NAMES] + [("deep é", True, None)]
    assert top == sorted(expected)
    deep = [f.path for f in client.list_artifacts(run_id, "deep é/er 日")]
    assert deep == sorted(f"deep é/er 日/{name}" for name in NAMES)

    down = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="", dst_path=str(tmp_path / "down")))
    assert files_below(down) == files_below(folder)
    for name in NAMES:
        assert (down / "deep é/er 日" / name).read_text() == f"deep {name}"
        assert Path(client.download_artifacts(run_id, name)).read_text() == f"top {name}"


def test_a_run_without_artifacts_has_none(mlflow, client):
    with mlflow.start_run() as run:
        pass
    assert client.list_artifacts(run.info.run_id) == []
    assert client.list_artifacts(run.info.run_id, "no/such") == []


def test_a_file_is_replaced_as_a_whole(mlflow, client, tmp_path):
    with mlflow.start_run() as run:
        mlflow.log_text("first, and longer", "a/note.txt")
        mlflow.log_text("second", "a/note.txt")
        mlflow.log_text("", "a/empty.txt")
    run_id = run.info.run_id
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/a/note.txt") == "second"
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/a/empty.txt") == ""
    # without proxying, an empty file would have size 0: over HTTP stock leaves the size out
    assert [(f.path, f.file_size) for f in client.list_artifacts(run_id, "a")] == [
        ("a/empty.txt", None), ("a/note.txt", 6),
    ]  # fmt: skip


def test_artifacts_are_deleted(mlflow, client, tmp_path):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with mlflow.start_run() as run:
        for path in ("a/one.txt", "a/b/two.txt", "three.txt"):
            mlflow.log_text("x", path)
    repository = get_artifact_repository(run.info.artifact_uri)
    run_id = run.info.run_id
    repository.delete_artifacts("a/b")
    assert [f.path for f in client.list_artifacts(run_id, "a")] == ["a/one.txt"]
    repository.delete_artifacts("a/one.txt")
    # the emptied folder stays
    assert [(f.path, f.is_dir) for f in client.list_artifacts(run_id)] == [("a", True), ("three.txt", False)]
    repository.delete_artifacts()
    assert client.list_artifacts(run_id) == []


def test_many_small_files(mlflow, client, tmp_path):
    two_thousand_files(mlflow, client, tmp_path)


def test_uploads_at_the_same_time(server):
    uploads_at_the_same_time(server)


def test_a_local_location_is_served_too(mlflow, client, tmp_path, server):
    """Runs whose artifacts lie in a folder that client and server share: the UI asks the server for them."""
    experiment_id = client.create_experiment("shared folder", artifact_location=(tmp_path / "shared é").as_uri())
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_text("hello", "a b/c.txt")
    run_id = run.info.run_id
    status, _, body = ask(server, "GET", f"/ajax-api/2.0/mlflow/artifacts/list?run_id={run_id}&path=a%20b")
    assert status == 200 and b'"a b/c.txt"' in body
    assert ask(server, "GET", f"/get-artifact?run_id={run_id}&path=a%20b/c.txt")[2] == b"hello"


# --- the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_id(server):
    """A run with a few artifacts."""
    import mlflow

    client = mlflow.MlflowClient(server.url)
    run_id = client.create_run("0").info.run_id
    for name in ("a.txt", "b%20c.json", "%C3%A9.csv", "%E6%97%A5%E6%9C%AC", "page.html", "empty.txt"):
        body = b"" if name == "empty.txt" else b"hello world"
        assert ask(server, "PUT", f"{PROXY}/0/{run_id}/artifacts/dir/{name}", body)[0] == 200
    return run_id


@pytest.mark.parametrize(
    ("name", "disposition", "content_type"),
    [
        ("a.txt", "attachment; filename=a.txt", "text/plain"),
        ("b%20c.json", 'attachment; filename="b c.json"', "text/plain"),
        ("%C3%A9.csv", "attachment; filename=e.csv; filename*=UTF-8''%C3%A9.csv", "text/plain"),
        (
            "%E6%97%A5%E6%9C%AC", "attachment; filename=download; filename*=UTF-8''%E6%97%A5%E6%9C%AC",
            "application/octet-stream",
        ),
        ("page.html", "attachment; filename=page.html", "text/html"),
    ],
)  # fmt: skip
def test_downloads_are_described(server, run_id, name, disposition, content_type):
    for path, cache in [
        (f"{PROXY}/0/{run_id}/artifacts/dir/{name}", None),
        (f"/get-artifact?run_id={run_id}&path=dir/{name}", "no-cache"),
    ]:
        status, headers, body = ask(server, "GET", path)
        assert (status, body) == (200, b"hello world")
        assert headers["content-disposition"] == disposition
        assert headers["content-type"] == content_type
        assert headers["content-length"] == "11"
        assert headers["accept-ranges"] == "bytes"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["etag"].startswith('"') and headers["last-modified"].endswith(" GMT")
        assert headers.get("cache-control") == cache
        head_status, head_headers, head_body = ask(server, "HEAD", path)
        assert (head_status, head_headers["content-length"], head_body) == (200, "11", b"")


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/11", b"hell"),
        ("bytes=2-", 206, "bytes 2-10/11", b"llo world"),
        ("bytes=-3", 206, "bytes 8-10/11", b"rld"),
        ("bytes=0-100", 206, "bytes 0-10/11", b"hello world"),
        ("bytes=100-", 416, "bytes */11", None),
        ("bytes=-0", 416, "bytes */11", None),
    ],
)
def test_ranges(server, run_id, asked, status, content_range, body):
    for path in (f"{PROXY}/0/{run_id}/artifacts/dir/a.txt", f"/get-artifact?run_id={run_id}&path=dir/a.txt"):
        got_status, headers, got_body = ask(server, "GET", path, headers={"Range": asked})
        assert (got_status, headers["content-range"]) == (status, content_range)
        assert body is None or got_body == body


def test_a_copy_that_is_fresh_is_not_sent_again(server, run_id):
    path = f"/get-artifact?run_id={run_id}&path=dir/a.txt"
    _, headers, _ = ask(server, "GET", path)
    for condition in ({"If-None-Match": headers["etag"]}, {"If-Modified-Since": headers["last-modified"]}):
        status, _, body = ask(server, "GET", path, headers=condition)
        assert (status, body) == (304, b"")
    assert ask(server, "GET", path, headers={"If-None-Match": '"other"'})[0] == 200


def test_page_uploads(server, run_id):
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}"
    assert ask(server, "POST", f"{upload}&path=up/x.txt", b"hi")[0::2] == (200, b"")
    assert ask(server, "GET", f"/get-artifact?run_uuid={run_id}&path=up/x.txt")[2] == b"hi"
    for query, body, text in [
        (f"run_uuid={run_id}&path=z", b"", b"Request must specify data."),
        (f"run_uuid={run_id}", b"x", b"Request must specify path."),
        ("path=z", b"x", b"Request must specify run_uuid."),
        (f"run_uuid={run_id}&path=../z", b"x", b"Invalid path"),
        (f"run_uuid={run_id}&path=z", b"x" * (10 * MIB + 1), b"Artifact size is too large. Max size is 10MB."),
    ]:
        status, _, answer = ask(server, "POST", f"/ajax-api/2.0/mlflow/upload-artifact?{query}", body)
        assert status == 400 and text in answer, query
    assert ask(server, "POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=nosuch&path=z", b"x")[0] == 404


ATTACKS = [
    "..", "../x", "a/../../x", "%2e%2e/x", "%2e%2e%2fx", "%252e%252e%252fx", "..%2f..%2f..%2fetc/passwd", "a%2f..%2f..",
    "x%23y", "x%23/../../etc/passwd", "%2523y",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_path_leads_out(server, run_id, attack):
    secret = server.artifacts.parent / "x"
    secret.write_text("secret")
    before = files_below(server.artifacts)
    for method, path, body in [
        ("GET", f"{PROXY}/{attack}", None),
        ("PUT", f"{PROXY}/{attack}/new.txt", b"written"),
        ("DELETE", f"{PROXY}/{attack}", None),
        ("GET", f"{PROXY}?path={attack}", None),
        ("GET", f"/get-artifact?run_id={run_id}&path={attack}", None),
        ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={attack}", None),
        ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path={attack}/new.txt", b"written"),
    ]:
        status, _, answer = ask(server, method, path, body)
        assert (status, b"Invalid path" in answer) == (400, True), (method, path, answer)
    assert secret.read_text() == "secret"
    assert files_below(server.artifacts) == before


def test_symlinks_out_of_the_store_are_refused(server):
    outside = server.artifacts.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret").write_text("secret")
    server.artifacts.mkdir(exist_ok=True)
    link = server.artifacts / "link"
    link.symlink_to(outside)
    try:
        for method, path, body in [("GET", "link/secret", None), ("PUT", "link/new", b"x")]:
            status, _, answer = ask(server, method, f"{PROXY}/{path}", body)
            assert (status, b"outside the artifact directory" in answer) == (400, True), (method, answer)
    finally:
        link.unlink()
    assert files_below(outside) == {"secret"}


def test_an_upload_that_is_cut_leaves_nothing(server):
    assert ask(server, "PUT", f"{PROXY}/cut/kept.txt", b"old")[0] == 200
    before = {name for name in files_below(server.artifacts) if name.startswith("cut")}
    host, port = urlsplit(server.url).netloc.split(":")
    for framing, start in [
        (f"Content-Length: {50 * MIB}", b"x" * 3 * MIB),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
    ]:
        with socket.create_connection((host, int(port))) as connection:
            head = f"PUT {PROXY}/cut/kept.txt HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n"
            connection.sendall(head.encode() + start)
            time.sleep(0.3)
            assert ask(server, "GET", f"{PROXY}/cut/kept.txt")[2] == b"old"
            assert b"uploading" not in ask(server, "GET", f"{PROXY}?path=cut")[2]
    deadline = time.monotonic() + 10
    while (left := {n for n in files_below(server.artifacts) if n.startswith("cut")}) != before:
        assert time.monotonic() < deadline, left - before
        time.sleep(0.05)
    assert ask(server, "GET", f"{PROXY}/cut/kept.txt")[2] == b"old"


def test_expect_continue(server):
    host, port = urlsplit(server.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"PUT {PROXY}/expected.txt HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert ask(server, "GET", f"{PROXY}/expected.txt")[2] == b"hello"


# --- settings ---------------------------------------------------------------------------------------------------


def test_without_serving_artifacts(start_server, target, tmp_path):
    server = start_server(target, "sqlite", "--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "root"))
    text = b"disabled due to the mlflow server running with `--no-serve-artifacts`"
    detail = b"Artifact serving is disabled. Run `mlflow server` with `--serve-artifacts` to enable."
    for method, path, body, expected in [
        ("GET", PROXY, None, text),
        ("DELETE", f"{PROXY}/x", None, text),
        ("GET", f"{PROXY}/x", None, detail),
        ("PUT", f"{PROXY}/x", b"x", detail),
    ]:
        status, _, answer = ask(server, method, path, body)
        assert (status, expected in answer) == (503, True), (method, path, answer)
    assert not (tmp_path / "root").exists()


def test_artifacts_only(start_server, target):
    command = start_server(target, "sqlite", "--artifacts-only", boot=False)
    at = command.command.index("--backend-store-uri")
    del command.command[at : at + 2]
    command.boot()
    assert ask(command, "PUT", f"{PROXY}/a/b.txt", b"x")[0] == 200
    assert ask(command, "GET", f"{PROXY}/a/b.txt")[2] == b"x"
    for path in ("/api/2.0/mlflow/artifacts/list?run_id=x", "/get-artifact?run_id=x&path=y"):
        status, _, answer = ask(command, "GET", path)
        assert status == 503 and b"disabled due to the mlflow server running in `--artifacts-only` mode" in answer


def test_stock_and_ours_share_a_folder(start_server, tmp_path):
    """What one wrote the other lists and sends."""
    folder = tmp_path / "both"
    ours, stock = (start_server(kind, "sqlite", artifacts=folder) for kind in ("ferroflow", "stock"))
    names = ["a%20b.txt", "%C3%A9", "100%25", "a+b", "deep/x%3By"]
    for writer, other in ((ours, stock), (stock, ours)):
        for name in names:
            assert ask(writer, "PUT", f"{PROXY}/{writer.kind}/{name}", name.encode())[0] == 200
            assert ask(other, "GET", f"{PROXY}/{writer.kind}/{name}")[2] == name.encode()
    import json

    lists = [json.loads(ask(server, "GET", f"{PROXY}?path=stock")[2]) for server in (ours, stock)]
    assert lists[0] == lists[1]


# --- large files ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_memory_does_not_grow_with_the_file(start_server, target):
    if target == "stock":
        pytest.skip("a promise of ours")
    server = start_server(target, "sqlite")
    size, block = 400 * MIB, os.urandom(MIB)
    sent = hashlib.sha256()

    def blocks():
        for number in range(size // MIB):
            piece = number.to_bytes(4, "big") + block[4:]
            sent.update(piece)
            yield piece

    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    before = memory_mib(server)
    connection.request("PUT", f"{PROXY}/large.bin", body=blocks(), headers={"Content-Length": str(size)})
    assert connection.getresponse().read() == b""
    connection.request("GET", f"{PROXY}/large.bin")
    answer, received, length = connection.getresponse(), hashlib.sha256(), 0
    while piece := answer.read(MIB):
        received.update(piece)
        length += len(piece)
        if length == 10 * MIB:
            # a reader that is slow for a while: the server waits instead of reading ahead
            time.sleep(1)
    assert (length, received.digest()) == (size, sent.digest())
    connection.request("HEAD", f"{PROXY}/large.bin")
    assert int(connection.getresponse().headers["Content-Length"]) == size
    connection.close()
    assert memory_mib(server) - before < 24
    assert ask(server, "DELETE", f"{PROXY}/large.bin")[0] == 200
