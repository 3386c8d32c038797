"""Source distributions from the package index, for the tests in them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


class NoSdist(Exception):
    """It can't be had from the package index."""


def unpacked(package: str, release: str, part: str, cache: Path) -> Path:
    """A folder with ``part`` of a source distribution, and nothing else of it; it is fetched once.

    Args:
        package: its name, as in the names of files.
        release: its version.
        part: a folder in it; all of it when that is empty.
        cache: where it is kept.

    Raises:
        NoSdist: there is no network, or no such release.
    """
    name = f"{package}-{release}"
    home = cache / name
    if (home / part).is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package]
        if subprocess.run([*download, "--dest", folder, f"{package}=={release}"], check=False).returncode:
            raise NoSdist(f"{package}=={release} can't be fetched from the package index")
        (archive,) = Path(folder).glob(f"{name}.tar.gz")
        with tarfile.open(archive) as tar:
            wanted = [member for member in tar if member.name.startswith(f"{name}/{part}/" if part else f"{name}/")]
            tar.extractall(folder, wanted, filter="data")
        with contextlib.suppress(OSError):  # another process was faster
            (Path(folder) / name).rename(home)
    return home
