"""The guide's section "Job Handlers"."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from svcjobs import Job, JobRegistry, JobResult
from svcjobs.errors import JobTimeoutError, UnknownJobError
from svcjobs.queue import InMemoryJobQueue
from svcjobs.worker import process_one


def new_job(name: str, **payload: Any) -> Job:
    return Job(id="1", name=name, payload=payload)


async def last_error(handler: Callable[[Job], object], job: Job) -> str | None:
    """What is left of a job that ``handler`` gets from a worker; None when it was done."""
    queue = InMemoryJobQueue()
    stored = queue.enqueue(job.name, job.payload)
    assert await process_one(queue, handler)
    left = queue.get(stored.id)
    return None if left is None else left.last_error


async def test_a_handler_that_refuses_a_name_fails_the_job() -> None:
    async def handle(job: Job) -> None:
        if job.name != "send_email":
            raise ValueError(f"nobody here does {job.name}")

    assert await last_error(handle, new_job("send_email")) is None
    assert await last_error(handle, new_job("other")) == "ValueError: nobody here does other"


async def test_a_table_of_handlers_of_ones_own() -> None:
    table: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {}
    done: list[Any] = []

    def handles(name: str) -> Callable[[Any], Any]:
        def add(function: Any) -> Any:
            table[name] = function
            return function

        return add

    @handles("send_email")
    async def send_email(payload: dict[str, Any]) -> None:
        done.append((payload["to"], payload["subject"], payload["body"]))

    @handles("process_payment")
    async def process_payment(payload: dict[str, Any]) -> None:
        done.append(payload["payment_id"])

    async def dispatch(job: Job) -> None:
        if job.name not in table:
            raise ValueError(f"{job.name} isn't in the table")
        await table[job.name](job.payload)

    assert await last_error(dispatch, new_job("send_email", to="ada", subject="s", body="b")) is None
    assert await last_error(dispatch, new_job("process_payment", payment_id=3)) is None
    assert await last_error(dispatch, new_job("other")) == "ValueError: other isn't in the table"
    assert done == [("ada", "s", "b"), 3]


class PaymentRefused(Exception):
    pass


@pytest.fixture
def registry() -> JobRegistry:
    registry = JobRegistry(metric_prefix="shop_jobs")

    @registry.handler("send_email")
    async def send_email(job: Job) -> JobResult:
        to, subject = job.payload["to"], job.payload["subject"]
        return JobResult(success=True, message=f"sent to {to}", details={"to": to, "subject": subject})

    @registry.handler("process_payment")
    async def pay(job: Job) -> JobResult:
        try:
            if job.payload["payment_id"] < 0:
                raise PaymentRefused("no such payment")
        except PaymentRefused as refused:
            return JobResult(success=False, message=str(refused))
        return JobResult(success=True, message="paid")

    async def report(job: Job) -> JobResult:
        return JobResult(success=True, message="written")

    registry.register("generate_report", report)
    return registry


async def test_a_registry_dispatches_to_what_was_registered(registry: JobRegistry) -> None:
    sent = await registry.dispatch(new_job("send_email", to="ada", subject="hi"))
    assert (sent.success, sent.message, sent.details) == (True, "sent to ada", {"to": "ada", "subject": "hi"})
    refused = await registry.dispatch(new_job("process_payment", payment_id=-1))
    assert (refused.success, refused.message, refused.details) == (False, "no such payment", None)
    written = await registry.dispatch(new_job("generate_report"), timeout=60.0)
    assert written.message == "written"


async def test_a_result_without_success_leads_to_a_retry(registry: JobRegistry) -> None:
    async def handle(job: Job) -> None:
        result = await registry.dispatch(job, timeout=60.0)
        if not result.success:
            raise RuntimeError(result.message)

    assert await last_error(handle, new_job("process_payment", payment_id=1)) is None
    assert await last_error(handle, new_job("process_payment", payment_id=-1)) == "RuntimeError: no such payment"
    # the registry alone does the same
    assert await last_error(registry, new_job("process_payment", payment_id=-1)) == "no such payment"


def test_a_result_needs_no_details() -> None:
    assert JobResult(success=True, message="").details is None
    assert JobResult(success=True, message="", details={}).details is None


def test_a_registry_tells_what_it_has(registry: JobRegistry) -> None:
    assert registry.list_handlers() == ["send_email", "process_payment", "generate_report"]
    assert registry.has_handler("send_email")
    assert not registry.has_handler("other")
    handler = registry.get_handler("send_email")
    assert handler is not None
    assert handler.__name__ == "send_email"
    assert registry.get_handler("other") is None


async def test_a_name_without_handler_is_an_unknown_job(registry: JobRegistry) -> None:
    with pytest.raises(UnknownJobError, match=r"^Unknown job type: other$"):
        await registry.dispatch(new_job("other"))


async def test_a_handler_over_its_time_is_a_timeout(registry: JobRegistry) -> None:
    async def slow(job: Job) -> JobResult:
        await asyncio.sleep(30)
        raise AssertionError("it was not stopped")

    registry.register("slow", slow)
    with pytest.raises(JobTimeoutError, match=r"^Job slow exceeded timeout of 0\.05s$"):
        await registry.dispatch(new_job("slow"), timeout=0.05)


def test_the_limit_is_300_seconds_unless_given() -> None:
    assert inspect.signature(JobRegistry.dispatch).parameters["timeout"].default == 300


async def test_a_registry_counts_under_its_prefix(registry: JobRegistry) -> None:
    metrics = registry.metrics.registry
    await registry.dispatch(new_job("generate_report"))
    await registry.dispatch(new_job("process_payment", payment_id=-1))
    with pytest.raises(KeyError):
        await registry.dispatch(new_job("send_email"))

    def value(name: str, **labels: str) -> float | None:
        return metrics.get_sample_value(f"shop_jobs_{name}", labels)

    assert value("processed_total", job_name="generate_report", status="success") == 1
    assert value("processed_total", job_name="process_payment", status="failure") == 1
    assert value("duration_seconds_count", job_name="generate_report") == 1
    assert value("failures_total", job_name="send_email", error_type="KeyError") == 1


async def test_a_handler_closes_over_what_it_needs() -> None:
    class Mailer:
        def __init__(self) -> None:
            self.sent: list[tuple[str, str, str]] = []

        async def send(self, to: str, subject: str, body: str) -> None:
            self.sent.append((to, subject, body))

    def make_handler(mailer: Mailer) -> Callable[[Job], Awaitable[None]]:
        async def handle(job: Job) -> None:
            if job.name == "send_email":
                await mailer.send(job.payload["to"], job.payload["subject"], job.payload["body"])

        return handle

    mailer = Mailer()
    assert await last_error(make_handler(mailer), new_job("send_email", to="ada", subject="s", body="b")) is None
    assert mailer.sent == [("ada", "s", "b")]
