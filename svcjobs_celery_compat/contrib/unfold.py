"""Lets Celery's workers run the long chains that the facade sends in parts: add this to ``include`` of their app.

It is for Celery itself: the facade's apps have the task. Where ``celery`` is the facade, this module does nothing.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.canvas import _chain
from celery.exceptions import Ignore

from svcjobs_celery_compat.canvas.folded import TASK, load


def _unfold(self: Any, *args: Any) -> None:
    """Send the steps of a part: the last of ``args`` is its id, the others are for the first step."""
    *value, part_id = args
    request = self.request
    steps = _chain(load(part_id, self.app)[::-1], app=self.app)
    rest = {"chain": request.chain} if request.chain else {}
    steps.apply_async(tuple(value), root_id=request.root_id, parent_id=request.parent_id, **rest)
    raise Ignore("the steps that it stood for were sent")


if not _chain.__module__.startswith("svcjobs_celery_compat."):
    shared_task(name=TASK, bind=True, track_started=False)(_unfold)
