"""Rate limits: at most so many starts of a task in a second, in one worker, without keeping others waiting."""

from __future__ import annotations

import time
from typing import Any

from svcjobs.job import Job

FORGET_SECONDS = 3600

# A start is booked for each task, one interval after the one before; who comes too early is told how long to wait.
_BOOK = """
local clock = redis.call('TIME')
local now, interval, id = clock[1] + clock[2] / 1e6, tonumber(ARGV[1]), ARGV[2]
local booked = tonumber(redis.call('HGET', KEYS[1], id) or '')
if not booked then
  local last = tonumber(redis.call('HGET', KEYS[1], '') or '') or 0
  booked = math.max(now, last + interval)
  redis.call('HSET', KEYS[1], '', string.format('%.17g', booked))
end
local wait = booked - now
if wait > 0.001 then
  redis.call('HSET', KEYS[1], id, string.format('%.17g', booked))
else
  redis.call('HDEL', KEYS[1], id)
  wait = 0
end
redis.call('EXPIRE', KEYS[1], math.ceil(math.max(booked - now, 0)) + tonumber(ARGV[3]))
return string.format('%.17g', wait)
"""


class Rates:
    """The starts that are booked, for all processes of a worker.

    Args:
        client: of the broker's Redis; None keeps them in this process.
        root: what all keys of the broker begin with.
        hostname: of the worker: each has limits of its own, as Celery documents it.
    """

    def __init__(self, client: Any, root: str, hostname: str) -> None:
        self._script = None if client is None else client.register_script(_BOOK)
        self._client = client
        self._prefix = f"{root}:kombu:rate:{hostname}:"
        self._last: dict[str, float] = {}
        self._booked: dict[str, float] = {}

    def wait_seconds(self, job: Job, task_name: str, per_second: float) -> float:
        """Seconds until the job may start; 0 is now.

        Args:
            job: a leased job.
            task_name: its task.
            per_second: the limit.
        """
        interval = 1.0 / per_second
        if self._script is not None:
            return float(self._script(keys=[self._prefix + task_name], args=[interval, job.uid, FORGET_SECONDS]))
        now = time.monotonic()
        at = self._booked.pop(job.uid, None)
        if at is None:
            at = self._last[task_name] = max(now, self._last.get(task_name, 0.0) + interval)
        if at - now <= 0.001:
            return 0.0
        self._booked[job.uid] = at
        return at - now

    def forget(self, task_name: str) -> None:
        """The limit has changed: starts are booked anew."""
        self._last.pop(task_name, None)
        if self._client is not None:
            self._client.delete(self._prefix + task_name)
