"""The end of an interval, rounded down to a whole day, hour, minute or second by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_AROUND = timedelta(hours=36)
"""Farther than any zone lies from UTC, or sets its clocks."""
_UNITS: tuple[tuple[timedelta, dict[str, Any]], ...] = (
    (_DAY, {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}),
    (_HOUR, {"minute": 0, "second": 0, "microsecond": 0}),
    (_MINUTE, {"second": 0, "microsecond": 0}),
)


def rounded_end(start: datetime, interval: timedelta) -> datetime:
    """When an interval that began at ``start`` is over, rounded down in the time zone of ``start``; in UTC.

    An interval of a day or more counts days of the calendar and is rounded to midnight: to the first one after
    ``start``, where there are two. A shorter one counts time that passes, and is rounded to its largest unit. A round
    time that the clocks skip is moved on by as much as they are; one that isn't later than ``start``, since they were
    set back, by one unit at a time.
    """
    zone = start.tzinfo
    assert zone is not None  # noqa: S101  # schedules make it aware
    begun = start.astimezone(UTC)
    over = (begun + interval).astimezone(zone)
    for unit, zeros in _UNITS:
        if interval < unit:
            continue
        if unit is _DAY:
            wall, offset = (start.replace(tzinfo=None) + interval).replace(**zeros), None
        else:
            wall, offset = over.replace(tzinfo=None, **zeros), over.utcoffset()
        later = [instant for instant in _instants(wall, zone) if instant > begun]
        same = [instant for instant in later if instant.astimezone(zone).utcoffset() == offset]
        while not later:
            wall += unit
            later = [instant for instant in _instants(wall, zone) if instant > begun]
        return (same or later)[0]
    return over.astimezone(UTC).replace(microsecond=0)


def _instants(wall: datetime, zone: tzinfo) -> list[datetime]:
    """When a clock on the wall shows a time, in order; the time it shows instead of one that it skips.

    Only conversions from UTC are asked for: zones differ in what they say of times that don't exist.
    """
    near = wall.replace(tzinfo=UTC)
    before, after = (_offset(near + shift, zone) for shift in (-_AROUND, _AROUND))
    shown = {near - offset for offset in (before, after)}
    real = sorted(instant for instant in shown if instant.astimezone(zone).replace(tzinfo=None, fold=0) == wall)
    return real or [near - before]


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()
