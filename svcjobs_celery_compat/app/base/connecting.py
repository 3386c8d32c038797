"""An app's connections to the broker."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kombu.exceptions import LimitExceeded

import svcjobs_celery_compat.app.base as _module
from svcjobs_celery_compat._state import _deregister_app
from svcjobs_celery_compat.exceptions import OperationalError
from svcjobs_celery_compat.utils.objects import FallbackContext


def register_after_fork(app: Any, cleanup: Callable[[Any], None]) -> None:
    """Call ``cleanup`` with ``app`` in each process that is forked off, in whatever way, as long as the app lives."""
    this = weakref.ref(app)

    def in_child() -> None:
        if (living := this()) is not None:
            cleanup(living)

    os.register_at_fork(after_in_child=in_child)


def _after_fork_cleanup_app(app: Any) -> None:
    # an exception here would be lost
    try:
        app._after_fork()
    except Exception as exc:  # noqa: BLE001  # a receiver's; the child has to go on
        _module.logger.info("after forker raised exception: %r", exc, exc_info=1)  # type: ignore[arg-type]  # as Celery logs it


class Connecting:
    """The part of :class:`~svcjobs_celery_compat.Celery` that reaches the broker. Nothing connects before its use."""

    _pool: Any = None
    _after_fork_registered = False
    on_after_fork: Any

    if TYPE_CHECKING:
        conf: Any
        amqp: Any
        either: Callable[..., Any]

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        """Return a connection to consume with: ``broker_read_url``, or ``broker_url``."""
        return self._connection(url or self.conf.broker_read_url, **kwargs)

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        """Return a connection to publish with: ``broker_write_url``, or ``broker_url``."""
        return self._connection(url or self.conf.broker_write_url, **kwargs)

    def connection(
        self,
        hostname: str | None = None,
        userid: str | None = None,
        password: str | None = None,
        virtual_host: str | None = None,
        port: int | None = None,
        ssl: Any = None,
        connect_timeout: float | None = None,
        transport: Any = None,
        transport_options: dict[str, Any] | None = None,
        heartbeat: float | None = None,
        login_method: str | None = None,
        failover_strategy: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Return a connection to the broker, which isn't made yet.

        Parameters:
            hostname: a URL, or several; the settings tell what isn't given. The rest is as in kombu's ``Connection``.

        Raises:
            ImproperlyConfigured: svcjobs has no transport for a URL of this kind, and neither has kombu.
        """
        return self.connection_for_write(
            hostname or self.conf.broker_write_url,
            userid=userid,
            password=password,
            virtual_host=virtual_host,
            port=port,
            ssl=ssl,
            connect_timeout=connect_timeout,
            transport=transport,
            transport_options=transport_options,
            heartbeat=heartbeat,
            login_method=login_method,
            failover_strategy=failover_strategy,
            **kwargs,
        )

    broker_connection = connection  # its former name

    def _connection(
        self,
        url: Any,
        userid: str | None = None,
        password: str | None = None,
        virtual_host: str | None = None,
        port: int | None = None,
        ssl: Any = None,
        connect_timeout: float | None = None,
        transport: Any = None,
        transport_options: dict[str, Any] | None = None,
        heartbeat: float | None = None,
        login_method: str | None = None,
        failover_strategy: Any = None,
        **kwargs: Any,
    ) -> Any:
        conf = self.conf
        return self.amqp.Connection(
            url,
            userid or conf.broker_user,
            password or conf.broker_password,
            virtual_host or conf.broker_vhost,
            port or conf.broker_port,
            transport=transport or conf.broker_transport,
            ssl=self.either("broker_use_ssl", ssl),
            heartbeat=heartbeat,
            login_method=login_method or conf.broker_login_method,
            failover_strategy=failover_strategy or conf.broker_failover_strategy,
            transport_options={**conf.broker_transport_options, **(transport_options or {})},
            connect_timeout=self.either("broker_connection_timeout", connect_timeout),
        )

    def connection_or_acquire(self, connection: Any = None, pool: bool = True, *_: Any, **__: Any) -> Any:
        """Return a context of ``connection``, or without one of a connection from the pool.

        Parameters:
            pool: false: a new connection instead, closed at the end.
        """
        return FallbackContext(connection, self._acquire_connection, pool=pool)

    default_connection = connection_or_acquire  # its former name

    def producer_or_acquire(self, producer: Any = None) -> Any:
        """Return a context of ``producer``, or without one of a producer from the pool.

        Raises:
            OperationalError: when the context is entered: none got free within ``broker_pool_acquire_timeout``.
        """
        return FallbackContext(producer, self._acquire_producer, timeout=self.conf.broker_pool_acquire_timeout)

    default_producer = producer_or_acquire  # its former name

    def _acquire_connection(self, pool: bool = True) -> Any:
        if not pool:
            return self.connection_for_write()
        try:
            return self.pool.acquire(block=True, timeout=self.conf.broker_pool_acquire_timeout)
        except LimitExceeded as exc:
            raise self._exhausted("connection") from exc

    def _acquire_producer(self, timeout: float | None = None) -> Any:
        try:
            return self.producer_pool.acquire(block=True, timeout=timeout)
        except LimitExceeded as exc:
            raise self._exhausted("producer") from exc

    def _exhausted(self, what: str) -> OperationalError:
        return OperationalError(
            f"no broker {what} got free in time: all {self.conf.broker_pool_limit} are in use. "
            "Raise broker_pool_limit, or broker_pool_acquire_timeout (seconds)."
        )

    @property
    def pool(self) -> Any:
        """Connections to publish with, at most ``broker_pool_limit`` (None: any number, 0: none are kept)."""
        if self._pool is None:
            self._ensure_after_fork()
            self._pool = self.connection_for_write().Pool(limit=self.conf.broker_pool_limit)
        return self._pool

    @property
    def producer_pool(self) -> Any:
        """The pool of producers."""
        return self.amqp.producer_pool

    def close(self) -> None:
        """Close the pool, and forget the app. Made for apps that come and go, as in tests."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.force_close_all()
        self._forget_producers()
        _deregister_app(self)

    def _forget_producers(self) -> None:
        amqp = vars(self).get("amqp")
        if amqp is not None:
            amqp._producer_pool = None

    def _ensure_after_fork(self) -> None:
        if not self._after_fork_registered:
            self._after_fork_registered = True
            if _module.register_after_fork is not None:
                _module.register_after_fork(self, _module._after_fork_cleanup_app)

    def _after_fork(self) -> None:
        # the sockets are the parent's: they are let go, not closed
        self._pool = None
        self._forget_producers()
        self.on_after_fork.send(sender=self)
