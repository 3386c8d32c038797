"""P5 and waking: never early, at most a second late, an idle worker starts at once and asks for little."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import redis
import redis.asyncio

from svcjobs.job import NewJob
from svcjobs.redis_queue import AsyncRedisJobQueue, RedisJobQueue
from tests.audit import check_drained
from tests.eventually import eventually
from tests.server_program import ServerProgram
from tests.servers import RedisServer


@dataclass
class Crew:
    """Consumers on their own connections, each in a thread: reserve, run, ack, else wait."""

    server: RedisServer
    prefix: str
    stop: threading.Event = field(default_factory=threading.Event)
    starts: list[tuple[str, float, float]] = field(default_factory=list)
    """Per start: the job's id, the server's time, the monotonic time."""
    threads: list[threading.Thread] = field(default_factory=list)

    def hire(self, count: int, run_seconds: float = 0, lease_seconds: float = 60) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._consume, args=(run_seconds, lease_seconds))
            thread.start()
            self.threads.append(thread)

    def _consume(self, run_seconds: float, lease_seconds: float) -> None:
        client = redis.Redis.from_url(self.server.url)
        queue = RedisJobQueue(client, prefix=self.prefix, visibility_timeout=lease_seconds)
        while not self.stop.is_set():
            job = queue.reserve_next()
            if job is None:
                queue.wait(5)
                continue
            seconds, micros = client.time()
            self.starts.append((job.id, float(seconds) + float(micros) / 1e6, time.monotonic()))
            time.sleep(run_seconds)
            queue.ack(job)
        queue.close()
        client.close()

    def dismiss(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def quiet_server(server_program: ServerProgram) -> Iterator[RedisServer]:
    """Nobody else's commands, and no log to be synced."""
    with RedisServer(server_program) as server:
        yield server


@pytest.fixture
def crew(quiet_server: RedisServer, prefix: str) -> Iterator[Crew]:
    crew = Crew(quiet_server, prefix)
    yield crew
    crew.dismiss()


@pytest.fixture
def queue(quiet_server: RedisServer, new_queue: Callable[..., RedisJobQueue]) -> RedisJobQueue:
    return new_queue(quiet_server.client())


CLOCK_STEP_SECONDS = 0.05
"""A wall clock may be set so far while a test runs."""


def best_of(times: int, measure: Callable[[], float]) -> float:
    """The least of some measurements: the others may have met a machine that was busy elsewhere."""
    return min(measure() for _ in range(times))


def asleep(crew: Crew, count: int) -> bool:
    return crew.server.client().info("clients")["blocked_clients"] == count


@pytest.mark.alone
@pytest.mark.promise("P5")
@pytest.mark.scenario(6)
def test_p5_a_delay_is_never_early_at_most_a_second_late_and_runs_once(crew: Crew, queue: RedisJobQueue) -> None:
    """Some are shorter than the lease, some longer; all workers idle."""
    crew.hire(2, lease_seconds=1.2)
    due = {}
    for delay in (0.01, 0.1, 0.35, 0.9, 1.5, 2.1, 3.3):
        job = queue.enqueue("work", delay_seconds=delay)
        due[job.id] = job.available_at.timestamp()  # the server's clock, and a job that fell due meanwhile has no score
    eventually(lambda: len(crew.starts) >= len(due))
    crew.dismiss()
    assert sorted(job_id for job_id, _, _ in crew.starts) == sorted(due)
    late = [started - due[job_id] for job_id, started, _ in crew.starts]
    assert min(late) >= 0, "early"
    assert max(late) < 1
    print(f"\nlate by {statistics.median(late) * 1000:.1f} ms (median), {max(late) * 1000:.1f} ms at most")
    check_drained(crew.server.client(), queue.name)


@pytest.mark.alone
@pytest.mark.promise("P5")
def test_p5_a_sleeping_worker_notices_an_earlier_delay(crew: Crew, queue: RedisJobQueue) -> None:
    queue.enqueue("later", delay_seconds=60)
    crew.hire(1)

    def seconds_to_start() -> float:
        eventually(lambda: asleep(crew, 1))
        before, start = len(crew.starts), time.monotonic()
        queue.enqueue("sooner", delay_seconds=0.2)
        eventually(lambda: len(crew.starts) > before)
        return crew.starts[-1][2] - start

    assert 0.2 - CLOCK_STEP_SECONDS <= best_of(3, seconds_to_start) < 0.6


@pytest.mark.alone
@pytest.mark.promise("P5")
def test_p5_a_retry_waits_in_redis(crew: Crew, queue: RedisJobQueue) -> None:
    job = queue.enqueue("work", backoff_seconds=0.4)
    first = queue.reserve_next()
    assert first
    failed_at = time.monotonic()
    queue.fail(first, error="oops")
    assert queue.stats().delayed == 1
    crew.hire(2)
    eventually(lambda: crew.starts)
    assert 0.4 - CLOCK_STEP_SECONDS <= crew.starts[0][2] - failed_at < 1.4
    assert crew.starts[0][0] == job.id


@pytest.mark.alone
@pytest.mark.promise("P3")
@pytest.mark.scenario(2)
def test_p3_a_lost_workers_job_starts_within_lease_and_two_seconds_on_an_idle_queue(
    crew: Crew, queue: RedisJobQueue, new_queue: Callable[..., RedisJobQueue]
) -> None:
    crew.hire(2)
    eventually(lambda: asleep(crew, 2))
    lost = new_queue(crew.server.client(), visibility_timeout=1)
    start = time.monotonic()
    # taken before an idle worker can: enqueue and reserve are one step for the others
    queue.pause()
    queue.enqueue("work")
    eventually(lambda: asleep(crew, 2))
    crew.server.client().delete(f"{queue.name}:paused")
    assert lost.reserve_next()
    eventually(lambda: crew.starts)
    assert 1 - CLOCK_STEP_SECONDS <= crew.starts[0][2] - start < 3


@pytest.mark.alone
def test_an_idle_worker_starts_a_job_within_milliseconds(crew: Crew, queue: RedisJobQueue) -> None:
    crew.hire(1)
    took = []
    for n in range(60):
        eventually(lambda: asleep(crew, 1))
        start = time.monotonic()
        queue.enqueue("work")
        eventually(lambda n=n: len(crew.starts) > n)
        took.append(crew.starts[-1][2] - start)
    median = statistics.median(took)
    print(f"\nfrom enqueue to start: p50 {median * 1000:.2f} ms, p90 {sorted(took)[53] * 1000:.2f} ms")
    assert median < 0.005


@pytest.mark.alone
def test_no_wake_up_is_lost_among_idle_workers(crew: Crew, queue: RedisJobQueue) -> None:
    """Five sleepers, one token at most: each of twenty jobs starts without a sleep running out."""
    crew.hire(5, run_seconds=0.1)
    eventually(lambda: asleep(crew, 5))
    begin = time.monotonic()
    for _ in range(20):
        queue.enqueue("work")
    eventually(lambda: len(crew.starts) == 20)
    assert crew.starts[-1][2] - begin < 1.5, "20 jobs of 0.1 s on 5 workers take 0.4 s"


@pytest.mark.alone
def test_a_batch_wakes_as_many_workers_as_it_can_use(crew: Crew, queue: RedisJobQueue) -> None:
    crew.hire(5, run_seconds=0.5)

    def seconds_to_the_last_start() -> float:
        eventually(lambda: asleep(crew, 5))
        before, begin = len(crew.starts), time.monotonic()
        queue.enqueue_many([NewJob("work") for _ in range(5)])
        eventually(lambda: len(crew.starts) == before + 5)
        return crew.starts[-1][2] - begin

    assert best_of(3, seconds_to_the_last_start) < 0.4


@pytest.mark.alone
def test_resume_wakes_sleeping_workers(crew: Crew, queue: RedisJobQueue) -> None:
    crew.hire(3, run_seconds=0.3)

    def seconds_to_the_last_start() -> float:
        queue.pause()
        queue.enqueue_many([NewJob("work") for _ in range(3)])
        eventually(lambda: asleep(crew, 3))
        before, begin = len(crew.starts), time.monotonic()
        queue.resume()
        eventually(lambda: len(crew.starts) == before + 3)
        return crew.starts[-1][2] - begin

    assert best_of(3, seconds_to_the_last_start) < 0.3


def found_nothing(queue: RedisJobQueue) -> bool:
    assert queue.reserve_next() is None
    return queue.wait(0.01)


WITHOUT_A_TOKEN: dict[str, Callable[[redis.Redis, str], object]] = {
    "ready": lambda client, key: client.lpush(key, "pushed"),
    "ready:7": lambda client, key: client.lpush(key, "pushed"),
    "processing": lambda client, key: client.lpush(key, "adopted"),
    "delayed": lambda client, key: client.zadd(key, {"due": 1}),
    "processing_vt": lambda client, key: client.zadd(key, {"expired": 1}),
    "effects": lambda client, key: client.rpush(key, "to be relayed"),
}


@pytest.mark.parametrize("name", WITHOUT_A_TOKEN)
def test_a_wait_finds_what_woke_nobody(queue: RedisJobQueue, quiet_server: RedisServer, name: str) -> None:
    """Other programs push ids too, and a wake-up may be lost with the worker that got it."""
    assert found_nothing(queue)
    WITHOUT_A_TOKEN[name](quiet_server.client(), f"{queue.name}:{name}")
    assert not queue.wait(0.01)


@pytest.mark.parametrize("name", ["delayed", "processing", "processing_vt"])
def test_a_wait_leaves_it_to_the_reserve_to_name_a_corrupt_key(
    queue: RedisJobQueue, quiet_server: RedisServer, name: str
) -> None:
    assert found_nothing(queue)
    quiet_server.client().set(f"{queue.name}:{name}", "text")
    assert not queue.wait(0.01)


async def test_an_asyncio_wait_tells_the_same(queue: RedisJobQueue, quiet_server: RedisServer) -> None:
    async with redis.asyncio.Redis.from_url(quiet_server.url) as client:
        mine = AsyncRedisJobQueue(client, prefix=queue.name)
        assert await mine.reserve_next() is None
        assert await mine.wait(0.01)
        queue.enqueue("later", delay_seconds=3600)
        assert await mine.wait(0.01)
        quiet_server.client().lpush(f"{queue.name}:ready", "pushed")
        assert not await mine.wait(0.01)
        await mine.close()


@pytest.mark.alone
@pytest.mark.parametrize("far_off", [0, 1000], ids=["empty", "with delayed jobs"])
def test_an_idle_process_sends_under_two_commands_a_second(crew: Crew, queue: RedisJobQueue, far_off: int) -> None:
    queue.enqueue_many([NewJob("work", delay_seconds=3600 + n) for n in range(far_off)])
    crew.hire(1)
    eventually(lambda: asleep(crew, 1))
    client = crew.server.client()
    client.config_resetstat()
    began = time.monotonic()
    time.sleep(3.5)
    stats, seconds = client.info("commandstats"), time.monotonic() - began
    sent = sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "blpop"))
    print(f"\n{sent / seconds:.2f} commands a second")
    assert 0 < sent / seconds < 2


def test_a_paused_queue_with_due_jobs_is_no_busy_loop(crew: Crew, queue: RedisJobQueue) -> None:
    queue.enqueue_many([NewJob("work", delay_seconds=0.01) for _ in range(3)])
    queue.pause()
    queue.enqueue_many([NewJob("work") for _ in range(3)])
    crew.hire(1)
    eventually(lambda: asleep(crew, 1))
    client = crew.server.client()
    client.config_resetstat()
    time.sleep(1.5)
    assert client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"] < 6


def test_settling_the_last_job_of_a_crash_is_no_busy_loop(crew: Crew, queue: RedisJobQueue) -> None:
    """A lease on a job whose key is gone must not make workers spin."""
    client = crew.server.client()
    client.zadd(f"{queue.name}:processing_vt", {"ghost": 1})
    client.lpush(f"{queue.name}:processing", "ghost")
    crew.hire(1)
    eventually(lambda: queue.stats().dead == 1)
    eventually(lambda: asleep(crew, 1))
    client.config_resetstat()
    time.sleep(1)
    assert client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"] < 5
