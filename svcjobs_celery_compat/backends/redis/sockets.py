"""Whether a socket has something to read."""

from __future__ import annotations

import selectors
from typing import Any

from svcjobs_celery_compat.backends import redis as names


def _socket_readable(sock: Any, timeout: float | None) -> bool:
    """Wait for `sock` to have something to read, for at most `timeout` seconds; None waits for ever.

    One that is closed has, too: whoever reads it finds out.
    """
    try:
        if not hasattr(names.select, "poll"):
            return _selected(sock, timeout)
        poller = names.select.poll()  # no limit on the number of the file descriptor, as select has one
        poller.register(sock, names.select.POLLIN | names.select.POLLPRI)
        return bool(poller.poll(None if timeout is None else timeout * 1000))
    except (OSError, ValueError):
        return True


def _selected(sock: Any, timeout: float | None) -> bool:
    with selectors.SelectSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(timeout))
