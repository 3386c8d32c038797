"""The relay of an outbox as a program: pass after pass until it is told to stop, or nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Self

from rich.live import Live

from svcjobs.builtins.outbox_processor import OutboxRelay
from svcjobs.cli.output import console
from svcjobs.cli.queues import Place
from svcjobs.db.message import TopicBacklog
from svcjobs.db.source import OutboxSource
from svcjobs.easy import open_client, open_queue
from svcjobs.errors import DatabaseUnavailable, JobsError, QueueFull, QueueUnavailable
from svcjobs.metrics import OutboxMetrics
from svcjobs.queue import JobQueue

logger = logging.getLogger(__name__)

CALL_SECONDS = 15.0
"""For a batch of large messages on a busy server; no producer waits for it."""
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
LOOK_SECONDS = 5.0
"""Between two looks at what is pending: counting a million rows takes a good part of a second."""
DRAWN_EVERY_SECONDS = 0.5
LOGGED_EVERY_SECONDS = 10.0


class Until(Enum):
    """When the relay ends by itself."""

    STOPPED = "never"
    EMPTY = "when nothing is pending but what the queue has refused"
    ONE_BATCH = "after one batch"


@contextmanager
def open_target(place: Place, name: str | None) -> Iterator[JobQueue]:
    """The queue that a relay moves to, closed at the end; the default queue when ``name`` is None.

    Raises:
        ConfigurationError: the driver is memory, or the URL or the name can't be used.
    """
    place.check_shared()
    with ExitStack() as closers:
        client = closers.enter_context(closing(open_client(place.url)))
        yield closers.enter_context(closing(open_queue(client, name, timeout_seconds=CALL_SECONDS)))


def run_relay(
    source: OutboxSource,
    relay: OutboxRelay,
    *,
    until: Until,
    interval_seconds: float,
    metrics_port: int | None,
    is_drawn: bool,
) -> RelayProgress:
    """Relay as :class:`Relaying` does, show it, and return what was done.

    Args:
        metrics_port: where Prometheus asks; None: nowhere.
        is_drawn: whether stdout is for people.

    Raises:
        JobsError: a server can't be used.
    """
    with ExitStack() as closing:
        metrics = None
        if metrics_port is not None:
            metrics = OutboxMetrics()
            endpoint = metrics.serve(metrics_port)
            closing.callback(endpoint.close)
            logger.info("metrics at http://localhost:%d/metrics", endpoint.port)
        progress = closing.enter_context(RelayProgress(metrics, is_drawn=is_drawn))
        asyncio.run(Relaying(source, relay, until, interval_seconds, progress).run())
    return progress


@dataclass(slots=True)
class Relaying:
    """One run of a relay.

    Args:
        source: where the messages are.
        relay: moves them.
        until: when it ends without a signal. If it does so at all, a server that is away ends it too, with an error.
        interval_seconds: between two passes while nothing is pending.
        progress: shows what happens.
    """

    source: OutboxSource
    relay: OutboxRelay
    until: Until
    interval_seconds: float
    progress: RelayProgress
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Relay until the end, or until SIGTERM or SIGINT; the batch at hand is finished. A second signal kills.

        Raises:
            JobsError: a server can't be used.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        try:
            await self._relay()
        finally:
            await self.source.close()

    async def _relay(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        checked = ended = False
        while not ended and not self._stopping.is_set():
            try:
                if not checked:
                    await self.source.check()
                    checked = True
                    logger.info("ready")
                ended = await self._pass()
                pause = SHORTEST_PAUSE_SECONDS
            except Exception as error:  # noqa: BLE001 - a driver's own errors have no common class
                await self._bear(error, pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _pass(self) -> bool:
        """Move one batch; whether that was the last one."""
        moved = await self.relay.tick()
        if self.progress.wants_a_look:
            self.progress.see(await self.relay.backlog())
        self.progress.show(self.relay)
        if self.until is Until.ONE_BATCH or (self.until is Until.EMPTY and not moved and await self._is_empty()):
            return True
        if not moved:
            await self._wait(self.interval_seconds)
        return False

    async def _is_empty(self) -> bool:
        # what another relay has claimed isn't moved yet: that one may be dead
        return all(topic.pending == topic.refused for topic in await self.relay.backlog())

    async def _bear(self, error: Exception, pause: float) -> None:
        trouble = error if isinstance(error, JobsError) else self.source.translate(error)
        passes = isinstance(trouble, QueueUnavailable | QueueFull | DatabaseUnavailable)
        if self.until is not Until.STOPPED or not passes:
            raise trouble from error
        self.progress.failed("database" if isinstance(trouble, DatabaseUnavailable) else "queue")
        logger.warning("%s; next try in %g s", " ".join(str(trouble).split()), pause)
        await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _stop(self, number: signal.Signals) -> None:
        logger.info("%s: finishing the batch", number.name)
        self._stopping.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)


class RelayProgress:
    """What a relay has done so far: a line on a terminal while it is open as a context, lines of the log, metrics.

    Args:
        metrics: get the same counts; None when nobody asks for them.
        is_drawn: whether anybody watches.
    """

    def __init__(self, metrics: OutboxMetrics | None, *, is_drawn: bool) -> None:
        self._metrics = metrics
        self._live = Live(console=console(), auto_refresh=False) if is_drawn and console().is_terminal else None
        self._began = time.monotonic()
        self._looked_at = self._drawn_at = float("-inf")
        self._logged_at = self._began
        self._logged = 0
        self._moved = self._refused = 0
        self._pending: int | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.update(self.sentence(), refresh=True)
            self._live.stop()

    @property
    def refused(self) -> int:
        """How often the queue has refused a message."""
        return self._refused

    @property
    def wants_a_look(self) -> bool:
        """Whether it is time to count what is pending."""
        return bool(self._live or self._metrics) and time.monotonic() >= self._looked_at + LOOK_SECONDS

    def see(self, backlog: Sequence[TopicBacklog]) -> None:
        """So much is pending."""
        self._looked_at = time.monotonic()
        self._pending = sum(topic.pending for topic in backlog)
        if self._metrics:
            self._metrics.pending.set(self._pending)
            oldest = min((topic.oldest_at for topic in backlog), default=datetime.now(UTC))
            self._metrics.oldest.set(max(0.0, (datetime.now(UTC) - oldest).total_seconds()))

    def show(self, relay: OutboxRelay) -> None:
        """So much was moved."""
        if self._metrics:
            self._metrics.messages.labels("moved").inc(relay.moved - self._moved)
            self._metrics.messages.labels("refused").inc(relay.refused - self._refused)
        self._moved, self._refused = relay.moved, relay.refused
        now = time.monotonic()
        if self._live and now >= self._drawn_at + DRAWN_EVERY_SECONDS:
            self._drawn_at = now
            self._live.update(self.sentence(), refresh=True)
        if not self._live and now >= self._logged_at + LOGGED_EVERY_SECONDS:
            if self._moved > self._logged:
                logger.info("%s", self.sentence())
            self._logged_at, self._logged = now, self._moved

    def failed(self, side: str) -> None:
        """A pass failed because of the ``database`` or the ``queue``."""
        if self._metrics:
            self._metrics.failures.labels(side).inc()

    def document(self) -> dict[str, Any]:
        """All counts, for programs."""
        return {"moved": self._moved, "refused": self._refused, "seconds": round(time.monotonic() - self._began, 3)}

    def sentence(self) -> str:
        """All counts, for people."""
        seconds = time.monotonic() - self._began
        refused = f"; the queue refused {self._refused:,}, see the log" if self._refused else ""
        pending = "" if self._pending is None else f"; {self._pending:,} pending"
        return f"moved {self._moved:,} messages in {seconds:.1f} s{refused}{pending if self._live else ''}"
