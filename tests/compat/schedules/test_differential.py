"""Our schedules answer as Celery's do: random expressions, moments, zones and changes of the clocks."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import celery
import celery.schedules
import pytest

from svcjobs_celery_compat import schedules

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana")
SEEDS = range(6)
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
    "America/Havana": ("2026-03-08T05:00", "2026-11-01T05:00"),
}
"""When clocks change, in UTC."""


@pytest.fixture
def app() -> Any:
    return celery.Celery("differential", set_as_current=False)


def pair(app: Any, kind: str, now: datetime, *args: Any, **kwargs: Any) -> list[Any]:
    """The same schedule, Celery's and ours."""
    return [
        getattr(module, kind)(*args, **kwargs, nowfun=lambda: now, app=app) for module in (celery.schedules, schedules)
    ]


def field(draw: random.Random, lowest: int, highest: int) -> Any:
    """A random field of a crontab expression."""
    low, high = sorted(draw.sample(range(lowest, highest + 1), 2))
    return draw.choice(
        ["*", "*", f"*/{draw.randint(1, 7)}", f"{low}-{high}", f"{low}-{high}/{draw.randint(1, 5)}", f"{high}-{low}",
         f"{low},{high}", str(low), high, [low, high]]
    )  # fmt: skip


def moment(draw: random.Random, zone: str) -> datetime:
    """A random instant, often near a change of the clocks."""
    if zone in CHANGES and draw.random() < 0.6:
        change = datetime.fromisoformat(draw.choice(CHANGES[zone])).replace(tzinfo=UTC)
        return change + timedelta(minutes=draw.randint(-36 * 60, 36 * 60), seconds=draw.randint(0, 59))
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.randint(0, 4 * 366 * 86400))


@pytest.mark.scenario(33)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zone", ZONES)
def test_crontabs_are_due_when_celery_says(app: Any, zone: str, seed: int) -> None:
    draw = random.Random(f"{zone} {seed}")
    app.conf.timezone = zone
    for _ in range(80):
        fields = [field(draw, *ends) for ends in ((0, 59), (0, 23), (0, 6), (1, 31), (1, 12))]
        last = moment(draw, zone).astimezone(ZoneInfo(draw.choice([zone, zone, "UTC", "Asia/Tokyo"])))
        now = last + timedelta(seconds=draw.choice([1, 60, 3600, 7200, 86400, 40 * 86400]) * draw.random())
        app.conf.beat_cron_starting_deadline = draw.choice([None, None, 600, 7200])
        try:
            theirs, ours = pair(app, "crontab", now, *fields)
        except ValueError:
            with pytest.raises(ValueError):  # the texts differ
                schedules.crontab(*fields, app=app)
            continue
        told = f"{theirs} in {zone}, last {last}, now {now}, deadline {app.conf.beat_cron_starting_deadline}"
        assert ours.remaining_estimate(last) == theirs.remaining_estimate(last), told
        assert tuple(ours.is_due(last)) == tuple(theirs.is_due(last)), told


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zone", ZONES)
def test_intervals_are_due_when_celery_says(app: Any, zone: str, seed: int) -> None:
    draw = random.Random(f"{zone} {seed}")
    app.conf.timezone = zone
    for _ in range(80):
        interval = timedelta(seconds=draw.choice([0.5, 10, 90, 3600, 5400, 7200, 86400, 2 * 86400]))
        last = moment(draw, zone).astimezone(ZoneInfo(zone))
        now = last + interval * draw.choice([0.1, 0.5, 1, 1.2, 2.5])
        relative = draw.random() < 0.5
        theirs, ours = pair(app, "schedule", now, interval, relative)
        told = f"{interval} in {zone}, last {last}, now {now}, relative {relative}"
        assert ours.remaining_estimate(last) == theirs.remaining_estimate(last), told
        assert tuple(ours.is_due(last)) == tuple(theirs.is_due(last)), told


@pytest.mark.parametrize("event", sorted(celery.schedules.solar._all_events))
def test_the_sun_is_where_celery_says(app: Any, event: str) -> None:
    draw = random.Random(event)
    for _ in range(5):
        last = moment(draw, "UTC")
        now = last + timedelta(hours=draw.random() * 30)
        theirs, ours = pair(app, "solar", now, event, draw.uniform(-70, 70), draw.uniform(-180, 180))
        assert abs(ours.remaining_estimate(last) - theirs.remaining_estimate(last)) < timedelta(milliseconds=1)
        assert ours.is_due(last).is_due == theirs.is_due(last).is_due


@pytest.mark.parametrize(
    "text",
    ["*", "*/15", "1-10", "55-5/3", "mon-fri", "fri-mon", "jan,MAR", "1, 2", "*/3,8-17", "sunday", "2-1", "*/100"],
)
def test_fields_stand_for_the_same_values(text: str) -> None:
    assert schedules.crontab_parser(60).parse(text) == celery.schedules.crontab_parser(60).parse(text)


@pytest.mark.parametrize(
    "text", ["", "1,,2", "*/", "-20", "61-0", "*/x", "*/0", "5/2", "a b", "1.5", "*-5", "5-", "fooday"]
)
def test_fields_that_cant_be_read_are_refused_in_the_same_way(text: str) -> None:
    refusals = []
    for module in (celery.schedules, schedules):
        with pytest.raises((ValueError, module.ParseException)) as refusal:
            module.crontab_parser(60).parse(text)
        refusals.append(refusal.type.__name__)
    assert refusals[0] == refusals[1]
