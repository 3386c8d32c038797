"""Celery apps for tests."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from svcjobs_celery_compat import _state
from svcjobs_celery_compat.app.base import Celery
from svcjobs_celery_compat.app.log import Logging

# shared tasks that first appear during a test are forgotten with it; workers of all tests need this one
from svcjobs_celery_compat.contrib.testing.tasks import ping as ping

#: What an app of :func:`TestApp` is configured with, unless told otherwise.
DEFAULT_TEST_CONFIG: dict[str, Any] = {
    "worker_hijack_root_logger": False,
    "worker_log_color": False,
    "accept_content": {"json"},
    "enable_utc": True,
    "timezone": "UTC",
    "broker_url": "memory://",
    "result_backend": "cache+memory://",
    "broker_heartbeat": 0,
}


class Trap:
    """Stands for the default app, and refuses any use: for code that should have been handed an app."""

    def __getattr__(self, name: str) -> Any:
        # mock asks this of anything that it patches, and goes on with the function of a method
        if name in ("_is_coroutine", "__func__"):
            return None
        if name == "__wrapped__":
            raise AttributeError(name)
        raise RuntimeError("Test depends on current_app")


class UnitLogging(Logging):
    """Leaves the log handlers of the test run alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.already_setup = True


def TestApp(
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    enable_logging: bool = False,
    set_as_current: bool = False,
    log: Any = UnitLogging,
    backend: Any = None,
    broker: str | None = None,
    **kwargs: Any,
) -> Celery[Any]:
    """Return an app that keeps its messages and results in this process.

    Parameters:
        config: settings over :data:`DEFAULT_TEST_CONFIG`.
        enable_logging: let the app set up logging, instead of ``log``.
        kwargs: of :class:`~svcjobs_celery_compat.Celery`.
    """
    settings = {**deepcopy(DEFAULT_TEST_CONFIG), **(config or {})}
    # an argument is weaker than the configuration, so that a setting that it replaces has to go
    if broker is not None:
        settings.pop("broker_url", None)
    if backend is not None:
        settings.pop("result_backend", None)
    app: Celery[Any] = Celery(
        name or "celery.tests",
        set_as_current=set_as_current,
        log=None if enable_logging else log,
        broker=broker,
        backend=backend,
        **kwargs,
    )
    app.add_defaults(settings)
    return app


@contextmanager
def set_trap(app: Any) -> Iterator[None]:
    """Make any use of the current app or the default app an error meanwhile, in all threads."""
    trap = Trap()
    previous = _state._tls
    _state.set_default_app(trap)

    class OfAllThreads:
        current_app = trap

    _state._tls = OfAllThreads()  # type: ignore[assignment]  # any object with the attribute
    try:
        yield
    finally:
        _state._tls = previous


@contextmanager
def setup_default_app(app: Any, use_trap: bool = False) -> Iterator[None]:
    """Let ``app`` be used by a test, and leave no trace of it.

    Apps, shared tasks, connections and the current app are as before.

    Parameters:
        use_trap: as :func:`set_trap`.
    """
    current_app, default_app = _state.get_current_app(), _state.default_app
    finalizers, apps = set(_state._on_app_finalizers), weakref.WeakSet(_state._apps)
    try:
        if use_trap:
            with set_trap(app):
                yield
        else:
            yield
    finally:
        _state.set_default_app(default_app)
        _state._tls.current_app = current_app
        if app is not current_app:
            app.close()
        app._release_backend()
        _state._on_app_finalizers = finalizers
        _state._apps = apps


TestApp.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test by its name
