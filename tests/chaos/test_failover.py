"""A sentinel promotes a replica: the queue finds the new primary by itself."""

from __future__ import annotations

import time

import pytest
import redis
from redis.sentinel import Sentinel as SentinelClient
from redis.sentinel import SentinelManagedSSLConnection

from svcjobs._redis.connections import derive
from svcjobs.errors import QueueUnavailable
from svcjobs.redis_queue import RedisJobQueue
from tests.audit import check_drained
from tests.eventually import eventually
from tests.sentinel_set import SentinelSet
from tests.server_program import ServerProgram

RECOVERY_SECONDS = 5.0


@pytest.mark.alone
@pytest.mark.promise("P10")
@pytest.mark.scenario(15)
@pytest.mark.server
def test_p10_a_queue_resumes_on_the_new_primary(server_program: ServerProgram) -> None:
    with SentinelSet(server_program) as servers:
        queue = RedisJobQueue(servers.client(), visibility_timeout=30)
        hasty = RedisJobQueue(servers.client(), timeout_seconds=0.6)  # before the sentinel takes note
        try:
            for n in range(10):
                queue.enqueue("work", job_id=f"before-{n}")
            held = queue.reserve_next()
            assert held
            servers.wait_for_replica()
            servers.primary.kill()
            start = time.monotonic()
            with pytest.raises(QueueUnavailable):
                hasty.enqueue("work")
            assert time.monotonic() - start < 1.5, "typed, and in time"
            eventually(servers.promoted, 20, "the sentinel promotes the replica")

            def works() -> bool:
                try:
                    queue.enqueue("work", job_id="after")
                except QueueUnavailable as error:
                    raise AssertionError(str(error)) from error
                return True

            eventually(works, RECOVERY_SECONDS)
            queue.ack(held)
            done = {held.id}
            while job := queue.reserve_next():
                queue.ack(job)
                done.add(job.id)
            assert done == {f"before-{n}" for n in range(10)} | {"after"}
            check_drained(servers.replica.client(), "jobs")
        finally:
            queue.close()
            hasty.close()


def test_a_client_of_a_sentinel_keeps_its_tls() -> None:
    """Connections derived from it are as secure as its own."""
    manager = SentinelClient([("127.0.0.1", 1)])
    client = manager.master_for("mymaster", ssl=True, password="pw")
    derived = derive(client, 1.0)
    assert derived.connection_pool.connection_class is SentinelManagedSSLConnection
    assert derived.connection_pool.connection_kwargs["password"] == "pw"


def test_a_client_with_a_socket_or_tls_keeps_it() -> None:
    for url in ("rediss://user:pw@127.0.0.1:1/3", "unix:///tmp/none.sock?db=2"):
        client = redis.Redis.from_url(url)
        derived = derive(client, 1.0)
        assert derived.connection_pool.connection_class is client.connection_pool.connection_class
        assert derived.connection_pool.connection_kwargs["db"] == client.connection_pool.connection_kwargs["db"]
