"""``svcjobs migrate beat``: Celery schedules as native ones, from each place that they are kept in."""

from __future__ import annotations

import json
import shelve
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import celery
import celery.beat
import celery.schedules
import pytest
import redis
from click.testing import CliRunner, Result

from svcjobs.loader import schedule_from_entries
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.scheduler import InMemoryScheduler
from svcjobs_celery_compat.migrate.command import migrate
from tests.compat.program import SVCJOBS
from tests.compat.program import run as run_program
from tests.servers import RedisServer

LAST = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

APP = """
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.schedules import crontab

app = Celery("moved", broker="{url}", backend="disabled://", set_as_current=False)
app.conf.timezone = "Europe/Berlin"
app.conf.broker_transport_options = {{"prefix": "{prefix}"}}
app.conf.beat_schedule = {{
    "report": {{
        "task": "proj.report", "schedule": crontab(hour=7, minute="*/15", day_of_week="mon-fri"), "args": (1,),
    }},
    "ping": {{
        "task": "proj.ping", "schedule": 30.0, "kwargs": {{"x": 1}}, "options": {{"queue": "pings", "expires": 10}},
    }},
}}
"""

TABLES = """
CREATE TABLE django_celery_beat_crontabschedule (id INTEGER, minute TEXT, hour TEXT, day_of_week TEXT,
    day_of_month TEXT, month_of_year TEXT, timezone TEXT);
CREATE TABLE django_celery_beat_intervalschedule (id INTEGER, every INTEGER, period TEXT);
CREATE TABLE django_celery_beat_solarschedule (id INTEGER, event TEXT, latitude REAL, longitude REAL);
CREATE TABLE django_celery_beat_clockedschedule (id INTEGER, clocked_time TEXT);
CREATE TABLE django_celery_beat_periodictask (id INTEGER, name TEXT, task TEXT, args TEXT, kwargs TEXT, queue TEXT,
    exchange TEXT, routing_key TEXT, headers TEXT, priority INTEGER, expires TEXT, expire_seconds INTEGER,
    one_off BOOLEAN, start_time TEXT, enabled BOOLEAN, last_run_at TEXT, crontab_id INTEGER, interval_id INTEGER,
    solar_id INTEGER, clocked_id INTEGER);
INSERT INTO django_celery_beat_crontabschedule VALUES (1, '0', '9', '1', '*', '*', 'Asia/Tokyo');
INSERT INTO django_celery_beat_intervalschedule VALUES (1, 5, 'minutes');
INSERT INTO django_celery_beat_clockedschedule VALUES (1, '2030-01-01 00:00:00');
INSERT INTO django_celery_beat_periodictask (id, name, task, args, kwargs, headers, one_off, enabled, last_run_at,
    crontab_id) VALUES (1, 'weekly', 'proj.weekly', '[1]', '{"a": 2}', '{}', 0, 1, '2026-05-04 03:02:01', 1);
INSERT INTO django_celery_beat_periodictask (id, name, task, args, kwargs, headers, one_off, enabled, interval_id)
    VALUES (2, 'often', 'proj.often', '[]', '{}', '{}', 0, 1, 1);
INSERT INTO django_celery_beat_periodictask (id, name, task, args, kwargs, headers, one_off, enabled, interval_id)
    VALUES (3, 'off', 'proj.off', '[]', '{}', '{}', 0, 0, 1);
INSERT INTO django_celery_beat_periodictask (id, name, task, args, kwargs, headers, one_off, enabled, clocked_id)
    VALUES (4, 'once', 'proj.once', '[]', '{}', '{}', 1, 1, 1);
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(migrate, ["beat", *arguments], catch_exceptions=False)


@pytest.fixture
def schedule_file(tmp_path: Path) -> Path:
    """A file that Celery's own beat wrote."""
    path = tmp_path / "celerybeat-schedule"
    app = celery.Celery("written", set_as_current=False, broker="memory://")
    app.conf.beat_schedule = {
        "report": {"task": "proj.report", "schedule": celery.schedules.crontab(hour=7, minute="*/15"), "args": (1,)},
        "ping": {"task": "proj.ping", "schedule": 30.0},
        "both": {"task": "t", "schedule": celery.schedules.crontab(0, 0, day_of_month="1-7", day_of_week="mon")},
        "sun": {"task": "t", "schedule": celery.schedules.solar("sunset", 10, 20)},
    }
    app.backend.supports_autoexpire = False  # so that the entry with an app in it is there
    scheduler = celery.beat.PersistentScheduler(app, schedule_filename=str(path))
    for entry in scheduler.schedule.values():
        entry.last_run_at = LAST
    scheduler.close()
    return path


def test_a_file_becomes_native_entries_and_what_is_lost_is_named(schedule_file: Path) -> None:
    result = run("--file", str(schedule_file), "--timezone", "Europe/Berlin")
    assert {entry["name"]: entry for entry in json.loads(result.stdout)} == {
        "report": {
            "name": "report", "cron": "*/15 7 * * *", "timezone": "Europe/Berlin", "job_name": "proj.report",
            "payload": {"args": [1], "kwargs": {}},
        },
        "ping": {
            "name": "ping", "interval_seconds": 30, "job_name": "proj.ping", "payload": {"args": [], "kwargs": {}},
        },
    }  # fmt: skip
    assert result.exit_code == 1
    assert "both: " in result.stderr
    assert "day of the week" in result.stderr
    assert "sun: a schedule of the kind solar has no counterpart" in result.stderr
    assert "backend_cleanup" not in result.output


def test_nothing_that_a_file_names_is_imported_or_called(tmp_path: Path) -> None:
    path = tmp_path / "evil"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.write_text, (tmp_path / "harm", "done")

    with shelve.open(str(path)) as store:
        store["entries"] = {"evil": Evil()}
    result = run("--file", str(path))
    assert result.exit_code == 1
    assert "a class of your own" in result.stderr
    assert not (tmp_path / "harm").exists()


def test_an_app_becomes_native_entries(folder: Path) -> None:
    (folder / "moved_app.py").write_text(APP.format(url="memory://", prefix="jobs"))
    result = run("-A", "moved_app:app")
    report, ping = json.loads(result.stdout)
    assert (report["cron"], report["timezone"]) == ("*/15 7 * * 1-5", "Europe/Berlin")
    assert ping["payload"] == {"args": [], "kwargs": {"x": 1}}
    assert "ping: its option queue='pings' has no counterpart" in result.stderr
    scheduler = InMemoryScheduler(queue=InMemoryJobQueue())
    assert schedule_from_entries(scheduler, [report, ping]) == []


def test_a_project_that_imports_celery_is_read_as_it_is(folder: Path) -> None:
    text = APP.replace("svcjobs_celery_compat", "celery").format(url="amqp://", prefix="jobs")
    (folder / "untouched.py").write_text(text)
    result = run_program([SVCJOBS, "migrate", "beat", "-A", "untouched:app"], folder, {})
    report, ping = json.loads(result.stdout)
    assert (report["cron"], report["timezone"]) == ("*/15 7 * * 1-5", "Europe/Berlin")
    assert ping["interval_seconds"] == 30


def test_a_database_of_django_celery_beat_becomes_native_entries(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    file = tmp_path / "db.sqlite3"
    with sqlite3.connect(file) as connection:
        connection.executescript(TABLES)
    connection.close()
    result = run("--database", f"sqlite:///{file}")
    assert json.loads(result.stdout) == [
        {
            "name": "weekly", "cron": "0 9 * * 1", "timezone": "Asia/Tokyo", "job_name": "proj.weekly",
            "payload": {"args": [1], "kwargs": {"a": 2}},
        },
        {
            "name": "often", "interval_seconds": 300, "job_name": "proj.often",
            "payload": {"args": [], "kwargs": {}},
        },
    ]  # fmt: skip
    assert "once: it runs once" in result.stderr
    assert "off" not in result.stdout.replace("often", "")


@pytest.mark.server
@pytest.mark.promise("P8")
def test_the_times_of_the_last_runs_are_taken_over(
    folder: Path,
    schedule_file: Path,
    redis_server: RedisServer,
    redis_client: redis.Redis,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("JOBS_PREFIX", prefix)
    url = redis_server.url.replace("redis://", "svcjobs://")
    (folder / "taken_app.py").write_text(APP.format(url=url, prefix=prefix))
    result = run("-A", "taken_app:app", "--file", str(schedule_file), "--take-over")
    assert "report: last ran at 2026-05-04T03:02:01+00:00" in result.stderr
    for home, name in ((prefix, "report"), (f"{prefix}:{{celery}}", "report"), (f"{prefix}:{{pings}}", "ping")):
        assert float(redis_client.hget(f"{home}:ticks", name)) == LAST.timestamp()
    later = (LAST + timedelta(days=1)).timestamp()
    redis_client.hset(f"{prefix}:ticks", "report", later)
    run("-A", "taken_app:app", "--file", str(schedule_file), "--take-over")
    assert float(redis_client.hget(f"{prefix}:ticks", "report")) == later  # a second run sets nothing back


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "name a schedule"),
        (("-A", "no_such_module"), "no Celery app"),
        (("--file", "/nowhere/schedule"), "can't be read"),
        (("--database", "sqlite:////nowhere/db"), "can't be read"),
    ],
)
def test_a_bad_source_is_refused_with_a_sentence(arguments: tuple[str, ...], text: str, folder: Path) -> None:
    result = CliRunner().invoke(migrate, ["beat", *arguments])
    assert result.exit_code != 0
    assert text in f"{result.output} {result.exception}"
