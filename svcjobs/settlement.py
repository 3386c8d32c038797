"""The ways in which a reserved job can end: one class a verb, so that a batch can hold any mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from svcjobs.effects import Effect
from svcjobs.errors import InvalidJob
from svcjobs.job import Job, check_seconds

ERROR_CHARS = 4096
TRACEBACK_CHARS = 16384
HISTORY_ERROR_CHARS = 500


def clip(text: str, limit: int) -> str:
    """Text that any backend can store: no lone surrogates, at most ``limit`` characters, the end being kept.

    Raises:
        InvalidJob: it isn't text.
    """
    if not isinstance(text, str):
        raise InvalidJob(f"an error, reason or traceback is a {type(text).__name__}: give text, such as str(error)")
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else "…" + text[1 - limit :]


def verdict_error(verdict: str, attempts: int) -> str | None:
    """What a reserve says of a job that it doesn't let run, as the job's last error; None leaves that as it is."""
    if verdict == "worker_lost":
        return f"the worker of attempt {attempts} was lost: its lease ran out"
    if verdict == "cancelled":
        return f"cancelled; the worker of attempt {attempts} was lost"
    return None


class Outcome(StrEnum):
    """What became of a settlement, an extension or a cancel.

    ``STALE``: the lease was lost, nothing was changed. ``CANCELLED``: somebody cancelled the job, which is now in
    the dead letter queue (of an extension: end its handler; the lease was extended for that). ``CANCELLING``: a
    worker has the job that is to be cancelled, and will learn of it.
    """

    ACKED = "acked"
    RETRIED = "retried"
    BURIED = "buried"
    RELEASED = "released"
    EXTENDED = "extended"
    STALE = "stale"
    CANCELLED = "cancelled"
    CANCELLING = "cancelling"


@dataclass(slots=True)
class Ack:
    """Done: remove the job."""

    job: Job
    effects: Sequence[Effect] = ()

    def __post_init__(self) -> None:
        if type(self.effects) is not tuple:
            self.effects = tuple(self.effects)


@dataclass(slots=True)
class Fail:
    """The attempt failed: retry after a delay, or bury the job (reason ``exhausted``) after its last attempt.

    ``delay_seconds`` replaces the job's own backoff.
    """

    job: Job
    error: str = ""
    traceback: str | None = None
    delay_seconds: float | None = None
    effects: Sequence[Effect] = ()

    def __post_init__(self) -> None:
        if self.delay_seconds is not None:
            check_seconds(self.delay_seconds, "delay_seconds")
        self.effects = tuple(self.effects)
        self.error = clip(self.error, ERROR_CHARS)
        self.traceback = None if self.traceback is None else clip(self.traceback, TRACEBACK_CHARS)


@dataclass(slots=True)
class Bury:
    """No further attempt: to the dead letter queue, with a reason.

    ``logged`` says that the application has told of it in the log, so that the worker doesn't once more.
    """

    job: Job
    reason: str
    error: str = ""
    traceback: str | None = None
    effects: Sequence[Effect] = ()
    logged: bool = False

    def __post_init__(self) -> None:
        self.reason = clip(self.reason, HISTORY_ERROR_CHARS)
        self.effects = tuple(self.effects)
        self.error = clip(self.error, ERROR_CHARS)
        self.traceback = None if self.traceback is None else clip(self.traceback, TRACEBACK_CHARS)


@dataclass(slots=True)
class Release:
    """Give the job back unrun: no attempt is charged, it is first in line again (or after ``delay_seconds``).

    With ``charged`` the attempt counts and the job goes to the back of the line. ``suspect`` says that the job's
    process died while it ran beside others: :attr:`Job.suspect <svcjobs.job.Job>` is set until its next settlement.
    """

    job: Job
    delay_seconds: float = 0
    charged: bool = False
    suspect: bool = False

    def __post_init__(self) -> None:
        check_seconds(self.delay_seconds, "delay_seconds")


Settlement = Ack | Fail | Bury | Release
