"""What is known of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, ClassVar
from weakref import WeakSet

from svcjobs_celery_compat import states

TASK_EVENT_TO_STATE = {
    "sent": states.PENDING,
    "received": states.RECEIVED,
    "started": states.STARTED,
    "failed": states.FAILURE,
    "retried": states.RETRY,
    "succeeded": states.SUCCESS,
    "revoked": states.REVOKED,
    "rejected": states.REJECTED,
}


class Task:
    """A task, as its events tell.

    Args:
        uuid: its id.
        cluster_state: the :class:`~svcjobs_celery_compat.events.state.State` that it is part of.
        children: ids of the tasks that it called, which ``cluster_state`` knows.
        **kwargs: what else is known, by the names of the attributes.
    """

    name: Any = None
    received = sent = started = succeeded = failed = retried = revoked = rejected = None
    args = kwargs = eta = expires = retries = result = exception = timestamp = runtime = traceback = None
    worker: Any = None
    exchange = routing_key = None
    root_id: str | None = None
    parent_id: str | None = None
    client: str | None = None
    state = states.PENDING
    clock = 0

    _fields: ClassVar[tuple[str, ...]] = (
        "uuid", "name", "state", "received", "sent", "started", "rejected", "succeeded", "failed", "retried", "revoked",
        "args", "kwargs", "eta", "expires", "retries", "worker", "result", "exception", "timestamp", "runtime",
        "traceback", "exchange", "routing_key", "clock", "client", "root", "root_id", "parent", "parent_id", "children",
    )  # fmt: skip
    _info_fields: ClassVar[tuple[str, ...]] = (
        "args", "kwargs", "retries", "result", "eta", "runtime", "expires", "exception", "exchange", "routing_key",
        "root_id", "parent_id",
    )  # fmt: skip
    merge_rules: ClassVar[dict[str, tuple[str, ...]]] = {
        states.RECEIVED: ("name", "args", "kwargs", "parent_id", "root_id", "retries", "eta", "expires"),
    }
    """What an event of a state that is over may still add."""

    __slots__ = ("__dict__", "__weakref__")

    def __init__(
        self, uuid: str | None = None, cluster_state: Any = None, children: Iterable[str] | None = None, **kwargs: Any
    ) -> None:
        self.uuid = uuid
        self.cluster_state = cluster_state
        known = cluster_state.tasks if cluster_state is not None else {}
        self.children: WeakSet[Task] = WeakSet(known[child] for child in children or () if child in known)
        vars(self).update(kwargs)

    def event(
        self,
        type_: str,
        timestamp: float | None = None,
        local_received: float | None = None,
        fields: dict[str, Any] | None = None,
        precedence: Callable[[str], int] = states.precedence,
    ) -> None:
        """Take note of an event.

        Args:
            type_: its type without the group: ``received``.
            timestamp: when it was sent.
            local_received: when it came.
            fields: of the event.
            precedence: of a state; a higher number comes earlier.
        """
        fields = dict(fields or {})
        state = TASK_EVENT_TO_STATE.get(type_)
        if state is None:
            state = type_.upper()  # one of the user's own
        else:
            setattr(self, type_, timestamp)
        is_late = states.RETRY not in (state, self.state) and precedence(state) > precedence(self.state)
        if is_late:
            kept = self.merge_rules.get(state)
            if kept is not None:
                fields = {name: value for name, value in fields.items() if name in kept}
        else:
            fields |= {"state": state, "timestamp": timestamp}
        for name, value in fields.items():
            setattr(self, name, value)

    def info(self, fields: Iterable[str] | None = None, extra: Iterable[str] = ()) -> dict[str, Any]:
        """What is known of some fields, for a screen; unknown ones are left out."""
        names = [*(self._info_fields if fields is None else fields), *(extra or ())]
        values = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """All fields; related tasks by their ids."""
        return {name: self._serialized(name) for name in self._fields}

    def _serialized(self, name: str) -> Any:
        if name == "children":
            return [child.id for child in self.children]
        if name in ("root", "parent"):
            return getattr(self, f"{name}_id")
        return getattr(self, name, None)

    @property
    def id(self) -> str | None:
        """The id."""
        return self.uuid

    @property
    def origin(self) -> str | None:
        """Who sent the latest event: the client, or the worker's name and process."""
        return self.client if self.worker is None else self.worker.id

    @property
    def ready(self) -> bool:
        """Whether it is done."""
        return self.state in states.READY_STATES

    @cached_property
    def parent(self) -> Task | None:
        """The task that called it."""
        return self._related(self.parent_id)

    @cached_property
    def root(self) -> Task | None:
        """The task that began it all."""
        return self._related(self.root_id)

    def _related(self, task_id: str | None) -> Task | None:
        return self.cluster_state.tasks.data.get(task_id) if task_id else None

    def __repr__(self) -> str:
        return f"<Task: {self.name}({self.uuid}) {self.state} clock:{self.clock}>"

    def __eq__(self, other: object) -> bool:
        return self.uuid == other.uuid if isinstance(other, Task) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.uuid)

    def __reduce__(self) -> tuple[Any, ...]:
        known = vars(self).keys() - {"cluster_state", "children", "root", "parent"}
        return _task_of, (self.__class__, {name: vars(self)[name] for name in known})


def _task_of(cls: type[Task], fields: dict[str, Any]) -> Task:
    return cls(**fields)
