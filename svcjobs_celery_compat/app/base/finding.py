"""How an app finds tasks in packages, and schedules that code adds."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from vine import starpromise

from svcjobs_celery_compat import signals
from svcjobs_celery_compat.utils.abstract import CallableSignature

logger = logging.getLogger("celery.app.base")


class Finding:
    """The part of :class:`~svcjobs_celery_compat.Celery` that takes in tasks and schedules."""

    _fixups: list[Any]
    _pending_periodic_tasks: deque[Any]
    configured: bool

    if TYPE_CHECKING:
        _conf: Any
        loader: Any
        signature: Callable[..., Any]

    def autodiscover_tasks(self, packages: Any = None, related_name: str | None = "tasks", force: bool = False) -> Any:
        """Import the module ``tasks`` of packages, when the worker imports its modules.

        Parameters:
            packages: names, or a function that returns them; with Django's settings in use and none given, the
                installed apps.
            related_name: another module than ``tasks``; None: the packages themselves.
            force: import them now.
        """
        if force:
            return self._autodiscover_tasks(packages, related_name)
        # weak=False: nobody else holds the promise
        signals.import_modules.connect(
            starpromise(self._autodiscover_tasks, packages, related_name), weak=False, sender=self
        )
        return None

    def _autodiscover_tasks(self, packages: Any, related_name: str | None, **kwargs: Any) -> Any:
        if packages:
            return self._autodiscover_tasks_from_names(packages, related_name)
        return self._autodiscover_tasks_from_fixups(related_name)

    def _autodiscover_tasks_from_names(self, packages: Any, related_name: str | None) -> Any:
        names = packages() if callable(packages) else packages
        return self.loader.autodiscover_tasks(names, related_name)

    def _autodiscover_tasks_from_fixups(self, related_name: str | None) -> Any:
        found = [
            package
            for fixup in self._fixups
            if hasattr(fixup, "autodiscover_tasks")
            for package in fixup.autodiscover_tasks()
        ]
        return self._autodiscover_tasks_from_names(found, related_name=related_name)

    def add_periodic_task(
        self, schedule: Any, sig: Any, args: Iterable[Any] = (), kwargs: Any = (), name: str | None = None, **opts: Any
    ) -> str:
        """Let beat call a task again and again.

        Parameters:
            schedule: seconds, a timedelta, a crontab, or another schedule.
            sig: the task, or a signature of it.
            name: of the schedule's entry; the repr of the signature without it.
            opts: options for ``apply_async``.

        Returns:
            str: the name of the entry.

        Raises:
            TypeError: ``sig`` is neither.
        """
        key, entry = self._sig_to_periodic_task_entry(schedule, sig, args, kwargs, name, **opts)
        if self.configured:
            self._add_periodic_task(key, entry, name=name)
        else:
            self._pending_periodic_tasks.append([key, entry, name])
        return key

    def _sig_to_periodic_task_entry(
        self, schedule: Any, sig: Any, args: Any = (), kwargs: Any = None, name: str | None = None, **opts: Any
    ) -> tuple[str, dict[str, Any]]:
        if isinstance(sig, CallableSignature):
            sig = sig.clone(args, kwargs)
        elif isinstance(sig, str):
            raise TypeError(
                f"a task or a signature is needed for the schedule, not {sig!r}: use app.signature({sig!r})"
            )
        else:
            sig = self.signature(sig.name, args, kwargs)
        return name or repr(sig), {
            "schedule": schedule,
            "task": sig.name,
            "args": sig.args,
            "kwargs": sig.kwargs,
            "options": {**sig.options, **opts},
        }

    def _add_periodic_task(self, key: str, entry: dict[str, Any], name: str | None = None) -> None:
        if name is None and key in self._conf.beat_schedule:
            logger.warning(
                f"Periodic task key='{key}' shadowed a previous unnamed periodic task. "
                "Pass a name kwarg to add_periodic_task to silence this warning."
            )
        self._conf.beat_schedule[key] = entry
