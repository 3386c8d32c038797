"""The instants at which a schedule ticks: what several schedulers have to agree on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from svcjobs_celery_compat.schedules import crontab, schedule, solar
from svcjobs_celery_compat.utils.time import maybe_make_aware

MOST_STEPS = 100_000
"""Ticks that are passed over in one look, when very many were missed."""
_WINDOWS = (timedelta(days=2), timedelta(days=60), timedelta(days=800))


def due_at(timing: Any, last_run_at: datetime) -> datetime:
    """When a schedule ticks next after a run, in UTC.

    Raises:
        NotImplementedError: it only says whether it is due.
    """
    left: timedelta = timing.remaining_estimate(last_run_at)
    return maybe_make_aware(timing.now()).astimezone(UTC) + left


def latest_tick(timing: Any, last_run_at: datetime, now: datetime) -> datetime:
    """The last tick of a schedule that is due at ``now``; all before it, which were missed, it stands for.

    Args:
        timing: the schedule; its clock stands still meanwhile.
        last_run_at: the tick that was sent last.
        now: the present, in UTC.

    Raises:
        NotImplementedError: as :func:`due_at`.
    """
    last = maybe_make_aware(last_run_at).astimezone(UTC)
    if _counts_time(timing):
        interval = timing.run_every
        return last + (now - last) // interval * interval if interval > timedelta() else now

    def following(at: datetime) -> datetime:
        return due_at(timing, at)

    tick = following(_start(timing, last, now, following))
    for _ in range(MOST_STEPS):
        later = following(tick)
        if not tick < later <= now:
            break
        tick = later
    return tick


def _counts_time(timing: Any) -> bool:
    is_own = type(timing).remaining_estimate is schedule.remaining_estimate
    return isinstance(timing, schedule) and is_own and not timing.relative


def _start(timing: Any, last: datetime, now: datetime, following: Callable[[datetime], datetime]) -> datetime:
    """Where to begin to look: crontabs and the sun tick the same whatever came before, so that may be near to now."""
    if isinstance(timing, crontab | solar):
        for window in _WINDOWS:
            if now - window > last and following(now - window) <= now:
                return now - window
    return last
