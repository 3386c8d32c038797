"""Celery's agent for cell."""

from __future__ import annotations

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.worker.consumer.connection import Connection

__all__ = ("Agent",)


class Agent(bootsteps.StartStopStep):
    """Celery has it for cell; nothing here."""

    conditional = True
    requires = (Connection,)
    enabled = False
