"""An entry of a Celery schedule as one of ``JOBS_SCHEDULE_JSON``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from svcjobs.cron import Cron
from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.beat.entry import BeatLazyFunc
from svcjobs_celery_compat.migrate.beat.source import Found
from svcjobs_celery_compat.schedules import crontab, schedule

NativeEntry = dict[str, Any]


def native_entry(found: Found, timezone: Any) -> NativeEntry | None:
    """The native entry; None when there can be none. What is lost is added to the problems of ``found``.

    Args:
        found: the entry.
        timezone: the app's, for crontabs that have none of their own.
    """
    entry = found.entry
    if entry is None:
        return None
    timing = _timing(entry.schedule, str(found.timezone or timezone), found.problems)
    payload = _payload(entry, found.problems)
    if timing is None or payload is None:
        return None
    for name, value in (entry.options or {}).items():
        found.problems.append(f"its option {name}={value!r} has no counterpart, and is left out")
    return {"name": found.name, **timing, "job_name": entry.task, "payload": payload}


def _timing(timing: Any, timezone: str, problems: list[str]) -> dict[str, Any] | None:
    if type(timing) is schedule:
        if timing.relative:
            problems.append("relative=True has no counterpart: intervals tick at multiples of themselves in UTC")
        return {"interval_seconds": _number(timing.run_every)}
    if type(timing) is not crontab:
        problems.append(f"a schedule of the kind {type(timing).__name__} has no counterpart: {timing}")
        return None
    fields = {
        "minute": (timing.minute, 0, 59),
        "hour": (timing.hour, 0, 23),
        "day": (timing.day_of_month, 1, 31),
        "month": (timing.month_of_year, 1, 12),
        "weekday": (timing.day_of_week, 0, 6),
    }
    texts = {name: _field(*values) for name, values in fields.items()}
    if not texts["day"].startswith("*") and not texts["weekday"].startswith("*"):
        problems.append(
            f"{timing} asks for a day of the month that is also a day of the week; as in crontab(5), either would do: "
            "schedule the day of the month, and let the handler look at the day of the week"
        )
        return None
    expression = " ".join(texts.values())
    try:
        Cron(expression, timezone)
    except ConfigurationError as error:
        problems.append(str(error))
        return None
    return {"cron": expression, "timezone": timezone}


def _field(values: set[int], lowest: int, highest: int) -> str:
    """The shortest text of a field: ``*``, ``*/15``, or numbers and ranges."""
    numbers = sorted(values)
    for step in range(1, (highest - lowest) // 2 + 1):
        if numbers == list(range(lowest, highest + 1, step)):
            return "*" if step == 1 else f"*/{step}"
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _payload(entry: Any, problems: list[str]) -> dict[str, Any] | None:
    args, kwargs = list(entry.args or ()), dict(entry.kwargs or {})
    if any(isinstance(value, BeatLazyFunc) for value in (*args, *kwargs.values())):
        problems.append("an argument is worked out each time (BeatLazyFunc): let the handler do it")
        return None
    payload = {"args": args, "kwargs": kwargs}
    try:
        read: dict[str, Any] = json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        problems.append(f"its arguments are no JSON: {error}")
        return None
    return read


def _number(interval: timedelta) -> float:
    seconds = interval.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds
