"""ISO 8601 instants, as Celery 5 parses them; ``datetime.fromisoformat`` does the same since Python 3.11."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from svcjobs_celery_compat.utils.deprecated import warn

__all__ = ("parse_iso8601",)

ISO8601_REGEX = re.compile(
    r"(?P<year>\d{4})"
    r"(-(?P<month>\d{1,2})(-(?P<day>\d{1,2})"
    r"(.(?P<hour>\d{2}):(?P<minute>\d{2})(:(?P<second>\d{2})(\.(?P<fraction>\d+))?)?"
    r"(?P<timezone>Z|[-+]\d{2}:?\d{2})?)?)?)?",
    re.ASCII,
)
TIMEZONE_REGEX = re.compile(r"(?P<prefix>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})", re.ASCII)


def parse_iso8601(datestring: str) -> datetime:
    """Return the instant that the text tells; without an offset it is naive.

    :raises ValueError: it isn't ISO 8601, or there is no such day or time.
    :raises TypeError: it has no month or day.
    """
    warn(
        "parse_iso8601",
        "5.3",
        "6",
        "Use datetime.datetime.fromisoformat.",
        stacklevel=3,
    )
    match = ISO8601_REGEX.match(datestring)
    if match is None:
        raise ValueError(f"unable to parse date string {datestring!r}")
    groups = match.groupdict()
    if groups["timezone"] == "Z":
        tz: timezone | None = UTC
    elif groups["timezone"]:
        tz = _offset(groups["timezone"])
    else:
        tz = None
    day = datetime(int(groups["year"]), int(groups["month"]), int(groups["day"]))
    return day.replace(
        hour=int(groups["hour"] or 0),
        minute=int(groups["minute"] or 0),
        second=int(groups["second"] or 0),
        microsecond=int((groups["fraction"] or "0").ljust(6, "0")[:6]),
        tzinfo=tz,
    )


def _offset(text: str) -> timezone:
    match = TIMEZONE_REGEX.match(text)
    assert match is not None, text  # noqa: S101 - the other expression found it
    offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    return timezone(-offset if match["prefix"] == "-" else offset)
