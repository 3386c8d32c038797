"""What waits in queues of svcjobs, taken out of them to go back to the old broker.

It mirrors what the bridge does to kombu's lists: ids go from where they wait to a list of the bridge's own,
``{prefix}:returning``, in one step, and are removed when the old broker has the messages. What a killed bridge leaves
in that list the next one finds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

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
# One bridge at a time: two would hold the same ids, and each would send them.
# KEYS[1] prefix, ARGV[1] how many, ARGV[2] mark of new ones, ARGV[3] the bridge, ARGV[4] milliseconds for which it has
# the queue to itself; returns all ids that the bridge holds
_HOLD = """
local owner = redis.call('GET', KEYS[1] .. ':returning:bridge')
if owner and owner ~= ARGV[3] then return {} end
redis.call('SET', KEYS[1] .. ':returning:bridge', ARGV[3], 'PX', ARGV[4])
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
# KEYS[1] prefix, ARGV an id and its stay, the next id and its stay, and so on
_DONE = """
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('HGET', KEYS[1] .. ':job:' .. id, 'stay') == ARGV[i + 1] then
    redis.call('LREM', KEYS[1] .. ':returning', 1, id)
    redis.call('UNLINK', KEYS[1] .. ':job:' .. id, KEYS[1] .. ':unique:' .. id)
  end
end
"""
# Whoever held these with such a stay can't finish them any more: a stay is its beginning, which is for ever the same,
# and who took it over last.
# KEYS[1] prefix, ARGV[1] who takes over, ARGV[2] how long the beginning is, then an id and its stay, and so on; returns
# for each whether it is here
_TAKE_OVER = """
local length, here = tonumber(ARGV[2]), {}
for i = 3, #ARGV, 2 do
  local job = KEYS[1] .. ':job:' .. ARGV[i]
  local stay, begin = redis.call('HGET', job, 'stay'), ARGV[i + 1]:sub(1, length)
  local is_here = stay and stay:sub(1, length) == begin
  if is_here then redis.call('HSET', job, 'stay', begin .. ARGV[1]) end
  here[#here + 1] = is_here and 1 or 0
end
return here
"""
# KEYS[1] prefix, ARGV[1] the bridge
_LEAVE = """
if redis.call('GET', KEYS[1] .. ':returning:bridge') == ARGV[1] then
  redis.call('UNLINK', KEYS[1] .. ':returning:bridge')
end
"""
Stay: TypeAlias = tuple[str, str]
"""The id of a job, and which stay of its message here it was."""
STAY_LENGTH = 32
"""Of the part of a stay that remains when another bridge takes it over."""
ALONE_SECONDS = 15
"""After its last batch another bridge waits for so long, as long as it isn't known to have ended."""


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
        self._take_over = self._client.register_script(_TAKE_OVER)
        self._leave = self._client.register_script(_LEAVE)
        self._bridge = uuid.uuid4().hex
        self.names = names

    def hold(self, limit: int) -> list[Held]:
        """Up to about ``limit`` messages, those first that a killed bridge held; none while another bridge is at it.

        Raises:
            ConfigurationError: a job is no message, and the old broker has no use for it.
        """
        stay = uuid.uuid4().hex
        with _translated():
            for name in self.names:
                prefix = self._prefix(name)
                args = [limit, stay, self._bridge, 1000 * ALONE_SECONDS]
                ids = [job_id.decode() for job_id in self._hold(keys=[prefix], args=args)[:limit]]
                if ids and (held := self._read(name, prefix, ids)):
                    return held
        return []

    def done(self, held: Sequence[Held]) -> None:
        """The old broker has these messages: remove their jobs, but for those that another bridge took over."""
        with _translated():
            for name in dict.fromkeys(one.queue for one in held):
                stays = [(one.job_id, one.stay) for one in held if one.queue == name]
                self._done(keys=[self._prefix(name)], args=_flat(stays))

    def take_over(self, name: str, stays: Sequence[Stay]) -> list[bool]:
        """Which of these messages are in queue ``name`` still; :meth:`done` of who held them does nothing any more."""
        with _translated():
            args = [uuid.uuid4().hex, STAY_LENGTH, *_flat(stays)]
            return [answer == 1 for answer in self._take_over(keys=[self._prefix(name)], args=args)]

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
        """Leave the queues to other bridges, and close the connections."""
        with suppress(redis.RedisError, OSError):
            for name in self.names:
                self._leave(keys=[self._prefix(name)], args=[self._bridge])
        self._queues.close()
        self._client.close()

    def _read(self, name: str, prefix: str, ids: Sequence[str]) -> list[Held]:
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(f"{prefix}:job:{job_id}", "payload", "stay", "priority")
        held = []
        for job_id, (text, stay, priority) in zip(ids, pipe.execute(), strict=True):
            if stay is None:  # another bridge has finished with it
                self._client.lrem(f"{prefix}:returning", 1, job_id)
                continue
            try:
                held.append(Held(name, job_id, stay.decode(), decode(decode_payload(text or b""))))
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


def _flat(stays: Sequence[Stay]) -> list[str]:
    return [part for stay in stays for part in stay]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except JobsError:
        raise
    except (redis.RedisError, OSError) as error:
        raise translate(error) from error
