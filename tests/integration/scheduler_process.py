"""A scheduler as a process of its own: python -m tests.integration.scheduler_process URL PREFIX NAME LEASE."""

from __future__ import annotations

import asyncio
import signal
import sys

import redis

from svcjobs.leadership import RedisSchedulerLeader
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduler import InMemoryScheduler


async def main(url: str, prefix: str, name: str, lease: str) -> None:
    """Serve a job and a function each second, until SIGTERM. Without a lease there is no leader."""
    client = redis.Redis.from_url(url)
    leader = None
    if float(lease):
        leader = RedisSchedulerLeader(client, key=f"{prefix}:leader", lease_seconds=float(lease), owner_id=name)
    scheduler = InMemoryScheduler(leader=leader, queue=RedisJobQueue(client, prefix=prefix))
    scheduler.add("job", job_name="tick", interval_seconds=1, misfire="all")
    scheduler.add("function", func=lambda: client.rpush(f"{prefix}:ran", name), interval_seconds=1, misfire="all")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, scheduler.stop)
    client.rpush(f"{prefix}:started", name)
    await scheduler.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
