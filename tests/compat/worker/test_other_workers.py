"""Workers that come and go, and the pool for coroutines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.exceptions import OperationalError, TaskRevokedError
from tests.compat.worker.conftest import Worker
from tests.eventually import eventually
from tests.servers import RedisServer

SECONDS = 40.0


@pytest.mark.scenario(25)
def test_a_task_revoked_while_no_worker_was_there_never_runs(program: Any, start: Callable[..., Worker]) -> None:
    revoked = program.app.send_task("tests.compat.worker.program.add", (1, 1))
    revoked.revoke()
    late = start("late", "-c", "1", "-P", "threads").ready()
    with pytest.raises(TaskRevokedError):
        revoked.get(timeout=SECONDS)
    assert revoked.state == "REVOKED"
    assert program.add.delay(1, 1).get(timeout=SECONDS) == 2
    late.stop()


@pytest.mark.scenario(11)
def test_an_unknown_task_waits_for_a_worker_that_knows_it(program: Any, start: Callable[..., Worker]) -> None:
    result = program.app.send_task("of_the_next_release")
    old = start("old", "-c", "1").ready()
    eventually(lambda: "unregistered task" in old.log.read_text(), SECONDS)
    start("new", "-c", "1", FACADE_RELEASE="2").ready()
    old.stop()
    assert result.get(timeout=90) == "known now"


def test_coroutines_run_side_by_side(program: Any, start: Callable[..., Worker]) -> None:
    start("async", "-P", "async", "-c", "100", "-Q", "coroutines").ready()
    began = time.monotonic()
    results = [program.gather.apply_async((0.5,), queue="coroutines") for _ in range(60)]
    assert all(result.get(timeout=SECONDS) for result in results)
    assert time.monotonic() - began < 10


def test_the_oldest_dead_letters_go_when_there_are_too_many(worker_server: RedisServer) -> None:
    from svcjobs_celery_compat import Celery
    from svcjobs_celery_compat.worker.dead_letters import DeadLetters

    app = Celery("letters", broker=worker_server.url, set_as_current=False)
    app.conf.update(svcjobs_dead_letter_limit=2, task_default_queue="letters")
    queue = RedisJobQueue(redis.Redis.from_url(worker_server.url), prefix="jobs:{letters}")
    for number in range(4):
        queue.enqueue("dead", {"number": number})
        queue.bury(queue.reserve_next(), reason="test")  # type: ignore[arg-type]  # there is one
    letters = DeadLetters(app)
    letters.trim()
    assert [job.payload["number"] for job in queue.dead()] == [3, 2]
    letters.close()
    queue.close()
    app.close()


@pytest.mark.alone
@pytest.mark.scenario(14)
def test_delay_without_a_broker_is_a_typed_error_in_time() -> None:
    from svcjobs_celery_compat import Celery

    app = Celery("absent", broker="redis://127.0.0.1:1/0", set_as_current=False)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(OperationalError):
            app.send_task("anything")
        assert time.monotonic() - began < 4
    app.close()
