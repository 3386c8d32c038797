"""What an application may take part in beyond running its jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from svcjobs.job import Job
from svcjobs.settlement import Outcome, Settlement

logger = logging.getLogger(__name__)


class Hooks:
    """Methods that an application may have, each by the name it has here; a worker calls those that are there.

    ``condemned(job, verdict)`` returns the settlement of a job that a reserve found past its limit, or unreadable, in
    place of a :class:`~svcjobs.settlement.Bury`; called where handlers run.

    ``failed(job, error)`` returns the settlement of a job whose handler raised, or ran over its hard limit, in place of
    a retry; called where handlers run, and in a thread for the hard limit.

    ``reserved(jobs)`` gets each batch of leased jobs before any of them starts, and returns the settlements of those
    that aren't to run; called in the I/O thread, which fetches nothing meanwhile.

    ``settled(settlement, outcome)`` is called when the queue has answered, in the I/O thread; the outcome is None when
    the settlement was given up, or the lease of the job was lost before there was any.

    ``joined(workplace)`` is called in each process that runs jobs, before ``startup``; see
    :class:`svcjobs.child.Workplace`.

    ``soft_limit_error(job, seconds)`` makes what is raised in a handler, when its soft limit is over; called where the
    handler runs, or in a thread beside it.

    Args:
        application: the application, or a handler; without such methods, nothing happens.
    """

    __slots__ = ("_application", "_reserved", "_settled")

    def __init__(self, application: object) -> None:
        self._application = application
        self._reserved = hook(application, "reserved")
        self._settled = hook(application, "settled")

    def joined(self, workplace: object) -> None:
        """Tell the application where it runs."""
        if joined := hook(self._application, "joined"):
            joined(workplace)

    def reserved(self, jobs: Sequence[Job]) -> Sequence[Settlement]:
        """The settlements of those that aren't to run. Raises nothing: jobs must not stay leased to nobody."""
        if self._reserved is None:
            return ()
        try:
            settlements: Sequence[Settlement] = self._reserved(jobs)
        except Exception:
            logger.exception("The application's look at reserved jobs failed: all of them run")
            return ()
        return settlements

    def settled(self, settlement: Settlement, outcome: Outcome | None) -> None:
        """Tell the application. Raises nothing: it is too late for the job."""
        if self._settled is None:
            return
        try:
            self._settled(settlement, outcome)
        except Exception:
            logger.exception("The application's look at a settled job failed")


def hook(application: object, name: str) -> Callable[..., Any] | None:
    """The method of the application's class with that name, bound; a mock has every attribute, its class hasn't."""
    return getattr(application, name) if getattr(type(application), name, None) is not None else None
