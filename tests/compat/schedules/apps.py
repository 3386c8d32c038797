"""Apps whose schedules are tested."""

from __future__ import annotations

from typing import Any

import redis

from svcjobs.job import decode_payload
from svcjobs_celery_compat import Celery
from tests.servers import RedisServer


def app_on(server: RedisServer, prefix: str, schedule: dict[str, Any], **settings: Any) -> Celery:
    """An app with this ``beat_schedule`` whose broker is the server."""
    app = Celery("proj", broker=server.url.replace("redis://", "svcjobs://"), set_as_current=False)
    app.conf.update(
        beat_schedule=schedule, broker_transport_options={"prefix": prefix}, result_backend="disabled://", **settings
    )
    return app


def sent(client: redis.Redis, prefix: str, queue: str = "celery") -> list[dict[str, Any]]:
    """The payloads of the jobs that lie in a queue, in their order."""
    root = f"{prefix}:{{{queue}}}"
    ids = client.lrange(f"{root}:ready", 0, -1)[::-1]
    return [decode_payload(client.hget(f"{root}:job:{job_id.decode()}", "payload")) for job_id in ids]


def ticks(client: redis.Redis, prefix: str, queue: str = "celery") -> dict[str, float]:
    """The latest tick of each entry."""
    stored = client.hgetall(f"{prefix}:{{{queue}}}:ticks")
    return {name.decode(): float(value) for name, value in stored.items()}
