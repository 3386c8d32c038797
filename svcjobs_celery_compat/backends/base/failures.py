"""Exceptions as results: how they are written, and what is made of them again.

In JSON (and any serializer but pickle) an exception is ``{"exc_type", "exc_message", "exc_module"}``. Nothing is
imported for it when it is read: a class that this process has loaded is used when it is an exception class, a class of
the same name is made when there is none, and anything else that goes by the name is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from svcjobs_celery_compat.exceptions import ChordError, SecurityError
from svcjobs_celery_compat.utils.serialization import create_exception_cls, ensure_serializable

OURS, CELERYS = "svcjobs_celery_compat.", "celery."


def exception_to_dict(exc: BaseException, encode: Callable[[Any], Any]) -> dict[str, Any]:
    """`exc` in terms of what any serializer can write; arguments that it can't become their ``repr``.

    Our own exceptions go by the names that they have in Celery, for readers that have only that.
    """
    cls = type(exc)
    module = cls.__module__
    if module.startswith(OURS):
        module = CELERYS + module.removeprefix(OURS)
    return {
        "exc_type": getattr(cls, "__qualname__", cls.__name__),
        "exc_message": ensure_serializable(exc.args, encode),
        "exc_module": module,
    }


def exception_from_dict(stored: dict[str, Any]) -> BaseException:
    """The exception that :func:`exception_to_dict` (of this package or of Celery) wrote.

    Raises:
        SecurityError: the name stands for something that isn't an exception class.
        ValueError: `stored` doesn't describe an exception.
    """
    name, module, message = stored.get("exc_type"), stored.get("exc_module"), stored.get("exc_message", "")
    if not isinstance(name, str) or not name or not (module is None or isinstance(module, str)):
        raise ValueError(f"a stored exception has the type {name!r} of the module {module!r}: both have to be names")
    cls = _loaded_class(module, name)
    if cls is None:
        cls = create_exception_cls(name, module or __name__)
    if not isinstance(cls, type) or not issubclass(cls, BaseException):
        raise SecurityError(f"Expected an exception class, got {module}.{name} with payload {message}")
    try:
        exc = cls(*message) if isinstance(message, list | tuple) else cls(message)
    except Exception as error:  # noqa: BLE001  # its own signature asks for something else than its args
        exc = Exception(f"{cls}({message})")
        exc.__cause__ = error
    return exc


def _loaded_class(module: str | None, name: str) -> Any:
    """What goes by that name in the modules that are loaded, None when nothing does."""
    if module is None:
        return None
    ours = OURS + module.removeprefix(CELERYS) if module.startswith(CELERYS) else module
    found: Any = sys.modules.get(ours) or sys.modules.get(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            return None
    return found


def _create_chord_error_with_cause(message: str, original_exc: object = None) -> ChordError:
    """A :exc:`ChordError` that was caused by `original_exc`, when that is an exception."""
    error = ChordError(message)
    if isinstance(original_exc, Exception):
        error.__cause__ = original_exc
    return error
