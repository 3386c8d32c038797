"""Ports for servers of tests, benchmarks and examples: none is given twice, whoever runs beside us."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path
from typing import BinaryIO

# Below the ephemeral range, so that no outgoing connection takes the port between a kill and a restart. The
# cluster bus, at port + 10000, is below it too.
PORTS = range(12000, 22000)
LOCKS = f"svcjobs-ports-{os.getuid()}"
KEPT = 500
"""So many of the last ports stay ours: a program may need long to listen on the one that it was given."""

_ours: deque[int] = deque()
_file: BinaryIO | None = None


def free_port() -> int:
    """A port that nobody listens on, and that no other process is given while this one lives.

    It is drawn apart from any seeded generator. Each port is a byte of one file, locked by whoever was given it; the
    kernel lets go of the locks of a process that ends.
    """
    draw = random.SystemRandom()
    while True:
        port = draw.choice(PORTS)
        if port in _ours or not _lock(port):
            continue
        _ours.append(port)
        if len(_ours) > KEPT:
            fcntl.lockf(_locks(), fcntl.LOCK_UN, 1, _ours.popleft())
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("", port))
            return port


def _lock(port: int) -> bool:
    with contextlib.suppress(OSError):
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    return False


def _locks() -> BinaryIO:
    global _file
    if _file is None:
        _file = (Path(tempfile.gettempdir()) / LOCKS).open("ab")
    return _file
