"""What Celery left in Redis: messages that kombu's own Redis transport put there, where svcjobs doesn't look."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

#: Between the name of a queue and a priority in the name of kombu's list.
_SEPARATOR = "\x06\x16"
_PRIORITIES = (0, 3, 6, 9)
_UNACKED = "unacked"


def count_leftovers(connection: Any, queues: Iterable[str]) -> dict[str, int]:
    """Count messages of queues that lie in kombu's lists on the server of ``connection``.

    Parameters:
        connection: an open connection of this package; ``memory://`` has none.
        queues: their names.

    Returns:
        dict[str, int]: only those with messages; ``unacked`` are those that Celery's workers hold, or died with.

    Raises:
        redis.RedisError: the server doesn't answer.
    """
    transport = connection.connection
    client = getattr(transport, "server", None)
    if client is None:
        return {}
    options: Mapping[str, Any] = connection.transport_options or {}
    prefix = options.get("global_keyprefix") or ""
    steps = options.get("priority_steps") or _PRIORITIES
    separator = options.get("sep") or _SEPARATOR
    names = list(dict.fromkeys(queues))
    pipe = client.pipeline(transaction=False)
    for name in names:
        for step in steps:
            pipe.llen(f"{prefix}{name}{separator}{step}" if step else f"{prefix}{name}")
    pipe.hlen(f"{prefix}{options.get('unacked_key') or _UNACKED}")
    # a key of another type under the same name is none of kombu's
    answers = [answer if isinstance(answer, int) else 0 for answer in pipe.execute(raise_on_error=False)]
    width = len(steps)
    found = {name: sum(answers[index * width : (index + 1) * width]) for index, name in enumerate(names)}
    found[_UNACKED] = answers[-1]
    return {name: count for name, count in found.items() if count}


def warn_of_leftovers(connection: Any, queues: Iterable[str]) -> dict[str, int]:
    """Log a warning about what :func:`count_leftovers` finds, and return that. For workers, when they start."""
    found = count_leftovers(connection, queues)
    if found:
        logger.warning(
            "messages that Celery put there wait in lists of kombu, and no worker of svcjobs sees them: %s. "
            "Move them with `svcjobs bridge --from` this URL `--queues` these, or let a worker of Celery finish them.",
            ", ".join(f"{name} ({count})" for name, count in found.items()),
        )
    return found
