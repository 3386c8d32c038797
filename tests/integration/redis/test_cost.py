"""What a job costs the server doesn't grow with what else is stored.

Measured is the time that the server spends in scripts (INFO commandstats), the best of many short rounds: most of them
are shorter than the time for which the system takes the processor away, so other load on the machine counts little.
What is compared is measured in turn, as all of it gets slower when the machine does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
import redis

from svcjobs.job import Job, NewJob
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.settlement import Ack
from tests.server_program import ServerProgram
from tests.servers import RedisServer

CYCLES = 30
ROUNDS = 30
NONCE = "0123456789"
FAR = 4_000_000_000
"""A score in the year 2096."""

LEASED = """
local P, from, to = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
for i = from, to do
  redis.call('HSET', P .. ':job:' .. i, 'id', i, 'name', 'work', 'payload', '{}', 'attempts', '1', 'max_attempts', '5',
    'backoff_seconds', '60', 'available_at', '2026-01-01T00:00:00+00:00', 'lease', i .. '-' .. ARGV[3])
  redis.call('LPUSH', P .. ':processing', i)
  redis.call('ZADD', P .. ':processing_vt', 4000000000 + i, i)
end
redis.call('SET', P .. ':seq', to)
redis.call('SET', P .. ':leases', to)
"""
DELAYED = """
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('ZADD', KEYS[1] .. ':delayed', 4000000000 + i, 'd' .. i) end
"""


@pytest.fixture(scope="module")
def client(server_program: ServerProgram) -> Iterator[redis.Redis]:
    with RedisServer(server_program) as server:
        yield server.client(socket_timeout=60)


@pytest.fixture
def make_queue(client: redis.Redis) -> Iterator[Callable[[str], RedisJobQueue]]:
    """Makes a queue whose scripts are loaded; all are on one server, which is empty at first."""
    client.flushall()
    with ExitStack() as stack:

        def make(prefix: str) -> RedisJobQueue:
            queue = stack.enter_context(closing(RedisJobQueue(client, prefix=prefix, timeout_seconds=30)))
            queue.enqueue("work")
            queue.ack(reserved(queue))
            return queue

        yield make


@pytest.fixture
def queue(make_queue: Callable[[str], RedisJobQueue]) -> RedisJobQueue:
    return make_queue("cost")


def fill(client: redis.Redis, script: str, count: int, prefix: str = "cost", step: int = 20_000) -> None:
    for start in range(1, count + 1, step):
        client.eval(script, 1, prefix, start, min(start + step - 1, count), NONCE)


def leased(number: int) -> Job:
    return Job(id=str(number), name="work", payload={}, lease=f"{number}-{NONCE}")


def script_micros(client: redis.Redis, *acts: Callable[[], None]) -> list[float]:
    """Microseconds in scripts for a cycle of each, the best of some rounds."""
    best = [float("inf")] * len(acts)
    for _ in range(ROUNDS):
        for number, act in enumerate(acts):
            before = client.info("commandstats").get("cmdstat_evalsha", {"usec": 0})["usec"]
            for _ in range(CYCLES):
                act()
            micros = (client.info("commandstats")["cmdstat_evalsha"]["usec"] - before) / CYCLES
            best[number] = min(best[number], micros)
    return best


def reserve_and_ack(queue: RedisJobQueue) -> Callable[[], None]:
    """A worker without a backlog of its own: takes a job, acks that one."""
    queue.enqueue_many([NewJob("work") for _ in range(CYCLES * ROUNDS + 10)])
    return lambda: queue.ack(reserved(queue))


def reserve_and_ack_other(queue: RedisJobQueue, numbers: Iterator[int]) -> Callable[[], None]:
    """Many workers with long jobs: takes a job, acks another one."""
    queue.enqueue_many([NewJob("work") for _ in range(CYCLES * ROUNDS + 10)])

    def act() -> None:
        reserved(queue)
        queue.ack(leased(next(numbers)))

    return act


def reserved(queue: RedisJobQueue) -> Job:
    job = queue.reserve_next()
    assert job
    return job


def test_reserve_and_ack_cost_the_same_with_a_hundred_thousand_in_flight_and_a_million_delayed(
    client: redis.Redis, queue: RedisJobQueue, make_queue: Callable[[str], RedisJobQueue]
) -> None:
    fill(client, LEASED, 100_000)
    fill(client, DELAYED, 1_000_000)
    empty, same, oldest = script_micros(
        client,
        reserve_and_ack(make_queue("empty")),
        reserve_and_ack(queue),
        reserve_and_ack_other(queue, iter(range(1, 100_000))),
    )
    print(f"\nreserve + ack: {empty:.1f} us empty; full: {same:.1f} us (the newest), {oldest:.1f} us (the oldest)")
    assert same < 2 * empty
    assert oldest < 2 * empty


def test_settling_in_random_order_costs_the_same_at_a_thousand_in_flight(
    client: redis.Redis, make_queue: Callable[[str], RedisJobQueue]
) -> None:
    acts = [reserve_and_ack(make_queue("empty"))]
    sizes = (1_000, 10_000, 100_000)
    for in_flight in sizes:
        queue = make_queue(f"cost-{in_flight}")
        fill(client, LEASED, in_flight, queue.name)
        order = list(range(1, in_flight + 1))
        random.Random(1).shuffle(order)
        # what is acked is replaced by what is reserved, so the number in flight stays
        acts.append(reserve_and_ack_other(queue, iter(order)))
    empty, *measured = script_micros(client, *acts)
    beyond = ", ".join(f"{count:,}: {micros:.1f} us" for count, micros in zip(sizes, measured, strict=True))
    print(f"\nreserve + ack in random order: {empty:.1f} us empty; in flight {beyond}")
    assert measured[0] < 2 * empty


def test_a_stale_settlement_searches_no_list(client: redis.Redis, queue: RedisJobQueue) -> None:
    """The token is checked first: an id that is nowhere costs no walk through all that is in flight."""
    fill(client, LEASED, 100_000)
    stale = Job(id="50000", name="work", payload={}, lease=f"1-{NONCE}")
    gone = Job(id="gone", name="work", payload={}, lease=f"50000-{NONCE}")

    def act() -> None:
        assert queue.settle_many([Ack(stale), Ack(gone)]) == ["stale", "stale"]

    (micros,) = script_micros(client, act)
    assert micros < 200


def test_sweeps_take_a_bounded_time(client: redis.Redis, queue: RedisJobQueue) -> None:
    """A hundred thousand leases run out at once: no single call is long."""
    fill(client, LEASED, 100_000)
    client.eval(
        "for i = 1, 100000 do redis.call('ZADD', KEYS[1], i, i) end", 1, "cost:processing_vt"
    )  # all ran out, in reserve order
    client.config_set("slowlog-log-slower-than", 1_000)

    def slowest_micros() -> int:
        client.slowlog_reset()
        assert queue.reserve_next()
        assert queue.reclaim(5_000) == 5_000
        return max((int(entry["duration"]) for entry in client.slowlog_get(100)), default=0)

    slowest = min(slowest_micros() for _ in range(3))
    print(f"\nthe slowest call took {slowest / 1000:.1f} ms")
    assert slowest < 150_000  # all at once take seconds
