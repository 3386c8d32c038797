"""What an acknowledged enqueue is worth when its server fails over: SCENARIO 15."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from svcjobs.errors import JobsError
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.sentinel_set import SentinelSet
from tests.server_program import ServerProgram

pytestmark = [pytest.mark.promise("P1"), pytest.mark.scenario(15), pytest.mark.server]
PRODUCERS = 3


@pytest.fixture
def own_set(server_program: ServerProgram) -> Iterator[SentinelSet]:
    with SentinelSet(server_program) as servers:
        yield servers


class Producers:
    """Threads that enqueue one job after the other, and keep the ids of those that were acknowledged."""

    def __init__(self, queue: RedisJobQueue) -> None:
        self.acknowledged: list[str] = []
        self._queue = queue
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number]) for number in range(PRODUCERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while not self._stopped.wait(0.005):
            count += 1
            try:
                self.acknowledged.append(self._queue.enqueue("work", job_id=f"{number}-{count}").id)
            except JobsError:
                continue

    def go_on(self) -> None:
        """Return when some more were acknowledged."""
        before = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) > before + 20, 40)


@pytest.mark.parametrize("replicas", [1, 0], ids=["WAIT for all", "no WAIT"])
def test_s15_a_fail_over_loses_no_job_that_all_replicas_had_to_have(
    own_set: SentinelSet, replicas: int, record_property: Callable[[str, object], None]
) -> None:
    """In the last moments before it is killed the primary is alone."""
    for server in (own_set.primary, own_set.replica):
        server.client().config_set("min-replicas-to-write", replicas)
    queue = RedisJobQueue(own_set.client(), replicas=replicas)
    with Producers(queue) as producers:
        producers.go_on()
        own_set.replica.pause()
        own_set.primary.client().client_kill_filter(_type="replica")
        if replicas:
            time.sleep(0.3)
        else:
            producers.go_on()  # what it stores now no replica has
        own_set.primary.kill()
        own_set.replica.resume()
        eventually(own_set.promoted, 40, "the sentinel promotes the replica")
        own_set.primary.start()
        # it is empty: were the new primary slow to answer, the sentinel would go back to it
        own_set.primary.client().config_set("replica-priority", 0)
        own_set.primary.client().replicaof("127.0.0.1", own_set.replica.port)
        producers.go_on()
    stored = {job_id for job_id in producers.acknowledged if queue.get(job_id)}
    lost = set(producers.acknowledged) - stored
    record_property("lost, acknowledged", len(lost))
    assert bool(lost) == (replicas == 0), f"{len(lost)} of {len(producers.acknowledged)}"
    queue.close()
