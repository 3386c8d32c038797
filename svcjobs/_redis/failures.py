"""What a Redis client raised, as one of our errors."""

from __future__ import annotations

from redis import exceptions

from svcjobs.errors import (
    ClockSkew,
    ConfigurationError,
    CorruptKey,
    CredentialsRefused,
    JobIsDead,
    JobsError,
    QueueFull,
    QueueLoading,
    QueueReadOnly,
    QueueRefused,
    QueueUnavailable,
    RequestAbandoned,
)

# redis-py takes the code off the text of those errors that have a class
_BY_CLASS: tuple[tuple[type[Exception], type[JobsError], str], ...] = (
    (
        exceptions.OutOfMemoryError,
        QueueFull,
        "the Redis server is out of memory and stored nothing: drain it or raise maxmemory",
    ),
    (
        exceptions.ReadOnlyError,
        QueueReadOnly,
        "the Redis server is a read-only replica: connect to the primary",
    ),
    (exceptions.BusyLoadingError, QueueLoading, "the Redis server is loading its data set"),
    (exceptions.MasterDownError, QueueUnavailable, "the Redis replica has lost its primary"),
    (exceptions.ClusterDownError, QueueUnavailable, "the Redis Cluster is down"),
    (exceptions.TryAgainError, QueueUnavailable, "the Redis Cluster is moving the queue's slot"),
)
_BY_TEXT: tuple[tuple[str, type[JobsError], str], ...] = (
    ("OOM command", QueueFull, "the Redis server is out of memory and stored nothing: drain it or raise maxmemory"),
    ("READONLY", QueueReadOnly, "the Redis server is a read-only replica: connect to the primary"),
    ("NOREPLICAS", QueueReadOnly, "the Redis server refuses writes until enough replicas are back"),
    ("MISCONF", QueueReadOnly, "the Redis server can't write its disk and refuses writes"),
    ("LOADING", QueueLoading, "the Redis server is loading its data set"),
    ("BUSY ", QueueLoading, "the Redis server is busy running a script"),
    ("MASTERDOWN", QueueUnavailable, "the Redis replica has lost its primary"),
    ("CLUSTERDOWN", QueueUnavailable, "the Redis Cluster is down"),
    ("TRYAGAIN", QueueUnavailable, "the Redis Cluster is moving the queue's slot"),
    ("UNBLOCKED", QueueUnavailable, "the Redis server gave up a blocked call, its role changed"),
    ("SVCJOBS CORRUPT", CorruptKey, ""),
    ("SVCJOBS INVALID", ConfigurationError, ""),
    ("SVCJOBS ABANDONED", RequestAbandoned, ""),
    ("WRONGTYPE", CorruptKey, ""),
)
_REFUSALS: tuple[tuple[type[Exception], type[JobsError], str], ...] = (
    (exceptions.AuthenticationError, CredentialsRefused, "the credentials"),
    (exceptions.NoPermissionError, QueueRefused, "the command"),
    (exceptions.ResponseError, QueueRefused, "the call"),
)


def translate(error: Exception) -> JobsError:
    """Our error for what redis-py raised, or ours itself. Its text never holds an address with a password."""
    if isinstance(error, JobsError):
        return error
    text = str(error)
    if refusal := _refusal(text):
        return refusal
    for raised, kind, message in _BY_CLASS:
        if isinstance(error, raised):
            return kind(message)
    for sign, kind, message in _BY_TEXT:
        if sign in text:
            return kind(message or text.partition("SVCJOBS ")[2] or text)
    for raised, kind, what in _REFUSALS:
        if isinstance(error, raised):
            return kind(f"the Redis server refused {what}: {text}")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return QueueUnavailable("the Redis server didn't answer in time")
    return QueueUnavailable(f"the Redis server can't be reached: {text or type(error).__name__}")


def _refusal(text: str) -> JobsError | None:
    """What a script of ours said, with values of its own in it."""
    if "SVCJOBS DEAD" in text:
        job_id = text.partition("SVCJOBS DEAD ")[2].partition(" script:")[0]
        return JobIsDead(f"job {job_id} is in the dead letter queue: requeue or purge it before you enqueue it again")
    if "SVCJOBS AHEAD" in text:
        ahead_seconds, server_at = text.partition("SVCJOBS AHEAD ")[2].split()[:2]
        return ClockSkew(float(ahead_seconds), float(server_at))
    return None


def is_passing(error: JobsError) -> bool:
    """Whether the same call may succeed a moment later."""
    return isinstance(error, QueueUnavailable) and not isinstance(error, RequestAbandoned)
