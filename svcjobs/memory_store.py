"""What one queue in memory holds: its jobs, the places they lie in, and the unique keys they hold."""

from __future__ import annotations

import heapq
import threading
from collections import Counter, deque
from dataclasses import dataclass, replace

from svcjobs.clock import utc
from svcjobs.errors import ClockSkew, JobIsDead, UniqueConflict
from svcjobs.job import LOWEST_PRIORITY, MOST_SECONDS_AHEAD, Job, NewJob, Place, Unique, check_id, decode_payload
from svcjobs.settlement import HISTORY_ERROR_CHARS
from svcjobs.stats import TOTALS, QueueStats

HISTORY_CHARS = 8192


@dataclass(slots=True, eq=False)
class Record:
    """A job as it lies in memory.

    ``job`` is what ``enqueue`` returned: who edits it edits the stored job, as with the hash on Redis. Its
    payload is the exception, ``text`` holds that. ``charged`` tells whether the current lease counted as an
    attempt, ``lost`` whether the last attempt ended by a lease that ran out. ``cancel`` is the token of the attempt
    that is to be cancelled.
    """

    job: Job
    text: str
    retry_until: float | None = None
    place: Place = "ready"
    token: str | None = None
    lease_ends_at: float = 0
    charged: bool = False
    lost: bool = False
    cancel: str | None = None

    @property
    def cancelled(self) -> bool:
        """Whether a cancel was asked for of the attempt that holds the lease."""
        return self.cancel is not None and self.cancel == self.token

    def copy(self) -> Job:
        """The stored job as a value of its own, with its payload read anew."""
        job = self.job
        return replace(
            job,
            payload=decode_payload(self.text),
            headers=dict(job.headers),
            history=[dict(entry) for entry in job.history],
            stored_limits=(job.max_attempts, job.backoff_seconds),
        )

    def verdict(self, now: float) -> str | None:
        """Why the job can't run once more, or None."""
        if self.cancel is not None:
            return "cancelled"
        if self.job.attempts >= self.job.max_attempts:
            return "worker_lost" if self.lost else "exhausted"
        return "exhausted" if self.retry_until is not None and now > self.retry_until else None

    def remember(self, problem: str, now: float) -> None:
        """Add to the job's attempt history; the oldest entries give way past a few KiB."""
        history = self.job.history
        entry = {"attempt": self.job.attempts, "at": utc(now).isoformat(), "error": problem[:HISTORY_ERROR_CHARS]}
        history.append(entry)
        while len(history) > 1 and sum(len(entry["error"]) for entry in history) > HISTORY_CHARS:
            del history[0]


class UniqueKeys:
    """Which job holds which unique key."""

    def __init__(self) -> None:
        self._holders: dict[str, tuple[str, float | None]] = {}
        self._windows: list[tuple[float, str]] = []

    def holder(self, key: str, now: float) -> str | None:
        """The id of the job that holds ``key``."""
        while self._windows and self._windows[0][0] <= now:
            ends_at, expired = heapq.heappop(self._windows)
            if self._holders.get(expired, ("", None))[1] == ends_at:
                del self._holders[expired]
        return self._holders.get(key, (None, None))[0]

    def take(self, unique: Unique, job_id: str, now: float) -> None:
        """Give the key to ``job_id``, which must be free."""
        ends_at = None if unique.window_seconds is None else now + unique.window_seconds
        self._holders[unique.key] = (job_id, ends_at)
        if ends_at is not None:
            heapq.heappush(self._windows, (ends_at, unique.key))

    def take_back(self, unique: Unique | None, job_id: str, now: float) -> bool:
        """Give the key to a job that had it before; False when another one holds it.

        A window runs from the enqueue, so nothing is taken for one.
        """
        if unique is None or unique.scope == "window":
            return True
        holder = self.holder(unique.key, now)
        if holder is None:
            self.take(unique, job_id, now)
        return holder in (None, job_id)

    def free(self, unique: Unique | None, job_id: str) -> None:
        """Free the key if ``job_id`` holds it; a window stays until its time is up."""
        if unique is None or unique.scope == "window":
            return
        if self._holders.get(unique.key, ("", None))[0] == job_id:
            del self._holders[unique.key]


class MemoryStore:
    """The places of one queue, and the moves between them. The caller holds the lock.

    A delayed job and a lease are found by heaps, ready jobs lie in one deque a priority: a move costs
    O(log n) at most, whatever else is stored. Jobs due at the same instant go by id, as in a sorted set.
    """

    def __init__(self, name: str, lock: threading.RLock) -> None:
        self.name = name
        self.changed = threading.Condition(lock)
        self.records: dict[str, Record] = {}
        self.dead: dict[str, Record] = {}
        self.unique = UniqueKeys()
        self.ticks: dict[str, float] = {}
        self.totals: Counter[str] = Counter()
        self.paused = False
        self._ready: list[deque[Record]] = [deque() for _ in range(LOWEST_PRIORITY + 1)]
        self._delayed: list[tuple[float, str]] = []
        self._leases: list[tuple[float, str, str]] = []
        self._leased = 0
        self._last_id = 0
        self._last_lease = 0

    def next_id(self) -> str:
        """An id that no stored job has."""
        self._last_id += 1
        step = 1
        while str(self._last_id) in self.records:  # somebody chose it: jump, in growing steps
            self._last_id += step
            step *= 2
        return str(self._last_id)

    def find(self, job_id: str) -> Record | None:
        """The job of this id.

        Raises:
            InvalidJob: the id isn't text.
        """
        check_id(job_id)
        return self.records.get(job_id)

    def take_tick(self, name: str, tick_at: float, now: float) -> bool:
        """Take a tick of a schedule; False when it, or a later one, was taken already.

        Raises:
            ClockSkew: it lies too far ahead.
        """
        last = self.ticks.get(name)
        if last is not None and last >= tick_at:
            return False
        if tick_at - now > MOST_SECONDS_AHEAD:
            raise ClockSkew(tick_at - now, now)
        self.ticks[name] = tick_at
        return True

    def refuse_dead(self, new: NewJob) -> None:
        """Raise JobIsDead when the new job's id is one in the dead letter queue."""
        if new.job_id in self.dead:
            raise JobIsDead(f"job {new.job_id} is in the dead letter queue: requeue or purge it, then enqueue it again")

    def live_twin(self, new: NewJob, now: float) -> str | None:
        """The id of the job that is there instead of the new one, by its id or its unique key."""
        if new.job_id in self.records:
            return new.job_id
        if new.unique is None:
            return None
        holder = self.unique.holder(new.unique.key, now)
        return holder if new.unique.scope == "window" or holder in self.records else None

    def make_ready(self, record: Record, *, first: bool = False) -> None:
        """Put the job in line: at the end, or ``first``."""
        self.end_lease(record)
        self.dead.pop(record.job.id, None)
        record.place = "ready"
        line = self._ready[record.job.priority]
        if first:
            line.appendleft(record)
        else:
            line.append(record)
        self.changed.notify_all()

    def delay(self, record: Record, due_at: float) -> None:
        """Let the job wait until ``due_at``."""
        self.end_lease(record)
        record.place = "delayed"
        record.job.available_at = utc(due_at)
        heapq.heappush(self._delayed, (due_at, record.job.id))
        self.changed.notify_all()

    def take_ready(self, *, lowest_first: bool) -> Record | None:
        """The next ready job, taken out of line."""
        for line in reversed(self._ready) if lowest_first else self._ready:
            if line:
                return line.popleft()
        return None

    def lease(self, record: Record, nonce: str, ends_at: float) -> None:
        """Lease a job that was taken out of line, under a new token."""
        self._last_lease += 1
        self._leased += 1
        record.place = "leased"
        record.token = f"{self._last_lease}-{nonce}"
        self.extend(record, ends_at)

    def extend(self, record: Record, ends_at: float) -> None:
        """Let the job's lease end at ``ends_at``."""
        assert record.token is not None  # noqa: S101  (only a leased record comes here)
        record.lease_ends_at = ends_at
        heapq.heappush(self._leases, (ends_at, record.job.id, record.token))
        if len(self._leases) > 2 * self._leased + 64:  # most of them are of leases that ended or were extended
            self._leases = [entry for entry in self._leases if self._lease_of(entry) is not None]
            heapq.heapify(self._leases)
        self.changed.notify_all()

    def end_lease(self, record: Record) -> None:
        """Take the job's lease from it, if it has one."""
        if record.token is not None:
            self._leased -= 1
            record.token = None

    def bury(self, record: Record) -> None:
        """Put the job in the dead letter queue and free its unique key."""
        self.end_lease(record)
        record.place = "dead"
        record.lost, record.cancel = False, None
        self.dead[record.job.id] = record
        self.unique.free(record.job.unique, record.job.id)
        self.totals["buried"] += 1
        self.totals["cancelled"] += record.job.reason == "cancelled"

    def forget(self, record: Record) -> None:
        """Remove the job and free its unique key."""
        self.end_lease(record)
        del self.records[record.job.id]
        self.dead.pop(record.job.id, None)
        self.unique.free(record.job.unique, record.job.id)

    def take_out(self, record: Record) -> None:
        """Take a job from where it waits."""
        for line in self._ready:
            if record in line:
                line.remove(record)
        self._delayed = [entry for entry in self._delayed if entry[1] != record.job.id]
        heapq.heapify(self._delayed)

    def promote(self, now: float, limit: int) -> int:
        """Move due delayed jobs to the end of the line; returns how many."""
        moved = 0
        while moved < limit and self._delayed and self._delayed[0][0] <= now:
            _, job_id = heapq.heappop(self._delayed)
            self.make_ready(self.records[job_id])
            moved += 1
        return moved

    def reclaim(self, now: float, limit: int) -> int:
        """Move jobs whose lease ran out to the front of the line, the first to run out first; returns how many."""
        expired: list[Record] = []
        while len(expired) < limit and (entry := self._next_lease()) and entry[0] <= now:
            record = self.records[heapq.heappop(self._leases)[1]]
            self.end_lease(record)
            record.lost = True
            record.remember("worker_lost: the lease ran out", now)
            self.wait_unique(record, now)
            expired.append(record)
        for record in reversed(expired):
            self.make_ready(record, first=True)
        self.totals["reclaimed"] += len(expired)
        return len(expired)

    def requeue(self, record: Record, now: float) -> None:
        """Make a dead job ready again, with no attempts.

        Raises:
            UniqueConflict: another job holds its unique key.
        """
        job = record.job
        if not self.unique.take_back(job.unique, job.id, now):
            raise UniqueConflict(f"job {job.id} can't be requeued: another live job holds its unique key")
        record.retry_until = None
        job.attempts, job.available_at = 0, utc(now)
        job.reason = job.dead_at = None
        self.make_ready(record)
        self.totals["requeued"] += 1

    def wait_unique(self, record: Record, now: float) -> None:
        """Let a job that waits again take its ``queued`` key again, if it is still free."""
        unique = record.job.unique
        if unique is not None and unique.scope == "queued":
            self.unique.take_back(unique, record.job.id, now)

    def purge(self) -> int:
        """Remove all ready and delayed jobs; returns how many."""
        waiting = [record for line in self._ready for record in line]
        waiting += [self.records[job_id] for _, job_id in self._delayed]
        for line in self._ready:
            line.clear()
        self._delayed.clear()
        for record in waiting:
            self.forget(record)
        return len(waiting)

    def next_due_at(self) -> float | None:
        """When there is next a job to reserve: the past when one is ready, None when none will be."""
        if self.paused:
            return None
        if any(self._ready):
            return 0.0
        lease = self._next_lease()
        dues = [self._delayed[0][0]] if self._delayed else []
        dues += [lease[0]] if lease else []
        return min(dues, default=None)

    def lying_in(self, place: Place) -> list[Record]:
        """The jobs of a place: the next to be reserved or due first, the oldest lease, the newest of the dead."""
        match place:
            case "ready":
                return [record for line in self._ready for record in line]
            case "delayed":
                return [self.records[job_id] for _, job_id in sorted(self._delayed)]
            case "leased":
                leased = [record for record in self.records.values() if record.token is not None]
                return sorted(leased, key=lambda record: int((record.token or "").partition("-")[0]))
            case "dead":
                return list(reversed(self.dead.values()))

    def stats(self, now: float) -> QueueStats:
        """How much lies where."""
        oldest = min((line[0].job.available_at.timestamp() for line in self._ready if line), default=None)
        return QueueStats(
            queue=self.name,
            at=utc(now),
            ready=sum(map(len, self._ready)),
            delayed=len(self._delayed),
            in_flight=self._leased,
            dead=len(self.dead),
            paused=self.paused,
            oldest_ready_age_seconds=None if oldest is None else max(0.0, now - oldest),
            next_delayed_at=utc(self._delayed[0][0]) if self._delayed else None,
            ready_by_priority={priority: len(line) for priority, line in enumerate(self._ready) if line},
            totals={total: self.totals[total] for total in TOTALS},
        )

    def _next_lease(self) -> tuple[float, str, str] | None:
        while self._leases and self._lease_of(self._leases[0]) is None:
            heapq.heappop(self._leases)
        return self._leases[0] if self._leases else None

    def _lease_of(self, entry: tuple[float, str, str]) -> Record | None:
        ends_at, job_id, token = entry
        record = self.records.get(job_id)
        if record is None or record.token != token or record.lease_ends_at != ends_at:
            return None
        return record
