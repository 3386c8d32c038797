"""Beats whose broker is a Redis Cluster."""

from __future__ import annotations

import time

import pytest

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.beat.redis_scheduler import RedisScheduler
from tests.compat.schedules.apps import sent, ticks
from tests.eventually import eventually
from tests.servers import Cluster


@pytest.mark.scenario(32)
@pytest.mark.promise("P8")
def test_p8_two_schedulers_send_each_tick_once(cluster: Cluster, prefix: str) -> None:
    def scheduler() -> RedisScheduler:
        app = Celery("proj", broker=f"redis+cluster://127.0.0.1:{cluster.port}", set_as_current=False)
        app.conf.update(
            beat_schedule={"each half": {"task": "proj.half", "schedule": 0.5}},
            broker_transport_options={"prefix": prefix},
            result_backend="disabled://",
        )
        return RedisScheduler(app)

    client = cluster.client()
    began = time.monotonic()
    one, other = scheduler(), scheduler()
    try:

        def five() -> bool:
            one.tick()
            other.tick()
            return len(sent(client, prefix)) >= 5

        eventually(five, 20)
        one.close()  # the other one leads now
        had = len(sent(client, prefix))

        def more() -> bool:
            other.tick()
            return len(sent(client, prefix)) > had + 1

        eventually(more, 20)
    finally:
        other.close()
    # the server's clock says when a tick is due, and may have been put forward a little
    assert len(sent(client, prefix)) <= (time.monotonic() - began + 0.1) / 0.5 + 1
    assert list(ticks(client, prefix)) == ["each half"]
