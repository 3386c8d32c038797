"""The relay between real databases and a real Redis server."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis
import redis.asyncio
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.db.outbox import OutboxStore
from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.servers import RedisServer

# argv is the database, the server and the prefix
RELAY = """
import asyncio, sys
import redis
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.db.outbox import OutboxStore
from svcjobs.redis_queue import RedisJobQueue

database, server, prefix = sys.argv[1:]
outbox = OutboxStore(sessionmaker(create_engine(database)))
queue = RedisJobQueue(redis.Redis.from_url(server), prefix=prefix)
asyncio.run(make_outbox_tick(outbox, queue)())
"""


def drain(queue: RedisJobQueue) -> list[Job]:
    jobs = queue.reserve_many(1000)
    for job in jobs:
        queue.ack(job)
    return jobs


@pytest.mark.scenario(35)
def test_relays_side_by_side_move_each_message_once(
    engine: Engine, redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    outbox = OutboxStore(sessionmaker(engine))
    ids = [outbox.enqueue("a", {}).id for _ in range(300)]
    command = [
        sys.executable,
        "-c",
        RELAY,
        engine.url.render_as_string(hide_password=False),
        redis_server.url,
        prefix,
    ]
    relays = [subprocess.Popen(command) for _ in range(2)]
    assert [relay.wait(60) for relay in relays] == [0, 0]
    queue = RedisJobQueue(redis_client, prefix=prefix)
    assert sorted(job.payload["outbox_id"] for job in drain(queue)) == ids
    assert outbox.fetch_next() is None
    queue.close()


async def test_an_asyncio_queue_is_relayed_to(engine: Engine, redis_server: RedisServer, prefix: str) -> None:
    outbox = OutboxStore(sessionmaker(engine))
    message = outbox.enqueue("user.created", {"user_id": 1})
    client = redis.asyncio.Redis.from_url(redis_server.url)
    queue = AsyncRedisJobQueue(client, prefix=prefix)
    assert await make_outbox_tick(outbox, queue)() == 1
    job = await queue.reserve_next()
    assert job is not None
    assert (job.name, job.payload["outbox_id"]) == ("outbox.user.created", message.id)
    await queue.close()
    await client.aclose()
