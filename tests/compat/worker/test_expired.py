"""What is told of a task that comes too late, on Celery and on ours."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest

from tests.eventually import eventually
from tests.servers import RedisServer


def work() -> None:
    """In time."""


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # by Celery
@pytest.mark.parametrize("name", ["celery", "svcjobs_celery_compat"])
def test_an_expired_task_is_revoked_and_was_not_received(name: str, own_server: RedisServer) -> None:
    package: Any = import_module(name)
    testing, signals = import_module(f"{name}.contrib.testing.worker"), import_module(f"{name}.signals")
    told: list[str] = []

    def received(request: Any = None, **_: Any) -> None:
        told.append(f"received {request.name}")

    def revoked(expired: bool = False, **_: Any) -> None:
        told.append(f"revoked, expired {expired}")

    app = package.Celery("late", broker=own_server.url, backend=own_server.url, set_as_current=False)
    task = app.task(name="work", shared=False)(work)
    signals.task_received.connect(received)
    signals.task_revoked.connect(revoked)
    try:
        with testing.start_worker(app, perform_ping_check=False, shutdown_timeout=30.0):
            late = task.apply_async(expires=datetime(2020, 1, 1, tzinfo=UTC))
            task.delay().get(timeout=20)
            eventually(lambda: late.state == "REVOKED")
    finally:
        signals.task_received.disconnect(received)
        signals.task_revoked.disconnect(revoked)
        app.close()
    assert told == ["revoked, expired True", "received work"]
