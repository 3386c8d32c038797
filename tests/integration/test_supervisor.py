"""A worker's processes: births, deaths and signals, with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from svcjobs.process import process_state
from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.conftest import StartCrew


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


def test_a_stop_is_passed_on_and_running_jobs_end(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew()
    queue.enqueue("sleep", {"seconds": 1}, job_id="a")
    crew.started("a")
    assert crew.stop() == 0
    assert [words[0] for words in crew.notes("done")] == ["a"]
    assert len(crew.notes("ended")) == 2
    eventually(lambda: process_state(crew.keeper) is None)


def test_ctrl_c_reaches_a_child_once(start_crew: StartCrew) -> None:
    crew = start_crew(before=("setsid",))
    crew.noted("born", 2)
    os.killpg(crew.process.pid, signal.SIGINT)
    assert crew.ends() == 0
    assert len(crew.notes("asked")) == 2


def test_two_signals_at_once_are_one_stop(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    """An init system may signal the group of processes, and then the process."""
    crew = start_crew(children=1)
    queue.enqueue("sleep", {"seconds": 2}, job_id="a")
    crew.started("a")
    # it gets both at once, however late this process sends the second; two of a kind might be delivered as one
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        crew.process.send_signal(number)
    assert crew.ends() == 0
    assert [words[0] for words in crew.notes("done")] == ["a"]
    assert "again" not in crew.log


def test_a_child_that_does_not_stop_is_killed(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(children=1, grace=0)
    queue.enqueue("sleep", {"seconds": 60}, job_id="a")
    crew.started("a")
    crew.process.send_signal(signal.SIGTERM)
    assert crew.ends() == 1
    assert "doesn't stop: it is killed" in crew.log
    assert queue.stats().ready == 1  # the keeper gave it back before it ended


def test_a_killed_child_is_replaced_at_once(start_crew: StartCrew) -> None:
    crew = start_crew()
    first = crew.noted("born", 2)
    os.kill(int(first[0][0]), signal.SIGKILL)
    crew.noted("born", 3, timeout=3)
    assert len(crew.living) == 2


def test_children_end_when_their_supervisor_is_killed(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew()
    crew.noted("born", 2)
    queue.enqueue("sleep", {"seconds": 2}, job_id="a")
    crew.started("a")
    keeper = crew.keeper
    os.kill(crew.process.pid, signal.SIGKILL)
    crew.noted("ended", 2)  # gracefully
    crew.done("a")
    assert len(crew.starts("a")) == 1
    eventually(lambda: process_state(keeper) is None)
    assert not crew.living


def test_a_keeper_whose_supervisor_is_killed_at_its_birth_ends(start_crew: StartCrew) -> None:
    crew = start_crew(LATE="1")
    keeper = crew.keeper
    os.kill(crew.process.pid, signal.SIGKILL)
    eventually(lambda: process_state(keeper) is None)
    assert not crew.living


def test_a_worker_that_can_not_start_ends_with_the_exit_code_of_its_child(
    start_crew: StartCrew, tmp_path: Path
) -> None:
    (tmp_path / "crew0").mkdir()
    (tmp_path / "crew0" / "broken").touch()
    crew = start_crew()
    assert crew.ends() == 3


def test_later_a_broken_child_is_tried_again_and_again(start_crew: StartCrew, tmp_path: Path) -> None:
    crew = start_crew(children=1)
    crew.noted("born")
    eventually(lambda: "ready" in crew.log)
    (tmp_path / "crew0" / "broken").touch()
    os.kill(crew.living[0], signal.SIGKILL)
    crew.noted("born", 3)
    (tmp_path / "crew0" / "broken").unlink()
    eventually(lambda: len(crew.living) == 1 and len(crew.notes("born")) >= 4)
    assert crew.stop() == 0


def test_sighup_replaces_children_one_by_one_without_a_gap(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew()
    old = {int(pid) for (pid,) in crew.noted("born", 2)}
    eventually(lambda: set(crew.living) == old)
    queue.enqueue("sleep", {"seconds": 2}, job_id="long")
    crew.started("long")
    pid, keeper = crew.process.pid, crew.keeper
    crew.process.send_signal(signal.SIGHUP)
    fewest = 9

    def is_replaced() -> bool:
        nonlocal fewest
        asked = {int(pid) for (pid,) in crew.notes("asked")}
        fewest = min(fewest, len([child for child in crew.living if child not in asked]))
        return asked >= old and not old & set(crew.living)

    eventually(is_replaced, 20, crew.log)
    assert fewest >= 2
    assert len(crew.living) == 2
    assert crew.keeper != keeper
    assert [words[0] for words in crew.notes("supervisor")] == [str(pid), str(pid)]
    assert len(crew.starts("long")) == 1  # its child was adopted, and let it end
    crew.done("long")
    queue.enqueue("sleep", {"seconds": 0}, job_id="next")
    crew.done("next")
    assert crew.stop() == 0


def test_the_crew_grows_and_shrinks_and_no_job_is_cut(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(grace=0)
    crew.noted("born", 2)
    eventually(lambda: len(crew.living) == 2)
    queue.enqueue("resize", {"children": 4})
    crew.noted("born", 4)
    eventually(lambda: len(crew.living) == 4)
    for name in "abc":
        queue.enqueue("sleep", {"seconds": 8}, job_id=name)  # longer than a child that was told to stop would live
        crew.started(name)
    queue.enqueue("resize", {"children": 99})  # more than there may be: nothing changes
    queue.enqueue("resize", {"children": 1})
    crew.noted("asked", 3)
    eventually(lambda: len(crew.living) == 1, 30)
    assert [len(crew.starts(name)) for name in "abc"] == [1] * 3
    assert "is killed" not in crew.log
    assert len(crew.notes("born")) == 4
    for name in "abc":
        crew.done(name)
    assert crew.stop() == 0


def test_a_stop_after_a_sighup_leaves_children_that_are_on_their_way_alone(
    start_crew: StartCrew, queue: RedisJobQueue
) -> None:
    crew = start_crew(children=1, grace=20)
    crew.noted("born")
    queue.enqueue("sleep", {"seconds": 6}, job_id="long")
    ((child, _, _),) = crew.started("long")
    for times in (1, 2):
        crew.process.send_signal(signal.SIGHUP)
        crew.noted("supervisor", times + 1)
        eventually(lambda times=times: len(crew.notes("asked")) == times, 20, crew.log)  # type: ignore[misc]
    assert crew.stop() == 0
    crew.done("long")
    assert [pid for (pid,) in crew.notes("asked")].count(child) == 1


def test_a_replaced_child_that_hangs_is_killed(start_crew: StartCrew) -> None:
    crew = start_crew(children=1, grace=0)
    ((old,),) = crew.noted("born")
    eventually(lambda: "ready" in crew.log)
    os.kill(int(old), signal.SIGSTOP)
    crew.process.send_signal(signal.SIGHUP)
    eventually(lambda: process_state(int(old)) is None, 20, crew.log)
    assert f"child {old} doesn't stop: it is killed" in crew.log
    assert crew.stop() == 0


def test_new_code_that_is_broken_leaves_the_old_at_work(start_crew: StartCrew, tmp_path: Path) -> None:
    crew = start_crew(children=1)
    ((old,),) = crew.noted("born")
    eventually(lambda: "ready" in crew.log)
    (tmp_path / "crew0" / "broken").touch()
    crew.process.send_signal(signal.SIGHUP)
    crew.noted("born", 3)
    assert int(old) in crew.living
    (tmp_path / "crew0" / "broken").unlink()
    eventually(lambda: int(old) not in crew.living and len(crew.living) == 1, 20, crew.log)
    assert crew.stop() == 0


def test_a_stop_that_comes_with_a_sighup_is_not_lost_on_the_next_program(start_crew: StartCrew) -> None:
    crew = start_crew(children=1)
    eventually(lambda: "ready" in crew.log)
    for number in (signal.SIGSTOP, signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
        crew.process.send_signal(number)
    assert crew.ends() == 0
    assert len(crew.notes("supervisor")) == 1


def test_a_program_that_can_not_be_executed_anew_goes_on(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    crew = start_crew(children=1, EXECUTABLE="/nowhere/python")
    crew.noted("born")
    eventually(lambda: "ready" in crew.log)
    crew.process.send_signal(signal.SIGHUP)
    eventually(lambda: "can't be executed anew" in crew.log)
    os.kill(crew.living[0], signal.SIGKILL)
    crew.noted("born", 2)  # it hears of deaths
    queue.enqueue("sleep", {"seconds": 0}, job_id="a")
    crew.done("a")
    assert crew.stop() == 0


def test_processes_that_can_not_be_made_are_tried_again(
    start_crew: StartCrew, queue: RedisJobQueue, tmp_path: Path
) -> None:
    crew = start_crew(children=1)
    crew.noted("born")
    eventually(lambda: "ready" in crew.log)
    full = tmp_path / "crew0" / "full"
    full.touch()
    os.kill(crew.living[0], signal.SIGKILL)
    os.kill(crew.keeper, signal.SIGKILL)
    eventually(lambda: "A child can't be started" in crew.log and "The keeper can't be started" in crew.log)
    full.unlink()
    crew.noted("born", 2)
    crew.noted("keeper", 2)
    queue.enqueue("sleep", {"seconds": 0}, job_id="a")
    crew.done("a")
    assert crew.stop() == 0


def test_it_works_as_pid_1_and_reaps_strangers(start_crew: StartCrew, queue: RedisJobQueue) -> None:
    unshare = shutil.which("unshare")
    allowed = unshare and subprocess.run([unshare, "--pid", "--fork", "true"], capture_output=True, check=False)
    if not allowed or allowed.returncode:
        pytest.skip("new pid namespaces aren't permitted here (unshare --pid --fork)")
    crew = start_crew(before=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"))
    assert crew.noted("supervisor") == [["1"]]
    queue.enqueue("sleep", {"seconds": 0}, job_id="a")
    crew.done("a")
    pgrep = subprocess.run(["pgrep", "-P", str(crew.process.pid)], capture_output=True, text=True, check=True)
    inside = pgrep.stdout.split()
    enter = ["nsenter", "--target", inside[0], "--pid", "--mount"]
    # its parent ends first, so that it becomes a child of PID 1 and then a zombie, unless that reaps it
    subprocess.run([*enter, "sh", "-c", "(sleep 0.3 &)"], check=True)

    def is_reaped() -> bool:
        listed = subprocess.run([*enter, "ps", "-eo", "stat=,comm="], capture_output=True, text=True, check=True).stdout
        return "sleep" not in listed and not any(line.startswith("Z") for line in listed.splitlines())

    eventually(is_reaped)
    os.kill(int(inside[0]), signal.SIGTERM)
    assert crew.ends() == 0
    assert len(crew.notes("ended")) == 2
