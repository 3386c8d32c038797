"""The relay, over the memory queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Sequence

import pytest

from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.clock import MovableClock
from svcjobs.db.outbox import InMemoryOutboxStore, OutboxMessage
from svcjobs.errors import ConfigurationError, QueueUnavailable
from svcjobs.job import Job, NewJob
from svcjobs.memory_queue import InMemoryJobQueue


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(1_700_000_000)


@pytest.fixture
def outbox(clock: MovableClock) -> InMemoryOutboxStore:
    return InMemoryOutboxStore(clock)


@pytest.fixture
def queue(clock: MovableClock) -> InMemoryJobQueue:
    return InMemoryJobQueue(clock=clock, max_payload_bytes=1000)


def drain(queue: InMemoryJobQueue) -> list[Job]:
    jobs = queue.reserve_many(10_000)
    for job in jobs:
        queue.ack(job)
    return jobs


async def test_a_message_becomes_a_job(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    message = outbox.enqueue("user.created", {"user_id": 456})
    assert await make_outbox_tick(outbox, queue)() == 1
    (job,) = drain(queue)
    assert job.name == "outbox.user.created"
    assert job.payload == {"outbox_id": message.id, "topic": "user.created", "payload": {"user_id": 456}}
    moved = outbox.get(message.id)
    assert moved is not None
    assert moved.processed_at is not None


async def test_the_prefix_and_the_topics_are_the_callers(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    for topic in ("a", "b", "c"):
        outbox.enqueue(topic, {})
    tick = make_outbox_tick(outbox=outbox, queue=queue, topics=["a", "c"], job_name_prefix="webhook")
    assert await tick() == 2
    assert [job.name for job in drain(queue)] == ["webhook.a", "webhook.c"]
    assert outbox.fetch_next() is not None


async def test_messages_keep_their_order_over_batches(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    for number in range(1500):
        outbox.enqueue("a", {"number": number})
    assert await make_outbox_tick(outbox, queue, limit=2000)() == 1500
    assert [job.payload["payload"]["number"] for job in drain(queue)] == list(range(1500))


async def test_a_tick_is_bounded(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    for _ in range(1500):
        outbox.enqueue("a", {})
    tick = make_outbox_tick(outbox, queue, limit=1200)
    assert [await tick() for _ in range(4)] == [1200, 300, 0, 0]


class KilledBeforeMark(InMemoryOutboxStore):
    """The relay gets no further than the enqueue, the first time."""

    killed = False

    def mark_processed(self, *message_ids: int) -> None:
        if not self.killed:
            self.killed = True
            raise asyncio.CancelledError
        super().mark_processed(*message_ids)


@pytest.mark.scenario(35)
@pytest.mark.parametrize("worked_off", [True, False])
async def test_a_kill_between_enqueue_and_mark_makes_no_second_job(
    clock: MovableClock, queue: InMemoryJobQueue, worked_off: bool
) -> None:
    outbox = KilledBeforeMark(clock)
    message = outbox.enqueue("a", {})
    with pytest.raises(asyncio.CancelledError):
        await make_outbox_tick(outbox, queue)()
    jobs = drain(queue) if worked_off else []
    clock.advance(60)
    assert await make_outbox_tick(outbox, queue)() == 1
    jobs += drain(queue)
    assert len(jobs) == 1
    moved = outbox.get(message.id)
    assert moved is not None
    assert moved.processed_at is not None


async def test_the_same_number_from_a_new_database_is_another_message(
    clock: MovableClock, queue: InMemoryJobQueue
) -> None:
    for _ in range(2):
        outbox = InMemoryOutboxStore(clock)
        assert outbox.enqueue("a", {}).id == 1
        await make_outbox_tick(outbox, queue)()
        clock.advance(0.001)
    assert len(drain(queue)) == 2


async def test_relays_side_by_side_move_each_message_once(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    ids = [outbox.enqueue("a", {}).id for _ in range(300)]
    moved = await asyncio.gather(*(make_outbox_tick(outbox, queue)() for _ in range(3)))
    assert sum(moved) == 300
    assert sorted(job.payload["outbox_id"] for job in drain(queue)) == ids


class DownQueue(InMemoryJobQueue):
    down = True

    def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Job]:
        if self.down:
            raise QueueUnavailable("no answer")
        return super().enqueue_many(jobs)


async def test_while_the_queue_is_down_messages_wait_and_then_go_at_once(
    outbox: InMemoryOutboxStore, clock: MovableClock
) -> None:
    message = outbox.enqueue("a", {})
    queue = DownQueue(clock=clock)
    tick = make_outbox_tick(outbox, queue)
    for _ in range(20):
        with pytest.raises(QueueUnavailable):
            await tick()
    queue.down = False
    assert await tick() == 1
    moved = outbox.get(message.id)
    assert moved is not None
    assert moved.attempts == 0


async def test_a_message_that_the_queue_refuses_stops_no_other(
    outbox: InMemoryOutboxStore, queue: InMemoryJobQueue, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    first, large, last = (outbox.enqueue("a", {"x": text}).id for text in ("1", "secret" * 1000, "3"))
    tick = make_outbox_tick(outbox, queue)
    assert await tick() == 2
    assert [job.payload["outbox_id"] for job in drain(queue)] == [first, last]
    refused = outbox.get(large)
    assert refused is not None
    assert (refused.attempts, refused.processed_at) == (1, None)
    assert f"outbox message {large} (topic a)" in caplog.text
    assert "secret" not in caplog.text
    clock.advance(2)
    assert await tick() == 0
    refused = outbox.get(large)
    assert refused is not None
    assert refused.attempts == 2


class CoroutineQueue:
    """Knows the loop it is called in, as a queue over asyncio connections does."""

    def __init__(self, queue: InMemoryJobQueue) -> None:
        self._queue = queue

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Job]:
        await asyncio.sleep(0)
        assert threading.current_thread() is threading.main_thread()
        return self._queue.enqueue_many(jobs)


async def test_a_queue_of_coroutines_is_awaited(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    outbox.enqueue("a", {})
    assert await make_outbox_tick(outbox, CoroutineQueue(queue))() == 1
    assert len(drain(queue)) == 1


class SlowOutbox(InMemoryOutboxStore):
    """A database that answers only once the event loop has gone on."""

    def __init__(self, loop_went_on: threading.Event) -> None:
        super().__init__()
        self._loop_went_on = loop_went_on

    def fetch_many(self, limit: int, topics: Collection[str] | None = None) -> list[OutboxMessage]:
        assert self._loop_went_on.wait(5), "the database call blocks the event loop"
        return super().fetch_many(limit, topics)


async def test_a_slow_database_does_not_block_the_loop(queue: InMemoryJobQueue) -> None:
    loop_went_on = threading.Event()
    outbox = SlowOutbox(loop_went_on)
    outbox.enqueue("a", {})
    tick = asyncio.ensure_future(make_outbox_tick(outbox, queue)())
    asyncio.get_running_loop().call_later(0.05, loop_went_on.set)
    assert await tick == 1


def test_arguments_that_cannot_be_meant_are_refused(outbox: InMemoryOutboxStore, queue: InMemoryJobQueue) -> None:
    with pytest.raises(ConfigurationError, match="list of topics"):
        make_outbox_tick(outbox, queue, topics="user.created")
    with pytest.raises(ConfigurationError, match="limit"):
        make_outbox_tick(outbox, queue, limit=0)
