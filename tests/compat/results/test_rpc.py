"""Results as messages, over the transport."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.app.task import Context
from tests.servers import RedisServer


@pytest.fixture(params=["memory", "redis"])
def app(request: pytest.FixtureRequest, results_server: RedisServer, prefix: str) -> Iterator[Any]:
    broker = "memory://" if request.param == "memory" else f"redis://127.0.0.1:{results_server.port}/4"
    app = Celery("proj", broker=broker, backend="rpc://", set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": f"{prefix}-"}

    def add(x: int, y: int) -> int:
        return x + y

    app.task(name="add", shared=False)(add)
    yield app
    app.backend.result_consumer.stop()
    app.close()


def answer(app: Any, result: Any, state: str = "SUCCESS", value: Any = 3) -> None:
    """As a worker does that ran the task of `result`."""
    request = Context(id=result.id, reply_to=app.thread_oid, correlation_id=result.id)
    app.backend.store_result(result.id, value, state, request=request)


def test_a_result_comes_to_who_sent_the_task(app: Any) -> None:
    result = app.tasks["add"].delay(1, 2)
    answer(app, result)

    assert result.get(timeout=10) == 3
    assert result.state == "SUCCESS"


def test_results_come_in_any_order(app: Any) -> None:
    results = [app.tasks["add"].delay(number, 0) for number in range(5)]
    for number, result in reversed(list(enumerate(results))):
        answer(app, result, value=number)

    assert [result.get(timeout=10) for result in results] == list(range(5))


def test_states_can_be_asked_for(app: Any) -> None:
    first, second = app.tasks["add"].delay(1, 2), app.tasks["add"].delay(3, 4)
    assert first.state == "PENDING"
    answer(app, second, "STARTED", {"pid": 1})
    assert first.state == "PENDING"
    assert second.state == "STARTED"
    answer(app, first)
    answer(app, second, value=7)

    assert (second.state, second.result) == ("SUCCESS", 7)
    assert first.get(timeout=10) == 3


def test_an_error_is_raised(app: Any) -> None:
    result = app.tasks["add"].delay(1, 2)
    answer(app, result, "FAILURE", KeyError("x"))

    with pytest.raises(KeyError, match="x"):
        result.get(timeout=10)


def test_a_wait_can_end_early(app: Any) -> None:
    result = app.tasks["add"].delay(1, 2)
    with pytest.raises(result.TimeoutError):
        result.get(timeout=0.2)
    answer(app, result)
    assert result.get(timeout=10) == 3
