"""Every error that svcjobs raises, so that a caller can catch one family: ``except JobsError``."""

from __future__ import annotations


class JobsError(Exception):
    """The root of all errors raised by svcjobs."""


class ConfigurationError(JobsError, ValueError):
    """A setting, URL, target or schedule can't be used; the message says what to write instead."""


class InvalidJob(JobsError, ValueError):
    """A job was refused at enqueue, before anything was stored."""


class PayloadTooLarge(InvalidJob):
    """The encoded payload is over the queue's limit.

    Attributes:
        size_bytes: size of the encoded payload.
        limit_bytes: the queue's ``max_payload_bytes``.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the payload is {size_bytes} bytes, the queue takes at most {limit_bytes}: "
            "store the data elsewhere and enqueue a reference to it"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class LeaseLost(JobsError):
    """A settlement came without the current lease of its job; it was refused and changed nothing.

    Attributes:
        job_id: the job whose settlement was refused.
    """

    def __init__(self, job_id: str, why: str = "the job was reserved again, or settled, meanwhile") -> None:
        super().__init__(f"the lease of job {job_id} is lost: {why}")
        self.job_id = job_id


class JobNotFound(JobsError, LookupError):
    """No job has this id in the place it was looked for."""


class JobIsDead(JobsError):
    """A job with this id lies in the dead letter queue: requeue or purge it first."""


class UniqueConflict(JobsError):
    """Another live job holds the unique key of a job that was to be requeued."""


class QueueUnavailable(JobsError, ConnectionError):
    """Redis can't be reached, or doesn't answer in time. Whether the call took effect is unknown.

    Attributes:
        request: names an enqueue that failed so, for whoever makes it again; None of other calls.
    """

    request: tuple[str, int] | None = None


class QueueReadOnly(QueueUnavailable):
    """The server is a read-only replica, or refuses writes until its replicas or disk are back."""


class QueueLoading(QueueUnavailable):
    """The server is still loading its data set, or is blocked by a script."""


class RequestAbandoned(QueueUnavailable):
    """The call came after a later one of the same client, which had given it up: it did nothing, and never will."""


class DatabaseUnavailable(JobsError, ConnectionError):
    """The database of an outbox can't be reached, or failed in the middle of a call. What was pending stays pending."""


class TooFewReplicas(QueueUnavailable):
    """The job is stored, but not yet on as many replicas as was asked for: a fail-over may lose it.

    Attributes:
        wanted: how many replicas had to have it.
        acknowledged: how many said in time that they do.
    """

    def __init__(self, wanted: int, acknowledged: int) -> None:
        super().__init__(
            f"{acknowledged} replicas have stored the job in time, {wanted} were asked for: it may run, and a fail-over"
            " may lose it; enqueue it again with the same id to be sure"
        )
        self.wanted = wanted
        self.acknowledged = acknowledged


class QueueFull(JobsError):
    """The server is out of memory and refused the job; nothing was stored."""


class QueueRefused(JobsError):
    """The server refused the call: wrong password, missing permission, or a server that is too old."""


class CredentialsRefused(QueueRefused):
    """The server refused the user or the password: no call is taken until they are right."""


class CorruptKey(JobsError):
    """A key of the queue holds a type or value that it can't hold. The call changed nothing."""


class ClockSkew(JobsError):
    """A schedule's tick lies further ahead than clocks that are set may differ; it was not taken.

    Attributes:
        ahead_seconds: how far the tick lies ahead of the server's clock.
        server_at: the server's time, seconds since the epoch.
    """

    def __init__(self, ahead_seconds: float, server_at: float) -> None:
        super().__init__(f"this scheduler's clock runs ahead by {ahead_seconds:.0f} s: set it by NTP")
        self.ahead_seconds = ahead_seconds
        self.server_at = server_at


class UnknownJobError(JobsError):
    """No handler is registered for a job's name.

    Attributes:
        job_name: the name that has no handler.
    """

    def __init__(self, job_name: str) -> None:
        super().__init__(f"Unknown job type: {job_name}")
        self.job_name = job_name


class JobTimeoutError(JobsError, TimeoutError):
    """A handler ran longer than its timeout.

    Attributes:
        job_name: the job's name.
        timeout: the limit, in seconds.
    """

    def __init__(self, job_name: str, timeout: float) -> None:
        super().__init__(f"Job {job_name} exceeded timeout of {timeout}s")
        self.job_name = job_name
        self.timeout = timeout


class SoftTimeLimitExceeded(JobsError):
    """Raised inside a handler that ran longer than its soft limit: time to clean up, and to end.

    Attributes:
        job_name: the job's name; empty while the handler sees it in a thread, where no value can be carried in.
        limit_seconds: the limit.
    """

    def __init__(self, job_name: str = "", limit_seconds: float = 0.0) -> None:
        super().__init__(
            f"Job {job_name} exceeded its soft time limit of {limit_seconds:g} s" if job_name else "soft time limit"
        )
        self.job_name = job_name
        self.limit_seconds = limit_seconds


class TimeLimitExceeded(JobsError):
    """The failure of a job that ran longer than its hard limit; no handler sees it, its process is killed.

    Attributes:
        job_name: the job's name.
        limit_seconds: the limit.
    """

    def __init__(self, job_name: str, limit_seconds: float) -> None:
        super().__init__(f"Job {job_name} exceeded its hard time limit of {limit_seconds:g} s")
        self.job_name = job_name
        self.limit_seconds = limit_seconds


class SchemaMismatch(JobsError):
    """A payload doesn't fit the type its handler declares; the job is dead-lettered, not retried."""


class RetryLater(JobsError):
    """Raised by a handler: try this job again after ``delay_seconds`` (a Retry-After, for example).

    Attributes:
        delay_seconds: seconds to wait before the next attempt, in place of the job's own backoff.
    """

    def __init__(self, delay_seconds: float, message: str = "") -> None:
        super().__init__(message or f"retry in {delay_seconds} s")
        self.delay_seconds = delay_seconds


class Postponed(RetryLater):
    """Raised by a handler that has done nothing yet: give the job back for ``delay_seconds``, no attempt charged."""


class DeadLetter(JobsError):
    """Raised by a handler: no retry can help, put the job in the dead letter queue now.

    Attributes:
        reason: short machine-readable reason stored with the job.
    """

    def __init__(self, message: str, *, reason: str = "rejected") -> None:
        super().__init__(message)
        self.reason = reason


class WebhookFailed(JobsError):
    """A webhook wasn't taken, and a later attempt may succeed.

    Attributes:
        status: the receiver's HTTP status; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
