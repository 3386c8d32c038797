"""What every contender's worker runs, and how it tells that it did.

Imports the standard library only, since a contender may run in an environment of its own.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER_VARIABLE = "BENCHMARK_FOLDER"
URL_VARIABLE = "BENCHMARK_URL"
QUEUES_VARIABLE = "BENCHMARK_QUEUES"

COUNT = struct.Struct("Q")
TALLIES = "tally-*"
PICKUPS = "pickups"
RELEASE = "release"
LOOK_SECONDS = 0.05


def server_url() -> str:
    """The server that this contender works on."""
    return os.environ[URL_VARIABLE]


def queue_names() -> list[str]:
    """The queues that this contender works on; none: its default queue."""
    count = int(os.environ.get(QUEUES_VARIABLE, "1"))
    return [f"q{number}" for number in range(count)] if count > 1 else []


def folder() -> Path:
    """Where jobs leave their marks."""
    return Path(os.environ[FOLDER_VARIABLE])


class Tally:
    """Counts the jobs of each process in a mapped file, which costs a job well under a microsecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._count = 0
        self._map: mmap.mmap | None = None

    def add(self) -> None:
        """One more job has run."""
        with self._lock:
            if self._map is None or self._pid != os.getpid():
                self._map = self._open()
            self._count += 1
            COUNT.pack_into(self._map, 0, self._count)

    def _open(self) -> mmap.mmap:
        self._pid, self._count = os.getpid(), 0
        path = folder() / TALLIES.replace("*", str(self._pid))
        path.write_bytes(bytes(COUNT.size))
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), COUNT.size)


TALLY = Tally()


def jobs_done(marks: Path) -> int:
    """How many jobs have run, in all processes together."""
    return sum(COUNT.unpack(path.read_bytes() or bytes(COUNT.size))[0] for path in marks.glob(TALLIES))


def work(to: str, subject: str, **more: int) -> None:
    """The job: nothing, unless ``more`` says so (see :func:`_steps`)."""
    if more:
        for seconds in _steps(**more):
            time.sleep(seconds)
    TALLY.add()


async def work_async(to: str, subject: str, **more: int) -> None:
    """The same for queues that run coroutines."""
    if more:
        for seconds in _steps(**more):
            await asyncio.sleep(seconds)
    TALLY.add()


def _steps(wait_ms: int = 0, sent_at: int = 0, number: int | None = None) -> Iterator[float]:
    """Seconds to wait: ``wait_ms``, or with a ``number`` until all are released. Notes the age of ``sent_at``."""
    if wait_ms:
        yield wait_ms / 1000
    if sent_at:
        with (folder() / PICKUPS).open("a") as file:
            file.write(f"{time.monotonic_ns() - sent_at}\n")
    if number is not None:
        (folder() / f"started-{number}").touch()
        while not (folder() / RELEASE).exists():
            yield LOOK_SECONDS
        (folder() / f"done-{number}").touch()
