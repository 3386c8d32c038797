"""Jobs that hold webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from svcjobs.job import Job

Deliver = Callable[[Job], Awaitable[None]]
EVENT = {"user_id": 456, "email": "zoë@example.com"}


def webhook(outbox_id: Any = 123, topic: Any = "user.created", payload: Any = EVENT, attempts: int = 1) -> Job:
    data = {"outbox_id": outbox_id, "topic": topic, "payload": payload}
    return Job(id="1", name="webhook.user.created", payload=data, attempts=attempts)


def envelope(**subscription: Any) -> dict[str, Any]:
    return {"event": EVENT, "subscription": subscription}
