"""Modules of earlier releases that Celery still has: instrumentation and older code import them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import celery
import pytest

import svcjobs_celery_compat
from svcjobs_celery_compat import Celery, _state
from svcjobs_celery_compat.backends import base

NAMES = {
    "execute": {"send_task"},
    "log": {"get_default_logger", "redirect_stdouts_to_logger", "setup_logging_subsystem"},
    "messaging": {"TaskConsumer", "establish_connection", "get_consumer_set"},
    "registry": {"tasks"},
}


@pytest.fixture
def app() -> Iterator[Celery]:
    before = _state._tls.current_app
    app = Celery("older", broker="memory://", set_as_current=True)
    yield app
    _state._tls.current_app = before
    app.close()


@pytest.mark.parametrize("module", NAMES)
def test_an_older_module_has_the_names_that_celery_has(module: str) -> None:
    theirs = getattr(celery, module)
    ours = importlib.import_module(f"svcjobs_celery_compat.{module}")

    assert set(ours.__all__) == set(theirs.__all__) == NAMES[module]
    assert getattr(svcjobs_celery_compat, module) is ours
    with pytest.raises(AttributeError, match="nothing"):
        _ = ours.nothing


def test_older_names_are_those_of_the_app_that_is_current_now(app: Celery) -> None:
    from svcjobs_celery_compat import execute, log, messaging, registry

    expected: dict[Any, Any] = {
        execute.send_task: app.send_task,
        log.get_default_logger: app.log.get_default_logger,
        log.setup_logging_subsystem: app.log.setup_logging_subsystem,
        messaging.establish_connection: app.connection,
        messaging.get_consumer_set: app.amqp.TaskConsumer,
    }

    assert registry.tasks == app.tasks
    assert list(expected) == list(expected.values())


def test_a_task_is_found_in_the_registry_by_its_name(app: Celery) -> None:
    from svcjobs_celery_compat import registry

    @app.task(name="older.task")
    def task() -> None: ...

    assert registry.tasks.get("older.task").name == "older.task"
    assert registry.tasks.get("older.other") is None


def test_a_name_that_was_imported_follows_the_current_app(app: Celery) -> None:
    from svcjobs_celery_compat.registry import tasks

    later = Celery("later", broker="memory://", set_as_current=True)
    later.task(name="later.task")(print)

    assert "later.task" in tasks
    later.close()


def test_a_backend_of_ones_own_finds_the_current_task() -> None:
    # django-celery-results imports it from here
    assert base.get_current_task is _state.get_current_task
