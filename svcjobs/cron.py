"""When a schedule is due: a cron expression in a time zone (:class:`Cron`), or an interval (:class:`Every`)."""

from __future__ import annotations

import calendar
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Protocol
from zoneinfo import ZoneInfo

from svcjobs.errors import ConfigurationError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_MICROSECOND = timedelta(microseconds=1)
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Schedule(Protocol):
    """A rule that names instants (ticks). Instants are aware datetimes, the answers in UTC."""

    def next_after(self, at: datetime) -> datetime:
        """The first tick later than ``at``."""
        ...

    def last_until(self, at: datetime) -> datetime:
        """The last tick that isn't later than ``at``."""
        ...


class Every:
    """A tick each ``seconds``, at multiples of the interval since ``start``.

    All schedulers that have the same interval name the same instants, whenever they were started, and a restart
    doesn't put a tick off. Kept in whole microseconds: a third of a second is 0.333333 s.

    Args:
        seconds: the interval, 0.001 or more.
        start: the instant that the multiples are counted from; 1970-01-01T00:00Z when left out.

    Raises:
        ConfigurationError: the interval is out of range, or ``start`` has no time zone.
    """

    def __init__(self, seconds: float, start: datetime = _EPOCH) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds < 1e10:
            raise ConfigurationError(f"the interval is {seconds!r}: give a number of seconds from 0.001")
        self.seconds = seconds
        self._interval = timedelta(microseconds=round(seconds * 1_000_000))
        self._start = in_utc(start)

    def __str__(self) -> str:
        return f"every {self.seconds:g} s"

    def next_after(self, at: datetime) -> datetime:
        """The first multiple later than ``at``."""
        return self._start + ((in_utc(at) - self._start) // self._interval + 1) * self._interval

    def last_until(self, at: datetime) -> datetime:
        """The last multiple that isn't later than ``at``."""
        return self._start + (in_utc(at) - self._start) // self._interval * self._interval


class Cron:
    """A tick at each minute that a cron expression matches in a time zone.

    The expression is that of crontab(5): minute, hour, day of month, month, day of week; ``*``, numbers, ranges,
    steps after ``*`` or a range, lists, English names of three letters in any case, 0 and 7 for Sunday, and
    ``@hourly``, ``@daily``, ``@midnight``, ``@weekly``, ``@monthly``, ``@yearly``, ``@annually``. When neither
    day field begins with ``*``, a day that matches either is taken, else it has to match both (the note on
    the two day fields in crontab(5)).

    When clocks change, cron(8) tells jobs with a fixed hour from those that run all the time:

    - Fixed hour (the field doesn't begin with ``*``): a local time that is skipped ticks once, at the moment
      after the gap; one that comes twice ticks at its first occurrence only.
    - Hour field ``*`` or ``*/n``: each real minute ticks if its local time matches. So ``0 * * * *`` ticks every
      hour, twice at 01:00 if that comes twice.

    Vixie cron looks at a leading ``*`` in the minute field too; here ``*/5 2 * * *`` counts as fixed, so that a day
    without 02:00 has a run, at 03:00.

    Args:
        expression: the five fields, or a shorthand.
        timezone: a name of the IANA data base, such as ``Europe/Berlin``.

    Raises:
        ConfigurationError: the expression or the zone can't be used, or no date ever matches (31 February).
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        if not isinstance(expression, str):
            raise ConfigurationError(f"the cron expression is {expression!r}: write text, such as '0 9 * * mon-fri'")
        self.expression = expression.strip()
        self.timezone = timezone
        self._zone = _zone(timezone)
        fields = _SHORTHANDS.get(self.expression.lower(), self.expression).split()
        if len(fields) != 5:
            raise ConfigurationError(
                f"the cron expression {expression!r} can't be used: write five fields (minute, hour, day of month, "
                f"month, day of week), such as '0 9 * * mon-fri', or one of {', '.join(_SHORTHANDS)}"
            )
        minute, hour, day, month, weekday = (
            _values(field, text, expression) for field, text in zip(_FIELDS, fields, strict=True)
        )
        self._minutes, self._hours = sorted(minute), sorted(hour)
        self._days, self._months, self._weekdays = day, month, {value % 7 for value in weekday}
        self._every_hour = fields[1].startswith("*")
        self._either_day = not fields[2].startswith("*") and not fields[4].startswith("*")
        longest = max(calendar.monthrange(2024, number)[1] for number in month)
        if not self._either_day and min(day) > longest:
            raise ConfigurationError(
                f"the cron expression {expression!r} names no date that exists: its months have at most {longest} days"
            )

    def __str__(self) -> str:
        return f"{self.expression} ({self.timezone})"

    def next_after(self, at: datetime) -> datetime:
        """The first tick later than ``at``.

        Raises:
            OverflowError: there is none before the year 9999.
        """
        at = in_utc(at)
        # The day before: a time that its last hour skips may tick today.
        days = self._dates(at.astimezone(self._zone).date() - timedelta(days=1))
        for day in days:
            found = self._first_of_day(day, at)
            if found is None:
                continue
            # A zone that sets its clocks back at midnight repeats minutes of this day within the next one.
            other = self._first_of_day(next(days), at)
            return min(found, other) if other else found
        raise AssertionError  # _dates doesn't end, it overflows

    def last_until(self, at: datetime) -> datetime:
        """The last tick that isn't later than ``at``.

        Raises:
            OverflowError: there is none since the year 1.
        """
        at = in_utc(at)
        span = _MINUTE
        while self.next_after(at - span) > at:
            span *= 2
        early, late = at - span, at
        # A tick follows `early` until `at`, none follows `late`. Two ticks are a minute apart at least.
        while late - early > _MINUTE / 2:
            middle = early + (late - early) / 2
            if self.next_after(middle) <= at:
                early = middle
            else:
                late = middle
        return self.next_after(early)

    def _dates(self, first: date) -> Iterator[date]:
        """The matching dates from ``first`` on; months that don't match are skipped whole."""
        day = first
        while True:
            if day.month not in self._months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._matches(day):
                yield day
            day += timedelta(days=1)

    def _matches(self, day: date) -> bool:
        by_day, by_weekday = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return by_day or by_weekday if self._either_day else by_day and by_weekday

    def _first_of_day(self, day: date, at: datetime) -> datetime | None:
        """The first tick of a local day that is later than ``at``."""
        start = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        if _steady(start, start + timedelta(days=1)):
            base = start.astimezone(UTC)
            minute = self._first_minute((at - base) // _MINUTE)
            return None if minute is None else base + minute * _MINUTE
        hours = (self._first_of_hour(start.replace(hour=hour), at) for hour in self._hours)
        return min((tick for tick in hours if tick), default=None)

    def _first_of_hour(self, start: datetime, at: datetime) -> datetime | None:
        """The first tick of an hour that is later than ``at``, on a day on which the clocks change."""
        if _steady(start, start.replace(minute=59)):
            base = start.astimezone(UTC)
            return next((tick for minute in self._minutes if (tick := base + minute * _MINUTE) > at), None)
        times = (start.replace(minute=minute) for minute in self._minutes)
        return min((tick for time in times for tick in self._instants(time) if tick > at), default=None)

    def _first_minute(self, passed: int) -> int | None:
        """The first matching minute of an ordinary day that comes after minute ``passed``."""
        hour, minute = divmod(max(passed, -1), 60)
        index = bisect_left(self._hours, hour)
        if self._hours[index : index + 1] == [hour]:
            later = bisect_right(self._minutes, minute)
            if later < len(self._minutes):
                return hour * 60 + self._minutes[later]
            index += 1
        return self._hours[index] * 60 + self._minutes[0] if index < len(self._hours) else None

    def _instants(self, local: datetime) -> list[datetime]:
        """When a local time near a change of the clocks ticks."""
        first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
        exists = first.astimezone(self._zone).replace(tzinfo=None) == local.replace(tzinfo=None)
        if self._every_hour:
            return [first, second] if exists else []
        # In a gap fold 0 counts with the offset before it, fold 1 with the one after it: the change lies between.
        return [first] if exists else [self._change(second, first)]

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The instant at which the zone's offset changes."""
        old = before.astimezone(self._zone).utcoffset()
        while after - before > _MICROSECOND:
            middle = before + (after - before) / 2
            if middle.astimezone(self._zone).utcoffset() == old:
                before = middle
            else:
                after = middle
        return after


def _steady(first: datetime, last: datetime) -> bool:
    """Whether the clocks don't change between two local times."""
    return len({time.replace(fold=fold).utcoffset() for time in (first, last) for fold in (0, 1)}) == 1


@dataclass(frozen=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: dict[str, int]

    @cached_property
    def takes(self) -> str:
        return f"{self.name} takes {self.lowest} to {self.highest}" + (
            f" or {', '.join(self.names)}" if self.names else ""
        )


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)


def _values(field: _Field, text: str, expression: str) -> set[int]:
    """The numbers that a field's text stands for."""
    values: set[int] = set()
    for part in text.split(","):
        try:
            values |= set(_part(field, part))
        except ValueError as error:
            raise ConfigurationError(
                f"the cron expression {expression!r} can't be used: {part!r} in {text!r}: {error}"
            ) from None
    return values


def _part(field: _Field, text: str) -> range:
    span, slash, step_text = text.partition("/")
    low_text, dash, high_text = span.partition("-")
    if slash and not dash and span != "*":
        raise ValueError(f"a step follows * or a range, such as {span or '0'}-{field.highest}/{step_text}")
    if span == "*":
        low, high = field.lowest, 6 if field.highest == 7 else field.highest
    else:
        low = _number(field, low_text)
        high = _number(field, high_text) if dash else low
        if low > high == 0:  # as in fri-sun
            high = 7
    if low > high:
        raise ValueError(f"the range runs backwards, write {low_text}-{field.highest},{field.lowest}-{high_text}")
    step = int(step_text) if step_text.isascii() and step_text.isdigit() else 0
    if slash and not 0 < step <= field.highest:
        raise ValueError(f"the step is {step_text!r}, write a number from 1 to {field.highest}")
    return range(low, high + 1, step or 1)


def _number(field: _Field, text: str) -> int:
    value = field.names.get(text.lower())
    if value is None and text.isascii() and text.isdigit():
        value = int(text)
    if value is None or not field.lowest <= value <= field.highest:
        raise ValueError(field.takes)
    return value


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (AttributeError, OSError, TypeError, ValueError, LookupError):
        raise ConfigurationError(
            f"the time zone {name!r} isn't known: write a name such as Europe/Berlin; on a machine without "
            "time zone data, install tzdata"
        ) from None


def in_utc(at: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        ConfigurationError: ``at`` has no time zone.
    """
    if at.tzinfo is None:
        raise ConfigurationError(f"{at!r} has no time zone: give an aware datetime, such as datetime.now(UTC)")
    return at.astimezone(UTC)
