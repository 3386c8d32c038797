"""Handlers that misuse what they are given: each slip costs an attempt, and none lets a job loop or vanish."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from svcjobs.effects import Follow
from svcjobs.errors import ConfigurationError, DeadLetter, InvalidJob, Postponed, RetryLater
from svcjobs.execution import tell
from svcjobs.job import MOST_ATTEMPTS, Job, NewJob
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.registry import JobRegistry
from svcjobs.runner import WorkerRunner
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settlement import Ack, Fail, Outcome
from svcjobs.worker import process_one
from tests.eventually import eventually_async

Handler = Callable[[Job], object]


class Unexplained(RetryLater):
    def __init__(self) -> None:
        Exception.__init__(self, "its own constructor")


class Unreasoned(DeadLetter):
    def __init__(self) -> None:
        Exception.__init__(self, "its own constructor")


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class Strange(Exception, metaclass=Nameless):
    pass


def raising(error: BaseException) -> Handler:
    def handler(_job: Job) -> None:
        raise error

    return handler


async def yields(_job: Job) -> AsyncIterator[int]:
    yield 1


def generates(_job: Job) -> Iterator[int]:
    yield 1


async def forgets_to_await(_job: Job) -> object:
    return asyncio.sleep(0)


async def cannot_be_stored(job: Job) -> object:
    return Ack(job, [Follow(NewJob("next", {"a": {1}}))])


async def no_effect(job: Job) -> object:
    return Ack(job, [5])  # type: ignore[list-item]


SLIPS: dict[str, Handler] = {
    "a retry in the far future": raising(RetryLater(1e30)),
    "a retry without a delay": raising(Unexplained()),
    "postponed by no number": raising(Postponed("x")),  # type: ignore[arg-type]
    "postponed into the past": raising(Postponed(-1)),
    "an end without a reason": raising(Unreasoned()),
    "GeneratorExit": raising(GeneratorExit()),
    "an error without a name": raising(Strange()),
    "an async generator": yields,
    "a generator": generates,
    "a coroutine that nobody awaits": forgets_to_await,
    "effects that JSON can't hold": cannot_be_stored,
    "what is no effect": no_effect,
}


def left(queue: InMemoryJobQueue) -> tuple[int, int]:
    """Attempts of the job, and how many jobs are under way or done."""
    job = queue.get("1")
    assert job is not None
    stats = queue.stats()
    return job.attempts, stats.in_flight + stats.totals["acked"] + stats.totals["released"]


@pytest.mark.parametrize("slip", SLIPS)
async def test_by_hand_it_costs_an_attempt(slip: str) -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("slip", max_attempts=5, backoff_seconds=60)
    assert await process_one(queue, SLIPS[slip])
    assert left(queue) == (1, 0)


@pytest.mark.parametrize("slip", SLIPS)
async def test_in_a_runner_it_costs_an_attempt(slip: str) -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("slip", max_attempts=5, backoff_seconds=60)
    runner = WorkerRunner(queue, SLIPS[slip], poll_interval=0.01)
    runner.start()
    await eventually_async(lambda: left(queue) == (1, 0))
    await asyncio.sleep(0.1)
    await runner.stop()
    assert left(queue) == (1, 0)


async def test_the_longest_delay_is_a_hundred_years() -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("postponed")
    assert await process_one(queue, raising(Postponed(1e30)))
    assert (queue.stats().delayed, left(queue)[0]) == (1, 0)


@pytest.mark.parametrize("field", ["id", "queue", "lease", "attempts"])
@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_job_that_its_handler_renames_is_settled_as_what_it_was(field: str, *, succeeds: bool) -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("renamed", max_attempts=1)

    async def handler(job: Job) -> None:
        setattr(job, field, 7 if field == "attempts" else "other")
        if not succeeds:
            raise ValueError("as well")

    assert await process_one(queue, handler)
    assert queue.stats().totals["acked" if succeeds else "buried"] == 1


# what is refused at once


@pytest.mark.parametrize("handler", [yields, generates, None, 5, "text"])
def test_what_runs_nothing_is_no_handler(handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="the handler of name is"):
        JobRegistry().register("name", handler)


def test_a_handler_needs_a_name() -> None:
    registry: Any = JobRegistry()
    with pytest.raises(ConfigurationError, match=r'write @registry\.handler\("name"\)'):

        @registry.handler
        def handler(job: Job) -> None: ...

    for name in (None, "", 5):
        with pytest.raises(ConfigurationError, match="the name of a handler's jobs is"):
            registry.register(name, print)
    assert registry.list_handlers() == []


@pytest.mark.parametrize(
    "attempts", [sys.maxsize, 10**5000, MOST_ATTEMPTS + 1], ids=["largest", "too long to be written", "next"]
)
def test_more_attempts_than_can_be_counted_are_refused(attempts: int) -> None:
    queue = InMemoryJobQueue()
    with pytest.raises(InvalidJob, match=f"from 1 to {MOST_ATTEMPTS}"):
        queue.enqueue("name", max_attempts=attempts)
    queue.enqueue("name", max_attempts=MOST_ATTEMPTS)
    assert queue.stats().ready == 1


@pytest.mark.parametrize("options", [{"unique": "account-7"}, {"retry": "x"}, {"retry": 5}])
def test_options_of_another_type_are_refused_before_anything_is_stored(options: Any) -> None:
    queue = InMemoryJobQueue()
    with pytest.raises(InvalidJob, match=f"{next(iter(options))} is"):
        queue.enqueue_many([NewJob("a"), NewJob("b", **options)])
    assert queue.stats().ready == 0


# the schedule


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), ValueError("broken")])
async def test_a_scheduled_function_that_raises_anything_ends_no_schedule(error: BaseException) -> None:
    ran: list[str] = []

    def raises() -> None:
        raise error

    async def raises_async() -> None:
        raise error

    scheduler = InMemoryScheduler()
    scheduler.add_task("raises", 0, raises)
    scheduler.add_task("raises async", 0, raises_async)
    scheduler.add_task("fine", 0, lambda: ran.append("fine"))
    await scheduler.tick()
    await scheduler.tick()
    assert ran == ["fine", "fine"]


def test_limits_that_are_no_numbers_garble_no_log(caplog: pytest.LogCaptureFixture) -> None:
    job = Job("1", "n", {}, attempts=1)
    job.max_attempts = "5"  # type: ignore[assignment]
    tell(Fail(job, "ValueError: no"), Outcome.RETRIED)
    assert caplog.messages == ["Job 1 (n) failed, attempt 1 of 5, tried again: ValueError: no"]
