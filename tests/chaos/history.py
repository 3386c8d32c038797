"""What really happened, written outside Redis: one file a process, only ever appended to, a line of JSON an event.

A line is one write(2), so that SIGKILL tears none and loses none. Events are ordered by the monotonic clock, which
all processes of a machine share and no clock change moves.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.notes import lines_of

VARIABLE = "SVCJOBS_CHAOS_HISTORY"
"""Environment variable that tells a process of a chaos run the folder of its history."""
LET_GO = "let-go"
"""The file in that folder that ends the naps which wait for it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    ``asked`` and ``enqueued``: before and after a producer's call; ``start`` and ``end``: a handler, of which
    ``cancelled`` is a way to end; ``tick``: a scheduler took one; ``death``: a process was killed; ``excuse``: leases
    may have run out between ``since`` and ``at``; ``nemesis``: what was done; ``over``: all jobs are done.

    Args:
        kind: one of these.
        at: monotonic seconds.
        pid: the process that wrote it.
        fields: the rest, by kind.
        wall: seconds since the epoch, by the clock that servers go by, too.
    """

    kind: str
    at: float
    pid: int
    fields: dict[str, Any]
    wall: float = 0.0

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


class History:
    """The part of the history that this process writes.

    Args:
        folder: where all processes of a run write theirs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pid = 0
        self._file = -1

    def write(self, kind: str, **fields: Any) -> None:
        """Append an event that happens now."""
        if self._pid != os.getpid():  # the first event, or that of a forked child
            path = self.folder / f"{os.getpid()}-{time.monotonic_ns()}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._pid = os.getpid()  # last: another thread that finds it set finds the file open
        line = json.dumps([kind, time.monotonic(), self._pid, fields, time.time()])
        os.write(self._file, line.encode() + b"\n")


def own_history() -> History:
    """The history that this process was told to write."""
    return History(Path(os.environ[VARIABLE]))


def read(folder: Path) -> list[Event]:
    """All events of all processes, in order."""
    lines = (line for path in folder.glob("*.jsonl") for line in lines_of(path))
    return in_order(Event(*json.loads(line)) for line in lines)


def in_order(events: Iterable[Event]) -> list[Event]:
    """The events by time."""
    return sorted(events, key=lambda event: event.at)
