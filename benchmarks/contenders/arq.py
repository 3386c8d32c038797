"""arq: it has no call for many jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

from benchmarks.contenders import Payload
from benchmarks.contenders.concurrent_calls import ConcurrentCalls
from benchmarks.jobs import server_url, work_async


async def send_email(_context: Any, **payload: Any) -> None:
    """The job."""
    await work_async(**payload)


class Settings:
    """Of its worker."""

    functions = (send_email,)
    redis_settings = RedisSettings.from_dsn(server_url())
    max_jobs = 100
    keep_result = 0
    poll_delay = 0.01
    job_timeout = 20


class Arq(ConcurrentCalls):
    """A job function of arq."""

    def __init__(self) -> None:
        self._pool: ArqRedis | None = None
        super().__init__(self._store, self._open)

    def worker(self, number: int) -> Sequence[str]:
        return ("arq", f"{__name__}.Settings")

    async def _open(self) -> None:
        self._pool = await create_pool(Settings.redis_settings)

    async def _store(self, payload: Payload) -> None:
        assert self._pool is not None
        await self._pool.enqueue_job(send_email.__name__, **payload)


CONTENDER = Arq()
