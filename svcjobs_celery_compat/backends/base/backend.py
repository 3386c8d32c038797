"""The class that every backend is one of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from svcjobs_celery_compat.backends.base.chords import Chords


def unpickle_backend(cls: type[Backend], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A backend out of a pickle: one of the current application."""
    from svcjobs_celery_compat._state import current_app

    make: Any = cls  # whose first argument isn't the application in every store
    return make(*args, app=current_app._get_current_object(), **kwargs)


class Backend(Chords):
    """A result backend. One that is asked again and again is a :class:`BaseBackend`."""

    def cleanup(self) -> Any:
        """Remove results that are past their time, where the store doesn't do so by itself."""

    def process_cleanup(self) -> Any:
        """Let go of what belongs to a process that ends."""

    def on_task_call(self, producer: Any, task_id: str) -> Any:
        """Called before the message of a task is sent."""
        return {}

    def __reduce__(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return unpickle_backend, (self.__class__, args, dict(kwargs or {}))
