"""What a queue promises, whichever backend keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from svcjobs.effects import Effect
from svcjobs.job import Job, NewJob, Place, Unique
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.retry import RetryPolicy
from svcjobs.settlement import Ack, Bury, Fail, Outcome, Release, Settlement
from svcjobs.stats import QueueStats

__all__ = [
    "Ack", "Bury", "Fail", "InMemoryJobQueue", "Job", "JobQueue", "NewJob", "Outcome", "QueueStats",
    "Release", "RetryPolicy", "Settlement", "Unique",
]  # fmt: skip


@runtime_checkable
class JobQueue(Protocol):
    """A durable queue of jobs with leases, delays, retries and a dead letter queue.

    Every method is safe to call from several threads. Durations are seconds, instants aware datetimes in
    UTC. A backend on a server raises :class:`~svcjobs.errors.QueueUnavailable` (or a subclass) within its
    time-out when the server doesn't answer, and :class:`~svcjobs.errors.CorruptKey`, having changed
    nothing, when a key of the queue can't be what it should be.
    """

    @property
    def name(self) -> str:
        """The queue's name, which is its key prefix."""
        ...

    @property
    def visibility_timeout(self) -> float:
        """How long a lease lasts, in seconds, unless it is extended."""
        ...

    def enqueue(
        self,
        name: str,
        payload: dict[str, Any] | None = None,
        *,
        delay_seconds: float = 0,
        max_attempts: int | None = None,
        backoff_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        job_id: str | None = None,
        unique: Unique | None = None,
        priority: int = 0,
        headers: dict[str, str] | None = None,
        soft_time_limit_seconds: float | None = None,
        time_limit_seconds: float | None = None,
    ) -> Job:
        """Store one job; the arguments are those of :class:`~svcjobs.job.NewJob`.

        Returns the job as stored. When a live job has the same ``job_id`` or ``unique`` key, nothing is
        stored and a job with that one's id and ``created == False`` is returned.

        Raises:
            InvalidJob: an argument is out of range, or JSON can't hold the payload.
            PayloadTooLarge: the payload is over the queue's limit.
            JobIsDead: ``job_id`` belongs to a job in the dead letter queue.
            QueueFull: the server is out of memory; nothing was stored.
        """
        ...

    def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Store many jobs, in order; answers and errors as :meth:`enqueue`.

        Arguments and payloads of all are checked before the first is stored. Batches of the backend's batch size (500
        on Redis) are atomic: what a later one raises leaves the earlier ones stored, so give each job a ``job_id`` to
        be able to call again.
        """
        ...

    def reserve_next(self) -> Job | None:
        """Take the next job and lease it to the caller for ``visibility_timeout``, or return None.

        Moves due delayed jobs and jobs whose lease ran out to the ready list first. ``attempts`` of the
        returned job counts this attempt. A job past its limit or unreadable is buried on the way.
        """
        ...

    def reserve_many(self, limit: int, *, verdicts: bool = False, lowest_first: bool = False) -> list[Job]:
        """Take up to ``limit`` jobs, as :meth:`reserve_next`.

        After a call that has raised, the next one gets the jobs that were leased by that one, if any: as many as that
        asked for.

        With ``verdicts`` a job that is past its limit or unreadable isn't buried but returned, leased, with
        ``Job.verdict`` set, for the caller to bury with effects of its own. ``lowest_first`` reverses the
        order of priorities, for a fetch now and then that keeps low ones from starving.
        """
        ...

    def ack(self, job: Job | str, *, effects: Sequence[Effect] = ()) -> None:
        """The job is done: remove it and commit ``effects`` in the same step.

        An id stands for the job that this queue object reserved last under it.

        Raises:
            LeaseLost: the lease isn't current any more, or no lease is known for the id.
        """
        ...

    def fail(
        self,
        job: Job | str,
        *,
        error: str | None = None,
        traceback: str | None = None,
        delay_seconds: float | None = None,
        effects: Sequence[Effect] = (),
    ) -> Outcome:
        """The attempt failed: ``RETRIED`` after the job's backoff (or ``delay_seconds``), ``BURIED`` or ``CANCELLED``.

        Raises:
            LeaseLost: as :meth:`ack`.
        """
        ...

    def bury(
        self,
        job: Job | str,
        *,
        reason: str,
        error: str | None = None,
        traceback: str | None = None,
        effects: Sequence[Effect] = (),
    ) -> None:
        """Put the job in the dead letter queue, whatever attempts it has left.

        Raises:
            LeaseLost: as :meth:`ack`.
        """
        ...

    def release(
        self, job: Job | str, *, delay_seconds: float = 0, charged: bool = False, suspect: bool = False
    ) -> None:
        """Give the job back unrun: its attempt isn't charged unless ``charged``. One that was cancelled is dead then.

        ``suspect`` marks it for the next worker, which is to run it with nothing beside it; see
        :class:`~svcjobs.settlement.Release`.

        Raises:
            LeaseLost: as :meth:`ack`.
        """
        ...

    def settle_many(self, settlements: Sequence[Settlement]) -> list[Outcome]:
        """Settle a batch of any mix. A lost lease is the outcome ``STALE`` of its job and no error."""
        ...

    def extend(self, job: Job | str, *, seconds: float | None = None) -> Outcome:
        """Let the lease run out ``seconds`` (default: ``visibility_timeout``) from now.

        Returns ``EXTENDED``, or ``CANCELLED`` when :meth:`cancel` hit this attempt: it should end soon.

        Raises:
            LeaseLost: as :meth:`ack`.
        """
        ...

    def extend_many(self, jobs: Sequence[Job], *, seconds: float | None = None) -> list[Outcome]:
        """Extend a batch: ``EXTENDED``, ``CANCELLED`` (as :meth:`extend`) or ``STALE`` for each.

        A stale one isn't counted: it is no settlement.
        """
        ...

    def cancel(self, job_id: str) -> Outcome:
        """End a job for good: it goes to the dead letter queue with the reason ``cancelled``, where it can be requeued.

        ``CANCELLED``: it waited, and is dead now (or was cancelled before). ``CANCELLING``: a worker has it; that
        attempt's lease is marked, and stays so whatever is restarted. The worker learns of it when it extends the
        lease, and cancels the handler where it can. A fail or release under that lease buries the job; an ack or bury
        stands, as does its effect. When the worker is gone, the next reserve buries the job unrun.

        Raises:
            JobNotFound: no job has this id; it may be done.
            JobIsDead: it is in the dead letter queue for another reason.
        """
        ...

    def cancel_many(self, job_ids: Sequence[str]) -> list[Outcome | None]:
        """Cancel jobs, each as :meth:`cancel`; None for one that isn't there or is dead for another reason.

        The whole batch isn't one step. Each waiting job is searched in a list, a millisecond in one of 100,000.
        """
        ...

    def promote(self, limit: int = 1000) -> int:
        """Move up to ``limit`` due delayed jobs to the ready list; returns how many were moved."""
        ...

    def reclaim(self, limit: int = 1000) -> int:
        """Move up to ``limit`` jobs whose lease ran out to the front of the ready list; returns how many."""
        ...

    def wait(self, seconds: float) -> bool:
        """Return when there may be a job to reserve, after ``seconds`` at the latest.

        True says that there is none yet, so that the caller may as well wait again.
        """
        ...

    def get(self, job_id: str) -> Job | None:
        """The stored job, wherever it is, or None."""
        ...

    def stats(self) -> QueueStats:
        """How much lies where, as one consistent picture."""
        ...

    def pause(self) -> None:
        """Hand out no more jobs, on any worker, until :meth:`resume`; what is leased runs on. Stored."""
        ...

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        ...

    def purge(self) -> int:
        """Remove all ready and delayed jobs; returns how many. Leased and dead ones stay."""
        ...

    def place(self, job_id: str) -> Place | None:
        """Where the job lies; None when no job has this id, such as one that is done."""
        ...

    def peek(self, place: Place, limit: int = 100, offset: int = 0) -> list[Job]:
        """A page of the jobs that lie in a place, for people to look at: none is reserved.

        Ready ones come in the order in which they will be reserved, delayed ones as they are due, leased ones by the
        age of their lease, dead ones the newest first.
        """
        ...

    def dead(self, limit: int = 100, offset: int = 0, *, oldest_first: bool = False) -> list[Job]:
        """A page of the dead letter queue, newest first, or oldest first: then jobs that die meanwhile move no page."""
        ...

    def requeue(self, job_id: str) -> Job:
        """Make a dead job ready again, with the same id and no attempts; a ready one is left as it is.

        Raises:
            JobNotFound: no job has this id.
            UniqueConflict: another live job holds its unique key.
        """
        ...

    def requeue_many(self, job_ids: Sequence[str]) -> list[bool]:
        """Make dead jobs ready again, in this order; for each, whether it was done.

        False is what isn't dead, or would be refused by :meth:`requeue`. The whole batch isn't one step. Each job is
        searched from the oldest end of the dead letter queue.
        """
        ...

    def requeue_all(self, limit: int | None = None) -> int:
        """Requeue the oldest ``limit`` dead jobs (all: None); returns how many.

        Those that :meth:`requeue` would refuse stay.
        """
        ...

    def purge_dead(self, job_id: str | Sequence[str] | None = None) -> int:
        """Remove one dead job, some, or all; returns how many. Some or all isn't one step."""
        ...

    def claim_tick(self, name: str, tick_at: float, job: NewJob | None = None) -> Job | None:
        """Take the tick of schedule ``name`` at ``tick_at`` (seconds since the epoch), once among all callers.

        In the same step ``job`` is enqueued. Returns that job (a placeholder named after the schedule when
        there is none), or None when this tick, or a later one, was taken already.

        Raises:
            ClockSkew: the tick is more than 60 s ahead of the server's clock; it wasn't taken.
        """
        ...

    def last_tick(self, name: str) -> float | None:
        """The latest tick taken for ``name``, seconds since the epoch."""
        ...

    def close(self) -> None:
        """Close the connections that the queue opened itself."""
        ...
