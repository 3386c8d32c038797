"""Functions about functions and iterables."""

from __future__ import annotations

from collections import UserList
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, tee, zip_longest
from typing import Any, Self

from kombu.utils.functional import LRUCache, dictfilter, is_list, lazy, maybe_evaluate, maybe_list, memoize
from vine import promise

from svcjobs_celery_compat.utils.functional.heads import (
    arity_greater,
    fun_accepts_kwargs,
    fun_takes_argument,
    head_from_fun,
)
from svcjobs_celery_compat.utils.functional.regen import _regen, regen

__all__ = (
    "DummyContext",
    "LRUCache",
    "UserList",
    "_regen",
    "arity_greater",
    "chunks",
    "dictfilter",
    "evaluate_promises",
    "first",
    "firstmethod",
    "fun_accepts_kwargs",
    "fun_takes_argument",
    "head_from_fun",
    "is_list",
    "is_numeric_value",
    "lazy",
    "lookahead",
    "mattrgetter",
    "maybe",
    "maybe_evaluate",
    "maybe_list",
    "memoize",
    "mlazy",
    "noop",
    "padlist",
    "partial",
    "pass1",
    "regen",
    "seq_concat_item",
    "seq_concat_seq",
    "uniq",
)


class DummyContext:
    """A context that does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class mlazy(lazy):
    """A value that is made once, when it is asked for."""

    #: whether it was made
    evaluated = False
    _value: Any = None

    def evaluate(self) -> Any:
        """Return the value; make it if that wasn't done."""
        if not self.evaluated:
            self._value = super().evaluate()
            self.evaluated = True
        return self._value


def noop(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def pass1(arg: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the first argument."""
    return arg


def evaluate_promises(it: Iterable[Any]) -> Iterator[Any]:
    """Yield the items, each promise's value in its place."""
    for value in it:
        yield value() if isinstance(value, promise) else value


def first(predicate: Callable[[Any], Any] | None, it: Iterable[Any]) -> Any:
    """Return the first item for which `predicate` is true (default: that isn't None); None if there is none."""
    accepts = predicate or (lambda value: value is not None)
    return next((value for value in evaluate_promises(it) if accepts(value)), None)


def firstmethod(method: str, on_call: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Return a function of a list and other arguments that calls the method of that name on each object of the list.

    It returns the first answer that isn't None. Objects without the method are passed over.

    :param on_call: called instead of the method: with the method and the arguments.
    """

    def call_first(it: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        for obj in it:
            answer = getattr(maybe_evaluate(obj), method, None)
            if answer is None:
                continue
            reply = on_call(answer, *args, **kwargs) if on_call else answer(*args, **kwargs)
            if reply is not None:
                return reply
        return None

    return call_first


def chunks(it: Iterator[Any], n: int) -> Iterator[list[Any]]:
    """Yield the items of an iterator in lists of `n`; the last one may be shorter."""
    for item in it:
        yield [item, *islice(it, n - 1)]


def padlist(container: list[Any], size: int, default: Any = None) -> list[Any]:
    """Return the first `size` items, and `default` for those that are missing."""
    return list(container)[:size] + [default] * (size - len(container))


def mattrgetter(*attrs: str) -> Callable[[Any], dict[str, Any]]:
    """Return a function that returns these attributes of an object by name, None for those that it lacks."""
    return lambda obj: {attr: getattr(obj, attr, None) for attr in attrs}


def uniq(it: Iterable[Any]) -> Iterator[Any]:
    """Yield the items that didn't occur before."""
    seen: set[Any] = set()
    for obj in it:
        if obj not in seen:
            seen.add(obj)
            yield obj


def lookahead(it: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each item with the one that follows it, None for the last."""
    here, ahead = tee(it)
    next(ahead, None)
    return zip_longest(here, ahead)


def maybe(typ: Callable[[Any], Any], val: Any) -> Any:
    """Return ``typ(val)``, or None for None."""
    return typ(val) if val is not None else val


def seq_concat_item(seq: Any, item: Any) -> Any:
    """Return a list or tuple (as `seq` is) with `item` at its end."""
    return (*seq, item) if isinstance(seq, tuple) else [*seq, item]


def seq_concat_seq(a: Any, b: Any) -> Any:
    """Return both sequences as one, of the type of the longer."""
    preferred: Any = type(max([a, b], key=len))
    return (a if isinstance(a, preferred) else preferred(a)) + (b if isinstance(b, preferred) else preferred(b))


def is_numeric_value(value: Any) -> bool:
    """Return whether `value` is an int or a float; a bool isn't."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
