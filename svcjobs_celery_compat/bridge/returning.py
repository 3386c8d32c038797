"""What waits in queues of svcjobs, taken out of them to go back to the old broker.

It mirrors what the bridge does to kombu's lists: ids go from where they wait to a list of the bridge's own,
``{prefix}:returning``, in one step, and are removed when the old broker has the messages. What a killed bridge leaves
in that list the next one finds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from svcjobs._redis.connections import derive
from svcjobs._redis.failures import translate
from svcjobs.errors import ConfigurationError, InvalidJob, JobsError
from svcjobs.job import decode_payload
from svcjobs_celery_compat.bridge.store import ANSWER_WITHIN_SECONDS
from svcjobs_celery_compat.transport.options import read_options
from svcjobs_celery_compat.transport.queues import Queues
from svcjobs_celery_compat.transport.wire import Message, decode

# Take ids from the ready lists, the front first, then those that wait for their time. A job is marked with its stay:
# the message may come here again as a job of the same id, and isn't to be taken for one that went back already.
# KEYS[1] prefix, ARGV[1] how many, ARGV[2] mark of new ones; returns all ids that the bridge holds
_HOLD = """
local P, left = KEYS[1], tonumber(ARGV[1]) - redis.call('LLEN', KEYS[1] .. ':returning')
local function hold(ids)
  for _, id in ipairs(ids) do
    if redis.call('EXISTS', P .. ':job:' .. id) == 1 then
      redis.call('HSET', P .. ':job:' .. id, 'stay', ARGV[2])
      redis.call('RPUSH', P .. ':returning', id)
    end
  end
  left = left - #ids
end
for level = 0, 9 do
  local list = P .. ':ready' .. (level > 0 and ':' .. level or '')
  if left > 0 then hold(redis.call('RPOP', list, left) or {}) end
end
if left > 0 then
  local ids = redis.call('ZRANGE', P .. ':delayed', 0, left - 1)
  if #ids > 0 then redis.call('ZREM', P .. ':delayed', unpack(ids)) end
  hold(ids)
end
return redis.call('LRANGE', P .. ':returning', 0, -1)
"""
# The old broker has these. A bridge that moves them forward again must not take them for what it stored before.
# KEYS[1] prefix, ARGV ids
_DONE = """
for _, id in ipairs(ARGV) do
  redis.call('LREM', KEYS[1] .. ':returning', 1, id)
  redis.call('UNLINK', KEYS[1] .. ':job:' .. id, KEYS[1] .. ':unique:' .. id)
end
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A message that the bridge took out of a queue.

    Args:
        queue: where it waited.
        job_id: as which job.
        stay: tells this stay of the message in svcjobs from another one.
        message: what it says.
    """

    queue: str
    job_id: str
    stay: str
    message: Message


class Returning:
    """Some queues of svcjobs. Each method raises QueueUnavailable when the server doesn't answer.

    Args:
        client: of the server.
        root: prefix of the default queue.
        names: of the queues.
    """

    def __init__(self, client: Any, root: str, names: Sequence[str]) -> None:
        self._client = derive(client, ANSWER_WITHIN_SECONDS)
        self._queues = Queues(client, read_options({"prefix": root}))
        self._hold = self._client.register_script(_HOLD)
        self._done = self._client.register_script(_DONE)
        self.names = names

    def hold(self, limit: int) -> list[Held]:
        """Up to about ``limit`` messages, those first that a killed bridge held.

        Raises:
            ConfigurationError: a job is no message, and the old broker has no use for it.
        """
        stay = uuid.uuid4().hex
        with _translated():
            for name in self.names:
                prefix = self._prefix(name)
                ids = [job_id.decode() for job_id in self._hold(keys=[prefix], args=[limit, stay])[:limit]]
                if ids:
                    return self._read(name, prefix, ids)
        return []

    def done(self, held: Sequence[Held]) -> None:
        """The old broker has these messages: remove their jobs."""
        with _translated():
            for name in dict.fromkeys(one.queue for one in held):
                self._done(keys=[self._prefix(name)], args=[one.job_id for one in held if one.queue == name])

    def waiting(self) -> dict[str, int]:
        """How many messages wait in each queue, or are held by a bridge."""
        with _translated():
            return {name: self._waiting(name) for name in self.names}

    def unfinished(self) -> str:
        """What keeps the queues from being empty, in words; nothing when they are."""
        if left := sum(self.waiting().values()):
            return f"{left} messages wait"
        running = sum(self._queues.named(name).stats().in_flight for name in self.names)
        return f"{running} messages are held by workers: stop them" if running else ""

    def close(self) -> None:
        """Close the connections."""
        self._queues.close()
        self._client.close()

    def _read(self, name: str, prefix: str, ids: Sequence[str]) -> list[Held]:
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(f"{prefix}:job:{job_id}", "payload", "stay", "priority")
        held = []
        for job_id, (text, stay, priority) in zip(ids, pipe.execute(), strict=True):
            try:
                held.append(Held(name, job_id, (stay or b"").decode(), decode(decode_payload(text or b""))))
            except InvalidJob as error:
                level = int(priority or 0)
                pipe.lrem(f"{prefix}:returning", 1, job_id)
                pipe.lpush(f"{prefix}:ready:{level}" if level else f"{prefix}:ready", job_id)
                pipe.execute()
                raise ConfigurationError(
                    f"job {job_id} of queue {name} is no message of kombu, and the old broker can't have it: let a"
                    f" worker run it first, or purge it: {error}"
                ) from error
        return held

    def _prefix(self, name: str) -> str:
        return self._queues.named(name).name

    def _waiting(self, name: str) -> int:
        stats = self._queues.named(name).stats()
        held: Any = self._client.llen(f"{self._prefix(name)}:returning")
        return int(stats.ready + stats.delayed + held)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except JobsError:
        raise
    except (redis.RedisError, OSError) as error:
        raise translate(error) from error
