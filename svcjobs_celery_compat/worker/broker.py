"""The broker as one process of a worker uses it: not through kombu's consumers, but as the engine's queues."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from kombu.exceptions import OperationalError

from svcjobs.errors import QueueUnavailable
from svcjobs.queue import JobQueue
from svcjobs_celery_compat.app.control.revocations import Revocations
from svcjobs_celery_compat.outcome import Server, database_of, server_of
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker.rates import Rates
from svcjobs_celery_compat.worker.unknown import UnknownTasks

logger = get_logger("celery.worker.consumer.consumer")


class Broker:
    """A connection of the process's own.

    Args:
        app: the app.

    Raises:
        QueueUnavailable: the server doesn't answer, not after `broker_connection_max_retries` either.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.connection = app.connection_for_read()
        try:
            if app.conf.broker_connection_retry:  # the server may have gone away since the worker started
                self.connection.ensure_connection(_told, app.conf.broker_connection_max_retries)
            self.channel = self.connection.default_channel
        except OperationalError as error:
            raise QueueUnavailable(str(error)) from error
        # None where messages lie in this process
        self.client: Any = getattr(self.channel, "client", None)
        self.root: str = getattr(getattr(self.channel, "options", None), "root", "jobs")
        self.server: Server | None = None if self.client is None else server_of(self.client)
        self.database = 0 if self.client is None else database_of(self.client)
        self.unknown = UnknownTasks(self.client, self.root)
        self._revocations = Revocations.of(self.connection)
        self._rates: dict[str, Rates] = {}

    def open(self, queue: Any) -> JobQueue:
        """The engine's queue for one of kombu's, which is declared."""
        queue(self.channel).declare()
        return self.named(queue.name)

    def named(self, name: str) -> JobQueue:
        """The engine's queue with a kombu name."""
        if self.client is None:
            in_process: JobQueue = self.channel.broker.queue(name, self.root)
            return in_process
        queue: JobQueue = self.channel.queues.named(name)
        return queue

    def rates(self, hostname: str) -> Rates:
        """The rate limits of a worker."""
        if hostname not in self._rates:
            self._rates[hostname] = Rates(self.client, self.root, hostname)
        return self._rates[hostname]

    def revoked_among(self, task_ids: Iterable[str]) -> set[str]:
        """Which of these tasks were revoked, by what is kept in Redis."""
        return self._revocations.among(task_ids) if self._revocations else set()

    @cached_property
    def revoked_stamps(self) -> list[tuple[str, Any]]:
        """The revoked stamps, as they were when this was first asked."""
        return self._revocations.stamps() if self._revocations else []

    def close(self) -> None:
        """Close the connection."""
        self.connection.release()


def _told(error: BaseException, seconds: float) -> None:
    logger.error("Cannot connect to the broker: %s. Trying again in %s s", error, seconds)
