"""Modules and objects found by name."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module, reload
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from kombu.utils.imports import symbol_by_name as _symbol_by_name

from svcjobs_celery_compat.names import own_name

__all__ = (
    "NotAPackage",
    "cwd_in_path",
    "find_module",
    "gen_task_name",
    "import_from_cwd",
    "instantiate",
    "module_file",
    "qualname",
    "reload_from_cwd",
    "symbol_by_name",
)

#: The file that ``python file.py`` runs, in a pool process: its tasks are those of ``__main__``.
MP_MAIN_FILE = os.environ.get("MP_MAIN_FILE")


class NotAPackage(Exception):
    """A module was looked for in something that isn't a package."""


def qualname(obj: Any) -> str:
    """Return the dotted name of an object, or of its class if it has no name itself."""
    if not hasattr(obj, "__name__") and hasattr(obj, "__class__"):
        obj = obj.__class__
    name: str = getattr(obj, "__qualname__", obj.__name__)
    if "." in name:
        # a method: named by its class, whose module it may not know
        return name
    return f"{obj.__module__}.{name}"


#: The name of a class, as Celery called it before :func:`qualname`.
get_full_cls_name = qualname


def symbol_by_name(name: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the object called ``module:attribute`` or ``module.attribute``; an object as it is.

    A name of Celery, such as ``celery.beat:PersistentScheduler`` in a configuration, is that of our object.
    """
    return _symbol_by_name(own_name(name) if isinstance(name, str) else name, *args, **kwargs)


get_cls_by_name = symbol_by_name


def instantiate(name: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the class of that name, or the class itself, and return the object."""
    return symbol_by_name(name)(*args, **kwargs)


@contextmanager
def cwd_in_path() -> Iterator[None]:
    """Let imports inside the block find modules in the current directory, too."""
    try:
        cwd = os.getcwd()  # noqa: PTH109 - sys.path holds texts
    except FileNotFoundError:  # it was removed: there is nothing to find in it
        cwd = None
    if cwd is None or cwd in sys.path:
        yield
        return
    sys.path.insert(0, cwd)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(cwd)


def find_module(module: str, path: Any = None, imp: Callable[[str], Any] | None = None) -> Any:
    """Import a module, and say which of its parents is no package; the current directory counts.

    :param path: not used, as in Celery.
    :param imp: imports a module by its name.
    :returns: the module.
    :raises NotAPackage: one of the parents is a module without a ``__path__``.
    :raises ImportError: it isn't there, or can't be imported.
    """
    imp = imp or import_module
    with cwd_in_path():
        names = module.split(".")
        for count in range(1, len(names)):
            parent = ".".join(names[:count])
            if not hasattr(imp(parent), "__path__"):
                raise NotAPackage(parent)
        return imp(module)


def import_from_cwd(module: str, imp: Callable[..., Any] | None = None, package: str | None = None) -> Any:
    """Import a module; the current directory counts.

    :param imp: does the import; called with the name and ``package=``.
    """
    imp = imp or import_module
    with cwd_in_path():
        return imp(module, package=package)


def reload_from_cwd(module: ModuleType, reloader: Callable[[ModuleType], Any] | None = None) -> Any:
    """Load a module again; the current directory counts."""
    with cwd_in_path():
        return (reloader or reload)(module)


def module_file(module: ModuleType) -> str:
    """Return the path of the module's source file."""
    name = module.__file__ or ""
    return name[:-1] if name.endswith(".pyc") else name


def gen_task_name(app: Any, name: str, module_name: str | None) -> str:
    """Return the name of a task that is given none: ``module.function``.

    In ``__main__`` the module is the app's name, or that of the file that the pool's parent process runs.
    """
    module_name = module_name or "__main__"
    module = sys.modules.get(module_name)
    if module is not None:
        # the module may have set its name, to be found by the worker
        module_name = module.__name__
        if MP_MAIN_FILE and module.__file__ == MP_MAIN_FILE:
            module_name = "__main__"
    if module_name == "__main__" and app.main:
        return f"{app.main}.{name}"
    return ".".join(part for part in (module_name, name) if part)


@cache
def load_extension_class_names(namespace: str) -> tuple[tuple[str, str], ...]:
    """Return name and ``module:attribute`` of each entry point in a group. Installed packages are read once."""
    found = entry_points(group=namespace)
    return tuple((point.name, point.value) for point in found)


def load_extension_classes(namespace: str) -> Iterator[tuple[str, Any]]:
    """Yield name and object of each entry point in a group; one that can't be imported gives a warning."""
    for name, class_name in load_extension_class_names(namespace):
        try:
            cls = symbol_by_name(class_name)
        except (ImportError, SyntaxError) as exc:
            warnings.warn(f"Cannot load {namespace} extension {class_name!r}: {exc!r}", stacklevel=2)
        else:
            yield name, cls
