"""The schedule of the environment and of the application, loaded into a scheduler."""

from __future__ import annotations

from svcjobs.application import Application
from svcjobs.loader import ScheduleProblem, schedule_from_entries, schedule_from_env
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settings import SchedulerSettings

APPLICATION = "the application's schedule"


def load(scheduler: InMemoryScheduler, application: Application | None) -> list[ScheduleProblem]:
    """Add all entries of JOBS_SCHEDULE_JSON and of the application; returns what was left out and why."""
    problems = schedule_from_env(scheduler)
    if application is not None:
        problems += schedule_from_entries(scheduler, application.schedule, source=APPLICATION)
    return problems


def is_set() -> bool:
    """Whether JOBS_SCHEDULE_JSON holds anything."""
    return SchedulerSettings.from_environment().schedule_json is not None
