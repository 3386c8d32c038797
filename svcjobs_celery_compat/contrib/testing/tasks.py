"""The task with which :func:`~svcjobs_celery_compat.contrib.testing.worker.start_worker` sees that its worker works."""

from __future__ import annotations

from svcjobs_celery_compat import shared_task


@shared_task(name="celery.ping")
def ping() -> str:
    """Return ``"pong"``."""
    return "pong"
