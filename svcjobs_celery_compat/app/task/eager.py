"""Tasks that run where they are called."""

from __future__ import annotations

from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeVar

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from kombu.utils.uuid import uuid

from svcjobs_celery_compat import states
from svcjobs_celery_compat.exceptions import Retry
from svcjobs_celery_compat.utils.functional import maybe_list

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.task.task import Task
    from svcjobs_celery_compat.result import EagerResult

T = TypeVar("T")


def apply(task: Task[..., T], request: dict[str, Any], throw: bool | None) -> EagerResult[T]:
    """Run ``task`` for a request here and now.

    Parameters:
        task: as it is registered.
        request: the fields of its :class:`~svcjobs_celery_compat.app.task.Context`, ``args`` and ``kwargs`` among them.
        throw: raise what the task raises; ``task_eager_propagates`` if None.
    """
    from svcjobs_celery_compat.app.trace import build_tracer  # knows tasks
    from svcjobs_celery_compat.result import EagerResult  # knows tasks

    app = task.app
    throw = app.conf.task_eager_propagates if throw is None else throw
    args, kwargs = request.pop("args"), request.pop("kwargs")
    tracer = build_tracer(str(task.name), task, eager=True, propagate=throw, app=app)
    traced = tracer(request["id"], args, kwargs, request)
    value, traceback = traced.retval, None
    if isinstance(value, ExceptionInfo):
        value, traceback = value.exception, value.traceback
        if isinstance(value, ExceptionWithTraceback):
            value = value.exc
    if isinstance(value, Retry) and value.sig is not None:
        again: EagerResult[T] = value.sig.apply(retries=request["retries"] + 1)
        return again
    state = states.SUCCESS if traced.info is None else traced.info.state
    return EagerResult(request["id"], value, state, traceback=traceback, name=task.name)


def eager_request(
    task: Task[..., Any],
    parent: Any,
    args: Any,
    kwargs: Any,
    link: Any,
    link_error: Any,
    task_id: str | None,
    retries: int | None,
    logfile: str | None,
    loglevel: Any,
    headers: Any,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Return what a worker would find in the message of the call, of that which means anything here."""
    task_id = task_id or uuid()
    limits = [task.time_limit, task.soft_time_limit]
    request = {
        "id": task_id,
        "task": task.name,
        "args": args or (),
        "kwargs": kwargs or {},
        "parent_id": parent.request.id if parent else None,
        "root_id": (parent.request.root_id if parent else None) or task_id,
        "retries": retries or 0,
        "is_eager": True,
        "logfile": logfile,
        "loglevel": loglevel or 0,
        "hostname": gethostname(),
        "callbacks": maybe_list(link),
        "errbacks": maybe_list(link_error),
        "headers": headers,
        "timelimit": limits if any(limits) else None,
        "ignore_result": options.get("ignore_result", task.ignore_result),
        "delivery_info": {
            "is_eager": True,
            "exchange": options.get("exchange"),
            "routing_key": options.get("routing_key"),
            "priority": options.get("priority"),
        },
    }
    if "stamped_headers" in options:
        names = request["stamped_headers"] = maybe_list(options["stamped_headers"])
        request["stamps"] = {name: maybe_list(options.get(name, [])) for name in names}
    return request
