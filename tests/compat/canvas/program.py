"""Builds canvases with Celery or with the facade, and prints what they are, what they send and what comes out.

``python program.py PACKAGE [--fold]`` reads a list of canvases as JSON from stdin, and writes a list of observations to
stdout. PACKAGE is ``celery`` or ``svcjobs_celery_compat``, which with ``--fold`` stores all steps but the next one.
"""

from __future__ import annotations

import importlib
import json
import operator
import sys
from collections import deque
from functools import reduce
from typing import Any, Self
from unittest.mock import patch


class Program:
    """An app of a few tasks, and the canvases of them."""

    def __init__(self, package: str) -> None:
        root = importlib.import_module(package)
        self.canvas = importlib.import_module(f"{package}.canvas")
        self.app = root.Celery("program", broker="memory://", backend="cache+memory://", set_as_current=True)
        self.app.set_default()
        self.ignore = importlib.import_module(f"{package}.exceptions").Ignore
        self.allow = importlib.import_module(f"{package}.result").allow_join_result

        @self.app.task(name="pack", shared=False)
        def pack(*args: Any, **kwargs: Any) -> Any:
            return ["pack", *args, *kwargs.items()]

        @self.app.task(name="tag", shared=False)
        def tag(*args: Any, **kwargs: Any) -> Any:
            return ["tag", *args, *kwargs.items()]

        @self.app.task(name="total", shared=False)
        def total(*args: Any, **kwargs: Any) -> Any:
            return len(json.dumps(args))

        @self.app.task(name="nothing", shared=False)
        def nothing(*args: Any, **kwargs: Any) -> Any:
            return None

        @self.app.task(name="fail", shared=False)
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise ValueError(f"fail{args}")

        self.app.finalize()

    def build(self, spec: Any) -> Any:
        form, *rest = spec
        return getattr(self, f"_{form}")(*rest)

    def _task(self, name: str, args: list[Any], kwargs: dict[str, Any], options: dict[str, Any]) -> Any:
        options = dict(options)
        sig = self.app.tasks[name].s(*args, **kwargs)
        return sig.set(**options)

    def _chain(self, steps: list[Any]) -> Any:
        return self.canvas.chain(*[self.build(step) for step in steps])

    def _pipe(self, steps: list[Any]) -> Any:
        return reduce(operator.or_, [self.build(step) for step in steps])

    def _group(self, members: list[Any]) -> Any:
        return self.canvas.group([self.build(member) for member in members])

    def _chord(self, header: list[Any], body: Any) -> Any:
        return self.canvas.chord([self.build(member) for member in header], self.build(body))

    def _map(self, name: str, items: list[Any]) -> Any:
        return self.app.tasks[name].map(items)

    def _starmap(self, name: str, items: list[Any]) -> Any:
        return self.app.tasks[name].starmap(items)

    def _link(self, spec: Any, callback: Any) -> Any:
        sig = self.build(spec)
        if not self._empty(sig):
            sig.link(self.build(callback))
        return sig

    def _link_error(self, spec: Any, errback: Any) -> Any:
        sig = self.build(spec)
        if not self._empty(sig):
            sig.link_error(self.build(errback))
        return sig

    def _empty(self, sig: Any) -> bool:
        return isinstance(sig, self.canvas.group) and not sig.tasks

    def _stamp(self, spec: Any, value: int) -> Any:
        class Visitor(self.canvas.StampingVisitor):  # type: ignore[name-defined,misc]
            def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
                return {"seen": value}

            def on_callback(self, callback: Any, **headers: Any) -> dict[str, Any]:
                return {"callback": value}

            def on_errback(self, errback: Any, **headers: Any) -> dict[str, Any]:
                return {"errback": value}

        sig = self.build(spec)
        sig.stamp(Visitor())
        return sig

    def _clone(self, spec: Any) -> Any:
        return self.build(spec).clone()

    def _json(self, spec: Any) -> Any:
        return self.canvas.signature(json.loads(json.dumps(self.build(spec))), app=self.app)

    def observe(self, spec: Any) -> dict[str, Any]:
        return {
            "written": self.guarded(self.written, spec),
            "frozen": self.guarded(self.frozen, spec),
            "sent": self.guarded(self.sent, spec),
            "run": self.guarded(self.run, spec),
            "run after json": self.guarded(self.run, ["json", spec]),
            "eager": self.guarded(self.eager, spec),
        }

    def guarded(self, what: Any, spec: Any) -> Any:
        try:
            return json.loads(json.dumps(what(spec)))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def written(self, spec: Any) -> Any:
        sig = self.build(spec)
        again = self.canvas.signature(json.loads(json.dumps(sig)), app=self.app)
        return {
            "json": sig,
            "repr": repr(sig),
            "round trip": json.loads(json.dumps(again)) == json.loads(json.dumps(sig)),
        }

    def frozen(self, spec: Any) -> Any:
        sig = self.build(spec)
        result = sig.freeze()
        return {"json": sig, "result": result.as_tuple()}

    def sent(self, spec: Any) -> Any:
        with Wire(self) as wire:
            result = self.build(spec).apply_async((1000,))
        return {"messages": wire.messages, "result": result.as_tuple()}

    def run(self, spec: Any) -> Any:
        with Wire(self) as wire:
            result = self.build(spec).apply_async((1000,))
            wire.work()
        return {"ran": sorted(wire.ran, key=repr), "values": wire.values_of(result.as_tuple())}

    def eager(self, spec: Any) -> Any:
        with self.allow():
            return self.build(spec).apply((1000,)).get()


class Wire:
    """What is sent, kept in memory, and a worker of a few lines that runs it as the message protocol says."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.messages: list[Any] = []
        self.waiting: deque[Any] = deque()
        self.sizes: dict[str, int] = {}
        self.parts: dict[str, list[Any]] = {}
        self.ran: list[Any] = []
        self.values: dict[str, Any] = {}

    def __enter__(self) -> Self:
        app = self.program.app
        self.patches = [
            patch.object(app.amqp, "send_task_message", self.send),
            patch.object(app.backend, "apply_chord", lambda *args, **kwargs: None),
            patch.object(app.backend, "set_chord_size", self.sizes.__setitem__),
        ]
        for each in self.patches:
            each.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for each in self.patches:
            each.stop()

    def send(self, producer: Any, name: str, message: Any, **options: Any) -> None:
        headers = {
            key: value for key, value in message.headers.items() if key not in ("origin", "argsrepr", "kwargsrepr")
        }
        headers["eta"] = headers["eta"] is not None
        body = json.loads(json.dumps(message.body))
        queue = options.get("queue")
        options = {key: options.get(key) for key in ("priority", "routing_key", "exchange")}
        options["queue"] = getattr(queue, "name", queue)
        self.messages.append(
            {"name": name, "headers": json.loads(json.dumps(headers)), "body": body, "options": options}
        )
        self.waiting.append((name, message.headers, body))

    def work(self) -> None:
        while self.waiting:
            name, headers, (args, kwargs, embed) = self.waiting.popleft()
            signature = self.program.canvas.maybe_signature
            task = self.program.app.tasks[name]
            if name == "svcjobs.unfold":  # ours alone: it takes the place of steps
                self.unfold(task, headers, args, embed["chain"])
                continue
            value = json.loads(json.dumps(task.run(*args, **kwargs)))
            self.ran.append([name, args, kwargs])
            self.values[headers["id"]] = value
            place = {"root_id": headers["root_id"], "parent_id": headers["id"]}
            for callback in embed["callbacks"] or ():
                signature(callback, app=self.program.app).apply_async((value,), **place)
            if embed["chain"]:
                step = signature(embed["chain"].pop(), app=self.program.app)
                step.apply_async((value,), chain=embed["chain"], **place)
            if embed["chord"]:
                self.part(headers["group"], headers["group_index"], value, embed["chord"])

    def unfold(self, task: Any, headers: Any, args: Any, chain: Any) -> None:
        task.push_request(id=headers["id"], root_id=headers["root_id"], parent_id=headers["parent_id"], chain=chain)
        try:
            task.run(*args)
        except self.program.ignore:
            pass
        finally:
            task.pop_request()

    def part(self, group_id: str, index: int, value: Any, body: Any) -> None:
        parts = self.parts.setdefault(group_id, [])
        parts.append((index, len(parts), value))
        if len(parts) == self.sizes[group_id]:
            values = [part for *_, part in sorted(parts)]
            self.program.canvas.maybe_signature(body, app=self.program.app).delay(values)

    def values_of(self, node: Any) -> Any:
        if node is None:
            return None
        (own_id, parent), children = node
        value = (
            [self.values_of(child) for child in children] if children is not None else self.values.get(own_id, "none")
        )
        return {"value": value, "parent": self.values_of(parent)}


if __name__ == "__main__":
    program = Program(sys.argv[1])
    if "--fold" in sys.argv:
        folded = importlib.import_module(f"{sys.argv[1]}.canvas.folded")
        folded.LIMIT = folded.PART = 0
    json.dump([program.observe(spec) for spec in json.load(sys.stdin)], sys.stdout)
