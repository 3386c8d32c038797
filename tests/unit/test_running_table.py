"""What runs in a child is known after its death, however it died."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from svcjobs._redis.requests import Requests
from svcjobs.census import Census
from svcjobs.effects import SetResult
from svcjobs.estate import Estate
from svcjobs.execution import Execution
from svcjobs.job import Job
from svcjobs.pipes import Pipes
from svcjobs.pools.slots import Slots
from svcjobs.reports import MOST_JOBS, HeldJob
from svcjobs.running_table import (
    DONE,
    GENERATIONS,
    NONCE_DIGITS,
    REPORT_BYTES,
    HardLimit,
    RunningTable,
    RunningTables,
    mark_of,
)
from svcjobs.settlement import Ack, Fail, Release


@pytest.fixture
def tables() -> Iterator[RunningTables]:
    tables = RunningTables.open(slots=2, places=3)
    yield tables
    tables.close()


def marks(*numbers: int) -> set[int]:
    return {mark_of(str(number), f"{number}-x") for number in numbers}


def die_running(tables: RunningTables, slot: int) -> int:
    """A child that is killed while it runs jobs 1 and 2; job 3 has ended."""
    table = tables.fresh(slot)
    if (pid := os.fork()) == 0:
        table.begin()
        for place in range(3):
            table.start(place, str(place + 1), f"{place + 1}-x")
        table.end(2)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    return pid


def test_a_killed_child_leaves_what_it_ran(tables: RunningTables) -> None:
    pid = die_running(tables, 1)
    table = tables.of(pid)
    assert table is not None
    assert table.marks == marks(1, 2)


def test_a_killed_child_leaves_the_request_of_its_last_fetch(tables: RunningTables) -> None:
    table = tables.fresh(1)
    assert table.fetch is None
    if (pid := os.fork()) == 0:
        table.begin()
        table.fetches(("00ff00ff01", 2**40))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    left = tables.of(pid)
    assert left is not None
    assert left.fetch == ("00ff00ff01", 2**40)
    for _ in range(GENERATIONS):
        assert tables.fresh(1).fetch is None, "the next child has fetched nothing yet"


def test_the_nonce_of_any_request_comes_back_as_it_was(tables: RunningTables) -> None:
    table = tables.fresh(0)
    for request in (Requests().next(), ("0" * 9 + "1", 1), ("f" * 10, 1)):
        assert len(request[0]) == NONCE_DIGITS
        table.fetches(request)
        assert table.fetch == request


def test_the_table_of_a_dead_child_outlives_several_that_follow_it(tables: RunningTables) -> None:
    pid = die_running(tables, 0)
    for _ in range(GENERATIONS - 1):
        assert tables.fresh(0).marks == frozenset()
    assert tables.of(pid) is not None
    tables.fresh(0)
    assert tables.of(pid) is None


def test_of_two_children_that_had_the_same_pid_the_younger_one_counts(tables: RunningTables) -> None:
    older = tables.fresh(1)
    older.begin()
    older.start(0, "1", "1-x")
    younger = tables.fresh(0)
    younger.begin()
    younger.start(0, "2", "2-x")
    table = tables.of(os.getpid())
    assert table is not None
    assert table.marks == marks(2)


def test_the_newest_report_is_kept(tables: RunningTables) -> None:
    table = tables.fresh(0)
    assert table.report is None
    table.reports(b"a longer one")
    table.reports(b"the newest")
    assert table.report == b"the newest"
    for _ in range(GENERATIONS):
        assert tables.fresh(0).report is None, "the next child has reported nothing yet"


def test_a_report_that_is_being_written_is_none_rather_than_half_of_two(tables: RunningTables) -> None:
    table = tables.fresh(0)
    table.reports(b"the first")
    seal = table._words[4]
    table.reports(b"the other")
    assert table.report == b"the other"
    table._words[4] = seal  # as on a machine where stores are seen in another order
    assert table.report is None


def test_a_report_that_is_too_long_is_not_kept_nor_the_one_before_it(tables: RunningTables) -> None:
    table = tables.fresh(0)
    table.reports(b"x" * REPORT_BYTES)
    assert table.report == b"x" * REPORT_BYTES
    table.reports(b"x" * (REPORT_BYTES + 1))
    assert table.report is None
    assert tables.fresh(1).marks == frozenset(), "nothing was written beyond it"


def test_a_table_is_looked_at_until_its_child_is_settled(tables: RunningTables) -> None:
    def pids() -> list[int]:
        return [table.pid for table in tables.begun]

    first, second = die_running(tables, 1), die_running(tables, 0)
    assert pids() == [first, second]
    table: RunningTable | None = tables.of(first)
    assert table is not None
    table.settled(second)
    assert pids() == [first, second], "the table is another's"
    table.settled(first)
    assert pids() == [second]


def test_a_stranger_has_no_table(tables: RunningTables) -> None:
    assert tables.of(os.getpid()) is None


def test_the_program_that_a_supervisor_executes_anew_finds_the_tables() -> None:
    pipes = Pipes.open(2)
    pid = die_running(pipes.running, 0)
    again = Pipes.inherited([os.dup(number) for number in pipes.bequeathed()])
    pipes.close()
    table = again.of_keeper(Census()).running.of(pid)
    assert table is not None
    assert table.marks == marks(1, 2)
    assert again.of_child(0).running.marks == frozenset()
    assert again.running.of(pid) is not None
    again.close()


def test_slots_tell_the_table_what_runs() -> None:
    tables = RunningTables.open(slots=1, places=MOST_JOBS)
    slots = Slots(2)
    slots.table = table = tables.fresh(0)
    slots.put([Job(str(number), "greet", {}, lease=f"{number}-x") for number in range(1, 5)])
    first, second = slots.take(), slots.take()
    assert first is not None
    assert second is not None
    assert table.marks == marks(1, 2)
    slots.leave(first, None)
    assert table.marks == marks(2)
    slots.take()
    assert table.marks == marks(2, 3)
    slots.leave(second, None)
    assert table.marks == marks(3)
    tables.close()


def test_slots_tell_the_table_what_is_done_and_needs_only_its_ack() -> None:
    tables = RunningTables.open(slots=1, places=MOST_JOBS)
    slots = Slots(1)
    slots.table = table = tables.fresh(0)
    for number in range(1, DONE + 5):
        slots.put([job := Job(str(number), "greet", {}, lease=f"{number}-x")])
        run = slots.take()
        assert run is not None
        settlements = {1: Ack(job, [SetResult("key", b"value")]), 2: Fail(job), 3: Release(job)}
        slots.leave(run, None if number == 4 else Execution(settlements.get(number, Ack(job)), 0.0))
        assert table.marks == frozenset()
        if number <= 6:
            assert table.done == marks(*range(5, number + 1)), "those with effects, and what failed, need more"
    assert table.done == marks(*range(5, DONE + 5))
    assert len(table.done) == DONE
    slots.put([job := Job("last", "greet", {}, lease="last-x")])
    run = slots.take()
    assert run is not None
    slots.leave(run, Execution(Ack(job), 0.0))
    assert table.done == {*marks(*range(6, DONE + 5)), mark_of("last", "last-x")}
    for _ in range(GENERATIONS):
        assert tables.fresh(0).done == frozenset(), "the next child has done nothing yet"
    tables.close()


def test_a_hard_limit_is_known_while_its_job_runs(tables: RunningTables) -> None:
    table = tables.fresh(0)
    assert table.hard_limit is None
    for at_once in (False, True):
        limit = HardLimit(2.5, 1234.125, at_once)
        table.limit(limit)
        assert table.hard_limit == limit
    table.limit(None)
    assert table.hard_limit is None


def test_what_ran_by_the_table_is_what_ran_whatever_the_report_says() -> None:
    jobs = [HeldJob("jobs", str(number), f"{number}-x", started_at=1.0 if number == 1 else None) for number in (1, 2)]
    assert Estate(1, jobs, frozenset(marks(2))).running == [jobs[1]]
    assert Estate(1, jobs, frozenset()).running == []
    assert Estate(1, jobs).running == [jobs[0]]


def test_a_job_is_charged_when_nothing_else_ran_not_even_one_whose_lease_is_lost() -> None:
    jobs = [HeldJob("jobs", str(number), f"{number}-x") for number in (1, 2)]
    assert Estate(1, jobs, frozenset(marks(1))).charged == [jobs[0]]
    assert Estate(1, jobs, frozenset(marks(1, 2))).charged == []
    assert Estate(1, jobs, frozenset(marks(1, 7))).charged == []
