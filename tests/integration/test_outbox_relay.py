"""The relay between real databases and a real Redis server."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

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

# argv is the database, the server and the prefix; both go on once the other has moved something
RELAY = """
import asyncio, sys, time
import redis
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.db.outbox import OutboxStore
from svcjobs.redis_queue import RedisJobQueue

database, server, prefix = sys.argv[1:]
client = redis.Redis.from_url(server)
outbox = OutboxStore(sessionmaker(create_engine(database)))
queue = RedisJobQueue(client, prefix=prefix)
tick = make_outbox_tick(outbox, queue, limit=7)

async def relay():
    moved = await tick()
    client.incr(f"{prefix}:there")
    while client.get(f"{prefix}:there") != b"2":
        time.sleep(0.001)
    while outbox.backlog():
        moved += await tick()
    print(moved)

asyncio.run(relay())
"""


def drain(queue: RedisJobQueue) -> list[Job]:
    jobs: list[Job] = []
    while batch := queue.reserve_many(1000):
        for job in batch:
            queue.ack(job)
        jobs += batch
    return jobs


@pytest.mark.scenario(35)
def test_relays_side_by_side_move_each_message_once_and_each_topic_in_its_order(
    engine: Engine, redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    outbox = OutboxStore(sessionmaker(engine))
    written = [(topic, outbox.enqueue(topic, {}).id) for _ in range(100) for topic in "abcde"]
    database = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", RELAY, database, redis_server.url, prefix]
    relays = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    moved = [int(relay.communicate(timeout=100)[0]) for relay in relays]
    assert sum(moved) == len(written)
    assert min(moved) > 0
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        arrived = [(job.payload["topic"], job.payload["outbox_id"]) for job in drain(queue)]
    assert sorted(arrived) == sorted(written)
    for topic in "abcde":
        ids = [message_id for its_topic, message_id in arrived if its_topic == topic]
        assert ids == sorted(ids), topic


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
