"""A run every so many seconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from svcjobs_celery_compat.schedules.abstract import BaseSchedule, elapsed, schedstate
from svcjobs_celery_compat.schedules.rounding import rounded_end
from svcjobs_celery_compat.utils.time import humanize_seconds, localize, maybe_timedelta, remaining, timezone


class schedule(BaseSchedule):
    """Runs at an interval.

    Args:
        run_every: the interval, in seconds or as a timedelta.
        relative: whether runs fall on round times: whole days of the app's time zone for an interval of days, whole
            hours for one of hours, and so on. Else each is one interval after the one before.
        nowfun: see :class:`~svcjobs_celery_compat.schedules.abstract.BaseSchedule`.
        app: see there.
    """

    relative: bool = False

    def __init__(
        self,
        run_every: float | timedelta | None = None,
        relative: bool = False,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        self.run_every: Any = maybe_timedelta(run_every)
        self.relative = relative
        super().__init__(nowfun=nowfun, app=app)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """How long it is to the next run."""
        return self._remaining(last_run_at, self.now())

    def is_due(self, last_run_at: datetime) -> schedstate:
        """``(True, 20)``: run now, and ask again in 20 seconds; ``(False, 12.3)``: don't, and ask again in 12.3.

        A scheduler asks at least every ``beat_max_loop_interval`` seconds, whatever the second value says.
        """
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left > 0:
            return schedstate(is_due=False, next=left)
        if not self.relative:
            return schedstate(is_due=True, next=self.seconds)
        now = self.now()
        following = self._remaining(now, now).total_seconds()
        # of an interval below a second the round time is over at once
        return schedstate(is_due=True, next=following if following > 0 else self.seconds)

    def _remaining(self, last_run_at: datetime, now: datetime) -> timedelta:
        last, present = self.maybe_make_aware(last_run_at), self.maybe_make_aware(now)
        if not self.relative:
            return remaining(last, self.run_every, present)
        # round times are those of the app's time zone, whatever zone an instant comes in
        return elapsed(rounded_end(localize(last, timezone.tz_or_local(self.tz)), self.run_every), present)

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, schedule):
            return bool(self.run_every == other.run_every)
        return bool(self.run_every == other)

    __hash__ = None  # as in BaseSchedule

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.run_every, self.relative, self.nowfun)

    @property
    def seconds(self) -> float:
        """The interval in seconds, 0 for a negative one."""
        return max(self.run_every.total_seconds(), 0)  # type: ignore[no-any-return]

    @property
    def human_seconds(self) -> str:
        """The interval as people write it."""
        return humanize_seconds(self.seconds)


def maybe_schedule(s: Any, relative: bool = False, app: Any = None) -> Any:
    """The schedule for a number of seconds or a timedelta; a schedule itself gets the app, None stays None."""
    if s is None:
        return None
    if isinstance(s, float | int):
        s = timedelta(seconds=s)
    if isinstance(s, timedelta):
        return schedule(s, relative, app=app)
    s.app = app
    return s
