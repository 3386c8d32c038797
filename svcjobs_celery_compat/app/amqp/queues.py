"""The queues that an app knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from kombu import Exchange, Queue

from svcjobs_celery_compat.utils.functional import maybe_list
from svcjobs_celery_compat.utils.text import indent as textindent

#: A line of the worker's banner.
QUEUE_FORMAT = """
.> {0.name:<16} exchange={0.exchange.name}({0.exchange.type}) \
key={0.routing_key}
"""

_QUEUE_TYPES = ("classic", "quorum")


class Queues(dict[str, Any]):
    """Queues by name, and those among them that a worker consumes from.

    Parameters:
        queues: kombu queues, or options of queues by their names.
        default_exchange, default_routing_key: for queues that have none.
        create_missing: make a queue when an unknown name is asked for.
        create_missing_queue_type: ``classic`` or ``quorum``; ``create_missing_queue_exchange_type``: of its exchange.
        autoexchange: makes the exchange of such a queue, of the name.
        max_priority: the argument ``x-max-priority`` for queues that have none.
    """

    #: Those that were chosen, if any were.
    _consume_from: dict[str, Any] | None = None

    def __init__(
        self,
        queues: Any = None,
        default_exchange: Any = None,
        create_missing: bool = True,
        create_missing_queue_type: str | None = None,
        create_missing_queue_exchange_type: str | None = None,
        autoexchange: Callable[[str], Any] | None = None,
        max_priority: int | None = None,
        default_routing_key: str | None = None,
    ) -> None:
        super().__init__()
        self.aliases: Any = WeakValueDictionary()
        self.default_exchange = default_exchange
        self.default_routing_key = default_routing_key
        self.create_missing = create_missing
        self.create_missing_queue_type = create_missing_queue_type
        self.create_missing_queue_exchange_type = create_missing_queue_exchange_type
        self.autoexchange = autoexchange or Exchange
        self.max_priority = max_priority
        if isinstance(queues, Mapping):
            for name, queue in queues.items():
                self.add(queue) if isinstance(queue, Queue) else self.add_compat(name, **queue)
        else:
            for queue in queues or ():
                self.add(queue)
        #: Consumed from without a choice: not those that were only routed to.
        self._configured = dict(self)

    def __getitem__(self, name: str) -> Any:
        try:
            return self.aliases[name]
        except KeyError:
            return super().__getitem__(name)

    def __setitem__(self, name: str, queue: Any) -> None:
        if self.default_exchange and (queue.exchange is None or not queue.exchange.name):
            queue.exchange = self.default_exchange
        if not queue.routing_key:
            queue.routing_key = self.default_routing_key
        if self.max_priority is not None:
            if queue.queue_arguments is None:
                queue.queue_arguments = {}
            queue.queue_arguments.setdefault("x-max-priority", self.max_priority)
        super().__setitem__(name, queue)
        if queue.alias:
            self.aliases[queue.alias] = queue

    def __missing__(self, name: str) -> Any:
        if self.create_missing:
            return self.add(self.new_missing(name))
        raise KeyError(name)

    def add(self, queue: Any, **kwargs: Any) -> Any:
        """Add a queue, given as such or by its name and options, and return it."""
        if not isinstance(queue, Queue):
            return self.add_compat(queue, **kwargs)
        self[queue.name] = queue
        return queue

    def add_compat(self, name: str, **options: Any) -> Any:
        """Add a queue by its name and the options of :meth:`kombu.Queue.from_dict`."""
        options.setdefault("routing_key", options.get("binding_key"))
        if options["routing_key"] is None:
            options["routing_key"] = name
        return self.add(Queue.from_dict(name, **options))

    def format(self, indent: int = 0, indent_first: bool = True) -> str:
        """Return a line about each queue that is consumed from."""
        lines = [QUEUE_FORMAT.strip().format(queue) for _, queue in sorted(self.consume_from.items())]
        if not lines:
            return ""
        if indent_first:
            return textindent("\n".join(lines), indent)
        return "\n".join([lines[0], textindent("\n".join(lines[1:]), indent)])

    def select(self, include: Any) -> None:
        """Consume from these queues only; names, or one."""
        if include:
            chosen = [self[name] for name in maybe_list(include)]
            self._consume_from = {queue.name: queue for queue in chosen}

    def select_add(self, queue: Any, **kwargs: Any) -> Any:
        """Add a queue, consume from it, too, and return it."""
        added = self.add(queue, **kwargs)
        self.consume_from[added.name] = added
        return added

    def deselect(self, exclude: Any) -> None:
        """Don't consume from these queues; names, or one."""
        for name in maybe_list(exclude) or ():
            queue = self.aliases.get(name)
            self.consume_from.pop(name if queue is None else queue.name, None)

    def new_missing(self, name: str) -> Any:
        """Return a queue for a name that isn't known.

        Raises:
            ValueError: ``create_missing_queue_type`` is no type.
        """
        arguments = None
        kind = self.create_missing_queue_type
        if kind and kind not in _QUEUE_TYPES:
            raise ValueError(f"Invalid queue type '{kind}'. Valid types are 'classic' and 'quorum'.")
        if kind == "quorum":
            arguments = {"x-queue-type": "quorum"}
        exchange = self.autoexchange(name)
        if self.create_missing_queue_exchange_type:
            exchange.type = self.create_missing_queue_exchange_type
        return Queue(name, exchange, name, queue_arguments=arguments)

    @property
    def consume_from(self) -> dict[str, Any]:
        """The queues to consume from: the chosen ones, or else all that were configured."""
        return self._configured if self._consume_from is None else self._consume_from
