"""Results of tasks and groups: what is asked for the state, the value, the children of a task that was sent.

:func:`task_join_will_block` is looked up here, and can be replaced here.
"""

from copy import copy

from svcjobs_celery_compat._state import task_join_will_block
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

__all__ = (
    "E_WOULDBLOCK",
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "assert_will_not_block",
    "copy",
    "denied_join_result",
    "result_from_tuple",
    "task_join_will_block",
    "tblib",
)
