"""The connection to the broker."""

from __future__ import annotations

from typing import Any

from kombu.utils.url import maybe_sanitize_url

from svcjobs_celery_compat import bootsteps
from svcjobs_celery_compat.utils.log import get_logger

logger = get_logger("celery.worker.consumer.connection")

__all__ = ("Connection",)


class Connection(bootsteps.StartStopStep):
    """Connects to the broker."""

    def __init__(self, c: Any, **kwargs: Any) -> None:
        c.connection = None
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        c.connection = c.app.connection_for_read()
        c.connection.connect()
        logger.info("Connected to %s", c.connection.as_uri())

    def stop(self, c: Any) -> None:
        connection, c.connection = c.connection, None
        if connection is not None:
            connection.release()

    shutdown = stop

    def info(self, c: Any) -> dict[str, Any]:
        """The broker, as ``inspect stats`` and Flower show it, without what is secret."""
        told = c.connection.info()
        for name in ("password", "credential_provider", "transport_options"):
            told.pop(name, None)
        told["ssl"] = bool(told.get("ssl"))
        if urls := told.get("alternates"):
            one = isinstance(urls, str)
            told["alternates"] = maybe_sanitize_url(urls) if one else [maybe_sanitize_url(url) for url in urls]
        return {"broker": told}
