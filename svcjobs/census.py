"""What supervisor, keeper and children tell each other: who lives, who is ready, and how many there should be.

Whole states in single datagrams.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from svcjobs.running_table import RunningTable, RunningTables

ONE_STOP_SECONDS = 1.0
"""SIGTERMs that reach a child within so short a time are one: a service manager, or a terminal, may signal a whole
group of processes, and the supervisor then passes on what the child has got already."""
IMPATIENT_AFTER_SECONDS = 0.5
"""So much later than the first, a further signal means that the grace is to end. Sooner, it is the same stop: an init
system may signal the group of processes, then the process."""


@dataclass(frozen=True, slots=True)
class Census:
    """The children that live now, told by the supervisor after each birth and death.

    Args:
        children: slot of each by its pid.
        stopping: whether the worker is about to end; with no children left, the keeper ends too.
        taken_at: ``time.monotonic_ns()``. A new keeper finds those that the one before it didn't read, and children who
            were born since aren't in them.
    """

    children: Mapping[int, int] = field(default_factory=dict)
    stopping: bool = False
    taken_at: int = field(default_factory=time.monotonic_ns)

    def encode(self) -> bytes:
        """The datagram."""
        return json.dumps([list(self.children.items()), self.stopping, self.taken_at]).encode()

    @classmethod
    def decode(cls, datagram: bytes) -> Census:
        """The census that :meth:`encode` wrote."""
        children, stopping, taken_at = json.loads(datagram)
        return cls({int(pid): int(slot) for pid, slot in children}, bool(stopping), int(taken_at))


@dataclass(frozen=True, slots=True)
class Ready:
    """What the children do, told by the keeper whenever that changes.

    Args:
        pids: those that fetch jobs.
        leaving: those that have free slots and fetch no more: each ends when what it has is done.
    """

    pids: Sequence[int]
    leaving: Sequence[int] = ()

    def encode(self) -> bytes:
        """The datagram."""
        return json.dumps([list(self.pids), list(self.leaving)]).encode()


@dataclass(frozen=True, slots=True)
class Size:
    """How large the crew should be from now on, told by a child."""

    children: int

    def encode(self) -> bytes:
        """The datagram."""
        return json.dumps(self.children).encode()


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker is to stop, as by SIGTERM, told by a child; by one that was to replace another, only that one is.

    Args:
        exit_code: of the worker, unless it ends worse than that.
        pid: of the child.
    """

    exit_code: int = 0
    pid: int = field(default_factory=os.getpid)

    def encode(self) -> bytes:
        """The datagram."""
        return json.dumps({"exit_code": self.exit_code, "pid": self.pid}).encode()


def told_to_supervisor(datagram: bytes) -> Ready | Size | Stop:
    """The message that one of the three has encoded."""
    message = json.loads(datagram)
    if isinstance(message, dict):
        return Stop(**message)
    return Size(message) if isinstance(message, int) else Ready(*([int(pid) for pid in pids] for pids in message))


@dataclass(frozen=True, slots=True)
class ChildPipes:
    """A child's ends: it sends :class:`~svcjobs.reports.Report` and gets :class:`~svcjobs.reports.LostLeases`.

    In ``running`` it writes what runs at each moment. To ``supervisor`` it may send a :class:`Size` or :class:`Stop`.
    """

    reports: socket.socket
    lost: socket.socket
    running: RunningTable
    supervisor: socket.socket


@dataclass(frozen=True, slots=True)
class KeeperPipes:
    """The keeper's ends.

    Args:
        reports: gets the children's reports.
        lost: a socket to the child in each slot.
        supervisor: gets each :class:`Census`, sends :class:`Ready`.
        running: what runs in each child.
        census: the children at the keeper's start.
        supervisor_pid: who has forked it; with another parent, it is an orphan.
    """

    reports: socket.socket
    lost: Mapping[int, socket.socket]
    supervisor: socket.socket
    running: RunningTables
    census: Census
    supervisor_pid: int
