"""The app: what tasks, settings and connections belong to."""

from __future__ import annotations

import importlib as importlib  # patched here by tests
import logging
import os
import platform
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic

from kombu.clocks import LamportClock
from kombu.common import oid_from
from kombu.utils.imports import symbol_by_name
from typing_extensions import TypeVar

from svcjobs_celery_compat._state import (
    _register_app,
    _set_current_app,
    get_current_task,
    get_current_worker_task,
    set_default_app,
)
from svcjobs_celery_compat._state import connect_on_app_finalize as connect_on_app_finalize
from svcjobs_celery_compat.app import backends
from svcjobs_celery_compat.app import builtins as builtins  # registers the tasks that every app has
from svcjobs_celery_compat.app.annotations import prepare as prepare_annotations
from svcjobs_celery_compat.app.base.classes import Classes
from svcjobs_celery_compat.app.base.configuring import Configuring
from svcjobs_celery_compat.app.base.connecting import Connecting
from svcjobs_celery_compat.app.base.connecting import _after_fork_cleanup_app as _after_fork_cleanup_app
from svcjobs_celery_compat.app.base.connecting import register_after_fork as register_after_fork
from svcjobs_celery_compat.app.base.defining import Defining
from svcjobs_celery_compat.app.base.finding import Finding
from svcjobs_celery_compat.app.base.pending import PendingConfiguration
from svcjobs_celery_compat.app.base.publishing import Publishing
from svcjobs_celery_compat.app.registry import TaskRegistry
from svcjobs_celery_compat.app.utils import Settings, _new_key_to_old, _old_key_to_new, bugreport
from svcjobs_celery_compat.loaders import get_loader_cls
from svcjobs_celery_compat.names import own_name
from svcjobs_celery_compat.utils.dispatch import Signal
from svcjobs_celery_compat.utils.quorum_queues import detect_quorum_queues as detect_quorum_queues
from svcjobs_celery_compat.utils.time import to_utc as to_utc

__all__ = ("Celery",)

logger = logging.getLogger("celery.app.base")

BUILTIN_FIXUPS = {"svcjobs_celery_compat.fixups.django:fixup"}

#: Whether this process is one of a pool that starts its processes afresh: then tasks are looked up in the current app.
USING_EXECV = os.environ.get("FORKED_BY_MULTIPROCESSING")

_HERE = "svcjobs_celery_compat"

TaskT = TypeVar("TaskT", default=Any)


def app_has_custom(app: Any, attr: str) -> bool:
    """Return whether a subclass of :class:`Celery` defines ``attr`` itself."""
    classes = type(app).__mro__
    return any(attr in vars(cls) for cls in classes[: classes.index(Celery)])


class Celery(Configuring, Finding, Connecting, Publishing, Defining, Classes, Generic[TaskT]):
    """An application: its tasks, its settings, and its way to the broker and the results.

    Parameters:
        main: the name that tasks of the module ``__main__`` get.
        loader: class of the loader, or its path; from the environment variable ``CELERY_LOADER`` without one.
        backend: the setting ``result_backend``.
        broker: the setting ``broker_url``.
        include: modules that the worker imports.
        changes: settings.
        config_source: as in :meth:`config_from_object`; ``config_source_silent`` is its ``silent``.
        namespace: what the names of settings begin with in the configuration.
        set_as_current: make it the app of this thread.
        tasks: a registry of tasks, or its class.
        task_cls: base class of tasks, or its path.
        fixups: paths of functions that adapt the app to a framework.
        autofinalize: false: using a task before :meth:`finalize` is an error.
        strict_typing: false: arguments of calls aren't checked.
        amqp, events, log, control: other classes for these parts.
        kwargs: settings.
    """

    IS_macOS = sys.platform == "darwin"
    IS_WINDOWS = sys.platform == "win32"
    SYSTEM = platform.system()

    main: str | None = None
    loader_cls: Any = None
    backend_cls: Any = None
    amqp_cls: Any = f"{_HERE}.app.amqp:AMQP"
    events_cls: Any = f"{_HERE}.app.events:Events"
    log_cls: Any = f"{_HERE}.app.log:Logging"
    control_cls: Any = f"{_HERE}.app.control:Control"
    task_cls: Any = f"{_HERE}.app.task:Task"
    registry_cls: Any = TaskRegistry

    #: Further options for the command line, and steps for the worker: sets under ``worker``, ``beat``, ``consumer`` …
    user_options: Any = None
    steps: Any = None

    builtin_fixups: Iterable[str] = BUILTIN_FIXUPS

    #: Signals. A method ``on_configure`` in a subclass is called instead.
    on_configure: Any = None
    on_after_configure: Any = None
    on_after_finalize: Any = None
    on_after_fork: Any = None

    _fixups: Any = None
    _local: Any = None

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(
        self,
        main: str | None = None,
        loader: Any = None,
        backend: Any = None,
        amqp: Any = None,
        events: Any = None,
        log: Any = None,
        control: Any = None,
        set_as_current: bool = True,
        tasks: Any = None,
        broker: Any = None,
        include: Any = None,
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        fixups: Iterable[Any] | None = None,
        task_cls: Any = None,
        autofinalize: bool = True,
        namespace: str | None = None,
        strict_typing: bool = True,
        config_source_silent: bool = False,
        **kwargs: Any,
    ) -> None:
        self._local = threading.local()
        self._backend_cache: Any = None
        self.clock = LamportClock()
        self.main = main
        self.amqp_cls = amqp or self.amqp_cls
        self.events_cls = events or self.events_cls
        self.loader_cls = loader or self._get_default_loader()
        self.log_cls = log or self.log_cls
        self.control_cls = control or self.control_cls
        self._custom_task_cls_used = bool(task_cls) or self.task_cls != Celery.task_cls
        self.task_cls = task_cls or self.task_cls
        self.registry_cls = symbol_by_name(self.registry_cls)
        self.user_options = defaultdict(set)
        self.steps = defaultdict(set)
        self.set_as_current = set_as_current
        self.autofinalize = autofinalize
        self.strict_typing = strict_typing

        self.namespace = namespace
        self.configured = False
        self._config_source = config_source
        self._config_source_silent = config_source_silent
        self._pending_defaults = deque()
        self._pending_periodic_tasks = deque()
        self._preconf = dict(changes or {})
        self._preconf_set_by_auto = set()
        for setting, value in {"broker_url": broker, "result_backend": backend, "include": include, **kwargs}.items():
            self.__autoset(setting, value)
        self._conf = Settings(
            PendingConfiguration(self._preconf, self._finalize_pending_conf),
            prefix=self.namespace,
            keys=(_old_key_to_new, _new_key_to_old),
        )

        self.finalized = False
        self._finalize_mutex = threading.RLock()
        self._pending = deque()
        self._duplicate_task_names_warned = set()
        self._tasks = tasks if isinstance(tasks, TaskRegistry) else self.registry_cls(tasks or {})

        self.fixups = set(self.builtin_fixups) if fixups is None else fixups
        self._using_v1_reduce = app_has_custom(self, "__reduce_args__")
        #: Set by the worker, which then runs tasks without looking at whether they are proxies.
        self.use_fast_trace_task = False
        for signal, providing in (
            ("on_configure", ()), ("on_after_configure", {"source"}), ("on_after_finalize", ()), ("on_after_fork", ()),
        ):  # fmt: skip
            if getattr(self, signal) is None:
                setattr(self, signal, Signal(name=f"app.{signal}", providing_args=providing))
        self._fixups = [symbol_by_name(own_name(f) if isinstance(f, str) else f)(self) for f in self.fixups]
        if self.set_as_current:
            self.set_current()
        self.on_init()
        _register_app(self)

    def __autoset(self, key: str, value: Any) -> None:
        if value is not None:
            self._preconf[key] = value
            self._preconf_set_by_auto.add(key)

    def on_init(self) -> None:
        """Called when the app was made. Override it."""

    def set_current(self) -> None:
        """Make it the app of this thread."""
        _set_current_app(self)

    def set_default(self) -> None:
        """Make it the app of threads that have none."""
        set_default_app(self)

    def __enter__(self) -> Celery[TaskT]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or '__main__'} at {id(self):#x}>"

    def _get_default_loader(self) -> Any:
        return os.environ.get("CELERY_LOADER") or self.loader_cls or f"{_HERE}.loaders.app:AppLoader"

    def start(self, argv: list[str] | None = None) -> Any:
        """Run the command line with these arguments, or the process's. Returns the exit code if it ends with one."""
        from click.exceptions import Exit

        from svcjobs_celery_compat.bin.celery import celery  # the command line needs everything else

        celery.params[0].default = self
        try:
            celery.main(args=sys.argv if argv is None else argv, standalone_mode=False)
        except Exit as exit:
            return exit.exit_code
        finally:
            celery.params[0].default = None

    def worker_main(self, argv: list[str] | None = None) -> Any:
        """Run the command ``worker`` with these arguments.

        Raises:
            ValueError: it is another command.
        """
        argv = sys.argv if argv is None else argv
        if "worker" not in argv:
            raise ValueError(
                "The worker sub-command must be specified in argv.\n"
                "Use app.start() to programmatically start other commands."
            )
        return self.start(argv=argv)

    def select_queues(self, queues: Any = None) -> Any:
        """Let the worker consume from these queues only."""
        return self.amqp.queues.select(queues)

    def bugreport(self) -> str:
        """Return versions and settings, passwords left out."""
        return bugreport(self)

    @property
    def current_task(self) -> Any:
        """The task that runs in this thread."""
        return get_current_task()

    @property
    def current_worker_task(self) -> Any:
        """The task that a worker runs in this thread; None where it is called as a function."""
        return get_current_worker_task()

    @cached_property
    def oid(self) -> str:
        """An id of this process's copy of the app."""
        return oid_from(self, threads=False)  # type: ignore[no-any-return]  # kombu isn't typed

    @property
    def thread_oid(self) -> str:
        """An id of this thread, too: its queue for answers is named so."""
        try:
            return self._local.oid  # type: ignore[no-any-return]
        except AttributeError:
            oid: str = oid_from(self, threads=True)
            self._local.oid = oid
            return oid

    @property
    def backend(self) -> Any:
        """Where results are stored: an object for each thread, or one with ``result_backend_thread_safe`` on."""
        backend = self._backend_cache or getattr(self._local, "backend", None)
        if backend is None:
            backend = self._get_backend()
            if self.conf.get("result_backend_thread_safe"):
                self._backend_cache = backend
            else:
                self._local.backend = backend
        return backend

    @property
    def _backend(self) -> Any:
        return self._backend_cache or getattr(self._local, "backend", None)

    @_backend.setter
    def _backend(self, backend: Any) -> None:
        self._backend_cache = backend

    def _get_backend(self) -> Any:
        backend, url = backends.by_url(self.backend_cls or self.conf.result_backend, self.loader)
        return backend(app=self, url=url)

    def _release_backend(self) -> None:
        self._backend_cache = self._local.backend = None

    @cached_property
    def amqp(self) -> Any:
        """How messages are made and routed: :class:`~svcjobs_celery_compat.app.amqp.AMQP`."""
        return self._made(self.amqp_cls)

    @cached_property
    def events(self) -> Any:
        """Events of tasks and workers: :class:`~svcjobs_celery_compat.app.events.Events`."""
        return self._made(self.events_cls)

    @cached_property
    def control(self) -> Any:
        """Remote control of workers: :class:`~svcjobs_celery_compat.app.control.Control`."""
        return self._made(self.control_cls)

    @cached_property
    def log(self) -> Any:
        """How logging is set up: :class:`~svcjobs_celery_compat.app.log.Logging`."""
        return self._made(self.log_cls)

    @cached_property
    def loader(self) -> Any:
        """How modules and settings are imported."""
        return get_loader_cls(self.loader_cls)(app=self)

    @cached_property
    def annotations(self) -> Any:
        """The setting ``task_annotations``."""
        return prepare_annotations(self.conf.task_annotations)

    def _made(self, cls: Any) -> Any:
        return symbol_by_name(own_name(cls) if isinstance(cls, str) else cls)(self)


App = Celery
