"""The transports: what kombu makes of an ``svcjobs://`` URL."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import redis
from kombu.transport import virtual
from redis.exceptions import ClusterError, RedisClusterException, TryAgainError

from svcjobs._redis.connections import home_db
from svcjobs._redis.failures import translate
from svcjobs.errors import CorruptKey, CredentialsRefused, JobsError, QueueFull, QueueRefused, QueueUnavailable
from svcjobs_celery_compat.migrate.routing.obeyed import ObeyedRoutes
from svcjobs_celery_compat.migrate.status import recorder
from svcjobs_celery_compat.transport import scheduled
from svcjobs_celery_compat.transport.acks import Acks
from svcjobs_celery_compat.transport.bindings import Bindings
from svcjobs_celery_compat.transport.channel import Channel
from svcjobs_celery_compat.transport.cluster import root_on
from svcjobs_celery_compat.transport.expiry import Declarations
from svcjobs_celery_compat.transport.fanout import Fanout
from svcjobs_celery_compat.transport.keeper import LeaseKeeper
from svcjobs_celery_compat.transport.options import read_options
from svcjobs_celery_compat.transport.poller import Poller
from svcjobs_celery_compat.transport.queues import Queues
from svcjobs_celery_compat.transport.server import (
    DEFAULT_PORT,
    SENTINEL_PORT,
    cluster_client,
    sentinel_client,
    tcp_client,
    tls_client,
    unix_client,
)


class Transport(virtual.Transport):
    """``svcjobs://[user:password@]host[:port][/db]``."""

    Channel = Channel
    polling_interval = None
    default_port: ClassVar[int | None] = DEFAULT_PORT
    driver_type = "redis"  # gives Celery's workers fanout, mingle and events
    driver_name = "svcjobs"
    open_client: ClassVar[Callable[..., Any]] = staticmethod(tcp_client)

    implements = virtual.Transport.implements.extend(
        asynchronous=True, batch_publish=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    supports_batch_publish = True
    connection_errors = (
        *virtual.Transport.connection_errors, QueueUnavailable, CredentialsRefused,
        redis.ConnectionError, redis.TimeoutError, OSError,
    )  # fmt: skip
    channel_errors = (*virtual.Transport.channel_errors, redis.ResponseError, CorruptKey, QueueFull, QueueRefused)

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.options = read_options(client.transport_options or {})
        self.poller = Poller(self.channels)
        self.lost = False
        self._connected = False
        recorder.serve()  # before Celery's worker forks its pool; it connects later

    def establish_connection(self) -> Any:
        """Connect.

        Raises:
            QueueUnavailable: the server doesn't answer.
        """
        self._open()
        scheduled.serve()
        return super().establish_connection()

    def create_channel(self, connection: Any) -> Any:
        """A channel on ``connection``, which is a transport too: another one, when kombu has just failed over."""
        if connection is not self:
            return connection.create_channel(connection)
        return super().create_channel(connection)

    def _open(self) -> None:
        if self._connected:
            return
        try:
            server = self.server = type(self).open_client(self.client, self.options)
            server.ping()
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise translate(error) from error
        options = self.options = replace(self.options, root=root_on(server, self.options.root))
        fanout = f"{options.root}:kombu:fanout:{options.fanout_prefix.replace('{db}', str(home_db(server)))}"
        self.queues = Queues(server, options)
        self.keeper = LeaseKeeper(lambda: Queues(server, options), options.visibility_timeout)
        self.acks = Acks(self.queues, self.keeper)
        self.fanout = Fanout(server, fanout, patterns=options.fanout_patterns)
        self.bindings = Bindings(server, options.root)
        self.declarations = Declarations(server)
        self.routes = ObeyedRoutes(server, options.root)
        self._connected = True

    def close_connection(self, connection: Any) -> None:
        """Close all channels; see :meth:`Channel.close`."""
        super().close_connection(connection)
        self.poller.close()
        if self._connected:
            if not self.lost:
                with contextlib.suppress(JobsError):
                    self.acks.flush()
                self.keeper.close()
            self.queues.close()
            self.server.close()

    def _collect(self, connection: Any) -> None:
        """Close a connection that failed, or a parent's in a forked child: kombu's hook for both."""
        self.lost = True
        self.close_connection(connection)

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message, waiting for it.

        Raises:
            TimeoutError: there was none within ``timeout`` seconds.
            QueueUnavailable: the server doesn't answer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.poller.deliver_one():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self.poller.wait(left)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Deliver in the ticks of Celery's event loop."""
        self.poller.join(loop)

    def driver_version(self) -> str:
        """Of redis-py."""
        return str(redis.__version__)


class TlsTransport(Transport):
    """``svcjobs-tls://[user:password@]host[:port][/db]``; certificates are checked."""

    open_client = staticmethod(tls_client)


class UnixTransport(Transport):
    """``svcjobs-unix:///path/to/redis.sock``."""

    default_port = None
    open_client = staticmethod(unix_client)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """None: the path is all there is."""
        return {}


class SentinelTransport(Transport):
    """``svcjobs-sentinel://host:port;svcjobs-sentinel://host:port/db`` with the option ``master_name``."""

    default_port = SENTINEL_PORT
    open_client = staticmethod(sentinel_client)


class ClusterTransport(Transport):
    """``svcjobs-cluster://host:port;svcjobs-cluster://host:port``: some nodes of a Redis Cluster."""

    open_client = staticmethod(cluster_client)
    connection_errors = (*Transport.connection_errors, RedisClusterException, ClusterError, TryAgainError)
