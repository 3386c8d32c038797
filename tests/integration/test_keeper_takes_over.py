"""What one keeper knew, the next one knows: also of children that are too busy to say it again, or dead."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from svcjobs.queue import NewJob
from svcjobs.redis_queue import RedisJobQueue
from tests.child_process import ChildProcess
from tests.eventually import eventually
from tests.integration.child_fixtures import Start, queue, start
from tests.servers import RedisServer

__all__ = ["queue", "start"]

LEASE = 3.0  # a keeper that dies within its first second is missed for another one
HEARD_SECONDS = 0.3
"""After which the old keeper has read the report, so that the new one doesn't find it in the socket."""


def keeper_of(worker: ChildProcess) -> int:
    """The process below the supervisor that isn't a child of the log."""
    below = {process.pid for process in psutil.Process(worker.process.pid).children()}
    children = {pid for pid in below if f"child {pid} started" in worker.log}
    (keeper,) = below - children
    return keeper


def new_keeper(worker: ChildProcess, old: int) -> int:
    def found() -> int | None:
        try:
            pid = keeper_of(worker)
        except (ValueError, psutil.NoSuchProcess):
            return None
        return pid if pid != old else None

    return int(eventually(found, 30, worker.log))


@pytest.mark.promise("P4")
@pytest.mark.parametrize("pool", ["async", "prefork"])
def test_a_handler_that_holds_the_gil_keeps_its_job_when_the_keeper_is_killed(
    pool: str, start: Start, queue: RedisJobQueue
) -> None:
    worker = start(pool, children=2, lease=LEASE)
    job = queue.enqueue("burn", {"seconds": 2.5 * LEASE})
    worker.noted(f"burn {job.id} begins")
    old = keeper_of(worker)
    time.sleep(HEARD_SECONDS)
    os.kill(old, signal.SIGKILL)
    new_keeper(worker, old)
    worker.noted(f"burn {job.id} ends")
    eventually(lambda: queue.stats().totals["acked"] == 1)
    assert worker.texts.count(f"burn {job.id} begins") == 1
    assert queue.stats().totals["reclaimed"] == queue.stats().totals["stale"] == 0


@pytest.mark.promise("P4")
def test_a_handler_that_holds_the_gil_keeps_its_job_when_the_worker_is_renewed(
    start: Start, queue: RedisJobQueue
) -> None:
    worker = start("async", children=2, lease=LEASE)
    job = queue.enqueue("burn", {"seconds": 2.5 * LEASE})
    worker.noted(f"burn {job.id} begins")
    old = keeper_of(worker)
    time.sleep(HEARD_SECONDS)
    worker.signal(signal.SIGHUP)
    new_keeper(worker, old)
    worker.noted(f"burn {job.id} ends")
    eventually(lambda: queue.stats().totals["acked"] == 1)
    assert worker.texts.count(f"burn {job.id} begins") == 1
    assert queue.stats().totals["reclaimed"] == queue.stats().totals["stale"] == 0
    assert "ERROR" not in worker.log
    assert "was killed" not in worker.log, "the keeper's end is a part of it"


@pytest.mark.promise("P9")
def test_what_a_dead_child_held_is_given_back_by_the_next_keeper_when_the_server_was_away_for_both_deaths(
    start: Start, own_server: RedisServer, prefix: str
) -> None:
    queue = RedisJobQueue(own_server.client(), prefix=prefix)
    worker = start("async", children=1, lease=60, timeout=1, url=own_server.url)
    queue.enqueue_many([NewJob("attempt") for _ in range(200)])
    eventually(lambda: queue.stats().totals["acked"] == 200)  # now it fetches ahead
    queue.enqueue_many([NewJob("blocking", {"seconds": 60}, job_id="first"), *[NewJob("attempt") for _ in range(10)]])
    worker.noted("blocking first begins in False")
    in_flight = queue.stats().in_flight
    assert in_flight > 1
    (child,) = {pid for _, pid, text in worker.notes if text.startswith("blocking first")}
    old = keeper_of(worker)
    own_server.kill()
    os.kill(child, signal.SIGKILL)
    eventually(lambda: f"Child {child} died" in worker.log, 30, worker.log)
    os.kill(old, signal.SIGKILL)
    new_keeper(worker, old)
    own_server.start()
    back_at = time.monotonic()
    worker.noted("blocking first begins in False", 2)
    assert time.monotonic() - back_at < 30, "not after the lease of a minute"
    job, totals = queue.get("first"), queue.stats().totals
    assert job is not None
    assert (job.attempts, totals["reclaimed"]) == (2, 1), "it ran alone, so it is charged"
    assert totals["released"] >= in_flight - 1, "what was fetched ahead is not"
    queue.close()
