"""The producer of a chaos run: enqueues jobs of all kinds at random, and writes down what it was told."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from svcjobs.errors import JobsError
from svcjobs.job import NewJob, Unique
from svcjobs.redis_queue import RedisJobQueue
from tests.chaos.history import History

PATIENT = 100
"""Attempts of jobs that kills must never bring into the DLQ."""
KINDS = {"quick": 40, "slow": 15, "delayed": 15, "flaky": 10, "unique": 10, "failing": 4, "cpu": 3, "poison": 1}
UNIQUE_KEYS = 5


@dataclass(slots=True)
class Load:
    """Enqueues until it is stopped.

    Args:
        queue: where to.
        history: where each call is written down, before and after.
        draw: decides what comes when.
        lease_seconds: some jobs take longer than this.
        pause_seconds: between two calls, on average.
    """

    queue: RedisJobQueue
    history: History
    draw: random.Random
    lease_seconds: float
    pause_seconds: float = 0.1
    expected_dead: dict[str, str] = field(default_factory=dict)
    number: int = 0
    refused: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the last answer."""
        self._stopped.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self.draw.uniform(0, 2 * self.pause_seconds)):
            count = self.draw.choice((1, 1, 1, 5))
            self.enqueue([self.next_job() for _ in range(count)])

    def next_job(self) -> NewJob:
        """A job of a random kind."""
        self.number += 1
        name = self.draw.choices(list(KINDS), list(KINDS.values()))[0]
        payload, options = self._details(name)
        new = NewJob(name, payload, job_id=f"{name}-{self.number}", **{"max_attempts": PATIENT} | options)
        if name in ("failing", "poison"):
            self.expected_dead[str(new.job_id)] = "exhausted" if name == "failing" else "worker_lost"
        return new

    def _details(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        draw = self.draw
        if name == "slow":
            # some outlast their lease, so that it has to be extended
            return {"seconds": draw.choice((0.2, 0.5, 1, self.lease_seconds * 1.5))}, {}
        if name == "delayed":
            return {}, {"delay_seconds": draw.uniform(0.2, 8)}
        if name == "unique":
            return {"seconds": 0.3}, {"unique": Unique(f"key-{draw.randrange(UNIQUE_KEYS)}")}
        if name == "flaky":
            return {"failures": draw.randint(1, 2)}, {"backoff_seconds": draw.uniform(0.1, 1)}
        if name == "cpu":
            # one in twenty holds the GIL for longer than its lease
            return {"seconds": self.lease_seconds * 1.3 if draw.random() < 0.05 else draw.uniform(0.1, 0.5)}, {}
        if name in ("failing", "poison"):
            return {}, {"max_attempts": draw.randint(1, 3), "backoff_seconds": 0.2}
        return {}, {}

    def enqueue(self, jobs: list[NewJob]) -> None:
        """Store jobs, and write down how that went; what is refused isn't tried again."""
        ask = f"{jobs[0].job_id}/{time.monotonic_ns()}"
        began = time.monotonic()
        for new in jobs:
            self.history.write("asked", job=new.job_id, ask=f"{ask}/{new.job_id}")
        try:
            stored = self.queue.enqueue_many(jobs)
        except JobsError:
            self.refused += 1
            return
        for new, job in zip(jobs, stored, strict=True):
            self.history.write(
                "enqueued", job=job.id, ask=f"{ask}/{new.job_id}", created=job.created,
                due=began + new.delay_seconds, unique=new.unique.key if new.unique else None,
                max_attempts=job.max_attempts, backoff=job.backoff_seconds,
            )  # fmt: skip
