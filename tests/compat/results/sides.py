"""The same program on real Celery and on the facade, each in a database of its own; what is there afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import redis

from tests.eventually import eventually
from tests.servers import RedisServer

PACKAGES = {"celery": "celery", "facade": "svcjobs_celery_compat"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TOKEN = re.compile(r"\A[0-9a-f]{32}\Z")


@dataclass
class Side:
    """An app of one package, with a Redis database as its result backend.

    Args:
        package: name of the package.
        client: of the database.
        app: the app; it has the tasks ``body`` and ``errback``.
    """

    package: str
    client: redis.Redis
    app: Any
    sent: list[tuple[str, Any, Any]] = field(default_factory=list)

    @property
    def backend(self) -> Any:
        return self.app.backend

    def module(self, name: str) -> Any:
        return import_module(f"{self.package}.{name}")

    def request(self, **fields: Any) -> Any:
        """The request of a task."""
        return self.module("app.task").Context(**fields)

    def body(self, task_id: str, **options: Any) -> Any:
        """The body of a chord."""
        return self.app.signature("body", options={"task_id": task_id, **options})


def make_side(name: str, server: RedisServer, db: int, **conf: Any) -> Side:
    """A side, whose messages are kept in :attr:`Side.sent` instead of being sent."""
    package = PACKAGES[name]
    url = f"redis://127.0.0.1:{server.port}/{db}"
    app = import_module(package).Celery("proj", broker="memory://", backend=url, set_as_current=False)
    app.conf.update(conf)
    side = Side(package, redis.Redis.from_url(url), app)

    def body(values: Any) -> Any:
        return values

    def errback(task_id: str) -> str:
        return task_id

    app.task(name="body", shared=False)(body)
    app.task(name="errback", shared=False)(errback)

    def publish(producer: Any, task_name: str, message: Any, **options: Any) -> None:
        side.sent.append((task_name, message.body[0], options.get("headers")))

    app.amqp.__dict__["send_task_message"] = publish
    return side


@dataclass
class Stored:
    """What a program left behind: keys, and what it published."""

    keys: dict[str, Any]
    published: list[tuple[str, Any]]
    sent: list[Any]
    returned: Any


@contextmanager
def listening(client: redis.Redis) -> Iterator[list[tuple[str, bytes]]]:
    """All that is published while this is open, in the list once it is closed."""
    heard: list[tuple[str, bytes]] = []
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.psubscribe("*")
        eventually(lambda: client.pubsub_numpat() > 0)
        yield heard
        client.publish("end", "end")
        while (message := pubsub.get_message(timeout=5)) is None or message["channel"] != b"end":
            if message is not None:
                heard.append((message["channel"].decode(), message["data"]))


def run(side: Side, program: Callable[[Side], Any]) -> Stored:
    """Run `program`, and read what it left, with ids and times made equal."""
    side.client.flushdb()
    side.sent.clear()
    with listening(side.client) as heard:
        returned = program(side)
    names = Names()
    keys = {names.text(key.decode()): _described(side.client, key, names) for key in sorted(side.client.keys("*"))}
    published = [(names.text(channel), names.of(_decoded(data))) for channel, data in heard]
    return Stored(keys, published, names.of(list(side.sent)), names.of(returned))


class Names:
    """Gives ids the same names on both sides, in the order they are met, and leaves times and stacks out."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def text(self, text: str) -> str:
        if TOKEN.match(text):
            return "token"
        return UUID.sub(lambda match: self._ids.setdefault(match[0], f"id{len(self._ids)}"), text)

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            value = {self.of(key): self.of(each) for key, each in value.items()}
            if value.get("date_done"):
                value["date_done"] = "then"
            if value.get("traceback"):
                value["traceback"] = value["traceback"].strip().splitlines()[-1].removeprefix("svcjobs_celery_compat.")
                value["traceback"] = value["traceback"].removeprefix("celery.")
            return value
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value]
        return self.text(value) if isinstance(value, str) else value


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="backslashreplace")


def _described(client: redis.Redis, key: bytes, names: Names) -> tuple[str, int, Any]:
    kind = client.type(key).decode()
    ttl = client.ttl(key)
    if kind == "string":
        content: Any = names.of(_decoded(client.get(key)))
    elif kind == "zset":
        content = [(names.of(_decoded(each)), score) for each, score in client.zrange(key, 0, -1, withscores=True)]
    elif kind == "list":
        content = [names.of(_decoded(each)) for each in client.lrange(key, 0, -1)]
    else:
        content = sorted(names.of(_decoded(each)) for each in client.smembers(key))
    return kind, -1 if ttl < 0 else -(-ttl // 10), content  # to ten seconds: the programs take some
