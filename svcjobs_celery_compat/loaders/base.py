"""What loaders have in common."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from kombu.utils import json
from kombu.utils.objects import cached_property

from svcjobs_celery_compat import signals
from svcjobs_celery_compat.utils.collections import DictAttribute, force_mapping
from svcjobs_celery_compat.utils.functional import maybe_list
from svcjobs_celery_compat.utils.imports import NotAPackage, find_module, import_from_cwd, symbol_by_name

__all__ = ("BaseLoader", "autodiscover_tasks", "find_related_module", "unconfigured")

#: Modules are being searched for tasks: one of them may ask for that again.
_RACE_PROTECTION = False

#: What a loader's configuration is before it is read.
unconfigured = object()


class BaseLoader:
    """Reads the configuration of an app, imports its modules of tasks, and is told of the worker's life.

    :param app: it is for.
    """

    #: modules that are imported in any case
    builtin_modules: frozenset[str] = frozenset()
    configured = False
    #: result stores of the application, by name
    override_backends: dict[str, str] = {}  # noqa: RUF012 - a configuration replaces it
    worker_initialized = False
    _conf: Any = unconfigured

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self.task_modules: set[str] = set()

    def now(self, utc: bool = True) -> datetime:
        """Return this instant, in UTC or in the system's zone, without a zone."""
        return datetime.now(UTC).replace(tzinfo=None) if utc else datetime.now()

    def on_task_init(self, task_id: str, task: Any) -> None:
        """Do what is to be done before a task runs."""

    def on_process_cleanup(self) -> None:
        """Do what is to be done after a task ran."""

    def on_worker_init(self) -> None:
        """Do what is to be done when a worker starts."""

    def on_worker_shutdown(self) -> None:
        """Do what is to be done when a worker ends."""

    def on_worker_process_init(self) -> None:
        """Do what is to be done when a pool process starts."""

    def import_task_module(self, module: str) -> Any:
        """Import a module of tasks."""
        self.task_modules.add(module)
        return self.import_from_cwd(module)

    def import_module(self, module: str, package: str | None = None) -> Any:
        """Import a module."""
        return importlib.import_module(module, package=package)

    def import_from_cwd(self, module: str, imp: Callable[..., Any] | None = None, package: str | None = None) -> Any:
        """Import a module; the current directory counts."""
        return import_from_cwd(module, self.import_module if imp is None else imp, package=package)

    def import_default_modules(self) -> list[Any]:
        """Import the modules of ``imports``, ``include`` and the app, after :data:`~.signals.import_modules`.

        What a receiver raises is raised here: logging isn't set up yet.
        """
        for _, response in signals.import_modules.send(sender=self.app):
            if isinstance(response, Exception):
                raise response
        return [self.import_task_module(module) for module in self.default_modules]

    def init_worker(self) -> None:
        """Be told that a worker starts: import the modules, once."""
        if not self.worker_initialized:
            self.worker_initialized = True
            self.import_default_modules()
            self.on_worker_init()

    def shutdown_worker(self) -> None:
        """Be told that a worker ends."""
        self.on_worker_shutdown()

    def init_worker_process(self) -> None:
        """Be told that a pool process starts."""
        self.on_worker_process_init()

    def config_from_object(self, obj: Any, silent: bool = False) -> bool:
        """Read the configuration from an object, or from that of this name.

        :param silent: return False if there is none of that name.
        """
        if isinstance(obj, str):
            try:
                obj = self._smart_import(obj, imp=self.import_from_cwd)
            except (ImportError, AttributeError):
                if silent:
                    return False
                raise
        self._conf = force_mapping(obj)
        if self._conf.get("override_backends") is not None:
            self.override_backends = self._conf["override_backends"]
        return True

    def _smart_import(self, path: str, imp: Any = None) -> Any:
        imp = self.import_module if imp is None else imp
        if ":" in path:
            return symbol_by_name(path, imp=imp)
        try:
            return imp(path)
        except ImportError as missing:
            # module.attribute
            try:
                return symbol_by_name(path, imp=imp)
            except AttributeError:
                raise ModuleNotFoundError(
                    f"{path!r} is neither a module nor an attribute of one: {missing}", name=path
                ) from None

    def _import_config_module(self, name: str) -> Any:
        try:
            self.find_module(name)
        except NotAPackage as exc:
            hint = f" Did you mean {name[:-3]!r}?" if name.endswith(".py") else ""
            raise NotAPackage(f"{name!r} isn't the name of a module.{hint}").with_traceback(exc.__traceback__) from None
        return self.import_from_cwd(name)

    def find_module(self, module: str) -> Any:
        """Import a module; the current directory counts."""
        return find_module(module)

    def cmdline_config_parser(
        self,
        args: Iterable[str],
        namespace: str = "celery",
        re_type: re.Pattern[str] = re.compile(r"\((\w+)\)"),
        extra_types: dict[str, Callable[[Any], Any]] | None = None,
        override_types: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Read settings of a command line: ``worker.concurrency=4``, ``.name=(int)3``.

        :param namespace: of names that begin with a dot.
        :raises ValueError: a value isn't of the setting's type, or it has no value.
        """
        from svcjobs_celery_compat.app.defaults import NAMESPACES, Option

        types = {**Option.typemap, "json": json.loads, **(extra_types or {})}
        overridden = {"tuple": "json", "list": "json", "dict": "json"} if override_types is None else override_types

        def setting(arg: str) -> tuple[str, Any]:
            text = arg.strip()
            key, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"{text!r} isn't a setting: it is written name=value")
            key = key.strip().lower()
            ns, dot, name = key.partition(".")
            if not dot:
                ns, name = _namespace_of(key)
            elif not ns:
                ns = namespace
            match = re_type.match(value)
            try:
                if match is not None:
                    kind = overridden.get(match[1], match[1])
                    converted = types[kind](value[match.end() :])
                else:
                    option = NAMESPACES[ns][name] if ns else NAMESPACES[name]
                    kind = overridden.get(option.type, option.type)
                    converted = types[kind](value)
            except KeyError:
                converted = value
            except ValueError as exc:
                raise ValueError(f"{text!r}: {exc}") from exc
            return "_".join(part for part in (ns, name) if part), converted

        return dict(map(setting, args))

    def read_configuration(self, env: str = "CELERY_CONFIG_MODULE") -> Any:
        """Read the configuration from the module that the environment variable names; None if it isn't set."""
        name = os.environ.get(env)
        return DictAttribute(self._import_config_module(name)) if name else None

    def autodiscover_tasks(self, packages: Iterable[str], related_name: str | None = "tasks") -> None:
        """Import the module `related_name` of each of the packages, if it has one."""
        found = autodiscover_tasks(packages, related_name=related_name)
        self.task_modules.update(module.__name__ for module in found if module)

    @cached_property  # type: ignore[untyped-decorator]  # of kombu
    def default_modules(self) -> tuple[str, ...]:
        """Names of the modules of tasks."""
        conf = self.app.conf
        return (
            *tuple(self.builtin_modules),
            *tuple(maybe_list(conf.imports) or ()),
            *tuple(maybe_list(conf.include) or ()),
        )

    @property
    def conf(self) -> Any:
        """The configuration, read when it is asked for."""
        if self._conf is unconfigured:
            self._conf = self.read_configuration()
        return self._conf


def _namespace_of(key: str) -> tuple[str, str]:
    """Return namespace and name of a setting's full name."""
    from svcjobs_celery_compat.app.defaults import NAMESPACES

    for ns, options in NAMESPACES.items():
        if isinstance(options, dict) and key.startswith(f"{ns}_") and key[len(ns) + 1 :] in options:
            return ns, key[len(ns) + 1 :]
    return "", key


def autodiscover_tasks(packages: Iterable[str], related_name: str | None = "tasks") -> list[Any]:
    """Import the module `related_name` of each of the packages, and return the modules; None for those without one."""
    global _RACE_PROTECTION
    if _RACE_PROTECTION:
        return []
    _RACE_PROTECTION = True
    try:
        return [find_related_module(package, related_name) for package in packages]
    finally:
        _RACE_PROTECTION = False


def find_related_module(package: str, related_name: str | None) -> ModuleType | None:
    """Import the module `related_name` of a package, and return it; None if the package has none.

    :param package: a package, or a class in it, as Django's ``AppConfig`` is named.
    :param related_name: None: the package itself is meant.
    :raises ModuleNotFoundError: there is no such package, or what is imported lacks a module.
    """
    try:
        module = importlib.import_module(package)
        if not related_name and module:
            return module
    except ModuleNotFoundError:
        # the last part may be a class
        package, _, _ = package.rpartition(".")
        if not package:
            raise
    module_name = f"{package}.{related_name}"
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        # of another name: it is missing in the module itself, which its author is to see
        if exc.name == module_name:
            return None
        raise
