"""Publishing a message once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kombu.utils.encoding import ensure_bytes

_OF_DELIVERY = ("application_headers", "content_type", "content_encoding", "headers")


def republish(
    producer: Any,
    message: Any,
    exchange: Any = None,
    routing_key: str | None = None,
    remove_props: Iterable[str] | None = None,
) -> None:
    """Publish a message once more, as it is.

    Args:
        producer: publishes.
        message: that was received.
        exchange: where to; its own when left out.
        routing_key: its own when left out.
        remove_props: properties to leave out.
    """
    remove = (*_OF_DELIVERY, *(remove_props or ()))
    properties = {name: value for name, value in message.properties.items() if name not in remove}
    headers = dict(message.headers)
    # the producer compresses, and sets the header anew
    compression = headers.pop("compression", None)
    expiration = properties.pop("expiration", None)
    if expiration is not None:
        properties["expiration"] = float(expiration) / 1000  # kombu takes seconds, and sends milliseconds
    producer.publish(
        ensure_bytes(message.body),
        exchange=message.delivery_info["exchange"] if exchange is None else exchange,
        routing_key=message.delivery_info["routing_key"] if routing_key is None else routing_key,
        compression=compression,
        headers=headers,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        **properties,
    )


def migrate_task(producer: Any, body_: Any, message: Any, queues: Mapping[str, str] | None = None) -> None:
    """Publish one task message on another broker.

    Args:
        producer: of the other broker.
        body_: left for its place.
        message: the message.
        queues: new names by old ones, for exchange and routing key.
    """
    names = queues or {}
    info = message.delivery_info
    republish(
        producer,
        message,
        exchange=names.get(info["exchange"]),
        routing_key=names.get(info["routing_key"]),
    )


def expand_dest(ret: Any, exchange: Any, routing_key: Any) -> tuple[Any, Any]:
    """The pair that a predicate returned, or the default one."""
    try:
        ex, rk = ret
    except (TypeError, ValueError):
        return exchange, routing_key
    return ex, rk
