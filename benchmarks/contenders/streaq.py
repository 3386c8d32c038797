"""streaq."""

from __future__ import annotations

from collections.abc import Sequence

from streaq import Worker

from benchmarks.contenders import Payload
from benchmarks.contenders.concurrent_calls import ConcurrentCalls
from benchmarks.jobs import server_url, work_async
from benchmarks.workload import BULK_SIZE

worker = Worker(redis_url=server_url(), concurrency=100, idle_timeout=5)


@worker.task(ttl=0)
async def send_email(payload: dict[str, str | int]) -> None:
    """The job."""
    await work_async(**payload)


class Streaq(ConcurrentCalls):
    """A task of streaq."""

    def __init__(self) -> None:
        super().__init__(self._store, worker.__aenter__)

    def worker(self, number: int) -> Sequence[str]:
        return ("streaq", "run", f"{__name__}:worker")

    def enqueue_many(self, payloads: Sequence[Payload]) -> None:
        self.run(self._store_many(payloads))

    async def _store(self, payload: Payload) -> None:
        await send_email.enqueue(payload)

    async def _store_many(self, payloads: Sequence[Payload]) -> None:
        for start in range(0, len(payloads), BULK_SIZE):
            await worker.enqueue_many([send_email.enqueue(item) for item in payloads[start : start + BULK_SIZE]])


CONTENDER = Streaq()
