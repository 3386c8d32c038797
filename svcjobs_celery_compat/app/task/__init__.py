"""Tasks, and what a running one knows of its call."""

from __future__ import annotations

import inspect as inspect

from svcjobs_celery_compat._state import _task_stack as _task_stack
from svcjobs_celery_compat._state import current_app as current_app
from svcjobs_celery_compat.app.annotations import resolve_all
from svcjobs_celery_compat.app.task.context import X_DEATH_HEADERS as X_DEATH_HEADERS
from svcjobs_celery_compat.app.task.context import Context
from svcjobs_celery_compat.app.task.context import get_actual_ignore_result as get_actual_ignore_result
from svcjobs_celery_compat.app.task.described import _reprtask as _reprtask
from svcjobs_celery_compat.app.task.task import BaseTask as BaseTask
from svcjobs_celery_compat.app.task.task import Task
from svcjobs_celery_compat.app.task.task import TaskType as TaskType

__all__ = ("Context", "Task")

resolve_all_annotations = resolve_all
