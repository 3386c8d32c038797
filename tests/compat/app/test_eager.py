"""Tasks that run where they are called (``task_always_eager``) meet what a worker would meet: SCENARIO 37."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from kombu.exceptions import EncodeError

from svcjobs_celery_compat import Celery

WHEN = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


@pytest.fixture
def app() -> Any:
    app = Celery("eager", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = True
    return app


@pytest.mark.scenario(37)
@pytest.mark.parametrize(
    ("given", "met"), [((1, 2), [1, 2]), ({1: "one"}, {"1": "one"}), (WHEN, WHEN), ([{"a": None}], [{"a": None}])]
)
def test_s37_an_eager_task_meets_its_arguments_as_the_serializer_leaves_them(app: Any, given: Any, met: Any) -> None:
    seen: list[Any] = []

    @app.task(shared=False)
    def take(value: Any, *, again: Any) -> None:
        seen.extend([value, again])

    take.delay(given, again=given)
    assert seen == [met, met]
    assert [type(value) for value in seen] == [type(met)] * 2


@pytest.mark.scenario(37)
def test_s37_what_could_not_be_sent_is_refused_by_an_eager_task_too(app: Any) -> None:
    @app.task(shared=False)
    def take(value: Any) -> None:
        raise AssertionError("it can't be called")

    with pytest.raises(EncodeError):
        take.delay(object())


@pytest.mark.scenario(37)
def test_s37_apply_hands_arguments_over_as_they_are(app: Any) -> None:
    given = object()

    @app.task(shared=False)
    def take(value: Any) -> bool:
        return value is given

    assert take.apply((given,)).get() is True
