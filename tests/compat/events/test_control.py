"""Remote control's client: what it sends, and what it keeps of what was revoked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from kombu.pidbox import Mailbox

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.app.control import Revocations, flatten_reply
from svcjobs_celery_compat.exceptions import DuplicateNodenameWarning
from tests.eventually import eventually
from tests.servers import RedisServer


@pytest.fixture
def app(redis_server: RedisServer, prefix: str) -> Iterator[Any]:
    app = Celery("controlled", broker=redis_server.url.replace("redis://", "svcjobs://"), set_as_current=False)
    app.conf.broker_transport_options = {"prefix": prefix}
    yield app
    app.close()


@pytest.fixture
def node(app: Any) -> Iterator[list[Any]]:
    """A worker's end of remote control; what it was told."""
    told: list[Any] = []

    def listen() -> None:
        with app.connection_for_read() as connection:
            mailbox: Mailbox = app.control.mailbox(connection)
            handlers = {
                "ping": lambda state, **_: {"ok": "pong"},
                "revoke": lambda state, **arguments: told.append(arguments),
                "revoke_by_stamped_headers": lambda state, **arguments: {"ok": ["stamped-id"]},
            }
            node = mailbox.Node("w@host", handlers=handlers, channel=connection.default_channel)
            node.listen()
            while not stopping.is_set():
                try:
                    connection.drain_events(timeout=0.2)
                except TimeoutError:
                    continue

    stopping = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    eventually(lambda: app.control.ping(timeout=0.3), timeout=20)
    yield told
    stopping.set()
    thread.join()


@pytest.mark.server
def test_replies_come_back_by_node(app: Any, node: list[Any]) -> None:
    assert app.control.ping(timeout=20, limit=1) == [{"w@host": {"ok": "pong"}}]
    assert app.control.inspect(timeout=20, limit=1).ping() == {"w@host": {"ok": "pong"}}
    assert app.control.inspect("w@host", timeout=1, limit=1)._prepare([{"w@host": 1}]) == 1
    assert app.control.inspect(pattern="w@*", matcher="glob", timeout=20, limit=1).ping() == {"w@host": {"ok": "pong"}}
    assert app.control.inspect(["x@host"], timeout=0.2).ping() is None
    with pytest.raises(ValueError, match="list"):
        app.control.ping(destination="w@host")


@pytest.mark.server
def test_what_is_revoked_is_told_and_kept(app: Any, node: list[Any], redis_client: redis.Redis, prefix: str) -> None:
    app.control.revoke(["a", "b"], terminate=True, signal="KILL")
    eventually(lambda: node)
    assert node == [{"task_id": ["a", "b"], "terminate": True, "signal": "KILL"}]
    kept = Revocations(redis_client, prefix)
    assert kept.among(["a", "x", "b"]) == {"a", "b"}
    assert sorted(kept.ids()) == ["a", "b"]
    app.control.revoke_by_stamped_headers({"tenant": ["one", "two"]}, reply=True, timeout=20, limit=1)
    assert sorted(kept.stamps()) == [("tenant", "one"), ("tenant", "two")]
    eventually(lambda: len(node) == 2)
    assert node[1]["task_id"] == ["stamped-id"]
    assert redis_client.ttl(f"{prefix}:kombu:revoked") > 0


@pytest.mark.server
@pytest.mark.scenario(25)
def test_an_id_is_kept_until_the_results_expire_of_the_latest_task_that_waits(
    app: Any, redis_client: redis.Redis, prefix: str
) -> None:
    app.conf.result_expires = timedelta(hours=2)
    app.send_task("t", countdown=30 * 86400, task_id="late")
    app.control.revoke("late")
    seconds, _ = redis_client.time()
    until = redis_client.zscore(f"{prefix}:kombu:revoked", "late")
    assert until == pytest.approx(seconds + 30 * 86400 + 7200, abs=5)
    redis_client.zadd(f"{prefix}:kombu:revoked", {"old": seconds - 1})
    app.control.revoke("new")
    assert sorted(Revocations(redis_client, prefix).ids()) == ["late", "new"]


def test_names_that_reply_twice_are_warned_of() -> None:
    with pytest.warns(DuplicateNodenameWarning, match="node name: a@h"):
        assert flatten_reply([{"a@h": 1}, {"a@h": 2}, {"b@h": 3}]) == {"a@h": 2, "b@h": 3}
