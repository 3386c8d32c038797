"""A worker that lost the lease of a job forgets its request: another worker has it now."""

from __future__ import annotations

import threading

import pytest
import redis

from svcjobs_celery_compat import Celery
from svcjobs_celery_compat.contrib.testing.worker import start_worker
from svcjobs_celery_compat.worker import state
from tests.eventually import eventually
from tests.servers import RedisServer


def test_a_request_ends_with_its_lease(
    redis_server: RedisServer, redis_client: redis.Redis, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery(prefix, broker=redis_server.url, backend=redis_server.url, set_as_current=False)
    app.conf.update(
        task_default_queue=prefix, worker_hijack_root_logger=False, broker_transport_options={"visibility_timeout": 4}
    )
    begun, go_on = threading.Event(), threading.Event()

    @app.task(name=f"{prefix}.wait", shared=False)
    def wait() -> None:
        begun.set()
        while not go_on.wait(0.01):
            pass

    with start_worker(app, loglevel="WARNING", perform_ping_check=False, shutdown_timeout=30.0) as worker:
        [station] = worker.crew.stations
        requests = station.application.requests
        wait.delay()
        assert begun.wait(20)
        [[_, job_id, _]] = requests
        assert [request.name for request in state.active_requests] == [wait.name]
        redis_client.hset(f"jobs:{{{prefix}}}:job:{job_id}", "lease", "0-somebody")  # as if another worker had it
        try:
            eventually(lambda: "was lost" in caplog.text, 20)
        finally:
            go_on.set()  # a thread can't be cancelled: it runs on, for nothing
        eventually(lambda: not requests and not state.active_requests and not state.requests, 20)
    app.close()
