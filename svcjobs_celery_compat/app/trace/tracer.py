"""The function that runs one task, made once for each."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from types import CoroutineType
from typing import Any, NamedTuple

from kombu.exceptions import EncodeError
from kombu.utils.encoding import safe_repr

from svcjobs_celery_compat import signals, states
from svcjobs_celery_compat._state import _task_stack
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.app.task import Context
from svcjobs_celery_compat.app.trace.following import Unsent, is_repeated, send_following
from svcjobs_celery_compat.app.trace.log import get_task_name
from svcjobs_celery_compat.app.trace.outcome import TraceInfo, ignores_result
from svcjobs_celery_compat.app.trace.waiting import Steps, driven
from svcjobs_celery_compat.exceptions import Ignore, Reject, Retry
from svcjobs_celery_compat.outcome import committing
from svcjobs_celery_compat.utils.saferepr import saferepr

STARTED, SUCCESS, FAILURE, RETRY = states.STARTED, states.SUCCESS, states.FAILURE, states.RETRY
IGNORED, REJECTED = states.IGNORED, states.REJECTED
IGNORE_STATES = frozenset({IGNORED, RETRY, REJECTED})


class trace_ok_t(NamedTuple):
    """The outcome of a traced task: `info` is None after a success; `retstr` is the result for the log."""

    retval: Any
    info: TraceInfo | None
    runtime: float | None
    retstr: str | None


def build_tracer(  # noqa: C901 - one run, to be read from top to bottom
    name: str,
    task: Any,
    loader: Any = None,
    hostname: str | None = None,
    store_errors: bool = True,
    Info: Any = TraceInfo,
    eager: bool = False,
    propagate: bool = False,
    app: Any = None,
    monotonic: Callable[[], float] = time.monotonic,
    trace_ok_t: Any = trace_ok_t,
    IGNORE_STATES: frozenset[str] = IGNORE_STATES,
) -> Callable[..., trace_ok_t]:
    """Return the function that runs `task`: ``trace(uuid, args, kwargs, request=None)``.

    The request is a mapping, from which the task's context is made, or the complete context itself.

    Its attribute ``steps`` starts the same run as a generator, for those who await a body that is a coroutine
    themselves; the function waits for it, in an event loop of its own.

    Args:
        name: the task's name.
        task: the task.
        loader: of the app; its ``on_task_init`` is called before the body.
        hostname: the worker's name, kept with the state STARTED.
        store_errors: not used; kept as the documented signature.
        Info: makes what is returned of an outcome other than success.
        eager: the task is called, and not sent by a message: results are kept if ``task_store_eager_result`` says so.
        propagate: raise what the task raises.
        app: whose task it is.
        monotonic: tells the time, in seconds.
        trace_ok_t: makes what is returned.
        IGNORE_STATES: in which ``after_return`` isn't called.
    """
    app = app or task.app
    loader = loader or app.loader
    run = task if trace.task_has_custom(task, "__call__") else task.run
    before_start = task.before_start if trace.task_has_custom(task, "before_start") else None
    on_success = task.on_success if trace.task_has_custom(task, "on_success") else None
    after_return = task.after_return if trace.task_has_custom(task, "after_return") else None
    task_init = loader.on_task_init
    track_started = not eager and task.track_started
    deduplicates = app.conf.worker_deduplicate_successful_tasks
    inherits_priority = app.conf.task_inherit_parent_priority
    longest_repr = task.resultrepr_maxsize
    pid = os.getpid()
    prerun, postrun, succeeded = signals.task_prerun, signals.task_postrun, signals.task_success

    def on_error(request: Any, exc: BaseException, state: str = FAILURE, call_errbacks: bool = True) -> Any:
        if propagate:
            raise exc
        told = Info(state, exc)
        return told, told.handle_error_state(task, request, eager=eager, call_errbacks=call_errbacks)

    def quietly(hook: str, call: Callable[..., Any], *args: Any) -> None:
        """Call a hook of the task after its outcome is known: an error of its own doesn't change that."""
        try:
            call(*args)
        except (MemoryError, Reject, Ignore):
            raise
        except Exception:
            if eager:
                raise
            trace.logger.exception(f"Task %s: {hook} handler raised", name)

    def steps(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Steps:  # noqa: C901 - as above
        told, result, runtime, result_repr = None, None, None, None
        retval, state = None, None
        context: Any = None
        began = monotonic()
        try:
            if type(request) is Context:
                context = request
            else:
                own = {"args": args, "called_directly": False, "kwargs": kwargs}
                context = Context.of({**request, **own} if request else own)
            root_id = context.root_id or uuid
            priority = (context.delivery_info or {}).get("priority") if inherits_priority else None
            if deduplicates and is_repeated(app, task, uuid, context, root_id, priority):
                return trace_ok_t(None, None, None, None)
            _task_stack.push(task)
            stack = task.request_stack
            stack.push(context)
            try:
                if prerun.receivers:
                    prerun.send(sender=task, task_id=uuid, task=task, args=args, kwargs=kwargs)
                task_init(uuid, task)
                if track_started and not ignores_result(task, context):
                    task.backend.store_result(uuid, {"pid": pid, "hostname": hostname}, STARTED, request=context)
                try:
                    if before_start:
                        before_start(uuid, args, kwargs)
                    retval = run(*args, **kwargs)
                    if type(retval) is CoroutineType:
                        retval = yield retval
                    result, state = retval, SUCCESS
                except Reject as exc:
                    told, result = Info(REJECTED, exc), trace.ExceptionInfo(internal=True)
                    told.handle_reject(task, context)
                    trace.traceback_clear(exc)
                except Ignore as exc:
                    told, result = Info(IGNORED, exc), trace.ExceptionInfo(internal=True)
                    told.handle_ignore(task, context)
                    trace.traceback_clear(exc)
                except Retry as exc:
                    told, result = on_error(context, exc, RETRY, call_errbacks=False)
                    trace.traceback_clear(exc)
                except Exception as exc:  # noqa: BLE001 - whatever a task raises is its result
                    told, result = on_error(context, exc)
                    trace.traceback_clear(exc)
                else:
                    try:
                        publishes = task.store_eager_result if eager else True
                        publishes = bool(publishes and not ignores_result(task, context))
                        with committing() if not eager else nullcontext():
                            send_following(app, context, retval, uuid, root_id, priority)
                            task.backend.mark_as_done(uuid, retval, context, publishes)
                    except Unsent as unsent:
                        told, result = on_error(context, unsent.error)
                    except EncodeError as exc:
                        told, result = on_error(context, exc)
                    else:
                        result_repr = saferepr(result, longest_repr)
                        runtime = monotonic() - began
                        if on_success:
                            quietly("on_success", on_success, retval, uuid, args, kwargs)
                        if succeeded.receivers:
                            succeeded.send(sender=task, result=retval, runtime=runtime)
                        if trace.logger.isEnabledFor(logging.INFO):
                            trace.info(trace.LOG_SUCCESS, {
                                "id": uuid, "name": get_task_name(context, name), "return_value": result_repr,
                                "runtime": runtime, "args": context.get("argsrepr") or safe_repr(args),
                                "kwargs": context.get("kwargsrepr") or safe_repr(kwargs),
                            })  # fmt: skip
                if told is not None:
                    state, retval = told.state, told.retval
                if after_return and state not in IGNORE_STATES:
                    quietly("after_return", after_return, state, retval, uuid, args, kwargs, None)
            finally:
                try:
                    if postrun.receivers:
                        postrun.send(
                            sender=task, task_id=uuid, task=task, args=args, kwargs=kwargs, retval=retval, state=state
                        )
                finally:
                    _task_stack.pop()
                    stack.pop()
                    if not eager:
                        _clean_up(task)
        except (MemoryError, Reject, Ignore):
            raise
        except Exception as exc:
            trace._signal_internal_error(task, uuid, args, kwargs, request, exc)
            if eager:
                raise
            result = trace.report_internal_error(task, exc)
            told = on_error(context, exc)[0] if context is not None else Info(FAILURE, exc)
        return trace_ok_t(result, told, runtime, result_repr)

    def run_traced(uuid: str, args: Any, kwargs: Any, request: Any = None) -> trace_ok_t:
        return driven(steps(uuid, args, kwargs, request))

    run_traced.steps = steps  # type: ignore[attr-defined]  # one function is what Celery documents
    return run_traced


def _clean_up(task: Any) -> None:
    try:
        task.backend.process_cleanup()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except Exception as exc:  # noqa: BLE001 - the task is done
        trace.logger.error("Process cleanup failed: %r", exc, exc_info=True)
