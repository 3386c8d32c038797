"""What becomes of the jobs of children that die, stop, or work on in silence."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.conftest import StartCrew
from tests.servers import RedisServer

LEASE = 3.0


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix, visibility_timeout=LEASE)) as queue:
        yield queue


@pytest.mark.alone
@pytest.mark.promise("P3")
def test_the_job_of_a_killed_child_starts_again_at_once(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=60)
    crew.noted("born", 2)
    queue.enqueue("held", job_id="a")
    ((child, attempt, _),) = crew.started("a")
    killed_at = time.time()
    os.kill(int(child), signal.SIGKILL)
    again = crew.started("a", 2)[1]
    assert again[0] != child
    assert (attempt, again[1]) == ("1", "2")
    assert float(again[2]) - killed_at < 3  # not after the lease of a minute
    (crew.folder / "go").touch()
    crew.done("a")


def test_unstarted_jobs_of_a_killed_child_are_not_charged(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    for job_id in "abc":
        queue.enqueue("sleep", {"seconds": 60}, job_id=job_id)
    crew = start_crew(children=1, lease=60, BATCH="3")
    ((child, _, _),) = crew.started("a")
    queue.pause()  # so that the next child takes them together, when all of them are given back
    os.kill(int(child), signal.SIGKILL)
    eventually(lambda: queue.stats().ready == 3)
    queue.resume()
    eventually(lambda: len(crew.notes("start")) == 2)
    assert {job_id: queue.get(job_id).attempts for job_id in "abc"} == {"a": 2, "b": 1, "c": 1}  # type: ignore[union-attr]
    assert queue.stats().totals["stale"] == 0


def test_of_several_running_jobs_none_is_charged(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    queue.enqueue("die", job_id="a", max_attempts=1)
    queue.enqueue("sleep", {"seconds": 60}, job_id="b")
    crew = start_crew(children=1, lease=60, BATCH="2", RUNNING="2")
    second = crew.started("a", 2)[1]
    assert second[1] == "1"
    assert queue.stats().dead == 0


@pytest.mark.promise("P9")
@pytest.mark.scenario(9)
def test_a_job_that_kills_its_child_is_buried_and_others_run(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    queue.enqueue("die", job_id="poison", max_attempts=3)
    for number in range(6):
        queue.enqueue("sleep", {"seconds": 0.05}, job_id=f"good{number}")
    crew = start_crew(lease=60)
    dead = eventually(lambda: queue.dead(), 30, crew.log)
    assert [(job.id, job.reason, job.attempts) for job in dead] == [("poison", "worker_lost", 3)]
    for number in range(6):
        crew.done(f"good{number}")
        assert len(crew.starts(f"good{number}")) == 1
    runs = [words for words in crew.starts("poison") if len(words) == 3]
    assert len({child for child, _, _ in runs[:3]}) == 3


def test_a_killed_keeper_loses_nothing(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=LEASE)
    queue.enqueue("sleep", {"seconds": 3 * LEASE}, job_id="a")
    crew.started("a")
    for _ in range(2):
        known = len(crew.notes("keeper"))
        os.kill(crew.keeper, signal.SIGKILL)
        crew.noted("keeper", known + 1)
        time.sleep(1.2)  # one that dies at once has to wait
    crew.done("a")
    assert len(crew.starts("a")) == 1


@pytest.mark.alone
@pytest.mark.promise("P9")
def test_a_child_that_was_born_without_a_keeper_is_not_taken_for_dead(
    start_crew: StartCrew, queue: RedisJobQueue
) -> None:
    crew = start_crew(children=1, lease=60)
    ((child,),) = crew.noted("born")
    os.kill(crew.keeper, signal.SIGKILL)
    crew.noted("keeper", 2)
    os.kill(crew.keeper, signal.SIGKILL)  # the next waits for a second: nobody hears of what happens meanwhile
    os.kill(int(child), signal.SIGKILL)
    crew.noted("born", 2)
    queue.enqueue("held", job_id="a")
    crew.started("a")
    assert len(crew.notes("keeper")) == 2
    crew.noted("keeper", 3)
    (crew.folder / "go").touch()
    crew.done("a")
    assert len(crew.starts("a")) == 1


@pytest.mark.promise("P4")
def test_a_stopped_keeper_is_replaced_before_leases_run_out(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=LEASE)
    queue.enqueue("sleep", {"seconds": 3 * LEASE}, job_id="a")
    crew.started("a")
    known = len(crew.notes("keeper"))
    os.kill(crew.keeper, signal.SIGSTOP)
    crew.noted("keeper", known + 1)
    crew.done("a")
    assert len(crew.starts("a")) == 1


def test_the_keeper_that_comes_too_late_for_a_death_gives_the_job_back(
    start_crew: StartCrew, queue: RedisJobQueue
) -> None:
    crew = start_crew(lease=60)
    queue.enqueue("die_when_told", job_id="a")
    crew.started("a")
    known = len(crew.notes("keeper"))
    os.kill(crew.keeper, signal.SIGKILL)
    crew.noted("keeper", known + 1)
    os.kill(crew.keeper, signal.SIGKILL)  # it was young: for a second there is no keeper
    (crew.folder / "die").touch()
    crew.started("a", 2)


@pytest.mark.alone
@pytest.mark.promise("P4")
def test_a_stopped_child_loses_its_job(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=LEASE)
    crew.noted("born", 2)
    queue.enqueue("held", job_id="a")
    ((child, _, _),) = crew.started("a")
    os.kill(int(child), signal.SIGSTOP)
    stopped_at = time.time()
    again = crew.started("a", 2)[1]
    assert again[0] != child
    assert float(again[2]) - stopped_at < LEASE + 2.5
    (crew.folder / "go").touch()
    crew.done("a")
    os.kill(int(child), signal.SIGCONT)
    eventually(lambda: queue.stats().totals["stale"] == 1)  # its settlement is refused
    assert len(crew.starts("a")) == 2
    assert len(crew.living) == 2


@pytest.mark.promise("P4")
def test_a_handler_that_holds_the_gil_longer_than_the_lease_runs_once(
    start_crew: StartCrew, queue: RedisJobQueue
) -> None:
    crew = start_crew(lease=2)
    crew.noted("born", 2)
    queue.enqueue("gil", {"seconds": 8}, job_id="a")
    crew.done("a")
    assert len(crew.starts("a")) == 1


@pytest.mark.promise("P4")
def test_a_silent_child_that_uses_no_cpu_loses_its_job(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=1)
    crew.noted("born", 2)
    queue.enqueue("silent", {"seconds": 30}, job_id="a")
    first = crew.started("a")[0]
    again = crew.started("a", 2)[1]
    assert again[0] != first[0]
    assert 3 < float(again[2]) - float(first[2]) < 8


def test_a_long_job_of_a_child_that_reports_runs_once(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=2)
    crew.noted("born", 2)
    queue.enqueue("sleep", {"seconds": 7}, job_id="a")
    crew.done("a")
    assert len(crew.starts("a")) == 1


def test_a_child_is_told_of_a_lost_lease(
    start_crew: StartCrew, queue: RedisJobQueue, redis_client: redis.Redis
) -> None:
    crew = start_crew(children=1, lease=LEASE)
    queue.enqueue("sleep", {"seconds": 10}, job_id="a")
    crew.started("a")
    redis_client.hset(f"{queue.name}:job:a", "lease", "another")
    assert crew.noted("lost") == [["a"]]
    time.sleep(LEASE / 2)  # several rounds
    assert len(crew.notes("lost")) == 1


@pytest.mark.promise("P10")
def test_an_outage_longer_than_the_lease_ends_with_leases_extended(
    start_crew: StartCrew, own_server: RedisServer, prefix: str
) -> None:
    with closing(own_server.client()) as client, closing(RedisJobQueue(client, prefix=prefix)) as queue:
        crew = start_crew(own_server, children=1, lease=2)
        queue.enqueue("sleep", {"seconds": 12}, job_id="a")
        crew.started("a")
        keeper = crew.keeper
        own_server.stop()
        time.sleep(5)
        own_server.restart()
        # the lease had run out, but nobody was there to take the job before it was extended again
        eventually(lambda: (client.zscore(f"{prefix}:processing_vt", "a") or 0) > client.time()[0] + 1)
        crew.done("a", 30)
        assert len(crew.starts("a")) == 1
        assert crew.keeper == keeper


def test_no_message_ends_the_keeper(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(lease=LEASE, GARBAGE="1")
    crew.noted("garbage")
    queue.enqueue("sleep", {"seconds": 2 * LEASE}, job_id="a")
    crew.done("a")
    assert len(crew.starts("a")) == 1
    assert len(crew.notes("keeper")) == 1
    assert "can't be read" in crew.log


def test_an_idle_worker_sends_under_two_commands_a_second(
    start_crew: StartCrew, own_server: RedisServer, prefix: str
) -> None:
    # the crew's children ask five times a second; stopped ones leave the keeper's own commands
    crew = start_crew(own_server, lease=3)
    crew.noted("born", 2)
    time.sleep(1)
    for child in crew.living:
        os.kill(child, signal.SIGSTOP)
    with closing(own_server.client()) as client:
        before, began = client.info("stats")["total_commands_processed"], time.monotonic()
        time.sleep(6)
        sent, seconds = client.info("stats")["total_commands_processed"] - before, time.monotonic() - began
    # each script counts as its own command and as those that it calls: a beat is 6
    assert sent <= 2 * (seconds + 1) + 2
