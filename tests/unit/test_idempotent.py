"""``@idempotent`` over the memory inbox: keys, repeats, failures, and what keeps two runs apart."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from svcjobs import InMemoryJobQueue, Job, JobRegistry, JobResult, Postponed, idempotent, process_one
from svcjobs.clock import MovableClock
from svcjobs.db.inbox import InMemoryInboxStore
from svcjobs.errors import ConfigurationError, DeadLetter
from svcjobs.settlement import Release
from svcjobs_celery_compat import Celery


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def inbox(clock: MovableClock) -> InMemoryInboxStore:
    return InMemoryInboxStore(clock)


@pytest.fixture
def done() -> list[Any]:
    return []


def job(number: int = 1, **payload: Any) -> Job:
    return Job(id=str(number), name="charge", payload=payload)


async def both_kinds(inbox: InMemoryInboxStore, work: Any, **options: Any) -> list[Any]:
    """A plain and a coroutine function around ``work``, as functions to be awaited."""
    plain = idempotent(inbox=inbox, **options)(lambda job: work(job))

    @idempotent(inbox=inbox, **options)
    async def coroutine(job: Job) -> Any:
        return work(job)

    async def awaited(job: Job) -> Any:
        return plain(job)

    return [awaited, coroutine]


async def test_work_with_a_key_is_done_once(inbox: InMemoryInboxStore, done: list[Any]) -> None:
    for run in await both_kinds(inbox, lambda job: done.append(job.payload), key="order_id"):
        done.clear()
        for number in range(3):
            await run(job(number, order_id=7))
        await run(job(9, order_id=8))
        assert done == [{"order_id": 7}, {"order_id": 8}]


async def test_a_key_may_be_found_by_a_function(inbox: InMemoryInboxStore, done: list[Any]) -> None:
    def key(job: Job) -> object:
        return [job.payload["a"], {"b": job.payload["b"]}]

    for run in await both_kinds(inbox, done.append, key=key):
        done.clear()
        for b in (1, 2, 1):
            await run(job(a="x", b=b))
        assert len(done) == 2


async def test_a_failure_gives_the_key_back(inbox: InMemoryInboxStore, clock: MovableClock, done: list[Any]) -> None:
    def fails_once(job: Job) -> Any:
        done.append(job)
        if len(done) == 1:
            raise RuntimeError("no")
        return JobResult(len(done) > 2, "")  # the second time it says that it failed

    for run in await both_kinds(inbox, fails_once, key="order_id"):
        done.clear()
        with pytest.raises(RuntimeError):
            await run(job(order_id=7))
        for _ in range(4):
            clock.advance(0.002)
            await run(job(order_id=7))
        assert len(done) == 3


async def test_a_job_that_gives_itself_back_is_not_done(inbox: InMemoryInboxStore, clock: MovableClock) -> None:
    for run in await both_kinds(inbox, Release, key="order_id"):
        for _ in range(2):
            assert isinstance(await run(job(order_id=7)), Release)
            clock.advance(0.002)


async def test_a_key_is_remembered_for_its_time(
    inbox: InMemoryInboxStore, clock: MovableClock, done: list[Any]
) -> None:
    for run in await both_kinds(inbox, done.append, key="order_id", ttl_seconds=60):
        done.clear()
        await run(job(order_id=7))
        clock.advance(59)
        await run(job(order_id=7))
        clock.advance(1)
        await run(job(order_id=7))
        assert len(done) == 2


async def test_two_runs_with_a_key_are_never_at_once(inbox: InMemoryInboxStore, clock: MovableClock) -> None:
    go_on = asyncio.Event()
    begun: list[Job] = []

    @idempotent(key="order_id", inbox=inbox)
    async def charge(job: Job) -> None:
        begun.append(job)
        await go_on.wait()

    first = asyncio.ensure_future(charge(job(1, order_id=7)))
    while not begun:
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
    with pytest.raises(Postponed) as caught:
        await charge(job(2, order_id=7))
    assert caught.value.delay_seconds == 10
    go_on.set()
    await first
    await charge(job(2, order_id=7))
    assert len(begun) == 1


async def test_a_cancelled_run_gives_the_key_back(inbox: InMemoryInboxStore, clock: MovableClock) -> None:
    begun: list[Job] = []

    @idempotent(key="order_id", inbox=inbox)
    async def charge(job: Job) -> None:
        begun.append(job)
        await asyncio.sleep(60 if len(begun) == 1 else 0)

    first = asyncio.ensure_future(charge(job(order_id=7)))
    while not begun:
        await asyncio.to_thread(lambda: None)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    clock.advance(0.002)
    await charge(job(order_id=7))
    assert len(begun) == 2


async def test_a_claim_that_was_left_behind_holds_others_up_for_its_time_only(
    inbox: InMemoryInboxStore, clock: MovableClock, done: list[Any]
) -> None:
    (run, _) = await both_kinds(inbox, done.append, key="order_id", claim_seconds=30, name="charge")
    assert inbox.mark_if_new("idempotent:charge:7:claim", 30)  # by a process that was killed
    clock.advance(29)
    with pytest.raises(Postponed):
        await run(job(order_id=7))
    clock.advance(1)
    await run(job(order_id=7))
    assert len(done) == 1


async def test_a_postponed_job_is_charged_no_attempt_by_a_worker(
    inbox: InMemoryInboxStore, clock: MovableClock, done: list[Any]
) -> None:
    registry = JobRegistry()
    registry.register("charge", idempotent(key="order_id", inbox=inbox, name="charge")(lambda job: done.append(job)))
    queue = InMemoryJobQueue(clock=clock)
    queue.enqueue("charge", {"order_id": 7})
    inbox.mark_if_new("idempotent:charge:7:claim", 25)
    for _ in range(3):
        assert await process_one(queue, registry)
        assert not done
        (waiting,) = [queue.get("1")]
        assert waiting is not None
        assert waiting.attempts == 0
        clock.advance(9)
        assert not await process_one(queue, registry)
        clock.advance(1)
    assert await process_one(queue, registry)
    assert [job.attempts for job in done] == [1]
    assert queue.get("1") is None


def test_functions_have_keys_of_their_own_unless_they_share_a_name(inbox: InMemoryInboxStore, done: list[Any]) -> None:
    def one(job: Job) -> None:
        done.append(1)

    def two(job: Job) -> None:
        done.append(2)

    for function in (one, two):
        idempotent(key="order_id", inbox=inbox)(function)(job(order_id=7))
    assert done == [1, 2]
    for function in (one, two):
        idempotent(key="order_id", inbox=inbox, name="shared")(function)(job(order_id=7))
    assert done == [1, 2, 1]


@pytest.mark.parametrize("payload", [{}, {"order_id": None}, {"order_id": ""}])
def test_a_job_without_a_key_is_dead_at_once(
    inbox: InMemoryInboxStore, done: list[Any], payload: dict[str, Any]
) -> None:
    run = idempotent(key="order_id", inbox=inbox)(lambda job: done.append(job))
    with pytest.raises(DeadLetter) as caught:
        run(job(**payload))
    assert (caught.value.reason, done) == ("no_key", [])


# tasks


def test_an_argument_of_a_task_is_its_key(inbox: InMemoryInboxStore, done: list[Any]) -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)

    @app.task(name="charge")
    @idempotent(key="order_id", inbox=inbox)
    def charge(customer: str, order_id: int = 0) -> str:
        done.append((customer, order_id))
        return "charged"

    assert charge.apply(("ada", 7)).get() == "charged"
    assert charge.apply(("bob",), {"order_id": 7}).get() is None
    assert charge.apply(("bob",)).get() == "charged"
    assert done == [("ada", 7), ("bob", 0)]
    assert charge.apply(()).failed()  # its arguments don't fit, as without the decorator


def test_a_bound_task_and_a_key_by_function(inbox: InMemoryInboxStore, done: list[Any]) -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)

    @app.task(bind=True, name="charge")
    @idempotent(key=lambda task, order: f"{task.name}/{order['id']}", inbox=inbox)
    def charge(task: Any, order: dict[str, Any]) -> None:
        done.append(task.name)

    for _ in range(2):
        charge.apply(({"id": 7},)).get()
    assert done == ["charge"]


def test_a_task_is_tried_again_while_another_run_has_its_key(
    inbox: InMemoryInboxStore, clock: MovableClock, done: list[Any]
) -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)

    def key(order_id: int) -> int:
        clock.advance(10)  # each attempt is ten seconds later
        return order_id

    @app.task(name="charge", max_retries=None, autoretry_for=(Postponed,), retry_kwargs={"countdown": 10})
    @idempotent(key=key, inbox=inbox, name="charge")
    def charge(order_id: int) -> str:
        done.append(order_id)
        return "charged"

    inbox.mark_if_new("idempotent:charge:7:claim", 25)
    assert charge.apply((7,)).get() == "charged"
    assert done == [7]


# arguments


@pytest.mark.parametrize("options", [{"key": ""}, {"key": 5}, {"ttl_seconds": 0}, {"claim_seconds": float("inf")}])
def test_arguments_that_cannot_be_meant_are_refused(inbox: InMemoryInboxStore, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        idempotent(**{"key": "id", "inbox": inbox} | options)(lambda job: None)


class AsyncInbox:
    async def mark_if_new(self, key: str, ttl_seconds: float = 1) -> bool:
        return True

    async def is_marked(self, key: str) -> bool:
        return False

    async def mark(self, key: str, ttl_seconds: float = 1) -> None: ...


def test_a_plain_function_wants_an_inbox_of_plain_methods() -> None:
    with pytest.raises(ConfigurationError, match="plain"):
        idempotent(key="id", inbox=AsyncInbox())(lambda job: None)


async def test_a_slow_inbox_does_not_block_the_loop(done: list[Any]) -> None:
    loop_went_on = threading.Event()

    class Slow(InMemoryInboxStore):
        def is_marked(self, key: str) -> bool:
            assert loop_went_on.wait(5), "the inbox blocks the event loop"
            return super().is_marked(key)

    @idempotent(key="id", inbox=Slow())
    async def run(job: Job) -> None:
        done.append(job)

    asyncio.get_running_loop().call_later(0.05, loop_went_on.set)
    await run(job(id=1))
    assert done
