"""Schedules in JSON: what is added, and what is reported."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from svcjobs.loader import _resolve_target, schedule_from_entries, schedule_from_env, schedule_from_text
from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduler import InMemoryScheduler

Load = Callable[..., list[str]]


@pytest.fixture
def scheduler() -> InMemoryScheduler:
    return InMemoryScheduler(now_provider=lambda: datetime(2024, 1, 1, 12, 0, 10, tzinfo=UTC))


@pytest.fixture
def load(scheduler: InMemoryScheduler, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Put entries (or text) in the variable and load it; returns the problems."""

    def load(entries: Any, **options: Any) -> list[str]:
        text = entries if isinstance(entries, str) else json.dumps(entries)
        monkeypatch.setenv("JOBS_SCHEDULE_JSON", text)
        return [str(problem) for problem in schedule_from_env(scheduler, **options)]

    return load


def names(scheduler: InMemoryScheduler) -> list[str]:
    return [task.name for task in scheduler.tasks]


def test_the_documented_entries_are_added(scheduler: InMemoryScheduler, load: Load) -> None:
    problems = load(
        [
            {"name": "cleanup", "interval_seconds": 300, "target": "json:loads"},
            {"name": "health_check", "interval_seconds": 60, "target": "asyncio:sleep"},
        ]
    )
    assert problems == []
    assert [(task.name, str(task.schedule)) for task in scheduler.tasks] == [
        ("cleanup", "every 300 s"),
        ("health_check", "every 60 s"),
    ]


def test_the_interval_is_a_minute_when_nothing_is_said(scheduler: InMemoryScheduler, load: Load) -> None:
    assert load([{"name": "a", "target": "json:loads"}]) == []
    assert scheduler._tasks["a"].next_run_at == datetime(2024, 1, 1, 12, 1, tzinfo=UTC)


def test_cron_with_a_time_zone_and_a_misfire_policy(scheduler: InMemoryScheduler, load: Load) -> None:
    entry = {"name": "a", "cron": "0 9 * * *", "timezone": "America/New_York", "target": "json:loads", "misfire": "all"}
    assert load([entry]) == []
    assert scheduler._tasks["a"].next_run_at == datetime(2024, 1, 1, 14, 0, tzinfo=UTC)
    assert scheduler._tasks["a"].misfire == "all"


async def test_an_entry_with_a_job_enqueues_it(scheduler: InMemoryScheduler, load: Load) -> None:
    queue = InMemoryJobQueue()
    entry = {"name": "a", "interval_seconds": 0, "job_name": "send", "payload": {"to": [1]}}
    assert load([entry, {"name": "b", "target": "json:loads"}], queue=queue) == []
    await scheduler.tick()
    job = queue.reserve_next()
    assert job is not None
    assert (job.name, job.payload) == ("send", {"to": [1]})


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_a_blank_variable_is_no_schedule(scheduler: InMemoryScheduler, load: Load, text: str) -> None:
    assert load(text) == []
    assert names(scheduler) == []


def test_an_unset_variable_is_no_schedule(scheduler: InMemoryScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBS_SCHEDULE_JSON", raising=False)
    assert schedule_from_env(scheduler) == []


def test_another_variable_can_be_named(scheduler: InMemoryScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", '[{"name": "a", "target": "json:loads"}, 5]')
    (problem,) = schedule_from_env(scheduler, env_var="OTHER")
    assert str(problem).startswith("OTHER entry 1: ")
    assert names(scheduler) == ["a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "JOBS_SCHEDULE_JSON: this isn't JSON"),
        ("[" * 100_000, "JOBS_SCHEDULE_JSON: this isn't JSON"),
        ('{"name": "a", "target": "json:loads"}', "JOBS_SCHEDULE_JSON: this is a JSON dict: write an array"),
        ("null", "this is a JSON NoneType"),
    ],
)
def test_text_that_is_no_array_is_reported_and_nothing_added(
    scheduler: InMemoryScheduler, load: Load, caplog: pytest.LogCaptureFixture, text: str, says: str
) -> None:
    (problem,) = load(text)
    assert says in problem
    assert names(scheduler) == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"target": "json:loads"}, "entry 1: name: field required"),
        ({"name": "", "target": "json:loads"}, "entry 1: the name is ''"),
        ({"name": "first", "target": "json:loads"}, "entry 1 (first): the name is 'first'"),
        ({"name": "x"}, "entry 1 (x): give exactly one of func, target, or job_name"),
        ({"name": "x", "target": "json:loads", "job_name": "j"}, "exactly one of func, target, or job_name"),
        ({"name": "x", "target": "nowhere_at_all:f"}, "entry 1 (x): 'nowhere_at_all:f' can't be used"),
        ({"name": "x", "target": "json:nothing"}, "json has no attribute 'nothing'"),
        ({"name": "x", "target": "json:__name__"}, "can't be called"),
        ({"name": "x", "target": "json"}, "write module:function"),
        ({"name": "x", "target": "json:loads", "interval_seconds": 5, "cron": "@daily"}, "exactly one of interval_"),
        ({"name": "x", "target": "json:loads", "interval_seconds": -1}, "interval is -1"),
        ({"name": "x", "target": "json:loads", "interval_seconds": "soon"}, "interval_seconds: input should be"),
        ({"name": "x", "target": "json:loads", "cron": "0 25 * * *"}, "hour takes 0 to 23"),
        ({"name": "x", "target": "json:loads", "cron": "0 0 31 2 *"}, "no date that exists"),
        ({"name": "x", "target": "json:loads", "cron": "@daily", "timezone": "Mars"}, "time zone 'Mars'"),
        ({"name": "x", "target": "json:loads", "timezone": "UTC"}, "timezone goes with cron"),
        ({"name": "x", "target": "json:loads", "misfire": "maybe"}, "misfire: input should be 'skip', 'once' or 'all'"),
        ({"name": "x", "target": "json:loads", "intervall_seconds": 5}, "intervall_seconds: extra inputs"),
        ({"name": "x", "target": "json:loads", "payload": {}}, "payload and job_queue go with job_name"),
        ({"name": "x", "job_name": "j"}, "has no queue"),
        ({"name": "x", "job_name": ""}, "the job's name is ''"),
        ({"name": 5, "target": "json:loads"}, "entry 1: name: input should be a valid string"),
        ("text", "entry 1: the entry: input should be a valid dictionary"),
        (None, "entry 1: the entry: "),
    ],
)  # fmt: skip
def test_a_bad_entry_is_reported_with_index_and_reason_and_the_others_load(
    scheduler: InMemoryScheduler, load: Load, caplog: pytest.LogCaptureFixture, entry: object, says: str
) -> None:
    problems = load([{"name": "first", "target": "json:loads"}, entry, {"name": "last", "target": "json:dumps"}])
    assert len(problems) == 1
    assert says in problems[0]
    assert names(scheduler) == ["first", "last"]
    assert [(record.levelno, problems[0] in record.message) for record in caplog.records] == [(logging.ERROR, True)]


def test_a_report_doesnt_repeat_what_a_payload_holds(load: Load) -> None:
    (problem,) = load([{"name": "x", "job_name": "j", "payload": "the password"}])
    assert "payload: input should be a valid dictionary" in problem
    assert "password" not in problem


def test_entries_and_text_load_without_an_environment(scheduler: InMemoryScheduler) -> None:
    assert schedule_from_entries(scheduler, [{"name": "a", "target": "json:loads"}]) == []
    assert schedule_from_text(scheduler, '[{"name": "b", "target": "json:loads"}]') == []
    assert names(scheduler) == ["a", "b"]


async def test_a_plain_function_becomes_an_async_one_that_runs_in_a_thread() -> None:
    ident = _resolve_target("threading:get_ident")
    assert inspect.iscoroutinefunction(ident)
    assert await ident() != threading.get_ident()
    assert await _resolve_target("os.path:join")("a", "b") == "a/b"


def test_an_async_function_stays_as_it_is() -> None:
    assert _resolve_target("asyncio:sleep") is asyncio.sleep
    with pytest.raises(ModuleNotFoundError):
        _resolve_target("nowhere_at_all:f")
    with pytest.raises(AttributeError):
        _resolve_target("json:nothing")


def test_a_target_that_ends_the_program_or_raises_when_looked_up_stops_no_other_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "exiting_target.py").write_text("raise SystemExit(3)")
    (tmp_path / "lazy_target.py").write_text("def __getattr__(name):\n    raise RuntimeError('not installed')")
    entries = [
        {"name": "a", "target": "exiting_target:x"}, {"name": "b", "target": "lazy_target:x"},
        {"name": "c", "interval_seconds": True, "job_name": "n"}, {"name": "d", "target": "os:getpid"},
    ]  # fmt: skip
    scheduler = InMemoryScheduler()
    problems = schedule_from_entries(scheduler, entries)
    assert [problem.index for problem in problems] == [0, 1, 2]
    assert "sys.exit(3)" in problems[0].reason
    assert "RuntimeError: not installed" in problems[1].reason
    assert "interval_seconds" in problems[2].reason
    assert [task.name for task in scheduler.tasks] == ["d"]
