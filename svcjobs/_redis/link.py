"""Sends calls to the server, again if need be, and raises our errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from redis import exceptions

from svcjobs._redis.calls import Call
from svcjobs._redis.connections import derive, derive_async, is_cluster
from svcjobs._redis.failures import is_passing, translate
from svcjobs._redis.lines import Lines
from svcjobs.errors import ConfigurationError, JobsError, TooFewReplicas

A = TypeVar("A")
T = TypeVar("T")

LONGEST_BLOCK_SECONDS = 2.0
"""A blocking call is renewed after this time, so that a dead link is noticed; the scripts' LONGEST_SLEEP."""
SHORTEST_BLOCK_SECONDS = 0.002
"""Redis 6.2 cuts 0.001 down to 0, and that means for ever."""
BROKEN_WAIT_SECONDS = 0.1
"""The pause after a wait was broken off, so that a server which breaks off each one isn't asked in a busy loop."""
# a cluster's exception is no RedisError: it is raised when no node answers while its layout is read
_FAILURES = (exceptions.RedisError, exceptions.RedisClusterException, OSError, asyncio.TimeoutError)


def _socket_timeout(timeout_seconds: float) -> float:
    """A third of a call's time: a lost reply leaves time to connect and to try again."""
    return timeout_seconds / 3


def _block_argument(seconds: float) -> str:
    return f"{min(max(seconds, SHORTEST_BLOCK_SECONDS), LONGEST_BLOCK_SECONDS):.3f}"


def _checked_replicas(client: Any, replicas: int) -> int:
    if type(replicas) is not int or replicas < 0:
        raise ConfigurationError(f"replicas is {replicas!r}: give a whole number, 0 to wait for none")
    if replicas and is_cluster(client):
        raise ConfigurationError(
            f"replicas is {replicas!r}, which a Redis Cluster doesn't offer: its client can't wait on the connection "
            "that stored the job; leave it at 0"
        )
    return replicas


def _wait_ms(timeout_seconds: float) -> int:
    """How long WAIT may take: so that its reply comes before the socket's time-out, and leaves time for another try."""
    return max(1, int(0.5 * _socket_timeout(timeout_seconds) * 1000))


def _on_replicas(wanted: int, replies: Sequence[Any]) -> Any:
    """The reply to a command, from it and that of the WAIT after it, over the same connection.

    Raises:
        TooFewReplicas: it may be tried again; a repeated call writes a little, for the next WAIT to wait for.
    """
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    reply, acknowledged = replies
    if acknowledged < wanted:
        raise TooFewReplicas(wanted, acknowledged)
    return reply


class _Connections:
    """How often connections failed and were opened anew: once for each time that they worked again.

    Many tries may lie between, and calls of other threads.
    """

    def __init__(self) -> None:
        self.reopened = 0
        self._broken = False

    def failed(self, error: Exception) -> None:
        """A call raised this."""
        if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
            self._broken = True

    def worked(self) -> None:
        """A call was answered."""
        if self._broken:
            self._broken = False
            self.reopened += 1


class _Attempts:
    """How often a call may be tried: until its time is over, with pauses that grow from 10 to 250 ms."""

    def __init__(self, began_at: float, timeout_seconds: float) -> None:
        # a try may take one socket time-out, so the last one begins that much before the end
        self._deadline = began_at + timeout_seconds - _socket_timeout(timeout_seconds)
        self._pause = 0.01

    def pause_after(self, error: JobsError) -> float:
        """Seconds to wait before the next try; raises ``error`` when there is none."""
        left = self._deadline - time.monotonic()
        if not is_passing(error) or left <= 0:
            raise error
        pause = min(self._pause, left)
        self._pause = min(2 * self._pause, 0.25)
        return pause


class Link:
    """Connections of a sync queue. They are opened by the first call.

    Args:
        client: the caller's client; its own connections aren't used.
        timeout_seconds: how long a call may take, tries and pauses included.
        replicas: how many replicas must have a job before its storing succeeds; only 0 on a cluster.
    """

    def __init__(self, client: Any, timeout_seconds: float = 2.0, replicas: int = 0) -> None:
        self._source = client
        self._timeout_seconds = timeout_seconds
        self._replicas = _checked_replicas(client, replicas)
        self._connections = _Connections()

    @property
    def reconnects(self) -> int:
        """How often a connection failed and was opened anew."""
        return self._connections.reopened

    @cached_property
    def _client(self) -> Any:
        return self._lines(_socket_timeout(self._timeout_seconds))

    def _lines(self, socket_timeout: float) -> Any:
        client = derive(self._source, socket_timeout)
        longest_wait = 2 * _socket_timeout(self._timeout_seconds)
        return client if is_cluster(client) else Lines(client, longest_wait_seconds=longest_wait)

    @cached_property
    def _pipelining(self) -> Any:
        return derive(self._source, _socket_timeout(self._timeout_seconds))

    @cached_property
    def _blocking(self) -> Any:
        return self._lines(LONGEST_BLOCK_SECONDS + _socket_timeout(self._timeout_seconds))

    def run(self, call: Call[T]) -> T:
        """The result of a call.

        Raises:
            QueueUnavailable: it didn't succeed in time.
            JobsError: the server, or the script, refused it.
        """
        return self._repeat(self._read, call)

    def _read(self, call: Call[T]) -> T:
        return call.read(self._send(call))

    def _repeat(self, attempt: Callable[[A], T], about: A) -> T:
        began_at = time.monotonic()
        attempts = None
        while True:
            try:
                result = attempt(about)
            except _FAILURES as error:
                attempts = attempts or _Attempts(began_at, self._timeout_seconds)
                self._connections.failed(error)
                try:
                    pause = attempts.pause_after(translate(error))
                except JobsError as final:
                    raise final from (None if isinstance(error, JobsError) else error)
            else:
                self._connections.worked()
                return result
            time.sleep(pause)

    def _send(self, call: Call[Any]) -> Any:
        arguments = (len(call.keys), *call.keys, *call.args)
        try:
            return self._execute(call, "EVALSHA", call.script.sha, *arguments)
        except exceptions.NoScriptError:
            return self._execute(call, "EVAL", call.script.source, *arguments)

    def _execute(self, call: Call[Any], *command: Any) -> Any:
        if not (self._replicas and call.stores):
            return self._client.execute_command(*command)
        both = self._pipelining.pipeline(transaction=False).execute_command(*command)
        both.execute_command("WAIT", self._replicas, _wait_ms(self._timeout_seconds))
        return _on_replicas(self._replicas, both.execute(raise_on_error=False))

    def block(self, keys: Sequence[str], seconds: float) -> str | None:
        """Return when a key gets a token, after ``seconds`` (at most ``LONGEST_BLOCK_SECONDS``) at the latest.

        A broken connection ends the wait as soon as the server answers again: a token may have been lost with it.

        Returns:
            the key; None when the time is over, or the wait was broken off.

        Raises:
            JobsError: as :meth:`run`.
        """
        try:
            found = self._blocking.execute_command("BLPOP", *keys, _block_argument(seconds))
        except _FAILURES as error:
            self._connections.failed(error)
            if not is_passing(failure := translate(error)):
                raise failure from error
            time.sleep(BROKEN_WAIT_SECONDS)
            self.any_exists(keys[:1])
            return None
        return None if found is None else found[0].decode()

    def any_exists(self, keys: Sequence[str]) -> bool:
        """Whether there is any of these keys, all in one slot; asked with one command.

        Raises:
            QueueUnavailable, JobsError: as :meth:`run`.
        """
        return self._repeat(lambda keys: bool(self._client.execute_command("EXISTS", *keys)), keys)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        for name in ("_client", "_pipelining", "_blocking"):
            if client := self.__dict__.pop(name, None):
                client.close()


class AsyncLink:
    """Connections of an asyncio queue; as :class:`Link`."""

    def __init__(self, client: Any, timeout_seconds: float = 2.0, replicas: int = 0) -> None:
        self._source = client
        self._timeout_seconds = timeout_seconds
        self._replicas = _checked_replicas(client, replicas)
        self._connections = _Connections()

    @property
    def reconnects(self) -> int:
        """How often a connection failed and was opened anew."""
        return self._connections.reopened

    @cached_property
    def _client(self) -> Any:
        return derive_async(self._source, _socket_timeout(self._timeout_seconds))

    @cached_property
    def _blocking(self) -> Any:
        return derive_async(self._source, LONGEST_BLOCK_SECONDS + _socket_timeout(self._timeout_seconds))

    async def run(self, call: Call[T]) -> T:
        """The result of a call; as :meth:`Link.run`."""

        async def attempt() -> T:
            return call.read(await self._send(call))

        return await self._repeat(attempt)

    async def _repeat(self, attempt: Callable[[], Awaitable[T]]) -> T:
        attempts = _Attempts(time.monotonic(), self._timeout_seconds)
        while True:
            try:
                result = await attempt()
            except _FAILURES as error:
                self._connections.failed(error)
                try:
                    pause = attempts.pause_after(translate(error))
                except JobsError as final:
                    raise final from (None if isinstance(error, JobsError) else error)
            else:
                self._connections.worked()
                return result
            await asyncio.sleep(pause)

    async def _send(self, call: Call[Any]) -> Any:
        arguments = (len(call.keys), *call.keys, *call.args)
        try:
            return await self._execute(call, "EVALSHA", call.script.sha, *arguments)
        except exceptions.NoScriptError:
            return await self._execute(call, "EVAL", call.script.source, *arguments)

    async def _execute(self, call: Call[Any], *command: Any) -> Any:
        if not (self._replicas and call.stores):
            return await self._client.execute_command(*command)
        both = self._client.pipeline(transaction=False).execute_command(*command)
        both.execute_command("WAIT", self._replicas, _wait_ms(self._timeout_seconds))
        return _on_replicas(self._replicas, await both.execute(raise_on_error=False))

    async def block(self, key: str, seconds: float) -> bool:
        """Wait for a token, and tell whether it came; as :meth:`Link.block`."""
        try:
            return bool(await self._blocking.execute_command("BLPOP", key, _block_argument(seconds)))
        except _FAILURES as error:
            self._connections.failed(error)
            if not is_passing(failure := translate(error)):
                raise failure from error
            await asyncio.sleep(BROKEN_WAIT_SECONDS)
            await self.any_exists([key])
            return False

    async def any_exists(self, keys: Sequence[str]) -> bool:
        """As :meth:`Link.any_exists`."""

        async def attempt() -> bool:
            return bool(await self._client.execute_command("EXISTS", *keys))

        return await self._repeat(attempt)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        for name in ("_client", "_blocking"):
            if client := self.__dict__.pop(name, None):
                await client.aclose()
