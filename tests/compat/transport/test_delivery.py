"""Acks, rejects, requeues, leases and delays, as kombu's users see them and as they lie in Redis."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

import kombu
import pytest
import redis

from svcjobs_celery_compat.transport import acks as acks_module
from tests.compat.transport.kombu_client import OpenConnection, consuming, get, send
from tests.eventually import eventually
from tests.servers import RedisServer


def test_an_ack_removes_the_message(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, "a")
    message = get(connection)
    assert message.payload == "a"
    assert stored().stats().in_flight == 1
    message.ack()
    assert stored().stats().in_flight == 0
    assert stored().stats().totals["acked"] == 1


def test_a_delivery_tag_names_the_lease(opened: OpenConnection, stored: Any, redis_client: redis.Redis) -> None:
    connection = opened()
    send(connection, "a")
    message = get(connection)
    prefix, job_id, lease = message.delivery_tag.rsplit(":", 2)
    assert prefix == stored().name
    assert redis_client.hget(f"{prefix}:job:{job_id}", "lease") == lease.encode()


def test_a_rejected_message_is_a_dead_letter(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, {"a": 1})
    get(connection).reject()
    (dead,) = stored().dead()
    assert dead.reason == "rejected"
    assert "_kombu" in dead.payload
    stored().requeue(dead.id)
    assert get(connection).payload == {"a": 1}


def test_rejected_messages_can_be_dropped(opened: OpenConnection, stored: Any) -> None:
    connection = opened(dead_letter_rejected=False)
    send(connection, "a")
    get(connection).reject()
    assert stored().stats().dead == 0
    assert get(connection) is None


def test_a_requeued_message_goes_to_the_back_and_counts(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, "a", "b")
    first = get(connection)
    assert "redelivered" not in first.delivery_info
    first.requeue()
    assert get(connection).payload == "b"
    again = get(connection)
    assert again.payload == "a"
    assert again.delivery_info["redelivered"] is True
    assert again.headers["redelivered"] is True


@pytest.mark.parametrize(("switch", "dead"), [(True, ["exhausted"]), (False, [])])
def test_a_message_that_is_requeued_for_ever_ends(opened: OpenConnection, stored: Any, switch: bool, dead: Any) -> None:
    connection = opened(max_attempts=3, dead_letter_exhausted=switch)
    send(connection, "poison", "next")
    for _ in range(3):
        with consuming(connection, prefetch_count=1) as got:
            connection.drain_events(timeout=2)
            if got[0].payload == "next":
                got.pop().ack()
                connection.drain_events(timeout=2)
            got[0].requeue()
    assert get(connection) is None
    assert [job.reason for job in stored().dead()] == dead


def test_twenty_deliveries_are_the_default(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, "a")
    for _ in range(20):
        get(connection).requeue()
    assert get(connection) is None
    assert stored().stats().dead == 1


def test_what_is_unacked_at_close_goes_to_the_front_uncharged(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, *range(5))
    with consuming(connection, prefetch_count=3) as got:
        for _ in range(3):
            connection.drain_events(timeout=2)
        got[1].ack()
        connection.release()
    stats = stored().stats()
    assert (stats.ready, stats.in_flight) == (4, 0)
    other = opened()
    messages = [get(other) for _ in range(4)]
    assert [message.payload for message in messages] == [0, 2, 3, 4]
    assert not any("redelivered" in message.delivery_info for message in messages)


def test_a_cancelled_consumer_keeps_what_it_was_handed_and_nothing_else(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, *range(5))
    with consuming(connection, prefetch_count=4) as got:
        connection.drain_events(timeout=2)
        assert stored().stats().in_flight == 4
    assert [message.payload for message in got] == [0]
    assert stored().stats().in_flight == 1
    assert get(opened()).payload == 1


def test_prefetch_limits_what_is_leased(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, *range(10))
    with consuming(connection, prefetch_count=2) as got:
        for _ in range(2):
            connection.drain_events(timeout=2)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.2)
        assert stored().stats().in_flight == 2
        got[0].ack()
        connection.drain_events(timeout=2)
    assert [message.payload for message in got] == [0, 1, 2]


def test_a_consumer_without_acks_has_settled_before_it_sees_the_message(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, "a", "b")
    with consuming(connection, no_ack=True) as got:
        connection.drain_events(timeout=2)
    assert get(connection, no_ack=True).payload == "b"
    assert [message.payload for message in got] == ["a"]
    assert stored().stats().totals["acked"] == 2


def test_a_consumer_without_acks_loses_nothing_that_it_was_not_handed(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, *range(20))
    with consuming(connection, no_ack=True) as got:
        while len(got) < 4:
            connection.drain_events(timeout=5)
    assert stored().stats().ready == 16
    assert [get(connection).payload for _ in range(16)] == list(range(4, 20))


def test_two_channels_of_a_connection_consume_one_queue_and_one_goes_on(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    got: dict[str, list[Any]] = {"a": [], "b": []}
    channels = {name: connection.channel() for name in got}
    for name, channel in channels.items():
        consumer = kombu.Consumer(channel, kombu.Queue("q"), on_message=got[name].append, no_ack=True)
        consumer.consume()
    channels["b"].close()
    send(opened(), "x")
    while not got["a"]:
        connection.drain_events(timeout=5)
    assert [message.payload for message in got["a"]] == ["x"]
    assert got["b"] == []
    assert stored().stats().dead == 0


def test_a_lease_lasts_as_long_as_its_consumer_lives(opened: OpenConnection, stored: Any) -> None:
    connection = opened(visibility_timeout=3)
    send(connection, "a")
    message = get(connection)
    other = opened(visibility_timeout=3)
    end = time.monotonic() + 7
    while time.monotonic() < end:
        assert get(other) is None
    message.ack()
    assert stored().stats().totals["reclaimed"] == 0


def test_a_settled_message_isnt_kept(opened: OpenConnection) -> None:
    connection = opened(visibility_timeout=0.3)
    send(connection, "a")
    before = set(threading.enumerate())
    message = get(connection)
    (keeping,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "svcjobs-leases")
    message.ack()
    eventually(lambda: not keeping.is_alive())


def test_an_ack_that_comes_too_late_changes_nothing(opened: OpenConnection, stored: Any) -> None:
    connection = opened(visibility_timeout=0.3)
    send(connection, "a")
    late = get(connection)
    connection.transport.keeper.close()  # as if the process had been stopped
    other = opened(visibility_timeout=5)
    again = eventually(lambda: get(other))
    late.ack()
    assert stored().stats().in_flight == 1
    again.ack()
    assert stored().stats().totals["stale"] == 1


def test_a_forked_child_keeps_no_leases_and_sends_no_acks(
    opened: OpenConnection, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks_module, "IDLE_SECONDS", 10.0)  # the thread is there while it is looked at
    connection = opened(visibility_timeout=0.3)
    send(connection, 1, 2, 3)
    keeper, acks = connection.transport.keeper, connection.transport.acks
    with consuming(connection, prefetch_count=3) as got:
        for _ in range(3):
            connection.drain_events(timeout=2)
        got[0].ack()
        assert acks._thread
        pid = os.fork()
        if pid == 0:
            os._exit(1 if keeper._held or keeper._thread or acks._pending or acks._thread else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert keeper._held
        eventually(lambda: stored().stats().totals["acked"] == 1)


def test_an_eta_waits_in_redis(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    now = int(time.time())
    far, soon = (time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now + seconds)) for seconds in (600, 2))
    send(connection, "far", headers={"eta": far})
    assert get(connection) is None
    assert stored().stats().delayed == 1
    send(connection, "soon", headers={"eta": soon})
    with consuming(connection) as got:
        connection.drain_events(timeout=20)
        assert time.time() >= now + 2
    assert got[0].payload == "soon"


@pytest.mark.parametrize(
    "far", [{"headers": {"eta": "9999-12-31T00:00:00"}}, {"expiration": 1e12}], ids=["eta", "expiration"]
)
def test_a_time_that_is_too_far_is_as_far_as_can_be(opened: OpenConnection, stored: Any, far: dict[str, Any]) -> None:
    send(opened(), "a", **far)
    stats = stored().stats()
    assert stats.ready + stats.delayed == 1


@pytest.mark.alone
def test_a_waiting_consumer_gets_a_message_at_once(opened: OpenConnection) -> None:
    connection, producer = opened(), opened()
    send(producer, "warm")
    get(producer).ack()
    with consuming(connection) as got:
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.3)
        sent_at: list[float] = []

        def publish() -> None:
            send(producer, "a")
            sent_at.append(time.monotonic())

        sender = threading.Timer(0.3, publish)
        sender.start()
        connection.drain_events(timeout=5)
        sender.join()
        assert time.monotonic() - sent_at[0] < 0.5
    assert [message.payload for message in got] == ["a"]


def test_a_waiting_consumer_sends_little(opened: OpenConnection, redis_client: redis.Redis) -> None:
    connection = opened()
    with consuming(connection):
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.2)
        before = redis_client.info("stats")["total_commands_processed"]
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=4)
        scripts_and_pops = redis_client.info("stats")["total_commands_processed"] - before
    assert scripts_and_pops < 80  # a reserve counts some 15 commands inside its script


@pytest.mark.alone
def test_a_closed_consumers_wake_up_goes_to_another(opened: OpenConnection) -> None:
    leaving, staying, producer = opened(), opened(), opened()
    with consuming(staying) as got:
        with consuming(leaving):
            for connection in (leaving, staying):  # both wait, the leaving one longest
                with pytest.raises(socket.timeout):
                    connection.drain_events(timeout=0.1)
            send(producer, "a")
        began = time.monotonic()
        staying.drain_events(timeout=5)
        assert time.monotonic() - began < 1
    assert [message.payload for message in got] == ["a"]


@pytest.mark.alone
def test_a_full_consumers_wake_up_goes_to_another(opened: OpenConnection) -> None:
    full, free, producer = opened(), opened(), opened()
    send(producer, "other", queue="other")
    with consuming(full, prefetch_count=1), consuming(free) as got:
        for connection in (full, free):  # both wait, the one that will be full longest
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
        held = get(full, "other")
        send(producer, "a")
        with pytest.raises(TimeoutError):
            full.drain_events(timeout=0.1)
        began = time.monotonic()
        free.drain_events(timeout=5)
        assert time.monotonic() - began < 1
        held.ack()
    assert [message.payload for message in got] == ["a"]


def test_a_consumer_that_asks_before_each_message_gets_one_at_a_time(opened: OpenConnection, stored: Any) -> None:
    connection = opened()
    send(connection, 1, 2, 3)
    with consuming(connection, prefetch_count=3):
        connection.default_channel.qos.can_consume = lambda: True  # as Celery's worker_disable_prefetch does
        connection.drain_events(timeout=2)
        assert stored().stats().in_flight == 1


@pytest.mark.alone
def test_acks_of_a_batch_are_sent_together_and_soon(
    opened: OpenConnection, stored: Any, redis_client: redis.Redis
) -> None:
    connection = opened()
    send(connection, *range(20))
    redis_client.config_resetstat()
    with consuming(connection, prefetch_count=20) as got:
        for number in range(20):
            connection.drain_events(timeout=2)
            got[number].ack()
        eventually(lambda: stored().stats().totals["acked"] == 20, 1)  # nobody has to drain for that
        scripts = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert scripts < 20


@pytest.mark.parametrize("closes", ["channel", "connection"])
def test_acks_are_sent_before_a_close_returns(opened: OpenConnection, stored: Any, closes: str) -> None:
    connection = opened()
    send(connection, *range(5))
    consumer = connection.Consumer(kombu.Queue("q"), on_message=(got := []).append, prefetch_count=5)
    consumer.consume()
    while len(got) < 5:
        connection.drain_events(timeout=2)
    for message in got:
        message.ack()
    (consumer.channel if closes == "channel" else connection).close()
    stats = stored().stats()  # the process may be gone a moment later
    assert (stats.in_flight, stats.totals["acked"]) == (0, 5)


def test_acks_that_wait_are_sent_when_the_server_is_back(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"socket_timeout": 0.2}
    connection = kombu.Connection(f"svcjobs://127.0.0.1:{own_server.port}", transport_options=options)
    send(connection, 1, 2, 3)
    with consuming(connection, prefetch_count=3) as got:
        for _ in range(3):
            connection.drain_events(timeout=2)
        own_server.kill()
        got[0].ack()
        got[1].ack()
        eventually(lambda: "2 acks wait for the server" in caplog.text, 20)
        own_server.restart()
        client = own_server.client()
        eventually(lambda: client.hget("jobs:{q}:counters", "acked") == b"2")
    connection.release()
    assert client.llen("jobs:{q}:ready") == 1
