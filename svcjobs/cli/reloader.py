"""A command as a child process that starts anew whenever a source file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from svcjobs.process import is_tied_to
from svcjobs.signals import Signals
from svcjobs.source_files import Snapshot, changes, snapshot

POLL_SECONDS = 0.5
USAGE = 2
"""The exit code of a command that was called in a wrong way."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Reloader:
    """Runs a command until SIGINT, SIGTERM or SIGHUP.

    Args:
        command: the program and its arguments. SIGTERM has to end it, a second one at once.
        environment: its variables.
        folder: whose files are watched.
        tell: takes what people are to know.
        patience_seconds: how long the command may take to end; then it is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        tell: Callable[[str], None],
        patience_seconds: float,
    ) -> None:
        self._command = command
        self._environment = environment
        self._folder = folder
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._stopping = False
        self._exit_code = 0

    def run(self, signals: Signals) -> int:
        """Start the command, again after each change; return once it has ended after a signal.

        Returns:
            0, or what the command ended with when it was called in a wrong way, which no change of a file cures.
        """
        while not self._stopping:
            # before the start: what changes while the command imports it counts
            seen = snapshot(self._folder)
            process = self._start()
            try:
                changed = self._watch(process, seen, signals)
                if not self._exit_code:
                    self._tell(f"{self._named(changed)}: starting again" if changed else "ending")
            finally:
                self._end(process, signals)
        return self._exit_code

    def _start(self) -> subprocess.Popen[bytes]:
        # a group of its own, so that Ctrl-C doesn't reach it twice; then it can't read the terminal
        return subprocess.Popen(  # noqa: S603
            self._command, env=self._environment, stdin=subprocess.DEVNULL, process_group=0,
            preexec_fn=partial(is_tied_to, os.getpid()),
        )  # fmt: skip

    def _watch(self, process: subprocess.Popen[bytes], seen: Snapshot, signals: Signals) -> list[str]:
        """Wait; returns the changed files, none when a signal came."""
        runs = True
        while not self._is_stopped(signals, POLL_SECONDS):
            if runs and process.poll() is not None:
                runs = False
                if process.returncode == USAGE:
                    self._stopping, self._exit_code = True, USAGE
                    return []
                self._tell(f"the worker ended with exit code {process.returncode}; save a file to start it again")
            if changed := changes(seen, snapshot(self._folder)):
                return changed
        return []

    def _end(self, process: subprocess.Popen[bytes], signals: Signals) -> None:
        process.terminate()
        deadline = time.monotonic() + self._patience_seconds
        while process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                self._tell("the worker doesn't end: it is killed")
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            elif self._is_stopped(signals, min(left, POLL_SECONDS)):
                process.terminate()

    def _is_stopped(self, signals: Signals, seconds: float) -> bool:
        """Whether a signal came within ``seconds`` that ends everything."""
        came = any(number in ENDING for number in signals.wait(seconds))
        self._stopping = self._stopping or came
        return came

    def _named(self, paths: Sequence[str]) -> str:
        first = os.path.relpath(paths[0], self._folder)
        return f"{first} changed" if len(paths) == 1 else f"{first} and {len(paths) - 1} more changed"
