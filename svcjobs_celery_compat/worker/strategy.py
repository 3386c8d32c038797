"""From a message to a request: what happens when a worker receives a task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from kombu.utils.encoding import safe_repr

from svcjobs_celery_compat import signals
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.exceptions import InvalidTaskError
from svcjobs_celery_compat.utils.imports import symbol_by_name
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.worker.state import task_reserved

__all__ = ("default",)

logger = get_logger("celery.worker.strategy")


def proto1_to_proto2(message: Any, body: Any) -> tuple[Any, Any, bool, bool]:
    """Translate a message of protocol 1: returns arguments, headers, whether they are decoded, and whether in UTC.

    Raises:
        InvalidTaskError: it is no task.
    """
    try:
        args, kwargs = body.get("args", ()), body.get("kwargs", {})
        kwargs.items()  # a mapping
    except KeyError:
        raise InvalidTaskError("Message does not have args/kwargs") from None
    except AttributeError:
        raise InvalidTaskError("Task keyword arguments must be a mapping") from None
    headers = dict(body)
    headers.update(argsrepr=safe_repr(args), kwargsrepr=safe_repr(kwargs), headers=message.headers)
    headers["group"] = body.get("taskset")
    embed = {
        "callbacks": body.get("callbacks"),
        "errbacks": body.get("errbacks"),
        "chord": body.get("chord"),
        "chain": None,
    }
    return (args, kwargs, embed), headers, True, body.get("utc", True)


def hybrid_to_proto2(message: Any, body: Any) -> tuple[Any, Any, bool, bool]:
    """Translate a message with a body of protocol 1 and headers of protocol 2, as other clients send it.

    Raises:
        InvalidTaskError: its arguments are none.
    """
    args, kwargs = body.get("args", ()), body.get("kwargs", {})
    if not hasattr(kwargs, "items"):
        raise InvalidTaskError("Task keyword arguments must be a mapping")
    head = message.headers
    names = ("lang", "task", "id", "root_id", "parent_id", "group", "meth", "shadow", "eta", "expires", "origin")
    headers = {name: body.get(name) for name in names} | {
        "retries": body.get("retries", 0),
        "timelimit": body.get("timelimit", (None, None)),
        "argsrepr": body.get("argsrepr"),
        "kwargsrepr": body.get("kwargsrepr"),
        "ignore_result": head.get("ignore_result", False),
    }
    headers.update({name: value for name, value in head.items() if value is not None})
    embed = {name: body.get(name) for name in ("callbacks", "errbacks", "chord", "chain")}
    return (args, kwargs, embed), headers, True, body.get("utc", True)


def announce(task: Any, request: Any, sender: Any, reserve: Callable[[Any], object] = task_reserved) -> None:
    """Log, signal and send the event that a task was received."""
    if logger.isEnabledFor(logging.INFO):
        context = {
            "id": request.id,
            "name": request.name,
            "args": request.argsrepr,
            "kwargs": request.kwargsrepr,
            "eta": request.eta,
        }
        logger.info(trace.LOG_RECEIVED, context, extra={"data": context})
    reserve(request)
    if signals.task_received.receivers:
        signals.task_received.send(sender=sender, request=request)
    eventer = request.eventer
    if task.send_events and eventer is not None and eventer.enabled:
        head = request.request_dict
        request.send_event(
            "task-received",
            name=request.name, args=request.argsrepr, kwargs=request.kwargsrepr, root_id=request.root_id,
            parent_id=request.parent_id, retries=head.get("retries", 0),
            eta=request.eta and request.eta.isoformat(), expires=request.expires and request.expires.isoformat(),
        )  # fmt: skip


def default(
    task: Any, app: Any, consumer: Any, task_reserved: Callable[[Any], object] = task_reserved, **_: Any
) -> Callable[..., None]:
    """Return what takes the messages of `task` for a consumer: ``handle(message, body, ack, reject, callbacks)``."""
    request_class = symbol_by_name(task.Request)

    def task_message_handler(
        message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, to_timestamp: Any = None
    ) -> None:
        decoded, utc, headers = False, True, None
        if body is None and "args" not in message.payload:
            body, headers = message.body, message.headers
        elif "args" in message.payload:
            body, headers, decoded, utc = hybrid_to_proto2(message, message.payload)
        else:
            body, headers, decoded, utc = proto1_to_proto2(message, body)
        request = request_class(
            message, on_ack=ack, on_reject=reject, app=app, hostname=consumer.hostname,
            eventer=consumer.event_dispatcher, task=task, connection_errors=consumer.connection_errors, body=body,
            headers=headers, decoded=decoded, utc=utc,
        )  # fmt: skip
        if (request.expires or request.id in consumer.controller.state.revoked) and request.revoked():
            return
        announce(task, request, consumer, task_reserved)
        for callback in callbacks or ():
            callback(request)
        consumer.on_task_request(request)

    return task_message_handler
