"""Files of 3 GiB, up and down, by the proxy and by parts, on S3 and on disk: `make test-large`.

They take minutes and disk space, so they run only where LARGE is set.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.wire import MIB, memory_mib

pytestmark = pytest.mark.skipif(not os.environ.get("LARGE"), reason="LARGE is not set")

SIZE_MIB = int(os.environ.get("LARGE_MIB", 3 * 1024))

#: What a client does in a process of its own, whose memory and settings are its own, too.
CLIENT = """
import sys, mlflow
url, file, down = sys.argv[1:]
mlflow.set_tracking_uri(url)
with mlflow.start_run() as run:
    mlflow.log_artifact(file, "large")
mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="large", dst_path=down)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The file, with bytes that do not repeat, and its digest."""
    path = tmp_path_factory.mktemp("large") / "model.bin"
    digest, block = hashlib.sha256(), os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(SIZE_MIB):
            piece = number.to_bytes(4, "big") + block[4:]
            digest.update(piece)
            file.write(piece)
    yield path, digest.hexdigest()
    shutil.rmtree(path.parent)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("way", ["s3 by the proxy", "s3 in parts", "disk by the proxy"])
def test_a_large_file_comes_back(start_server, target, request, source, tmp_path, way):
    file, digest = source
    store, _, how = way.partition(" ")
    parts = {"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true", "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true"}
    if store == "s3":
        s3 = request.getfixturevalue("s3")
        s3.create_bucket(bucket := way.replace(" ", "-"))
        server = start_server(target, "sqlite", artifacts=f"s3://{bucket}/x", environment=s3.environment)
    else:
        server = start_server(target, "sqlite", artifacts=tmp_path / "store")
    environment = os.environ | (parts if how == "in parts" else {})
    subprocess.run([sys.executable, "-W", "ignore", "-c", CLIENT, server.url, str(file), str(tmp_path / "down")], env=environment, check=True)
    try:
        assert digest_of(tmp_path / "down/large/model.bin") == digest
        if target != "stock":
            assert memory_mib(server) < 120
        if store == "s3":
            left = s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
            heads = [item for item in s3.client().list_objects_v2(Bucket=bucket)["Contents"]]
            assert left == [] and [item["Size"] for item in heads] == [SIZE_MIB * MIB]
            s3.client().delete_object(Bucket=bucket, Key=heads[0]["Key"])
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)
