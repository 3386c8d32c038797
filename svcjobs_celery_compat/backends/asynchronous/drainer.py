"""What fetches the messages that somebody waits for: the waiting thread itself, by default."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from svcjobs_celery_compat.backends import asynchronous

drainers: dict[str, type[Drainer]] = {}


def register_drainer(name: str) -> Callable[[type[Any]], type[Any]]:
    """Decorate the drainer of the environment `name`."""

    def registered(cls: type[Any]) -> type[Any]:
        drainers[name] = cls
        return cls

    return registered


@register_drainer("default")
class Drainer:
    """Fetches what a result consumer is told.

    Args:
        result_consumer: whose ``drain_events(timeout=)`` fetches.
    """

    def __init__(self, result_consumer: Any) -> None:
        self.result_consumer = result_consumer

    def start(self) -> None:
        """Do nothing: whoever waits fetches."""

    def stop(self) -> None:
        """Do nothing."""

    def drain_events_until(
        self,
        p: Any,
        timeout: float | None = None,
        interval: float = 1,
        on_interval: Callable[[], Any] | None = None,
        wait: Callable[..., Any] | None = None,
    ) -> Iterator[Any]:
        """Fetch until the promise `p` is kept; yields after each message or interval.

        Args:
            p: what is waited for.
            timeout: seconds until ``socket.timeout`` is raised; None waits for ever, 0 not at all.
            interval: seconds between two calls of `on_interval`.
            on_interval: called meanwhile.
            wait: fetches, instead of the consumer.
        """
        wait = wait or self.result_consumer.drain_events
        deadline = None if timeout is None else asynchronous.time.monotonic() + timeout
        while not p.ready:
            left = interval if deadline is None else min(interval, deadline - asynchronous.time.monotonic())
            if left <= 0:
                raise socket.timeout  # noqa: UP041  # the documented name
            try:
                yield self.wait_for(p, wait, timeout=left)
            except TimeoutError:
                pass
            except OSError as error:
                self._rest(error, left)
            if on_interval:
                on_interval()

    def _rest(self, error: OSError, seconds: float) -> None:
        """The connection is away: whoever reads it makes it anew, in a moment."""
        asynchronous.logging.warning("connection error during drain_events: %r", error)
        asynchronous.time.sleep(seconds)

    def wait_for(self, p: Any, wait: Callable[..., Any], timeout: float | None = None) -> Any:
        """Fetch once, for at most `timeout` seconds."""
        return wait(timeout=timeout)

    def _event(self) -> Any:
        return threading.Event()
