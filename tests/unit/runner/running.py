"""A runner for the length of a test, and a handler that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from svcjobs.job import Job
from svcjobs.runner import WorkerRunner


@asynccontextmanager
async def running(*arguments: Any, **options: Any) -> AsyncIterator[WorkerRunner]:
    runner = WorkerRunner(*arguments, **options)
    runner.start()
    try:
        yield runner
    finally:
        await runner.stop(grace_seconds=0)


async def sleeps(job: Job) -> None:
    await asyncio.sleep(job.payload.get("seconds", 60))
