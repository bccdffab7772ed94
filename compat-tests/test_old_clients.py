"""Old clients: each runs `old_client_script.py` in a virtual environment of its own, made by scripts/test.sh."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VERSIONS = [
    line.strip().partition("==")[2]
    for line in (HERE / "requirements-old-clients.txt").read_text().splitlines()
    if "==" in line
]


def _python(version: str) -> Path:
    cache = Path(os.environ.get("FERROFLOW_CACHE", Path.home() / ".cache/ferroflow"))
    return cache / f"venv-old-{version}/bin/python"


@pytest.mark.parametrize("version", VERSIONS)
def test_old_client(server, version, tmp_path):
    python = _python(version)
    assert python.exists(), f"no environment of mlflow {version}: `make test-compat` makes it"
    done = subprocess.run(
        [python, HERE / "old_client_script.py", server.url],
        capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_TRACKING_USERNAME": "", "GIT_PYTHON_REFRESH": "quiet"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1])["version"] == version
