"""Which files a change is looked for in, and that every kind of change is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from svcjobs.source_files import changes, snapshot


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_python_files_at_any_depth_are_taken(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.py"), write(tmp_path / "shop" / "jobs" / "b.py")
    write(tmp_path / "notes.txt")
    assert snapshot(tmp_path).keys() == {str(one), str(two)}


@pytest.mark.parametrize("folder", [".venv", ".git", "__pycache__", "node_modules", "lib/site-packages"])
def test_what_is_nobodys_source_is_left_out(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder / "a.py")
    assert snapshot(tmp_path) == {}


def test_a_virtual_environment_of_any_name_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "env" / "pyvenv.cfg")
    write(tmp_path / "env" / "bin" / "a.py")
    assert snapshot(tmp_path) == {}


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    file = write(tmp_path / "shop" / "a.py")
    (tmp_path / "shop" / "again").symlink_to(tmp_path)
    assert snapshot(tmp_path).keys() == {str(file)}


def test_a_dangling_link_and_a_missing_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert snapshot(tmp_path) == {}
    assert snapshot(tmp_path / "missing") == {}


def test_new_changed_and_removed_files_are_changes(tmp_path: Path) -> None:
    same, changed, touched, removed = (
        write(tmp_path / f"{name}.py") for name in ("same", "changed", "touched", "removed")
    )
    before = snapshot(tmp_path)
    assert changes(before, snapshot(tmp_path)) == []
    at = same.stat().st_mtime_ns
    changed.write_text("x = 1")
    os.utime(changed, ns=(at, at))
    os.utime(touched, ns=(at, at + 1))
    removed.unlink()
    new = write(tmp_path / "new.py")
    assert changes(before, snapshot(tmp_path)) == sorted(map(str, (changed, touched, removed, new)))
