"""A scheduler that keeps in Redis which ticks were sent, so that any number of them may run."""

from __future__ import annotations

import copy
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import redis
from kombu.exceptions import OperationalError
from redis.exceptions import RedisClusterException

from svcjobs.clock import utc
from svcjobs.errors import JobsError, QueueFull, QueueRefused, QueueUnavailable
from svcjobs.job import NewJob
from svcjobs.leadership import RedisSchedulerLeader
from svcjobs_celery_compat import beat
from svcjobs_celery_compat.beat.entry import SchedulingError
from svcjobs_celery_compat.beat.home import home_name
from svcjobs_celery_compat.beat.scheduler import Scheduler, all_of
from svcjobs_celery_compat.beat.ticks import due_at, latest_tick
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.transport.transport import Transport

LOOK_SECONDS = 0.75
"""Between looks, at most: so that a leader's end, and a server that is back, are noticed within a second."""

_AWAY = (QueueUnavailable, QueueFull, QueueRefused, OperationalError, redis.RedisError, RedisClusterException, OSError)
"""What passes: the broker is away, or takes nothing now."""


class RedisScheduler(Scheduler):
    """Sends each tick of an entry once, with any number of schedulers, through kills of any of them.

    A tick is an instant: a minute of a crontab, or a multiple of an interval after the last one. Taking it and storing
    the task's message in its queue are one step on the server. Ticks that were missed are made up for by the latest
    one. A new entry ticks first one interval after some scheduler first saw it; that instant is kept, too.

    One scheduler leads, which saves the others the work; another follows ``lease_seconds`` after it was killed, or at
    once after it stopped. The clock is the server's.

    An entry keeps its ticks with the queue that its task is routed to. One whose task goes to a fanout or to several
    queues is taken first and sent then: at most once. A schedule of your own has to say when it is due next
    (``remaining_estimate``); if it only has ``is_due``, two schedulers may both send a tick while the leader changes.

    Args:
        *args: see :class:`~svcjobs_celery_compat.beat.Scheduler`.
        **kwargs: see there.

    Raises:
        ImproperlyConfigured: the broker isn't in Redis.
    """

    lease_seconds = 15.0
    """How long a leader is waited for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._owner_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._leader: RedisSchedulerLeader | None = None
        self._renew_at = 0.0
        self._hold_until = 0.0
        self._is_away = False
        self._now = datetime.now(UTC)
        self._ticks: dict[str, datetime] = {}
        self._located: set[str] = set()
        self._announced: set[str] = set()
        super().__init__(*args, **kwargs)

    @property
    def info(self) -> str:
        """A line for the banner."""
        return "    . schedule -> kept in the broker's Redis, any number of beats may run"

    def present(self) -> datetime:
        """The server's time at this look."""
        return self._now

    def tick(self) -> float:
        """Look at the entries, if this scheduler leads, and send one that is due."""
        held = self._hold_until - time.monotonic()
        if held > 0:
            return min(held, LOOK_SECONDS)
        try:
            if not self._leads():
                return LOOK_SECONDS
            self._look()
        except (JobsError, *_AWAY) as exc:
            self._lost(exc)
            return LOOK_SECONDS
        if self._is_away:
            self._is_away = False
            beat.info("beat: the broker answers again, the schedule goes on")
        return min(super().tick(), LOOK_SECONDS)

    def is_due(self, entry: Any) -> tuple[bool, Any]:
        """Whether an entry is due; then its tick is found, and when the next one is."""
        if entry.name not in self._located:
            return False, self.max_interval
        due, wait = super().is_due(entry)
        if due:
            try:
                tick = latest_tick(entry.schedule, entry.last_run_at, self._now)
                wait = max((due_at(entry.schedule, tick) - self._now).total_seconds(), 0)
            except NotImplementedError:
                tick = self._now
            self._ticks[entry.name] = tick
        return due, wait

    def reserve(self, entry: Any) -> Any:
        """The entry as it is after its tick."""
        following = self.schedule[entry.name] = entry.next(last_run_at=self._ticks.get(entry.name, self._now))
        return following

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Take the entry's tick, and send its task in the same step.

        Returns:
            the result; None when another scheduler took the tick.

        Raises:
            SchedulingError: it couldn't be sent. If the broker is away it stays due; else it is tried again at its next
                tick, or after a restart.
        """
        if advance:
            self.reserve(entry)
        try:
            with self._captured() as sent:
                result = super().apply_async(entry, producer=producer, advance=False)
            if self._take(entry, self._ticks.pop(entry.name, self._now), sent):
                return result
        except Exception as exc:
            if isinstance(exc.__cause__ or exc, _AWAY):
                self._put_off(entry)
            if isinstance(exc, SchedulingError):
                raise
            raise SchedulingError(f"Couldn't apply scheduled task {entry.name}: {exc}") from exc
        beat.debug("%s was sent by another scheduler.", entry.name)
        self._located.discard(entry.name)
        return None

    def close(self) -> None:
        """Let another one lead, and close the connections."""
        all_of(self._resign, super().close)

    # the server

    @property
    def _channel(self) -> Any:
        return self._ensure_connected().default_channel

    def _ensure_connected(self) -> Any:
        connection = self.connection.ensure_connection(max_retries=1, interval_start=0.2, interval_step=0)
        if not isinstance(connection.transport, Transport):
            raise ImproperlyConfigured(
                f"the scheduler RedisScheduler needs a broker in Redis, and broker_url is {connection.as_uri()}: "
                "choose another scheduler by beat_scheduler or -S, such as celery.beat:PersistentScheduler"
            )
        return connection

    def _leads(self) -> bool:
        """Whether this one leads; asked anew at each look by those that don't."""
        if self._leader is not None and time.monotonic() < self._renew_at:
            return True
        key = self._leader_key()
        if self._leader is None or self._leader.key != key:
            self._resign()
            self._leader = RedisSchedulerLeader(
                self._channel.client, key=key, lease_seconds=self.lease_seconds, owner_id=self._owner_id
            )
        if self._leader.ensure_leader():
            if not self._renew_at:
                beat.info("beat: this scheduler leads")
            self._renew_at = time.monotonic() + self._leader.heartbeat_interval_seconds
            return True
        self._follow()
        return False

    def _leader_key(self) -> str:
        """One for all schedulers with the same entries: those of another app on this server have their own leader."""
        names = "\n".join(sorted(self.schedule)).encode()
        digest = hashlib.sha1(names, usedforsecurity=False).hexdigest()[:16]
        return f"{self._channel.options.root}:kombu:beat:{digest}"

    def _follow(self) -> None:
        """What is known is the leader's to change."""
        self._renew_at = 0.0
        self._heap = None
        self._located.clear()

    def _resign(self) -> None:
        leader, self._leader = self._leader, None
        led = bool(self._renew_at)
        self._follow()
        if leader is None:
            return
        try:
            if led:
                leader.release()
        except JobsError as exc:
            beat.debug("beat: the leadership ends by itself, as it could not be given up: %s", exc)
        finally:
            leader.close()

    def _lost(self, exc: BaseException) -> None:
        if not self._is_away:
            beat.error("beat: Connection error: %s. Trying again until the broker answers...", exc)
        self._is_away = True
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.close()
        self._follow()
        self._disconnect()

    # entries

    def _look(self) -> None:
        """Read the server's clock, and what was sent of entries that aren't known yet."""
        seconds, micros = self._channel.client.time()
        self._now = utc(seconds + micros / 1e6)
        for name, entry in self.schedule.items():
            if name not in self._located and self._is_located(entry):
                self._located.add(name)
                self._heap = None

    def _is_located(self, entry: Any) -> bool:
        """Whether it is known what was sent of an entry. One whose route is broken leaves the others alone."""
        try:
            self._locate(entry)
        except (JobsError, *_AWAY):
            raise
        except Exception:  # noqa: BLE001  # a router of the user may raise anything
            if entry.name not in self._announced:
                self._announced.add(entry.name)
                beat.error("Cannot tell where entry %s goes, it is left out", entry.name, exc_info=True)
            return False
        return True

    def _locate(self, entry: Any) -> None:
        home = self.home(entry)
        # the first to see it counts: intervals go on from there, and all schedulers have to agree on them
        self._channel.client.hsetnx(f"{home.name}:ticks", entry.name, f"{self._now.timestamp():.17g}")
        entry.last_run_at = utc(home.last_tick(entry.name))
        if getattr(entry.schedule, "nowfun", self) is None:  # one with a clock of its own keeps it
            entry.schedule = copy.copy(entry.schedule)
            entry.schedule.nowfun = self.present
        if entry.name not in self._announced:
            self._announced.add(entry.name)
            beat.info("beat: schedule %s: %s, next at %s", entry.name, entry.schedule, _next_run(entry))

    def home(self, entry: Any) -> Any:
        """The queue that keeps the entry's ticks: the one that its task goes to, if it is one."""
        channel, name = self._channel, home_name(self.app, entry)
        return channel.queues.at(channel.options.root) if name is None else channel.queues.named(name)

    def _options_of(self, entry: Any) -> dict[str, Any]:
        # kombu would publish once more on a new channel, which nothing holds back
        return {**super()._options_of(entry), "retry": False}

    @contextmanager
    def _captured(self) -> Iterator[list[tuple[str | None, Any]]]:
        """What is published meanwhile isn't sent: pairs of queue and job, or None and what sends a broadcast."""
        channel = self._channel
        sent: list[tuple[str | None, Any]] = []
        broadcast = channel._put_fanout  # of our own transport

        def store(queue: str, jobs: list[NewJob], _request: object = None) -> None:
            sent.extend((queue, job) for job in jobs)

        def put_fanout(exchange: str, message: Any, routing_key: str, **kwargs: Any) -> None:
            is_task = "task" in (message.get("headers") or {})
            send = partial(broadcast, exchange, message, routing_key, **kwargs)
            sent.append((None, send)) if is_task else send()

        channel.store, channel._put_fanout = store, put_fanout
        try:
            yield sent
        finally:
            del channel.store, channel._put_fanout

    def _take(self, entry: Any, tick: datetime, sent: list[tuple[str | None, Any]]) -> bool:
        channel, home = self._channel, self.home(entry)
        alone = [job for queue, job in sent if queue is not None and channel.queues.named(queue).name == home.name]
        first = alone[0] if alone else None
        if home.claim_tick(entry.name, tick.timestamp(), first) is None:
            return False
        rest: list[Callable[[], object]] = [
            job if queue is None else partial(channel.queues.named(queue).enqueue_many, [job])
            for queue, job in sent
            if job is not first
        ]
        for send in rest:
            send()
        return True

    def _put_off(self, entry: Any) -> None:
        """It couldn't be sent: it stays due."""
        self._ticks.pop(entry.name, None)
        self.schedule[entry.name] = entry
        self._located.discard(entry.name)
        self._heap = None
        self._hold_until = time.monotonic() + LOOK_SECONDS


def _next_run(entry: Any) -> str:
    try:
        return due_at(entry.schedule, entry.last_run_at).isoformat()
    except NotImplementedError:
        return "a time of its own"
