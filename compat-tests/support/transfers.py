"""What every store has to do alike: many files, and many at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .wire import MIB, PROXY, ask


def two_thousand_files(mlflow, client, folder: Path) -> None:
    """Logs small files in folders, lists them, and gets them back."""
    local = folder / "many"
    for number in range(2000):
        path = local / f"{number % 4}/{number:04}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(local, "many")
    run_id = run.info.run_id
    assert [f.path for f in client.list_artifacts(run_id, "many")] == [f"many/{n}" for n in range(4)]
    assert [len(client.list_artifacts(run_id, f"many/{n}")) for n in range(4)] == [500] * 4
    down = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="many", dst_path=str(folder / "down")))
    assert sorted(int(path.read_text()) for path in down.rglob("*.txt")) == list(range(2000))


def uploads_at_the_same_time(server) -> None:
    """Files of several parts at once, and one name twice."""
    bodies = {f"{number}.bin": os.urandom(7 * MIB + number) for number in range(6)}

    def put(name, body):
        return ask(server, "PUT", f"{PROXY}/together/{name}", body)[0]

    def put_again(name, body):
        status, _, answer = ask(server, "PUT", f"{PROXY}/together/{name}", body)
        # Garage alone gives the slower of two uploads of one file up; the client then sends it again.
        return put(name, body) if status == 503 and b"has given up the upload" in answer else status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(put, bodies, bodies.values()))
        # the same file from two clients is the file of one of them
        statuses += list(pool.map(put_again, ["same"] * 2, [b"a" * 11 * MIB, b"b" * 11 * MIB]))
    assert statuses == [200] * 8
    for name, body in bodies.items():
        assert ask(server, "GET", f"{PROXY}/together/{name}")[2] == body
    same = ask(server, "GET", f"{PROXY}/together/same")[2]
    assert same in (b"a" * 11 * MIB, b"b" * 11 * MIB)
