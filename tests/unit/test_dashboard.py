"""The dashboard over HTTP: what it shows and what it does."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from svcjobs.dashboard import create_app
from svcjobs.dashboard.history import History
from svcjobs.dashboard.masking import COVER
from svcjobs.errors import CorruptKey, QueueUnavailable
from svcjobs.heartbeats import LiveWorker, RunningNow
from svcjobs.job import Job, NewJob
from svcjobs.memory_server import MemoryServer
from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.settlement import Outcome
from svcjobs.stats import QueueStats
from tests.unit.dashboard_client import Client, client_of, kill

SCRIPT = "<script>document.title = 'owned'</script>"


def fastapi_with(app: Any) -> FastAPI:
    site = FastAPI()
    site.mount("/ops/jobs", app)
    return site


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue()


def test_a_user_finds_a_dead_job_reads_why_and_requeues_it(queue: InMemoryJobQueue) -> None:
    job_id = kill(queue, payload={"order": 17})
    client = client_of(queue)
    assert "queue=jobs&amp;place=dead" in client.get("/").text
    assert f"id={job_id}" in client.get("/queue?queue=jobs&place=dead").text
    page = client.get(f"/job?queue=jobs&id={job_id}").text
    assert "declined" in page
    assert "&#34;order&#34;: 17" in page
    answer = client.post(f"/requeue?queue=jobs&id={job_id}")
    assert answer.status_code == 303
    assert queue.place(job_id) == "ready"
    job_page = "/" + answer.headers["location"]
    assert "Requeued." in client.get(job_page).text
    assert "Requeued." not in client.get(job_page).text  # it is said once
    job = queue.reserve_next()
    assert job is not None
    queue.ack(job)
    answer = client.get(job_page)
    assert (answer.status_code, "a job does that succeeded" in answer.text) == (404, True)


def test_a_job_that_was_removed_after_it_was_requeued_has_not_succeeded(queue: InMemoryJobQueue) -> None:
    job_id = kill(queue)
    client = client_of(queue)
    client.post(f"/requeue?queue=jobs&id={job_id}")
    queue.purge()
    assert "succeeded" not in client.get(f"/job?queue=jobs&id={job_id}").text


@pytest.mark.parametrize("verb", ["requeue", "discard", "pause"])
def test_a_link_can_not_make_a_page_say_that_something_was_done(queue: InMemoryJobQueue, verb: str) -> None:
    client = client_of(queue)
    for path in (f"/queue?queue=jobs&done={verb}", f"/job?queue=jobs&id=7&done={verb}", f"/?done={verb}"):
        page = client.get(path).text
        assert 'class="note"' not in page
        assert "succeeded," not in page


def test_jobs_are_discarded_and_cancelled_and_queues_paused(queue: InMemoryJobQueue) -> None:
    client = client_of(queue)
    assert client.post(f"/discard?queue=jobs&id={kill(queue)}").status_code == 303
    assert queue.stats().dead == 0
    waiting = queue.enqueue("late", delay_seconds=60)
    assert client.post(f"/discard?queue=jobs&id={waiting.id}").status_code == 404  # only dead ones
    assert client.post(f"/cancel?queue=jobs&id={waiting.id}").status_code == 303
    assert [job.reason for job in queue.dead()] == ["cancelled"]
    running = queue.enqueue("long")
    job = queue.reserve_next()
    assert job is not None
    client.post(f"/cancel?queue=jobs&id={running.id}")
    assert "a running job learns of it soon" in client.get(f"/job?queue=jobs&id={running.id}").text
    assert queue.extend(job) == Outcome.CANCELLED
    client.post("/pause?queue=jobs")
    assert queue.stats().paused
    assert ">paused<" in client.get("/").text
    client.post("/resume?queue=jobs")
    assert not queue.stats().paused


def test_what_the_queue_refuses_is_told(queue: InMemoryJobQueue) -> None:
    client = client_of(queue)
    assert client.post(f"/cancel?queue=jobs&id={kill(queue)}").status_code == 409  # it is dead
    answer = client.post("/requeue?queue=jobs&id=none")
    assert (answer.status_code, "That didn't work" in answer.text) == (404, True)
    assert "data-live" not in answer.text  # a form's answer can't be fetched again


def test_everything_is_escaped(queue: InMemoryJobQueue) -> None:
    job_id = kill(queue, SCRIPT, {SCRIPT: SCRIPT}, error=SCRIPT)
    client = client_of(queue)
    for path in (
        "/",
        "/queue?queue=jobs",
        f"/job?queue=jobs&id={job_id}",
        "/search?q=" + SCRIPT,
        "/job?queue=jobs&id=" + SCRIPT,
    ):
        page = client.get(path)
        assert SCRIPT not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("make", [lambda app: Starlette(routes=[Mount("/ops/jobs", app)]), fastapi_with])
def test_it_works_mounted_under_a_prefix(queue: InMemoryJobQueue, make: Callable[[Any], Any]) -> None:
    job_id = kill(queue)
    client = Client(make(create_app([queue])))
    moved = client.get("/ops/jobs")
    assert (moved.status_code, moved.headers["location"]) == (307, "http://localhost/ops/jobs/")
    for page in ("/ops/jobs/", "/ops/jobs/queue?queue=jobs&place=dead", f"/ops/jobs/job?queue=jobs&id={job_id}"):
        for found in targets(client.get(page).text):
            answer = client.get(str(httpx.URL("http://localhost" + page).join(found)))
            assert answer.status_code == 200, found
    answer = client.post(f"/ops/jobs/requeue?queue=jobs&id={job_id}")
    page = str(httpx.URL("http://localhost/ops/jobs/requeue").join(answer.headers["location"]))
    assert "Requeued." in client.get(page).text
    assert queue.place(job_id) == "ready"


def test_the_lifespan_samples_from_the_start_and_stops_at_the_end(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(History, "start", lambda self: done.append("started"))
    monkeypatch.setattr(History, "stop", lambda self: done.append("stopped"))
    app = create_app([queue])

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert done == ["started"]

    asyncio.run(live())
    assert done == ["started", "stopped"]


def test_a_queue_with_a_corrupt_key_hides_no_other(queue: InMemoryJobQueue) -> None:
    class Broken(InMemoryJobQueue):
        def stats(self) -> QueueStats:
            raise CorruptKey("jobs:{bad}:ready is a string")

    page = client_of(Broken(name="jobs:{bad}"), queue).get("/")
    assert page.status_code == 200
    assert "is a string" in page.text
    assert "queue=jobs&amp;" in page.text


def test_a_queue_that_does_not_answer_is_told(queue: InMemoryJobQueue) -> None:
    class Away(InMemoryJobQueue):
        def stats(self) -> QueueStats:
            raise QueueUnavailable("redis://u:s3cret@h: no answer")

    page = client_of(Away()).get("/")
    assert page.status_code == 503
    assert "no answer" in page.text
    assert "s3cret" not in page.text
    assert "data-live" in page.text  # it comes right by itself


def test_jobs_are_found_by_id_name_and_task_id() -> None:
    server = MemoryServer()
    first, second = InMemoryJobQueue(server=server), InMemoryJobQueue(name="jobs:{mail}", server=server)
    first.enqueue("send_email", job_id="a1")
    second.enqueue("proj.add", {"args": [1], "kwargs": {}, "_kombu": {"headers": {"id": "task-9"}}}, delay_seconds=9)
    client = client_of(first, second)
    assert "send_email" in client.get("/search?q=a1").text
    assert "id=a1" in client.get("/search?q=EMAIL").text
    assert "proj.add" in client.get("/search?q=task-9").text
    assert "Nothing found" in client.get("/search?q=nope").text


def test_a_celery_task_that_only_a_worker_can_read_shows_what_its_headers_tell(queue: InMemoryJobQueue) -> None:
    headers = {"id": "t", "argsrepr": "('ann',)", "kwargsrepr": "{'token': 's3cret'}"}
    message = {"headers": headers, "content-type": "application/x-python-serialize", "body": "gASV"}
    job = queue.enqueue("proj.add", {"_kombu": message})
    page = client_of(queue).get(f"/job?queue=jobs&id={job.id}").text
    assert "ann" in page
    assert COVER in page
    assert "s3cret" not in page


def test_secrets_are_covered(queue: InMemoryJobQueue) -> None:
    payload = {"password": "s3cret-1", "user": {"api_key": "s3cret-2", "name": "ann"}, "to": "db://u:s3cret-3@h/"}
    job_id = kill(queue, payload=payload, error="failed with token=s3cret-4 and Authorization: Bearer s3cret-5")
    client = client_of(queue)
    for path in (f"/job?queue=jobs&id={job_id}", "/queue?queue=jobs"):
        page = client.get(path).text
        assert "s3cret" not in page
        assert COVER in page
    assert "ann" in client.get(f"/job?queue=jobs&id={job_id}").text


def test_what_another_program_stored_badly_is_shown_nevertheless(queue: InMemoryJobQueue) -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    job = queue.enqueue("deep", deep)
    client = client_of(queue)
    assert client.get(f"/job?queue=jobs&id={job.id}").status_code == 200
    half = Job("7", "half", {"text": "\ud800"}, last_error="\udc00", history=["x", {"at": 1}])  # type: ignore[list-item]
    queue.get, queue.place = lambda _: half, lambda _: "ready"  # type: ignore[method-assign,assignment]
    assert "half" in client.get("/job?queue=jobs&id=7").text


def test_plots_of_depth_age_throughput_and_latency_are_drawn(
    queue: InMemoryJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("svcjobs.dashboard.history.time", lambda: now)
    monkeypatch.setattr(History, "start", lambda self: None)
    histories: list[History] = []
    monkeypatch.setattr(
        "svcjobs.dashboard.app.History", lambda queues: histories.append(History(queues)) or histories[0]
    )
    client = client_of(queue)
    assert "the line begins after some seconds" in client.get("/queue?queue=jobs").text
    for _ in range(4):
        queue.enqueue("x")
        queue.enqueue("x")
        queue.ack(queue.reserve_next())  # type: ignore[arg-type]
        histories[0].sample()
        now += 5
    page = client.get("/queue?queue=jobs").text
    assert page.count("<polyline") == 5
    for label in (
        "Ready jobs: now 4, highest 4", "Age of the oldest: now", "Throughput: now 0.2/s, highest 0.2/s",
        "Latency: waiting: now 12.5 s", "Latency: running: now 0 ms",
    ):  # fmt: skip
        assert label in page
    assert client.get("/").text.count("<polyline") == 2


def test_workers_and_what_they_run_are_shown(queue: InMemoryJobQueue) -> None:
    class Told:
        def workers(self) -> list[LiveWorker]:
            return [LiveWorker("w1@h", "h", 7, "async", 4, now, ["jobs:{mail}"], running=[run], age_seconds=20)]

    now = datetime.now(UTC)
    job = queue.enqueue("send", {})
    assert queue.reserve_next() is not None
    run = RunningNow("send", job.id, "jobs", 1, now - timedelta(minutes=2), 8)
    client = client_of(queue, heartbeats=Told())
    page = client.get("/workers").text
    for text in ("w1@h", ">stale<", "async × 4, mail", f"send {job.id}</a> for 2 min"):
        assert text in page
    assert "w1@h, for 2 min" in client.get(f"/job?queue=jobs&id={job.id}").text


def test_schedules_tell_their_last_tick_the_next_one_and_what_is_late(queue: InMemoryJobQueue) -> None:
    scheduler = InMemoryScheduler(queue=queue)
    scheduler.add("fresh", job_name="report", interval_seconds=3600)
    scheduler.add("stuck", job_name="poll", interval_seconds=60)
    scheduler.add("new", job_name="digest", cron="0 9 * * *")
    now = datetime.now(UTC).timestamp()
    queue.claim_tick("fresh", now // 3600 * 3600, None)
    queue.claim_tick("stuck", now - 600, None)
    page = client_of(queue, schedule=scheduler.tasks, schedule_problems=["entry 3 (bad): no such target"]).get(
        "/schedules"
    )
    assert "entry 3 (bad): no such target" in page.text
    rows = {name: page.text.split(f">{name}<")[1].split("</tr>")[0] for name in ("fresh", "stuck", "new")}
    assert ["late" in rows[name] for name in rows] == [False, True, False]
    assert "report" in rows["fresh"]
    assert "09:00:00Z" in rows["new"]
    assert ">–<" in rows["new"]  # it hasn't ticked
    assert "No entries" in client_of(queue).get("/schedules").text


def test_an_unknown_queue_or_place_is_no_error_of_ours(queue: InMemoryJobQueue) -> None:
    client = client_of(queue)
    assert client.get("/queue?queue=nope").status_code == 404
    assert client.get("/queue?queue=jobs&place=nope&offset=x").status_code == 200
    assert client.get("/workers").status_code == 200
    assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_a_long_list_has_pages(queue: InMemoryJobQueue) -> None:
    queue.enqueue_many([NewJob(f"job-{number:02}") for number in range(60)])
    client = client_of(queue)
    first = client.get("/queue?queue=jobs&place=ready").text
    assert ("job-49" in first, "job-50" in first, ">More<" in first) == (True, False, True)
    second = client.get("/queue?queue=jobs&place=ready&offset=50").text
    assert ("job-50" in second, ">Back<" in second, ">More<" in second) == (True, True, False)


def targets(page: str) -> set[str]:
    """All that a page links to, and loads."""
    return {html.unescape(target) for target in re.findall(r'(?:href|src)="([^"#][^"]*)"', page)}
