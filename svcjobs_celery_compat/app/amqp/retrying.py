"""How often publishing is tried where a worker sends what follows a task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from kombu.exceptions import OperationalError
from kombu.utils.functional import retry_over_time

logger = logging.getLogger("celery.app.amqp")

#: Whether messages that are sent now follow a task, so that an error would be one of the task.
_callback_publish_retry: ContextVar[bool] = ContextVar("_callback_publish_retry", default=False)

#: Retries where the policy has no end: a worker can't wait for ever with a task that is done.
_CALLBACK_PUBLISH_MAX_RETRIES = 3


def publish_with_retries(
    publish: Callable[[], Any], producer: Any, policy: dict[str, Any], default_policy: dict[str, Any]
) -> Any:
    """Call ``publish`` until it succeeds, as ``policy`` says.

    Parameters:
        producer: gets a new channel where the connection was lost.
        default_policy: the app's; its limit holds where ``policy`` has none.

    Raises:
        kombu.exceptions.OperationalError: all tries failed.
    """
    connection = producer.connection
    lost = tuple(connection.recoverable_connection_errors)
    limit = policy.get("max_retries")
    unbounded = limit is None
    if limit is None:
        limit = default_policy.get("max_retries")
    if limit is None:
        limit = _CALLBACK_PUBLISH_MAX_RETRIES

    def failed(exc: BaseException, intervals: Any, retries: int) -> float:
        if unbounded and not retries:
            logger.warning("Unbounded max_retries for worker callback: it is tried %d times more", limit)
        if lost and isinstance(exc, lost):
            producer.revive(connection)
        return float(next(intervals))

    return retry_over_time(
        publish,
        (OperationalError, *lost, *(policy.get("retry_errors") or ())),
        errback=failed,
        max_retries=limit,
        interval_start=policy.get("interval_start", 0),
        interval_step=policy.get("interval_step", 0.2),
        interval_max=policy.get("interval_max", 1),
    )
