"""The guide's section "Scheduling"."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from svcjobs.loader import _resolve_target, schedule_from_env
from svcjobs.scheduler import InMemoryScheduler
from tests.eventually import eventually_async

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
TASKS = """
import threading

ran = []


async def cleanup():
    ran.append("cleanup")


def health_ping():
    ran.append(threading.current_thread().name)


class Tasks:
    @staticmethod
    async def nested():
        ran.append("nested")
"""


@pytest.fixture
def tasks(folder: Path) -> list[str]:
    """What the functions of ``myapp_tasks`` have done."""
    (folder / "myapp_tasks.py").write_text(TASKS)
    sys.modules.pop("myapp_tasks", None)
    ran: list[str] = importlib.import_module("myapp_tasks").ran
    return ran


def test_the_scheduler_looks_once_a_minute_by_default() -> None:
    assert InMemoryScheduler().tick_interval == 60.0
    assert InMemoryScheduler(tick_interval=30.0).tick_interval == 30.0


async def test_tasks_run_at_their_intervals() -> None:
    now = [MIDNIGHT + timedelta(seconds=1)]
    scheduler = InMemoryScheduler(tick_interval=60.0, now_provider=lambda: now[0])
    ran: list[str] = []

    async def sweep() -> None:
        ran.append("sweep")

    async def digest() -> None:
        ran.append("digest")

    scheduler.add_task("sweep", 300, sweep)
    scheduler.add_task("digest", 86400, digest)
    await scheduler.tick()
    assert ran == []
    for _ in range(3):
        now[0] += timedelta(seconds=300)
        await scheduler.tick()
    assert ran == ["sweep"] * 3
    now[0] = MIDNIGHT + timedelta(days=1)
    await scheduler.tick()
    assert ran == ["sweep", "sweep", "sweep", "sweep", "digest"]


async def test_run_goes_on_until_it_is_stopped() -> None:
    scheduler = InMemoryScheduler(tick_interval=0.05)
    ran: list[int] = []

    async def count() -> None:
        ran.append(1)

    scheduler.add_task("count", 0.02, count)
    running = asyncio.create_task(scheduler.run())
    await eventually_async(lambda: len(ran) > 3)
    assert not running.done()
    scheduler.stop()
    await running


async def test_a_task_that_raises_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    now = [MIDNIGHT + timedelta(seconds=1)]
    scheduler = InMemoryScheduler(now_provider=lambda: now[0])
    ran: list[int] = []

    async def fails() -> None:
        ran.append(1)
        raise RuntimeError("not this time")

    scheduler.add_task("fails", 300, fails)
    for _ in range(2):
        now[0] += timedelta(seconds=300)
        await scheduler.tick()
    assert len(ran) == 2
    assert "not this time" in caplog.text


async def test_the_schedule_of_the_environment_is_loaded_and_run(
    tasks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        {"name": "cleanup", "interval_seconds": 300, "target": "myapp_tasks:cleanup"},
        {"name": "health_check", "interval_seconds": 60, "target": "myapp_tasks:health_ping"},
    ]
    monkeypatch.setenv("JOBS_SCHEDULE_JSON", json.dumps(entries))
    now = [MIDNIGHT + timedelta(seconds=1)]
    scheduler = InMemoryScheduler(now_provider=lambda: now[0])
    assert schedule_from_env(scheduler) == []
    assert [task.name for task in scheduler.tasks] == ["cleanup", "health_check"]
    now[0] = MIDNIGHT + timedelta(seconds=60)
    await scheduler.tick()
    assert len(tasks) == 1
    assert tasks[0] != threading.main_thread().name  # a plain function, in a thread
    now[0] = MIDNIGHT + timedelta(seconds=300)
    await scheduler.tick()
    assert "cleanup" in tasks


def test_an_entry_that_is_wrong_is_told_and_the_others_load(tasks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        {"name": "a", "interval_seconds": 5, "target": "myapp_tasks"},
        {"name": "b", "interval_seconds": 5, "target": "myapp_tasks:cleanup"},
        {"name": "c", "interval_seconds": 5, "target": "no_such_module:cleanup"},
    ]
    monkeypatch.setenv("JOBS_SCHEDULE_JSON", json.dumps(entries))
    scheduler = InMemoryScheduler()
    problems = schedule_from_env(scheduler)
    assert [task.name for task in scheduler.tasks] == ["b"]
    assert [(problem.index, problem.name) for problem in problems] == [(0, "a"), (2, "c")]
    assert "write module:function" in problems[0].reason
    assert "no_such_module" in problems[1].reason


async def test_targets_are_functions_of_modules(tasks: list[str]) -> None:
    cleanup, ping = _resolve_target("myapp_tasks:cleanup"), _resolve_target("myapp_tasks:health_ping")
    assert inspect.iscoroutinefunction(cleanup)
    assert inspect.iscoroutinefunction(ping)
    await cleanup()
    await ping()
    await _resolve_target("myapp_tasks:Tasks.nested")()
    assert tasks[0] == "cleanup"
    assert tasks[2] == "nested"


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("myapp_tasks", ValueError),
        ("myapp_tasks:", ValueError),
        ("myapp_tasks:absent", AttributeError),
        ("no_such_module:cleanup", ModuleNotFoundError),
    ],
)
def test_a_target_in_another_form_is_refused(tasks: list[str], target: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=target.split(":")[0]):
        _resolve_target(target)
