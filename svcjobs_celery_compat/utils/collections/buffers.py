"""Buffers that drop the oldest message when they are full."""

from __future__ import annotations

from collections import OrderedDict as _OrderedDict
from collections import deque as _deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty
from typing import Any

__all__ = ("BufferMap", "Evictable", "Messagebuffer", "OrderedDict")


class OrderedDict(_OrderedDict[Any, Any]):
    """A dict that knows which key was used the longest time ago."""

    def _LRUkey(self) -> Any:
        return next(iter(self))


class Evictable:
    """What is above a limit can be removed from."""

    Empty = Empty

    def evict(self) -> None:
        """Remove all that is above the limit."""
        while self._evictcount:
            self._evict1()

    def _evict(self, limit: int = 100, range: Any = range) -> None:
        # at most `limit` at a time: a full buffer costs each put a little, none of them much
        for _ in range(min(limit, self._evictcount)):
            self._evict1()

    def _evict1(self) -> None:
        with suppress(IndexError):
            self._pop_to_evict()

    def _pop_to_evict(self) -> Any:
        raise NotImplementedError

    @property
    def _evictcount(self) -> int:
        raise NotImplementedError


class Messagebuffer(Evictable):
    """A queue with a limit.

    :param maxsize: most messages that are kept; None: no limit.
    :param iterable: messages to begin with.
    """

    def __init__(self, maxsize: int | None, iterable: Iterable[Any] | None = None, deque: Any = _deque) -> None:
        self.maxsize = maxsize
        self.data: Any = deque(iterable or [])
        self._append = self.data.append
        self._pop = self.data.popleft

    def put(self, item: Any) -> None:
        """Add a message; the oldest may have to go."""
        self._append(item)
        self._evict()

    def extend(self, it: Iterable[Any]) -> None:
        """Add several messages."""
        self.data.extend(it)
        self._evict()

    def take(self, *default: Any) -> Any:
        """Remove the oldest message, and return it; the default if there is none.

        :raises Empty: there is none, and no default.
        """
        try:
            return self._pop()
        except IndexError:
            if default:
                return default[0]
            raise self.Empty from None

    def _pop_to_evict(self) -> Any:
        return self.take()

    @property
    def _evictcount(self) -> int:
        return max(len(self) - self.maxsize, 0) if self.maxsize is not None else 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)}/{self.maxsize}>"

    def __iter__(self) -> Iterator[Any]:
        """Yield the messages, and remove them."""
        while True:
            try:
                yield self._pop()
            except IndexError:
                return

    def __len__(self) -> int:
        return len(self.data)

    def __contains__(self, item: Any) -> bool:
        return item in self.data

    def __reversed__(self) -> Any:
        return reversed(self.data)

    def __getitem__(self, index: Any) -> Any:
        return self.data[index]


class BufferMap(OrderedDict, Evictable):
    """A queue by key, with a limit on each and on all together; the queue used the longest time ago gives first.

    :param maxsize: most messages in all; None: no limit.
    :param iterable: queues to begin with: a mapping of key to messages.
    :param bufmaxsize: most messages by key.
    """

    Buffer = Messagebuffer

    def __init__(self, maxsize: int | None, iterable: Any = None, bufmaxsize: int | None = 1000) -> None:
        super().__init__()
        self.maxsize = maxsize
        self.bufmaxsize = bufmaxsize
        self.total = 0
        if iterable:
            for key, messages in dict(iterable).items():
                buffer = self._get_or_create_buffer(key)
                buffer.extend(messages)
                buffer.evict()
            self.total = sum(map(len, self.values()))
        self.evict()

    def put(self, key: Any, item: Any) -> None:
        """Add a message."""
        self.extend(key, (item,))

    def extend(self, key: Any, it: Iterable[Any]) -> None:
        """Add several messages."""
        buffer = self._get_or_create_buffer(key)
        before = len(buffer)
        buffer.extend(it)
        self.total += len(buffer) - before
        self._evict()

    def take(self, key: Any, *default: Any) -> Any:
        """Remove the oldest message of `key`, and return it; the default if there is none.

        :raises Empty: there is none, and no default.
        """
        try:
            buffer = self[key]
        except KeyError:
            if default:
                return default[0]
            raise self.Empty from None
        try:
            item = buffer.take()
        except self.Empty:
            if default:
                return default[0]
            raise
        self.total -= 1
        if len(buffer):
            self.move_to_end(key)
        else:
            del self[key]
        return item

    def _get_or_create_buffer(self, key: Any) -> Messagebuffer:
        if key not in self:
            self[key] = self._new_buffer()
        buffer: Messagebuffer = self[key]
        return buffer

    def _new_buffer(self) -> Messagebuffer:
        return self.Buffer(maxsize=self.bufmaxsize)

    def _LRUpop(self, *default: Any) -> Any:
        return self[self._LRUkey()].take(*default)

    def _pop_to_evict(self) -> None:
        for _ in range(100):
            key = self._LRUkey()
            buffer = self[key]
            try:
                buffer.take()
            except (IndexError, self.Empty):
                # emptied by another: it isn't used any more
                self.pop(key)
                continue
            self.total -= 1
            if len(buffer):
                self.move_to_end(key)
            else:
                self.pop(key)
            return

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.total}/{self.maxsize}>"

    @property
    def _evictcount(self) -> int:
        return max(self.total - self.maxsize, 0) if self.maxsize is not None else 0
