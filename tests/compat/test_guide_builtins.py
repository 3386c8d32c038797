"""The guide's section "Built-in Jobs"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.builtins.webhook_delivery import make_webhook_handler
from svcjobs.clock import MovableClock
from svcjobs.db.inbox import InboxStore
from svcjobs.db.outbox import OutboxStore
from svcjobs.db.tables import create_tables
from svcjobs.queue import InMemoryJobQueue
from svcjobs.scheduler import InMemoryScheduler
from svcjobs.webhooks.signing import verify
from svcjobs.worker import process_one
from tests.webhook_receiver import receiving, status


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    create_tables(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


async def test_a_webhook_is_signed_and_tried_again_until_it_is_taken(session: Session) -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    with receiving() as receiver:
        topics = {"user.created": {"url": receiver.url, "secret": "s3cret"}}
        handler = make_webhook_handler(
            outbox=OutboxStore(session),
            inbox=InboxStore(session),
            get_webhook_url_for_topic=lambda topic: topics[topic]["url"],
            get_secret_for_topic=lambda topic: topics[topic]["secret"],
            header_name="X-Signature",
            allowed_destinations=["127.0.0.1"],
        )
        event = {"user_id": 456, "email": "ada@example.com"}
        queue.enqueue("webhook.user.created", {"outbox_id": 123, "topic": "user.created", "payload": event})
        receiver.answer = status(500)
        assert await process_one(queue, handler)
        assert queue.stats().delayed == 1
        receiver.answer = status(204)
        clock.advance(60)
        assert await process_one(queue, handler)
        assert [json.loads(body) for _, _, body in receiver.requests] == [event, event]
        assert all(verify("s3cret", body, headers["X-Signature"]) for _, headers, body in receiver.requests)
    assert (queue.stats().delayed, queue.stats().in_flight, queue.stats().dead) == (0, 0, 0)


async def test_the_outbox_is_moved_to_the_queue_by_the_scheduler(session: Session) -> None:
    now = [datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC)]
    queue = InMemoryJobQueue()
    outbox = OutboxStore(session)
    outbox_tick = make_outbox_tick(
        outbox=outbox, queue=queue, topics=["user.created", "order.completed"], job_name_prefix="outbox"
    )
    scheduler = InMemoryScheduler(now_provider=lambda: now[0])
    scheduler.add_task("outbox_processor", 5, outbox_tick)

    messages = [outbox.enqueue(topic, {"n": 1}) for topic in ("user.created", "order.completed", "another")]
    session.commit()
    for _ in range(2):
        now[0] += timedelta(seconds=5)
        await scheduler.tick()

    jobs = queue.reserve_many(10)
    assert [(job.name, job.payload) for job in jobs] == [
        ("outbox.user.created", {"outbox_id": messages[0].id, "topic": "user.created", "payload": {"n": 1}}),
        ("outbox.order.completed", {"outbox_id": messages[1].id, "topic": "order.completed", "payload": {"n": 1}}),
    ]
