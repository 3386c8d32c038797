"""The worker's side towards the broker, but for the tasks themselves, which the engine fetches.

The steps have Celery's names: others are placed before and after them.
"""

from __future__ import annotations

from svcjobs_celery_compat.worker.consumer.agent import Agent
from svcjobs_celery_compat.worker.consumer.connection import Connection
from svcjobs_celery_compat.worker.consumer.consumer import Consumer
from svcjobs_celery_compat.worker.consumer.control import Control
from svcjobs_celery_compat.worker.consumer.events import Events
from svcjobs_celery_compat.worker.consumer.gossip import Gossip
from svcjobs_celery_compat.worker.consumer.heart import Heart
from svcjobs_celery_compat.worker.consumer.mingle import Mingle
from svcjobs_celery_compat.worker.consumer.tasks import Tasks

__all__ = ("Agent", "Connection", "Consumer", "Control", "Events", "Gossip", "Heart", "Mingle", "Tasks")
