"""A worker on the memory driver: one process, as no other could see its jobs."""

from __future__ import annotations

import asyncio
import logging
import os

from svcjobs.cli import schedules
from svcjobs.cli.applications import find_application
from svcjobs.cli.backends import open_backend
from svcjobs.cli.exits import CommandFailed
from svcjobs.cli.lives import WorkerPlan
from svcjobs.cli.serving import Serving
from svcjobs.errors import ConfigurationError, JobsError
from svcjobs.metrics import Metrics
from svcjobs.runner import WorkerRunner

logger = logging.getLogger(__name__)


def work_alone(plan: WorkerPlan) -> None:
    """Run what the schedule enqueues, until a signal comes.

    Raises:
        ConfigurationError: the plan needs more than one process, or what it names can't be used.
        CommandFailed: a hook raised.
    """
    _check(plan)
    logger.warning(
        "the memory driver: this worker runs what its own schedule enqueues (%s), nothing that other processes "
        "enqueue; set JOBS_DRIVER=redis for that",
        "on" if plan.scheduled else "off: nothing will run",
    )
    application = find_application(plan.target)
    with open_backend(plan.place, visibility_timeout=plan.lease_seconds) as backend:
        if plan.scheduled:
            schedules.load(backend.scheduler, application)
        if application is None and not backend.scheduler.tasks:
            raise ConfigurationError("nothing to do: no application (-A), and no entry of the schedule can be used")
        metrics = Metrics(application.metric_prefix if application else "jobs") if plan.ports else None
        if metrics is not None:
            metrics.watch(backend.home, [task.name for task in backend.scheduler.tasks])
        endpoints = [metrics.serve(port) for port in plan.ports if metrics is not None]
        for endpoint in endpoints:
            logger.info("metrics at http://localhost:%d/metrics", endpoint.port)
        runners = [
            WorkerRunner(queue, application, concurrency=plan.concurrency, metrics=metrics)
            for queue in backend.queues
            if application is not None
        ]
        logger.info("pid %d on %s", os.getpid(), plan.place)
        for task in backend.scheduler.tasks:
            logger.info("schedule %s: %s, next at %s", task.name, task.schedule, task.next_run_at.isoformat())
        try:
            _serve(Serving(application, runners, backend.scheduler if plan.scheduled else None, plan.grace_seconds))
        finally:
            for endpoint in endpoints:
                endpoint.close()


def _check(plan: WorkerPlan) -> None:
    limits = (plan.limits.soft_seconds, plan.limits.hard_seconds)
    recycling = (plan.max_jobs, plan.max_memory_kib, plan.max_age_seconds)
    if plan.pool != "async" or plan.children != 1 or any(option is not None for option in (*limits, *recycling)):
        raise ConfigurationError(
            "the memory driver runs in one process, with -P async and without limits of children: set JOBS_DRIVER=redis"
        )


def _serve(serving: Serving) -> None:
    try:
        asyncio.run(serving.run())
    except JobsError:
        raise
    except Exception as error:
        # a start-up hook raised, or a part ended by itself: the place matters
        logger.exception("the worker ends")
        raise CommandFailed(f"the worker ended: {type(error).__name__}: {error}") from error
