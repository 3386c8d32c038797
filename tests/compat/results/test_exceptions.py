"""Exceptions as results: any can be stored, and reading one builds nothing but an exception."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.backends.base import BaseBackend
from svcjobs_celery_compat.exceptions import SecurityError


class TwoArguments(Exception):
    """Takes other arguments than it has."""

    def __init__(self, a: object, b: object) -> None:
        super().__init__(a)
        self.b = b


class NoRepr(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class NoPickle(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not today")


class Unrepresentable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def local_class() -> type[Exception]:
    class Local(Exception):
        pass

    return Local


EXCEPTIONS = {
    "two arguments": TwoArguments(1, 2),
    "no repr": NoRepr("x"),
    "no pickle": NoPickle("x"),
    "argument no codec knows": ValueError(object(), lambda: None),
    "argument without repr": ValueError(Unrepresentable()),
    "local class": local_class()("x"),
    "lone surrogate": ValueError("\udc80"),
    "bytes": ValueError(b"\xff"),
    "nested": ValueError(KeyError(object())),
    "keyword argument of the system": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "exit": SystemExit(3),
}


@pytest.fixture(params=["json", "pickle"])
def app(request: pytest.FixtureRequest) -> Iterator[Any]:
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(result_serializer=request.param, accept_content=[request.param])
    yield app
    app.close()


@pytest.mark.scenario(26)
@pytest.mark.parametrize("state", ["FAILURE", "RETRY"])
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_any_exception_is_stored_and_read(app: Any, name: str, state: str) -> None:
    mark = app.backend.mark_as_failure if state == "FAILURE" else app.backend.mark_as_retry
    mark("t", EXCEPTIONS[name], traceback="Traceback (most recent call last):\nthat of the task")

    result = app.AsyncResult("t")

    assert result.state == state
    assert "that of the task" in result.traceback
    assert isinstance(result.result, BaseException)
    if state == "FAILURE":
        with pytest.raises(BaseException):  # noqa: B017  # each its own
            result.get(timeout=1)
    app.backend.forget("t")


@pytest.fixture
def backend() -> Iterator[Any]:
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield BaseBackend(app)
    app.close()


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("builtins", "object"), ("subprocess", "Popen"),
     ("builtins", "ValueError.__init__"),
     ("svcjobs_celery_compat.exceptions", "reraise"), ("celery.exceptions", "reraise")],
)  # fmt: skip
def test_nothing_but_an_exception_is_built(backend: Any, module: str, name: str) -> None:
    with pytest.raises(SecurityError, match="Expected an exception class"):
        backend.exception_to_python({"exc_type": name, "exc_module": module, "exc_message": ["echo pwned"]})


def test_a_module_that_is_not_loaded_is_not_imported(backend: Any) -> None:
    import sys

    exc = backend.exception_to_python({"exc_type": "Boom", "exc_module": "this.is_never_loaded", "exc_message": ["x"]})

    assert (type(exc).__name__, type(exc).__module__, exc.args) == ("Boom", "this.is_never_loaded", ("x",))
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "stored", ["text", 5, ["a"], {"a": 1}, {"exc_type": 5, "exc_module": "builtins"}, {"exc_type": ""}]
)
def test_what_is_no_exception_is_refused(backend: Any, stored: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="a stored exception"):
        backend.exception_to_python(stored)


def test_own_exceptions_go_by_celerys_names(backend: Any) -> None:
    from svcjobs_celery_compat.exceptions import ChordError

    stored = backend.prepare_exception(ChordError("x"))

    assert stored["exc_module"] == "celery.exceptions"
    assert type(backend.exception_to_python(stored)) is ChordError


def test_a_backend_and_its_results_can_be_pickled() -> None:
    app = Celery("proj", broker="memory://", backend="cache+memory://")
    restored = pickle.loads(pickle.dumps(app.AsyncResult("t", parent=app.AsyncResult("p"))))

    assert (restored.id, restored.parent.id) == ("t", "p")
    app.close()
