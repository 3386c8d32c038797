"""Errors and warnings, in Celery's hierarchy.

- :exc:`CeleryWarning`: what the application should look at.
- :exc:`CeleryError`: errors of the framework; :exc:`TaskError` those about one task.
- :exc:`TaskPredicate`: raised by a task to say what becomes of it (:exc:`Retry`, :exc:`Ignore`, :exc:`Reject`).
- :exc:`BackendError`: the result store failed.
- :exc:`WorkerShutdown`, :exc:`WorkerTerminate`: end the worker.
"""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn

from billiard.exceptions import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded, WorkerLostError
from click import ClickException
from kombu.exceptions import OperationalError

__all__ = (
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CDeprecationWarning",
    "CPendingDeprecationWarning",
    "CeleryCommandException",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "DuplicateNodenameWarning",
    "DuplicateTaskNameWarning",
    "FixupWarning",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotConfigured",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "RetryTaskError",
    "SecurityError",
    "SecurityWarning",
    "SoftTimeLimitExceeded",
    "SystemTerminate",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "UnsupportedSettingWarning",
    "WorkerLostError",
    "WorkerShutdown",
    "WorkerTerminate",
    "reraise",
)


def reraise(tp: type[BaseException], value: BaseException, tb: TracebackType | None = None) -> NoReturn:
    """Raise `value`, with `tb` as its traceback."""
    if value.__traceback__ is not tb:
        raise value.with_traceback(tb)
    raise value


class CeleryWarning(UserWarning):
    """Base of all warnings of the framework."""


class AlwaysEagerIgnored(CeleryWarning):
    """``send_task`` sends a message, whatever ``task_always_eager`` says."""


class DuplicateNodenameWarning(CeleryWarning):
    """Several workers answered by the same name."""


class DuplicateTaskNameWarning(CeleryWarning):
    """Two tasks were registered by one name."""


class FixupWarning(CeleryWarning):
    """A fixup (Django) couldn't do its work."""


class NotConfigured(CeleryWarning):
    """There is no configuration module."""


class SecurityWarning(CeleryWarning):
    """Something in the set-up is a risk."""


class UnsupportedSettingWarning(CeleryWarning):
    """A setting of Celery has no effect here; the text says what happens instead."""


class CPendingDeprecationWarning(PendingDeprecationWarning):
    """Something will be deprecated."""


class CDeprecationWarning(DeprecationWarning):
    """Something is deprecated."""


class CeleryError(Exception):
    """Base of all errors of the framework."""


class ImproperlyConfigured(CeleryError):
    """The configuration has an error, or lacks something."""


class SecurityError(CeleryError):
    """A message isn't signed by somebody trusted, or security isn't set up."""


class TaskPredicate(CeleryError):
    """Base of what a task raises to say what becomes of it."""


class Retry(TaskPredicate):
    """The task is to run again, later. Raised by ``Task.retry``.

    :param message: what the user reads.
    :param exc: the exception that caused it, or its representation.
    :param when: seconds from now, or an instant.
    :param is_eager: the task runs in the process of the caller.
    :param sig: the signature that will run again.
    """

    message: str | None = None
    exc: BaseException | None = None
    when: float | datetime | None = None

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
    ) -> None:
        self.message = message
        if exc is None or isinstance(exc, str):
            self.exc, self.excs = None, exc
        else:
            # serialization imports exceptions through the loggers of its own imports
            from svcjobs_celery_compat.utils.serialization import get_pickleable_exception

            self.exc, self.excs = get_pickleable_exception(exc), _safe_repr(exc)
        self.when = when
        self.is_eager = is_eager
        self.sig = sig
        super().__init__(message, exc, when)

    def humanize(self) -> str:
        """Return when the task runs again, for a reader: ``in 3s`` or ``at <instant>``."""
        if isinstance(self.when, (int, float)):
            return f"in {self.when}s"
        return f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        if self.excs:
            return f"Retry {self.humanize()}: {self.excs}"
        return f"Retry {self.humanize()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.message, self.exc, self.when)


RetryTaskError = Retry


def _safe_repr(exc: BaseException) -> str:
    from kombu.utils.encoding import safe_repr

    return str(safe_repr(exc))


class Ignore(TaskPredicate):
    """The task's state isn't to be stored: somebody else does that."""


class Reject(TaskPredicate):
    """The message of the task is to be rejected; takes effect with ``acks_late``.

    :param reason: for the log.
    :param requeue: put the message back on its queue, instead of dead-lettering it.
    """

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(reason, requeue)

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class TaskError(CeleryError):
    """Base of errors about one task."""


class QueueNotFound(KeyError, TaskError):
    """A task is routed to a queue that isn't in ``task_queues``."""


class IncompleteStream(TaskError):
    """The end of a stream of data was reached too soon."""


class NotRegistered(KeyError, TaskError):
    """There is no task of that name."""

    def __repr__(self) -> str:
        return f"Task of kind {super().__str__()} never registered, please make sure it's imported."


class AlreadyRegistered(TaskError):
    """There is a task of that name already."""


class TimeoutError(TaskError):
    """The result wasn't there in time."""


class MaxRetriesExceededError(TaskError):
    """A task was to be retried more often than it may be.

    :param task_args: positional arguments of the task.
    :param task_kwargs: keyword arguments of the task.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.task_args = kwargs.pop("task_args", [])
        self.task_kwargs = kwargs.pop("task_kwargs", {})
        super().__init__(*args, **kwargs)


class TaskRevokedError(TaskError):
    """The task was revoked, so there is no result."""


class InvalidTaskError(TaskError):
    """The message of a task can't be read."""


class ChordError(TaskError):
    """A task of a chord's header failed, or the chord can't be completed."""


class BackendError(Exception):
    """Base of errors of the result store."""


class BackendGetMetaError(BackendError):
    """A result couldn't be read.

    :param task_id: of the task whose result it was.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.task_id = kwargs.get("task_id", "")
        super().__init__(*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()} task_id:{self.task_id}"


class BackendStoreError(BackendError):
    """A result couldn't be written.

    :param state: that was to be stored.
    :param task_id: of the task whose result it was.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state = kwargs.get("state", "")
        self.task_id = kwargs.get("task_id", "")
        super().__init__(*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()} state:{self.state} task_id:{self.task_id}"


class WorkerTerminate(SystemExit):
    """The worker is to end at once."""


SystemTerminate = WorkerTerminate


class WorkerShutdown(SystemExit):
    """The worker is to finish what it runs, and end."""


class CeleryCommandException(ClickException):
    """A command line failed.

    :param message: what the user reads.
    :param exit_code: of the process.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message=message)
        self.exit_code = exit_code  # type: ignore[misc]  # of click a class variable, which it reads from the object
