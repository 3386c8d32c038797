"""The routing table: which queue a task goes to, and how the table is changed and undone."""

from __future__ import annotations

import json
import uuid

import pytest
import redis
from click.testing import CliRunner, Result

from svcjobs.cli import main
from svcjobs.errors import ConfigurationError
from svcjobs_celery_compat.migrate.routing import obeyed
from svcjobs_celery_compat.migrate.routing.obeyed import ObeyedRoutes
from svcjobs_celery_compat.migrate.routing.route import Route, Side
from svcjobs_celery_compat.migrate.routing.store import RouteStore, key_of
from svcjobs_celery_compat.migrate.routing.table import RouteTable
from tests.servers import RedisServer

IDS = [str(uuid.UUID(int=number * 7919)) for number in range(4000)]


def message(task: str, task_id: str = "1") -> dict[str, object]:
    return {"headers": {"task": task, "id": task_id}, "properties": {}, "body": b""}


@pytest.mark.parametrize(
    ("task", "goes_to"),
    [("proj.tasks.add", "q.svcjobs"), ("proj.tasks.legacy", "q.celery"), ("proj.other", "q"), ("proj.tasks", "q")],
)
def test_a_name_comes_before_a_pattern_and_others_stay(task: str, goes_to: str) -> None:
    table = RouteTable([Route("proj.tasks.*", Side.SVCJOBS), Route("proj.tasks.legacy", Side.CELERY)])
    assert table.queue_for("q", task, "1") == goes_to


def test_a_longer_pattern_comes_before_a_shorter_one() -> None:
    table = RouteTable([Route("*", Side.SVCJOBS), Route("proj.*", Side.CELERY), Route("proj.a*", Side.SVCJOBS, 0)])
    assert [table.queue_for("q", task, "1") for task in ("x", "proj.b", "proj.a")] == ["q.svcjobs", "q.celery", "q"]


def test_what_is_sent_to_one_side_isnt_sent_on() -> None:
    table = RouteTable([Route("*", Side.SVCJOBS)])
    assert table.queue_for("q.celery", "a", "1") == "q.celery"
    assert table.queue_for("q.svcjobs", "a", "1") == "q.svcjobs"


def test_a_share_is_about_that_large_and_grows_without_moving_anybody_back() -> None:
    routes = [Route("a", Side.SVCJOBS, percent) for percent in (0, 10, 40, 100)]
    shares = [{task_id for task_id in IDS if route.takes(task_id)} for route in routes]
    assert [round(len(share) / len(IDS), 1) for share in shares] == [0.0, 0.1, 0.4, 1.0]
    assert shares[0] < shares[1] < shares[2] < shares[3]


@pytest.mark.parametrize(("pattern", "percent"), [("", 1), ("a", -1), ("a", 101), ("a", float("nan"))])
def test_a_route_that_cant_be_used_is_refused(pattern: str, percent: float) -> None:
    with pytest.raises(ConfigurationError):
        Route(pattern, Side.SVCJOBS, percent)


def test_a_table_is_stored_and_read(redis_client: redis.Redis, prefix: str) -> None:
    store = RouteStore(redis_client, prefix)
    assert not store.read()
    store.change(lambda table: table.with_route(Route("a.*", Side.SVCJOBS, 12.5)))
    store.change(lambda table: table.with_route(Route("a.*", Side.CELERY)))
    assert store.read().routes == (Route("a.*", Side.CELERY),)


def test_each_change_can_be_undone_until_none_is_left(redis_client: redis.Redis, prefix: str) -> None:
    store = RouteStore(redis_client, prefix)
    first, second = Route("a", Side.SVCJOBS, 1), Route("b", Side.SVCJOBS)
    store.change(lambda table: table.with_route(first))
    store.change(lambda table: table.with_route(second))
    store.change(lambda table: table.without("a"))
    assert [store.back().routes for _ in range(3)] == [(first, second), (first,), ()]
    with pytest.raises(ConfigurationError, match="no former"):
        store.back()


def test_a_route_that_isnt_there_cant_be_removed(redis_client: redis.Redis, prefix: str) -> None:
    store = RouteStore(redis_client, prefix)
    store.change(lambda table: table.with_route(Route("a.*", Side.SVCJOBS)))
    with pytest.raises(ConfigurationError, match=r"a\.\*"):
        store.change(lambda table: table.without("a.b"))
    assert store.read()


def test_a_producer_reads_it_again_after_two_seconds(
    redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(obeyed.time, "monotonic", lambda: now)
    store, routes = RouteStore(redis_client, prefix), ObeyedRoutes(redis_client, prefix)
    assert routes.queue_for("q", message("a")) == "q"
    store.change(lambda table: table.with_route(Route("a", Side.SVCJOBS)))
    now += obeyed.REFRESH_SECONDS - 0.1
    assert routes.queue_for("q", message("a")) == "q"
    now += 0.1
    assert routes.queue_for("q", message("a")) == "q.svcjobs"
    assert routes.queue_for("q", {"headers": {}, "properties": {}, "body": b"no task"}) == "q"


def test_the_last_known_table_holds_while_it_cant_be_read(
    own_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obeyed, "REFRESH_SECONDS", 0.0)
    client = own_server.client(retry=None)
    routes = ObeyedRoutes(client, prefix)
    RouteStore(client, prefix).change(lambda table: table.with_route(Route("a", Side.SVCJOBS)))
    assert routes.queue_for("q", message("a")) == "q.svcjobs"
    client.set(key_of(prefix), "[{")
    assert routes.queue_for("q", message("a")) == "q.svcjobs"
    own_server.kill()
    assert routes.queue_for("q", message("a")) == "q.svcjobs"
    assert ObeyedRoutes(client, prefix).queue_for("q", message("a")) == "q"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["migrate", "route", *arguments], prog_name="svcjobs")


def test_the_command_refuses_a_side_on_which_nobody_works(own_server: RedisServer) -> None:
    place = ("--redis-url", own_server.url)
    refused = run("proj.*", "--to", "svcjobs", *place)
    assert refused.exit_code == 1
    assert "no svcjobs worker takes celery.svcjobs" in refused.stderr
    forced = run("proj.*", "--to", "svcjobs", "--percent", "10", "--force", "--json", *place)
    assert json.loads(forced.stdout) == {"routes": [{"pattern": "proj.*", "to": "svcjobs", "percent": 10.0}]}
    assert "proj.*" in run(*place).stdout
    assert "no routes" in run("--back", *place).stdout
    assert run("--back", *place).exit_code == 78


@pytest.mark.parametrize(
    "arguments",
    [["a"], ["--to", "svcjobs"], ["a", "--to", "nowhere"], ["a", "--to", "celery", "--percent", "101"],
     ["a", "--remove", "--to", "celery"], ["--back", "a"], ["a", "--remove", "--percent", "5"]],
)  # fmt: skip
def test_wrong_usage_is_said(arguments: list[str]) -> None:
    assert run(*arguments, "--redis-url", "redis://localhost:1").exit_code == 2
