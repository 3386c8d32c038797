"""Fixtures for tests of worker and beat as processes, with an application that notes what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.notes import lines_of
from tests.unit.test_settings import VARIABLES

SHOP = """
import asyncio, os, pathlib
from svcjobs.registry import JobRegistry

registry = JobRegistry(metric_prefix="shop")

def note(text):
    with open("notes", "a") as notes:
        notes.write(text + "\\n")

@registry.handler("greet")
def greet(job):
    note(f"greet {job.id}")

@registry.handler("slow")
async def slow(job):
    note(f"slow {job.id} begins")
    await asyncio.sleep(job.payload["seconds"])
    note(f"slow {job.id} ends")

@registry.handler("held")
async def held(job):
    note(f"held {job.id} begins")
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.05)
    note(f"held {job.id} ends")

@registry.handler("bad")
def bad(job):
    raise RuntimeError("no way")

@registry.on_startup
def begin(): note("startup")

@registry.on_shutdown
def end(): note("shutdown")

def tick():
    note("tick")
"""

Start = Callable[..., "Process"]


class Process:
    """A running ``svcjobs`` command."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._notes = folder / "notes"
        self._log = folder / f"log{len(list(folder.iterdir()))}"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "svcjobs", *arguments],
                cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def notes(self) -> list[str]:
        return lines_of(self._notes)

    def says(self, text: str, timeout: float = 45) -> None:
        eventually(lambda: text in self.log, timeout, f"{text!r} in {self.log!r}")

    def noted(self, line: str, times: int = 1, timeout: float = 45) -> None:
        eventually(lambda: self.notes.count(line) >= times, timeout, f"{line!r} in {self.notes}; {self._log}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill_all(self) -> None:
        """Kill it with its children and its keeper, the supervisor first."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children()]
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # a child may have ended meanwhile
                process.kill()
        self.process.wait()

    def ends(self, timeout: float = 45) -> int:
        return self.process.wait(timeout)


@pytest.fixture
def start(tmp_path: Path, prefix: str) -> Iterator[Start]:
    (tmp_path / "shop.py").write_text(SHOP)
    started: list[Process] = []

    def start(url: str, *arguments: str, **environment: str) -> Process:
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        process = Process(
            tmp_path, arguments, kept | {"JOBS_DRIVER": "redis", "REDIS_URL": url, "JOBS_PREFIX": prefix} | environment
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.process.poll() is None:
            process.kill_all()


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue
