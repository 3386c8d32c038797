"""A task class may name the class of its requests, a project the formats of the log, and signals name the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from svcjobs_celery_compat.exceptions import TimeLimitExceeded, WorkerLostError
from tests.compat.worker.conftest import Worker
from tests.eventually import eventually

SECONDS = 40.0


@pytest.fixture(scope="module")
def worker(start: Callable[..., Worker]) -> Worker:
    return start("custom", "-c", "1", FACADE_LOG="1").ready()


@pytest.mark.parametrize(
    ("what", "error", "seen"),
    [
        ("returns", None, [b"made", b"on_success"]),
        ("raises", ValueError, [b"made", b"on_success", b"on_failure ValueError"]),
        ("spins", TimeLimitExceeded, [b"made", b"on_timeout False 1"]),
        ("exits", WorkerLostError, [b"made", b"on_failure WorkerLostError"]),
        ("dies", WorkerLostError, [b"made", b"made", b"on_failure WorkerLostError"]),
    ],
)
def test_the_requests_of_a_task_are_of_the_class_that_it_names(
    what: str, error: type[Exception] | None, seen: list[bytes], worker: Worker, program: Any, client: redis.Redis
) -> None:
    client.delete("notes:requested", "notes:told")
    result = program.requested.delay(what)
    if error is None:
        assert result.get(timeout=SECONDS) == what
    else:
        with pytest.raises(error):
            result.get(timeout=SECONDS)
    assert eventually(lambda: (notes := client.lrange("notes:requested", 0, -1)) == seen and notes, SECONDS)
    told = [] if error is None else [error.__name__.encode()]
    eventually(lambda: client.lrange("notes:told", 0, -1) == told, SECONDS)


def test_a_task_may_name_the_usual_class(worker: Worker, program: Any, client: redis.Redis) -> None:
    assert program.as_usual.delay().get(timeout=SECONDS) == "done"
    assert client.lrange("notes:received", 0, -1) == [f"program {worker.name}".encode()]


def test_a_task_that_exits_is_said_to_have_ended_its_process(worker: Worker, program: Any) -> None:
    with pytest.raises(WorkerLostError, match=r"^Worker exited prematurely: exitcode 3\.$"):
        program.requested.delay("exits").get(timeout=SECONDS)


def test_a_project_words_the_log(worker: Worker, program: Any) -> None:
    task_id = program.requested.delay("returns").id
    with pytest.raises(ValueError, match="raises"):
        program.requested.delay("raises").get(timeout=SECONDS)
    eventually(
        lambda: {f"GOT {task_id}", f"DONE {task_id}", "BAD ValueError('raises')"} <= _said(worker.log.read_text()),
        SECONDS,
    )


def test_the_signal_of_a_process_names_its_worker(worker: Worker, client: redis.Redis) -> None:
    assert set(client.lrange("notes:process", 0, -1)) == {worker.name.encode()}


def _said(log: str) -> set[str]:
    """The messages of a log, without what a formatter puts before them."""
    return {line.rpartition("] ")[2].strip() for line in log.splitlines()}
