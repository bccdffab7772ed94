"""Published attacks on MLflow's server that read, wrote or deleted files, or made it connect elsewhere, 2023 to 2026.

Each is played in full: what was refused in the repaired release is refused, and whatever is answered, no byte of a
file outside the artifacts comes back, and no file there is changed. `--target stock` plays them against stock, which
refuses backslashes on Windows only and finds nothing under such names elsewhere. CVE-2023-6730, which lists of these
sometimes name, is another project's.
"""

from __future__ import annotations

import json

import pytest
from support.wire import PROXY, ask

CANARY = b"bytes-that-nobody-may-read"
DELETE, GET, POST, PUT = "DELETE", "GET", "POST", "PUT"


@pytest.fixture(scope="module")
def server(start_server, target):
    server = start_server(target, "sqlite")
    (server.artifacts.parent / "outside").mkdir()
    (server.artifacts.parent / "outside/secret.txt").write_bytes(CANARY)
    return server


@pytest.fixture(scope="module")
def names(server):
    """What attacks need to name: `$run`, `$root` of its artifacts, `$dir` with the secret, `$up` to the file system's root."""
    import mlflow

    client = mlflow.MlflowClient(server.url)
    experiment = client.create_experiment("local", artifact_location=str(server.artifacts / "local"))
    run = client.create_run(experiment)
    proxied = client.create_run("0")
    client.create_registered_model("victim")
    outside = str(server.artifacts.parent / "outside")
    return {
        "run": run.info.run_id, "root": run.info.artifact_uri, "proxied": proxied.info.run_id, "dir": outside,
        "up": "../" * 12, "upup": "%252e%252e%252f" * 12, "rel": outside.lstrip("/"),
    }  # fmt: skip


def version(source, **more):
    """Creating a version of a model whose files are to be read later."""
    return POST, "/api/2.0/mlflow/model-versions/create", {"name": "victim", "source": source, **more}


def experiment(location):
    """Creating an experiment whose artifacts are to lie elsewhere."""
    return POST, "/api/2.0/mlflow/experiments/create", {"name": f"evil {location}", "artifact_location": location}


def read(path):
    """Every way to read or list a path of a run."""
    return [
        (GET, f"/get-artifact?run_id=$run&path={path}", None), (GET, f"/get-artifact?run_id=$proxied&path={path}", None),
        (GET, f"/api/2.0/mlflow/artifacts/list?run_id=$run&path={path}", None),
        (GET, f"/ajax-api/2.0/mlflow/artifacts/list?run_id=$proxied&path={path}", None),
        (GET, f"{PROXY}?path={path}", None),
    ]  # fmt: skip


#: By CVE: requests that must all be refused.
ATTACKS = {
    "CVE-2023-1177 a version of a model is made of any folder": [version("$dir"), version("file://$dir"), version("$dir/"), version("/$up$rel"), *read("$up$rel/secret.txt"), *read("$dir/secret.txt")],
    "CVE-2023-2356 the folder is named relatively": [version("$root/../../../../outside", run_id="$run"), version("//proc/self/root$dir"), version("./$up$rel"), version("file:///$up$rel")],
    "CVE-2023-2780 the folder hides in another scheme": [version("mlflow-artifacts:/$up$rel"), version("mlflow-artifacts://host/$up$rel"), version("http://host/api/2.0/mlflow-artifacts/artifacts/$up$rel"), version("s3://bucket/$up$rel")],
    "CVE-2023-3765 absolute paths of Windows": [*read("C:/Windows/win.ini"), *read("C:%5CWindows%5Cwin.ini"), *read("c%253A%255Cx"), (PUT, f"{PROXY}/C:/x.txt", b"x")],
    "CVE-2023-6015 a file is put anywhere": [(PUT, f"{PROXY}/..%2foutside/secret.txt", b"x"), (PUT, f"{PROXY}/../outside/secret.txt", b"x"), (PUT, f"{PROXY}/%2e%2e/outside/new.txt", b"x"), (PUT, f"{PROXY}/%2f$rel/new.txt", b"x")],
    "CVE-2023-6753 backslashes": [*read("..%5C..%5Coutside%5Csecret.txt"), *read("a%5C..%5C..%5Cx"), (PUT, f"{PROXY}/..%5Cx", b"x"), (DELETE, f"{PROXY}/..%5C..%5Coutside", None)],
    "CVE-2023-6831 a folder is deleted, encoded twice": [(DELETE, f"{PROXY}/%252E%252E%252Foutside", None), (DELETE, f"{PROXY}/x%252F..%252F..%252Foutside", None), (DELETE, f"{PROXY}/..%2foutside", None), (DELETE, f"{PROXY}/%25252e%25252e%25252foutside", None)],
    "CVE-2023-6909 the location of an experiment hides it behind #": [experiment("http:///#/$up$rel"), experiment("mlflow-artifacts:/x#/$up$rel"), experiment("/x#/$up$rel"), experiment("s3://b#/$up")],
    "CVE-2023-6974 the server is made to connect": [experiment("http://169.254.169.254/latest"), experiment("ftp://localhost:21/x"), experiment("hdfs://localhost/x"), version("http://169.254.169.254/latest/../x")],
    "CVE-2023-6975 a file is put by the page's upload": [(POST, "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$run&path=$up$rel/secret.txt", b"x"), (POST, "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$run&path=$dir/secret.txt", b"x"), (POST, "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=$proxied&path=$upup$rel/secret.txt", b"x")],
    "CVE-2023-6977 the source of a version is encoded": [version("mlflow-artifacts:/%2e%2e/%2e%2e/$rel"), version("$root/%2e%2e/%2e%2e/%2e%2e/outside"), version("file://$root/%2e%2e/%2e%2e/%2e%2e/outside", run_id="$run"), version("runs:/$run/../../../../outside", run_id="$run")],
    "CVE-2024-1483 a local location with a fragment": [experiment("$dir#x"), experiment("file://$dir#x"), experiment("file:///x#/$up$rel")],
    "CVE-2024-1558 the source of a version with a query": [version("mlflow-artifacts:/x?/$up$rel"), version("mlflow-artifacts:/x?a=/%2e%2e/"), version("http://host/x?/../..#/$up$rel")],
    "CVE-2024-1560 a folder is deleted, decoded twice": [(DELETE, f"{PROXY}/a%2F..%2F..%2Foutside", None), (DELETE, f"{PROXY}/%2F..%2Foutside", None), (DELETE, f"{PROXY}/.%2e/outside", None)],
    "CVE-2024-1593 a location with parameters": [experiment("file:///x;..%2f..%2fetc"), experiment("http://host/x;..%2f..%2fetc"), experiment("/x;a=b")],
    "CVE-2024-1594 a location that climbs behind #": [experiment("http:///x#/$up$rel/"), experiment("mlflow-artifacts:/#/$up$rel")],
    "CVE-2024-2928 a location that climbs in its query": [experiment("mlflow-artifacts:/x?/$up$rel"), experiment("s3://b/x?a=%2e%2e%2f"), experiment("http://host/?/$up$rel#")],
    "CVE-2024-3573 a file by another spelling of its scheme": [version("FILE://$dir"), version("file:$dir"), version("file://localhost$dir"), version("File:///$up$rel"), version(" file://$dir"), *read("file://$dir/secret.txt"), *read("FILE:$dir")],
    "CVE-2024-3848 what was repaired before, encoded": [experiment("mlflow-artifacts:/x?%2e%2e%2f"), experiment("mlflow-artifacts:/x?%252e%252e%252f"), *read("x%23/../../outside/secret.txt"), *read("%23/../../outside/secret.txt")],
    "CVE-2024-8859 a source of another store": [version("dbfs:/$up$rel"), version("dbfs:/x?/$up$rel"), version("dbfs:/%2e%2e/$rel")],
    "CVE-2025-11201 a version that claims a run": [version("$dir", run_id="$run"), version("$root/..", run_id="$run"), version("file://$root/../../../../outside", run_id="$run"), version("$dir", run_id="$proxied")],
    "CVE-2026-2614 a version that claims to be a prompt": [version("$dir", tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}]), version("file://$dir", tags=[{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "x"}])],
    "parts of uploads that climb": [(POST, "/api/2.0/mlflow-artifacts/mpu/create/..%2foutside", {"path": "x", "num_parts": 1}), (POST, "/api/2.0/mlflow-artifacts/mpu/complete/%252e%252e", {"path": "x", "upload_id": "u", "parts": [{"part_number": 1}]}), (GET, "/api/2.0/mlflow-artifacts/presigned/..%2foutside%2fsecret.txt", None), (POST, "/api/2.0/mlflow/artifacts/presigned-download-url", {"run_id": "$run", "path": "$up$rel/secret.txt"})],
    "names that C libraries cut": [*read("x%00/../../outside/secret.txt"), *read("..%00/x"), (DELETE, f"{PROXY}/..%2foutside%00", None)],
}  # fmt: skip


def fill(value, names):
    """Puts in what `$name` stands for."""
    if isinstance(value, dict):
        return {key: fill(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, names) for item in value]
    if isinstance(value, str):
        for name in sorted(names, key=len, reverse=True):
            value = value.replace(f"${name}", names[name])
    return value


def files_of(server):
    """What lies beside the artifacts, with its bytes."""
    outside = server.artifacts.parent / "outside"
    return {str(path): path.read_bytes() for path in outside.rglob("*") if path.is_file()}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused(server, target, names, attack):
    before = files_of(server)
    allowed = []
    for method, path, body in ATTACKS[attack]:
        path, body = fill(path, names).replace(" ", "%20"), fill(body, names)
        headers = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        status, _, answer = ask(server, method, path, body, headers if body is not None else None)
        assert CANARY not in answer, (method, path, body)
        if status != 400 and target != "stock":
            allowed.append((method, path, body, status, answer[:150]))
    # whatever was made nevertheless gives nothing away
    for number in range(1, 6):
        for path in ("secret.txt", "outside/secret.txt", f"{names['rel']}/secret.txt"):
            url = f"/model-versions/get-artifact?name=victim&version={number}&path={path}"
            assert CANARY not in ask(server, GET, url)[2]
    assert files_of(server) == before
    assert allowed == []
