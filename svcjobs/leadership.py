"""Which of several schedulers is at work."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Any, Protocol, runtime_checkable

from svcjobs._redis import leader_calls
from svcjobs._redis.link import Link
from svcjobs.errors import ConfigurationError


@runtime_checkable
class SchedulerLeadership(Protocol):
    """Elects one scheduler, which saves the others the work.

    It promises no more: a leader that is stopped may wake up beside its successor. That each tick is served once
    is the queue's promise (:meth:`~svcjobs.queue.JobQueue.claim_tick`). The methods may block, and are called
    from any thread.
    """

    @property
    def heartbeat_interval_seconds(self) -> float:
        """How often a leader renews its leadership, in seconds."""
        ...

    def ensure_leader(self) -> bool:
        """Whether the caller leads: takes the leadership if it is free, renews it if it is the caller's.

        Raises:
            QueueUnavailable: the server didn't answer; who leads is unknown.
        """
        ...

    def release(self) -> None:
        """Give the leadership up, if it is the caller's, so that another can take it at once.

        Raises:
            QueueUnavailable: the server didn't answer; the leadership ends with its lease then.
        """
        ...


class RedisSchedulerLeader:
    """Leadership as a key with a time to live: whoever sets it leads until it expires.

    When a leader dies, another takes over within ``lease_seconds`` plus the second that schedulers wait between
    looks. Make one object per process, after a fork: two objects with the same ``owner_id`` lead both.

    Args:
        client: a Redis client; own connections are derived from it.
        key: the key; one for all schedulers of an application.
        lease_seconds: how long the key lives without being renewed; it is renewed at a third of that.
        owner_id: name of this scheduler; host, process and a random part when left out.

    Raises:
        ConfigurationError: ``lease_seconds`` isn't positive, or a text is empty.
    """

    def __init__(
        self,
        client: Any,
        *,
        key: str = "jobs:scheduler:leader",
        lease_seconds: float = 180,
        owner_id: str | None = None,
    ) -> None:
        if not 0 < lease_seconds < 1e10:
            raise ConfigurationError(f"lease_seconds is {lease_seconds!r}: give a positive number of seconds")
        if not key or owner_id == "":
            raise ConfigurationError("the leader's key and owner_id can't be empty")
        self.key = key
        self.lease_seconds = lease_seconds
        self.owner_id = owner_id or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._link = Link(client)

    @property
    def heartbeat_interval_seconds(self) -> float:
        """A third of the lease: two renewals may fail."""
        return self.lease_seconds / 3

    def ensure_leader(self) -> bool:
        """Take or renew the leadership, in one script."""
        return self._link.run(leader_calls.lead(self.key, self.owner_id, self.lease_seconds))

    def release(self) -> None:
        """Remove the key if it is ours."""
        self._link.run(leader_calls.resign(self.key, self.owner_id))

    def close(self) -> None:
        """Close the connections."""
        self._link.close()
