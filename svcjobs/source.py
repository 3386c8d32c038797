"""One queue as a child's I/O thread uses it: fetch, settle, wait, and bear with a server that is away."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from svcjobs.errors import QueueUnavailable
from svcjobs.execution import tell, unstorable
from svcjobs.job import Job
from svcjobs.leases import is_late
from svcjobs.outage import FIRST_PAUSE_SECONDS, Outage
from svcjobs.queue import JobQueue
from svcjobs.settlement import Outcome, Release, Settlement
from svcjobs.watch import Watch

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 2.0
FETCH_BATCH = 200
SETTLE_BATCH = 200


class Source:
    """Calls raise nothing: what fails is tried again later.

    A call to a server that is away takes its whole time-out, and the I/O thread has other queues, whose servers may be
    well: it tries once, and then a thread of this queue asks until there is an answer.

    Args:
        job_queue: the queue.
        woken: called, in a thread, when there may be a job to fetch.
        settled: called with each settlement and its outcome, None when it was given up.
        watch: waits for the queue together with others; without, it waits by itself.
    """

    def __init__(
        self,
        job_queue: JobQueue,
        woken: Callable[[], object],
        settled: Callable[[Settlement, Outcome | None], object],
        watch: Watch | None = None,
    ) -> None:
        self.is_closed = False
        """Whether nothing is fetched from it any more."""
        self._queue = job_queue
        self._woken = woken
        self._settled = settled
        self._others = watch
        self._outage = Outage(job_queue.name)
        self._is_away = False
        self._unsettled: defaultdict[type[Settlement], deque[Settlement]] = defaultdict(deque)
        self._batches: deque[list[Settlement]] = deque()
        self._watching = False
        self._ended = threading.Event()
        self._passed_on = False
        self._asked_at: float | None = None
        self._watch: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def name(self) -> str:
        return self._queue.name

    @property
    def is_hot(self) -> bool:
        """Whether a fetch may find something: no thread is waiting for the next job, and the server isn't away."""
        return not (self._watching or self.is_closed or self._is_away)

    def open(self) -> None:
        """Start the thread that waits."""
        self._thread = threading.Thread(target=self._wait, name=f"svcjobs-wait-{self.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fetch no more, and let the thread end, after the wait that it is in."""
        self.is_closed = True
        self._ended.set()
        if self._others is not None:
            self._others.leave(self.name)
        self._watch.put(None)

    def join(self) -> None:
        """Wait for the end of the thread, and of the one that waits for this queue with others."""
        self._thread.join()
        if self._others is not None:
            self._others.join()

    # fetch

    def fetch(self, limit: int, *, lowest_first: bool) -> list[Job]:
        """Leased jobs, with verdicts; about ``limit`` at most."""
        limit = min(limit, FETCH_BATCH)
        # the answer may be that to an earlier call, which nobody has heard
        self._asked_at = self._asked_at or time.monotonic()
        try:
            jobs = self._queue.reserve_many(limit, verdicts=True, lowest_first=lowest_first)
        except Exception as error:  # noqa: BLE001 - a worker never exits because of its queue (promise P10)
            self._away(error)
            return []
        asked_at, self._asked_at = self._asked_at, None
        self._outage.is_over()
        self._passed_on = False
        if len(jobs) < limit:
            self._watching = True
            self._watch.put(None)
        if is_late(self._queue.visibility_timeout, asked_at):
            self._give_back(jobs)
            return []
        return jobs

    def pass_on(self) -> None:
        """This child has no room, or left the queue: let another worker have the wake-up that it took."""
        if self._passed_on:
            return
        try:
            left_over = self._queue.reserve_many(0, verdicts=True)
            self._passed_on = True
        except Exception as error:  # noqa: BLE001 - as above
            self._away(error)
            return
        self._give_back(left_over)  # leased by an earlier call whose answer was lost

    def _give_back(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self.add(Release(job, suspect=job.suspect))

    def _wait(self) -> None:
        while True:
            self._watch.get()
            if self._ended.is_set():
                return
            try:
                self._wait_for_job()
            except Exception:  # noqa: BLE001 - only the waiting connection may be gone; else the next fetch tells
                time.sleep(FIRST_PAUSE_SECONDS)
            if self.is_closed:
                self.pass_on()
            if self._ended.is_set():
                return
            self._watching = False
            self._woken()

    def _wait_for_job(self) -> None:
        """Return when there may be a job, and soon after the end."""
        if self._others is not None:
            self._others.wait(self.name)
            return
        while self._queue.wait(LONGEST_WAIT_SECONDS) and not self.is_closed:
            pass

    # settle

    @property
    def backlog(self) -> int:
        """How many settlements aren't committed yet."""
        return sum(map(len, self._unsettled.values())) + sum(map(len, self._batches))

    def add(self, settlement: Settlement) -> None:
        """To be settled with the next :meth:`settle`."""
        self._unsettled[type(settlement)].append(settlement)

    def settle(self) -> None:
        """Settle what there is, unless the server is away."""
        while not self._is_away and (batch := self._first_batch()):
            self._send(batch)

    def _first_batch(self) -> list[Settlement]:
        """What is settled next, all in one call, so that it is done or not; empty when there is nothing.

        It stays the same until the server answers: a repeat of the call gets the outcomes of one whose reply was lost,
        where another call would find its leases settled, and count them as stale.
        """
        if not self._batches:
            waiting = max(self._unsettled.values(), key=len, default=None)
            if not waiting:
                return []
            self._batches.append([waiting.popleft() for _ in range(min(len(waiting), SETTLE_BATCH))])
        return self._batches[0]

    def _send(self, batch: list[Settlement]) -> None:
        try:
            outcomes: list[Outcome | None] = [*self._queue.settle_many(batch)]
        except QueueUnavailable as error:
            self._away(error)
            return
        except Exception as error:
            if len(batch) > 1:  # one of them spoils the batch: it will be found among the single ones
                self._batches.popleft()
                self._batches.extendleft([settlement] for settlement in reversed(batch))
                return
            if failed := unstorable(batch[0], error):
                self._batches[0] = [failed]
                return
            job = batch[0].job
            logger.error(
                "Job %s (%s) can't be settled, its lease will run out: %s", job.id, job.name, error, exc_info=error
            )
            outcomes = [None]
        self._outage.is_over()
        self._batches.popleft()
        for settlement, outcome in zip(batch, outcomes, strict=True):
            tell(settlement, outcome)
            self._settled(settlement, outcome)

    def _away(self, error: Exception) -> None:
        self._is_away = True
        pause = self._outage.goes_on(error)
        threading.Thread(
            target=self._wait_for_server, args=[pause], name=f"svcjobs-ask-{self.name}", daemon=True
        ).start()

    def _wait_for_server(self, pause: float) -> None:
        """Ask it for something small; whether it does its work again, the next call tells."""
        while True:
            time.sleep(pause)
            try:
                self._queue.stats()
            except QueueUnavailable as error:
                pause = self._outage.goes_on(error)
                continue
            except Exception as error:  # noqa: BLE001 - it answered
                logger.debug("Queue %s: %s", self.name, error)
            break
        self._is_away = False
        self._woken()
