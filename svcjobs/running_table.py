"""What runs in each child, has run, what it fetches and what it reported, in memory that outlives it and its keeper.

So that is known after a job has killed the child, and to a new keeper before a child has a moment to say it again.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

GENERATIONS = 8
"""Tables per slot: that of a dead child stays until seven more have lived there, long after its keeper has read it."""
REPORT_BYTES = 1 << 19
"""More than Linux lets a datagram be, unless told otherwise. Memory that nothing was written to costs nothing."""
DONE = 1024
"""Marks of jobs that were done last: more than a child lets wait for their settlement."""
_PID, _GENERATION, _NONCE, _NUMBER, _SEAL, _LIMIT, _OVER_AT, _FIRST_DONE = range(8)
_FIRST_PLACE = _FIRST_DONE + DONE
_WORD = 8
NONCE_DIGITS = 10
"""Of the nonce of a request; it is kept as a number, which has lost the zeros in front."""


@dataclass(frozen=True, slots=True)
class HardLimit:
    """That of the job which runs in a process that runs one at a time.

    Args:
        seconds: the limit.
        over_at: ``time.monotonic()`` of when the process ends itself, if the job's handler lets it do nothing else.
        at_once: whether the failed job is to be looked at again without a pause: its application has the last word.
    """

    seconds: float
    over_at: float
    at_once: bool


def mark_of(job_id: str, lease: str) -> int:
    """What a table holds of a job while it runs: 64 bits, as a lease may be any text."""
    return zlib.crc32(lease.encode()) << 32 | zlib.crc32(job_id.encode())


class RunningTable:
    """The jobs that run in one child: it writes, its keeper reads. Neither message nor lock, so it costs under 1 µs.

    A word is stored in one piece: a process that is killed at any instruction leaves the old one or the new one.

    Args:
        memory: words, of which the first are a pid, a number of the generation, the request of the last reserve,
            length and checksum of the report, and a hard limit; then come marks of jobs that are done, one of each job
            that may run at once, 0 is free, and the report itself.
    """

    def __init__(self, memory: memoryview) -> None:
        places = len(memory) - REPORT_BYTES // _WORD
        self._words = memory[:places]
        self._report = memory[places:].cast("B")
        self._done = 0

    @property
    def pid(self) -> int:
        """The child; 0 before it has begun."""
        return self._words[_PID]

    @property
    def generation(self) -> int:
        """Higher in tables that were given out later."""
        return self._words[_GENERATION]

    @property
    def marks(self) -> frozenset[int]:
        """The :func:`mark_of` each job that runs."""
        return frozenset(self._words[_FIRST_PLACE:]) - {0}

    @property
    def done(self) -> frozenset[int]:
        """The :func:`mark_of` jobs that need nothing but their ack, the last :data:`DONE` of them."""
        return frozenset(self._words[_FIRST_DONE:_FIRST_PLACE]) - {0}

    @property
    def hard_limit(self) -> HardLimit | None:
        """That of the job that runs; None without one."""
        over_at, (limit, at_once) = self._words[_OVER_AT], divmod(self._words[_LIMIT], 2)
        return HardLimit(limit / 1000, over_at / 1000, bool(at_once)) if over_at else None

    @property
    def fetch(self) -> tuple[str, int] | None:
        """The request of the last reserve that it made, or was about to make; None when there was none."""
        number = self._words[_NUMBER]
        return (f"{self._words[_NONCE]:0{NONCE_DIGITS}x}", number) if number else None

    @property
    def report(self) -> bytes | None:
        """The last report that it kept here; None when there was none, or it is just being written."""
        length, checksum = divmod(self._words[_SEAL], 1 << 32)
        report = bytes(self._report[:length])
        return report if report and zlib.crc32(report) == checksum else None

    def clear(self, generation: int) -> None:
        """Make it a fresh one, for a child that isn't born yet."""
        self._words[_PID] = 0
        for at in range(_NONCE, len(self._words)):
            self._words[at] = 0
        self._words[_GENERATION] = generation

    def begin(self) -> None:
        """It is this process's."""
        self._words[_PID] = os.getpid()

    def fetches(self, request: tuple[str, int]) -> None:
        """A reserve with this request is made next; the keeper knows what the earlier ones brought."""
        nonce, number = request
        # a process that is killed between the two hasn't made the call, and what it made before is known
        self._words[_NONCE] = int(nonce, 16)
        self._words[_NUMBER] = number

    def fetches_no_more(self) -> None:
        """What the last reserve brought is settled."""
        self._words[_NUMBER] = 0

    def reports(self, report: bytes) -> None:
        """This is its newest report; one that is too long isn't kept."""
        self._words[_SEAL] = 0  # a process that is killed while it writes leaves none rather than half of two
        if len(report) <= REPORT_BYTES:
            self._report[: len(report)] = report
            self._words[_SEAL] = len(report) << 32 | zlib.crc32(report)

    def settled(self, pid: int) -> None:
        """What this dead child left is settled, and nobody needs to look at it again."""
        if self._words[_PID] == pid:  # else it is the table of another by now
            self._words[_PID] = 0

    def start(self, place: int, job_id: str, lease: str) -> None:
        """This job runs from now on."""
        self._words[_FIRST_PLACE + place] = mark_of(job_id, lease)

    def end(self, place: int, *, done: bool = False) -> None:
        """The job in that place runs no more; when it is ``done``, it needs nothing but its ack."""
        if done:
            self._words[_FIRST_DONE + self._done] = self._words[_FIRST_PLACE + place]
            self._done = (self._done + 1) % DONE
        self._words[_FIRST_PLACE + place] = 0

    def limit(self, limit: HardLimit | None) -> None:
        """The job that runs from now on has this hard limit."""
        self._words[_OVER_AT] = 0
        if limit is not None:
            self._words[_LIMIT] = 2 * round(limit.seconds * 1000) + limit.at_once
            self._words[_OVER_AT] = round(limit.over_at * 1000)


class RunningTables:
    """Those of all children of a worker, in shared memory that its supervisor opens before it forks.

    Args:
        descriptor: of the memory; kept, so that the program which a supervisor executes anew can map it again.
        places: jobs that may run at once in a child.
    """

    def __init__(self, descriptor: int, places: int) -> None:
        self.descriptor = descriptor
        self._length = _length(places)
        self._memory = memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size)).cast("Q")

    @classmethod
    def open(cls, slots: int, places: int) -> RunningTables:
        """New tables, for as many children at once as there are slots."""
        descriptor = _anonymous_file()
        os.ftruncate(descriptor, slots * GENERATIONS * _length(places) * _WORD)
        return cls(descriptor, places)

    def fresh(self, slot: int) -> RunningTable:
        """An empty table for a new child in that slot: the oldest one there."""
        tables = [self._table(slot * GENERATIONS + at) for at in range(GENERATIONS)]
        newest = max(table.generation for table in self._all())
        oldest = min(tables, key=lambda table: table.generation)
        oldest.clear(newest + 1)
        return oldest

    def of(self, pid: int) -> RunningTable | None:
        """The table of a child, dead or alive; None when it has none."""
        tables = [table for table in self._all() if table.pid == pid]
        return max(tables, key=lambda table: table.generation, default=None)

    @property
    def begun(self) -> list[RunningTable]:
        """Those of children that live, or whose jobs nobody has settled yet; the oldest first."""
        return sorted((table for table in self._all() if table.pid), key=lambda table: table.generation)

    def close(self) -> None:
        """Give the memory up, here; tables that were given out stay usable."""
        os.close(self.descriptor)

    def _all(self) -> Iterator[RunningTable]:
        return map(self._table, range(len(self._memory) // self._length))

    def _table(self, number: int) -> RunningTable:
        return RunningTable(self._memory[number * self._length : (number + 1) * self._length])


def _length(places: int) -> int:
    """Of a table, in words."""
    return _FIRST_PLACE + places + REPORT_BYTES // _WORD


def _anonymous_file() -> int:
    """A descriptor of memory without a name; as an open file it survives an exec, which a bare mapping doesn't."""
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    return os.memfd_create("svcjobs-running")
