"""Exceptions and values made fit for being sent."""

from __future__ import annotations

import datetime
import numbers
import pickle
from base64 import b64decode as base64decode
from base64 import b64encode as base64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from inspect import getmro
from itertools import takewhile
from typing import Any, NoReturn

from kombu.utils.encoding import bytes_to_str, safe_repr, str_to_bytes

__all__ = (
    "STRTOBOOL_DEFAULT_TABLE",
    "UnpickleableExceptionWrapper",
    "create_exception_cls",
    "find_pickleable_exception",
    "get_pickleable_etype",
    "get_pickleable_exception",
    "get_pickled_exception",
    "strtobool",
    "subclass_exception",
)

#: Classes that say nothing about what went wrong.
unwanted_base_classes = (Exception, BaseException, object)

STRTOBOOL_DEFAULT_TABLE = {
    "false": False,
    "no": False,
    "0": False,
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "off": False,
}


def subclass_exception(name: str, parent: type, module: str) -> type:
    """Make an exception class of that name and module."""
    return type(name, (parent,), {"__module__": module})


def create_exception_cls(name: str, module: str, parent: type | None = None) -> type:
    """Make an exception class, a subclass of `parent` or of Exception."""
    return subclass_exception(name, parent or Exception, module)


def itermro(cls: type, stop: Iterable[type]) -> Iterator[type]:
    """Yield the classes of the MRO up to the first one in `stop`."""
    return takewhile(lambda sup: sup not in stop, getmro(cls))


def _survives(obj: Any, loads: Callable[[Any], Any], dumps: Callable[[Any], Any]) -> bool:
    try:
        loads(dumps(obj))
    except Exception:  # noqa: BLE001 - an exception's own code may raise anything
        return False
    return True


def find_pickleable_exception(
    exc: BaseException, loads: Callable[[Any], Any] = pickle.loads, dumps: Callable[[Any], Any] = pickle.dumps
) -> BaseException | None:
    """Return an exception of the nearest base class, with the same arguments, that can be pickled; None if none can.

    ``Exception`` itself isn't considered: it would tell nothing.
    """
    args = getattr(exc, "args", [])
    for cls in itermro(type(exc), unwanted_base_classes):
        try:
            base: BaseException = cls(*args)
        except Exception:  # noqa: BLE001, S112 - a class may take other arguments, or raise
            continue
        if _survives(base, loads, dumps):
            return base
    return None


class UnpickleableExceptionWrapper(Exception):
    """Stands for an exception that can't be pickled.

    :param exc_module: module of its class.
    :param exc_cls_name: name of its class.
    :param exc_args: its arguments, those that can't be pickled as text.
    :param text: what ``str()`` gives.
    """

    exc_module: str
    exc_cls_name: str
    exc_args: Any

    def __init__(self, exc_module: str, exc_cls_name: str, exc_args: Any, text: str | None = None) -> None:
        safe_args = ensure_serializable(exc_args, lambda value: pickle.loads(pickle.dumps(value)))  # noqa: S301 - our own
        self.exc_module = exc_module
        self.exc_cls_name = exc_cls_name
        self.exc_args = safe_args
        self.text = text
        super().__init__(exc_module, exc_cls_name, safe_args, text)

    def restore(self) -> Any:
        """Return an exception of the original's name, with its arguments."""
        return create_exception_cls(self.exc_cls_name, self.exc_module)(*self.exc_args)

    def __str__(self) -> str:
        return self.text or ""

    @classmethod
    def from_exception(cls, exc: BaseException) -> UnpickleableExceptionWrapper:
        """Wrap `exc`; its traceback is kept."""
        wrapped = cls(type(exc).__module__, type(exc).__name__, getattr(exc, "args", []), safe_repr(exc))
        return wrapped.with_traceback(getattr(exc, "__traceback__", None))  # it may be no exception at all


def get_pickleable_exception(exc: Any) -> Any:
    """Return `exc` if it can be pickled, else a base class's exception, else a wrapper that tells what it was."""
    if _survives(exc, pickle.loads, pickle.dumps):
        return exc
    nearest = find_pickleable_exception(exc)
    return nearest if nearest is not None else UnpickleableExceptionWrapper.from_exception(exc)


def get_pickleable_etype(
    cls: type, loads: Callable[[Any], Any] = pickle.loads, dumps: Callable[[Any], Any] = pickle.dumps
) -> type:
    """Return `cls` if it, or an exception of it, can be pickled, else Exception."""
    try:
        loads(dumps(cls))
        loads(dumps(cls()))
    except Exception:  # noqa: BLE001 - an exception's own code may raise anything
        return Exception
    return cls


def get_pickled_exception(exc: Any) -> Any:
    """Return what :func:`get_pickleable_exception` was given; of a wrapper, an exception of the original's name."""
    return exc.restore() if isinstance(exc, UnpickleableExceptionWrapper) else exc


def b64encode(s: str | bytes) -> str:
    """Encode to base64 text."""
    return bytes_to_str(base64encode(str_to_bytes(s)))  # type: ignore[no-any-return]  # of kombu


def b64decode(s: str | bytes) -> bytes:
    """Decode base64."""
    return base64decode(str_to_bytes(s))


def strtobool(term: Any, table: Mapping[str, bool] | None = None) -> Any:
    """Return the truth value that a text stands for; anything but text as it is.

    :param table: the texts, in lower case; default :data:`STRTOBOOL_DEFAULT_TABLE`.
    :raises TypeError: the text isn't in the table.
    """
    if not isinstance(term, str):
        return term
    try:
        return (STRTOBOOL_DEFAULT_TABLE if table is None else table)[term.lower()]
    except KeyError:
        raise TypeError(f"Cannot coerce {term!r} to type bool") from None


def ensure_serializable(items: Iterable[Any], encoder: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return the items, each that `encoder` raises for as its repr."""

    def safe(item: Any) -> Any:
        try:
            encoder(item)
        except Exception:  # noqa: BLE001 - an item's own code may raise anything
            return safe_repr(item)
        return item

    return tuple(safe(item) for item in items)


def _datetime_to_json(dt: datetime.datetime | datetime.time) -> str:
    # ECMA-262: milliseconds, and Z
    text = dt.isoformat()
    if dt.microsecond:
        text = text[:23] + text[26:]
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def jsonify(
    obj: Any,
    builtin_types: tuple[type, ...] = (numbers.Real, str),
    key: str | None = None,
    keyfilter: Callable[[Any], bool] | None = None,
    unknown_type_filter: Callable[[Any], Any] | None = None,
) -> Any:
    """Make a value of types that JSON has; instants become ISO 8601 text, time deltas their text.

    :param keyfilter: keys for which it returns something false are left out.
    :param unknown_type_filter: called with what can't be converted.
    :raises ValueError: something can't be converted, and there is no `unknown_type_filter`.
    """
    if hasattr(obj, "__json__"):
        return obj.__json__()
    if obj is None or isinstance(obj, builtin_types):
        return obj
    inner = partial(jsonify, builtin_types=builtin_types, keyfilter=keyfilter, unknown_type_filter=unknown_type_filter)
    if isinstance(obj, (tuple, list)):
        return [inner(item) for item in obj]
    if isinstance(obj, dict):
        return {name: inner(value, key=name) for name, value in obj.items() if keyfilter is None or keyfilter(name)}
    if hasattr(obj, "as_dict"):  # kombu's entities
        return inner(obj.as_dict(recurse=True))
    for kind, text_of in _TEXTS:
        if isinstance(obj, kind):
            return text_of(obj)
    if unknown_type_filter is None:
        raise ValueError(f"Unsupported type: {type(obj)!r} {obj!r} (parent: {key})")
    return unknown_type_filter(obj)


#: How instants become text; a datetime is a date, too, so it comes first.
_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (datetime.datetime, _datetime_to_json),
    (datetime.date, lambda date: date.isoformat()),
    (datetime.time, lambda time: time.isoformat()[:12]),
    (datetime.timedelta, str),
)


def raise_with_context(exc: BaseException) -> NoReturn:
    """Raise `exc`, caused by the exception that is being handled, if there is one."""
    import sys

    handled = sys.exc_info()[1]
    if handled is None:
        raise exc
    if handled is exc:
        raise
    raise exc from handled
