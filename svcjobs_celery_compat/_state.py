"""Which app and which task are current, in each thread, and the apps that there are."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from svcjobs_celery_compat.local import Proxy
from svcjobs_celery_compat.utils.threads import LocalStack

__all__ = (
    "connect_on_app_finalize",
    "current_app",
    "current_task",
    "get_current_app",
    "get_current_task",
    "get_current_worker_task",
    "set_default_app",
)

#: The app of threads that have none of their own.
default_app: Any = None

_apps: weakref.WeakSet[Any] = weakref.WeakSet()
_on_app_finalizers: set[Callable[[Any], Any]] = set()
_task_join_will_block = False
_task_stack: Any = LocalStack()

#: Puts a task on the stack of tasks that run in this thread.
push_current_task = _task_stack.push
#: Takes it off again.
pop_current_task = _task_stack.pop


class _TLS(threading.local):
    current_app: Any = None


_tls = _TLS()


def connect_on_app_finalize(callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Call `callback` with each app when it is finalized; a decorator. Tasks that every app has are made so."""
    _on_app_finalizers.add(callback)
    return callback


def _announce_app_finalized(app: Any) -> None:
    # a callback may add another: those that are there now are meant
    for callback in set(_on_app_finalizers):
        callback(app)


def _set_task_join_will_block(blocks: bool) -> None:
    global _task_join_will_block
    _task_join_will_block = blocks


def task_join_will_block() -> bool:
    """Return whether this process runs tasks, so that waiting for a result may block it for good."""
    return _task_join_will_block


def set_default_app(app: Any) -> None:
    """Make `app` that of threads that have none of their own."""
    global default_app
    default_app = app


def _get_current_app() -> Any:
    if default_app is None:
        # the app of programs that never make one; its configuration is the module celeryconfig
        from svcjobs_celery_compat.app.base import Celery

        set_default_app(
            Celery("default", fixups=[], set_as_current=False, loader=os.environ.get("CELERY_LOADER") or "default")
        )
    return _tls.current_app or default_app


def _set_current_app(app: Any) -> None:
    _tls.current_app = app


def get_current_app() -> Any:
    """Return the app of this thread, or else the default app, which is made if there is none."""
    return _get_current_app()


def get_current_task() -> Any:
    """Return the task that runs in this thread, the innermost one; None outside of tasks."""
    return _task_stack.top


def get_current_worker_task() -> Any:
    """Return the task that the worker runs in this thread, also inside of a task that it calls as a function."""
    for task in reversed(_task_stack.stack):
        if not task.request.called_directly:
            return task
    return None


#: Proxy to the app of this thread.
current_app: Any = Proxy(get_current_app)

#: Proxy to the task that runs in this thread.
current_task: Any = Proxy(get_current_task)


def _register_app(app: Any) -> None:
    _apps.add(app)


def _deregister_app(app: Any) -> None:
    _apps.discard(app)


def _get_active_apps() -> Any:
    return _apps


def _app_or_default(app: Any = None) -> Any:
    return get_current_app() if app is None else app


def _app_or_default_trace(app: Any = None) -> Any:
    """Find uses of the default app: each prints where it happens, and in a pool process it is an error."""
    from traceback import print_stack

    from billiard.process import current_process

    if app is not None:
        return app
    if getattr(_tls, "current_app", None) is not None:
        print("-- RETURNING TO CURRENT APP --", file=sys.stderr)  # noqa: T201 - that's the trace
        print_stack()
        return _tls.current_app
    if current_process()._name == "MainProcess":
        raise Exception("DEFAULT APP")
    print("-- RETURNING TO DEFAULT APP --", file=sys.stderr)  # noqa: T201 - that's the trace
    print_stack()
    return default_app


#: Returns its argument, or else the current app. :func:`enable_trace` replaces it.
app_or_default: Callable[[Any], Any] = _app_or_default


def enable_trace() -> None:
    """Let :func:`app_or_default` show where it had to fall back; on at the start with CELERY_TRACE_APP=1."""
    global app_or_default
    app_or_default = _app_or_default_trace


def disable_trace() -> None:
    """Undo :func:`enable_trace`."""
    global app_or_default
    app_or_default = _app_or_default


if os.environ.get("CELERY_TRACE_APP"):
    enable_trace()
