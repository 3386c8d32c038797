"""Redis is away, or says no: a typed error in time, on each call, and work goes on by itself afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from svcjobs._redis.link import LONGEST_BLOCK_SECONDS
from svcjobs.async_redis_queue import AsyncRedisJobQueue
from svcjobs.errors import JobsError, QueueLoading, QueueReadOnly, QueueRefused, QueueUnavailable
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.eventually import eventually
from tests.integration.redis.unkind_proxy import UnkindProxy
from tests.proxy import RedisProxy
from tests.server_program import ServerProgram
from tests.servers import RedisServer

pytestmark = pytest.mark.alone

TIMEOUT_SECONDS = 0.6
MARGIN_SECONDS = 0.8


class Blocking:
    """An async queue with the methods of a sync one: each call runs in an event loop of the queue's own."""

    def __init__(self, queue: AsyncRedisJobQueue) -> None:
        self._queue = queue
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._queue, name)
        if not callable(method):
            return method
        return lambda *args, **options: self._runner.run(method(*args, **options))

    def close(self) -> None:
        self._runner.run(self._queue.close())
        self._runner.close()


Open = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def open_queue(request: pytest.FixtureRequest, prefix: str) -> Iterator[Open]:
    """``open_queue(url)``: a sync or async queue, used the same way."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **options: Any) -> Any:
            options = {"prefix": prefix, "timeout_seconds": TIMEOUT_SECONDS} | options
            queue: Any
            if request.param == "sync":
                queue = RedisJobQueue(redis.Redis.from_url(url), **options)
            else:
                queue = Blocking(AsyncRedisJobQueue(redis.asyncio.Redis.from_url(url), **options))
            stack.callback(queue.close)
            return queue

        yield make


def refuses(queue: Any, kind: type[JobsError], within: float = TIMEOUT_SECONDS + MARGIN_SECONDS) -> JobsError:
    """Every kind of call raises ``kind`` in time, the first ones again."""
    error: JobsError | None = None
    acts = (lambda: queue.enqueue("work"), lambda: queue.enqueue("work"), queue.reserve_next, queue.stats)
    for act in acts:
        start = time.monotonic()
        with pytest.raises(kind) as caught:
            act()
        took = time.monotonic() - start
        assert took < within, f"took {took:.2f} s"
        error = caught.value
    assert error is not None
    return error


def works(queue: Any) -> bool:
    """Whether a job goes through."""
    try:
        queue.enqueue("work")
        job = queue.reserve_next()
        queue.ack(job)
    except QueueUnavailable as error:
        raise AssertionError(str(error)) from error
    return True


@pytest.mark.promise("P10")
def test_p10_a_server_that_refuses_connections(redis_server: RedisServer, open_queue: Open) -> None:
    with RedisProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url)
        assert works(queue)
        proxy.refuse()
        refuses(queue, QueueUnavailable)
        assert queue.reconnects == 0
        proxy.accept()
        assert eventually(lambda: works(queue), 5)
        assert queue.reconnects == 1  # however many tries there were


@pytest.mark.promise("P10")
def test_p10_a_queue_made_while_the_server_is_down(redis_server: RedisServer, open_queue: Open) -> None:
    with RedisProxy(redis_server.port) as proxy:
        proxy.refuse()
        queue = open_queue(proxy.url)
        refuses(queue, QueueUnavailable)
        proxy.accept()
        assert works(queue)


@pytest.mark.promise("P10")
@pytest.mark.scenario(14)
def test_p10_a_black_hole(redis_server: RedisServer, open_queue: Open) -> None:
    with RedisProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url)
        assert works(queue)
        proxy.black_hole()
        refuses(queue, QueueUnavailable)
        proxy.pass_through()
        assert eventually(lambda: works(queue), 5)


@pytest.mark.promise("P10")
@pytest.mark.scenario(14)
def test_p10_the_default_time_out_is_two_seconds(redis_server: RedisServer, prefix: str) -> None:
    with RedisProxy(redis_server.port) as proxy:
        queue = RedisJobQueue(redis.Redis.from_url(proxy.url), prefix=prefix)
        proxy.black_hole()
        start = time.monotonic()
        with pytest.raises(QueueUnavailable):
            queue.enqueue("work")
        assert 1.0 < time.monotonic() - start < 2.5
        queue.close()


@pytest.mark.promise("P10")
def test_p10_connections_that_are_gone_without_a_word(redis_server: RedisServer, open_queue: Open) -> None:
    with RedisProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url)
        assert works(queue)
        proxy.half_open()
        assert works(queue)
        proxy.cut()
        assert works(queue)


@pytest.mark.promise("P10")
def test_p10_all_connections_killed_and_all_scripts_flushed(own_server: RedisServer, open_queue: Open) -> None:
    queue = open_queue(own_server.url)
    client = own_server.client()
    for _ in range(5):
        assert works(queue)
        client.client_kill_filter(_type="normal", skipme=True)
        assert works(queue)
        client.script_flush()
        assert works(queue)
    totals = queue.stats().totals
    assert totals["enqueued"] == totals["acked"] == 15


@pytest.mark.promise("P10")
def test_p10_a_server_that_pauses_its_clients(own_server: RedisServer, open_queue: Open) -> None:
    queue = open_queue(own_server.url)
    assert works(queue)
    client = own_server.client()
    client.client_pause(300)
    assert works(queue)
    client.client_pause(60_000, all=False)  # scripts count as writes
    refuses(queue, QueueUnavailable)
    client.execute_command("CLIENT UNPAUSE")
    assert eventually(lambda: works(queue), 5)


@pytest.mark.promise("P10")
@pytest.mark.scenario(15)
def test_p10_a_primary_that_becomes_a_replica(own_server: RedisServer, open_queue: Open) -> None:
    queue = open_queue(own_server.url)
    assert works(queue)
    client = own_server.client()
    client.replicaof("127.0.0.1", "1")
    for act in (lambda: queue.enqueue("work"), lambda: queue.enqueue("work"), queue.reserve_next):
        start = time.monotonic()
        with pytest.raises(QueueReadOnly, match="replica"):
            act()
        assert time.monotonic() - start < TIMEOUT_SECONDS + MARGIN_SECONDS
    assert queue.stats().ready == 0, "reading goes on"
    client.execute_command("REPLICAOF", "NO", "ONE")
    assert works(queue)


@pytest.mark.promise("P10")
def test_p10_a_server_that_lacks_replicas(own_server: RedisServer, open_queue: Open) -> None:
    queue = open_queue(own_server.url)
    client = own_server.client()
    client.config_set("min-replicas-to-write", 1)
    with pytest.raises(QueueReadOnly):
        queue.enqueue("work")
    client.config_set("min-replicas-to-write", 0)
    assert works(queue)


@pytest.mark.promise("P10")
def test_p10_a_server_that_is_busy_with_a_script(own_server: RedisServer, open_queue: Open) -> None:
    queue = open_queue(own_server.url)
    assert works(queue)
    client = own_server.client(socket_timeout=60)
    client.config_set("lua-time-limit", 10)

    def hog() -> None:
        with contextlib.suppress(redis.RedisError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=hog)
    thread.start()
    killer = own_server.client()

    def is_busy() -> bool:
        try:
            killer.ping()
        except redis.ResponseError as error:
            return "BUSY" in str(error)
        return False

    eventually(is_busy)
    refuses(queue, QueueLoading)
    killer.script_kill()
    thread.join()
    assert works(queue)


@pytest.mark.promise("P10")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", QueueLoading),
        (b"-MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.\r\n", QueueReadOnly),
        (b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n", QueueUnavailable),
        (b"-CLUSTERDOWN The cluster is down\r\n", QueueUnavailable),
        (b"-ERR unknown command 'EVALSHA'\r\n", QueueRefused),
    ],
)
def test_p10_a_server_that_answers_with_an_error(
    redis_server: RedisServer, open_queue: Open, answer: bytes, kind: type[JobsError]
) -> None:
    """As a server answers while it loads, or can't save."""
    with UnkindProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url, timeout_seconds=0.9)
        assert works(queue)
        proxy.answer = answer
        refuses(queue, kind)
        proxy.answer = b""
        assert works(queue)


@pytest.mark.promise("P10")
def test_p10_a_wrong_password_is_refused_at_once_and_not_told(server_program: ServerProgram, open_queue: Open) -> None:
    with RedisServer(server_program, password="s3cret-right") as server:
        for url in (server.url.replace("s3cret-right", "s3cret-wrong"), f"redis://127.0.0.1:{server.port}/0"):
            error = refuses(open_queue(url), QueueRefused, within=0.5)
            assert "s3cret" not in str(error)
        assert works(open_queue(server.url))


@pytest.mark.promise("P10")
def test_p10_a_command_that_the_user_may_not_use_or_the_server_lacks(own_server: RedisServer, open_queue: Open) -> None:
    own_server.client().execute_command("ACL", "SETUSER", "poor", "on", ">pw", "~*", "+@all", "-evalsha", "-eval")
    refuses(open_queue(f"redis://poor:pw@127.0.0.1:{own_server.port}/0"), QueueRefused, within=0.5)
    own_server.client().execute_command("ACL", "SETUSER", "old", "on", ">pw", "~*", "+@all", "-rpop")
    queue = open_queue(f"redis://old:pw@127.0.0.1:{own_server.port}/0", prefix="old")
    queue.enqueue("work")
    with pytest.raises(QueueRefused):
        queue.reserve_next()
    assert queue.stats().ready == 1


@pytest.mark.promise("P10")
def test_p10_an_unknown_host_is_a_typed_error(open_queue: Open) -> None:
    with pytest.raises(QueueUnavailable) as caught:
        open_queue("redis://:pw-s3cret@no-such-host.invalid:6379/0").stats()
    assert "s3cret" not in str(caught.value)


@pytest.mark.promise("P10")
def test_p10_waiting_ends_with_a_typed_error_when_the_link_breaks(redis_server: RedisServer, open_queue: Open) -> None:
    with RedisProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url)
        assert queue.reserve_next() is None
        timer = threading.Timer(0.2, proxy.refuse)
        timer.start()
        start = time.monotonic()
        with pytest.raises(QueueUnavailable):
            queue.wait(30)
        assert time.monotonic() - start < 2
        timer.join()
        proxy.accept()
        assert works(queue)


@pytest.mark.promise("P10")
def test_p10_a_wait_ends_when_its_wake_up_is_lost_with_the_connection(
    redis_server: RedisServer, redis_client: redis.Redis, open_queue: Open
) -> None:
    with RedisProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url)
        assert queue.reserve_next() is None
        for times in range(1, 4):
            proxy.swallow_reply(containing=b"BLPOP", close=True)
            redis_client.rpush(f"{queue.name}:wake", 1)
            start = time.monotonic()
            queue.wait(30)
            assert time.monotonic() - start < 1
            assert (proxy.swallowed, queue.reconnects) == (times, times)
        assert works(queue)


@pytest.mark.promise("P10")
def test_p10_a_wait_is_over_when_its_server_is_silent(redis_server: RedisServer, open_queue: Open) -> None:
    """One connection is dead, and nobody closed it; the server is well."""
    with RedisProxy(redis_server.port) as proxy:
        queue = open_queue(proxy.url)
        assert queue.reserve_next() is None
        proxy.swallow_reply(containing=b"BLPOP")
        start = time.monotonic()
        queue.wait(30)
        assert LONGEST_BLOCK_SECONDS < time.monotonic() - start < LONGEST_BLOCK_SECONDS + 2


@pytest.mark.parametrize("left", [0.0011, 0.0015, 0.002])
def test_a_wait_for_a_moment_is_one(redis_server: RedisServer, open_queue: Open, left: float) -> None:
    """Redis 6.2 takes BLPOP with 0.001 seconds for one without end."""
    queue = open_queue(redis_server.url)
    assert queue.reserve_next() is None
    for _ in range(3):
        queue.wait(left)
    assert queue.reconnects == 0


@pytest.mark.promise("P10")
@pytest.mark.scenario(1)
def test_p10_a_worker_loop_outlives_restarts_of_the_server(own_server: RedisServer, prefix: str) -> None:
    """Producer and consumer over ten restarts: what was acknowledged is done once the server is back."""
    stop = threading.Event()
    done: set[str] = set()
    asked: set[str] = set()

    def consume() -> None:
        queue = RedisJobQueue(redis.Redis.from_url(own_server.url), prefix=prefix, visibility_timeout=1)
        while not stop.is_set():
            try:
                for job in queue.reserve_many(10):
                    queue.ack(job)
                    done.add(job.id)
                queue.wait(0.1)
            except QueueUnavailable:
                continue
        queue.close()

    consumer = threading.Thread(target=consume)
    consumer.start()
    producer = RedisJobQueue(redis.Redis.from_url(own_server.url), prefix=prefix)
    for number in range(3):
        for n in range(50):
            asked.add(producer.enqueue("work", job_id=f"{number}-{n}").id)
        own_server.kill()
        own_server.start()
        eventually(lambda: asked <= done | {job_id for job_id in asked if producer.get(job_id) is None})
    stop.set()
    consumer.join()
    check_drained(own_server.client(), prefix)
    producer.close()
