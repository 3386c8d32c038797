"""A list that is made from an iterator while it is read."""

from __future__ import annotations

import operator
from collections import UserList
from collections.abc import Callable, Iterator
from typing import Any


def regen(it: Any) -> Any:
    """Return a list that reads from an iterator as far as it is needed, and keeps that; lists and tuples as they are.

    One item is read ahead, so that the last one is known to be the last.
    """
    return it if isinstance(it, (list, tuple)) else _regen(it)


class _regen(UserList[Any], list[Any]):  # type: ignore[misc]  # a list for isinstance() and the JSON encoder, empty as such
    def __init__(self, it: Any, ahead: bool = True) -> None:
        # UserList would copy all of it
        self.__it = it
        self.__ahead = ahead  # False over another such list, so that the two don't read two items ahead
        self.__consumed: list[Any] = []
        self.__source: Iterator[Any] | None = None
        self.__done = False
        self.__functions: list[Callable[[Any], Any]] = []

    def __reduce__(self) -> Any:
        return list, (self.data,)

    def map(self, func: Callable[[Any], Any]) -> None:
        """Apply `func` to each item: to those that were read now, to the others when they are."""
        self.__consumed = [func(item) for item in self.__consumed]
        self.__functions.append(func)

    def __length_hint__(self) -> int:
        return self.__it.__length_hint__()  # type: ignore[no-any-return]  # of any iterator

    def __read(self) -> bool:
        """Read one item; False: there is none."""
        if self.__done:
            return False
        if self.__source is None:
            # an iterator's __iter__ may itself read from this list
            source = iter(self.__it)
            self.__source = self.__source or source
        try:
            item = next(self.__source)
        except StopIteration:
            self.__done = True
            return False
        except BaseException:
            # what is iterable once more may go on later
            self.__source = None
            raise
        for func in self.__functions:
            item = func(item)
        self.__consumed.append(item)
        return True

    def __iter__(self) -> Iterator[Any]:
        reading = False
        index = 0
        while True:
            if index >= len(self.__consumed):
                reading = True
                self.__read()
                if index >= len(self.__consumed):
                    return
            error = None
            if reading and self.__ahead and index + 1 >= len(self.__consumed):
                try:
                    self.__read()
                except BaseException as exc:  # noqa: BLE001 - raised when its turn has come, after the item before
                    error = exc
            yield self.__consumed[index]
            if error is not None:
                raise error
            index += 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.data[index]
        place = operator.index(index)
        if place < 0:
            return self.data[place]
        if place >= len(self.__consumed):
            while len(self.__consumed) < place + 2 and self.__read():
                pass
        return self.__consumed[place]

    def __bool__(self) -> bool:
        return bool(self.__consumed) or self.__read()

    @property
    def data(self) -> list[Any]:  # type: ignore[override]  # of UserList an attribute
        """All items."""
        while self.__read():
            pass
        return self.__consumed

    def __repr__(self) -> str:
        items = ", ".join(repr(item) for item in self.__consumed)
        return f"<{type(self).__name__}: [{items}{'' if self.__done else '...'}]>"
