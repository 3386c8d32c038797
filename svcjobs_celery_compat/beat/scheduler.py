"""A scheduler of entries in memory."""

from __future__ import annotations

import copy
import time
import traceback
from calendar import timegm
from collections.abc import Callable, Mapping
from functools import cached_property
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, NamedTuple

from kombu.utils.functional import maybe_evaluate

from svcjobs_celery_compat import beat
from svcjobs_celery_compat.beat.entry import (
    ScheduleEntry,
    SchedulingError,
    _evaluate_entry_args,
    _evaluate_entry_kwargs,
)
from svcjobs_celery_compat.schedules import crontab
from svcjobs_celery_compat.utils.functional import is_numeric_value
from svcjobs_celery_compat.utils.time import maybe_make_aware

_CLEANUP = "celery.backend_cleanup"
PRIORITY = 5
"""Of all entries in the heap, which has a place for it."""


class event_t(NamedTuple):
    """An entry in the heap, and when to look at it."""

    time: float
    priority: int
    entry: Any


class Scheduler:
    """Sends the tasks of a schedule when they are due.

    Subclasses keep the schedule elsewhere. ``celery beat`` makes some with ``lazy`` only to ask about them.

    Args:
        app: the app.
        schedule: entries by name, or a callable that returns them.
        max_interval: most seconds between looks at the schedule; ``beat_max_loop_interval`` by default.
        Producer: class of the producer.
        lazy: leave the schedule alone for now.
        sync_every_tasks: tasks between two calls of :meth:`sync`; ``beat_sync_every`` by default.
        **kwargs: taken and left aside.
    """

    Entry = ScheduleEntry
    max_interval: float = 300
    sync_every = 3 * 60
    """Seconds between two calls of :meth:`sync`."""
    sync_every_tasks: int | None = None
    logger: Any = beat.logger

    _last_sync: float | None = None
    _tasks_since_sync = 0

    def __init__(
        self,
        app: Any,
        schedule: Any = None,
        max_interval: float | None = None,
        Producer: Any = None,
        lazy: bool = False,
        sync_every_tasks: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        self.data: dict[str, Any] = maybe_evaluate({} if schedule is None else schedule)
        self.max_interval = max_interval or app.conf.beat_max_loop_interval or self.max_interval
        self.Producer = Producer or app.amqp.Producer
        self.sync_every_tasks = app.conf.beat_sync_every if sync_every_tasks is None else sync_every_tasks
        self.old_schedulers: dict[str, Any] | None = None
        self._heap: list[event_t] | None = None
        if not lazy:
            self.setup_schedule()

    # what is due

    def tick(self) -> float:
        """Look at the entry that is due first, and send it if it is. Returns the seconds until the next look."""
        if self._heap is None or not self.schedules_equal(self.old_schedulers, self.schedule):
            self.old_schedulers = copy.copy(self.schedule)
            self.populate_heap()
        heap = self._heap
        if not heap:
            return self.max_interval
        event = heap[0]
        entry = event.entry
        try:
            is_due, wait = self.is_due(entry)
        except Exception:  # noqa: BLE001  # a user's schedule may raise anything; the other entries go on
            is_due, wait = False, self._is_due_failed(entry)
        if heap[0] is not event:  # while this one was asked, another was put before it
            return self._until(heap[0])
        if is_due:
            heappop(heap)
            following = self.reserve(entry)
            self.apply_entry(entry, producer=self.producer)
            heappush(heap, event_t(self._when(following, wait), event.priority, following))
            return 0
        wait = wait if is_numeric_value(wait) else self.max_interval
        heapreplace(heap, event_t(self._when(entry, wait), event.priority, entry))
        if heap[0].entry is entry:
            return min(float(self.adjust(wait)), self.max_interval)
        return max(self._until(heap[0]), 0)

    def populate_heap(self) -> None:
        """Put all entries in the order in which they are due."""
        heap: list[event_t] = []
        for entry in self.schedule.values():
            try:
                is_due, wait = self.is_due(entry)
            except Exception:  # noqa: BLE001  # as in tick
                is_due, wait = False, self._is_due_failed(entry)
            heap.append(event_t(self._when(entry, 0 if is_due else wait or 0), PRIORITY, entry))
        heapify(heap)
        self._heap = heap  # now: reading the schedule may have emptied the former one

    def is_due(self, entry: Any) -> tuple[bool, Any]:
        """Whether an entry is due, and in how many seconds to look at it again."""
        return entry.is_due()  # type: ignore[no-any-return]

    def adjust(self, n: Any, drift: float = -0.010) -> Any:
        """A little less than ``n`` seconds, so that the tick isn't late."""
        return n + drift if n and n > 0 else n

    def _is_due_failed(self, entry: Any) -> float:
        beat.error("Cannot tell whether entry %s is due, looking again later", entry.name, exc_info=True)
        return self.max_interval

    def _when(self, entry: Any, next_time_to_run: Any, mktime: Callable[[Any], float] = timegm) -> float:
        """The instant, in seconds since the epoch, that lies so many seconds ahead by the entry's clock."""
        now = maybe_make_aware(entry.default_now())
        return mktime(now.utctimetuple()) + now.microsecond / 1e6 + (self.adjust(next_time_to_run) or 0)

    def _until(self, event: event_t) -> float:
        return min(event.time - self._when(event.entry, 0), self.max_interval)

    # sending

    def reserve(self, entry: Any) -> Any:
        """Note that an entry is sent; returns it as it is afterwards."""
        following = self.schedule[entry.name] = next(entry)
        return following

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send the task of an entry. What goes wrong is logged."""
        beat.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        try:
            result = self.apply_async(entry, producer=producer, advance=False)
        except Exception as exc:  # noqa: BLE001  # the schedule goes on
            beat.error("Message Error: %s\n%s", exc, traceback.format_stack(), exc_info=True)
            return
        if result and hasattr(result, "id"):
            beat.debug("%s sent. id->%s", entry.task, result.id)
        else:
            beat.debug("%s sent.", entry.task)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send the task of an entry.

        Args:
            entry: the entry.
            producer: to send by.
            advance: whether to note that it is sent, see :meth:`reserve`.
            **kwargs: taken and left aside.

        Raises:
            SchedulingError: it couldn't be sent.
        """
        entry = self.reserve(entry) if advance else entry
        task = self.app.tasks.get(entry.task)
        try:
            args, keywords = _evaluate_entry_args(entry.args), _evaluate_entry_kwargs(entry.kwargs)
            options = self._options_of(entry)
            if task:
                return task.apply_async(args, keywords, producer=producer, **options)
            return self.send_task(entry.task, args, keywords, producer=producer, **options)
        except Exception as exc:
            raise SchedulingError(f"Couldn't apply scheduled task {entry.name}: {exc}") from exc
        finally:
            self._tasks_since_sync += 1
            if self.should_sync():
                self._do_sync()

    def _options_of(self, entry: Any) -> dict[str, Any]:
        options = dict(entry.options or {})
        return {**options, "headers": {**(options.get("headers") or {}), "celery_beat_task": True}}

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        """Send a task that this process doesn't know, by its name."""
        return self.app.send_task(*args, **kwargs)

    @cached_property
    def connection(self) -> Any:
        """The connection to the broker."""
        return self.app.connection_for_write()

    @cached_property
    def producer(self) -> Any:
        """The producer."""
        return self.Producer(self._ensure_connected(), auto_declare=False)

    def _ensure_connected(self) -> Any:
        def on_error(exc: Exception, interval: float) -> None:
            beat.error("beat: Connection error: %s. Trying again in %s seconds...", exc, interval)

        return self.connection.ensure_connection(on_error, self.app.conf.broker_connection_max_retries)

    # the schedule

    def setup_schedule(self) -> None:
        """Load the schedule."""
        self.install_default_entries(self.data)
        self.merge_inplace(self.app.conf.beat_schedule)

    def install_default_entries(self, data: Mapping[str, Any]) -> None:
        """Add the task that removes old results, where the backend doesn't do it by itself."""
        if not self.app.conf.result_expires or self.app.backend.supports_autoexpire or _CLEANUP in data:
            return
        self.update_from_dict(
            {_CLEANUP: {"task": _CLEANUP, "schedule": crontab("0", "4", "*"), "options": {"expires": 12 * 3600}}}
        )

    def add(self, **kwargs: Any) -> Any:
        """Add an entry, with the arguments of :class:`ScheduleEntry`."""
        entry = self.Entry(app=self.app, **kwargs)
        self.schedule[entry.name] = entry
        return entry

    def update_from_dict(self, dict_: Mapping[str, Any]) -> None:
        """Add entries by name, each an entry or its fields."""
        self.schedule.update({name: self._maybe_entry(name, entry) for name, entry in dict_.items()})

    def merge_inplace(self, b: Mapping[str, Any]) -> None:
        """Make the entries those of ``b``. Those that are there already keep when they ran."""
        schedule = self.schedule
        for name in set(schedule) - set(b):
            schedule.pop(name, None)
        for name, fields in b.items():
            entry = self.Entry(**{**dict(fields), "name": name, "app": self.app})
            if schedule.get(name):
                schedule[name].update(entry)
            else:
                schedule[name] = entry

    def schedules_equal(self, old_schedules: Mapping[str, Any] | None, new_schedules: Mapping[str, Any] | None) -> bool:
        """Whether two schedules have the same entries."""
        if old_schedules is None or new_schedules is None:
            return old_schedules is new_schedules
        return old_schedules.keys() == new_schedules.keys() and all(
            new_schedules.get(name) == entry for name, entry in old_schedules.items()
        )

    def _maybe_entry(self, name: str, entry: Any) -> Any:
        if isinstance(entry, self.Entry):
            entry.app = self.app
            return entry
        return self.Entry(**{**dict(entry), "name": name, "app": self.app})

    def get_schedule(self) -> Any:
        """The entries by name."""
        return self.data

    def set_schedule(self, schedule: Any) -> None:
        """Replace the entries."""
        self.data = schedule

    @property
    def schedule(self) -> Any:
        """The entries by name."""
        return self.get_schedule()

    @schedule.setter
    def schedule(self, schedule: Any) -> None:
        self.set_schedule(schedule)

    # keeping it

    def should_sync(self) -> bool:
        """Whether it is time to :meth:`sync`."""
        late = not self._last_sync or time.monotonic() - self._last_sync > self.sync_every
        return late or bool(self.sync_every_tasks and self._tasks_since_sync >= self.sync_every_tasks)

    def sync(self) -> None:
        """Store what changed. Nothing here: subclasses do."""

    def _do_sync(self) -> None:
        try:
            beat.debug("beat: Synchronizing schedule...")
            self.sync()
        finally:
            self._last_sync = time.monotonic()
            self._tasks_since_sync = 0

    def close(self) -> None:
        """Store what changed, and close the connection; a later use opens a new one."""
        all_of(self.sync, self._disconnect)

    def _disconnect(self) -> None:
        vars(self).pop("producer", None)
        connection = vars(self).pop("connection", None)
        if connection is None:
            return
        try:
            connection.release()
        except connection.connection_errors + connection.channel_errors:
            beat.debug("beat: the connection was lost before it was closed", exc_info=True)

    @property
    def info(self) -> str:
        """A line for the banner."""
        return ""


def all_of(*steps: Callable[[], object]) -> None:
    """Take all steps, whatever goes wrong. The first error is raised, further ones are logged."""
    first: Exception | None = None
    for step in steps:
        try:
            step()
        except Exception as exc:  # noqa: BLE001  # it is raised in the end
            if first is None:
                first = exc
            else:
                beat.error("beat: could not shut down cleanly: %r", exc, exc_info=exc)
    if first is not None:
        raise first
