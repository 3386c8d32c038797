"""The broker of the current app; an old path."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.local import Proxy

__all__ = ("TaskConsumer", "establish_connection", "get_consumer_set")

TaskConsumer: Any = Proxy(lambda: current_app.amqp.TaskConsumer)
get_consumer_set: Any = Proxy(lambda: current_app.amqp.TaskConsumer)
establish_connection: Any = Proxy(lambda: current_app.connection)
