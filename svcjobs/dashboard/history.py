"""What the queues looked like over the last hour, sampled by the process that serves the dashboard."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import time

from svcjobs.errors import JobsError
from svcjobs.queue import JobQueue
from svcjobs.stats import QueueStats

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
KEPT = 720
"""Samples of a queue: an hour of them."""
SPAN = 12
"""Samples over which rates are taken: a minute."""
GAP_SECONDS = 3 * EVERY_SECONDS
"""Samples further apart have a gap between them: nobody looked, or the queue didn't answer."""
_ENDS = ("acked", "retried", "buried")

Points = Sequence[tuple[float, float | None]]
"""A line over time: seconds since the epoch, and the value then; None is a gap."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A queue at one moment.

    Args:
        at: seconds since the epoch.
        ready: ready jobs.
        age_seconds: how long the oldest of them has waited.
        in_flight: jobs that workers have.
        ended: attempts that ended since the queue began.
    """

    at: float
    ready: int
    age_seconds: float
    in_flight: int
    ended: int

    @classmethod
    def of(cls, stats: QueueStats) -> Sample:
        """The queue now."""
        ended = sum(stats.totals.get(total, 0) for total in _ENDS)
        return cls(time(), stats.ready, stats.oldest_ready_age_seconds or 0.0, stats.in_flight, ended)


class Series:
    """A queue over time, as lines to draw.

    The two latencies are mean times by Little's law, for the minute before each sample: jobs that were there, divided
    by attempts that ended in a second. For a backlog that grows it says how long a job waits at the present pace.
    """

    def __init__(self, samples: Sequence[Sample] = ()) -> None:
        self._samples = samples
        self._spans = [samples[max(0, at - SPAN) : at + 1] for at in range(len(samples))]

    @property
    def seconds(self) -> float:
        """How much time it covers."""
        return self._samples[-1].at - self._samples[0].at if self._samples else 0.0

    def depth(self) -> Points:
        """Ready jobs."""
        return self._points(lambda span: span[-1].ready)

    def age_seconds(self) -> Points:
        """How long the oldest ready job has waited."""
        return self._points(lambda span: span[-1].age_seconds)

    def per_second(self) -> Points:
        """Attempts that ended in a second."""
        return self._points(_pace)

    def wait_seconds(self) -> Points:
        """How long a job waits to be started."""
        return self._points(lambda span: _little([sample.ready for sample in span], _pace(span)))

    def run_seconds(self) -> Points:
        """How long a job is with a worker."""
        return self._points(lambda span: _little([sample.in_flight for sample in span], _pace(span)))

    def _points(self, value: Callable[[Sequence[Sample]], float | None]) -> Points:
        return list(self._with_gaps(value))

    def _with_gaps(self, value: Callable[[Sequence[Sample]], float | None]) -> Iterator[tuple[float, float | None]]:
        before = None
        for span in self._spans:
            at = span[-1].at
            if before is not None and at - before > GAP_SECONDS:
                yield (before + at) / 2, None
            yield at, value(span)
            before = at


class History:
    """Samples queues in a thread of its own.

    Args:
        queues: iterated anew for each round, so that queues may come and go.
    """

    def __init__(self, queues: Iterable[JobQueue]) -> None:
        self._queues = queues
        self._samples: dict[str, deque[Sample]] = {}
        self._silent: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Sample from now on. May be called again, and in a process that was forked since."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stopping = threading.Event()
                arguments = weakref.ref(self), self._stopping
                self._thread = threading.Thread(target=_run, args=arguments, name="svcjobs-history", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Sample no more; what is known stays."""
        with self._lock:
            thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None:
            thread.join(EVERY_SECONDS)

    def sample(self) -> None:
        """Look at each queue once; one that doesn't answer has a gap, and is logged once."""
        for queue in self._queues:
            try:
                sample = Sample.of(queue.stats())
            except JobsError as error:
                if queue.name not in self._silent:
                    logger.warning("queue %s can't be sampled: %s", queue.name, error)
                self._silent.add(queue.name)
                continue
            self._silent.discard(queue.name)
            with self._lock:
                self._samples.setdefault(queue.name, deque(maxlen=KEPT)).append(sample)
            if self._stopping.is_set():
                break

    def series(self, name: str) -> Series:
        """A queue over the last hour, or as far as is known."""
        with self._lock:
            return Series(list(self._samples.get(name, ())))


def _run(weak: weakref.ref[History], stopping: threading.Event) -> None:
    """Samples until it is told to stop, or the application that it was for is gone."""
    while (history := weak()) is not None:
        history.sample()
        del history
        if stopping.wait(EVERY_SECONDS):
            return


def _pace(span: Sequence[Sample]) -> float | None:
    """Attempts that ended in a second."""
    first, last = span[0], span[-1]
    if last.at <= first.at:
        return None
    return max(0, last.ended - first.ended) / (last.at - first.at)


def _little(counts: Sequence[int], per_second: float | None) -> float | None:
    return sum(counts) / len(counts) / per_second if per_second else None
