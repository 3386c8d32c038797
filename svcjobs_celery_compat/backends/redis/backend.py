"""Results in Redis: one key a result, which is published as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from time import monotonic
from typing import Any

from svcjobs_celery_compat import states
from svcjobs_celery_compat._state import task_join_will_block
from svcjobs_celery_compat.backends import redis as names
from svcjobs_celery_compat.backends.asynchronous import AsyncBackendMixin
from svcjobs_celery_compat.backends.redis import parameters
from svcjobs_celery_compat.backends.redis.chords import RedisChords
from svcjobs_celery_compat.backends.redis.consumer import ResultConsumer
from svcjobs_celery_compat.exceptions import BackendStoreError, ImproperlyConfigured
from svcjobs_celery_compat.outcome import effects_for
from svcjobs_celery_compat.utils.time import humanize_seconds

try:
    import redis as redis_module
    from redis.backoff import NoBackoff
    from redis.connection import SSLConnection
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.retry import Retry
except ImportError:  # pragma: no cover  # a dependency
    redis_module = SSLConnection = None  # type: ignore[assignment, misc]

E_LOST = "Connection to Redis lost: Retry (%s/%s) %s."
W_REDIS_COMPRESSION_DISABLED = """\
The Redis result backend is configured with decode_responses enabled: compressed results couldn't be read.
The result_compression setting is ignored and results are stored uncompressed.
"""
SUBSCRIPTIONS_OF_CALLS = 1000
SECONDS_AWAY = 5.0


class RedisBackend(RedisChords, AsyncBackendMixin):
    """Results in Redis, as Celery keeps them there: either reads what the other wrote.

    A result is a string of JSON under ``celery-task-meta-<task id>`` that goes away after ``result_expires``, and is
    published on the channel of that name. What a worker stores on its queue's own server commits together with the
    acknowledgement of the message (see :mod:`svcjobs_celery_compat.outcome`). Options come from the URL, ``redis_*``
    settings and ``result_backend_transport_options`` (``global_keyprefix``, ``retry_policy``, ``result_chord_ordered``,
    ``additional_connection_errors``).

    Args:
        host: host name, or a URL.
        port, db, password, max_connections: of the server; settings by default.
        url: ``redis://user:password@host:port/db``, ``rediss://…`` or ``socket:///path?virtual_host=db``.
        connection_pool: the class of the pool.
        kwargs: those of :class:`Backend`, ``app`` among them.

    Raises:
        ImproperlyConfigured: redis-py isn't installed, or the URL names no database.
        ValueError: TLS options are missing or contradict each other.
    """

    ResultConsumer: Any = ResultConsumer
    redis: Any = redis_module
    connection_class_ssl: Any = SSLConnection

    further_connection_errors: tuple[type[BaseException], ...] = ()
    max_connections: Any = None
    supports_autoexpire = True
    supports_native_join = True
    supports_result_compression = True
    supports_failure_expires = True
    _MAX_STR_VALUE_SIZE = 512 * 1024 * 1024  # of a string in Redis

    def __init__(
        self,
        host: Any = None,
        port: Any = None,
        db: Any = None,
        password: Any = None,
        max_connections: Any = None,
        url: str | None = None,
        connection_pool: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(expires_type=int, **kwargs)
        if self.redis is None:
            raise ImproperlyConfigured(parameters.E_REDIS_MISSING)
        if host and "://" in host:
            url, host = host, None
        conf = self.app.conf
        self.max_connections = max_connections or conf.get("redis_max_connections") or self.max_connections
        self._ConnectionPool = connection_pool
        params = parameters.from_settings(conf, host, port, db, password, self.max_connections)
        ssl_options = conf.get("redis_backend_use_ssl")
        if ssl_options:
            parameters.use_ssl(params, ssl_options, self.connection_class_ssl)
        self.connparams: dict[str, Any] = self._params_from_url(url, params) if url else params
        self._add_driver_info()
        self.url = url
        if url and url.startswith("rediss://"):
            self.connparams["connection_class"] = self.connection_class_ssl
        if self.connparams.get("connection_class") is self.connection_class_ssl and self.connection_class_ssl:
            parameters.check_ssl(self.connparams)
        if self.compression and self.connparams.get("decode_responses"):
            names.logger.warning(W_REDIS_COMPRESSION_DISABLED)
            self.compression = None
        self.connection_errors = (
            *parameters.connection_errors(self._transport_options.get("additional_connection_errors")),
            *self.further_connection_errors,
        )
        self.result_consumer = self.ResultConsumer(
            self, self.app, self.accept, self._pending_results, self._pending_messages
        )
        self._away_until = 0.0

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        return parameters.from_url(url, defaults, self.redis)

    def _add_driver_info(self) -> None:
        """Let ``CLIENT LIST`` show who is connected."""
        from svcjobs_celery_compat import __version__

        try:
            from redis import DriverInfo

            self.connparams["driver_info"] = DriverInfo().add_upstream_driver("celery", __version__)
        except (ImportError, AttributeError):
            import redis

            self.connparams["lib_name"] = f"redis-py(celery_v{__version__})"
            self.connparams["lib_version"] = getattr(redis, "__version__", "unknown")

    @property
    def _transport_options(self) -> Mapping[str, Any]:
        return self.app.conf.get("result_backend_transport_options") or {}

    @cached_property
    def retry_policy(self) -> dict[str, Any]:
        """How often, and after how many seconds, a command is sent again to a server that is away."""
        return {**super().retry_policy, **(self._transport_options.get("retry_policy") or {})}

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether it says that the server is away."""
        return isinstance(exc, self.connection_errors)

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Listen for a result.

        For the first :data:`SUBSCRIPTIONS_OF_CALLS` only that are not read: who waits for another one listens then.
        A server that is away is left alone for some seconds: the result is asked for when it is waited for.
        """
        consumer = self.result_consumer
        if task_join_will_block() or len(consumer.subscribed_to) >= SUBSCRIPTIONS_OF_CALLS:
            return
        if monotonic() < self._away_until:
            return
        try:
            consumer.listen_without_retry(task_id)
        except self.connection_errors:
            self._away_until = monotonic() + SECONDS_AWAY

    def get(self, key: Any) -> Any:
        """What is stored under `key`, None when nothing is."""
        return self.client.get(key)

    def mget(self, keys: Any) -> Any:
        """What is stored under each key."""
        return self.client.mget(keys)

    def ensure(self, fun: Any, args: Any, **policy: Any) -> Any:
        """Call `fun`, again while the server is away; `policy` is added to the retry policy."""
        policy = {**self.retry_policy, **policy}
        on_error = partial(self.on_connection_error, policy.get("max_retries"))
        return names.retry_over_time(fun, self.connection_errors, args, {}, on_error, **policy)

    def on_connection_error(
        self, max_retries: int | None, exc: BaseException, intervals: Iterator[float], retries: int
    ) -> float:
        """Say that the server is away; returns the seconds until the next attempt."""
        seconds = next(intervals)
        names.logger.error(E_LOST, retries, max_retries or "Inf", humanize_seconds(seconds, "in "))
        return seconds

    def _set_with_state(self, key: Any, value: Any, state: str) -> Any:
        return self.set(key, value, self.expires_of(state))

    def expires_of(self, state: str) -> Any:
        """Seconds that a result in that state is kept; None or 0 for ever."""
        return self.failure_expires if state == states.FAILURE else self.expires

    def set(self, key: Any, value: Any, expires: Any = None, **retry_policy: Any) -> Any:
        """Store `value` under `key` for `expires` seconds, and publish it.

        Raises:
            BackendStoreError: Redis can't store that much.
        """
        self._check_size(value)
        effects = effects_for(self.client)
        if effects is None:
            return self.ensure(self._set, (key, value, expires), **retry_policy)
        effects.append(self._effect(key, value, expires, publish=True))
        return None

    def _succeeded_before(self, task_id: str, state: str) -> bool:
        # the lease of the message lets one outcome commit: there is no other whose success this could replace
        if state == states.SUCCESS and effects_for(self.client) is not None:
            return False
        return super()._succeeded_before(task_id, state)

    def _check_size(self, value: Any) -> None:
        if isinstance(value, str | bytes) and len(value) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("value too large for Redis backend")

    def _set(self, key: Any, value: Any, expires: Any = None) -> None:
        with self.client.pipeline() as pipe:
            pipe.set(key, value, ex=expires or None)
            pipe.publish(key, value)
            pipe.execute()

    def forget(self, task_id: str) -> None:
        """Remove what is stored about a task, and listen for it no more."""
        super().forget(task_id)
        self.result_consumer.cancel_for(task_id)

    def delete(self, key: Any) -> None:
        """Remove `key`."""
        self.client.delete(key)

    def incr(self, key: Any) -> Any:
        """Add 1 to what is under `key`, and return it."""
        return self.client.incr(key)

    def expire(self, key: Any, value: Any) -> Any:
        """Let `key` go away in `value` seconds."""
        return self.client.expire(key, value)

    def new_pubsub(self) -> Any:
        """What listens for results, on a connection of its own once it subscribes."""
        return self.client.pubsub(ignore_subscribe_messages=True)

    def forget_connections(self) -> None:
        """In a forked child: leave the connections to the parent."""
        self.client.connection_pool.reset()

    def _create_client(self, **params: Any) -> Any:
        return self._get_client()(connection_pool=self._get_pool(**params))

    def _get_client(self) -> Any:
        return self.redis.StrictRedis

    def _get_pool(self, **params: Any) -> Any:
        # a connection that was lost is made anew, once; further attempts are ours, see `ensure`
        params.setdefault("retry", Retry(NoBackoff(), 1, (RedisConnectionError,)))
        return self.ConnectionPool(**params)

    @property
    def ConnectionPool(self) -> Any:
        """The class of the pool."""
        if self._ConnectionPool is None:
            self._ConnectionPool = self.redis.ConnectionPool
        return self._ConnectionPool

    @cached_property
    def client(self) -> Any:
        """The client of redis-py."""
        return self._create_client(**self.connparams)

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return super().__reduce__(args, {**(kwargs or {}), "expires": self.expires, "url": self.url})
