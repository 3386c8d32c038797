"""The server did it and the client didn't hear of it: the call is sent again and takes effect once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import redis.asyncio

from svcjobs._redis.link import Link
from svcjobs._redis.scripts import script
from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.effects import Count, Follow
from svcjobs.errors import QueueUnavailable
from svcjobs.job import Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack, Bury, Fail, Release
from svcjobs.stats import QueueStats
from tests.audit import check
from tests.integration.redis.stage import SCRIPTS
from tests.integration.redis.unkind_proxy import UnkindProxy
from tests.servers import RedisServer

TIMEOUT_SECONDS = 2.4


@dataclass(slots=True)
class Bench:
    """A queue behind the proxy, and the same queue on the straight way."""

    proxy: UnkindProxy
    queue: RedisJobQueue
    straight: RedisJobQueue
    client: redis.Redis

    @property
    def prefix(self) -> str:
        return self.queue.name

    def enqueued(self) -> None:
        self.straight.enqueue("work", {"n": 1}, job_id="a")

    def reserved(self) -> Job:
        self.enqueued()
        job = self.queue.reserve_next()
        assert job
        return job

    def dead(self) -> None:
        self.queue.bury(self.reserved(), reason="rejected")

    def dump(self) -> dict[bytes, bytes | None]:
        return {key: self.client.dump(key) for key in self.client.scan_iter(match=f"{self.prefix}*", count=1000)}


@pytest.fixture
def bench(
    redis_server: RedisServer, redis_client: redis.Redis, new_queue: Callable[..., RedisJobQueue]
) -> Iterator[Bench]:
    for name in SCRIPTS:
        redis_client.script_load(script(name).source)
    with UnkindProxy(redis_server.port) as proxy:
        client = redis.Redis.from_url(proxy.url)
        queue = new_queue(client, timeout_seconds=TIMEOUT_SECONDS)
        queue.stats()  # connects
        yield Bench(proxy, queue, new_queue(redis_client), redis_client)
        client.close()


@dataclass(frozen=True, slots=True)
class Verb:
    """What is done, to what, and what is true afterwards however often the request arrived."""

    script: str
    prepare: Callable[[Bench], Any]
    act: Callable[[Bench, Any], Any]
    holds: Callable[[Bench, Any, QueueStats], bool]


def once(stats: QueueStats, **totals: int) -> bool:
    """Whether these are all totals that aren't 0."""
    return {name: total for name, total in stats.totals.items() if total} == totals


def job_a(bench: Bench) -> Job:
    job = bench.straight.get("a")
    assert job
    return job


VERBS = {
    "enqueue": Verb(
        "enqueue",
        lambda b: None,
        lambda b, _: b.queue.enqueue("work"),
        lambda b, job, s: job.created and s.ready == 1 and once(s, enqueued=1),
    ),
    "enqueue with an id": Verb(
        "enqueue",
        lambda b: None,
        lambda b, _: b.queue.enqueue("work", job_id="a"),
        lambda b, job, s: job.created and s.ready == 1 and once(s, enqueued=1),
    ),
    "enqueue_many": Verb(
        "enqueue",
        lambda b: None,
        lambda b, _: b.queue.enqueue_many([NewJob("x"), NewJob("y", delay_seconds=60), NewJob("z", priority=3)]),
        lambda b, jobs, s: (
            len({job.id for job in jobs}) == 3 and (s.ready, s.delayed) == (2, 1) and once(s, enqueued=3)
        ),
    ),
    "reserve": Verb(
        "reserve",
        lambda b: b.enqueued(),
        lambda b, _: b.queue.reserve_next(),
        lambda b, job, s: (
            (job.id, job.payload, job.attempts, job.verdict) == ("a", {"n": 1}, 1, None)
            and job_a(b).attempts == 1
            and s.in_flight == 1
            and once(s, enqueued=1)
            and b.queue.ack(job) is None
        ),
    ),
    "reserve of several": Verb(
        "reserve",
        lambda b: b.straight.enqueue_many([NewJob("x"), NewJob("y"), NewJob("z", max_attempts=1)]),
        lambda b, _: b.queue.reserve_many(10),
        lambda b, jobs, s: (
            [(job.name, job.attempts) for job in jobs] == [("x", 1), ("y", 1), ("z", 1)]
            and s.in_flight == 3
            and [b.queue.ack(job) for job in jobs] == [None] * 3
        ),
    ),
    "ack": Verb(
        "ack",
        lambda b: b.reserved(),
        lambda b, job: b.queue.ack(job, effects=[Count(f"{b.prefix}:tally"), Follow(NewJob("next"))]),
        lambda b, _, s: (
            b.client.get(f"{b.prefix}:tally") == b"1"
            and s.ready == 1
            and s.in_flight == 0
            and once(s, enqueued=2, acked=1)
        ),
    ),
    "fail": Verb(
        "fail",
        lambda b: b.reserved(),
        lambda b, job: b.queue.fail(job, error="oops", delay_seconds=60),
        lambda b, outcome, s: (
            outcome == "retried" and s.delayed == 1 and len(job_a(b).history) == 1 and once(s, enqueued=1, retried=1)
        ),
    ),
    "bury": Verb(
        "bury",
        lambda b: b.reserved(),
        lambda b, job: b.queue.bury(job, reason="rejected"),
        lambda b, _, s: s.dead == 1 and len(job_a(b).history) == 1 and once(s, enqueued=1, buried=1),
    ),
    "release": Verb(
        "release",
        lambda b: b.reserved(),
        lambda b, job: b.queue.release(job),
        lambda b, _, s: s.ready == 1 and job_a(b).attempts == 0 and once(s, enqueued=1, released=1),
    ),
    "extend": Verb(
        "extend",
        lambda b: b.reserved(),
        lambda b, job: b.queue.extend(job),
        lambda b, _, s: s.in_flight == 1 and once(s, enqueued=1),
    ),
    "settle_many": Verb(
        "fail",
        lambda b: (b.straight.enqueue("other"), b.reserved(), b.queue.reserve_next())[1:],
        lambda b, jobs: b.queue.settle_many([Ack(jobs[0]), Fail(jobs[1], "oops", delay_seconds=60)]),
        lambda b, outcomes, s: list(outcomes) == ["acked", "retried"] and once(s, enqueued=2, acked=1, retried=1),
    ),
    "requeue": Verb(
        "requeue",
        lambda b: b.dead(),
        lambda b, _: b.queue.requeue("a"),
        lambda b, job, s: job.attempts == 0 and s.ready == 1 and once(s, enqueued=1, buried=1, requeued=1),
    ),
    "cancel": Verb(
        "cancel",
        lambda b: b.enqueued(),
        lambda b, _: b.queue.cancel("a"),
        lambda b, outcome, s: outcome == "cancelled" and s.dead == 1 and once(s, enqueued=1, buried=1, cancelled=1),
    ),
    "cancel of a leased job": Verb(
        "cancel",
        lambda b: b.reserved(),
        lambda b, _: b.queue.cancel("a"),
        lambda b, outcome, s: outcome == "cancelling" and s.in_flight == 1 and once(s, enqueued=1),
    ),
    "claim_tick": Verb(
        "claim_tick",
        lambda b: None,
        lambda b, _: b.queue.claim_tick("nightly", 1000.0, NewJob("report")),
        lambda b, job, s: job is not None and job.name == "report" and s.ready == 1 and once(s, enqueued=1),
    ),
}


@pytest.fixture(params=list(VERBS))
def verb(request: pytest.FixtureRequest) -> Verb:
    return VERBS[request.param]


def sha(name: str) -> bytes:
    return script(name).sha.encode()


TROUBLES: dict[str, Callable[[UnkindProxy, bytes], None]] = {
    "swallowed": lambda proxy, name: proxy.swallow_reply(containing=name),
    "closed instead": lambda proxy, name: proxy.swallow_reply(containing=name, close=True),
    "cut in the middle": lambda proxy, name: proxy.cut_reply(name),
}


@pytest.mark.promise("P2")
@pytest.mark.parametrize("trouble", TROUBLES)
def test_p2_a_call_whose_reply_is_lost_takes_effect_once(bench: Bench, verb: Verb, trouble: str) -> None:
    prepared = verb.prepare(bench)
    TROUBLES[trouble](bench.proxy, sha(verb.script))
    result = verb.act(bench, prepared)
    assert bench.proxy.swallowed == 1
    assert verb.holds(bench, result, bench.straight.stats())
    check(bench.client, bench.prefix)


@pytest.mark.promise("P2")
@pytest.mark.parametrize("moves_on", [False, True], ids=["at once", "after later calls"])
def test_p2_a_request_that_arrives_after_its_retry_changes_nothing(bench: Bench, verb: Verb, moves_on: bool) -> None:
    prepared = verb.prepare(bench)
    bench.proxy.hold_request(sha(verb.script))
    result = verb.act(bench, prepared)
    assert verb.holds(bench, result, bench.straight.stats())
    if moves_on:
        bench.queue.enqueue("later")
        bench.queue.reserve_many(10)
        bench.straight.enqueue("bait")
    before = bench.dump()
    bench.proxy.deliver()
    assert bench.dump() == before


@pytest.mark.promise("P2")
def test_p2_an_empty_reserve_that_arrives_late_takes_no_job(bench: Bench) -> None:
    """Its first request is stuck, its retry finds nothing; then a job comes, then the stuck request."""
    bench.proxy.hold_request(sha("reserve"))
    assert bench.queue.reserve_next() is None
    assert bench.queue.reserve_next() is None
    bench.enqueued()
    bench.proxy.deliver()
    job = bench.queue.reserve_next()
    assert job is not None, "nobody holds the job, and nobody gets it"
    assert job.attempts == 1


@pytest.mark.promise("P2")
def test_p2_a_worker_that_loses_every_reply_once_settles_each_job_once(bench: Bench) -> None:
    bench.straight.enqueue_many([NewJob("work") for _ in range(3)])
    for _ in range(3):
        bench.proxy.swallow_reply(containing=sha("reserve"))
        job = bench.queue.reserve_next()
        assert job
        assert job.attempts == 1
        bench.proxy.swallow_reply(containing=sha("ack"))
        bench.queue.ack(job)
    stats = bench.straight.stats()
    assert once(stats, enqueued=3, acked=3)
    check(bench.client, bench.prefix, set())


@pytest.mark.promise("P2")
@pytest.mark.parametrize("unheard", ["ack", "fail", "bury", "release"])
def test_p2_a_batch_of_settlements_that_is_repeated_after_its_time_gets_the_outcomes_that_it_had(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unheard: str
) -> None:
    """Each of its calls is carried out, the reply to one of them doesn't come, and the caller is told so."""
    bench.straight.enqueue_many([NewJob("work") for _ in range(5)])
    jobs = bench.queue.reserve_many(5)
    batch = [Ack(jobs[0]), Fail(jobs[1], "no", delay_seconds=60), Bury(jobs[2], "bad"), Release(jobs[3]), Ack(jobs[4])]
    link = bench.queue._link

    def run(call: Any) -> Any:
        reply = Link.run(link, call)
        if call.script.name == unheard:
            monkeypatch.undo()
            raise QueueUnavailable("unheard")
        return reply

    monkeypatch.setattr(link, "run", run)
    with pytest.raises(QueueUnavailable):
        bench.queue.settle_many(batch)
    assert bench.queue.settle_many(batch) == ["acked", "retried", "buried", "released", "acked"]
    assert once(bench.straight.stats(), enqueued=5, acked=2, retried=1, buried=1, released=1)
    for job in bench.queue.reserve_many(5):
        bench.queue.ack(job)
    assert bench.straight.stats().totals["acked"] == 3


@pytest.mark.promise("P2")
async def test_p2_a_cancelled_call_leaves_no_reply_behind_for_the_next(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    """The task is cancelled while the answer is on its way; later calls get their own answers."""
    with UnkindProxy(redis_server.port) as proxy:
        queue = AsyncRedisJobQueue(redis.asyncio.Redis.from_url(proxy.url), prefix=prefix)
        for n in range(5):
            await queue.enqueue("work", job_id=f"a{n}")
            proxy.delay(500)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(queue.enqueue("work", job_id=f"b{n}"), 0.05)
            proxy.pass_through()
            assert (await queue.enqueue("work", job_id=f"c{n}")).id == f"c{n}"
        ids = set()
        while job := await queue.reserve_next():
            await queue.ack(job)
            ids.add(job.id)
        assert {job_id for job_id in ids if job_id[0] != "b"} == {f"{c}{n}" for c in "ac" for n in range(5)}
        check(redis_client, prefix, set())
        await queue.close()


def test_a_reserve_of_one_gives_back_what_a_lost_one_of_many_has_leased(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.straight.enqueue_many([NewJob("work", job_id=job_id, max_attempts=1) for job_id in "abc"])
    read = Link._read

    def lost(link: Link, call: Any) -> Any:
        read(link, call)
        raise redis.ConnectionError("nobody hears of it")

    with monkeypatch.context() as patch:
        patch.setattr(Link, "_read", lost)
        with pytest.raises(QueueUnavailable):
            bench.queue.reserve_many(3)
    first = bench.queue.reserve_next()
    assert first
    assert (first.id, bench.straight.stats().in_flight, bench.straight.stats().ready) == ("a", 1, 2)
    assert [job.attempts for job in bench.straight.reserve_many(3)] == [1, 1]
