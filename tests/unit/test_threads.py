"""Threads for plain functions."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from svcjobs.threads import Threads, is_async
from tests.eventually import eventually_async


async def test_an_idle_thread_is_used_again() -> None:
    threads = Threads("test")
    first = await threads.call(threading.current_thread)
    second = await threads.call(threading.current_thread)
    assert first is second
    assert first.daemon
    threads.close()


async def test_calls_at_once_get_a_thread_each() -> None:
    threads = Threads("test")
    together = threading.Barrier(20)
    await asyncio.gather(*[threads.call(lambda: together.wait(20)) for _ in range(20)])
    threads.close()


async def test_close_ends_idle_threads() -> None:
    threads = Threads("test-close")
    thread = await threads.call(threading.current_thread)
    threads.close()
    await eventually_async(lambda: not thread.is_alive())


async def test_a_call_sees_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")
    threads = Threads("test")
    assert await threads.call(variable.get) == "here"
    threads.close()


async def test_what_a_function_raises_is_raised_here() -> None:
    threads = Threads("test")

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await threads.call(leave)

    def stop() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.call(stop)
    assert await threads.call(lambda: 1) == 1
    threads.close()


@pytest.mark.parametrize("late", [True, False], ids=["before it returns", "after"])
async def test_what_nobody_waits_for_any_more_is_handed_on(late: bool) -> None:
    threads = Threads("test")
    go_on, returned = threading.Event(), threading.Event()
    unclaimed: list[int] = []

    def work() -> int:
        assert go_on.wait(20)
        returned.set()
        return 7

    call = asyncio.create_task(threads.call(work, unclaimed=unclaimed.append))
    await asyncio.sleep(0)
    if late:
        call.cancel()
        await asyncio.sleep(0)
        go_on.set()
    else:
        go_on.set()
        assert returned.wait(20)  # the loop stands still, so the result can't have been taken
        call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually_async(lambda: unclaimed == [7])
    threads.close()


async def test_run_awaits_what_a_plain_function_returns() -> None:
    threads = Threads("test")

    async def answer() -> int:
        return 42

    assert await threads.run(answer, like=answer) == 42
    assert await threads.run(lambda: answer(), like=lambda: answer()) == 42
    threads.close()


def test_objects_with_an_async_call_are_async() -> None:
    class Callable:
        async def __call__(self) -> None: ...

    assert is_async(Callable())
    assert not is_async(Callable)
    assert not is_async(len)
