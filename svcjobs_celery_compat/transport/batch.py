"""Publishing many messages at once: ``with producer.batch():`` of kombu 5.7."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import exceptions

from svcjobs.errors import JobsError
from svcjobs.job import NewJob

BatchPublishError: Any = getattr(exceptions, "BatchPublishError", exceptions.KombuError)  # new in kombu 5.7


class PublishBatch:
    """Keeps messages until they are flushed: those of a queue that follow each other go in one call.

    A flush that fails may have stored a part; the batch can't be used after it.

    Args:
        channel: where they are published.
        max_size: messages that are kept; one more flushes.
    """

    def __init__(self, channel: Any, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._kept: list[tuple[str, NewJob] | Callable[[], None]] = []
        self._refusal: str | None = None

    def publish(self, message: dict[str, Any], **options: Any) -> Any:
        """Route one message, and keep what it becomes."""
        self._check()
        result = self.channel.basic_publish(message, _publish_batch=self, **options)
        if len(self._kept) >= self._max_size:
            self.flush()
        return result

    def add(self, item: tuple[str, NewJob] | Callable[[], None]) -> None:
        """Keep a job with the name of its queue, or something else that is to be done in its turn."""
        self._kept.append(item)

    def flush(self) -> None:
        """Send all that is kept, in order.

        Raises:
            BatchPublishError: it failed; how much was stored is unknown.
        """
        self._check()
        kept, self._kept = self._kept, []
        try:
            while kept:
                item = kept[0]
                if callable(item):
                    kept.pop(0)
                    item()
                    continue
                end = next((at for at, other in enumerate(kept) if callable(other) or other[0] != item[0]), len(kept))
                self.channel.store(item[0], [other[1] for other in kept[:end] if not callable(other)])
                kept = kept[end:]
        except JobsError as error:
            self._refusal = "the publish batch failed before"
            raise BatchPublishError(f"the publish batch failed, a part of it may be stored: {error}") from error

    def discard(self) -> None:
        """Forget what wasn't flushed."""
        self._kept = []
        self._refusal = "the publish batch was discarded"

    def close(self) -> None:
        """The batch isn't used any more."""
        self._refusal = self._refusal or "the publish batch is closed"
        if self.channel.publish_batch is self:
            self.channel.publish_batch = None

    def _check(self) -> None:
        if self._refusal:
            raise BatchPublishError(self._refusal)
