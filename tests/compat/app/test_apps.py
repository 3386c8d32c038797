"""Apps: their pools, forks, pickles, and tasks that all of them have."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat import Celery, Task, shared_task
from svcjobs_celery_compat.exceptions import Retry
from tests.eventually import eventually
from tests.servers import RedisServer


@pytest.fixture
def prefix() -> str:
    return f"apps-{uuid.uuid4().hex}"


@pytest.fixture
def app(redis_server: RedisServer, prefix: str) -> Iterator[Celery]:
    with Celery(prefix, broker=redis_server.url, set_as_current=False, fixups=[]) as app:
        app.conf.broker_transport_options = {"prefix": prefix, "client_name": prefix}
        yield app


def names_sent(client: redis.Redis, prefix: str) -> list[str]:
    queue = RedisJobQueue(client, prefix=f"{prefix}:{{celery}}")
    jobs = queue.reserve_many(100)
    queue.close()
    return sorted(job.name for job in jobs)


def connections(client: redis.Redis, prefix: str) -> int:
    return sum(each["name"] == prefix for each in client.client_list())


def test_threads_share_the_pool(app: Celery, redis_client: redis.Redis, prefix: str) -> None:
    app.conf.broker_pool_limit = 2
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: app.send_task(f"task-{n:02}"), range(24)))
    assert names_sent(redis_client, prefix) == [f"task-{n:02}" for n in range(24)]


def test_an_exhausted_pool_says_what_to_set(app: Celery) -> None:
    app.conf.broker_pool_limit = 1
    app.conf.broker_pool_acquire_timeout = 0.05
    with app.producer_or_acquire(), pytest.raises(OperationalError, match="broker_pool_limit"):
        app.send_task("x")


def test_close_leaves_no_connection(app: Celery, redis_client: redis.Redis, prefix: str) -> None:
    app.send_task("x")
    assert connections(redis_client, prefix) > 0
    app.close()
    eventually(lambda: connections(redis_client, prefix) == 0, message="the server sees the connections end")


def test_a_closed_app_can_be_used_again(app: Celery, redis_client: redis.Redis, prefix: str) -> None:
    app.send_task("one")
    app.close()
    app.send_task("two")
    assert names_sent(redis_client, prefix) == ["one", "two"]


def test_a_forked_process_has_connections_of_its_own(app: Celery, redis_client: redis.Redis, prefix: str) -> None:
    app.send_task("before")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            app.send_task("in the child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    app.send_task("after")
    assert names_sent(redis_client, prefix) == ["after", "before", "in the child"]


def test_an_app_goes_through_a_pickle() -> None:
    app = Celery("pickled", broker="memory://", set_as_current=False, fixups=[], task_default_queue="of-mine")
    app.conf.timezone = "Europe/Berlin"
    copy = pickle.loads(pickle.dumps(app))
    assert copy.main == "pickled"
    assert copy.conf.broker_url == "memory://"
    assert copy.conf.task_default_queue == "of-mine"
    assert str(copy.timezone) == "Europe/Berlin"


def test_a_task_goes_through_a_pickle_by_its_name() -> None:
    with Celery("named", broker="memory://", fixups=[]) as app:

        @app.task(shared=False)
        def of_pickle() -> int:
            return 1

        assert pickle.loads(pickle.dumps(of_pickle)) is app.tasks[of_pickle.name]


def test_a_shared_task_is_that_of_the_current_app() -> None:
    name = f"shared-{uuid.uuid4().hex}"

    @shared_task(name=name)
    def of_all() -> int:
        return 1

    with Celery("one", broker="memory://", fixups=[]) as one:
        assert of_all.app is one
        with Celery("two", broker="memory://", fixups=[]) as two:
            assert of_all.app is two
            assert one.tasks[name] is not two.tasks[name]


def test_what_a_subclass_of_task_adds() -> None:
    class Counting(Task[..., Any]):
        calls = 0

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            type(self).calls += 1
            return super().__call__(*args, **kwargs)

    app = Celery("counting", broker="memory://", set_as_current=False, fixups=[], task_cls=Counting)

    @app.task(shared=False)
    def one() -> int:
        return 1

    assert one.apply().get() == 1
    assert one() == 1
    assert type(one._get_current_object()).calls == 2  # type: ignore[attr-defined]  # tasks are proxies


def test_the_limit_of_one_run_s_retries_is_not_that_of_the_next() -> None:
    app = Celery("limits", broker="memory://", set_as_current=False, fixups=[])

    @app.task(bind=True, shared=False, autoretry_for=(ValueError,), max_retries=7, default_retry_delay=0)
    def changing(self: Any, first: bool) -> int:
        if first:
            raise self.retry(exc=ValueError("once"), max_retries=0)
        raise ValueError("again")

    with pytest.raises(ValueError, match="once"):
        changing.apply((True,)).get()
    changing.push_request(args=(False,), kwargs={}, called_directly=False, is_eager=True, retries=3, id="x")
    with pytest.raises(Retry):
        changing.run(False)
    changing.pop_request()
