"""One typed stub for each script: its arguments in, its reply as values out. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from svcjobs._redis.codec import Argument, decode_job, pairs, read_instant, seconds_text, wire_id
from svcjobs._redis.scripts import Script, script
from svcjobs.clock import utc
from svcjobs.errors import CorruptKey
from svcjobs.job import LONGEST_SECONDS, MOST_SECONDS_AHEAD, YEAR_9999, Job, Place
from svcjobs.settlement import HISTORY_ERROR_CHARS, Ack, Bury, Fail, Outcome, Release, verdict_error
from svcjobs.stats import TOTALS, QueueStats

T = TypeVar("T")
Request = tuple[str, int]
EFFECTS_AT_ONCE = 100
"""Effects of other slots that a relay reads, and drops, in one call."""
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


class Call(NamedTuple, Generic[T]):
    """A script call. A tuple, as are replies: they are made faster than frozen dataclasses.

    Args:
        script: what is run.
        keys: they decide the server.
        args: the script's others.
        read: turns the raw reply into the result.
        stores: whether its success is a promise that jobs are stored.
    """

    script: Script
    keys: tuple[str, ...]
    args: Sequence[Argument]
    read: Callable[[Any], T]
    stores: bool = False


Program: TypeAlias = Generator[Call[Any], Any, T]
"""An operation: it yields calls and gets their results sent in. It does no I/O, so each kind of queue can drive it."""


class Stored(NamedTuple):
    """What an enqueue stored: the server's time and, per job, its id and whether it is new."""

    now: float
    jobs: list[tuple[str, bool]]


class Reserved(NamedTuple):
    """What a reserve leased, seconds to the next due job, and how many effects wait for a relay."""

    jobs: list[Job]
    next_due_seconds: float | None
    effects: int


def enqueue(prefix: str, now: str, request: Request, jobs: Sequence[Argument]) -> Call[Stored]:
    """Store jobs, given as name, payload and options each."""
    return Call(script("enqueue"), (prefix,), (now, *request, *jobs), _read_stored, stores=True)


def claim_tick(
    prefix: str, now: str, request: Request, name: str, tick_at: float, job: Sequence[Argument]
) -> Call[Stored | None]:
    """Take a tick and store its job (name, payload, options) if there is one."""

    def read(reply: bytes) -> Stored | None:
        return _read_stored(reply) if reply else None

    args = (now, *request, name, f"{tick_at:.17g}", MOST_SECONDS_AHEAD, *job)
    return Call(script("claim_tick"), (prefix,), args, read)


def reserve(
    prefix: str, now: str, request: Request, visibility_timeout: float, limit: int, lowest_first: bool
) -> Call[Reserved]:
    """Lease up to ``limit`` jobs."""

    def read(reply: list[Any]) -> Reserved:
        jobs = []
        for job_id, lease, verdict, attempts, fields in reply[3:]:
            job = decode_job(prefix, job_id, fields)
            job.lease = lease.decode()
            job.reason = job.dead_at = None
            job.verdict = verdict.decode() or job.verdict
            if job.verdict:
                job.last_error = verdict_error(job.verdict, attempts) or job.last_error
            if job.verdict != "corrupt":
                job.attempts = attempts
            elif job.last_error is None:
                job.last_error = "the job's hash is missing or has no readable name, payload or counts"
            jobs.append(job)
        return Reserved(jobs, float(reply[1]) if reply[1] else None, reply[2])

    args = (now, *request, seconds_text(visibility_timeout), limit, int(lowest_first))
    return Call(script("reserve"), (prefix,), args, read)


def ack(prefix: str, now: str, request: Request, acks: Sequence[tuple[Ack, list[Argument]]]) -> Call[list[Outcome]]:
    """Remove finished jobs; each comes with its encoded effects."""
    args: list[Argument] = [now, *request]
    for item, effects in acks:
        args += (wire_id(item.job.id), item.job.lease or "", *effects)
    return Call(script("ack"), (prefix,), args, _read_outcomes)


def fail(prefix: str, now: str, request: Request, fails: Sequence[tuple[Fail, list[Argument]]]) -> Call[list[Outcome]]:
    """Retry or bury failed jobs; each comes with its encoded effects."""
    args: list[Argument] = [now, *request]
    for item, effects in fails:
        job, limits = item.job, item.job.changed_limits
        args += (wire_id(job.id), job.lease or "", item.error, item.traceback or "", _history_error(item.error))
        args.append(_delay(item))
        args += (limits[0], seconds_text(limits[1])) if limits else ("", "")
        args += effects
    return Call(script("fail"), (prefix,), args, _read_outcomes)


def bury(prefix: str, now: str, request: Request, buries: Sequence[tuple[Bury, list[Argument]]]) -> Call[list[Outcome]]:
    """Put jobs in the dead letter queue; each comes with its encoded effects."""
    args: list[Argument] = [now, *request]
    for item, effects in buries:
        args += (wire_id(item.job.id), item.job.lease or "", item.reason, item.error, item.traceback or "")
        # a verdict is no attempt: the one that it judges is in the history already
        problem = f"{item.reason}: {item.error}" if item.error else item.reason
        args += ("" if item.job.verdict else _history_error(problem), *effects)
    return Call(script("bury"), (prefix,), args, _read_outcomes)


def release(prefix: str, now: str, request: Request, releases: Sequence[Release]) -> Call[list[Outcome]]:
    """Give jobs back."""
    args: list[Argument] = [now, *request]
    for item in releases:
        uncharged = "" if item.job.verdict in ("exhausted", "worker_lost", "cancelled") else "0"
        args += (wire_id(item.job.id), item.job.lease or "", repr(item.delay_seconds))
        args += ("1" if item.charged else uncharged, int(item.suspect))
    return Call(script("release"), (prefix,), args, _read_outcomes)


def extend(prefix: str, now: str, request: Request, seconds: float, jobs: Sequence[Job]) -> Call[list[Outcome]]:
    """Let leases run out ``seconds`` from now."""
    args: list[Argument] = [now, *request, repr(seconds)]
    for job in jobs:
        args += (wire_id(job.id), job.lease or "")
    return Call(script("extend"), (prefix,), args, _read_outcomes)


def cancel(prefix: str, now: str, request: Request, ids: Sequence[str]) -> Call[list[str]]:
    """Cancel jobs; per id ``cancelled``, ``cancelling``, ``dead`` or ``missing``."""
    args = (now, *request, *map(wire_id, ids))
    return Call(script("cancel"), (prefix,), args, lambda reply: reply.decode().split("\n"))


def promote(prefix: str, now: str, limit: int) -> Call[int]:
    """Move due delayed jobs to the ready lists."""
    return Call(script("promote"), (prefix,), (now, limit), int)


def reclaim(prefix: str, now: str, limit: int) -> Call[int]:
    """Move jobs whose lease ran out to the ready lists."""
    return Call(script("reclaim"), (prefix,), (now, limit), int)


def requeue(
    prefix: str, now: str, request: Request, ids: Sequence[str], oldest_first: bool
) -> Call[list[tuple[str, datetime | None]]]:
    """Make dead jobs ready; per id ``requeued`` and its ``available_at``, or ``taken``, ``alive`` or ``missing``."""

    def read(line: bytes) -> tuple[str, datetime | None]:
        word, _, available_at = line.partition(b" ")
        return word.decode(), read_instant(available_at)

    args = (now, *request, int(oldest_first), *map(wire_id, ids))
    return Call(script("requeue"), (prefix,), args, lambda reply: [read(line) for line in reply.split(b"\n")])


def purge(prefix: str, place: str, limit: int, ids: Sequence[str] = ()) -> Call[int]:
    """Remove jobs of a place: ``ready``, ``delayed`` or ``dlq``, of which it may be certain ids."""
    return Call(script("purge"), (prefix,), (place, limit, *map(wire_id, ids)), int)


def pause(prefix: str, now: str) -> Call[int]:
    """Hand out no more jobs."""
    return Call(script("pause"), (prefix,), (now,), int)


def resume(prefix: str) -> Call[int]:
    """Hand out jobs again."""
    return Call(script("resume"), (prefix,), (), int)


def place(prefix: str, job_id: str) -> Call[Place | None]:
    """Where a job lies."""
    return Call(script("place"), (prefix,), (wire_id(job_id),), lambda reply: reply.decode() or None)


def read(
    prefix: str, ids: Sequence[str] = (), *, place: Place | Literal["oldest"] | None = None, offset: int = 0,
    limit: int = 0,
) -> Call[list[Job]]:  # fmt: skip
    """The stored jobs of ``ids``, or a page of a place; ``oldest`` are the dead ones, the oldest first."""

    def decode(reply: list[Any]) -> list[Job]:
        jobs = []
        for job_id, kind, fields in reply:
            if kind == b"none" and place is None:
                continue
            job = decode_job(prefix, job_id, fields)
            if kind != b"hash":
                job.last_error = f"the job's key is a {kind.decode()}, no hash"
            jobs.append(job)
        return jobs

    args = (place or "", offset, limit, *map(wire_id, ids))
    return Call(script("read"), (prefix,), args, decode)


def stats(prefix: str, now: str) -> Call[QueueStats]:
    """How much lies where."""

    def decode(reply: list[Any]) -> QueueStats:
        at, delayed, in_flight, dead, paused, next_delayed, ready, totals = reply
        depths = {int(ready[i]): int(ready[i + 1]) for i in range(0, len(ready), 3)}
        due = [instant for i in range(2, len(ready), 3) if (instant := read_instant(ready[i]))]
        return QueueStats(
            queue=prefix,
            at=utc(float(at)),
            ready=sum(depths.values()),
            delayed=delayed,
            in_flight=in_flight,
            dead=dead,
            paused=bool(paused),
            oldest_ready_age_seconds=max(0.0, float(at) - min(due).timestamp()) if due else None,
            next_delayed_at=_calendar(float(next_delayed)) if next_delayed else None,
            ready_by_priority={priority: depth for priority, depth in depths.items() if depth},
            totals=dict.fromkeys(TOTALS, 0)
            | {name.decode(): int(total) for name, total in pairs(totals) if total.lstrip(b"-").isdigit()},
        )

    return Call(script("stats"), (prefix,), (now,), decode)


def last_tick(prefix: str, name: str) -> Call[float | None]:
    """The latest tick taken for a schedule."""

    def read(reply: bytes | None) -> float | None:
        try:
            return None if reply is None else float(reply)
        except ValueError:
            raise CorruptKey(f"{prefix}:ticks holds no number for {name}: HDEL that field") from None

    return Call(script("last_tick"), (prefix,), (name,), read)


def waiting_effects(prefix: str, limit: int) -> Call[list[bytes]]:
    """The oldest effects that wait for a relay."""
    return Call(script("waiting_effects"), (prefix,), (limit,), list)


def relay(key: str, now: str, done_key: str, effect: Sequence[bytes]) -> Call[int]:
    """Carry out one effect in the slot of ``key``."""
    return Call(script("relay"), (key,), (now, done_key, 1, *effect), int)


def forget_effect(prefix: str, blobs: Sequence[bytes], *, refused: bool = False) -> Call[int]:
    """Drop effects that were relayed, or put those aside that were refused."""
    return Call(script("forget_effect"), (prefix,), (int(refused), *blobs), int)


def _calendar(seconds: float) -> datetime | None:
    """The instant, unless somebody wrote one that no calendar has."""
    return utc(seconds) if 0 <= seconds <= YEAR_9999 else None


def _read_stored(reply: bytes) -> Stored:
    now, *lines = reply.decode("utf-8", "surrogateescape").split("\n")
    return Stored(float(now), [(job_id, flag == "1") for job_id, flag in pairs(lines)])


def _read_outcomes(reply: bytes) -> list[Outcome]:
    return [_OUTCOMES[line] for line in reply.decode().split("\n")]


def _history_error(error: str) -> str:
    return json.dumps(error[:HISTORY_ERROR_CHARS], ensure_ascii=False)


def _delay(item: Fail) -> str:
    if item.delay_seconds is not None:
        return repr(float(item.delay_seconds))
    if item.job.retry is not None:
        delay = item.job.retry.delay_seconds(item.job.attempts, item.job.backoff_seconds)
        return repr(min(delay, LONGEST_SECONDS))
    return ""
