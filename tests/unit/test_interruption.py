"""Exceptions raised in code that runs."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from svcjobs.errors import SoftTimeLimitExceeded
from svcjobs.interruption import Interruptible, ThreadCall
from svcjobs.threads import Threads
from tests.eventually import eventually


def limit() -> SoftTimeLimitExceeded:
    """What is raised at the end of the time."""
    return SoftTimeLimitExceeded("greet", 0.05)


async def test_a_coroutine_sees_the_error_where_it_waits_and_may_go_on() -> None:
    async def tidy() -> str:
        try:
            await asyncio.sleep(10)
        except SoftTimeLimitExceeded as limit:
            await asyncio.sleep(0.1)  # longer than the limit: it comes once
            return f"tidied after {limit.limit_seconds}"
        return "never"

    assert await Interruptible(tidy(), 0.05, limit) == "tidied after 0.05"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_a_coroutine_waits_for_is_cancelled() -> None:
    inner = asyncio.create_task(asyncio.sleep(10))

    async def wait() -> None:
        await inner

    with pytest.raises(SoftTimeLimitExceeded):
        await Interruptible(wait(), 0.01, limit)
    assert inner.cancelled()


async def test_a_coroutine_that_ends_in_time_is_left_alone() -> None:
    async def quick() -> int:
        await asyncio.sleep(0)
        return 7

    assert await Interruptible(quick(), 0.02, limit) == 7
    await asyncio.sleep(0.05)  # the timer would cancel this


async def test_a_cancel_from_elsewhere_stays_one() -> None:
    async def wait() -> None:
        await asyncio.sleep(10)

    async def limited() -> None:
        await Interruptible(wait(), 5, limit)

    task = asyncio.create_task(limited())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_thread_is_interrupted_at_its_next_bytecode_once() -> None:
    seen: list[str] = []
    call = ThreadCall()

    def spin() -> None:
        try:
            while True:
                pass
        except SoftTimeLimitExceeded:
            seen.append("limit")
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                pass
            seen.append("cleaned up")

    thread = threading.Thread(target=call.run, args=[spin])
    thread.start()
    eventually(lambda: call.interrupt(SoftTimeLimitExceeded))
    eventually(lambda: seen == ["limit"])
    assert not call.interrupt(SoftTimeLimitExceeded)
    thread.join()
    assert seen == ["limit", "cleaned up"]


def test_a_call_that_has_ended_is_not_interrupted() -> None:
    call = ThreadCall()
    assert call.run(lambda: 5) == 5
    assert not call.interrupt(SoftTimeLimitExceeded)


def test_an_interruption_never_hits_what_the_thread_does_next() -> None:
    for _ in range(200):
        call = ThreadCall()
        caught = threading.Event()

        def work(call: ThreadCall = call, caught: threading.Event = caught) -> None:
            try:
                call.run(time.sleep, 0.0005)
            except SoftTimeLimitExceeded:
                caught.set()
            for _ in range(1000):
                pass  # an error here would end the thread, which pytest makes a failure

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.0005)
        call.interrupt(SoftTimeLimitExceeded)
        thread.join()


async def test_a_plain_function_in_a_thread_gets_the_soft_limit_of_its_caller() -> None:
    threads = Threads("test")
    seen: list[str] = []

    def work() -> str:
        try:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                time.sleep(0.005)
        except SoftTimeLimitExceeded:
            seen.append("limit")
            return "tidied"
        return "never"

    assert await Interruptible(threads.call(work), 0.05, limit) == "tidied"
    assert seen == ["limit"]

    def stubborn() -> None:
        while True:
            time.sleep(0.005)

    with pytest.raises(SoftTimeLimitExceeded, match=r"Job greet exceeded its soft time limit of 0\.05 s"):
        await Interruptible(threads.call(stubborn), 0.05, limit)
    threads.close()
