"""The application: handlers, their payloads and the schedule. ``svcjobs worker -A`` can run it as well."""

from __future__ import annotations

import os

import redis
from pydantic import BaseModel

from examples.stdlib_index.index import Index, MemoryIndex, RedisIndex
from examples.stdlib_index.source import QUESTIONS, ask
from svcjobs import DeadLetter, Job, JobRegistry, NewJob

FAILS_AT_FIRST = 20
"""Every twentieth job fails on its first attempt, as a call to a shaky service would."""


class Question(BaseModel):
    """What to find out about one source file."""

    question: str
    path: str
    shaky: bool = False


def make_registry(index: Index) -> JobRegistry:
    """The handlers, writing to ``index``."""
    registry = JobRegistry(
        metric_prefix="stdlib_index",
        schedule=[{"name": "progress", "interval_seconds": 1, "job_name": "note_progress"}],
    )

    @registry.handler("index_file", payload=Question)
    def index_file(job: Job, question: Question) -> None:
        if question.shaky and job.attempts == 1:
            raise ConnectionError("made to fail on its first attempt")
        try:
            answer = ask(question.question, question.path)
        except (SyntaxError, ValueError) as error:
            raise DeadLetter(f"{question.path}: {error}", reason="not_python") from error
        index.put(question.question, question.path, answer)

    @registry.handler("note_progress")
    async def note_progress(job: Job) -> None:
        index.put("progress", job.id, {"answers": index.count()})

    @registry.handler("always_fails")
    async def always_fails(_job: Job) -> None:
        raise RuntimeError("made to fail on every attempt")

    return registry


def jobs(paths: list[str]) -> list[NewJob]:
    """The jobs of the demo: one per file and question, and four poisoned ones."""
    asked = [(question, path) for path in paths for question in QUESTIONS]
    good = [
        NewJob(
            "index_file",
            {"question": question, "path": path, "shaky": number % FAILS_AT_FIRST == 0},
            backoff_seconds=1,
        )
        for number, (question, path) in enumerate(asked)
    ]
    poisoned = [
        NewJob("always_fails", {"why": "to be exhausted"}, max_attempts=3, backoff_seconds=0.5),
        NewJob("always_fails", {"why": "only one attempt"}, max_attempts=1),
        NewJob("index_file", {"path": 7}, max_attempts=3),
        NewJob("nobody_knows_me", {}, max_attempts=2, backoff_seconds=0.5),
    ]
    return good + poisoned


def registry() -> JobRegistry:
    """The application of a worker process: it finds the server in REDIS_URL, as the worker does."""
    url = os.environ.get("REDIS_URL")
    return make_registry(RedisIndex(redis.Redis.from_url(url)) if url else MemoryIndex())
