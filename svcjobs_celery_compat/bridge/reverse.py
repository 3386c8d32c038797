"""From svcjobs back to the old broker: hold, store there, remove here, release there, and so on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from svcjobs.errors import JobsError, QueueUnavailable
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable
from svcjobs_celery_compat.bridge.forward import FIRST_PAUSE_SECONDS, IDLE_SECONDS, LONGEST_PAUSE_SECONDS
from svcjobs_celery_compat.bridge.progress import Progress
from svcjobs_celery_compat.bridge.receiver import Receiver
from svcjobs_celery_compat.bridge.returning import Held, Returning

logger = logging.getLogger(__name__)

BATCH = 100


class Reverse:
    """Moves messages back until it is stopped, or nothing is left.

    Args:
        returning: what is to go back.
        receiver: the old broker, not connected yet.
        progress: is told.
        stop: ends it between two batches.
    """

    def __init__(self, returning: Returning, receiver: Receiver, progress: Progress, stop: threading.Event) -> None:
        self._returning = returning
        self._receiver = receiver
        self._progress = progress
        self._stop = stop
        self._is_connected = False

    def run(self, *, drain: bool) -> None:
        """Move messages; with ``drain`` until the queues are empty and no worker holds a message of theirs.

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
                except QueueUnavailable as error:
                    self._is_connected = False  # it begins anew with what the old broker has
                    self._tell("broker" if isinstance(error, BrokerUnavailable) else "svcjobs", error, pause)
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._receiver.close()

    def _step(self, *, drain: bool) -> bool:
        if not self._is_connected:
            self._receiver.connect()
            self._is_connected = True
        self._receiver.keep_alive()
        held = self._returning.hold(BATCH)
        if held:
            self._move(held)
        note = "" if held or not drain else self._returning.unfinished()
        is_done = drain and not held and not note
        if self._progress.is_due or is_done:
            self._progress.see(self._returning.waiting(), note)
        if not held and not is_done:
            self._stop.wait(IDLE_SECONDS)
        return is_done

    def _move(self, held: Sequence[Held]) -> None:
        self._receiver.put(held)
        self._returning.done(held)
        self._receiver.release(held)
        for one in held:
            self._progress.count(one.queue, "moved")

    def _tell(self, side: str, error: JobsError, pause: float) -> None:
        self._progress.lost(side)
        logger.warning("%s; next try in %g s", error, pause)
