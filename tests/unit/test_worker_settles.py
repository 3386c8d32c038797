"""process_one: the step in which it settles the job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from svcjobs import worker
from svcjobs.effects import Follow
from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job, NewJob
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.settlement import Ack
from svcjobs.worker import process_one


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue()


class Away(InMemoryJobQueue):
    """A queue whose settlements fail so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def ack(self, job: Job | str, **options: Any) -> None:
        if self.left:
            self.left -= 1
            raise QueueUnavailable("gone fishing")
        super().ack(job, **options)


@pytest.mark.promise("P6")
async def test_p6_the_effects_of_a_settlement_that_a_handler_returns_are_committed(queue: InMemoryJobQueue) -> None:
    queue.enqueue("order")
    effects = [Follow(NewJob("receipt"))]
    assert await process_one(queue, lambda job: Ack(job, effects)) is True
    assert [job.name for job in queue.reserve_many(2)] == ["receipt"]


async def test_a_call_that_is_cancelled_while_it_settles_has_settled(queue: InMemoryJobQueue) -> None:
    settling, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        """The queue with a settlement that takes its time."""

        visibility_timeout = queue.visibility_timeout
        extend_many = staticmethod(queue.extend_many)
        reserve_many = staticmethod(queue.reserve_many)
        reserve_next = staticmethod(queue.reserve_next)

        async def ack(self, job: Job) -> None:
            settling.set()
            await go_on.wait()
            queue.ack(job)

    queue.enqueue("greet")
    slow: Any = Slow()
    running = asyncio.create_task(process_one(slow, lambda job: None))
    await settling.wait()
    running.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert queue.stats().totals["acked"] == 1


async def test_a_settlement_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SETTLE_AGAIN_AFTER_SECONDS", (0.01, 0.01))
    queue = Away(2)
    queue.enqueue("greet", {})
    assert await process_one(queue, lambda job: None) is True
    assert queue.stats().totals["acked"] == 1


async def test_a_queue_that_stays_away_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SETTLE_AGAIN_AFTER_SECONDS", (0.01, 0.01))
    queue = Away(3)
    queue.enqueue("greet", {})
    with pytest.raises(QueueUnavailable):
        await process_one(queue, lambda job: None)
    assert queue.left == 0
