"""Random canvases, described in lists that both Celery and the facade build them from."""

from __future__ import annotations

import random
from typing import Any

Spec = list[Any]

DRESS = ("link", "link_error", "clone", "json", "stamp")

TASKS = ("pack", "tag", "total", "nothing")


def task(rng: random.Random) -> Spec:
    """``["task", name, args, kwargs, options]``."""
    options: dict[str, Any] = {}
    if rng.random() < 0.15:
        options["immutable"] = True
    if rng.random() < 0.15:
        options["queue"] = rng.choice(["slow", "fast"])
    if rng.random() < 0.1:
        options["priority"] = rng.randrange(10)
    if rng.random() < 0.05:
        options["countdown"] = 5
    if rng.random() < 0.05:
        options["headers"] = {"tenant": rng.randrange(5)}
    args = [rng.randrange(100) for _ in range(rng.randrange(3))]
    kwargs = {"k": rng.randrange(100)} if rng.random() < 0.2 else {}
    name = "fail" if rng.random() < 0.01 else rng.choice(TASKS)
    return ["task", name, args, kwargs, options]


def members(rng: random.Random, depth: int, least: int) -> list[Spec]:
    """Canvases for a group or a header."""
    found = [canvas(rng, depth) for _ in range(rng.randrange(least, 4))]
    return [member for member in found if not is_group(member)]


def steps(rng: random.Random, depth: int) -> list[Spec]:
    """Canvases for a chain, no group right after a group."""
    found = [canvas(rng, depth)]
    for _ in range(rng.randrange(1, 4)):
        step = canvas(rng, depth)
        found.append(task(rng) if is_group(end_of(found[-1], -1)) and is_group(end_of(step, 0)) else step)
    return found


def end_of(spec: Spec, at: int) -> Spec:
    """The first (0) or last (-1) in a canvas that isn't a chain; of a chord the header, as a group, or the body."""
    if spec[0] in DRESS:
        return end_of(spec[1], at)
    if spec[0] in ("chain", "pipe"):
        return end_of(spec[1][at], at)
    if spec[0] == "chord":
        return end_of(spec[2], at) if at == -1 else ["group", spec[1]]
    return spec


def canvas(rng: random.Random, depth: int) -> Spec:
    """A canvas of up to ``depth`` levels."""
    if depth == 0:
        return task(rng)
    form = rng.choices(["task", "chain", "group", "chord", "pipe", "map", "starmap"], [3, 6, 4, 4, 5, 0.5, 0.5])[0]
    if form == "task":
        spec = task(rng)
    elif form in ("chain", "pipe"):
        spec = [form, steps(rng, depth - 1)]
    elif form == "group":
        spec = ["group", members(rng, depth - 1, 0 if rng.random() < 0.2 else 1)]
    elif form == "chord":
        body = canvas(rng, depth - 1)
        spec = ["chord", members(rng, depth - 1, 1), task(rng) if is_group(body) else body]
    else:
        spec = [form, rng.choice(TASKS), [[rng.randrange(9)] for _ in range(rng.randrange(1, 4))]]
    if spec[0] == "task" and rng.random() < 0.1:
        spec = [rng.choice(["link", "link_error"]), spec, task(rng)]
    if rng.random() < 0.1:
        spec = [rng.choice(["clone", "json"]), spec]
    return spec


def dressed(rng: random.Random, spec: Spec) -> Spec:
    """The canvas, perhaps with links, then stamps; Celery treats those of a canvas in a canvas in ways of its own."""
    if rng.random() < 0.1 and not is_group(spec):
        spec = ["link", spec, task(rng)]
    if rng.random() < 0.1:
        spec = ["link_error", spec, task(rng)]
    if rng.random() < 0.1:
        spec = ["stamp", spec, rng.randrange(10)]
    return spec


def is_group(spec: Spec) -> bool:
    """Whether the canvas is a group, perhaps dressed.

    docs/adr/019 says what Celery makes of a group in a group, after a group, or as the body of a chord.
    """
    if spec[0] in DRESS:
        return is_group(spec[1])
    # a chain of empty groups and one that isn't is that group
    return spec[0] == "group" or (spec[0] in ("chain", "pipe") and all(is_group(step) for step in spec[1]))


def canvases(seed: int, count: int, depth: int = 3) -> list[Spec]:
    """``count`` canvases, the same for the same seed."""
    rng = random.Random(seed)
    return [dressed(rng, canvas(rng, rng.randrange(1, depth + 1))) for _ in range(count)]
