"""How a task class comes to an app, and to the app's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import svcjobs_celery_compat.app.task as _module
from svcjobs_celery_compat.local import class_property
from svcjobs_celery_compat.utils import deprecated
from svcjobs_celery_compat.utils.threads import LocalStack

_OF_ROUTING = ("queue", "exchange", "exchange_type", "routing_key", "delivery_mode", "priority")


class Binding:
    """The part of :class:`~svcjobs_celery_compat.app.task.Task` that belongs to the class, not to a run."""

    __bound__ = False

    _app: Any = None
    _backend: Any = None
    _exec_options: dict[str, Any] | None = None

    #: The requests of the runs in this thread, or this asyncio task.
    request_stack: Any = None

    typing: bool | None
    from_config: ClassVar[tuple[tuple[str, str], ...]]

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Make it a task of ``app``, and take settings for the attributes that are None."""
        bound_before, cls.__bound__ = cls.__bound__, True
        if not bound_before:
            cls._warn_of_routing()
        cls._app = app
        cls._exec_options = None
        if cls.typing is None:
            cls.typing = app.strict_typing
        for attribute, setting in cls.from_config:
            if getattr(cls, attribute, None) is None:
                setattr(cls, attribute, app.conf[setting])
        if not bound_before:
            cls.annotate()
            cls.request_stack = LocalStack()
        cls.on_bound(app)
        return app

    @classmethod
    def _warn_of_routing(cls) -> None:
        for attribute in _OF_ROUTING:
            if vars(cls).get(attribute) is not None:
                deprecated.warn(
                    f"The {attribute!r} task attribute",
                    removal="6.0",
                    alternative="Use the task_routes setting instead",
                )

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Called when the class has become one of ``app``. Override it."""

    @classmethod
    def _get_app(cls) -> Any:
        if cls._app is None:
            cls._app = _module.current_app
        if not cls.__bound__:
            # a class that nobody bound is one of the current app from its first use on
            cls.bind(cls._app)
        return cls._app

    app = class_property(_get_app, bind)

    @classmethod
    def annotate(cls) -> None:
        """Set what the app's ``task_annotations`` have for this task; ``@name`` wraps the method of that name."""
        for annotation in _module.resolve_all_annotations(cls.app.annotations, cls):
            for key, value in annotation.items():
                if key.startswith("@"):
                    cls.add_around(key[1:], value)
                else:
                    setattr(cls, key, value)

    @classmethod
    def add_around(cls, attr: str, around: Callable[..., Any]) -> None:
        """Put what ``around`` makes of the method ``attr`` in its place, or in that of a former wrapper."""
        original = getattr(cls, attr)
        original = getattr(original, "__wrapped__", original)
        wrapper = around(original)
        wrapper.__wrapped__ = original
        setattr(cls, attr, wrapper)
