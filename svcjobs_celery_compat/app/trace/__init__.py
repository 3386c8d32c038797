"""Running a task: its signals, its result, what follows it, and what the log says of it.

:func:`build_tracer` makes, once for each task, the function that runs it. Workers and ``Task.apply`` share it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from billiard.einfo import ExceptionInfo
from kombu.serialization import loads as loads_message
from kombu.serialization import prepare_accept_content

from svcjobs_celery_compat import signals, states
from svcjobs_celery_compat._state import current_app
from svcjobs_celery_compat.app.task import Context
from svcjobs_celery_compat.app.task import Task as BaseTask
from svcjobs_celery_compat.canvas import group
from svcjobs_celery_compat.exceptions import Reject
from svcjobs_celery_compat.result import AsyncResult
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.objects import mro_lookup
from svcjobs_celery_compat.utils.serialization import get_pickled_exception

logger = get_logger("celery.app.trace")


def info(fmt: str, context: dict[str, Any]) -> None:
    """Log at level INFO, with the context in ``record.data`` too."""
    logger.info(fmt, context, extra={"data": context})


def task_has_custom(task: Any, attr: str) -> Any:
    """Whether the class of `task` overrides a method of ``Task``."""
    # of the class that a proxy shows, not of the proxy
    cls = task.__class__
    return mro_lookup(cls, attr, stop={BaseTask, object}, monkey_patched=[__name__ + ".stack", BaseTask.__module__])


def traceback_clear(exc: BaseException | str | None = None) -> None:
    """Drop the local variables of the frames that an exception passed, so that they live no longer than the task."""
    tb = getattr(exc, "__traceback__", None) or sys.exc_info()[2]
    while tb is not None:
        with contextlib.suppress(RuntimeError):  # of a frame that still runs
            tb.tb_frame.clear()
        tb = tb.tb_next


def report_internal_error(task: Any, exc: BaseException) -> ExceptionInfo:
    """Warn of an error outside of the body of `task`; return what is stored of it."""
    kind, value, tb = sys.exc_info()
    try:
        prepared = task.backend.prepare_exception(exc, "pickle")
        einfo = ExceptionInfo((kind, prepared, tb), internal=True)
        logger.warning("Exception raised outside body: %r:\n%s", value, einfo.traceback)
        return einfo
    finally:
        del tb


def _signal_internal_error(task: Any, uuid: str, args: Any, kwargs: Any, request: Any, exc: BaseException) -> None:
    tb = exc.__traceback__
    if isinstance(request, Context):
        request = vars(request)
    try:
        einfo = ExceptionInfo((type(exc), exc, tb))
        einfo.exception = get_pickled_exception(einfo.exception)
        signals.task_internal_error.send(
            sender=task, task_id=uuid, args=args, kwargs=kwargs, request=request, exception=exc, traceback=tb,
            einfo=einfo,
        )  # fmt: skip
    finally:
        del tb


# below, as these modules use the names above, where tests and users replace them
from svcjobs_celery_compat.app.trace.log import (  # noqa: E402
    LOG_FAILURE,
    LOG_IGNORED,
    LOG_INTERNAL_ERROR,
    LOG_RECEIVED,
    LOG_REJECTED,
    LOG_RETRY,
    LOG_SUCCESS,
    get_log_policy,
    get_task_name,
    log_policy_expected,
    log_policy_ignore,
    log_policy_internal,
    log_policy_reject,
    log_policy_t,
    log_policy_unexpected,
)
from svcjobs_celery_compat.app.trace.outcome import TraceInfo  # noqa: E402
from svcjobs_celery_compat.app.trace.stack import install_protection, remove_protection  # noqa: E402
from svcjobs_celery_compat.app.trace.tracer import IGNORE_STATES, build_tracer, trace_ok_t  # noqa: E402

__all__ = (
    "IGNORE_STATES", "LOG_FAILURE", "LOG_IGNORED", "LOG_INTERNAL_ERROR", "LOG_RECEIVED", "LOG_REJECTED", "LOG_RETRY",
    "LOG_SUCCESS", "AsyncResult", "ExceptionInfo", "TraceInfo", "build_tracer", "fast_trace_task", "get_log_policy",
    "get_task_name", "group", "log_policy_expected", "log_policy_ignore", "log_policy_internal", "log_policy_reject",
    "log_policy_t", "log_policy_unexpected", "report_internal_error", "reset_worker_optimizations",
    "setup_worker_optimizations", "trace_task", "trace_task_ret", "traceback_clear",
)  # fmt: skip

EXCEPTION_STATES = states.EXCEPTION_STATES

#: What :func:`fast_trace_task` needs of the app of this worker: its tasks, the content it accepts, and the hostname.
_localized: list[Any] = []


def trace_task(task: Any, uuid: str, args: Any, kwargs: Any, request: Any = None, **opts: Any) -> trace_ok_t:
    """Run a task, with a tracer that is made at the first use; an error outside of the body is reported.

    Raises:
        Reject: the message is to be delivered again, or is refused.
    """
    request = request or {}
    try:
        if task.__trace__ is None:
            task.__trace__ = build_tracer(task.name, task, **opts)
        outcome: trace_ok_t = task.__trace__(uuid, args, kwargs, request)
        return outcome
    except Reject:
        raise
    except Exception as exc:  # noqa: BLE001 - a worker has to settle the task whatever happened
        _signal_internal_error(task, uuid, args, kwargs, request, exc)
        return trace_ok_t(report_internal_error(task, exc), TraceInfo(states.FAILURE, exc), 0.0, None)


def trace_task_ret(
    name: str, uuid: str, request: dict[str, Any], body: Any, content_type: str | None, content_encoding: str | None,
    loads: Any = loads_message, app: Any = None, **extra_request: Any,
) -> tuple[int, Any, float | None]:  # fmt: skip
    """Run the task of a message; returns ``(failed, text of the result or the exception, runtime in seconds)``."""
    app = app or current_app._get_current_object()
    accept = prepare_accept_content(app.conf.accept_content)
    return _traced(
        app.tasks[name], uuid, request, body, content_type, content_encoding, loads, accept, app=app, **extra_request
    )


def fast_trace_task(
    task: str, uuid: str, request: dict[str, Any], body: Any, content_type: str | None, content_encoding: str | None,
    loads: Any = loads_message, _loc: list[Any] | None = None, hostname: str | None = None, **_: Any,
) -> tuple[int, Any, float | None]:  # fmt: skip
    """As :func:`trace_task_ret`, with what :func:`setup_worker_optimizations` has prepared.

    Raises:
        RuntimeError: that wasn't called in this process.
    """
    localized = _localized if _loc is None else _loc
    if not localized:
        raise RuntimeError("the worker task registry is empty: call setup_worker_optimizations(app) in this process")
    tasks, accept, own_hostname = localized
    return _traced(
        tasks[task],
        uuid,
        request,
        body,
        content_type,
        content_encoding,
        loads,
        accept,
        hostname=hostname or own_hostname,
    )


def _traced(
    task: Any, uuid: str, request: dict[str, Any], body: Any, content_type: str | None, content_encoding: str | None,
    loads: Any, accept: Any, *, hostname: str | None = None, **opts: Any,
) -> tuple[int, Any, float | None]:  # fmt: skip
    if content_type:
        body = loads(body, content_type, content_encoding, accept=accept)
    args, kwargs, embed = body
    extra = {"args": args, "kwargs": kwargs, "hostname": hostname, "is_eager": False}
    result, told, runtime, text = trace_task(task, uuid, args, kwargs, {**request, **extra, **(embed or {})}, **opts)
    return (1, result, runtime) if told else (0, text, runtime)


def setup_worker_optimizations(app: Any, hostname: str | None = None) -> None:
    """Prepare this process for running tasks of `app`: it becomes the current app, and its tasks get their tracers."""
    install_protection()
    app.set_current()
    app.set_default()
    app.finalize()
    _localized[:] = [app._tasks, prepare_accept_content(app.conf.accept_content), hostname]
    app.use_fast_trace_task = True


def reset_worker_optimizations(app: Any = current_app) -> None:
    """Undo :func:`setup_worker_optimizations`."""
    remove_protection()
    app.use_fast_trace_task = False
    _localized.clear()
