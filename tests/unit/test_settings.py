"""What the environment may say, and what it is told when it says something else."""

from __future__ import annotations

import pytest

from svcjobs.errors import ConfigurationError
from svcjobs.settings import (
    HandlerSettings,
    QueueSettings,
    SchedulerSettings,
    database_url,
    default_timeout_seconds,
    environment,
    redis_url,
)

VARIABLES = (
    "JOBS_DRIVER", "JOBS_PREFIX", "JOBS_REDIS_URL", "REDIS_URL", "UPSTASH_REDIS_REST_URL",
    "JOB_DEFAULT_TIMEOUT_SECONDS",
    "JOBS_SCHEDULE_JSON", "JOBS_SCHEDULER_COORDINATION", "JOBS_SCHEDULER_LEASE_SECONDS", "JOBS_SCHEDULER_LEASE_KEY",
    "JOBS_REGISTRY_TARGET", "JOBS_HANDLER_TARGET", "JOBS_DASHBOARD_PASSWORD",
    "JOBS_DATABASE_URL", "DATABASE_URL",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_the_documented_ones() -> None:
    assert QueueSettings.from_environment().model_dump() == {"driver": "memory", "prefix": "jobs", "replicas": 0}
    assert redis_url() == "redis://localhost:6379/0"
    assert HandlerSettings.from_environment().model_dump() == {
        "registry_target": None, "handler_target": None, "timeout_seconds": None,
    }  # fmt: skip
    assert SchedulerSettings.from_environment().model_dump() == {
        "schedule_json": None, "coordination": "auto", "lease_seconds": 180, "lease_key": "jobs:scheduler:leader",
    }  # fmt: skip


def test_what_is_given_wins_and_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SCHEDULER_LEASE_SECONDS", "30")
    monkeypatch.setenv("JOBS_SCHEDULER_COORDINATION", "nobody")
    settings = SchedulerSettings.from_environment(coordination="off", lease_seconds=None)
    assert (settings.coordination, settings.lease_seconds) == ("off", 30)
    with pytest.raises(ConfigurationError, match="JOBS_SCHEDULER_LEASE_SECONDS is -1"):
        SchedulerSettings.from_environment(coordination="off", lease_seconds=-1)


def test_a_blank_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "  ")
    monkeypatch.setenv("REDIS_URL", "")
    assert environment("JOBS_DRIVER") is None
    assert QueueSettings.from_environment().driver == "memory"
    assert redis_url() == "redis://localhost:6379/0"


def test_words_are_taken_in_any_case_and_without_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_DRIVER", " Redis ")
    monkeypatch.setenv("JOBS_SCHEDULER_COORDINATION", "OFF")
    assert QueueSettings.from_environment().driver == "redis"
    assert SchedulerSettings.from_environment().coordination == "off"


def test_jobs_redis_url_wins_over_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/0")
    assert redis_url() == "redis://cache:6379/0"
    monkeypatch.setenv("JOBS_REDIS_URL", "redis://queue:6379/0")
    assert redis_url() == "redis://queue:6379/0"


def test_jobs_database_url_wins_over_database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_url() is None
    monkeypatch.setenv("DATABASE_URL", "sqlite:///app.db")
    assert database_url() == "sqlite:///app.db"
    monkeypatch.setenv("JOBS_DATABASE_URL", "sqlite:///shop.db")
    assert database_url() == "sqlite:///shop.db"


def test_a_rest_address_alone_is_refused_and_beside_a_redis_url_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", "https://eu1-x.upstash.io")
    with pytest.raises(ConfigurationError, match="redis://, rediss://, or unix://"):
        redis_url()
    monkeypatch.setenv("REDIS_URL", "rediss://eu1-x.upstash.io:6379")
    assert redis_url() == "rediss://eu1-x.upstash.io:6379"


@pytest.mark.parametrize("value", ["abc", "0", "-1", "inf", "nan"])
def test_a_timeout_is_a_positive_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", value)
    with pytest.raises(ConfigurationError, match="JOB_DEFAULT_TIMEOUT_SECONDS is"):
        default_timeout_seconds()


def test_the_timeout_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "2.5")
    assert default_timeout_seconds() == 2.5
    monkeypatch.setenv("JOB_DEFAULT_TIMEOUT_SECONDS", "300")
    assert default_timeout_seconds() == 300


def test_an_unknown_driver_is_told_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_DRIVER", "sqs")
    with pytest.raises(ConfigurationError, match=r"JOBS_DRIVER is .sqs.: .*memory.*redis"):
        QueueSettings.from_environment()


def test_a_prefix_with_braces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PREFIX", "{jobs}")
    with pytest.raises(ConfigurationError, match="JOBS_PREFIX"):
        QueueSettings.from_environment()


def test_one_bad_variable_does_not_hinder_what_does_not_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SCHEDULER_LEASE_SECONDS", "soon")
    assert QueueSettings.from_environment().driver == "memory"
    with pytest.raises(ConfigurationError, match="JOBS_SCHEDULER_LEASE_SECONDS"):
        SchedulerSettings.from_environment()
