"""The task class of Django projects."""

from __future__ import annotations

import functools
from typing import Any

from django.db import transaction

from svcjobs_celery_compat.app.task import Task

__all__ = ("DjangoTask",)


class DjangoTask(Task[..., Any]):
    """A task that can also be sent when the transaction is committed; the Django fixup makes it the app's."""

    abstract = True

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """Call :meth:`delay` after the transaction of the moment is committed; at once, if there is none.

        Nothing is returned: the task isn't sent yet. If the transaction is rolled back, it is never sent.
        """
        transaction.on_commit(functools.partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """Call :meth:`apply_async` after the transaction of the moment is committed; at once, if there is none."""
        transaction.on_commit(functools.partial(self.apply_async, *args, **kwargs))
