"""On the way back to RabbitMQ a message lies on a stage: each step of a bridge may be its last, and several overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from amqp.exceptions import ChannelError, NotFound

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat.bridge import amqp_receiver
from svcjobs_celery_compat.bridge.amqp_receiver import AmqpReceiver, stage_of
from svcjobs_celery_compat.bridge.broker import BrokerUnavailable
from svcjobs_celery_compat.bridge.returning import Held, Returning, Stay
from tests.compat.bridge.brokers import OldBroker, rabbitmq_queue
from tests.compat.bridge.conftest import StartBridge
from tests.compat.bridge.traffic import drained, received, send
from tests.servers import RedisServer

COUNT = 7


class Bridge:
    """One on the way back, step by step."""

    def __init__(self, old: OldBroker, server: RedisServer) -> None:
        self.returning = Returning(server.client(), "jobs", [old.queue])
        self.receiver = AmqpReceiver(old.url, [old.queue], self._take_over)
        self.before_take_over: Callable[[], object] = lambda: None
        self.held: Sequence[Held] = ()

    def connect(self) -> None:
        self.receiver.connect()

    def hold(self) -> None:
        self.held = self.returning.hold(100)

    def put(self) -> None:
        self.receiver.put(self.held)

    def done(self) -> None:
        self.returning.done(self.held)

    def release(self) -> None:
        self.receiver.release(self.held)

    def is_killed(self) -> None:
        """Nothing of it goes on: the connection breaks, with what wasn't committed."""
        self.receiver._connection.connection.transport.close()
        self.returning.close()

    def _take_over(self, name: str, stays: Sequence[Stay]) -> Sequence[bool]:
        self.before_take_over()
        return self.returning.take_over(name, stays)


MakeBridge = Callable[[], Bridge]
STEPS = (Bridge.connect, Bridge.hold, Bridge.put, Bridge.done, Bridge.release)


_COMMIT = AmqpReceiver._commit


class Killed(Exception):
    pass


@pytest.fixture
def old() -> Iterator[OldBroker]:
    with rabbitmq_queue() as broker:
        yield broker


@pytest.fixture
def ids(old: OldBroker, moved: RedisJobQueue, start_bridge: StartBridge) -> set[str]:
    """The messages that wait in svcjobs."""
    ids = send(old, COUNT)
    drained(start_bridge("--drain", "--json"))
    assert moved.stats().ready == COUNT
    return ids


@pytest.fixture
def make(old: OldBroker, own_server: RedisServer) -> Iterator[MakeBridge]:
    made: list[Bridge] = []

    def make() -> Bridge:
        made.append(Bridge(old, own_server))
        return made[-1]

    yield make
    for bridge in made:
        bridge.receiver.close()
        bridge.returning.close()


def went(bridge: Bridge, steps: int) -> Bridge:
    for step in STEPS[:steps]:
        step(bridge)
    return bridge


def rest(old: OldBroker, start_bridge: StartBridge) -> Counter[str]:
    """A bridge does what is left: which messages the old broker has then, and how often."""
    drained(start_bridge("--drain", "--json", "--reverse"))
    return Counter(message.headers["id"] for message in received(old))


def count(old: OldBroker, queue: str) -> int | None:
    """How many messages lie in a queue of RabbitMQ; None when it isn't there."""
    with old.connect() as connection:
        try:
            return int(connection.channel().queue_declare(queue, passive=True).message_count)
        except NotFound:
            return None


def all_of(old: OldBroker) -> list[str]:
    """The ids of all messages in the old broker's queue, however it was declared; they are taken out."""
    with old.connect() as connection:
        channel = connection.channel()
        return [message.headers["id"] for message in iter(lambda: channel.basic_get(old.queue, no_ack=True), None)]


def committed_until_killed(commits: int) -> Callable[[AmqpReceiver, str, Any], None]:
    """A method that commits so often, and then is where the bridge is killed."""
    left = commits

    def commit_some(receiver: AmqpReceiver, name: str, staged: Any) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        _COMMIT(receiver, name, staged)

    return commit_some


@pytest.mark.parametrize("steps", range(2, 1 + len(STEPS)))
def test_a_kill_after_any_step_loses_and_doubles_nothing(
    old: OldBroker, ids: set[str], make: MakeBridge, start_bridge: StartBridge, steps: int
) -> None:
    went(make(), steps).is_killed()
    assert rest(old, start_bridge) == Counter(ids)


def test_a_body_comes_off_the_stage_byte_for_byte(old: OldBroker, make: MakeBridge, start_bridge: StartBridge) -> None:
    bodies = {b"\xfe\xff\x00h", b"\xff\xfeh\x00"}  # one text, as UTF-16 may write it
    with old.connect() as connection, connection.SimpleQueue(old.queue) as queue:
        for body in bodies:
            queue.producer.publish(body, routing_key=old.queue, content_type="text/plain", content_encoding="utf-16")
    drained(start_bridge("--drain", "--json"))
    went(make(), 4).is_killed()
    drained(start_bridge("--drain", "--json", "--reverse"))
    with old.connect() as connection:
        channel = connection.channel()
        channel.auto_decode = False
        assert {channel.basic_get(old.queue, no_ack=True).body for _ in bodies} == bodies


@pytest.mark.parametrize("kills", [1, 2])
@pytest.mark.parametrize("commits", [0, 3])
@pytest.mark.parametrize("steps", [3, 4])
def test_a_kill_while_the_next_bridge_looks_at_the_stage_loses_and_doubles_nothing(
    old: OldBroker,
    ids: set[str],
    make: MakeBridge,
    start_bridge: StartBridge,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    commits: int,
    kills: int,
) -> None:
    went(make(), steps).is_killed()
    with monkeypatch.context() as patch:
        for _ in range(kills):
            bridge = make()
            patch.setattr(AmqpReceiver, "_commit", committed_until_killed(commits))
            with pytest.raises(Killed):
                bridge.connect()
            bridge.is_killed()
    assert rest(old, start_bridge) == Counter(ids)


def test_a_message_taken_over_is_not_finished_by_the_bridge_before(
    old: OldBroker, ids: set[str], make: MakeBridge, moved: RedisJobQueue, start_bridge: StartBridge
) -> None:
    late = went(make(), 3)
    late.receiver._connection.connection.transport.close()  # it hasn't noticed yet
    went(make(), 1).is_killed()
    late.done()
    with pytest.raises(BrokerUnavailable):
        late.release()
    late.is_killed()
    assert rest(old, start_bridge) == Counter(ids)


def test_one_on_the_stage_and_one_that_came_here_since_are_two(
    old: OldBroker, moved: RedisJobQueue, make: MakeBridge, start_bridge: StartBridge
) -> None:
    def comes() -> None:
        old.app().send_task("step", (1,), task_id="again")
        drained(start_bridge("--drain", "--json"))

    comes()
    went(make(), 4).is_killed()
    comes()
    later = make()
    later.hold()
    assert len(later.held) == 1
    later.returning.close()
    assert rest(old, start_bridge) == {"again": 2}


def test_a_second_bridge_is_told_of_the_first(old: OldBroker, ids: set[str], make: MakeBridge) -> None:
    first, second = went(make(), 3), make()
    with pytest.raises(BrokerUnavailable, match=f"another bridge gives the messages of queue {old.queue} back"):
        second.connect()
    first.done()
    first.release()
    first.receiver.close()
    second.connect()
    assert count(old, old.queue) == COUNT


def test_the_stage_is_removed_at_the_end_unless_something_lies_there(
    old: OldBroker, ids: set[str], make: MakeBridge
) -> None:
    bridge = went(make(), 3)
    bridge.receiver.close()
    assert count(old, stage_of(old.queue)) == COUNT
    bridge.returning.close()
    again = went(make(), 5)
    assert count(old, stage_of(old.queue)) == 0
    again.receiver.close()
    assert count(old, stage_of(old.queue)) is None


def declare_anew(old: OldBroker, arguments: Mapping[str, Any]) -> None:
    with old.connect() as connection:
        channel = connection.channel()
        channel.queue_delete(old.queue)
        channel.queue_declare(old.queue, durable=True, auto_delete=False, arguments=arguments)


FULL = {"x-max-length": 2, "x-overflow": "reject-publish"}


@pytest.mark.parametrize(
    ("arguments", "is_known"),
    [
        pytest.param(FULL, True, id="classic"),
        pytest.param(FULL, False, id="classic, by a policy"),
        pytest.param({**FULL, "x-queue-type": "quorum"}, True, id="quorum"),
    ],
)
def test_a_full_queue_keeps_what_it_refuses(
    old: OldBroker,
    ids: set[str],
    make: MakeBridge,
    start_bridge: StartBridge,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Mapping[str, Any],
    is_known: bool,
) -> None:
    declare_anew(old, arguments)
    if not is_known:
        monkeypatch.setattr(amqp_receiver, "may_refuse", lambda connection, name: False)
    bridge = went(make(), 4)
    with pytest.raises(BrokerUnavailable, match="is it full"):
        bridge.release()
    bridge.is_killed()
    found = Counter(all_of(old))
    assert 2 <= found.total() < COUNT
    declare_anew(old, {})
    assert found + rest(old, start_bridge) == Counter(ids)


def test_a_kill_in_the_instant_of_a_refusal_loses_and_doubles_nothing(
    old: OldBroker, ids: set[str], make: MakeBridge, start_bridge: StartBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_when_refused(receiver: AmqpReceiver, name: str, staged: Any) -> None:
        try:
            receiver._channel.tx_commit()
        except ChannelError as error:
            raise Killed from error

    declare_anew(old, FULL)
    bridge = went(make(), 4)
    with monkeypatch.context() as patch:
        patch.setattr(AmqpReceiver, "_commit", killed_when_refused)
        with pytest.raises((Killed, BrokerUnavailable)):
            bridge.release()
    bridge.is_killed()
    found = Counter(all_of(old))
    declare_anew(old, {})
    assert found + rest(old, start_bridge) == Counter(ids)


@pytest.mark.parametrize("commits", [0, 3])
def test_a_kill_on_the_way_to_a_quorum_queue_loses_nothing_and_doubles_at_most_one(
    old: OldBroker,
    ids: set[str],
    make: MakeBridge,
    start_bridge: StartBridge,
    monkeypatch: pytest.MonkeyPatch,
    commits: int,
) -> None:
    declare_anew(old, {"x-queue-type": "quorum"})
    bridge = went(make(), 4)
    with monkeypatch.context() as patch:
        patch.setattr(AmqpReceiver, "_commit", committed_until_killed(commits))
        with pytest.raises(Killed):
            bridge.release()
    bridge.is_killed()
    drained(start_bridge("--drain", "--json", "--reverse"))
    found = Counter(all_of(old))
    assert set(found) == ids
    assert found.total() == len(ids) + 1


def test_a_stage_that_an_operator_removed_loses_nothing(
    old: OldBroker, ids: set[str], make: MakeBridge, start_bridge: StartBridge
) -> None:
    bridge = went(make(), 2)
    with old.connect() as connection:
        connection.channel().queue_delete(stage_of(old.queue))
    with pytest.raises(BrokerUnavailable):
        bridge.put()
    bridge.is_killed()
    assert rest(old, start_bridge) == Counter(ids)


def test_a_queue_that_an_operator_removes_at_the_last_moment_loses_nothing(
    old: OldBroker, ids: set[str], make: MakeBridge, start_bridge: StartBridge
) -> None:
    bridge = went(make(), 4)

    def remove() -> None:
        with old.connect() as connection:
            connection.channel().queue_delete(old.queue)

    bridge.before_take_over = remove
    with pytest.raises(BrokerUnavailable, match="refuses a message"):
        bridge.release()
    bridge.is_killed()
    with old.connect() as connection:
        connection.channel().queue_declare(old.queue, durable=True, auto_delete=False)
    assert rest(old, start_bridge) == Counter(ids)
