"""Whether a command line can start again, found out in a process of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from typing import NoReturn

from svcjobs.inheritance import execute_again
from svcjobs.process import fork, how_it_ended
from svcjobs.settings import seen_in_environment

logger = logging.getLogger(__name__)

VARIABLE = "SVCJOBS_REHEARSAL"
LONGEST_SECONDS = 120
"""Applications take seconds to load; one that waits for something at import would be waited for, unheard, for ever."""


class Rehearsal:
    """Executes the command line of this process in another one, which does all that comes before the start.

    The program asks :meth:`is_this`, and then ends with exit code 0 instead of starting. One that can't load its
    application ends with another code, or by a signal, while the worker that is to be replaced goes on.

    Args:
        longest_seconds: how long it may take; then it is ended.
    """

    def __init__(self, longest_seconds: int = LONGEST_SECONDS) -> None:
        self._longest_seconds = longest_seconds
        self._pid: int | None = None

    @staticmethod
    def is_this() -> bool:
        """Whether this process is one."""
        return bool(seen_in_environment(VARIABLE))

    def begin(self) -> None:
        """Rehearse; an earlier rehearsal that hasn't ended yet counts no more."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        logger.info("SIGHUP: trying whether the worker can start anew")
        try:
            self._pid = fork(self._rehearse, dies_with_parent=True)
        except OSError as error:
            logger.error("The worker goes on as it is: no process can be started: %s", error)

    def is_in(self, pid: int) -> bool:
        """Whether it takes place in that process."""
        return pid == self._pid

    def end(self, code: int) -> bool:
        """Take note of its exit code; returns whether the command line can start."""
        self._pid = None
        if code:
            late = code == -signal.SIGALRM
            how = f"wasn't ready to start after {self._longest_seconds} s" if late else how_it_ended(code)
            logger.error("The worker goes on as it is: the one that was to replace it %s", how)
        return code == 0

    def _rehearse(self) -> NoReturn:
        signal.alarm(self._longest_seconds)  # it stays set when the program is executed
        execute_again(**{VARIABLE: "1"})
