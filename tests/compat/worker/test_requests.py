"""A request as programs meet it, made of a message of kombu: what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from billiard.einfo import ExceptionInfo

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.contrib.testing.mocks import TaskMessage
from svcjobs_celery_compat.exceptions import Terminated, WorkerLostError
from svcjobs_celery_compat.worker.request import Request


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("requests", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def request_(app: Celery) -> Request:
    @app.task(name="work", shared=False, acks_late=True)
    def work(x: int) -> int:
        return x

    message = TaskMessage("work", args=(1,), callbacks=[work.s(2)])
    return Request(message, app=app, task=work, on_ack=Mock(), on_reject=Mock(), eventer=Mock(enabled=True))


def einfo(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return ExceptionInfo()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(), "exitcode 0"),
        (SystemExit(3), "exitcode 3"),
        (SystemExit("why"), "exitcode 1"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
    ids=repr,
)
def test_a_task_that_exits_has_lost_its_worker(error: BaseException, status: str, request_: Request) -> None:
    request_.on_failure(einfo(error))
    stored = request_.app.AsyncResult(request_.id)
    assert stored.state == "FAILURE"
    assert isinstance(stored.result, WorkerLostError)
    assert str(stored.result) == f"Worker exited prematurely: {status}."
    assert request_.acknowledged


@pytest.mark.parametrize("error", [SystemExit(-241), Terminated(15)], ids=repr)
def test_an_end_that_the_worker_itself_made_of_it_is_told_once(error: BaseException, request_: Request) -> None:
    request_._already_cancelled = True
    request_.on_failure(einfo(error))
    assert request_.app.AsyncResult(request_.id).state == "PENDING"
    assert not request_.acknowledged, "it is delivered again"
    request_.eventer.send.assert_not_called()


def test_a_worker_that_was_lost_after_the_result_was_stored_changes_nothing(request_: Request) -> None:
    request_.task.backend.mark_as_done(request_.id, "the result")
    request_.on_failure(einfo(WorkerLostError("it died")))
    stored = request_.app.AsyncResult(request_.id)
    assert (stored.state, stored.result) == ("SUCCESS", "the result")
    assert request_.acknowledged
    [call] = request_.eventer.send.call_args_list
    assert call.args == ("task-succeeded",)
    assert call.kwargs["result"] == "'the result'"


def test_a_backend_that_is_away_doesn_t_keep_a_worker_that_lost_a_process(request_: Request) -> None:
    backend = request_.task.backend = Mock()
    backend.as_uri.return_value = "redis://away"
    backend._get_task_meta_for.side_effect = ConnectionError
    request_.on_failure(einfo(WorkerLostError("it died")))
    backend._get_task_meta_for.assert_called_once_with(request_.id)
    backend.mark_as_failure.assert_called_once()


def test_receivers_read_the_callbacks_where_celery_has_them(request_: Request) -> None:
    payload: Any = vars(Request)["_Request__payload"].__get__(request_)
    assert list(payload[0]) == [1]
    assert payload[2]["callbacks"][0]["task"] == "work"
