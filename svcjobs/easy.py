"""A queue and a scheduler from the environment, in one call."""

from __future__ import annotations

from typing import Any, Literal

from redis import Redis

from svcjobs._redis.connections import is_cluster
from svcjobs._redis.names import queue_prefix
from svcjobs._redis.urls import connect, parse
from svcjobs.errors import ConfigurationError
from svcjobs.heartbeats import Heartbeats
from svcjobs.leadership import RedisSchedulerLeader
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.queue import JobQueue
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settings import QueueSettings, SchedulerSettings, environment, redis_url

Coordination = Literal["auto", "redis", "off"]


class JobsConfig:
    """Which driver keeps the jobs, and how schedulers agree on a leader.

    Args:
        driver: ``memory`` or ``redis``, kept as given; JOBS_DRIVER in lower case, else ``memory``, when left out.
        scheduler_coordination: ``auto`` (a leader when jobs are kept in Redis), ``redis`` (always) or ``off``;
            JOBS_SCHEDULER_COORDINATION when left out.
        scheduler_lease_seconds: how long a leader that fell silent stays one; JOBS_SCHEDULER_LEASE_SECONDS.
        scheduler_lease_key: the leader's key in Redis; JOBS_SCHEDULER_LEASE_KEY.

    Raises:
        ConfigurationError: a scheduler value can't be used. The driver is checked when it is used.
    """

    def __init__(
        self,
        driver: str | None = None,
        *,
        scheduler_coordination: Coordination | None = None,
        scheduler_lease_seconds: float | None = None,
        scheduler_lease_key: str | None = None,
    ) -> None:
        self.driver = driver or (environment("JOBS_DRIVER") or "memory").lower()
        settings = SchedulerSettings.from_environment(
            coordination=scheduler_coordination, lease_seconds=scheduler_lease_seconds, lease_key=scheduler_lease_key
        )
        self.scheduler_coordination: Coordination = settings.coordination
        self.scheduler_lease_seconds = settings.lease_seconds
        self.scheduler_lease_key = settings.lease_key


def easy_jobs(*, driver: str | None = None) -> tuple[JobQueue, InMemoryScheduler]:
    """The default queue, and a scheduler for it. With Redis, schedulers elect a leader and share their ticks.

    Args:
        driver: ``memory`` or ``redis``; JOBS_DRIVER when left out.

    Raises:
        ConfigurationError: the driver, the URL or another setting can't be used; the message says what to write.
        QueueUnavailable: the URL is that of a Cluster, and no node answers.
    """
    config = JobsConfig(driver)
    if _checked(config.driver) == "memory":
        queue: JobQueue = InMemoryJobQueue()
        return queue, scheduler_for(queue, config)
    client = open_client(redis_url())
    queue = open_queue(client)
    return queue, scheduler_for(queue, config, client)


def open_client(url: str) -> Any:
    """A Redis client for a URL of any kind that :func:`svcjobs._redis.urls.parse` takes.

    Raises:
        ConfigurationError: the URL can't be used.
        QueueUnavailable: no node of the Cluster answers. Other clients connect when they are used.
    """
    parsed = parse(url)
    return Redis.from_url(parsed.text) if parsed.kind == "plain" else connect(parsed)


def open_queue(
    client: Any, name: str | None = None, *, visibility_timeout: float = 60, timeout_seconds: float = 2.0
) -> RedisJobQueue:
    """The queue ``name`` (the default queue: None) on the server of ``client``.

    Raises:
        ConfigurationError: the name, JOBS_PREFIX or JOBS_REPLICAS can't be used.
    """
    settings = QueueSettings.from_environment(driver="redis")
    root = f"{{{settings.prefix}}}" if is_cluster(client) else settings.prefix
    return RedisJobQueue(
        client,
        prefix=queue_prefix(settings.prefix if name is None else name, root),
        visibility_timeout=visibility_timeout,
        timeout_seconds=timeout_seconds,
        replicas=settings.replicas,
    )


def open_heartbeats(client: Any, *, timeout_seconds: float = 2.0) -> Heartbeats:
    """The account of live workers on the server of ``client``.

    Raises:
        ConfigurationError: JOBS_PREFIX can't be used.
    """
    prefix = QueueSettings.from_environment(driver="redis").prefix
    root = f"{{{prefix}}}" if is_cluster(client) else prefix
    return Heartbeats(client, prefix=root, timeout_seconds=timeout_seconds)


def scheduler_for(queue: JobQueue, config: JobsConfig, client: Any = None) -> InMemoryScheduler:
    """A scheduler without entries.

    Args:
        queue: takes the jobs, and keeps which ticks were taken.
        config: coordination, lease and key of the leader.
        client: elects the leader. Without one there is none, unless coordination is ``redis``: then REDIS_URL has it.
    """
    if config.scheduler_coordination == "off" or (config.scheduler_coordination == "auto" and client is None):
        return InMemoryScheduler(queue=queue)
    leader = RedisSchedulerLeader(
        open_client(redis_url()) if client is None else client,
        key=config.scheduler_lease_key,
        lease_seconds=config.scheduler_lease_seconds,
    )
    return InMemoryScheduler(queue=queue, leader=leader)


def _checked(driver: str) -> str:
    if driver.lower() not in ("memory", "redis"):
        raise ConfigurationError(f"the driver is {driver!r}: use 'memory' or 'redis' (argument driver, or JOBS_DRIVER)")
    return driver.lower()
