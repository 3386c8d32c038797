"""The guide's sections "Overview" and "Quick Start"."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from redis import Redis

from svcjobs.easy import easy_jobs
from svcjobs.queue import InMemoryJobQueue, Job, JobQueue
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.worker import process_one
from tests.compat.program import SVCJOBS, running


def test_both_backends_are_queues(stored: RedisJobQueue) -> None:
    assert isinstance(stored, JobQueue)
    assert isinstance(InMemoryJobQueue(), JobQueue)


def test_one_call_makes_queue_and_scheduler(capsys: pytest.CaptureFixture[str]) -> None:
    queue, scheduler = easy_jobs()
    assert isinstance(queue, InMemoryJobQueue)
    assert isinstance(scheduler, InMemoryScheduler)
    job = queue.enqueue("send_email", {"to": "ada@example.com", "subject": "Good morning"})
    print(f"stored as {job.id}")
    assert capsys.readouterr().out == "stored as 1\n"


async def test_one_handler_tells_jobs_apart_by_name() -> None:
    queue, _ = easy_jobs()
    done: list[tuple[str, object]] = []

    async def handle(job: Job) -> None:
        match job.name:
            case "send_email":
                done.append((job.payload["to"], job.payload["subject"]))
            case "generate_report":
                done.append(("report", job.payload["report_id"]))

    queue.enqueue("send_email", {"to": "ada@example.com", "subject": "Good morning"})
    queue.enqueue("generate_report", {"report_id": 7})
    assert [await process_one(queue, handle) for _ in range(3)] == [True, True, False]
    assert done == [("ada@example.com", "Good morning"), ("report", 7)]


def test_the_command_runs_jobs_until_it_is_told_to_stop(
    folder: Path, stored: RedisJobQueue, on_redis: dict[str, str], redis_client: Redis
) -> None:
    (folder / "mail.py").write_text("def handle(job):\n    print('ran', job.name, job.payload['to'])\n")
    stored.enqueue("send_email", {"to": "ada@example.com"})
    environment = on_redis | {"JOBS_HANDLER_TARGET": "mail:handle"}
    with running([SVCJOBS, "worker"], folder, environment) as worker:
        worker.says("ran send_email ada@example.com")
        assert worker.stop(signal.SIGTERM) == 0
    assert redis_client.keys(f"{stored.name}:job:*") == []
