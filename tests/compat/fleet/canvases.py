"""Random canvases for the fleets, and what comes out of each.

A canvas is a list: ``["task", name, n]``, ``["chain", [canvas…]]``, ``["group", [canvas…]]``, ``["chord", [canvas…],
canvas]``, ``["link", canvas, key]`` or ``["link_error", canvas, key]``. Forms that Celery turns into others, or whose
results it leaves pending for ever, aren't made: a group in or right after a group, one of a single task, a group as the
body of a chord, a chord that fails in a group, and anything but plain tasks after one that fails.

``python -m tests.compat.fleet.canvases PACKAGE`` reads canvases as JSON, sends them by an app of that package, and
writes their results as JSON, in the form of ``as_tuple``.
"""

from __future__ import annotations

import json
import os
import random
import sys
from importlib import import_module
from typing import Any

from tests.compat.fleet.proj import make, mixed

Spec = list[Any]

FAILED = "ValueError"
CHORD_FAILED = "ChordError"


class Maker:
    """Makes canvases, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._keys = 0

    def canvases(self, count: int) -> list[Spec]:
        """``count`` canvases of up to three levels."""
        return [self._canvas(self._rng.randrange(1, 4)) for _ in range(count)]

    def _canvas(self, depth: int) -> Spec:
        if depth == 0:
            return self._linked(self._task())
        form = self._rng.choices(["chain", "group", "chord", "failing", "task"], [5, 3, 4, 2, 1])[0]
        return getattr(self, f"_{form}")(depth) if form != "task" else self._linked(self._task())

    def _task(self) -> Spec:
        name = self._rng.choices(["mix", "again"], [8, 1])[0]
        return ["task", name, self._rng.randrange(1000)]

    def _linked(self, spec: Spec) -> Spec:
        if self._rng.random() < 0.2:
            self._keys += 1
            return [self._rng.choice(["link", "link_error"]), spec, f"key {self._keys}"]
        return spec

    def _failing(self, _depth: int) -> Spec:
        tasks = [self._task() for _ in range(self._rng.randrange(1, 4))]
        tasks[self._rng.randrange(len(tasks))] = ["task", "fail", self._rng.randrange(1000)]
        if len(tasks) > 1:
            return ["chain", tasks]
        self._keys += 1
        return ["link_error", tasks[0], f"key {self._keys}"]

    def _members(self, depth: int) -> list[Spec]:
        made = [self._canvas(depth - 1) for _ in range(self._rng.randrange(2, 5))]
        return [self._task() if ends_in_group(spec) or (may_fail(spec) and has_chord(spec)) else spec for spec in made]

    def _group(self, depth: int) -> Spec:
        return ["group", self._members(depth)]

    def _chord(self, depth: int) -> Spec:
        body = self._canvas(depth - 1)
        return ["chord", self._members(depth), body if is_sequence(body) else self._task()]

    def _chain(self, depth: int) -> Spec:
        steps = [self._canvas(depth - 1)]
        for _ in range(self._rng.randrange(1, 4)):
            step = self._canvas(depth - 1)
            plain = may_fail(steps) or ends_in_group(steps[-1]) or begins_with_group(step)
            steps.append(self._task() if plain else step)
        return ["chain", steps]


def ends_in_group(spec: Spec) -> bool:
    """Whether the results of a canvas are those of a group."""
    return spec[0] == "group" or (spec[0] == "chain" and ends_in_group(spec[1][-1]))


def begins_with_group(spec: Spec) -> bool:
    """Whether a canvas begins with tasks side by side."""
    return spec[:1] in (["group"], ["chord"]) or (spec[:1] == ["chain"] and begins_with_group(spec[1][0]))


def has_chord(spec: Any) -> bool:
    """Whether there is a chord in it, or a group that a step after it makes one."""
    return isinstance(spec, list) and (begins_with_group(spec) or any(has_chord(part) for part in spec))


def is_sequence(spec: Spec) -> bool:
    """Whether a canvas is a task, or a chain of tasks."""
    return spec[0] == "task" or (spec[0] == "chain" and all(step[0] == "task" for step in spec[1]))


def may_fail(spec: Any) -> bool:
    """Whether there is a task in it that fails."""
    return spec == "fail" or (isinstance(spec, list) and any(may_fail(part) for part in spec))


class Outcomes:
    """What canvases come to: values, ``FAILED`` or ``CHORD_FAILED``, and the notes that their links leave."""

    def __init__(self) -> None:
        self.notes: set[tuple[str, Any]] = set()

    def of(self, spec: Spec, args: tuple[Any, ...] = ()) -> Any:
        """The outcome of a canvas that is called with ``args``."""
        return getattr(self, f"_{spec[0]}")(args, *spec[1:])

    def _task(self, args: tuple[Any, ...], name: str, n: int) -> Any:
        return FAILED if name == "fail" else mixed(*args, n)

    def _chain(self, args: tuple[Any, ...], steps: list[Spec]) -> Any:
        value = self.of(steps[0], args)
        for place, step in enumerate(steps[1:]):
            if ends_in_group(steps[place]) and failed(value):
                return CHORD_FAILED
            if failed(value):
                return value
            value = self.of(step, (value,))
        return value

    def _group(self, args: tuple[Any, ...], members: list[Spec]) -> Any:
        return [self.of(member, args) for member in members]

    def _chord(self, args: tuple[Any, ...], header: list[Spec], body: Spec) -> Any:
        values = self._group(args, header)
        return CHORD_FAILED if failed(values) else self.of(body, (values,))

    def _link(self, args: tuple[Any, ...], spec: Spec, key: str) -> Any:
        value = self.of(spec, args)
        if not failed(value):
            self.notes.add((key, value))
        return value

    def _link_error(self, args: tuple[Any, ...], spec: Spec, key: str) -> Any:
        value = self.of(spec, args)
        if failed(value):
            self.notes.add((key, "error"))
        return value


def failed(value: Any) -> bool:
    """Whether an outcome, or one in it, is a failure."""
    return any(map(failed, value)) if isinstance(value, list) else value in (FAILED, CHORD_FAILED)


class Builder:
    """Builds canvases with the package of an app."""

    def __init__(self, app: Any, package: str) -> None:
        self._app = app
        self._canvas = import_module(f"{package}.canvas")

    def build(self, spec: Spec) -> Any:
        """The signature of a canvas."""
        return getattr(self, f"_{spec[0]}")(*spec[1:])

    def _task(self, name: str, n: int) -> Any:
        return self._app.tasks[f"proj.{name}"].s(n=n)

    def _chain(self, steps: list[Spec]) -> Any:
        return self._canvas.chain(*map(self.build, steps), app=self._app)

    def _group(self, members: list[Spec]) -> Any:
        return self._canvas.group(*map(self.build, members), app=self._app)

    def _chord(self, header: list[Spec], body: Spec) -> Any:
        return self._canvas.chord(list(map(self.build, header)), self.build(body), app=self._app)

    def _link(self, spec: Spec, key: str) -> Any:
        signature = self.build(spec)
        signature.link(self._app.tasks["proj.note"].s(key=key))
        return signature

    def _link_error(self, spec: Spec, key: str) -> Any:
        signature = self.build(spec)
        signature.link_error(self._app.tasks["proj.note_error"].s(key=key))
        return signature


if __name__ == "__main__":
    package = sys.argv[1]
    builder = Builder(make(package, os.environ["FLEET_URL"]), package)
    results = [builder.build(spec).apply_async() for spec in json.load(sys.stdin)]
    json.dump([result.as_tuple() for result in results], sys.stdout)
