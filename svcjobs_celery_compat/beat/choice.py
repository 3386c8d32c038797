"""Which scheduler runs when none was chosen."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.transport.transport import Transport

DEFAULT = "celery.beat:PersistentScheduler"
"""The documented default of ``beat_scheduler``. It stands for the one that fits the broker."""
IN_REDIS = "svcjobs_celery_compat.beat.redis_scheduler:RedisScheduler"


def chosen(app: Any, scheduler_cls: Any) -> Any:
    """The scheduler's class, or its name: in place of the documented default, the one in Redis where the broker is.

    Name ``svcjobs_celery_compat.beat:PersistentScheduler`` to have the file all the same.
    """
    if scheduler_cls != DEFAULT:
        return scheduler_cls
    connection = app.connection_for_write()
    try:
        in_redis = isinstance(connection.transport, Transport)
    finally:
        connection.release()
    return IN_REDIS if in_redis else scheduler_cls
