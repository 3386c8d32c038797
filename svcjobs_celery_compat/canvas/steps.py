"""What a chain becomes when it is sent: a flat list of steps, each with its id, each result knowing the one before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from svcjobs_celery_compat.canvas.folding import maybe_unroll_group
from svcjobs_celery_compat.canvas.links import (
    _first_task_options,
    _is_chain_led_by_task,
    _strip_chord_header_links,
    kind,
)
from svcjobs_celery_compat.canvas.signatures import Signature, maybe_signature
from svcjobs_celery_compat.utils import abstract
from svcjobs_celery_compat.utils.functional import maybe_list


def flat_steps(tasks: Any, app: Any, *, from_dict: Any = Signature.from_dict, in_place: bool = False) -> list[Any]:
    """The steps in order: chains in them taken apart, groups of one replaced by their member, empty ones left out.

    Of nothing but empty groups the last stays: a chain that does nothing has a result, too.

    Parameters:
        tasks: the steps as written.
        app: the app.
        from_dict: makes signatures of dictionaries.
        in_place: return the very signatures that were written. Else those of a chain with links are copies that have
            its links.
    """
    waiting = deque(tasks)
    steps: list[Any] = []
    empty = None
    while waiting:
        task = waiting.popleft()
        if not isinstance(task, abstract.CallableSignature):
            task = from_dict(task, app=app)
        if kind(task) == "group":
            member = maybe_unroll_group(task)
            if member is not task:
                waiting.appendleft(member)
                continue
            if not task.tasks:
                empty = task
                continue
        if kind(task) == "chain":
            linked = not in_place and ("link" in task.options or "link_error" in task.options)
            waiting.extendleft(reversed(task.unchain_tasks() if linked else task.tasks))
            continue
        steps.append(task)
    return steps or ([] if empty is None else [empty])


def split_bodies(steps: list[Any]) -> list[Any]:
    """The steps, with the bodies of chords that are chains taken apart.

    The first task of the body stays the body, with the options of the chain; the others become steps. Each header task
    carries the body, so this keeps it small.
    """
    waiting = deque(steps)
    split: list[Any] = []
    while waiting:
        step = waiting.popleft()
        if kind(step) == "chord" and _is_chain_led_by_task(step.body):
            chain = step.body
            first, *rest = chain.unchain_tasks()
            first.options.update(_first_task_options(chain))
            step.body = first
            waiting.extendleft(reversed(flat_steps(rest, chain.app)))
            if kind(first) == "chain":
                waiting.appendleft(step)
                continue
        split.append(step)
    return split


@dataclass(slots=True)
class Steps:
    """How the steps of a chain are made ready to be sent; the fields are the arguments of ``prepare_steps``."""

    app: Any
    root_id: str | None = None
    link_error: Any = None
    last_task_id: str | None = None
    group_id: str | None = None
    chord_body: Any = None
    group_index: int | None = None
    clone: bool = True
    use_link: bool = False

    def prepare(self, tasks: Any, args: Any, kwargs: Any, from_dict: Any) -> tuple[list[Any], list[Any]]:
        """The steps and their results, both from last to first: the end of the list is what is sent next."""
        steps = flat_steps(tasks, self.app, from_dict=from_dict, in_place=not self.clone)
        if not steps:
            return [], []
        if self.clone:
            steps = [step.clone() for step in steps]
        self._give_arguments(steps[0], args, kwargs)
        if self.clone:
            steps = split_bodies(steps)
        steps = self._as_chords(steps)
        results = self._freeze(steps)
        return steps[::-1], results

    def _give_arguments(self, first: Any, args: Any, kwargs: Any) -> None:
        """Add what the chain is called with to its first step: of a group, to each of its tasks."""
        if not (args or kwargs) or first.immutable:
            return
        if kind(first) == "group":
            tasks = [maybe_signature(task, clone=self.clone) for task in first.tasks]
            for task in tasks:
                self._give_arguments(task, args, kwargs)
            first.tasks = tasks
            return
        first.args = (*(args or ()), *first.args)
        if kwargs and kind(first) == "chord":
            first.kwargs["kwargs"] = {**first.kwargs.get("kwargs", {}), **kwargs}
        elif kwargs:
            first.kwargs = {**first.kwargs, **kwargs}

    def _as_chords(self, steps: list[Any]) -> list[Any]:
        """The steps, where a group that is followed by another becomes a chord with that as its body.

        So does a group that is the body of a chord: else each of its tasks would go on with the steps that are left.
        """
        from svcjobs_celery_compat.canvas.chords import _chord

        upgraded: list[Any] = []
        for step in reversed(steps):
            if kind(step) == "group" and upgraded:
                header, step = step, _chord(step, body=upgraded.pop(), app=self.app)
                step.tasks = header  # keeps the options of the group
            elif self.clone and upgraded and kind(step) == "chord" and kind(step.body) == "group":
                step.body = _chord(step.body, body=upgraded.pop(), app=self.app)
            if kind(step) == "chord":
                self.app.backend.ensure_chords_allowed()
            upgraded.append(step)
        return upgraded[::-1]

    def _freeze(self, steps: list[Any]) -> list[Any]:
        """Freeze the steps and link their results; returns those, from last to first."""
        results: list[Any] = []
        following = None  # the result of the next step, or of the first thing that happens in it
        for at in range(len(steps) - 1, -1, -1):
            step = steps[at]
            if at == len(steps) - 1:
                result = step.freeze(
                    self.last_task_id,
                    root_id=self.root_id,
                    group_id=self.group_id,
                    chord=self.chord_body,
                    group_index=self.group_index,
                )
            else:
                result = step.freeze(root_id=self.root_id)
            for errback in maybe_list(self.link_error) or ():
                self._link_error(step, errback)
            if self.clone:
                _strip_chord_header_links(step)
            if following is not None:
                if self.use_link:
                    step.link(steps[at + 1])
                following.parent = following.parent or result
            results.append(result)
            following = first_of(result)
        return results

    def _link_error(self, step: Any, errback: Any) -> None:
        if kind(step) == "chord" and step.body:
            step.body.link_error(errback)  # what reports the failure of a header is the body
        else:
            step.link_error(errback)


def first_of(result: Any) -> Any:
    """The first of a result and its parents: where a chain of results begins."""
    while result.parent is not None:
        result = result.parent
    return result
