"""The program of the fleets: the same source for a worker of real Celery and for one of ours.

``make`` is given the package to build it with; the module's ``app``, for ``-A``, is that of the import name ``celery``,
which ``svcjobs worker --as-celery`` serves.
"""

from __future__ import annotations

import importlib
import json
import os
import time
import zlib
from typing import Any

import redis

SETTINGS = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_send_sent_event": True,
    "worker_send_task_events": True,
    "worker_hijack_root_logger": False,
    "worker_prefetch_multiplier": 1,
    "broker_connection_retry_on_startup": True,
    # a lease outlasts the 6 s for which a Celery that was killed meanwhile has the right to start a chord's body
    "broker_transport_options": {"visibility_timeout": 10, "max_attempts": 100},
}


def mixed(*args: Any) -> int:
    """A number that tells whether the arguments, and their order, were the same."""
    return zlib.crc32(json.dumps(args).encode())


def make(package: str, url: str) -> Any:
    """The app, built with ``celery`` or ``svcjobs_celery_compat``, on the server at ``url``."""
    broker = url.replace("redis://", "svcjobs://")
    celery = importlib.import_module(package)
    app = celery.Celery("proj", broker=broker, backend=url, set_as_current=False)
    app.conf.update(SETTINGS)
    add_steps(app)
    add_notes(app, redis.Redis.from_url(url))
    add_places(app, celery)
    app.finalize()
    return app


def add_steps(app: Any) -> None:
    """Tasks for canvases."""

    @app.task(name="proj.mix", shared=False)
    def mix(*args: Any, n: int) -> int:
        time.sleep(0.005 * (n % 4))
        return mixed(*args, n)

    @app.task(name="proj.again", shared=False, bind=True)
    def again(self: Any, *args: Any, n: int) -> int:
        if self.request.retries < 2:
            raise self.retry(countdown=0.05, max_retries=2)
        return mixed(*args, n)

    @app.task(name="proj.fail", shared=False)
    def fail(*args: Any, n: int) -> None:
        raise ValueError(f"fail {n}")


def add_notes(app: Any, client: redis.Redis) -> None:
    """Tasks for links."""

    @app.task(name="proj.note", shared=False)
    def note(value: Any, key: str) -> None:
        client.sadd("notes", json.dumps([key, value]))

    @app.task(name="proj.note_error", shared=False)
    def note_error(task_id: str, key: str) -> None:
        client.sadd("notes", json.dumps([key, "error"]))


def add_places(app: Any, celery: Any) -> None:
    """Tasks that tell which package runs them."""
    kind = celery.Task.__module__.partition(".")[0]

    @app.task(name="proj.where", shared=False)
    def where() -> str:
        return kind

    @app.task(name="proj.sleep", shared=False)
    def sleep(seconds: float) -> str:
        time.sleep(seconds)
        return kind

    @app.task(name="proj.reject", shared=False)
    def reject() -> None:
        raise celery.exceptions.Reject("not mine", requeue=False)

    if os.environ.get("KNOWS_MORE"):

        @app.task(name="proj.more", shared=False)
        def more() -> str:
            return kind


if "FLEET_URL" in os.environ:
    app = make("celery", os.environ["FLEET_URL"])
