"""Apps: the default one, the current one, and tasks that every app has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from svcjobs_celery_compat import _state
from svcjobs_celery_compat._state import (
    app_or_default,
    disable_trace,
    enable_trace,
    pop_current_task,
    push_current_task,
)
from svcjobs_celery_compat.app.base import Celery
from svcjobs_celery_compat.app.base.typed import TaskDecorator
from svcjobs_celery_compat.app.utils import AppPickler
from svcjobs_celery_compat.local import Proxy

__all__ = (
    "AppPickler",
    "Celery",
    "app_or_default",
    "bugreport",
    "default_app",
    "disable_trace",
    "enable_trace",
    "pop_current_task",
    "push_current_task",
    "shared_task",
)

#: The app of threads that have none of their own.
default_app: Any = Proxy(lambda: _state.default_app)


def bugreport(app: Any = None) -> str:
    """Return versions and settings of an app, passwords left out."""
    return str((app or _state.get_current_app()).bugreport())


class _SharedTask(Proxy):
    """The task of the current app that was made of a shared function."""


if TYPE_CHECKING:
    shared_task: TaskDecorator
else:

    def shared_task(*args, **kwargs):
        """Make a task of a function in every app, for code that belongs to none; a decorator, with or without options.

        The task stands for that of the current app. Options are those of :meth:`Celery.task`.

        Raises:
            TypeError: the function was decorated with it before.
        """
        kwargs.pop("lazy", None)  # it is found by its name, whenever it is used

        def decorate(fun: Callable[..., Any]) -> Any:
            if type(fun) is _SharedTask:
                raise TypeError("@shared_task() was applied to the same function more than once")
            name = kwargs.get("name")

            def cons(app: Any) -> Any:
                return app._task_from_fun(fun, **kwargs)

            _state.connect_on_app_finalize(cons)
            for app in _state._get_active_apps():
                if app.finalized:
                    with app._finalize_mutex:
                        cons(app)

            def of_current_app() -> Any:
                app = _state.get_current_app()
                return app.tasks[name or app.gen_task_name(fun.__name__, fun.__module__)]

            return _SharedTask(of_current_app)

        if len(args) == 1 and callable(args[0]):
            return decorate(args[0])
        return decorate
