"""What ran on each side, in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from svcjobs_celery_compat.migrate.routing.route import Side


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """The runs of one task on one side.

    Args:
        done: how many succeeded.
        failed: how many failed, or were rejected.
        retried: how many ended with a retry.
        last_at: when the last ended.
        failed_at: when the last of those ended that failed.
        worker: on which the last ran.
        queue: where that one was sent to.
    """

    done: int = 0
    failed: int = 0
    retried: int = 0
    last_at: datetime | None = None
    failed_at: datetime | None = None
    worker: str | None = None
    queue: str | None = None


class Runs:
    """The hash ``{root}:kombu:runs``; its fields are called ``what:side:task``, such as ``failed:celery:proj.add``.

    Args:
        client: of the broker's server.
        root: what all keys of the broker begin with.
    """

    def __init__(self, client: Any, root: str) -> None:
        self._client = client
        self._key = f"{root}:kombu:runs"

    def add(
        self,
        side: Side,
        counts: Mapping[tuple[str, str], int],
        last: Mapping[str, tuple[str | None, str | None]],
    ) -> None:
        """Add runs that ended just now.

        Args:
            side: where.
            counts: how many of a task came to what.
            last: worker and queue of the last run of each task.

        Raises:
            redis.RedisError: they may not be stored.
        """
        seconds, microseconds = self._client.time()
        now = f"{seconds}.{microseconds:06}"
        with self._client.pipeline(transaction=False) as pipeline:
            for (task, what), count in counts.items():
                pipeline.hincrby(self._key, f"{what}:{side}:{task}", count)
                if what == "failed":
                    pipeline.hset(self._key, f"failed_at:{side}:{task}", now)
            for task, (worker, queue) in last.items():
                fields = {"last_at": now, "worker": worker or "", "queue": queue or ""}
                pipeline.hset(
                    self._key, mapping={f"{name}:{side}:{task}": value for name, value in fields.items()}
                )  # fmt: skip
            pipeline.execute()

    def read(self) -> dict[str, dict[Side, TaskRuns]]:
        """All runs, by task and side.

        Raises:
            redis.RedisError: the server doesn't answer.
        """
        found: dict[str, dict[Side, dict[str, Any]]] = {}
        for field, value in self._client.hgetall(self._key).items():
            what, side, task = field.decode(errors="replace").split(":", 2)
            if what in _READERS and side in list(Side):
                found.setdefault(task, {}).setdefault(Side(side), {})[what] = _READERS[what](value.decode())
        return {task: {side: TaskRuns(**fields) for side, fields in sides.items()} for task, sides in found.items()}


def _instant(text: str) -> datetime:
    return datetime.fromtimestamp(float(text), UTC)


_READERS: dict[str, Callable[[str], Any]] = {
    "done": int, "failed": int, "retried": int, "last_at": _instant, "failed_at": _instant,
    "worker": str, "queue": str,
}  # fmt: skip
