"""What a process that runs for long keeps open: its queues, and a scheduler on the default one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from svcjobs.cli.queues import Place
from svcjobs.cli.readiness import wait_until_ready
from svcjobs.easy import JobsConfig, open_client, open_queue, scheduler_for
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.queue import JobQueue
from svcjobs.scheduler import InMemoryScheduler

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """Open queues.

    Args:
        queues: the ones to take jobs from.
        home: the default queue, which takes the schedule's jobs and keeps its ticks, whichever ``queues`` are served:
            all schedulers have to claim their ticks in the same one.
        scheduler: without entries, on ``home``.
    """

    queues: Sequence[JobQueue]
    home: JobQueue
    scheduler: InMemoryScheduler


@contextmanager
def open_backend(
    place: Place, names: Sequence[str] = (), *, visibility_timeout: float = 60, allow_eviction: bool = False
) -> Iterator[Backend]:
    """Wait for the server, check it, and open the queues ``names`` (the default one: none) until the end.

    Raises:
        ConfigurationError: the server can't be trusted with jobs, or a setting can't be used.
    """
    if place.is_memory:
        memory = InMemoryJobQueue(visibility_timeout=visibility_timeout)
        yield Backend([memory], memory, scheduler_for(memory, JobsConfig("memory")))
        return
    wait_until_ready(place.url, allow_eviction=allow_eviction, tell=logger.warning)
    with ExitStack() as closing:
        client = open_client(place.url)
        closing.callback(client.close)
        home = open_queue(client, visibility_timeout=visibility_timeout)
        closing.callback(home.close)
        queues = [open_queue(client, name, visibility_timeout=visibility_timeout) for name in names] or [home]
        for queue in queues:
            closing.callback(queue.close)
        yield Backend(queues, home, scheduler_for(home, JobsConfig("redis"), client))
