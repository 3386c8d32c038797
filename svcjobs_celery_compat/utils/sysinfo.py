"""What this system has: load, disk space, CPUs."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

from kombu.utils.objects import cached_property

__all__ = (
    "AUTO_CONCURRENCY",
    "CpuBudget",
    "available_cpu_count",
    "cgroup_cpu_quota",
    "cpu_budget",
    "df",
    "is_auto_concurrency",
    "load_average",
)

#: The value of ``--concurrency`` that means: as the system allows.
AUTO_CONCURRENCY = "auto"

CGROUP_ROOT = "/sys/fs/cgroup"
PROC_SELF_CGROUP = "/proc/self/cgroup"

_DEFAULT_CPU_COUNT = 2


def load_average() -> tuple[float, ...]:
    """Return the load of the last 1, 5 and 15 minutes; zeros where the system doesn't tell."""
    if not hasattr(os, "getloadavg"):
        return 0.0, 0.0, 0.0
    return tuple(ceil(load * 100) / 100 for load in os.getloadavg())


class df:
    """The space of the file system that `path` is on."""

    def __init__(self, path: Any) -> None:
        self.path = path

    @property
    def total_blocks(self) -> float:
        """Its size in KiB."""
        return float(self.stat.f_blocks * self.stat.f_frsize / 1024)

    @property
    def available(self) -> float:
        """What is free for users, in KiB."""
        return float(self.stat.f_bavail * self.stat.f_frsize / 1024)

    @property
    def capacity(self) -> int:
        """What is used of it, in percent."""
        available = self.stat.f_bavail
        used = self.stat.f_blocks - self.stat.f_bfree
        return int(used * 100.0 / (used + available) + 1.5)

    @cached_property  # type: ignore[untyped-decorator]  # of kombu
    def stat(self) -> os.statvfs_result:
        """What the system tells."""
        return os.statvfs(os.path.abspath(self.path))  # noqa: PTH100 - a text, or bytes


def is_auto_concurrency(value: Any) -> bool:
    """Return whether `value` is the text ``auto``."""
    return isinstance(value, str) and value.strip().lower() == AUTO_CONCURRENCY


def available_cpu_count() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or os.cpu_count() or _DEFAULT_CPU_COUNT
    if hasattr(os, "sched_getaffinity"):
        try:
            return len(os.sched_getaffinity(0)) or os.cpu_count() or _DEFAULT_CPU_COUNT
        except OSError:
            pass  # not in every container
    return os.cpu_count() or _DEFAULT_CPU_COUNT


def _read_text(path: str) -> str | None:
    try:
        with open(path) as stream:  # noqa: PTH123 - the built-in, which tests replace
            return stream.read()
    except OSError:
        return None


def _parse_quota(quota_us: str, period_us: str) -> float | None:
    try:
        quota, period = int(quota_us), int(period_us)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read_v2_quota(cgroup_dir: str) -> tuple[str, str] | None:
    parts = (_read_text(f"{cgroup_dir}/cpu.max") or "").split()
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _read_v1_quota(cgroup_dir: str) -> tuple[str, str] | None:
    quota = _read_text(f"{cgroup_dir}/cpu.cfs_quota_us")
    period = _read_text(f"{cgroup_dir}/cpu.cfs_period_us")
    return None if quota is None or period is None else (quota.strip(), period.strip())


def _ancestors(path: str) -> list[str]:
    """Return a cgroup and all above it, as absolute paths."""
    here = posixpath.normpath("/" + path.lstrip("/"))
    found = [here]
    while here != "/":
        here = posixpath.dirname(here)
        found.append(here)
    return found


def _min_quota(base: str, cgroup_path: str, read: Callable[[str], tuple[str, str] | None]) -> float | None:
    """Return the least quota of a cgroup and those above it: each of them limits."""
    quotas = []
    for path in _ancestors(cgroup_path):
        limits = read(base + ("" if path == "/" else path))
        quota = _parse_quota(*limits) if limits else None
        if quota is not None:
            quotas.append(quota)
    return min(quotas, default=None)


def _cgroup_paths() -> tuple[str | None, str | None, str]:
    """Return this process's cgroup of version 2, that of version 1's CPU controller, and the names of that."""
    v2 = v1 = None
    controllers = "cpu"
    for line in (_read_text(PROC_SELF_CGROUP) or "").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            v2 = path
        elif "cpu" in names.split(","):
            v1, controllers = path, names
    return v2, v1, controllers


def cgroup_cpu_quota() -> float | None:
    """Return how many CPUs the container may use, as its cgroup says; None: it says nothing."""
    v2, v1, controllers = _cgroup_paths()
    quota = _min_quota(CGROUP_ROOT, v2 or "/", _read_v2_quota)
    if quota is not None:
        return quota
    for mount in dict.fromkeys(("cpu", controllers)):
        quota = _min_quota(f"{CGROUP_ROOT}/{mount}", v1 or "/", _read_v1_quota)
        if quota is not None:
            return quota
    return None


class CpuBudget(NamedTuple):
    """How many processes make sense here."""

    count: int  # type: ignore[assignment]  # processes; tuple has a method of that name
    available: int  #: CPUs of the system that this process may use
    quota: float | None  #: CPUs that the container may use


def cpu_budget(use_cgroup_quota: bool = True) -> CpuBudget:
    """Return how many processes make sense here.

    :param use_cgroup_quota: heed the container's quota.
    """
    available = available_cpu_count()
    quota = cgroup_cpu_quota() if use_cgroup_quota else None
    count = available if quota is None else max(1, min(available, ceil(quota)))
    return CpuBudget(count, available, quota)
