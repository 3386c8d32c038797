"""A server for development, which lives as long as one command."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Self

from svcjobs.errors import ConfigurationError
from svcjobs.process import is_tied_to
from svcjobs.server_program import ServerProgram

START_SECONDS = 20.0
STOP_SECONDS = 5.0


class DevServer:
    """Listens on a socket file in a temporary folder, which only this user can enter, and keeps nothing on disk.

    A context manager: the server runs inside of it.

    Args:
        program: what to start.
    """

    def __init__(self, program: ServerProgram) -> None:
        self._program = program

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"unix://{self._socket}?db=0"

    def __enter__(self) -> Self:
        """Start.

        Raises:
            ConfigurationError: it didn't start; the message holds the end of its log.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="svcjobs-dev-"))
        self._socket = self._folder / "redis.sock"
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "no",
        }
        command = [str(self._program.path)]
        for name, value in settings.items():
            command += [f"--{name}", value]
        with (self._folder / "log").open("wb") as log:
            # a group of its own: Ctrl-C reaches the worker first, which still has to settle its jobs
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
                preexec_fn=partial(is_tied_to, os.getpid()),
            )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and remove the folder."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace").strip()[-500:]
                raise ConfigurationError(f"{self._program} didn't start: {text}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self._socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False
