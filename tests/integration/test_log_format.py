"""Workers and beats as processes: what their log lines hold, and the trace that a job carries between them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration import test_cli_worker
from tests.integration.shop_fixtures import Process, Start
from tests.servers import RedisServer

start = test_cli_worker.start
queue = test_cli_worker.queue

SHOP = """
import logging
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from svcjobs import JobRegistry, RetryLater

trace.set_tracer_provider(TracerProvider())
registry = JobRegistry()
logger = logging.getLogger("shop")

@registry.handler("coroutine")
async def coroutine(job):
    logger.info("from %s", job.payload["url"], extra={"trace": trace.get_current_span().get_span_context().trace_id})
    if job.attempts == 1:
        raise RetryLater(0)

@registry.handler("plain")
def plain(job):
    logger.info("from %s", job.payload["url"])

@registry.handler("bad")
def bad(job):
    raise RuntimeError("no way")
"""

PAYLOAD = {"url": "redis://:s3cret@host/0", "card": "4111"}


@pytest.fixture(autouse=True)
def shop(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)


def lines(worker: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.log.splitlines()]


def of_shop(worker: Process, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        found[:] = [line for line in lines(worker) if line["logger"] == "shop"]
        return len(found) >= count

    eventually(all_there, 45, f"{count} lines of the shop in {worker.log}")
    return found


def test_each_json_line_of_a_worker_is_an_object_with_the_fields_of_its_job(
    start: Start,
    redis_server: RedisServer,
    queue: RedisJobQueue,
    prefix: str,
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "-n", "w1", "--log-format", "json")
    queue.enqueue("plain", PAYLOAD, job_id="p")
    (plain,) = of_shop(worker, 1)
    assert (plain["job_id"], plain["job_name"], plain["attempt"], plain["queue"], plain["worker"]) == (
        "p", "plain", 1, prefix, "w1",
    )  # fmt: skip
    assert plain["message"] == "from redis://:***@host/0"
    queue.enqueue("bad", PAYLOAD, job_id="b", max_attempts=1)
    worker.says("dead letter queue")
    (failed,) = [line for line in lines(worker) if line["level"] == "error"]
    assert (failed["job_id"], failed["job_name"]) == ("b", "bad")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert all(line["worker"] == "w1" for line in lines(worker))
    assert "4111" not in worker.log
    (dead,) = queue.dead()
    assert dead.traceback is not None
    assert dead.traceback.splitlines()[1].endswith('shop.py", line 23, in bad')


def test_a_plain_line_of_a_handler_names_its_job(
    start: Start,
    redis_server: RedisServer,
    queue: RedisJobQueue,
    prefix: str,
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "-n", "w1")
    queue.enqueue("plain", PAYLOAD, job_id="p")
    worker.says(f"w1 shop: [p plain attempt=1 queue={prefix}] from redis://:***@host/0")


@pytest.mark.parametrize("pool", ["async", "threads", "prefork", "solo"])
@pytest.mark.parametrize("name", ["plain", "coroutine"])
def test_handlers_in_every_pool_have_the_fields(
    pool: str, name: str, start: Start, redis_server: RedisServer, queue: RedisJobQueue
) -> None:
    worker = start(redis_server.url, "worker", "-A", "shop", "-P", pool, "-c", "1", "--log-format", "json")
    queue.enqueue(name, PAYLOAD, job_id="p")
    line = of_shop(worker, 1)[0]
    assert (line["job_id"], line["job_name"], line["attempt"]) == ("p", name, 1)


def test_a_beat_takes_the_format_too(start: Start, redis_server: RedisServer) -> None:
    schedule = '[{"name": "hello", "interval_seconds": 60, "job_name": "plain"}]'
    beat = start(redis_server.url, "beat", "-n", "b1", "--log-format", "json", JOBS_SCHEDULE_JSON=schedule)
    beat.says("hello")
    beat.signal(signal.SIGTERM)
    assert beat.ends() == 0
    assert all(line["worker"] == "b1" for line in lines(beat))


def test_every_attempt_of_a_job_belongs_to_the_trace_of_its_producer(
    start: Start,
    redis_server: RedisServer,
    queue: RedisJobQueue,
) -> None:
    producer = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, trace.TraceFlags(1))
    worker = start(redis_server.url, "worker", "-A", "shop", "--log-format", "json")
    headers = {"traceparent": f"00-{producer.trace_id:032x}-{producer.span_id:016x}-01"}
    job: Job = queue.enqueue("coroutine", PAYLOAD, headers=headers)
    first, second = of_shop(worker, 2)
    assert [first["attempt"], second["attempt"]] == [1, 2]
    assert first["trace"] == second["trace"] == producer.trace_id
    assert job.headers == headers
