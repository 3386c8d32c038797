"""The part of a request that takes the outcome of its task."""

from __future__ import annotations

from time import time
from typing import Any

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from kombu.utils.encoding import safe_repr, safe_str

from svcjobs_celery_compat import signals, states
from svcjobs_celery_compat.exceptions import Ignore, Reject, Retry, Terminated, TimeLimitExceeded, WorkerLostError
from svcjobs_celery_compat.utils.saferepr import saferepr
from svcjobs_celery_compat.worker import state
from svcjobs_celery_compat.worker.revoking import Revoking, logger


class Ending(Revoking):
    """See :class:`~svcjobs_celery_compat.worker.request.Request`."""

    acknowledged: bool

    def on_success(self, failed__retval__runtime: tuple[Any, Any, Any], **kwargs: Any) -> Any:
        """The tracer returned, see :func:`~svcjobs_celery_compat.app.trace.trace_task_ret`."""
        failed, retval, runtime = failed__retval__runtime
        if failed:
            exc = _bare(retval.exception)
            if isinstance(exc, SystemExit | KeyboardInterrupt):
                raise exc
            return self.on_failure(retval, return_ok=True)
        self._ready(successful=True)
        if self.task.acks_late:
            self.acknowledge()
        self.send_event("task-succeeded", result=retval, runtime=runtime)
        return None

    def on_retry(self, exc_info: Any) -> None:
        """The task will be tried again."""
        if self.task.acks_late:
            self.acknowledge()
        self.send_event(
            "task-retried", exception=safe_repr(_bare(exc_info.exception)), traceback=safe_str(exc_info.traceback)
        )

    def on_failure(  # noqa: C901 - one branch for each kind of failure
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """The task raised, or its process was lost."""
        self._ready()
        exc = _bare(exc_info.exception)
        if isinstance(exc, MemoryError):
            raise MemoryError(f"Process got: {exc}")
        if isinstance(exc, SystemExit | KeyboardInterrupt | Terminated) and (
            self._already_cancelled or self._already_revoked
        ):
            return None  # the worker itself ended it, and has told so
        if isinstance(exc, SystemExit | KeyboardInterrupt):
            exc = exited(exc)
        if isinstance(exc, Retry):
            return self.on_retry(exc_info)
        if isinstance(exc, Ignore):
            return self.acknowledge()
        if isinstance(exc, Reject):
            self._rejected(exc, exc_info, send_failed_event)
            return None
        if isinstance(exc, Terminated):
            self._announce_revoked("terminated", True, str(exc), False)
            return None
        if isinstance(exc, WorkerLostError):
            if (meta := self._stored_success()) is not None:
                return self._end_successful(meta)
            if self._goes_on(exc, exc_info):
                return None
            self._store_failure(exc, exc_info)
            self._tell_failed(exc, exc_info)
        if isinstance(exc, TimeLimitExceeded):
            self._store_failure(exc, exc_info)
        if self.task.acks_late:
            self._end_late(timed_out=isinstance(exc, TimeLimitExceeded))
        if send_failed_event:
            self.send_event("task-failed", exception=safe_repr(exc), traceback=safe_str(exc_info.traceback))
        if not return_ok:
            logger.error("Task handler raised error: %r", exc, exc_info=(type(exc), exc, exc.__traceback__))
        return None

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A time limit is over."""
        if soft:
            logger.warning("Soft time limit (%ss) exceeded for %s[%s]", timeout, self.name, self.id)
            return
        logger.error("Hard time limit (%ss) exceeded for %s[%s]", timeout, self.name, self.id)
        self._ready()
        try:
            raise TimeLimitExceeded(timeout)
        except TimeLimitExceeded as exc:
            einfo = ExceptionInfo()
            self._store_failure(exc, einfo)
            self.task.on_failure(exc, self.id, self.args, self.kwargs, einfo)
            self._tell_failed(exc, einfo)
            self.task.after_return(states.FAILURE, exc, self.id, self.args, self.kwargs, einfo)
        self.send_event("task-failed", exception=safe_repr(_bare(einfo.exception)), traceback=safe_str(einfo.traceback))
        if self.task.acks_late:
            self._end_late(timed_out=True)

    def _stored_success(self) -> dict[str, Any] | None:
        """What is stored of a task whose process was lost after it had succeeded, and before that was known."""
        backend = self.task.backend
        if self.ignore_result or backend.as_uri().startswith(("rpc", "disabled")):
            return None
        try:
            # once: backends that try again for ever would keep the worker from all else
            meta: dict[str, Any] = backend._get_task_meta_for(self.id)
            return meta if meta["status"] == states.SUCCESS else None
        except Exception as error:  # noqa: BLE001 - then it counts as lost
            logger.warning("Whether %s[%s] has a result can't be told: %r", self.name, self.id, error)
            return None

    def _end_successful(self, meta: dict[str, Any]) -> None:
        self._ready(successful=True)
        self.acknowledge()
        runtime = time() - self.time_start if self.time_start else 0.0
        self.send_event("task-succeeded", result=saferepr(meta.get("result")), runtime=runtime)

    def _goes_on(self, exc: WorkerLostError, exc_info: Any) -> bool:
        """Whether a task whose process was lost is sent or delivered again."""
        retried = self._retry_worker_lost(exc, exc_info) if self.task.retry_on_worker_lost else False
        if retried is False and self.task.acks_late and self.task.reject_on_worker_lost:
            # a message that isn't done with comes again
            self.reject(requeue=True)
            return True
        return bool(retried)

    def _retry_worker_lost(self, exc: BaseException, exc_info: Any) -> bool | None:
        """Send the task again as ``Task.retry`` would; None when no retries are left, False when it can't be sent."""
        task, retries = self.task, self.request_dict.get("retries") or 0
        if task.max_retries is not None and retries >= task.max_retries:
            return None
        delay = task.default_retry_delay
        again = task.signature_from_request(self._context, self.args, self.kwargs, countdown=delay, retries=retries + 1)
        try:
            again.apply_async()
        except Exception as error:  # noqa: BLE001 - the message isn't lost: it is dealt with as without this setting
            logger.error("The retry of %s[%s] can't be sent: %r", self.name, self.id, error)
            return False
        reason = Retry(exc=exc, when=delay)
        if self.store_errors:
            task.backend.mark_as_retry(self.id, exc, exc_info.traceback, request=self._context)
        task.on_retry(exc, self.id, self.args, self.kwargs, exc_info)
        signals.task_retry.send(sender=task, request=self._context, reason=reason, einfo=exc_info)
        if task.acks_late:
            self.acknowledge()
        self.send_event("task-retried", exception=safe_repr(exc), traceback=safe_str(exc_info.traceback))
        return True

    def _rejected(self, exc: Reject, exc_info: Any, send_failed_event: bool) -> None:
        if not exc.requeue:
            self._store_failure(exc, exc_info)
            self._tell_failed(exc, exc_info)
            if send_failed_event:
                self.send_event("task-failed", exception=safe_repr(exc), traceback=safe_str(exc_info.traceback))
        self.reject(requeue=exc.requeue)

    def _store_failure(self, exc: BaseException, exc_info: Any) -> None:
        self.task.backend.mark_as_failure(
            self.id, exc, exc_info.traceback, request=self._context, store_result=self.store_errors
        )

    def _tell_failed(self, exc: BaseException, exc_info: Any) -> None:
        """Send the signal that a tracer would have sent."""
        signals.task_failure.send(
            sender=self.task, task_id=self.id, exception=exc, args=self.args, kwargs=self.kwargs,
            traceback=exc.__traceback__, einfo=exc_info,
        )  # fmt: skip

    def _end_late(self, *, timed_out: bool) -> None:
        """The end of a failed task that is acknowledged late."""
        both = self.task.acks_on_failure_or_timeout
        own = getattr(self.task, "acks_on_timeout" if timed_out else "acks_on_failure", None)
        if both if own is None else own:
            self.acknowledge()
        else:
            self.reject(requeue=timed_out and own is not None)

    def _ready(self, successful: bool = False) -> None:
        state.task_ready(self, successful=successful)

    def acknowledge(self) -> None:
        """The message is done with."""
        if not self.acknowledged:
            self.on_ack(logger, self.connection_errors)
            self.acknowledged = True

    def reject(self, requeue: bool = False) -> None:
        """The message isn't wanted; with `requeue` it is delivered again. An acknowledged one is gone already."""
        if not self.acknowledged:
            self.on_reject(logger, self.connection_errors, requeue)
            self.acknowledged = True
            self.send_event("task-rejected", requeue=requeue)


def exited(exc: BaseException) -> WorkerLostError:
    """What becomes of a task that ends its process: whoever waits for the result mustn't exit."""
    if isinstance(exc, SystemExit):
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        return WorkerLostError(f"Worker exited prematurely: exitcode {status}.")
    return WorkerLostError(f"Worker exited prematurely: {type(exc).__name__}.")


def _bare(exc: Any) -> Any:
    return exc.exc if isinstance(exc, ExceptionWithTraceback) else exc
