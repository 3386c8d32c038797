"""An outcome other than success: stored, signalled and logged."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from kombu.utils.encoding import safe_repr, safe_str

from svcjobs_celery_compat import signals, states
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.app.trace.log import format_of, get_log_policy, get_task_name
from svcjobs_celery_compat.outcome import committing
from svcjobs_celery_compat.utils.serialization import (
    get_pickleable_etype,
    get_pickleable_exception,
    get_pickled_exception,
)


class TraceInfo:
    """An outcome other than success: its state, and the exception."""

    __slots__ = ("retval", "state")

    def __init__(self, state: str, retval: Any = None) -> None:
        self.state = state
        self.retval = retval

    def handle_error_state(self, task: Any, req: Any, eager: bool = False, call_errbacks: bool = True) -> Any:
        """Store, signal and log a failure or a retry; return its exception with traceback."""
        handle = self.handle_retry if self.state == states.RETRY else self.handle_failure
        return handle(task, req, store_errors=stores_errors(task, req, eager=eager), call_errbacks=call_errbacks)

    def handle_reject(self, task: Any, req: Any, **kwargs: Any) -> None:
        """Log that the task gave its message back."""
        self._log_error(task, req, trace.ExceptionInfo())

    def handle_ignore(self, task: Any, req: Any, **kwargs: Any) -> None:
        """Log that the task wants no state to be stored."""
        self._log_error(task, req, trace.ExceptionInfo())

    def handle_retry(self, task: Any, req: Any, store_errors: bool = True, **kwargs: Any) -> ExceptionInfo:
        """Store, signal and log that the task will be tried again."""
        reason = self.retval
        kind, _, tb = sys.exc_info()
        try:
            einfo = ExceptionInfo((kind, reason, tb))
            if store_errors:
                with _together(req):
                    task.backend.mark_as_retry(req.id, reason.exc, einfo.traceback, request=req)
            task.on_retry(reason.exc, req.id, req.args, req.kwargs, einfo)
            signals.task_retry.send(sender=task, request=req, reason=reason, einfo=einfo)
            trace.info(trace.LOG_RETRY, {"id": req.id, "name": get_task_name(req, task.name), "exc": str(reason)})
            return einfo
        finally:
            del tb

    def handle_failure(
        self, task: Any, req: Any, store_errors: bool = True, call_errbacks: bool = True
    ) -> ExceptionInfo:
        """Store, signal and log a failure, and let its error callbacks follow."""
        original = self.retval
        exc = get_pickleable_exception(original)
        if exc.__traceback__ is None:  # a stand-in was made for one that can't be pickled
            exc.__traceback__ = original.__traceback__
        tb = exc.__traceback__
        try:
            einfo = ExceptionInfo(exc_info=(get_pickleable_etype(type(original)), exc, tb))
            with _together(req):
                task.backend.mark_as_failure(
                    req.id, exc, einfo.traceback, request=req, store_result=store_errors, call_errbacks=call_errbacks
                )
            task.on_failure(exc, req.id, req.args, req.kwargs, einfo)
            signals.task_failure.send(
                sender=task, task_id=req.id, exception=exc, args=req.args, kwargs=req.kwargs, traceback=tb,
                einfo=einfo,
            )  # fmt: skip
            self._log_error(task, req, einfo)
            return einfo
        finally:
            del tb

    def _log_error(self, task: Any, req: Any, einfo: ExceptionInfo) -> None:
        error = einfo.exception = get_pickled_exception(einfo.exception)
        if isinstance(error, ExceptionWithTraceback):
            error = einfo.exception = error.exc
        policy = get_log_policy(task, einfo, error)
        context = {
            "hostname": req.hostname,
            "id": req.id,
            "name": get_task_name(req, task.name),
            "exc": safe_repr(error),
            "traceback": safe_str(einfo.traceback),
            "args": req.get("argsrepr") or safe_repr(req.args),
            "kwargs": req.get("kwargsrepr") or safe_repr(req.kwargs),
            "description": policy.description,
            "internal": einfo.internal,
        }
        exc_info = (type(error), error, error.__traceback__) if policy.traceback else None
        trace.logger.log(
            policy.severity, format_of(policy).strip(), context, exc_info=exc_info, extra={"data": context}
        )


def ignores_result(task: Any, request: Any) -> bool:
    """Whether no result is kept: what the message says comes before what the task says."""
    # not the attribute: a message that says nothing leaves it to the task
    own = vars(request).get("ignore_result") if request is not None else None
    return bool(task.ignore_result if own is None else own)


def stores_errors(task: Any, request: Any, *, eager: bool) -> bool:
    if ignores_result(task, request):
        return bool(task.store_errors_even_if_ignored)
    return bool(task.store_eager_result) if eager else True


def _together(request: Any) -> AbstractContextManager[None]:
    """What is done in the block commits with the outcome of the task, unless that is called by another one."""
    return nullcontext() if request.is_eager else committing()
