"""Memory and Redis behave the same: the same random operations lead to the same answers and the same states."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import pytest
import redis
from fakeredis import FakeRedis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from svcjobs.clock import MovableClock
from svcjobs.effects import Count, Effect, Follow
from svcjobs.errors import JobsError
from svcjobs.memory_server import MemoryServer
from svcjobs.queue import (
    Ack,
    Bury,
    Fail,
    InMemoryJobQueue,
    Job,
    JobQueue,
    NewJob,
    Outcome,
    Release,
    RetryPolicy,
    Settlement,
    Unique,
)
from svcjobs.redis_queue import RedisJobQueue
from tests.conformance.contents import memory_contents, redis_contents
from tests.servers import RedisServer

START = 1_800_000_000.0  # with steps of a quarter of a second every instant is exact in all notations
IDS = st.sampled_from(["1", "2", "3", "4", "5", "a", "b"])
CONSUMER = st.integers(0, 1)

new_jobs = st.builds(
    NewJob,
    name=st.sampled_from(["x", "y"]),
    payload=st.sampled_from([{}, {"a": [], "b": {}}, {"n": 2**70}]),
    delay_seconds=st.sampled_from([0, 0, 0, 5, 60]),
    max_attempts=st.sampled_from([None, 1, 2, 3]),
    backoff_seconds=st.sampled_from([None, 0, 10, 2.5]),
    retry=st.sampled_from(
        [
            None,
            None,
            RetryPolicy("exponential"),
            RetryPolicy("fixed", max_delay_seconds=5),
            RetryPolicy(max_elapsed_seconds=100),
        ]
    ),
    job_id=st.sampled_from([None, None, None, "a", "b"]),
    unique=st.sampled_from([None, None, None, Unique("k", "queued"), Unique("k", "done"), Unique("l", "queued")]),
    priority=st.sampled_from([0, 0, 0, 3, 9]),
    headers=st.sampled_from([None, {"h": "v"}]),
    soft_time_limit_seconds=st.sampled_from([None, None, 0.5]),
    time_limit_seconds=st.sampled_from([None, None, 3]),
)
Pair = tuple[Job, Job]
"""The same job as memory and as Redis reserved it."""


def view(value: Any) -> Any:
    """What of an answer has to be the same."""
    if isinstance(value, Job):
        history = [entry | {"at": entry["at"][:19]} for entry in value.history]
        return replace(value, lease=None, stored_limits=None, history=history, last_error=value.last_error or None)
    if isinstance(value, list):
        return [view(item) for item in value]
    return value


class SameStates(RuleBasedStateMachine):
    """Applies each operation to both queues and compares."""

    client: ClassVar[redis.Redis]
    numbers = itertools.count()
    reserved: Bundle[Pair] = Bundle("reserved")

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"same{next(self.numbers)}"
        self.clock = MovableClock(START)
        self.server = MemoryServer()
        options: dict[str, Any] = {"clock": self.clock, "visibility_timeout": 30, "max_attempts": 4}
        self.memory = [InMemoryJobQueue(server=self.server, name=self.prefix, **options) for _ in range(2)]
        self.redis = [RedisJobQueue(self.client, prefix=self.prefix, **options) for _ in range(2)]

    def teardown(self) -> None:
        for queue in self.redis:
            queue.close()

    def both(self, operation: Callable[[JobQueue, int], Any], consumer: int = 0) -> tuple[Any, Any]:
        """Apply an operation to memory (side 0) and Redis (side 1); their answers, which are the same."""
        answers = []
        queues: tuple[JobQueue, JobQueue] = (self.memory[consumer], self.redis[consumer])
        for side, queue in enumerate(queues):
            try:
                answers.append(operation(queue, side))
            except JobsError as error:
                answers.append(type(error))
        assert view(answers[0]) == view(answers[1])
        return answers[0], answers[1]

    # storing

    @rule(job=new_jobs)
    def enqueue(self, job: NewJob) -> None:
        self.both(lambda queue, _: queue.enqueue_many([job]))

    @rule(jobs=st.lists(new_jobs, max_size=4))
    def enqueue_many(self, jobs: list[NewJob]) -> None:
        self.both(lambda queue, _: queue.enqueue_many(jobs))

    @rule(tick_at=st.integers(0, 5), job=st.none() | new_jobs)
    def claim_tick(self, tick_at: int, job: NewJob | None) -> None:
        self.both(lambda queue, _: queue.claim_tick("s", tick_at, job))
        self.both(lambda queue, _: queue.last_tick("s"))

    # reserving

    @rule(
        target=reserved, consumer=CONSUMER, limit=st.integers(0, 4), verdicts=st.booleans(), lowest_first=st.booleans()
    )
    def reserve_many(self, consumer: int, limit: int, verdicts: bool, lowest_first: bool) -> Any:
        memory, other = self.both(
            lambda queue, _: queue.reserve_many(limit, verdicts=verdicts, lowest_first=lowest_first), consumer
        )
        return multiple(*zip(memory, other, strict=True))

    @rule(target=reserved, consumer=CONSUMER)
    def reserve_next(self, consumer: int) -> Any:
        memory, other = self.both(lambda queue, _: queue.reserve_next(), consumer)
        return (memory, other) if memory else multiple()

    @rule(seconds=st.sampled_from([0.25, 1, 5, 10, 31, 120]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # settling; the bundle holds stale jobs, too

    @rule(pair=reserved, consumer=CONSUMER, follow=st.none() | new_jobs)
    def ack(self, pair: Pair, consumer: int, follow: NewJob | None) -> None:
        effects: list[Effect] = [Count(f"{self.prefix}-n")]
        effects += [Follow(follow)] if follow else []
        self.both(lambda queue, side: queue.ack(pair[side], effects=effects), consumer)

    @rule(pair=reserved, delay=st.none() | st.sampled_from([0, 7.5]), error=st.sampled_from([None, "", "oh", "ü\n{}"]))
    def fail(self, pair: Pair, delay: float | None, error: str | None) -> None:
        self.both(lambda queue, side: queue.fail(pair[side], error=error, traceback="T", delay_seconds=delay))

    @rule(pair=reserved, error=st.sampled_from([None, "no"]))
    def bury(self, pair: Pair, error: str | None) -> None:
        self.both(lambda queue, side: queue.bury(pair[side], reason="r", error=error))

    @rule(pair=reserved, delay=st.sampled_from([0, 0, 20]), charged=st.booleans(), suspect=st.booleans())
    def release(self, pair: Pair, delay: float, charged: bool, suspect: bool) -> None:
        self.both(lambda queue, side: queue.release(pair[side], delay_seconds=delay, charged=charged, suspect=suspect))

    @rule(pair=reserved, seconds=st.none() | st.sampled_from([0, 5, 100]))
    def extend(self, pair: Pair, seconds: float | None) -> None:
        self.both(lambda queue, side: queue.extend(pair[side], seconds=seconds))

    @rule(pairs=st.lists(reserved, max_size=4))
    def extend_many(self, pairs: list[Pair]) -> None:
        self.both(lambda queue, side: queue.extend_many([pair[side] for pair in pairs]))

    @rule(pairs=st.lists(reserved, max_size=6, unique_by=lambda pair: pair[0].id), verb=st.integers(0, 4))
    def settle_many(self, pairs: list[Pair], verb: int) -> None:
        def settlements(side: int) -> Sequence[Settlement]:
            jobs = [pair[side] for pair in pairs]
            verbs: list[Callable[[Job], Settlement]] = [Ack, Fail, lambda job: Bury(job, "r"), Release]
            if verb < 4:
                return [verbs[verb](job) for job in jobs]
            return [Release(job, charged=n % 2 == 1) for n, job in enumerate(jobs)]

        memory, _ = self.both(lambda queue, side: queue.settle_many(settlements(side)))
        assert all(isinstance(outcome, Outcome) for outcome in memory)

    @rule(job_id=IDS, consumer=CONSUMER, verb=st.sampled_from(["ack", "fail", "release", "extend"]))
    def settle_by_id(self, job_id: str, consumer: int, verb: str) -> None:
        self.both(lambda queue, _: getattr(queue, verb)(job_id), consumer)

    @rule(job_id=IDS, consumer=CONSUMER)
    def cancel(self, job_id: str, consumer: int) -> None:
        self.both(lambda queue, _: queue.cancel(job_id), consumer)

    @rule(pair=reserved, max_attempts=st.integers(1, 4), backoff=st.sampled_from([0, 30]))
    def change_limits(self, pair: Pair, max_attempts: int, backoff: float) -> None:
        for job in pair:
            job.max_attempts, job.backoff_seconds = max_attempts, backoff

    # keeping

    @rule(limit=st.integers(0, 3))
    def promote(self, limit: int) -> None:
        self.both(lambda queue, _: queue.promote(limit))

    @rule(limit=st.integers(0, 3))
    def reclaim(self, limit: int) -> None:
        self.both(lambda queue, _: queue.reclaim(limit))

    @rule(job_id=IDS)
    def requeue(self, job_id: str) -> None:
        self.both(lambda queue, _: queue.requeue(job_id))

    @rule(ids=st.lists(IDS, max_size=3))
    def requeue_many(self, ids: list[str]) -> None:
        self.both(lambda queue, _: queue.requeue_many(ids))

    @rule(ids=st.lists(IDS, max_size=3))
    def cancel_many(self, ids: list[str]) -> None:
        self.both(lambda queue, _: queue.cancel_many(ids))

    @rule(ids=st.lists(IDS, max_size=2))
    def purge_some_dead(self, ids: list[str]) -> None:
        self.both(lambda queue, _: queue.purge_dead(ids))

    @rule(limit=st.none() | st.integers(0, 2))
    def requeue_all(self, limit: int | None) -> None:
        self.both(lambda queue, _: queue.requeue_all(limit))

    @rule(job_id=IDS)
    def purge_dead(self, job_id: str) -> None:
        self.both(lambda queue, _: queue.purge_dead(job_id))

    @rule(rarely=st.integers(0, 3))
    def purge(self, rarely: int) -> None:
        if rarely == 0:
            self.both(lambda queue, _: queue.purge())
            self.both(lambda queue, _: queue.purge_dead())

    @rule(paused=st.sampled_from([True, False, False]))
    def pause(self, paused: bool) -> None:
        self.both(lambda queue, _: queue.pause() if paused else queue.resume())

    @rule(job_id=IDS, offset=st.integers(0, 2))
    def look(self, job_id: str, offset: int) -> None:
        self.both(lambda queue, _: queue.get(job_id))
        self.both(lambda queue, _: queue.dead(2, offset))
        self.both(lambda queue, _: queue.dead(2, offset, oldest_first=True))

    @invariant()
    def the_states_are_the_same(self) -> None:
        self.both(lambda queue, _: queue.stats())
        memory = memory_contents(self.server.store(self.prefix))
        other = redis_contents(self.client, self.prefix)
        assert asdict(memory) == asdict(other)
        stats = self.memory[0].stats()
        assert stats.ready + stats.delayed + stats.in_flight + stats.dead == len(memory.jobs)


def compare(client: redis.Redis, examples: int) -> None:
    machine = type("SameStatesHere", (SameStates,), {"client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            derandomize=True,  # the same operations at every run
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.scenario(37)
def test_memory_and_fakeredis_reach_the_same_states() -> None:
    compare(FakeRedis(), examples=25)


@pytest.mark.server
@pytest.mark.scenario(37)
def test_memory_and_redis_reach_the_same_states(redis_server: RedisServer, prefix: str) -> None:
    client = redis.Redis.from_url(redis_server.url, db=9)
    client.flushdb()  # a database of its own: the machine numbers its prefixes
    compare(client, examples=60)
    client.close()
