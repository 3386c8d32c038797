"""The app whose tasks the workers of these tests run; FACADE_URL names the server."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

from svcjobs import Postponed, current_job, idempotent
from svcjobs.db.redis_inbox import RedisInboxStore
from svcjobs.easy import open_client
from svcjobs_celery_compat import Celery, Task, bootsteps
from svcjobs_celery_compat.app import trace
from svcjobs_celery_compat.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from svcjobs_celery_compat.signals import task_failure, task_received, worker_process_init, worker_ready
from svcjobs_celery_compat.utils.log import get_task_logger
from svcjobs_celery_compat.worker.request import Request

URL = os.environ.get("FACADE_URL", "redis://127.0.0.1:1/0")

app = Celery("program", broker=URL, backend=URL)
app.conf.update(
    broker_transport_options={"visibility_timeout": 5, "max_attempts": 3},
    result_extended=True,
    worker_hijack_root_logger=True,
)
if accepted := os.environ.get("FACADE_ACCEPT"):
    app.conf.accept_content = accepted.split(",")
if signed := os.environ.get("FACADE_SIGNED"):
    app.conf.update(
        task_serializer="auth",
        accept_content=["auth"],
        result_accept_content=["json"],
        security_key=f"{signed}.key",
        security_certificate=f"{signed}.pem",
        security_cert_store=f"{signed}.pem",
    )
    app.setup_security()


if Path(os.environ.get("FACADE_BROKEN", "")).is_file():
    raise RuntimeError("this version is broken")


def note(name: str, value: Any = "") -> None:
    """Remember that something happened."""
    with open_client(URL) as client:
        client.rpush(f"notes:{name}", f"{value}")


@worker_ready.connect
def on_ready(sender: Any, **_: Any) -> None:
    note("ready", sender.hostname)


@worker_process_init.connect
def on_process(sender: Any = None, **_: Any) -> None:
    note("process", sender)
    if os.environ.get("FACADE_HANGS") == "start":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(3600)


if os.environ.get("FACADE_HANGS") == "stop":

    class Hanging(bootsteps.StartStopStep):
        """A step of a user that doesn't end."""

        def stop(self, parent: Any) -> None:
            time.sleep(3600)

    app.steps["worker"].add(Hanging)


class Stubborn(Exception):
    """Can't be rebuilt from its arguments, and not be pickled."""

    def __init__(self, one: Any, two: Any) -> None:
        super().__init__(lambda: one, two)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(
    acks_late=True,
    reject_on_worker_lost=True,
    max_retries=None,
    autoretry_for=(Postponed,),
    retry_kwargs={"countdown": 1},
)
@idempotent(key="order", inbox=RedisInboxStore(open_client(URL)), claim_seconds=8)
def charge(order: str, seconds: float) -> str:
    note(f"charging {order}", os.getpid())
    time.sleep(seconds)
    return f"charged {order}"


@app.task
def tells() -> None:
    get_task_logger(__name__).warning("by the task's logger")
    logging.getLogger("shop").warning("by another")
    print("printed")
    current_job().progress(1, 4, "a quarter")
    time.sleep(3)  # what a quick job says isn't kept


@app.task
def total(numbers: list[int]) -> int:
    note("total", sum(numbers))
    return sum(numbers)


@app.task
def pid() -> int:
    return os.getpid()


@app.task
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.task
def held(key: str) -> str:
    """Runs until ``key`` is noted."""
    with open_client(URL) as client:
        while not client.exists(f"notes:{key}"):
            time.sleep(0.02)
    return key


@app.task(bind=True)
def retried(self: Any, times: int) -> int:
    if self.request.retries < times:
        raise self.retry(countdown=0.1)
    return int(self.request.retries)


@app.task
def fail() -> None:
    raise ValueError("on purpose")


@app.task(throws=(KeyError,))
def expected() -> None:
    raise KeyError("expected")


@app.task
def stubborn() -> None:
    raise Stubborn(1, 2)


@app.task(bind=True, max_retries=1)
def stubborn_again(self: Any) -> None:
    raise self.retry(exc=Stubborn(1, 2), countdown=0.1)


@app.task
def ignored() -> None:
    raise Ignore


@app.task(bind=True, acks_late=True)
def rejected_once(self: Any) -> str:
    if not self.request.delivery_info["redelivered"]:
        raise Reject("again", requeue=True)
    return "second"


@app.task(soft_time_limit=0.5)
def soft() -> str:
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "too late"


@app.task(time_limit=1)
def hard() -> None:
    while True:
        pass


def hold_gil() -> None:
    ctypes.PyDLL(None).usleep(30_000_000)


@app.task(time_limit=1)
def hard_in_c() -> None:
    hold_gil()


@app.task(time_limit=1, acks_late=True)
def hard_in_c_late() -> None:
    hold_gil()


@app.task(acks_late=True)
def killed_once(key: str) -> str:
    note(key, os.getpid())
    with open_client(URL) as client:
        if client.llen(f"notes:{key}") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task
def killed_early() -> None:
    note("early", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(acks_late=True)
def poison() -> None:
    note("poison", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(rate_limit="2/s")
def limited(number: int) -> float:
    return time.time()


@app.task(bind=True)
async def gather(self: Any, seconds: float) -> bool:
    before = self.request.id
    await asyncio.sleep(seconds)
    return bool(before == self.request.id)


@app.task(acks_late=True)
def late(key: str, seconds: float) -> str:
    note(key)
    time.sleep(seconds)
    return "done"


@app.task
def flat(nested: list[Any]) -> int:
    return sum(sum(item) if isinstance(item, list) else item for item in nested)


@app.task
def told(key: str) -> None:
    note(key)


@app.task(acks_late=True)
def part(number: int) -> int:
    time.sleep(0.01)
    return number


if os.environ.get("FACADE_RELEASE") == "2":

    @app.task(name="of_the_next_release")
    def of_the_next_release() -> str:
        return "known now"


class Noted(Request):
    """A request that notes what becomes of it."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        note("requested", "made")

    def on_success(self, failed__retval__runtime: Any, **options: Any) -> Any:
        note("requested", "on_success")
        return super().on_success(failed__retval__runtime, **options)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        exc = getattr(exc_info.exception, "exc", exc_info.exception)
        note("requested", f"on_failure {type(exc).__name__}")
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        note("requested", f"on_timeout {soft} {timeout:g}")
        super().on_timeout(soft, timeout)


class Requested(Task):
    Request = Noted


@task_failure.connect
def on_failed(sender: Any, exception: BaseException, **_: Any) -> None:
    if isinstance(sender, Requested):
        note("told", type(exception).__name__)


@app.task(Request=Request)
def as_usual() -> str:
    return "done"


@task_received.connect
def on_received(sender: Any, request: Any, **_: Any) -> None:
    if request.name == as_usual.name:
        note("received", f"{sender.app.main} {sender.hostname}")


@app.task(base=Requested, soft_time_limit=0.5)
def overdue(cleans_up: bool) -> str:
    try:
        while True:
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        if cleans_up:
            return "cleaned up"
        raise


@app.task(base=Requested, soft_time_limit=0.5)
async def overdue_async(cleans_up: bool) -> str:
    try:
        await asyncio.sleep(3600)
    except SoftTimeLimitExceeded:
        if not cleans_up:
            raise
    return "cleaned up"


@app.task(base=Requested, time_limit=1)
def requested(what: str) -> str:
    match what:
        case "raises":
            raise ValueError(what)
        case "spins":
            while True:
                pass
        case "exits":
            raise SystemExit(3)
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
    return what


if "FACADE_LOG" in os.environ:
    trace.LOG_RECEIVED = "GOT %(id)s"
    trace.LOG_SUCCESS = "DONE %(id)s"
    trace.LOG_FAILURE = "BAD %(exc)s"
