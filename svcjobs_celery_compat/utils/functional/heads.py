"""What arguments a function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from types import FunctionType
from typing import Any

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_OPTIMIZED = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS


def _parameters(fun: Callable[..., Any]) -> list[Parameter]:
    """Return what the function itself takes, ``self`` included; a decorator may change arguments of the wrapped one."""
    fun = getattr(fun, "__func__", fun)
    return list(inspect.signature(fun, follow_wrapped=False).parameters.values())


def _accept() -> bool:
    return True


def head_from_fun(fun: Callable[..., Any], bound: bool = False) -> Callable[..., Any]:
    """Return a function that takes the same arguments as `fun` and does nothing, to check a call before it is sent.

    :param bound: the function's first argument is filled in by others, so that a call doesn't have it.
    :returns: raises Python's own TypeError for the wrong arguments.
    """
    name = getattr(fun, "__name__", type(fun).__name__)
    if not inspect.isroutine(fun):
        fun = type(fun).__call__
    parameters = _parameters(fun)[int(bound) :]
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    keyword = [parameter for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    starred = [parameter for parameter in parameters if parameter.kind is Parameter.VAR_POSITIONAL]
    double_starred = [parameter for parameter in parameters if parameter.kind is Parameter.VAR_KEYWORD]
    names = tuple(parameter.name for parameter in (*positional, *keyword, *starred, *double_starred))
    # the interpreter checks a call faster than inspect, and says what is wrong as users know it
    code = _accept.__code__.replace(
        co_name=name,
        co_qualname=name,
        co_argcount=len(positional),
        co_posonlyargcount=sum(parameter.kind is Parameter.POSITIONAL_ONLY for parameter in positional),
        co_kwonlyargcount=len(keyword),
        co_varnames=names,
        co_nlocals=len(names),
        co_flags=_OPTIMIZED
        | (inspect.CO_VARARGS if starred else 0)
        | (inspect.CO_VARKEYWORDS if double_starred else 0),
    )
    given = Parameter.empty
    defaults = tuple(parameter.default for parameter in positional if parameter.default is not given)
    head = FunctionType(code, {}, name, defaults)
    head.__kwdefaults__ = {parameter.name: parameter.default for parameter in keyword if parameter.default is not given}
    return head


def arity_greater(fun: Callable[..., Any], n: int) -> bool:
    """Return whether `fun` takes more than `n` positional arguments."""
    parameters = _parameters(fun)
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return True
    return sum(parameter.kind in _POSITIONAL for parameter in parameters) > n


def fun_takes_argument(name: str, fun: Callable[..., Any], position: int | None = None) -> bool:
    """Return whether `fun` takes an argument called `name`; or, if `position` is given, that many positional ones."""
    parameters = _parameters(fun)
    if any(parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL) for parameter in parameters):
        return True
    positional = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    return len(positional) >= position if position is not None else name in positional


def fun_accepts_kwargs(fun: Callable[..., Any]) -> bool:
    """Return whether `fun` takes any keyword arguments, by ``**kwargs``."""
    parameters = inspect.signature(fun, follow_wrapped=False).parameters.values()
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
