"""The lines that the outcome of a task writes into the log, and how severe each of them is."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.exceptions import Ignore, Reject

LOG_RECEIVED = "Task %(name)s[%(id)s] received"
LOG_SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss: %(return_value)s"
LOG_FAILURE = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
LOG_INTERNAL_ERROR = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
LOG_IGNORED = "Task %(name)s[%(id)s] %(description)s"
LOG_REJECTED = "Task %(name)s[%(id)s] %(exc)s"
LOG_RETRY = "Task %(name)s[%(id)s] retry: %(exc)s"


class log_policy_t(NamedTuple):
    """How an outcome is logged; `traceback` and `mail` are 1 or 0."""

    format: str
    description: str
    severity: int
    traceback: int
    mail: int


log_policy_reject = log_policy_t(LOG_REJECTED, "rejected", logging.WARNING, 1, 1)
log_policy_ignore = log_policy_t(LOG_IGNORED, "ignored", logging.INFO, 0, 0)
log_policy_internal = log_policy_t(LOG_INTERNAL_ERROR, "INTERNAL ERROR", logging.CRITICAL, 1, 1)
log_policy_expected = log_policy_t(LOG_FAILURE, "raised expected", logging.INFO, 0, 0)
log_policy_unexpected = log_policy_t(LOG_FAILURE, "raised unexpected", logging.ERROR, 1, 1)


def get_log_policy(task: Any, einfo: Any, exc: BaseException) -> log_policy_t:
    """Return how the failure of `task` with `exc` is logged; `einfo.internal` says that the framework failed."""
    if isinstance(exc, Reject):
        return log_policy_reject
    if isinstance(exc, Ignore):
        return log_policy_ignore
    if einfo.internal:
        return log_policy_internal
    if task.throws and isinstance(exc, task.throws):
        return log_policy_expected
    return log_policy_unexpected


_REPLACEABLE = {
    log_policy_reject: "LOG_REJECTED",
    log_policy_ignore: "LOG_IGNORED",
    log_policy_internal: "LOG_INTERNAL_ERROR",
    log_policy_expected: "LOG_FAILURE",
    log_policy_unexpected: "LOG_FAILURE",
}


def format_of(policy: log_policy_t) -> str:
    """Return the format of a policy: that of the package, where projects replace it."""
    name = _REPLACEABLE.get(policy)
    return policy.format if name is None else str(getattr(trace, name))


def get_task_name(request: Any, default: str) -> str:
    """Return the name that the request wants to see in the log (``shadow``), else `default`."""
    return getattr(request, "shadow", None) or default


__all__ = (
    "LOG_FAILURE", "LOG_IGNORED", "LOG_INTERNAL_ERROR", "LOG_RECEIVED", "LOG_REJECTED", "LOG_RETRY", "LOG_SUCCESS",
    "get_log_policy", "get_task_name", "log_policy_expected", "log_policy_ignore",
    "log_policy_internal", "log_policy_reject", "log_policy_t", "log_policy_unexpected",
)  # fmt: skip
