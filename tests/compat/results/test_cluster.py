"""Results and chords in a Redis Cluster of three nodes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from svcjobs_celery_compat import Celery, outcome
from svcjobs_celery_compat.app.backends import by_url
from svcjobs_celery_compat.app.task import Context
from svcjobs_celery_compat.result import GroupResult
from tests.eventually import eventually
from tests.ports import free_port
from tests.servers import Cluster, RedisServer

MakeApp = Callable[..., Any]


@pytest.fixture
def make_app(cluster: Cluster, prefix: str) -> Iterator[MakeApp]:
    """Makes apps with results under a prefix of the test, whose messages go nowhere but into ``app.sent``."""
    made: list[Any] = []

    def make(*nodes: int, **conf: Any) -> Any:
        hosts = ",".join(f"127.0.0.1:{cluster.nodes[number].port}" for number in nodes or (0, 1, 2))
        app: Any = Celery("proj", broker="memory://", backend=f"redis+cluster://{hosts}", set_as_current=False)
        app.conf.update(result_backend_transport_options={"global_keyprefix": prefix}, **conf)
        app.sent = []
        app.task(name="body", shared=False)(lambda values: values)

        def publish(producer: Any, name: str, message: Any, **options: Any) -> None:
            app.sent.append(message.body[0])

        app.amqp.__dict__["send_task_message"] = publish
        made.append(app)
        return app

    yield make
    gc.collect()
    for app in made:
        app.backend.result_consumer.stop()
        app.backend.client.close()
        app.close()


def slot(key: Any) -> int:
    return int(key_slot(key if isinstance(key, bytes) else key.encode()))


def member(app: Any, number: int, size: int, **info: Any) -> Context:
    chord = dict(app.signature("body", options={"task_id": "body-id"}), chord_size=size)
    return Context(id=f"m{number}", group="g1", group_index=number, chord=chord, delivery_info=info)


def committed(app: Any, number: int, size: int, **info: Any) -> list[Any]:
    """What a worker on the cluster commits when a member of a chord succeeds."""
    settlement = outcome.Outcome(outcome.Home(outcome.server_of(app.backend.client)))
    token = outcome.begin(settlement)
    try:
        with outcome.committing():
            app.backend.mark_as_done(f"m{number}", number, request=member(app, number, size, **info))
    finally:
        outcome.end(token)
    return settlement.effects


def test_a_result_wakes_who_waits_for_it_whichever_node_it_is_on(make_app: MakeApp) -> None:
    app, other = make_app(), make_app(1)
    results = [app.AsyncResult(f"t{number}") for number in range(12)]
    assert {slot(app.backend.get_key_for_task(result.id)) * 3 // 16384 for result in results} == {0, 1, 2}
    got: list[Any] = []
    waiting = [threading.Thread(target=lambda one=one: got.append(one.get(timeout=20))) for one in results]
    for thread in waiting:
        thread.start()
    eventually(lambda: len(app.backend.result_consumer.subscribed_to) == len(results))
    for number in range(12):
        other.backend.mark_as_done(f"t{number}", number)
    for thread in waiting:
        thread.join(20)
    assert sorted(got) == list(range(12))


def test_a_group_is_read_from_all_nodes(make_app: MakeApp) -> None:
    app = make_app()
    for number in range(12):
        app.backend.mark_as_done(f"t{number}", number)
    result = GroupResult("g", [app.AsyncResult(f"t{number}") for number in range(12)])
    assert result.join_native(timeout=10) == list(range(12))
    result.save()
    assert GroupResult.restore("g", app=app) == result
    result.forget()
    result.delete()
    assert GroupResult.restore("g", app=app) is None


def test_two_clients_of_a_cluster_know_that_it_is_one(make_app: MakeApp, redis_server: RedisServer) -> None:
    app, other = make_app(0), make_app(2)
    settlement = outcome.Outcome(outcome.Home(outcome.server_of(other.backend.client)))
    token = outcome.begin(settlement)
    try:
        with outcome.committing():
            assert outcome.effects_for(app.backend.client, same_database=True) is settlement.effects
            with redis_server.client() as elsewhere:
                assert outcome.effects_for(elsewhere) is None
    finally:
        outcome.end(token)


@pytest.mark.scenario(28)
def test_all_that_counts_a_chord_is_in_one_slot(make_app: MakeApp) -> None:
    backend = make_app().backend
    keys = [backend.get_key_for_group("g1", suffix) for suffix in (".j", ".t", ".s", ".d", "", ".c")]
    assert len({slot(key) for key in keys}) == 1
    assert len({slot(backend.get_key_for_group(f"g{number}")) for number in range(20)}) > 10


@pytest.mark.scenario(28)
@pytest.mark.promise("P6")
def test_p6_until_the_last_members_outcome_has_reached_the_chord_nobody_else_starts_the_body(
    make_app: MakeApp,
) -> None:
    app = make_app(result_chord_join_timeout=5)
    app.backend.set_chord_size("g1", 2)
    committed(app, 0, 2)
    effects = committed(app, 1, 2)
    assert app.sent == [([0, 1],)]
    # it is committed, and lies in the slot of the queue: the chord's node doesn't know
    claim = app.backend.get_key_for_group("g1", ".c")
    assert claim.decode() in {effect.key for effect in effects}
    assert app.backend.client.ttl(claim) > 3600
    committed(app, 0, 2, redelivered=True)
    assert len(app.sent) == 1
    committed(app, 1, 2, redelivered=True)  # had it died before it committed, its second run would start it
    assert len(app.sent) == 2


@pytest.mark.scenario(28)
def test_a_chord_that_no_worker_commits_fires_once(make_app: MakeApp) -> None:
    app = make_app()
    app.backend.set_chord_size("g1", 3)
    for number in (0, 1, 2, 2, 0):
        app.backend.mark_as_done(f"m{number}", number, request=member(app, number, 3))
    assert app.sent == [([0, 1, 2],)]
    client, backend = app.backend.client, app.backend
    assert client.get(backend.get_key_for_group("g1", ".c")) == b"done"
    assert not any(client.exists(backend.get_key_for_group("g1", suffix)) for suffix in (".j", ".s", ".d", ".t"))


def test_a_forked_child_connects_by_itself(make_app: MakeApp) -> None:
    app = make_app()
    app.backend.mark_as_done("t", 1)
    before = app.backend.client
    app.backend.result_consumer.on_after_fork()
    assert app.AsyncResult("t").get(timeout=10) == 1
    assert app.backend.client is not before
    before.close()


def test_the_url_of_a_cluster() -> None:
    kind, url = by_url("rediss+cluster://user:s%2Bcret@one:7000,two?ssl_cert_reqs=none&socket_timeout=3")
    app = Celery("proj", set_as_current=False)
    backend: Any = kind(app=app, url=url)
    params = backend.connparams
    assert params["nodes"] == (("one", 7000), ("two", 6379))
    assert (params["username"], params["password"], params["ssl"]) == ("user", "s+cret", True)
    assert (params["ssl_cert_reqs"], params["socket_timeout"]) == ("none", 3)
    assert "cret" not in backend.as_uri()
    assert "cret" in backend.as_uri(include_password=True)


def test_a_cluster_that_is_away_is_a_connection_error() -> None:
    app = Celery("proj", backend=f"redis+cluster://127.0.0.1:{free_port()}", set_as_current=False)
    app.conf.result_backend_transport_options = {"retry_policy": {"max_retries": 1, "interval_start": 0.01}}
    with pytest.raises(app.backend.connection_errors) as raised:
        app.backend.mark_as_done("t", 1)
    assert not isinstance(raised.value, redis.ResponseError)
