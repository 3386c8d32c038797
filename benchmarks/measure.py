"""What is measured, in which unit, and what carries no noise."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

MICRO = 1e6
"""Microseconds in a second."""

Sample = dict[str, dict[str, float]]
"""Values by workload and measure."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of the tables.

    ``exact`` measures are counts that don't depend on how fast or busy the machine is: the gate compares them.
    """

    name: str
    label: str
    unit: str
    digits: int
    exact: bool = False

    def text(self, value: float) -> str:
        """The value as people read it."""
        return f"{value:,.{self.digits}f}"


_ALL = (
    Measure("rate", "rate", "jobs/s", 0),
    Measure("client_cpu", "client CPU", "µs/job", 1),
    Measure("redis_cpu", "Redis CPU", "µs/job", 1),
    Measure("batch_rate", "in batches: rate", "jobs/s", 0),
    Measure("batch_client_cpu", "in batches: client CPU", "µs/job", 1),
    Measure("batch_redis_cpu", "in batches: Redis CPU", "µs/job", 1),
    Measure("commands", "commands run", "per job", 2, exact=True),
    Measure("sent_commands", "commands sent", "per job", 3, exact=True),
    Measure("round_trips", "round trips", "per job", 3, exact=True),
    Measure("bytes_to_server", "bytes to Redis", "per job", 0, exact=True),
    Measure("bytes_from_server", "bytes from Redis", "per job", 0, exact=True),
    Measure("memory", "Redis memory", "bytes/job", 0, exact=True),
    Measure("key_memory", "MEMORY USAGE", "bytes/job", 0, exact=True),
    Measure("idle_commands", "idle commands run", "per s", 1),
    Measure("idle_sent_commands", "idle commands sent", "per s", 2),
    Measure("idle_client_cpu", "idle client CPU", "ms/s", 2),
    Measure("pickup_p50", "pick-up p50", "ms", 2),
    Measure("pickup_p99", "pick-up p99", "ms", 2),
    Measure("worker_memory", "worker memory", "MiB", 0),
    Measure("kept", "jobs done in the end", "of 20", 0),
)

MEASURES = MappingProxyType({measure.name: measure for measure in _ALL})
