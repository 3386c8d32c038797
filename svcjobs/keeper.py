"""The process that keeps the leases of all children of a worker, and settles what a dead one left."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import Protocol

from svcjobs.census import Census, KeeperPipes, Ready
from svcjobs.errors import QueueUnavailable
from svcjobs.estate import Estate
from svcjobs.process import send_signal
from svcjobs.queue import JobQueue
from svcjobs.reports import HeldJob, LostLeases, Report, send
from svcjobs.settlement import Outcome
from svcjobs.tally import Tally
from svcjobs.ward import Lease, Ward, as_job, lease_of

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the processes are looked at, and the longest pause of the loop."""
SHORTEST_TURN_SECONDS = 0.02
AGAIN_SECONDS = 0.2
"""Between two tries while the server is away; each of them takes the queue's time-out too."""
LAST_TRIES_SECONDS = 3.0
"""How long a keeper without children tries to give back their jobs to a server that is away."""
STRANGE_SECONDS = 5.0
"""So long a child may be missing in the census; then another process has got the pid of one that is dead."""
MARGIN_SECONDS = 10.0
"""After the supervisor's death and the grace, children that still live are killed."""
MOST_MESSAGES = 1000
"""Read at once before other duties get their turn."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What a keeper knows at one moment, for those who show it.

    Args:
        wards: the living children.
        stopping: whether the worker is about to end.
        queue_answers: whether the server answered the last call; None before the first.
    """

    wards: Sequence[Ward] = ()
    stopping: bool = False
    queue_answers: bool | None = None


class Duty(Protocol):
    """Something else that a keeper does, in its own thread."""

    def turn(self, watch: Watch) -> bool | None:
        """Do what is due; returns whether the server answered, None when it wasn't asked. Raises nothing."""
        ...

    def tally(self, tally: Tally) -> None:
        """Take in what a child has counted."""
        ...

    def end(self) -> None:
        """The keeper ends because the worker does."""
        ...


class Keeper:
    """Keeps leases until its worker has ended; one thread, and no state that the next keeper couldn't get again.

    It begins with what the children last reported, by their tables: one that holds the GIL for minutes can't say it
    again, and one that is dead neither.

    While a queue is away it tries again and again, and keeps all: leases are extended as soon as it is back.

    Args:
        pipes: from the supervisor.
        open_queue: the queue with a prefix. Called once for each.
        lease_seconds: the queues' ``visibility_timeout``.
        grace_seconds: how long children may run on when their supervisor was killed.
        duties: what else it does.
    """

    def __init__(
        self,
        pipes: KeeperPipes,
        open_queue: Callable[[str], JobQueue],
        *,
        lease_seconds: float,
        grace_seconds: float,
        duties: Sequence[Duty] = (),
    ) -> None:
        self.watch = Watch()
        self._pipes = pipes
        self._census = pipes.census
        self._open_queue = open_queue
        self._queues: dict[str, JobQueue] = {}
        self._lease_seconds = lease_seconds
        self._period_seconds = lease_seconds / 6
        self._grace_seconds = grace_seconds
        self._duties = duties
        self._orphaned_at: float | None = None
        self._wards: dict[int, Ward] = {}
        self._estates: list[Estate] = []
        self._ready = Ready([])
        self._extend_at = 0.0
        self._look_at = 0.0
        self._turned_at = 0.0
        self._answers: bool | None = None
        self._failed_at: dict[str, float] = {}

    def run(self) -> int:
        """Keep until the worker has ended and its children's jobs are given back; returns the exit code."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to a whole group of processes; children come first
        self._take_over()
        while self._wards or not self._is_over:
            self._listen()
            self._look()
            self._settle_estates()
            self._extend()
            self._take_turns()
            self._tell_ready()
        self._settle_last_estates()
        for duty in self._duties:
            duty.end()
        for queue in self._queues.values():
            queue.close()
        return 0

    @property
    def _is_over(self) -> bool:
        """Whether no child will be born any more, and the census knows none that lives."""
        return self._orphaned_at is not None or (self._census.stopping and not self._census.children)

    def _take_over(self) -> None:
        """Get to know what an earlier keeper knew."""
        for table in self._pipes.running.begun:
            if report := table.report:
                self._read(report, self._hear)

    # listen

    def _listen(self) -> None:
        pause = min(LOOK_SECONDS, self._period_seconds)
        if self._answers is False or self._estates:
            pause = AGAIN_SECONDS
        # a busy child reports hundreds of times a second, and only its last report counts
        time.sleep(max(0.0, self._turned_at + SHORTEST_TURN_SECONDS - time.monotonic()))
        wait([self._pipes.reports, self._pipes.supervisor], pause)
        self._turned_at = time.monotonic()
        # reports first: what a child sent before its death comes before the news of that
        self._read_reports()
        for datagram in _datagrams(self._pipes.supervisor):
            self._read(datagram, self._take_census)

    def _read_reports(self) -> None:
        newest: dict[bytes, bytes] = {}
        for datagram in _datagrams(self._pipes.reports):
            if Tally.is_one(datagram):
                self._read(datagram, self._count_jobs)
            else:
                newest[datagram.partition(b",")[0]] = datagram  # by pid, the first thing in it
        for datagram in newest.values():
            self._read(datagram, self._hear)

    @staticmethod
    def _read(datagram: bytes, take: Callable[[bytes], None]) -> None:
        try:
            take(datagram)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one message, the leases must be kept
            logger.warning("A message of %d bytes can't be read, it is dropped: %s", len(datagram), error)

    def _count_jobs(self, datagram: bytes) -> None:
        tally = Tally.decode(datagram)
        for duty in self._duties:
            duty.tally(tally)

    def _hear(self, datagram: bytes) -> None:
        report = Report.decode(datagram)
        now = time.monotonic()
        if self._ward(report.pid, now).take(report, now) <= now - self._period_seconds:
            self._extend_at = 0.0
        for prefix in (*report.queues, *(job.queue for job in report.jobs)):
            if prefix not in self._queues:
                self._queues[prefix] = self._open_queue(prefix)

    def _take_census(self, datagram: bytes) -> None:
        census = Census.decode(datagram)
        if census.taken_at < self._census.taken_at:
            return
        now = time.monotonic()
        for pid in self._census.children.keys() - census.children.keys():
            # the supervisor has reaped it; its pid may belong to another process already
            self._ward(pid, now).state = None
        self._census = census

    def _ward(self, pid: int, now: float) -> Ward:
        if pid not in self._wards:
            self._wards[pid] = Ward(pid, now)
        return self._wards[pid]

    # look

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + min(LOOK_SECONDS, self._period_seconds)
            for pid in self._census.children:
                self._ward(pid, now)
            for ward in self._wards.values():
                ward.look(now)
                if ward.pid not in self._census.children and now - ward.active_at > STRANGE_SECONDS:
                    ward.state = None
            self._look_after_orphans(now)
        dead = [ward for ward in self._wards.values() if ward.is_dead]
        if dead:
            self._read_reports()  # its last one may have come since
        for ward in dead:
            del self._wards[ward.pid]
            estate = Estate.of(ward, self._pipes.running.of(ward.pid))
            if estate.is_empty:
                estate.settle({})
            else:
                self._inherit(estate)

    def _inherit(self, estate: Estate) -> None:
        self._estates.append(estate)
        if estate.jobs:
            logger.warning(
                "Child %d died%s; it ran: %s; others that it held, by its last report: %d",
                estate.pid, f", {estate.limit.seconds:g} s were its job's hard limit" if estate.limit else "",
                ", ".join(f"{job.job_id} ({job.name})" for job in estate.running) or "nothing",
                len(estate.jobs) - len(estate.running),
            )  # fmt: skip

    def _look_after_orphans(self, now: float) -> None:
        if self._orphaned_at is None and os.getppid() != self._pipes.supervisor_pid:
            self._orphaned_at = now
            logger.error("the supervisor is gone: the children stop, then this keeper ends")
            if sys.platform != "linux":  # where the system tells them itself
                self._signal_wards(signal.SIGTERM)
        if self._orphaned_at is not None and now > self._orphaned_at + self._grace_seconds + MARGIN_SECONDS:
            self._signal_wards(signal.SIGKILL)

    def _signal_wards(self, number: signal.Signals) -> None:
        for ward in self._wards.values():
            if not ward.is_dead:
                send_signal(ward.pid, number)

    def _tell_ready(self) -> None:
        reports = [ward.report for ward in self._wards.values() if ward.reported_at]
        ready = Ready([one.pid for one in reports if one.fetching], [one.pid for one in reports if one.idle])
        if ready != self._ready and send(self._pipes.supervisor, ready.encode()):
            self._ready = ready

    # queues

    def _settle_estates(self) -> None:
        settled = []
        for estate in self._estates:
            if not self._asked("estates", partial(self._give_back, estate)):
                break  # the server is away: the others wait too
            settled.append(estate)
        self._estates = [estate for estate in self._estates if estate not in settled]

    def _give_back(self, estate: Estate) -> None:
        estate.completed(self._queues).settle(self._queues)

    def _settle_last_estates(self) -> None:
        deadline = time.monotonic() + LAST_TRIES_SECONDS
        while self._estates and time.monotonic() < deadline:
            self._settle_estates()
            if self._estates:
                time.sleep(AGAIN_SECONDS)
        for estate in self._estates:
            logger.error(
                "What the dead child %d held can't be given back, its leases will run out: %d jobs, and its last fetch",
                estate.pid, len(estate.jobs),
            )  # fmt: skip

    def _extend(self) -> None:
        now = time.monotonic()
        if now < self._extend_at and self._answers is not False:
            return
        self._extend_at = now + self._period_seconds / 2
        due: dict[str, list[tuple[Ward, HeldJob]]] = {}
        for ward in self._wards.values():
            for job in ward.due(now - self._period_seconds, now, self._lease_seconds):
                due.setdefault(job.queue, []).append((ward, job))
        # on a cluster the node of one queue may be away, and those of others not: the one that failed is asked last
        for prefix in sorted(due, key=lambda prefix: self._failed_at.get(prefix, 0.0)):
            if not self._asked(prefix, partial(self._extend_in, prefix, due[prefix])):
                self._extend_at = 0.0
                return

    def _extend_in(self, prefix: str, jobs: Sequence[tuple[Ward, HeldJob]]) -> None:
        now = time.monotonic()  # the lease counts from the call, not from its answer
        outcomes = self._queues[prefix].extend_many([as_job(job) for _, job in jobs])
        lost: dict[int, list[Lease]] = {}
        cancelled: dict[int, list[Lease]] = {}
        for (ward, job), outcome in zip(jobs, outcomes, strict=True):
            ward.extended([job], now)
            if outcome is Outcome.STALE:
                ward.lost.add(lease_of(job))
                lost.setdefault(ward.pid, []).append(lease_of(job))
            elif outcome is Outcome.CANCELLED:  # told again and again, until the child has given the job back
                cancelled.setdefault(ward.pid, []).append(lease_of(job))
        for pid in lost.keys() | cancelled.keys():
            slot = self._census.children.get(pid)
            if slot is not None:
                send(self._pipes.lost[slot], LostLeases(lost.get(pid, []), cancelled.get(pid, [])).encode())

    def _asked(self, about: str, ask: Callable[[], None]) -> bool:
        """Ask the server; False when it is away. What else goes wrong is logged, and not tried again at once."""
        try:
            ask()
        except QueueUnavailable as error:
            if about not in self._failed_at:
                logger.warning("Leases (%s) can't be extended, this goes on until they can: %s", about, error)
            self._failed_at[about] = time.monotonic()
            self._answers = False
            return False
        except Exception as error:  # a keeper that dies takes the leases of all with it
            logger.exception("The keeper goes on: %s", error)
        if self._failed_at.pop(about, None):
            logger.info("The server is back (%s)", about)
        self._answers = True
        return True

    # duties

    def _take_turns(self) -> None:
        wards = tuple(self._wards.values())
        self.watch = Watch(wards, self._census.stopping or self._orphaned_at is not None, self._answers)
        for duty in self._duties:
            answered = duty.turn(self.watch)
            if answered is not None:
                self._answers = answered


def _datagrams(end: socket.socket) -> Iterator[bytes]:
    """What has come, oldest first."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(MOST_MESSAGES):
            yield end.recv(1 << 20)
