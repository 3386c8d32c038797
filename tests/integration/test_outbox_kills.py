"""kill -9 of producers and relays at each of their steps, on real databases and a real Redis server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.outbox import fill
from svcjobs.db.inbox import InboxStore
from svcjobs.db.outbox import OutboxStore
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration import outbox_victims
from tests.servers import RedisServer

PRODUCER_STEPS = ("before-insert", "before-commit", "after-commit")
RELAY_STEPS = ("before-commit-of-claim", "before-enqueue", "before-mark", "before-commit-of-mark", "after-mark")
KILLED = -signal.SIGKILL
MESSAGES = 3000

Live = Callable[[str, str, int], int]


@pytest.fixture
def engine(engine: Engine) -> Engine:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (number INTEGER)"))
        connection.execute(text("CREATE TABLE effects (number INTEGER)"))
    return engine


@contextmanager
def victims(engine: Engine, server: RedisServer, prefix: str) -> Iterator[Live]:
    """Lives the life of a producer or a relay in a process of its own, and returns how it ended."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-P", outbox_victims.__file__, url, server.url, prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout
        assert stdout.readline() == "ready\n"

        def live(role: str, step: str, number: int) -> int:
            stdin.write(f"{role} {step} {number}\n")
            stdin.flush()
            return int(stdout.readline())

        yield live
        stdin.close()


def numbers(engine: Engine, table: str) -> list[int]:
    with engine.connect() as connection:
        return sorted(connection.execute(text(f"SELECT number FROM {table}")).scalars())


def handle_all(engine: Engine, queue: RedisJobQueue) -> Counter[int]:
    """What a worker does: mark and effect in one transaction. Returns how often there was a job for each order."""
    jobs = queue.reserve_many(1000)
    for job in jobs:
        with Session(engine) as session:
            if InboxStore(session).mark_if_new(f"outbox:{job.payload['outbox_id']}"):
                session.execute(text("INSERT INTO effects VALUES (:number)"), job.payload["payload"])
            session.commit()
        queue.ack(job)
    return Counter(job.payload["payload"]["number"] for job in jobs)


@pytest.mark.promise("P1")
@pytest.mark.scenario(35)
def test_each_committed_message_is_handled_once_and_no_other(
    engine: Engine, redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    with victims(engine, redis_server, prefix) as live, closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        jobs: Counter[int] = Counter()
        for number, step in enumerate(PRODUCER_STEPS):
            assert live("producer", step, 100 * number) == KILLED, step
        assert live("producer", "none", 300) == 0

        for number, step in enumerate(RELAY_STEPS):
            # more messages, so that each relay has a second batch to die in
            assert live("producer", "none", 1000 + 100 * number) == 0
            assert live("relay", step, number) == KILLED, step
            jobs += handle_all(engine, queue)  # acked before the next relay comes: no live job stands in its way
        assert live("relay", "none", len(RELAY_STEPS)) == 0
        jobs += handle_all(engine, queue)

    committed = numbers(engine, "orders")
    # the kills before the commit left nothing, the one after it did; multiples of 3 were rolled back
    assert [number for number in committed if number < 300] == [
        *(1, 2, 4, 5), *(100, 101, 103, 104), *(200, 202, 203, 205, 206),
    ]  # fmt: skip
    assert numbers(engine, "effects") == committed
    assert jobs == Counter(committed)
    assert OutboxStore(sessionmaker(engine)).backlog() == []


@pytest.mark.timeout(240)  # three programs start one after the other
@pytest.mark.promise("P1")
@pytest.mark.scenario(35)
def test_the_command_killed_in_the_midst_of_its_work_loses_and_doubles_nothing(
    make_engine: Callable[[str], Engine], redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    engine = make_engine("postgresql")
    fill(engine, MESSAGES)
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "svcjobs", "outbox", "relay", "--database", url, "--redis-url", redis_server.url]
    environment = {**os.environ, "JOBS_PREFIX": prefix}
    outbox = OutboxStore(sessionmaker(engine))

    def moved() -> int:
        return MESSAGES - sum(topic.pending for topic in outbox.backlog())

    for kill in range(2):
        before = moved()
        with subprocess.Popen([*command, "--batch", "5"], env=environment, stderr=subprocess.DEVNULL) as relay:
            eventually(lambda before=before, kill=kill: moved() > before + 20 * kill, 60)  # type: ignore[misc]
            relay.kill()
        with engine.begin() as connection:  # a minute goes by: the claims end
            connection.execute(text("UPDATE svcjobs_outbox SET available_at = created_at"))
    assert moved() < MESSAGES
    subprocess.run([*command, "--drain"], env=environment, stderr=subprocess.DEVNULL, timeout=60, check=True)
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        jobs = [job for batch in iter(lambda: queue.reserve_many(500), []) for job in batch]
    assert Counter(job.payload["outbox_id"] for job in jobs) == Counter(range(1, MESSAGES + 1))
