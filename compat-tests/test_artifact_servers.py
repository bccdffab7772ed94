"""A tracking server with `--no-serve-artifacts` beside a server with `--artifacts-only`, ours and the stock one, and what
it does on its way there: credentials, certificates, redirects, other hosts."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from support import certificates
from support.load import call, create_runs
from support.wire import MIB, PROXY, ask

ROUTE = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module", params=["ferroflow", "stock"])
def artifact_server(request, start_server):
    """A server that does nothing but hand artifacts through."""
    kind = request.param
    return start_server(kind, "sqlite:///mlflow.db", "--artifacts-only")


@pytest.fixture(scope="module")
def tracking(start_server, target, artifact_server):
    """A tracking server whose artifacts are on the other one."""
    root = f"{artifact_server.url}{ROUTE}/below"
    return start_server(target, "sqlite", "--no-serve-artifacts", "--default-artifact-root", root)


def run_with_files(tracking, artifact_server) -> tuple[str, Path]:
    run = create_runs(tracking.url, 1, f"e{time.monotonic_ns()}")[0]
    uri = call(tracking.url, "GET", f"runs/get?run_id={run}")[1]["run"]["info"]["artifact_uri"]
    assert uri.startswith(f"{artifact_server.url}{ROUTE}/below/")
    folder = Path(artifact_server.artifacts) / uri.partition(f"{ROUTE}/")[2]
    (folder / "model dir/deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"hello")
    (folder / "empty").write_bytes(b"")
    (folder / "model dir/big + é.bin").write_bytes(bytes(range(256)) * (12 * 1024))
    return run, folder


def test_files_are_listed_and_read(tracking, artifact_server):
    run, folder = run_with_files(tracking, artifact_server)
    status, answer = call(tracking.url, "GET", f"artifacts/list?run_id={run}")
    files = [(file["path"], file["is_dir"], file.get("file_size")) for file in answer["files"]]
    assert status == 200 and files == [("a.txt", False, 5), ("empty", False, None), ("model dir", True, None)]
    answer = call(tracking.url, "GET", f"artifacts/list?run_id={run}&path=model%20dir")[1]
    assert [file["path"] for file in answer["files"]] == ["model dir/big + é.bin", "model dir/deep"]
    assert call(tracking.url, "GET", f"artifacts/list?run_id={run}&path=nosuch")[1].get("files", []) == []
    assert call(tracking.url, "GET", f"artifacts/list?run_id={run}&path=a.txt")[1].get("files", []) == []
    for path, body in [
        ("a.txt", b"hello"),
        ("empty", b""),
        ("model%20dir/big%20%2B%20%C3%A9.bin", bytes(range(256)) * (12 * 1024)),
    ]:
        status, _, got = ask(tracking, "GET", f"/get-artifact?run_id={run}&path={path}")
        assert (status, got == body) == (200, True), path


def test_parts_are_read(tracking, artifact_server, target):
    if target == "stock":
        pytest.skip("stock fetches the whole file first")
    run, _ = run_with_files(tracking, artifact_server)
    page = f"/get-artifact?run_id={run}&path=model%20dir/big%20%2B%20%C3%A9.bin"
    whole = bytes(range(256)) * (12 * 1024)
    for first, last in [(0, 0), (5, 9), (MIB + 3, 2 * MIB), (len(whole) - 4, len(whole) - 1)]:
        status, headers, got = ask(tracking, "GET", page, headers={"Range": f"bytes={first}-{last}"})
        assert (status, got == whole[first : last + 1]) == (206, True), (first, last)
    status, headers, got = ask(tracking, "HEAD", page)
    assert (status, headers["content-length"], got) == (200, str(len(whole)), b"")


def test_what_is_not_there_is_told_from_what_is_no_file(tracking, artifact_server, target):
    if target == "stock":
        pytest.skip("stock answers 500 where a bucket is looked into")
    run, _ = run_with_files(tracking, artifact_server)
    for path, want in [("nosuch", 404), ("model%20dir", 400), ("../x", 400), ("..%2fx", 400)]:
        assert ask(tracking, "GET", f"/get-artifact?run_id={run}&path={path}")[0] == want, path


def test_the_page_uploads_through_both(tracking, artifact_server, target):
    if target == "stock":
        pytest.skip("stock writes the page's uploads to another place")
    run, folder = run_with_files(tracking, artifact_server)
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=new/page.bin"
    assert ask(tracking, "POST", upload, b"x" * (3 * MIB))[0] == 200
    assert (folder / "new/page.bin").read_bytes() == b"x" * (3 * MIB)


def test_the_client_goes_its_own_way(tracking, artifact_server, tmp_path):
    import mlflow

    client = mlflow.MlflowClient(tracking.url)
    run, _ = run_with_files(tracking, artifact_server)
    (tmp_path / "own.txt").write_text("own")
    client.log_artifact(run, str(tmp_path / "own.txt"))
    assert "own.txt" in [file.path for file in client.list_artifacts(run)]
    assert call(tracking.url, "GET", f"artifacts/list?run_id={run}&path=")[1]["files"][2]["path"] == "model dir"
    assert ask(tracking, "GET", f"/get-artifact?run_id={run}&path=own.txt")[2] == b"own"


def test_a_destination_may_be_another_server(start_server, target, artifact_server):
    if target == "stock":
        pytest.skip("a way of ours")
    server = start_server(target, "sqlite", artifacts=f"{artifact_server.url}{ROUTE}/chained")
    body = b"y" * (2 * MIB + 1)
    assert ask(server, "PUT", f"{PROXY}/1/x.bin", body)[0] == 200
    assert (Path(artifact_server.artifacts) / "chained/1/x.bin").read_bytes() == body
    assert ask(server, "GET", f"{PROXY}/1/x.bin")[2] == body
    assert ask(server, "DELETE", f"{PROXY}/1/x.bin")[0] == 200
    assert not (Path(artifact_server.artifacts) / "chained/1/x.bin").exists()
    # An upload that is cut leaves no file behind, not even a shorter one.
    with pytest.raises(TimeoutError):
        ask(server, "PUT", f"{PROXY}/1/cut.bin", b"z" * MIB, {"Content-Length": str(2 * MIB)}, timeout=3)
    time.sleep(1)
    assert not (Path(artifact_server.artifacts) / "chained/1/cut.bin").exists()


LISTING = json.dumps({"files": [{"path": "x", "is_dir": False, "file_size": 3}]}).encode()


def beside(start_server, target, other, **environment):
    """A tracking server beside a server of the test, and the run to ask for."""
    server = start_server(
        target, "sqlite", "--no-serve-artifacts", "--default-artifact-root", f"{other.url}{ROUTE}",
        environment=environment,
    )  # fmt: skip
    return server, create_runs(server.url, 1)[0]


def listed(server, run):
    return call(server.url, "GET", f"artifacts/list?run_id={run}")


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        (
            {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_TOKEN": "t0ken"},
            "Basic " + base64.b64encode(b"u:p").decode(),
        ),
    ],
)
def test_credentials_are_those_of_the_client(start_server, target, odd, variables, want):
    other = odd(lambda _path: (200, {}, LISTING))
    server, run = beside(start_server, target, other, **variables)
    assert listed(server, run)[0] == 200
    assert other.seen[-1][1].get("authorization") == want
    assert "t0ken" not in server.logged("/mlflow/artifacts/list")


def test_certificates_are_those_of_the_client(start_server, target, odd, tmp_path):
    authority = certificates.make("authority")
    bundle = certificates.write(tmp_path / "authority.crt", authority[0])
    own = certificates.write(tmp_path / "own.crt", *certificates.make("server", authority, "localhost"))
    other = odd(lambda _path: (200, {}, LISTING), tls=own)
    for variables, want in [
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": str(bundle)}, True),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, True),
        ({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}, False),
    ]:
        server, run = beside(start_server, target, other, **variables)
        assert (listed(server, run)[0] == 200) == want, variables


def test_odd_answers_are_no_empty_lists(start_server, target, odd):
    if target == "stock":
        pytest.skip("promises of ours")
    answer = {}
    other = odd(lambda _path: answer["is"])
    elsewhere = odd(lambda _path: (200, {}, LISTING))
    server, run = beside(start_server, target, other, MLFLOW_TRACKING_TOKEN="t0ken")
    page = b"<html>Please log in</html>"
    for given, want in [
        ((200, {"Content-Type": "text/html"}, page), 503),
        ((401, {}, b""), 403),
        ((403, {}, b"{}"), 403),
        ((500, {}, page), 503),
        ((502, {}, page), 503),
        ((429, {}, b""), 503),
        ((507, {}, b""), 507),
        # Nobody has sent this server to the other host, least of all with its credentials.
        ((302, {"Location": f"{elsewhere.url.replace('127.0.0.1', 'localhost')}/x"}, b""), 500),
        ((404, {}, b""), 200),
        ((200, {}, json.dumps({"files": [{"path": "../../x", "is_dir": False}]}).encode()), 200),
    ]:
        answer["is"] = given
        status, body = listed(server, run)
        assert status == want, (given, body)
        assert all("/" not in file["path"] for file in body.get("files", []))
    assert elsewhere.seen == []


def test_no_other_host_is_connected_to(start_server, target, odd):
    named, other = odd(lambda _path: (200, {}, LISTING)), odd(lambda _path: (200, {}, LISTING))
    server, _ = beside(start_server, target, named)
    body = {"name": "foreign", "artifact_location": f"{other.url}{ROUTE}/x"}
    assert call(server.url, "POST", "experiments/create", body)[0] == 400
    body["artifact_location"] = f"mlflow-artifacts://127.0.0.1:{other.server_port}/x"
    assert call(server.url, "POST", "experiments/create", body)[0] == 400
    assert other.seen == []


def test_strangers_get_no_credentials(start_server, target, odd):
    if target == "stock":
        pytest.skip("stock sends its own to every host, once such are allowed")
    named, other = odd(lambda _path: (200, {}, LISTING)), odd(lambda _path: (200, {}, LISTING))
    variables = {"MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES": "http", "MLFLOW_TRACKING_TOKEN": "t0ken"}
    server, run = beside(start_server, target, named, **variables)
    body = {"name": "foreign", "artifact_location": f"{other.url}{ROUTE}/x"}
    experiment = call(server.url, "POST", "experiments/create", body)[1]["experiment_id"]
    foreign = call(server.url, "POST", "runs/create", {"experiment_id": experiment})[1]["run"]["info"]["run_id"]
    assert listed(server, foreign)[0] == listed(server, run)[0] == 200
    assert "authorization" not in other.seen[-1][1]
    assert named.seen[-1][1]["authorization"] == "Bearer t0ken"
