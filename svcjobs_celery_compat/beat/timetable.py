"""The schedule of an app as entries that the engine's dashboard shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from svcjobs.job import NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduled_task import ScheduledTask
from svcjobs_celery_compat.beat.entry import ScheduleEntry
from svcjobs_celery_compat.beat.home import home_name
from svcjobs_celery_compat.beat.ticks import due_at, latest_tick
from svcjobs_celery_compat.transport.queues import prefix_of


class Timing:
    """A schedule of Celery as the engine asks for it.

    Args:
        timing: an interval, a crontab, or another one that says when it is due next.
    """

    def __init__(self, timing: Any) -> None:
        self._timing = timing

    def __str__(self) -> str:
        return str(self._timing)

    def next_after(self, at: datetime) -> datetime:
        """The first tick later than ``at``."""
        return due_at(self._timing, at)

    def last_until(self, at: datetime) -> datetime:
        """The last tick that isn't later than ``at``."""
        return latest_tick(self._timing, at, at)


def timetable(app: Any, home: RedisJobQueue) -> tuple[list[ScheduledTask], list[str]]:
    """The entries of ``beat_schedule`` and of ``add_periodic_task``, and what can't be shown of them, in sentences.

    Args:
        app: the app.
        home: the default queue; the ticks of an entry are kept in the queue of its task, on the same server.
    """
    app.loader.import_default_modules()
    app.finalize()
    tasks, problems = [], []
    for name, fields in app.conf.beat_schedule.items():
        try:
            entry = ScheduleEntry(**{**dict(fields), "name": name, "app": app})
            queue_name = home_name(app, entry)
            queue = home if queue_name is None else home.sibling(prefix_of(queue_name, home.name))
            timing = Timing(entry.schedule)
            next_run_at = timing.next_after(datetime.now(UTC))
        except Exception as error:  # noqa: BLE001  # schedules and routers of the user may raise anything
            problems.append(f"the entry {name} of beat_schedule: {type(error).__name__}: {error}")
            continue
        tasks.append(ScheduledTask(name, timing, "once", next_run_at, job=NewJob(str(entry.task)), queue=queue))
    return tasks, problems
