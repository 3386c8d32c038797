"""Payloads of an older version of the program: SCENARIOS 12, on a real server."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
import redis
from pydantic import BaseModel

from svcjobs import Job, JobRegistry, RedisJobQueue, process_one
from svcjobs.errors import ConfigurationError

pytestmark = pytest.mark.scenario(12)


class Refund(BaseModel):
    """Version 2: version 1 had ``cents``."""

    order_id: int
    amount: str


def from_cents(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to version 2; it changes what it is given, as such functions do."""
    old["amount"] = f"{old.pop('cents') / 100:.2f}"
    return old


def registry(seen: list[Refund], **options: Any) -> JobRegistry:
    made = JobRegistry()

    @made.handler("refund", payload=Refund, **options)
    async def refund(_job: Job, payload: Refund) -> None:
        seen.append(payload)

    return made


async def test_scenario_12_an_old_payload_runs_on_a_new_handler_that_upcasts_it(
    redis_client: redis.Redis, prefix: str
) -> None:
    seen: list[Refund] = []
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        queue.enqueue("refund", {"order_id": 1, "cents": 250})
        queue.enqueue("refund", {"order_id": 2, "amount": "3.00"})  # one of the new version is left as it is
        for _ in range(2):
            await process_one(queue, registry(seen, upcast=from_cents))
        assert seen == [Refund(order_id=1, amount="2.50"), Refund(order_id=2, amount="3.00")]
        assert queue.stats().dead == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "amount: Field required"),
        ({"upcast": from_cents}, "KeyError: 'cents'"),
        ({"upcast": lambda old: {"amount": old.get("cents").strip()}}, "AttributeError: "),
        ({"upcast": lambda old: {**old, "amount": 3}}, "amount: Input should be a valid string"),
    ],
    ids=[
        "no upcaster",
        "an upcaster that doesn't know the version",
        "an upcaster that meets null",
        "an upcaster that returns what doesn't fit",
    ],
)
async def test_scenario_12_what_cant_be_upcast_is_dead_lettered_without_a_retry(
    redis_client: redis.Redis, prefix: str, options: dict[str, Any], why: str
) -> None:
    seen: list[Refund] = []
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        queue.enqueue("refund", {"order_id": 1})
        await process_one(queue, registry(seen, **options))
        (dead,) = queue.dead()
        assert (dead.reason, dead.attempts, dead.payload) == ("schema_mismatch", 1, {"order_id": 1})
        assert why in (dead.last_error or "")
        assert seen == []


def test_an_upcaster_without_a_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs payload="):
        JobRegistry().register("refund", print, upcast=from_cents)
