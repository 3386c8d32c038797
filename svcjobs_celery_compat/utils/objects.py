"""Small objects that others are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from types import GenericAlias
from typing import Any

__all__ = ("Bunch", "FallbackContext", "getitem_property", "mro_lookup")


class Bunch:
    """An object with the given attributes."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


def mro_lookup(
    cls: type, attr: str, stop: set[type] | tuple[type, ...] | None = None, monkey_patched: Any = None
) -> type | None:
    """Return the first class in the MRO of `cls` that defines `attr`.

    :param stop: classes where the search ends: None is returned, unless the attribute was put into one of them by a
        module that isn't in `monkey_patched`.
    """
    stop = stop or set()
    monkey_patched = monkey_patched or ()
    for node in cls.mro():
        if node in stop:
            try:
                origin = node.__dict__[attr].__module__
            except (AttributeError, KeyError):
                pass
            else:
                if origin not in monkey_patched:
                    return node
            return None
        if attr in node.__dict__:
            return node
    return None


class FallbackContext:
    """Enters a context manager of its own, unless the object is given, which then is left as it is.

    .. code-block:: python

        with FallbackContext(connection, app.connection_for_write) as connection: ...

    :param provided: what the block gets; None: what the fallback's context gives.
    :param fallback: returns a context manager; called with the other arguments.
    """

    __class_getitem__: Any = classmethod(GenericAlias)

    def __init__(self, provided: Any, fallback: Callable[..., Any], *fb_args: Any, **fb_kwargs: Any) -> None:
        self.provided = provided
        self.fallback = fallback
        self.fb_args = fb_args
        self.fb_kwargs = fb_kwargs
        self._entered: Any = None

    def __enter__(self) -> Any:
        if self.provided is not None:
            return self.provided
        manager = self.fallback(*self.fb_args, **self.fb_kwargs)
        resource = manager.__enter__()
        self._entered = manager
        return resource

    def __exit__(self, *exc_info: object) -> Any:
        manager, self._entered = self._entered, None
        return manager.__exit__(*exc_info) if manager is not None else None


class getitem_property:
    """An attribute that stands for an item of a mapping in the object.

    :param keypath: ``"key"`` for ``self["key"]``, ``"attribute.key"`` for ``self["attribute"]["key"]``.
    :param doc: docstring.
    """

    def __init__(self, keypath: str, doc: str | None = None) -> None:
        path, _, self.key = keypath.rpartition(".")
        self.path = path.split(".") if path else None
        self.__doc__ = doc

    def _path(self, obj: Any) -> Any:
        return reduce(lambda item, key: item[key], self.path, obj) if self.path else obj

    def __get__(self, obj: Any, type: type | None = None) -> Any:
        if obj is None:
            return type
        return self._path(obj).get(self.key)

    def __set__(self, obj: Any, value: Any) -> None:
        self._path(obj)[self.key] = value
