"""The remote control commands that there are, and how to add one."""

from __future__ import annotations

import functools
from collections import UserDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from svcjobs_celery_compat.utils.collections import AttributeDict

F = TypeVar("F", bound=Callable[..., Any])


class controller_info_t(NamedTuple):  # the documented name
    """What is known of a command."""

    alias: str | None
    type: str
    visible: bool
    default_timeout: float
    help: str | None
    signature: str | None
    args: Any
    variadic: str | None


class Panel(UserDict[str, Any]):
    """All commands by name: functions that get the worker's state first."""

    data: dict[str, Any] = {}  # noqa: RUF012 - one registry for all
    meta: dict[str, controller_info_t] = {}  # noqa: RUF012 - as above

    @classmethod
    def register(cls, *args: Any, **kwargs: Any) -> Any:
        """Decorator: add a command."""
        if args:
            return cls._register(**kwargs)(*args)
        return cls._register(**kwargs)

    @classmethod
    def _register(
        cls,
        name: str | None = None,
        alias: str | None = None,
        type: str = "control",
        visible: bool = True,
        default_timeout: float = 1.0,
        help: str | None = None,
        signature: str | None = None,
        args: Any = None,
        variadic: str | None = None,
    ) -> Callable[[F], F]:
        def register(fun: F) -> F:
            control_name = name or str(fun.__name__)
            text = help or (fun.__doc__ or "").strip().split("\n")[0]
            cls.data[control_name] = fun
            cls.meta[control_name] = controller_info_t(
                alias, type, visible, default_timeout, text, signature, args, variadic
            )
            if alias:
                cls.data[alias] = fun
            return fun

        return register

    @classmethod
    def for_worker(cls, consumer: Any) -> Any:
        """The commands of a worker whose tasks run in other processes too: those are asked as well."""
        return _OfWorker(cls.data, consumer)


class _OfWorker(UserDict[str, Any]):
    """Looks a command up when it comes: user code may add some later."""

    def __init__(self, commands: dict[str, Any], consumer: Any) -> None:
        self.data = commands
        self._consumer = consumer

    def __getitem__(self, name: str) -> Any:
        return functools.partial(_everywhere, self.data[name], name, self._consumer)


def _everywhere(fun: Any, name: str, consumer: Any, state: Any, **arguments: Any) -> Any:
    """Obey here, and in the other processes; their answers are made one."""
    from svcjobs_celery_compat.worker.control.merging import EVERYWHERE, merged

    own_name = fun.__name__
    if own_name not in EVERYWHERE:
        return fun(state, **arguments)
    crew = consumer.controller.crew
    if own_name in ("revoke", "terminate"):
        ids = arguments.get("task_id")
        answers = crew.call("query_task", {"ids": [ids] if isinstance(ids, str) else list(ids or ())})
        active = {task_id for answer in answers for task_id, (what, _) in (answer or {}).items() if what == "active"}
        state = AttributeDict(state, running_elsewhere=active)
    others = crew.call(own_name, arguments)
    return merged(own_name, fun(state, **arguments), others)


def control_command(**kwargs: Any) -> Callable[[F], F]:
    """Decorator: add a command that changes something."""
    return Panel._register(type="control", **kwargs)


def inspect_command(**kwargs: Any) -> Callable[[F], F]:
    """Decorator: add a command that only tells something."""
    return Panel._register(type="inspect", **kwargs)


def ok(value: Any) -> dict[str, Any]:
    """The answer of a command that worked."""
    return {"ok": value}


def nok(value: Any) -> dict[str, Any]:
    """The answer of a command that didn't."""
    return {"error": value}
