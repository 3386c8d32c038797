"""/readyz of a worker, by what its keeper knows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from svcjobs.health import Health
from svcjobs.keeper import Watch
from svcjobs.reports import Report
from svcjobs.ward import Ward


@pytest.fixture
def health() -> Iterator[Health]:
    health = Health([0])
    yield health
    health.end()


def ward(report: Report | None) -> Ward:
    made = Ward(os.getpid(), time.monotonic())
    if report is not None:
        made.take(report, time.monotonic())
    return made


STARTING = None
AT_WORK = Report(1, queues=["jobs"])
LEAVING = Report(1, queues=["jobs"], fetching=False)
SCHEDULE = Report(2, schedules=["daily"])


@pytest.mark.parametrize(
    ("reports", "ready"),
    [
        ([], False),
        ([STARTING], False),
        ([AT_WORK], True),
        ([LEAVING], False),
        ([LEAVING, AT_WORK], True),
        ([STARTING, SCHEDULE], False),
        ([LEAVING, SCHEDULE], False),
        ([AT_WORK, SCHEDULE], True),
        ([SCHEDULE], True),
    ],
)
def test_jobs_are_taken_when_a_process_that_takes_them_says_so(
    health: Health, reports: list[Report | None], ready: bool
) -> None:
    health.turn(Watch([ward(report) for report in reports], queue_answers=True))
    assert health.readyz()[0] is ready


def test_the_server_and_a_stop_count_too(health: Health) -> None:
    for watch, why in (
        (Watch([ward(AT_WORK)]), "the server wasn't asked yet"),
        (Watch([ward(AT_WORK)], queue_answers=False), "the server doesn't answer"),
        (Watch([ward(AT_WORK)], stopping=True, queue_answers=True), "stopping"),
    ):
        health.turn(watch)
        assert health.readyz() == (False, why)
