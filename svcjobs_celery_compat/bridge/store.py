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
from svcjobs_celery_compat.bridge.identity import identify
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
        job_id: as which job.
        is_own: whether no other message can have this id.
        is_new: whether it wasn't stored before.
        is_delayed: whether it waits for its time.
    """

    queue: str
    job_id: str
    is_own: bool
    is_new: bool
    is_delayed: bool


class Store:
    """Some queues of svcjobs.

    A message is stored under an id that is made of its identity, with a unique key of the same text. The one keeps it
    from being stored twice while its job lives, the other when the job is done already.

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
                key = f"{self.queue(one.queue).name}:unique:{one.job_id}"
                pipe.expire(key, ACKED_SECONDS if one.is_own else 0)
            pipe.execute()

    def _put(self, name: str, deliveries: Sequence[Delivery]) -> list[Stored]:
        equals: Counter[str] = Counter()
        stored: list[Stored] = []
        while deliveries:
            ids, jobs = [], []
            for delivery in deliveries:
                identity = identify(delivery.message)
                job_id = identity.name if identity.is_own else f"{identity.name}-{equals[identity.name]}"
                equals[identity.name] += 1
                ids.append(identity)
                jobs.append(_job(delivery, job_id))
            created = self._enqueue(self.queue(name), jobs)
            others = []
            for delivery, identity, job, is_new in zip(deliveries, ids, jobs, created, strict=True):
                if delivery.is_fresh and not identity.is_own and not is_new:
                    others.append(delivery)  # it says the same as one that is stored, and is another message
                else:
                    stored.append(Stored(name, str(job.job_id), identity.is_own, is_new, job.delay_seconds > 0))
            deliveries = others
        return stored

    def _enqueue(self, queue: RedisJobQueue, jobs: Sequence[NewJob]) -> list[bool]:
        try:
            return [job.created for job in queue.enqueue_many(jobs)]
        except JobIsDead:
            if len(jobs) == 1:
                return [False]
        return [is_new for job in jobs for is_new in self._enqueue(queue, [job])]

    def close(self) -> None:
        """Close the connections."""
        self._queues.close()
        self._client.close()


def _job(delivery: Delivery, job_id: str) -> NewJob:
    unique = Unique(job_id, "window", IN_DOUBT_SECONDS)
    return replace(as_job(delivery.message, delivery.priority), job_id=job_id, unique=unique)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise translate(error) from error
