"""/livez, /readyz and /metrics of a worker with real children."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from svcjobs.redis_queue import RedisJobQueue
from tests.eventually import eventually
from tests.integration.conftest import StartCrew
from tests.ports import free_port
from tests.servers import RedisServer


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


@pytest.fixture
def port() -> int:
    return free_port()


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 when nobody listens."""
    try:
        with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def ready(port: int) -> None:
    eventually(lambda: get(port, "/readyz")[0] == 200)


def test_a_worker_is_ready_when_a_child_fetches_and_not_while_it_stops(
    start_crew: StartCrew, queue: RedisJobQueue, port: int
) -> None:
    crew = start_crew(ports=(port,), grace=5)
    ready(port)
    assert get(port, "/livez") == (200, "ok\n")
    assert get(port, "/other")[0] == 404
    queue.enqueue("sleep", {"seconds": 2}, job_id="a")
    crew.started("a")
    crew.process.send_signal(signal.SIGTERM)
    eventually(lambda: get(port, "/readyz") == (503, "stopping\n"))
    assert get(port, "/livez")[0] == 200
    assert crew.ends() == 0


@pytest.mark.alone
@pytest.mark.scenario(36)
def test_a_wedged_event_loop_is_told_within_15_seconds(start_crew: StartCrew, queue: RedisJobQueue, port: int) -> None:
    crew = start_crew(ports=(port,))
    ready(port)
    queue.enqueue("wedge", {"seconds": 60})
    _, why = eventually(lambda: answer if (answer := get(port, "/livez"))[0] == 503 else None, 6, crew.log)
    assert re.fullmatch(r"child \d+ has an event loop that doesn't turn\n", why)
    assert get(port, "/readyz")[0] == 200


@pytest.mark.alone
@pytest.mark.scenario(36)
def test_a_silent_child_is_told_within_15_seconds(start_crew: StartCrew, queue: RedisJobQueue, port: int) -> None:
    crew = start_crew(ports=(port,))
    ready(port)
    assert get(port, "/livez")[0] == 200
    child = crew.living[0]
    os.kill(child, signal.SIGSTOP)
    _, why = eventually(lambda: answer if (answer := get(port, "/livez"))[0] == 503 else None, 15, crew.log)
    assert why == f"child {child} is silent and uses no CPU\n"
    os.kill(child, signal.SIGCONT)
    eventually(lambda: get(port, "/livez")[0] == 200)


def test_a_child_that_holds_the_gil_is_no_reason_to_kill_the_worker(
    start_crew: StartCrew, queue: RedisJobQueue, port: int
) -> None:
    crew = start_crew(ports=(port,), children=1)
    ready(port)
    queue.enqueue("gil", {"seconds": 13}, job_id="a")
    crew.started("a")
    until = time.monotonic() + 12
    while time.monotonic() < until:
        assert get(port, "/livez") == (200, "ok\n")
        time.sleep(0.2)
    crew.done("a")


@pytest.mark.scenario(36)
def test_while_the_server_is_away_a_worker_lives_and_is_not_ready(
    start_crew: StartCrew, own_server: RedisServer, port: int
) -> None:
    start_crew(own_server, ports=(port,))
    ready(port)
    own_server.stop()
    eventually(lambda: get(port, "/readyz") == (503, "the server doesn't answer\n"))
    assert get(port, "/livez")[0] == 200
    own_server.restart()
    ready(port)


@pytest.mark.promise("P10")
def test_metrics_are_the_sum_of_all_children_dead_ones_included(
    start_crew: StartCrew, queue: RedisJobQueue, port: int
) -> None:
    crew = start_crew(ports=(port,))
    ready(port)
    for number in range(2):
        queue.enqueue("held", job_id=f"held{number}")
        crew.started(f"held{number}")
    assert len({words[1] for words in crew.notes("start")}) == 2  # each of them is to count a part
    (crew.folder / "go").touch()
    for number in range(10):
        queue.enqueue("sleep", {"seconds": 0.1}, job_id=f"a{number}")

    def processed(name: str = "sleep") -> float:
        text = get(port, "/metrics")[1]
        found = re.search(rf'^jobs_processed_total{{job_name="{name}",status="success"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0

    eventually(lambda: (processed(), processed("held")) == (10, 2))
    os.kill(crew.living[0], signal.SIGKILL)
    crew.noted("born", 3)
    queue.enqueue("sleep", {"seconds": 0}, job_id="b")
    eventually(lambda: processed() == 11)
    text = get(port, "/metrics")[1]
    assert 'jobs_duration_seconds_count{job_name="sleep"} 11.0' in text
    assert processed("held") == 2
    assert f'jobs_queue_up{{queue="{queue.name}"}} 1.0' in text
    assert f'jobs_queue_depth{{queue="{queue.name}"}} 0.0' in text
    for line in ("# TYPE jobs_processed_total counter", "# TYPE jobs_duration_seconds histogram"):
        assert text.count(line) == 1


def test_a_second_port_serves_the_same(start_crew: StartCrew, queue: RedisJobQueue, port: int) -> None:
    other = free_port()
    start_crew(ports=(port, other))
    ready(other)
    assert "jobs_queue_up" in get(port, "/metrics")[1]
