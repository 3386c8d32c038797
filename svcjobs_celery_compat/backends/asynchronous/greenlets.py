"""Fetching in a greenlet of its own, for all that wait: under gevent and eventlet."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from svcjobs_celery_compat.backends import asynchronous
from svcjobs_celery_compat.backends.asynchronous.drainer import Drainer, register_drainer

E_CELERY_RESTART_REQUIRED = "Celery must be restarted because a shutdown signal was detected."
SECONDS_TO_REST = 1


class greenletDrainer(Drainer):
    """One greenlet fetches, from the first wait on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started, self._stopped, self._shutdown = self._event(), self._event(), self._event()
        self._drained = self._event()
        self._exc: BaseException | None = None
        self._greenlet: Any = None

    def spawn(self, func: Callable[[], Any]) -> Any:
        """Start a greenlet."""
        raise NotImplementedError("a drainer of greenlets says how one is started")

    def run(self) -> None:
        """Fetch until stopped."""
        self._started.set()
        try:
            while not self._stopped.is_set():
                self._drain_once()
        except Exception as error:
            self._exc = error
            raise
        finally:
            self._tell_waiting()
            self._shutdown.set()

    def _drain_once(self) -> None:
        try:
            self.result_consumer.drain_events(timeout=1)
        except TimeoutError:
            pass
        except OSError as error:
            self._rest(error, SECONDS_TO_REST)
        else:
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        self._drained.set()
        self._drained = self._event()

    def start(self) -> None:
        """Fetch from now on.

        Raises:
            Exception: fetching ended before, by an error (which it is) or by :meth:`stop`.
        """
        self._ensure_not_shut_down()
        if not self._started.is_set():
            self._greenlet = self.spawn(self.run)
            self._started.wait()

    def stop(self) -> None:
        """Fetch no more."""
        self._stopped.set()
        self._shutdown.wait(asynchronous.consumer.THREAD_TIMEOUT_MAX)

    def wait_for(self, p: Any, wait: Callable[..., Any], timeout: float | None = None) -> None:
        """Wait for a message, for at most `timeout` seconds."""
        self.start()
        if not p.ready:
            self._drained.wait(timeout=timeout)
            self._ensure_not_shut_down()

    def _ensure_not_shut_down(self) -> None:
        if self._shutdown.is_set():
            raise self._exc if self._exc is not None else Exception(E_CELERY_RESTART_REQUIRED)


@register_drainer("eventlet")
class eventletDrainer(greenletDrainer):
    """Under eventlet."""

    def spawn(self, func: Callable[[], Any]) -> Any:
        """Start a greenlet."""
        eventlet = import_module("eventlet")
        greenlet = eventlet.spawn(func)
        eventlet.sleep(0)
        return greenlet

    def _event(self) -> Any:
        return EventletAdaptedEvent()


class EventletAdaptedEvent:
    """eventlet's event with the methods of :class:`threading.Event`."""

    def __init__(self) -> None:
        self._event = import_module("eventlet.event").Event()

    def is_set(self) -> bool:
        """Whether it happened."""
        return bool(self._event.ready())

    def set(self) -> None:
        """It happens."""
        if not self.is_set():
            self._event.send()

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for it, for at most `timeout` seconds."""
        return self._event.wait(timeout)


@register_drainer("gevent")
class geventDrainer(greenletDrainer):
    """Under gevent."""

    def spawn(self, func: Callable[[], Any]) -> Any:
        """Start a greenlet."""
        gevent = import_module("gevent")
        greenlet = gevent.spawn(func)
        gevent.sleep(0)
        return greenlet

    def _event(self) -> Any:
        return import_module("gevent.event").Event()
