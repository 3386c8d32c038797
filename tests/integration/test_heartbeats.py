"""Which workers live: written by a keeper, read by ``svcjobs workers``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis

from svcjobs.heartbeats import Heartbeats, LiveWorker, RunningNow
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.conftest import StartCrew
from tests.servers import Cluster, RedisServer
from tests.unit.test_settings import VARIABLES

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
WORKER = LiveWorker("one@here", "here", 12, "async", 10, STARTED)


@pytest.fixture
def heartbeats(redis_client: redis.Redis, prefix: str) -> Iterator[Heartbeats]:
    with closing(Heartbeats(redis_client, prefix=prefix)) as heartbeats:
        yield heartbeats


def svcjobs_workers(server: RedisServer, prefix: str, *options: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-m", "svcjobs", "workers", *options],
        env=kept | {"JOBS_DRIVER": "redis", "REDIS_URL": server.url, "JOBS_PREFIX": prefix},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_a_worker_is_read_as_it_was_written(heartbeats: Heartbeats) -> None:
    running = [RunningNow("greet", "7", "jobs", 2, STARTED, 13)]
    heartbeats.beat(LiveWorker("one@here", "here", 12, "async", 10, STARTED, ["jobs"], [13], running, True))
    (found,) = heartbeats.workers()
    assert found.running == running
    assert (found.name, found.host, found.pid, found.pool, found.concurrency) == ("one@here", "here", 12, "async", 10)
    assert (found.started_at, found.queues, found.children, found.stopping) == (STARTED, ["jobs"], [13], True)
    assert found.age_seconds < 5
    assert not found.is_stale


def test_one_that_leaves_leaves_no_key(heartbeats: Heartbeats, redis_client: redis.Redis, prefix: str) -> None:
    heartbeats.beat(WORKER)
    assert redis_client.keys(f"{prefix}*")
    heartbeats.leave(WORKER.name)
    assert heartbeats.workers() == []
    assert redis_client.keys(f"{prefix}*") == []


def test_one_that_stays_the_same_only_says_that_it_lives(
    heartbeats: Heartbeats, redis_client: redis.Redis, prefix: str
) -> None:
    heartbeats.beat(WORKER)
    # long enough ago that a clock which is set back a little doesn't hide the second one
    first = redis_client.zincrby(f"{prefix}:workers", -5, WORKER.name)
    redis_client.set(f"{prefix}:worker:{WORKER.name}", "as it was")
    heartbeats.beat(WORKER)
    assert redis_client.zscore(f"{prefix}:workers", WORKER.name) > first
    assert redis_client.get(f"{prefix}:worker:{WORKER.name}") == b"as it was"
    heartbeats.beat(replace(WORKER, stopping=True))
    assert heartbeats.workers()[0].stopping


def test_one_that_was_forgotten_describes_itself_again(
    heartbeats: Heartbeats, redis_client: redis.Redis, prefix: str
) -> None:
    heartbeats.beat(WORKER)
    redis_client.delete(*redis_client.keys(f"{prefix}*"))  # as a fail-over, or a flush, may
    heartbeats.beat(WORKER)
    assert [worker.name for worker in heartbeats.workers()] == [WORKER.name]


def test_every_key_goes_away_by_itself(heartbeats: Heartbeats, redis_client: redis.Redis, prefix: str) -> None:
    heartbeats.beat(WORKER)
    assert all(0 < int(redis_client.ttl(key)) <= 300 for key in redis_client.keys(f"{prefix}*"))


def test_one_that_falls_silent_is_stale_then_forgotten(
    heartbeats: Heartbeats, redis_client: redis.Redis, prefix: str
) -> None:
    heartbeats.beat(WORKER)
    redis_client.zincrby(f"{prefix}:workers", -16, WORKER.name)
    assert heartbeats.workers()[0].is_stale
    redis_client.zincrby(f"{prefix}:workers", -300, WORKER.name)
    heartbeats.beat(LiveWorker("two@here", "here", 13, "async", 10, STARTED))
    assert [worker.name for worker in heartbeats.workers()] == ["two@here"]


def test_one_that_can_not_be_read_hides_no_other(
    heartbeats: Heartbeats, redis_client: redis.Redis, prefix: str
) -> None:
    heartbeats.beat(WORKER)
    redis_client.zadd(f"{prefix}:workers", {"bad": 9e9, "gone": 9e9, "list": 9e9})
    redis_client.set(f"{prefix}:worker:bad", b"\xff{")
    redis_client.lpush(f"{prefix}:worker:list", "x")
    assert [worker.name for worker in heartbeats.workers()] == [WORKER.name]


def test_it_works_on_a_cluster(cluster: Cluster) -> None:
    with closing(cluster.client()) as client, closing(Heartbeats(client, prefix="{jobs}")) as heartbeats:
        heartbeats.beat(WORKER)
        assert [worker.name for worker in heartbeats.workers()] == [WORKER.name]
        heartbeats.leave(WORKER.name)


@pytest.mark.alone
def test_the_keeper_tells_what_runs_since_when(
    start_crew: StartCrew, heartbeats: Heartbeats, redis_client: redis.Redis, redis_server: RedisServer, prefix: str
) -> None:
    crew = start_crew()
    crew.noted("born", 2)
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        queue.enqueue("held", job_id="long")
    ((child, _, started_at),) = crew.started("long")

    def running() -> RunningNow | None:
        return next((job for worker in heartbeats.workers() for job in worker.running), None)

    eventually(running)
    job = running()
    assert job is not None
    assert (job.name, job.job_id, job.queue, job.attempt, job.pid) == ("held", "long", prefix, 1, int(child))
    assert abs(job.started_at.timestamp() - float(started_at)) < 1
    (document,) = json.loads(svcjobs_workers(redis_server, prefix, "--json"))["workers"]
    assert document["pid"] == crew.process.pid
    assert document["queues"] == [prefix]
    assert document["children"] == sorted(crew.living)
    assert document["stale"] is False
    table = svcjobs_workers(redis_server, prefix)
    assert f"crew@{prefix}" in table
    assert "held long, " in table
    (crew.folder / "go").touch()
    crew.process.send_signal(signal.SIGTERM)
    assert crew.ends() in (0, 1)
    assert heartbeats.workers() == []


def test_without_workers_that_is_said(redis_server: RedisServer, prefix: str) -> None:
    assert "no worker" in svcjobs_workers(redis_server, prefix)
    assert json.loads(svcjobs_workers(redis_server, prefix, "--json")) == {"workers": []}


def test_a_silent_worker_is_marked(
    heartbeats: Heartbeats, redis_client: redis.Redis, redis_server: RedisServer, prefix: str
) -> None:
    heartbeats.beat(WORKER)
    redis_client.zincrby(f"{prefix}:workers", -16, WORKER.name)
    assert "stale" in svcjobs_workers(redis_server, prefix)
