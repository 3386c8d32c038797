"""The Python that a contender is installed in: ours, or one of its own, so that no two of them have to agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.contenders import WORKED

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "contenders"


def python_of(name: str) -> Path:
    """The interpreter of a contender; makes its environment on the first call, which takes pip some seconds.

    Raises:
        subprocess.CalledProcessError: pip couldn't install it; it has said why.
    """
    entry = WORKED[name]
    if entry.requirement is None:
        return Path(sys.executable)
    folder = CACHE / entry.module
    stamp = folder / entry.requirement.replace("/", "_")
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *entry.requirement.split()], check=True)
        stamp.touch()
    return folder / "bin" / "python"


def version_of(name: str) -> str:
    """The version of the contender that is installed."""
    asked = f"from importlib.metadata import version; print(version({WORKED[name].package!r}))"
    return subprocess.run([python_of(name), "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
