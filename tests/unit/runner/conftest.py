"""The queue of a runner's tests."""

from __future__ import annotations

import pytest

from svcjobs.memory_queue import InMemoryJobQueue


@pytest.fixture
def queue() -> InMemoryJobQueue:
    return InMemoryJobQueue()
