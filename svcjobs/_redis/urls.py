"""From the URL of a Redis server, Sentinel set or Cluster to a client."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.connection import parse_url
from redis.exceptions import RedisClusterException

from svcjobs.errors import ConfigurationError, QueueUnavailable

SyncClient: TypeAlias = "redis.Redis | redis.RedisCluster"
AsyncClient: TypeAlias = "redis.asyncio.Redis | redis.asyncio.RedisCluster"
Node: TypeAlias = tuple[str, int]

_SCHEMES = (
    "redis://, rediss://, or unix:// (redis+sentinel:// or rediss+sentinel:// for Sentinel, "
    "redis+cluster:// or rediss+cluster:// for a Cluster)"
)
_CELERYS_CERT_REQS = re.compile(r"(?<=ssl_cert_reqs=)CERT_(?:NONE|OPTIONAL|REQUIRED)\b")
_AUTHORITY = re.compile("://([^/?#]*)")
_TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_SECRET_OPTION = re.compile(r"((?:^|[?&])[^=&]*(?:password|token|secret)[^=&]*=)[^&#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A checked URL.

    Args:
        text: the URL itself, password included.
        kind: ``plain`` is one server.
        nodes: host and port of each Sentinel or Cluster node; empty for ``plain``.
        options: keyword arguments for the client's connections, from user, password, database and query.
        service: the name under which the Sentinels know the server.
        sentinel_options: the same as ``options``, for the connections to the Sentinels themselves.
    """

    text: str = field(repr=False)
    kind: Literal["plain", "sentinel", "cluster"] = "plain"
    nodes: tuple[Node, ...] = ()
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    service: str = ""
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return mask(self.text)


def mask(url: str) -> str:
    """The URL with asterisks for its passwords, whatever else is wrong with it."""
    # of a password with a question mark in it, the rest isn't a query
    user_end = url.rfind("@")
    start = url.find("?", user_end + 1)
    address, query = (url[:start], url[start + 1 :]) if start >= 0 else (url, "")
    scheme, separator, rest = address.rpartition("://") if "://" in address else ("", "", address)
    user_info, at, host = rest.rpartition("@")
    if at:
        user, colon, _ = user_info.partition(":")
        # a lone word may be a token that was meant as the password
        rest = f"{user}:***@{host}" if colon else f"***@{host}"
    shown = f"{scheme}{separator}{rest}"
    return shown + _SECRET_OPTION.sub(r"\1***", f"?{query}") if query else shown


def parse(url: str) -> RedisUrl:
    """Check a URL and take it apart.

    ``redis://[user:password@]host[:port][/db][?option=value]``, ``rediss://…`` (TLS), ``unix:///path?db=0``,
    ``redis+sentinel://[user:password@]host1:26379,host2:26379/service[/db]`` (the user and password are those
    of the server; ``?sentinel_username=…&sentinel_password=…`` are for the Sentinels) and
    ``redis+cluster://[user:password@]host1:7000,host2:7001``. Options are those of redis-py's
    connections; of ``ssl_cert_reqs`` also the names that Celery has.

    Raises:
        ConfigurationError: it isn't such a URL. The message shows no password.
    """
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PARSERS:
        rest = " (a REST address; a queue needs the Redis protocol)" if scheme in ("http", "https") else ""
        raise ConfigurationError(f"the Redis URL is {mask(url)!r}{rest}: give one that begins with {_SCHEMES}")
    try:
        return _PARSERS[scheme](_CELERYS_CERT_REQS.sub(lambda name: name[0].removeprefix("CERT_").lower(), url))
    except ConfigurationError:
        raise
    except ValueError as error:  # a port that is no number, an unclosed bracket, an option of the wrong type
        raise ConfigurationError(f"the Redis URL {mask(url)!r} can't be read: {_reason(error, url)}") from None


def split_authority(url: str) -> tuple[str, str, str]:
    """Scheme, hosts with their credentials, and the URL without them, for one that may have several hosts.

    Python's own parser takes an IPv6 address in a list for a broken host, since CVE-2025-0938.
    """
    scheme, authority, rest = _AUTHORITY.split(url, maxsplit=1)
    return scheme.lower(), authority, f"{scheme}://{rest}"


def connect(url: RedisUrl) -> SyncClient:
    """A client for the URL. Only a Cluster is asked for its layout at once; the others connect when used.

    Raises:
        QueueUnavailable: no node of the Cluster answers.
    """
    if url.kind == "plain":
        return redis.Redis.from_url(url.text)
    if url.kind == "sentinel":
        sentinels = redis.sentinel.Sentinel(list(url.nodes), sentinel_kwargs=url.sentinel_options, **url.options)
        client: redis.Redis = sentinels.master_for(url.service)
        return client
    nodes = [redis.cluster.ClusterNode(host, port) for host, port in url.nodes]
    try:
        return redis.RedisCluster(startup_nodes=nodes, **url.options)
    except (RedisClusterException, redis.RedisError, OSError) as error:  # the first is no RedisError
        raise QueueUnavailable(f"no node of {url} answers: {error}") from error


def connect_async(url: RedisUrl) -> AsyncClient:
    """A client for asyncio. It connects when it is used."""
    if url.kind == "plain":
        return redis.asyncio.Redis.from_url(url.text)
    if url.kind == "sentinel":
        sentinels = redis.asyncio.sentinel.Sentinel(
            list(url.nodes), sentinel_kwargs=url.sentinel_options, **url.options
        )
        client: redis.asyncio.Redis = sentinels.master_for(url.service)
        return client
    nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in url.nodes]
    return redis.asyncio.RedisCluster(startup_nodes=nodes, **url.options)


def _plain(url: str) -> RedisUrl:
    parts = urlsplit(url)
    if parts.scheme != "unix":
        _check_db(parts.path.strip("/"), url)
        _ = parts.port  # raises ValueError
    elif not parts.path:
        raise ConfigurationError("the Redis URL unix:// has no path: write unix:///path/to/redis.sock")
    parse_url(url)
    _check_options(url, redis.ConnectionPool.from_url(url))
    return RedisUrl(url)


def _sentinel(url: str) -> RedisUrl:
    user_info, nodes, path, options = _take_apart(url, default_port=26379)
    service, _, db = path.partition("/")
    if not service:
        raise ConfigurationError(f"the Sentinel URL {mask(url)!r} names no service: end it with /name or /name/db")
    _check_db(db, url)
    sentinel_options = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    sentinel_options |= {name: value for name, value in options.items() if name.startswith(("ssl", "socket_"))}
    if db:
        options["db"] = int(db)
    options |= user_info
    _check_options(url, *(_pool(given) for given in (options, sentinel_options)))
    return RedisUrl(url, "sentinel", nodes, options, service, sentinel_options)


def _cluster(url: str) -> RedisUrl:
    user_info, nodes, path, options = _take_apart(url, default_port=6379)
    if path not in ("", "0") or options.pop("db", 0):
        raise ConfigurationError(f"the Cluster URL {mask(url)!r} names a database: a Cluster has only database 0")
    options |= user_info
    _check_options(url, _pool(options))
    return RedisUrl(url, "cluster", nodes, options)


_PARSERS = {
    "redis": _plain, "rediss": _plain, "unix": _plain,
    "redis+sentinel": _sentinel, "rediss+sentinel": _sentinel,
    "redis+cluster": _cluster, "rediss+cluster": _cluster,
}  # fmt: skip


def _pool(options: dict[str, Any]) -> redis.ConnectionPool:
    kind = redis.SSLConnection if options.get("ssl") else redis.Connection
    return redis.ConnectionPool(kind, **{name: value for name, value in options.items() if name != "ssl"})


def _check_options(url: str, *pools: redis.ConnectionPool) -> None:
    """Let each pool make a connection, which connects when it is used: a wrong option shows."""
    try:
        for pool in pools:
            pool.make_connection()
    except (TypeError, redis.RedisError) as error:
        raise ConfigurationError(f"an option of the Redis URL {mask(url)!r} can't be used: {error}") from None
    for name, path in ((name, pool.connection_kwargs.get(name)) for pool in pools for name in _TLS_FILES):
        if path and not os.access(path, os.R_OK):
            raise ConfigurationError(f"{name} of the Redis URL {mask(url)!r} is {path}, which can't be read")


def _take_apart(url: str, default_port: int) -> tuple[dict[str, Any], tuple[Node, ...], str, dict[str, Any]]:
    """Credentials, nodes, path without outer slashes, and query options of a URL with several hosts."""
    scheme, authority, rest = split_authority(url)
    user_info, _, hosts = authority.rpartition("@")
    parts = urlsplit(rest)
    nodes = tuple(_node(host, default_port) for host in hosts.split(",") if host.strip())
    if not nodes:
        raise ConfigurationError(f"the Redis URL {mask(url)!r} names no host")
    # redis-py reads credentials and options; the host is ours
    options = parse_url(urlunsplit(("redis", f"{user_info}@host", "", parts.query, "")))
    del options["host"]
    credentials = {name: options.pop(name) for name in ("username", "password") if name in options}
    if scheme.startswith("rediss"):
        options["ssl"] = True
    return credentials, nodes, parts.path.strip("/"), options


def _node(text: str, default_port: int) -> Node:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ConfigurationError(f"{text!r} in the Redis URL isn't host:port")
    return parts.hostname, parts.port or default_port


def _check_db(db: str, url: str) -> None:
    if "@" in db:
        raise ConfigurationError("the user or password in the Redis URL has a slash in it: write it as %2F")
    # redis-py would take database 0 instead, and nobody would notice
    if db and not db.isdecimal():
        raise ConfigurationError(f"the Redis URL {mask(url)!r} names database {db!r}: give a number")


def _reason(error: ValueError, url: str) -> str:
    """What the parser said, unless it quotes the part with the password."""
    user_info, at, _ = url.rpartition("@")
    secret = user_info.rpartition(":")[2]
    return "it isn't well-formed" if at and secret and secret in str(error) else str(error)
