"""Results out of the tuples that messages and stored results hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from svcjobs_celery_compat._state import app_or_default
from svcjobs_celery_compat.result.result import ResultBase

if TYPE_CHECKING:
    from svcjobs_celery_compat.app.base import Celery


def result_from_tuple(r: Any, app: Celery | None = None) -> Any:
    """The result that :meth:`as_tuple` was called on: an :class:`AsyncResult` or a :class:`GroupResult`.

    Args:
        r: ``((id, parent), results)`` as a tuple or list; the parent is one as well, `results` is None for one task.
            A result is returned as it is.
        app: the application it belongs to; the current one by default.
    """
    app = app_or_default(app)
    if isinstance(r, ResultBase):
        return r
    head, members = r
    id, parent = head if isinstance(head, list | tuple) else (head, None)
    if parent:
        parent = result_from_tuple(parent, app)
    if members is None or (members == [] and not isinstance(head, list | tuple)):
        return app.AsyncResult(id, parent=parent)
    return app.GroupResult(id, [result_from_tuple(member, app) for member in members], parent=parent)
