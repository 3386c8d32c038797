"""What a monitor knows of a cluster, gathered from its events.

Events arrive in any order. A task's state follows the precedence of states, so that one that is told late doesn't undo
a later one; the order of tasks follows the logical clock.
"""

from svcjobs_celery_compat.events.state.cluster import CallableDefaultdict, State
from svcjobs_celery_compat.events.state.task import TASK_EVENT_TO_STATE, Task
from svcjobs_celery_compat.events.state.worker import (
    HEARTBEAT_DRIFT_MAX,
    HEARTBEAT_EXPIRE_WINDOW,
    Worker,
    heartbeat_expires,
)
from svcjobs_celery_compat.utils.log import get_logger

__all__ = (
    "HEARTBEAT_DRIFT_MAX",
    "HEARTBEAT_EXPIRE_WINDOW",
    "TASK_EVENT_TO_STATE",
    "CallableDefaultdict",
    "State",
    "Task",
    "Worker",
    "heartbeat_expires",
    "logger",
    "warn",
)

logger = get_logger("celery.events.state")
warn = logger.warning
