"""Trace context travels in a job from the span that made it, through retries, to its handler's spans."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from svcjobs.clock import MovableClock
from svcjobs.effects import Follow
from svcjobs.execution import execute_here
from svcjobs.job import Job, NewJob
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.result import JobResult
from svcjobs.worker import process_one


@pytest.fixture(scope="session")
def exporter_of_the_run() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # once per process, as OpenTelemetry has it
    return exporter


@pytest.fixture
def exporter(exporter_of_the_run: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter_of_the_run.clear()
    yield exporter_of_the_run
    exporter_of_the_run.clear()


def enqueue_in_a_span(queue: InMemoryJobQueue, name: str = "work", headers: dict[str, str] | None = None) -> Job:
    with trace.get_tracer("shop").start_as_current_span("request"):
        return queue.enqueue(name, headers=headers)


def of(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> tuple[int, int]:
    assert span.parent is not None
    return span.parent.trace_id, span.parent.span_id


async def test_a_handler_runs_in_a_span_below_the_one_that_enqueued(exporter: InMemorySpanExporter) -> None:
    queue = InMemoryJobQueue(name="jobs:{emails}")
    enqueue_in_a_span(queue)

    async def handler(job: Job) -> None:
        with trace.get_tracer("shop").start_as_current_span("inside"):
            pass

    await process_one(queue, handler)
    (request,), (process,), (inside,) = (of(exporter, n) for n in ("request", "process jobs:{emails}", "inside"))
    assert parent(process) == ids(request)
    assert parent(inside) == ids(process)
    assert [link.context.span_id for link in process.links] == [ids(request)[1]]
    assert process.kind is SpanKind.CONSUMER
    assert dict(process.attributes or {}) == {
        "messaging.system": "svcjobs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "jobs:{emails}",
        "messaging.message.id": "1",
        "messaging.svcjobs.job.name": "work",
        "messaging.svcjobs.job.attempt": 1,
    }
    assert process.status.status_code is StatusCode.UNSET


async def test_a_plain_handlers_spans_are_below_the_jobs(exporter: InMemorySpanExporter) -> None:
    queue = InMemoryJobQueue()
    enqueue_in_a_span(queue)

    def handler(job: Job) -> None:
        with trace.get_tracer("shop").start_as_current_span("inside"):
            pass

    await process_one(queue, handler)
    (process,), (inside,) = of(exporter, "process jobs"), of(exporter, "inside")
    assert parent(inside) == ids(process)


async def test_each_attempt_has_a_span_and_errors_are_recorded(exporter: InMemorySpanExporter) -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    enqueue_in_a_span(queue)

    def handler(job: Job) -> None:
        if job.attempts == 1:
            raise ValueError("no")

    await process_one(queue, handler)
    clock.advance(60)
    await process_one(queue, handler)
    (request,), (first, second) = of(exporter, "request"), of(exporter, "process jobs")
    assert parent(first) == parent(second) == ids(request)
    assert [(span.attributes or {})["messaging.svcjobs.job.attempt"] for span in (first, second)] == [1, 2]
    assert first.status.status_code is StatusCode.ERROR
    assert (first.attributes or {})["error.type"] == "ValueError"
    (event,) = first.events
    assert (event.attributes or {})["exception.message"] == "no"
    assert second.status.status_code is StatusCode.UNSET
    assert second.events == ()


async def test_an_error_whose_text_raises_costs_neither_job_nor_span(exporter: InMemorySpanExporter) -> None:
    class Awkward(Exception):
        def __str__(self) -> str:
            raise SystemExit

    def handler(job: Job) -> None:
        raise Awkward

    queue = InMemoryJobQueue()
    queue.enqueue("work", max_attempts=1)
    assert await process_one(queue, handler)
    (process,) = of(exporter, "process jobs")
    assert (process.attributes or {})["error.type"] == "Awkward"
    assert process.status.status_code is StatusCode.ERROR
    assert len(queue.dead()) == 1


async def test_an_unsuccessful_result_is_an_error(exporter: InMemorySpanExporter) -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("work")
    await process_one(queue, lambda job: JobResult(False, "no"))
    (process,) = of(exporter, "process jobs")
    assert process.status.status_code is StatusCode.ERROR
    assert (process.attributes or {})["error.type"] == "JobResult"
    assert process.parent is None
    assert process.links == ()


def test_a_job_in_this_thread_has_a_span_too(exporter: InMemorySpanExporter) -> None:
    queue = InMemoryJobQueue()
    enqueue_in_a_span(queue)
    job = queue.reserve_next()
    assert job is not None
    execute_here(job, lambda job: 1 / 0, lambda call: call())
    (process,) = of(exporter, "process jobs")
    assert (process.attributes or {})["error.type"] == "ZeroDivisionError"
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_follow_up_job_carries_the_context_of_the_span_that_made_it(exporter: InMemorySpanExporter) -> None:
    queue = InMemoryJobQueue()
    enqueue_in_a_span(queue)
    job = queue.reserve_next()
    assert job is not None
    effects: list[Follow] = []
    execute_here(job, lambda job: effects.append(Follow(NewJob("next"))), lambda call: call())
    queue.ack(job, effects=effects)
    follower = queue.reserve_next()
    assert follower is not None
    execute_here(follower, lambda job: None, lambda call: call())
    first, second = of(exporter, "process jobs")
    assert parent(second) == ids(first)
    assert ids(second)[0] == ids(of(exporter, "request")[0])[0]


def test_a_context_that_the_caller_gives_is_kept(exporter: InMemorySpanExporter) -> None:
    given = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}
    job = enqueue_in_a_span(InMemoryJobQueue(), headers=given)
    assert job.headers == given


def test_other_headers_stay_and_the_callers_dict_is_left_alone(exporter: InMemorySpanExporter) -> None:
    given = {"tenant": "acme"}
    job = enqueue_in_a_span(InMemoryJobQueue(), headers=given)
    assert job.headers.keys() == {"tenant", "traceparent"}
    assert given == {"tenant": "acme"}


async def test_a_broken_context_starts_a_trace_of_its_own(exporter: InMemorySpanExporter) -> None:
    queue = InMemoryJobQueue()
    queue.enqueue("work", headers={"traceparent": "nonsense"})
    await process_one(queue, lambda job: None)
    (process,) = of(exporter, "process jobs")
    assert process.parent is None
    assert process.links == ()


def test_outside_of_a_span_a_job_carries_nothing(exporter: InMemorySpanExporter) -> None:
    assert InMemoryJobQueue().enqueue("work").headers == {}


def in_a_process_of_its_own(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_tracing_nothing_of_opentelemetry_is_imported() -> None:
    in_a_process_of_its_own("""
import asyncio, sys
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.worker import process_one
queue = InMemoryJobQueue()
assert queue.enqueue("work").headers == {}
assert asyncio.run(process_one(queue, lambda job: None))
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
""")


def test_without_a_tracer_provider_no_span_is_made() -> None:
    in_a_process_of_its_own("""
from opentelemetry import context, trace
from svcjobs.attempt import Attempt
from svcjobs.job import Job
before = context.get_current()
with Attempt(Job("1", "work", {})):
    assert context.get_current() is before
""")


def test_a_process_is_traced_as_soon_as_it_has_a_tracer_provider() -> None:
    in_a_process_of_its_own("""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from svcjobs.tracing import is_traced
assert not is_traced()
assert not is_traced()
trace.set_tracer_provider(TracerProvider())
assert is_traced()
""")


def test_a_tracer_provider_of_the_environment_counts() -> None:
    in_a_process_of_its_own("""
import os
os.environ["OTEL_PYTHON_TRACER_PROVIDER"] = "sdk_tracer_provider"
import opentelemetry.trace
from svcjobs.tracing import is_traced
assert is_traced()
""")
