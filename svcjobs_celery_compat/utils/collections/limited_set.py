"""A set that forgets: the oldest items, when there are too many, and those of a certain age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from time import monotonic
from typing import Any

__all__ = ("LimitedSet",)


class LimitedSet:
    """A set with a limit in number and in age; iteration goes from the oldest item to the newest.

    :param maxlen: most items that are kept; 0: no limit.
    :param expires: seconds that an item is kept; 0: no limit.
    :param data: items to begin with.
    :param minlen: items that are kept, however old they are.
    :raises ValueError: a limit is negative, or `minlen` is above `maxlen`.
    """

    #: the heap is made anew when it has so many percent more entries than there are items
    max_heap_percent_overload = 15

    def __init__(self, maxlen: int | None = 0, expires: float | None = 0, data: Any = None, minlen: int = 0) -> None:
        self.maxlen = maxlen or 0
        self.minlen = minlen or 0
        self.expires = expires or 0
        # (inserted_at, number, item); the number keeps the order within the clock's resolution, without comparing items
        self._data: dict[Any, tuple[float, int, Any]] = {}
        self._heap: list[tuple[float, int, Any]] = []
        self._numbers = count()
        if data:
            self.update(data)
        if not self.maxlen >= self.minlen >= 0 and self.maxlen:
            raise ValueError("minlen should be less or equal to maxlen")
        if self.maxlen < 0 or self.minlen < 0:
            raise ValueError("maxlen and minlen mustn't be negative")
        if self.expires < 0:
            raise ValueError("expires cannot be negative")

    def _refresh_heap(self) -> None:
        self._heap[:] = self._data.values()
        heapify(self._heap)

    def _maybe_refresh_heap(self) -> None:
        if self._heap_overload >= self.max_heap_percent_overload:
            self._refresh_heap()

    @property
    def _heap_overload(self) -> float:
        """How many percent more entries the heap has than there are items."""
        return len(self._heap) * 100 / len(self._data) - 100 if self._data else len(self._heap)

    def clear(self) -> None:
        """Remove all items."""
        self._data.clear()
        self._heap.clear()

    def add(self, item: Any, now: float | None = None) -> None:
        """Add an item, or make it new again.

        :param now: when it was added (default: this instant, of the monotonic clock).
        """
        entry = (monotonic() if now is None else now, next(self._numbers), item)
        self._data[item] = entry
        heappush(self._heap, entry)
        if len(self._heap) > len(self._data):
            self._maybe_refresh_heap()
        if self.maxlen and len(self._data) >= self.maxlen:
            self.purge()

    def update(self, other: Any) -> None:
        """Add all items of a set, of an iterable, or of a mapping of item to the time when it was added."""
        if not other:
            return
        if isinstance(other, LimitedSet):
            for inserted_at, _, item in sorted(other._data.values(), key=lambda entry: entry[:2]):
                self._insert(item, inserted_at)
            self._refresh_heap()
            self.purge()
        elif isinstance(other, Mapping):
            for item, entry in other.items():
                # the mapping may be another set's own, with entries
                self.add(item, entry[0] if isinstance(entry, tuple) else entry)
        else:
            items: Iterable[Any] = other
            for item in items:
                self.add(item)

    def _insert(self, item: Any, inserted_at: float) -> None:
        self._data[item] = (inserted_at, next(self._numbers), item)

    def discard(self, item: Any) -> None:
        """Remove an item, if it is there."""
        # its entry in the heap is passed over when its turn comes
        self._data.pop(item, None)
        self._maybe_refresh_heap()

    pop_value = discard

    def purge(self, now: Any = None) -> None:
        """Remove what is above the limits.

        :param now: the time, or a function that returns it (default: this instant).
        """
        now = monotonic() if now is None else now() if callable(now) else now
        data, heap = self._data, self._heap
        while heap:  # in one loop, as a worker comes here with each task
            entry = heap[0]
            if data.get(entry[2]) is entry:
                many = self.maxlen and len(data) > self.maxlen
                old = self.expires and len(data) > self.minlen and entry[0] + self.expires <= now
                if not (many or old):
                    return
                del data[entry[2]]
            heappop(heap)

    def _oldest(self) -> tuple[float, int, Any] | None:
        while self._heap:
            if self._data.get(self._heap[0][2]) is self._heap[0]:
                return self._heap[0]
            heappop(self._heap)
        return None

    def pop(self, default: Any = None) -> Any:
        """Remove the oldest item, and return it; `default` if there is none."""
        if self._oldest() is None:
            return default
        item = heappop(self._heap)[2]
        del self._data[item]
        return item

    def as_dict(self) -> dict[Any, float]:
        """Return items and the times when they were added, from the oldest to the newest."""
        return {item: inserted_at for inserted_at, _, item in sorted(self._data.values(), key=lambda entry: entry[:2])}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LimitedSet) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}({len(self)}): maxlen={self.maxlen}, expires={self.expires}, minlen={self.minlen}>"
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, key: Any) -> bool:
        return key in self._data

    def __reduce__(self) -> Any:
        return type(self), (self.maxlen, self.expires, self.as_dict(), self.minlen)

    def __bool__(self) -> bool:
        return bool(self._data)
