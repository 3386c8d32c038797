"""What a child tells its keeper, and what the keeper answers: whole states in single datagrams."""

from __future__ import annotations

import errno
import json
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from svcjobs.job import Job

logger = logging.getLogger(__name__)

MOST_JOBS = 1000
"""A child holds no more jobs at once, so that its report fits into one datagram."""
SHOWN_CHARACTERS = 100


class HeldJob(NamedTuple):
    """A job that a child holds the lease of.

    Args:
        queue: prefix of its queue.
        job_id: its id.
        lease: the token.
        name: its name.
        attempt: number of the attempt.
        started_at: when its handler began, seconds since the epoch; None while it waits in the child.
        suspect: whether it is to run alone, see :class:`~svcjobs.estate.Estate`.
        verdict: why it can't be run, see :attr:`~svcjobs.job.Job.verdict`.
        held_at: when the child got it, ``time.monotonic()``.
    """

    queue: str
    job_id: str
    lease: str
    name: str = ""
    attempt: int = 0
    started_at: float | None = None
    suspect: bool = False
    verdict: str | None = None
    held_at: float = 0.0

    @classmethod
    def of(cls, job: Job) -> HeldJob:
        """A reserved job that waits in the child, which got it now."""
        lease, now = job.lease or "", time.monotonic()
        name = job.name[:SHOWN_CHARACTERS]  # it is shown, and needs no more
        return cls(job.queue, job.id, lease, name, job.attempts, None, job.suspect, job.verdict, now)


@dataclass(frozen=True, slots=True)
class Report:
    """The state of a child.

    Args:
        pid: its process.
        jobs: all leases it holds.
        fetching: False once it takes no more jobs.
        loop_at: when its event loop last turned, ``time.monotonic()``; None in pools without one.
        totals: jobs it ran, by outcome.
        queues: prefixes of the queues it takes jobs from.
        schedules: names of the schedules that it serves.
        idle: whether it has free slots and fetches no more, since another child is to take its place.
        made_at: when it was made, ``time.monotonic()``; a new keeper may read it long after.
    """

    pid: int
    jobs: Sequence[HeldJob] = ()
    fetching: bool = True
    loop_at: float | None = None
    totals: dict[str, int] = field(default_factory=dict)
    queues: Sequence[str] = ()
    schedules: Sequence[str] = ()
    idle: bool = False
    made_at: float = field(default_factory=time.monotonic)

    def encode(self) -> bytes:
        """The datagram."""
        lists = map(list, (self.queues, self.schedules))
        state = [self.pid, list(self.jobs), self.fetching, self.loop_at, self.totals, *lists, self.idle, self.made_at]
        return json.dumps(state).encode()

    @classmethod
    def decode(cls, datagram: bytes) -> Report:
        """The report that :meth:`encode` wrote."""
        pid, jobs, *rest = json.loads(datagram)
        return cls(pid, [HeldJob(*job) for job in jobs], *rest)


@dataclass(frozen=True, slots=True)
class LostLeases:
    """Jobs whose handlers are to be ended where that can be done; each a queue, a job id and a token.

    Args:
        leases: those that couldn't be extended: their outcome doesn't count any more.
        cancelled: those whose jobs somebody cancelled: once the handler has ended, the job is given back.
    """

    leases: Sequence[tuple[str, str, str]] = ()
    cancelled: Sequence[tuple[str, str, str]] = ()

    def encode(self) -> bytes:
        """The datagram."""
        return json.dumps([list(self.leases), list(self.cancelled)]).encode()

    @classmethod
    def decode(cls, datagram: bytes) -> LostLeases:
        """The message that :meth:`encode` wrote."""
        leases, cancelled = json.loads(datagram)
        return cls(*([(queue, job_id, lease) for queue, job_id, lease in part] for part in (leases, cancelled)))


def datagram_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a local datagram socket that survive a fork; a receiver that is away doesn't lose messages."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        end.setblocking(False)
    return ends


UNSENT = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE})


def send(end: socket.socket, datagram: bytes) -> bool:
    """Send an encoded message; False when the receiver's buffer is full, which the next whole state makes up for.

    One that is longer than the system lets a datagram be is logged as an error, and returns False as well.
    """
    try:
        end.send(datagram)
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            logger.error(
                "A message of %d bytes between the worker's processes is too long for this system (net.core.wmem_max): "
                "run fewer jobs at once in each process", len(datagram),
            )  # fmt: skip
        elif error.errno not in UNSENT:
            raise
        return False
    return True
