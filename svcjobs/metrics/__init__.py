"""Counts and times of jobs and queues for Prometheus; the only package that knows its client library."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from svcjobs.awaited_queue import AnyQueue
from svcjobs.errors import ConfigurationError, UnknownJobError
from svcjobs.job import Job
from svcjobs.metrics.endpoint import Endpoint, Merged, serve_registry
from svcjobs.metrics.relays import BridgeMetrics, OutboxMetrics
from svcjobs.stats import QueueStats
from svcjobs.tally import Sample, Tally
from svcjobs.threads import is_async

__all__ = ["BridgeMetrics", "Endpoint", "Metrics", "OutboxMetrics", "QueueCollector", "SummedMetrics"]

logger = logging.getLogger(__name__)

UNKNOWN = "(unknown)"
OTHER = "(other)"
MOST_LABELS = 200
"""Different values of one label: job names come from producers, and each one costs memory for ever."""
TALLY_SAMPLES = 400
"""In one message of a child, so that it fits into a datagram."""
SCRAPE_SECONDS = 3.0
"""How long a scrape waits for an asyncio queue, whose loop may be blocked."""
RUN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
WAIT_BUCKETS = (0.001, 0.005, *RUN_BUCKETS[1:], 4 * 3600, 24 * 3600)


class Metrics:
    """The metrics of one worker, in a registry of their own: nothing clashes with what an application defines.

    Per job, named after ``prefix`` (the guide's table "Prometheus Metrics"): ``{prefix}_processed_total``
    (job_name, status ``success`` or ``failure``), ``{prefix}_duration_seconds`` (job_name),
    ``{prefix}_failures_total`` (job_name, error_type); and ``{prefix}_wait_seconds`` (queue), the time between
    a job being due and its start. Per watched queue the ones of :class:`QueueCollector`.

    Jobs without a handler count under the name ``(unknown)``, names past the first 200 under ``(other)``.

    Args:
        prefix: first word of the names.

    Raises:
        ConfigurationError: Prometheus doesn't take ``prefix`` in a name.
    """

    def __init__(self, prefix: str = "jobs") -> None:
        if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", prefix):
            raise ConfigurationError(f"the metric prefix is {prefix!r}: use letters, digits and underscores")
        self.registry = CollectorRegistry()
        self._queues = QueueCollector()
        self.registry.register(self._queues)
        self._processed = Counter(
            f"{prefix}_processed", "Attempts that ended", ["job_name", "status"], registry=self.registry
        )
        self._duration = Histogram(
            f"{prefix}_duration_seconds", "Run time of handlers", ["job_name"],
            registry=self.registry, buckets=RUN_BUCKETS,
        )  # fmt: skip
        self._failures = Counter(
            f"{prefix}_failures", "Attempts that failed", ["job_name", "error_type"], registry=self.registry
        )
        self._wait = Histogram(
            f"{prefix}_wait_seconds", "Time from a job being due to its start", ["queue"],
            registry=self.registry, buckets=WAIT_BUCKETS,
        )  # fmt: skip
        self._counted = (self._processed, self._duration, self._failures, self._wait)
        self._job_names = _Labels()
        self._error_types = _Labels()

    def observe(self, job_name: str, seconds: float, error_type: str | None) -> None:
        """An attempt ended after ``seconds``, with an error of that type or, None, with success."""
        label = UNKNOWN if error_type == UnknownJobError.__name__ else self._job_names.label(job_name)
        self._processed.labels(label, "success" if error_type is None else "failure").inc()
        self._duration.labels(label).observe(seconds)
        if error_type is not None:
            self._failures.labels(label, self._error_types.label(error_type)).inc()

    def observe_wait(self, job: Job) -> None:
        """An attempt begins now."""
        waited = (datetime.now(UTC) - job.available_at).total_seconds()
        self._wait.labels(job.queue).observe(max(0.0, waited))  # two clocks: it may seem negative

    def watch(self, queue: AnyQueue, schedules: Iterable[str] = ()) -> None:
        """Report this queue, and the age of the last ticks of ``schedules`` in it, from now on.

        An asyncio queue is asked in the event loop that runs now.
        """
        self._queues.add(queue, schedules)

    def watch_schedules(self, queue: AnyQueue, schedules: Iterable[str]) -> None:
        """Report the age of the last ticks of ``schedules``, from now on, and nothing else of the queue they are in."""
        self._queues.add(queue, schedules, is_served=False)

    def tallies(self, pid: int) -> Iterator[Tally]:
        """What this process has counted so far, and what the application counts in the default registry, for a sum.

        Counters and histograms only: gauges of several processes have no sum that means anything.
        """
        families = [family for metric in self._counted for family in metric.collect()]
        for family in (*families, self._queues.reconnects(), *REGISTRY.collect()):
            if family.type in ("counter", "histogram") and not family.name.startswith(("process_", "python_")):
                samples: list[Sample] = [
                    (sample.name, sample.labels, sample.value)
                    for sample in family.samples
                    if not sample.name.endswith("_created")
                ]
                for start in range(0, len(samples), TALLY_SAMPLES):
                    part = samples[start : start + TALLY_SAMPLES]
                    yield Tally(pid, family.name, family.type, family.documentation, part)

    def serve(self, port: int, address: str = "0.0.0.0") -> Endpoint:  # noqa: S104 - as exporters do
        """Serve these metrics and those of the default registry at ``/metrics``.

        Args:
            port: 0 takes a free one.
            address: where to listen.

        Raises:
            ConfigurationError: the port can't be had.
        """
        return serve_registry(self.registry, port, address)


class SummedMetrics(Collector):
    """The metrics of all processes of a worker: what each has counted is added up, also of those that ended.

    Its methods are called by several threads.
    """

    def __init__(self) -> None:
        self._own = Metrics()
        self._tallies: dict[int, dict[str, dict[_Key, float]]] = {}
        self._families: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def watch(self, queue: AnyQueue, schedules: Iterable[str] = ()) -> None:
        """Report this queue's state, and the age of the last ticks of ``schedules`` in it, from now on."""
        self._own.watch(queue, schedules)

    def watch_schedules(self, queue: AnyQueue, schedules: Iterable[str]) -> None:
        """Report the age of the last ticks of ``schedules``, from now on, and nothing else of the queue they are in.

        For a process that serves no queue: that one's state is a sign of life of its workers.
        """
        self._own.watch_schedules(queue, schedules)

    def add(self, tally: Tally) -> None:
        """Take in what a process has counted."""
        with self._lock:
            self._families[tally.metric] = tally.kind, tally.text
            samples = self._tallies.setdefault(tally.pid, {}).setdefault(tally.metric, {})
            samples.update({(name, tuple(labels.items())): value for name, labels, value in tally.samples})

    def bury(self, living: Container[int]) -> None:
        """Keep the sums of the dead only, not each one's part."""
        with self._lock:
            for pid in [pid for pid in self._tallies if pid not in living and pid not in (_DEAD, os.getpid())]:
                ashes = self._tallies.setdefault(_DEAD, {})
                for metric, samples in self._tallies.pop(pid).items():
                    _add_up(ashes.setdefault(metric, {}), samples)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        for tally in self._own.tallies(os.getpid()):
            self.add(tally)
        served = CollectorRegistry()
        served.register(Merged([cast("CollectorRegistry", self), self._own.registry, REGISTRY]))
        return generate_latest(served)

    def collect(self) -> Iterator[Metric]:
        """The sums."""
        with self._lock:
            for metric, (kind, text) in self._families.items():
                sums: dict[_Key, float] = {}
                for tallies in self._tallies.values():
                    _add_up(sums, tallies.get(metric, {}))
                family = Metric(metric, text, kind)
                for (name, labels), value in sums.items():
                    family.add_sample(name, dict(labels), value)
                yield family


_Key = tuple[str, tuple[tuple[str, str], ...]]
_DEAD = 0


def _add_up(sums: dict[_Key, float], samples: dict[_Key, float]) -> None:
    for key, value in samples.items():
        sums[key] = sums.get(key, 0.0) + value


class QueueCollector(Collector):
    """Reads the queues when it is scraped; one that can't be read is reported as down, and nothing is raised.

    All have the label ``queue``: ``jobs_queue_up``, ``jobs_queue_depth`` (ready), ``jobs_delayed``,
    ``jobs_in_flight``, ``jobs_dlq_size``, ``jobs_oldest_ready_age_seconds`` (0 when none is ready),
    ``jobs_queue_paused``, ``jobs_reclaimed_total``, ``jobs_stale_leases_total``, ``jobs_reconnects_total`` (of
    this process), and with the label ``schedule`` too ``jobs_scheduler_last_tick_age_seconds``.
    """

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}

    def add(self, queue: AnyQueue, schedules: Iterable[str], *, is_served: bool = True) -> None:
        """Report this queue from now on, or, when it isn't served here, the schedules only."""
        before = self._watched.get(queue.name)
        known = before.schedules if before else ()
        self._watched[queue.name] = _Watched(queue, tuple(dict.fromkeys((*known, *schedules))), is_served=is_served)

    def reconnects(self) -> Metric:
        """How often connections to each queue failed; no queue is asked."""
        family = _counter("jobs_reconnects", "Connections that failed and were opened anew")
        for name, watched in list(self._watched.items()):
            family.add_metric([name], watched.reconnects)
        return family

    def collect(self) -> Iterator[Metric]:
        """All metrics, as the queues are now."""
        up = _gauge("jobs_queue_up", "Whether the queue can be read")
        ticks = GaugeMetricFamily(
            "jobs_scheduler_last_tick_age_seconds", "Time since the last tick", labels=["queue", "schedule"]
        )
        states = [(family(), read) for family, read in _STATES]
        for name, watched in list(self._watched.items()):
            stats = watched.stats()
            if watched.is_served:
                up.add_metric([name], stats is not None)
            if stats is None:
                continue
            for family, read in states if watched.is_served else ():
                family.add_metric([name], read(stats))
            for schedule, age in watched.tick_ages():
                ticks.add_metric([name, schedule], age)
        yield from (up, self.reconnects(), ticks, *(family for family, _ in states))


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["queue"])


def _counter(name: str, text: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=["queue"])


_Family = Callable[[], GaugeMetricFamily | CounterMetricFamily]
_STATES: tuple[tuple[_Family, Callable[[QueueStats], float]], ...] = (
    (lambda: _gauge("jobs_queue_depth", "Jobs that are ready"), lambda stats: stats.ready),
    (lambda: _gauge("jobs_delayed", "Jobs that wait for their time"), lambda stats: stats.delayed),
    (lambda: _gauge("jobs_in_flight", "Jobs that are leased to a worker"), lambda stats: stats.in_flight),
    (lambda: _gauge("jobs_dlq_size", "Jobs in the dead letter queue"), lambda stats: stats.dead),
    (lambda: _gauge("jobs_queue_paused", "Whether the queue hands out no jobs"), lambda stats: stats.paused),
    (
        lambda: _gauge("jobs_oldest_ready_age_seconds", "How long the longest-waiting ready job has been due"),
        lambda stats: stats.oldest_ready_age_seconds or 0.0,
    ),
    (
        lambda: _counter("jobs_reclaimed", "Jobs whose lease ran out"),
        lambda stats: stats.totals.get("reclaimed", 0),
    ),
    (
        lambda: _counter("jobs_stale_leases", "Settlements refused because the lease was lost"),
        lambda stats: stats.totals.get("stale", 0),
    ),
)


class _Watched:
    """A queue that is read from the thread of a scrape."""

    def __init__(self, queue: AnyQueue, schedules: tuple[str, ...], *, is_served: bool) -> None:
        self._queue: Any = queue
        self.is_served = is_served
        self._loop = asyncio.get_running_loop() if is_async(queue.stats) else None
        self.schedules = schedules

    @property
    def reconnects(self) -> int:
        return int(getattr(self._queue, "reconnects", 0))  # a queue in memory has no connections

    def stats(self) -> QueueStats | None:
        """The queue's state, or None when it can't be had."""
        try:
            stats: QueueStats = self._ask(self._queue.stats)
        except Exception as error:  # noqa: BLE001 - a scrape reports that the queue is down, it doesn't fail
            logger.debug("Queue %s can't be read: %s", self._queue.name, error)
            return None
        return stats

    def tick_ages(self) -> list[tuple[str, float]]:
        """The schedules that have ticked, and seconds since."""
        ages = []
        for schedule in self.schedules:
            try:
                last = self._ask(self._queue.last_tick, schedule)
            except Exception as error:  # noqa: BLE001 - as above
                logger.debug("The last tick of %s can't be read: %s", schedule, error)
                continue
            if last is not None:
                ages.append((schedule, max(0.0, datetime.now(UTC).timestamp() - last)))
        return ages

    def _ask(self, verb: Callable[..., Any], *args: object) -> Any:
        if self._loop is None:
            return verb(*args)
        if not self._loop.is_running():
            raise RuntimeError("its event loop has ended")
        asking = asyncio.run_coroutine_threadsafe(verb(*args), self._loop)
        try:
            return asking.result(SCRAPE_SECONDS)
        finally:
            asking.cancel()


class _Labels:
    """Values of a label, of which only so many are kept apart."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, value: str) -> str:
        if value not in self._known:
            if len(self._known) >= MOST_LABELS:
                return OTHER
            self._known.add(value)
        return value
