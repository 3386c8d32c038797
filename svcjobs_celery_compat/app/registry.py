"""The tasks of an app by their names."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from svcjobs_celery_compat._state import get_current_app
from svcjobs_celery_compat.app.autoretry import add_autoretry_behaviour
from svcjobs_celery_compat.exceptions import InvalidTaskError, NotRegistered

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.task import Task

__all__ = ("TaskRegistry",)


class TaskRegistry(dict[str, Any]):
    """Maps names to tasks.

    Raises:
        NotRegistered: there is no task of that name.
    """

    NotRegistered = NotRegistered

    def __missing__(self, key: str) -> Any:
        raise self.NotRegistered(key)

    def register(self, task: Any) -> None:
        """Add a task; of a class an object is made.

        Raises:
            InvalidTaskError: it has no name.
        """
        if task.name is None:
            raise InvalidTaskError(f"Task class {type(task).__name__!r} must specify .name attribute")
        task = self[task.name] = task() if inspect.isclass(task) else task
        add_autoretry_behaviour(task)

    def unregister(self, name: str | Task[..., Any]) -> None:
        """Remove a task.

        Raises:
            NotRegistered: it isn't there.
        """
        key: Any = getattr(name, "name", name)
        try:
            self.pop(key)
        except KeyError:
            raise self.NotRegistered(name) from None

    def regular(self) -> dict[str, Any]:
        """Return the tasks that aren't periodic ones of old."""
        return self.filter_types("regular")

    def periodic(self) -> dict[str, Any]:
        """Return the tasks whose class says that they are periodic."""
        return self.filter_types("periodic")

    def filter_types(self, type: str) -> dict[str, Any]:
        return {name: task for name, task in self.items() if getattr(task, "type", "regular") == type}


def _unpickle_task(name: str) -> Any:
    return get_current_app().tasks[name]


def _unpickle_task_v2(name: str, module: str | None = None) -> Any:
    if module:
        import_module(module)  # registers the task
    return get_current_app().tasks[name]
