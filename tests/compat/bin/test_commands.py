"""Small things that the commands of ``celery`` say and take, as Celery's do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from svcjobs_celery_compat import Celery, _state, signals
from svcjobs_celery_compat.app.log import Logging
from svcjobs_celery_compat.bin import shell
from svcjobs_celery_compat.bin.celery import celery
from svcjobs_celery_compat.events.dumper import Dumper
from svcjobs_celery_compat.utils.collections import DictAttribute
from tests.compat.program import SVCJOBS, running
from tests.servers import RedisServer


@pytest.fixture
def call(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("CELERY_BROKER_URL", redis_server.url)
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "")  # the commands set it, and it is restored
    monkeypatch.delenv("CELERY_CONFIG_MODULE")
    monkeypatch.setattr(_state._tls, "current_app", None)

    def call(*words: str, lines: str | None = None) -> Result:
        return CliRunner().invoke(celery, list(words), input=lines, catch_exceptions=False)

    with Celery("shop", broker=redis_server.url) as app:
        app.set_current()
        yield call


def test_logtool_knows_tasks_by_their_whole_names(call: Any, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text(
        "[2026-11-30 21:00:00,000: INFO/MainProcess] Task proj.add[aaaa-1] received\n"
        "[2026-11-30 21:00:00,000: INFO/MainProcess] Task proj.tasks.mul[aaaa-2] received\n"
    )
    told = call("logtool", "stats", str(log)).output
    assert "proj.add" in told
    assert "proj.tasks.mul" in told


@pytest.mark.parametrize("between", [":", "="])
def test_the_graph_of_workers_draws_the_nodes_that_are_given(call: Any, between: str) -> None:
    drawn = call("graph", "workers", f"nodes{between}one,two", f"threads{between}1").output
    assert "one" in drawn
    assert "two" in drawn


def test_a_pool_that_there_is_not_is_wrong_usage(call: Any) -> None:
    done = call("worker", "-P", "nope")
    assert done.exit_code == 2
    assert "'nope' is no pool: give one of prefork" in done.output


def test_a_shell_that_is_not_installed_gives_way_to_pythons(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_available", lambda name: False)
    monkeypatch.setattr(shell, "_python", lambda names: print(sorted(names)[:2]))
    for option in ("-I", "-B", "--python"):
        done = call("shell", option)
        assert done.exit_code == 0
        assert "Task" in done.output


def test_purge_counts_messages_and_queues(call: Any, prefix: str) -> None:
    assert call("purge", "-f", "-Q", prefix).output == "No messages purged from 1 queue.\n"
    assert call("purge", "-f", "-Q", f"{prefix},{prefix}2").output == "No messages purged from 2 queues.\n"
    call("call", "add", "--queue", prefix)
    assert call("purge", "-f", "-Q", prefix).output == "Purged 1 message from 1 known task queue.\n"


def test_a_report_lists_settings_and_no_methods_of_a_dict(call: Any) -> None:
    assert "deprecated_settings: None" in call("report").output
    assert list(DictAttribute({})) == []
    assert dict(DictAttribute({}).items()) == {}


def test_a_dumped_event_has_a_colon_before_its_task() -> None:
    out = StringIO()
    event = {"type": "task-received", "hostname": "w1", "timestamp": 0.0, "uuid": "u", "name": "add", "args": "(1,)"}
    Dumper(out=out).on_event({**event, "kwargs": "{}", "eta": None})
    assert "task received: add(u) args=(1,) kwargs={} eta=None" in out.getvalue()


def test_a_consumer_tells_its_name_and_state(call: Any) -> None:
    worker = _state.get_current_app().WorkController(hostname="w1@here")
    assert repr(worker.consumer) == "<Consumer: w1@here (initializing)>"


@pytest.mark.filterwarnings("ignore::svcjobs_celery_compat.exceptions.SecurityWarning")
@pytest.mark.parametrize("own", [True, False])
def test_prints_go_to_the_log_unless_the_application_set_that_up(
    call: Any, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    monkeypatch.setattr(Logging, "_setup", False)  # as in a process that has had no worker yet
    for name, value in (("handlers", []), ("level", logging.WARNING)):
        monkeypatch.setattr(logging.getLogger(), name, value)

    def set_up(**_: Any) -> None:
        logging.getLogger("mine")

    if own:
        signals.setup_logging.connect(set_up)
    try:
        app = _state.get_current_app()
        worker = app.Worker(hostname="w1@here", loglevel="WARNING")
        redirected: list[Any] = []
        app.log.redirect_stdouts = redirected.append
        worker.log_prints()
        assert bool(redirected) is not own
    finally:
        signals.setup_logging.disconnect(set_up)


def test_an_error_at_the_start_of_a_worker_is_a_traceback_of_its_own(tmp_path: Path, redis_server: RedisServer) -> None:
    (tmp_path / "bad.py").write_text(
        "from svcjobs_celery_compat import Celery, bootsteps\n"
        f"app = Celery('bad', broker={redis_server.url!r})\n"
        "class Bad(bootsteps.StartStopStep):\n"
        "    def __init__(self, parent, **options):\n"
        "        print('printed')\n"
        "        raise ValueError('init no')\n"
        "app.steps['worker'].add(Bad)\n"
    )
    with running([SVCJOBS, "worker", "-A", "bad", "-c", "1"], tmp_path, {}) as worker:
        assert worker.process.wait(60) != 0
        assert "\nprinted\n" in f"\n{worker.output}"
        assert "ValueError: init no" in worker.output
