"""Sets and parents of results of tasks that ran here and now, on Celery and on ours: the outcomes are the same."""

from __future__ import annotations

from typing import Any

import celery
import celery.result
import celery.schedules
import pytest

import svcjobs_celery_compat
import svcjobs_celery_compat.result
import svcjobs_celery_compat.schedules

KINDS = {"celery": celery, "svcjobs": svcjobs_celery_compat}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


@pytest.fixture
def app(kind: Any) -> Any:
    app = kind.Celery("eager", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = True

    @app.task(name="add", shared=False)
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task(name="total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    return app


def test_a_set_of_eager_results_is_ready_and_joined(kind: Any, app: Any) -> None:
    add = app.tasks["add"]
    results = kind.result.ResultSet([add.delay(1, 1), add.delay(2, 2)])
    assert (results.ready(), results.supports_native_join) == (True, False)
    assert results.get() == results.join() == [2, 4]
    group = kind.result.GroupResult("group", [add.delay(1, 1)])
    assert group.get() == group.join() == [2]


def test_the_result_of_an_eager_chord_is_the_bodys_alone(kind: Any, app: Any) -> None:
    add, total = app.tasks["add"], app.tasks["total"]
    for result in (
        kind.chord([add.s(1, 1)], total.s()).apply(),
        kind.chord([add.s(1, 1)], total.s()).apply_async(),
    ):
        assert (result.parent, result.as_list(), result.as_tuple()) == (None, [result.id], ((result.id, None), None))
        assert result.get() == 2
    result = (add.s(1, 1) | kind.group(add.s(1), add.s(2)) | total.s()).apply()
    assert (result.get(), result.parent.get()) == (7, 2)


def test_without_a_backend_a_state_is_missing(kind: Any) -> None:
    result = kind.Celery("none", broker="memory://", set_as_current=False).AsyncResult("x")
    assert not hasattr(result, "state")
    for ask in (result.ready, result.failed, lambda: result.result, lambda: result.state):
        with pytest.raises(AttributeError, match="'DisabledBackend' object has no attribute '_get_task_meta_for'"):
            ask()
    with pytest.raises(NotImplementedError, match="No result backend is configured"):
        result.get()


@pytest.mark.parametrize("function", ["(self, uuid, exc=None)", "(self, *args)"])
def test_an_error_callback_that_gets_its_task_gets_the_id_and_is_a_task(kind: Any, app: Any, function: str) -> None:
    got: list[Any] = []
    scope: dict[str, Any] = {}
    exec(f"def errback{function}: note(self, {'uuid, exc' if 'uuid' in function else '*args'})", scope)
    scope["note"] = lambda task, *args: got.append((task.request.id is not None, task.request.called_directly, args))
    errback = app.task(bind=True, shared=False)(scope["errback"])

    @app.task(name="boom", shared=False)
    def boom() -> None:
        raise ValueError("boom")

    result = boom.apply(link_error=errback.s(), throw=False)
    assert got == [(True, False, (result.id, None) if "uuid" in function else (result.id,))]


def test_a_field_of_a_crontab_is_never_none(kind: Any) -> None:
    with pytest.raises(TypeError, match="Argument cronspec needs to be"):
        kind.schedules.crontab(minute=None)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("result", "TimeoutError states current_app DependencyGraph GraphFormatter IncompleteStream"),
        ("canvas", "regen _regen maybe_list is_list abstract"),
    ],
)
def test_names_that_tests_of_applications_replace_are_there(kind: Any, module: str, names: str) -> None:
    found = getattr(kind, module) if module == "result" else __import__(f"{kind.__name__}.canvas", fromlist=["canvas"])
    assert [name for name in names.split() if not hasattr(found, name)] == []
