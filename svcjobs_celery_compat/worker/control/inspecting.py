"""The commands that only tell something."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import redis
from kombu.utils.encoding import safe_repr

from svcjobs_celery_compat.transport.scheduled import waiting
from svcjobs_celery_compat.utils.serialization import jsonify, strtobool
from svcjobs_celery_compat.worker import control
from svcjobs_celery_compat.worker import state as worker_state
from svcjobs_celery_compat.worker.control.panel import inspect_command, ok


@inspect_command(alias="dump_conf", signature="[include_defaults=False]", args=[("with_defaults", strtobool)])
def conf(state: Any, with_defaults: bool = False, **kwargs: Any) -> Any:
    """List configuration."""
    return jsonify(state.app.conf.table(with_defaults=with_defaults), keyfilter=_wanted, unknown_type_filter=safe_repr)


def _wanted(key: object) -> bool:
    return isinstance(key, str) and not key.startswith("__")


@inspect_command(variadic="ids", signature="[id1 [id2 [... [idN]]]]")
def query_task(state: Any, ids: Any, **kwargs: Any) -> dict[str, Any]:
    """Query for task information by id."""
    ids = [ids] if isinstance(ids, str) else ids
    return {request.id: (_state_of(request), request.info()) for request in control._find_requests_by_id(ids)}


def _state_of(request: Any) -> str:
    if request in worker_state.active_requests:
        return "active"
    if request in worker_state.reserved_requests:
        return "reserved"
    return "scheduled" if request in worker_state.scheduled_requests else "ready"


@inspect_command()
def report(state: Any) -> dict[str, Any]:
    """Information about Celery installation for bug reports."""
    return ok(state.app.bugreport())


@inspect_command(default_timeout=0.2)
def ping(state: Any, **kwargs: Any) -> dict[str, Any]:
    """Ping worker(s)."""
    return ok("pong")


@inspect_command()
def stats(state: Any, **kwargs: Any) -> Any:
    """Request worker statistics/information."""
    return state.consumer.controller.stats()


@inspect_command(alias="dump_schedule")
def scheduled(state: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """List of currently scheduled ETA/countdown tasks."""
    entries = list(_in_timer(getattr(state.consumer, "timer", None)))
    consumer = state.consumer.task_consumer
    client = getattr(getattr(consumer, "channel", None), "client", None)
    if not isinstance(client, redis.Redis | redis.RedisCluster):
        return entries
    queues = consumer.channel.queues
    prefixes = [queues.named(queue.name).name for queue in consumer.queues]
    return entries + waiting(client, prefixes, state.hostname)


def _in_timer(timer: Any) -> Iterator[dict[str, Any]]:
    from svcjobs_celery_compat.worker.request import Request

    for entry in getattr(getattr(timer, "schedule", None), "queue", ()):
        arguments = getattr(entry.entry, "args", ())
        if arguments and isinstance(arguments[0], Request):
            request = arguments[0]
            eta = request.eta.isoformat() if request.eta else None
            yield {"eta": eta, "priority": entry.priority, "request": request.info()}


@inspect_command(alias="dump_reserved")
def reserved(state: Any, safe: bool = False, **kwargs: Any) -> list[dict[str, Any]]:
    """List of currently reserved tasks, not including scheduled/active."""
    held = [request for request in worker_state.reserved_requests if request not in worker_state.active_requests]
    return [request.info(safe=safe) for request in held]


@inspect_command(alias="dump_active", signature="[safe]", args=[("safe", strtobool)])
def active(state: Any, safe: bool = False, **kwargs: Any) -> list[dict[str, Any]]:
    """List of tasks currently being executed."""
    return [request.info(safe=safe) for request in list(worker_state.active_requests)]


@inspect_command(alias="dump_revoked")
def revoked(state: Any, **kwargs: Any) -> list[str]:
    """List of revoked task-ids."""
    return list(worker_state.revoked)


@inspect_command(alias="dump_tasks", variadic="taskinfoitems", signature="[attr1 [attr2 [... [attrN]]]]")
def registered(state: Any, taskinfoitems: Any = None, builtins: bool = False, **kwargs: Any) -> list[str]:
    """List of registered tasks."""
    tasks = state.app.tasks
    items = taskinfoitems or control.DEFAULT_TASK_INFO_ITEMS
    # private attributes are none of others' business
    public = [item for item in items if not item.startswith("_")]
    names = sorted(name for name in tasks if builtins or not name.startswith("celery."))
    return [_described(tasks[name], public) for name in names]


def _described(task: Any, items: Iterable[str]) -> str:
    fields = {item: getattr(task, item, None) for item in items}
    told = [f"{item}={value}" for item, value in fields.items() if value is not None]
    return f"{task.name} [{' '.join(told)}]" if told else str(task.name)


@inspect_command()
def clock(state: Any, **kwargs: Any) -> dict[str, Any]:
    """Get current logical clock value."""
    return {"clock": state.app.clock.value}


@inspect_command(visible=False)
def hello(state: Any, from_node: str, revoked: Any = None, **kwargs: Any) -> Any:
    """Request mingle sync-data."""
    # not to itself
    if from_node == state.hostname:
        return None
    control.logger.info("sync with %s", from_node)
    worker_state.merge_revoked(revoked)
    worker_state.revoked.purge()
    return {"revoked": list(worker_state.revoked), "clock": state.app.clock.forward()}


@inspect_command()
def active_queues(state: Any) -> list[dict[str, Any]]:
    """List the task queues a worker is currently consuming from."""
    consumer = state.consumer.task_consumer
    return [dict(queue.as_dict(recurse=True)) for queue in consumer.queues] if consumer else []


@inspect_command(
    default_timeout=60.0,
    args=[("type", str), ("num", int), ("max_depth", int)],
    signature="[object_type=Request] [num=200 [max_depth=10]]",
)
def objgraph(state: Any, num: int = 200, max_depth: int = 10, type: str = "Request") -> dict[str, Any]:
    """Create graph of uncollected objects (memory-leak debugging)."""
    try:
        import objgraph as drawing  # type: ignore[import-untyped]  # there are no stubs
    except ImportError:
        raise ImportError("Requires the objgraph library") from None
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="cobjg", suffix=".png", delete=False) as file:
        objects = drawing.by_type(type)[:num]
        drawing.show_backrefs(objects, max_depth=max_depth, highlight=lambda v: v in objects, filename=file.name)
        return {"filename": file.name}


@inspect_command()
def memsample(state: Any, **kwargs: Any) -> Any:
    """Sample current RSS memory usage."""
    from svcjobs_celery_compat.utils.debug import sample_mem

    return sample_mem()


@inspect_command(args=[("samples", int)], signature="[n_samples=10]")
def memdump(state: Any, samples: int = 10, **kwargs: Any) -> str:
    """Dump statistics of previous memsample requests."""
    from svcjobs_celery_compat.utils import debug

    out = io.StringIO()
    debug.memdump(file=out)
    return out.getvalue()
