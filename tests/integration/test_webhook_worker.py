"""Webhooks through a real worker: receivers of every kind, and what becomes of the job each time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psutil
import pytest
import redis

from svcjobs.job import Job
from svcjobs.redis_queue import RedisJobQueue
from svcjobs.webhooks.signing import verify
from tests.eventually import eventually
from tests.servers import RedisServer
from tests.unit.test_settings import VARIABLES
from tests.webhook_receiver import Answer, Receiver, hang_up, receiving, status

HOOKS = """
import os
from svcjobs import JobRegistry
from svcjobs.builtins.webhook_delivery import make_webhook_handler
from svcjobs.db.inbox import InMemoryInboxStore
from svcjobs.db.outbox import InMemoryOutboxStore
from svcjobs.webhooks.limits import DeliveryLimits

registry = JobRegistry()
registry.register("hook", make_webhook_handler(
    outbox=InMemoryOutboxStore(),
    inbox=InMemoryInboxStore(),
    get_webhook_url_for_topic=lambda topic: os.environ["RECEIVER"] + "/" + topic,
    get_secret_for_topic=lambda topic: "secret",
    allowed_destinations=["127.0.0.1"],
    limits=DeliveryLimits(total_seconds=5, redirects=3, failures=int(os.environ["FAILURES"])),
))
"""
Work = Callable[..., AbstractContextManager[psutil.Process]]
GIGABYTE = 10**9
MOST_GROWTH_KIB = 40_000
PATIENCE_SECONDS = 60


def gigabyte(code: int) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("Content-Length", str(GIGABYTE))
        request.end_headers()
        block = b"x" * 1_000_000
        for _ in range(GIGABYTE // len(block)):
            request.wfile.write(block)

    return answer


def drip(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        request.wfile.write(b"x")
        time.sleep(0.05)


def cut(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 20")
    hang_up(request)


def away(request: BaseHTTPRequestHandler) -> None:
    until = formatdate(time.time() + 900, usegmt=True)
    status(503, Retry_After=until)(request)


ACKED = "acked"
"""How a job ends: so, dead for a reason, or delayed for about so many seconds."""
ENDS: dict[str, tuple[Answer, str | int]] = {
    "taken": (status(204), ACKED),
    "taken-gigabyte": (gigabyte(200), ACKED),
    "silent": (lambda request: threading.Event().wait(PATIENCE_SECONDS) and None, 60),
    "drip": (drip, 60),
    "closed": (hang_up, 60),
    "cut": (cut, 60),
    "broken": (status(500), 60),
    "broken-gigabyte": (gigabyte(500), 60),
    "limited": (status(429, Retry_After="300"), 300),
    "limited-without": (status(429), 60),
    "away": (away, 900),
    "gone": (status(410), "http_410"),
    "unknown": (status(404, Retry_After="300"), "http_404"),
    "loop": (status(307, Location="/hook/loop"), 60),
    "inwards": (status(307, Location="http://169.254.169.254/latest/meta-data/"), "forbidden_address"),
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def queue(redis_client: redis.Redis, prefix: str) -> Iterator[RedisJobQueue]:
    with closing(RedisJobQueue(redis_client, prefix=prefix)) as queue:
        yield queue


@pytest.fixture
def work(tmp_path: Path, redis_server: RedisServer, prefix: str, receiver: Receiver) -> Work:
    (tmp_path / "hooks.py").write_text(HOOKS)

    @contextmanager
    def work(*options: str, failures: int = 1000) -> Iterator[psutil.Process]:
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        ours = {"JOBS_DRIVER": "redis", "REDIS_URL": redis_server.url, "JOBS_PREFIX": prefix}
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "svcjobs", "worker", "-A", "hooks", *options], cwd=tmp_path, stderr=log,
                env=kept | ours | {"RECEIVER": receiver.url, "FAILURES": str(failures)},
            )  # fmt: skip
        try:
            yield psutil.Process(worker.pid)
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE_SECONDS) == 0, (tmp_path / "log").read_text()

    return work


def enqueue(queue: RedisJobQueue, number: int, topic: str) -> Job:
    return queue.enqueue("hook", {"outbox_id": number, "topic": topic, "payload": {"n": number}}, job_id=topic)


def peak_kib(worker: psutil.Process) -> int:
    """The most memory that any process of the worker ever took."""
    sizes = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
             for child in worker.children()]  # fmt: skip
    return max(int(size[1]) for size in sizes if size)


def test_each_receiver_costs_bounded_time_and_memory_and_its_job_ends_as_it_should(
    queue: RedisJobQueue, receiver: Receiver, work: Work
) -> None:
    receiver.answers = {f"/hook/{topic}": answer for topic, (answer, _) in ENDS.items()}
    receiver.answers["/hook/first"] = status(204)
    with work("-c", "20") as worker:
        enqueue(queue, 0, "first")
        eventually(lambda: queue.get("first") is None, PATIENCE_SECONDS)
        before_kib = peak_kib(worker)
        began = time.monotonic()
        for number, topic in enumerate(ENDS, 1):
            enqueue(queue, number, topic)
        eventually(lambda: (stats := queue.stats()).ready == stats.in_flight == 0, PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        grown_kib = peak_kib(worker) - before_kib
    assert seconds < 40, "every attempt has 5 s, and all run at once"
    assert grown_kib < MOST_GROWTH_KIB
    for topic, (_, end) in ENDS.items():
        job = queue.get(topic)
        if end == ACKED:
            assert job is None, topic
            continue
        assert job is not None, topic
        assert job.attempts == 1, topic
        if isinstance(end, str):
            assert job.reason == end, topic
        else:
            left = job.available_at.timestamp() - time.time()
            assert job.reason is None, topic
            assert end - 50 < left <= end, topic
    assert all(verify("secret", body, headers["X-Signature"]) for _, headers, body in receiver.requests)


def test_while_a_circuit_is_open_jobs_wait_uncharged(queue: RedisJobQueue, receiver: Receiver, work: Work) -> None:
    receiver.answer = status(500)
    for number in range(6):
        enqueue(queue, number, f"t{number}")
    with work("-c", "1", failures=2):
        eventually(lambda: (stats := queue.stats()).ready == stats.in_flight == 0, PATIENCE_SECONDS)
    jobs = [job for number in range(6) if (job := queue.get(f"t{number}"))]
    assert [job.attempts for job in jobs] == [1, 1, 0, 0, 0, 0]
    assert len(receiver.requests) == 2
    assert all(10 < job.available_at.timestamp() - time.time() <= 45 for job in jobs[2:])
