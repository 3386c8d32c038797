"""What lies where in a queue, read past the queue's own methods, so that two backends can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from svcjobs.memory_store import MemoryStore

Fields = tuple[int, int, float, str, str, bool]
"""attempts, max_attempts, backoff_seconds, last_error, reason, whether a cancel is noted"""


@dataclass(frozen=True)
class Contents:
    """Ids per place, in order where there is one, and what each job's record says."""

    ready: dict[int, list[str]]
    delayed: list[tuple[float, str]]
    leased: dict[str, float]
    dead: list[str]
    unique: dict[str, str]
    jobs: dict[str, Fields]


def memory_contents(store: MemoryStore) -> Contents:
    """Those of a queue in memory."""
    records = store.records
    return Contents(
        ready={n: [record.job.id for record in line] for n, line in enumerate(store._ready) if line},
        delayed=sorted(store._delayed),
        leased={job_id: record.lease_ends_at for job_id, record in records.items() if record.token},
        dead=list(store.dead),
        unique={key: holder[0] for key, holder in store.unique._holders.items() if holder[0] in records},
        jobs={
            job_id: (
                record.job.attempts,
                record.job.max_attempts,
                record.job.backoff_seconds,
                record.job.last_error or "",
                record.job.reason or "",
                record.cancel is not None,
            )
            for job_id, record in records.items()
        },
    )


def redis_contents(client: Any, prefix: str) -> Contents:
    """Those of a queue on Redis, by the documented keys."""
    ready = {}
    for priority in range(10):
        key = f"{prefix}:ready:{priority}" if priority else f"{prefix}:ready"
        if line := client.lrange(key, 0, -1):
            ready[priority] = [job_id.decode() for job_id in reversed(line)]
    leased = client.zrange(f"{prefix}:processing_vt", 0, -1, withscores=True)
    processing = client.lrange(f"{prefix}:processing", 0, -1)
    assert sorted(processing) == sorted(job_id for job_id, _ in leased), "processing and its leases differ"
    jobs = {key.decode().removeprefix(f"{prefix}:job:"): client.hgetall(key) for key in client.keys(f"{prefix}:job:*")}
    unique = {
        key.decode().removeprefix(f"{prefix}:unique:"): client.get(key) for key in client.keys(f"{prefix}:unique:*")
    }
    return Contents(
        ready=ready,
        delayed=[
            (score, job_id.decode()) for job_id, score in client.zrange(f"{prefix}:delayed", 0, -1, withscores=True)
        ],
        leased={job_id.decode(): score for job_id, score in leased},
        dead=[job_id.decode() for job_id in reversed(client.lrange(f"{prefix}:dlq", 0, -1))],
        unique={key: holder.decode() for key, holder in unique.items() if holder.decode() in jobs},
        jobs={job_id: _fields(raw) for job_id, raw in jobs.items()},
    )


def _fields(raw: dict[bytes, Any]) -> Fields:
    return (
        int(raw[b"attempts"]),
        int(raw[b"max_attempts"]),
        float(raw[b"backoff_seconds"]),
        raw.get(b"last_error", b"").decode(),
        raw.get(b"reason", b"").decode(),
        b"cancel" in raw,
    )
