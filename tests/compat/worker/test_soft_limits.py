"""At the soft limit of a task its request is told, and the worker's log says so, in every pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from svcjobs_celery_compat.exceptions import SoftTimeLimitExceeded
from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 40.0


@pytest.mark.parametrize(
    ("pool", "name"),
    [("prefork", "overdue"), ("prefork", "overdue_async"), ("threads", "overdue"), ("threads", "overdue_async"),
     ("async", "overdue_async")],
)  # fmt: skip
def test_a_request_is_told_of_the_soft_limit_of_its_task(
    pool: str, name: str, start: Callable[..., Worker], program: Any, client: redis.Redis
) -> None:
    task, queue = getattr(program, name), f"{pool}-{name}"
    worker = start(queue, "-c", "1", "-P", pool, "-Q", queue).ready()
    try:
        client.delete("notes:requested")
        cleans_up = task.apply_async([True], queue=queue)
        assert cleans_up.get(timeout=SECONDS) == "cleaned up"
        seen = [b"made", b"on_timeout True 0.5", b"on_success"]
        assert eventually(lambda: (notes := client.lrange("notes:requested", 0, -1)) == seen and notes, SECONDS)
        with pytest.raises(SoftTimeLimitExceeded):
            task.apply_async([False], queue=queue).get(timeout=SECONDS)
        seen += [*seen, b"on_failure SoftTimeLimitExceeded"]
        assert eventually(lambda: (notes := client.lrange("notes:requested", 0, -1)) == seen and notes, SECONDS)
        logged = f"Soft time limit (0.5s) exceeded for {task.name}[{cleans_up.id}]"
        eventually(lambda: logged in worker.log.read_text(), SECONDS)
    finally:
        worker.stop()
