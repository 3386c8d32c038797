"""The pool of coroutines, without a queue: lanes, contexts and cancels."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from svcjobs.application import HandlerApplication
from svcjobs.execution import Execution
from svcjobs.job import Job
from svcjobs.limits import Limits
from svcjobs.pools.async_pool import AsyncPool
from svcjobs.pools.slots import Run
from svcjobs.settlement import Ack, Fail
from tests.eventually import eventually

VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


class RunningPool:
    """A pool that runs in a thread, and what came of its jobs."""

    def __init__(self, handler: Callable[[Job], object], concurrency: int) -> None:
        self.pool = AsyncPool(concurrency, Limits())
        self.ended: list[tuple[Run, Execution | None]] = []
        self.pool.ended = lambda run, execution: self.ended.append((run, execution))
        begun = threading.Event()
        self._thread = threading.Thread(target=self.pool.run, args=[HandlerApplication(handler), begun.set])
        self._thread.start()
        assert begun.wait(20)

    def start(self, count: int) -> None:
        self.pool.start([Job(str(n), "greet", {}, lease=f"{n}-x") for n in range(count)])

    def close(self) -> None:
        self.pool.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


Start = Callable[..., RunningPool]


@pytest.fixture
def run() -> Iterator[Start]:
    pools: list[RunningPool] = []

    def run(handler: Callable[[Job], object], concurrency: int = 3) -> RunningPool:
        pools.append(RunningPool(handler, concurrency))
        return pools[-1]

    yield run
    for pool in pools:
        pool.close()


def test_handlers_that_await_nothing_share_few_tasks_and_run_in_order(run: Start) -> None:
    order: list[str] = []
    tasks: set[asyncio.Task[object] | None] = set()

    async def handler(job: Job) -> None:
        order.append(job.id)
        tasks.add(asyncio.current_task())

    pool = run(handler, concurrency=50)
    pool.start(300)
    eventually(lambda: len(pool.ended) == 300)
    assert order == [str(n) for n in range(300)]
    assert len(tasks) < 20
    assert all(execution and isinstance(execution.settlement, Ack) for _, execution in pool.ended)


def test_no_more_handlers_run_at_once_than_there_are_slots(run: Start) -> None:
    at_once: list[int] = []
    running: set[str] = set()

    async def handler(job: Job) -> None:
        running.add(job.id)
        at_once.append(len(running))
        await asyncio.sleep(0.01)
        running.discard(job.id)

    pool = run(handler, concurrency=7)
    pool.start(50)
    eventually(lambda: len(pool.ended) == 50)
    assert max(at_once) == 7


def test_what_a_handler_leaves_in_its_context_reaches_no_other(run: Start) -> None:
    seen: list[str] = []

    async def handler(job: Job) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set(f"of {job.id}")

    pool = run(handler, concurrency=1)
    pool.start(5)
    eventually(lambda: len(pool.ended) == 5)
    assert seen == ["unset"] * 5


def test_a_long_line_of_short_jobs_lets_the_loop_turn(run: Start) -> None:
    def burn() -> None:
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass

    async def handler(job: Job) -> None:
        if job.id == "0":
            await asyncio.sleep(0.01)
        else:
            burn()

    pool = run(handler, concurrency=2)
    pool.start(200)
    eventually(lambda: len(pool.ended) == 200)
    place = [run.job.id for run, _ in pool.ended].index("0")
    assert place < 100


def test_a_cancel_hits_one_job_and_the_next_one_in_its_lane_is_left_alone(run: Start) -> None:
    cancelled: list[str] = []

    async def handler(job: Job) -> None:
        try:
            await asyncio.sleep(30 if job.id == "0" else 0.05)
        except asyncio.CancelledError:
            cancelled.append(job.id)
            raise

    pool = run(handler, concurrency=1)
    pool.start(3)
    first = eventually(lambda: pool.pool.slots.running)[0]
    pool.pool.cancel(first)
    pool.pool.cancel(first)
    eventually(lambda: len(pool.ended) == 3)
    assert cancelled == ["0"]
    assert pool.ended[0] == (first, None)
    assert [execution and type(execution.settlement) for _, execution in pool.ended[1:]] == [Ack, Ack]


def test_a_handler_that_cancels_itself_has_failed(run: Start) -> None:
    async def handler(job: Job) -> None:
        raise asyncio.CancelledError

    pool = run(handler)
    pool.start(2)
    eventually(lambda: len(pool.ended) == 2)
    assert all(execution and isinstance(execution.settlement, Fail) for _, execution in pool.ended)


def test_the_heart_beats_while_the_loop_turns_and_not_while_it_is_blocked(run: Start) -> None:
    blocked = threading.Event()
    go_on = threading.Event()

    async def handler(job: Job) -> None:
        blocked.set()
        go_on.wait(20)

    pool = run(handler)
    first = pool.pool.loop_at
    assert first is not None
    eventually(lambda: (pool.pool.loop_at or 0) > first)
    pool.start(1)
    assert blocked.wait(20)
    held_at = pool.pool.loop_at
    time.sleep(0.7)
    assert pool.pool.loop_at == held_at
    go_on.set()
    eventually(lambda: (pool.pool.loop_at or 0) > (held_at or 0))
