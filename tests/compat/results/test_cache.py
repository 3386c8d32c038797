"""The cache backend, as programs look at it."""

from __future__ import annotations

from typing import Any

import celery
import pytest

import svcjobs_celery_compat


@pytest.mark.parametrize("package", [celery, svcjobs_celery_compat], ids=lambda package: package.__name__)
def test_it_knows_its_url(package: Any) -> None:
    with package.Celery("cached", broker="memory://", backend="cache+memory://", set_as_current=False) as app:
        assert app.backend.url == "memory://"
