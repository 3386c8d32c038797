"""Results in a Redis that Sentinels watch: ``sentinel://host:26379/0;sentinel://other:26379/0``."""

from __future__ import annotations

from typing import Any

from kombu.utils.url import maybe_sanitize_url

from svcjobs_celery_compat.backends.redis import parameters
from svcjobs_celery_compat.backends.redis.backend import RedisBackend
from svcjobs_celery_compat.exceptions import ImproperlyConfigured

try:
    import redis.sentinel as sentinel_module
    from redis.connection import SSLConnection
    from redis.sentinel import SentinelManagedConnection

    class SentinelManagedSSLConnection(SentinelManagedConnection, SSLConnection):
        """A connection to the master that a Sentinel names, with TLS."""
except ImportError:  # pragma: no cover  # a dependency
    sentinel_module = SentinelManagedSSLConnection = None  # type: ignore[assignment, misc]

E_REDIS_SENTINEL_MISSING = (
    "You need to install the redis library with support of sentinel in order to use the Redis result store backend."
)


class SentinelBackend(RedisBackend):
    """Results in the master of a replicated Redis.

    ``result_backend_transport_options`` says its name (``master_name``), and how Sentinels are talked to
    (``sentinel_kwargs``, ``min_other_sentinels``).
    """

    _SERVER_URI_SEPARATOR = ";"
    sentinel: Any = sentinel_module
    connection_class_ssl: Any = SentinelManagedSSLConnection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.sentinel is None:
            raise ImproperlyConfigured(E_REDIS_SENTINEL_MISSING)
        super().__init__(*args, **kwargs)

    def as_uri(self, include_password: bool = False) -> str:
        """Where the Sentinels are, as people may see it."""
        url = self.url or ""
        if include_password:
            return url
        shown = (maybe_sanitize_url(each).rstrip("/") for each in url.split(self._SERVER_URI_SEPARATOR))
        return self._SERVER_URI_SEPARATOR.join(shown)

    def _params_from_url(self, url: str, defaults: dict[str, Any]) -> dict[str, Any]:
        hosts = [
            parameters.from_url(each, defaults, self.redis)
            for each in url.split(self._SERVER_URI_SEPARATOR)
            if each.strip()
        ]
        params = {name: value for name, value in defaults.items() if name not in ("host", "port")}
        params["hosts"] = hosts
        first = hosts[0]
        params.update({name: first[name] for name in ("db", "username", "password") if first.get(name) is not None})
        params.setdefault("password", None)
        return params

    def _get_sentinel_instance(self, **params: Any) -> Any:
        hosts = params.pop("hosts")
        options = self._transport_options
        return self.sentinel.Sentinel(
            [(each["host"], each["port"]) for each in hosts],
            min_other_sentinels=options.get("min_other_sentinels", 0),
            sentinel_kwargs=options.get("sentinel_kwargs", {}),
            **params,
        )

    def _get_pool(self, **params: Any) -> Any:
        watcher = self._get_sentinel_instance(**params)
        given = {name: params[name] for name in ("username", "password") if params.get(name)}
        connection_class = params.get("connection_class")
        if connection_class is not None:
            given["connection_class"] = connection_class
        master: Any = watcher.master_for(
            service_name=self._transport_options.get("master_name"), redis_class=self._get_client(), **given
        )
        return master.connection_pool
