"""What a worker does with bodies that it may not read, or whose signature is wrong: SCENARIO 38."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.serialization import registry

from svcjobs.redis_queue import RedisJobQueue
from svcjobs_celery_compat import Celery
from tests.compat.foundation.test_security import make_pair
from tests.compat.worker.conftest import Worker
from tests.eventually import eventually
from tests.servers import RedisServer

SECONDS = 40.0
ADD = "tests.compat.worker.program.add"


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


@pytest.fixture
def queue(client: redis.Redis) -> RedisJobQueue:
    return RedisJobQueue(client, prefix="jobs:{suspicious}")


def send(app: Any, *args: Any, **options: Any) -> Any:
    return app.send_task(ADD, args, queue="suspicious", **options)


def dead(queue: RedisJobQueue) -> tuple[str | None, str | None]:
    """The reason and the error of the only dead letter."""
    (job,) = eventually(queue.dead, SECONDS)
    return job.reason, job.last_error


@pytest.mark.scenario(38)
def test_s38_a_pickle_is_dead_lettered_unread_unless_it_is_accepted(
    program: Any, start: Callable[..., Worker], queue: RedisJobQueue, tmp_path: Path
) -> None:
    trap = tmp_path / "unpickled"
    careful = start("careful", "-c", "1", "-Q", "suspicious").ready()
    trapped = send(program.app, Trap(trap), 1, serializer="pickle")
    reason, error = dead(queue)
    assert reason == "undecodable"
    assert "pickle" in (error or "")
    assert not trap.exists()
    assert send(program.app, 1, 2).get(timeout=SECONDS) == 3, "the worker goes on"
    careful.stop()

    accepting = start("accepting", "-c", "1", "-Q", "suspicious", FACADE_ACCEPT="json,pickle", C_FORCE_ROOT="1").ready()
    assert send(program.app, 1, 2, serializer="pickle").get(timeout=SECONDS) == 3
    trapped_job = queue.requeue(queue.dead()[0].id).id
    eventually(trap.exists, SECONDS)
    eventually(lambda: queue.place(trapped_job) == "dead", SECONDS, "the task has failed, and no later worker gets it")
    assert trapped.id
    accepting.stop()


def forge(body: bytes) -> bytes:
    """The same with another argument, below as many layers of base64 as there are."""
    if b"[400, 2]" in body:
        return body.replace(b"[400, 2]", b"[401, 2]")
    return base64.b64encode(forge(base64.b64decode(body)))


@pytest.fixture
def signer(worker_server: RedisServer, tmp_path: Path) -> Iterator[Any]:
    """An app that signs what it sends, and signs with the pair in the folder of the test."""
    key, certificate = make_pair("alice")
    (tmp_path / "alice.key").write_text(key)
    (tmp_path / "alice.pem").write_text(certificate)
    app = Celery("signer", broker=worker_server.url, backend=worker_server.url, set_as_current=False)
    app.conf.update(
        task_serializer="auth", accept_content=["auth"], result_accept_content=["json"],
        security_key=str(tmp_path / "alice.key"),
        security_certificate=str(tmp_path / "alice.pem"), security_cert_store=str(tmp_path / "*.pem"),
    )  # fmt: skip
    app.setup_security()
    yield app
    registry._set_default_serializer("json")
    registry._disabled_content_types.clear()
    registry.unregister("auth")
    app.close()


@pytest.mark.scenario(38)
def test_s38_a_message_that_was_tampered_with_never_runs(
    signer: Any, start: Callable[..., Worker], queue: RedisJobQueue, client: redis.Redis, tmp_path: Path
) -> None:
    queue.purge_dead()
    worker = start("signed", "-c", "1", "-Q", "suspicious", FACADE_SIGNED=str(tmp_path / "alice")).ready()
    assert send(signer, 1, 2).get(timeout=SECONDS) == 3
    send(signer, 400, 2, countdown=3600)
    (job,) = queue.peek("delayed")
    payload = json.dumps(job.payload)
    signed = job.payload["_kombu"]["body"]
    forged = forge(signed.encode()).decode()
    client.hset(f"{queue.name}:job:{job.id}", "payload", payload.replace(signed, forged))
    client.zadd(f"{queue.name}:delayed", {job.id: 0})
    reason, error = dead(queue)
    assert reason == "undecodable"
    assert "signature" in (error or "").lower()
    assert send(signer, 1, 2).get(timeout=SECONDS) == 3, "the worker goes on"
    worker.stop()
