"""A thread that acts on what isn't done in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

Action = Callable[[], object]


class Deadlines:
    """Calls an action for each key that isn't removed in time. Its thread starts with the first key."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pending: dict[Hashable, tuple[float, Action]] = {}
        self._changed = threading.Condition()
        self._started = False

    def add(self, key: Hashable, seconds: float, action: Action) -> None:
        """Call ``action`` in ``seconds``, in the thread of the deadlines."""
        with self._changed:
            self._pending[key] = (time.monotonic() + seconds, action)
            if not self._started:
                self._started = True
                threading.Thread(target=self._watch, name=self._name, daemon=True).start()
            self._changed.notify()

    def remove(self, key: Hashable) -> bool:
        """It is done; False when its action has begun."""
        with self._changed:
            return self._pending.pop(key, None) is not None

    def _watch(self) -> None:
        while True:
            for action in self._due():
                action()

    def _due(self) -> list[Action]:
        with self._changed:
            first = min((at for at, _ in self._pending.values()), default=None)
            self._changed.wait(None if first is None else max(0.0, first - time.monotonic()))
            now = time.monotonic()
            due = [key for key, (at, _) in self._pending.items() if at <= now]
            return [self._pending.pop(key)[1] for key in due]
