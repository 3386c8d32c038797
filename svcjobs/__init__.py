"""A durable job queue on Redis. What the guide names can be imported from here; the rest from its module.

Names are loaded on first use: ``import svcjobs`` alone imports neither redis nor pydantic nor prometheus_client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svcjobs.application import Application
    from svcjobs.attempt import current_job
    from svcjobs.easy import easy_jobs
    from svcjobs.effects import Count, Follow, SetResult
    from svcjobs.errors import (
        ConfigurationError,
        CorruptKey,
        CredentialsRefused,
        DeadLetter,
        InvalidJob,
        JobIsDead,
        JobNotFound,
        JobsError,
        JobTimeoutError,
        LeaseLost,
        PayloadTooLarge,
        Postponed,
        QueueFull,
        QueueLoading,
        QueueReadOnly,
        QueueRefused,
        QueueUnavailable,
        RetryLater,
        SchemaMismatch,
        SoftTimeLimitExceeded,
        TimeLimitExceeded,
        TooFewReplicas,
        UniqueConflict,
        UnknownJobError,
    )
    from svcjobs.idempotent import idempotent
    from svcjobs.job import Job, NewJob, Unique
    from svcjobs.memory_queue import InMemoryJobQueue
    from svcjobs.queue import JobQueue
    from svcjobs.redis_queue import AsyncRedisJobQueue, RedisJobQueue
    from svcjobs.registry import JobRegistry
    from svcjobs.result import JobResult
    from svcjobs.retry import RetryPolicy
    from svcjobs.runner import WorkerRunner
    from svcjobs.scheduler import InMemoryScheduler
    from svcjobs.worker import process_one

__version__ = "0.1.0"

__all__ = [
    "Application", "AsyncRedisJobQueue", "ConfigurationError", "CorruptKey", "Count", "CredentialsRefused",
    "DeadLetter", "Follow", "InMemoryJobQueue", "InMemoryScheduler", "InvalidJob", "Job", "JobIsDead", "JobNotFound",
    "JobQueue", "JobRegistry", "JobResult", "JobTimeoutError", "JobsError", "LeaseLost", "NewJob", "PayloadTooLarge",
    "Postponed", "QueueFull", "QueueLoading", "QueueReadOnly", "QueueRefused", "QueueUnavailable", "RedisJobQueue",
    "RetryLater", "RetryPolicy", "SchemaMismatch", "SetResult", "SoftTimeLimitExceeded",
    "TimeLimitExceeded", "TooFewReplicas", "Unique", "UniqueConflict",
    "UnknownJobError", "WorkerRunner", "current_job", "easy_jobs", "idempotent",
    "process_one",
]  # fmt: skip

_MODULES = {
    "svcjobs.application": ("Application",),
    "svcjobs.attempt": ("current_job",),
    "svcjobs.easy": ("easy_jobs",),
    "svcjobs.effects": ("Count", "Follow", "SetResult"),
    "svcjobs.idempotent": ("idempotent",),
    "svcjobs.job": ("Job", "NewJob", "Unique"),
    "svcjobs.memory_queue": ("InMemoryJobQueue",),
    "svcjobs.queue": ("JobQueue",),
    "svcjobs.redis_queue": ("AsyncRedisJobQueue", "RedisJobQueue"),
    "svcjobs.registry": ("JobRegistry",),
    "svcjobs.result": ("JobResult",),
    "svcjobs.retry": ("RetryPolicy",),
    "svcjobs.runner": ("WorkerRunner",),
    "svcjobs.scheduler": ("InMemoryScheduler",),
    "svcjobs.worker": ("process_one",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'svcjobs' has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "svcjobs.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
