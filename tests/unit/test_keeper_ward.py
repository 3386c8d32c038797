"""What a keeper makes of a child's reports."""

from __future__ import annotations

import os
import subprocess
import sys

from svcjobs.process import process_state
from svcjobs.reports import HeldJob, Report
from svcjobs.ward import Ward, lease_of
from tests.eventually import eventually

HELD = HeldJob("jobs", "1", "1-x")


def test_a_new_lease_is_due_when_it_has_aged() -> None:
    ward = Ward(os.getpid(), 0.0)
    held = HELD._replace(held_at=9.5)
    assert ward.take(Report(os.getpid(), [held]), 10.0) == 9.5
    assert ward.due(9.0, 10.0, 60) == []
    assert ward.due(9.5, 20.0, 60) == [held]
    ward.extended([HELD], 20.0)
    assert ward.due(19.0, 20.0, 60) == []


def test_one_that_a_new_keeper_hears_of_is_due_when_the_child_has_had_it_for_long() -> None:
    ward = Ward(os.getpid(), 0.0)
    assert ward.take(Report(os.getpid(), [HELD]), 10.0) == 0.0
    assert ward.due(0.0, 10.0, 60) == [HELD]


def test_a_lost_lease_is_not_extended_again_while_it_is_reported() -> None:
    ward = Ward(os.getpid(), 0.0)
    ward.take(Report(os.getpid(), [HELD]), 10.0)
    ward.lost.add(lease_of(HELD))
    ward.take(Report(os.getpid(), [HELD]), 11.0)
    assert ward.due(11.0, 11.0, 60) == []
    ward.take(Report(os.getpid()), 12.0)
    assert ward.lost == set()


def test_a_silent_child_is_at_work_as_long_as_it_uses_cpu() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        ward = Ward(busy.pid, 0.0)
        assert ward.state
        used = ward.state.cpu_seconds
        eventually(lambda: (state := process_state(busy.pid)) and state.cpu_seconds > used)
        ward.look(1000.0)
        busy.kill()
    assert ward.is_at_work(1000.0, 60)
    assert not ward.is_at_work(1180.0, 60)
    ward.look(1000.0)
    assert ward.is_dead


def test_a_dead_process_has_no_state() -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    assert process_state(dead.pid) is None
    assert Ward(dead.pid, 0.0).is_dead
