"""What every pool can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from svcjobs.application import Application
from svcjobs.job import Job
from svcjobs.pools.slots import Ended, Run, Slots


class Pool(Protocol):
    """Runs handlers. :meth:`run` holds the main thread; the other methods are called from the I/O thread.

    Attributes:
        slots: its jobs.
        ended: called with each job that has ended, in the thread that ran it. Set before :meth:`run`.
    """

    slots: Slots
    ended: Ended

    @property
    def loop_at(self) -> float | None:
        """When the event loop that runs the handlers last turned, ``time.monotonic()``; None without one."""
        ...

    def run(self, application: Application, begin: Callable[[], object]) -> None:
        """Run the application's hooks around its jobs, in the calling thread; returns after :meth:`stop`.

        Args:
            application: whose handlers and hooks run.
            begin: called between the start-up hooks and the first job.
        """
        ...

    def start(self, jobs: Sequence[Job]) -> None:
        """Run these jobs in this order, each once a slot is free."""
        ...

    def resize(self, concurrency: int) -> None:
        """Run at most so many jobs at once from now on; those that run go on. From any thread.

        Raises:
            ConfigurationError: this pool runs one, or one process can't run so many.
        """
        ...

    def cancel(self, run: Run) -> None:
        """End its handler, if it still runs and can be ended; the handler sees a CancelledError."""
        ...

    def stop(self) -> None:
        """Let :meth:`run` return; nothing runs any more, or what still does is given up."""
        ...
