"""A worker in the user's own process ends when it is told to, however many queues it has."""

from __future__ import annotations

import threading

import pytest
from kombu import Queue

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.contrib.testing.worker import start_worker
from tests.servers import RedisServer


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three")])
def test_a_worker_with_several_queues_ends_with_the_threads_that_wait_for_them(
    names: tuple[str, ...], own_server: RedisServer
) -> None:
    app = Celery("ends", broker=own_server.url, backend=own_server.url, set_as_current=False)
    app.conf.update(task_queues=[Queue(name) for name in names], task_default_queue=names[0])

    @app.task(shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    before = set(threading.enumerate())
    try:
        with start_worker(app, perform_ping_check=False, shutdown_timeout=30.0):
            for name in names:
                assert add.apply_async((1, 2), queue=name).get(timeout=20) == 3
    finally:
        app.close()
    waiting = {"svcjobs-io", "svcjobs-watch"} | {f"svcjobs-wait-{name}" for name in names}
    assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith(tuple(waiting))]
