"""Log lines name the job that they belong to, as text and as JSON, and hold no passwords."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from svcjobs import current_job
from svcjobs.attempt import Attempt
from svcjobs.job import Job
from svcjobs.job_log import JobFilter, JsonFormatter, PlainFormatter
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.registry import JobRegistry
from svcjobs.runner import WorkerRunner
from svcjobs.worker import process_one
from tests.eventually import eventually_async

JOB = Job("7", "send_email", {"secret": "hunter2"}, attempts=2, queue="jobs:{emails}")

logger = logging.getLogger("shop")


@pytest.fixture
def log_to() -> Iterator[Callable[[logging.Formatter], io.StringIO]]:
    """Log to a text from now on."""
    handlers: list[logging.Handler] = []

    def start(formatter: logging.Formatter) -> io.StringIO:
        text = io.StringIO()
        handler = logging.StreamHandler(text)
        handler.addFilter(JobFilter("w1@host"))
        handler.setFormatter(formatter)
        logging.getLogger().addHandler(handler)
        handlers.append(handler)
        return text

    before = logger.level
    logger.setLevel(logging.INFO)
    yield start
    logger.setLevel(before)
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


Start = Callable[[logging.Formatter], io.StringIO]


def lines(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_plain_line_in_a_job_says_which(log_to: Start) -> None:
    text = log_to(PlainFormatter())
    with Attempt(JOB):
        logger.info("to %s", "ann")
    assert text.getvalue().endswith("INFO    w1@host shop: [7 send_email attempt=2 queue=jobs:{emails}] to ann\n")
    assert "hunter2" not in text.getvalue()


def test_a_plain_line_outside_of_a_job_names_none(log_to: Start) -> None:
    text = log_to(PlainFormatter())
    logger.warning("hello")
    assert text.getvalue().endswith("WARNING w1@host shop: hello\n")


def test_a_json_line_holds_the_fields(log_to: Start) -> None:
    text = log_to(JsonFormatter())
    with Attempt(JOB):
        logger.info("two\nlines", extra={"order": 17, "at": object})
    (line,) = lines(text)
    assert {**line, "time": None} == {
        "time": None, "level": "info", "logger": "shop", "message": "two\nlines", "worker": "w1@host", "job_id": "7",
        "job_name": "send_email", "attempt": 2, "queue": "jobs:{emails}", "order": 17, "at": "<class 'object'>",
    }  # fmt: skip
    assert line["time"].endswith("+00:00")
    assert text.getvalue().isascii()
    logger.info("outside")
    assert "job_id" not in lines(text)[1]
    logger.info("told", extra={"time": "noon", "level": 3, "logger": "mine"})
    told = lines(text)[2]
    assert (told["level"], told["logger"]) == ("info", "shop")
    assert (told["extra_time"], told["extra_level"], told["extra_logger"]) == ("noon", 3, "mine")


def test_an_exception_is_in_the_json_line_from_the_users_code_on(log_to: Start) -> None:
    text = log_to(JsonFormatter())
    try:
        InMemoryJobQueue().ack("nothing")
    except Exception:
        logger.exception("failed")
    exception = lines(text)[0]["exception"]
    assert exception.splitlines()[1].endswith("in test_an_exception_is_in_the_json_line_from_the_users_code_on")


@pytest.mark.parametrize("formatter", [PlainFormatter(), JsonFormatter()])
def test_passwords_in_urls_are_masked(log_to: Start, formatter: logging.Formatter) -> None:
    text = log_to(formatter)
    logger.info(
        "redis://me:s3cret@host:6379/0 redis+sentinel://h/s?sentinel_password=s3cret&a=1 and http://host:9100/m"
    )
    try:
        raise ValueError("postgres://:s3cret@db/x")
    except ValueError:
        logger.exception("no %s", "amqp://a:s3cret@b")
    shown = text.getvalue()
    assert "s3cret" not in shown
    assert "redis://me:***@host:6379/0" in shown
    assert "sentinel_password=***&a=1" in shown
    assert "http://host:9100/m" in shown


async def test_handlers_of_every_kind_have_the_current_job(log_to: Start) -> None:
    text = log_to(JsonFormatter())
    queue, registry = InMemoryJobQueue(), JobRegistry()

    def below() -> None:
        job = current_job()
        assert job is not None
        logger.info("below %s", job.id)

    @registry.handler("coroutine")
    async def coroutine(job: Job) -> None:
        assert current_job() is job
        await asyncio.gather(asyncio.to_thread(below), asyncio.sleep(0))

    @registry.handler("plain")
    def plain(job: Job) -> None:
        assert current_job() is job
        below()

    for name in ("coroutine", "plain"):
        queue.enqueue(name)
        assert await process_one(queue, registry)
    assert [(line["message"], line["job_name"]) for line in lines(text)] == [
        ("below 1", "coroutine"),
        ("below 2", "plain"),
    ]
    assert queue.dead() == []
    assert queue.stats().delayed == 0
    assert current_job() is None


async def test_jobs_that_run_at_once_have_fields_of_their_own(log_to: Start) -> None:
    text = log_to(JsonFormatter())
    queue, both = InMemoryJobQueue(), asyncio.Barrier(2)

    async def handler(job: Job) -> None:
        await both.wait()
        logger.info("%s", job.id)

    queue.enqueue("a")
    queue.enqueue("b")
    runner = WorkerRunner(queue, handler, poll_interval=0.01, concurrency=2)
    runner.start()
    await eventually_async(lambda: len([line for line in lines(text) if line["logger"] == "shop"]) == 2)
    await runner.stop()
    assert all(line["message"] == line["job_id"] for line in lines(text) if line["logger"] == "shop")


async def test_a_failure_that_the_worker_tells_of_has_the_fields(log_to: Start) -> None:
    text = log_to(JsonFormatter())
    queue = InMemoryJobQueue()

    def handler(job: Job) -> None:
        raise ValueError("no")

    queue.enqueue("bad", {"secret": "hunter2"})
    runner = WorkerRunner(queue, handler, poll_interval=0.01)
    runner.start()
    await eventually_async(lambda: [line for line in lines(text) if line["level"] == "warning"])
    await runner.stop()
    (line,) = [line for line in lines(text) if line["level"] == "warning"]
    assert (line["job_id"], line["job_name"], line["attempt"], line["queue"]) == ("1", "bad", 1, "jobs")
    assert "hunter2" not in text.getvalue()
