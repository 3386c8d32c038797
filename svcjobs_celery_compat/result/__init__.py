"""Results of tasks and groups: what is asked for the state, the value, the children of a task that was sent.

:func:`task_join_will_block` is looked up here, and can be replaced here.
"""

from copy import copy

from svcjobs_celery_compat import states
from svcjobs_celery_compat._state import current_app, task_join_will_block
from svcjobs_celery_compat.exceptions import ImproperlyConfigured, IncompleteStream, TimeoutError
from svcjobs_celery_compat.result.blocking import (
    E_WOULDBLOCK,
    allow_join_result,
    assert_will_not_block,
    denied_join_result,
)
from svcjobs_celery_compat.result.result import ResultBase

try:
    import tblib
except ImportError:
    tblib = None

from svcjobs_celery_compat.result.async_result import AsyncResult
from svcjobs_celery_compat.result.eager_result import EagerResult
from svcjobs_celery_compat.result.group_result import GroupResult
from svcjobs_celery_compat.result.result_set import ResultSet
from svcjobs_celery_compat.result.tuples import result_from_tuple
from svcjobs_celery_compat.utils.graph import DependencyGraph, GraphFormatter

__all__ = (
    "E_WOULDBLOCK",
    "AsyncResult",
    "DependencyGraph",
    "EagerResult",
    "GraphFormatter",
    "GroupResult",
    "ImproperlyConfigured",
    "IncompleteStream",
    "ResultBase",
    "ResultSet",
    "TimeoutError",
    "allow_join_result",
    "assert_will_not_block",
    "copy",
    "current_app",
    "denied_join_result",
    "result_from_tuple",
    "states",
    "task_join_will_block",
    "tblib",
)
