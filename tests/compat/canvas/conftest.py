"""An app in memory, and its canvases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcjobs_celery_compat import _state
from tests.compat.canvas.program import Program


@pytest.fixture
def program() -> Iterator[Program]:
    """An app with a few tasks, the current one while the test runs."""
    before = _state._tls.current_app, _state.default_app
    yield Program("svcjobs_celery_compat")
    _state._tls.current_app, default = before[0], before[1]
    _state.set_default_app(default)
