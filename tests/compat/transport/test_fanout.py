"""Fanout and topic exchanges over several connections."""

from __future__ import annotations

import threading
from typing import Any

import kombu
import pytest
import redis
from kombu.pidbox import Mailbox

from svcjobs_celery_compat.transport import fanout
from tests.eventually import eventually

FAN = kombu.Exchange("fan", type="fanout")


def listen(connection: kombu.Connection, name: str, key: str = "") -> tuple[Any, list[Any]]:
    got: list[Any] = []
    consumer = connection.Consumer(
        kombu.Queue(name, FAN, routing_key=key), callbacks=[lambda body, _: got.append(body)], no_ack=True
    )
    consumer.consume()
    return consumer, got


def drain(connection: kombu.Connection, timeout: float = 0.3) -> None:
    try:
        while True:
            connection.drain_events(timeout=timeout)
    except TimeoutError:
        pass


def hear(connection: kombu.Connection, got: list[Any], count: int) -> None:
    """Drain until so much was heard, and a moment longer: there may be more."""

    def heard() -> bool:
        drain(connection)
        return len(got) >= count

    eventually(heard)


def test_every_queue_gets_a_copy(opened: Any) -> None:
    first, second, producer = opened(), opened(), opened()
    heard = [listen(first, "a")[1], listen(first, "b")[1], listen(second, "c")[1]]
    with producer.Producer(exchange=FAN) as sender:
        sender.publish("hello", declare=[FAN], routing_key="any")
        sender.publish("world", declare=[FAN])
    for connection, got in zip((first, first, second), heard, strict=True):
        hear(connection, got, 2)
    assert heard == [["hello", "world"]] * 3


def test_a_queue_hears_what_was_sent_after_it_was_bound_and_before_it_was_consumed(opened: Any) -> None:
    connection, producer = opened(), opened()
    with producer.Producer(exchange=FAN) as sender:
        sender.publish("before", declare=[FAN])
        kombu.Queue("a", FAN)(connection.default_channel).declare()
        sender.publish("after")
    _, got = listen(connection, "a")
    hear(connection, got, 1)
    assert got == ["after"]


@pytest.mark.parametrize(
    ("patterns", "heard"), [(True, ["worker.online"]), (False, ["worker.online", "task.sent"])], ids=str
)
def test_a_binding_key_narrows_unless_that_is_switched_off(opened: Any, patterns: bool, heard: list[str]) -> None:
    connection, producer = opened(fanout_patterns=patterns), opened(fanout_patterns=patterns)
    _, got = listen(connection, "a", "worker.#")
    with producer.Producer(exchange=FAN) as sender:
        for key in ("worker.online", "task.sent"):
            sender.publish(key, declare=[FAN], routing_key=key)
    hear(connection, got, len(heard))
    assert got == heard


def test_nothing_is_missed_when_the_connection_is_cut(opened: Any, redis_client: redis.Redis) -> None:
    connection, producer = opened(), opened()
    _, got = listen(connection, "a")
    drain(connection, 0.1)
    with producer.Producer(exchange=FAN) as sender:
        sender.publish(1, declare=[FAN])
        hear(connection, got, 1)
        redis_client.client_kill_filter(_type="normal", skipme=True)
        sender.publish(2)
        hear(connection, got, 2)
    assert got == [1, 2]


def test_an_exchange_keeps_so_many_messages(
    opened: Any, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "MOST_ENTRIES", 100)
    with opened().Producer(exchange=FAN) as sender:
        for number in range(500):
            sender.publish(number, declare=[FAN])
    (stream,) = redis_client.keys(f"{prefix}*kombu:fanout*")
    assert 100 <= redis_client.xlen(stream) < 300


def test_an_exchange_goes_a_day_after_its_last_message(
    opened: Any, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_seconds = 24 * 3600
    with opened().Producer(exchange=FAN) as sender:
        sender.publish(1, declare=[FAN])
        (stream,) = redis_client.keys(f"{prefix}*kombu:fanout*")
        assert redis_client.ttl(stream) > day_seconds

        redis_client.expire(stream, day_seconds)  # within the hour, it isn't put off again
        sender.publish(2, declare=[FAN])
        assert redis_client.ttl(stream) <= day_seconds

        monkeypatch.setattr(fanout, "PUT_OFF_SECONDS", 0)
        with opened().Producer(exchange=FAN) as other:
            for number in range(2):
                redis_client.expire(stream, 100)
                other.publish(number, declare=[FAN])
                assert redis_client.ttl(stream) > 100


def test_a_queue_for_one_connection_goes_with_it(opened: Any, redis_client: redis.Redis, prefix: str) -> None:
    connection = opened()
    kombu.Queue("own", FAN, auto_delete=True)(connection.default_channel).declare()
    assert redis_client.exists(f"{prefix}-jobs:{{own}}:declared")
    connection.release()
    assert not redis_client.exists(f"{prefix}-jobs:{{own}}:declared")


def test_a_queue_is_bound_and_unbound_while_it_is_consumed(opened: Any) -> None:
    connection, producer = opened(), opened()
    got: list[Any] = []
    channel = connection.default_channel
    FAN(channel).declare()
    queue = kombu.Queue("a")(channel)
    sender = producer.Producer(exchange=FAN)
    with connection.Consumer(queue, callbacks=[lambda body, _: got.append(body)], no_ack=True):
        drain(connection, 0.1)
        sender.publish("before", declare=[FAN])
        queue.bind_to(FAN)
        drain(connection, 0.1)
        sender.publish("bound")
        hear(connection, got, 1)
        queue.unbind_from(FAN)
        sender.publish("after")
        drain(connection)
    assert got == ["bound"]


def test_a_deleted_queue_is_bound_no_more(opened: Any) -> None:
    topic = kombu.Exchange("topic", type="topic")
    channel = opened().default_channel
    bound = kombu.Queue("gone", topic, routing_key="a.*")(channel)
    bound.declare()
    assert len(channel.get_table("topic")) == 1
    bound.delete()
    assert channel.get_table("topic") == []


def test_a_cancelled_queue_hears_no_more(opened: Any) -> None:
    connection, producer = opened(), opened()
    consumer, got = listen(connection, "a")
    consumer.cancel()
    _, other = listen(connection, "b")
    with producer.Producer(exchange=FAN) as sender:
        sender.publish("hello", declare=[FAN])
    hear(connection, other, 1)
    assert got == []
    assert other == ["hello"]


@pytest.mark.skipif(not hasattr(kombu.Producer, "batch"), reason="batches are new in kombu 5.7")
def test_a_batch_sends_broadcasts_and_messages_when_it_is_flushed(opened: Any) -> None:
    connection, producer = opened(), opened()
    _, got = listen(connection, "a")
    sender = producer.Producer()
    queue = kombu.Queue("q")
    with sender.batch() as batch:
        sender.publish("hello", exchange=FAN, declare=[FAN])
        sender.publish("task", routing_key="q", declare=[queue])
        drain(connection)
        assert got == []
        assert queue(producer.default_channel).get() is None
        batch.flush()
        hear(connection, got, 1)
    assert got == ["hello"]
    assert queue(producer.default_channel).get().payload == "task"


def test_remote_control_is_answered(opened: Any) -> None:
    mailbox = Mailbox("box", accept=["json"])
    worker, client = opened(), opened()
    node = mailbox(worker).Node("worker1", channel=worker.default_channel)
    node.handlers["ping"] = lambda state, **arguments: {"ok": "pong"}
    node.listen()
    box = mailbox(client)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            drain(worker, 0.05)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert box.call(["worker1"], "ping", timeout=20) == [{"worker1": {"ok": "pong"}}]
        assert box.multi_call("ping", timeout=20, limit=1) == [{"worker1": {"ok": "pong"}}]
    finally:
        stop.set()
        thread.join()


def test_topic_bindings_are_seen_by_other_connections(opened: Any) -> None:
    topic = kombu.Exchange("topic", type="topic")
    owner, producer = opened(), opened()
    bound = [kombu.Queue("star", topic, routing_key="a.*"), kombu.Queue("all", topic, routing_key="#")]
    for queue in bound:
        queue(owner.default_channel).declare()
    with producer.Producer(exchange=topic) as sender:
        sender.publish("ab", routing_key="a.b", declare=[topic])
        sender.publish("x", routing_key="x")
    star, everything = (queue(owner.default_channel) for queue in bound)
    assert star.get().payload == "ab"
    assert star.get() is None
    assert {everything.get().payload, everything.get().payload} == {"ab", "x"}
    star.unbind_from(topic, "a.*")
    with producer.Producer(exchange=topic) as sender:
        sender.publish("ac", routing_key="a.c", declare=[topic])
    assert star.get() is None
    assert everything.get().payload == "ac"


def test_a_queue_bound_to_two_exchanges_hears_both(opened: Any) -> None:
    connection, producer = opened(), opened()
    one, other = (kombu.Exchange(name, type="fanout") for name in ("one", "other"))
    got: list[Any] = []
    queue = kombu.Queue("a", [kombu.binding(one), kombu.binding(other)], auto_delete=True)
    with connection.Consumer(queue, callbacks=[lambda body, _: got.append(body)], no_ack=True):
        for number, exchange in enumerate((one, other, one)):
            producer.Producer(exchange=exchange).publish(number, declare=[exchange])
        hear(connection, got, 3)
        assert sorted(got) == [0, 1, 2]
        queue(connection.default_channel).unbind_from(one)
        producer.Producer(exchange=one).publish("gone")
        producer.Producer(exchange=other).publish("heard")
        hear(connection, got, 4)
        assert sorted(got, key=str) == [0, 1, 2, "heard"]
