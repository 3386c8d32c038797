"""Quorum queues of RabbitMQ among those that a worker reads."""

from __future__ import annotations

from typing import Any


def detect_quorum_queues(app: Any, driver_type: str) -> tuple[bool, str]:
    """Return whether there is one, and its name. Other brokers have none."""
    if driver_type != "amqp":
        return False, ""
    for name, queue in app.amqp.queues.items():
        if (queue.queue_arguments or {}).get("x-queue-type") == "quorum":
            return True, name
    return False, ""
