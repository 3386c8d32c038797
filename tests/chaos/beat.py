"""A scheduler process that writes down each tick it took: ``python -m tests.chaos.beat``.

No leader is elected, so that only the comparison in the queue keeps two of them from taking the same tick.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import time

from svcjobs.easy import open_client
from svcjobs.job import Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settings import QueueSettings, redis_url
from tests.chaos.history import History, own_history

INTERVAL_SECONDS = 1


class NotedQueue(RedisJobQueue):
    """Writes down the ticks that it took, and the jobs that came of them."""

    history: History

    def claim_tick(self, name: str, tick_at: float, job: NewJob | None = None) -> Job | None:
        job_id = f"tick-{name}-{tick_at:.0f}"
        ask = f"{job_id}/{time.monotonic_ns()}"
        self.history.write("asked", job=job_id, ask=ask)
        taken = super().claim_tick(name, tick_at, dataclasses.replace(job, job_id=job_id) if job else None)
        if taken is None:
            self.history.write("enqueued", job=job_id, ask=ask, created=False)
            return None
        self.history.write("tick", name=name, tick=tick_at)
        self.history.write(
            "enqueued", job=job_id, ask=ask, created=taken.created, due=0.0, unique=None,
            max_attempts=taken.max_attempts, backoff=taken.backoff_seconds,
        )  # fmt: skip
        return taken


async def main() -> None:
    """Serve the schedule until SIGTERM."""
    client = open_client(redis_url())
    queue = NotedQueue(client, prefix=QueueSettings.from_environment().prefix, max_attempts=100)
    queue.history = own_history()
    scheduler = InMemoryScheduler(queue=queue)
    scheduler.add("second", job_name="tick", interval_seconds=INTERVAL_SECONDS)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, scheduler.stop, 5)
    await scheduler.run()
    queue.close()
    client.close()


if __name__ == "__main__":
    asyncio.run(main())
