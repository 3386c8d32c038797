"""``svcjobs dashboard`` as a process, and the queues it finds on a real server."""

from __future__ import annotations

import html
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import redis
from click.testing import CliRunner

from svcjobs.cli import main
from svcjobs.dashboard import found_queues
from svcjobs.dashboard.found_queues import FoundQueues
from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat import Celery, chain, group
from tests.eventually import eventually
from tests.integration.dashboard_scene import START_SECONDS, Scene
from tests.servers import Cluster, RedisServer
from tests.unit.test_settings import VARIABLES

CELERY = """
from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.schedules import crontab

app = Celery("proj")
app.conf.task_routes = {"proj.add": {"queue": "mail"}}
app.conf.beat_schedule = {
    "each hour": {"task": "proj.add", "schedule": 3600.0},
    "monday": {"task": "proj.total", "schedule": crontab(minute=0, hour=9, day_of_week="mon")},
    "odd": {"task": "proj.add", "schedule": "soon"},
}
"""


@pytest.fixture
def scene(redis_server: RedisServer, tmp_path: Path, prefix: str) -> Iterator[Scene]:
    scene = Scene(tmp_path, redis_server.url, prefix)
    yield scene
    scene.close()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_all_queues_and_ends_well_at_a_signal(scene: Scene, number: signal.Signals) -> None:
    scene.queue.enqueue("charge")
    with closing(scene.queue.sibling(f"{scene.queue.name}:{{emails}}")) as emails:
        emails.enqueue("send_email")
    schedule = '[{"name": "good", "job_name": "charge"}, {"name": "odd", "cron": "never", "job_name": "charge"}]'
    address, process = scene.serve(JOBS_SCHEDULE_JSON=schedule)
    # a page waits two seconds at most for the first look at the server's keys
    eventually(lambda: ">emails</a>" in httpx.get(address).text, START_SECONDS, "the queue is found")
    page = httpx.get(f"{address}schedules").text
    assert "entry 1 (odd)" in page
    assert ">good<" in page
    process.send_signal(number)
    assert process.wait(START_SECONDS) == 0


def test_with_names_only_these_are_shown_and_read_only_changes_nothing(scene: Scene) -> None:
    scene.queue.enqueue("charge")
    address, _ = scene.serve("-Q", "emails", "--read-only")
    page = httpx.get(address).text
    assert (">emails</a>" in page, f">{scene.queue.name}</a>" in page) == (True, False)
    own = {"sec-fetch-site": "same-origin"}
    assert httpx.post(f"{address}pause?queue={scene.queue.name}:{{emails}}", headers=own).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_this_machine_a_password_is_needed(clean: pytest.MonkeyPatch, host: str) -> None:
    result = CliRunner().invoke(main, ["dashboard", "--redis-url", "redis://localhost:1/0", "--host", host])
    assert (result.exit_code, "set JOBS_DASHBOARD_PASSWORD" in result.stderr) == (78, True)


def test_a_port_that_is_taken_is_told(clean: pytest.MonkeyPatch) -> None:
    clean.setattr(signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(main, ["dashboard", "--redis-url", "redis://localhost:1/0", "--port", port])
    assert (result.exit_code, f"127.0.0.1:{port}: Address already in use" in result.stderr) == (78, True)


def test_the_memory_driver_is_refused(clean: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(main, ["dashboard", "--driver", "memory"])
    assert (result.exit_code, "set JOBS_DRIVER=redis" in result.stderr) == (78, True)


def test_the_schedule_of_a_celery_application_is_shown_with_its_ticks(scene: Scene, prefix: str) -> None:
    scene.write("proj", CELERY)
    with closing(scene.queue.sibling(f"{prefix}:{{mail}}")) as mail:
        mail.claim_tick("each hour", 1_790_000_000)
    address, _ = scene.serve(application="proj")
    page = html.unescape(httpx.get(f"{address}schedules").text)
    assert "the entry odd of beat_schedule: AttributeError" in page
    rows = {name: page.split(f">{name}<")[1].split("</tr>")[0] for name in ("each hour", "monday")}
    for text in ("proj.add", "2026-09-21 14:13:20Z", "2026-09-21 15:13:20Z", "late"):
        assert text in rows["each hour"]
    assert ("proj.total" in rows["monday"], ">–<" in rows["monday"]) == (True, True)


def names(client: Any, home: RedisJobQueue) -> list[str]:
    """The queues that the first look finds, however slow the machine is."""
    with patch.object(found_queues, "FIRST_SECONDS", START_SECONDS), closing(FoundQueues(client, home)) as found:
        return [queue.name for queue in found]


def test_queues_are_found_by_their_keys(redis_client: redis.Redis, prefix: str) -> None:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as home:
        for name in ("a", "b:c", "*"):
            home.sibling(f"{prefix}:{{{name}}}").enqueue("x")
        # other programs' keys, and those of another default queue
        redis_client.hset(f"{prefix}:{{two words}}:counters", "enqueued", 1)
        redis_client.hset(f"{prefix}x:{{d}}:counters", "enqueued", 1)
        redis_client.hset(f"{prefix}:{{e}}:\xff:counters".encode("latin-1"), "enqueued", 1)
        assert names(redis_client, home) == [prefix, f"{prefix}:{{*}}", f"{prefix}:{{a}}", f"{prefix}:{{b:c}}"]


def test_a_prefix_is_no_pattern(redis_client: redis.Redis, prefix: str) -> None:
    with closing(RedisJobQueue(redis_client, prefix=f"{prefix}[ab]*")) as home:
        home.sibling(f"{prefix}[ab]*:{{mail}}").enqueue("x")
        redis_client.hset(f"{prefix}a1:{{mail}}:counters", "enqueued", 1)
        assert names(redis_client, home) == [f"{prefix}[ab]*", f"{prefix}[ab]*:{{mail}}"]


def test_queues_are_found_on_all_nodes_of_a_cluster(cluster: Cluster, prefix: str) -> None:
    with closing(RedisJobQueue(cluster.client(), prefix=f"{{{prefix}}}")) as home:
        all_names = [f"{prefix}:{{q{number}}}" for number in range(12)]
        for name in all_names:
            home.sibling(name).enqueue("x")
        assert names(cluster.client(), home) == sorted([*all_names, home.name])


def test_a_new_queue_is_found_later(redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_queues, "EVERY_SECONDS", 0.0)
    with (
        closing(RedisJobQueue(redis_client, prefix=prefix)) as home,
        closing(FoundQueues(redis_client, home)) as found,
    ):
        assert [queue.name for queue in found] == [prefix]
        home.sibling(f"{prefix}:{{late}}").enqueue("x")
        eventually(lambda: [queue.name for queue in found] == [prefix, f"{prefix}:{{late}}"], 20)


def test_without_a_server_the_default_queue_is_there_and_others_once_it_is_back(own_server: RedisServer) -> None:
    with closing(RedisJobQueue(own_server.client(), prefix="jobs")) as home:
        home.sibling("jobs:{mail}").enqueue("x")
        own_server.kill()
        with closing(FoundQueues(own_server.client(), home)) as found:
            assert [queue.name for queue in found] == ["jobs"]
            own_server.restart()
            home.sibling("jobs:{mail}").enqueue("x")
            eventually(lambda: [queue.name for queue in found] == ["jobs", "jobs:{mail}"], 20)  # not after a minute


def test_tasks_of_the_facade_appear_with_arguments_parents_and_chains(
    scene: Scene, redis_server: RedisServer, prefix: str
) -> None:
    broker = redis_server.url.replace("redis:", "svcjobs:", 1)
    app = Celery("proj", broker=broker, backend=redis_server.url, set_as_current=False)
    app.conf.broker_transport_options = {"prefix": prefix}

    @app.task(name="proj.add")
    def add(x: int, y: int, token: str = "") -> int:
        return x + y

    @app.task(name="proj.total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    sent = chain(add.s(1, 2, token="s3cret"), group(add.s(3), add.s(4)), total.s())()
    while sent.parent is not None:
        sent = sent.parent
    child = add.apply_async((5, 6), parent_id=sent.id, root_id=sent.id)
    address, _ = scene.serve()
    page = page_of(address, sent.id, results=2)
    for text in ("proj.add", sent.id, "Then", "chord(proj.add, proj.add → proj.total)", "&#34;args&#34;"):
        assert text in page
    assert "s3cret" not in page
    page = page_of(address, child.id, results=1)
    assert f'Parent id</dt><dd><a href="search?q={sent.id}">' in page
    app.close()


def page_of(address: str, task_id: str, results: int) -> str:
    """The page of the first job that a search finds."""

    def links() -> list[str]:
        found = html.unescape(httpx.get(f"{address}search", params={"q": task_id}).text)
        return re.findall(r'href="(job\?[^"]*)"', found)

    eventually(lambda: links() and len(links()) == results, START_SECONDS, "the queues are found")
    return httpx.get(address + links()[0]).text
