"""Time zones, instants, rates and intervals."""

from __future__ import annotations

import numbers
import random
import time as _time
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import timezone as datetime_timezone
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from kombu.utils.functional import reprcall
from kombu.utils.objects import cached_property
from tzlocal import get_localzone

from svcjobs_celery_compat.utils.functional import dictfilter
from svcjobs_celery_compat.utils.log import get_logger
from svcjobs_celery_compat.utils.text import pluralize

__all__ = (
    "LocalTimezone",
    "add_seconds_to_datetime",
    "adjust_timestamp",
    "delta_resolution",
    "ffwd",
    "get_exponential_backoff_interval",
    "humanize_seconds",
    "is_naive",
    "localize",
    "make_aware",
    "maybe_iso8601",
    "maybe_make_aware",
    "maybe_timedelta",
    "rate",
    "remaining",
    "subtract_datetimes",
    "timezone",
    "to_utc",
    "utcoffset",
    "weekday",
)

logger = get_logger(__name__)

DAYNAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WEEKDAYS = {name: number for number, name in enumerate(DAYNAMES)}

MONTHNAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
YEARMONTHS = {name: number for number, name in enumerate(MONTHNAMES, 1)}

#: What a number per second is of a rate in that unit.
RATE_UNITS: dict[str, Callable[[float], float]] = {
    "s": lambda count: count,
    "m": lambda count: count / 60.0,
    "h": lambda count: count / 60.0 / 60.0,
}

TIME_UNITS = (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0))

ZERO = timedelta(0)


class LocalTimezone(tzinfo):
    """The time zone of the C library, for systems whose zone has no name."""

    _offset_cache: dict[int, tzinfo] = {}  # noqa: RUF012 - one for the class: fixed offsets are values

    def __init__(self) -> None:
        self.STDOFFSET = timedelta(seconds=-_time.timezone)
        self.DSTOFFSET = timedelta(seconds=-_time.altzone) if _time.daylight else self.STDOFFSET
        self.DSTDIFF = self.DSTOFFSET - self.STDOFFSET
        super().__init__()

    def __repr__(self) -> str:
        return f"<LocalTimezone: UTC{int(self.DSTOFFSET.total_seconds() / 3600):+03d}>"

    def utcoffset(self, dt: datetime | None) -> timedelta:
        return self.DSTOFFSET if dt is not None and self._isdst(dt) else self.STDOFFSET

    def dst(self, dt: datetime | None) -> timedelta:
        return self.DSTDIFF if dt is not None and self._isdst(dt) else ZERO

    def tzname(self, dt: datetime | None) -> str:
        return _time.tzname[dt is not None and self._isdst(dt)]

    def fromutc(self, dt: datetime) -> datetime:
        # wall time may stand for two instants: the result has the offset that holds at this one
        minutes = int(self.utcoffset(dt).total_seconds() // 60)
        if minutes not in self._offset_cache:
            self._offset_cache[minutes] = datetime_timezone(timedelta(minutes=minutes))
        zone = self._offset_cache[minutes]
        return zone.fromutc(dt.replace(tzinfo=zone))

    def _isdst(self, dt: datetime) -> bool:
        wall = (dt.year, dt.month, dt.day, dt.hour, dt.minute, dt.second, dt.weekday(), 0, 0)
        return _time.localtime(_time.mktime(wall)).tm_isdst > 0


class _Zone:
    """The zones that the framework asks for: UTC, the local one, and others by name."""

    def tz_or_local(self, tzinfo: Any = None) -> Any:
        """Return the zone of that name, or the local one for None."""
        return self.local if tzinfo is None else self.get_timezone(tzinfo)

    def to_local(self, dt: datetime, local: Any = None, orig: Any = None) -> datetime:
        """Convert to the zone `local` (default: the system's); a naive instant is one of `orig` (default: UTC)."""
        if is_naive(dt):
            dt = make_aware(dt, orig or self.utc)
        return localize(dt, self.tz_or_local(local))

    def to_system(self, dt: datetime) -> datetime:
        """Convert to the system's zone; a naive instant is in it already."""
        return localize(dt, self.local)

    def to_local_fallback(self, dt: datetime) -> datetime:
        """Convert to the system's zone; a naive instant is in it already."""
        if is_naive(dt):
            return make_aware(dt, self.local)
        return localize(dt, self.local)

    def get_timezone(self, zone: str | tzinfo) -> tzinfo:
        """Return the zone of that name; a zone as it is."""
        return ZoneInfo(zone) if isinstance(zone, str) else zone

    @cached_property  # type: ignore[untyped-decorator]  # of kombu
    def local(self) -> tzinfo:
        """The system's zone."""
        try:
            return get_localzone()
        except Exception as exc:  # noqa: BLE001 - of the files that name it: there still is the C library's
            logger.warning("The system's time zone has no name, its offsets are used: %r", exc)
            return LocalTimezone()

    @cached_property  # type: ignore[untyped-decorator]  # of kombu
    def utc(self) -> tzinfo:
        """UTC."""
        return self.get_timezone("UTC")


timezone = _Zone()


def maybe_timedelta(delta: Any) -> Any:
    """Make a number of seconds a timedelta; others are returned as they are."""
    return timedelta(seconds=float(delta)) if isinstance(delta, numbers.Real) else delta


def delta_resolution(dt: datetime, delta: timedelta) -> datetime:
    """Cut `dt` off at the largest unit that `delta` has: at the day for days, at the hour for hours, at the minute."""
    seconds = max(delta.total_seconds(), 0)
    if seconds >= 86400:
        return dt.replace(hour=0, minute=0, second=0, microsecond=0)
    if seconds >= 3600:
        return dt.replace(minute=0, second=0, microsecond=0)
    if seconds >= 60:
        return dt.replace(second=0, microsecond=0)
    return dt


def remaining(
    start: datetime, ends_in: timedelta | ffwd, now: datetime | None = None, relative: bool = False
) -> timedelta:
    """Return how long it takes from `now` to the end of what began at `start`.

    A timedelta is a time that passes, a :class:`ffwd` leads to an instant on the wall clock. The result is a time that
    passes: changes between summer and winter are counted.

    :param now: default: this instant.
    :param relative: the end is cut off at the unit of `ends_in`, see :func:`delta_resolution`.
    """
    now = now or datetime.now(UTC)
    if isinstance(ends_in, timedelta):
        end = add_seconds_to_datetime(start, ends_in.total_seconds())
        if relative:
            end = delta_resolution(end, ends_in).replace(microsecond=0)
    else:
        end = start + ends_in
    return subtract_datetimes(end, now)


def rate(r: Any) -> float:
    """Return the number per second of a rate: ``"10/m"``, ``"0.5/s"``, ``"100/h"``, or a number per second; 0 for none.

    :raises ValueError: it isn't a number, or the unit isn't s, m or h.
    """
    if not r:
        return 0
    if not isinstance(r, str):
        return r  # type: ignore[no-any-return]  # a number
    count, _, unit = r.partition("/")
    try:
        return RATE_UNITS[unit or "s"](float(count))
    except (KeyError, ValueError):
        raise ValueError(f"rate {r!r} isn't a number followed by /s, /m or /h, such as '10/m'") from None


def weekday(name: str) -> int:
    """Return the number of a day of the week; Sunday is 0.

    :raises KeyError: there is no such day.
    """
    try:
        return WEEKDAYS[name[:3].lower()]
    except KeyError:
        # the caller's message shows the name as it was written
        raise KeyError(name) from None


def yearmonth(name: str) -> int:
    """Return the number of a month; January is 1.

    :raises KeyError: there is no such month.
    """
    try:
        return YEARMONTHS[name[:3].lower()]
    except KeyError:
        raise KeyError(name) from None


def humanize_seconds(secs: float, prefix: str = "", sep: str = "", now: str = "now", microseconds: bool = False) -> str:
    """Tell a time in its largest unit: ``1.50 minutes``.

    :param prefix: put before it.
    :param sep: put between both.
    :param now: told for less than a second, unless `microseconds` is true.
    """
    secs = float(f"{float(secs):.2f}")
    for unit, divider in TIME_UNITS:
        if secs >= divider:
            count = secs / divider
            return f"{prefix}{sep}{count:.2f} {pluralize(count, unit)}"
    if microseconds and secs > 0.0:
        return f"{prefix}{sep}{secs:.2f} seconds"
    return now


def maybe_iso8601(dt: datetime | str | None) -> datetime | None:
    """Return the instant that an ISO 8601 text tells; an instant as it is, None for nothing."""
    if not dt:
        return None
    return dt if isinstance(dt, datetime) else datetime.fromisoformat(dt)


def is_naive(dt: datetime) -> bool:
    """Return whether `dt` has no offset from UTC."""
    return dt.tzinfo is None or dt.tzinfo.utcoffset(dt) is None


def add_seconds_to_datetime(dt: datetime, seconds: float) -> datetime:
    """Return the instant when so many seconds have passed; Python's ``+`` moves the hands of the clock instead."""
    if is_naive(dt):
        return dt + timedelta(seconds=seconds)
    moved = dt.astimezone(UTC) + timedelta(seconds=seconds)
    return moved.astimezone(dt.tzinfo)


def subtract_datetimes(end: datetime, start: datetime) -> timedelta:
    """Return the time that passes from `start` to `end`; Python's ``-`` takes the hands of the clock in one zone.

    If one of them is naive, it is of the system's zone.
    """
    if is_naive(end) and is_naive(start):
        return end - start
    return end.astimezone(UTC) - start.astimezone(UTC)


def _is_imaginary(dt: datetime, tz: tzinfo) -> bool:
    """Return whether the clocks of the zone pass `dt` over, when they are put forward."""
    try:
        there_and_back = dt.astimezone(UTC).astimezone(tz)
    except (NotImplementedError, ValueError, OverflowError):  # a zone without offsets, or the end of time
        return False
    return there_and_back.replace(tzinfo=None) != dt.replace(tzinfo=None)


def make_aware(dt: datetime, tz: tzinfo) -> datetime:
    """Put `dt` into a zone, without moving its hands; a time that the clocks pass over is moved on."""
    dt = dt.replace(tzinfo=tz)
    if _is_imaginary(dt, tz):
        return dt.astimezone(UTC).astimezone(tz)
    return dt


def localize(dt: datetime, tz: tzinfo) -> datetime:
    """Convert an instant to another zone."""
    return dt.astimezone(tz)


def to_utc(dt: datetime) -> datetime:
    """Make a naive instant one of UTC."""
    return make_aware(dt, timezone.utc)


def maybe_make_aware(dt: datetime, tz: Any = None, naive_as_utc: bool = True) -> datetime:
    """Convert a naive instant, of UTC or of the system's zone, to the zone `tz` (default: UTC); others as they are."""
    if not is_naive(dt):
        return dt
    if naive_as_utc:
        dt = to_utc(dt)
    return localize(dt, timezone.utc if tz is None else timezone.tz_or_local(tz))


class ffwd:
    """Added to an instant, it sets the given fields, and then goes on by weeks and to a day of the week.

    Like dateutil's ``relativedelta`` with absolute fields. A day beyond the end of the month is its last day.
    """

    def __init__(
        self,
        year: int | None = None,
        month: int | None = None,
        weeks: int = 0,
        weekday: int | None = None,
        day: int | None = None,
        hour: int | None = None,
        minute: int | None = None,
        second: int | None = None,
        microsecond: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.year, self.month, self.day = year, month, day
        self.hour, self.minute, self.second, self.microsecond = hour, minute, second, microsecond
        self.weeks = weeks
        self.weekday = weekday
        self.days = weeks * 7

    def _fields(self, **extra: Any) -> dict[str, Any]:
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return dict(dictfilter({**{name: getattr(self, name) for name in names}, **extra}))

    def __repr__(self) -> str:
        return str(reprcall("ffwd", (), self._fields(weeks=self.weeks, weekday=self.weekday)))

    def __radd__(self, other: Any) -> Any:
        if not isinstance(other, date):
            return NotImplemented
        fields = self._fields()
        if not isinstance(other, datetime) and fields.keys() & {"hour", "minute", "second", "microsecond"}:
            other = datetime.fromordinal(other.toordinal())
        year, month = self.year or other.year, self.month or other.month
        fields["day"] = min(monthrange(year, month)[1], self.day or other.day)
        moved = other.replace(**fields) + timedelta(days=self.days)
        if self.weekday is not None:
            moved += timedelta(days=(self.weekday - moved.weekday()) % 7)
        return moved


def utcoffset(time: ModuleType = _time, localtime: Callable[..., _time.struct_time] = _time.localtime) -> float:
    """Return how many hours the local time is behind UTC now; a negative number east of Greenwich."""
    seconds: float = time.altzone if localtime().tm_isdst else time.timezone
    return seconds / 3600


def adjust_timestamp(ts: float, offset: float, here: Callable[..., float] = utcoffset) -> float:
    """Convert the timestamp of a node whose :func:`utcoffset` is `offset` to one of this node."""
    return ts - (offset - here()) * 3600


def get_exponential_backoff_interval(factor: int, retries: int, maximum: int, full_jitter: bool = False) -> int:
    """Return the seconds before the next retry: ``factor * 2 ** retries``, at most `maximum`.

    :param full_jitter: return a random number from 0 to that instead, so that many don't come back at once.
    """
    countdown: int = min(maximum, factor * 2**retries)
    if full_jitter:
        countdown = random.randrange(countdown + 1)
    return max(0, countdown)
