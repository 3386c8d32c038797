"""What jobs have reported and logged, in Redis: one key a job, which goes away by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from svcjobs._redis.connections import derive
from svcjobs._redis.failures import translate
from svcjobs.progress import Progress

KEPT_SECONDS = 86_400
"""After the last word of a job that isn't done."""
KEPT_DONE_SECONDS = 600
TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class JournalPage:
    """What a job's last attempt that said something has said.

    Args:
        attempt: its number.
        progress: its last; None when it reported none.
        lines: the last lines that it logged, where they are kept.
        done: whether the attempt has succeeded.
    """

    attempt: int
    progress: Progress | None = None
    lines: Sequence[str] = ()
    done: bool = False


class JournalStore:
    """Writes and reads pages: ``{prefix}:journal:<id>``, JSON.

    Args:
        client: any Redis client; own connections are derived from it.
    """

    def __init__(self, client: Any) -> None:
        self._client = derive(client, TIMEOUT_SECONDS)

    def write(self, pages: Sequence[tuple[str, str, JournalPage]]) -> None:
        """Keep pages, each with its queue's prefix and its job's id, in place of older ones.

        Raises:
            QueueUnavailable: the server didn't answer; some may be written.
        """
        with _translated(), self._client.pipeline(transaction=False) as pipeline:
            for queue, job_id, page in pages:
                text = json.dumps(asdict(page), separators=(",", ":"))
                pipeline.set(_name(queue, job_id), text, ex=KEPT_DONE_SECONDS if page.done else KEPT_SECONDS)
            pipeline.execute()

    def read(self, jobs: Sequence[tuple[str, str]]) -> list[JournalPage | None]:
        """The page of each job, a queue's prefix and an id, that has one which can be read.

        Raises:
            QueueUnavailable: the server didn't answer.
        """
        with _translated(), self._client.pipeline(transaction=False) as pipeline:
            for queue, job_id in jobs:
                pipeline.get(_name(queue, job_id))
            return [_page(text) for text in pipeline.execute(raise_on_error=False)]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _name(queue: str, job_id: str) -> bytes:
    return f"{queue}:journal:{job_id}".encode("utf-8", "surrogateescape")  # an id may be any bytes


def _page(text: Any) -> JournalPage | None:
    try:
        page = json.loads(text)
        progress = page["progress"]
        return JournalPage(**page | {"progress": None if progress is None else Progress(**progress)})
    except (TypeError, ValueError, KeyError):
        return None  # there is none, or somebody has put something else there


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, RedisClusterException, OSError) as error:
        raise translate(error) from error
