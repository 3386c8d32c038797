"""What the scenario tests share: workers of the chaos application on one queue, and what they wrote down."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.chaos.checker import Checker, Ending
from tests.chaos.fleet import Fleet, Process
from tests.chaos.history import LET_GO, Event, read
from tests.chaos.runs import Run, runs_of
from tests.eventually import eventually

FULL = bool(os.environ.get("SVCJOBS_FULL"))
"""Whether the scenarios run in the sizes that they name; in seconds otherwise."""


@dataclass(slots=True)
class Scene:
    """One queue, its workers, and the history of both.

    Args:
        client: of the server, direct.
        queue: the producer's.
        fleet: starts workers.
    """

    client: redis.Redis | redis.RedisCluster
    queue: RedisJobQueue
    fleet: Fleet

    def worker(self, *options: str, **arguments: Any) -> Process:
        """Start a worker, and wait until it fetches."""
        return self.fleet.worker("--no-beat", *options, **arguments).is_ready()

    def enqueue(self, name: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
        """Store a job, and write that down; returns its id."""
        history, ask, asked_at = self.fleet.history, str(uuid.uuid4()), time.monotonic()
        history.write("asked", job=options.get("job_id"), ask=ask)
        job = self.queue.enqueue(name, payload or {}, **options)
        history.write(
            "enqueued", job=job.id, ask=ask, created=job.created, due=asked_at + options.get("delay_seconds", 0.0),
            unique=None, max_attempts=job.max_attempts, backoff=_linear_backoff(job),
        )  # fmt: skip
        return job.id

    @property
    def events(self) -> list[Event]:
        """The history so far."""
        return read(self.fleet.history.folder)

    def runs(self, job_id: str) -> list[Run]:
        """The runs of a job so far."""
        return runs_of(self.events).get(job_id, [])

    def run_number(self, job_id: str, count: int, timeout: float = 20) -> Run:
        """Wait for the start of a job's run; the first is 1."""
        eventually(lambda: len(self.runs(job_id)) >= count, timeout, f"run {count} of job {job_id}")
        return self.runs(job_id)[count - 1]

    def late_seconds(self, job_id: str, delay_seconds: float) -> float:
        """How long after its time a delayed job started, by the clock that servers go by: it may be put forward."""
        events = self.events
        ask = next(event["ask"] for event in events if event.kind == "enqueued" and event["job"] == job_id)
        asked = next(event for event in events if event.kind == "asked" and event["ask"] == ask)
        started = next(event for event in events if event.kind == "start" and event["job"] == job_id)
        return started.wall - asked.wall - delay_seconds

    def retry_seconds(self, job_id: str) -> float:
        """From the end of a job's first run to the start of its second, the last one, by that clock."""
        kinds = ("start", "end")
        events = [event for event in self.events if event.kind in kinds and event["job"] == job_id]
        assert [event.kind for event in events[:3]] == ["start", "end", "start"]
        assert len(self.runs(job_id)) == 2
        return events[2].wall - events[1].wall

    def let_go(self) -> None:
        """End the naps that wait for it."""
        (self.fleet.history.folder / LET_GO).touch()

    def total(self, name: str) -> int:
        """One of the queue's counters."""
        return self.queue.stats().totals[name]

    def has(self, timeout: float = 20, **counts: int) -> None:
        """Wait until the queue's counters, or the sizes of its places, are these."""

        def seen() -> dict[str, int]:
            stats = self.queue.stats()
            places = {name: getattr(stats, name) for name in ("ready", "delayed", "in_flight", "dead")}
            both = {**stats.totals, **places}
            return {name: both[name] for name in counts}

        def right() -> bool:
            now = seen()
            assert now == counts, f"{now}, not {counts}"
            return True

        eventually(right, timeout)

    def judge(self, expected_dead: dict[str, str] | None = None, problems: Sequence[str] = ()) -> None:
        """All invariants hold, and nothing is left behind but these dead jobs."""
        self.fleet.history.write("over")
        dead = {job.id: job.reason or "" for job in self.queue.dead(1_000_000)}
        check_drained(self.client, self.queue.name, dead=set(dead))
        totals = dict(self.queue.stats().totals)
        ending = Ending(dead, totals, problems=problems, expected_dead=expected_dead or {})
        findings = Checker(self.events, ending, self.fleet.lease_seconds).findings()
        assert not findings, "\n".join(f"{finding.invariant}: {finding.sentence}" for finding in findings)


def _linear_backoff(job: Job) -> float:
    """What the checker may expect between attempts; 0 where the job says something else."""
    return 0.0 if job.retry or job.name == "retry_after" else job.backoff_seconds
