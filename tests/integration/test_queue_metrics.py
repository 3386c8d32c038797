"""What a scrape tells of a queue on a real server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
import redis

from svcjobs.metrics import Metrics
from svcjobs.redis_queue import RedisJobQueue
from tests.proxy import RedisProxy
from tests.servers import RedisServer


def test_what_waited_and_what_was_lost_are_told(redis_server: RedisServer, prefix: str) -> None:
    metrics = Metrics()
    with RedisProxy(redis_server.port) as proxy, redis.Redis.from_url(proxy.url) as client:
        queue = RedisJobQueue(client, prefix=prefix, visibility_timeout=0.05)
        metrics.watch(queue)
        queue.enqueue("mail")
        assert queue.reserve_next()
        time.sleep(0.1)
        assert queue.reclaim() == 1
        redis_client = redis_server.client()
        (job_id,) = redis_client.lrange(f"{prefix}:ready", 0, 0)
        due = datetime.now(UTC) - timedelta(seconds=70)
        redis_client.hset(f"{prefix}:job:{job_id.decode()}", "available_at", due.isoformat())
        proxy.cut()
        assert metrics.registry.get_sample_value("jobs_reclaimed_total", {"queue": prefix}) == 1
        assert metrics.registry.get_sample_value("jobs_oldest_ready_age_seconds", {"queue": prefix}) == pytest.approx(
            70, abs=5
        )
        assert metrics.registry.get_sample_value("jobs_reconnects_total", {"queue": prefix}) == 1
        queue.close()
