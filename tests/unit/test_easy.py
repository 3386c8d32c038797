"""easy_jobs and JobsConfig: the driver, the URL, and who leads the schedule."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from redis import Redis

from svcjobs.easy import JobsConfig, easy_jobs, open_client, open_queue
from svcjobs.errors import ConfigurationError
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.redis_queue import RedisJobQueue
from tests.unit.test_settings import VARIABLES


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def redis_class(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Stands where users patch."""
    mock = MagicMock()
    monkeypatch.setattr("svcjobs.easy.Redis", mock)
    return mock


def test_memory_is_the_default() -> None:
    queue, scheduler = easy_jobs()
    assert isinstance(queue, InMemoryJobQueue)
    assert scheduler._leader is None
    assert queue.enqueue("greet").id == "1"


def test_the_environment_chooses_redis_and_the_url_goes_through_as_it_is(
    monkeypatch: pytest.MonkeyPatch, redis_class: MagicMock
) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "REDIS")
    monkeypatch.setenv("REDIS_URL", "redis://example.com:6380/3")
    queue, scheduler = easy_jobs()
    redis_class.from_url.assert_called_once_with("redis://example.com:6380/3")
    assert isinstance(queue, RedisJobQueue)
    assert (queue.name, queue.visibility_timeout) == ("jobs", 60)
    assert scheduler._leader is not None
    assert scheduler._queue is queue


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, redis_class: MagicMock) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "memory")
    assert isinstance(easy_jobs(driver="redis")[0], RedisJobQueue)
    redis_class.from_url.assert_called_once_with("redis://localhost:6379/0")


def test_nothing_is_sent_before_the_first_call() -> None:
    """Port 1 answers nobody."""
    client = open_client("redis://127.0.0.1:1/0")
    assert isinstance(client, Redis)
    open_queue(client).close()


def test_a_config_keeps_its_argument_and_lowers_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "ReDiS")
    assert JobsConfig().driver == "redis"
    assert JobsConfig("Memory").driver == "Memory"
    monkeypatch.delenv("JOBS_DRIVER")
    assert JobsConfig().driver == "memory"


def test_an_unknown_driver_is_told_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="'sqs': use 'memory' or 'redis'"):
        easy_jobs(driver="sqs")
    monkeypatch.setenv("JOBS_DRIVER", "kafka")
    with pytest.raises(ConfigurationError, match="'kafka': use 'memory' or 'redis'"):
        easy_jobs()


def test_a_rest_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "https://eu1-x.upstash.io")
    with pytest.raises(ConfigurationError, match="redis://, rediss://, or unix://"):
        easy_jobs(driver="redis")


def test_coordination_can_be_off_or_on_for_memory_too(monkeypatch: pytest.MonkeyPatch, redis_class: MagicMock) -> None:
    monkeypatch.setenv("JOBS_SCHEDULER_COORDINATION", "off")
    assert easy_jobs(driver="redis")[1]._leader is None
    monkeypatch.setenv("JOBS_SCHEDULER_COORDINATION", "redis")
    monkeypatch.setenv("JOBS_SCHEDULER_LEASE_SECONDS", "9")
    monkeypatch.setenv("JOBS_SCHEDULER_LEASE_KEY", "acme:leader")
    leader = easy_jobs(driver="memory")[1]._leader
    assert leader is not None
    assert leader.heartbeat_interval_seconds == 3
    assert leader.key == "acme:leader"  # type: ignore[attr-defined]


def test_scheduler_values_of_a_config() -> None:
    config = JobsConfig("redis", scheduler_coordination="off", scheduler_lease_seconds=30, scheduler_lease_key="k")
    assert (config.scheduler_coordination, config.scheduler_lease_seconds, config.scheduler_lease_key) == (
        "off", 30, "k",
    )  # fmt: skip
    config = JobsConfig()
    assert (config.scheduler_coordination, config.scheduler_lease_seconds, config.scheduler_lease_key) == (
        "auto", 180, "jobs:scheduler:leader",
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="JOBS_SCHEDULER_COORDINATION is 'maybe'"):
        JobsConfig(scheduler_coordination="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("root", "name", "prefix"),
    [
        ("jobs", None, "jobs"),
        ("jobs", "jobs", "jobs"),
        ("jobs", "emails", "jobs:{emails}"),
        ("acme", None, "acme"),
        ("acme", "emails", "acme:{emails}"),
    ],
)
def test_the_prefix_of_a_queue(monkeypatch: pytest.MonkeyPatch, root: str, name: str | None, prefix: str) -> None:
    monkeypatch.setenv("JOBS_PREFIX", root)
    assert open_queue(MagicMock(), name).name == prefix


def test_on_a_cluster_all_keys_of_the_default_queue_share_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svcjobs.easy.is_cluster", lambda client: True)
    assert open_queue(MagicMock()).name == "{jobs}"
    assert open_queue(MagicMock(), "jobs").name == "{jobs}"
    assert open_queue(MagicMock(), "emails").name == "jobs:{emails}"


def test_a_queue_name_that_clashes_is_refused() -> None:
    for name in ("a{b}", "a b", " ", ""):
        with pytest.raises(ConfigurationError):
            open_queue(MagicMock(), name)


def test_a_wrong_jobs_driver_says_nothing_where_the_driver_is_given(
    redis_class: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "foo")
    queue, _ = easy_jobs(driver="redis")
    assert isinstance(queue, RedisJobQueue)
    with pytest.raises(ConfigurationError, match="'foo'"):
        easy_jobs()
