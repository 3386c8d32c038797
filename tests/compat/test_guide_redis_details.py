"""The guide's section "Redis Queue Details"."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.servers import RedisServer


def test_each_key_has_the_documented_name_and_type(redis_server: RedisServer, prefix: str) -> None:
    client = redis_server.client(decode_responses=True)
    queue = RedisJobQueue(client, prefix=prefix)
    before = time.time()
    queue.enqueue("dies", {}, max_attempts=1)
    dead = queue.reserve_next()
    assert dead is not None
    queue.fail(dead, error="no")
    queue.enqueue("runs", {"a": 1})
    assert queue.reserve_next() is not None
    queue.enqueue("waits", {}, delay_seconds=600)
    queue.enqueue("ready", {})

    types = ("ready", "processing", "processing_vt", "delayed", "seq", "job:1", "dlq")
    assert [client.type(f"{prefix}:{key}") for key in types] == [
        "list", "list", "zset", "zset", "string", "hash", "list",
    ]  # fmt: skip
    assert client.lrange(f"{prefix}:ready", 0, -1) == ["4"]
    assert client.lrange(f"{prefix}:processing", 0, -1) == ["2"]
    assert client.zscore(f"{prefix}:processing_vt", "2") == pytest.approx(before + 60, abs=5)
    assert client.zscore(f"{prefix}:delayed", "3") == pytest.approx(before + 600, abs=5)
    assert client.get(f"{prefix}:seq") == "4"
    assert client.lrange(f"{prefix}:dlq", 0, -1) == ["1"]
    job = client.hgetall(f"{prefix}:job:2")
    assert (job["id"], job["name"], json.loads(job["payload"]), job["attempts"]) == ("2", "runs", {"a": 1}, "1")
    assert (job["max_attempts"], job["backoff_seconds"]) == ("5", "60")
    assert datetime.fromisoformat(job["available_at"]).timestamp() == pytest.approx(before, abs=5)
    queue.close()


def test_a_reserve_is_one_script(redis_server: RedisServer, prefix: str) -> None:
    client = redis_server.client(decode_responses=True)
    queue = RedisJobQueue(client, prefix=prefix)
    queue.enqueue("work", {})
    queue.reserve_next()  # the script is loaded now
    job = queue.enqueue("work", {})
    # MONITOR also shows what scripts call, marked by "lua": those are part of the script
    with client.monitor() as monitor:
        queue.reserve_next()
        client.echo(prefix)
        sent = []
        for command in monitor.listen():
            if prefix in command["command"] and command["client_type"] != "lua":
                sent.append(command["command"].split()[0].upper())
            if command["command"].startswith("ECHO"):
                break
    assert sent == ["EVALSHA", "ECHO"]
    assert client.lrange(f"{prefix}:ready", 0, -1) == []
    assert client.lpos(f"{prefix}:processing", job.id) is not None
    assert client.zscore(f"{prefix}:processing_vt", job.id) is not None
    queue.close()


def test_a_reserve_puts_back_what_ran_out_of_time(redis_client: redis.Redis, prefix: str) -> None:
    queue = RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=0.1)
    queue.enqueue("work", {})
    job = queue.reserve_next()
    assert job is not None
    again = eventually(queue.reserve_next)
    assert again is not None
    assert again.id == job.id
    queue.ack(again)
    queue.close()


def test_a_job_of_the_original_format_is_run(redis_client: redis.Redis, prefix: str) -> None:
    """What the documented keys, fields and the reserve script of the guide leave behind, written by hand."""
    for number in ("1", "2"):
        redis_client.hset(
            f"{prefix}:job:{number}",
            mapping={
                "id": number, "name": "send_email", "payload": '{"to": "ada@example.com"}',
                "available_at": "2026-01-01T00:00:00+00:00", "attempts": "0", "max_attempts": "5",
                "backoff_seconds": "60",
            },
        )  # fmt: skip
        redis_client.lpush(f"{prefix}:ready", number)
    redis_client.set(f"{prefix}:seq", 2)
    # another worker's reserve, which then died: its time is over
    assert redis_client.rpoplpush(f"{prefix}:ready", f"{prefix}:processing") == b"1"
    redis_client.zadd(f"{prefix}:processing_vt", {"1": 1})
    queue = RedisJobQueue(redis_client, prefix=prefix)
    jobs = [queue.reserve_next(), queue.reserve_next()]
    assert sorted(job.id for job in jobs if job) == ["1", "2"]
    for job in jobs:
        assert job is not None
        assert job.payload == {"to": "ada@example.com"}
        queue.ack(job.id)
    assert queue.enqueue("next", {}).id == "3"
    queue.close()


def test_edits_by_hand_are_honoured(redis_client: redis.Redis, prefix: str) -> None:
    queue = RedisJobQueue(redis_client, prefix=prefix)
    queue.enqueue("waits", {}, delay_seconds=600)
    redis_client.zadd(f"{prefix}:delayed", {"1": 0})
    redis_client.hset(f"{prefix}:job:1", "max_attempts", 1)
    job = queue.reserve_next()
    assert job is not None
    assert job.max_attempts == 1
    queue.fail(job, error="no")
    assert redis_client.lrange(f"{prefix}:dlq", 0, -1) == [b"1"]
    queue.close()
