"""A request that was made of a leased job, and settles it."""

from __future__ import annotations

from functools import cache
from typing import Any

from kombu.utils.encoding import safe_repr, safe_str

from svcjobs.job import Job
from svcjobs.settlement import Outcome as Settled
from svcjobs.settlement import Settlement
from svcjobs_celery_compat.app.task import Context, Task
from svcjobs_celery_compat.exceptions import WorkerLostError
from svcjobs_celery_compat.outcome import Outcome, committing
from svcjobs_celery_compat.platforms import signals as _signals
from svcjobs_celery_compat.utils.imports import symbol_by_name
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.messages import JobMessage
from svcjobs_celery_compat.worker.request import Request, logger

FINAL = (Settled.ACKED, Settled.BURIED)


class JobRequest(Request):
    """Its acknowledgement is a policy: the job stays leased until the outcome of the task is committed.

    What is told of the outcome, as events, waits for that commit too: one that is refused isn't told.

    Args:
        job: the leased job.
        message: what it holds.
        task: the task.
        app: of the task.
        hostname: of the worker.
        eventer: sends events; None sends none.
    """

    def __init__(self, job: Job, message: JobMessage, task: Any, app: Any, hostname: str, eventer: Any) -> None:
        super().__init__(
            message, app=app, hostname=hostname, eventer=eventer, task=task, body=message.payload, decoded=True
        )
        self._payload = message.payload
        self.job = job
        self.outcome: Outcome | None = None
        self.is_rejected = False
        self.is_requeued = False
        self.is_terminated = False
        self._successful = False
        self._untold: list[tuple[str, dict[str, Any]]] = []

    def context(self) -> Context:
        """What the running task finds as ``self.request``."""
        args, kwargs, embed = self._payload
        return Context.of(
            {
                **self._request_dict,
                **(embed or {}),
                "args": args,
                "kwargs": kwargs,
                "called_directly": False,
                "is_eager": False,
                "_follow": self._follow,
            }
        )

    @staticmethod
    def _follow(sig: Any) -> None:
        """Send a retry or a replacement together with the outcome."""
        with committing():
            sig.apply_async()

    def fail(self, error: BaseException, einfo: Any) -> bool:
        """Store that the task failed, without it having been traced to its end, and tell it.

        Returns:
            Whether it turned out to have succeeded.
        """
        if isinstance(error, WorkerLostError):
            self.on_failure(einfo)
            return self._successful
        self._store_failure(error, einfo)
        self._ready()
        self.send_event("task-failed", exception=safe_repr(error), traceback=safe_str(einfo.traceback))
        logger.error("Task handler raised error: %r", error)
        return False

    def lose(self, error: BaseException, einfo: Any) -> bool:
        """The process that ran it was lost: it is sent again, if the task wants that; else it failed.

        Returns:
            Whether it was sent again, or turned out to have succeeded.
        """
        if self.task.retry_on_worker_lost and self._stored_success() is None and self._retry_worker_lost(error, einfo):
            return True
        return self.fail(error, einfo)

    def _goes_on(self, exc: WorkerLostError, exc_info: Any) -> bool:
        return False

    def send_event(self, type: str, **fields: Any) -> None:
        if self.eventer is None:
            return
        if self.outcome is not None and self.outcome.is_open:
            self._untold.append((type, fields))
        else:
            super().send_event(type, **fields)

    def _ready(self, successful: bool = False) -> None:
        self._successful = successful

    def settled(self, settlement: Settlement, settled: Settled | None) -> None:
        """The job is settled so, or the settlement was refused: what was said of the outcome holds, or doesn't."""
        final = settled in FINAL
        state.task_ready(self, successful=final and self._successful)
        if final:
            untold, self._untold = self._untold, []
            for type, fields in untold:
                super().send_event(type, **fields)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        if self.time_start:
            pool.terminate_job(self.id, _signals.signum(signal or "TERM"))

    def end_early(self, signum: Any) -> None:
        """It runs, and is to be ended: store and tell that at once, as nobody waits for the task any more."""
        self.is_terminated = True
        self._announce_revoked("terminated", True, signum, False)

    # not by callbacks, which would be methods of its own: a request that refers to itself lives until a collection

    def acknowledge(self) -> None:
        """The message is done with, as far as the task is concerned."""
        self.acknowledged = True

    def reject(self, requeue: bool = False) -> None:
        if not self.acknowledged:
            self.is_rejected, self.is_requeued = True, requeue
            self.acknowledged = True
            self.send_event("task-rejected", requeue=requeue)


class _AsRequested(JobRequest):
    """Takes what a :class:`Request` takes, as the classes that are derived from that do."""

    def __init__(
        self, message: JobMessage, *, job: Job, task: Any, app: Any, hostname: str, eventer: Any, **_: Any
    ) -> None:
        super().__init__(job, message, task, app, hostname, eventer)


@cache
def _on_jobs(base: type[Request]) -> type[_AsRequested]:
    return type(base.__name__, (base, _AsRequested), {"__module__": base.__module__})


def request_of(job: Job, message: JobMessage, task: Any, app: Any, hostname: str, eventer: Any) -> JobRequest:
    """The request of a job, of the class that its task wants (``Task.Request``); the arguments are those of that."""
    # the name of ours costs no look at what it names
    if task.Request == Task.Request or issubclass(JobRequest, wanted := symbol_by_name(task.Request)):
        return JobRequest(job, message, task, app, hostname, eventer)
    made = _on_jobs(wanted)
    return made(message, job=job, task=task, app=app, hostname=hostname, eventer=eventer)
