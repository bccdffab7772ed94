"""What stock reads from variables only: the same requests to both servers with other limits than the usual."""

from __future__ import annotations

import pytest
from differential.case import Case, get, play, post
from differential.normalize import Normalizer

ENVIRONMENT = {
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
    "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH": "40",
    "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES": "ftp, hdfs",
    "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS": "3",
    "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES": "2",
}


def _create(name: str, location: str, **saved: str) -> Case:
    return post("experiments/create", {"name": name, "artifact_location": location}, name=name, **saved)


def _ask(name: str, query: str) -> Case:
    return post("/graphql", {"query": query}, name=name)


_FIELD = 'mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } }'

#: Each with what stock answers under the variables: status, and words of its message.
CASES = [
    (_create("location of 40", "s3://bucket/" + "x" * 28), 200, ""),
    (_create("location of 41", "s3://bucket/" + "x" * 29), 400, "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH"),
    (_create("ftp is allowed", "ftp://elsewhere/x"), 200, ""),
    (_create("hdfs is allowed", "hdfs://elsewhere/x"), 200, ""),
    (_create("sftp is not", "sftp://elsewhere/x"), 400, "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"),
    (post("runs/create", {"experiment_id": "0"}, name="run", run="run.info.run_id"), 200, ""),
    (post("runs/log-parameter", {"run_id": "$run", "key": "whole", "value": "v" * 6000}, name="param of 6000"), 200, ""),
    (post("runs/log-parameter", {"run_id": "$run", "key": "cut", "value": "v" * 6001}, name="param of 6001"), 400, "6000"),
    (post("runs/set-tag", {"run_id": "$run", "key": "whole", "value": "v" * 8000}, name="tag of 8000"), 200, ""),
    (post("runs/set-tag", {"run_id": "$run", "key": "cut", "value": "v" * 8001}, name="tag of 8001"), 400, "8000"),
    (
        post("runs/log-batch", {"run_id": "$run", "params": [{"key": "b", "value": "v" * 6001}]}, name="batch with a param of 6001"),
        400, "6000",
    ),
    (
        post("runs/log-batch", {"run_id": "$run", "tags": [{"key": "b", "value": "v" * 8001}]}, name="batch with a tag of 8001"),
        400, "8000",
    ),
    (get("runs/get", run_id="$run", name="nothing was cut"), 200, ""),
    (_ask("3 root fields", "{ __typename " + " ".join([_FIELD] * 2) + "}"), 200, ""),
    (_ask("4 root fields", "{ __typename " + " ".join([_FIELD] * 3) + "}"), 200, "at most 3 root fields"),
    (_ask("2 aliases", "{" + " ".join(f"a{i}: {_FIELD}" for i in range(2)) + "}"), 200, ""),
    (_ask("3 aliases", "{" + " ".join(f"a{i}: {_FIELD}" for i in range(3)) + "}"), 200, "at most 2 aliases"),
]  # fmt: skip


@pytest.fixture(scope="module")
def answers(start_server, target):
    """The answers of both servers to all cases."""
    both = []
    for kind in ("stock", target):
        server = start_server(kind, "sqlite", environment=ENVIRONMENT)
        names, normalizer = {}, Normalizer(server.url)
        both.append([normalizer.normalize(case.name, play(case, server.url, names)) for case, _, _ in CASES])
    return both


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case, _, _ in CASES])
def test_same_answer_under_other_limits(answers, number):
    stock, ours = (side[number] for side in answers)
    _case, status, words = CASES[number]
    assert (stock["status"], words in str(stock["body"])) == (status, True), stock
    assert ours == stock
