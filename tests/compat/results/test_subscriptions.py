"""Results that nobody reads cost nothing; what listens is given back."""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from svcjobs_celery_compat import Celery, exceptions, group
from svcjobs_celery_compat.backends.redis import backend as redis_backend
from svcjobs_celery_compat.result import ResultSet
from tests.compat.close_app import close_app
from tests.eventually import eventually
from tests.ports import free_port
from tests.servers import RedisServer

FULL = bool(os.environ.get("SVCJOBS_FULL"))
CALLS = 100_000 if FULL else 1_500


@pytest.fixture
def app(results_server: RedisServer) -> Iterator[Any]:
    app = Celery("proj", broker="memory://", backend=f"redis://127.0.0.1:{results_server.port}/3", set_as_current=False)

    def add(x: int, y: int) -> int:
        return x + y

    app.task(name="add", shared=False)(add)
    app.amqp.__dict__["send_task_message"] = lambda *args, **options: None
    app.backend.client.flushdb()
    yield app
    close_app(app)


@pytest.fixture
def client(results_server: RedisServer) -> Iterator[redis.Redis]:
    client = redis.Redis(port=results_server.port)
    yield client
    client.close()


def channels(client: redis.Redis) -> int:
    return len(client.pubsub_channels("celery-task-meta-*"))


@pytest.mark.scenario(30)
@pytest.mark.timeout(900 if FULL else 120)
def test_calls_that_nobody_reads(app: Any, client: redis.Redis) -> None:
    add, store = app.tasks["add"], app.backend.mark_as_done
    connections = []
    for number in range(CALLS):
        task_id = add.delay(number, 1).id
        store(task_id, number + 1)  # as a worker does
        if number in (CALLS // 3, CALLS - 1):
            connections.append(client.info("clients")["connected_clients"])
        if number == CALLS // 3:
            grown_from = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert connections[0] == connections[1]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from < 20_000  # KiB
    eventually(lambda: channels(client) == 0)
    assert not app.backend._pending_results.concrete
    assert not app.backend._pending_results.weak
    assert max(int(each["omem"]) for each in client.client_list()) < 1_000_000  # answers are read, though nobody waits
    stored = app.backend.client
    keys = stored.keys("celery-task-meta-*")
    assert len(keys) == CALLS
    assert all(stored.ttl(key) > 0 for key in keys[:: max(1, CALLS // 500)])


@pytest.mark.scenario(30)
def test_results_that_are_kept_and_not_read_have_few_subscriptions(
    app: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_backend, "SUBSCRIPTIONS_OF_CALLS", 10)
    results = [app.tasks["add"].delay(number, 1) for number in range(50)]
    eventually(lambda: channels(client) == 10)

    for number, result in enumerate(results):
        app.backend.mark_as_done(result.id, number)

    assert [result.get(timeout=5) for result in results] == list(range(50))
    eventually(lambda: channels(client) == 0)


@pytest.mark.parametrize("end", ["get", "forget", "drop"])
def test_a_subscription_is_given_back(app: Any, client: redis.Redis, end: str) -> None:
    result = app.tasks["add"].delay(1, 2)
    eventually(lambda: channels(client) == 1)
    app.backend.mark_as_done(result.id, 3)

    if end == "get":
        assert result.get(timeout=5) == 3
    elif end == "forget":
        result.forget()
    else:
        del result

    eventually(lambda: channels(client) == 0)


def test_a_wait_that_ends_early_is_given_back(app: Any, client: redis.Redis) -> None:
    result = app.AsyncResult("nobody runs it")
    with pytest.raises(result.TimeoutError):
        result.get(timeout=0.1)
    eventually(lambda: channels(client) == 1)
    del result
    gc.collect()  # the error has the frames that had it
    eventually(lambda: channels(client) == 0)


def test_a_group_that_nobody_reads_is_given_back(app: Any, client: redis.Redis) -> None:
    result = group(app.tasks["add"].s(number, 1) for number in range(3)).apply_async()
    eventually(lambda: channels(client) == 3)
    del result
    gc.collect()
    eventually(lambda: channels(client) == 0)


@pytest.mark.alone
@pytest.mark.scenario(14)
def test_a_call_is_not_held_up_by_a_result_server_that_is_away() -> None:
    app = Celery("proj", broker="memory://", backend=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    app.amqp.__dict__["send_task_message"] = lambda *args, **options: None
    started_at = time.monotonic()
    for _ in range(20):
        app.send_task("add")
    assert time.monotonic() - started_at < 2
    app.close()


@pytest.mark.alone
@pytest.mark.scenario(14)
def test_a_call_is_not_held_up_by_a_result_server_that_went_away(app: Any) -> None:
    app.send_task("add")
    consumer = app.backend.result_consumer
    consumer._pubsub.close()
    app.backend.client.connection_pool.disconnect()
    app.backend.client.connection_pool.connection_kwargs["port"] = free_port()
    started_at = time.monotonic()
    for _ in range(20):
        app.send_task("add")
    assert time.monotonic() - started_at < 2


def test_waits_of_several_threads_go_on_after_connections_were_lost(app: Any, client: redis.Redis) -> None:
    results = [app.AsyncResult(f"t{number}") for number in range(3)]
    for result in results:
        app.backend.add_pending_result(result)
    client.client_kill_filter(_type="pubsub")
    for number, result in enumerate(results):
        app.backend.mark_as_done(result.id, number)

    assert [result.get(timeout=10) for result in results] == [0, 1, 2]


def test_a_set_counts_each_of_its_results_once_however_often_it_is_told(app: Any) -> None:
    app.backend.mark_as_done("soon", 1)
    soon, late = (app.AsyncResult(name) for name in ("soon", "late"))
    assert soon.get(timeout=10) == 1
    results = ResultSet([soon, late])
    with pytest.raises(exceptions.TimeoutError):
        results.join(timeout=0.1)
    store = threading.Timer(0.3, app.backend.mark_as_done, ("late", 2))
    store.start()
    assert results.get(timeout=10) == [1, 2]
    store.join()
