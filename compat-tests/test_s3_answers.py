"""What a bucket may answer besides files: refused credentials with a status of their own, and pages of somebody else."""

from __future__ import annotations

import json

import pytest
from support.wire import PROXY, ask

PAGE = (200, {"Content-Type": "text/html"}, b"<html><body>Please log in</body></html>")


def refusal(status: int, code: str):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode()


@pytest.fixture
def bucket(start_server, target, odd):
    """Starts a server whose bucket answers the same to everything."""
    if target == "stock":
        pytest.skip("promises of ours")

    def start(answer):
        environment = {
            "MLFLOW_S3_ENDPOINT_URL": odd(lambda _path: answer).url,
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "old",
        }  # fmt: skip
        return start_server(target, "sqlite", artifacts="s3://bucket/x", environment=environment)

    return start


def everything(server) -> list[int]:
    """Lists, reads, reads a part, writes."""
    return [
        ask(server, "GET", f"{PROXY}?path=a")[0],
        ask(server, "GET", f"{PROXY}/a/b")[0],
        ask(server, "GET", f"{PROXY}/a/b", headers={"Range": "bytes=0-3"})[0],
        ask(server, "PUT", f"{PROXY}/a/b", b"x" * 100)[0],
    ]


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_old_credentials_are_no_access(bucket, code):
    server = bucket(refusal(400, code))
    assert everything(server) == [403] * 4
    _, _, answer = ask(server, "GET", f"{PROXY}?path=a")
    assert json.loads(answer)["error_code"] == "PERMISSION_DENIED"
    assert server.logged(code) and "said so" not in answer.decode()


def test_a_page_is_no_bucket(bucket):
    assert everything(bucket(PAGE)) == [503] * 4


def test_a_list_of_nothing_is_one(bucket):
    listing = b"<?xml version='1.0'?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
    status, _, answer = ask(bucket((200, {"Content-Type": "application/xml"}, listing)), "GET", f"{PROXY}?path=a")
    assert (status, json.loads(answer)) == (200, {})


def test_a_full_store_is_named(bucket):
    server = bucket(refusal(507, "XMinioStorageFull"))
    status, _, answer = ask(server, "PUT", f"{PROXY}/a/b", b"x" * 100)
    assert status == 507 and "no room" in json.loads(answer)["message"]
