"""What an application may take part in beyond running its jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from svcjobs.execution import ended, execute, execute_here
from svcjobs.hooks import Hooks
from svcjobs.job import Job
from svcjobs.limits import Limits
from svcjobs.settlement import Ack, Bury, Outcome, Release, Settlement
from svcjobs.threads import Threads


class Application:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, job: Job) -> object:
        if job.payload.get("raises"):
            raise ValueError("no")
        return Release(job, delay_seconds=7)

    def condemned(self, job: Job, verdict: str) -> Settlement:
        return Bury(job, f"own {verdict}")

    def failed(self, job: Job, error: BaseException) -> Settlement:
        return Ack(job, effects=())

    def reserved(self, jobs: Sequence[Job]) -> Sequence[Settlement]:
        return [Ack(job) for job in jobs if job.name == "unwanted"]

    def settled(self, settlement: Settlement, outcome: Outcome | None) -> None:
        self.seen.append((settlement, outcome))


def test_a_handler_may_return_the_settlement_of_its_job() -> None:
    job = Job("1", "work", {})
    execution = asyncio.run(execute(job, Application(), Threads("test"), None))
    assert execution.settlement == Release(job, delay_seconds=7)
    assert execution.error_type is None
    assert ended(job, Bury(job, "bad"), None, 0.1).error_type == "Bury"


def test_an_application_settles_what_failed_and_what_is_condemned() -> None:
    application = Application()
    failing = Job("1", "work", {"raises": True})
    execution = execute_here(failing, application, lambda call: call())
    assert execution.settlement == Ack(failing)
    assert execution.error_type == "ValueError"
    condemned = replace(failing, verdict="worker_lost")
    settlement = execute_here(condemned, application, lambda call: call()).settlement
    assert isinstance(settlement, Bury)
    assert settlement.reason == "own worker_lost"


def test_reserved_and_settled_are_told_to_those_who_ask() -> None:
    application = Application()
    jobs = [Job("1", "work", {}), Job("2", "unwanted", {})]
    assert Hooks(application).reserved(jobs) == [Ack(jobs[1])]
    Hooks(application).settled(Ack(jobs[0]), Outcome.ACKED)
    assert application.seen == [(Ack(jobs[0]), Outcome.ACKED)]
    assert not Hooks(print).reserved(jobs)
    Hooks(print).settled(Ack(jobs[0]), Outcome.ACKED)


def test_a_hook_that_raises_costs_no_job(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Application):
        def reserved(self, jobs: Sequence[Job]) -> Sequence[Settlement]:
            raise RuntimeError("broken")

    assert not Hooks(Broken()).reserved([Job("1", "work", {})])
    assert "all of them run" in caplog.text


def test_an_application_has_its_own_error_at_the_soft_limit() -> None:
    class Mine(Exception):
        pass

    limits = Limits(soft_seconds=2, soft_error=lambda job, seconds: Mine(job.name, seconds))
    ((seconds, make_error),) = limits.alarms(Job("1", "work", {}))
    assert seconds == 2
    assert make_error().args == ("work", 2)
