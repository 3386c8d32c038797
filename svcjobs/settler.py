"""Settles what has run: in batches, again after an outage, and never twice at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from svcjobs.awaited_queue import AwaitedQueue
from svcjobs.errors import QueueUnavailable
from svcjobs.execution import unstorable
from svcjobs.outage import Outage
from svcjobs.settlement import Outcome, Settlement

logger = logging.getLogger(__name__)

BATCH = 200


class Settler:
    """The last step of the pipeline: settlements go in one by one and leave together.

    Args:
        queue: where they go.
        outage: what this and the fetching know of the queue's being away.
        settled: called with each settlement and its outcome, None when it was given up.
    """

    def __init__(
        self, queue: AwaitedQueue, outage: Outage, settled: Callable[[Settlement, Outcome | None], None]
    ) -> None:
        self._queue = queue
        self._outage = outage
        self._settled = settled
        self._waiting: deque[Settlement] = deque()
        self._sending: list[Settlement] = []
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def backlog(self) -> int:
        """How many settlements aren't committed yet."""
        return len(self._waiting) + len(self._sending)

    def add(self, settlement: Settlement) -> None:
        """Settle this one, soon."""
        self._waiting.append(settlement)
        self._changed.set()

    def close(self) -> None:
        """Let :meth:`run` return once everything is settled."""
        self._closed = True
        self._changed.set()

    async def run(self) -> None:
        """Settle until closed. Cancelled in the middle of a batch, a second run begins with that batch."""
        while self.backlog or not self._closed:
            if not self.backlog:
                self._changed.clear()
                await self._changed.wait()
                continue
            if not self._sending:
                self._sending = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            await self._send(self._sending)
            self._sending = []

    async def _send(self, batch: list[Settlement]) -> None:
        outcomes = await self._outcomes(batch)
        if isinstance(outcomes, Exception) and len(batch) > 1:  # one of them spoils the batch
            for settlement in batch:
                await self._send([settlement])
            return
        if isinstance(outcomes, Exception):
            failed = unstorable(batch[0], outcomes)
            if failed:
                await self._send([failed])
                return
            job = batch[0].job
            logger.error(
                "Job %s (%s) can't be settled, its lease will run out: %s", job.id, job.name, outcomes,
                exc_info=outcomes,
            )  # fmt: skip
            self._settled(batch[0], None)
            return
        for settlement, outcome in zip(batch, outcomes, strict=True):
            self._settled(settlement, outcome)

    async def _outcomes(self, batch: list[Settlement]) -> list[Outcome] | Exception:
        """The outcomes, however long the queue is away; or why it refuses the batch."""
        while True:
            try:
                outcomes = await self._queue.settle_many(batch)
            except QueueUnavailable as error:
                await asyncio.sleep(self._outage.goes_on(error))
            except Exception as error:  # noqa: BLE001 - a bad settlement must not end the worker
                return error
            else:
                self._outage.is_over()
                return outcomes
