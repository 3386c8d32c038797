"""Parts of a program that start and stop in the order of what they need; the way to extend a worker."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from threading import Event
from typing import Any

from kombu.common import ignore_errors
from kombu.utils.imports import symbol_by_name

from svcjobs_celery_compat.utils.graph import DependencyGraph, GraphFormatter
from svcjobs_celery_compat.utils.imports import instantiate, qualname
from svcjobs_celery_compat.utils.log import get_logger

__all__ = ("Blueprint", "ConsumerStep", "StartStopStep", "Step")

RUN, CLOSE, TERMINATE = 1, 2, 3

#: Exceptions that a blueprint ignores while it stops.
IGNORE_ERRORS: tuple[type[BaseException], ...] = ()

logger = get_logger(__name__)


def _label(step: Any) -> str:
    return str(step.name).rsplit(".", 1)[-1]


class StepFormatter(GraphFormatter):
    """Draws the steps of a blueprint for graphviz."""

    blueprint_prefix = "⧉"
    conditional_prefix = "∘"
    blueprint_scheme: Mapping[str, Any] = {"shape": "parallelogram", "color": "slategray4", "fillcolor": "slategray3"}

    def label(self, step: Any) -> str:
        return f"{self._get_prefix(step)}{step.label or _label(step)}" if step else ""

    def _get_prefix(self, step: Any) -> str:
        if step.last:
            return self.blueprint_prefix
        return self.conditional_prefix if step.conditional else ""

    def node(self, obj: Any, **attrs: Any) -> Any:
        return self.draw_node(obj, self.blueprint_scheme if obj.last else self.node_scheme, attrs)

    def edge(self, a: Any, b: Any, **attrs: Any) -> Any:
        if a.last:
            attrs.update(arrowhead="none", color="darkseagreen3")
        return self.draw_edge(a, b, self.edge_scheme, attrs)


class Blueprint:
    """Steps, and the order in which they start.

    Args:
        steps: classes of steps, or their names as ``module:Class``.
        name: for the log.
        on_start: called before the steps start.
        on_close: called before they close.
        on_stopped: called when they have stopped.
    """

    GraphFormatter = StepFormatter

    name: str | None = None
    state: int | None = None
    started = 0
    default_steps: Iterable[Any] = set()
    state_to_name: Mapping[int, str] = {0: "initializing", RUN: "running", CLOSE: "closing", TERMINATE: "terminating"}

    def __init__(
        self,
        steps: Iterable[Any] | None = None,
        name: str | None = None,
        on_start: Callable[[], object] | None = None,
        on_close: Callable[[], object] | None = None,
        on_stopped: Callable[[], object] | None = None,
    ) -> None:
        self.name = name or self.name or qualname(type(self))
        self.types = set(steps or []) | set(self.default_steps)
        self.on_start, self.on_close, self.on_stopped = on_start, on_close, on_stopped
        self.shutdown_complete = Event()
        self.steps: dict[str, Any] = {}
        self.order: list[Any] = []
        self.graph: Any = None

    def start(self, parent: Any) -> None:
        """Start all steps of `parent`."""
        self.state = RUN
        if self.on_start:
            self.on_start()
        for number, step in enumerate(step for step in parent.steps if step is not None):
            self._debug("Starting %s", step.alias)
            self.started = number + 1
            step.start(parent)
            logger.debug("^-- substep ok")

    def human_state(self) -> str:
        """The state in a word."""
        return self.state_to_name[self.state or 0]

    def info(self, parent: Any) -> dict[str, Any]:
        """What the steps say of themselves, for ``inspect stats``."""
        info: dict[str, Any] = {}
        for step in parent.steps:
            info.update(step.info(parent) or {})
        return info

    def close(self, parent: Any) -> None:
        """Tell the steps that the end comes."""
        if self.on_close:
            self.on_close()
        self.send_all(parent, "close", "closing", reverse=False)

    def restart(
        self, parent: Any, method: str = "stop", description: str = "restarting", propagate: bool = False
    ) -> None:
        """Stop the steps, for them to be started again."""
        self.send_all(parent, method, description, propagate=propagate)

    def send_all(
        self,
        parent: Any,
        method: str,
        description: str | None = None,
        reverse: bool = True,
        propagate: bool = True,
        args: tuple[Any, ...] = (),
    ) -> None:
        """Call a method of each step that has it."""
        description = description or method.replace("_", " ")
        for step in reversed(parent.steps) if reverse else parent.steps:
            call = getattr(step, method, None) if step else None
            if call is None:
                continue
            self._debug("%s %s...", description.capitalize(), step.alias)
            try:
                call(parent, *args)
            except Exception as exc:
                if propagate:
                    raise
                logger.exception("Error on %s %s: %r", description, step.alias, exc)

    def stop(self, parent: Any, close: bool = True, terminate: bool = False) -> None:
        """Stop all steps; a second time only to terminate them."""
        if self.state in (CLOSE, TERMINATE):
            return
        if self.state != RUN or self.started != len(parent.steps):
            # not all have started: there is nothing that could be stopped in order
            self.state = TERMINATE
            self.shutdown_complete.set()
            return
        self.close(parent)
        self.state = CLOSE
        what = "terminate" if terminate else "stop"
        self.restart(parent, what, "terminating" if terminate else "stopping", propagate=False)
        if self.on_stopped:
            self.on_stopped()
        self.state = TERMINATE
        self.shutdown_complete.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has stopped, `timeout` seconds at most."""
        try:
            self.shutdown_complete.wait(timeout=timeout)
        except IGNORE_ERRORS:
            return

    def apply(self, parent: Any, **kwargs: Any) -> Blueprint:
        """Make the steps for `parent`, in order, and let them include what they start."""
        self._debug("Preparing bootsteps.")
        order = self.order = []
        steps = self.steps = self.claim_steps()
        for cls in self._finalize_steps(steps):
            step = cls(parent, **kwargs)
            steps[cls.name] = step
            order.append(step)
        for step in order:
            step.include(parent)
        return self

    def connect_with(self, other: Blueprint) -> None:
        """Let the graph of another blueprint follow the last step of this one."""
        self.graph.adjacent.update(other.graph.adjacent)
        self.graph.add_edge(type(other.order[0]), type(self.order[-1]))

    def __getitem__(self, name: str) -> Any:
        return self.steps[name]

    def _find_last(self) -> Any:
        return next((cls for cls in self.steps.values() if cls.last), None)

    def _finalize_steps(self, steps: dict[str, Any]) -> list[Any]:
        last = self._find_last()
        waiting = deque(steps.values())
        known = set(waiting)
        while waiting:  # what steps require may be given by name only
            step = waiting.popleft()
            step.requires = [symbol_by_name(each) if isinstance(each, str) else each for each in step.requires]
            fresh = [each for each in step.requires if each not in known]
            known.update(fresh)
            waiting.extend(fresh)
            steps.update({each.name: each for each in fresh})
        graph = self.graph = DependencyGraph(
            ((cls, cls.requires) for cls in steps.values()), formatter=self.GraphFormatter(root=last)
        )
        if last:
            for cls in steps.values():
                if cls != last:
                    graph.add_edge(last, cls)
        try:
            return list(graph.topsort())
        except KeyError as exc:
            raise KeyError(f"unknown bootstep: {exc}") from exc

    def claim_steps(self) -> dict[str, Any]:
        """The classes of the steps by name."""
        return dict(self.load_step(step) for step in self.types)

    def load_step(self, step: Any) -> tuple[str, Any]:
        """Name and class of a step."""
        step = symbol_by_name(step) if isinstance(step, str) else step
        return step.name, step

    def _debug(self, msg: str, *args: Any) -> None:
        logger.log(logging.DEBUG, "| %s: " + msg, self.alias, *args)

    @property
    def alias(self) -> str:
        """The last part of the name."""
        return _label(self)


class StepType(type):
    """Gives each step its full name, by which others refer to it."""

    name: str
    requires: Any

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        module = attrs.get("__module__")
        own = attrs.get("name")
        attrs = {**attrs, "__qualname__": name, "name": own or (f"{module}.{name}" if module else name)}
        return super().__new__(cls, name, bases, attrs)

    def __str__(cls) -> str:
        return cls.name

    def __repr__(cls) -> str:
        return f"step:{cls.name}{{{cls.requires!r}}}"


class Step(metaclass=StepType):
    """A part of a program.

    Args:
        parent: what the step belongs to, such as a worker.
    """

    name: str
    label: str | None = None
    conditional = False
    requires: Iterable[Any] = ()
    last = False
    enabled: Any = True

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        """Prepare; options of the program come as keyword arguments."""

    def include_if(self, parent: Any) -> Any:
        """Whether the step is used."""
        return self.enabled

    def instantiate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Make an object of a class, or of its name."""
        return instantiate(name, *args, **kwargs)

    def _should_include(self, parent: Any) -> tuple[bool, Any]:
        return (True, self.create(parent)) if self.include_if(parent) else (False, None)

    def include(self, parent: Any) -> bool:
        """Create it, if it is used."""
        return self._should_include(parent)[0]

    def create(self, parent: Any) -> Any:
        """Make what the step is about."""

    def __repr__(self) -> str:
        return f"<step: {self.alias}>"

    @property
    def alias(self) -> str:
        """A short name."""
        return self.label or _label(self)

    def info(self, obj: Any) -> Any:
        """What ``inspect stats`` says of it, as a mapping."""


class StartStopStep(Step):
    """A step whose object is started and stopped."""

    obj: Any = None

    def start(self, parent: Any) -> Any:
        """Start it."""
        return self.obj.start() if self.obj else None

    def stop(self, parent: Any) -> Any:
        """Stop it."""
        return self.obj.stop() if self.obj else None

    def close(self, parent: Any) -> Any:
        """The end comes."""

    def terminate(self, parent: Any) -> Any:
        """Stop it at once."""
        return getattr(self.obj, "terminate", self.obj.stop)() if self.obj else None

    def include(self, parent: Any) -> bool:
        included, created = self._should_include(parent)
        if included:
            self.obj = created
            parent.steps.append(self)
        return included


class ConsumerStep(StartStopStep):
    """A step with message consumers of its own, beside those for tasks."""

    requires = ("svcjobs_celery_compat.worker.consumer:Connection",)
    consumers: Any = None

    def get_consumers(self, channel: Any) -> Iterable[Any]:
        """The consumers: kombu's, on `channel`."""
        raise NotImplementedError("missing get_consumers")

    def start(self, c: Any) -> None:
        """Consume."""
        channel = c.connection.channel()
        self.consumers = self.get_consumers(channel)
        for consumer in self.consumers or ():
            consumer.consume()

    def stop(self, c: Any) -> None:
        """Consume no more."""
        self._close(c, True)

    def shutdown(self, c: Any) -> None:
        """Close the channels."""
        self._close(c, False)

    def _close(self, c: Any, cancel_consumers: bool = True) -> None:
        channels = set()
        for consumer in self.consumers or ():
            if cancel_consumers:
                ignore_errors(c.connection, consumer.cancel)
            if consumer.channel:
                channels.add(consumer.channel)
        for channel in channels:
            ignore_errors(c.connection, channel.close)
