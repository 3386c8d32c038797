"""Which queue keeps an entry's ticks."""

from __future__ import annotations

from typing import Any


def home_name(app: Any, entry: Any) -> str | None:
    """The name of the queue that the entry's task goes to; None when it goes to a fanout or to several.

    Whatever a router of the user raises is raised.
    """
    options = {**app._options_of(entry.task), **(entry.options or {})}  # a part of the app
    route = app.amqp.router.route(options, entry.task, entry.args or (), entry.kwargs or {})
    queue, exchange = route.get("queue"), route.get("exchange")
    if queue is None and exchange is None:
        queue = app.amqp.default_queue
    if isinstance(queue, str):
        queue = app.amqp.queues[queue]
    if queue is not None and (queue.exchange is None or queue.exchange.type == "direct"):
        return str(queue.name)
    return None
