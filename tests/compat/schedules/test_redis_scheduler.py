"""The scheduler that keeps its state in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from kombu import Exchange
from kombu.common import Broadcast

from svcjobs.errors import QueueFull
from svcjobs_celery_compat import beat
from svcjobs_celery_compat.beat import redis_scheduler
from svcjobs_celery_compat.beat.redis_scheduler import RedisScheduler
from svcjobs_celery_compat.exceptions import ImproperlyConfigured
from svcjobs_celery_compat.schedules import crontab, schedule, solar
from tests.compat.schedules.apps import app_on, sent, ticks
from tests.eventually import eventually
from tests.servers import RedisServer

pytestmark = pytest.mark.server


@contextmanager
def open_scheduler(app: Any) -> Iterator[RedisScheduler]:
    scheduler = RedisScheduler(app)
    try:
        yield scheduler
    finally:
        scheduler.close()


def look(scheduler: RedisScheduler, times: int = 4) -> None:
    for _ in range(times):
        scheduler.tick()


def set_back(client: redis.Redis, prefix: str, name: str, seconds: float, queue: str = "celery") -> float:
    """Let the last tick of an entry be so many seconds ago."""
    now_seconds, micros = client.time()
    at = now_seconds + micros / 1e6 - seconds
    client.hset(f"{prefix}:{{{queue}}}:ticks", name, f"{at:.17g}")
    return at


def test_a_new_entry_ticks_one_interval_after_it_was_first_seen(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    app = app_on(redis_server, prefix, {"hourly": {"task": "t", "schedule": 3600}})
    with open_scheduler(app) as scheduler:
        look(scheduler)
    assert sent(redis_client, prefix) == []
    first_seen = ticks(redis_client, prefix)["hourly"]
    with open_scheduler(app) as scheduler:  # a restart doesn't begin anew
        look(scheduler)
        assert scheduler.schedule["hourly"].last_run_at == datetime.fromtimestamp(first_seen, UTC)
    assert ticks(redis_client, prefix)["hourly"] == first_seen


def test_a_due_task_is_sent_as_a_message_that_workers_know(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    entry = {"task": "proj.add", "schedule": 60, "args": (1, 2), "kwargs": {"z": beat.BeatLazyFunc(lambda: 3)}}
    app = app_on(redis_server, prefix, {"add": {**entry, "options": {"queue": "sums", "headers": {"mine": 1}}}})
    last = set_back(redis_client, prefix, "add", 90, "sums")
    with open_scheduler(app) as scheduler:
        look(scheduler)
    (message,) = sent(redis_client, prefix, "sums")
    assert (message["args"], message["kwargs"]) == ([1, 2], {"z": 3})
    headers = message["_kombu"]["headers"]
    assert (headers["task"], headers["mine"], headers["celery_beat_task"]) == ("proj.add", 1, True)
    assert ticks(redis_client, prefix, "sums")["add"] == pytest.approx(last + 60, abs=1e-5)


@pytest.mark.promise("P8")
def test_missed_ticks_are_made_up_for_by_the_latest_one(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    app = app_on(
        redis_server,
        prefix,
        {"often": {"task": "often", "schedule": 1000}, "hourly": {"task": "hourly", "schedule": crontab(minute=0)}},
    )
    last = set_back(redis_client, prefix, "often", 9500)
    set_back(redis_client, prefix, "hourly", 3 * 86400)
    with open_scheduler(app) as scheduler:
        look(scheduler, 6)
    names = sorted(message["_kombu"]["headers"]["task"] for message in sent(redis_client, prefix))
    assert names == ["hourly", "often"]
    kept = ticks(redis_client, prefix)
    assert kept["often"] == pytest.approx(last + 9000, abs=1e-5)
    assert kept["hourly"] % 3600 == 0
    assert time.time() - kept["hourly"] < 3700


@pytest.mark.promise("P8")
def test_several_schedulers_send_each_tick_once(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisScheduler, "_leads", lambda self: True)  # as if each thought that it led
    entries = {f"entry {n}": {"task": f"t{n}", "schedule": 0.2} for n in range(3)}
    begun = {name: set_back(redis_client, prefix, name, 0) for name in entries}
    services = [beat.Service(app_on(redis_server, prefix, entries), scheduler_cls=RedisScheduler) for _ in range(3)]
    threads = [threading.Thread(target=service.start) for service in services]
    for thread in threads:
        thread.start()
    eventually(lambda: len(sent(redis_client, prefix)) > 30, timeout=20)
    for service in services:
        service.stop()
    for thread in threads:
        thread.join()
    messages = sent(redis_client, prefix)
    for name, begun_at in begun.items():
        count = sum(message["_kombu"]["headers"]["task"] == name.replace("entry ", "t") for message in messages)
        intervals = (ticks(redis_client, prefix)[name] - begun_at) / 0.2
        assert intervals == pytest.approx(round(intervals), abs=0.01)
        # under load a tick may stand for several; none is sent twice
        assert 5 < count <= round(intervals)


def test_one_leads_and_hands_over_when_it_is_closed(redis_server: RedisServer, prefix: str) -> None:
    entries = {"entry": {"task": "t", "schedule": 3600}}
    with (
        open_scheduler(app_on(redis_server, prefix, entries)) as first,
        open_scheduler(app_on(redis_server, prefix, entries)) as second,
        open_scheduler(app_on(redis_server, prefix, {"other": {"task": "t", "schedule": 3600}})) as other,
    ):
        look(first, 1)
        look(second, 1)
        look(other, 1)
        assert (first._located, second._located, other._located) == ({"entry"}, set(), {"other"})
        first.close()
        look(second, 1)
        assert second._located == {"entry"}


@pytest.mark.alone
@pytest.mark.scenario(33)
@pytest.mark.promise("P10")
def test_a_tick_is_made_up_for_when_redis_is_back(own_server: RedisServer, prefix: str) -> None:
    app = app_on(own_server, prefix, {"each": {"task": "t", "schedule": 1}})
    service = beat.Service(app, scheduler_cls=RedisScheduler)
    thread = threading.Thread(target=service.start)
    thread.start()
    client = redis.Redis.from_url(own_server.url)
    eventually(lambda: sent(client, prefix))
    own_server.kill()
    client.close()
    own_server.start()  # nothing was kept: the schedule begins anew
    back_at = time.monotonic()
    client = redis.Redis.from_url(own_server.url)
    eventually(lambda: sent(client, prefix), timeout=10)
    assert time.monotonic() - back_at < 6
    client.close()
    service.stop()
    thread.join()


def test_an_entry_that_cant_be_sent_leaves_the_others_alone(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    entries = {
        "bad": {"task": "bad", "schedule": 60, "args": (object(),)},
        "lost": {"task": "lost", "schedule": 60, "options": {"queue": "nowhere"}},
        "good": {"task": "good", "schedule": 60},
    }
    app = app_on(redis_server, prefix, entries, task_create_missing_queues=False)
    last = {name: set_back(redis_client, prefix, name, 70) for name in entries}
    with open_scheduler(app) as scheduler:
        look(scheduler, 6)
    assert [message["_kombu"]["headers"]["task"] for message in sent(redis_client, prefix)] == ["good"]
    # what wasn't sent isn't taken: after a repair and a restart the tick is made up for
    assert ticks(redis_client, prefix)["bad"] == pytest.approx(last["bad"])
    app.conf.beat_schedule["bad"]["args"] = (1,)
    with open_scheduler(app) as scheduler:
        look(scheduler)
    assert len(sent(redis_client, prefix)) == 2


@pytest.mark.promise("P10")
def test_an_entry_stays_due_while_the_broker_takes_nothing(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_scheduler, "LOOK_SECONDS", 0.01)
    app = app_on(redis_server, prefix, {"each": {"task": "t", "schedule": 60}})
    last = set_back(redis_client, prefix, "each", 70)
    take = RedisScheduler._take
    with open_scheduler(app) as scheduler:

        def refuse(*args: Any) -> bool:
            raise QueueFull("the server is full")

        monkeypatch.setattr(RedisScheduler, "_take", refuse)
        look(scheduler)
        assert ticks(redis_client, prefix)["each"] == pytest.approx(last)
        monkeypatch.setattr(RedisScheduler, "_take", take)
        eventually(lambda: scheduler.tick() is not None and sent(redis_client, prefix))
    assert ticks(redis_client, prefix)["each"] == pytest.approx(last + 60, abs=1e-5)


def test_a_broadcast_is_taken_first_and_sent_then(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str
) -> None:
    exchange = Exchange("all", type="fanout")
    queue = Broadcast("all", queue="all", exchange=exchange)
    app = app_on(redis_server, prefix, {}, task_queues=[queue], task_routes={"t": {"queue": "all"}})
    app.conf.beat_schedule = {"each": {"task": "t", "schedule": 60, "options": {"declare": [exchange]}}}
    seconds, _ = redis_client.time()
    redis_client.hset(f"{prefix}:ticks", "each", seconds - 70)
    with open_scheduler(app) as scheduler:
        look(scheduler)
    assert float(redis_client.hget(f"{prefix}:ticks", "each")) == pytest.approx(seconds - 10)
    assert len([key for key in redis_client.scan_iter(f"{prefix}:kombu:fanout:*") if key.endswith(b"all")]) == 1


def test_another_broker_is_refused_with_what_to_do(redis_server: RedisServer, prefix: str) -> None:
    app = app_on(redis_server, prefix, {"each": {"task": "t", "schedule": 60}})
    app.conf.broker_url = "memory://"
    with open_scheduler(app) as scheduler, pytest.raises(ImproperlyConfigured, match="beat_scheduler"):
        scheduler.tick()


def test_it_is_the_default_where_the_broker_is_in_redis(redis_server: RedisServer, prefix: str, tmp_path: Any) -> None:
    app = app_on(redis_server, prefix, {})
    service = beat.Service(app, scheduler_cls=app.conf.beat_scheduler)
    assert isinstance(service.get_scheduler(lazy=True), RedisScheduler)
    chosen = beat.Service(app, scheduler_cls="svcjobs_celery_compat.beat:PersistentScheduler")
    assert isinstance(chosen.get_scheduler(lazy=True), beat.PersistentScheduler)
    app.conf.broker_url = "memory://"
    assert isinstance(
        beat.Service(app, scheduler_cls=app.conf.beat_scheduler).get_scheduler(lazy=True), beat.PersistentScheduler
    )


@pytest.mark.parametrize("timing", [schedule(5000.5), crontab(hour=7), solar("sunset", 10, 20)], ids=str)
def test_all_kinds_of_schedules_are_kept(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str, timing: Any
) -> None:
    pytest.importorskip("ephem")
    app = app_on(redis_server, prefix, {"entry": {"task": "t", "schedule": timing}})
    set_back(redis_client, prefix, "entry", timedelta(days=2).total_seconds())
    with open_scheduler(app) as scheduler:
        look(scheduler, 3)
    assert len(sent(redis_client, prefix)) == 1
    assert timing.nowfun is None  # the app's own object is left alone
