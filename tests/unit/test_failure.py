"""What is kept of an exception: its text, and its traceback from the user's code on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import pytest

from svcjobs.errors import JobTimeoutError, LeaseLost
from svcjobs.failure import format_error, traceback_text
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.registry import JobRegistry
from svcjobs.worker import process_one

MACHINERY = ("svcjobs/execution", "svcjobs/threads", "svcjobs/registry", "asyncio/", "/threading.py", "concurrent/")


async def stored_traceback(registry: JobRegistry) -> str:
    queue = InMemoryJobQueue()
    queue.enqueue("bad", max_attempts=1)
    await process_one(queue, registry)
    (dead,) = queue.dead()
    assert dead.traceback is not None
    return dead.traceback


async def test_a_stored_traceback_begins_in_an_async_handler() -> None:
    registry = JobRegistry()

    @registry.handler("bad")
    async def bad(job: Job) -> None:
        raise ValueError("no")

    text = await stored_traceback(registry)
    header, first, *_ = text.splitlines()
    assert header == "Traceback (most recent call last):"
    assert "test_failure.py" in first
    assert first.endswith("in bad")
    assert not any(name in text for name in MACHINERY)


async def test_a_stored_traceback_begins_in_a_plain_handler() -> None:
    registry = JobRegistry()

    @registry.handler("bad")
    def bad(job: Job) -> None:
        raise ValueError("no")

    text = await stored_traceback(registry)
    assert text.splitlines()[1].endswith("in bad")
    assert not any(name in text for name in MACHINERY)


async def test_frames_below_the_users_code_stay() -> None:
    registry = JobRegistry()

    @registry.handler("bad")
    def bad(job: Job) -> None:
        InMemoryJobQueue().ack("nothing")

    text = await stored_traceback(registry)
    assert text.splitlines()[1].endswith("in bad")
    assert "svcjobs/memory_queue.py" in text
    assert LeaseLost.__name__ in text


async def test_each_cause_begins_in_the_users_code() -> None:
    async def inner() -> None:
        raise KeyError("inner")

    async def outer() -> None:
        try:
            await asyncio.wait_for(asyncio.create_task(inner()), 5)
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError, match="outer") as caught:
        await outer()
    text = format_error(caught.value)
    assert "KeyError: 'inner'" in text
    assert "The above exception was the direct cause" in text
    assert text.count("Traceback (most recent call last)") == 2


def test_threads_and_executors_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[BaseException | None] = []

    def fail() -> None:
        raise ValueError("no")

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        error = executor.submit(fail).exception()
    assert error is not None
    assert format_error(error).splitlines()[1].endswith("in fail")

    def note(args: threading.ExceptHookArgs) -> None:
        caught.append(args.exc_value)

    monkeypatch.setattr(threading, "excepthook", note)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert format_error(caught[0] or ValueError()).splitlines()[1].endswith("in fail")


def test_a_group_shows_its_members_from_the_users_code_on() -> None:
    def fail() -> None:
        raise ValueError("one")

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        error = executor.submit(fail).exception()
    assert isinstance(error, ValueError)
    text = format_error(ExceptionGroup("both", [error]))
    assert "ValueError: one" in text
    assert "concurrent/" not in text


def test_an_error_from_the_machinery_alone_keeps_its_frames() -> None:
    with pytest.raises(LeaseLost) as caught:
        InMemoryJobQueue().ack("nothing")
    assert caught.tb.tb_next is not None
    assert "svcjobs/memory_queue.py" in format_error(caught.value.with_traceback(caught.tb.tb_next))


def test_an_error_without_a_traceback_is_one_line() -> None:
    assert traceback_text(JobTimeoutError("slow", 2)).count("\n") == 1


def test_an_error_that_cannot_be_written_costs_nothing() -> None:
    class Awkward(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert "Awkward" in traceback_text(Awkward())
