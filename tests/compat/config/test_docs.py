"""The page on settings has all that have no effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcjobs_celery_compat.app.unsupported import INSTEAD

PAGE = (Path(__file__).parents[3] / "docs" / "celery-names-and-settings.md").read_text()


@pytest.mark.parametrize("name", INSTEAD)
def test_a_setting_without_effect_is_documented(name: str) -> None:
    rows = [row for row in PAGE.splitlines() if f"`{name}`" in row or f"`{name.partition('_')[0]}_*`" in row]
    assert any(row.endswith(f"| {INSTEAD[name]} |") for row in rows)
