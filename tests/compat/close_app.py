"""Closing an app of Celery, real or ours, so that it leaves no connection to the garbage collector."""

from __future__ import annotations

import gc
from typing import Any


def close_app(app: Any) -> None:
    """Close an app whose results are on Redis, while its server still runs.

    Celery's results unsubscribe when they are collected, and connect anew for that if need be: in the middle of another
    test, which is blamed for the connection that nobody closes.
    """
    gc.collect()
    consumer = app.backend.result_consumer
    consumer.stop()
    consumer.cancel_for = lambda _task_id: None
    app.backend.client.connection_pool.disconnect()
    app.close()
