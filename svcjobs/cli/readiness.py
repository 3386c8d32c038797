"""Whether a server can be trusted with jobs, asked before a worker starts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.connections import derive, is_cluster
from svcjobs._redis.failures import translate
from svcjobs._redis.urls import connect, parse
from svcjobs.errors import ConfigurationError, JobsError, QueueRefused, QueueUnavailable

OLDEST_REDIS = (6, 2)
OLDEST_VALKEY = (7, 2)
ANSWER_WITHIN_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 5.0

Info = Mapping[str, Any]
Tell = Callable[[str], None]


def wait_until_ready(
    url: str, *, allow_eviction: bool, tell: Tell, pause: Callable[[float], None] = time.sleep
) -> None:
    """Return when the server answers and can be trusted; while it is away, say so and ask again.

    Args:
        url: the server, Sentinel set or Cluster.
        allow_eviction: start although the server may drop jobs when its memory is full.
        tell: gets each message for the user.
        pause: waits some seconds.

    Raises:
        ConfigurationError: the server is too old, or may evict jobs, or the URL can't be used.
        QueueRefused: the server refuses the credentials.
    """
    parsed = parse(url)
    seconds = 0.5
    while True:
        try:
            infos = _ask(url)
        except QueueUnavailable as error:
            tell(f"{parsed} isn't ready: {error}; next try in {seconds:g} s")
            pause(seconds)
            seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)
            continue
        except QueueRefused as error:
            if "NOPERM" not in str(error) and "no permissions" not in str(error):
                raise
            tell("this user may not ask INFO, so the server's version and eviction policy go unchecked")
            return
        for info in infos:
            check_version(info)
            check_eviction(info, allow=allow_eviction, tell=tell)
        return


def check_version(info: Info) -> None:
    """Refuse a server that is older than Redis 6.2 or Valkey 7.2.

    Raises:
        ConfigurationError: it is.
    """
    product, text, oldest = ("Redis", str(info.get("redis_version", "")), OLDEST_REDIS)
    if "valkey_version" in info:
        product, text, oldest = ("Valkey", str(info["valkey_version"]), OLDEST_VALKEY)
    found = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if found and found < oldest:
        raise ConfigurationError(
            f"the server is {product} {text}: svcjobs needs Redis {_dotted(OLDEST_REDIS)} or Valkey "
            f"{_dotted(OLDEST_VALKEY)}, or later"
        )


def check_eviction(info: Info, *, allow: bool, tell: Tell) -> None:
    """Refuse a server that drops keys when its memory is full: a dropped key is a lost job.

    Raises:
        ConfigurationError: its policy isn't ``noeviction`` and ``allow`` is False.
    """
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return
    danger = f"the server's maxmemory-policy is {policy}: it drops jobs when its memory is full"
    if not allow:
        raise ConfigurationError(f"{danger}. Set maxmemory-policy noeviction, or start with --allow-eviction")
    tell(danger)


def _ask(url: str) -> list[Info]:
    """Sections server and memory of INFO, from every primary."""
    client: Any = None
    source: Any = None
    try:
        source = connect(parse(url))
        client = derive(source, ANSWER_WITHIN_SECONDS)
        if is_cluster(client):
            answers: Any = [_sections(client, target_nodes=node) for node in client.get_primaries()]
        else:
            answers = [_sections(client)]
    except JobsError:
        raise
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise translate(error) from error
    finally:
        for opened in (client, source):
            if opened is not None:
                opened.close()
    return list(answers)


def _sections(client: Any, **target: Any) -> Info:
    return {**client.info("server", **target), **client.info("memory", **target)}


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
