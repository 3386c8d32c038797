"""``memory://``: the queues of the process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection as PlainConnection
from kombu import Exchange, Queue

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.transport.memory import BROKER


@pytest.fixture
def name() -> Iterator[str]:
    name = f"memory-{uuid.uuid4().hex}"
    yield name
    BROKER.queue(name).purge()


@pytest.fixture
def app(name: str) -> Iterator[Celery]:
    with Celery("memory", broker="memory://", set_as_current=False, fixups=[]) as app:
        app.conf.task_default_queue = name
        yield app


def test_a_task_is_a_job_that_an_engine_worker_can_take(app: Celery, name: str) -> None:
    result = app.send_task("proj.add", (1,), {"y": 2})
    queue = BROKER.queue(name)
    job = queue.reserve_next()
    assert job is not None
    assert job.name == "proj.add"
    assert (job.payload["args"], job.payload["kwargs"]) == ([1], {"y": 2})
    assert job.payload["_kombu"]["headers"]["id"] == result.id
    queue.ack(job)


def test_connections_of_the_process_share_the_queues(app: Celery, name: str) -> None:
    app.send_task("proj.add", (1,))
    with Celery("other", broker="memory://", set_as_current=False, fixups=[]).connection() as connection:
        message = Queue(name, channel=connection.default_channel).get()
        assert message.headers["task"] == "proj.add"
        message.ack()
    assert BROKER.queue(name).stats().in_flight == 0


def test_kombu_s_own_memory_transport_is_another_one(app: Celery, name: str) -> None:
    app.send_task("proj.add", (1,))
    with PlainConnection("memory://") as connection:
        assert Queue(name, channel=connection.default_channel).get() is None


def test_a_countdown_waits_in_the_queue(app: Celery, name: str) -> None:
    app.send_task("later", countdown=60)
    stats = BROKER.queue(name).stats()
    assert (stats.ready, stats.delayed) == (0, 1)


def test_get_hands_out_what_waits_as_kombu_s_does(app: Celery, name: str) -> None:
    app.send_task("later", countdown=60)
    with app.connection() as connection:
        message = Queue(name, channel=connection.default_channel).get(no_ack=True)
        assert message.headers["task"] == "later"
    stats = BROKER.queue(name).stats()
    assert (stats.ready, stats.delayed, stats.in_flight) == (0, 0, 0)


@pytest.mark.parametrize(
    ("settle", "left"),
    [
        (lambda message: message.ack(), (0, 0, 0)),
        (lambda message: message.reject(), (0, 0, 1)),
        (lambda message: message.requeue(), (1, 0, 0)),
        (lambda message: None, (1, 0, 0)),
    ],
    ids=["ack", "reject", "requeue", "connection closed"],
)
def test_what_becomes_of_a_message(app: Celery, name: str, settle: Any, left: tuple[int, int, int]) -> None:
    app.send_task("x")
    with app.connection() as connection:
        settle(Queue(name, channel=connection.default_channel).get())
    queue = BROKER.queue(name)
    stats = queue.stats()
    assert (stats.ready, stats.in_flight, stats.dead) == left
    queue.purge_dead()


def test_consumers_that_do_not_ack_leave_nothing_behind(app: Celery, name: str) -> None:
    app.send_task("x")
    seen: list[Any] = []
    with app.connection() as connection:
        queue = Queue(name, channel=connection.default_channel)
        with connection.Consumer(queue, no_ack=True, on_message=seen.append):
            connection.drain_events(timeout=2)
    assert [message.headers["task"] for message in seen] == ["x"]
    assert BROKER.queue(name).stats().in_flight == 0


def test_a_fanout_exchange_reaches_all_its_queues(app: Celery, name: str) -> None:
    exchange = Exchange(f"{name}.all", type="fanout")
    with app.connection() as connection:
        queues = [Queue(f"{name}.{n}", exchange, channel=connection.default_channel) for n in range(2)]
        for queue in queues:
            queue.declare()
        connection.Producer(exchange=exchange).publish({"hello": 1})
        assert [queue.get(no_ack=True).payload for queue in queues] == [{"hello": 1}] * 2
        for queue in queues:
            queue.delete()


def test_priorities(app: Celery, name: str) -> None:
    for priority in (9, 0, 5):
        app.send_task("x", (priority,), priority=priority)
    with app.connection() as connection:
        queue = Queue(name, channel=connection.default_channel)
        assert [queue.get(no_ack=True).payload[0][0] for _ in range(3)] == [0, 5, 9]


def test_purge_counts(app: Celery, name: str) -> None:
    app.send_task("x")
    app.send_task("y", countdown=60)
    with app.connection() as connection:
        assert Queue(name, channel=connection.default_channel).purge() == 2
