"""The queues of svcjobs that the bridge writes to: each message is stored once, however often it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import redis

from svcjobs._redis.connections import derive
from svcjobs._redis.failures import translate
from svcjobs.errors import JobIsDead
from svcjobs.job import NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.bridge.broker import Delivery
from svcjobs_celery_compat.bridge.identity import Identity, identify
from svcjobs_celery_compat.transport.expiry import Declarations
from svcjobs_celery_compat.transport.options import read_options
from svcjobs_celery_compat.transport.queues import Queues
from svcjobs_celery_compat.transport.wire import as_job

IN_DOUBT_SECONDS = 30 * 86400
"""How long a message is known again that is stored here and not acked there: a bridge was killed in between."""
ACKED_SECONDS = 3600
"""The same after the ack: another consumer may have been given it meanwhile, or the old broker may lose the ack."""
ANSWER_WITHIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that is stored.

    Args:
        queue: in which queue.
        key: by which it is known again.
        is_own: whether no other message can have this key.
        is_new: whether it wasn't stored before.
        is_delayed: whether it waits for its time.
    """

    queue: str
    key: str
    is_own: bool
    is_new: bool
    is_delayed: bool


class Store:
    """Some queues of svcjobs.

    A message with an id of its own is stored under a job id that is made of it, with a unique key of the same text. The
    one keeps it from being stored twice while its job lives, the other when the job is done already. Equal messages
    without ids are numbered: each takes the first number that none has which is stored here and not acked there. One
    that is delivered anew takes such a number for its own.

    Args:
        client: of the server.
        root: prefix of the default queue.
        names: of the queues.
    """

    def __init__(self, client: Any, root: str, names: Sequence[str]) -> None:
        self._client = derive(client, ANSWER_WITHIN_SECONDS)
        self._queues = Queues(client, read_options({"prefix": root}))
        self._declarations = Declarations(self._client)
        self.names = names

    @property
    def reconnects(self) -> int:
        """How often a connection to the server was opened anew."""
        return self.queue(self.names[0]).reconnects

    def queue(self, name: str) -> RedisJobQueue:
        """The queue with a kombu name."""
        return self._queues.named(name)

    def declare(self) -> None:
        """Let programs that ask for the queues see them.

        Raises:
            QueueUnavailable: the server doesn't answer.
        """
        with _translated():
            for name in self.names:
                prefix = self.queue(name).name
                if not self._declarations.exists(prefix):
                    self._declarations.declare(prefix, None)

    def put(self, deliveries: Sequence[Delivery]) -> list[Stored]:
        """Store messages; returns what became of each, one queue after the other.

        Raises:
            QueueUnavailable: the server doesn't answer; some, or all, may be stored.
            QueueFull: the server is out of memory.
        """
        return [
            stored
            for name in dict.fromkeys(delivery.queue for delivery in deliveries)
            for stored in self._put(name, [delivery for delivery in deliveries if delivery.queue == name])
        ]

    def forget(self, acked: Sequence[Stored]) -> None:
        """These messages are acked: they don't come again, or soon.

        Raises:
            QueueUnavailable: the server doesn't answer.
        """
        with _translated():
            pipe = self._client.pipeline(transaction=False)
            for one in acked:
                key = f"{self.queue(one.queue).name}:unique:{one.key}"
                pipe.expire(key, ACKED_SECONDS if one.is_own else 0)
            pipe.execute()

    def _put(self, name: str, deliveries: Sequence[Delivery]) -> list[Stored]:
        numbers: Counter[str] = Counter()
        stored: list[Stored] = []
        while deliveries:
            tries = [_try(delivery, numbers) for delivery in deliveries]
            others = []
            holders = self._enqueue(self.queue(name), [job for _, _, job in tries])
            for delivery, (identity, key, job), (holder, is_new) in zip(deliveries, tries, holders, strict=True):
                is_mine = is_new or identity.is_own or holder == job.job_id
                if is_mine or not delivery.is_fresh:
                    stored.append(Stored(name, key, identity.is_own, is_new, job.delay_seconds > 0))
                else:
                    others.append(delivery)  # it says the same as one that is stored, and is another message
            deliveries = others
        return stored

    def _enqueue(self, queue: RedisJobQueue, jobs: Sequence[NewJob]) -> list[tuple[str | None, bool]]:
        """The id of the job that there is for each, and whether it is this one."""
        try:
            return [(job.id, job.created) for job in queue.enqueue_many(jobs)]
        except JobIsDead:
            if len(jobs) == 1:
                return [(jobs[0].job_id, False)]
        return [one for job in jobs for one in self._enqueue(queue, [job])]

    def close(self) -> None:
        """Close the connections."""
        self._queues.close()
        self._client.close()


def _try(delivery: Delivery, numbers: Counter[str]) -> tuple[Identity, str, NewJob]:
    """Identity of a message, the key by which it is to be known again, and its job."""
    identity = identify(delivery.message)
    key = job_id = identity.name
    if not identity.is_own:
        key, job_id = f"{key}-{numbers[key]}", f"{key}-{delivery.nonce}"
        numbers[identity.name] += 1
    job = as_job(delivery.message, delivery.priority)
    return identity, key, replace(job, job_id=job_id, unique=Unique(key, "window", IN_DOUBT_SECONDS))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise translate(error) from error
