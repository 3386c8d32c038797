"""``app.events``: classes of events that are bound to the app."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any


class Events:
    """Makes dispatchers, receivers and states of an app.

    Args:
        app: the app.
    """

    receiver_cls = "svcjobs_celery_compat.events.receiver:EventReceiver"
    dispatcher_cls = "svcjobs_celery_compat.events.dispatcher:EventDispatcher"
    state_cls = "svcjobs_celery_compat.events.state:State"

    def __init__(self, app: Any = None) -> None:
        self.app = app

    @cached_property
    def Receiver(self) -> Any:
        """:class:`~svcjobs_celery_compat.events.EventReceiver` of this app."""
        return self.app.subclass_with_self(self.receiver_cls, reverse="events.Receiver")

    @cached_property
    def Dispatcher(self) -> Any:
        """:class:`~svcjobs_celery_compat.events.EventDispatcher` of this app."""
        return self.app.subclass_with_self(self.dispatcher_cls, reverse="events.Dispatcher")

    @cached_property
    def State(self) -> Any:
        """:class:`~svcjobs_celery_compat.events.state.State` of this app."""
        return self.app.subclass_with_self(self.state_cls, reverse="events.State")

    @contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False
    ) -> Iterator[Any]:
        """A dispatcher on a connection of the app's pool.

        Args:
            hostname: name of the sending node.
            enabled: whether it sends at once.
            buffer_while_offline: whether events that couldn't be sent are kept, instead of raising.
        """
        with (
            self.app.amqp.producer_pool.acquire(block=True) as producer,
            self.Dispatcher(producer.connection, hostname, enabled, producer.channel, buffer_while_offline) as found,
        ):
            yield found
