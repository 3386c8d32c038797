"""Taskiq on Redis streams, the broker that acknowledges: it has no call for many jobs."""

from __future__ import annotations

from collections.abc import Sequence

from taskiq_redis import RedisStreamBroker

from benchmarks.contenders import Payload
from benchmarks.contenders.concurrent_calls import ConcurrentCalls
from benchmarks.jobs import server_url, work_async

broker = RedisStreamBroker(url=server_url(), idle_timeout=5000, unacknowledged_lock_timeout=5)
task = broker.task(work_async)


class Taskiq(ConcurrentCalls):
    """A task of Taskiq."""

    def __init__(self) -> None:
        super().__init__(self._store, broker.startup)

    def worker(self, number: int) -> Sequence[str]:
        return ("taskiq", "worker", f"{__name__}:broker", "--workers", "1", "--max-async-tasks", "100",
                "--log-level", "ERROR")  # fmt: skip

    async def _store(self, payload: Payload) -> None:
        await task.kiq(**payload)


CONTENDER = Taskiq()
