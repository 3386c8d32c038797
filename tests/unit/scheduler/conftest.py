"""The clock and the queue of a scheduler's tests."""

from __future__ import annotations

import pytest

from tests.unit.scheduler.doubles import Clock, FlakyQueue


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue() -> FlakyQueue:
    return FlakyQueue()
