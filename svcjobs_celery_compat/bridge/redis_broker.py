"""kombu's Redis transport as the old broker.

kombu takes a message out of its list first and notes it as unacked then: a process that is killed in between loses it.
So the bridge moves each into a list of its own on the same server, in one step, and removes it from there when it is
stored. What a killed bridge leaves in that list the next one finds.
"""

from __future__ import annotations

import base64
import json
import time
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import kombu
import redis
from kombu.utils.json import loads

from svcjobs._redis.failures import translate
from svcjobs.errors import ConfigurationError, JobsError, QueueUnavailable
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable, Delivery
from svcjobs_celery_compat.transport.wire import META, Message

CHORES_EVERY_SECONDS = 10.0
TIMEOUTS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0, "retry_on_timeout": False}
_BINDING = "_kombu.binding."

# KEYS[1] the bridge's list, KEYS[2] the queue's; ARGV[1] a message, which somebody else may have removed meanwhile
_GIVE_BACK = "if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end"


class Layout:
    """The keys of kombu's Redis transport.

    Args:
        names: of the queues.
        options: the transport options of the programs that use it.
    """

    def __init__(self, names: Sequence[str], options: Mapping[str, Any]) -> None:
        self.prefix: str = options.get("global_keyprefix") or ""
        self._steps = sorted({0, *map(int, options.get("priority_steps") or (0, 3, 6, 9))})
        self._separator = options.get("sep") or "\x06\x16"
        self.lists = {self._key(name, step): (name, step) for step in self._steps for name in names}

    def key_of(self, name: str, priority: Any) -> str:
        """The list of a queue where a message with this priority belongs."""
        number = priority if isinstance(priority, int) else 0
        return self._key(name, self._steps[max(bisect(self._steps, number) - 1, 0)])

    def own(self, name: str) -> str:
        """A key of the bridge's own."""
        return f"{self.prefix}svcjobs-bridge:{name}"

    def own_list(self, key: str) -> str:
        """The bridge's own list beside one of kombu's."""
        return self.own(key.removeprefix(self.prefix))

    def _key(self, name: str, step: int) -> str:
        return f"{self.prefix}{name}{self._separator}{step}" if step else f"{self.prefix}{name}"


class RedisBroker:
    """A :class:`~svcjobs_celery_compat.bridge.broker.Broker` in the lists of kombu's Redis transport.

    Messages that a consumer of kombu holds unacked for longer than the option ``visibility_timeout`` (3,600 s, as
    there) are restored, as each consumer of kombu does: theirs may have been killed.

    Args:
        url: as kombu takes it.
        names: of the queues.
        options: the transport options of the programs that use this broker.
    """

    def __init__(self, url: str, names: Sequence[str], options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = {**TIMEOUTS, **options}
        layout = Layout(names, options)
        self._prefix, self._own, self._lists = layout.prefix, layout.own_list, layout.lists
        self._names = names
        self._unacked = f"{self._prefix}{options.get('unacked_key') or 'unacked'}"
        self._connection: Any = None
        self._left: list[Delivery] = []
        self._held: list[Delivery] = []
        self._chores_at = 0.0

    def connect(self) -> None:
        self.close()
        self._connection = kombu.Connection(self._url, transport_options=self._options)
        with _broker_errors():
            self._channel = self._connection.channel()
            # kombu's own client puts its prefix before some keys
            self.client: Any = redis.Redis(connection_pool=self._channel.pool)
            self.client.ping()
            self._check_queues()
            self._left = self._found()

    def take(self, limit: int, seconds: float) -> list[Delivery]:
        with _broker_errors():
            taken, self._left = self._left[:limit], self._left[limit:]
            if not taken:
                taken = self._next(limit)
            if not taken:
                self._left = self._found()  # of a bridge that was killed while this one worked
        if not taken and not self._left:
            time.sleep(seconds)
        self._held += taken
        return taken

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        with _broker_errors():
            pipe = self.client.pipeline(transaction=False)
            for delivery in deliveries:
                key, raw = delivery.handle
                pipe.lrem(self._own(key), 1, raw)
            pipe.execute()
        self._held.clear()

    def keep_alive(self) -> None:
        if time.monotonic() < self._chores_at:
            return
        self._chores_at = time.monotonic() + CHORES_EVERY_SECONDS
        with _broker_errors():
            self._channel.qos.restore_visible(num=1000, interval=1)

    def waiting(self) -> dict[str, int]:
        with _broker_errors():
            pipe = self.client.pipeline(transaction=False)
            for key in self._lists:
                pipe.llen(key)
                pipe.llen(self._own(key))
            counts = pipe.execute()
        found = dict.fromkeys(self._names, 0)
        for (name, _), ready, own in zip(self._lists.values(), counts[::2], counts[1::2], strict=True):
            found[name] += ready + own
        return found

    def unfinished(self) -> str:
        self._chores_at = min(self._chores_at, time.monotonic() + 1)
        if left := sum(self.waiting().values()):
            return f"{left} messages wait"
        with _broker_errors():
            unacked = sum(self._is_ours(text) for _, text in self.client.hscan_iter(self._unacked, count=500))
        return f"{unacked} messages are held by other consumers of the old broker" if unacked else ""

    def close(self) -> None:
        if self._connection is None:
            return
        # what fails here stays in the bridge's list, for the next one
        with suppress(redis.RedisError, OSError):
            script = self.client.register_script(_GIVE_BACK)
            for delivery in reversed(self._held):
                key, raw = delivery.handle
                script(keys=[self._own(key), key], args=[raw])
        self._held, self._left = [], []
        with suppress(redis.RedisError, OSError, *self._connection.connection_errors):
            self._connection.release()
        self._connection = None

    def _next(self, limit: int) -> list[Delivery]:
        pipe = self.client.pipeline(transaction=False)
        for key in self._lists:
            pipe.llen(key)
        wanted: list[str] = []
        for key, ready in zip(self._lists, pipe.execute(), strict=True):
            wanted += [key] * min(ready, limit - len(wanted))
        for key in wanted:
            pipe.rpoplpush(key, self._own(key))
        moved = zip(wanted, pipe.execute(), strict=True)
        return [self._delivery(key, raw, is_fresh=True) for key, raw in moved if raw is not None]

    def _found(self) -> list[Delivery]:
        """What lies in the bridge's lists. Another bridge may be at work on it: moved twice, it is stored once."""
        return [
            self._delivery(key, raw, is_fresh=False)
            for key in self._lists
            for raw in reversed(self.client.lrange(self._own(key), 0, -1))
        ]

    def _delivery(self, key: str, raw: bytes, *, is_fresh: bool) -> Delivery:
        name, step = self._lists[key]
        return Delivery(name, _message(raw), step, is_fresh, (key, raw))

    def _check_queues(self) -> None:
        known = {
            member.decode().rpartition("\x06\x16")[2]
            for key in self.client.scan_iter(f"{self._prefix}{_BINDING}*", count=1000)
            for member in self.client.smembers(key)
        }
        waiting = self.waiting()
        missing = [name for name in self._names if name not in known and not waiting[name]]
        if missing:
            there = ", ".join(sorted(known)) or "none"
            raise ConfigurationError(
                f"the old broker has no queue {', '.join(missing)}: name those that it has with --queues ({there});"
                " if its programs set global_keyprefix, give it with --option global_keyprefix=…"
            )

    def _is_ours(self, text: bytes) -> bool:
        try:
            _, exchange, routing_key = json.loads(text)
            queues = set(self._channel._lookup(exchange, routing_key))
        except (ValueError, TypeError):
            return True
        return not queues or bool(queues & set(self._names))


def _message(raw: bytes) -> Message:
    """The message of a list's element; one that isn't kombu's is the body of a plain one."""
    try:
        stored = loads(raw)
        properties = dict(stored["properties"])
        body = stored["body"]
        encoded = properties.get("body_encoding") == "base64"
        return {
            **{name: stored.get(name) for name in META},
            "body": base64.b64decode(body, validate=True) if encoded else body.encode("utf-8", "surrogatepass"),
            "headers": dict(stored.get("headers") or {}),
            "properties": properties,
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        kind = {"content-type": "application/octet-stream", "content-encoding": "binary"}
        return {"body": raw, "headers": {}, "properties": {}, **kind}


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except JobsError:
        raise
    except (redis.RedisError, OSError, kombu.exceptions.OperationalError) as error:
        known = translate(error)
        if isinstance(known, QueueUnavailable):
            raise BrokerUnavailable(f"the old broker: {known}") from error
        raise ConfigurationError(f"the old broker: {known}") from error
