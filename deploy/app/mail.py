"""The application that the files in deploy/ run: put yours in its place."""

import asyncio
import logging

from svcjobs import Job, JobRegistry

logger = logging.getLogger(__name__)
registry = JobRegistry()


@registry.handler("send_email")
async def send_email(job: Job) -> None:
    """Pretend to send one, which may take some seconds."""
    to = job.payload["to"]
    if "@" not in to:
        raise ValueError(f"{to!r} is no address")
    logger.info("sending to %s", to)
    await asyncio.sleep(job.payload.get("seconds", 0))
    logger.info("sent to %s", to)
