"""Warnings about what is deprecated."""

from __future__ import annotations

import warnings
from collections.abc import Callable as _Callable
from functools import wraps
from typing import Any

from svcjobs_celery_compat.exceptions import CDeprecationWarning, CPendingDeprecationWarning

__all__ = ("Callable", "Property", "warn")


def warn(
    description: str | None = None,
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    stacklevel: int = 2,
) -> None:
    """Warn that something will be deprecated (in version `deprecation`), or is, and is removed in version `removal`."""
    hint = f" {alternative}" if alternative else ""
    if deprecation is not None:
        text = f"{description} is scheduled for deprecation in version {deprecation} and removal in {removal}.{hint}"
        warnings.warn(CPendingDeprecationWarning(text), stacklevel=stacklevel)
    else:
        text = f"{description} is deprecated and scheduled for removal in version {removal}.{hint}"
        warnings.warn(CDeprecationWarning(text), stacklevel=stacklevel)


def Callable(
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    description: str | None = None,
) -> Any:
    """Return a decorator of functions whose calls warn."""

    def decorate(fun: _Callable[..., Any]) -> _Callable[..., Any]:
        from svcjobs_celery_compat.utils.imports import qualname

        @wraps(fun)
        def warned(*args: Any, **kwargs: Any) -> Any:
            warn(
                description=description or qualname(fun),
                deprecation=deprecation,
                removal=removal,
                alternative=alternative,
                stacklevel=3,
            )
            return fun(*args, **kwargs)

        return warned

    return decorate


def Property(
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    description: str | None = None,
) -> Any:
    """Return a decorator like ``property``, whose uses warn."""

    def decorate(fun: _Callable[..., Any]) -> _deprecated_property:
        return _deprecated_property(
            fun,
            deprecation=deprecation,
            removal=removal,
            alternative=alternative,
            description=description or fun.__name__,
        )

    return decorate


class _deprecated_property:
    def __init__(
        self, fget: Any = None, fset: Any = None, fdel: Any = None, doc: str | None = None, **depreinfo: Any
    ) -> None:
        self.__get, self.__set, self.__del = fget, fset, fdel
        self.__name__ = fget.__name__
        self.__doc__ = doc or fget.__doc__
        self.depreinfo = depreinfo
        self.depreinfo["stacklevel"] = 3

    def __get__(self, obj: Any, type: type | None = None) -> Any:
        if obj is None:
            return self
        warn(**self.depreinfo)
        return self.__get(obj)

    def __set__(self, obj: Any, value: Any) -> Any:
        if obj is None:
            return self
        if self.__set is None:
            raise AttributeError(f"{self.__name__} can't be set")
        warn(**self.depreinfo)
        self.__set(obj, value)
        return None

    def __delete__(self, obj: Any) -> Any:
        if obj is None:
            return self
        if self.__del is None:
            raise AttributeError(f"{self.__name__} can't be deleted")
        warn(**self.depreinfo)
        self.__del(obj)
        return None

    def setter(self, fset: Any) -> _deprecated_property:
        """Return a copy with this setter."""
        return type(self)(self.__get, fset, self.__del, self.__doc__, **self.depreinfo)

    def deleter(self, fdel: Any) -> _deprecated_property:
        """Return a copy with this deleter."""
        return type(self)(self.__get, self.__set, fdel, self.__doc__, **self.depreinfo)
