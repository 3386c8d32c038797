"""The stores for asyncio, on the drivers that there are for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from svcjobs.builtins.outbox_processor import make_outbox_tick
from svcjobs.db.inbox import AsyncInboxStore
from svcjobs.db.outbox import AsyncOutboxStore
from svcjobs.errors import ConfigurationError
from svcjobs.memory_queue import InMemoryJobQueue
from tests.databases import ASYNC_DRIVERS, Database


@pytest.fixture(params=ASYNC_DRIVERS)
async def engine(
    request: pytest.FixtureRequest, make_engine: Callable[[str], Engine], database_of: Callable[[str], Database]
) -> AsyncIterator[AsyncEngine]:
    make_engine(request.param)
    engine = create_async_engine(database_of(request.param).async_url)
    yield engine
    await engine.dispose()


async def test_a_message_is_there_with_the_commit_and_not_after_a_rollback(engine: AsyncEngine) -> None:
    relay = AsyncOutboxStore(async_sessionmaker(engine))
    async with AsyncSession(engine) as session:
        outbox = AsyncOutboxStore(session)
        rolled_back = await outbox.enqueue("a", {})
        await session.rollback()
        assert await relay.get(rolled_back.id) is None
        message = await outbox.enqueue("a", {"n": 1})
        await session.commit()
    assert await relay.fetch_next() == message
    await relay.mark_failed(message.id)
    await relay.release(message.id)
    again = await relay.fetch_next()
    assert again is not None
    assert again.attempts == 1


async def test_a_scoped_session_is_the_one_of_its_scope(engine: AsyncEngine) -> None:
    sessions = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
    outbox = AsyncOutboxStore(sessions)
    message = await outbox.enqueue("a", {})
    await sessions.commit()
    assert await outbox.fetch_next() == message
    await sessions.remove()


async def test_the_relay_awaits_a_store_of_coroutines(engine: AsyncEngine) -> None:
    outbox, queue = AsyncOutboxStore(async_sessionmaker(engine)), InMemoryJobQueue()
    message = await outbox.enqueue("a", {"n": 1})
    assert await make_outbox_tick(outbox, queue)() == 1
    job = queue.reserve_next()
    assert job is not None
    assert job.payload == {"outbox_id": message.id, "topic": "a", "payload": {"n": 1}}
    assert await outbox.fetch_next() is None
    assert await outbox.purge_processed(0) == 1


async def test_a_mark_is_taken_back_with_the_work(engine: AsyncEngine) -> None:
    inbox = AsyncInboxStore(async_sessionmaker(engine))
    async with AsyncSession(engine) as session:
        assert await AsyncInboxStore(session).mark_if_new("k")
        await session.rollback()
    assert not await inbox.is_marked("k")
    assert sorted(await asyncio.gather(*(inbox.mark_if_new("k") for _ in range(4)))) == [False, False, False, True]
    await inbox.mark("k", ttl_seconds=0.001)
    await asyncio.sleep(0.002)
    assert await inbox.purge_expired() == 1


@pytest.mark.parametrize("source", [None, object, lambda: object()])
async def test_what_is_no_session_is_refused(source: object) -> None:
    with pytest.raises(ConfigurationError, match="AsyncSession"):
        await AsyncOutboxStore(source).fetch_next()  # type: ignore[arg-type]
