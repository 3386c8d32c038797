"""The instants at which schedules tick, as several schedulers have to agree on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.beat.entry import ScheduleEntry
from svcjobs_celery_compat.beat.ticks import due_at, latest_tick
from svcjobs_celery_compat.schedules import BaseSchedule, crontab, schedule

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def app() -> Any:
    app = Celery("ticks", set_as_current=False, broker="memory://")
    app.conf.timezone = "Europe/Berlin"
    return app


def all_ticks(timing: Any, begin: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """What a scheduler sends that looks every ``step``; what it has sent is all that it keeps."""
    last, now, found = begin, begin, []
    while now < end:
        now += step
        timing.nowfun = lambda now=now: now
        if due_at(timing, last) <= now:
            last = latest_tick(timing, last, now)
            found.append(last)
    return found


@pytest.mark.scenario(33)
@pytest.mark.parametrize("step", [timedelta(minutes=4), timedelta(minutes=17)], ids=str)
def test_a_daily_run_comes_once_a_day_over_both_changes_of_the_clocks(app: Any, step: timedelta) -> None:
    for month, day in ((3, 29), (10, 25)):
        begin = datetime(2026, month, day - 2, 12, tzinfo=BERLIN).astimezone(UTC)
        daily = crontab(hour=9, minute=30, app=app)
        found = all_ticks(daily, begin, begin + timedelta(days=4), step)
        assert [at.astimezone(BERLIN).strftime("%d %H:%M") for at in found] == [
            f"{day + offset:02} 09:30" for offset in (-1, 0, 1, 2)
        ]


@pytest.mark.scenario(33)
def test_an_interval_counts_time_that_passes_over_both_changes_of_the_clocks(app: Any) -> None:
    for month, day in ((3, 29), (10, 25)):
        begin = datetime(2026, month, day, 0, 0, tzinfo=BERLIN).astimezone(UTC)
        found = all_ticks(schedule(600, app=app), begin, begin + timedelta(hours=6), timedelta(seconds=45))
        assert found == [begin + n * timedelta(minutes=10) for n in range(1, 37)]


@pytest.mark.scenario(33)
@pytest.mark.parametrize("away", [timedelta(minutes=5), timedelta(days=3), timedelta(days=400)], ids=str)
def test_schedulers_that_look_at_different_moments_find_the_same_tick(app: Any, away: timedelta) -> None:
    last = datetime(2026, 3, 1, 3, 2, 1, 500, tzinfo=UTC)
    for timing, same in (
        (crontab(minute="*/5", app=app), timedelta(seconds=30)),
        (crontab(hour=7, minute=0, day_of_month=1, app=app), timedelta(hours=3)),
        (schedule(90, app=app), timedelta(seconds=20)),
        (schedule(timedelta(hours=2), relative=True, app=app), timedelta(minutes=20)),
    ):
        now = last + away
        timing.nowfun = lambda now=now: now
        if due_at(timing, last) > now:
            continue
        tick = latest_tick(timing, last, now)
        timing.nowfun = lambda tick=tick, same=same: tick + same
        assert latest_tick(timing, last, tick + same) == tick <= now < due_at(timing, tick)


def test_a_schedule_that_only_knows_whether_it_is_due_says_so() -> None:
    with pytest.raises(NotImplementedError):
        latest_tick(BaseSchedule(nowfun=lambda: datetime.now(UTC)), datetime.now(UTC), datetime.now(UTC))


def test_an_entry_never_tells_one_moment_twice(app: Any) -> None:
    """As celery-redbeat's own tests have it, which ask it twice in a row."""
    entry = ScheduleEntry("e", "proj.task", schedule=schedule(60, app=app), app=app)
    moments = [entry._default_now() for _ in range(200)]
    assert len(set(moments)) == len(moments)
