"""`svcjobs migrate route` and `status` for a broker on a Redis Cluster."""

from __future__ import annotations

import json
import threading

import kombu
import pytest
from click.testing import CliRunner, Result

from svcjobs.cli import main
from svcjobs_celery_compat.migrate.routing.route import Route, Side
from svcjobs_celery_compat.migrate.routing.store import RouteStore
from tests.servers import Cluster


@pytest.fixture
def root(prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What all keys of the test begin with, on a cluster."""
    monkeypatch.setenv("JOBS_PREFIX", prefix)
    return f"{{{prefix}}}"


def migrate(cluster: Cluster, *arguments: str) -> Result:
    command = ["migrate", *arguments, "--redis-url", f"redis+cluster://127.0.0.1:{cluster.port}"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_a_route_is_obeyed_listed_and_undone(cluster: Cluster, root: str, prefix: str) -> None:
    migrate(cluster, "route", "proj.*", "--to", "svcjobs", "--force")
    options = {"prefix": prefix}
    with kombu.Connection(f"svcjobs-cluster://127.0.0.1:{cluster.port}", transport_options=options) as connection:
        connection.Producer().publish("", routing_key="q", headers={"task": "proj.add", "id": "1"})
    client = cluster.client()
    assert client.llen(f"{prefix}:{{q.svcjobs}}:ready") == 1
    status = json.loads(migrate(cluster, "status", "--json").stdout)
    assert status["workers"] == []
    migrate(cluster, "route", "--back")
    assert json.loads(migrate(cluster, "route", "--json").stdout) == {"routes": []}
    assert client.get(f"{root}:kombu:routes") == b"[]"


def test_changes_at_once_are_all_kept(cluster: Cluster, root: str) -> None:
    def change(number: int) -> None:
        client = cluster.client()
        store = RouteStore(client, root)
        for turn in range(10):
            route = Route(f"t{number}.{turn}", Side.CELERY)
            store.change(lambda table, route=route: table.with_route(route))  # type: ignore[misc]

    threads = [threading.Thread(target=change, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    store = RouteStore(cluster.client(), root)
    assert len(list(store.read())) == 40
    for left in range(39, -1, -1):
        assert len(list(store.back())) == left
