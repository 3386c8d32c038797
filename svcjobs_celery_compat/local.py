"""Objects that stand for another object, which is found when they are used.

The interface is that of ``celery.local``, whose users subclass and compare its classes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import GenericAlias
from typing import Any

__all__ = ("PromiseProxy", "Proxy", "class_property", "maybe_evaluate", "reclassmethod", "try_import")


class _Text(str):
    """Text of the class Proxy itself, while an instance gives that of its object: ``__module__`` and ``__doc__``."""

    __slots__ = ("attribute",)
    attribute: str

    @classmethod
    def of(cls, attribute: str, text: str) -> _Text:
        own = cls(text)
        own.attribute = attribute
        return own

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        if proxy is None:
            return self
        own = object.__getattribute__(proxy, "_Proxy__own")
        if self.attribute in own:
            return own[self.attribute]
        return getattr(proxy._get_current_object(), self.attribute)


def _bound(local: Any, name: str | None) -> Any:
    try:
        return getattr(local, name or "")
    except AttributeError:
        raise RuntimeError(f"no object bound to {name}") from None


def _forward(operation: Callable[..., Any]) -> Any:
    def method(self: Any, *operands: Any) -> Any:
        return operation(self._get_current_object(), *operands)

    return method


class Proxy:
    __doc__ = _Text.of(
        "__doc__",
        """Stands for what ``local(*args, **kwargs)`` returns at the time of each use.

    :param local: a callable, or a :class:`~svcjobs_celery_compat.utils.threads.Local` whose attribute `name` is meant.
    :param name: the proxy's ``__name__``, if it isn't to be that of the object.
    :param __doc__: the proxy's docstring, if it isn't to be that of the object.
    """,
    )
    __module__ = _Text.of("__module__", __name__)
    __slots__ = ("__find", "__own")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attribute in ("__doc__", "__module__"):
            text = vars(cls).get(attribute)
            if text is not None and not isinstance(text, _Text):
                setattr(cls, attribute, _Text.of(attribute, text))

    def __init__(
        self,
        local: Any,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        __doc__: str | None = None,
    ) -> None:
        own = {"__name__": name, "__doc__": __doc__}
        object.__setattr__(self, "_Proxy__own", {key: text for key, text in own.items() if text is not None})
        if hasattr(local, "__release_local__"):
            find: Any = partial(_bound, local, name)
        else:
            find = partial(local, *args or (), **kwargs or {}) if args or kwargs else local
        object.__setattr__(self, "_Proxy__find", find)

    def _get_current_object(self) -> Any:
        """Return the object that is meant now, for type checks and for speed.

        :raises RuntimeError: there is none.
        """
        return object.__getattribute__(self, "_Proxy__find")()

    @property
    def __name__(self) -> Any:
        own = object.__getattribute__(self, "_Proxy__own")
        return own["__name__"] if "__name__" in own else self._get_current_object().__name__

    @__name__.setter
    def __name__(self, name: str) -> None:
        object.__getattribute__(self, "_Proxy__own")["__name__"] = name

    @property
    def __class__(self) -> Any:
        return self._get_current_object().__class__

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise AttributeError("the class of a proxy can't be changed")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # object declares an attribute
        try:
            return self._get_current_object().__dict__
        except RuntimeError:
            raise AttributeError("__dict__") from None

    def __repr__(self) -> str:
        try:
            return repr(self._get_current_object())
        except RuntimeError:
            return f"<{type(self).__name__} unbound>"

    def __bool__(self) -> bool:
        try:
            return bool(self._get_current_object())
        except RuntimeError:
            return False

    def __dir__(self) -> list[str]:
        try:
            return dir(self._get_current_object())
        except RuntimeError:
            return []

    def __getattr__(self, name: str) -> Any:
        if name == "__members__":
            return dir(self._get_current_object())
        return getattr(self._get_current_object(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._get_current_object()(*args, **kwargs)

    def __enter__(self) -> Any:
        return self._get_current_object().__enter__()

    def __exit__(self, *exc_info: object) -> Any:
        return self._get_current_object().__exit__(*exc_info)

    def __reduce__(self) -> Any:
        return self._get_current_object().__reduce__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._get_current_object().__reduce_ex__(protocol)

    __setattr__ = _forward(setattr)
    __delattr__ = _forward(delattr)
    __str__ = _forward(str)
    __hash__ = _forward(hash)
    __len__ = _forward(len)
    __iter__ = _forward(iter)
    __contains__ = _forward(operator.contains)
    __getitem__ = _forward(operator.getitem)
    __setitem__ = _forward(operator.setitem)
    __delitem__ = _forward(operator.delitem)
    __lt__ = _forward(operator.lt)
    __le__ = _forward(operator.le)
    __eq__ = _forward(operator.eq)
    __ne__ = _forward(operator.ne)
    __gt__ = _forward(operator.gt)
    __ge__ = _forward(operator.ge)
    __add__ = _forward(operator.add)
    __sub__ = _forward(operator.sub)
    __mul__ = _forward(operator.mul)
    __truediv__ = _forward(operator.truediv)
    __floordiv__ = _forward(operator.floordiv)
    __mod__ = _forward(operator.mod)
    __divmod__ = _forward(divmod)
    __pow__ = _forward(pow)
    __lshift__ = _forward(operator.lshift)
    __rshift__ = _forward(operator.rshift)
    __and__ = _forward(operator.and_)
    __xor__ = _forward(operator.xor)
    __or__ = _forward(operator.or_)
    __neg__ = _forward(operator.neg)
    __pos__ = _forward(operator.pos)
    __abs__ = _forward(abs)
    __invert__ = _forward(operator.invert)
    __complex__ = _forward(complex)
    __int__ = _forward(int)
    __float__ = _forward(float)
    __index__ = _forward(operator.index)


class PromiseProxy(Proxy):
    """Stands for what its function returns the first time; it is called once, and not kept after the call.

    ``@app.task`` returns one as long as the app isn't finalized.
    """

    __slots__ = ("__found", "__pending__", "__weakref__")

    def _get_current_object(self) -> Any:
        try:
            return object.__getattribute__(self, "_PromiseProxy__found")
        except AttributeError:
            return self.__evaluate__()

    def __then__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `fun` as soon as the object is there: now, if it is."""
        if self.__evaluated__():
            return fun(*args, **kwargs)
        try:
            pending = object.__getattribute__(self, "__pending__")
        except AttributeError:
            pending = []
            object.__setattr__(self, "__pending__", pending)
        pending.append(partial(fun, *args, **kwargs))
        return None

    def __evaluated__(self) -> bool:
        """Return whether the function was called."""
        try:
            object.__getattribute__(self, "_PromiseProxy__found")
        except AttributeError:
            return False
        return True

    def __maybe_evaluate__(self) -> Any:
        return self._get_current_object()

    def __evaluate__(self) -> Any:
        """Call the function, keep what it returns, and call what waits for it."""
        found = Proxy._get_current_object(self)
        object.__setattr__(self, "_PromiseProxy__found", found)
        object.__delattr__(self, "_Proxy__find")
        try:
            pending = object.__getattribute__(self, "__pending__")
        except AttributeError:
            return found
        object.__delattr__(self, "__pending__")
        for call in pending:
            call()
        return found


def maybe_evaluate(obj: Any) -> Any:
    """Return the object of a :class:`PromiseProxy`; anything else as it is."""
    try:
        return obj.__maybe_evaluate__()
    except AttributeError:
        return obj


class class_property:
    """A property of the class, as well as of its instances."""

    __class_getitem__: Any = classmethod(GenericAlias)

    def __init__(self, getter: Any = None, setter: Any = None) -> None:
        self.__get = _function_of(getter)
        self.__set = _function_of(setter)
        self.__name__ = getattr(self.__get, "__name__", None)
        self.__doc__ = getattr(self.__get, "__doc__", None)

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self.__get(owner if owner is not None else type(obj))

    def __set__(self, obj: Any, value: Any) -> Any:
        if self.__set is None:
            raise AttributeError(f"{self.__name__} can't be set")
        return self.__set(type(obj), value)

    def setter(self, setter: Any) -> class_property:
        """Return a copy with `setter`, which is called as ``setter(cls, value)``."""
        return type(self)(self.__get, setter)


def _function_of(method: Any) -> Any:
    return getattr(method, "__func__", method)


def reclassmethod(method: Any) -> Any:
    """Return the function of `method` as a class method."""
    return classmethod(_function_of(method))


def try_import(module: str, default: Any = None) -> Any:
    """Return the module of that name, or `default` if there is none."""
    try:
        return import_module(module)
    except ImportError:
        return default
