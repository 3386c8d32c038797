"""The commands that change something in a worker, but for revokes."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.exceptions import WorkerShutdown
from svcjobs_celery_compat.utils.time import rate
from svcjobs_celery_compat.worker import control
from svcjobs_celery_compat.worker.control.panel import control_command, nok, ok


@control_command(
    args=[("task_name", str), ("rate_limit", str)], signature="<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>"
)
def rate_limit(state: Any, task_name: str, rate_limit: Any, **kwargs: Any) -> dict[str, Any]:
    """Tell worker(s) to modify the rate limit for a task by type."""
    try:
        rate(rate_limit)
    except ValueError as exc:
        return nok(f"Invalid rate limit string: {exc!r}")
    try:
        state.app.tasks[task_name].rate_limit = rate_limit
    except KeyError:
        control.logger.error("Rate limit attempt for unknown task %s", task_name, exc_info=True)
        return nok("unknown task")
    state.consumer.reset_rate_limits()
    if not rate_limit:
        control.logger.info("Rate limits disabled for tasks of type %s", task_name)
        return ok("rate limit disabled successfully")
    control.logger.info("New rate limit for tasks of type %s: %s.", task_name, rate_limit)
    return ok("new rate limit set successfully")


@control_command(
    args=[("task_name", str), ("soft_secs", float), ("hard_secs", float)],
    signature="<task_name> <soft_secs> [hard_secs]",
)
def time_limit(state: Any, task_name: Any = None, hard: Any = None, soft: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Tell worker(s) to modify the time limit for task by type."""
    # by these names from the command line
    hard, soft = kwargs.get("hard_secs", hard), kwargs.get("soft_secs", soft)
    try:
        task = state.app.tasks[task_name]
    except KeyError:
        control.logger.error("Change time limit attempt for unknown task %s", task_name, exc_info=True)
        return nok("unknown task")
    task.soft_time_limit, task.time_limit = soft, hard
    control.logger.info("New time limits for tasks of type %s: soft=%s hard=%s", task_name, soft, hard)
    return ok("time limits set successfully")


@control_command()
def election(state: Any, id: Any, topic: Any, action: Any = None, **kwargs: Any) -> None:
    """Hold election."""
    gossip = getattr(state.consumer, "gossip", None)
    if gossip:
        gossip.election(id, topic, action)


@control_command()
def enable_events(state: Any) -> dict[str, Any]:
    """Tell worker(s) to send task-related events."""
    dispatcher = state.consumer.event_dispatcher
    if dispatcher is None:
        return nok("event dispatcher is unavailable")
    # without groups, all are sent already
    if dispatcher.groups and "task" not in dispatcher.groups:
        dispatcher.groups.add("task")
        control.logger.info("Events of group {task} enabled by remote.")
        return ok("task events enabled")
    return ok("task events already enabled")


@control_command()
def disable_events(state: Any) -> dict[str, Any]:
    """Tell worker(s) to stop sending task-related events."""
    dispatcher = state.consumer.event_dispatcher
    if dispatcher is None:
        return nok("event dispatcher is unavailable")
    if "task" in dispatcher.groups:
        dispatcher.groups.discard("task")
        control.logger.info("Events of group {task} disabled by remote.")
        return ok("task events disabled")
    return ok("task events already disabled")


@control_command()
def heartbeat(state: Any) -> None:
    """Tell worker(s) to send event heartbeat immediately."""
    control.logger.debug("Heartbeat requested by remote.")
    dispatcher = state.consumer.event_dispatcher
    if dispatcher is not None:
        from svcjobs_celery_compat.worker.state import SOFTWARE_INFO

        dispatcher.send("worker-heartbeat", freq=5, **SOFTWARE_INFO)


def _resized(state: Any, n: int, change: Any, sign: int) -> None:
    consumer = state.consumer
    change(n)
    step = consumer.prefetch_multiplier * n
    qos = getattr(consumer, "qos", None)
    if qos is not None:
        (qos.increment_eventually if sign > 0 else qos.decrement_eventually)(step)
    consumer.initial_prefetch_count = consumer.prefetch_multiplier * consumer.pool.num_processes


@control_command(args=[("n", int)], signature="[N=1]")
def pool_grow(state: Any, n: int = 1, **kwargs: Any) -> dict[str, Any]:
    """Grow pool by n processes/threads."""
    if state.consumer.controller is not None and getattr(state.consumer.controller, "autoscaler", None):
        return nok("pool_grow is not supported with autoscale. Adjust autoscale range instead.")
    try:
        _resized(state, n, state.consumer.pool.grow, 1)
    except (NotImplementedError, ValueError) as exc:
        return nok(str(exc))
    return ok("pool will grow")


@control_command(args=[("n", int)], signature="[N=1]")
def pool_shrink(state: Any, n: int = 1, **kwargs: Any) -> dict[str, Any]:
    """Shrink pool by n processes/threads."""
    if state.consumer.controller is not None and getattr(state.consumer.controller, "autoscaler", None):
        return nok("pool_shrink is not supported with autoscale. Adjust autoscale range instead.")
    try:
        _resized(state, n, state.consumer.pool.shrink, -1)
    except (NotImplementedError, ValueError) as exc:
        return nok(str(exc))
    return ok("pool will shrink")


@control_command()
def pool_restart(
    state: Any, modules: Any = None, reload: bool = False, reloader: Any = None, **kwargs: Any
) -> dict[str, Any]:
    """Restart execution pool."""
    if not state.app.conf.worker_pool_restarts:
        raise ValueError("Pool restarts not enabled")
    state.consumer.controller.reload(modules, reload, reloader=reloader)
    return ok("reload started")


@control_command(args=[("max", int), ("min", int)], signature="[max [min]]")
def autoscale(state: Any, max: Any = None, min: Any = None) -> dict[str, Any]:
    """Modify autoscale settings."""
    autoscaler = state.consumer.controller.autoscaler
    if autoscaler is None:
        return nok("Autoscale not enabled")
    try:
        most, least = autoscaler.update(max and int(max), min and int(min))
    except ValueError as exc:
        return nok(str(exc))
    return ok(f"autoscale now max={most} min={least}")


@control_command()
def shutdown(state: Any, msg: str = "Got shutdown from remote", **kwargs: Any) -> None:
    """Shutdown worker(s)."""
    control.logger.warning(msg)
    raise WorkerShutdown(control.EX_OK)


@control_command(
    args=[("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)],
    signature="<queue> [exchange [type [routing_key]]]",
)
def add_consumer(
    state: Any, queue: str, exchange: Any = None, exchange_type: Any = None, routing_key: Any = None, **options: Any
) -> dict[str, Any]:
    """Tell worker(s) to consume from task queue by name."""
    consumer = state.consumer
    consumer.call_soon(consumer.add_task_queue, queue, exchange, exchange_type or "direct", routing_key, **options)
    return ok(f"add consumer {queue}")


@control_command(args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: Any, queue: str, **_: Any) -> dict[str, Any]:
    """Tell worker(s) to stop consuming from task queue by name."""
    state.consumer.call_soon(state.consumer.cancel_task_queue, queue)
    return ok(f"no longer consuming from {queue}")
