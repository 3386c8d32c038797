"""The minutes that five sets of numbers match, by the clock on the wall: time zones are the caller's."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, datetime

LONGEST_GAP_YEARS = 41
"""29 February falls on each weekday once in 28 years, or in 40 where a leap year is left out (2100)."""


@dataclass(frozen=True, slots=True)
class Minutes:
    """Values that match, per field; all five have to."""

    minute: set[int]
    hour: set[int]
    day_of_week: set[int]
    day_of_month: set[int]
    month_of_year: set[int]

    def after(self, at: datetime) -> dict[str, int]:
        """The fields of the first matching minute later than that of ``at``.

        Raises:
            RuntimeError: there is none.
        """
        times = self._times()
        for day in self._dates(at.date(), 1):
            for hour, minute in times:
                if day > at.date() or (hour, minute) > (at.hour, at.minute):
                    return _fields(day, hour, minute)
        raise RuntimeError("the crontab matches no minute that exists: give a day that its months have")

    def until(self, at: datetime) -> dict[str, int]:
        """The fields of the last matching minute that isn't later than that of ``at``.

        Raises:
            RuntimeError: there is none.
        """
        times = self._times()[::-1]
        for day in self._dates(at.date(), -1):
            for hour, minute in times:
                if day < at.date() or (hour, minute) <= (at.hour, at.minute):
                    return _fields(day, hour, minute)
        raise RuntimeError("the crontab matches no minute that existed: give a day that its months have")

    def _times(self) -> list[tuple[int, int]]:
        return [(hour, minute) for hour in sorted(self.hour) for minute in sorted(self.minute)]

    def _dates(self, start: date, step: int) -> Iterator[date]:
        """The matching dates from ``start`` on, forwards or backwards."""
        months = sorted(self.month_of_year)[::step]
        days = sorted(self.day_of_month)[::step]
        for year in range(start.year, start.year + step * LONGEST_GAP_YEARS, step):
            if not MINYEAR <= year <= MAXYEAR:
                return
            for month in months:
                length = monthrange(year, month)[1]
                for day in days:
                    if day > length:
                        continue
                    found = date(year, month, day)
                    if (found - start).days * step >= 0 and found.isoweekday() % 7 in self.day_of_week:
                        yield found


def _fields(day: date, hour: int, minute: int) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day, "hour": hour, "minute": minute}
