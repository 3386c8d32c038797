"""The guide's built-in jobs together: a committed message ends up at its receiver, once."""

from __future__ import annotations

from collections.abc import Iterator
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
from svcjobs.job import Job
from svcjobs.memory_queue import InMemoryJobQueue
from svcjobs.webhooks.signing import verify
from svcjobs.worker import process_one
from tests.webhook_receiver import Receiver, receiving, status


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    create_tables(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


async def test_a_committed_message_reaches_its_receiver_once(session: Session, receiver: Receiver) -> None:
    clock = MovableClock()
    queue = InMemoryJobQueue(clock=clock)
    outbox = OutboxStore(session)
    handler = make_webhook_handler(
        outbox=outbox,
        inbox=InboxStore(session),
        get_webhook_url_for_topic=lambda topic: receiver.url,
        get_secret_for_topic=lambda topic: "secret",
        header_name="X-Signature",
        allowed_destinations=["127.0.0.1"],
    )
    outbox_tick = make_outbox_tick(outbox=outbox, queue=queue, topics=["user.created"], job_name_prefix="webhook")

    message = outbox.enqueue("user.created", {"user_id": 456})
    session.commit()
    await outbox_tick()

    receiver.answer = status(503, Retry_After="300")
    assert await process_one(queue, handler)
    clock.advance(299)
    assert not await process_one(queue, handler)

    receiver.answer = status(204)
    clock.advance(1)
    assert await process_one(queue, handler)
    assert not session.in_transaction()

    # a second delivery of the same message, such as after a worker that was killed before its ack
    repeat = {"outbox_id": message.id, "topic": "user.created", "payload": {"user_id": 456}}
    queue.enqueue("webhook.user.created", repeat)
    assert await process_one(queue, handler)

    assert [headers["X-Attempt"] for _, headers, _ in receiver.requests] == ["1", "2"]
    assert all(verify("secret", body, headers["X-Signature"]) for _, headers, body in receiver.requests)
    assert (queue.stats().ready, queue.stats().delayed, queue.stats().dead) == (0, 0, 0)


async def test_a_receiver_that_is_gone_ends_in_the_dead_letter_queue(session: Session, receiver: Receiver) -> None:
    queue = InMemoryJobQueue()
    handler = make_webhook_handler(
        outbox=OutboxStore(session),
        inbox=InboxStore(session),
        get_webhook_url_for_topic=lambda topic: receiver.url,
        get_secret_for_topic=lambda topic: "secret",
        allowed_destinations=["127.0.0.1"],
    )
    queue.enqueue("webhook.user.created", {"outbox_id": 123, "topic": "user.created", "payload": {"user_id": 456}})
    receiver.answer = status(410)
    assert await process_one(queue, handler)
    (dead,) = queue.dead()
    assert (dead.reason, dead.attempts) == ("http_410", 1)
    assert len(receiver.requests) == 1


async def test_the_guides_handler_with_an_inbox_runs_its_work_once(session: Session) -> None:
    sent = []

    async def handle_send_email(job: Job, inbox: InboxStore) -> None:
        key = f"email:{job.id}"
        if inbox.is_marked(key):
            return
        sent.append(job.payload)
        inbox.mark(key)

    job = Job(id="1", name="send_email", payload={"to": "zoe"})
    await handle_send_email(job, InboxStore(session))
    session.rollback()  # nobody commits for a handler: the mark is there all the same
    await handle_send_email(job, InboxStore(session))
    assert sent == [{"to": "zoe"}]
