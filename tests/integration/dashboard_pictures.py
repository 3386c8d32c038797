"""Makes the pictures of docs/dashboard.md, with jobs and an hour of history that are made up.

``python -m tests.integration.dashboard_pictures``
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import uvicorn

from svcjobs.dashboard import create_app
from svcjobs.dashboard.history import EVERY_SECONDS, KEPT, History, Sample, Series
from svcjobs.heartbeats import LiveWorker, RunningNow
from svcjobs.job import NewJob
from svcjobs.memory_server import MemoryServer
from svcjobs.queue import InMemoryJobQueue
from tests.eventually import eventually
from tests.integration.browser import Browser
from tests.ports import free_port
from tests.server_program import ROOT

IMAGES = ROOT / "docs" / "images"
WIDTH, PHONE = 1000, 390
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/billing.py", line 48, in charge
    receipt = gateway.charge(order.total, token=card)
  File "/srv/shop/gateway.py", line 112, in charge
    raise GatewayTimeout(f"no answer from {self.host} within {timeout} s")
shop.gateway.GatewayTimeout: no answer from pay.example.com within 10 s"""
TIMEOUT = "GatewayTimeout: no answer from pay.example.com within 10 s"


class MadeUpHistory(History):
    """An hour in which a burst of jobs came, and was worked off."""

    def series(self, name: str) -> Series:
        """The same for each queue, at another scale."""
        scale = {"jobs": 1.0, "jobs:{emails}": 3.4}.get(name, 0.2)
        now, ended, depth, samples, chance = time.time(), 0.0, 9.0, [], random.Random(7)
        for number in range(KEPT):
            burst = 80 * math.exp(-(((number / KEPT - 0.55) / 0.09) ** 2))
            depth += 0.2 * (burst + 9 - depth) + chance.uniform(-1.5, 1.5)
            pace = scale * (8 + 7 * burst / 80 + chance.uniform(-1.5, 1.5))
            ended += pace * EVERY_SECONDS
            at = now - (KEPT - number) * EVERY_SECONDS
            waiting, running = scale * max(depth, 0), scale * (4 + chance.uniform(-2, 2))
            samples.append(Sample(at, round(waiting), waiting / pace * 1.2, round(running), round(ended)))
        return Series(samples)


class Crew:
    """Two workers."""

    def workers(self) -> list[LiveWorker]:
        """They live."""
        now = datetime.now(UTC)
        runs = [
            RunningNow("build_report", str(2210 + number), "jobs", 1, now - timedelta(seconds=9 * number + 4), 71)
            for number in range(2)
        ]
        since = now - timedelta(hours=7)
        return [
            LiveWorker("w1@shop-1", "shop-1", 70, "async", 20, since, ["jobs", "jobs:{emails}"], (71,), runs),
            LiveWorker("w2@shop-2", "shop-2", 70, "prefork", 4, since, ["jobs:{reports}"], age_seconds=3),
        ]  # fmt: skip


def shop() -> list[InMemoryJobQueue]:
    """Three queues with jobs in all places."""
    server = MemoryServer()
    queues = [InMemoryJobQueue(server=server, name=name) for name in ("jobs", "jobs:{emails}", "jobs:{reports}")]
    for queue, done in zip(queues, (184, 2215, 31), strict=True):
        queue.enqueue_many([_new("send") for _ in range(done)])
        for job in queue.reserve_many(done):
            queue.ack(job)
    billing, emails, reports = queues
    for order in (1041, 1077, 1093):
        payload = {
            "order": order,
            "total": "49.90",
            "currency": "EUR",
            "card_token": "tok_4f8a1c",
            "customer": {"name": "Ann"},
        }
        billing.enqueue("charge", payload, max_attempts=3)
        for _ in range(3):
            (job,) = billing.reserve_many(1)
            billing.fail(job, error=TIMEOUT, traceback=TRACEBACK, delay_seconds=0)
    billing.enqueue("import_feed", {"url": "https://feeds.example.com/a.xml"})
    (job,) = billing.reserve_many(1)
    billing.bury(job, reason="schema_mismatch", error="ValidationError: field 'feed' is missing")
    billing.enqueue_many([_new("charge") for _ in range(9)])
    billing.enqueue("build_report", {})
    emails.enqueue_many([_new("send_email") for _ in range(31)])
    emails.reserve_many(5)
    emails.enqueue("send_email", {}, delay_seconds=600)
    reports.enqueue_many([_new("nightly", delay_seconds=3600)])
    reports.pause()
    return queues


@contextmanager
def served() -> Iterator[str]:
    """The address of a dashboard of the shop."""
    with patch("svcjobs.dashboard.app.History", MadeUpHistory):
        app = create_app(shop(), heartbeats=Crew())  # type: ignore[arg-type]  # looks like them
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started, 20)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


def main() -> None:
    """Make all pictures."""
    browser = Browser()
    try:
        with served() as address:
            take(browser, address)
    finally:
        browser.close()


def take(browser: Browser, address: str) -> None:
    """Go through the pages as an operator would."""
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        browser.resize(WIDTH, 600)
        browser.driver.get(address)
        browser.picture(IMAGES / f"dashboard-queues-{scheme}.png", 770)
    browser.click("4")  # the dead ones
    browser.sees("GatewayTimeout")
    browser.picture(IMAGES / "dashboard-queue-dark.png", 780)
    browser.prefer("light")
    browser.resize(WIDTH, 600)
    browser.driver.find_elements("css selector", "tbody a")[1].click()
    browser.sees("Traceback")
    browser.picture(IMAGES / "dashboard-job-light.png", 930)
    browser.resize(PHONE, 700, phone=True)
    browser.driver.refresh()
    browser.sees("Traceback")
    browser.picture(IMAGES / "dashboard-job-phone.png", 700)
    logging.getLogger(__name__).info("made %s", sorted(path.name for path in IMAGES.glob("dashboard-*.png")))


def _new(name: str, delay_seconds: float = 0) -> NewJob:
    return NewJob(name, {"to": "ann@example.com"}, delay_seconds=delay_seconds)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
