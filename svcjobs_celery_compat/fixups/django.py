"""Django projects: set up before tasks are imported, connections closed around tasks, tasks found in installed apps.

Installed if DJANGO_SETTINGS_MODULE is in the environment when the app is made.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType
from typing import Any
from uuid import uuid4

from kombu.utils.imports import symbol_by_name
from kombu.utils.objects import cached_property

from svcjobs_celery_compat import _state, signals
from svcjobs_celery_compat.exceptions import FixupWarning, ImproperlyConfigured
from svcjobs_celery_compat.local import Proxy
from svcjobs_celery_compat.utils.log import get_logger

__all__ = ("DjangoFixup", "DjangoWorkerFixup", "FixupWarning", "fixup")

logger = get_logger(__name__)


def _unwrap_app(app: Any) -> Any:
    return app._get_current_object() if isinstance(app, Proxy) else app


def _maybe_close_fd(fh: Any) -> None:
    with suppress(AttributeError, OSError, TypeError):
        os.close(fh.fileno())


def _verify_django_version(django: ModuleType) -> None:
    if django.VERSION < (1, 11):
        raise ImproperlyConfigured("Django 1.11 or later is required.")


def fixup(app: Any, env: str = "DJANGO_SETTINGS_MODULE") -> DjangoFixup | None:
    """Fix up an app, if this is a Django project.

    :param env: environment variable that says so.
    """
    settings_module = os.environ.get(env)
    if not settings_module or "django" in app.loader_cls.lower():
        return None
    try:
        import django
    except ImportError:
        warnings.warn(
            FixupWarning(f"{env} is set, but Django isn't installed: the app is used without it."), stacklevel=2
        )
        return None
    _verify_django_version(django)
    return DjangoFixup(app).install()


class DjangoFixup:
    """What an app in a Django project gets, also where it only sends tasks."""

    def __init__(self, app: Any) -> None:
        self.app = app
        if _state.default_app is None:
            self.app.set_default()
        self._worker_fixup: DjangoWorkerFixup | None = None
        # not the object's id, which another one may have later
        self._worker_init_uid = ("django-fixup-worker-init", uuid4().hex)

    def install(self) -> DjangoFixup:
        """Do it, and return self."""
        # manage.py lies where the settings package does, which the command line doesn't know
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path holds texts
        self._settings = symbol_by_name("django.conf:settings")
        self.app.loader.now = self.now
        if not self.app._custom_task_cls_used:
            self.app.task_cls = "celery.contrib.django.task:DjangoTask"
        signals.import_modules.connect(self.on_import_modules, sender=self.app)
        signals.worker_init.connect(self.on_worker_init, dispatch_uid=self._worker_init_uid)
        return self

    @property
    def worker_fixup(self) -> DjangoWorkerFixup:
        """What a worker gets besides."""
        if self._worker_fixup is None:
            self._worker_fixup = DjangoWorkerFixup(self.app)
        return self._worker_fixup

    @worker_fixup.setter
    def worker_fixup(self, value: DjangoWorkerFixup) -> None:
        self._worker_fixup = value

    def on_import_modules(self, **kwargs: Any) -> None:
        """Set Django up before modules of tasks are imported."""
        # they import models
        self.worker_fixup.validate_models()

    def on_worker_init(self, **kwargs: Any) -> None:
        """Take part in the life of a worker of this app."""
        worker = kwargs.get("sender")
        if worker is None:
            warnings.warn(
                FixupWarning("DjangoFixup.on_worker_init was called without a sender, which should be the worker."),
                stacklevel=2,
            )
        worker_app = getattr(worker, "app", None)
        if worker_app is not None and _unwrap_app(worker_app) is not _unwrap_app(self.app):
            logger.debug("Django fixup of %r leaves worker %r alone: it is one of %r", self.app, worker, worker_app)
            return
        self.worker_fixup.worker = worker
        self.worker_fixup.install()

    def now(self, utc: bool = False) -> datetime:
        """Return this instant, in UTC or in Django's time zone."""
        return datetime.now(UTC) if utc else self._now()

    def autodiscover_tasks(self) -> list[str]:
        """Return the packages of the installed apps."""
        from django.apps import apps

        return [config.name for config in apps.get_app_configs()]

    @cached_property  # type: ignore[untyped-decorator]  # of kombu
    def _now(self) -> Any:
        return symbol_by_name("django.utils.timezone:now")


class DjangoWorkerFixup:
    """What a worker in a Django project gets: connections that aren't shared between processes, nor kept over tasks."""

    _db_recycles = 0
    #: the worker, once there is one
    worker: Any = None

    def __init__(self, app: Any) -> None:
        self.app = app
        self.db_reuse_max = self.app.conf.get("CELERY_DB_REUSE_MAX", None)
        self._db = import_module("django.db")
        self._cache = import_module("django.core.cache")
        self._settings = symbol_by_name("django.conf:settings")
        self.interface_errors: tuple[Any, ...] = (symbol_by_name("django.db.utils.InterfaceError"),)
        self.DatabaseError: Any = symbol_by_name("django.db:DatabaseError")

    def django_setup(self) -> None:
        """Set Django up."""
        import django

        django.setup()

    def validate_models(self) -> None:
        """Set Django up and run its checks, unless CELERY_SKIP_CHECKS is in the environment."""
        from django.core.checks import run_checks

        self.django_setup()
        if not os.environ.get("CELERY_SKIP_CHECKS"):
            run_checks()

    def install(self) -> DjangoWorkerFixup:
        """Connect to the signals of a worker, and return self."""
        signals.beat_embedded_init.connect(self.close_database)
        signals.task_prerun.connect(self.on_task_prerun)
        signals.task_postrun.connect(self.on_task_postrun)
        signals.worker_process_init.connect(self.on_worker_process_init)
        self.close_database()
        self.close_cache()
        return self

    def on_worker_process_init(self, **kwargs: Any) -> None:
        """Drop the connections that a pool process has from its parent."""
        if os.environ.get("FORKED_BY_MULTIPROCESSING"):
            # a process that was started anew
            self.validate_models()
        # closing them would say good-bye in the parent's name: only the descriptor is closed
        for connection in self._db.connections.all():
            if connection and connection.connection:
                self._maybe_close_db_fd(connection)
        self._close_database()
        self.close_cache()

    def _maybe_close_db_fd(self, c: Any) -> None:
        with suppress(*self.interface_errors):
            _maybe_close_fd(c.connection)

    def on_task_prerun(self, sender: Any, **kwargs: Any) -> None:
        """Close connections before a task, unless it runs in the process of its caller, who uses them."""
        if not getattr(sender.request, "is_eager", False):
            self.close_database()

    def on_task_postrun(self, sender: Any, **kwargs: Any) -> None:
        """Close connections after a task, unless it runs in the process of its caller, who uses them."""
        if not getattr(sender.request, "is_eager", False):
            self.close_database()
            self.close_cache()

    def close_database(self, **kwargs: Any) -> None:
        """Close the connections to databases; with CELERY_DB_REUSE_MAX, only after so many tasks."""
        if not self.db_reuse_max:
            self._close_database()
            return
        if self._db_recycles >= self.db_reuse_max * 2:
            self._db_recycles = 0
            self._close_database()
        self._db_recycles += 1

    def _is_prefork(self) -> bool:
        pool = getattr(self.worker, "pool_cls", None)
        if pool is None:
            return False
        return "prefork" in (pool if isinstance(pool, str) else pool.__module__)

    def _close_database(self) -> None:
        for connection in self._connections():
            try:
                connection.close()
                self._close_pool_of(connection)
            except self.interface_errors:
                pass
            except self.DatabaseError as exc:
                text = str(exc)
                if "closed" not in text and "not connected" not in text:
                    raise

    def _connections(self) -> Iterable[Any]:
        try:
            return self._db.connections.all(initialized_only=True)  # type: ignore[no-any-return]  # of Django
        except TypeError:
            # before Django 4.1
            return self._db.connections.all()  # type: ignore[no-any-return]  # of Django

    def _close_pool_of(self, connection: Any) -> None:
        """Close Django's pool of connections: each process has its own, and threads share one."""
        if not self._is_prefork() or not hasattr(connection, "close_pool"):
            return
        databases = getattr(self._settings, "DATABASES", {})
        if isinstance(databases, dict):
            pool = databases.get(connection.alias, {}).get("OPTIONS", {}).get("pool")
            if not pool:
                return
        with suppress(KeyError):
            # closed by another
            connection.close_pool()

    def close_cache(self) -> None:
        """Close the connections to caches."""
        with suppress(TypeError, AttributeError):
            self._cache.close_caches()
