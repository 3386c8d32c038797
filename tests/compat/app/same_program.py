"""A program that calls tasks in every documented way, and prints what it sees as JSON.

It runs in a process of its own, once with Celery and once with the facade: ``python same_program.py celery``.
"""

from __future__ import annotations

import json
import sys
import warnings
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

PACKAGE = sys.argv[1]
warnings.simplefilter("ignore")


def load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = import_module(f"{PACKAGE}.{module}" if module else PACKAGE)
    return getattr(found, attribute) if attribute else found


Celery, chain, group, chord = (load(f":{name}") for name in ("Celery", "chain", "group", "chord"))
app = Celery("same", broker="memory://", backend="cache+memory://", set_as_current=True)
app.conf.task_send_sent_event = True
MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
sent: list[dict[str, Any]] = []


class Recorder:
    """Stands for a kombu producer."""

    serializer = "json"

    def __init__(self) -> None:
        self.connection = self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def _reraise_as_library_errors(self) -> Any:
        return self

    def publish(self, body: Any, **options: Any) -> None:
        sent.append({"body": body, **options})


recorder = Recorder()


@app.task(name="add")
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(bind=True, name="again", max_retries=5, default_retry_delay=7)
def again(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise self.retry(countdown=3)


@app.task(
    name="loaded", time_limit=30, soft_time_limit=20, serializer="json", expires=60, ignore_result=True,
    rate_limit="10/m", acks_late=True, track_started=True, throws=(KeyError,), compression="gzip",
)  # fmt: skip
def loaded() -> None:
    pass


def plain(value: Any) -> Any:
    """What JSON holds, with what differs from run to run taken out."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return f"<{type(value).__name__} {getattr(value, 'name', '')}>"


CALLS: dict[str, Any] = {
    "plain": lambda: add.apply_async((1, 2)),
    "keywords": lambda: add.apply_async((1,), {"y": 2}),
    "no arguments": lambda: loaded.apply_async(),
    "task id": lambda: add.apply_async((1,), task_id="the-id"),
    "eta": lambda: add.apply_async((1,), eta=MOMENT),
    "eta as text": lambda: add.apply_async((1,), eta=MOMENT.isoformat()),
    "expires": lambda: add.apply_async((1,), expires=MOMENT),
    "expires without zone": lambda: add.apply_async((1,), expires=MOMENT.replace(tzinfo=None)),
    "queue": lambda: add.apply_async((1,), queue="other"),
    "exchange and key": lambda: add.apply_async((1,), exchange="ex", routing_key="key"),
    "priority": lambda: add.apply_async((1,), priority=7),
    "priority 0": lambda: add.apply_async((1,), priority=0),
    "serializer": lambda: add.apply_async((1,), serializer="yaml"),
    "compression": lambda: add.apply_async((1,), compression="zlib"),
    "headers": lambda: add.apply_async((1,), headers={"tenant": "a"}),
    "limits": lambda: add.apply_async((1,), time_limit=9, soft_time_limit=8),
    "link": lambda: add.apply_async((1,), link=add.s(5)),
    "links": lambda: add.apply_async((1,), link=[add.s(5), add.si(6)], link_error=[add.s(7)]),
    "shadow": lambda: add.apply_async((1,), shadow="shown"),
    "reprs": lambda: add.apply_async((1,), argsrepr="(?)", kwargsrepr="{?}"),
    "ignored": lambda: add.apply_async((1,), ignore_result=True),
    "retry off": lambda: add.apply_async((1,), retry=False),
    "retry policy": lambda: add.apply_async((1,), retry_policy={"max_retries": 9}),
    "stamped": lambda: add.apply_async((1,), stamped_headers=["tenant"], tenant="a"),
    "in a group": lambda: add.apply_async((1,), group_id="g", group_index=2),
    "of a parent": lambda: add.apply_async((1,), root_id="root", parent_id="parent"),
    "delivery mode": lambda: add.apply_async((1,), delivery_mode=1),
    "long arguments": lambda: add.apply_async(("x" * 2000,), {"y": {"a": {"b": {"c": {"d": 1}}}}}),
    "replies": lambda: add.apply_async((1,), reply_to="someone"),
    "by name": lambda: app.send_task("unknown.task", (1,), {"a": 1}, queue="q"),
    "by a known name": lambda: app.send_task("loaded"),
    "by a known name, changed": lambda: app.send_task("loaded", time_limit=None, expires=None),
    "chain": lambda: chain(add.s(1, 2), add.s(3), add.s(4)).apply_async(),
    "group": lambda: group(add.s(n, n) for n in range(3)).apply_async(),
    "chord": lambda: chord([add.s(1, 1), add.s(2, 2)], add.s(3)).apply_async(),
}


def messages() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, call in CALLS.items():
        sent.clear()
        call()
        seen[name] = plain(sent)
    return seen


def retries() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    request = {
        "id": "the-id", "args": (1,), "kwargs": {"y": 2}, "called_directly": False, "root_id": "root", "parent_id": "p",
        "delivery_info": {"exchange": "", "routing_key": "other", "priority": 4}, "retries": 2, "timelimit": [9, 8],
        "headers": {"tenant": "a"}, "callbacks": [add.s(1)], "errbacks": [add.s(2)], "group": "g", "group_index": 1,
        "reply_to": "someone", "shadow": "shown", "stamped_headers": ["s"], "stamps": {"s": "v"}, "ignore_result": True,
        "origin": "elsewhere",
    }  # fmt: skip
    for name, options in {
        "as it was": {"eta": MOMENT},
        "other arguments": {"args": (9,), "eta": MOMENT},
        "other keywords": {"kwargs": {"y": 9}, "eta": MOMENT},
        "other queue": {"queue": "third", "eta": MOMENT, "priority": 1, "expires": MOMENT},
        "too many": {"max_retries": 1},
        "too many, with a reason": {"max_retries": 1, "exc": KeyError("why")},
    }.items():
        sent.clear()
        again.push_request(**request)
        try:
            again.retry(**options)
        except Exception as error:  # compared
            seen[name] = [type(error).__name__, str(error), plain(sent)]
        finally:
            again.pop_request()
    return seen


def defaults() -> dict[str, Any]:
    names = (
        "name", "typing", "max_retries", "default_retry_delay", "rate_limit", "ignore_result", "trail", "send_events",
        "store_errors_even_if_ignored", "serializer", "time_limit", "soft_time_limit", "track_started", "acks_late",
        "acks_on_failure_or_timeout", "reject_on_worker_lost", "throws", "expires", "priority", "resultrepr_maxsize",
        "abstract", "store_eager_result",
    )  # fmt: skip
    classes = {"add": add, "loaded": loaded, "Task": load(":Task")}
    return {kind: {name: plain(getattr(task, name, None)) for name in names} for kind, task in classes.items()}


def eager() -> dict[str, Any]:
    seen: dict[str, Any] = {}

    @app.task(bind=True, name="look", max_retries=2, shared=False)
    def look(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("retries", 0) > self.request.retries:
            raise self.retry(countdown=0)
        if kwargs.get("fails"):
            raise ValueError("so it is")
        request = self.request
        return [request.retries, request.is_eager, list(request.args), request.delivery_info, request.headers]

    for name, call in {
        "plain": lambda: look.apply((1,)),
        "options": lambda: look.apply((1,), priority=3, routing_key="key", exchange="ex", headers={"a": 1}),
        "retried": lambda: look.apply((), {"retries": 2}),
        "retried too often": lambda: look.apply((), {"retries": 3}),
        "failed": lambda: look.apply((), {"fails": True}),
        "chain": lambda: (add.s(1, 2) | add.s(3)).apply(),
        "group": lambda: group(add.s(1, 1), add.s(2, 2)).apply(),
    }.items():
        result = call()
        state = result.state if hasattr(result, "state") else [each.state for each in result.results]
        value = result.result if hasattr(result, "result") else [each.result for each in result.results]
        seen[name] = [plain(state), repr(value) if isinstance(value, Exception) else plain(value)]
    return seen


def errors() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, call in {
        "too few": lambda: add.delay(),
        "too many": lambda: add.delay(1, 2, 3),
        "unknown": lambda: add.delay(1, z=3),
        "args no list": lambda: app.send_task("x", "abc"),
        "kwargs no mapping": lambda: app.send_task("x", (), [1]),
        "far in the past": lambda: app.send_task("x", countdown=-99999999999),
        "limits": lambda: app.task(name="limited", time_limit=3, soft_time_limit=5, shared=False)(plain).delay("x"),
        "unregistered": lambda: app.tasks["nowhere"],
        "not a function": lambda: app.task(1),
    }.items():
        try:
            call()
        except Exception as error:  # compared
            seen[name] = [type(error).__name__, str(error)]
        else:
            seen[name] = "no error"
    return seen


app.producer_or_acquire = lambda producer=None: recorder
app.finalize()
print(
    json.dumps(
        {
            "messages": messages(),
            "retries": retries(),
            "defaults": defaults(),
            "eager": eager(),
            "errors": errors(),
        }
    )
)
