"""Sending and getting messages with few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import kombu

OpenConnection = Callable[..., Any]


def send(connection: kombu.Connection, *bodies: Any, queue: str = "q", **options: Any) -> None:
    producer = connection.Producer()
    for body in bodies:
        producer.publish(body, routing_key=queue, **options)


def get(connection: kombu.Connection, queue: str = "q", **options: Any) -> Any:
    return connection.default_channel.basic_get(queue, **options)


@contextmanager
def consuming(connection: kombu.Connection, queue: str = "q", **options: Any) -> Iterator[list[Any]]:
    got: list[Any] = []
    consumer = connection.Consumer(kombu.Queue(queue), on_message=got.append, **options)
    with consumer:
        yield got
