"""A run at each minute that a crontab expression matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from svcjobs_celery_compat.schedules.abstract import BaseSchedule, elapsed, schedstate
from svcjobs_celery_compat.schedules.minutes import Minutes
from svcjobs_celery_compat.schedules.parser import crontab_parser
from svcjobs_celery_compat.utils.time import ffwd as ffwd_
from svcjobs_celery_compat.utils.time import localize, remaining, timezone

Cronspec = int | str | Iterable[int]
"""A field: a number, an expression, or the numbers themselves."""

_LONGEST_MONTHS = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))


def cronfield(s: Cronspec | None) -> Cronspec:
    """``*`` for a field that wasn't given."""
    return "*" if s is None else s


class crontab(BaseSchedule):
    """Runs at each minute that all five fields match, in the app's time zone.

    A field is a number, a list of numbers, or an expression (:class:`~svcjobs_celery_compat.schedules.crontab_parser`).
    Unlike cron(8), both day fields have to match when both are given.

    Args:
        minute: 0 to 59.
        hour: 0 to 23.
        day_of_week: 0 (Sunday) to 6, or names.
        day_of_month: 1 to 31.
        month_of_year: 1 to 12, or names.
        **kwargs: ``nowfun`` and ``app``, see :class:`~svcjobs_celery_compat.schedules.abstract.BaseSchedule`.

    Raises:
        ValueError: a field holds a value out of range, or no month has any of the days.
        ParseException: a field can't be read.
        TypeError: a field is neither a number, nor text, nor a list.
    """

    def __init__(
        self,
        minute: Cronspec = "*",
        hour: Cronspec = "*",
        day_of_week: Cronspec = "*",
        day_of_month: Cronspec = "*",
        month_of_year: Cronspec = "*",
        **kwargs: Any,
    ) -> None:
        self._orig_minute = cronfield(minute)
        self._orig_hour = cronfield(hour)
        self._orig_day_of_week = cronfield(day_of_week)
        self._orig_day_of_month = cronfield(day_of_month)
        self._orig_month_of_year = cronfield(month_of_year)
        self._orig_kwargs = kwargs
        self.hour = self._expand_cronspec(hour, 24)
        self.minute = self._expand_cronspec(minute, 60)
        self.day_of_week = self._expand_cronspec(day_of_week, 7)
        self.day_of_month = self._expand_cronspec(day_of_month, 31, 1)
        self.month_of_year = self._expand_cronspec(month_of_year, 12, 1)
        if not any(day <= _LONGEST_MONTHS[month] for month in self.month_of_year for day in self.day_of_month):
            raise ValueError(
                f"Invalid crontab: day_of_month {self._orig_day_of_month!r} never occurs in "
                f"month_of_year {self._orig_month_of_year!r}."
            )
        super().__init__(**kwargs)

    @classmethod
    def from_string(cls, crontab: str) -> crontab:
        """The schedule for an expression of five fields: minute, hour, day of month, month, day of week.

        Raises:
            ValueError: there are more or fewer.
        """
        minute, hour, day_of_month, month_of_year, day_of_week = crontab.split(" ")
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    @staticmethod
    def _expand_cronspec(cronspec: Any, max_: int, min_: int = 0) -> set[int]:
        """The values of a field that has ``max_`` of them, from ``min_`` on."""
        if isinstance(cronspec, int):
            values = {cronspec}
        elif isinstance(cronspec, str):
            values = crontab_parser(max_, min_).parse(cronspec)
        elif isinstance(cronspec, Iterable):
            values = set(cronspec)
        else:
            raise TypeError(
                "Argument cronspec needs to be of any of the following types: int, str, or an iterable type. "
                f"{type(cronspec)!r} was given."
            )
        for number in values:
            if not min_ <= number < max_ + min_:
                raise ValueError(
                    f"Invalid crontab pattern.  Valid range is {min_}-{max_ + min_ - 1}. '{number}' was found."
                )
        return values

    def remaining_delta(
        self, last_run_at: datetime, tz: str | tzinfo | None = None, ffwd: Callable[..., Any] = ffwd_
    ) -> tuple[datetime, Any, datetime]:
        """The last run, what leads from it to the next, and the present; both instants in the time zone.

        Args:
            last_run_at: when it ran last.
            tz: the time zone; the app's when left out.
            ffwd: what makes the second value of the fields of the next run.
        """
        start, now = self._localized(last_run_at, tz), self._localized(self.now(), tz)
        fields = self._minutes().after(start)
        return start, ffwd(**fields, second=0, microsecond=0), now

    def remaining_estimate(self, last_run_at: datetime, ffwd: Callable[..., Any] = ffwd_) -> timedelta:
        """How long it is to the next run; negative when it is over."""
        return remaining(*self.remaining_delta(last_run_at, ffwd=ffwd))

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is due, and in how many seconds the next run is.

        With ``beat_cron_starting_deadline`` a run that was missed is due for so many seconds only; of several that were
        missed the latest counts.
        """
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left > 0:
            return schedstate(is_due=False, next=left)
        following = max(self.remaining_estimate(self.now()).total_seconds(), 0)
        return schedstate(is_due=not self._is_too_late(), next=following)

    def _is_too_late(self) -> bool:
        """Whether the latest run that was due is longer ago than the deadline allows."""
        deadline = self.app.conf.beat_cron_starting_deadline
        if deadline is None:
            return False
        now = self._localized(self.now())
        latest = now.replace(**self._minutes().until(now), second=0, microsecond=0)  # type: ignore[arg-type]  # all are numbers
        return elapsed(now, latest) > timedelta(seconds=deadline)

    def _localized(self, dt: datetime, tz: str | tzinfo | None = None) -> datetime:
        return localize(self.maybe_make_aware(dt), timezone.tz_or_local(tz or self.tz))

    def _minutes(self) -> Minutes:
        return Minutes(self.minute, self.hour, self.day_of_week, self.day_of_month, self.month_of_year)

    def __repr__(self) -> str:
        fields = (
            self._orig_minute, self._orig_hour, self._orig_day_of_month, self._orig_month_of_year,
            self._orig_day_of_week,
        )  # fmt: skip
        return f"<crontab: {' '.join(map(str, fields))} (m/h/dM/MY/d)>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, crontab):
            return NotImplemented
        return self._minutes() == other._minutes()  # of the same class

    __hash__ = None  # as in BaseSchedule

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (
            self._orig_minute, self._orig_hour, self._orig_day_of_week, self._orig_day_of_month,
            self._orig_month_of_year,
        )  # fmt: skip
        return self.__class__, arguments, self._orig_kwargs

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._orig_kwargs = dict(state)
        super().__init__(**state)
