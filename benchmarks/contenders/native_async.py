"""``svcjobs worker`` with coroutines."""

from __future__ import annotations

from benchmarks.contenders.native import Native
from benchmarks.jobs import work_async
from benchmarks.workload import JOB_NAME
from svcjobs.job import Job
from svcjobs.registry import JobRegistry

registry = JobRegistry()


@registry.handler(JOB_NAME)
async def send_email(job: Job) -> None:
    """The job."""
    await work_async(**job.payload)


CONTENDER = Native("-P", "async", "-c", "100", application=f"{__name__}:registry")
