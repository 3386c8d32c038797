"""Handlers by name: registration, dispatch, typed payloads, and the registry as an application."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import threading
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from svcjobs.application import Application, HandlerApplication, as_application
from svcjobs.errors import ConfigurationError, SchemaMismatch
from svcjobs.job import Job
from svcjobs.registry import JobRegistry, JobResult, JobTimeoutError, UnknownJobError
from svcjobs.settlement import Bury, Fail


class SendEmail(BaseModel):
    model_config = ConfigDict(strict=True)
    to: str
    on: date
    copies: int = 1


def job(name: str = "send_email", **payload: Any) -> Job:
    return Job(id="1", name=name, payload=payload)


def test_a_decorated_function_stays_what_it_was_and_is_registered() -> None:
    registry = JobRegistry()

    async def send(job: Job) -> None: ...

    assert registry.handler("send_email")(send) is send
    assert registry.get_handler("send_email") is send
    assert registry.has_handler("send_email")
    assert registry.list_handlers() == ["send_email"]
    assert registry.get_handler("other") is None
    assert not registry.has_handler("other")


def test_the_handlers_are_a_copy() -> None:
    registry = JobRegistry()
    registry.register("a", print)
    registry.handlers.clear()
    assert registry.handlers == {"a": print}


def test_a_second_handler_for_a_name_replaces_the_first_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    registry = JobRegistry()
    registry.register("a", print)
    with caplog.at_level(logging.WARNING, "svcjobs.registry"):
        assert not caplog.records
        registry.register("a", repr)
    assert registry.get_handler("a") is repr
    assert ["a" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("details", [None, {}])
def test_no_details_are_none(details: dict[str, Any] | None) -> None:
    assert JobResult(success=True, message="done", details=details).details is None


@pytest.mark.parametrize("settlement", [Fail, functools.partial(Bury, reason="no use")])
async def test_dispatch_tells_that_a_handler_has_failed_its_job(settlement: Callable[..., Any]) -> None:
    registry = JobRegistry()
    registry.register("send_email", lambda job: settlement(job, error="no such address"))
    result = await registry.dispatch(job())
    assert (result.success, result.message) == (False, "no such address")


async def test_dispatch_returns_the_result_of_the_handler() -> None:
    registry = JobRegistry()
    result = JobResult(True, "sent", {"to": "a@b"})

    @registry.handler("send_email")
    async def send(job: Job) -> JobResult:
        assert job.payload == {"to": "a@b"}
        return result

    assert await registry.dispatch(job(to="a@b")) is result


async def test_a_handler_that_returns_none_has_succeeded() -> None:
    registry = JobRegistry()
    registry.register("send_email", lambda job: None)
    result = await registry.dispatch(job(), timeout=None)
    assert result.success
    assert "send_email" in result.message


async def test_a_plain_function_runs_in_a_thread_and_leaves_the_loop_free() -> None:
    registry = JobRegistry()
    go_on = threading.Event()

    @registry.handler("send_email")
    def send(job: Job) -> JobResult:
        assert threading.current_thread() is not threading.main_thread()
        return JobResult(go_on.wait(5), "waited for the loop")

    dispatched = asyncio.create_task(registry.dispatch(job()))
    await asyncio.sleep(0)
    go_on.set()
    assert (await dispatched).success


async def test_an_unknown_name_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownJobError, match="send_email") as caught:
        await JobRegistry().dispatch(job())
    assert caught.value.job_name == "send_email"


async def test_the_timeout_cancels_the_handler() -> None:
    registry = JobRegistry()
    cancelled = asyncio.Event()

    @registry.handler("send_email")
    async def send(job: Job) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(JobTimeoutError) as caught:
        await registry.dispatch(job(), timeout=0.01)
    assert (caught.value.job_name, caught.value.timeout) == ("send_email", 0.01)
    assert cancelled.is_set()


async def test_a_handlers_own_timeout_error_is_its_own() -> None:
    registry = JobRegistry()

    @registry.handler("send_email")
    async def send(job: Job) -> None:
        raise TimeoutError("the mail server")

    with pytest.raises(TimeoutError, match="the mail server") as caught:
        await registry.dispatch(job(), timeout=5)
    assert type(caught.value) is TimeoutError


async def test_a_typed_payload_reaches_the_handler_beside_the_job() -> None:
    registry = JobRegistry()
    seen: list[object] = []

    @registry.handler("send_email", payload=SendEmail)
    async def send(job: Job, payload: SendEmail) -> None:
        seen.extend([job.payload, payload])

    await registry.dispatch(job(to="a@b", on="2026-03-01"))
    assert seen == [{"to": "a@b", "on": "2026-03-01"}, SendEmail(to="a@b", on=date(2026, 3, 1))]


async def test_a_dataclass_is_a_payload_type_and_plain_functions_take_one_too() -> None:
    @dataclasses.dataclass
    class Resize:
        width: int

    registry = JobRegistry()
    registry.register("resize", lambda job, payload: JobResult(True, str(payload.width)), payload=Resize)
    assert (await registry.dispatch(job("resize", width=7))).message == "7"


async def test_a_payload_that_does_not_fit_is_told_field_by_field_without_its_values() -> None:
    registry = JobRegistry()
    called: list[Job] = []
    registry.register("send_email", lambda job, payload: called.append(job), payload=SendEmail)
    with pytest.raises(SchemaMismatch) as caught:
        await registry.dispatch(job(to="a@b", copies="s3cret"))
    assert "on: Field required" in str(caught.value)
    assert "copies: Input should be a valid integer" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert not called


def test_a_registry_is_an_application() -> None:
    schedule = [{"name": "tick", "interval_seconds": 5, "job_name": "tick"}]
    registry = JobRegistry("shop_jobs", queues=["emails"], schedule=schedule)
    assert isinstance(registry, Application)
    assert as_application(registry) is registry
    assert registry.queues == ("emails",)
    assert list(registry.schedule) == schedule
    assert registry.metric_prefix == "shop_jobs"


async def test_the_hooks_of_a_registry_run_in_order_and_back() -> None:
    registry = JobRegistry()
    calls: list[str] = []

    @registry.on_startup
    async def connect() -> None:
        calls.append("connect")

    @registry.on_startup
    def warm_up() -> None:
        calls.append("warm up")

    registry.on_shutdown(lambda: calls.append("disconnect"))
    registry.on_shutdown(lambda: calls.append("flush"))
    await registry.startup()
    await registry.shutdown()
    assert calls == ["connect", "warm up", "flush", "disconnect"]


async def test_a_handler_makes_an_application() -> None:
    application = as_application(lambda job: job.id)
    assert isinstance(application, HandlerApplication)
    assert isinstance(application, Application)
    assert application(job()) == "1"
    assert (tuple(application.queues), tuple(application.schedule)) == ((), ())
    await application.startup()
    await application.shutdown()


@pytest.mark.parametrize("target", [3, "app", JobRegistry, None])
def test_what_is_no_application_is_refused(target: object) -> None:
    with pytest.raises(ConfigurationError, match="give a registry"):
        as_application(target)
