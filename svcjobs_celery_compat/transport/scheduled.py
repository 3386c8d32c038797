"""``celery inspect scheduled``: tasks with an ETA wait in Redis, so the timer of a Celery worker knows none of them."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import redis

from svcjobs.errors import InvalidJob
from svcjobs.job import decode_payload
from svcjobs_celery_compat.transport.wire import decode

MOST_TASKS = 1000
"""The answer is one message; it holds those that are due first."""
TIMER_PRIORITY = 6
"""What Celery's workers say of each task in their timer."""

Entry = dict[str, Any]


def waiting(client: redis.Redis | redis.RedisCluster, prefixes: Iterable[str], hostname: str) -> list[Entry]:
    """The tasks that wait for their time in some queues, due first, each as a Celery worker describes it.

    Args:
        client: of the server.
        prefixes: of the queues.
        hostname: of the worker that answers.
    """
    due: list[tuple[float, str]] = []
    for prefix in prefixes:
        found: Any = client.zrange(f"{prefix}:delayed", 0, MOST_TASKS - 1, withscores=True)
        due += [(due_at, f"{prefix}:job:{job_id.decode(errors='surrogateescape')}") for job_id, due_at in found]
    first = heapq.nsmallest(MOST_TASKS, due)
    with client.pipeline(transaction=False) as pipeline:
        for _, key in first:
            pipeline.hget(key.encode(errors="surrogateescape"), "payload")
        payloads = pipeline.execute()
    entries = (_entry(payload, due_at, hostname) for payload, (due_at, _) in zip(payloads, first, strict=True))
    return [entry for entry in entries if entry]


def serve() -> None:
    """Let the Celery worker in this process, if there is one, answer with what waits in its queues, too.

    Its command is replaced in the way that Celery documents for adding one.
    """
    control = sys.modules.get("celery.worker.control")
    known = control.Panel.data.get("scheduled") if control else None
    # of Celery itself: our own worker knows them
    if control is not None and known is not None and known.__module__.startswith("celery."):
        control.inspect_command(name="scheduled", alias="dump_schedule")(_beside(known))


def _beside(timer: Callable[..., Any]) -> Callable[..., list[Entry]]:
    def scheduled(state: Any, **arguments: Any) -> list[Entry]:
        """List of currently scheduled ETA/countdown tasks."""
        entries = list(timer(state, **arguments))
        consumer = state.consumer.task_consumer
        queues = getattr(consumer.channel, "queues", None) if consumer else None
        if queues is None:  # on another kind of broker
            return entries
        prefixes = [queues.named(queue.name).name for queue in consumer.queues]
        return entries + waiting(consumer.channel.client, prefixes, state.hostname)

    return scheduled


def _entry(payload: bytes | None, due_at: float, hostname: str) -> Entry | None:
    try:
        stored = decode_payload(payload or b"")
        message = decode(stored)
    except InvalidJob:
        return None
    headers, properties = message["headers"], message["properties"]
    info = properties.get("delivery_info") or {}
    return {
        "eta": headers.get("eta") or datetime.fromtimestamp(due_at, UTC).isoformat(),
        "priority": TIMER_PRIORITY,
        "request": {
            "id": headers.get("id"),
            "name": headers.get("task"),
            "args": stored.get("args", headers.get("argsrepr")),
            "kwargs": stored.get("kwargs", headers.get("kwargsrepr")),
            "type": headers.get("task"),
            "hostname": hostname,
            "time_start": None,
            "acknowledged": False,
            "delivery_info": {
                "exchange": info.get("exchange"),
                "routing_key": info.get("routing_key"),
                "priority": properties.get("priority"),
                "redelivered": False,
            },
            "worker_pid": None,
        },
    }
