"""How a channel gets its messages: it reserves while there are any, and else waits for the queues' wake-up."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis
from kombu.utils.scheduling import cycle_by_name

from svcjobs._redis.connections import is_cluster
from svcjobs.errors import InvalidJob, JobsError
from svcjobs.job import Job
from svcjobs.settlement import Ack, Bury, Settlement
from svcjobs_celery_compat.transport.fanout import BLOCK_SECONDS
from svcjobs_celery_compat.transport.listener import Listener
from svcjobs_celery_compat.transport.wire import Message, delivered

logger = logging.getLogger(__name__)

LONGEST_BLOCK_SECONDS = 2.0
"""The scripts wake nobody for what is due later than this."""
MOST_AT_ONCE = 100
QUICK_SECONDS = 0.02
"""Without a prefetch limit, a batch that was dealt with so fast is followed by one twice as large."""


class Lane:
    """Queues that one command waits for: all that are consumed, or one of them on a cluster.

    Args:
        names: of the queues.
        intake: whose they are.
    """

    def __init__(self, names: Sequence[str], intake: Intake) -> None:
        self.names = names
        self.listener = intake.listener(lambda: intake.on_wake(self))


class Intake:
    """The consuming side of a channel.

    Args:
        channel: whose consumers get the messages.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._buffer: deque[tuple[str, Message]] = deque()
        self._order = cycle_by_name(channel.options.queue_order_strategy)()
        self._awake: set[str] = set()
        self._unlimited_batch = 1
        self._filled_at = 0.0
        self._lanes: list[Lane] = []
        self._fanout = self.listener(self._on_fanout)
        self._taking: list[str] = []
        self._hearing: list[str] = []
        self.in_batches = False
        """Whether messages come several at a time, so that their acks may go so."""

    def listener(self, on_readable: Any) -> Listener:
        """A connection of its own to wait on, watched by the channel's poller."""
        poller = self._channel.poller
        return Listener(self._channel.client, lambda fd: poller.watch(fd, on_readable), poller.forget)

    def consume_from(self, queues: list[str]) -> None:
        """Serve these queues from now on. What was fetched from others is given back."""
        subscriptions = self._channel.fanout.subscriptions
        taking = [name for name in dict.fromkeys(queues) if name not in subscriptions]
        hearing = [name for name in dict.fromkeys(queues) if name in subscriptions]
        if hearing != self._hearing:
            self._fanout.close()
        if set(taking) != set(self._taking):
            self._stop_waiting()
            self._lanes = self._lanes_of(taking)
        self._awake |= set(taking) - set(self._taking)
        self._awake &= set(taking)
        self._taking, self._hearing = taking, hearing
        self._order.update(taking)
        kept = [item for item in self._buffer if item[0] in queues]
        gone = [message["job"] for name, message in self._buffer if name not in queues and "job" in message]
        self._buffer = deque(kept)
        self._channel.give_back(gone)

    def _lanes_of(self, taking: list[str]) -> list[Lane]:
        if not is_cluster(self._channel.client):
            return [Lane(taking, self)] if taking else []
        return [Lane([name], self) for name in taking]

    @property
    def ready(self) -> bool:
        """Whether there is, or may be, something to deliver at once."""
        return bool(self._buffer) or (bool(self._awake) and self._channel.qos.can_consume())

    def deliver(self) -> bool:
        """Hand one message to its consumer, if there is one."""
        if not self._buffer and self._awake:
            self._fill()
        if not self._buffer:
            return False
        name, message = self._buffer.popleft()
        if self._channel.is_its_own(name, message):
            self._channel.callbacks[name](message)
        return True

    def arm(self) -> None:
        """Wait for what comes next, on the sockets."""
        self._channel.acks.flush()
        for listener in (*(lane.listener for lane in self._lanes), self._fanout):
            if listener.overdue:
                logger.warning("no answer from the server: a consumer connects again")
                listener.close()
                self._awake |= set(self._taking)
        if self._hearing and self._fanout.idle:
            fanout = self._channel.fanout
            self._fanout.send(BLOCK_SECONDS, fanout.prefix, *fanout.reading(self._hearing))
        if self._taking and not self._channel.qos.can_consume():
            for name in self._taking:  # a full consumer is one, too: its queues don't expire
                self._channel.declarations.used(self._channel.queues.named(name).name)
            return
        if not self._buffer and not self._awake:
            for lane in self._lanes:
                if lane.listener.idle:
                    self._wait_in(lane)

    def _wait_in(self, lane: Lane) -> None:
        queues = [self._channel.queues.named(name) for name in lane.names]
        due = min(queue.next_due_at for queue in queues) - time.monotonic()
        idle_seconds = min(self._channel.declarations.most_idle_seconds(queue.name) for queue in queues)
        # Redis 6.2 cuts 0.001 down to 0, which means for ever
        block = max(0.002, min(due, idle_seconds, LONGEST_BLOCK_SECONDS))
        keys = [f"{queue.name}:wake" for queue in queues]
        lane.listener.send(block, keys[0], "BLPOP", *keys, f"{block:.3f}")

    def abandon(self) -> list[Job]:
        """Stop waiting, without a word to a server that is away; returns what was fetched and not handed out."""
        self._fanout.close()
        for lane in self._lanes:
            lane.listener.close()
        buffered = [message["job"] for _, message in self._buffer if "job" in message]
        self._buffer.clear()
        self.in_batches = False
        self._lanes, self._taking, self._hearing, self._awake = [], [], [], set()
        return buffered

    def _stop_waiting(self) -> None:
        """Give up the wait. The server may just have sent a token here, so another consumer is woken in its place."""
        for lane in self._lanes:
            waited = lane.listener.waiting
            lane.listener.close()
            for name in lane.names if waited else ():
                try:
                    self._channel.queues.named(name).reserve_many(0)
                except JobsError as error:
                    logger.debug("nobody was woken for queue %s: %s", name, error)

    def on_wake(self, lane: Lane) -> None:
        """A lane's wait is over."""
        try:
            reply = lane.listener.read()
        except redis.RedisError as error:
            logger.info("a consumer's connection was lost, it connects again: %s", error)
            reply = None
        if not reply:
            self._awake |= set(lane.names)
            return
        prefix = reply[0].decode().removesuffix(":wake")
        self._awake |= {name for name in self._taking if self._channel.queues.named(name).name == prefix}
        if not self._channel.qos.can_consume():  # the limit was lowered meanwhile: somebody else may have it
            self._channel.queues.at(prefix).reserve_many(0)

    def _on_fanout(self) -> None:
        try:
            reply = self._fanout.read()
        except redis.RedisError as error:
            logger.info("a consumer's connection was lost, it connects again: %s", error)
            return
        self._buffer += self._channel.fanout.received(reply, self._hearing)

    def _fill(self) -> None:
        self._channel.acks.flush()
        credit = self._limit()
        for name in self._order.consume(len(self._taking)):
            if credit <= 0:
                return
            if name not in self._awake:
                continue
            jobs = self._channel.reserve(name, credit)
            if len(jobs) < credit:
                self._awake.discard(name)
            if jobs:
                self._order.rotate(name)
                credit -= len(jobs)
                self._buffer += [(name, message) for message in self._channel.sorted_out(jobs)]
                self.in_batches = len(self._buffer) > 1

    def _limit(self) -> int:
        credit: int | None = self._channel.qos.credit()
        if credit is not None:
            return min(credit, MOST_AT_ONCE)
        now = time.monotonic()
        quick = now - self._filled_at < QUICK_SECONDS
        self._unlimited_batch = min(2 * self._unlimited_batch, MOST_AT_ONCE) if quick else 1
        self._filled_at = now
        return self._unlimited_batch


def sort_out(job: Job, options: Any) -> Message | Settlement:
    """The message of a reserved job; or, for one that isn't to be delivered, what becomes of it instead."""
    if job.verdict == "exhausted" and job.attempts < job.max_attempts:
        return Ack(job)  # its time to live is over
    if job.verdict in ("exhausted", "worker_lost") and not options.dead_letter_exhausted:
        return Ack(job)
    if job.verdict:
        return Bury(job, job.verdict, job.last_error or "")
    try:
        return delivered(job)
    except InvalidJob as error:
        return Bury(job, "corrupt", str(error))
