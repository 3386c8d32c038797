"""From a kombu connection to a client of its server."""

from __future__ import annotations

import ssl
from typing import Any

import redis
from kombu.utils.imports import symbol_by_name
from kombu.utils.url import url_to_parts
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from svcjobs._redis.connections import open_cluster
from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.transport.options import TransportOptions

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379


def tcp_client(connection: Any, options: TransportOptions) -> redis.Redis:
    """A client for ``svcjobs://``; ``broker_use_ssl`` or ``ssl`` make it one with TLS."""
    settings = _settings(connection, options)
    if connection.ssl:
        settings |= {"ssl": True} | _tls(connection)
    return redis.Redis(
        host=connection.hostname or "127.0.0.1",
        port=connection.port or DEFAULT_PORT,
        db=_database(connection.virtual_host),
        **settings,
    )


def tls_client(connection: Any, options: TransportOptions) -> redis.Redis:
    """A client for ``svcjobs-tls://``: certificates are checked unless ``ssl_cert_reqs`` says otherwise."""
    return redis.Redis(
        host=connection.hostname or "127.0.0.1",
        port=connection.port or DEFAULT_PORT,
        db=_database(connection.virtual_host),
        **_settings(connection, options),
        ssl=True,
        **_tls(connection),
    )


def unix_client(connection: Any, options: TransportOptions) -> redis.Redis:
    """A client for ``svcjobs-unix:///path`` (database 0) or ``svcjobs-unix://%2Fpath/db``."""
    host, path = connection.hostname or "", connection.virtual_host or ""
    in_host = host.startswith("/")
    settings = _settings(connection, options)
    tcp_only = ("socket_keepalive", "socket_keepalive_options", "socket_connect_timeout")
    return redis.Redis(
        unix_socket_path=host if in_host else f"/{path.lstrip('/')}",
        db=_database(path) if in_host else 0,
        **{name: value for name, value in settings.items() if name not in tcp_only},
    )


def sentinel_client(connection: Any, options: TransportOptions) -> redis.Redis:
    """A client for ``svcjobs-sentinel://host:port;svcjobs-sentinel://host:port/db``.

    Raises:
        ConfigurationError: the option ``master_name`` is missing.
    """
    if not options.master_name:
        raise ConfigurationError(
            "svcjobs-sentinel:// needs the transport option master_name: the Sentinels' name for it"
        )
    settings = _settings(connection, options) | {"db": _database(connection.virtual_host)}
    if connection.ssl:
        settings |= {"ssl": True} | _tls(connection)
    kind = SentinelManagedSSLConnection if connection.ssl else SentinelManagedConnection
    sentinels = Sentinel(sentinels_of(connection), **options.sentinel, **settings)
    client: redis.Redis = sentinels.master_for(options.master_name, connection_class=kind)
    return client


def cluster_client(connection: Any, options: TransportOptions) -> redis.RedisCluster:
    """A client for ``svcjobs-cluster://host:port;svcjobs-cluster://host:port``: some nodes of a Redis Cluster.

    Raises:
        ConfigurationError: the URL names a database.
        redis.exceptions.RedisClusterException: no node answers.
    """
    if _database(connection.virtual_host):
        raise ConfigurationError("the broker URL names a database: a Redis Cluster has only database 0")
    settings = _settings(connection, options)
    del settings["retry"]
    if connection.ssl:
        settings |= {"ssl": True} | _tls(connection)
    return open_cluster(nodes_of(connection), 1, **settings)


def sentinels_of(connection: Any) -> list[tuple[str, int]]:
    """Host and port of each Sentinel in the URLs of a kombu connection."""
    return _hosts(connection, SENTINEL_PORT, "svcjobs-sentinel://", "sentinel://")


def nodes_of(connection: Any) -> list[tuple[str, int]]:
    """Host and port of each node of a cluster in the URLs of a kombu connection."""
    return _hosts(connection, DEFAULT_PORT, "svcjobs-cluster://")


def _hosts(connection: Any, default_port: int, *schemes: str) -> list[tuple[str, int]]:
    parts = [url_to_parts(url) for url in connection.alt or () if url.startswith(schemes)]
    nodes = [(part.hostname, part.port or default_port) for part in parts]
    return nodes or [(connection.hostname or "127.0.0.1", connection.port or default_port)]


def _settings(connection: Any, options: TransportOptions) -> dict[str, Any]:
    # a connection that the server closed while it was idle is opened again; whatever else fails is reported
    limits = {"socket_timeout": options.timeout_seconds / 3, "socket_connect_timeout": options.timeout_seconds / 3}
    return limits | {"retry": Retry(NoBackoff(), 1)} | _credentials(connection, options) | options.connection


def _credentials(connection: Any, options: TransportOptions) -> dict[str, Any]:
    provider = options.credential_provider or getattr(connection, "credential_provider", None)
    if provider:
        provider = symbol_by_name(provider)() if isinstance(provider, str) else provider
        return {"credential_provider": provider}
    password = connection.password
    return {"username": connection.userid, "password": password() if callable(password) else password}


def _tls(connection: Any) -> dict[str, Any]:
    given = dict(connection.ssl) if isinstance(connection.ssl, dict) else {}
    required = given.get("ssl_cert_reqs", ssl.CERT_REQUIRED)
    checked = required not in (ssl.CERT_NONE, "none", None)
    if isinstance(required, ssl.VerifyMode):
        required = {ssl.CERT_NONE: "none", ssl.CERT_OPTIONAL: "optional"}.get(required, "required")
    # redis-py 5 doesn't check the host's name unless it is told to
    return {"ssl_check_hostname": checked} | given | {"ssl_cert_reqs": required if checked else "none"}


def _database(virtual_host: Any) -> int:
    """The database that a URL's path names.

    Raises:
        ConfigurationError: it is no number.
    """
    text = str(virtual_host or "").strip("/")
    if text and not text.isdecimal():
        raise ConfigurationError(f"the broker URL names database {text!r}: give a number")
    return int(text or 0)
