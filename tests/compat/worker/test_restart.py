"""SIGHUP starts a worker's processes anew, with the settings of now, and loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import redis

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 40.0


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
    eventually(lambda: client.lrange("notes:ready", 0, -1).count(worker.name.encode()) == 2, SECONDS)
    assert later.get(timeout=SECONDS) == 3
    worker.stop()
