"""What the environment says: the only place that reads it, and the checks of what it holds."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from svcjobs.errors import ConfigurationError


def environment(name: str) -> str | None:
    """The value of an environment variable without outer blanks; None when it is unset or blank."""
    return os.environ.get(name, "").strip() or None


def environment_with(**variables: str) -> dict[str, str]:
    """The whole environment with these variables more, for a program that this one executes."""
    return {**os.environ, **variables}


def seen_in_environment(name: str) -> str:
    """The value of a variable that is meant for somebody else in this process, and stays; empty when it is unset."""
    return os.environ.get(name, "")


def put_in_environment(name: str, value: str) -> None:
    """Set an environment variable, for the program that this process may execute."""
    os.environ[name] = value


def take_from_environment(name: str) -> str | None:
    """The value of a variable that is meant for this process only, and is removed; None when it is unset."""
    return os.environ.pop(name, None)


class EnvironmentModel(BaseModel):
    """Settings whose fields have the names of environment variables as aliases."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """The settings as the environment has them now; a blank variable counts as unset.

        Args:
            given: values that win over the environment, by field name; None leaves it to the environment.

        Raises:
            ConfigurationError: a value can't be used; the message names the variable and what it takes.
        """
        values = {}
        for name, field in cls.model_fields.items():
            value = given.get(name)
            if value is None:
                value = environment(field.alias or name)
            if value is not None:
                values[field.alias or name] = value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError(_sentence(error.errors(include_url=False)[0])) from None


class QueueSettings(EnvironmentModel):
    """Where jobs are kept, apart from the server's URL (:func:`redis_url`)."""

    driver: Annotated[Literal["memory", "redis"], BeforeValidator(str.lower)] = Field("memory", alias="JOBS_DRIVER")
    prefix: str = Field("jobs", alias="JOBS_PREFIX", pattern=r"^[^\s{}]+$")
    replicas: int = Field(0, alias="JOBS_REPLICAS", ge=0)


class HandlerSettings(EnvironmentModel):
    """How handlers are found and how long they may run."""

    registry_target: str | None = Field(None, alias="JOBS_REGISTRY_TARGET")
    handler_target: str | None = Field(None, alias="JOBS_HANDLER_TARGET")
    timeout_seconds: float | None = Field(None, alias="JOB_DEFAULT_TIMEOUT_SECONDS", gt=0, allow_inf_nan=False)


class SchedulerSettings(EnvironmentModel):
    """The schedule, and how several schedulers agree on who runs it.

    ``coordination``: ``auto`` elects a leader when jobs are kept in Redis, ``redis`` always, ``off`` never.
    """

    schedule_json: str | None = Field(None, alias="JOBS_SCHEDULE_JSON")
    coordination: Annotated[Literal["auto", "redis", "off"], BeforeValidator(str.lower)] = Field(
        "auto", alias="JOBS_SCHEDULER_COORDINATION"
    )
    lease_seconds: float = Field(180.0, alias="JOBS_SCHEDULER_LEASE_SECONDS", gt=0, allow_inf_nan=False)
    lease_key: str = Field("jobs:scheduler:leader", alias="JOBS_SCHEDULER_LEASE_KEY", min_length=1)


class DashboardSettings(EnvironmentModel):
    """Who may look at the dashboard."""

    password: str | None = Field(None, alias="JOBS_DASHBOARD_PASSWORD", repr=False)


def default_timeout_seconds() -> float | None:
    """JOB_DEFAULT_TIMEOUT_SECONDS: how long a handler may run, in seconds; None is without limit.

    Raises:
        ConfigurationError: it isn't a positive number.
    """
    return HandlerSettings.from_environment().timeout_seconds


def redis_url() -> str:
    """JOBS_REDIS_URL, else REDIS_URL, else the local server's database 0.

    Raises:
        ConfigurationError: as :func:`named_redis_url`.
    """
    return named_redis_url() or "redis://localhost:6379/0"


def named_redis_url() -> str | None:
    """JOBS_REDIS_URL, else REDIS_URL, else None.

    Raises:
        ConfigurationError: only the REST address of an Upstash database is set, which can't carry a queue.
    """
    url = environment("JOBS_REDIS_URL") or environment("REDIS_URL")
    if url is None and environment("UPSTASH_REDIS_REST_URL"):
        raise ConfigurationError(
            "UPSTASH_REDIS_REST_URL is set, but a queue needs the Redis protocol: set REDIS_URL to the database's "
            "address that begins with redis://, rediss://, or unix://"
        )
    return url


def database_url() -> str | None:
    """JOBS_DATABASE_URL, else DATABASE_URL, else None: the database of the outbox."""
    return environment("JOBS_DATABASE_URL") or environment("DATABASE_URL")


def _sentence(problem: Any) -> str:
    """One pydantic error as a sentence that names the variable."""
    name, value, message = problem["loc"][0], problem["input"], problem["msg"]
    return f"{name} is {value!r}: {message[0].lower()}{message[1:]}"
