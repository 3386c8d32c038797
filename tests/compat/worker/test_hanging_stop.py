"""A worker ends when it is told to, also when a part of it hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually


def test_a_users_step_that_doesnt_end_is_shown_and_left_behind(start: Callable[..., Worker]) -> None:
    worker = start("stuck", "-c", "1", "--grace", "0", FACADE_HANGS="stop").ready()
    worker.stop()
    log = worker.log.read_text()
    assert "doesn't stop in time" in log
    assert "in stop" in log, "the stack shows what hangs"
    assert "it is killed" not in log


@pytest.mark.alone
def test_a_worker_that_is_stopped_while_it_starts_waits_for_no_process(
    start: Callable[..., Worker], client: redis.Redis
) -> None:
    worker = start("early", "-c", "2", FACADE_HANGS="start")
    before = client.llen("notes:process")
    eventually(lambda: client.llen("notes:process") == before + 2, 40)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 4
