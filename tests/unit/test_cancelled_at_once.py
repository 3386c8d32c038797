"""A job that is cancelled when a slot has taken it and its handler hasn't begun."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from svcjobs.application import HandlerApplication
from svcjobs.execution import Execution
from svcjobs.job import Job
from svcjobs.limits import Limits
from svcjobs.pools.main_thread_pool import MainThreadPool
from svcjobs.pools.slots import Run
from svcjobs.pools.thread_pool import ThreadPool
from svcjobs.settlement import Ack


@pytest.fixture(autouse=True)
def alarm_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


def prefork(limits: Limits) -> MainThreadPool:
    return MainThreadPool(limits)


def threads(limits: Limits) -> ThreadPool:
    return ThreadPool(1, limits)


def sleeps(job: Job) -> None:
    time.sleep(3)


async def sleeps_too(job: Job) -> None:
    await asyncio.sleep(3)


@pytest.mark.parametrize("limits", [Limits(), Limits(soft_seconds=10)], ids=["without a limit", "with a soft limit"])
@pytest.mark.parametrize(
    ("make", "handler"), [(prefork, sleeps), (prefork, sleeps_too), (threads, sleeps_too)],
    ids=["prefork, a function", "prefork, a coroutine", "threads, a coroutine"],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_its_handler_does_not_run(
    make: Callable[[Limits], MainThreadPool | ThreadPool], handler: Callable[[Job], object], limits: Limits
) -> None:
    assert threading.current_thread() is threading.main_thread()
    pool = make(limits)
    ended: list[tuple[Run, Execution | None]] = []
    take = pool.slots.take

    def take_and_cancel() -> Run | None:
        run = take()
        if run is not None:
            pool.cancel(run)
        return run

    def end(run: Run, execution: Execution | None) -> None:
        ended.append((run, execution))
        pool.stop()

    pool.slots.take = take_and_cancel  # type: ignore[method-assign]
    pool.ended = end
    began = time.monotonic()
    pool.run(HandlerApplication(handler), lambda: pool.start([Job("1", "greet", {}, lease="1-x")]))
    ((run, execution),) = ended
    assert time.monotonic() - began < 3
    assert run.cancelled
    assert execution is not None
    assert not isinstance(execution.settlement, Ack)
    ended.clear()
    del run, execution
    gc.collect()  # a coroutine that was made, and never closed, warns here
