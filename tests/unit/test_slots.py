"""The line of a child, deadlines, recycling, and what child and keeper say to each other."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from svcjobs.census import ChildPipes
from svcjobs.errors import ConfigurationError
from svcjobs.job import Job
from svcjobs.keeping import KeeperLink
from svcjobs.pools.deadlines import Deadlines
from svcjobs.pools.slots import Lease, Run, Slots, lease_of
from svcjobs.recycling import Recycling, resident_kib
from svcjobs.reports import HeldJob, LostLeases, Report, datagram_pair, send
from svcjobs.running_table import RunningTables
from tests.eventually import eventually


def job(number: int) -> Job:
    return Job(str(number), "greet", {}, lease=f"{number}-x")


def test_a_slot_takes_the_next_job_when_it_is_free() -> None:
    slots = Slots(2)
    slots.put([job(1), job(2), job(3)])
    first, second = slots.take(), slots.take()
    assert first is not None
    assert second is not None
    assert slots.take() is None
    assert (slots.busy, slots.waiting) == (2, 1)
    slots.leave(first, None)
    third = slots.take()
    assert third is not None
    assert [run.job.id for run in slots.running] == ["2", "3"]
    assert slots.take() is None


def test_what_waits_can_be_taken_back() -> None:
    slots = Slots(1)
    slots.put([job(1), job(2), job(3)])
    slots.take()
    assert [waiting.id for waiting in slots.take_back()] == ["2", "3"]
    assert (slots.busy, slots.waiting) == (1, 0)


def test_a_job_is_withdrawn_from_the_line_or_found_running() -> None:
    slots = Slots(1)
    jobs = [job(1), job(2), job(3)]
    slots.put(jobs)
    run = slots.take()
    assert slots.withdraw(lease_of(jobs[0])) is run
    assert slots.withdraw(lease_of(jobs[1])) is jobs[1]
    assert slots.withdraw(lease_of(jobs[1])) is None
    assert [waiting.id for waiting in slots.take_back()] == ["3"]


def test_places_come_and_go_while_jobs_run() -> None:
    slots = Slots(1)
    slots.put([job(number) for number in range(5)])
    slots.resize(3)
    runs = [run for run in (slots.take(), slots.take(), slots.take(), slots.take()) if run]
    assert len({run.place for run in runs}) == 3
    slots.resize(1)
    slots.leave(runs[0], None)
    slots.leave(runs[1], None)
    assert slots.take() is None
    slots.leave(runs[2], None)
    assert [bool(slots.take()) for _ in range(2)] == [True, False]
    slots.resize(2)
    last = slots.take()
    assert last is not None
    assert last.place < 3
    for wrong in (0, 1001):
        with pytest.raises(ConfigurationError, match="1 to 1000 jobs"):
            slots.resize(wrong)
    assert slots.concurrency == 2


def test_a_deadline_acts_unless_it_is_removed() -> None:
    deadlines = Deadlines("test")
    acted: list[str] = []
    deadlines.add("late", 0.05, lambda: acted.append("late"))
    deadlines.add("soon", 0.01, lambda: acted.append("soon"))
    deadlines.add("done", 0.03, lambda: acted.append("done"))
    assert deadlines.remove("done")
    eventually(lambda: acted == ["soon", "late"])
    assert not deadlines.remove("soon")


@pytest.mark.parametrize(
    ("limits", "jobs", "why"),
    [
        ({}, 10**9, None),
        ({"max_jobs": 10}, 9, None),
        ({"max_jobs": 10}, 10, "10 jobs"),
        ({"max_memory_kib": 1}, 0, None),
        ({"max_memory_kib": 1}, 1, "KiB of memory"),
        ({"max_memory_kib": 10**9}, 1, None),
        ({"max_age_seconds": 0}, 0, None),
        ({"max_age_seconds": 0}, 1, "0 s of age"),
        ({"max_age_seconds": 100}, 1, None),
    ],
)
def test_a_child_is_due_for_recycling(limits: dict[str, Any], jobs: int, why: str | None) -> None:
    due = Recycling(**limits).due(jobs)
    assert due is None if why is None else why in (due or "")


def test_memory_is_that_of_this_process() -> None:
    before = resident_kib()
    block = b"x" * 30_000_000
    assert resident_kib() - before > 20_000
    del block


def test_the_link_reports_hears_and_counts() -> None:
    keeper_reports, child_reports = datagram_pair()
    keeper_lost, child_lost = datagram_pair()
    lost: list[Lease] = []
    cancelled: list[Lease] = []
    held = HeldJob("jobs", "1", "1-x", "greet", 1)
    tables = RunningTables.open(slots=1, places=1)
    table = tables.fresh(0)
    table.fetches(("00ff00ff01", 1))
    link = KeeperLink([], ChildPipes(child_reports, child_lost, table, child_reports))
    link.begin(lambda: Report(os.getpid(), [held]), lost.append, cancelled.append)
    link.hold([job(1)])
    report = Report.decode(keeper_reports.recv(1 << 16))
    assert list(report.jobs) == [held]
    send(keeper_lost, LostLeases([("jobs", "1", "1-x")], [("jobs", "2", "2-x")]).encode())
    eventually(lambda: (lost, cancelled) == ([("jobs", "1", "1-x")], [("jobs", "2", "2-x")]))
    link.end()
    assert table.fetch is None, "all that it fetched is settled"
    eventually(lambda: not any(thread.name == "svcjobs-keeper-link" for thread in threading.enumerate()))
    for end in (keeper_reports, child_reports, keeper_lost, child_lost, tables):
        end.close()


def test_a_run_knows_when_it_began() -> None:
    earliest_at, earliest = time.time(), time.monotonic()
    run = Run(job(1))
    assert earliest <= run.began <= time.monotonic()
    assert earliest_at - 0.1 <= run.started_at <= time.time() + 0.1  # a clock that may be set meanwhile
