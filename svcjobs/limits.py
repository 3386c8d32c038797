"""How long a handler may run, and what a pool can enforce of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from svcjobs.errors import ConfigurationError, JobTimeoutError, SoftTimeLimitExceeded
from svcjobs.job import LONGEST_SECONDS, Job

HARD_LIMIT_POOLS = ("prefork",)
SoftError: TypeAlias = Callable[[Job, float], Exception]
"""Makes, when the soft limit of a job is over, what is raised in its handler. Its class can be made without arguments
too."""
Alarm: TypeAlias = tuple[float, Callable[[], Exception]]
"""Seconds that a handler has run, and what makes the error that is raised in it then."""


def soft_limit_error(job: Job, seconds: float) -> Exception:
    """What is raised unless an application has another error."""
    return SoftTimeLimitExceeded(job.name, seconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of handlers, in seconds; None is without.

    Args:
        soft_seconds: after which SoftTimeLimitExceeded is raised in the handler.
        hard_seconds: after which the job has failed and its process is killed.
        timeout_seconds: JOB_DEFAULT_TIMEOUT_SECONDS: after which the job has failed with JobTimeoutError.
        soft_error: makes what is raised at the soft limit; the application may have another one.

    Raises:
        ConfigurationError: a limit isn't positive, or is too long, or the hard one isn't above the soft one.
    """

    soft_seconds: float | None = None
    hard_seconds: float | None = None
    timeout_seconds: float | None = None
    soft_error: SoftError = soft_limit_error

    def __post_init__(self) -> None:
        for name in ("soft_seconds", "hard_seconds", "timeout_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not _is_limit(seconds):
                raise ConfigurationError(
                    f"{name} is {seconds!r}: give a positive number of seconds, at most {LONGEST_SECONDS}, or None"
                )
        if self.soft_seconds is not None and self.hard_seconds is not None and self.hard_seconds <= self.soft_seconds:
            raise ConfigurationError(
                f"the hard time limit ({self.hard_seconds:g} s) must be above the soft one ({self.soft_seconds:g} s): "
                "else no handler would see the soft one"
            )

    def check_pool(self, pool: str) -> None:
        """Refuse what ``pool`` can't enforce.

        Raises:
            ConfigurationError: a hard limit, which ends a process, in a pool that has several jobs in one.
        """
        if self.hard_seconds is not None and pool not in HARD_LIMIT_POOLS:
            raise ConfigurationError(
                f"the pool {pool} can't enforce a hard time limit, which kills the process of the job: "
                "use -P prefork (--pool prefork), or a soft limit"
            )

    def alarms(self, job: Job) -> Sequence[Alarm]:
        """What is raised inside a handler, and when, the first one first."""
        soft, timeout = self.soft_seconds, self.timeout_seconds
        alarms: list[Alarm] = []
        if soft is not None and (timeout is None or soft <= timeout):
            alarms.append((soft, partial(self.soft_error, job, soft)))
        if timeout is not None:
            alarms.append((timeout, partial(JobTimeoutError, job.name, timeout)))
        return alarms


def limits_of(job: Job, defaults: Limits, *, kills: bool) -> Limits:
    """The limits of one job: its own, else those of its worker.

    Args:
        job: a reserved job.
        defaults: the worker's.
        kills: whether the pool can end the process of this job alone. Where it can't, a hard limit that the job
            carries is raised in its handler as a soft one: that is closer to what was asked for than no limit.
    """
    if job.soft_time_limit_seconds is None and job.time_limit_seconds is None:
        return defaults
    soft = job.soft_time_limit_seconds if _is_limit(job.soft_time_limit_seconds) else defaults.soft_seconds
    hard = job.time_limit_seconds if _is_limit(job.time_limit_seconds) else defaults.hard_seconds
    if hard is not None and not kills:
        soft, hard = hard if soft is None else min(soft, hard), None
    if soft is not None and hard is not None and soft >= hard:
        soft = None  # one of them is the worker's: the handler would never see the soft one
    return Limits(soft, hard, defaults.timeout_seconds, defaults.soft_error)


def _is_limit(seconds: float | None) -> bool:
    """Whether a timer can be set to it; a message of other software may carry anything."""
    return seconds is not None and 0 < seconds <= LONGEST_SECONDS
