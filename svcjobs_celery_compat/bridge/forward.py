"""From the old broker to svcjobs: take, store, ack, and so on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from svcjobs.errors import JobsError, QueueFull, QueueUnavailable
from svcjobs_celery_compat.bridge.broker import Broker, BrokerUnavailable, Delivery
from svcjobs_celery_compat.bridge.progress import Progress
from svcjobs_celery_compat.bridge.store import Store

logger = logging.getLogger(__name__)

BATCH = 200
IDLE_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


class Forward:
    """Moves messages until it is stopped, or nothing is left.

    Args:
        broker: not connected yet.
        store: takes them.
        progress: is told.
        stop: ends it between two batches.
    """

    def __init__(self, broker: Broker, store: Store, progress: Progress, stop: threading.Event) -> None:
        self._broker = broker
        self._store = store
        self._progress = progress
        self._stop = stop
        self._is_connected = False
        self._batch: Sequence[Delivery] = []

    def run(self, *, drain: bool) -> None:
        """Move messages; with ``drain`` until the old broker has none and nobody there holds any.

        Whichever server is away, it is tried again, with growing pauses.

        Raises:
            JobsError: something that doesn't pass by itself.
        """
        pause = FIRST_PAUSE_SECONDS
        try:
            while not self._stop.is_set():
                try:
                    if self._step(drain=drain):
                        return
                    pause = FIRST_PAUSE_SECONDS
                    continue
                except BrokerUnavailable as error:
                    self._is_connected, self._batch = False, []  # what wasn't acked comes again
                    self._tell("broker", error, pause)
                except (QueueUnavailable, QueueFull) as error:
                    self._tell("svcjobs", error, pause)
                self._wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._broker.close()

    def _step(self, *, drain: bool) -> bool:
        if not self._is_connected:
            self._broker.connect()
            self._store.declare()
            self._is_connected = True
        self._broker.keep_alive()
        self._batch = self._batch or self._broker.take(BATCH, IDLE_SECONDS)
        if self._batch:
            self._move()
        note = "" if self._batch or not drain else self._broker.unfinished()
        is_done = drain and not self._batch and not note
        self._batch = []
        if self._progress.is_due or is_done:
            self._progress.see(self._broker.waiting(), note)
        return is_done

    def _move(self) -> None:
        stored = self._store.put(self._batch)
        self._broker.ack(self._batch)
        for one in stored:
            self._progress.count(
                one.queue, "moved" if one.is_new else "known", is_delayed=one.is_new and one.is_delayed
            )
        try:
            self._store.forget(stored)
        except JobsError as error:
            logger.debug("acked messages stay known for longer: %s", error)

    def _tell(self, side: str, error: JobsError, pause: float) -> None:
        self._progress.lost(side)
        logger.warning("%s; next try in %g s", error, pause)

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)
        if self._is_connected:
            try:
                self._broker.keep_alive()
            except BrokerUnavailable:
                self._is_connected, self._batch = False, []
