"""Cron expressions and intervals, against crontab(5), and against a scan of every minute."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svcjobs.cron import Cron, Every, Schedule
from svcjobs.errors import ConfigurationError

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(schedule: Schedule, start: str, count: int) -> list[str]:
    """The first ticks after ``start``, such as ``03-10 07:00`` (UTC)."""
    return [f"{tick:%m-%d %H:%M}" for tick in islice(walk(schedule, at(start)), count)]


def walk(schedule: Schedule, start: datetime) -> Iterator[datetime]:
    while True:
        start = schedule.next_after(start)
        yield start


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["01-01 00:01", "01-01 00:02"]),
        ("*/20 * * * *", ["01-01 00:20", "01-01 00:40", "01-01 01:00"]),
        ("10-20/5 3 * * *", ["01-01 03:10", "01-01 03:15", "01-01 03:20", "01-02 03:10"]),
        ("5,35 1,13 * * *", ["01-01 01:05", "01-01 01:35", "01-01 13:05"]),
        ("0 9 * * mon-fri", ["01-01 09:00", "01-02 09:00", "01-03 09:00", "01-04 09:00", "01-05 09:00", "01-08 09:00"]),
        ("0 9 * * MON,Wed", ["01-01 09:00", "01-03 09:00"]),
        ("0 0 * * 0", ["01-07 00:00"]),
        ("0 0 * * 7", ["01-07 00:00"]),
        ("0 0 * * sat-sun", ["01-06 00:00", "01-07 00:00", "01-13 00:00"]),
        ("0 0 * * sun-mon", ["01-07 00:00", "01-08 00:00"]),
        ("0 0 * * 5-7", ["01-05 00:00", "01-06 00:00", "01-07 00:00", "01-12 00:00"]),
        ("0 0 1 feb-mar *", ["02-01 00:00", "03-01 00:00", "02-01 00:00"]),
        ("0 0 31 * *", ["01-31 00:00", "03-31 00:00", "05-31 00:00"]),
        ("@hourly", ["01-01 01:00"]),
        ("@Daily", ["01-02 00:00"]),
        ("@midnight", ["01-02 00:00"]),
        ("@weekly", ["01-07 00:00"]),
        ("@monthly", ["02-01 00:00"]),
        ("@yearly", ["01-01 00:00"]),
        ("@annually", ["01-01 00:00"]),
    ],
)
def test_expressions_tick_when_crontab_5_says(expression: str, expected: list[str]) -> None:
    # 2024-01-01 is a Monday
    assert ticks(Cron(expression), "2024-01-01 00:00", len(expected)) == expected


def test_two_restricted_day_fields_match_either_day() -> None:
    assert ticks(Cron("30 4 1,15 * 5"), "2024-01-01 12:00", 4) == [
        "01-05 04:30", "01-12 04:30", "01-15 04:30", "01-19 04:30",
    ]  # fmt: skip


def test_a_day_field_that_begins_with_a_star_narrows_the_other() -> None:
    assert ticks(Cron("0 0 */2 * mon"), "2024-01-01 12:00", 2) == ["01-15 00:00", "01-29 00:00"]
    assert ticks(Cron("0 0 13 * */5"), "2024-01-01 12:00", 2) == ["09-13 00:00", "10-13 00:00"]


def test_a_leap_day_is_found_across_a_century_without_one() -> None:
    assert Cron("0 0 29 2 *").next_after(at("2096-02-29 00:00")) == at("2104-02-29 00:00")


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 9 * *", "five fields"),
        ("0 0 9 * * *", "five fields"),
        ("", "five fields"),
        ("@reboot", "five fields"),
        ("60 * * * *", "minute takes 0 to 59"),
        ("* 24 * * *", "hour takes 0 to 23"),
        ("* * 0 * *", "day of month takes 1 to 31"),
        ("* * * 13 *", "month takes 1 to 12 or jan"),
        ("* * * * 8", "day of week takes 0 to 7 or sun"),
        ("* * * * monday", "day of week takes"),
        ("* * L * *", "day of month takes"),
        ("5/10 * * * *", "5-59/10"),
        ("*/0 * * * *", "the step is '0'"),
        ("*/90 * * * *", "the step is '90'"),
        ("*/ * * * *", "the step is ''"),
        ("30-10 * * * *", "runs backwards"),
        ("1,,2 * * * *", "minute takes"),
        ("-5 * * * *", "minute takes"),
        ("٣ * * * *", "minute takes"),
        ("0 0 31 2 *", "no date that exists"),
        ("0 0 30 feb *", "no date that exists"),
        ("0 0 31 4,6,9,11 *", "no date that exists"),
    ],
)
def test_an_expression_that_cant_be_used_is_refused_with_what_to_write(expression: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Cron(expression)


def test_an_impossible_day_of_month_is_fine_when_a_weekday_matches_too() -> None:
    assert ticks(Cron("0 0 31 2 mon"), "2024-01-31 00:00", 2) == ["02-05 00:00", "02-12 00:00"]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        Cron("0 0 * * *", timezone=name)


def test_a_naive_datetime_is_refused() -> None:
    for schedule in (Cron("* * * * *"), Every(5)):
        with pytest.raises(ConfigurationError, match="no time zone"):
            schedule.next_after(datetime(2024, 1, 1))
    with pytest.raises(ConfigurationError, match="no time zone"):
        Every(5, start=datetime(2024, 1, 1))


@pytest.mark.scenario(33)
class TestDaylightSavingTime:
    """New York 2024: 02:00 EST becomes 03:00 EDT on 10 March (07:00 UTC); 02:00 EDT becomes 01:00 EST on 3 November."""

    zone = "America/New_York"

    def test_a_fixed_time_that_is_skipped_ticks_once_after_the_gap(self) -> None:
        assert ticks(Cron("30 2 * * *", self.zone), "2024-03-09 00:00", 3) == [
            "03-09 07:30", "03-10 07:00", "03-11 06:30",
        ]  # fmt: skip

    def test_several_skipped_times_tick_once(self) -> None:
        cron = Cron("*/5 2 * * *", self.zone)
        assert ticks(cron, "2024-03-10 00:00", 2) == ["03-10 07:00", "03-11 06:00"]

    def test_a_skipped_time_and_the_one_after_the_gap_are_one_tick(self) -> None:
        assert ticks(Cron("0 1-4 * * *", self.zone), "2024-03-10 00:00", 4) == [
            "03-10 06:00", "03-10 07:00", "03-10 08:00", "03-11 05:00",
        ]  # fmt: skip

    def test_a_fixed_time_that_comes_twice_ticks_at_the_first(self) -> None:
        assert ticks(Cron("30 1 * * *", self.zone), "2024-11-02 12:00", 3) == [
            "11-03 05:30", "11-04 06:30", "11-05 06:30",
        ]  # fmt: skip

    def test_an_hourly_schedule_ticks_each_real_hour_on_both_days(self) -> None:
        cron = Cron("15 * * * *", self.zone)
        for day in ("2024-03-10", "2024-11-03"):
            start = at(f"{day} 00:00")
            assert list(islice(walk(cron, start), 24)) == [start + timedelta(hours=n, minutes=15) for n in range(24)]

    def test_an_hour_with_a_step_skips_the_gap_and_repeats_the_overlap(self) -> None:
        assert ticks(Cron("30 */2 * * *", self.zone), "2024-03-10 05:00", 2) == ["03-10 05:30", "03-10 08:30"]
        assert ticks(Cron("0 */1 * * *", self.zone), "2024-11-03 04:30", 3) == [
            "11-03 05:00", "11-03 06:00", "11-03 07:00",
        ]  # fmt: skip

    def test_a_gap_of_half_an_hour(self) -> None:
        # Lord Howe Island, 2024-10-06: 02:00+10:30 becomes 02:30+11:00, at 15:30 UTC the day before
        assert ticks(Cron("15 2 * * *", "Australia/Lord_Howe"), "2024-10-05 12:00", 2) == ["10-05 15:30", "10-06 15:15"]

    def test_a_day_that_doesnt_exist(self) -> None:
        # Samoa went from 29 to 31 December 2011, at 10:00 UTC on the 30th
        cron = Cron("0 12 30 12 *", "Pacific/Apia")
        assert cron.next_after(at("2011-12-01 00:00")) == at("2011-12-30 10:00")

    def test_a_midnight_that_doesnt_exist(self) -> None:
        # Beirut skips 00:00 to 01:00 on 2024-03-31, at 22:00 UTC the day before
        assert ticks(Cron("0 0 * * *", "Asia/Beirut"), "2024-03-30 00:00", 2) == ["03-30 22:00", "03-31 21:00"]

    def test_clocks_that_go_back_over_midnight(self) -> None:
        # St. John's, 2010-11-07: 00:01 became 23:01 of the 6th, at 02:31 UTC
        hourly = Cron("0 * * * *", "America/St_Johns")
        assert ticks(hourly, "2010-11-07 01:00", 4) == ["11-07 01:30", "11-07 02:30", "11-07 03:30", "11-07 04:30"]
        assert ticks(Cron("30 23 * * *", "America/St_Johns"), "2010-11-06 12:00", 2) == ["11-07 02:00", "11-08 03:00"]
        minutely = Cron("* * * * *", "America/St_Johns")
        start = at("2010-11-07 02:00")
        assert list(islice(walk(minutely, start), 120)) == [start + n * MINUTE for n in range(1, 121)]


ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns",
         "Pacific/Apia", "America/Havana"]  # fmt: skip
EDGES = [at("2024-03-10 06:00"), at("2024-11-03 05:00"), at("2024-03-31 00:00"), at("2024-10-27 00:00"),
         at("2010-11-07 01:00"), at("2011-12-30 09:00"), at("2024-10-05 14:00"), at("2024-02-29 00:00")]  # fmt: skip


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, high)
    part = st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step.map(lambda n: f"*/{n}"),
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.one_of(part, st.lists(part, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(field(0, 59), field(0, 23), field(1, 28), st.just("*"), field(0, 7)).map(" ".join)
INSTANTS = st.builds(
    lambda edge, seconds: edge + timedelta(seconds=seconds), st.sampled_from(EDGES), st.integers(-7200, 7200)
)


def numbers(text: str, low: int, high: int) -> set[int]:
    """A field's numbers, in the slow and plain way."""
    found = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def scan(expression: str, zone: str, start: datetime, minutes: int) -> list[datetime]:
    """The ticks of the next minutes, found by looking at each minute of real time and each skipped local one."""
    minute, hour, day, _, weekday = expression.split()
    sets = numbers(minute, 0, 59), numbers(hour, 0, 23), numbers(day, 1, 31), {n % 7 for n in numbers(weekday, 0, 7)}
    either = not day.startswith("*") and not weekday.startswith("*")
    info = ZoneInfo(zone)

    def matches(local: datetime) -> bool:
        by_day, by_weekday = local.day in sets[2], (calendar.weekday(*local.timetuple()[:3]) + 1) % 7 in sets[3]
        days = by_day or by_weekday if either else by_day and by_weekday
        return local.minute in sets[0] and local.hour in sets[1] and days

    found = []
    now = start.replace(second=0, microsecond=0)
    for _ in range(minutes):
        before, now = now.astimezone(info), now + MINUTE
        local = now.astimezone(info)
        if hour.startswith("*"):
            due = matches(local)
        else:
            naive, skipped = local.replace(tzinfo=None), before.replace(tzinfo=None) + MINUTE
            due = matches(local) and local.fold == 0
            while skipped < naive:
                due = due or matches(skipped)
                skipped += MINUTE
        if due:
            found.append(now)
    return found


@settings(max_examples=80, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), INSTANTS)
def test_ticks_are_those_that_a_scan_of_every_minute_finds(expression: str, zone: str, start: datetime) -> None:
    cron = Cron(expression, zone)
    expected = scan(expression, zone, start, 300)
    assert list(islice(walk(cron, start), len(expected) + 1))[:-1] == expected
    assert cron.next_after(expected[-1] if expected else start) > start + 299 * MINUTE


@settings(max_examples=80, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), INSTANTS)
def test_the_last_tick_is_followed_by_none_until_then(expression: str, zone: str, now: datetime) -> None:
    cron = Cron(expression, zone)
    last = cron.last_until(now)
    assert last <= now < cron.next_after(last)
    assert cron.next_after(last - MINUTE / 60) == last


def test_the_last_tick_includes_this_very_moment() -> None:
    assert Cron("0 9 * * *").last_until(at("2024-05-05 09:00")) == at("2024-05-05 09:00")
    assert Every(60).last_until(at("2024-05-05 09:00")) == at("2024-05-05 09:00")


def test_finding_a_tick_doesnt_look_at_every_minute_on_the_way() -> None:
    cron = Cron("0 0 29 2 */7", "Europe/Berlin")  # a Sunday: 2032, 2060, 2088, then 2128
    begun = time.process_time()
    assert [tick.year for tick in islice(walk(cron, at("2024-03-01 00:00")), 4)] == [2032, 2060, 2088, 2128]
    # 54 million minutes lie in between
    assert time.process_time() - begun < 1


@settings(max_examples=200, deadline=None)
@given(st.floats(0.001, 1e6), st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_interval_ticks_are_multiples_of_the_interval(seconds: float, now: datetime) -> None:
    every, interval = Every(seconds), timedelta(microseconds=round(seconds * 1e6))
    tick = every.next_after(now)
    assert now < tick <= now + interval
    assert (tick - datetime(1970, 1, 1, tzinfo=UTC)) % interval == timedelta()
    assert every.next_after(tick) - tick == interval
    assert every.last_until(tick) == tick
    assert every.last_until(tick - timedelta(microseconds=1)) == tick - interval


def test_an_interval_counts_from_its_start() -> None:
    assert ticks(Every(3600, start=at("2024-01-01 00:20")), "2024-05-05 09:00", 2) == ["05-05 09:20", "05-05 10:20"]


@pytest.mark.parametrize("seconds", [0, -1, 0.0001, float("nan"), float("inf"), True, "60"])
def test_an_interval_that_cant_be_used_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="interval"):
        Every(seconds)


def test_schedules_read_as_they_were_written() -> None:
    assert str(Cron("0 9 * * mon-fri", "America/New_York")) == "0 9 * * mon-fri (America/New_York)"
    assert str(Every(300)) == "every 300 s"
    assert str(Every(0.5)) == "every 0.5 s"
