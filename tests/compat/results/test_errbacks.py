"""An error callback that is called in the worker finds the result of its task, as with Celery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from svcjobs_celery_compat import Celery, chain, chord, group
from svcjobs_celery_compat.contrib.testing.worker import start_worker
from tests.compat.close_app import close_app
from tests.eventually import eventually
from tests.servers import RedisServer

SECONDS = 20.0


@pytest.fixture
def app(redis_server: RedisServer, prefix: str) -> Iterator[Celery]:
    app = Celery(prefix, broker=redis_server.url, backend=redis_server.url, set_as_current=False)
    app.conf.task_default_queue = prefix
    with start_worker(app, perform_ping_check=False, shutdown_timeout=30.0):
        yield app
    close_app(app)


@pytest.mark.parametrize("shape", ["task", "member"])
def test_the_result_is_there_when_an_error_callback_runs(shape: str, app: Celery, redis_server: RedisServer) -> None:
    seen: list[tuple[str, Any]] = []

    @app.task(name=f"{app.main}.fail", shared=False)
    def fail() -> None:
        raise ValueError("on purpose")

    @app.task(name=f"{app.main}.total", shared=False)
    def total(*_: Any) -> None: ...

    @app.task(name=f"{app.main}.told", shared=False)
    def told(request: Any, exc: Any, traceback: Any) -> None:
        with Celery(backend=redis_server.url, set_as_current=False) as reader:  # that knows nothing of the outcome
            found = reader.AsyncResult(request.id)
            seen.append((found.state, found.result))

    failing = fail.si().on_error(told.s())
    if shape == "task":
        failing.delay()
    else:
        chain(group(total.si(), failing), total.s(), app=app).delay()
    eventually(lambda: seen, SECONDS)
    [(state, error)] = seen
    assert state == "FAILURE"
    assert isinstance(error, ValueError)
    assert error.args == ("on purpose",)


def test_the_members_of_a_body_have_failed_when_they_are_revoked(
    app: Celery, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def revoke(ids: list[str], **_: Any) -> None:
        with Celery(backend=redis_server.url, set_as_current=False) as reader:
            seen.append([reader.AsyncResult(task_id).state for task_id in ids])

    monkeypatch.setattr(app.control, "revoke", revoke)

    @app.task(name=f"{app.main}.fail", shared=False)
    def fail() -> None:
        raise ValueError("on purpose")

    @app.task(name=f"{app.main}.total", shared=False)
    def total(*_: Any) -> None: ...

    result = chord([total.si(), fail.si()], group(total.s(), total.s()), app=app).apply_async()
    with pytest.raises(ValueError, match="on purpose"):
        result.get(timeout=SECONDS)
    eventually(lambda: seen == [["FAILURE", "FAILURE"]], SECONDS)
