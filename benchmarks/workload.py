"""What a contender is made to do, and with which job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from benchmarks.contender import Contender

JOB_NAME = "send_email"
PAYLOAD: Mapping[str, Any] = MappingProxyType({"to": "user@example.com", "subject": "Hello"})
"""The job that the guide begins with. Its size is part of the baseline: change both together."""

BULK_SIZE = 1000
"""Jobs in one call of enqueue_many."""
BATCH_SIZE = 100
"""Jobs in one reserve_many and one settle_many."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A stretch of work. ``filled``: the jobs must lie in the queue before. ``bulk``: many jobs a call."""

    name: str
    label: str
    run: Callable[[Contender, int], None]
    filled: bool
    bulk: bool


_ALL = (
    Workload("enqueue", "enqueue, one by one", lambda contender, jobs: contender.enqueue(jobs), False, False),
    Workload("enqueue_many", f"enqueue_many, {BULK_SIZE:,} a call", lambda c, jobs: c.enqueue_many(jobs), False, True),
    Workload("drain", "reserve + ack, one by one", lambda c, jobs: c.drain(jobs), True, False),
    Workload("drain_batches", f"reserve + ack, {BATCH_SIZE} a call", lambda c, jobs: c.drain_batches(jobs), True, True),
)

WORKLOADS = MappingProxyType({workload.name: workload for workload in _ALL})

QUEUED = "queued"
IDLE = "idle"
LABELS: Mapping[str, str] = MappingProxyType(
    {workload.name: workload.label for workload in _ALL}
    | {QUEUED: "a queued job", IDLE: "a waiting consumer, then single jobs"}
)
