"""Finding jobs by id, task id or name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from svcjobs.dashboard.task_message import read_task
from svcjobs.job import Job, Place
from svcjobs.queue import JobQueue

SEARCHED = 1000
"""Jobs of each place of a queue that are looked at."""
_PAGE = 100
_MOST_FOUND = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A job, and where it lies."""

    place: Place
    job: Job


def search(queues: Iterable[JobQueue], text: str) -> list[Found]:
    """Jobs with this id or task id, and those whose name contains the text: at most a hundred.

    An id is found wherever the job lies, a name or a task id among the first :data:`SEARCHED` jobs of each place.

    Raises:
        QueueUnavailable: a queue doesn't answer.
    """
    found: dict[tuple[str, str], Found] = {}
    for queue in queues:
        job, place = queue.get(text), queue.place(text)
        if job and place:
            found[queue.name, job.id] = Found(place, job)
        for candidate in _candidates(queue):
            if len(found) >= _MOST_FOUND:
                return list(found.values())
            if _matches(candidate.job, text):
                found.setdefault((queue.name, candidate.job.id), candidate)
    return list(found.values())


def _candidates(queue: JobQueue) -> Iterator[Found]:
    for place in get_args(Place):
        for offset in range(0, SEARCHED, _PAGE):
            page = queue.peek(place, _PAGE, offset)
            yield from (Found(place, job) for job in page)
            if len(page) < _PAGE:
                break


def _matches(job: Job, text: str) -> bool:
    task = read_task(job.payload)
    return text.lower() in job.name.lower() or (task is not None and text in task.ids.values())
