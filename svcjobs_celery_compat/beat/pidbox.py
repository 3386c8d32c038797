"""Beat's answer to ``celery inspect ping``."""

from __future__ import annotations

import threading
import time
from typing import Any

from kombu.pidbox import Node

from svcjobs_celery_compat import beat
from svcjobs_celery_compat.utils.objects import Bunch

_GIVEN_UP = (
    "beat: remote control could not connect to the broker, and does not try again: %r. See the settings "
    "broker_connection_retry, broker_connection_retry_on_startup and broker_connection_max_retries"
)
_LOST = "beat: remote control lost its connection to the broker: %r"


class _Stopping(BaseException):
    """Breaks off a connect that waits for its next try."""


class _BeatNode(Node):
    """A node that falls silent when the scheduler hangs. Only messages for this node get here."""

    beat_pidbox: BeatPidbox

    def dispatch(
        self, method: str, arguments: Any = None, reply_to: Any = None, ticket: Any = None, **kwargs: Any
    ) -> Any:
        if self.beat_pidbox.is_stale():
            beat.warning(
                "beat: no answer to %s, as the scheduler has not looked at the schedule for %.0f s",
                method,
                self.beat_pidbox.tick_age() or 0,
            )
            return None
        return super().dispatch(method, arguments, reply_to, ticket, **kwargs)


class BeatPidbox:
    """A node ``celerybeat@host`` beside the workers'; knows ``ping``, and ignores all other commands.

    An answer means that the scheduler is at work: there is none when it hasn't looked at the schedule for
    :attr:`max_tick_age` seconds.

    Args:
        service: the :class:`~svcjobs_celery_compat.beat.Service`.
    """

    retry_interval = 5.0
    """Seconds between losing a connection and the next."""
    join_timeout = 3.0
    """Seconds to wait for the thread's end."""
    min_tick_age = 60.0
    """The least value of :attr:`max_tick_age`, unless it is configured."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self.app = service.app
        self.hostname = beat.beat_nodename(service.hostname)
        self.state = Bunch(app=self.app, hostname=self.hostname, service=service)
        self.node = _BeatNode(
            self.hostname, state=self.state, handlers={"ping": self._ping}, mailbox=self.app.control.mailbox
        )
        self.node.beat_pidbox = self
        self.thread: threading.Thread | None = None
        self.first_connection_attempt = True
        self._shutdown = threading.Event()

    def start(self) -> None:
        """Listen, in a thread; on a broker without fanout there is nothing to listen to."""
        if self.thread is not None and self.thread.is_alive():
            return
        supported, transport = self.fanout_support()
        if not supported:
            beat.warning("beat: no remote control, as the transport %s has no fanout exchanges", transport)
            return
        self._shutdown.clear()
        self.first_connection_attempt = True
        self.thread = threading.Thread(target=self._loop, name="beat-pidbox", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._shutdown.set()
        if self.thread is None:
            return
        self.thread.join(timeout=self.join_timeout)
        if self.thread.is_alive():
            beat.warning("beat: the thread of remote control did not end within %s s", self.join_timeout)
        else:
            self.thread = None

    def fanout_support(self) -> tuple[bool, str]:
        """Whether the broker has fanout exchanges, and its transport's name. Connects nowhere."""
        connection = self.app.connection_for_read()
        try:
            return connection.supports_exchange_type("fanout"), connection.transport_cls
        finally:
            connection.release()

    @property
    def max_tick_age(self) -> float:
        """Seconds without a tick after which it falls silent; 0 is never."""
        configured = self.app.conf.beat_remote_control_max_tick_age
        if configured is not None:
            return configured  # type: ignore[no-any-return]
        interval = self.service.effective_max_interval or self.service.max_interval or beat.DEFAULT_MAX_INTERVAL
        return max(2 * interval, self.min_tick_age)

    def tick_age(self) -> float | None:
        """Seconds since the last tick; None before the first."""
        last: float | None = self.service._last_tick  # the service's own part
        return None if last is None else time.monotonic() - last

    def is_stale(self) -> bool:
        """Whether a tick is overdue."""
        limit, age = self.max_tick_age, self.tick_age()
        return bool(limit) and age is not None and age > limit

    def on_message(self, body: Any, message: Any) -> None:
        """Answer a command, if it is known."""
        if not isinstance(body, dict) or body.get("method") not in self.node.handlers:
            return
        try:
            self.node.handle_message(body, message)
        except Exception as exc:  # noqa: BLE001  # one broken message leaves the others alone
            beat.error("beat: remote control command error: %r", exc, exc_info=True)

    def _ping(self, state: Any, **kwargs: Any) -> dict[str, str]:
        return {"ok": "pong"}

    def _loop(self) -> None:
        """Connect and listen, again and again; ends when it is told to, or when connecting is given up."""
        while not self._shutdown.is_set():
            try:
                connection = self._connect()
            except _Stopping:
                return
            except Exception as exc:  # noqa: BLE001  # told, and then the end
                self._give_up(_GIVEN_UP, exc)
                return
            try:
                self._consume_from(connection)
            except Exception as exc:  # noqa: BLE001  # whatever breaks a connection
                if self._shutdown.is_set():
                    return
                if not self.app.conf.broker_connection_retry:
                    self._give_up(_LOST, exc)
                    return
                beat.error(_LOST, exc)
                self._shutdown.wait(self.retry_interval)

    def _give_up(self, why: str, exc: Exception) -> None:
        if not self._shutdown.is_set():
            beat.error(why, exc)
            beat.warning("beat: remote control is off until beat is restarted, the schedule goes on")

    def _connect(self) -> Any:
        connection = self.app.connection_for_read()
        retries = self.app.conf.broker_connection_max_retries if self._connection_retry_setting() else 0
        try:
            connection.ensure_connection(self._error_handler, retries, callback=self._abort_if_stopping)
        except BaseException:
            connection.release()
            raise
        return connection

    def _connection_retry_setting(self) -> bool:
        """Whether a connect is tried again: the settings that a worker obeys."""
        is_first, self.first_connection_attempt = self.first_connection_attempt, False
        at_start = self.app.conf.broker_connection_retry_on_startup
        if is_first and at_start is not None:
            return bool(at_start)
        return bool(self.app.conf.broker_connection_retry)

    def _consume_from(self, connection: Any) -> None:
        with connection as conn:
            self.node.channel = conn.default_channel
            self.node.listen(channel=conn.default_channel, callback=self.on_message)
            while not self._shutdown.is_set():
                try:
                    conn.drain_events(timeout=1.0)
                except TimeoutError:
                    continue

    def _error_handler(self, exc: Exception, interval: float) -> None:
        beat.error("beat: remote control cannot connect: %s. Trying again in %s seconds...", exc, interval)

    def _abort_if_stopping(self) -> None:
        if self._shutdown.is_set():
            raise _Stopping
