"""The request: what a running task knows of its message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

#: What RabbitMQ adds to a message that it dead-lettered. A retry that kept them would be taken for a cycle.
X_DEATH_HEADERS = {
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
}

_OF_THE_MESSAGE = frozenset({"lang", "task", "argsrepr", "kwargsrepr", "compression"})


class Context:
    """Attributes of the task's message, as in ``self.request.retries``; what it doesn't have is None.

    ``delivery_info`` says how the message came, ``timelimit`` is the pair of hard and soft limit, ``called_directly``
    is false where the task was called by a message, ``is_eager`` true where it runs in the process that called it.
    """

    _children: list[Any] | None = None  # made when first asked for
    _protected = 0

    #: A worker's function that sends a signature, the retry of the task or what replaces it, together with the
    #: acknowledgement. Without one it is sent at once.
    _follow: Any = None

    #: The ``max_retries`` that this run gave to ``retry``; ``autoretry_for`` keeps to it.
    _max_retries: int | None = None

    args: Any = None
    callbacks: Any = None
    called_directly = True
    chain: Any = None
    chord: Any = None
    correlation_id: str | None = None
    delivery_info: Any = None
    errbacks: Any = None
    eta: Any = None
    expires: Any = None
    group: str | None = None
    group_index: int | None = None
    headers: Any = None
    hostname: str | None = None
    id: str | None = None
    ignore_result: bool | None = False
    is_eager = False
    kwargs: Any = None
    logfile: str | None = None
    loglevel: Any = None
    origin: str | None = None
    parent_id: str | None = None
    properties: Any = None
    replaced_task_nesting: int = 0
    reply_to: str | None = None
    retries: int = 0
    root_id: str | None = None
    shadow: str | None = None
    soft_time_limit: float | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    taskset: str | None = None  # the group's former name
    time_limit: float | None = None
    timelimit: Any = None
    utc: bool | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._take(dict(*args, **kwargs))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # a message may bring any further attribute

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Context:
        """The context with these attributes; the mapping becomes a part of it."""
        context = cls.__new__(cls)
        context._take(fields)
        return context

    def _take(self, fields: dict[str, Any]) -> None:
        if fields.get("headers") is None and not _KNOWN.issuperset(fields):
            custom = {key: value for key, value in fields.items() if key not in _KNOWN}
            fields["headers"] = custom
        self.__dict__ = fields
        if "timelimit" in fields:
            self._set_limits(fields["timelimit"])

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set attributes, from what :class:`dict` takes."""
        fields = dict(*args, **kwargs)
        vars(self).update(fields)
        if "timelimit" in fields:
            self._set_limits(fields["timelimit"])

    def _set_limits(self, limits: Any) -> None:
        self.time_limit, self.soft_time_limit = limits if limits is not None else (None, None)

    def clear(self) -> None:
        """Forget everything."""
        vars(self).clear()

    def get(self, key: str, default: Any = None) -> Any:
        """Return the attribute, or ``default`` if the message has none of this name."""
        return getattr(self, key, default)

    def __repr__(self) -> str:
        return f"<Context: {vars(self)!r}>"

    def as_execution_options(self) -> dict[str, Any]:
        """Return the options of an ``apply_async`` that sends the task again: same id, limits, links and stamps."""
        hard, soft = self.timelimit or (self.time_limit, self.soft_time_limit)
        options = {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "chord": self.chord,
            "chain": self.chain,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "soft_time_limit": soft,
            "time_limit": hard,
            "headers": self._without_deaths(self.headers),
            "retries": self.retries,
            "reply_to": self.reply_to,
            "replaced_task_nesting": self.replaced_task_nesting,
            "origin": self.origin,
        }
        if self.stamped_headers is not None:
            options["stamped_headers"] = self.stamped_headers
            stamps = self.stamps or {}
            # a stamp mustn't take the place of an option
            options |= {name: stamps[name] for name in self.stamped_headers if name in stamps and name not in options}
        return options

    @staticmethod
    def _without_deaths(headers: Any) -> dict[str, Any]:
        if not isinstance(headers, Mapping):
            return {}
        return {key: value for key, value in headers.items() if key not in X_DEATH_HEADERS}

    @property
    def children(self) -> list[Any]:
        """The results of the tasks that this one called."""
        if self._children is None:
            self._children = []
        return self._children


#: What isn't a header of the caller's own.
_KNOWN = _OF_THE_MESSAGE.union(dir(Context))


def get_actual_ignore_result(task: Any, req: Any) -> Any:
    """Return what the call said about ``ignore_result``, or else what the task says."""
    given = vars(req).get("ignore_result") if hasattr(req, "__dict__") else None
    return task.ignore_result if given is None else given
