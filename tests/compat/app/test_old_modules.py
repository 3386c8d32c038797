"""The modules of Celery's past that monitoring still imports follow the current app."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import svcjobs_celery_compat as facade
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.backends import base


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("old", broker="memory://", set_as_current=True) as app:
        yield app


def test_the_registry_has_the_tasks_of_the_current_app(app: Celery) -> None:
    @app.task(name="old.add")
    def add(x: int, y: int) -> int:
        return x + y

    from svcjobs_celery_compat import registry

    assert registry.tasks.get("old.add") == add
    assert registry.tasks.get("old.unknown") is None
    assert facade.registry is importlib.import_module("svcjobs_celery_compat.registry")


@pytest.mark.parametrize(
    ("module", "name", "target"),
    [
        ("execute", "send_task", lambda app: app.send_task),
        ("log", "get_default_logger", lambda app: app.log.get_default_logger),
        ("log", "redirect_stdouts_to_logger", lambda app: app.log.redirect_stdouts_to_logger),
        ("log", "setup_logging_subsystem", lambda app: app.log.setup_logging_subsystem),
        ("messaging", "TaskConsumer", lambda app: app.amqp.TaskConsumer),
        ("messaging", "get_consumer_set", lambda app: app.amqp.TaskConsumer),
        ("messaging", "establish_connection", lambda app: app.connection),
    ],
)
def test_other_old_names_are_of_the_current_app(
    app: Celery, module: str, name: str, target: Callable[[Celery], Any]
) -> None:
    assert getattr(getattr(facade, module), name) == target(app)


def test_a_backend_of_ones_own_finds_the_current_task() -> None:
    # django-celery-results imports it from here
    assert base.get_current_task() is None
