"""Schedulers as processes on a real Redis."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from svcjobs.scheduler import InMemoryScheduler
from tests.eventually import eventually, eventually_async
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parents[2]


class Fleet:
    """Schedulers with a tick each second, by name."""

    def __init__(self, server: RedisServer, prefix: str, lease_seconds: float) -> None:
        self.client = server.client(decode_responses=True)
        self.queue = RedisJobQueue(self.client, prefix=prefix)
        self.prefix = prefix
        command = [sys.executable, "-m", "tests.integration.scheduler_process", server.url, prefix]
        self.processes = {
            name: subprocess.Popen([*command, name, str(lease_seconds)], cwd=ROOT) for name in ("s1", "s2", "s3")
        }
        eventually(lambda: self.client.llen(f"{prefix}:started") == 3, timeout=20)

    def leader(self) -> str:
        return eventually(lambda: self.client.get(f"{self.prefix}:leader"))

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def ready(self) -> int:
        return self.queue.stats().ready

    def wait_for_ticks(self, count: int) -> None:
        """Wait until ``count`` more were enqueued."""
        goal = self.ready() + count
        eventually(lambda: self.ready() >= goal)

    def stop(self) -> list[int]:
        """End those that are left; their exit codes."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        return [process.wait(45) for process in self.processes.values()]

    def check_that_each_tick_was_served_once(self, latest_seconds: float) -> None:
        """Jobs are the ticks from the first to the last, in order, none later than ``latest_seconds``."""
        last = self.queue.last_tick("job")
        assert last is not None
        times = [job.available_at.timestamp() for job in self.queue.reserve_many(1000)]
        first = math.floor(times[0])
        assert len(times) == last - first + 1
        late = [at - (first + number) for number, at in enumerate(times)]
        assert min(late) > 0
        assert max(late) < latest_seconds, late

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.queue.close()


@pytest.fixture
def fleet(request: pytest.FixtureRequest, redis_server: RedisServer, prefix: str) -> Iterator[Fleet]:
    fleet = Fleet(redis_server, prefix, lease_seconds=request.param)
    yield fleet
    fleet.close()


LEASE_SECONDS = 2


@pytest.mark.promise("P8")
@pytest.mark.scenario(32)
@pytest.mark.parametrize("fleet", [LEASE_SECONDS], indirect=True)
def test_p8_each_tick_once_when_leaders_are_killed_and_stopped(fleet: Fleet) -> None:
    fleet.wait_for_ticks(2)
    killed = fleet.leader()
    fleet.signal(killed, signal.SIGKILL)
    fleet.wait_for_ticks(3)
    stopped = fleet.leader()
    assert stopped != killed
    fleet.signal(stopped, signal.SIGSTOP)
    fleet.wait_for_ticks(3)
    assert fleet.leader() not in (killed, stopped)
    fleet.signal(stopped, signal.SIGCONT)
    fleet.wait_for_ticks(2)
    assert sorted(fleet.stop()) == [-signal.SIGKILL, 0, 0]
    ticks = fleet.ready()
    fleet.check_that_each_tick_was_served_once(LEASE_SECONDS + 1)
    # a function's tick is used up when its process is killed between claim and call
    ran = fleet.client.lrange(f"{fleet.prefix}:ran", 0, -1)
    assert ticks - 2 <= len(ran) <= ticks + 1


@pytest.mark.promise("P8")
@pytest.mark.parametrize("fleet", [0], indirect=True)
def test_p8_each_tick_once_without_a_leader(fleet: Fleet) -> None:
    fleet.wait_for_ticks(3)
    fleet.signal("s1", signal.SIGKILL)
    fleet.wait_for_ticks(2)
    fleet.stop()
    fleet.check_that_each_tick_was_served_once(1)


@pytest.mark.promise("P8")
@pytest.mark.parametrize("fleet", [60], indirect=True)
def test_a_leader_that_is_asked_to_end_hands_over_at_once(fleet: Fleet) -> None:
    fleet.wait_for_ticks(1)
    fleet.signal(fleet.leader(), signal.SIGTERM)
    fleet.wait_for_ticks(3)
    fleet.stop()
    fleet.check_that_each_tick_was_served_once(2)


@pytest.mark.alone
@pytest.mark.promise("P10")
@pytest.mark.scenario(33)
async def test_a_schedule_outlives_redis_and_catches_up(own_server: RedisServer, prefix: str) -> None:
    client = redis.Redis.from_url(own_server.url)
    queue = RedisJobQueue(client, prefix=prefix, timeout_seconds=0.5)
    scheduler = InMemoryScheduler(queue=queue)
    scheduler.add("all", job_name="all", interval_seconds=0.5, misfire="all")
    scheduler.add("once", job_name="once", interval_seconds=0.5)
    running = asyncio.create_task(scheduler.run())
    # of a tick whose reply dies with the server nobody can tell who took it
    await eventually_async(lambda: all(task.runs for task in scheduler._tasks.values()))
    own_server.kill()
    await asyncio.sleep(2)
    assert not running.done()
    own_server.start()
    back = time.time()
    await eventually_async(lambda: (queue.last_tick("all") or 0) > back and (queue.last_tick("once") or 0) > back)
    assert time.time() - back < 3
    scheduler.stop()
    await running
    times = [job.available_at.timestamp() for job in queue.reserve_many(100) if job.name == "all"]
    last = queue.last_tick("all")
    assert last is not None
    assert len(times) == (last - times[0] // 0.5 * 0.5) / 0.5 + 1
    assert scheduler._tasks["once"].runs < scheduler._tasks["all"].runs == len(times)
    queue.close()
    client.close()
