"""How many tasks a worker runs at once, by its options and its machine; and whose process a signal tells of."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from svcjobs_celery_compat import Celery, signals
from svcjobs_celery_compat.concurrency.prefork import TaskPool, process_destructor
from svcjobs_celery_compat.utils.sysinfo import CpuBudget
from svcjobs_celery_compat.worker import WorkController


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("sized", broker="memory://", set_as_current=False)
    yield app
    app.close()


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 8 CPUs, of which a container may use 2."""

    def budget(use_cgroup_quota: bool = True) -> CpuBudget:
        return CpuBudget(2, 8, 2.0) if use_cgroup_quota else CpuBudget(8, 8, None)

    monkeypatch.setattr("svcjobs_celery_compat.worker.worker.cpu_budget", budget)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.parametrize("auto", ["auto", "AUTO", " Auto "])
@pytest.mark.parametrize(
    ("pool", "count", "why"),
    [
        ("prefork", 2, "cgroup cpu quota 2"),
        ("processes", 2, "cgroup cpu quota 2"),
        ("svcjobs_celery_compat.concurrency.prefork:TaskPool", 2, "cgroup cpu quota 2"),
        (type("Own", (TaskPool,), {}), 2, ":Own"),
        ("threads", 8, "only sizes the prefork pool"),
        ("solo", 8, "only sizes the prefork pool"),
        ("async", 8, "only sizes the prefork pool"),
    ],
)
def test_auto_heeds_the_quota_of_a_container_for_processes_only(
    auto: str, pool: Any, count: int, why: str, app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "celery.worker")
    worker = WorkController(app, pool=pool, concurrency=auto)
    assert worker.concurrency == count
    assert not caplog.text, "it would be lost: the log isn't set up yet"
    worker.on_start()
    assert f"resolved to {count} (pool=" in caplog.text
    assert why in caplog.text


def test_what_is_no_number_is_told_and_left_to_the_machine(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "celery.worker")  # a worker of an earlier test may have set the root's
    app.conf.worker_concurrency = "many"
    worker = WorkController(app, pool="prefork")
    worker.on_start()
    assert worker.concurrency == 64
    assert "'many' is no number: 64 is taken" in caplog.text


def test_receivers_of_worker_init_come_before_the_pool_is_imported(app: Celery) -> None:
    seen = []

    def receive(sender: Any, **_: Any) -> None:
        seen.append((sender.pool_cls, sender.concurrency))

    signals.worker_init.connect(receive)
    try:
        worker = WorkController(app, pool="prefork", concurrency="auto")
    finally:
        signals.worker_init.disconnect(receive)
    assert seen == [("prefork", "auto")]
    assert (worker.pool_cls, worker.concurrency) == (TaskPool, 2)


def test_signals_of_a_process_name_its_worker() -> None:
    seen = []

    def receive(sender: Any, pid: int, exitcode: int, **_: Any) -> None:
        seen.append((sender, pid, exitcode))

    signals.worker_process_shutdown.connect(receive, sender="db@example.com")
    try:
        process_destructor(1, 0, "web@example.com")
        process_destructor(2, 0, "db@example.com")
    finally:
        signals.worker_process_shutdown.disconnect(receive, sender="db@example.com")
    assert seen == [("db@example.com", 2, 0)]
