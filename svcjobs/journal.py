"""What the jobs of this process report and log: gathered in memory, and written once a second at most."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from svcjobs.errors import JobsError, QueueUnavailable
from svcjobs.job import Job
from svcjobs.journal_store import JournalPage, JournalStore
from svcjobs.progress import Progress

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
LINE_CHARACTERS = 500
MOST_ENDED = 1000
"""Pages of ended attempts that wait while the server is away; the oldest go first."""


@dataclass(slots=True)
class _Entry:
    queue: str
    job_id: str
    attempt: int
    lines: deque[str]
    progress: Progress | None = None
    changed: bool = True
    written: bool = False

    def page(self, *, done: bool = False) -> tuple[str, str, JournalPage]:
        return self.queue, self.job_id, JournalPage(self.attempt, self.progress, tuple(self.lines), done)


class Journal:
    """Implements :class:`~svcjobs.job.Reporting`. A job that says nothing costs nothing, a quick one no call.

    Safe to use from any thread. A thread of its own writes, so that no handler waits for the server; while that is
    away, the newest state of each job is kept.

    Args:
        store: where to.
        lines: how many of a job's last log lines are kept; 0 keeps none.
    """

    def __init__(self, store: JournalStore, *, lines: int = 0) -> None:
        self._store = store
        self._most_lines = lines
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str | None], _Entry] = {}
        self._ended: deque[tuple[str, str, JournalPage]] = deque(maxlen=MOST_ENDED)
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def report(self, job: Job, progress: Progress, /) -> None:
        with self._lock:
            self._entry(job).progress = progress
        self._wake()

    def line(self, job: Job, text: str, /) -> None:
        text = text.rstrip("\n")
        with self._lock:
            self._entry(job).lines.append(text if len(text) <= LINE_CHARACTERS else text[: LINE_CHARACTERS - 1] + "…")
        self._wake()

    def end(self, job: Job, /, *, done: bool) -> None:
        # what a quick one said that succeeded is dropped: there is nothing left to look at
        if not self._entries:
            return
        with self._lock:
            entry = self._entries.pop((job.queue, job.id, job.lease), None)
            if entry is not None and (entry.written or not done):
                self._ended.append(entry.page(done=done))
        self._wake()

    def close(self) -> None:
        """Write what isn't written yet, if the server answers, and close the store."""
        self._closed.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
        self._store.close()

    def _entry(self, job: Job) -> _Entry:
        key = job.queue, job.id, job.lease
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry(job.queue, job.id, job.attempts, deque(maxlen=self._most_lines))
            self._entries[key] = entry
        entry.changed = True
        return entry

    def _wake(self) -> None:
        if self._woken.is_set():
            return
        self._woken.set()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="svcjobs-journal", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        while self._woken.wait():
            self._closed.wait(EVERY_SECONDS)
            self._woken.clear()
            closing = self._closed.is_set()  # after the clear, which may have hit the wake-up of a close
            self._write_once()
            if closing:
                return

    def _write_once(self) -> None:
        with self._lock:
            changed = [entry for entry in self._entries.values() if entry.changed]
            ended = list(self._ended)
            self._ended.clear()
            pages = ended + [entry.page() for entry in changed]
            for entry in changed:
                entry.changed, entry.written = False, True
        if not pages:
            return
        try:
            self._store.write(pages)
        except QueueUnavailable:
            with self._lock:
                self._ended.extendleft(reversed(ended))
                for entry in changed:
                    entry.changed = True
            self._woken.set()
        except JobsError as error:
            logger.warning("What jobs report can't be kept: %s", error)
