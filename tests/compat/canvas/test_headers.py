"""What the header of a chord may be made of, on Celery and on ours."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.compat.close_app import close_app
from tests.servers import RedisServer

PACKAGES = ("celery", "svcjobs_celery_compat")


def make(package: str, server: RedisServer) -> Any:
    celery = import_module(package)
    app = celery.Celery("headers", broker=server.url, backend=server.url, set_as_current=False)

    @app.task(name="keep", shared=False)
    def keep(value: Any = None) -> Any:
        return value

    return app


@pytest.mark.parametrize("package", PACKAGES)
def test_tasks_of_an_iterator_are_sent_while_it_goes_on(package: str, own_server: RedisServer) -> None:
    app = make(package, own_server)
    keep, client = app.tasks["keep"], own_server.client()
    sent: list[int] = []

    def header() -> Iterator[Any]:
        for number in range(6):
            sent.append(sum(client.llen(key) for key in (*client.keys("*:ready"), *client.keys("celery"))))
            yield keep.s(number)

    result = import_module(package).chord(header(), keep.s())()
    members = len(result.parent)
    del result
    close_app(app)
    assert members == len(sent) == 6
    assert sent[0] == 0
    assert sent[2] == 1
    assert sent[5] >= 2


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("kind", [list, iter])
def test_a_header_may_have_tasks_for_signatures(package: str, kind: Any, own_server: RedisServer) -> None:
    app = make(package, own_server)
    celery, keep = import_module(package), app.tasks["keep"]
    app.conf.task_always_eager = True
    inner = celery.chord(kind([keep, keep]), keep.s())
    assert celery.chord([keep.si(1)], inner).apply_async().get() == [[1], [1]]
    assert [type(task).__name__ for task in inner.tasks] == ["Signature", "Signature"]
    close_app(app)
