"""The application of the chaos runs: handlers that write down what they do, and misbehave on order."""

from __future__ import annotations

import asyncio
import collections
import ctypes
import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from svcjobs import Job, JobRegistry
from svcjobs.errors import RetryLater
from tests.chaos.history import LET_GO, own_history

registry = JobRegistry()
history = own_history()


@registry.handler("quick")
def quick(job: Job) -> None:
    """A plain function, so that it runs wherever the pool runs those."""
    with _noted(job):
        pass


@registry.handler("slow")
@registry.handler("delayed")
@registry.handler("unique")
@registry.handler("tick")
async def slow(job: Job) -> None:
    async with _noted_async(job):
        await asyncio.sleep(job.payload.get("seconds", 0))


@registry.handler("nap")
def nap(job: Job) -> None:
    """As slow, without a loop."""
    with _noted(job):
        time.sleep(job.payload["seconds"])


@registry.handler("stuck")
async def stuck(job: Job) -> None:
    """Doesn't end in its first attempt, and takes no time in the next."""
    async with _noted_async(job):
        await asyncio.sleep(600 if job.attempts == 1 else 0)


@registry.handler("stopped")
async def stopped(job: Job) -> None:
    """Its process is stopped in the first attempt, before it could end."""
    async with _noted_async(job):
        _stop_once(job)


@registry.handler("stopped_nap")
def stopped_nap(job: Job) -> None:
    """The same without a loop; the next attempt goes on until the scene lets it go."""
    with _noted(job):
        _stop_once(job)
        while job.attempts > 1 and not (history.folder / LET_GO).exists():
            time.sleep(0.01)


@registry.handler("cpu")
def cpu(job: Job) -> None:
    """Works, and holds the GIL all the while: one call of C code, in which no other thread gets a turn."""
    with _noted(job):
        hold_gil(job.payload["seconds"])


@registry.handler("frozen")
def frozen(job: Job) -> None:
    """Holds the GIL and sleeps, as a call into a bad C library does."""
    with _noted(job):
        ctypes.PyDLL(None).usleep(int(job.payload["seconds"] * 1_000_000))


@registry.handler("flaky")
def flaky(job: Job) -> None:
    """Fails in its first attempts, then works."""
    with _noted(job):
        if job.attempts <= job.payload["failures"]:
            raise RuntimeError(f"not yet, token={job.lease} attempt={job.attempts}")


@registry.handler("failing")
def failing(job: Job) -> None:
    with _noted(job):
        raise RuntimeError(f"never, token={job.lease} attempt={job.attempts}")


@registry.handler("retry_after")
def retry_after(job: Job) -> None:
    """Is told once by whoever it calls when to come again."""
    with _noted(job):
        if job.attempts == 1:
            raise RetryLater(delay_seconds=job.payload["seconds"])


@registry.handler("poison")
def poison(job: Job) -> None:
    """Kills the process that runs it."""
    _start(job)
    history.write("death", pid=os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


class Unspeakable(Exception):
    """Neither its text nor its arguments can be had."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __reduce__(self) -> str:
        raise TypeError("no pickle")


@registry.handler("unspeakable")
def unspeakable(job: Job) -> None:
    with _noted(job):
        raise Unspeakable(lambda: None)


def hold_gil(seconds: float) -> None:
    """Keep a core busy without letting go of the GIL: what is called here is C code to the last."""
    until = time.monotonic() + seconds
    collections.deque(itertools.takewhile(until.__gt__, iter(time.monotonic, None)), maxlen=0)


def _stop_once(job: Job) -> None:
    """Stop this process in the first attempt. The signal goes to this very thread: it is the first to stand still."""
    if job.attempts == 1:
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _start(job: Job) -> None:
    history.write("start", job=job.id, name=job.name, attempt=job.attempts, lease=job.lease)


def _end(job: Job, outcome: str) -> None:
    history.write("end", job=job.id, lease=job.lease, outcome=outcome)


@contextmanager
def _noted(job: Job) -> Iterator[None]:
    _start(job)
    try:
        yield
    except Exception:
        _end(job, "raised")
        raise
    except BaseException:
        _end(job, "cancelled")
        raise
    _end(job, "ok")


@asynccontextmanager
async def _noted_async(job: Job) -> AsyncIterator[None]:
    with _noted(job):
        yield
