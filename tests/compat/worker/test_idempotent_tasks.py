"""Tasks whose work is done once for each key, in a worker with two processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 40.0


@pytest.fixture(scope="module")
def worker(start: Callable[..., Worker]) -> Worker:
    return start("once", "-c", "2", "-Q", "once").ready()


def begun(client: redis.Redis, order: str) -> list[int]:
    """The processes that began the work of that order."""
    entries: Any = client.lrange(f"notes:charging {order}", 0, -1)
    return [int(entry) for entry in entries]


@pytest.mark.usefixtures("worker")
def test_twenty_messages_at_once_do_the_work_once(program: Any, client: redis.Redis) -> None:
    results = [program.charge.apply_async(("a", 0.5), queue="once") for _ in range(20)]
    got = [result.get(timeout=SECONDS) for result in results]
    assert sorted(got, key=str) == [None] * 19 + ["charged a"]
    assert len(begun(client, "a")) == 1


@pytest.mark.usefixtures("worker")
def test_work_of_a_process_that_was_killed_is_done_when_its_claim_has_run_out(
    program: Any, client: redis.Redis
) -> None:
    result = program.charge.apply_async(("b", 4), queue="once")
    (first,) = eventually(lambda: begun(client, "b"))
    os.kill(first, signal.SIGKILL)
    assert result.get(timeout=SECONDS) == "charged b"
    assert len(begun(client, "b")) == 2
    again = program.charge.apply_async(("b", 0), queue="once")
    assert again.get(timeout=SECONDS) is None
    assert len(begun(client, "b")) == 2
