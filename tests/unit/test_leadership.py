"""Who leads, on fakeredis; the same scripts on a real server are in tests/integration."""

from __future__ import annotations

import fakeredis
import pytest

from svcjobs.errors import ConfigurationError
from svcjobs.leadership import RedisSchedulerLeader, SchedulerLeadership
from svcjobs.scheduler import InMemoryScheduler

KEY = "jobs:test:leader"


@pytest.fixture
def client() -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


def leader(client: fakeredis.FakeRedis, owner_id: str, lease_seconds: float = 30) -> RedisSchedulerLeader:
    return RedisSchedulerLeader(client, key=KEY, lease_seconds=lease_seconds, owner_id=owner_id)


def test_one_leads_until_it_releases(client: fakeredis.FakeRedis) -> None:
    a, b = leader(client, "a"), leader(client, "b")
    assert a.ensure_leader() is True
    assert b.ensure_leader() is False
    assert a.ensure_leader() is True
    a.release()
    assert b.ensure_leader() is True
    assert a.ensure_leader() is False


def test_a_release_leaves_anothers_leadership_alone(client: fakeredis.FakeRedis) -> None:
    a, b = leader(client, "a"), leader(client, "b")
    assert a.ensure_leader() is True
    b.release()
    assert b.ensure_leader() is False
    assert client.get(KEY) == b"a"


def test_the_key_lives_as_long_as_the_lease_and_each_renewal_counts_anew(client: fakeredis.FakeRedis) -> None:
    a = leader(client, "a", lease_seconds=30)
    assert a.ensure_leader()
    assert 29_000 < client.pttl(KEY) <= 30_000
    client.pexpire(KEY, 5)
    assert a.ensure_leader()
    assert 29_000 < client.pttl(KEY) <= 30_000


def test_the_defaults() -> None:
    one, other = (RedisSchedulerLeader(fakeredis.FakeRedis()) for _ in range(2))
    assert isinstance(one, SchedulerLeadership)
    assert (one.key, one.lease_seconds, one.heartbeat_interval_seconds) == ("jobs:scheduler:leader", 180, 60)
    assert one.owner_id != other.owner_id


@pytest.mark.parametrize(
    "options",
    [{"lease_seconds": 0}, {"lease_seconds": -5}, {"lease_seconds": float("nan")}, {"key": ""}, {"owner_id": ""}],
)
def test_what_cant_be_used_is_refused(client: fakeredis.FakeRedis, options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        RedisSchedulerLeader(client, **options)


async def test_a_scheduler_that_doesnt_lead_runs_nothing(client: fakeredis.FakeRedis) -> None:
    ran: list[str] = []
    schedulers = [InMemoryScheduler(leader=leader(client, name)) for name in "ab"]
    for name, scheduler in zip("ab", schedulers, strict=True):
        scheduler.add_task("tick", interval_seconds=0, func=lambda name=name: ran.append(name))
        await scheduler.tick()
    assert ran == ["a"]
