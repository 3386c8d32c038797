"""SIGHUP starts a worker's processes anew, with the settings of now, and loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
import redis

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 40.0


def readies(client: redis.Redis, worker: Worker) -> int:
    return client.lrange("notes:ready", 0, -1).count(worker.name.encode())  # type: ignore[union-attr]


def test_a_worker_that_purged_at_its_start_purges_at_no_restart(
    start: Callable[..., Worker], program: Any, client: redis.Redis
) -> None:
    def waiting() -> int:
        return sum(client.zcard(key) for key in client.keys("*:delayed"))

    program.add.apply_async((1, 1), countdown=600)
    assert waiting() == 1
    worker = start("purging", "-c", "1", "--purge").ready()
    assert waiting() == 0
    later = program.add.apply_async((1, 2), countdown=4)
    worker.process.send_signal(signal.SIGHUP)
    eventually(lambda: readies(client, worker) == 2, SECONDS)
    assert later.get(timeout=SECONDS) == 3
    worker.stop()


@pytest.mark.promise("P10")
def test_an_app_that_can_not_be_loaded_replaces_nothing(
    start: Callable[..., Worker], program: Any, client: redis.Redis, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    worker = start("broken", "-c", "1", "-Q", "broken", FACADE_BROKEN=str(broken)).ready()
    broken.touch()
    worker.process.send_signal(signal.SIGHUP)
    eventually(lambda: "The worker goes on as it is" in worker.log.read_text(), SECONDS)
    assert "this version is broken" in worker.log.read_text()
    assert program.add.apply_async((1, 2), queue="broken").get(timeout=SECONDS) == 3
    assert readies(client, worker) == 1
    broken.unlink()
    worker.process.send_signal(signal.SIGHUP)
    eventually(lambda: readies(client, worker) == 2, SECONDS)
    assert program.add.apply_async((2, 2), queue="broken").get(timeout=SECONDS) == 4
    folders = list(Path(gettempdir()).glob(f"svcjobs-celery-{worker.process.pid}-*"))
    assert len(folders) == 1
    worker.stop()
    assert not folders[0].exists()
