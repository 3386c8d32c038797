"""OpenTelemetry: a job carries the trace context of whoever made it, and its handler runs in a span.

There is no switch: a process is traced once somebody has set a tracer provider in it. Before, nothing is imported, and
a job costs one look into ``sys.modules``.

Names follow the semantic conventions for messaging spans,
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ (version 1.30), headers are those of W3C Trace
Context, https://www.w3.org/TR/trace-context/. Baggage isn't carried: it would store what may be private.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

PARENT = "traceparent"
EXPORT_SECONDS = 2.0


class HandlerSpan:
    """The ``process`` span of one attempt, current until it ends. Make it by :func:`begin_span`."""

    def __init__(self, name: str, attributes: Mapping[str, str | int], headers: Mapping[str, str]) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # without a header: the span that is current here
        parent = TraceContextTextMapPropagator().extract(headers)
        creation = trace.get_current_span(parent).get_span_context()
        tracer = trace.get_tracer("svcjobs")
        self._span = tracer.start_span(
            name,
            parent,
            trace.SpanKind.CONSUMER,
            attributes,
            links=[trace.Link(creation)] if creation.is_valid and PARENT in headers else (),
        )
        self._token: Token[Context] = context.attach(trace.set_span_in_context(self._span, parent))

    def failed(self, error_type: str, error: BaseException | None) -> None:
        """Mark the attempt as failed."""
        from opentelemetry import trace

        if error is not None:
            with contextlib.suppress(BaseException):  # a __str__ of the user's raised: that must not cost the job
                self._span.record_exception(error)
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(trace.Status(trace.StatusCode.ERROR, error_type))

    def end(self) -> None:
        """The attempt is over."""
        from opentelemetry import context

        context.detach(self._token)
        self._span.end()


def begin_span(queue: str, job_id: str, job_name: str, attempt: int, headers: Mapping[str, str]) -> HandlerSpan | None:
    """The span of an attempt, a child of the span that made the job; None in a process that isn't traced."""
    if not is_traced():
        return None
    attributes: dict[str, str | int] = {
        "messaging.system": "svcjobs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "messaging.message.id": job_id,
        "messaging.svcjobs.job.name": job_name,
        "messaging.svcjobs.job.attempt": attempt,
    }
    return HandlerSpan(f"process {queue}", attributes, headers)


def with_context(headers: dict[str, str] | None) -> dict[str, str] | None:
    """The headers of a new job, with the context of the current span unless they hold one already."""
    if not is_traced() or PARENT in (headers or ()):
        return headers
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carried)  # nothing outside of a span
    return {**(headers or {}), **carried} if carried else headers


def export_spans() -> None:
    """Export the spans that have ended, as this process is about to: a provider keeps them for some seconds.

    Takes :data:`EXPORT_SECONDS` at most; what an absent collector hasn't taken by then is lost.
    """
    if not is_traced():
        return
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)  # of the SDK; the API has none
    if flush is not None:
        # a thread: exporters have longer time-outs of their own
        exporting = threading.Thread(target=_quietly, args=[flush], name="svcjobs-spans", daemon=True)
        exporting.start()
        exporting.join(EXPORT_SECONDS)


def _quietly(flush: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # the exporter is the user's
        flush()


def is_traced() -> bool:
    """Whether this process has a tracer provider."""
    # redis-py imports OpenTelemetry wherever it is installed, so that an import alone says nothing
    trace: Any = sys.modules.get("opentelemetry.trace")
    if not hasattr(trace, "get_tracer_provider"):  # or another thread is importing it
        return False
    # get_tracer_provider() reads the environment each time that there is none, which costs a job 1 to 3 µs
    if getattr(trace, "_TRACER_PROVIDER", trace) is None and _environment_gives_none(trace):
        return False
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@cache
def _environment_gives_none(trace: Any) -> bool:
    """Whether OTEL_PYTHON_TRACER_PROVIDER names no provider; one that it names is set by this look."""
    return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
