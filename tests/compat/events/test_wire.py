"""Events lie on the wire as Celery puts them there, and what Celery sent is understood."""

from __future__ import annotations

import json
import pickle
import random
import threading
from typing import Any

import celery
import celery.events.state
import pytest
from kombu import Connection

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.events.state import State
from tests.eventually import eventually
from tests.servers import RedisServer

OF_THE_MOMENT = ("timestamp", "pid", "clock", "local_received")


def apps(**settings: Any) -> tuple[Any, Any]:
    """Celery's app and ours, with the same settings."""
    made = []
    for cls in (celery.Celery, Celery):
        app = cls("wire", set_as_current=False, broker="memory://")
        app.conf.update(settings)
        made.append(app)
    return made[0], made[1]


def published(app: Any, send: Any, **options: Any) -> list[dict[str, Any]]:
    """What a dispatcher publishes, without what differs from moment to moment."""
    messages: list[dict[str, Any]] = []

    class Producer:
        def publish(self, body: Any, **how: Any) -> None:
            how["declare"] = [(exchange.name, exchange.type) for exchange in how["declare"]]
            events = body if isinstance(body, list) else [body]
            assert all(list(event) == sorted(event, key=list(event).index) for event in events)
            kept = [{key: value for key, value in event.items() if key not in OF_THE_MOMENT} for event in events]
            messages.append({"body": kept if isinstance(body, list) else kept[0], **how})

    with Connection("memory://") as connection:
        dispatcher = app.events.Dispatcher(connection, hostname="w@host", **options)
        dispatcher.producer = Producer()
        send(dispatcher)
    return messages


@pytest.mark.parametrize(
    "options",
    [{}, {"buffer_group": {"task"}, "buffer_limit": 2}, {"groups": {"worker"}}, {"delivery_mode": 2}],
    ids=str,
)
def test_a_dispatcher_publishes_what_celerys_does(options: dict[str, Any]) -> None:
    def send(dispatcher: Any) -> None:
        dispatcher.send("worker-online", freq=2.0, sw_ident="x")
        dispatcher.send("task-received", uuid="1", name="t", args="()", kwargs="{}")
        dispatcher.send("task-started", uuid="1", retry=True, retry_policy={"max_retries": 3})
        dispatcher.send("custom-my-event", blind=True, x=[1, {"y": 2}])
        dispatcher.publish("task-sent", {"uuid": "2", "queue": "q"}, dispatcher.producer)
        dispatcher.flush()

    theirs, ours = (published(app, send, **options) for app in apps(event_exchange="ev"))
    assert ours == theirs
    assert ours


def test_receivers_declare_the_same_queue_and_read_the_same_event() -> None:
    settings = {"event_queue_ttl": 7.0, "event_queue_expires": 9.0, "event_queue_prefix": "mine"}
    bodies = [
        {"type": "task-sent", "timestamp": 100.0, "utcoffset": -1, "hostname": "h"},
        {"type": "task-received", "timestamp": 100.0, "utcoffset": 3, "clock": 9},
        {"type": "worker-online"},
    ]
    answers = []
    for app in apps(**settings):
        with Connection("memory://") as connection:
            receiver = app.events.Receiver(connection, node_id="n")
            read = [receiver.event_from_message(json.loads(json.dumps(body)), now=lambda: 5.0) for body in bodies]
            queue = {key: value for key, value in receiver.queue.as_dict(recurse=True).items() if key != "channel"}
            answers.append((read, queue, receiver.accept))
    assert answers[0] == answers[1]


def test_states_are_told_the_same_story() -> None:
    draw = random.Random(1)
    kinds = ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "mine")
    theirs, ours = celery.events.state.State(), State()
    for clock in range(800):
        at = 1.7e9 + clock
        event = {"hostname": f"w{draw.randint(1, 3)}", "timestamp": at, "local_received": at, "clock": clock, "pid": 1}
        if draw.random() < 0.2:
            event |= {"type": f"worker-{draw.choice(['online', 'heartbeat', 'offline'])}", "freq": 2.0}
        else:
            number = draw.randint(1, 60)
            event |= {
                "type": f"task-{draw.choice(kinds)}", "uuid": str(number), "name": f"t{number % 5}",
                "parent_id": str(number // 2) if number > 1 else None, "root_id": "1", "result": draw.random(),
            }  # fmt: skip
        told = [state.event(dict(event)) for state in (theirs, ours)]
        assert (told[0][0][1], told[0][1]) == (told[1][0][1], told[1][1])
    for uuid, task in theirs.tasks.items():
        other = ours.tasks[uuid]
        left, right = task.as_dict(), other.as_dict()
        assert left.pop("worker") is None or task.worker.hostname == other.worker.hostname
        right.pop("worker")
        assert sorted(left.pop("children")) == sorted(right.pop("children"))
        assert left == right
    assert [uuid for uuid, _ in theirs.tasks_by_time()] == [uuid for uuid, _ in ours.tasks_by_time()]
    assert theirs.task_types() == ours.task_types()
    assert {name: worker.heartbeats for name, worker in theirs.workers.items()} == {
        name: worker.heartbeats for name, worker in ours.workers.items()
    }
    again = pickle.loads(pickle.dumps(ours))
    assert [uuid for uuid, _ in again.tasks_by_time()]
    assert again.tasks["2"].parent is again.tasks["1"]


@pytest.mark.server
@pytest.mark.parametrize(("sender", "receiver"), [(0, 1), (1, 0), (1, 1)], ids=["from Celery", "to Celery", "ours"])
def test_events_pass_between_celery_and_us(redis_server: RedisServer, prefix: str, sender: int, receiver: int) -> None:
    url = redis_server.url.replace("redis://", "svcjobs://")
    both = apps(broker_url=url, broker_transport_options={"prefix": prefix})
    received: list[dict[str, Any]] = []
    with both[receiver].connection_for_read() as reading, both[sender].connection_for_write() as writing:
        watching = both[receiver].events.Receiver(reading, handlers={"*": received.append})
        thread = threading.Thread(target=watching.capture, kwargs={"wakeup": False})
        thread.start()
        with both[sender].events.Dispatcher(writing, hostname="w@host") as dispatcher:

            def told() -> bool:
                dispatcher.send("task-received", uuid="1", name="t")
                return bool(received)

            eventually(told, timeout=20)
        watching.should_stop = True
        thread.join()
    assert received[0]["type"] == "task-received"
    assert received[0]["hostname"] == "w@host"
