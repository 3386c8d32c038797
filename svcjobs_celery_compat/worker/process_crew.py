"""The child processes of a worker, as the one that answers for them sees them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from svcjobs.census import Size, Stop
from svcjobs_celery_compat.worker.launch import Plan
from svcjobs_celery_compat.worker.link import Switchboard

LASTING = ("rate_limit", "time_limit", "enable_events", "disable_events")
"""Commands that processes which are started later obey too."""


def ask_to_stop(tell: Callable[[bytes], bool], exitcode: int) -> None:
    """Let the supervisor stop the worker, and end with that code.

    Args:
        tell: takes messages for it.
        exitcode: which counts for nothing where it can't be told.
    """
    if not tell(Stop(exitcode).encode()):
        os.kill(os.getppid(), signal.SIGTERM)


class ProcessCrew:
    """They are started, watched and stopped by the supervisor; here they are only asked.

    Args:
        controller: the worker.
        plan: of the worker.
        tell: takes messages for the supervisor.
    """

    def __init__(self, controller: Any, plan: Plan, tell: Callable[[bytes], bool]) -> None:
        self.controller = controller
        self._plan = plan
        self._tell = tell
        self._switchboard = Switchboard(plan.socket)

    @property
    def pids(self) -> Sequence[int]:
        return self._switchboard.pids

    def start(self) -> None:
        """Return when all are there, or when the worker is told to stop: then some may never come."""
        self._switchboard.open()
        self._ask_for(self._plan.children)  # whatever a predecessor of this process asked for
        self._switchboard.wait_for(self._plan.children, lambda: self.controller.consumer.stopping)

    def stop(self, grace_seconds: float) -> None:
        """The supervisor has told each of them."""

    def join(self) -> None:
        self._switchboard.close()

    def _ask_for(self, children: int) -> None:
        self._tell(Size(children).encode())

    def stop_worker(self, exitcode: int = 0) -> None:
        """Let the supervisor stop all processes, this one too, and end with that code."""
        ask_to_stop(self._tell, exitcode)

    def restart(self) -> None:
        """Let the supervisor replace all processes."""
        os.kill(os.getppid(), signal.SIGHUP)

    def counts(self) -> tuple[int, int]:
        parts = self._switchboard.call("stats", {})
        return sum(part["active"] for part in parts), sum(part["processed"] for part in parts)

    def call(self, command: str, arguments: Mapping[str, Any]) -> list[Any]:
        return (self._switchboard.order if command in LASTING else self._switchboard.call)(command, arguments)

    def terminate(self, task_id: str, signum: int) -> None:
        self._switchboard.call("terminate_task", {"task_id": task_id, "signum": signum})

    @property
    def most(self) -> int:
        return self._plan.most

    def resize(self, limit: int) -> None:
        if self._plan.pool == "prefork":
            self._ask_for(limit)
        else:
            self._switchboard.order("resize", {"concurrency": limit})

    def take_from(self, queue: Any) -> None:
        self._switchboard.order("take_from", {"queue": queue.as_dict(recurse=True)})

    def leave(self, name: str) -> None:
        self._switchboard.order("leave", {"name": name})
