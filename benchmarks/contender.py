"""A way to queue jobs that is measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Protocol

CONTENDERS = MappingProxyType(
    {
        "svcjobs": "benchmarks.native_sync:NativeSync",
        "svcjobs async": "benchmarks.native_async:NativeAsync",
        "Redis floor": "benchmarks.floor:Floor",
    }
)
"""``module:class`` by name, in the order of the tables. A child process imports only the one that it runs."""

GATED = ("svcjobs", "svcjobs async")
"""Those whose counts the gate holds: our own."""


class Contender(Protocol):
    """Works on the server of a URL, from the constructor's only argument. Each runs in a process of its own."""

    def enqueue(self, jobs: int) -> None:
        """Store jobs, each by a call of its own."""
        ...

    def enqueue_many(self, jobs: int) -> None:
        """Store jobs in calls of BULK_SIZE."""
        ...

    def drain(self, jobs: int) -> None:
        """Take exactly so many jobs and finish them, one at a time."""
        ...

    def drain_batches(self, jobs: int) -> None:
        """Take exactly so many jobs and finish them, BATCH_SIZE at a time."""
        ...

    def put(self, payload: dict[str, Any]) -> None:
        """Store one job with this payload."""
        ...

    def consume(self, handle: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        """Be a worker: wait for jobs, give each payload to ``handle``, finish the job.

        Until ``handle`` returns False, or ``seconds`` are over.
        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


def open_contender(name: str, url: str) -> Contender:
    """The contender of this name, connected to the server at ``url``."""
    module, _, attribute = CONTENDERS[name].partition(":")
    contender: Contender = getattr(importlib.import_module(module), attribute)(url)
    return contender
