"""Notes that are still being written."""

from __future__ import annotations

from pathlib import Path

from tests.notes import lines_of


def test_a_line_counts_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    assert lines_of(path) == []
    path.write_text("one\ntwo\nhal")
    assert lines_of(path) == ["one", "two"]
    path.write_text("hal")
    assert lines_of(path) == []
    path.write_text("one\n")
    assert lines_of(path) == ["one"]
