"""How the process that answers for a worker asks those that run its tasks: lines of JSON over a local socket.

The socket lies in a folder that only the worker's user can enter. Each process connects by itself, and again when the
answering one was replaced.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 0.8
"""How long an answer may take; remote control waits for a second."""
AGAIN_SECONDS = 0.3

Obey = Callable[[str, Mapping[str, Any]], Any]


class Switchboard:
    """The answering process's end.

    Args:
        path: of the socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._lines: dict[int, _Line] = {}
        self._number = 0
        self._orders: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def open(self) -> None:
        """Listen, in a thread."""
        Path(self._path).unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(self._path)
        self._server.listen(64)
        threading.Thread(target=self._accept, name="celery-switchboard", daemon=True).start()

    @property
    def pids(self) -> list[int]:
        """The processes that are connected."""
        with self._lock:
            return sorted(self._lines)

    def wait_for(self, count: int, stopping: Callable[[], bool]) -> None:
        """Return when so many processes are connected, or when they aren't wanted any more."""
        while len(self.pids) < count and not stopping():
            time.sleep(0.02)

    def order(self, command: str, arguments: Mapping[str, Any]) -> list[Any]:
        """A :meth:`call` that processes which come later obey too, in the order of the last calls."""
        text = dumps([command, dict(arguments)])
        with self._lock:
            self._orders.pop(text, None)
            self._orders[text] = command, arguments
        return self.call(command, arguments)

    def call(self, command: str, arguments: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> list[Any]:
        """Let every process obey; returns the answers of those that gave one in time."""
        with self._lock:
            self._number += 1
            number, lines = self._number, list(self._lines.values())
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asked = [line for line in lines if line.ask(number, command, arguments, answers)]
        deadline = time.monotonic() + seconds
        got = []
        for _ in asked:
            try:
                got.append(answers.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                logger.warning("A process of this worker doesn't answer %r in time", command)
                break
        return got

    def close(self) -> None:
        """Listen no more."""
        self._server.close()
        Path(self._path).unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=[end], name="celery-line", daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        line = _Line(end)
        with contextlib.suppress(OSError, ValueError):
            pid = int(line.read()["pid"])
            with self._lock:
                self._lines[pid] = line
                for command, arguments in self._orders.values():
                    line.ask(0, command, arguments, queue.SimpleQueue())
            try:
                while True:
                    line.answer(line.read())
            finally:
                with self._lock:
                    if self._lines.get(pid) is line:
                        del self._lines[pid]
        end.close()


class _Line:
    """The connection of one process."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._file = end.makefile("rb")
        self._asked: dict[int, queue.SimpleQueue[Any]] = {}

    def read(self) -> dict[str, Any]:
        """The next message.

        Raises:
            OSError: there comes no more.
            ValueError: it is none.
        """
        text = self._file.readline()
        if not text:
            raise ConnectionResetError
        message: dict[str, Any] = json.loads(text)
        return message

    def ask(self, number: int, command: str, arguments: Mapping[str, Any], answers: queue.SimpleQueue[Any]) -> bool:
        """Send a command; False when nobody is there."""
        self._asked[number] = answers
        try:
            self._end.sendall(dumps([number, command, dict(arguments)]).encode() + b"\n")
        except OSError:
            self._asked.pop(number, None)
            return False
        return True

    def answer(self, message: dict[str, Any]) -> None:
        """An answer has come."""
        answers = self._asked.pop(message["number"], None)
        if answers is not None:
            answers.put(message["answer"])


class Link:
    """The end of a process that runs tasks; it obeys in a thread.

    Args:
        path: of the socket.
        obey: what is called with each command and its arguments.
    """

    def __init__(self, path: str, obey: Obey) -> None:
        self._path = path
        self._obey = obey

    def start(self) -> None:
        """Connect, and obey from now on."""
        threading.Thread(target=self._run, name="celery-link", daemon=True).start()

    def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
                end.connect(self._path)
                end.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\n")
                with end.makefile("rb") as lines:
                    for text in lines:
                        self._answer(end, text)
            time.sleep(AGAIN_SECONDS)

    def _answer(self, end: socket.socket, text: bytes) -> None:
        number, command, arguments = json.loads(text)
        try:
            answer = self._obey(command, arguments)
        except Exception:
            logger.exception("The command %r failed in process %d", command, os.getpid())
            answer = None
        end.sendall(dumps({"number": number, "answer": answer}).encode() + b"\n")
