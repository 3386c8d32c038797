"""Remote control: what ``app.control`` and ``celery inspect`` ask of a worker.

A command is a function that gets the worker's state (``app``, ``hostname``, ``consumer``) and its arguments. Add one
with :func:`control_command` or :func:`inspect_command`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from kombu.utils.encoding import safe_repr

from svcjobs_celery_compat import states
from svcjobs_celery_compat.platforms import EX_OK
from svcjobs_celery_compat.platforms import signals as _signals
from svcjobs_celery_compat.utils.functional import maybe_list
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker import state as worker_state
from svcjobs_celery_compat.worker.control.panel import (
    Panel,
    control_command,
    controller_info_t,
    inspect_command,
    nok,
    ok,
)

TERM_SIGNAME = "SIGTERM"
DEFAULT_TASK_INFO_ITEMS: Iterable[str] = ("exchange", "routing_key", "rate_limit")

logger = get_logger("celery.worker.control")


def _find_requests_by_id(ids: Iterable[str], get_request: Callable[[str], Any] | None = None) -> Iterable[Any]:
    get_request = get_request or worker_state.requests.__getitem__
    for task_id in ids:
        try:
            yield get_request(task_id)
        except KeyError:
            continue


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Revoke task by task id (or list of ids)."""
    ids, text = _revoke(state, set(maybe_list(task_id) or []), terminate, signal, **kwargs)
    if isinstance(ids, dict) and "ok" in ids:
        return ids
    return ok(f"tasks {ids} flagged as revoked" if text is None else text)


def _revoke(
    state: Any, task_ids: Any, terminate: bool = False, signal: Any = None, **kwargs: Any
) -> tuple[Any, str | None]:
    size, terminated = len(task_ids), set()
    worker_state.revoked.update(task_ids)
    known = {request.id: request for request in _find_requests_by_id(task_ids)}
    _store_revoked(state, task_ids, known)
    if not terminate:
        logger.info("Tasks flagged as revoked: %s", ", ".join(map(str, task_ids)))
        return list(task_ids), None
    signum = _signals.signum(signal or TERM_SIGNAME)
    for request in _find_requests_by_id(task_ids):
        if request.id not in terminated:
            terminated.add(request.id)
            logger.info("Terminating %s (%s)", request.id, signum)
            request.terminate(state.consumer.pool, signal=signum)
            if len(terminated) >= size:
                break
    if not terminated:
        return task_ids, "terminate: tasks unknown"
    return terminated, "terminate: {}".format(", ".join(terminated))


def _store_revoked(state: Any, task_ids: Iterable[str], known: dict[str, Any]) -> None:
    """Store REVOKED for tasks that haven't started, so that whoever waits for one learns it now."""
    if state.get("is_one_of_many"):
        return  # the process that answers for the worker does it, once
    elsewhere = state.get("running_elsewhere") or ()
    for task_id in task_ids:
        request = known.get(task_id)
        if (request is not None and request in worker_state.active_requests) or task_id in elsewhere:
            continue
        backend = state.app.backend if request is None else request.task.backend
        try:
            # a state of their own too: a custom one comes from a task that runs
            if backend.get_state(task_id) in states.UNREADY_STATES - {states.STARTED}:
                backend.mark_as_revoked(task_id, reason="revoked", store_result=True)
        except Exception as exc:  # noqa: BLE001 - the task is revoked nevertheless
            logger.warning("Failed to mark task %s as revoked in the result backend: %r", task_id, exc)


@control_command(variadic="headers", signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]")
def revoke_by_stamped_headers(
    state: Any, headers: Any, terminate: bool = False, signal: Any = None, **kwargs: Any
) -> dict[str, Any]:
    """Revoke task by header (or list of headers)."""
    # from the command line it is a list of key=value
    if isinstance(headers, list):
        headers = {key: value for key, _, value in (str(header).partition("=") for header in headers)}
    for header, stamps in headers.items():
        flagged = worker_state.revoked_stamps.setdefault(header, [])
        flagged += [value for value in (maybe_list(stamps) or []) if value not in flagged]
    if not terminate:
        return ok(f"headers {headers} flagged as revoked, but not terminated")
    signum = _signals.signum(signal or TERM_SIGNAME)
    terminated: defaultdict[str, set[Any]] = defaultdict(set)
    for request in list(worker_state.active_requests):
        own = request.stamps or {}
        for header, stamps in headers.items():
            both = set(maybe_list(own.get(header)) or ()) & set(maybe_list(stamps) or ())
            if both:
                terminated[header] |= both
                request.terminate(state.consumer.pool, signal=signum)
                break
    if not terminated:
        return ok(f"headers {headers} were not terminated")
    return ok(f"headers {dict(terminated)} revoked")


@control_command(variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]")
def terminate(state: Any, signal: Any, task_id: Any, **kwargs: Any) -> dict[str, Any]:
    """Terminate task by task id (or list of ids)."""
    return revoke(state, task_id, terminate=True, signal=signal)


# below, as these modules use the names above, where tests and users replace them
from svcjobs_celery_compat.worker.control.inspecting import (  # noqa: E402
    active,
    active_queues,
    clock,
    conf,
    hello,
    memdump,
    memsample,
    objgraph,
    ping,
    query_task,
    registered,
    report,
    reserved,
    revoked,
    scheduled,
    stats,
)
from svcjobs_celery_compat.worker.control.operating import (  # noqa: E402
    add_consumer,
    autoscale,
    cancel_consumer,
    disable_events,
    election,
    enable_events,
    heartbeat,
    pool_grow,
    pool_restart,
    pool_shrink,
    rate_limit,
    shutdown,
    time_limit,
)

__all__ = (
    "EX_OK", "Panel", "active", "active_queues", "add_consumer", "autoscale", "cancel_consumer", "clock", "conf",
    "control_command", "controller_info_t", "disable_events", "election", "enable_events", "heartbeat", "hello",
    "inspect_command", "memdump", "memsample", "nok", "objgraph", "ok", "ping", "pool_grow", "pool_restart",
    "pool_shrink", "query_task", "rate_limit", "registered", "report", "reserved", "revoke",
    "revoke_by_stamped_headers", "revoked", "safe_repr", "scheduled", "shutdown", "stats", "terminate", "time_limit",
)  # fmt: skip
