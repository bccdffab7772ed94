"""The connection between the server and S3 is cut, delayed, reset and refused: a correct file or a clear error, never a
wrong file, and no upload is left behind."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time

import pytest
from support.chaos import Chaos
from support.wire import MIB, PROXY, ask

BUCKET = "faults"
BODY = os.urandom(23 * MIB + 7)


@pytest.fixture(scope="module")
def chaos(s3):
    s3.create_bucket(BUCKET)
    chaos = Chaos(s3.url)
    yield chaos
    chaos.stop()


@pytest.fixture(scope="module")
def server(start_server, target, s3, chaos):
    if target == "stock":
        pytest.skip("promises of ours")
    environment = s3.environment | {"MLFLOW_S3_ENDPOINT_URL": chaos.url}
    server = start_server(target, "sqlite", artifacts=f"s3://{BUCKET}/x", environment=environment)
    assert ask(server, "PUT", f"{PROXY}/there.bin", BODY)[0] == 200
    return server


@pytest.fixture(autouse=True)
def _calm_and_clean(s3, chaos, server):
    """After each test nothing that was begun is left in the store."""
    yield
    chaos.calm()
    deadline = time.monotonic() + 90
    while left := s3.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def put(server, s3, name, body=BODY):
    """Uploads; afterwards the store has the whole file, or what it had before, and the answer says which."""
    client = s3.client()
    status, _, answer = ask(server, "PUT", f"{PROXY}/{name}", body, timeout=180)
    try:
        stored = client.get_object(Bucket=BUCKET, Key=f"x/{name}")["Body"].read()
    except client.exceptions.NoSuchKey:
        stored = None
    if status == 200:
        assert stored == body
    else:
        assert stored is None and status == 503, (status, answer)
        assert json.loads(answer)["error_code"] == "TEMPORARILY_UNAVAILABLE"
    return status


def get(server, name="there.bin"):
    """Downloads; the file is the right one, or the connection ends before it does."""
    try:
        status, _, body = ask(server, "GET", f"{PROXY}/{name}", timeout=180)
    except (http.client.IncompleteRead, ConnectionError):
        return None
    assert (status, body == BODY) == (200, True) or status == 503, status
    return status


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [100, 3 * MIB, 6 * MIB])
def test_an_upload_survives_cuts(server, s3, chaos, size, reset):
    before = chaos.cut
    chaos.cut_after(size, times=2, upwards=True, reset=reset)
    assert put(server, s3, f"cut-{size}-{reset}.bin") == 200
    assert chaos.cut > before


@pytest.mark.parametrize("reset", [False, True])
def test_an_upload_that_is_cut_for_good_is_refused(server, s3, chaos, reset):
    chaos.cut_after(2 * MIB, times=1000, upwards=True, reset=reset)
    assert put(server, s3, f"refused-{reset}.bin") == 503


def test_a_small_upload_that_is_cut_for_good_is_refused(server, s3, chaos):
    chaos.cut_after(1000, times=1000, upwards=True)
    assert put(server, s3, "small.bin", b"x" * 100_000) == 503


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [0, 1 * MIB, 20 * MIB])
def test_a_download_survives_cuts(server, chaos, size, reset):
    before = chaos.cut
    chaos.cut_after(size, times=2, upwards=False, reset=reset)
    assert get(server) == 200
    assert chaos.cut > before


def test_a_download_that_is_cut_for_good_is_never_whole(server, chaos):
    chaos.cut_after(3 * MIB, times=1000, upwards=False)
    # each attempt goes on where the last one ended, so it may even arrive
    assert get(server) in (None, 200)
    chaos.cut_after(0, times=1000, upwards=False)
    assert get(server) == 503


def test_a_range_survives_a_cut(server, chaos):
    chaos.cut_after(MIB, times=1, upwards=False)
    headers = {"Range": f"bytes=100-{8 * MIB}"}
    status, _, body = ask(server, "GET", f"{PROXY}/there.bin", headers=headers)
    assert (status, body == BODY[100 : 8 * MIB + 1]) == (206, True)


def test_delays_are_waited_for(server, s3, chaos):
    chaos.delay = 0.01
    assert put(server, s3, "delayed.bin") == 200
    assert get(server) == 200


def test_a_store_that_goes_away_during_an_upload(server, s3, chaos):
    def go_away():
        time.sleep(0.4)
        chaos.refuse()

    chaos.delay = 0.02
    threading.Thread(target=go_away).start()
    assert put(server, s3, "away.bin") == 503
    assert get(server) == 503
    # when it is back, what was begun is taken back, and everything works again
    chaos.calm()
    assert get(server) == 200
    assert put(server, s3, "back.bin") == 200
