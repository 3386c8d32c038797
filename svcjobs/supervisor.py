"""The process that starts all others of a worker, starts them again, and stops them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from svcjobs.census import (
    IMPATIENT_AFTER_SECONDS,
    ONE_STOP_SECONDS,
    Census,
    ChildPipes,
    KeeperPipes,
    Size,
    Stop,
    told_to_supervisor,
)
from svcjobs.inheritance import Inheritance
from svcjobs.pipes import Pipes
from svcjobs.place import Crew, Life, Member, Place
from svcjobs.process import fork, how_it_ended, send_signal
from svcjobs.rehearsal import Rehearsal
from svcjobs.reports import send
from svcjobs.signals import Signals

__all__ = ["ChildPipes", "KeeperPipes", "Supervisor"]

logger = logging.getLogger(__name__)

MARGIN_SECONDS = 7.0
"""After the grace a child cleans up and settles, for an absent server 5 s long; then it is killed."""
UNBORN_SECONDS = 1.0
"""After a fork that failed, the next."""
STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
KEEPER_SECONDS = 5.0
"""How long the keeper may take to end when no child is left."""


class Supervisor:
    """Runs children and a keeper until a signal stops them; for the signals see :meth:`run`.

    It only forks and waits: no event loop, no second thread, no connection and no application, so that nothing that
    can't cross a fork exists here. It may be PID 1: orphans of other processes are reaped.

    Args:
        children: the life of each child, in a process of its own; returns the exit code, 0 to be replaced at once.
        keeper: the life of the keeper, in the same way.
        grace_seconds: how long jobs may run on after SIGTERM.
        crew: further children; how many, a child may change by a :class:`~svcjobs.census.Size`.
        rehearsal: finds out, before this process executes its program anew, whether that can start.
    """

    def __init__(
        self,
        children: Sequence[Life],
        keeper: Callable[[KeeperPipes], int],
        *,
        grace_seconds: float,
        crew: Crew | None = None,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._keep = keeper
        self._grace_seconds = grace_seconds
        self._rehearsal = rehearsal
        self._crew, self._size = (crew.lives, crew.size) if crew else ((), 0)
        self._places = [Place(life) for life in (*self._crew[: self._size], *children)]
        self._retiring: dict[int, Member] = {}
        self._keeper: int | None = None
        self._keeper_born_at = 0.0
        self._keeper_fill_at = 0.0
        self._established = False
        self._said_ready = False
        self._stopping = False
        self._stopped_at = 0.0
        self._hurry_at = float("inf")
        self._kill_at = float("inf")
        self._exit_code = 0

    def run(self) -> int:
        """Supervise until the end; returns the exit code: 0 after a clean stop.

        SIGTERM, SIGINT: the children stop, and have ``grace_seconds`` for running jobs; a second one, half a second
        later or more: they give their jobs back now. A child that still lives a few seconds later is killed, which
        makes the exit code 1.
        SIGHUP: this process executes its program anew, and replaces the children one by one: each new one fetches
        before its predecessor is told to stop. A child that ends with an error before any child has ever fetched
        can't be helped by a restart: its exit code ends the worker.
        """
        self._signals = signals = Signals()
        try:
            self._pipes = self._adopted() or Pipes.open(2 * len(self._places) + len(self._crew) - self._size)
            while not self._ended():
                self._reap()
                self._fill()
                self._hurry()
                self._kill_late()
                self._obey(signals.wait(self._seconds_to_next(), self._pipes.census[1]))
                self._hear()
        finally:
            signals.close()
        self._pipes.close()
        logger.info("stopped")
        return self._exit_code

    # signals

    def _obey(self, numbers: Sequence[int]) -> None:
        for number in (number for number in numbers if number in STOPS):
            (self._stop_sooner if self._stopping else self._stop)(signal.Signals(number).name)
        if signal.SIGHUP in numbers and not self._stopping:
            (self._rehearsal.begin if self._rehearsal else self._execute_anew)()

    def _stop(self, why: str) -> None:
        now = time.monotonic()
        self._stopping, self._stopped_at, self._kill_at = True, now, now + self._grace_seconds + MARGIN_SECONDS
        logger.info(
            "%s: fetching no more; running jobs have %g s, a second signal ends them now", why, self._grace_seconds
        )
        for child in self._lives:
            if child.kill_at == float("inf"):  # the others were told before, and a second time ends their grace
                send_signal(child.pid, signal.SIGTERM)
        self._tell_keeper()

    def _stop_sooner(self, why: str) -> None:
        now = time.monotonic()
        if now < self._stopped_at + IMPATIENT_AFTER_SECONDS:
            return
        # not sooner: the children would take it for the first one
        self._hurry_at = max(now, self._stopped_at + 1.5 * ONE_STOP_SECONDS)
        logger.warning("%s again: running jobs are given back now", why)

    def _hurry(self) -> None:
        now = time.monotonic()
        if now < self._hurry_at:
            return
        self._hurry_at, self._kill_at = float("inf"), min(self._kill_at, now + MARGIN_SECONDS)
        for child in self._lives:
            send_signal(child.pid, signal.SIGTERM)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for child in self._retiring.values():
            if now >= child.kill_at:
                self._kill(child)
        if now < self._kill_at:
            return
        for child in self._lives:
            self._kill(child)
            self._exit_code = 1
        if not self._lives and self._keeper:
            logger.warning("the keeper doesn't end: it is killed")
            send_signal(self._keeper, signal.SIGKILL)
        self._kill_at = float("inf")

    def _kill(self, child: Member) -> None:
        logger.error("child %d doesn't stop: it is killed", child.pid)
        child.kill_at = float("inf")
        send_signal(child.pid, signal.SIGKILL)

    # a new program

    def _execute_anew(self) -> None:
        came = self._signals.hold_back()
        if not STOPS.intersection(came):  # the next program hears only of what is held back
            self._leave()
        self._signals.release()
        self._obey(came)

    def _leave(self) -> None:
        """Become the next program. Returns when that can't be."""
        logger.info("SIGHUP: executing %s anew", sys.orig_argv[0])
        for place in self._places:
            if place.successor:  # it wasn't seen to fetch yet, and the new program starts its own
                self._retire(place.successor)
                place.successor = None
        members = [(child.pid, child.slot) for place in self._places if (child := place.member)]
        retiring = [(child.pid, child.slot, child.kill_at < float("inf")) for child in self._retiring.values()]
        try:
            Inheritance(self._pipes.bequeathed(), self._keeper, members, retiring).leave()
        except OSError as error:
            logger.error("The program can't be executed anew, and this one goes on: %s", error)

    def _adopted(self) -> Pipes | None:
        """The sockets and children of the program that this process executed before; None when there was none."""
        inheritance = Inheritance.take()
        if inheritance is None:
            return None
        now = time.monotonic()
        old = [Member(pid, slot, now, fetched=True, outdated=True) for pid, slot in inheritance.members]
        for place, member in zip(self._places, old, strict=False):
            place.member = member
        # a second SIGTERM would end their grace
        kill_at = now + self._grace_seconds + MARGIN_SECONDS
        self._retiring = {
            pid: Member(pid, slot, now, kill_at=kill_at if has_limit else float("inf"))
            for pid, slot, has_limit in inheritance.retiring
        }
        for member in old[len(self._places) :]:
            self._retire(member)
        self._established = True
        if inheritance.keeper:
            send_signal(inheritance.keeper, signal.SIGKILL)  # the next one finds in the tables all that it knew
            os.waitpid(inheritance.keeper, 0)
        return Pipes.inherited(inheritance.descriptors)

    # births

    @property
    def _lives(self) -> list[Member]:
        placed = [child for place in self._places for child in (place.member, place.successor) if child]
        return [*placed, *self._retiring.values()]

    def _fill(self) -> None:
        """Start what is missing and due."""
        now = time.monotonic()
        if self._keeper is None and now >= self._keeper_fill_at and not self._ended():
            self._start_keeper(now)
        if self._stopping:
            return
        for place in self._places:
            if place.member is None and now >= place.fill_at:
                place.member = self._start_child(place, now)
        place_to_renew = self._place_to_renew()
        if place_to_renew and now >= place_to_renew.fill_at:
            place_to_renew.successor = self._start_child(place_to_renew, now)

    def _place_to_renew(self) -> Place | None:
        if any(place.successor for place in self._places):
            return None  # one by one
        return next((place for place in self._places if place.member and place.member.outdated), None)

    def _start_child(self, place: Place, now: float) -> Member | None:
        slot = next(self._free_slots(), None)
        if slot is None:
            return None  # until one of those that were replaced has ended
        pipes = self._pipes.of_child(slot)
        try:
            pid = fork(lambda: place.run(pipes), dies_with_parent=True)
        except OSError as error:  # no memory, or no process more in this container
            place.fill_at = now + UNBORN_SECONDS
            logger.error("A child can't be started, tried again in %g s: %s", UNBORN_SECONDS, error)
            return None
        logger.info("child %d started", pid)
        self._tell_keeper(Member(pid, slot, now))
        return Member(pid, slot, now)

    def _free_slots(self) -> Iterator[int]:
        taken = {child.slot for child in self._lives}
        return (slot for slot in range(len(self._pipes.lost)) if slot not in taken)

    def _start_keeper(self, now: float) -> None:
        pipes = self._pipes.of_keeper(self._census())
        try:
            # it outlives a killed supervisor until the children have ended
            self._keeper = fork(lambda: self._keep(pipes), dies_with_parent=False)
        except OSError as error:
            self._keeper_fill_at = now + UNBORN_SECONDS
            logger.error("The keeper can't be started, tried again in %g s: %s", UNBORN_SECONDS, error)
        self._keeper_born_at = now

    # deaths

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if not os.WIFSTOPPED(status):
                self._bury(pid, os.waitstatus_to_exitcode(status))
            elif pid == self._keeper:
                # while it stands still, the leases of children that work run out; a new one knows all by their reports
                logger.error("the keeper was stopped: it is killed")
                send_signal(pid, signal.SIGKILL)

    def _bury(self, pid: int, code: int) -> None:
        now = time.monotonic()
        if self._rehearsal and self._rehearsal.is_in(pid):
            if self._rehearsal.end(code) and not self._stopping:
                self._execute_anew()
            return
        if pid == self._keeper:
            self._keeper = None
            self._keeper_fill_at = now + (now - self._keeper_born_at < 1)
            if not self._stopping:
                logger.error("the keeper %s, another is started", how_it_ended(code))
                self._give_up_on(code)
            return
        retired = self._retiring.pop(pid, None)
        dead = retired or next((child for place in self._places if (child := place.lost(pid, code, now))), None)
        if dead is None:
            return  # a stranger: as PID 1 we inherit the orphans of others
        self._tell_keeper()
        if self._stopping or code in (0, -signal.SIGHUP):  # which ends one that was let go before it had begun
            logger.info("child %d %s", pid, how_it_ended(code))
            return
        logger.error("child %d %s", pid, how_it_ended(code))
        if retired is None:
            self._give_up_on(code)

    def _give_up_on(self, code: int) -> None:
        """End the worker when nothing has ever worked and a process ended with an error of its own."""
        if not self._established and code > 0:
            self._stop("the worker can't start")
            self._exit_code = code

    def _retire(self, member: Member) -> None:
        member.kill_at = time.monotonic() + self._grace_seconds + MARGIN_SECONDS
        self._retiring[member.pid] = member
        send_signal(member.pid, signal.SIGTERM)

    def _resize(self, size: int) -> None:
        """Start further children, or let the last ones go: they end once their jobs have, however long those take."""
        if self._stopping or not 0 < size <= len(self._crew):
            return
        for number in range(self._size, size):
            self._places.insert(number, Place(self._crew[number]))
        for place in self._places[size : self._size]:
            for child in (place.member, place.successor):
                if child:
                    self._retiring[child.pid] = child
                    send_signal(child.pid, signal.SIGHUP)
        del self._places[size : self._size]
        self._size = size
        logger.info("the crew is to have %d children", size)

    # keeper

    def _census(self, *born: Member) -> Census:
        return Census({child.pid: child.slot for child in (*self._lives, *born)}, self._stopping)

    def _tell_keeper(self, *born: Member) -> None:
        send(self._pipes.census[1], self._census(*born).encode())

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message = told_to_supervisor(self._pipes.census[1].recv(1 << 16))
                if isinstance(message, Size):
                    self._resize(message.children)
                elif isinstance(message, Stop):
                    self._stop_for(message)
                else:
                    for place in self._places:
                        self._note_ready(place, message.pids, message.leaving)

    def _stop_for(self, message: Stop) -> None:
        if any(place.successor and place.successor.pid == message.pid for place in self._places):
            send_signal(message.pid, signal.SIGTERM)  # the one that it was to replace goes on
        elif not self._stopping:
            self._exit_code = message.exit_code
            self._stop("A child asks for it")

    def _note_ready(self, place: Place, ready: Sequence[int], leaving: Sequence[int]) -> None:
        for child in (place.member, place.successor):
            if child and child.pid in ready:
                child.fetched = self._established = True
        if not self._said_ready and all(place.member and place.member.fetched for place in self._places):
            self._said_ready = True
            logger.info("ready")
        if place.successor and place.successor.fetched and place.member:
            self._retire(place.member)
            place.member, place.successor = place.successor, None
        # one that is being recycled may run its last jobs for long, beside free slots
        if place.member and place.member.pid in leaving and not self._stopping:
            self._retiring[place.member.pid] = place.member
            place.let_go(time.monotonic())

    # time

    def _ended(self) -> bool:
        if not self._stopping or self._lives:
            return False
        if self._keeper is None:
            return True
        self._kill_at = min(self._kill_at, time.monotonic() + KEEPER_SECONDS)
        return False

    def _seconds_to_next(self) -> float | None:
        instants = [self._kill_at, self._hurry_at, *(child.kill_at for child in self._retiring.values())]
        if self._keeper is None:
            instants.append(self._keeper_fill_at)
        if not self._stopping and next(self._free_slots(), None) is not None:
            instants += [place.fill_at for place in self._places if place.member is None]
            if (renewed := self._place_to_renew()) is not None:
                instants.append(renewed.fill_at)
        seconds = min(instants) - time.monotonic()
        return None if seconds == float("inf") else max(seconds, 0.0)
