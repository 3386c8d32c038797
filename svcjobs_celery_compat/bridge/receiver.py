"""The old broker, as the bridge sees it on the way back, and the one on Redis."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import kombu
import redis
from kombu.utils.json import dumps

from svcjobs._redis.failures import translate
from svcjobs.errors import ConfigurationError, JobsError, QueueUnavailable
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable
from svcjobs_celery_compat.bridge.redis_broker import TIMEOUTS, Layout
from svcjobs_celery_compat.bridge.returning import Held

IN_DOUBT_SECONDS = 30 * 86400
"""How long Redis knows a message again that it has and that isn't removed here: a bridge was killed in between."""
REMOVED_SECONDS = 3600
"""How long it does once that is removed here: another bridge may have read it before."""

# KEYS[1] a mark, KEYS[2] kombu's list; ARGV[1] how long to keep the mark, ARGV[2] the message
_PUT = "if redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) then redis.call('LPUSH', KEYS[2], ARGV[2]) end"


class Receiver(Protocol):
    """A kombu broker that gets messages back. Each method but :meth:`close` raises BrokerUnavailable."""

    def connect(self) -> None:
        """Open a connection.

        Raises:
            ConfigurationError: a queue isn't there, or the broker refuses the credentials.
        """
        ...

    def put(self, held: Sequence[Held]) -> None:
        """Store messages. When it returns, the broker has them, and has none twice whatever is killed."""
        ...

    def release(self, held: Sequence[Held]) -> None:
        """These aren't in svcjobs any more: consumers of the broker may have them."""
        ...

    def keep_alive(self) -> None:
        """Send a heartbeat."""
        ...

    def close(self) -> None:
        """Close the connection. Raises nothing."""
        ...


class RedisReceiver:
    """The lists of kombu's Redis transport. Each message is stored with a mark in one step, and so never twice.

    Args:
        url: as kombu takes it.
        names: of the queues.
        options: the transport options of the programs that use this broker.
    """

    def __init__(self, url: str, names: Sequence[str], options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = {**TIMEOUTS, **options}
        self._layout = Layout(names, options)
        self._connection: Any = None

    def connect(self) -> None:
        self.close()
        self._connection = kombu.Connection(self._url, transport_options=self._options)
        with _redis_errors():
            self._client: Any = redis.Redis(connection_pool=self._connection.channel().pool)
            self._client.ping()
            self._put = self._client.register_script(_PUT)

    def put(self, held: Sequence[Held]) -> None:
        with _redis_errors():
            for one in held:
                key = self._layout.key_of(one.queue, one.message["properties"].get("priority"))
                self._put(keys=[self._mark(one), key], args=[IN_DOUBT_SECONDS, _element(one)])

    def release(self, held: Sequence[Held]) -> None:
        with _redis_errors(), self._client.pipeline(transaction=False) as pipeline:
            for one in held:
                pipeline.expire(self._mark(one), REMOVED_SECONDS)
            pipeline.execute()

    def keep_alive(self) -> None:
        """Nothing: Redis doesn't ask for one."""

    def close(self) -> None:
        if self._connection is not None:
            with suppress(redis.RedisError, OSError, *self._connection.connection_errors):
                self._connection.release()
        self._connection = None

    def _mark(self, held: Held) -> str:
        return self._layout.own(f"returned:{held.stay}:{held.queue}:{held.job_id}")


def _element(held: Held) -> str:
    """The message as kombu's Redis transport has it in its lists."""
    message = held.message
    info = {"exchange": "", "routing_key": held.queue, **(message["properties"].get("delivery_info") or {})}
    properties = {
        "delivery_mode": 2,
        "priority": 0,
        **message["properties"],
        "delivery_info": info,
        "delivery_tag": str(uuid.uuid4()),
        "body_encoding": "base64",
    }
    text: str = dumps({**message, "body": base64.b64encode(message["body"]).decode(), "properties": properties})
    return text


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except JobsError:
        raise
    except (redis.RedisError, OSError, kombu.exceptions.OperationalError) as error:
        known = translate(error)
        if isinstance(known, QueueUnavailable):
            raise BrokerUnavailable(f"the old broker: {known}") from error
        raise ConfigurationError(f"the old broker: {known}") from error
