"""A scheduler that keeps its schedule in a file."""

from __future__ import annotations

import dbm
import errno
import os
import shelve
from pickle import UnpicklingError
from typing import Any

import svcjobs_celery_compat
from svcjobs_celery_compat import beat, platforms
from svcjobs_celery_compat.beat.scheduler import Scheduler, all_of

_UNREADABLE = (KeyError, TypeError, ValueError, UnpicklingError, *dbm.error)
_MARKS = ("__version__", "tz", "utc_enabled")


class PersistentScheduler(Scheduler):
    """Keeps in a file when entries ran. Only one may run at a time.

    Args:
        *args: see :class:`~svcjobs_celery_compat.beat.Scheduler`.
        schedule_filename: the file; depending on Python it has a suffix.
        **kwargs: see :class:`~svcjobs_celery_compat.beat.Scheduler`.
    """

    persistence: Any = shelve
    known_suffixes = ("", ".db", ".dat", ".bak", ".dir")

    _store: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.schedule_filename = kwargs.get("schedule_filename")
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Open the file; what ran when is forgotten when the time zone changed."""
        try:
            self._store = self._open_schedule()
            self._store.keys()  # some kinds of files tell only now that they are damaged
        except Exception as exc:  # noqa: BLE001  # each kind of file raises its own
            self._store = self._destroy_open_corrupted_schedule(exc)
        self._create_schedule()
        settings = {"tz": self.app.conf.timezone, "utc_enabled": self.app.conf.enable_utc}
        for name, value in settings.items():
            stored = self._store.get(name)
            if stored is not None and stored != value:
                beat.warning("Reset: the setting %r changed from %r to %r", name, stored, value)
                self._store.clear()
        self._store.setdefault("entries", {})
        self.merge_inplace(self.app.conf.beat_schedule)
        self.install_default_entries(self.schedule)
        self._store.update({"__version__": svcjobs_celery_compat.__version__, **settings})
        self.sync()
        beat.debug("Current schedule:\n%s", "\n".join(map(repr, self.schedule.values())))

    def get_schedule(self) -> Any:
        """The entries by name."""
        return self._store["entries"]

    def set_schedule(self, schedule: Any) -> None:
        """Replace the entries."""
        self._store["entries"] = schedule

    def sync(self) -> None:
        """Write the file."""
        if self._store is not None:
            self._store.sync()

    def close(self) -> None:
        """Write and close the file, and close the connection."""
        if self._store is None:
            super().close()
        else:
            all_of(super().close, self._store.close)

    @property
    def info(self) -> str:
        """The file."""
        return f"    . db -> {self.schedule_filename}"

    def _open_schedule(self) -> Any:
        return self.persistence.open(self.schedule_filename, writeback=True)

    def _create_schedule(self) -> None:
        """Make sure of the entries; a file that can't be read is replaced."""
        for _ in range(2):
            try:
                self._store["entries"]
            except _UNREADABLE as exc:
                if not isinstance(exc, KeyError):  # a new file has none
                    beat.warning("The stored schedule can't be used, it begins anew: %r", exc)
                try:
                    self._store["entries"] = {}
                except _UNREADABLE as worse:
                    self._store = self._destroy_open_corrupted_schedule(worse)
                    continue
            else:
                if any(mark not in self._store for mark in _MARKS):
                    beat.warning("DB Reset: the stored schedule is of a version before 3.0")
                    self._store.clear()
            return

    def _destroy_open_corrupted_schedule(self, exc: BaseException) -> Any:
        beat.error("Removing corrupted schedule file %r: %r", self.schedule_filename, exc, exc_info=True)
        self._remove_db()
        return self._open_schedule()

    def _remove_db(self) -> None:
        for suffix in self.known_suffixes:
            with platforms.ignore_errno(errno.ENOENT):
                os.remove(f"{self.schedule_filename}{suffix}")  # noqa: PTH107  # what Celery's users watch
