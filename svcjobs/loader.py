"""Schedules that are written down: in an environment variable, or as a list of entries."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Strict, ValidationError

from svcjobs.errors import JobsError
from svcjobs.queue import JobQueue
from svcjobs.scheduled_task import Misfire
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settings import environment
from svcjobs.targets import resolve_target
from svcjobs.threads import Threads, is_async

DEFAULT_INTERVAL_SECONDS = 60

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleProblem:
    """Why an entry was left out.

    Args:
        source: where the schedule stands, such as the variable's name.
        index: the entry's place, from 0; None when the whole schedule can't be read.
        name: the entry's name, if it has one.
        reason: what is wrong and what to write.
    """

    source: str
    index: int | None
    name: str | None
    reason: str

    def __str__(self) -> str:
        entry = "" if self.index is None else f" entry {self.index}"
        return f"{self.source}{entry}{f' ({self.name})' if self.name else ''}: {self.reason}"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    interval_seconds: Annotated[float, Strict()] | None = None
    cron: str | None = None
    timezone: str | None = None
    target: str | None = None
    job_name: str | None = None
    payload: dict[str, Any] | None = None
    misfire: Misfire = "once"


def schedule_from_env(
    scheduler: InMemoryScheduler, env_var: str = "JOBS_SCHEDULE_JSON", *, queue: JobQueue | None = None
) -> list[ScheduleProblem]:
    """Add what an environment variable lists. Unset or blank: nothing.

    Args:
        scheduler: takes the entries.
        env_var: the variable's name; its form is that of :func:`schedule_from_text`.
        queue: takes the jobs of entries with a ``job_name``; the scheduler's queue when left out.

    Returns:
        What was left out and why; it is logged as well.
    """
    text = environment(env_var)
    return [] if text is None else schedule_from_text(scheduler, text, queue=queue, source=env_var)


def schedule_from_text(
    scheduler: InMemoryScheduler, text: str, *, queue: JobQueue | None = None, source: str = "schedule"
) -> list[ScheduleProblem]:
    """Add what a JSON array lists; each entry as :func:`schedule_from_entries` takes it.

    Returns:
        What was left out and why; it is logged as well. Text that isn't a JSON array is one problem.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        return [_report(ScheduleProblem(source, None, None, f"this isn't JSON: {error}"))]
    if not isinstance(entries, list):
        reason = f'this is a JSON {type(entries).__name__}: write an array of entries, [{{"name": …}}, …]'
        return [_report(ScheduleProblem(source, None, None, reason))]
    return schedule_from_entries(scheduler, entries, queue=queue, source=source)


def schedule_from_entries(
    scheduler: InMemoryScheduler, entries: Iterable[object], *, queue: JobQueue | None = None, source: str = "schedule"
) -> list[ScheduleProblem]:
    """Add entries; one that can't be used is left out and the others are added.

    An entry is a mapping with ``name``; ``interval_seconds`` (60 when there is no ``cron`` either) or ``cron`` and
    perhaps ``timezone``; ``target`` (``module:function``) or ``job_name`` and perhaps ``payload``; perhaps ``misfire``.

    Returns:
        What was left out and why; it is logged as well.
    """
    problems = []
    for index, entry in enumerate(entries):
        try:
            _add(scheduler, _Entry.model_validate(entry), queue)
        except ValidationError as error:
            reason = _sentence(error)
        except JobsError as error:
            reason = str(error)
        else:
            continue
        name = entry.get("name") if isinstance(entry, dict) else None
        problems.append(_report(ScheduleProblem(source, index, name if isinstance(name, str) else None, reason)))
    return problems


def _add(scheduler: InMemoryScheduler, entry: _Entry, queue: JobQueue | None) -> None:
    by_default = entry.interval_seconds is None and entry.cron is None
    scheduler.add(
        entry.name,
        func=None if entry.target is None else _resolve_target(entry.target),
        job_name=entry.job_name,
        payload=entry.payload,
        job_queue=None if entry.job_name is None else queue,
        interval_seconds=DEFAULT_INTERVAL_SECONDS if by_default else entry.interval_seconds,
        cron=entry.cron,
        timezone=entry.timezone,
        misfire=entry.misfire,
    )


def _resolve_target(target: str) -> Callable[..., Awaitable[Any]]:
    """The function that ``target`` names, as an ``async`` one; a plain function runs in a thread.

    Raises:
        ConfigurationError: as :func:`~svcjobs.targets.resolve_target`; also a ModuleNotFoundError or an
            AttributeError when the module or the attribute is missing.
    """
    function = resolve_target(target)
    if is_async(function) or not callable(function):
        return function  # type: ignore[no-any-return]  # the scheduler refuses what can't be called
    threads = Threads("svcjobs-scheduler")

    @functools.wraps(function)
    async def in_thread(*args: Any, **kwargs: Any) -> Any:
        return await threads.run(functools.partial(function, *args, **kwargs), like=function)

    return in_thread


def _report(problem: ScheduleProblem) -> ScheduleProblem:
    _log.error("%s; it was left out", problem)
    return problem


def _sentence(error: ValidationError) -> str:
    """All that is wrong with an entry; values aren't repeated, a payload may hold secrets."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"]) or "the entry"
        lines.append(f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}")
    return "; ".join(lines)
