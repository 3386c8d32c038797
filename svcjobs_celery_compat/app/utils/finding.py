"""How ``-A proj`` finds an app."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from svcjobs_celery_compat.utils.imports import import_from_cwd, symbol_by_name

__all__ = ("find_app",)


def find_app(app: str, symbol_by_name: Callable[..., Any] = symbol_by_name, imp: Any = import_from_cwd) -> Any:
    """Return the app of that name: ``proj``, ``proj.celery`` or ``proj.celery:app``.

    In a module it is the attribute ``app``, or ``celery``, or any app; in a package also the module ``celery`` inside.

    :raises AttributeError: there is none.
    :raises ImportError: there is no such module.
    """
    try:
        found = symbol_by_name(app, imp=imp)
    except AttributeError:
        # the last part is a module that wasn't imported, not an attribute
        found = imp(app)
    if not isinstance(found, ModuleType) or ":" in app:
        return found
    for name in ("app", "celery"):
        candidate = getattr(found, name, None)
        if candidate is not None and not isinstance(candidate, ModuleType):
            return candidate
    if getattr(found, "__path__", None):
        try:
            return find_app(f"{app}.celery", symbol_by_name=symbol_by_name, imp=imp)
        except ImportError as exc:
            if exc.name not in (None, f"{app}.celery"):
                raise
    return _any_app_of(found)


def _any_app_of(module: ModuleType) -> Any:
    from svcjobs_celery_compat.app.base import Celery

    for candidate in vars(module).values():
        if isinstance(candidate, Celery):
            return candidate
    raise AttributeError(
        f"module {module.__name__!r} has no attribute 'celery' or 'app', and no other Celery app: "
        "name it by -A module:attribute"
    )
