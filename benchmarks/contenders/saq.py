"""SAQ: it has no call for many jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saq import Queue

from benchmarks.contenders import Payload
from benchmarks.contenders.concurrent_calls import ConcurrentCalls
from benchmarks.jobs import server_url, work_async

queue = Queue.from_url(server_url(), name="benchmark")


async def send_email(_context: Any, **payload: Any) -> None:
    """The job."""
    await work_async(**payload)


settings = {"queue": queue, "functions": [send_email], "concurrency": 100, "timers": {"sweep": 5}}


class Saq(ConcurrentCalls):
    """A job function of SAQ."""

    def __init__(self) -> None:
        super().__init__(self._store, queue.connect)

    def worker(self, number: int) -> Sequence[str]:
        return ("saq", f"{__name__}.settings", "--quiet")

    async def _store(self, payload: Payload) -> None:
        await queue.enqueue(send_email.__name__, ttl=-1, retries=3, heartbeat=5, **payload)


CONTENDER = Saq()
