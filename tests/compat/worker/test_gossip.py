"""Steps of a project hear which workers come, leave and are lost; where none asks, a worker doesn't listen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from svcjobs_celery_compat import Celery, bootsteps
from svcjobs_celery_compat.contrib.testing.worker import start_worker
from svcjobs_celery_compat.worker.consumer.gossip import Gossip
from tests.eventually import eventually
from tests.servers import RedisServer

SECONDS = 20.0


class Party(bootsteps.StartStopStep):
    """As the step of Celery's guide."""

    requires = ("svcjobs_celery_compat.worker.consumer.gossip:Gossip",)
    seen: list[tuple[str, str]]

    def __init__(self, c: Any, **kwargs: Any) -> None:
        self.seen = []
        c.party = self
        super().__init__(c, **kwargs)

    def start(self, c: Any) -> None:
        self.gossip = c.gossip
        c.gossip.on.node_join.add(lambda worker: self.seen.append(("join", worker.hostname)))
        c.gossip.on.node_join.add(self._broken)
        c.gossip.on.node_leave.add(lambda worker: self.seen.append(("leave", worker.hostname)))
        c.gossip.on.node_lost.add(lambda worker: self.seen.append(("lost", worker.hostname)))

    def _broken(self, worker: Any) -> None:
        raise ZeroDivisionError


@pytest.fixture
def app(redis_server: RedisServer, prefix: str) -> Iterator[Celery]:
    app = Celery(prefix, broker=redis_server.url, set_as_current=False)
    app.conf.update(task_default_queue=prefix, event_exchange=f"{prefix}.events")
    yield app
    app.close()


def test_a_step_hears_of_other_workers(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gossip, "interval", 0.2)
    app.steps["consumer"].add(Party)
    options: dict[str, Any] = {"without_gossip": False, "without_heartbeat": False, "shutdown_timeout": 30.0}
    with start_worker(app, perform_ping_check=False, **options) as worker, app.connection() as connection:
        party = worker.consumer.party
        others = {name: app.events.Dispatcher(connection, hostname=name) for name in ("a@there", "b@there")}
        others["a@there"].send("worker-online", freq=60)
        eventually(lambda: ("join", "a@there") in party.seen, SECONDS)
        others["b@there"].send("worker-heartbeat", freq=0.1)
        eventually(lambda: ("join", "b@there") in party.seen, SECONDS)
        eventually(lambda: ("lost", "b@there") in party.seen, SECONDS)
        others["a@there"].send("worker-offline", freq=60)
        eventually(lambda: ("leave", "a@there") in party.seen, SECONDS)
        assert not any(name == worker.hostname for _, name in party.seen)
        others["b@there"].send("worker-heartbeat", freq=60)
        eventually(lambda: party.seen.count(("join", "b@there")) == 2, SECONDS)
        assert [known.hostname for known in party.gossip.state.alive_workers()] == ["b@there"]
        for dispatcher in others.values():
            dispatcher.close()


@pytest.mark.parametrize("wanted", [False, True])
def test_a_worker_listens_only_if_a_step_asks(wanted: bool, app: Celery) -> None:
    if wanted:
        app.steps["consumer"].add(Party)
    with start_worker(app, perform_ping_check=False, without_gossip=False, shutdown_timeout=30.0) as worker:
        assert any(isinstance(step, Gossip) for step in worker.consumer.steps) is wanted
