"""The application: its pages, and the few things that can be done on them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from svcjobs.dashboard import notes
from svcjobs.dashboard.guard import Authenticate, Guard, loopback_only
from svcjobs.dashboard.history import History
from svcjobs.dashboard.masking import mask, mask_text
from svcjobs.dashboard.pages import FOLDER, PLACES, Pages, duration
from svcjobs.dashboard.plots import Plot, plot
from svcjobs.dashboard.search import SEARCHED, search
from svcjobs.dashboard.task_message import read_task
from svcjobs.dashboard.timetable import timetable
from svcjobs.errors import CorruptKey, JobNotFound, JobsError
from svcjobs.heartbeats import Heartbeats
from svcjobs.job import Job, Place
from svcjobs.queue import JobQueue
from svcjobs.scheduled_task import ScheduledTask

PAGE = 50


def create_app(
    queues: Iterable[JobQueue],
    *,
    heartbeats: Heartbeats | None = None,
    schedule: Iterable[ScheduledTask] = (),
    schedule_problems: Iterable[object] = (),
    authenticate: Authenticate = loopback_only,
    read_only: bool = False,
) -> Starlette:
    """The dashboard as an ASGI application, to be served or mounted.

    Its history begins with its lifespan, or with the first page where it is mounted and has none.

    Args:
        queues: what is shown; iterated anew for each page.
        heartbeats: tell of the workers; without them none are shown.
        schedule: entries of a scheduler (its ``tasks``), shown with the last ticks that their queues know.
        schedule_problems: entries that were left out and why, as texts or as the loader returns them.
        authenticate: who is let in, see :mod:`svcjobs.dashboard.guard`; by default who comes from this machine.
        read_only: nothing can be changed.
    """
    problems = [str(problem) for problem in schedule_problems]
    return _Dashboard(queues, heartbeats, list(schedule), problems, read_only=read_only).application(authenticate)


class _Dashboard:
    """The pages. Each is a plain method, which Starlette runs in a thread."""

    def __init__(
        self,
        queues: Iterable[JobQueue],
        heartbeats: Heartbeats | None,
        schedule: Sequence[ScheduledTask],
        schedule_problems: Sequence[str],
        *,
        read_only: bool,
    ) -> None:
        self._queues = queues
        self._heartbeats = heartbeats
        self._schedule = schedule
        self._schedule_problems = schedule_problems
        self._read_only = read_only
        self._history = History(queues)
        self._page = Pages(read_only=read_only).page

    def application(self, authenticate: Authenticate) -> Starlette:
        """The routes, behind the guard."""
        pages = {"/": self.overview, "/queue": self.queue, "/job": self.job, "/workers": self.workers,
                 "/schedules": self.schedules, "/search": self.search}  # fmt: skip
        verbs = {"/requeue": self.requeue, "/discard": self.discard, "/cancel": self.cancel, "/pause": self.pause,
                 "/resume": self.resume}  # fmt: skip
        routes: list[Any] = [Route(path, page, methods=["GET"]) for path, page in pages.items()]
        if not self._read_only:
            routes += [Route(path, verb, methods=["POST"]) for path, verb in verbs.items()]
        routes.append(Route("/favicon.ico", lambda _: FileResponse(FOLDER / "static" / "icon.svg")))
        routes.append(Mount("/static", StaticFiles(directory=FOLDER / "static")))
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, authenticate=authenticate)],
            exception_handlers={JobsError: self._problem},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._history.start()
        try:
            yield
        finally:
            await run_in_threadpool(self._history.stop)

    def overview(self, request: Request) -> Response:
        """All queues."""
        self._history.start()
        states, broken = [], []
        for queue in self._queues:
            try:
                states.append(queue.stats())
            except CorruptKey as error:
                broken.append((queue.name, mask_text(str(error))))
        plots = {state.queue: list(islice(self._plots(state.queue), 2)) for state in states}
        return self._page("overview.html", request, states=states, broken=broken, plots=plots)

    def queue(self, request: Request) -> Response:
        """One queue over time, and a page of one of its places."""
        self._history.start()
        queue = self._queue(request)
        place = request.query_params.get("place", "")
        if place not in PLACES:
            place = "dead"
        offset = _number(request.query_params.get("offset", "0"))
        jobs = queue.peek(cast("Place", place), PAGE + 1, offset)
        seconds = round(self._history.series(queue.name).seconds, -1)
        return self._page(
            "queue.html", request, state=queue.stats(), plots=list(self._plots(queue.name)), place=place, offset=offset,
            jobs=jobs[:PAGE], more=len(jobs) > PAGE, size=PAGE, seconds=seconds,
        )  # fmt: skip

    def job(self, request: Request) -> Response:
        """One job: where it is, what it carries, why it failed."""
        queue, job_id = self._queue(request), request.query_params.get("id", "")
        job, place = queue.get(job_id), queue.place(job_id)
        if job is None or place is None:
            return self._gone(request, queue, job_id)
        task = read_task(job.payload)
        return self._page(
            "job.html", request, job=job, place=place, task=task, running=self._running(job, place),
            payload=_as_text(mask(job.payload if task is None else task.shown)),
            headers=_as_text(mask(job.headers)) if job.headers else "",
            history=[(entry.get("attempt", "?"), _to_the_second(entry.get("at", "")), str(entry.get("error", "")))
                     for entry in job.history if isinstance(entry, dict)],
        )  # fmt: skip

    def _gone(self, request: Request, queue: JobQueue, job_id: str) -> Response:
        acked = notes.requeued_at(request, f"{queue.name}:{job_id}")
        succeeded = acked is not None and queue.stats().totals.get("acked", 0) > acked
        return self._page("gone.html", request, 404, queue=queue.name, job_id=job_id, succeeded=succeeded)

    def _running(self, job: Job, place: Place) -> str:
        """The worker that runs the job, and since when, as far as heartbeats tell."""
        workers = self._heartbeats.workers() if self._heartbeats and place == "leased" else []
        now = datetime.now(UTC)
        for worker in workers:
            for run in worker.running:
                if (run.queue, run.job_id) == (job.queue, job.id):
                    return f"{worker.name}, for {duration((now - run.started_at).total_seconds())}"
        return ""

    def workers(self, request: Request) -> Response:
        """The live workers, and what each runs."""
        found = sorted(self._heartbeats.workers(), key=lambda worker: worker.name) if self._heartbeats else []
        return self._page("workers.html", request, workers=found, now=datetime.now(UTC))

    def schedules(self, request: Request) -> Response:
        """The schedule, and when each entry last ticked."""
        entries = timetable(self._schedule, datetime.now(UTC))
        return self._page("schedules.html", request, entries=entries, problems=self._schedule_problems)

    def search(self, request: Request) -> Response:
        """Jobs by id, task id or name."""
        text = request.query_params.get("q", "").strip()
        found = search(self._queues, text) if text else []
        return self._page("search.html", request, q=text, found=found, searched=SEARCHED)

    def requeue(self, request: Request) -> Response:
        """Make a dead job ready."""
        queue, job_id = self._queue(request), request.query_params.get("id", "")
        acked = queue.stats().totals.get("acked", 0)
        queue.requeue(job_id)
        response = _to("job", "requeue", queue=queue.name, id=job_id)
        notes.leave_requeued(response, f"{queue.name}:{job_id}", acked)
        return response

    def cancel(self, request: Request) -> Response:
        """End a job that waits or runs."""
        queue, job_id = self._queue(request), request.query_params.get("id", "")
        queue.cancel(job_id)
        return _to("job", "cancel", queue=queue.name, id=job_id)

    def discard(self, request: Request) -> Response:
        """Remove a dead job."""
        queue, job_id = self._queue(request), request.query_params.get("id", "")
        if not queue.purge_dead(job_id):
            raise JobNotFound(f"job {job_id} isn't in the dead letter queue of {queue.name}")
        return _to("queue", "discard", queue=queue.name, place="dead")

    def pause(self, request: Request) -> Response:
        """Hand out no more jobs."""
        return self._switch(request, "pause", lambda queue: queue.pause())

    def resume(self, request: Request) -> Response:
        """Hand out jobs again."""
        return self._switch(request, "resume", lambda queue: queue.resume())

    def _switch(self, request: Request, verb: str, act: Callable[[JobQueue], None]) -> Response:
        queue = self._queue(request)
        act(queue)
        return _to("queue", verb, queue=queue.name)

    def _queue(self, request: Request) -> JobQueue:
        name = request.query_params.get("queue", "")
        for queue in self._queues:
            if queue.name == name:
                return queue
        raise JobNotFound(f"there is no queue {name} here")

    def _plots(self, name: str) -> Iterator[Plot]:
        """All plots of a queue; each is worked out when it is asked for."""
        series = self._history.series(name)
        yield plot("Ready jobs", series.depth(), lambda value: f"{value:.0f}")
        yield plot("Age of the oldest", series.age_seconds(), duration)
        yield plot("Throughput", series.per_second(), lambda value: f"{value:.3g}/s")
        yield plot("Latency: waiting", series.wait_seconds(), duration)
        yield plot("Latency: running", series.run_seconds(), duration)

    def _problem(self, request: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, JobNotFound) else 503 if isinstance(error, ConnectionError) else 409
        live = request.method == "GET"  # it may come right by itself
        return self._page("problem.html", request, status, problem=mask_text(str(error)), live=live)


def _to(page: str, verb: str, **query: str) -> Response:
    """To a page of the same folder, wherever that is mounted, which says what was done."""
    response = RedirectResponse(f"{page}?{urlencode(query)}", 303)
    notes.leave(response, verb)
    return response


def _as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _to_the_second(instant: object) -> str:
    return str(instant)[:19].replace("T", " ") + "Z" if instant else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
