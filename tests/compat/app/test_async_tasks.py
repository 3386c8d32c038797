"""Tasks whose function is ``async def``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.exceptions import Ignore


@pytest.fixture
def app() -> Any:
    with Celery("async", broker="memory://", backend="cache+memory://", set_as_current=False, fixups=[]) as app:
        yield app


def test_called_as_a_function_it_is_a_coroutine_with_a_request(app: Celery) -> None:
    @app.task(shared=False, bind=True)
    async def double(self: Any, x: int) -> tuple[int, Any, bool]:
        await asyncio.sleep(0)
        return 2 * x, self.request.args, self.request.called_directly

    assert asyncio.run(double(4)) == (8, (4,), True)


def test_apply_runs_it_to_its_end(app: Celery) -> None:
    @app.task(shared=False)
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert double.apply((4,)).get() == 8


def test_apply_inside_of_a_running_loop(app: Celery) -> None:
    @app.task(shared=False, bind=True)
    async def double(self: Any, x: int) -> tuple[int, str]:
        await asyncio.sleep(0)
        return 2 * x, self.request.id

    async def caller() -> Any:
        return double.apply((4,), task_id="the-id").get()

    assert asyncio.run(caller()) == (8, "the-id")


def test_eager_calls_and_chains(app: Celery) -> None:
    app.conf.task_always_eager = True

    @app.task(shared=False)
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert double.delay(4).get() == 8
    assert (double.s(1) | double.s() | double.s()).apply_async().get() == 8


def test_an_error_is_the_result(app: Celery) -> None:
    @app.task(shared=False)
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    result = fail.apply()
    assert result.state == "FAILURE"
    with pytest.raises(KeyError):
        result.get()


def test_autoretry(app: Celery) -> None:
    tries: list[int] = []

    @app.task(shared=False, bind=True, autoretry_for=(KeyError,), max_retries=3, default_retry_delay=0)
    async def flaky(self: Any) -> str:
        tries.append(self.request.retries)
        await asyncio.sleep(0)
        if len(tries) < 3:
            raise KeyError("again")
        return "done"

    assert flaky.apply().get() == "done"
    assert tries == [0, 1, 2]


def test_autoretry_leaves_ignore_alone(app: Celery) -> None:
    @app.task(shared=False, autoretry_for=(Exception,))
    async def ignored() -> None:
        raise Ignore

    assert ignored.apply().state == "IGNORED"


def test_coroutines_in_one_thread_keep_their_requests(app: Celery) -> None:
    @app.task(shared=False, bind=True)
    async def wait(self: Any, turns: int) -> tuple[Any, Any]:
        before = self.request.args
        for _ in range(turns):
            await asyncio.sleep(0)
        return before, self.request.args

    async def together() -> Any:
        return await asyncio.gather(wait(5), wait(1), wait(3))

    assert asyncio.run(together()) == [((n,), (n,)) for n in (5, 1, 3)]


def test_coroutines_that_a_task_starts_see_its_request(app: Celery) -> None:
    @app.task(shared=False, bind=True)
    async def parent(self: Any, x: int) -> list[Any]:
        async def part() -> Any:
            return self.request.args

        return await asyncio.gather(part(), part())

    assert asyncio.run(parent(7)) == [(7,), (7,)]


class Order(BaseModel):
    amount: int


def test_pydantic_arguments(app: Celery) -> None:
    @app.task(shared=False, pydantic=True)
    async def double(order: Order) -> Order:
        await asyncio.sleep(0)
        return Order(amount=order.amount * 2)

    assert asyncio.run(double({"amount": 2})) == {"amount": 4}
