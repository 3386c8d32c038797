"""What this process knows of its tasks: those at hand, those that ran, and those that were revoked."""

from __future__ import annotations

import os
import platform
import shelve
import weakref
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from kombu.serialization import pickle, pickle_protocol

from svcjobs_celery_compat import __version__
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, WorkerShutdown, WorkerTerminate
from svcjobs_celery_compat.utils.collections import LimitedSet

__all__ = (
    "SOFTWARE_INFO",
    "Persistent",
    "active_requests",
    "maybe_shutdown",
    "merge_revoked",
    "reserved_requests",
    "revoked",
    "scheduled_requests",
    "task_accepted",
    "task_ready",
    "task_reserved",
    "task_scheduled",
    "total_count",
)

SOFTWARE_INFO = {"sw_ident": "py-celery", "sw_ver": __version__, "sw_sys": platform.system()}


def _from_env(name: str, default: Any, read: Callable[[str], Any]) -> Any:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        return read(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {text!r}: expected {read.__name__}") from None


#: How many revoked ids are kept.
REVOKES_MAX: int = _from_env("CELERY_WORKER_REVOKES_MAX", 50000, int)
#: How many ids of successful tasks are kept.
SUCCESSFUL_MAX: int = _from_env("CELERY_WORKER_SUCCESSFUL_MAX", 1000, int)
#: Seconds for which a revoked id is kept in this process.
REVOKE_EXPIRES: float = _from_env("CELERY_WORKER_REVOKE_EXPIRES", 10800.0, float)
#: Seconds for which the id of a successful task is kept.
SUCCESSFUL_EXPIRES: float = _from_env("CELERY_WORKER_SUCCESSFUL_EXPIRES", 10800.0, float)

#: Requests by the id of their task.
requests: dict[str, Any] = {}
#: Requests that a worker holds, running or not.
reserved_requests: weakref.WeakSet[Any] = weakref.WeakSet()
#: Requests that run.
active_requests: weakref.WeakSet[Any] = weakref.WeakSet()
#: Requests that wait for their time in this process; tasks with an ETA wait in Redis, so there are none.
scheduled_requests: weakref.WeakSet[Any] = weakref.WeakSet()
#: Ids of tasks that succeeded here, for ``worker_deduplicate_successful_tasks``.
successful_requests: Any = LimitedSet(maxlen=SUCCESSFUL_MAX, expires=SUCCESSFUL_EXPIRES)
#: How many tasks ran, by name.
total_count: Counter[str] = Counter()
#: How many tasks ran.
all_total_count = [0]
#: Ids of revoked tasks.
revoked: Any = LimitedSet(maxlen=REVOKES_MAX, expires=REVOKE_EXPIRES)
#: Revoked values of stamped headers, by header.
revoked_stamps: dict[str, Any] = {}

#: An exit code, or true for 0: the worker is to stop when its tasks have ended.
should_stop: Any = None
#: The same for a stop at once.
should_terminate: Any = None


def reset_state() -> None:
    """Forget everything."""
    requests.clear()
    reserved_requests.clear()
    active_requests.clear()
    scheduled_requests.clear()
    successful_requests.clear()
    total_count.clear()
    all_total_count[:] = [0]
    revoked.clear()
    revoked_stamps.clear()


def exit_code(code: Any) -> int:
    """As the interpreter reads what SystemExit carries."""
    return code if isinstance(code, int) else int(code is not None)


def maybe_shutdown() -> None:
    """Raise what ends a worker, if one of the flags says so.

    Raises:
        WorkerTerminate, WorkerShutdown: with the exit code.
    """
    if should_terminate is not None and should_terminate is not False:
        raise WorkerTerminate(should_terminate)
    if should_stop is not None and should_stop is not False:
        raise WorkerShutdown(should_stop)


def task_reserved(request: Any) -> None:
    """A worker holds the request."""
    requests[request.id] = request
    if scheduled_requests:  # seldom, and a discard costs more
        scheduled_requests.discard(request)
    reserved_requests.add(request)


def task_scheduled(request: Any) -> None:
    """The request waits for its time, unless it is held already."""
    if request in reserved_requests or request in active_requests:
        return
    requests[request.id] = request
    scheduled_requests.add(request)


def task_accepted(request: Any, _all_total_count: list[int] | None = None) -> None:
    """The request runs."""
    requests[request.id] = request
    active_requests.add(request)
    total_count[request.name] += 1
    (_all_total_count or all_total_count)[0] += 1


def task_ready(request: Any, successful: bool = False) -> None:
    """The request is settled."""
    if successful:
        successful_requests.add(request.id)
    requests.pop(request.id, None)
    active_requests.discard(request)
    reserved_requests.discard(request)
    if scheduled_requests:
        scheduled_requests.discard(request)


def merge_revoked(task_ids: Iterable[str] | Mapping[str, Any] | None) -> None:
    """Add the revoked ids of another worker. Its clock isn't ours: they count from now on."""
    for task_id in task_ids or ():
        revoked.add(task_id)


class Persistent:
    """Keeps revoked ids and the logical clock in a file over restarts (``--statedb``).

    Redis has the revoked ids anyway; the file is for those who look into it.

    Args:
        state: this module.
        filename: of the file.
        clock: of the app.
    """

    storage: Any = shelve
    protocol = pickle_protocol
    compress = staticmethod(zlib.compress)
    decompress = staticmethod(zlib.decompress)
    _is_open = False

    def __init__(self, state: Any, filename: str, clock: Any = None) -> None:
        self.state = state
        self.filename = filename
        self.clock = clock
        self.merge()

    def open(self) -> Any:
        """Open the file."""
        return self.storage.open(self.filename, protocol=self.protocol, writeback=True)

    @cached_property
    def db(self) -> Any:
        """The open file."""
        self._is_open = True
        return self.open()

    def merge(self) -> None:
        """Take over what the file holds."""
        self._merge_with(self.db)

    def sync(self) -> None:
        """Write what is known now."""
        self._sync_with(self.db)
        self.db.sync()

    def save(self) -> None:
        """Write, and close."""
        self.sync()
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._is_open:
            self.db.close()
            self._is_open = False

    def _merge_with(self, d: Any) -> Any:
        saved = d.get("zrevoked")
        if saved:
            ids = pickle.loads(self.decompress(saved))
            merge_revoked(getattr(ids, "as_dict", lambda: ids)())
        elif isinstance(d.get("revoked"), dict | list | set):
            merge_revoked(d["revoked"])
        if self.clock:
            d["clock"] = self.clock.adjust(d.get("clock") or 0)
        return d

    def _sync_with(self, d: Any) -> Any:
        self.state.revoked.purge()
        d.pop("revoked", None)
        ids = self.compress(self._dumps(self.state.revoked))
        d.update(__proto__=3, zrevoked=ids, clock=self.clock.forward() if self.clock else 0)
        return d

    def _dumps(self, ids: Any) -> bytes:
        packed: bytes = pickle.dumps(ids.as_dict(), protocol=self.protocol)
        return packed
