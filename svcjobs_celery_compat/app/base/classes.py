"""The classes that an app makes its own objects of, and how an app goes through a pickle."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from kombu.utils.imports import symbol_by_name

from svcjobs_celery_compat.app.utils import AppPickler, _unpickle_app, _unpickle_app_v2
from svcjobs_celery_compat.bin.native import COMMANDS
from svcjobs_celery_compat.names import own_name

_HERE = "svcjobs_celery_compat"


def _unpickle_appattr(reverse_name: str, args: Any) -> Any:
    from svcjobs_celery_compat._state import get_current_app

    return get_current_app()._rgetattr(reverse_name)(*args)


class Classes:
    """The part of :class:`~svcjobs_celery_compat.Celery` that binds classes to the app."""

    Pickler: type[AppPickler] = AppPickler
    _using_v1_reduce: bool | None = None

    if TYPE_CHECKING:
        main: str | None
        task_cls: Any
        loader_cls: Any
        backend_cls: Any
        amqp_cls: Any
        events_cls: Any
        log_cls: Any
        control_cls: Any
        fixups: Any
        namespace: str | None
        configured: bool
        _preconf: dict[str, Any]
        _conf: Any
        _config_source: Any
        _config_source_silent: bool
        _custom_task_cls_used: bool

    #: What ``svcjobs beat -A`` and the like run for an app.
    __svcjobs_commands__ = COMMANDS

    def __svcjobs_schedule__(self, home: Any) -> Any:
        """What ``svcjobs dashboard -A`` shows of the schedule, see :func:`~svcjobs_celery_compat.beat.timetable`."""
        from svcjobs_celery_compat.beat.timetable import timetable

        return timetable(self, home)

    def subclass_with_self(
        self,
        Class: Any,
        name: str | None = None,
        attribute: str = "app",
        reverse: str | None = None,
        keep_reduce: bool = False,
        **kw: Any,
    ) -> Any:
        """Return a subclass whose attribute ``app`` is this app.

        Parameters:
            Class: the class, or its dotted path.
            name: of the subclass.
            attribute: another name for the attribute.
            reverse: the path from an app to the subclass, as in ``AsyncResult``; pickles of its objects lead to the
                same subclass of the app that is current where they are loaded.
            keep_reduce: leave the way that objects are pickled to ``Class``.
            kw: further attributes.
        """
        Class = symbol_by_name(own_name(Class) if isinstance(Class, str) else Class)
        reverse = reverse or Class.__name__

        def __reduce__(obj: Any) -> Any:
            return _unpickle_appattr, (reverse, obj.__reduce_args__())

        attributes = {attribute: self, "__module__": Class.__module__, "__doc__": Class.__doc__, **kw}
        if not keep_reduce:
            attributes["__reduce__"] = __reduce__
        return type(name or Class.__name__, (Class,), attributes)

    def _rgetattr(self, path: str) -> Any:
        found: Any = self
        for name in path.split("."):
            found = getattr(found, name)
        return found

    def create_task_cls(self) -> Any:
        """Return the base class of the app's tasks."""
        return self.subclass_with_self(self.task_cls, name="Task", attribute="_app", keep_reduce=True, abstract=True)

    @cached_property
    def Task(self) -> Any:
        return self.create_task_cls()

    @cached_property
    def AsyncResult(self) -> Any:
        return self.subclass_with_self(f"{_HERE}.result:AsyncResult")

    @cached_property
    def ResultSet(self) -> Any:
        return self.subclass_with_self(f"{_HERE}.result:ResultSet")

    @cached_property
    def GroupResult(self) -> Any:
        return self.subclass_with_self(f"{_HERE}.result:GroupResult")

    @cached_property
    def Worker(self) -> Any:
        return self.subclass_with_self(f"{_HERE}.apps.worker:Worker")

    @cached_property
    def WorkController(self) -> Any:
        return self.subclass_with_self(f"{_HERE}.worker:WorkController")

    @cached_property
    def Beat(self) -> Any:
        return self.subclass_with_self(f"{_HERE}.apps.beat:Beat")

    @cached_property
    def _canvas(self) -> Any:
        from svcjobs_celery_compat import canvas

        return canvas

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature of a task of this app: :class:`~svcjobs_celery_compat.canvas.Signature`."""
        kwargs["app"] = self
        return self._canvas.signature(*args, **kwargs)

    def __reduce__(self) -> Any:
        if self._using_v1_reduce:
            return self.__reduce_v1__()
        return _unpickle_app_v2, (type(self), self.__reduce_keys__())

    def __reduce_v1__(self) -> Any:
        # for subclasses that define __reduce_args__
        return _unpickle_app, (type(self), self.Pickler, *self.__reduce_args__())

    def __reduce_keys__(self) -> dict[str, Any]:
        """Return the keyword arguments to make the app of."""
        return {
            "main": self.main,
            "changes": self._conf.changes if self.configured else self._preconf,
            "loader": self.loader_cls,
            "backend": self.backend_cls,
            "amqp": self.amqp_cls,
            "events": self.events_cls,
            "log": self.log_cls,
            "control": self.control_cls,
            "fixups": self.fixups,
            "config_source": self._config_source,
            "config_source_silent": self._config_source_silent,
            "task_cls": self.task_cls if self._custom_task_cls_used else None,
            "namespace": self.namespace,
        }

    def __reduce_args__(self) -> Any:
        """Return the arguments of :meth:`AppPickler.build_standard_kwargs`."""
        return (
            self.main,
            self._conf.changes if self.configured else {},
            self.loader_cls,
            self.backend_cls,
            self.amqp_cls,
            self.events_cls,
            self.log_cls,
            self.control_cls,
            False,
            self._config_source,
            self._config_source_silent,
        )
