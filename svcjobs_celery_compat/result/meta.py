"""What is stored about a task, by name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from svcjobs_celery_compat.result.result import ResultBase


class TaskMeta(ResultBase):
    """The properties of a result that are read from its backend."""

    def _get_task_meta(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def children(self) -> list[Any] | None:
        """The results of what the task called."""
        return self._get_task_meta().get("children")

    @property
    def result(self) -> Any:
        """What the task returned or raised; while it runs, what it stored with its state."""
        return self._get_task_meta()["result"]

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of a task that failed."""
        return self._get_task_meta().get("traceback")

    @property
    def state(self) -> str:
        """PENDING (or unknown), STARTED, RETRY, FAILURE, SUCCESS, REVOKED, or one of the task's own."""
        state: str = self._get_task_meta()["status"]
        return state

    status = state

    @property
    def name(self) -> str | None:
        """The task's name; this and the next ones are stored with ``result_extended``."""
        return self._get_task_meta().get("name")

    @property
    def args(self) -> Any:
        """Its arguments."""
        return self._get_task_meta().get("args")

    @property
    def kwargs(self) -> Any:
        """Its keyword arguments."""
        return self._get_task_meta().get("kwargs")

    @property
    def worker(self) -> str | None:
        """The worker that ran it."""
        return self._get_task_meta().get("worker")

    @property
    def retries(self) -> int | None:
        """How often it was tried again."""
        return self._get_task_meta().get("retries")

    @property
    def queue(self) -> str | None:
        """The routing key that it was sent with."""
        return self._get_task_meta().get("queue")

    @property
    def date_done(self) -> datetime | None:
        """When it was done; None before."""
        done = self._get_task_meta().get("date_done")
        return datetime.fromisoformat(done) if isinstance(done, str) else done
