"""Clients of our own, made from the caller's: same server and credentials, our time-outs, no retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from svcjobs.errors import ConfigurationError

# what a pool adds for its own connections, or what we set ourselves
_NOT_TAKEN_OVER = frozenset(
    {
        "connection_pool", "himport_registry", "maint_notifications_pool_handler", "maint_notifications_config",
        "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout",
        "decode_responses", "retry", "retry_on_timeout", "retry_on_error", "socket_timeout", "socket_connect_timeout",
        "socket_keepalive", "health_check_interval", "encoding_errors", "redis_connect_func", "response_callbacks",
        "oss_cluster_maint_notifications_handler",
    }
)  # fmt: skip

MOST_CONNECTIONS = 50
"""Of one queue: further calls side by side wait their turn, where redis-py's own pools would raise."""


def is_cluster(client: object) -> bool:
    """Whether ``client`` talks to a Redis Cluster."""
    return isinstance(client, RedisCluster | redis.asyncio.RedisCluster)


def check_client(client: object, *, asynchronous: bool) -> None:
    """Raise ConfigurationError unless ``client`` is one of redis-py's, for asyncio or not."""
    queue, module = ("AsyncRedisJobQueue", "redis.asyncio") if asynchronous else ("RedisJobQueue", "redis")
    other = (redis.Redis, RedisCluster) if asynchronous else (redis.asyncio.Redis, redis.asyncio.RedisCluster)
    # others that have a pool may be as good: a wrapper, or a client of a fork of redis-py
    if isinstance(client, other) or not (is_cluster(client) or hasattr(client, "connection_pool")):
        given = f"{type(client).__module__}.{type(client).__name__}"
        raise ConfigurationError(
            f"{queue} got a {given}: give it a {module}.Redis, such as {module}.Redis.from_url(url)"
        )


def home_db(client: Any) -> int:
    """The database that ``client`` works on."""
    pool = getattr(client, "connection_pool", None)  # what a cluster's client has for each node
    return 0 if pool is None else int(pool.connection_kwargs.get("db") or 0)


def open_cluster(nodes: Sequence[tuple[str, int]], retries: int, **options: Any) -> RedisCluster:
    """A client of a Cluster. What a node didn't take is sent ``retries`` times more, to where its slot is then.

    Raises:
        redis.exceptions.RedisClusterException: no node answers. It is no RedisError.
    """
    options.pop("db", None)  # a cluster has one only, and its client refuses to be told
    startup = [ClusterNode(host, port) for host, port in nodes]
    # made with retries: it asks a node for its commands, and that one may be away while the others are not
    client = RedisCluster(startup_nodes=startup, retry=Retry(NoBackoff(), len(startup)), **options)
    client.set_retry(Retry(NoBackoff(), retries))
    return client


def derive(client: Any, socket_timeout: float) -> Any:
    """A sync client for the server of ``client``."""
    if isinstance(client, RedisCluster):
        manager = client.nodes_manager
        nodes = [(node.host, node.port) for node in manager.startup_nodes.values()]
        return open_cluster(nodes, 0, **_options(manager.connection_kwargs, socket_timeout))
    pool = client.connection_pool
    options = _options(pool.connection_kwargs, socket_timeout) | {"retry": Retry(NoBackoff(), 0)}
    options["connection_class"] = pool.connection_class  # with TLS or without
    if isinstance(pool, SentinelConnectionPool):
        return redis.Redis.from_pool(
            SentinelConnectionPool(pool.service_name, pool.sentinel_manager, is_master=pool.is_master, **options)
        )
    pool = redis.BlockingConnectionPool(max_connections=MOST_CONNECTIONS, timeout=2 * socket_timeout, **options)
    return redis.Redis.from_pool(pool)


def derive_async(client: Any, socket_timeout: float) -> Any:
    """An asyncio client for the server of ``client``."""
    retry = AsyncRetry(NoBackoff(), 0)
    if isinstance(client, redis.asyncio.RedisCluster):
        manager = client.nodes_manager
        nodes = [redis.asyncio.cluster.ClusterNode(node.host, node.port) for node in manager.startup_nodes.values()]
        options = _options(client.connection_kwargs, socket_timeout)
        options.pop("db", None)
        return redis.asyncio.RedisCluster(startup_nodes=nodes, retry=retry, **options)
    pool = client.connection_pool
    options = _options(pool.connection_kwargs, socket_timeout) | {"retry": retry}
    options["connection_class"] = pool.connection_class
    if isinstance(pool, AsyncSentinelConnectionPool):
        return redis.asyncio.Redis.from_pool(
            AsyncSentinelConnectionPool(pool.service_name, pool.sentinel_manager, is_master=pool.is_master, **options)
        )
    pool = redis.asyncio.BlockingConnectionPool(max_connections=MOST_CONNECTIONS, timeout=2 * socket_timeout, **options)
    return redis.asyncio.Redis.from_pool(pool)


def _options(given: dict[str, Any], socket_timeout: float) -> dict[str, Any]:
    options = {name: value for name, value in given.items() if name not in _NOT_TAKEN_OVER}
    options |= {"decode_responses": False, "socket_timeout": socket_timeout, "socket_connect_timeout": socket_timeout}
    if "path" not in options:
        options["socket_keepalive"] = True
    return options
