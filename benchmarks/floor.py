"""The same keys written with plain pipelined commands: what the data model costs without any promise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import redis

from benchmarks.workload import BATCH_SIZE, BULK_SIZE, JOB_NAME, PAYLOAD

Command = tuple[str | bytes | int | float, ...]

READY, PROCESSING, LEASES = "jobs:ready", "jobs:processing", "jobs:processing_vt"
PIPELINE = 500
"""Jobs in one pipeline; our own scripts take as many."""


class Floor:
    """No scripts, leases without a token, no fencing, no request ids, no delays, no wake-ups: not a queue to use.

    It speaks through one bare connection of redis-py, so that the client's own layers aren't part of the floor.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._connection: Any = self._client.connection_pool.get_connection()

    def enqueue(self, jobs: int) -> None:
        for _ in range(jobs):
            self._store([dict(PAYLOAD)])

    def enqueue_many(self, jobs: int) -> None:
        for start in range(0, jobs, BULK_SIZE):
            payloads = [dict(PAYLOAD) for _ in range(min(BULK_SIZE, jobs - start))]
            for at in range(0, len(payloads), PIPELINE):
                self._store(payloads[at : at + PIPELINE])

    def drain(self, jobs: int) -> None:
        for _ in range(jobs):
            (job_id,) = self._send([("LMOVE", READY, PROCESSING, "RIGHT", "LEFT")])
            self._lease([job_id])
            self._finish([job_id])

    def drain_batches(self, jobs: int) -> None:
        for start in range(0, jobs, BATCH_SIZE):
            (ids,) = self._send([("RPOP", READY, min(BATCH_SIZE, jobs - start))])
            assert len(ids) == min(BATCH_SIZE, jobs - start)
            self._send([("LPUSH", PROCESSING, *ids)])
            self._lease(ids)
            self._finish(ids)

    def put(self, payload: dict[str, Any]) -> None:
        self._store([payload])

    def consume(self, handle: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        more = True
        while more and (left := deadline - time.monotonic()) > 0:
            (job_id,) = self._send([("BLMOVE", READY, PROCESSING, "RIGHT", "LEFT", min(left, 2.0))])
            if job_id is None:
                continue
            (payload,) = self._lease([job_id])
            more = handle(payload)
            self._finish([job_id])

    def close(self) -> None:
        self._client.connection_pool.release(self._connection)
        self._client.close()

    def _store(self, payloads: Sequence[dict[str, Any]]) -> None:
        (last,) = self._send([("INCRBY", "jobs:seq", len(payloads))])
        now = datetime.now(UTC).isoformat()
        ids = range(last - len(payloads) + 1, last + 1)
        hashes: list[Command] = [
            ("HSET", f"jobs:job:{job_id}", "id", job_id, "name", JOB_NAME, "payload", json.dumps(payload),
             "available_at", now, "attempts", 0, "max_attempts", 5, "backoff_seconds", 60)
            for job_id, payload in zip(ids, payloads, strict=True)
        ]  # fmt: skip
        self._send([*hashes, ("LPUSH", READY, *ids)])

    def _lease(self, ids: Sequence[bytes]) -> list[dict[str, Any]]:
        expires_at = time.time() + 60
        keys = [b"jobs:job:" + job_id for job_id in ids]
        leases: Command = ("ZADD", LEASES, *(part for job_id in ids for part in (expires_at, job_id)))
        counts: list[Command] = [("HINCRBY", key, "attempts", 1) for key in keys]
        replies = self._send([leases, *counts, *(("HGETALL", key) for key in keys)])
        return [_payload(reply) for reply in replies[1 + len(ids) :]]

    def _finish(self, ids: Sequence[bytes]) -> None:
        removals: list[Command] = [("LREM", PROCESSING, -1, job_id) for job_id in ids]
        self._send([("ZREM", LEASES, *ids), *removals, ("UNLINK", *(b"jobs:job:" + job_id for job_id in ids))])

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]


def _payload(reply: Any) -> dict[str, Any]:
    raw = reply[b"payload"] if isinstance(reply, dict) else reply[reply.index(b"payload") + 1]
    payload: dict[str, Any] = json.loads(raw)
    return payload
