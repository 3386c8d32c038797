"""Fixtures for pytest: an app, and a worker that runs in a thread beside the test.

Enable it with ``pytest_plugins = ("svcjobs_celery_compat.contrib.pytest",)`` in the root ``conftest.py``, or with the
environment variable ``PYTEST_PLUGINS``. Redefine a fixture to change what the app and the worker are made with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from svcjobs_celery_compat.contrib.testing.app import TestApp, setup_default_app


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known: ``@pytest.mark.celery(result_backend="redis://")`` configures the app of one test."""
    config.addinivalue_line("markers", "celery(**overrides): override the Celery configuration of a test case.")


@contextmanager
def _create_app(
    enable_logging: bool = False, use_trap: bool = False, parameters: Mapping[str, Any] | None = None, **config: Any
) -> Iterator[Any]:
    app = TestApp(set_as_current=False, enable_logging=enable_logging, config=config, **(parameters or {}))
    with setup_default_app(app, use_trap=use_trap):
        yield app


@pytest.fixture(scope="session")
def use_celery_app_trap() -> bool:
    """Redefine it to return true, and any use of the current app or the default app is an error."""
    return False


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Redefine it to return the settings of the app."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters() -> Mapping[str, Any]:
    """Redefine it to return arguments of :class:`~svcjobs_celery_compat.Celery` for the app."""
    return {}


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    """Redefine it to return true, and the worker sets up logging."""
    return False


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Redefine it to return the modules that a worker imports when it starts."""
    return ()


@pytest.fixture(scope="session")
def celery_class_tasks() -> Sequence[Any]:
    """Redefine it to return tasks that are registered with the session's app."""
    return ()


@pytest.fixture(scope="session")
def celery_worker_pool() -> str | type[Any]:
    """Redefine it to return the pool of the worker; ``solo`` runs one task at a time."""
    return "solo"


@pytest.fixture(scope="session")
def celery_worker_parameters() -> Mapping[str, Any]:
    """Redefine it to return further arguments of the worker: ``queues``, ``shutdown_timeout`` (seconds)."""
    return {}


@pytest.fixture
def celery_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Iterator[Any]:
    """An app for one test. ``@pytest.mark.celery`` at the test, class or module overrides its settings."""
    overrides: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("celery"))):  # the innermost comes last, and wins
        overrides.update(mark.kwargs)
    with _create_app(
        enable_logging=celery_enable_logging,
        use_trap=use_celery_app_trap,
        parameters=celery_parameters,
        **{**celery_config, **overrides},
    ) as app:
        yield app


@pytest.fixture(scope="session")
def celery_session_app(
    request: pytest.FixtureRequest,
    celery_config: Mapping[str, Any],
    celery_parameters: Mapping[str, Any],
    celery_enable_logging: bool,
    use_celery_app_trap: bool,
) -> Iterator[Any]:
    """One app for the whole run."""
    with _create_app(
        enable_logging=celery_enable_logging,
        use_trap=use_celery_app_trap,
        parameters=celery_parameters,
        **celery_config,
    ) as app:
        if not use_celery_app_trap:
            app.set_default()
            app.set_current()
        yield app


@pytest.fixture
def depends_on_current_app(celery_app: Any) -> None:
    """Makes the app of the test the current one, where the trap is on."""
    celery_app.set_current()


@pytest.fixture(scope="session")
def celery_session_worker(
    request: pytest.FixtureRequest,
    celery_session_app: Any,
    celery_includes: Collection[str],
    celery_class_tasks: Sequence[Any],
    celery_worker_pool: Any,
    celery_worker_parameters: Mapping[str, Any],
) -> Iterator[Any]:
    """One worker for the whole run."""
    # brings the whole worker in: apps alone don't need it
    from svcjobs_celery_compat.contrib.testing.worker import start_worker

    _import_all(celery_session_app, celery_includes)
    for task in celery_class_tasks:
        celery_session_app.register_task(task)
    with start_worker(celery_session_app, pool=celery_worker_pool, **celery_worker_parameters) as started:
        yield started


@pytest.fixture
def celery_worker(
    request: pytest.FixtureRequest,
    celery_app: Any,
    celery_includes: Collection[str],
    celery_worker_pool: Any,
    celery_worker_parameters: Mapping[str, Any],
) -> Iterator[Any]:
    """A worker of the test's app. It runs in a thread, and has ended its tasks and stopped when the test returns."""
    # brings the whole worker in: apps alone don't need it
    from svcjobs_celery_compat.contrib.testing.worker import start_worker

    _import_all(celery_app, celery_includes)
    with start_worker(celery_app, pool=celery_worker_pool, **celery_worker_parameters) as started:
        yield started


def _import_all(app: Any, modules: Collection[str]) -> None:
    for module in modules:
        app.loader.import_task_module(module)
