"""A worker goes on by itself: when its server was in trouble, and when its children are recycled."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.shop_fixtures import Start, queue, start
from tests.servers import RedisServer

__all__ = ["queue", "start"]  # fixtures


def test_a_child_that_is_recycled_is_replaced_while_its_last_job_runs(
    start: Start, redis_server: RedisServer, queue: RedisJobQueue, tmp_path: Path
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "-c", "2", "--max-jobs-per-child", "2")
    queue.enqueue("held", job_id="a")
    worker.noted("held a begins")
    for name in "bcde":
        queue.enqueue("greet", job_id=name)
    for name in "bcde":
        worker.noted(f"greet {name}")
    assert "held a ends" not in worker.notes
    (tmp_path / "go").touch()
    worker.noted("held a ends")
    eventually(lambda: queue.stats().totals["acked"] == 5)
    assert queue.stats().totals["released"] == 0
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0


def test_a_limit_that_a_child_exceeds_at_its_birth_lets_jobs_run(
    start: Start, redis_server: RedisServer, queue: RedisJobQueue
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "--max-memory-per-child", "1")
    for name in "abc":
        queue.enqueue("greet", job_id=name)
        worker.noted(f"greet {name}")


@contextmanager
def read_only(server: RedisServer) -> Iterator[None]:
    client = server.client()
    client.replicaof("127.0.0.1", "1")
    yield
    client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def out_of_memory(server: RedisServer) -> Iterator[None]:
    client = server.client()
    client.config_set("maxmemory", "1mb")
    yield
    client.config_set("maxmemory", "0")


@contextmanager
def loading(server: RedisServer) -> Iterator[None]:
    client = server.client()
    client.eval("for i = 1, 500000 do redis.call('SET', i, i) end", 0)
    server.kill()
    yield
    server.start()


@contextmanager
def no_script(server: RedisServer) -> Iterator[None]:
    server.client().script_flush()
    yield
    server.client().script_flush()


@pytest.mark.promise("P10")
@pytest.mark.parametrize("trouble", [read_only, out_of_memory, loading, no_script])
def test_p10_a_worker_resumes_by_itself_after_its_server_was_in_trouble(
    start: Start, own_server: RedisServer, tmp_path: Path, prefix: str, trouble: Any
) -> None:
    worker = start(own_server.url, "worker", "-A", "shop")
    worker.says("ready\n")
    with closing(RedisJobQueue(own_server.client(), prefix=prefix, timeout_seconds=10)) as queue:
        queue.enqueue("held", job_id="a")
        worker.noted("held a begins")
        with trouble(own_server):
            (tmp_path / "go").touch()
            worker.noted("held a ends")
            time.sleep(2)
        queue.enqueue("greet", job_id="b")
        worker.noted("greet b")
        eventually(lambda: queue.stats().totals["acked"] == 2)
        totals = queue.stats().totals
    assert (totals["reclaimed"], totals["stale"], totals["retried"]) == (0, 0, 0)
    assert worker.notes.count("held a begins") == 1
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
