"""With what, and where, a result was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from tests.server_program import ServerProgram


@dataclass(frozen=True, slots=True)
class Environment:
    """Versions and machine. ``load`` is the average of one minute when it began: 0 is an idle machine."""

    measured_at: str
    server: str
    python: str
    packages: dict[str, str]
    cpu: str
    cores: int
    memory_gib: float
    system: str
    load: float

    def lines(self) -> list[str]:
        """The same for people to read."""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        lines = [
            f"{self.measured_at}: {self.server}, Python {self.python}, {packages}",
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:.1f} GiB, {self.system}, load before: {self.load:.1f}",
        ]
        if self.load > self.cores / 2:
            lines.append("Other programs kept the machine busy: rates and pick-up were worse than it can do.")
        return lines

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return asdict(self)


def look_around(program: ServerProgram, more: Mapping[str, str] = MappingProxyType({})) -> Environment:
    """This machine, now; ``more`` are versions of further packages."""
    return Environment(
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        server=f"{program.version} ({program.origin})",
        python=platform.python_version(),
        packages={name: version(name) for name in ("svcjobs", "redis", "hiredis")} | dict(more),
        cpu=_cpu_name(),
        cores=os.cpu_count() or 0,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        system=f"{platform.system()} {platform.release()}",
        load=os.getloadavg()[0],
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
